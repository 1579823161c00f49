"""Releases: named sets of versions, one of each dataset, written once and never changed.

A version that a release names is never cleaned away, and `reprocess rollback --release` shows all of them again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from reprocess import errors
from reprocess.formats import records
from reprocess.publication import records_of
from reprocess.publication.patience import Patience
from reprocess.publication.publish import PATIENT, put_once
from reprocess.storage.store import Store

KIND = "release"
SCHEMA = 1
PREFIX = "releases/"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Release:
    """A named set of versions.

    Attributes
    ----------
    name : str
    versions : mapping of dataset to str
    campaign : str
        Whose versions all of them are; empty if they are of several.
    """

    name: str
    versions: Mapping[str, str]
    campaign: str = ""


def key(name: str) -> str:
    """Where a release is.

    Raises
    ------
    UsageError
        It cannot have this name.
    """
    if not _NAME.fullmatch(name):
        raise errors.UsageError(
            f"A release cannot be called {name[:100]!r}: letters, digits, . _ and - make a name of at most 100."
        )
    return f"{PREFIX}{name}.json"


def write(store: Store, release: Release, *, patience: Patience = PATIENT) -> None:
    """Write a release; doing it again with the same versions changes nothing.

    Raises
    ------
    UsageError
        There is one of this name with other versions, or it has no versions.
    """
    if not release.versions:
        raise errors.UsageError(f"Release {release.name} would have no versions. Publish first.")
    try:
        put_once(store, key(release.name), to_bytes(release), patience=patience)
    except errors.PublicationError as error:
        raise errors.UsageError(
            f"There is a release {release.name} already, with other versions. Releases never change: take another name."
        ) from error


def read(store: Store, name: str) -> Release:
    """Read a release.

    Raises
    ------
    UsageError
        There is none of this name.
    DamagedRecord
        It is unreadable.
    """
    place = key(name)
    try:
        return from_bytes(store.get(place).data, name=place)
    except errors.ObjectMissing as error:
        known = ", ".join(names(store)) or "none"
        raise errors.UsageError(f"{store.url} has no release {name!r}. There are: {known}.") from error


def names(store: Store) -> tuple[str, ...]:
    """List the names of all releases."""
    return tuple(stamp.key.removeprefix(PREFIX).removesuffix(".json") for stamp in store.list(PREFIX))


def named(store: Store) -> Mapping[str, frozenset[str]]:
    """Return the versions that any release has, by dataset.

    Raises
    ------
    DamagedRecord
        A release is unreadable: then nobody knows what it names.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for blob in records_of.read_all(store, PREFIX):
        for dataset, version in from_bytes(blob.data, name=blob.stamp.key).versions.items():
            found[dataset].add(version)
    return {dataset: frozenset(versions) for dataset, versions in found.items()}


def to_bytes(release: Release) -> bytes:
    """Write a release as canonical JSON."""
    body = {"name": release.name, "campaign": release.campaign, "versions": dict(release.versions)}
    return records.dumps(KIND, SCHEMA, body)


def from_bytes(data: bytes, *, name: str) -> Release:
    """Read a release.

    Raises
    ------
    DamagedRecord
        The bytes are no release of a known schema.
    """
    body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
    try:
        versions = {str(dataset): str(version) for dataset, version in body["versions"].items()}
        return Release(str(body["name"]), versions, str(body["campaign"]))
    except (KeyError, AttributeError) as error:
        raise errors.DamagedRecord(f"{name} is not a whole release: {error!r}. Restore it.") from error
