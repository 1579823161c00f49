"""What becomes of memory that arrays give back: kept for the next arrays, instead of given to the system and asked for.

The C library of Linux gives the top of its heap back as soon as a little of it is free. Work on blocks of pixels makes
and drops arrays of about a megabyte all the time; each of their pages would be taken away, cleared and mapped again.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

KEPT_BYTES = 128 * 2**20
"""Free memory at the top of the heap that is kept."""

MAPPED_BYTES = 32 * 2**20
"""Arrays from this size on are not in the heap: they are given back at once."""

ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": KEPT_BYTES, "MALLOC_MMAP_THRESHOLD_": MAPPED_BYTES}
"""The same for a process that is yet to start."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)


def keep_freed() -> None:
    """Keep freed memory of this process for its next arrays, unless the environment says how to deal with it.

    Without effect where the C library is another one than glibc.
    """
    if not ENVIRONMENT.keys() & os.environ.keys() and (mallopt := _mallopt()):
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)


def _mallopt() -> ctypes._NamedFuncPointer | None:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (other libraries have a mallopt that means something else)
    except (OSError, TypeError, AttributeError):
        return None
    return library.mallopt


def peak_bytes() -> int:
    """Return the peak resident memory of this process."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
    except (OSError, StopIteration):
        # What a process inherits from the one that started it counts here, so it may be too high.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
