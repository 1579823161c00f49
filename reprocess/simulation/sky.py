"""What falls on the detector: sky background and stars."""

from __future__ import annotations

import numpy as np

from reprocess.simulation import chance
from reprocess.simulation.chance import Floats
from reprocess.simulation.pixels import PixelMaps
from reprocess.simulation.schedule import Exposure

_PIXELS_PER_STAR = 2500
_STAMP = 24
_FWHM_PIXELS = 2.1
_BETA = 2.5
_FAINTEST_DEX, _BRIGHTEST_DEX = -4.0, 1.6


def count_rate(exposure: Exposure, maps: PixelMaps) -> Floats:
    """Electrons that the sky makes in every pixel.

    The brightness of stars is spread evenly in the logarithm about the one that just fills a pixel in the
    integration time, so some saturate, whatever the readout.

    Parameters
    ----------
    exposure : Exposure
    maps : PixelMaps

    Returns
    -------
    ndarray of float32, shape (row, column), electrons per second
    """
    random = chance.generator(exposure.seed, "sky", exposure.number)
    detector = exposure.mode.detector
    rate: Floats = np.full(maps.kind.shape, detector.sky_e_s * random.uniform(0.6, 1.6), dtype=np.float32)
    rate *= 1.0 + 0.1 * np.linspace(-1.0, 1.0, rate.shape[0], dtype=np.float32)[:, None]
    stars = 2 + rate.size // _PIXELS_PER_STAR
    rows = random.uniform(0.0, rate.shape[0], stars)
    columns = random.uniform(0.0, rate.shape[1], stars)
    filling = detector.well_dn * detector.gain / exposure.integration_time_s
    peaks = filling * 10.0 ** random.uniform(_FAINTEST_DEX, _BRIGHTEST_DEX, stars)
    for row, column, peak in zip(rows.tolist(), columns.tolist(), peaks.tolist(), strict=True):
        _add_star(rate, row, column, peak)
    return rate * maps.efficiency


def _add_star(rate: Floats, row: float, column: float, peak: float) -> None:
    """Add one spot (Moffat 1969) of the given peak, electrons per second, to the image in place."""
    first_row, first_column = max(0, int(row) - _STAMP), max(0, int(column) - _STAMP)
    stamp = rate[first_row : int(row) + _STAMP + 1, first_column : int(column) + _STAMP + 1]
    width = _FWHM_PIXELS / (2.0 * np.sqrt(2.0 ** (1.0 / _BETA) - 1.0))
    down = ((np.arange(stamp.shape[0]) + (first_row - row)) / width) ** 2
    across = ((np.arange(stamp.shape[1]) + (first_column - column)) / width) ** 2
    stamp += (peak * (1.0 + down[:, None] + across[None, :]) ** -_BETA).astype(np.float32)
