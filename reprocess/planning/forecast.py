"""What a plan will cost: bytes, core-hours, wall time and money, each with an interval. Arithmetic only.

Core time is the time for which a worker is busy with an exposure, waiting for the store included: it is what a machine
is paid for. An exposure takes a constant, so much per sample of its ramps, and so much per pixel of its products.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from reprocess.exposure import CatalogueEntry
from reprocess.settings import PriceSettings

if TYPE_CHECKING:
    from reprocess.planning.plan import Item


@dataclass(frozen=True, slots=True)
class Interval:
    """A quantity as it is expected, and between what it should lie."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        """Add both ends and the middle: what is uncertain in one way may be so in the other."""
        return Interval(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, factor: float) -> Interval:
        """Stretch by a factor that is not negative."""
        return Interval(self.low * factor, self.expected * factor, self.high * factor)


NOTHING = Interval(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the work of a plan will cost.

    Attributes
    ----------
    exposures : int
        How many are to be calibrated.
    workers : int
        On how many workers the wall time is forecast.
    bytes_read, bytes_written : Interval
        Traffic with the stores.
    core_hours, wall_seconds : Interval
    money : Interval or None
        In the currency of the prices, storage for one month; None where no prices were given.
    measured : int
        On how many exposures of earlier campaigns core time is based; 0: on a benchmark machine alone.
    """

    exposures: int
    workers: int
    bytes_read: Interval
    bytes_written: Interval
    core_hours: Interval
    wall_seconds: Interval
    money: Interval | None
    measured: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What one exposure took in an earlier campaign: its shape (integration, group, row, column), and core seconds."""

    instrument: str
    shape: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Learned:
    """What settled campaigns teach of the exposures of one mode.

    Attributes
    ----------
    exposures : int
        How many came to an end.
    pace : Interval
        Their core seconds as a multiple of `seconds`, with the spread of single exposures.
    requests : float
        Requests for one of them.
    """

    exposures: int
    pace: Interval
    requests: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Core seconds of an exposure: a constant, and those per million samples and per million pixels of products."""

    constant: float
    per_sample: float
    per_pixel: float


# Fitted by least squares of the relative residuals to stage 1 from S3 to S3 (an embedded endpoint on the same machine,
# AMD EPYC, one worker, 2026-11): exposures of 64 x 64 to 2048 x 2048 pixels, 5 to 40 groups and 1 to 20 integrations,
# three of each, references at hand; `python -m benchmarks forecast` measures and fits anew.
NEAR_INFRARED = Cost(0.086, 0.022, 0.181)
MIRI = Cost(0.03, 0.058, 0.118)

# Measured seconds of single shapes were 0.8 to 1.8 times those of the fit; other machines and stores are taken to be up
# to half as fast again, or slower by as much.
BENCHMARK_SPREAD = Interval(0.8 / 1.5, 1.0, 1.8 * 1.5)

FEWEST_MEASURED = 5
"""Of fewer exposures than this the spread tells nothing."""

_MEGA, _GIGA, _HOUR = 1e6, 1e9, 3600.0
_BYTES_PER_PIXEL = 20
"""Science, error, flags and two variances."""
_BYTES_BESIDES = 200_000
"""Headers, provenance, manifest and quick look of an exposure; measured 160 to 320 kB."""
_REQUESTS = 45
"""Requests for an exposure, all in; measured."""


def seconds(instrument: str, shape: Sequence[int]) -> float:
    """Return the core seconds that an exposure takes on the benchmark machine.

    Parameters
    ----------
    instrument : str
        INSTRUME.
    shape : sequence of int
        (integration, group, row, column).
    """
    integrations, groups, rows, columns = shape
    cost = MIRI if instrument == "MIRI" else NEAR_INFRARED
    samples, pixels = integrations * groups * rows * columns, (1 + integrations) * rows * columns
    return cost.constant + (cost.per_sample * samples + cost.per_pixel * pixels) / _MEGA


def forecast(
    items: Iterable[Item],
    *,
    workers: int,
    taken: Sequence[Taken] = (),
    learned: Mapping[str, Learned] | None = None,
    prices: PriceSettings | None = None,
    zarr: bool = False,
) -> Forecast:
    """Forecast what the items of a plan will cost; those that fail cost nothing.

    Parameters
    ----------
    items : iterable of Item
    workers : int
        At least 1.
    taken : sequence of Taken
        What exposures of the same archive took before.
    learned : mapping of mode to Learned, optional
        What settled campaigns say of modes, see `mode`: it weighs more than `taken`, which is for all other modes.
    prices : PriceSettings, optional
    zarr : bool
        Whether each version also holds the rates of each integration as Zarr.
    """
    work = [item for item in items if item.action == "calibrate"]
    known, general = learned or {}, Learned(0, pace(taken), _REQUESTS)
    told = [known.get(mode(item.entry), general) for item in work]
    single = [each.pace * _seconds(item) for item, each in zip(work, told, strict=True)]
    core = _sum(single)
    longest = _largest(each * (1 / _slabs(item)) for item, each in zip(work, single, strict=True))
    read = sum((_raw_bytes(item) for item in work), NOTHING) + _reference_bytes(work, workers)
    written = sum((_product_bytes(item, zarr) for item in work), NOTHING)
    hours = core * (1 / _HOUR)
    return Forecast(
        exposures=len(work),
        workers=workers,
        bytes_read=read,
        bytes_written=written,
        core_hours=hours,
        wall_seconds=_wall(core, longest, workers),
        money=_money(hours, written, math.fsum(each.requests for each in told), prices) if prices else None,
        measured=max(sum(_is_known(one) for one in taken), sum(each.exposures for each in known.values())),
    )


