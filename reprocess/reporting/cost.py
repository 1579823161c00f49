"""What a campaign cost, held against what was forecast; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reprocess.planning.forecast import Forecast, Interval
from reprocess.publication.spending import Spent
from reprocess.reporting.effort import Effort
from reprocess.reporting.wording import duration_text, size_text

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class CostRow:
    """One quantity.

    Attributes
    ----------
    name : str
    actual : float
        So far.
    forecast : Interval or None
        For all exposures of the plan; None where there is none.
    projected : float or None
        What it comes to if what is left to do is like what was done; None as long as nothing was done.
    text : callable
        Writes such a quantity for people.
    """

    name: str
    actual: float
    forecast: Interval | None
    projected: float | None
    text: Callable[[float], str]

    @property
    def verdict(self) -> str:
        """``within``, ``more`` or ``less`` than the forecast interval, or empty."""
        if self.forecast is None or self.projected is None:
            return ""
        if self.projected > self.forecast.high:
            return "more"
        return "less" if self.projected < self.forecast.low else "within"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a campaign cost.

    Attributes
    ----------
    done, planned : int
        Exposures that were calibrated to the end, and those that the forecast is for (0 without one).
    measured : int
        On how many exposures of this archive the forecast is based.
    is_whole : bool
        Whether the campaign has done all that it will.
    rows : tuple of CostRow
    """

    done: int
    planned: int
    measured: int
    is_whole: bool
    rows: tuple[CostRow, ...]


def money_text(amount: float) -> str:
    """Write an amount of money; the currency is that of the prices."""
    return f"{amount:,.2f}" if amount >= 0.01 or not amount else f"{amount:.1g}"


def cost(forecast: Forecast | None, spent: Spent, effort: Effort, *, is_whole: bool = True) -> Cost:
    """Hold what a campaign cost against its forecast.

    Parameters
    ----------
    forecast : Forecast, optional
        The plan's.
    spent : Spent
        By all units so far.
    effort : Effort
        What was done for it, and in what time.
    is_whole : bool
        Whether the campaign has done all that it will.
    """
    planned = forecast.exposures if forecast else 0
    grown = 1.0 if is_whole else max(1.0, planned / effort.exposures) if effort.exposures else None

    def row(name: str, actual: float | None, told: Interval | None, text: Callable[[float], str]) -> CostRow | None:
        if actual is None:
            return None
        return CostRow(name, actual, told, actual * grown if grown else None, text)

    rows = (
        row("core time", spent.core_hours * _HOUR, forecast.core_hours * _HOUR if forecast else None, duration_text),
        row("wall time", effort.wall_seconds, forecast.wall_seconds if forecast else None, duration_text),
        row("read", spent.bytes_read, forecast.bytes_read if forecast else None, size_text),
        row("written", spent.bytes_written, forecast.bytes_written if forecast else None, size_text),
        row("requests", spent.requests or None, None, lambda count: f"{count:,.0f}"),
        row("money", spent.money, forecast.money if forecast else None, money_text),
    )
    measured = forecast.measured if forecast else 0
    return Cost(effort.exposures, planned, measured, is_whole, tuple(each for each in rows if each))
