"""What a campaign was forecast to cost and what it did cost, kept so that the next forecast learns from it.

Everything follows from the plan and the ledger, so a settlement can be made again at any time. What is learned is a
pace by mode: core seconds as a multiple of those of the benchmark, not of a forecast, so that corrections do not pile
up. It is robust twice: within a campaign no exposure counts for more than a few times the median, and of several
campaigns the median is taken, so that one bad night teaches nothing.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reprocess import errors
from reprocess.exposure import Outcome
from reprocess.formats import records
from reprocess.planning import forecast as forecasts
from reprocess.planning.forecast import Interval, Learned
from reprocess.planning.plan import Item, Plan
from reprocess.publication import spending
from reprocess.settings import PriceSettings
from reprocess.storage.store import Store

KIND, SCHEMA = "settlement", 1

CLIP = 4.0
"""An exposure counts for no more than so many times the median pace of its mode, and for no less than its part."""

MOST_WEIGHT = 100
"""More exposures of a mode do not give a campaign more weight among others."""

_FINISHED = frozenset(("published", "unchanged", "held-back"))


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity as it was forecast, if it was, and as it came; None: not known."""

    forecast: Interval | None
    actual: float | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """Forecast and truth of one campaign.

    Attributes
    ----------
    digest, created : str
        Those of the plan.
    planned, finished : int
        Exposures that were to be calibrated, and those that were, whether or not their pointer moved.
    share : float
        Part of the forecast core time that belongs to those that finished.
    quantities : mapping of str to Quantity
        ``core_hours``, ``wall_seconds``, ``bytes_read``, ``bytes_written``, ``requests`` and ``money``.
    modes : mapping of str to Learned
        By mode, see `forecast.mode`.
    """

    digest: str
    created: str
    planned: int
    finished: int
    share: float
    quantities: Mapping[str, Quantity]
    modes: Mapping[str, Learned]

    def ratio(self, name: str) -> float | None:
        """Return how many times a quantity is what was forecast of the exposures that finished."""
        each = self.quantities[name]
        if each.forecast is None or each.actual is None or not each.forecast.expected * self.share:
            return None
        return each.actual / (each.forecast.expected * self.share)


def settle(made: Plan, outcomes: Iterable[Outcome], prices: PriceSettings) -> Settlement:
    """Hold a campaign against its forecast.

    Parameters
    ----------
    made : Plan
    outcomes : iterable of Outcome
        The latest of each unit, such as the values of `ledger.read`.
    prices : PriceSettings
    """
    every = tuple(outcomes)
    work = {item.dataset: item for item in made.items if item.action == "calibrate"}
    ended = {one.dataset for one in every if one.outcome_class in _FINISHED and one.dataset in work}
    told = {dataset: _told(item) for dataset, item in work.items()}
    total, done = math.fsum(told.values()), math.fsum(told[dataset] for dataset in ended)
    return Settlement(
        digest=made.digest,
        created=made.created,
        planned=len(work),
        finished=len(ended),
        share=done / total if total else 0.0,
        quantities=_quantities(made, every, prices),
        modes=_modes([work[dataset] for dataset in sorted(ended)], every),
    )


def _quantities(made: Plan, outcomes: Sequence[Outcome], prices: PriceSettings) -> dict[str, Quantity]:
    actual = asdict(spending.spent(outcomes, prices)) | {"wall_seconds": spending.elapsed(outcomes)}
    return {name: Quantity(getattr(made.forecast, name, None), actual[name]) for name in sorted(actual)}


def _modes(finished: Sequence[Item], outcomes: Sequence[Outcome]) -> dict[str, Learned]:
    """Measure the pace of each mode, of exposures all of whose units are on record."""
    taken: defaultdict[str, float] = defaultdict(float)
    requests: defaultdict[str, int] = defaultdict(int)
    for one in outcomes:
        taken[one.dataset] += spending.core_seconds(one)
        requests[one.dataset] += one.requests
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in finished:
        if taken[item.dataset] > 0:
            groups[forecasts.mode(item.entry)].append(item)
    return {
        name: Learned(
            exposures=len(items),
            pace=_pace([(taken[item.dataset], _told(item)) for item in items]),
            requests=statistics.median(requests[item.dataset] for item in items),
        )
        for name, items in sorted(groups.items())
    }


