"""What the manifest of a published version promises, held against its pointer and against what is listed of it.

A manifest is read once: what was listed of its version is digested and kept beside what was found, and as long as the
listing is the same nothing is read again. Whether the files have the content that the manifest promises is what
`reprocess verify` looks at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reprocess import errors
from reprocess.archive import fingerprint, keys, recipe
from reprocess.archive.headers import Reads
from reprocess.archive.keys import MANIFEST
from reprocess.archive.partition import Pointer
from reprocess.formats import records
from reprocess.storage.store import Blob, ByteRange, RangeRequest, Stamp, Store

_TOLD = 3  # lies of one manifest that are told
_LETTERS = 300
_SHORT = 12
_RAW = ("location", "key", "size", "etag")


@dataclass(frozen=True)
class Version:
    """What is listed of a version: its manifest, if it is there, and the sizes in bytes of its other files by name."""

    manifest: Stamp | None = None
    files: Mapping[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of the listing."""
        manifest = (self.manifest.size, self.manifest.etag) if self.manifest else ()
        text = repr((manifest, sorted(self.files.items())))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def missing(self, dataset: str) -> tuple[str, ...]:
        """Files that are gone of those without which nobody can read the version, see `keys.needed_files`."""
        there = {*self.files, *((MANIFEST,) if self.manifest else ())}
        return tuple(what for name, what in keys.needed_files(dataset).items() if name not in there)


def versions(pointers: Iterable[Pointer], listed: Iterable[Stamp]) -> dict[str, Version]:
    """Sort what is listed of products into the versions that pointers show, by dataset."""
    shown = {pointer.dataset: pointer.version for pointer in pointers if pointer.version and pointer.error is None}
    manifests: dict[str, Stamp] = {}
    files: dict[str, dict[str, int]] = {}
    for stamp in listed:
        place = keys.product(stamp.key)
        if place is None or shown.get(place.dataset) != place.version:
            continue
        if place.name == MANIFEST:
            manifests[place.dataset] = stamp
        else:
            files.setdefault(place.dataset, {})[place.name] = stamp.size
    return {dataset: Version(manifests.get(dataset), files.get(dataset, {})) for dataset in shown}


def look(store: Store, pointer: Pointer) -> Pointer:
    """Tell one pointer what `compare` would tell it after a listing of its version."""
    if not pointer.version:  # it was retired
        return pointer
    found = versions([pointer], store.list(f"products/{pointer.dataset}/{pointer.version}/"))
    return next(compare(store, [pointer], found, reads=Reads())) if found else pointer


def compare(
    store: Store, pointers: Iterable[Pointer], versions: Mapping[str, Version], *, reads: Reads
) -> Iterator[Pointer]:
    """Tell pointers what is gone of their versions, and what their manifests lie about.

    Parameters
    ----------
    store : Store
        The archive root.
    pointers : iterable of Pointer
        Each with a version among `versions`.
    versions : mapping of dataset to Version
    reads : Reads
        Counts the manifests that are read: those of versions that are not listed as they were when it was last done.

    Yields
    ------
    Pointer
        Each once. One whose manifest the store does not give has an error of the store, because that says nothing of
        the product; a manifest that vanished since it was listed is left to the next listing.
    """
    waiting: dict[str, tuple[Pointer, Version]] = {}
    requests: list[RangeRequest] = []
    for pointer in pointers:
        version = versions[pointer.dataset]
        told = replace(pointer, missing=version.missing(pointer.dataset))
        if version.manifest is None:
            yield replace(told, compared="", damage="")
        elif pointer.compared == version.digest:
            yield told
        else:
            stamp = version.manifest
            waiting[stamp.key] = told, version
            requests.append(RangeRequest(stamp.key, ByteRange(0, max(1, stamp.size)), stamp.etag))
    while requests:
        again: list[RangeRequest] = []
        reads.requests += len(requests)
        for request, answer in store.sweep(requests):
            result = _compared(*waiting[request.key], request, answer)
            if isinstance(result, RangeRequest):
                again.append(result)
            else:
                yield result
        requests = again


