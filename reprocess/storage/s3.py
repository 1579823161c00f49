# ruff: noqa: D102 (the contract in store.py documents the methods)
"""Objects in S3: many reads at a time through obstore, commits in one attempt through boto3."""

from __future__ import annotations

import base64
import hashlib
import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import BaseError, InvalidPathError

from reprocess import errors
from reprocess.storage import body as bodies
from reprocess.storage import keys, s3_again, s3_errors, s3_loop, s3_upload
from reprocess.storage import ranges as extents
from reprocess.storage.body import Body
from reprocess.storage.s3_clients import Clients, Options, clients
from reprocess.storage.store import FILL_BYTES, Blob, Buffer, ByteRange, RangeRequest, Scatter, Stamp, Store, iso

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

_GAP_BYTES = 2**20
"""Reading through a gap of this size costs about as much as another request."""
_REQUEST_BYTES = 96 * 2**20
"""The five planes of a full frame, which are read together, fit into one request."""
_PIECE_BYTES = 8 * 2**20
_CHUNK_BYTES = 2**20
_AT_ONCE = 16
_SINGLE_PUT_LIMIT = 5 * 10**9
_EMPTY_SIZE = re.compile(r"status code: 416|InvalidRange")
_TYPE = "application/octet-stream"

_log = logging.getLogger(__name__)


