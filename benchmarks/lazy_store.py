"""Any number of Level 1b objects that are made up when they are asked for, so that they take no memory."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from reprocess.simulation import level1b
from reprocess.simulation.options import SimulationOptions
from reprocess.simulation.schedule import schedule
from reprocess.storage.memory import MemoryStore
from reprocess.storage.store import Blob, RangeRequest, Stamp

PROGRAM_OBJECTS = 2_000


class LazyStore(MemoryStore):
    """Objects in the public layout, all with the headers of a few; it answers like a server, without waiting.

    Attributes
    ----------
    gets : int
        Ranged reads so far.
    """

    def __init__(self, count: int) -> None:
        super().__init__("lazy")
        self._names = range(count)
        self._bodies = list(_bodies())
        self.gets = 0

    @property
    def answers_by_page(self) -> bool:
        return True

    def prefixes(self, prefix: str = "", *, limit: int = 5_000) -> Sequence[str]:
        programs = -(-len(self._names) // PROGRAM_OBJECTS)
        return [] if prefix else [f"jw{program:05d}/" for program in range(min(limit, programs))]

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Stamp]:
        start = bisect.bisect_right(self._names, after, key=_key) if after else 0
        return (self._stamp(number) for number in itertools.islice(self._names, start, None))

    def sweep(
        self, requests: Iterable[RangeRequest], *, concurrency: int = 64
    ) -> Iterator[tuple[RangeRequest, Blob | Exception]]:
        for request in requests:
            self.gets += 1
            number = bisect.bisect_left(self._names, request.key, key=_key)
            data = self._body(number)[request.range.start : request.range.start + request.range.length]
            yield request, Blob(data, self._stamp(number))

    def _body(self, number: int) -> bytes:
        return self._bodies[number % len(self._bodies)]

    def _stamp(self, number: int) -> Stamp:
        return Stamp(_key(number), len(self._body(number)), f'"{number * 0x9E3779B97F4A7C15 % 2**128:032x}"')


def _key(number: int) -> str:
    program, place = divmod(number, PROGRAM_OBJECTS)
    return f"jw{program:05d}/jw{program:05d}001001/jw{program:05d}001001_02101_{place:05d}_nrca1_uncal.fits"


def _bodies() -> Iterator[bytes]:
    options = SimulationOptions(exposures=20, shape=(64, 64), groups=2, integrations=1)
    frame = np.zeros((64, 64), np.uint16)
    for exposure in schedule(options):
        yield b"".join(level1b.file_parts(exposure, [frame] * 2))
