"""Cosmic-ray hits: sudden electrons in a pixel, and sometimes in its neighbours."""

from __future__ import annotations

import numpy as np

from reprocess.simulation.chance import Floats

# About five particles per cm^2 and second on pixels of 18 um, as at L2.
HITS_PER_PIXEL_SECOND = 1.6e-5
# Short integrations would have next to none; the simulated weather is worse for them.
LEAST_HITS_PER_PIXEL = 1.0e-3
_MEDIAN_ELECTRONS = 2500.0
_SPREAD_E_FOLDS = 1.2
_LARGEST_ELECTRONS = 3.0e5
_NEIGHBOUR_CHANCE = 0.3
_NEIGHBOUR_SHARE = (0.02, 0.5)
_STEPS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])


def hit_rate(integration_time_s: float) -> float:
    """Hits per pixel and second in an integration of that length."""
    return max(HITS_PER_PIXEL_SECOND, LEAST_HITS_PER_PIXEL / integration_time_s)


def strike(electrons: Floats, expected: float, random: np.random.Generator) -> None:
    """Add hits, in place.

    Parameters
    ----------
    electrons : ndarray of float32, shape (row, column)
    expected : float
        Mean number of hits per pixel.
    random : Generator
    """
    hits = int(random.poisson(expected * electrons.size))
    rows = random.integers(electrons.shape[0], size=hits)
    columns = random.integers(electrons.shape[1], size=hits)
    sizes = _MEDIAN_ELECTRONS * np.exp(_SPREAD_E_FOLDS * random.standard_normal(hits))
    sizes = np.minimum(sizes, _LARGEST_ELECTRONS).astype(np.float32)
    np.add.at(electrons, (rows, columns), sizes)
    for step in _STEPS:
        shared = random.random(hits) < _NEIGHBOUR_CHANCE
        share = random.uniform(*_NEIGHBOUR_SHARE, size=hits).astype(np.float32) * sizes
        inside = shared & (rows + step[0] >= 0) & (rows + step[0] < electrons.shape[0])
        inside &= (columns + step[1] >= 0) & (columns + step[1] < electrons.shape[1])
        np.add.at(electrons, (rows[inside] + step[0], columns[inside] + step[1]), share[inside])
