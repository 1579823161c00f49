"""How a version comes to be, and how readers come to see it.

1. Each file is written under the version's immutable prefix, if absent. A file that is there already must have our
   digest: it is from an earlier attempt at the same version, or somebody broke a rule.
2. The manifest is written last, if absent. The version exists from here on.
3. The pointer is moved by compare-and-swap.

A store that does not answer leaves it unknown whether a write took effect. Nothing here guesses: the same conditional
write is made again, or the object is read back, and what is stored decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Literal

from reprocess import errors
from reprocess.formats import payload as payloads
from reprocess.publication import manifest as manifests
from reprocess.publication import pointer as pointers
from reprocess.publication.manifest import File, Manifest
from reprocess.publication.patience import Patience
from reprocess.publication.pointer import Commit, Pointer
from reprocess.storage.body import Body, pieces
from reprocess.storage.store import Buffer, ByteRange, Store

SINGLE_PUT_BYTES = 128 * 2**20
"""Files up to here are held and written in one request, full frames among them; more costs requests and more CPU."""
READ_BYTES = 8 * 2**20
PATIENT = Patience()

Content = bytes | Iterable[Buffer] | Callable[[], Iterable[Buffer]]
"""Bytes, parts, or what makes the parts anew on each call; only the last can be uploaded a second time.

