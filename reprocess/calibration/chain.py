"""The steps before jump detection, settled for one band of rows: what applies, with which arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import (
    dark_current,
    dq,
    firstframe,
    group_scale,
    ipc,
    irs2,
    lastframe,
    refpix,
    refpix_irs2,
    refpix_miri,
    reset,
    rscd,
    saturation,
    superbias,
)
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference, References
from reprocess.calibration.step import Parameter
from reprocess.exposure import Band

Settings = dict[str, dict[str, Parameter]]


@dataclass(frozen=True)
class Chain:
    """What the steps before jump do to a band of rows; None where a step does nothing.

    Attributes
    ----------
    readout : Readout
    band : Band
        Rows of the frame.
    scale : float or None
        Factor of the groups.
    mask : uint32 array, (row, column), or None
        Flags of the mask.
    limits : saturation.Threshold or None
    averaging : saturation.Averaging or None
        None where groups are taken as single reads.
    layers : int
        Layers of neighbours to which saturation grows.
    kernel : float32 array or None
        Kernel of the inter-pixel capacitance.
    bias : float32 array, (row, column), or None
        Superbias in DN, 0 where unknown.
    bias_flags : uint32 array, (row, column), or None
    refpix : refpix.Options or refpix_miri.Options or refpix_irs2.Correction or None
    linearity, dark : Reference or None
    dark_match : dark_current.Match or None
    last_frame : bool
        Whether the last group is left out.
    first_frame : bool or None
        Whether the first group is left out, and then whether pixels that are bright keep it; None if it is not.
    reset : reset.Decay or None
    rscd : rscd.Skips or None
    """

    readout: Readout
    band: Band
    scale: float | None = None
    mask: NDArray[np.uint32] | None = None
    limits: saturation.Threshold | None = None
    averaging: saturation.Averaging | None = None
    layers: int = 0
    kernel: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None
    bias_flags: NDArray[np.uint32] | None = None
    refpix: refpix.Options | refpix_miri.Options | refpix_irs2.Correction | None = None
    linearity: Reference | None = None
    dark: Reference | None = None
    dark_match: dark_current.Match | None = None
    last_frame: bool = False
    first_frame: bool | None = None
    reset: reset.Decay | None = None
    rscd: rscd.Skips | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the band."""
        return len(self.band), self.readout.columns

    def start_flags(self, rows: slice = slice(None)) -> NDArray[np.uint8]:
        """Flags that every group of a pixel starts with."""
        if self.mask is None:
            return np.zeros((self._height(rows), self.readout.columns), np.uint8)
        return dq.group_flags(self.mask[rows])

    def _height(self, rows: slice) -> int:
        return len(range(*rows.indices(len(self.band))))

    def early_flags(self, rows: slice = slice(None)) -> NDArray[np.uint32]:
        """Flags of the pixels before the linearity step; near-infrared reference pixels are looked for with them."""
        saturation_flags = None if self.limits is None else self.limits.flags
        decay_flags = None if self.reset is None else self.reset.flags
        given = [each for each in (self.mask, saturation_flags, self.bias_flags, decay_flags) if each is not None]
        if not given:
            return np.zeros((self._height(rows), self.readout.columns), np.uint32)
        flags = given[0][rows].astype(np.uint32)
        for added in given[1:]:
            flags |= added[rows]
        return flags

    def scaled(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return the groups as the saturation step sees them: as they are in the file, or scaled in float32."""
        if self.scale is None:
            return raw
        return raw.astype(np.float32) * np.float32(self.scale)


def settle(references: References, *, readout: Readout, settings: Settings, band: Band) -> Chain:
    """Decide which steps apply to an exposure and prepare their arrays for a band of rows.

    Parameters
    ----------
    references : mapping of str to Reference or None
        Cut to the band; None where the context has none, and the step is skipped.
    readout : Readout
    settings : mapping
        Every parameter of every step.
    band : Band

    Raises
    ------
    errors.DamagedReference
        If a reference lacks an array or keyword, or does not fit the band.
    """
    raw = references
    if readout.interleaved:
        references = irs2.select(raw, irs2.normal_rows(readout.detector))
    given = _Given(references, settings, (len(band), readout.columns))
    mask, limits = given.reference("dq_init", "mask"), given.reference("saturation", "saturation")
    kernel, bias = given.reference("ipc", "ipc"), given.reference("superbias", "superbias")
    dark, shape = given.reference("dark_current", "dark"), given.shape
    decay, skips = given.reference("reset", "reset"), given.reference("rscd", "rscd")
    if settings["dq_init"]["user_supplied_dq"] is not None:
        raise errors.Unsupported("parameter user_supplied_dq of step dq_init is not supported; leave it out")
    if settings["dark_current"]["dark_output"] is not None:
        raise errors.Unsupported("parameter dark_output of step dark_current is not supported; leave it out")
    return Chain(
        readout=readout,
        band=band,
        scale=None if settings["group_scale"]["skip"] else group_scale.factor(readout),
        mask=None if mask is None else mask.array("dq", shape),
        limits=None if limits is None else saturation.threshold(limits.array("sci", shape), limits.array("dq", shape)),
        averaging=given.averaging(readout),
        layers=given.layers,
        kernel=None if kernel is None else ipc.kernel(kernel, shape),
        bias=None if bias is None else superbias.usable(bias.array("sci", shape)),
        bias_flags=None if bias is None else bias.array("dq", shape),
        refpix=given.interleaved(raw, readout) if readout.interleaved else given.refpix(readout),
        linearity=given.reference("linearity", "linearity"),
        dark=dark,
        dark_match=None if dark is None else dark_current.match(dark, readout),
        last_frame=given.runs("lastframe") and readout.ngroups >= lastframe.FEWEST_GROUPS,
        first_frame=given.first_frame(readout),
        reset=None if decay is None else reset.settle(decay, readout, shape),
        rscd=None if skips is None else rscd.settle(skips, readout),
    )


@dataclass(frozen=True, slots=True)
class _Given:
    """References and parameters, asked for by step."""

    references: References
    settings: Settings
    shape: tuple[int, int]

    @property
    def layers(self) -> int:
        return int(self.settings["saturation"]["n_pix_grow_sat"] or 0)

    def runs(self, step: str) -> bool:
        """Return whether the exposure has a step that is not to be skipped."""
        return step in self.settings and not self.settings[step]["skip"]

    def reference(self, step: str, kind: str) -> Reference | None:
        """Return the reference of a step, or None if the step is skipped."""
        return self.references.get(kind) if self.runs(step) else None

    def averaging(self, readout: Readout) -> saturation.Averaging | None:
        """Return how groups average frames, where the saturation step asks for it."""
        if not self.settings["saturation"]["use_readpatt"]:
            return None
        bias = self.references.get("superbias")
        image = None if bias is None else bias.array("sci", self.shape)
        return saturation.Averaging(readout.nframes, image, self.layers)

    def first_frame(self, readout: Readout) -> bool | None:
        """Return whether bright pixels keep the first group that others lose; None where the step is skipped."""
        if not self.runs("firstframe") or readout.ngroups < firstframe.FEWEST_GROUPS:
            return None
        return bool(self.settings["firstframe"]["bright_use_group1"])

    def interleaved(self, raw: References, readout: Readout) -> refpix_irs2.Correction:
        """Return what the refpix step does to an IRS2 exposure, of which there are the references in raw layout."""
        others = _Given(irs2.select(raw, ~irs2.normal_rows(readout.detector)), self.settings, self.shape)
        mask, bias = others.reference("dq_init", "mask"), others.reference("superbias", "superbias")
        limits = self.reference("saturation", "saturation")
        marked = np.zeros(irs2.RAW_ROWS, bool)
        for flags in (self.reference("dq_init", "mask"), self.reference("superbias", "superbias"), limits):
            if flags is not None:
                marked[irs2.normal_rows(readout.detector)] |= refpix_irs2.marked(flags.arrays["dq"])
        for flags in (mask, bias):
            if flags is not None:
                marked[~irs2.normal_rows(readout.detector)] |= refpix_irs2.marked(flags.arrays["dq"])
        return refpix_irs2.settle(
            self.references.get("refpix"),
            self.settings["refpix"],
            readout,
            bias=None if bias is None else superbias.usable(bias.arrays["sci"]),
            marked=marked,
        )

    def refpix(self, readout: Readout) -> refpix.Options | refpix_miri.Options | None:
        """Return the options of the refpix step, or None if it is skipped."""
        if self.settings["refpix"]["skip"]:
            return None
        if readout.instrument == "MIRI":
            options = refpix_miri.Options.from_parameters(self.settings["refpix"])
            return options if refpix_miri.is_full_frame(readout) else None
        if not refpix.fits_detector(readout):
            return None
        wanted = self.settings["refpix"]
        if wanted["refpix_algorithm"] == "sirs" and "FULL" not in readout.subarray:
            wanted = wanted | {"refpix_algorithm": "median"}  # as officially: sirs is for full frames
        return refpix.Options.from_parameters(wanted)


def statuses(chain: Chain) -> dict[str, str]:
    """Return COMPLETE or SKIPPED for the steps before jump, those of all instruments."""
    done = {
        "group_scale": chain.scale,
        "dq_init": chain.mask,
        "saturation": chain.limits,
        "ipc": chain.kernel,
        "superbias": chain.bias,
        "refpix": chain.refpix,
        "linearity": chain.linearity,
        "dark_current": chain.dark_match,
        "firstframe": chain.first_frame,
        "lastframe": chain.last_frame or None,
        "reset": chain.reset,
        "rscd": chain.rscd,
    }
    return {name: "SKIPPED" if used is None else "COMPLETE" for name, used in done.items()}


def coefficients_of(
    reference: Reference, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.uint32]]:
    """Return the coefficients of a linearity reference, those of the inverse if it has them, and its flags.

    Raises
    ------
    errors.DamagedReference
        If an array is no cube of at least two coefficients, or does not fit.
    """
    cubes = [reference.array(name, shape) if name in reference.arrays else None for name in ("coeffs", "inv_coeffs")]
    if cubes[0] is None or any(cube is not None and (cube.ndim != 3 or len(cube) < 2) for cube in cubes):
        found = {name: array.shape for name, array in reference.arrays.items()}
        raise errors.DamagedReference(
            f"{reference.label} has arrays {found}, but must have 'coeffs' of (order, row, column), two orders or more"
        )
    return cubes[0], cubes[1], reference.array("dq", shape)
