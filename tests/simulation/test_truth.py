import io

import numpy as np
import pytest
from astropy.io import fits


def read(store, key, extension):
    with fits.open(io.BytesIO(store.get(key).data)) as file:
        return file[extension].data.astype(float)


def reference(store, expected, kind, extension):
    name = expected.second[kind]
    return read(store, f"crds/references/jwst/{name.split('_')[1]}/{name}", extension)


@pytest.mark.parametrize("number", [0, 4, 5, 8, 12])
def test_a_difference_of_two_groups_agrees_with_the_truth(simulated, number):
    """The first groups, corrected by the archive's own references, differ by the true rate within their noise."""
    store, summary = simulated
    exposure, expected = summary.exposures[number], summary.expected[number]
    data = read(store, exposure.key, "SCI")[0]
    header = fits.getheader(io.BytesIO(store.get(exposure.key).data))
    bias, gain = reference(store, expected, "superbias", "SCI"), reference(store, expected, "gain", "SCI")
    coefficients, dark = reference(store, expected, "linearity", "COEFFS"), reference(store, expected, "dark", "SCI")[0]
    noise = reference(store, expected, "readnoise", "SCI")
    measured = data[:2] - bias
    linear = sum(one * measured**power for power, one in enumerate(coefficients))
    rate = np.diff(linear, axis=0)[0] / header["TGROUP"] - dark / header["TFRAME"]
    truth = read(store, f"truth/{exposure.dataset}_truth.fits", "RATE")
    usable = read(store, f"truth/{exposure.dataset}_truth.fits", "USABLE") == 1
    sigma = np.hypot(noise / header["NFRAMES"] ** 0.5 / header["TGROUP"], np.sqrt(truth / gain / header["TGROUP"]))
    pull = ((rate - truth) / sigma)[usable]
    even, odd = ((rate - truth) / sigma)[:, ::2][usable[:, ::2]], ((rate - truth) / sigma)[:, 1::2][usable[:, 1::2]]
    # The levels of outputs drift from group to group, which only reference pixels tell: take them out by the median.
    for parity in (even, odd):
        spread = 1.4826 * np.median(np.abs(parity - np.median(parity)))
        assert 0.9 < spread < 1.1
    assert np.isfinite(pull).all()


def test_pixels_full_from_the_start_are_not_usable(simulated):
    """Some pixels of stars are full in the first group, and no usable pixel is."""
    store, summary = simulated
    full = 0
    for exposure, expected in zip(summary.exposures, summary.expected, strict=True):
        first = read(store, exposure.key, "SCI")[:, 0].max(axis=0)
        threshold = reference(store, expected, "saturation", "SCI")
        usable = read(store, f"truth/{exposure.dataset}_truth.fits", "USABLE") == 1
        full += np.count_nonzero(first >= threshold)
        assert not (usable & (first >= threshold)).any()
        assert usable.mean() > 0.8
    assert full > 0
