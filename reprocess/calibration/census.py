"""Groups of an exposure that are DO_NOT_USE or SATURATED in every pixel.

Nearly always there is none, and a few rows tell so. Only where they do not is every pixel looked at.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import dq, firstframe, preparation, rscd, saturation
from reprocess.calibration.chain import Chain, Settings, settle
from reprocess.calibration.ramp_facts import RampFacts
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import References
from reprocess.exposure import Band

_WITNESSES = 8  # rows
_KINDS = ("mask", "saturation", "superbias", "rscd")


class Census:
    """Finds the groups, some frames at a time.

    A few rows are looked at first. Where they do not settle it, all frames of the integration are counted: at once if
    it comes in one piece, else in a second pass, and where there can be none, always and from the start.

    Parameters
    ----------
    references : mapping of str to Reference or None
        Whole frames of at least mask, saturation and superbias, and the rscd table.
    readout : Readout
    settings : mapping
        Every parameter of every step.
    again : bool
        Whether the frames can be gone through again.
    """

    def __init__(self, references: References, readout: Readout, settings: Settings, *, again: bool) -> None:
        self._references = {kind: references.get(kind) for kind in _KINDS}
        self._readout = readout
        self._settings = settings
        self._again = again
        self._held: list[NDArray[Any]] = []
        self._open = False
        self._live = np.zeros(readout.nints, bool)
        self._counted = np.zeros(readout.nints, bool)

    def add(self, integration: int, group: int, frames: NDArray[Any]) -> None:
        """Look at the next frames of an integration as they are in the file, (group, row, column)."""
        if self._witness.is_blind(integration) or (len(frames) < self._readout.ngroups and not self._again):
            self._counting(integration, group, frames)
            return
        self._held.append(self._witness.rows_of(frames))
        if group + len(frames) == self._readout.ngroups:
            self._live[integration] = self._witness.sees_life(integration, np.concatenate(self._held))
            self._held.clear()
            if len(frames) == self._readout.ngroups and not self._live[integration]:
                self._counting(integration, group, frames)

    @property
    def is_settled(self) -> bool:
        """Whether every integration is known; else all frames have to be handed to `recount`."""
        return bool((self._live | self._counted).all())

    def recount(self, integration: int, group: int, frames: NDArray[Any]) -> None:
        """Look at the next frames again if their integration is not known."""
        if group == 0:
            self._open = not (self._live[integration] or self._counted[integration])
        if self._open:
            self._counting(integration, group, frames)

    def _counting(self, integration: int, group: int, frames: NDArray[Any]) -> None:
        self._counted[integration] = True
        for number, frame in enumerate(frames, group):
            self._count.add(integration, number, self._count.chain.scaled(frame))

    def facts(self, median_gain: float) -> RampFacts:
        """Return the facts of all frames."""
        shape = self._readout.nints, self._readout.ngroups
        dead, saturated = np.zeros(shape, bool), np.ones(self._readout.ngroups, bool)
        if self._counted.any():
            dead, saturated = self._count.dead, self._count.saturated
        if self._live.any():
            dead[self._live] = False
            dead[self._live, -1] = self._witness.chain.last_frame
            saturated = np.zeros_like(saturated)
        return RampFacts(
            tuple(tuple(map(bool, integration)) for integration in dead), tuple(map(bool, saturated)), median_gain
        )

    @cached_property
    def _witness(self) -> _Witness:
        readout = self._readout
        halo = 2 * int(self._settings["saturation"]["n_pix_grow_sat"] or 0)
        start = max(0, readout.rows // 2 - _WITNESSES // 2)
        core = slice(start, min(readout.rows, start + _WITNESSES))
        rows = slice(max(0, core.start - halo), min(readout.rows, core.stop + halo))
        part = {kind: each and each.rows(rows, readout.rows) for kind, each in self._references.items()}
        chain = settle(part, readout=readout, settings=self._settings, band=Band(rows.start, rows.stop))
        return _Witness(chain, slice(core.start - rows.start, core.stop - rows.start))

    @cached_property
    def _count(self) -> _Count:
        band = Band(0, self._readout.rows)
        return _Count(settle(self._references, readout=self._readout, settings=self._settings, band=band))


class _Witness:
    """A few rows of an exposure, and the rows around them that matter to theirs."""

    def __init__(self, chain: Chain, core: slice) -> None:
        self.chain = chain
        self._core = core

    def is_blind(self, integration: int) -> bool:
        """Return whether groups are left out that only a pixel somewhere may keep."""
        skips = self.chain.rscd is not None and self.chain.rscd.of(integration) > 0
        return skips or self.chain.first_frame is not None

    def rows_of(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of the rows of some frames."""
        rows: NDArray[Any] = frames[:, self.chain.band.rows].copy()
        return rows

    def sees_life(self, integration: int, rows: NDArray[Any]) -> bool:
        """Return whether the rows alone show that no group is lost everywhere, but the last one if it is left out."""
        groups = self.chain.scaled(rows)
        flags = preparation.group_flags(groups, replace(self.chain, last_frame=False), integration)[:, self._core]
        usable = ((flags & np.uint8(dq.DO_NOT_USE)) == 0).any(axis=(1, 2))
        unsaturated = ((flags[-1] & np.uint8(dq.SATURATED)) == 0).any()
        return bool(usable.all() and unsaturated)


