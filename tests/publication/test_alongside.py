import itertools

import pytest

from reprocess.publication.alongside import alongside


def test_order_and_bounds():
    """Results come in the order of the things, and of an endless source only what is needed soon is taken."""
    taken = []

    def source():
        for number in itertools.count():
            taken.append(number)
            yield number

    found = list(itertools.islice(alongside(lambda number: number * number, source()), 300))

    assert found == [number * number for number in range(300)]
    assert len(taken) <= 512


def test_failures():
    """What fails is raised in its turn."""

    def work(number):
        if number == 2:
            raise KeyError(number)
        return number

    found = alongside(work, range(5))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(KeyError):
        next(found)
