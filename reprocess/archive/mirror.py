"""The mirror: one copy of each reference file in the archive, named by its content.

A file appears whole or not at all (`Store.put_if_absent`, `Store.upload_if_absent`), and the record in the index, which
is what anybody goes by, is written after it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import BinaryIO

from reprocess import errors
from reprocess.archive.claims import PATIENCE_S, claimed
from reprocess.archive.once import PIECE_BYTES, write_once, write_pieces_once
from reprocess.exposure import ReferenceFile
from reprocess.formats import parameter_file, records, reference
from reprocess.storage.store import Buffer, ByteRange, Stamp, Store

KIND, SCHEMA = "reference", 1
PARAMETER_FILE = "pars-"
"""What the types of parameter files begin with."""

_PAYLOAD, _PAYLOADS = "payload", "references/payloads/"
_SLOWEST_BYTES_PER_S = 1e6  # whoever copies more slowly is overtaken


def file_key(sha256: str, name: str) -> str:
    """Key of a mirrored file below the archive root."""
    return f"references/files/{sha256}/{name}"


def index_key(name: str) -> str:
    """Key of the record that says which content a name has."""
    return f"references/index/{name}.json"


def mirror(references: Store, archive: Store, *, type: str, name: str) -> ReferenceFile:
    """Copy a reference file into the archive, once; see `obtain`."""
    return obtain(references, archive, type=type, name=name)[0]


def obtain(references: Store, archive: Store, *, type: str, name: str) -> tuple[ReferenceFile, bool]:
    """Copy a reference file into the archive, once; a second call reads only its index record.

    Of several processes one copies and the others wait for it. The file passes through an unnamed one on this machine;
    what is held in memory are the arrays that its payload is digested from.

    Parameters
    ----------
    references : Store
        Where references come from, laid out as a CRDS cache.
    archive : Store
        The archive root.
    type : str
        CRDS type in lower case; ``pars-...`` for a parameter file.
    name : str
        File name in CRDS.

    Returns
    -------
    ReferenceFile
    bool
        Whether it was this call that copied it.

    Raises
    ------
    MissingReference
        The file is not in the store of references.
    DamagedReference
        The file is unreadable, not what its type promises, or two files go by one name.
    """
    known = _indexed(archive, type, name)
    if known is not None:
        return known, False
    found = _locate(references, name)
    patience = PATIENCE_S + found.size / _SLOWEST_BYTES_PER_S
    claim = f"references/claims/{name}"
    with claimed(archive, claim, lambda: _indexed(archive, type, name), patience_s=patience) as made:
        return (made, False) if made is not None else (_copy(references, archive, found, type, name), True)


def payload_of(references: Store, archive: Store, *, type: str, name: str) -> str | None:
    """Digest the payload of a file that is not mirrored, once, without mirroring it; None where that cannot be done.

    Products of others were made with files that nothing here needs any more, but for this comparison.
    """
    key = f"{_PAYLOADS}{name}.json"
    try:
        known = _indexed(archive, type, name)
        if known is not None:
            return known.payload
        with contextlib.suppress(errors.ObjectMissing):
            return str(records.loads(archive.get(key).data, _PAYLOAD, name=key)["payload"])
        found = _locate(references, name)
        with _aside(_pieces_of(references, found)) as file:
            payload = _payload(file, type, name)
        with contextlib.suppress(errors.AlreadyExists):
            archive.put_if_absent(
                key, records.dumps(_PAYLOAD, SCHEMA, {"name": name, "type": type, "payload": payload})
            )
    except (errors.ReferenceFileError, errors.DamagedRecord, errors.Unsupported, KeyError):
        return None
    return payload


def copy_again(references: Store, archive: Store, file: ReferenceFile) -> None:
    """Copy a file that is in the index, and whose content is not there any more.

    Raises
    ------
    MissingReference
        The file is not in the store of references.
    DamagedReference
        It has another content now than the index says.
    """
    _copy(references, archive, _locate(references, file.name), file.type, file.name)


def read_mirrored(references: Store, archive: Store, *, type: str, name: str) -> bytes:
    """Read a small file from the mirror, which gets it first if it is not there.

    Raises
    ------
    MissingReference
        The file is neither mirrored nor in the store of references.
    DamagedReference
        It is unreadable, or its mirror is not what the index says.
    """
    try:
        file = mirror(references, archive, type=type, name=name)
        data = archive.get(file_key(file.sha256, name)).data
    except (errors.ObjectMissing, errors.DamagedRecord) as error:
        raise errors.DamagedReference(f"The mirror of {name} is not whole: {error}") from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise errors.DamagedReference(
            f"{archive.url}/{file_key(file.sha256, name)} does not have the SHA-256 of its key. Delete it, and "
            f"{index_key(name)}, and it is copied again."
        )
    return data


def _copy(references: Store, archive: Store, found: Stamp, type: str, name: str) -> ReferenceFile:
    digest = hashlib.sha256()
    with _aside(_digested(_pieces_of(references, found), digest.update)) as file:
        copied = ReferenceFile(type, name, digest.hexdigest(), _payload(file, type, name), found.size)
        key = file_key(copied.sha256, name)
        if copied.size <= PIECE_BYTES:
            file.seek(0)
            write_once(archive, key, file.read(), sha256=copied.sha256)
        else:
            write_pieces_once(archive, key, lambda: _pieces_in(file), sha256=copied.sha256)
    return _index(archive, copied)


@contextlib.contextmanager
def _aside(pieces: Iterator[Buffer]) -> Iterator[BinaryIO]:
    """Keep bytes in a file of this machine that nobody else sees, open for reading."""
    with tempfile.NamedTemporaryFile(prefix="reprocess-") as written:
        try:
            for piece in pieces:
                written.write(piece)
            written.flush()
        except OSError as error:
            raise errors.StorageError(
                f"{tempfile.gettempdir()}: {error.strerror}. Make room there, or set TMPDIR to another directory."
            ) from error
        with open(written.name, "rb") as file:
            yield file


def _digested(pieces: Iterator[Buffer], update: Callable[[Buffer], None]) -> Iterator[Buffer]:
    for piece in pieces:
        update(piece)
        yield piece


def _pieces_of(references: Store, found: Stamp) -> Iterator[Buffer]:
    """Read one version of an object, piece by piece."""
    if found.size <= PIECE_BYTES:
        yield references.get(found.key, etag=found.etag).data
        return
    for start in range(0, found.size, PIECE_BYTES):
        part = ByteRange(start, min(PIECE_BYTES, found.size - start))
        yield from references.get_ranges(found.key, [part], etag=found.etag)


def _pieces_in(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(PIECE_BYTES):
        yield piece


def _payload(file: BinaryIO, type: str, name: str) -> str:
    """Digest what a step can see of a file."""
    file.seek(0)
    if type.startswith(PARAMETER_FILE):
        told = parameter_file.read_parameters(file.read(), name)
        return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return reference.payload_digest(reference.open_reference(file, type, name).read())


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


def _locate(references: Store, name: str) -> Stamp:
    """Find a file where references come from."""
    for key in _places(name):
        with contextlib.suppress(errors.ObjectMissing):
            return references.head(key)
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
