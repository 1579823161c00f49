"""A campaign for Prometheus: as text from its records, or served while it runs.

Counters begin with the outcomes that are given first and only grow, so that a campaign that is taken up again goes on
where it was. Every series has the label ``campaign``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reprocess import errors
from reprocess.archive.debt import Debt
from reprocess.execution.executor import Load
from reprocess.exposure import Outcome
from reprocess.planning.forecast import Forecast, Interval
from reprocess.planning.plan import Plan
from reprocess.publication import ledger, spending
from reprocess.publication.spending import Spent
from reprocess.reporting import metrics
from reprocess.settings import PriceSettings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

_HOUR = 3600.0
_WAITS = "written"  # the version is there, and waits for others
_DONE = frozenset({"published", "unchanged", "current"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a campaign is.

    Attributes
    ----------
    campaign : str
    candidates : int
    classes : mapping of str to int
        Candidates that have ended, by their class.
    units : mapping of str to int
        Units of work that have ended, by their class.
    spent : Spent
    cpu_seconds : float
    retries : int
        Attempts beyond the first of each unit.
    throttled : int
        How often stores asked units to wait.
    forecast : Forecast or None
    load : Load or None
        What there is to do, and who is there; None where nobody is at work.
    epoch : int or None
        Of the lease; None where nobody is at work.
    last : float
        When a unit ended last, Unix time by the clock of its worker; 0 if none has.
    """

    campaign: str
    candidates: int
    classes: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, int] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)
    cpu_seconds: float = 0.0
    retries: int = 0
    throttled: int = 0
    forecast: Forecast | None = None
    load: Load | None = None
    epoch: int | None = None
    last: float = 0.0


def standing(plan: Plan, outcomes: Iterable[Outcome], prices: PriceSettings) -> Standing:
    """Add up what the ledger has of a campaign.

    Parameters
    ----------
    outcomes : iterable of Outcome
        The latest of each unit, as `ledger.read` returns them.
    prices : PriceSettings
    """
    every = list(outcomes)
    begun = Standing(plan.digest[:16], plan.candidates, forecast=plan.forecast)
    return replace(_with(begun, every, prices), classes=ledger.close(plan, every).counts)


def exposition(found: Standing) -> str:
    """Write how far a campaign is in the text format of Prometheus."""
    from prometheus_client import generate_latest

    return generate_latest(_registry(lambda: found)).decode()


