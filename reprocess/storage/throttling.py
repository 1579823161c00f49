"""How often stores have asked this process to wait (503, 429): each such request is made again, and is counted here."""

from __future__ import annotations

import threading

STATUSES = frozenset({429, 503})

_guard = threading.Lock()
_counted = 0


def note() -> None:
    """Count a request that a store refused for the time being."""
    global _counted  # noqa: PLW0603 (clients are one to a process, and so is what they meet)
    with _guard:
        _counted += 1


def count() -> int:
    """Return how many there have been since this process began."""
    return _counted
