"""The cases of the comparison with the official pipeline."""

import itertools

import pytest

from tests import pairs
from tests.parity import cases

FACTORS = {"colour": ("red", "green", "blue"), "size": (1, 2, 3, 4), "shape": ("round", "square"), "weight": (1, 2, 3)}


@pytest.mark.parametrize("seed", range(5))
def test_every_pair_meets(seed):
    """Any two levels of different factors are in a case together, in far fewer cases than there are combinations."""
    made = pairs.all_pairs(FACTORS, seed=seed)

    for one, other in itertools.combinations(FACTORS, 2):
        met = {(case[one], case[other]) for case in made}
        assert met == set(itertools.product(FACTORS[one], FACTORS[other]))
    assert 12 <= len(made) <= 18


def test_cases_are_the_same_each_time():
    """The seed alone decides."""
    assert pairs.all_pairs(FACTORS, seed=3) == pairs.all_pairs(FACTORS, seed=3)
    assert pairs.all_pairs(FACTORS, seed=3) != pairs.all_pairs(FACTORS, seed=4)


def test_what_is_not_allowed_is_left_out():
    """No case holds what may not be, and all other pairs still meet."""

    def allowed(case):
        return not (case["colour"] == "red" and case["size"] > 2)

    made = pairs.all_pairs(FACTORS, allowed=allowed)

    assert all(allowed(case) for case in made)
    assert {(case["colour"], case["weight"]) for case in made} >= {("red", 1), ("red", 2), ("red", 3)}
    assert {case["size"] for case in made if case["colour"] == "red"} == {1, 2}


def test_matrix_meets_every_pair():
    """Only a dark that is shorter than one or two groups is left out of the comparison."""
    made = pairs.all_pairs(cases.FACTORS, allowed=cases.allowed)
    missing = [
        (a, b)
        for one, other in itertools.combinations(cases.FACTORS, 2)
        for a, b in itertools.product(cases.FACTORS[one], cases.FACTORS[other])
        if not any(case[one] == a and case[other] == b for case in made)
    ]

    assert missing == [(1, "shorter"), (2, "shorter")]
    assert 60 <= len(made) <= 100
