"""What benchmarks measured, summed up and compared."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.reporting import benchmark, benchmark_page
from reprocess.reporting.benchmark import Measured, Run, compare, figures, scaling, verdict


def measured(workers=1, speed=1000.0, **rest):
    """A campaign of so many exposures per core-hour."""
    values = dict.fromkeys(benchmark.FIGURES, 10.0) | {"cost": None, "peak_bytes": 10**9, "own_peak_bytes": 10**8}
    values |= {"exposures_per_core_hour": speed, "exposures_per_hour": workers * speed, "cpu_seconds": 3600 / speed}
    return Measured(workers, 1, 8, 0, **(values | rest))


def run(*campaigns, **rest):
    """A run."""
    made = Run(
        "20261121T134500-abc123",
        "2026-11-21T13:45:00",
        "0.1.0",
        "d" * 64,
        {"exposures": 8, "groups": 10, "shape": "64x64"},
        {"cores": 2, "cpu": "<AMD & others>"},
        "s3",
        campaigns,
    )
    return replace(made, **rest)


class TestFigures:
    """`figures` and `scaling`."""

    def test_median_and_spread(self):
        """Of three repetitions the median is told, and between what they lay."""
        found = figures([measured(speed=value) for value in (900.0, 1000.0, 1300.0)])[1]["exposures_per_core_hour"]

        assert (found.median, found.least, found.most) == (1000, 900, 1300)
        assert found.spread == pytest.approx(0.2)

    def test_unknown(self):
        """A figure that nobody measured is left out."""
        assert "cost" not in figures([measured()])[1]
        assert "cost" in figures([measured(cost=0.1)])[1]

    def test_scaling(self):
        """Two workers that are 1.9 times as fast as one, at 1.05 times the CPU."""
        found = scaling([measured(1), measured(2, exposures_per_hour=1900.0, cpu_seconds=3.6 * 1.05)])

        assert found == {1: (1, 1), 2: (pytest.approx(1.9), pytest.approx(1.05))}


class TestCompare:
    """`compare` and `verdict`."""

    @pytest.mark.parametrize(("speed", "word"), [(1200.0, "better"), (800.0, "worse"), (1030.0, "alike")])
    def test_verdict(self, speed, word):
        """More exposures per core-hour are better; a few percent are noise."""
        assert verdict(compare(run(measured()), run(measured(speed=speed)))) == word

    def test_less_is_better(self):
        """Fewer requests are better, though their number falls."""
        (found,) = [one for one in compare(run(measured()), run(measured(requests=5.0))) if one.figure == "requests"]

        assert (found.ratio, found.verdict) == (0.5, "better")

    def test_within_the_spread(self):
        """What differs less than repetitions do is alike."""
        noisy = run(measured(speed=800.0), measured(speed=1000.0), measured(speed=1300.0))

        assert verdict(compare(noisy, run(measured(speed=1200.0)))) == "alike"

    @given(st.floats(1, 1e5), st.floats(1, 1e5))
    def test_both_ways(self, one, other):
        """What is better one way is worse the other way."""
        opposite = {"better": "worse", "worse": "better", "alike": "alike"}
        there, back = (
            verdict(compare(run(measured(speed=a)), run(measured(speed=b)))) for a, b in ((one, other), (other, one))
        )

        near = abs(one / other - 1) < 1.2 * benchmark.NOISE
        assert there == opposite[back] or (near and "alike" in (there, back))

    def test_other_data(self):
        """Runs over different data are not compared."""
        with pytest.raises(errors.UsageError, match="worked on other data"):
            compare(run(measured()), run(measured(), data="e" * 64))

    def test_no_common_workers(self):
        """Nor are runs without a number of workers in common."""
        with pytest.raises(errors.UsageError, match="have one in common"):
            compare(run(measured(1)), run(measured(2)))


class TestRecord:
    """`to_bytes` and `from_bytes`."""

    def test_there_and_back(self):
        """What is read is what was written."""
        made = run(measured(), measured(2, cost=0.5))

        assert benchmark.from_bytes(benchmark.to_bytes(made), name="r") == made

    def test_damaged(self):
        """A record without its parts is refused by name."""
        with pytest.raises(errors.DamagedRecord, match="somewhere"):
            benchmark.from_bytes(b'{"kind": "benchmark", "schema": 1}', name="somewhere")


class TestPage:
    """Text and picture."""

    def test_text(self):
        """Each number of workers has a column; a comparison ends in a verdict."""
        old, new = run(measured(), id="old"), run(measured(speed=2000.0), measured(2))
        told = benchmark_page.text(new, compare(old, new), old.id)

        assert "1 worker " in told
        assert "2 workers" in told
        assert told.endswith("verdict: better, by exposures per core-hour")

    def test_picture(self):
        """The picture is well-formed, and says what it shows; one campaign is enough."""
        for made in (run(measured()), run(measured(), measured(2), measured(2, speed=900.0), measured(4))):
            root = ElementTree.fromstring(benchmark_page.picture(made))
            circles = root.findall("{http://www.w3.org/2000/svg}circle")

            assert len(circles) == 2 * len({one.workers for one in made.campaigns})
            assert "exposures per hour" in "".join(root.itertext())
