"""Multipart uploads whose end is conditional: nothing appears under a key that is taken, and nothing is left behind."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from reprocess import errors
from reprocess.storage import s3_errors
from reprocess.storage.store import Buffer

_PART_BYTES = 8 * 2**20
_GROW_EVERY = 1000
_AT_ONCE = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that has begun."""

    control: Any
    commit: Any
    bucket: str
    key: str
    id: str
    name: str

    @property
    def target(self) -> dict[str, str]:
        """Arguments that name the upload in calls."""
        return {"Bucket": self.bucket, "Key": self.key, "UploadId": self.id}

    def send(self, number: int, body: Buffer) -> dict[str, Any]:
        """Upload one part with its SHA-256 declared; what is returned names it at the end."""
        with s3_errors.door(self.name, ""):
            answer = self.control.upload_part(**self.target, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        part = {"PartNumber": number, "ETag": answer["ETag"]}
        return part | ({"ChecksumSHA256": answer["ChecksumSHA256"]} if "ChecksumSHA256" in answer else {})

    def complete(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Make the object appear if its key is free; one attempt."""
        with s3_errors.door(self.name, ""):
            answer: dict[str, Any] = self.commit.complete_multipart_upload(
                **self.target, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        return answer

    def abort(self) -> None:
        """Remove what was uploaded; if that fails too, say so in the log: what stays costs money."""
        try:
            with s3_errors.door(self.name, ""):
                self.control.abort_multipart_upload(**self.target)
        except errors.ObjectMissing:
            return
        except errors.StorageError as error:
            _log.warning("%s: a failed upload stays behind: %s", self.name, error)


@contextlib.contextmanager
def aborted_on_failure(upload: Upload) -> Iterator[Upload]:
    """Abort an upload when the block raises, whatever it raises."""
    try:
        yield upload
    except BaseException:
        upload.abort()
        raise


def send_all(upload: Upload, bodies: Iterable[Buffer], sha256: str) -> tuple[list[dict[str, Any]], int]:
    """Upload the bodies as parts, a few at a time.

    Returns
    -------
    tuple
        The parts for `Upload.complete`, and the number of bytes in all.

    Raises
    ------
    ChecksumMismatch
        The SHA-256 of the whole is not the one given.
    """
    digest = hashlib.sha256()
    size = 0
    parts: list[dict[str, Any]] = []
    flying: deque[Future[dict[str, Any]]] = deque()
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="reprocess-upload") as pool:
        for number, body in enumerate(bodies, 1):
            flying.append(pool.submit(upload.send, number, body))
            size += len(body)
            if sha256:
                digest.update(body)
            if len(flying) > _AT_ONCE:
                parts.append(flying.popleft().result())
        parts.extend(future.result() for future in flying)
    if sha256 and digest.hexdigest() != sha256:
        raise errors.ChecksumMismatch(
            f"{upload.name}: SHA-256 is {digest.hexdigest()}, not {sha256} as declared. Nothing was written."
        )
    return parts, size


def packed(pieces: Iterable[Buffer]) -> Iterator[bytearray]:
    """Pack pieces of any length into bodies of one part each; at least one, the last may be short or empty.

    Parts grow with their number, so that the 10,000 that S3 allows are enough for 400 GB.
    """
    body = bytearray()
    number = 0
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while view.nbytes:
            room = _part_bytes(number) - len(body)
            body += view[:room]
            view = view[room:]
            if len(body) == _part_bytes(number):
                yield body
                body, number = bytearray(), number + 1
    if body or not number:
        yield body


def _part_bytes(number: int) -> int:
    return _PART_BYTES * (1 + number // _GROW_EVERY)
