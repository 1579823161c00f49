"""Doing the same with very many things, several at a time, in their order, without holding all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 16

_BATCH = 16 * AT_ONCE

T = TypeVar("T")
R = TypeVar("R")


def alongside(work: Callable[[T], R], things: Iterable[T], *, at_once: int = AT_ONCE) -> Iterator[R]:
    """Yield what `work` makes of each thing, in their order, a bounded number of them at a time.

    What is raised is raised here, when its turn comes.
    """
    source = iter(things)
    with ThreadPoolExecutor(at_once) as pool:
        while batch := list(itertools.islice(source, _BATCH)):
            yield from pool.map(work, batch)
