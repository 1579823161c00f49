"""The mirror: one copy of each reference file in the archive, named by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict

from reprocess import errors
from reprocess.archive.once import write_once
from reprocess.exposure import ReferenceFile
from reprocess.formats import records, reference
from reprocess.storage.store import Store

KIND, SCHEMA = "reference", 1


def file_key(sha256: str, name: str) -> str:
    """Key of a mirrored file below the archive root."""
    return f"references/files/{sha256}/{name}"


def index_key(name: str) -> str:
    """Key of the record that says which content a name has."""
    return f"references/index/{name}.json"


def mirror(references: Store, archive: Store, *, type: str, name: str) -> ReferenceFile:
    """Copy a reference file into the archive, once; a second call reads only its index record.

    The whole file is held in memory while it is copied.

    Parameters
    ----------
    references : Store
        Where references come from, laid out as a CRDS cache.
    archive : Store
        The archive root.
    type : str
        CRDS type in lower case.
    name : str
        File name in CRDS.

    Raises
    ------
    MissingReference
        The file is not in the store of references.
    DamagedReference
        The file is unreadable, not what its type promises, or two files go by one name.
    """
    known = _indexed(archive, type, name)
    if known is not None:
        return known
    data = fetch(references, name)
    copied = ReferenceFile(
        type=type,
        name=name,
        sha256=hashlib.sha256(data).hexdigest(),
        payload=reference.payload_digest(reference.read_reference(data, type, name)),
        size=len(data),
    )
    write_once(archive, file_key(copied.sha256, name), data, sha256=copied.sha256)
    return _index(archive, copied)


def _indexed(archive: Store, type: str, name: str) -> ReferenceFile | None:
    key = index_key(name)
    try:
        record = records.loads(archive.get(key).data, KIND, name=key, schemas=(SCHEMA,))
    except errors.ObjectMissing:
        return None
    try:
        found = ReferenceFile(**{field: record[field] for field in ReferenceFile.__dataclass_fields__})
    except KeyError as error:
        raise errors.DamagedRecord(f"{key} lacks {error}. Delete it, and the file is copied again.") from error
    if found.type != type:
        raise errors.DamagedReference(f"{name} is mirrored as {found.type}, and now a {type} is asked for. Check that.")
    return found


def fetch(references: Store, name: str) -> bytes:
    """Read a file from where references come from.

    Raises
    ------
    MissingReference
        It is not there.
    """
    for key in _places(name):
        try:
            return references.get(key).data
        except errors.ObjectMissing:
            continue
    places = " and ".join(f"{references.url}/{key}" for key in _places(name))
    raise errors.MissingReference(f"{name} is not at {places}. Copy it there, then plan again.")


def _places(name: str) -> Iterator[str]:
    parts = name.split("_")
    if len(parts) > 2 and parts[0] == "jwst":
        yield f"references/jwst/{parts[1]}/{name}"
    yield f"references/jwst/{name}"


def _index(archive: Store, copied: ReferenceFile) -> ReferenceFile:
    write_once(archive, index_key(copied.name), records.dumps(KIND, SCHEMA, asdict(copied)))
    if _indexed(archive, copied.type, copied.name) != copied:
        raise errors.DamagedReference(
            f"{copied.name} was mirrored with another content before. Files never change under one name: find "
            "out which of the two is right."
        )
    return copied
