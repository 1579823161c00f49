"""What stands in the place of a version that was cleaned away: a record that says so, for ever.

A version comes to exist when its ``manifest.json`` is written if absent. So whoever removes one puts this record under
that key, in one conditional write: a version that existed ends there, and one that was never finished can no longer be.
Only then are its files deleted. The same record under ``removed.json`` is written before, for those who only list.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from reprocess import errors
from reprocess.formats import records

KIND = "removed"
SCHEMA = 1
NAME = "removed.json"

_MARK = b'"kind":"removed"'


@dataclass(frozen=True)
class Removed:
    """One version that is no more.

    Attributes
    ----------
    dataset, version : str
    why : str
        Which rule removed it.
    writer : str
        UUID of the program that did.
    """

    dataset: str
    version: str
    why: str
    writer: str


def to_bytes(removed: Removed) -> bytes:
    """Write the record as canonical JSON."""
    return records.dumps(KIND, SCHEMA, asdict(removed))


def is_one(data: bytes) -> bool:
    """Tell whether bytes are such a record; a quoted word within another record is none, because JSON escapes it."""
    return _MARK in data


def from_bytes(data: bytes, *, name: str) -> Removed:
    """Read the record.

    Raises
    ------
    DamagedRecord
        The bytes are none.
    """
    body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
    try:
        return Removed(**{field: body[field] for field in Removed.__dataclass_fields__})
    except KeyError as error:
        raise errors.DamagedRecord(f"{name} lacks {error}. Nothing needs it: leave it as it is.") from error


def error(data: bytes, *, name: str) -> errors.VersionRemoved:
    """Say to somebody who wanted the version that it is gone."""
    removed = from_bytes(data, name=name)
    return errors.VersionRemoved(
        f"{removed.dataset}: version {removed.version} was cleaned away ({removed.why}). Ask for another version, or "
        "scan and plan again."
    )
