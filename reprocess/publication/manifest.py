"""The manifest of a version: which files it has, and what they were made from. A version without one does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reprocess import errors
from reprocess.archive import fingerprint
from reprocess.exposure import Fingerprint
from reprocess.formats import records
from reprocess.planning.plan import Item, Plan

KIND = "manifest"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version: `name` below its prefix, `size` in bytes, `sha256` in hexadecimal."""

    name: str
    size: int
    sha256: str


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
    return records.dumps(KIND, SCHEMA, {**asdict(manifest), "campaign": manifest.campaign})


def from_bytes(data: bytes, *, name: str) -> Manifest:
    """Read a manifest.

    Raises
    ------
    DamagedRecord
        The bytes are no manifest of a known schema.
    """
    body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
    try:
        body = {key: value for key, value in body.items() if key not in ("kind", "schema", "campaign")}
        files = tuple(File(**file) for file in body["files"])
        return Manifest(**{**body, "files": files, "fingerprint": fingerprint.from_record(body["fingerprint"])})
    except (KeyError, TypeError, ValueError) as error:
        raise errors.DamagedRecord(f"{name} is not a whole manifest: {error!r}. Verify the version.") from error