def _compared(
    pointer: Pointer, version: Version, request: RangeRequest, answer: Blob | Exception
) -> Pointer | RangeRequest:
    if isinstance(answer, errors.ObjectMissing):
        return replace(pointer, compared="", damage="")
    if isinstance(answer, errors.PreconditionFailed) and request.etag:
        return replace(request, etag="")
    if isinstance(answer, errors.ReprocessError):
        text = f"The manifest of version {pointer.version} cannot be read: {answer}"
        return replace(pointer, error_class=errors.StorageError.outcome_class, error=text)
    if isinstance(answer, Exception):
        raise answer
    if len(answer.data) < answer.stamp.size:
        return RangeRequest(request.key, ByteRange(0, answer.stamp.size), answer.stamp.etag)
    return replace(pointer, compared=version.digest, damage=lies(pointer, version, answer.data))


def lies(pointer: Pointer, version: Version, data: bytes) -> str:
    """Say in what a manifest lies; empty when it holds.

    Parameters
    ----------
    pointer : Pointer
        What readers see.
    version : Version
        What is listed of it.
    data : bytes
        The manifest.
    """
    try:
        body = records.loads(data, "manifest", name=MANIFEST)
    except errors.DamagedRecord as error:
        return _plain(str(error).partition(". ")[0])
    except RecursionError:
        return f"{MANIFEST} is nested too deeply"
    found = [*_of_itself(pointer, body), *_of_files(pointer, version, body.get("files"))]
    actual = hashlib.sha256(data).hexdigest()
    if pointer.manifest and pointer.manifest != actual:
        digests = f"its SHA-256 is {actual[:_SHORT]}, not {pointer.manifest[:_SHORT]}"
        found.append(f"{MANIFEST} is not the one that was published: {digests}")
    more = [f"and {len(found) - _TOLD:,} more"] if len(found) > _TOLD else []
    return "; ".join([*map(_plain, found[:_TOLD]), *more])


def _plain(text: str) -> str:
    """Shorten what somebody may have written on purpose, and spell out what is no letter."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:_LETTERS]).rstrip(".")
    return shown if len(text) <= _LETTERS else shown + "..."


def _of_itself(pointer: Pointer, body: Mapping[str, Any]) -> Iterator[str]:
    """Yield in what a manifest contradicts the pointer."""
    for word in ("dataset", "version", "software", "context"):
        if body.get(word) != getattr(pointer, word):
            yield f"{MANIFEST} names the {word} {body.get(word)!r}, not {getattr(pointer, word)!r}"
    raw = body.get("raw")
    if not isinstance(raw, dict) or any(raw.get(word) != pointer.raw.get(word) for word in _RAW):
        yield f"{MANIFEST} names another Level 1b object than the pointer"
    try:
        same = fingerprint.from_record(body["fingerprint"]) == recipe.chain(pointer.raw, pointer.recipe)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        same = False
    if not same:
        yield f"{MANIFEST} has another fingerprint than the pointer"


def _of_files(pointer: Pointer, version: Version, files: object) -> Iterator[str]:
    """Yield in what a manifest contradicts the listing."""
    promised = _promised(files)
    if promised is None:
        yield f"{MANIFEST} has no usable list of files"
        return
    gone = set(version.missing(pointer.dataset))
    for name, size in promised.items():
        if name not in version.files:
            if keys.needed_files(pointer.dataset).get(name) not in gone:
                yield f"{MANIFEST} lists {name}, which is gone"
        elif version.files[name] != size:
            yield f"{MANIFEST} says that {name} has {size:,} bytes, and it has {version.files[name]:,}"
    for name, what in keys.needed_files(pointer.dataset).items():
        if name != MANIFEST and name not in promised and what not in gone:
            yield f"{MANIFEST} does not list {name}"


def _promised(files: object) -> dict[str, int] | None:
    """Return the sizes of a manifest's files by name; None if it has no such list."""
    try:
        named = {file["name"]: file["size"] for file in files}  # type: ignore[attr-defined]
    except (KeyError, TypeError):
        return None
    return named if all(type(name) is str and type(size) is int for name, size in named.items()) else None
