"""Ramps whose jumps follow from a line of reasoning, with the flags that they must get.

Unless said otherwise gain is 1 and the read noise of a difference is 10 DN, so that without flux one sigma is 10.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.calibration import ramps as make
from tests.calibration.ramps import DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED, Ramps

Place = tuple[int, int, int, int]
NOISE = 10.0
SECONDS = 10.737  # of a group


@dataclass(frozen=True)
class Case:
    """Ramps, parameters, and every (integration, group, row, column) that must be JUMP_DET."""

    name: str
    ramps: Ramps
    flagged: tuple[Place, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    nframes: int = 1


def pixel(
    *integrations: tuple[float, ...], gain: float = 1.0, flags: dict[tuple[int, int], int] | None = None
) -> Ramps:
    """One pixel by the differences of its groups, in DN, integration by integration."""
    data = np.array([np.cumsum([500.0, *differences]) for differences in integrations])
    made = make.plain(data[:, :, np.newaxis, np.newaxis], gain=gain, readnoise=NOISE)
    for (integration, group), bits in (flags or {}).items():
        made.groupdq[integration, group] |= bits
    return made


def field_of(shape: tuple[int, int], *hits: tuple[Place, float], nints: int = 1, ngroups: int = 6) -> Ramps:
    """Flat ramps with steps at places."""
    data = np.full((nints, ngroups, *shape), 500.0)
    for (integration, group, row, column), size in hits:
        data[integration, group:, row, column] += size
    return make.plain(data, gain=1.0, readnoise=NOISE)


def at(*groups: int, integration: int = 0) -> tuple[Place, ...]:
    """Groups of the only pixel."""
    return tuple((integration, group, 0, 0) for group in groups)


def changed(ramps: Ramps, **images: float) -> Ramps:
    """Another gain or read noise for all pixels."""
    for name, value in images.items():
        getattr(ramps, name)[:] = value
    return ramps


def saturated_from(group: int, ngroups: int) -> dict[tuple[int, int], int]:
    return {(0, each): SATURATED for each in range(group, ngroups)}


ALONE = {"flag_4_neighbors": False}
THRESHOLDS = (
    Case("nothing in a dark ramp", pixel((0,) * 9), ()),
    Case("just below four sigma", pixel((0, 0, 39.5, 0, 0, 0, 0, 0, 0)), ()),
    Case("just above four sigma", pixel((0, 0, 40.5, 0, 0, 0, 0, 0, 0)), at(3)),
    Case("four frames a group halve the noise", pixel((0, 0, 20.5, 0, 0, 0)), at(3), nframes=4),
    Case("and no more than halve it", pixel((0, 0, 19.5, 0, 0, 0)), (), nframes=4),
    # One sigma is sqrt(300 + 100) = 20.
    Case("photons of a bright pixel hide a jump", pixel((300, 300, 379, 300, 300, 300)), ()),
    Case("until it is four of their sigma", pixel((300, 300, 381, 300, 300, 300)), at(3)),
    # With a gain of 4 the noise is 40 e, and one sigma of 225 DN a group is sqrt(900 + 1600) = 50 e = 12.5 DN.
    Case("gain counts photons: below", pixel((225, 225, 274, 225, 225, 225), gain=4.0), ()),
    Case("gain counts photons: above", pixel((225, 225, 276, 225, 225, 225), gain=4.0), at(3)),
    Case("two differences need six sigma", pixel((0, 59)), ()),
    Case("two differences, the smaller is the level", pixel((0, 61)), at(2)),
    Case("three differences need five sigma", pixel((0, 49, 0)), ()),
    Case("three differences, their median is the level", pixel((0, 51, 0)), at(2)),
    Case("four differences need four sigma", pixel((0, 41, 0, 0)), at(2)),
    Case("the thresholds are parameters", pixel((0, 51, 0)), (), {"four_group_rejection_threshold": 5.2}),
    Case("of short ramps too", pixel((0, 59)), at(2), {"three_group_rejection_threshold": 5.8}),
)
PLACES = (
    Case("in the first difference", pixel((100, 0, 0, 0, 0, 0)), at(1)),
    Case("in the last difference", pixel((0, 0, 0, 0, 0, 100)), at(6)),
    Case("downwards", pixel((0, 0, -100, 0, 0, 0)), at(3)),
    Case("two of one size", pixel((0, 100, 0, 0, 100, 0)), at(2, 5)),
    Case("two in a row", pixel((0, 0, 100, 200, 0, 0)), at(3, 4)),
    Case("up and down again", pixel((0, 0, 100, -100, 0, 0)), at(3, 4)),
    Case("one after another as the level falls", pixel((0, 2000, 0, 500, 90, 0, 0)), at(2, 4, 5)),
    Case("in the long form", pixel((0, 0, 0, 100, 0, 0, 0, -100, 0, 0)), at(4, 8)),
    # The median of six jumps and four flat differences is the jump: the flat ones stick out, by 1000 / sqrt(1100).
    Case(
        "the majority is right in the long form",
        pixel((1000, 1000, 0, 1000, 0, 1000, 0, 1000, 0, 1000)),
        at(3, 5, 7, 9),
    ),
    # The largest difference is left out of the median, 0 of 0 0 0: one pass flags it, and the rest are flat.
    Case("few differences in one pass", pixel((0, 0, 60, 0)), at(3), {"min_diffs_single_pass": 4}),
)
UNUSABLE = (
    Case("before saturation", pixel((0, 0, 51, 900, 0), flags=saturated_from(4, 6)), at(3)),
    Case("saturation leaves three differences", pixel((0, 0, 49, 900, 0), flags=saturated_from(4, 6)), ()),
    Case("saturation leaves two differences", pixel((0, 61, 900, 0), flags=saturated_from(3, 5)), at(2)),
    Case("saturation leaves one difference", pixel((900, 900, 0), flags=saturated_from(2, 4)), ()),
    Case("into saturation", pixel((0, 0, 0, 9000, 0), flags=saturated_from(4, 6)), ()),
    Case("across a group that is not used", pixel((0, 0, 900, 0, 0, 0, 0), flags={(0, 3): DO_NOT_USE}), ()),
    Case("out of a group that is not used", pixel((0, 900, -900, 0, 0, 51, 0), flags={(0, 2): DO_NOT_USE}), at(6)),
    Case("persistence does not matter", pixel((0, 0, 100, 0, 0), flags={(0, 3): PERSISTENCE}), at(3)),
    Case("a jump that was flagged stays", pixel((0,) * 5, flags={(0, 2): JUMP_DET}), at(2)),
    Case("read noise that is not known", changed(pixel((0, 0, 900, 0, 0)), readnoise=np.nan), ()),
    Case("no noise and no signal", changed(pixel((0, 0, 900, 0, 0)), readnoise=0.0), ()),
)
INTEGRATIONS = (
    Case("share one level", pixel((0, 41), (0, 0)), at(2)),
    Case("only the one that is hit", pixel((0, 0, 0), (0, 100, 0)), at(2, integration=1)),
    Case("both of them", pixel((0, 100, 0), (0, 0, 100)), at(2) + at(3, integration=1)),
    # Of 0 0 0 and three of 200 the largest is left out: the level is 0, and all that are equal go at once.
    Case("the faint one is the level", pixel((0, 0, 0), (200, 200, 200)), at(1, 2, 3, integration=1)),
    Case("a saturated one adds nothing", pixel((0, 41), (0, 0), flags={(1, 0): 2, (1, 1): 2, (1, 2): 2}), ()),
)
AROUND = (
    Case(
        "neighbours left, right, above and below",
        field_of((3, 3), ((0, 2, 1, 1), 200)),
        ((0, 2, 0, 1), (0, 2, 1, 0), (0, 2, 1, 1), (0, 2, 1, 2), (0, 2, 2, 1)),
    ),
    Case("none below ten sigma", field_of((3, 3), ((0, 2, 1, 1), 99)), ((0, 2, 1, 1),)),
    Case("none above a thousand sigma", field_of((3, 3), ((0, 2, 1, 1), 10100)), ((0, 2, 1, 1),)),
    Case(
        "their limits are parameters",
        field_of((1, 2), ((0, 2, 0, 0), 99)),
        ((0, 2, 0, 0), (0, 2, 0, 1)),
        {"min_jump_to_flag_neighbors": 9.0},
    ),
    Case("in their own integration", field_of((1, 2), ((1, 2, 0, 0), 200), nints=2), ((1, 2, 0, 0), (1, 2, 0, 1))),
    Case(
        "two that are next to each other",
        field_of((1, 4), ((0, 2, 0, 1), 200), ((0, 4, 0, 2), 200)),
        ((0, 2, 0, 0), (0, 2, 0, 1), (0, 2, 0, 2), (0, 4, 0, 1), (0, 4, 0, 2), (0, 4, 0, 3)),
    ),
)
AFTER = (
    Case(
        "groups after a large one",
        pixel((0, 300, 0, 0, 0, 0, 0)),
        at(2, 3, 4),
        {"after_jump_flag_dn1": 200.0, "after_jump_flag_time1": 2.5 * SECONDS},
    ),
    Case(
        "not after a small one",
        pixel((0, 150, 0, 0, 0, 0, 0)),
        at(2),
        {"after_jump_flag_dn1": 200.0, "after_jump_flag_time1": 2.5 * SECONDS},
    ),
    Case(
        "longer after a larger one",
        pixel((0, 300, 0, 0, 0, 0, 900, 0, 0)),
        at(2, 3, 7, 8, 9),
        {
            "after_jump_flag_dn1": 200.0,
            "after_jump_flag_time1": 1.5 * SECONDS,
            "after_jump_flag_dn2": 800.0,
            "after_jump_flag_time2": 2.5 * SECONDS,
        },
    ),
    Case(
        "until saturation",
        pixel((0, 300, 0, 0, 0, 0), flags=saturated_from(4, 7)),
        at(2, 3),
        {"after_jump_flag_dn1": 200.0, "after_jump_flag_time1": 4.5 * SECONDS},
    ),
)
CASES = (*THRESHOLDS, *PLACES, *UNUSABLE, *INTEGRATIONS, *AROUND, *AFTER)
