"""Listing of very many objects: ranges of keys side by side, a page of each at a time.

Where the cuts between the ranges are is only a guess, from the levels of the keys. Every key lies in exactly one range,
so a wrong guess costs time and never an object.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from reprocess.archive import keys
from reprocess.storage.store import Stamp, Store

PAGE = 1000
"""Objects that S3 lists in one answer."""
_AT_ONCE = 16
_LEVELS = 3
_ENOUGH = 4 * _AT_ONCE
_NAMES = 5_000


@dataclass(slots=True)
class _Range:
    """What is still to be listed of a range: up to and with the key `until`, or to the end; where it may be cut."""

    listed: Iterator[Stamp]
    until: str
    cuts: list[str]


def pages(store: Store, prefix: str = "", *, concurrency: int = _AT_ONCE) -> Iterator[list[Stamp]]:
    """List all objects below a prefix, each once; pages in the order in which the answers come.

    A prefix with less than a page of objects costs one request. A larger one is cut into ranges where the store
    answers page by page. Memory holds `concurrency` pages, whatever the number of objects.

    Parameters
    ----------
    store : Store
    prefix : str
        Empty, or with a ``/`` at its end.
    concurrency : int
        Pages asked for at a time.
    """
    listed = store.list(prefix)
    first = list(islice(listed, PAGE))
    yield first
    if len(first) < PAGE:
        return
    if not store.answers_by_page:
        while page := list(islice(listed, PAGE)):
            yield page
        return
    last = first[-1].key
    with ThreadPoolExecutor(concurrency) as pool:
        ahead = [cut for cut in cuts(store, prefix, pool) if cut > last]
        yield from _side_by_side(store, prefix, _Range(store.list(prefix, after=last), "", ahead), pool, concurrency)


def cuts(store: Store, prefix: str, pool: ThreadPoolExecutor) -> list[str]:
    """Find keys between which about equally much may be, in order: level by level, until there are enough."""
    found: set[str] = set()
    level = [prefix]
    for _ in range(_LEVELS):
        below = list(pool.map(lambda each: store.prefixes(each, limit=_NAMES), level))
        for above, names in zip(level, below, strict=True):
            # A level without order, or too long to be looked through, may be cut where names of exposures differ.
            flat = not names or len(names) >= _NAMES
            found.update(names, (above + guess for guess in keys.BEGINNINGS) if flat else ())
        level = [name for names in below for name in names]
        if not level or len(found) >= _ENOUGH:
            break
    return sorted(found)


def _side_by_side(
    store: Store, prefix: str, whole: _Range, pool: ThreadPoolExecutor, concurrency: int
) -> Iterator[list[Stamp]]:
    """Ask for a page of each range at a time; one that goes on is cut in two while there are hands for both.

    So there are never more ranges than pages justify: each costs one page that is read for a part of it.
    """
    busy: dict[Future[list[Stamp]], _Range] = {}

    def ask(one: _Range) -> None:
        busy[pool.submit(_page, one.listed, one.until)] = one

    ask(whole)
    while busy:
        done, _ = wait(busy, return_when=FIRST_COMPLETED)
        for future in done:
            one, page = busy.pop(future), future.result()
            if len(page) == PAGE:
                one.cuts = one.cuts[bisect_right(one.cuts, page[-1].key) :]
                if one.cuts and len(busy) < concurrency - 1:
                    ask(_split(store, prefix, one))
                ask(one)
            if page:
                yield page


def _split(store: Store, prefix: str, one: _Range) -> _Range:
    """Take the later half away from a range that nobody works on just now."""
    half = len(one.cuts) // 2
    at, later = one.cuts[half], _Range(store.list(prefix, after=one.cuts[half]), one.until, one.cuts[half + 1 :])
    one.until, one.cuts = at, one.cuts[:half]
    return later


def _page(listed: Iterator[Stamp], until: str) -> list[Stamp]:
    """Take a page, less at the end of the range; `until` is the last key of the range, or empty for no end."""
    page = []
    for stamp in islice(listed, PAGE):
        if until and stamp.key > until:
            break
        page.append(stamp)
    return page
