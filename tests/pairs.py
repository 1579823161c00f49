"""Few cases that hold every pair of the levels of some factors, seeded: the same cases on every machine."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Hashable, Mapping, Sequence

Case = dict[str, Hashable]
_TRIES = 40


def all_pairs(
    factors: Mapping[str, Sequence[Hashable]],
    *,
    allowed: Callable[[Case], bool] = lambda case: True,
    seed: int = 1,
) -> list[Case]:
    """Return cases in which every two levels of different factors meet, where an allowed case can hold them.

    Greedy: each case begins with a pair that has not met, and is the best of some random completions of it.
    """
    rng = random.Random(seed)
    waiting = dict.fromkeys(
        frozenset([(one, a), (other, b)])
        for one, other in itertools.combinations(factors, 2)
        for a, b in itertools.product(factors[one], factors[other])
    )
    cases: list[Case] = []
    while waiting:
        pair = next(iter(waiting))
        drawn = [_completed(dict(pair), factors, waiting, rng) for _ in range(_TRIES)]
        candidates = [case for case in drawn if allowed(case)]
        if not candidates:
            del waiting[pair]
            continue
        best = max(candidates, key=lambda case: sum(met in waiting for met in _pairs(case)))
        for met in _pairs(best):
            waiting.pop(met, None)
        cases.append({name: best[name] for name in factors})
    return cases


def _completed(
    case: Case, factors: Mapping[str, Sequence[Hashable]], waiting: Mapping[frozenset, None], rng: random.Random
) -> Case:
    """Give each open factor, in random order, the level that meets most; one in four is left to chance."""
    for name in rng.sample(sorted(set(factors) - set(case)), len(factors) - len(case)):
        levels = rng.sample(list(factors[name]), len(factors[name]))
        gain = {level: sum(frozenset([(name, level), other]) in waiting for other in case.items()) for level in levels}
        case[name] = levels[0] if rng.random() < 0.25 else max(levels, key=gain.__getitem__)
    return case


def _pairs(case: Case) -> list[frozenset]:
    return [frozenset(pair) for pair in itertools.combinations(case.items(), 2)]