def mode(entry: CatalogueEntry) -> str:
    """Name the mode of an exposure, for example ``NIRCAM NRC_IMAGE``."""
    return " ".join(str(entry.header.get(keyword) or "?") for keyword in ("INSTRUME", "EXP_TYPE"))


def cost(core_hours: float, bytes_kept: float, requests: float, prices: PriceSettings) -> float | None:
    """Return what work costs, storage for one month; None where no prices were given."""
    if not (prices.core_hour or prices.gb_month or prices.thousand_requests):
        return None
    kept = bytes_kept / _GIGA * prices.gb_month
    return core_hours * prices.core_hour + kept + requests / 1000 * prices.thousand_requests


def pace(taken: Sequence[Taken]) -> Interval:
    """Return how much slower this archive is worked off than the benchmark, with the spread of single exposures."""
    known = [(one.seconds, seconds(one.instrument, one.shape)) for one in taken if _is_known(one)]
    if not known:
        return BENCHMARK_SPREAD
    mean = math.fsum(found for found, _ in known) / math.fsum(told for _, told in known)
    if len(known) < FEWEST_MEASURED:
        return BENCHMARK_SPREAD * mean
    tenths = statistics.quantiles((found / told for found, told in known), n=10, method="inclusive")
    return Interval(min(tenths[0], mean), mean, max(tenths[-1], mean))


def to_record(made: Forecast) -> dict[str, Any]:
    """Put a forecast into JSON values."""
    return asdict(made)


def from_record(record: Mapping[str, Any]) -> Forecast:
    """Read what `to_record` made."""
    found: dict[str, Any] = {name: Interval(**one) if isinstance(one, Mapping) else one for name, one in record.items()}
    return Forecast(**found)


def _is_known(one: Taken) -> bool:
    return len(one.shape) == 4 and one.seconds > 0


def _shape(entry: CatalogueEntry) -> tuple[int, ...]:
    assert entry.sci_shape is not None, "an exposure without a shape is not calibrated"
    return entry.sci_shape


def _seconds(item: Item) -> float:
    return seconds(str(item.entry.header.get("INSTRUME", "")), _shape(item.entry))


def _slabs(item: Item) -> int:
    return -(-_shape(item.entry)[2] // item.rows_per_slab) if item.rows_per_slab else 1


def _raw_bytes(item: Item) -> Interval:
    """Return what is read of a Level 1b object: its ramps; if it is cut, once for its facts and once for its slabs."""
    size = item.entry.size
    ramps = min(size, 2 * math.prod(_shape(item.entry)))
    return Interval(2 * ramps, 2 * size, 3 * size) if item.rows_per_slab else Interval(ramps, size, size)


def _reference_bytes(work: Sequence[Item], workers: int) -> Interval:
    """Return what is read of references: each file once to prepare it, and perhaps its arrays by every worker."""
    files = {file.sha256: file.size for item in work for file in item.references}
    total = sum(files.values())
    return Interval(0, total, total * (1 + min(workers, len(work))))


def _product_bytes(item: Item, zarr: bool) -> Interval:
    """Return what is written for an exposure; if it is cut, perhaps twice, because slabs are staged."""
    integrations, _, rows, columns = _shape(item.entry)
    width, height = (item.entry.header.get(keyword) for keyword in ("SUBSIZE1", "SUBSIZE2"))
    # The raw frame of IRS2 has reference pixels in between, which the products do not have.
    told = width * height if isinstance(width, int) and isinstance(height, int) else 0
    pixels = min(rows * columns, told) if told > 0 else rows * columns
    images = 1 + integrations + (integrations if zarr else 0)
    total = _BYTES_PER_PIXEL * pixels * images + _BYTES_BESIDES
    most = (2 if item.rows_per_slab else 1) * total + _BYTES_BESIDES
    return Interval(total - _BYTES_BESIDES // 2, total, most)


def _wall(core: Interval, longest: Interval, workers: int) -> Interval:
    """Return the time of so many workers: no shorter than the longest unit, no longer than if that came last."""
    even = core * (1 / workers)
    return Interval(
        max(even.low, longest.low), max(even.expected, longest.expected), even.high + longest.high * (1 - 1 / workers)
    )


def _money(hours: Interval, written: Interval, requests: float, prices: PriceSettings) -> Interval | None:
    found = [cost(*each, requests, prices) for each in zip(_ends(hours), _ends(written), strict=True)]
    low, expected, high = found
    return None if low is None or expected is None or high is None else Interval(low, expected, high)


def _ends(each: Interval) -> tuple[float, float, float]:
    return each.low, each.expected, each.high


def _sum(every: Sequence[Interval]) -> Interval:
    """Add many up without losing digits."""
    return Interval(*(math.fsum(column) for column in zip(*map(_ends, every), strict=True))) if every else NOTHING


def _largest(every: Iterable[Interval]) -> Interval:
    """Return the largest end of each kind."""
    columns = list(zip(*map(_ends, every), strict=True))
    return Interval(*map(max, columns)) if columns else NOTHING
