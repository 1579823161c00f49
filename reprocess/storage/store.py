"""The contract that every object store fulfils: keys, bytes, versions; nothing about astronomy.

Keys are relative to the store's root and use ``/``; what a key may look like is in `storage.keys`.

An ETag is an opaque version token, never a digest of the content. On S3 equal bodies have equal ETags, so an
object that went from A to B and back to A has its first ETag again: whoever swaps puts a number that only grows into
the body.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reprocess import errors

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

    from reprocess.storage.body import Body

Buffer = bytes | bytearray | memoryview
FILL_BYTES = 48 * 2**20
"""What `Store.fill` reads in one request: full frames of ten groups take two, side by side."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """One version of one object: `etag` is opaque, `size` in bytes, `modified` an ISO 8601 UTC time of the store."""

    key: str
    size: int
    etag: str
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes of an object, or of a range of it, and the version they belong to."""

    data: bytes
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from byte `start` on."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """One ranged read of a sweep; `etag` empty means any version."""

    key: str
    range: ByteRange
    etag: str = ""


class Scatter:
    """Writable buffers that are filled like a single one.

    Attributes
    ----------
    size : int
        Bytes of all of them.
    """

    def __init__(self, targets: Sequence[Buffer]) -> None:
        self._targets = [memoryview(target).cast("B") for target in targets if len(target)]
        self.size = sum(map(len, self._targets))

    def put(self, offset: int, data: Buffer) -> None:
        """Copy bytes to a place that counts from the beginning of the first buffer."""
        view = memoryview(data)
        for target in self._targets:
            if offset < len(target) and view:
                count = min(len(view), len(target) - offset)
                target[offset : offset + count] = view[:count]
                view, offset = view[count:], offset + count
            offset -= len(target)


def iso(moment: datetime) -> str:
    """Write a time as ISO 8601 in UTC with milliseconds, so that later times sort later."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Store(abc.ABC):
    """Keys and bytes below one root.

    A store can be pickled: it carries its URL and options, never credentials or open connections. Many threads may
    use it at a time. All methods raise only `reprocess.errors.StorageError` and its kind; a key that is no key is one.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """The root, for example ``s3://bucket/prefix`` or ``file:///data/archive``; without secrets."""

    @abc.abstractmethod
    def get(self, key: str, *, etag: str = "") -> Blob:
        """Read a whole object; with `etag` only that version (else `PreconditionFailed`)."""

    @abc.abstractmethod
    def get_ranges(self, key: str, ranges: Sequence[ByteRange], *, etag: str = "") -> list[memoryview]:
        """Read several ranges of one version of an object, coalesced and concurrently, in the order given.

        Raises `Truncated` never: a range past the end raises `errors.StorageError` naming key, range and size.
        """

    def fill(self, key: str, start: int, targets: Sequence[Buffer], *, etag: str = "") -> None:
        """Read the bytes from `start` on into buffers, one after the other, until all of them are full.

        For large stretches: hardly more than the buffers is held, and nothing is put together from pieces afterwards.
        Otherwise as `get_ranges`. After a failure the buffers hold anything.
        """
        scatter = Scatter(targets)
        for first in range(0, scatter.size, FILL_BYTES):
            piece = ByteRange(start + first, min(FILL_BYTES, scatter.size - first))
            scatter.put(first, self.get_ranges(key, [piece], etag=etag)[0])

    @abc.abstractmethod
    def sweep(
        self, requests: Iterable[RangeRequest], *, concurrency: int = 64
    ) -> Iterator[tuple[RangeRequest, Blob | Exception]]:
        """Read one range of each of very many objects, at most `concurrency` at a time, in the order they complete.

        A range that reaches past the end of its object gives the bytes that are there.
        A failure is yielded in the place of its blob and stops nothing. Memory is flat in the number of requests.
        """

    @abc.abstractmethod
    def head(self, key: str) -> Stamp:
        """The present version of an object."""

    @abc.abstractmethod
    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Stamp]:
        """All objects whose key begins with the string `prefix`, in the order of their keys' bytes, page by page.

        With `after` only those whose whole key comes later than this string; earlier ones cost nothing.
        Objects whose names are no keys here (an empty part, ``..``, control characters) are left out.
        """

    @abc.abstractmethod
    def prefixes(self, prefix: str = "", *, limit: int = 5_000) -> Sequence[str]:
        """Beginnings that keys below `prefix` share, each up to and with the next ``/``, in order, each once.

        `prefix` is empty or ends with ``/``. Of a level with more than `limit` names (of objects too) the later ones
        may be left out, so that a level without any order costs little.
        """

    @property
    def answers_by_page(self) -> bool:
        """Whether a listing waits for a server page by page, so that several at a time are faster than one."""
        return False

    @abc.abstractmethod
    def put(self, key: str, data: Buffer, *, content_type: str = "") -> Stamp:
        """Write an object, whatever was there: for what may be overwritten (reports, staging)."""

    @abc.abstractmethod
    def put_if_absent(self, key: str, data: Body, *, sha256: str = "", content_type: str = "") -> Stamp:
        """Write an object in one request if its key is free, else raise `AlreadyExists`. One attempt: no hidden retry.

        Bytes in several buffers are sent as they are; they need not be put together first.
        `sha256` (hexadecimal) is declared to the store, which refuses other bytes; it is computed when empty, and it is
        kept with the object as metadata ``sha256``, see `digest`. At most 5 GB. `StorageUnavailable` means that it is
        unknown whether the write took effect; the `modified` of the stamp is the store's time of the write.
        """

    @abc.abstractmethod
    def upload_if_absent(self, key: str, parts: Iterable[Buffer], *, sha256: str = "", content_type: str = "") -> Stamp:
        """Write an object of any size from parts (multipart where the store has it) if its key is free.

        Parts may have any length. A failed upload leaves nothing behind. With `sha256` (hexadecimal, of the whole) the
        bytes are checked before the object appears, else `ChecksumMismatch`; without, `digest` may not know it later.
        """

    @abc.abstractmethod
    def compare_and_swap(self, key: str, data: Buffer, *, etag: str) -> Stamp:
        """Replace the version `etag` of an object.

        Otherwise raise `PreconditionFailed`, `CommitConflict` or `ObjectMissing`.

        One attempt: `StorageUnavailable` means that it is unknown whether the write took effect.
        """

    @abc.abstractmethod
    def digest(self, key: str) -> str:
        """SHA-256 (hexadecimal) of an object: declared when it was written, or read now where that is local.

        Empty if the store does not know it.
        """

    @abc.abstractmethod
    def delete(self, key: str, *, etag: str = "") -> None:
        """Remove an object, with `etag` only that version (else `PreconditionFailed`). A missing key is no error."""

    @abc.abstractmethod
    def below(self, prefix: str) -> Store:
        """The same store with its root moved down; itself if `prefix` is empty."""

    @abc.abstractmethod
    def zarr(self, prefix: str) -> ZarrStore:
        """A Zarr v3 store below `prefix`; its arrays are objects like others, so `list` and `delete` see them."""

    def _needed(self, key: str, etag: str) -> str:
        if not etag:
            raise errors.StorageError(
                f"{self.url}/{key}: a swap needs the ETag of the version it replaces. Read it first."
            )
        return etag