class S3Store(Store):
    """A bucket, or a prefix of one, on any S3 that has conditional writes."""

    def __init__(self, bucket: str, prefix: str = "", options: Options | None = None) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._options = options or Options()

    def __reduce__(self) -> tuple[type[S3Store], tuple[str, str, Options]]:
        return S3Store, (self._bucket, self._prefix, self._options)

    @property
    def url(self) -> str:
        return "s3://" + keys.join(self._bucket, self._prefix)

    @property
    def _clients(self) -> Clients:
        return clients(self._bucket, self._options)

    def get(self, key: str, *, etag: str = "") -> Blob:
        return s3_loop.run(self._whole(self._clients, key, etag))

    async def _whole(self, use: Clients, key: str, etag: str) -> Blob:
        """Read the beginning, which tells the size, and the rest in pieces that overlap."""
        first, stamp = await self._piece(use, key, 0, _PIECE_BYTES, etag)
        if stamp.size <= len(first):
            return Blob(bytes(first), stamp)
        calls = [
            partial(self._exactly, use, key, start, end, stamp.etag)
            for start, end in extents.cut(len(first), stamp.size, _PIECE_BYTES)
        ]
        rest = await s3_loop.gather(calls, concurrency=_AT_ONCE)
        return Blob(b"".join([first, *(data for data, _ in rest)]), stamp)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange], *, etag: str = "") -> list[memoryview]:
        extents.check(ranges, f"{self.url}/{key}")
        wanted = extents.merge(ranges, gap_bytes=_GAP_BYTES, limit_bytes=_REQUEST_BYTES)
        found = s3_loop.run(self._extents(self._clients, key, wanted, etag)) if wanted else []
        views = [memoryview(b"")] * len(ranges)
        for extent, data in zip(wanted, found, strict=True):
            for index in extent.members:
                start = ranges[index].start - extent.start
                views[index] = data[start : start + ranges[index].length]
        return views

    async def _extents(self, use: Clients, key: str, wanted: Sequence[extents.Extent], etag: str) -> list[memoryview]:
        buffers = [bytearray(extent.end - extent.start) for extent in wanted]
        calls = [
            partial(s3_again.read, partial(self._pour, use, key, piece, piece[0] - extent.start, [buffer], etag))
            for extent, buffer in zip(wanted, buffers, strict=True)
            for piece in extents.cut(extent.start, extent.end, _REQUEST_BYTES)
        ]
        self._check_one_version(key, await s3_loop.gather(calls, concurrency=_AT_ONCE))
        return [memoryview(buffer) for buffer in buffers]

    def _check_one_version(self, key: str, stamps: Sequence[Stamp]) -> None:
        if len({stamp.etag for stamp in stamps}) > 1:
            raise errors.PreconditionFailed(f"{self.url}/{key} was replaced while it was read. Read it again.")

    async def _exactly(self, use: Clients, key: str, start: int, end: int, etag: str) -> tuple[memoryview, Stamp]:
        data, stamp = await self._piece(use, key, start, end, etag)
        if len(data) < end - start:
            raise extents.past_end(f"{self.url}/{key}", start, end, stamp.size)
        return data, stamp

    def fill(self, key: str, start: int, targets: Sequence[Buffer], *, etag: str = "") -> None:
        size, use = Scatter(targets).size, self._clients
        extents.check([ByteRange(start, size)], f"{self.url}/{key}")
        calls = [
            partial(s3_again.read, partial(self._pour, use, key, piece, piece[0] - start, targets, etag))
            for piece in extents.cut(start, start + size, FILL_BYTES)
        ]
        self._check_one_version(key, s3_loop.run(s3_loop.gather(calls, concurrency=_AT_ONCE)) if calls else [])

    async def _pour(
        self, use: Clients, key: str, piece: tuple[int, int], place: int, targets: Sequence[Buffer], etag: str
    ) -> Stamp:
        """Read a piece into its place as it comes; bodies of this size are not to be held a second time."""
        scatter = Scatter(targets)
        options: Any = {"range": piece} | ({"if_match": etag} if etag else {})
        stop = place + piece[1] - piece[0]
        with s3_errors.door(self.url, key):
            try:
                answer = await obstore.get_async(use.data, self._full(key), options=options)
            except obstore.exceptions.GenericError as error:
                if not _EMPTY_SIZE.search(str(error)):
                    raise
                size = (await obstore.head_async(use.data, self._full(key)))["size"]
                raise extents.past_end(f"{self.url}/{key}", *piece, size) from error
            stamp = _stamp(key, answer.meta)
            async for chunk in answer.stream(min_chunk_size=_CHUNK_BYTES):
                scatter.put(place, memoryview(chunk))
                place += len(chunk)
        if place < stop:
            raise extents.past_end(f"{self.url}/{key}", *piece, stamp.size)
        return stamp

    async def _piece(self, use: Clients, key: str, start: int, end: int, etag: str) -> tuple[memoryview, Stamp]:
        return await s3_again.read(partial(self._attempt, use, key, start, end, etag))

    async def _attempt(self, use: Clients, key: str, start: int, end: int, etag: str) -> tuple[memoryview, Stamp]:
        """Read the bytes that are there between `start` and `end`."""
        path = self._full(key)
        options: Any = {"range": (start, end)} | ({"if_match": etag} if etag else {})
        with s3_errors.door(self.url, key):
            try:
                answer = await obstore.get_async(use.data, path, options=options)
                return memoryview(await answer.bytes_async()), _stamp(key, answer.meta)
            except obstore.exceptions.GenericError as error:
                if not _EMPTY_SIZE.search(str(error)):
                    raise
            stamp = _stamp(key, await obstore.head_async(use.data, path))
        if etag and stamp.etag != etag:
            raise s3_errors.answered(412, "", self.url, key)
        return memoryview(b""), stamp

    def sweep(
        self, requests: Iterable[RangeRequest], *, concurrency: int = 64
    ) -> Iterator[tuple[RangeRequest, Blob | Exception]]:
        return s3_loop.stream(partial(self._swept, self._clients), requests, concurrency=concurrency)

    async def _swept(self, use: Clients, request: RangeRequest) -> Blob | Exception:
        wanted = request.range
        try:
            extents.check([wanted], f"{self.url}/{request.key}")
            end = wanted.start + max(1, wanted.length)
            data, stamp = await self._piece(use, request.key, wanted.start, end, request.etag)
        except Exception as error:
            return error
        return Blob(bytes(data[: wanted.length]), stamp)

    def head(self, key: str) -> Stamp:
        answer = self._head(key)
        return Stamp(key, answer["ContentLength"], answer["ETag"], iso(answer["LastModified"]))

    def _head(self, key: str) -> dict[str, Any]:
        control, path = self._clients.control, self._full(key)
        try:
            with s3_errors.door(self.url, key):
                answer: dict[str, Any] = control.head_object(Bucket=self._bucket, Key=path)
                return answer
        except errors.ObjectMissing:
            # The answer to HEAD has no body that could say whether it is the bucket that is missing.
            self._check_bucket()
            raise

    def _check_bucket(self) -> None:
        try:
            with s3_errors.door(self.url, ""):
                self._clients.control.head_bucket(Bucket=self._bucket)
        except errors.ObjectMissing as error:
            raise s3_errors.answered(404, "NoSuchBucket", self.url, "") from error
        except errors.AccessDenied:
            return

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Stamp]:
        begin = keys.join(self._prefix, "x")[:-1] + keys.check_prefix(prefix, self.url)
        cut = len(begin) - len(prefix)
        with s3_errors.door(self.url, prefix):
            for stamp in self._listed(begin, begin[:cut] + after if after else ""):
                key = stamp.key[cut:]
                if stamp.key.startswith(begin) and key > after and keys.is_usable(key):
                    yield Stamp(key, stamp.size, stamp.etag, stamp.modified)

    def prefixes(self, prefix: str = "", *, limit: int = 5_000) -> Sequence[str]:
        begin = keys.join(self._prefix, "x")[:-1] + keys.check_folder(prefix, self.url)
        cut = len(begin) - len(prefix)
        found: list[str] = []
        with s3_errors.door(self.url, prefix):
            pages = self._clients.control.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=begin, Delimiter="/"
            )
            for page in pages:
                found += [entry["Prefix"][cut:] for entry in page.get("CommonPrefixes", ())]
                limit -= len(page.get("CommonPrefixes", ())) + len(page.get("Contents", ()))
                if limit <= 0:
                    break
        return sorted(name for name in found if keys.is_usable(name.removesuffix("/")))

    @property
    def answers_by_page(self) -> bool:
        return True

    def _listed(self, begin: str, after: str) -> Iterator[Stamp]:
        """List through obstore, and through boto3 from the first page on that it cannot read, or does not get."""
        last = after
        try:
            for stamp in self._listed_fast(begin, after):
                yield stamp
                last = stamp.key
        except InvalidPathError:
            _log.warning("%s holds objects whose keys no client here can read; they are left out.", self.url)
            yield from self._listed_slowly(begin, last)
        except BaseError as error:
            told = s3_errors.converted(error, self.url, begin)
            if not isinstance(told, errors.StorageUnavailable):
                raise told from error
            yield from self._listed_slowly(begin, last)

    def _listed_fast(self, begin: str, after: str) -> Iterator[Stamp]:
        """List by directory, which is what obstore can, but only the part of it that may begin with the prefix."""
        folder, slash, name = begin.rpartition("/")
        data = self._clients.data
        if name and after < begin:
            # The listing starts after the prefix, so an object whose key is the prefix itself is looked up.
            try:
                exact = obstore.head(data, begin)
                yield _stamp(exact["path"], exact)
            except FileNotFoundError:
                pass
        start = max(begin if name else "", after)
        for page in obstore.list(data, folder + slash or None, offset=start or None, chunk_size=1000):
            for meta in page:
                if not meta["path"].startswith(begin):
                    if meta["path"] > begin:
                        return
                    continue
                yield _stamp(meta["path"], meta)

    def _listed_slowly(self, begin: str, after: str) -> Iterator[Stamp]:
        pages = self._clients.control.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=begin, **({"StartAfter": after} if after else {})
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                yield Stamp(entry["Key"], entry["Size"], entry["ETag"], iso(entry["LastModified"]))

    def put(self, key: str, data: Buffer, *, content_type: str = "") -> Stamp:
        view = memoryview(data).cast("B")
        etag = s3_loop.run(s3_again.read(partial(self._put, self._clients, key, view, content_type or _TYPE)))
        return Stamp(key, view.nbytes, etag)

    async def _put(self, use: Clients, key: str, view: memoryview, content_type: str) -> str:
        attributes: Any = {"Content-Type": content_type}
        with s3_errors.door(self.url, key):
            answer = await obstore.put_async(
                use.data, self._full(key), view, attributes=attributes, chunk_size=_PIECE_BYTES, max_concurrency=4
            )
        return answer["e_tag"] or ""

    def put_if_absent(self, key: str, data: Body, *, sha256: str = "", content_type: str = "") -> Stamp:
        try:
            return self._commit(key, data, sha256, content_type, IfNoneMatch="*")
        except errors.PreconditionFailed as error:
            raise self._taken(key) from error

    def compare_and_swap(self, key: str, data: Buffer, *, etag: str) -> Stamp:
        return self._commit(key, data, "", "", IfMatch=self._needed(key, etag))

    def _commit(self, key: str, data: Body, sha256: str, content_type: str, **condition: str) -> Stamp:
        path, length = self._full(key), bodies.size(data)
        if length > _SINGLE_PUT_LIMIT:
            raise errors.StorageError(f"{self.url}/{key}: {length} bytes are too many for one request. Upload parts.")
        digest = sha256 or _digest(data)
        with s3_errors.door(self.url, key):
            answer = self._clients.commit.put_object(
                Bucket=self._bucket,
                Key=path,
                # A small body goes along with the header; for a large one the client first asks if it is wanted.
                Body=b"".join(bodies.pieces(data)) if length <= _CHUNK_BYTES else bodies.BodyReader(data),
                ContentType=content_type or _TYPE,
                # Without the name of the algorithm some servers take wrong bytes.
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(bytes.fromhex(digest)).decode(),
                Metadata={"sha256": digest},
                **condition,
            )
        return Stamp(key, length, answer["ETag"], _answered(answer))

    def upload_if_absent(self, key: str, parts: Iterable[Buffer], *, sha256: str = "", content_type: str = "") -> Stamp:
        packed = s3_upload.packed(parts)
        first = next(packed)
        second = next(packed, None)
        if second is None:
            return self._small(key, first, sha256, content_type)
        self._check_free(key)
        upload = self._begin(key, sha256, content_type)
        with s3_upload.aborted_on_failure(upload):
            sent, size = s3_upload.send_all(upload, itertools.chain([first, second], packed), sha256)
            try:
                answer = upload.complete(sent)
            except errors.PreconditionFailed as error:
                raise self._taken(key) from error
        return Stamp(key, size, answer["ETag"], _answered(answer))

    def _small(self, key: str, body: bytearray, sha256: str, content_type: str) -> Stamp:
        digest = hashlib.sha256(body).hexdigest()
        if sha256 and sha256 != digest:
            raise errors.ChecksumMismatch(f"{self.url}/{key}: SHA-256 is {digest}, not {sha256} as declared.")
        return self.put_if_absent(key, body, sha256=digest, content_type=content_type)

    def _check_free(self, key: str) -> None:
        """Save sending many parts for a key that is taken; what decides is the condition at the end."""
        try:
            self.head(key)
        except errors.ObjectMissing:
            return
        raise self._taken(key)

    def _taken(self, key: str) -> errors.AlreadyExists:
        return errors.AlreadyExists(f"{self.url}/{key} exists already; it was not overwritten.")

    def _begin(self, key: str, sha256: str, content_type: str) -> s3_upload.Upload:
        use, path = self._clients, self._full(key)
        with s3_errors.door(self.url, key):
            answer = use.control.create_multipart_upload(
                Bucket=self._bucket,
                Key=path,
                ContentType=content_type or _TYPE,
                ChecksumAlgorithm="SHA256",
                Metadata={"sha256": sha256} if sha256 else {},
            )
        return s3_upload.Upload(use.control, use.commit, self._bucket, path, answer["UploadId"], f"{self.url}/{key}")

    def digest(self, key: str) -> str:
        return str(self._head(key)["Metadata"].get("sha256", ""))

    def delete(self, key: str, *, etag: str = "") -> None:
        control, path = self._clients.control, self._full(key)
        condition = {"IfMatch": etag} if etag else {}
        try:
            with s3_errors.door(self.url, key):
                control.delete_object(Bucket=self._bucket, Key=path, **condition)
        except errors.ObjectMissing:
            return

    def below(self, prefix: str) -> Store:
        return S3Store(self._bucket, self._full(prefix.removesuffix("/")), self._options) if prefix else self

    def zarr(self, prefix: str) -> ZarrStore:
        from zarr.storage import ObjectStore

        root = self._full(prefix.removesuffix("/")) if prefix else self._prefix
        return ObjectStore(self._clients.rooted(root))

    def _full(self, key: str) -> str:
        return keys.join(self._prefix, keys.check_key(key, self.url))


def _stamp(key: str, meta: Any) -> Stamp:  # noqa: ANN401 (a dictionary of obstore)
    return Stamp(key, meta["size"], meta["e_tag"] or "", iso(meta["last_modified"]))


def _digest(data: Body) -> str:
    digest = hashlib.sha256()
    for piece in bodies.pieces(data):
        digest.update(piece)
    return digest.hexdigest()


def _answered(answer: Any) -> str:  # noqa: ANN401 (a dictionary of boto3)
    """Read the time at which the server answered: that is what *as of* means."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    return iso(parsedate_to_datetime(date)) if date else ""
