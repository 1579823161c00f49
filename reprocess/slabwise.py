"""One exposure calibrated by slabs from its files: what is in memory at a time is one slab for each thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import detector1, gradual, intermediate, irs2
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.ramp_facts import Reports, revised
from reprocess.calibration.rate import Fit
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import References
from reprocess.calibration.steps import Parameters
from reprocess.exposure import Band, Slab
from reprocess.formats.exposure_file import ExposureFile
from reprocess.formats.reference import Take, new_array
from reprocess.formats.reference_bands import ReferenceBands

# What `detector1.gather_facts` reads, whole frames; of the gain only the median, for the glow after jumps.
_EARLY = frozenset({"mask", "saturation", "superbias", "ipc", "rscd"})
_AFTERGLOW = ("after_jump_flag_time1", "after_jump_flag_time2")

_PIECE_VALUES = 1 << 20  # raw samples that are read at a time, where there are several integrations


class Sink(Protocol):
    """What takes the core rows of slabs, and must not keep them.

    The first slab is handed over alone; after it there may be as many at once as there are threads. All slabs come once
    more where what they tell together shows that they were calibrated with wrong facts.
    """

    def take(self, slab: Slab, made: detector1.Stage1) -> None:
        """Take the result of a slab."""

    def take_step(self, slab: Slab, step: str, state: Ramp | Fit) -> None:
        """Take a slab as it is after a step; its result was taken before."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that calibrating an exposure takes.

    Attributes
    ----------
    exposure : ExposureFile
    references : mapping of CRDS type to ReferenceBands
    readout : Readout
    parameters : mapping
        Parameters by step.
    save_steps : tuple of str
        Steps after which the exposure is wanted, too.
    """

    exposure: ExposureFile
    references: Mapping[str, ReferenceBands]
    readout: Readout
    parameters: Parameters
    save_steps: tuple[str, ...] = ()


class Buffers:
    """Memory that is used again by every slab, so that the system need not give fresh pages."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[Any]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Give an array whose values are what was left there."""
        size = int(np.prod(shape, dtype=np.int64))
        held = self._held.get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = self._held[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)

    def below(self, place: str) -> Take:
        """Give what takes arrays under names that begin with a place."""
        return lambda name, shape, dtype: self.take(f"{place}.{name}", shape, dtype)


def calibrate(inputs: Inputs, slabs: Sequence[Slab], sink: Sink, *, threads: int = 1) -> None:
    """Calibrate all slabs, and hand each result over as it is made.

    Parameters
    ----------
    inputs : Inputs
    slabs : sequence of Slab
        Cores that cover the exposure.
    sink : Sink
    threads : int
        Slabs that are calibrated at the same time. The results do not depend on it.
    """
    facts: detector1.Facts | None = gather(inputs)
    free: queue.SimpleQueue[Buffers] = queue.SimpleQueue()
    for _ in range(threads):
        free.put(Buffers())
    while facts is not None:
        reports: list[Reports] = []
        one = partial(_calibrate_one, inputs, facts, free, sink, reports)
        one(slabs[0])
        _each(one, slabs[1:], threads)
        groups = revised(facts.groups, reports)
        facts = None if groups is None else replace(facts, groups=groups)


def gather(inputs: Inputs) -> detector1.Facts:
    """Reduce the exposure to the facts that its slabs need, frame by frame."""
    whole, readout = Band(0, inputs.readout.rows), inputs.readout
    if readout.interleaved:
        return detector1.gather_facts([], {}, readout=readout, parameters=inputs.parameters)
    afterglow = any(inputs.parameters["jump"][name] for name in _AFTERGLOW)
    wanted = _EARLY | {"gain"} if afterglow else _EARLY
    early: References = {
        kind: bands.read(whole, take=new_array) for kind, bands in inputs.references.items() if kind in wanted
    }
    strips = [
        {kind: bands.read(whole, take=new_array, columns=columns) for kind, bands in inputs.references.items()}
        for columns in detector1.edges(readout, inputs.parameters)
    ]
    return detector1.gather_facts(
        inputs.exposure,
        early,
        readout=readout,
        parameters=inputs.parameters,
        strips=strips or None,
        zeroframes=None if inputs.exposure.zeroframe is None else inputs.exposure.zeroframes(),
    )


def _calibrate_one(
    inputs: Inputs,
    facts: detector1.Facts,
    free: queue.SimpleQueue[Buffers],
    sink: Sink,
    reports: list[Reports],
    slab: Slab,
) -> None:
    buffers = free.get()
    try:
        raw, references = _read(inputs, slab.padded, buffers)
        zeroframe = inputs.exposure.read_zeroframe(slab.padded)
        run = intermediate.Run(raw, references, inputs.readout, inputs.parameters, slab, facts, zeroframe)
        made = run.calibrate()
        sink.take(slab, made)
        reports.append(made.reports)
        for step in inputs.save_steps:
            sink.take_step(slab, step, run.after(step, made))
    finally:
        free.put(buffers)


def _read(inputs: Inputs, band: Band, buffers: Buffers) -> tuple[gradual.Raw, References]:
    """Read the rows of a band from all files, into memory that the next band overwrites."""
    readout = inputs.readout
    rows = Band(0, readout.raw_rows) if readout.interleaved else band
    shape = (readout.nints, readout.ngroups, len(rows), readout.columns)
    return _raw(inputs, rows, shape, buffers), {
        kind: each.read(irs2.raw_band(kind, band, readout), take=buffers.below(kind))
        for kind, each in inputs.references.items()
    }


def _raw(inputs: Inputs, rows: Band, shape: tuple[int, int, int, int], buffers: Buffers) -> gradual.Raw:
    """Read the groups at once, or where there are many let them be read some integrations at a time."""
    dtype, each = np.dtype(np.uint16), shape[1] * shape[2] * shape[3]
    length = max(1, _PIECE_VALUES // each)
    if inputs.readout.interleaved or length >= shape[0]:
        return inputs.exposure.read(rows, buffers.take("raw", shape, dtype))

    def pieces() -> Iterator[NDArray[np.uint16]]:
        for first in range(0, shape[0], length):
            count = min(length, shape[0] - first)
            yield inputs.exposure.read(rows, buffers.take("raw", (count, *shape[1:]), dtype), first=first)

    return gradual.Pieces(shape, dtype, pieces)


def _each(one: Callable[[Slab], None], slabs: Sequence[Slab], threads: int) -> None:
    """Do something for each slab; the first exception ends it, once the slabs that have begun are done."""
    if threads == 1:
        for slab in slabs:
            one(slab)
        return
    stop = threading.Event()

    def unless_stopped(slab: Slab) -> None:
        if not stop.is_set():
            one(slab)

    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(unless_stopped, slab) for slab in slabs]
        try:
            for done in as_completed(waiting):
                done.result()
        finally:
            stop.set()
