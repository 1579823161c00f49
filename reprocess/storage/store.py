"""The contract that every object store fulfils: keys, bytes, versions; nothing about astronomy.

Keys are relative to the store's root and use ``/``. An ETag is an opaque version token, never a digest of the content.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

Buffer = bytes | bytearray | memoryview


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


class Store(abc.ABC):
    """Keys and bytes below one root.

    A store can be pickled: it carries its URL and options, never credentials or open connections.
    All methods raise only `reprocess.errors.StorageError` and its kind.
    """

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
    def list(self, prefix: str = "") -> Iterator[Stamp]:
        """All objects whose key begins with `prefix`, in the order of their keys, page by page."""

    @abc.abstractmethod
    def put(self, key: str, data: Buffer) -> Stamp:
        """Write an object, whatever was there: for what may be overwritten (reports, staging)."""

    @abc.abstractmethod
    def put_if_absent(self, key: str, data: Buffer, *, sha256: str = "", content_type: str = "") -> Stamp:
        """Write an object in one request if its key is free, else raise `AlreadyExists`. One attempt: no hidden retry.

        `sha256` (hexadecimal) is declared to the store, which refuses other bytes; it is computed when empty, and it is
        kept with the object as metadata ``sha256``, see `digest`.
        """

    @abc.abstractmethod
    def upload_if_absent(self, key: str, parts: Iterable[Buffer]) -> Stamp:
        """Write an object of any size from parts (multipart where the store has it) if its key is free.

        Parts may have any length. A failed upload leaves nothing behind.
        """

    @abc.abstractmethod
    def compare_and_swap(self, key: str, data: Buffer, *, etag: str) -> Stamp:
        """Replace the version `etag` of an object, else raise `PreconditionFailed`, `CommitConflict` or `ObjectMissing`.

        One attempt: `StorageUnavailable` means that it is unknown whether the write took effect.
        """

    @abc.abstractmethod
    def digest(self, key: str) -> str:
        """SHA-256 (hexadecimal) that was declared when the object was written; empty if none was."""

    @abc.abstractmethod
    def delete(self, key: str, *, etag: str = "") -> None:
        """Remove an object, with `etag` only that version. A key that is not there is no error."""

    @abc.abstractmethod
    def below(self, prefix: str) -> Store:
        """The same store with its root moved down."""

    @abc.abstractmethod
    def zarr(self, prefix: str) -> ZarrStore:
        """A Zarr v3 store below `prefix`."""
