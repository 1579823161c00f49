"""Forecasts."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess.exposure import ReferenceFile
from reprocess.planning import forecast as forecasts
from reprocess.planning.forecast import Interval, Taken, forecast, pace, seconds
from reprocess.planning.planner import item
from reprocess.settings import PriceSettings
from tests.planning.test_planner import judgement

SHAPES = st.tuples(st.integers(1, 50), st.integers(1, 60), st.integers(1, 2048), st.integers(1, 2048))
INSTRUMENTS = st.sampled_from(["NIRCAM", "MIRI", "NIRSPEC"])
QUANTITIES = ("bytes_read", "bytes_written", "core_hours", "wall_seconds")


def work(name="a", shape=(1, 5, 64, 64), *, size=1_000_000, rows_per_slab=0, references=(), header=None):
    """An item to calibrate."""
    made = item(judgement(name, shape=shape, references=references), 10**12)
    header = {**made.entry.header, **(header or {})}
    entry = replace(made.entry, size=size, header=header)
    return replace(made, entry=entry, rows_per_slab=rows_per_slab)


def takes(factor, *shapes):
    """What exposures took that were so much slower than the benchmark."""
    return [Taken("NIRCAM", shape, factor * seconds("NIRCAM", shape)) for shape in shapes]


class TestSeconds:
    """`seconds`."""

    @given(INSTRUMENTS, SHAPES, st.integers(0, 3))
    def test_grows(self, instrument, shape, axis):
        """More of anything takes longer."""
        larger = tuple(length + (index == axis) for index, length in enumerate(shape))

        assert seconds(instrument, larger) > seconds(instrument, shape) > 0

    def test_as_measured(self):
        """A full frame of ten groups lies within the spread about what the benchmark of exposures measures: 3.4 s."""
        expected = seconds("NIRCAM", (1, 10, 2048, 2048))
        spread = forecasts.BENCHMARK_SPREAD

        assert spread.low * expected < 3.4 < spread.high * expected


class TestForecast:
    """`forecast`."""

    @given(
        st.lists(SHAPES, max_size=6),
        st.integers(1, 50),
        st.lists(st.floats(0.01, 100), max_size=12),
        st.sampled_from([0, 3]),
        st.booleans(),
    )
    def test_intervals_contain_what_is_expected(self, shapes, workers, factors, rows, zarr):
        """Whatever is planned and whatever was measured, what is expected lies in its interval."""
        items = [work(str(number), shape, rows_per_slab=rows) for number, shape in enumerate(shapes)]
        taken = [one for factor in factors for one in takes(factor, (1, 5, 64, 64))]
        prices = PriceSettings(0.04, 0.02, 0.005)
        found = forecast(items, workers=workers, taken=taken, prices=prices, zarr=zarr)

        for each in (*(getattr(found, name) for name in QUANTITIES), found.money):
            assert 0 <= each.low <= each.expected <= each.high < math.inf

    @given(st.lists(SHAPES, min_size=1, max_size=5), st.integers(1, 9))
    def test_sums(self, shapes, workers):
        """Costs of exposures add up, but for references that they share and for the time that they run side by side."""
        items = [work(str(number), shape) for number, shape in enumerate(shapes)]
        whole = forecast(items, workers=workers)
        single = [forecast([one], workers=workers) for one in items]

        for name in ("bytes_read", "bytes_written", "core_hours"):
            total = sum(getattr(one, name).expected for one in single)
            assert getattr(whole, name).expected == pytest.approx(total)
        assert whole.wall_seconds.expected >= max(one.wall_seconds.expected for one in single) * (1 - 1e-9)
        assert whole.wall_seconds.expected >= whole.core_hours.expected * 3600 / workers * (1 - 1e-9)
        assert whole.exposures == len(shapes)

    def test_wall_time(self):
        """More workers are faster, until the longest exposure is all that is left."""
        items = [work("long", (1, 50, 1024, 1024)), *(work(str(number)) for number in range(40))]
        times = [forecast(items, workers=workers).wall_seconds for workers in (1, 2, 1000)]
        longest = seconds("NIRCAM", (1, 50, 1024, 1024))

        assert [one.expected for one in times] == sorted((one.expected for one in times), reverse=True)
        assert times[0].expected == pytest.approx(longest + 40 * seconds("NIRCAM", (1, 5, 64, 64)))
        assert times[2].expected == pytest.approx(longest)
        cut = forecast([work("long", (1, 50, 1024, 1024), rows_per_slab=256)], workers=1000)
        assert cut.wall_seconds.expected == pytest.approx(longest / 4)

    def test_references_are_read_once(self):
        """A reference file counts once, however many exposures read it."""
        shared, own = (ReferenceFile("dark", f"{sha}.fits", sha, "p", size) for sha, size in (("s", 7), ("o", 11)))
        items = [work("a", references=(shared,)), work("b", references=(shared, own))]

        assert forecast(items, workers=2).bytes_read.expected == 2_000_000 + 7 + 11

    def test_written(self):
        """Rate and rates of integrations have five planes each; the frame of IRS2 is larger than its product."""
        shape = (3, 5, 64, 32)
        planes = 20 * 64 * 32
        small = forecast([work(shape=shape)], workers=1).bytes_written.expected
        with_zarr = forecast([work(shape=shape)], workers=1, zarr=True).bytes_written.expected
        interleaved = work(shape=shape, header={"SUBSIZE1": 32, "SUBSIZE2": 32})

        assert 4 * planes < small < 4 * planes + 1_000_000
        assert with_zarr - small == 3 * planes
        assert small - forecast([interleaved], workers=1).bytes_written.expected == 2 * planes

    def test_nothing_to_do(self):
        """What fails before any work costs nothing, and an empty plan neither."""
        failed = item(judgement("x", failure_class="unsupported", failure="no"), 10**9)

        for items in ([], [failed]):
            found = forecast(items, workers=4, taken=takes(2, (1, 5, 64, 64)), prices=PriceSettings(1.0))
            assert {getattr(found, name) for name in QUANTITIES} == {Interval(0, 0, 0)}
            assert (found.exposures, found.money) == (0, Interval(0, 0, 0))

    def test_money(self):
        """Money is core-hours, a month of storage and requests, each at its price; without a price there is none."""
        items = [work("a", (1, 50, 1024, 1024)), work("b")]
        bare = forecast(items, workers=1)
        core, store, ask = (
            forecast(items, workers=1, prices=prices).money
            for prices in (
                PriceSettings(core_hour=2.0),
                PriceSettings(gb_month=3.0),
                PriceSettings(thousand_requests=4.0),
            )
        )

        assert bare.money is None
        assert forecast(items, workers=1, prices=PriceSettings()).money is None
        assert core == bare.core_hours * 2.0
        assert store.expected == pytest.approx(3.0 * bare.bytes_written.expected / 1e9)
        assert ask.expected == pytest.approx(4.0 * 2 * 45 / 1000)
        assert forecast(items, workers=1, prices=PriceSettings(2.0, 3.0, 4.0)).money.expected == pytest.approx(
            core.expected + store.expected + ask.expected
        )

    def test_record(self):
        """A forecast comes back from JSON as it was."""
        made = forecast([work()], workers=3, prices=PriceSettings(1.0), taken=takes(2, (1, 5, 64, 64)))

        assert forecasts.from_record(json.loads(json.dumps(forecasts.to_record(made)))) == made


class TestPace:
    """`pace`: learning from earlier campaigns."""

    SHAPES = (
        (1, 5, 64, 64),
        (2, 9, 256, 256),
        (1, 20, 2048, 2048),
        (4, 5, 320, 320),
        (1, 4, 2048, 2048),
        (9, 9, 64, 64),
    )

    @given(st.floats(0.01, 100))
    def test_learns(self, factor):
        """Where all exposures were slower than the benchmark by one factor, that is the forecast, without doubt."""
        found = forecast([work()], workers=1, taken=takes(factor, *self.SHAPES))
        bare = forecast([work()], workers=1)

        assert found.measured == 6
        for each in (found.core_hours.low, found.core_hours.expected, found.core_hours.high):
            assert each == pytest.approx(factor * bare.core_hours.expected)

    def test_spread(self):
        """The interval holds the middle eight tenths of single exposures, and what is expected weighs by work."""
        taken = [one for factor in range(1, 12) for one in takes(factor, (1, 5, 64, 64))]
        found = pace([*taken, *takes(3, (9, 50, 2048, 2048))])

        assert (found.low, found.high) == (pytest.approx(2.1), pytest.approx(9.9))
        assert found.expected == pytest.approx(3, rel=0.03)

    def test_few(self):
        """Of few exposures the pace is learnt, and the doubt stays that of the benchmark."""
        found = pace(takes(4, *self.SHAPES[: forecasts.FEWEST_MEASURED - 1]))

        assert found.expected == pytest.approx(4)
        assert found.high / found.expected == pytest.approx(forecasts.BENCHMARK_SPREAD.high)

    def test_useless(self):
        """What has no shape or took no time teaches nothing."""
        useless = [Taken("NIRCAM", (5, 64, 64), 3.0), Taken("NIRCAM", (1, 5, 64, 64), 0.0)]

        assert pace(useless) == forecasts.BENCHMARK_SPREAD
        assert forecast([work()], workers=1, taken=useless).measured == 0
