"""JSON records that say what they are: a kind, a schema version, and the same bytes for the same content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reprocess import errors


def dumps(kind: str, schema: int, payload: Mapping[str, Any]) -> bytes:
    """Write a record: keys sorted, no spaces, ASCII, one line feed at the end.

    Parameters
    ----------
    kind : str
        What the record is, for example ``pointer``.
    schema : int
        Version of the kind's layout.
    payload : mapping
        JSON values; ``kind`` and ``schema`` are reserved.

    Raises
    ------
    UsageError
        The payload uses a reserved key, or holds what JSON cannot hold (NaN among it).
    """
    reserved = {"kind", "schema"} & set(payload)
    if reserved:
        raise errors.UsageError(f"A {kind} record cannot hold the key {min(reserved)!r}; it says what the record is.")
    record = {**payload, "kind": kind, "schema": schema}
    try:
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise errors.UsageError(f"A {kind} record cannot be written as JSON: {error}.") from error
    return text.encode("ascii") + b"\n"


def loads(data: bytes, kind: str, *, name: str, schemas: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """Read a record and check that it is what the caller takes it for.

    Parameters
    ----------
    data : bytes
    kind : str
        What the record must be.
    name : str
        Key of the record, for messages.
    schemas : tuple of int
        Versions that the caller understands.

    Returns
    -------
    dict
        The record, ``kind`` and ``schema`` included.

    Raises
    ------
    DamagedRecord
        The bytes are no JSON object, or are a record of another kind or of an unknown schema.
    """
    try:
        record = json.loads(data)
    except ValueError as error:
        raise errors.DamagedRecord(f"{name} is no JSON: {error}. Restore it from an earlier version.") from error
    if not isinstance(record, dict) or "kind" not in record or "schema" not in record:
        raise errors.DamagedRecord(f"{name} does not say its kind and schema, so it is no record of this package.")
    if record["kind"] != kind:
        raise errors.DamagedRecord(f"{name} is a record of kind {record['kind']!r} where {kind!r} must be.")
    if record["schema"] not in schemas:
        known = ", ".join(map(str, schemas))
        raise errors.DamagedRecord(
            f"{name} is a {kind} of schema {record['schema']!r}; this version understands {known}. Use a newer version."
        )
    return record
