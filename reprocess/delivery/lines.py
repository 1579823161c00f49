"""A file on this machine that messages are appended to, one line each."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Sequence

from reprocess import errors
from reprocess.delivery.message import Message
from reprocess.delivery.transport import Transport


class LineFile(Transport):
    """Appends JSON Lines. A reader sees whole lines, save the last one of a machine that failed while it was written.

    Parameters
    ----------
    path : str
        Absolute; its directory must be there.
    """

    batch = 500

    def __init__(self, path: str) -> None:
        if not os.path.isabs(path) or path.endswith("/"):
            raise errors.UsageError(f"file:{path} is no absolute path of a file. Write file:/directory/events.jsonl.")
        self._path = path

    def send(self, messages: Sequence[Message]) -> None:
        """See `Transport.send`."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o644)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._append(descriptor, messages)
        except OSError as error:
            raise self._refused(error) from error
        finally:
            os.close(descriptor)

    def _append(self, descriptor: int, messages: Sequence[Message]) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no ordinary file")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        # What somebody left half written becomes a line of its own, so that ours are whole.
        begin = b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
        for message in messages:
            line = begin + message.body.encode() + b"\n"
            while line:  # a full disk takes a part; the rest of it raises
                line = line[os.write(descriptor, line) :]
            begin = b""
        os.fsync(descriptor)

    def _refused(self, error: OSError) -> errors.DeliveryError:
        return errors.DeliveryError(
            f"file:{self._path} cannot be appended to: {error.strerror or error}. Mend that, and deliver again."
        )
