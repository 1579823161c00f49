"""What units of work have cost so far, and for how long somebody was at work: from their outcomes; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from reprocess.exposure import Outcome
from reprocess.planning import forecast
from reprocess.settings import PriceSettings

BRIDGED_S = 60.0
"""A pause between units that is no longer than this belongs to the work; a longer one lies between two runs."""

_CPU = "cpu"
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What units of work have cost.

    Attributes
    ----------
    core_hours : float
        Time for which workers were busy.
    bytes_read, bytes_written, requests : int
        Traffic with the stores.
    money : float or None
        In the currency of the prices, storage for one month; None where no prices were given.
    """

    core_hours: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    requests: int = 0
    money: float | None = None

    def __add__(self, other: Spent) -> Spent:
        """Add what other units have cost; nothing has no price, so an unknown price is none."""
        priced = [each for each in (self.money, other.money) if each is not None]
        return Spent(
            self.core_hours + other.core_hours,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
            self.requests + other.requests,
            math.fsum(priced) if priced else None,
        )


def spent(outcomes: Iterable[Outcome], prices: PriceSettings) -> Spent:
    """Add up what units have cost so far. Results of several calls can be added.

    Parameters
    ----------
    outcomes : iterable of Outcome
        Each unit once, however it ended. Of a unit that was tried several times only the last attempt is on record:
        those before it are taken to have cost the same core time and requests. Bytes are those of the last attempt.
    prices : PriceSettings
    """
    every = [(outcome, max(outcome.attempt, 1)) for outcome in outcomes]
    hours = math.fsum(times * core_seconds(outcome) for outcome, times in every) / _HOUR
    written = sum(outcome.bytes_written for outcome, _ in every)
    requests = sum(times * outcome.requests for outcome, times in every)
    read = sum(outcome.bytes_read for outcome, _ in every)
    return Spent(hours, read, written, requests, forecast.cost(hours, written, requests, prices))


def elapsed(outcomes: Iterable[Outcome]) -> float | None:
    """Return the seconds during which somebody was at work, by the clocks of the workers; None if none tells its end.

    Pauses between runs do not count, so a campaign that was killed and taken up again is settled like another.
    """
    spans = sorted((end - core_seconds(one), end) for one in outcomes if (end := _moment(one.ended)) is not None)
    if not spans:
        return None
    total, (start, until) = 0.0, spans[0]
    for begin, end in spans:
        if begin > until + BRIDGED_S:
            total, start = total + until - start, begin
        until = max(until, end)
    return total + until - start


def core_seconds(outcome: Outcome) -> float:
    """Return the wall seconds of all stages of a unit: the time for which its worker was busy."""
    return math.fsum(seconds for stage, seconds in outcome.seconds.items() if stage != _CPU)


def _moment(ended: str) -> float | None:
    try:
        return datetime.fromisoformat(f"{ended}+00:00").timestamp() if ended else None
    except ValueError:
        return None