class Live:
    """What a campaign comes to while it runs. Several threads may use it.

    Parameters
    ----------
    plan : Plan
    before : iterable of Outcome
        The latest of each unit of earlier runs.
    prices : PriceSettings
    debt : Debt, optional
        The newest judgement of the archive, which is told beside the campaign.
    """

    def __init__(
        self, plan: Plan, before: Iterable[Outcome], prices: PriceSettings, *, debt: Debt | None = None
    ) -> None:
        every = list(before)
        self._prices, self._debt = prices, debt
        self._guard = threading.Lock()
        self._standing = standing(plan, every, prices)
        # What may end once more, in another class; of the many that are done for good nothing is remembered.
        ends = ledger.close(plan, every).classes
        self._open = {dataset: name for dataset, name in ends.items() if name not in _DONE}
        self._waiting = {each.unit for each in every if each.outcome_class == _WAITS}
        self._terminal = ledger.terminal_classes()
        self._look: Callable[[], Load | None] = _nobody

    def update(self, outcome: Outcome) -> None:
        """Count a unit that has ended."""
        with self._guard:
            if outcome.unit in self._waiting:  # its work was counted when it was done
                self._waiting.remove(outcome.unit)
                now = replace(self._standing, units=_moved(self._standing.units, _WAITS, outcome.outcome_class))
            else:
                now = _with(self._standing, [outcome], self._prices)
            if outcome.outcome_class == _WAITS:
                self._waiting.add(outcome.unit)
            self._standing = replace(now, classes=self._ended(now.classes, outcome))

    def _ended(self, classes: Mapping[str, int], outcome: Outcome) -> Mapping[str, int]:
        """Count the candidate too, if this unit decides on it."""
        decides = outcome.unit in (outcome.dataset, f"{outcome.dataset}/assembly")
        if not decides or outcome.outcome_class not in self._terminal:
            return classes
        was = self._open.pop(outcome.dataset, "")
        if outcome.outcome_class not in _DONE:
            self._open[outcome.dataset] = outcome.outcome_class
        return _moved(classes, was, outcome.outcome_class)

    @contextmanager
    def attending(self, look: Callable[[], Load | None], *, epoch: int) -> Iterator[None]:
        """Know, while a block runs, whom to ask what there is to do and who is there.

        Parameters
        ----------
        look : callable
            See `Executor.load`; asked at each scrape.
        epoch : int
            Of the coordinator's lease.
        """
        with self._guard:
            self._look, self._standing = look, replace(self._standing, epoch=epoch)
        try:
            yield
        finally:
            with self._guard:
                self._look, self._standing = _nobody, replace(self._standing, epoch=None)

    @property
    def standing(self) -> Standing:
        """How far the campaign is now."""
        with self._guard:
            now, look = self._standing, self._look
        try:
            return replace(now, load=look())
        except (OSError, RuntimeError):  # the scheduler has just gone: its workers are not known
            return now

    @contextmanager
    def served(self, port: int, address: str = "127.0.0.1") -> Iterator[int]:
        """Serve ``/metrics`` while a block runs; yields the port, which is a free one for port 0.

        Nobody is asked for a password, so by default only this machine is served.

        Raises
        ------
        UsageError
            The port or the address cannot be had.
        """
        from prometheus_client import start_http_server

        try:
            registry = _registry(lambda: self.standing, self._debt)
            server, thread = start_http_server(port, addr=address, registry=registry)
        except (OSError, OverflowError) as error:
            raise errors.UsageError(
                f"Metrics cannot be served on {address}:{port} ({error}). Take another port, or 0 for a free one."
            ) from error
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _nobody() -> None:
    """Answer for an executor that is not there."""


def _with(before: Standing, outcomes: Iterable[Outcome], prices: PriceSettings) -> Standing:
    """Add units that have ended, all but what they decide."""
    every = list(outcomes)
    return replace(
        before,
        units=_counted(before.units, [each.outcome_class for each in every]),
        spent=before.spent + spending.spent(every, prices),
        cpu_seconds=before.cpu_seconds + sum(each.seconds.get("cpu", 0.0) for each in every),
        throttled=before.throttled + sum(each.throttled for each in every),
        retries=before.retries + sum(max(each.attempt - 1, 0) for each in every),
        last=max([before.last, *(_moment(each.ended) for each in every)]),
    )


def _moved(counts: Mapping[str, int], was: str, now: str) -> Mapping[str, int]:
    """Count one more of a class, and one less of another; empty: of none."""
    counter = Counter(counts)
    counter[now] += 1
    if was:
        counter[was] -= 1
    return {name: count for name, count in counter.items() if count}


def _counted(before: Mapping[str, int], more: Iterable[str]) -> Mapping[str, int]:
    counter = Counter(before)
    counter.update(more)
    return counter


def _moment(ended: str) -> float:
    try:
        return datetime.fromisoformat(ended).replace(tzinfo=UTC).timestamp() if ended else 0.0
    except ValueError:
        return 0.0


def _registry(source: Callable[[], Standing], debt: Debt | None = None) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry

    class Source:
        def collect(self) -> Iterator[Metric]:
            yield from _families(source())
            if debt is not None:
                yield from metrics.gauges(debt, datetime.now(UTC)).collect()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Source())
    return registry


def _families(found: Standing) -> Iterator[Metric]:
    yield from _progress(found)
    yield from _effort(found)
    if found.forecast:
        yield _forecast(found.campaign, found.forecast)


