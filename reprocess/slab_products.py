"""The files that an exposure calibrated by slabs becomes: products, and what was asked for between the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from reprocess.calibration import detector1
from reprocess.calibration.optional_fit import OptionalFit
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.rate import Fit
from reprocess.calibration.readout import Readout
from reprocess.exposure import Slab
from reprocess.formats import fit_product, product
from reprocess.formats.product_rows import ProductRows, RowFile
from reprocess.formats.tail import Level1bMetadata

# Official names for the two results of these steps: of all integrations together, and of each.
_OF_RATES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"ramp_fit": ("0_ramp_fit", "1_ramp_fit"), "gain_scale": ("gain_scale", "gain_scaleints")}
)


class SlabProducts:
    """Writes slabs as they come; the first one tells what the headers say.

    Parameters
    ----------
    rows : ProductRows
    metadata : Level1bMetadata
    info : ProductInfo
        Without statuses.
    readout : Readout
    """

    def __init__(
        self, rows: ProductRows, metadata: Level1bMetadata, info: product.ProductInfo, readout: Readout
    ) -> None:
        self._rows = rows
        self._metadata = metadata
        self._info = info
        self._readout = readout
        self._statuses: Mapping[str, str] = {}
        self._files: dict[str, RowFile] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files."""
        return tuple(self._name(suffix) for suffix in self._files)

    def take(self, slab: Slab, made: detector1.Stage1) -> None:
        """Write the result of a slab to the products."""
        self._statuses = self._statuses or made.statuses
        for suffix, rates in (("rate", made.rate), ("rateints", made.rateints)):
            self._file(suffix, suffix == "rate", "gain_scale").write(slab.core, rates)
        if made.unscaled.optional is not None:
            self._take_optional(made.unscaled.optional)

    def _take_optional(self, optional: OptionalFit) -> None:
        """Write the fit of each segment; an exposure of which it is wanted comes as one slab."""
        info = replace(self._info, statuses=self._told("ramp_fit"))
        blocks = fit_product.write_fitopt(optional, self._metadata, info)
        self._files[fit_product.SUFFIX] = self._rows.add(self._name(fit_product.SUFFIX), blocks)

    def take_step(self, slab: Slab, step: str, state: Ramp | Fit) -> None:
        """Write a slab as it is after a step."""
        if isinstance(state, Ramp):
            self._file(step, None, step).write(slab.core, state)
            return
        for suffix, rates in zip(_OF_RATES[step], (state.rate, state.rateints), strict=True):
            self._file(suffix, rates is state.rate, step).write(slab.core, rates)

    def _file(self, suffix: str, combined: bool | None, step: str) -> RowFile:
        """Return a file, begun when it is first asked for: of a rate, of rates by integration, or (None) of a ramp."""
        if suffix not in self._files:
            whole = self._readout.shape
            shape = whole if combined is None else whole[2:] if combined else (whole[0], *whole[2:])
            info = replace(self._info, statuses=self._told(step))
            parts = product.layout(shape, self._metadata, info, suffix=suffix)
            self._files[suffix] = self._rows.add(self._name(suffix), parts)
        return self._files[suffix]

    def _name(self, suffix: str) -> str:
        return f"{self._info.dataset}_{suffix}.fits"

    def _told(self, step: str) -> dict[str, str]:
        """Return the statuses of the steps up to one, by keyword."""
        keywords = {each.name: each.keyword for each in detector1.STEPS}
        names = list(self._statuses)
        return {keywords[name]: self._statuses[name] for name in names[: names.index(step) + 1]}
