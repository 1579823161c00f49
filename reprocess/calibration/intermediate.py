"""The exposure as it is after one of its steps, for those who want to see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import detector1, facts_irs2, gradual, irs2, preparation, refpix_irs2
from reprocess.calibration.chain import settle
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.rate import Fit
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import References
from reprocess.calibration.step import Step
from reprocess.calibration.steps import Parameters, resolve, steps_of
from reprocess.exposure import Slab


@dataclass(frozen=True, slots=True)
class Run:
    """One slab on its way through stage 1: what `detector1.calibrate` is given.

    Attributes
    ----------
    raw, references, readout, parameters, slab, facts, zeroframe
        See there.
    """

    raw: gradual.Raw
    references: References
    readout: Readout
    parameters: Parameters
    slab: Slab
    facts: detector1.Facts
    zeroframe: NDArray[Any] | None = None

    def calibrate(self, parameters: Parameters | None = None) -> detector1.Stage1:
        """Run the whole chain."""
        return detector1.calibrate(
            self.raw,
            self.references,
            readout=self.readout,
            parameters=self.parameters if parameters is None else parameters,
            slab=self.slab,
            facts=self.facts,
            zeroframe=self.zeroframe,
        )

    def after(self, step: str, made: detector1.Stage1) -> Ramp | Fit:
        """Return the core rows as they are after a step.

        Parameters
        ----------
        step : str
            One of the chain.
        made : Stage1
            What the whole chain gave.

        Returns
        -------
        Ramp, or Fit from ramp_fit on
        """
        if step == "gain_scale":
            return Fit(made.rate, made.rateints)
        if step == "ramp_fit":
            return made.unscaled
        if step in early(steps_of(self.readout.exp_type, interleaved=self.readout.interleaved)):
            return _core(self._prepared(step), self.slab)
        if step == "charge_migration":
            made = self.calibrate(_with_skipped(self.parameters, ["jump"]))
        return _core(made.ramp, self.slab)

    def _prepared(self, step: str) -> Ramp:
        """Run the chain up to an early step."""
        steps = steps_of(self.readout.exp_type, interleaved=self.readout.interleaved)
        names = early(steps)
        wanted = _with_skipped(self.parameters, names[names.index(step) + 1 :])
        settings = resolve(steps, wanted)
        chain = settle(self.references, readout=self.readout, settings=settings, band=self.slab.padded)
        if isinstance(chain.refpix, refpix_irs2.Correction):
            assert isinstance(self.raw, np.ndarray)  # of IRS2 there is one slab, which is read at once
            normal = self.raw[:, :, irs2.normal_rows(self.readout.detector)]
            return preparation.prepare(normal, chain, facts_irs2.frames(self.raw, chain, chain.refpix))
        signal = None if chain.refpix is None else self.facts.reference_signal
        return gradual.prepare(self.raw, chain, signal)


def early(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return the names of the steps before the first one that compares groups."""
    return tuple(step.name for step in takewhile(lambda step: step.name != "charge_migration", steps))


def _with_skipped(parameters: Parameters, steps: Sequence[str]) -> Parameters:
    return {**parameters, **{step: {**parameters.get(step, {}), "skip": True} for step in steps}}


def _core(ramp: Ramp, slab: Slab) -> Ramp:
    rows = slab.core_in_padded
    return Ramp(ramp.data[:, :, rows], ramp.groupdq[:, :, rows], ramp.pixeldq[rows])
