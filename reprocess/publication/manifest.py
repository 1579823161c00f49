"""The manifest of a version: which files it has, and what they were made from. A version without one does not exist."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reprocess import errors
from reprocess.archive import fingerprint
from reprocess.exposure import Fingerprint
from reprocess.formats import records
from reprocess.planning.plan import Item, Plan
from reprocess.publication import removed

KIND = "manifest"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version: `name` below its prefix, `size` in bytes, `sha256` in hexadecimal.

    `payload` has the digests of what a FITS file shows, see `reprocess.formats.payload`; versions that were written
    before there were any, and other files, have none.
    """

    name: str
    size: int
    sha256: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """One immutable version of the products of one dataset.

    Attributes
    ----------
    dataset, version : str
    plan : str
        Digest of the plan; its first 16 characters name the campaign.
    created : str
        The plan's time of creation.
    software, context : str
    raw : mapping
        ``location``, ``key``, ``size`` and ``etag`` of the Level 1b object.
    fingerprint : Fingerprint
    files : tuple of File
        Sorted by name; empty as long as the version is being written.
    """

    dataset: str
    version: str
    plan: str
    created: str
    software: str
    context: str
    raw: Mapping[str, Any]
    fingerprint: Fingerprint
    files: tuple[File, ...] = ()

    @property
    def prefix(self) -> str:
        """Where the files are."""
        return prefix(self.dataset, self.version)

    @property
    def key(self) -> str:
        """Where the manifest itself is."""
        return self.prefix + "manifest.json"

    @property
    def campaign(self) -> str:
        """Name of the campaign that wrote the version."""
        return self.plan[:16]


def prefix(dataset: str, version: str) -> str:
    """Where the files of a version are."""
    return f"products/{dataset}/{version}/"


def draft(plan: Plan, item: Item) -> Manifest:
    """Describe the version that an item of a plan will write, before there are files."""
    return Manifest(
        dataset=item.dataset,
        version=item.version,
        plan=plan.digest,
        created=plan.created,
        software=plan.software,
        context=plan.context,
        raw={name: getattr(item.entry, name) for name in ("location", "key", "size", "etag")},
        fingerprint=item.fingerprint,
    )


def to_bytes(manifest: Manifest) -> bytes:
    """Write a manifest as canonical JSON."""
    files = [
        {key: value for key, value in asdict(file).items() if key != "payload" or value} for file in manifest.files
    ]
    return records.dumps(KIND, SCHEMA, {**asdict(manifest), "files": files, "campaign": manifest.campaign})


def digest(manifest: Manifest) -> str:
    """SHA-256 (hexadecimal) of a manifest as it is stored.

    It holds for manifests that earlier versions of this package wrote too: fields that they did not have are not
    written while they are empty.
    """
    return hashlib.sha256(to_bytes(manifest)).hexdigest()


def from_bytes(data: bytes, *, name: str) -> Manifest:
    """Read a manifest.

    Raises
    ------
    VersionRemoved
        The version was cleaned away.
    DamagedRecord
        The bytes are no manifest of a known schema.
    """
    if removed.is_one(data):
        raise removed.error(data, name=name)
    body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
    try:
        body = {key: value for key, value in body.items() if key not in ("kind", "schema", "campaign")}
        files = tuple(File(**file) for file in body["files"])
        return Manifest(**{**body, "files": files, "fingerprint": fingerprint.from_record(body["fingerprint"])})
    except (KeyError, TypeError, ValueError) as error:
        raise errors.DamagedRecord(f"{name} is not a whole manifest: {error!r}. Verify the version.") from error