def _pace(pairs: Sequence[tuple[float, float]]) -> Interval:
    """Return found over told, all together, with the spread of single exposures; what stands out is cut off."""
    ratios = [found / told for found, told in pairs]
    middle = statistics.median(ratios)
    cut = [min(max(ratio, middle / CLIP), middle * CLIP) for ratio in ratios]
    told = [told for _, told in pairs]
    mean = math.fsum(ratio * weight for ratio, weight in zip(cut, told, strict=True)) / math.fsum(told)
    if len(pairs) < forecasts.FEWEST_MEASURED:
        return forecasts.BENCHMARK_SPREAD * mean
    tenths = statistics.quantiles(cut, n=10, method="inclusive")
    return Interval(min(tenths[0], mean), mean, max(tenths[-1], mean))


def combine(settlements: Iterable[Settlement]) -> dict[str, Learned]:
    """Put together what several campaigns teach; modes of which too few exposures were seen are left out."""
    found: defaultdict[str, list[Learned]] = defaultdict(list)
    for settlement in settlements:
        for name, learned in settlement.modes.items():
            found[name].append(learned)
    return {
        name: _middle(every)
        for name, every in sorted(found.items())
        if sum(one.exposures for one in every) >= forecasts.FEWEST_MEASURED
    }


def _middle(every: Sequence[Learned]) -> Learned:
    weights = [min(one.exposures, MOST_WEIGHT) for one in every]
    low, expected, high, requests = (
        _median(column, weights)
        for column in zip(
            *((one.pace.low, one.pace.expected, one.pace.high, one.requests) for one in every), strict=True
        )
    )
    means = [one.pace.expected for one in every]
    # Campaigns that disagree among themselves make what comes less certain.
    pace = Interval(min(low, *means), expected, max(high, *means))
    return Learned(sum(one.exposures for one in every), pace, requests)


def _numbers(one: Learned) -> tuple[float, float, float, float]:
    return one.pace.low, one.pace.expected, one.pace.high, one.requests


def _median(values: Sequence[float], weights: Sequence[int]) -> float:
    """Return the weighted median; the mean of two where it lies between them."""
    ordered = sorted(zip(values, weights, strict=True))
    half, before = sum(weights) / 2, 0
    for place, (value, weight) in enumerate(ordered):
        before += weight
        if before == half:
            return (value + ordered[place + 1][0]) / 2
        if before > half:
            return value
    raise ValueError("no weights")


def key(campaign: str) -> str:
    """Where the settlement of a campaign is."""
    return f"campaigns/{campaign}/settlement.json"


def keep(store: Store, made: Settlement) -> None:
    """Keep a settlement, in place of an earlier one of the same campaign."""
    store.put(key(made.digest[:16]), to_bytes(made), content_type="application/json")


def to_bytes(made: Settlement) -> bytes:
    """Write a settlement as canonical JSON; the ratios are for people and are not read back."""
    ratios = {name: made.ratio(name) for name in made.quantities}
    return records.dumps(KIND, SCHEMA, asdict(made) | {"ratios": ratios})


def from_bytes(data: bytes, *, name: str) -> Settlement:
    """Read a settlement.

    Raises
    ------
    DamagedRecord
        The bytes are no settlement of a known schema.
    """
    body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
    try:
        plain = {word: body[word] for word in ("digest", "created", "planned", "finished", "share")}
        quantities = {word: _quantity(each) for word, each in body["quantities"].items()}
        modes = {word: Learned(**{**each, "pace": Interval(**each["pace"])}) for word, each in body["modes"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.DamagedRecord(f"{name} is no whole settlement: {error!r}. Delete it; nothing is lost.") from error
    return Settlement(**plain, quantities=quantities, modes=modes)


def _quantity(body: Mapping[str, Any]) -> Quantity:
    told = body["forecast"]
    return Quantity(Interval(**told) if told is not None else None, body["actual"])


def _told(item: Item) -> float:
    """Return the core seconds of the benchmark."""
    assert item.entry.sci_shape is not None, "an exposure without a shape is not calibrated"
    return forecasts.seconds(str(item.entry.header.get("INSTRUME", "")), item.entry.sci_shape)