Nobody may change a part that was given.
"""

_FITS = ".fits"
_TYPES = {
    ".json": "application/json",
    ".fits": "application/fits",
    ".png": "image/png",
    ".html": "text/html",
    ".txt": "text/plain",
}


def write_version(
    store: Store, draft: Manifest, files: Mapping[str, Content], *, patience: Patience = PATIENT
) -> Manifest:
    """Write the files of a version in the order given, then its manifest; doing it again changes nothing.

    Parameters
    ----------
    draft : Manifest
        The version without files, see `manifest.draft`.
    files : mapping of name to content
        Large content should be given in parts: no more than 128 MiB of it are held here.

    Raises
    ------
    PublicationError
        Something else is stored under a name of this version.
    StorageUnavailable
        The store did not answer often enough; doing it all again is safe.
    """
    written = [_write_file(store, draft.prefix, name, content, patience) for name, content in files.items()]
    manifest = replace(draft, files=tuple(sorted(written, key=lambda file: file.name)))
    put_once(store, manifest.key, manifests.to_bytes(manifest), patience=patience)
    return manifest


def read_version(store: Store, dataset: str, version: str) -> Manifest | None:
    """Read the manifest of a version; None if the version does not exist: not yet, or not any more.

    Raises
    ------
    DamagedRecord
        What is there is no manifest, or says that it is one of another version.
    """
    try:
        return _manifest(store, dataset, version)
    except (errors.ObjectMissing, errors.VersionRemoved):
        return None


def need_version(store: Store, dataset: str, version: str) -> Manifest:
    """Read the manifest of a version that somebody asks for.

    Raises
    ------
    VersionRemoved
        It was cleaned away.
    PublicationError
        There never was one.
    """
    try:
        return _manifest(store, dataset, version)
    except errors.ObjectMissing as error:
        raise errors.PublicationError(f"{dataset} has no version {version}. Check both names.") from error


def _manifest(store: Store, dataset: str, version: str) -> Manifest:
    key = manifests.prefix(dataset, version) + "manifest.json"
    found = manifests.from_bytes(store.get(key).data, name=key)
    if (found.dataset, found.version) != (dataset, version):
        said = f"{found.dataset!r}, version {found.version!r}"
        raise errors.DamagedRecord(f"{key} says that it is the manifest of {said}. Scan and plan: it is made again.")
    return found


def put_once(store: Store, key: str, data: Body, *, sha256: str = "", patience: Patience = PATIENT) -> None:
    """Make sure that exactly these bytes are stored under a key that is written once.

    Parameters
    ----------
    sha256 : str
        Their digest, if it is known.

    Raises
    ------
    PublicationError
        Other bytes are there.
    StorageUnavailable
        The store did not answer often enough.
    """
    ours = sha256 or hashlib.sha256(b"".join(pieces(data))).hexdigest()
    for number in patience.rounds():
        try:
            store.put_if_absent(key, data, sha256=ours, content_type=_type_of(key))
            return
        except errors.AlreadyExists:
            _check_same(store, key, ours, patience)
            return
        except (errors.StorageUnavailable, errors.CommitConflict):
            if number == patience.tries:
                if patience.insist(lambda: _stored_digest(store, key)) == ours:
                    return
                raise


def move_pointer(
    store: Store,
    manifest: Manifest,
    *,
    writer: str,
    equivalents: Iterable[str] = (),
    back: bool = False,
    instead_of: str | None = None,
    patience: Patience = PATIENT,
) -> Literal["published", "already"]:
    """Let readers see a version that exists.

    Parameters
    ----------
    writer : str
        UUID of this program.
    equivalents : iterable of str
        Digests of fingerprints that give the same science payload as this version; noted even if it is shown already.
    back : bool
        Show the version although readers saw it before and see another now: a rollback.
    instead_of : str, optional
        The version that the new one was compared with: readers must still see that.

    Returns
    -------
    str
        ``published`` if this call moved the pointer; ``already`` if readers see the version or (unless `back`) saw it
        before, so that moving would take back what came later.

    Raises
    ------
    Overtaken
        Readers see a version of a plan that was made later, or the dataset was retired.
    VersionRemoved
        The version was cleaned away.
    PublicationError
        The pointer was deleted while it was being moved.
    StorageUnavailable, CommitConflict
        It stays unknown whether the pointer was moved; calling again is safe.
    """
    equivalents = frozenset(equivalents)
    tried: set[tuple[str, int]] = set()
    for number in patience.rounds():
        present, etag = patience.insist(lambda: pointers.read(store, manifest.dataset))
        if (answer := _answer(present, manifest, equivalents, tried, back=back)) is not None:
            return answer
        if present is not None and instead_of not in (None, present.version):
            raise errors.CommitConflict(
                f"{manifest.dataset}: version {manifest.version} was compared with {instead_of}, and readers see "
                f"{present.version} now. Nothing was changed; run again."
            )
        left = orphans(store, present, manifest, patience)
        following = pointers.advance(present, manifest, writer=writer, equivalents=equivalents, orphans=left)
        tried.add((writer, following.sequence))
        try:
            pointers.swap(store, following, etag)
            return "published"
        except (errors.StorageUnavailable, errors.CommitConflict, errors.PreconditionFailed, errors.AlreadyExists):
            if number == patience.tries:
                present, _ = patience.insist(lambda: pointers.read(store, manifest.dataset))
                if (answer := _answer(present, manifest, equivalents, tried, back=back)) is not None:
                    return answer
                raise
    raise errors.StorageUnavailable(f"No try was allowed to move the pointer of {manifest.dataset}.")


def verify_version(store: Store, manifest: Manifest) -> tuple[str, ...]:
    """Read every file of a version back and compare it with the manifest; returns one sentence for each problem."""
    return tuple(problem for file in manifest.files for problem in _problems(store, manifest.prefix + file.name, file))


def _write_file(store: Store, prefix: str, name: str, content: Content, patience: Patience) -> File:
    key = prefix + name
    if isinstance(content, bytes):
        ours = hashlib.sha256(content).hexdigest()
        put_once(store, key, content, sha256=ours, patience=patience)
        return File(name, len(content), ours, _payload_of(name, content))
    for number in patience.rounds():
        source = _Source(content() if callable(content) else content, fits=name.endswith(_FITS))
        try:
            _write_parts(store, key, source, patience)
            return File(name, source.size, source.sha256, source.payload)
        except errors.StorageUnavailable:
            if number == patience.tries or not callable(content):
                raise
    raise errors.StorageUnavailable(f"No try was allowed to write {key}.")


def _write_parts(store: Store, key: str, source: _Source, patience: Patience) -> None:
    """Write what fits a single request in one, and upload anything larger."""
    begin = list(_at_most(source, SINGLE_PUT_BYTES))
    if source.exhausted:
        put_once(store, key, begin, sha256=source.sha256, patience=patience)
        return
    try:
        store.upload_if_absent(key, itertools.chain(begin, source), content_type=_type_of(key))
    except errors.AlreadyExists:
        source.drain()
        _check_same(store, key, source.sha256, patience)
    except (errors.StorageUnavailable, errors.CommitConflict):
        source.drain()
        if patience.insist(lambda: _stored_digest(store, key)) != source.sha256:
            raise


class _Source:
    """Parts on their way to a store; knows the digest and the size of what has passed, and of FITS the payload."""

    def __init__(self, parts: Iterable[Buffer], *, fits: bool = False) -> None:
        self._parts = iter(parts)
        self._hash = hashlib.sha256()
        self._digester = payloads.Digester() if fits else None
        self._failure: Exception | None = None
        self.size = 0
        self.exhausted = False

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        try:
            part = next(self._parts)
        except StopIteration:
            self.exhausted = True
            raise
        except Exception as error:
            self._failure = error
            raise
        self._hash.update(part)
        if self._digester is not None:
            self._digester.update(part)
        self.size += memoryview(part).nbytes
        return part

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def payload(self) -> payloads.Payload:
        return {} if self._digester is None else self._digester.finish()

    def drain(self) -> None:
        """Digest what a store did not take. A source that failed has no digest: its failure is raised again."""
        if self._failure is not None:
            raise self._failure
        for _ in self:
            pass


def _payload_of(name: str, content: bytes) -> payloads.Payload:
    return payloads.of(content) if name.endswith(_FITS) else {}


def _at_most(source: _Source, size: int) -> Iterator[Buffer]:
    while source.size <= size:
        try:
            yield next(source)
        except StopIteration:
            return


def _check_same(store: Store, key: str, ours: str, patience: Patience) -> None:
    theirs = patience.insist(lambda: _stored_digest(store, key))
    if theirs != ours:
        raise errors.PublicationError(
            f"{key} is stored with the digest {theirs[:12] or 'of nothing'}, not {ours[:12]}. Versions are never "
            "overwritten: another campaign wrote this one from other inputs. Scan and plan again."
        )


def _stored_digest(store: Store, key: str) -> str:
    """Digest of a stored object, declared or read back; empty if there is none."""
    try:
        return store.digest(key) or _read_back(store, key)[0]
    except errors.ObjectMissing:
        return ""


def _read_back(store: Store, key: str) -> tuple[str, int]:
    stamp = store.head(key)
    digest = hashlib.sha256()
    for start in range(0, stamp.size, READ_BYTES):
        part = ByteRange(start, min(READ_BYTES, stamp.size - start))
        digest.update(store.get_ranges(key, [part], etag=stamp.etag)[0])
    return digest.hexdigest(), stamp.size


def _answer(
    present: Pointer | None,
    manifest: Manifest,
    equivalents: frozenset[str],
    tried: set[tuple[str, int]],
    *,
    back: bool,
) -> Literal["published", "already"] | None:
    """Tell what the present pointer says of our move; None if the move is still to be made."""
    if present is None:
        return None
    if any((commit.writer, commit.sequence) in tried and _shows(commit, manifest) for commit in present.chain):
        return "published"
    if present.version == manifest.version:
        return "already" if equivalents <= set(present.equivalents) else None
    if present.has(manifest.version) and not back:
        return "already"
    if manifest.version in present.removed:
        raise errors.VersionRemoved(
            f"{manifest.dataset}: version {manifest.version} was cleaned away. Scan and plan again."
        )
    if back:
        return None
    if present.is_tombstone:
        raise errors.Retired(
            f"{manifest.dataset} was retired ({present.why}), so version {manifest.version} is not shown. "
            "`reprocess rollback` shows it again."
        )
    if present.created > manifest.created:
        raise errors.Overtaken(
            f"Readers of {manifest.dataset} see version {present.version} of a plan of {present.created}; "
            f"{manifest.version} is of a plan of {manifest.created}. Nothing was changed. Scan and plan again."
        )
    return None


def orphans(store: Store, present: Pointer | None, manifest: Manifest, patience: Patience) -> frozenset[str]:
    """Name the files that readers knew from earlier versions and that this one does not have."""
    if present is None or present.version == manifest.version:
        return frozenset(present.orphans if present else ())
    names = {*present.orphans, *present.files}
    if not present.files and present.version:  # a record of an earlier release of this package
        with contextlib.suppress(errors.DamagedRecord):
            before = patience.insist(lambda: read_version(store, manifest.dataset, present.version))
            names |= {file.name for file in before.files} if before else set()
    return frozenset(names - {file.name for file in manifest.files})


def _shows(commit: Commit, manifest: Manifest) -> bool:
    return commit.version == manifest.version


def _type_of(key: str) -> str:
    return _TYPES.get(key[key.rfind(".") :], "application/octet-stream")


def _problems(store: Store, key: str, file: File) -> Iterator[str]:
    try:
        digest, size = _read_back(store, key)
    except errors.ObjectMissing:
        yield f"{key} is missing."
        return
    if size != file.size:
        yield f"{key} has {size} bytes, not {file.size}."
    elif digest != file.sha256:
        yield f"{key} has the digest {digest[:12]}, not {file.sha256[:12]}."