class _Count:
    """Looks at every pixel of an exposure, frame by frame."""

    def __init__(self, chain: Chain) -> None:
        readout = chain.readout
        self.chain = chain
        self._usable = chain.start_flags() == 0
        self.dead = np.zeros((readout.nints, readout.ngroups), bool)
        self.saturated = np.ones(readout.ngroups, bool)
        self._onset: saturation.Onset | None = None
        self._held: dict[int, NDArray[Any]] = {}
        self._early: dict[int, NDArray[np.bool_]] = {}

    def add(self, integration: int, group: int, frame: NDArray[Any]) -> None:
        """Look at the next frame, (row, column)."""
        limits, ngroups = self.chain.limits, self.chain.readout.ngroups
        skip = 0 if self.chain.rscd is None else self.chain.rscd.of(integration)
        # In the first groups what saturates later matters too, so these are judged at the end of the integration.
        early = max(skip, 0 if self.chain.first_frame is None else 1)
        if limits is None:
            left_out = group < early or (self.chain.last_frame and group == ngroups - 1)
            self.dead[integration, group] = left_out or not self._usable.any()
            self.saturated[:] = False
            return
        if group == 0 or self._onset is None:
            self._onset, self._held, self._early = saturation.Onset(limits, ngroups, frame.dtype), {}, {}
        self._onset.add(frame)
        self._held = {number: self._held[number] for number in (0, group - 1) if number in self._held}
        self._held[group] = frame
        if group:
            alive = self._alive(group - 1, limits, exact=group <= early)
            self.dead[integration, group - 1] = not alive.any()
            if group <= early:
                self._early[group - 1] = alive
        if group == ngroups - 1:
            first = saturation.grow(self._onset.first, self.chain.layers)
            self.dead[integration, group] = self.chain.last_frame or not self._read(frame).any()
            self.saturated &= np.arange(ngroups) >= first.max()
            for number, alive in self._early.items():
                left = alive & (rscd.groups_to_skip(first, skip) <= number)
                if number == 0 and self.chain.first_frame is not None:
                    left &= firstframe.kept(first, bright=self.chain.first_frame)
                self.dead[integration, number] = not left.any()

    def _read(self, frame: NDArray[Any]) -> NDArray[np.bool_]:
        """Return pixels that neither the mask nor a reading of 0 or less makes unusable."""
        read: NDArray[np.bool_] = self._usable & ~(frame <= 0)
        return read

    def _alive(self, group: int, limits: saturation.Threshold, *, exact: bool) -> NDArray[np.bool_]:
        """Return pixels of a group that the saturation step leaves usable, once the group after it has been seen.

        Not exact: some pixels if there are any, for the little that this takes.
        """
        assert self._onset is not None
        read = self._read(self._held[group])
        averaging, layers = self.chain.averaging, self.chain.layers
        # What saturation next door can still make unusable is bounded by the pixels that saturate in the next group.
        reach = (2 * layers + 1) ** 4 * np.count_nonzero(self._onset.first <= group + 1)
        if averaging is None or (not exact and np.count_nonzero(read) > reach):
            return read
        flags = np.where(read, np.uint8(0), np.uint8(dq.DO_NOT_USE))
        first = saturation.grow(self._onset.first, layers)
        saturation.flag_group_before(
            group,
            self._held,
            flags,
            first=first,
            limits=limits,
            averaging=averaging,
            last=self.chain.readout.ngroups,
        )
        alive: NDArray[np.bool_] = (flags & dq.DO_NOT_USE) == 0
        return alive