def _progress(found: Standing) -> Iterator[Metric]:
    pending = found.candidates - sum(found.classes.values())
    yield _gauge(found, "candidates", "Exposures that the plan judged.", found.candidates)
    yield _gauge(found, "pending", "Candidates that have not ended yet.", max(pending, 0))
    yield _by_class(found, "ended", "Candidates that have ended, by their class.", found.classes)
    yield _by_class(found, "units", "Units of work that have ended, by their class.", found.units, counter=True)
    if found.load is not None:
        yield from _load(found, found.load)
    if found.epoch is not None:
        yield _gauge(found, "lease_epoch", "Epoch of the coordinator's lease.", found.epoch)
    yield _gauge(found, "last_unit_timestamp_seconds", "When a unit ended last, Unix time; 0: none.", found.last)


def _load(found: Standing, load: Load) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    yield _gauge(found, "queue", "Units of work that wait.", load.queued)
    yield _gauge(found, "running", "Units of work that workers are executing.", load.running)
    yield _gauge(found, "workers", "Workers.", sum(load.busy.values()) + sum(load.idle.values()))
    name, text = "reprocess_campaign_tier_workers", "Workers, by memory tier and by whether they execute something."
    family = GaugeMetricFamily(name, text, labels=("campaign", "tier", "state"))
    for state, counts in (("busy", load.busy), ("idle", load.idle)):
        for tier, count in sorted(counts.items()):
            family.add_metric((found.campaign, str(tier), state), count)
    yield family


def _effort(found: Standing) -> Iterator[Metric]:
    spent = found.spent
    for name, text, value in (
        ("read_bytes", "Bytes that units read from the stores.", spent.bytes_read),
        ("written_bytes", "Bytes that units wrote to the stores.", spent.bytes_written),
        ("requests", "Requests that units made of the stores.", spent.requests),
        ("cpu_seconds", "Processor time of units.", found.cpu_seconds),
        ("core_seconds", "Time for which workers were busy.", spent.core_hours * _HOUR),
        ("retries", "Attempts beyond the first of each unit.", found.retries),
        ("storage_errors", "Units that ended because of the object store.", found.units.get("storage", 0)),
        ("throttled", "How often stores asked units to wait (503, 429).", found.throttled),
    ):
        yield _counter(found, name, text, value)
    if spent.money is not None:
        yield _gauge(found, "cost", "Cost so far, in the currency of the prices.", spent.money)


def _forecast(campaign: str, told: Forecast) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    text = "What the plan was forecast to come to; quantities are named like the metrics of what it comes to."
    family = GaugeMetricFamily("reprocess_campaign_forecast", text, labels=("campaign", "quantity", "bound"))
    quantities: dict[str, Interval | None] = {
        "core_seconds": told.core_hours * _HOUR,
        "wall_seconds": told.wall_seconds,
        "read_bytes": told.bytes_read,
        "written_bytes": told.bytes_written,
        "cost": told.money,
    }
    for name, interval in quantities.items():
        for bound in ("low", "expected", "high"):
            if interval is not None:
                family.add_metric((campaign, name, bound), getattr(interval, bound))
    return family


def _gauge(found: Standing, name: str, text: str, value: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"reprocess_campaign_{name}", text, labels=("campaign",))
    family.add_metric((found.campaign,), value)
    return family


def _counter(found: Standing, name: str, text: str, value: float) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"reprocess_campaign_{name}", text, labels=("campaign",))
    family.add_metric((found.campaign,), value)
    return family


def _by_class(found: Standing, name: str, text: str, counts: Mapping[str, int], *, counter: bool = False) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if counter else GaugeMetricFamily
    family = kind(f"reprocess_campaign_{name}", text, labels=("campaign", "class"))
    for each, count in sorted(counts.items()):
        family.add_metric((found.campaign, each), count)
    return family
