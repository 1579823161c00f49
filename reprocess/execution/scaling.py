"""How many workers each memory tier should have now: a pure function of the work, the fleet and the limits.

The rule, for each tier by itself:

- **Up.** A tier asks for as many workers as work off all that is there within `aim_s`, and never for more than there
  are units. A queue of a hundred units of ten seconds is worth two workers, not a hundred: a worker that is started
  has a quarter of an hour of work. A running unit counts with what is left of it, up to `aim_s`: behind a very long
  one, others do not wait for it.
- **Deadline.** With hours left to it, the work has to end in a shorter time, and that is aimed at. By Graham's bound,
  alike workers end work within its sum divided by their number, plus one unit. A worker that could not end one unit in
  time is not asked for.
- **Budget.** Queued work that the rest of the budget does not pay for is worth no worker.
- **Slow start.** The archive feels the workers that are there. A fleet grows at most to twice those, and begins with
  `first`; it grows at most once in `step_s`.
- **Throttling.** When the store refuses more often than is tolerated, the ceiling of each tier is halved, at most once
  in `calm_s`. Without refusals it rises by the same amount each second, from none to the limit in `recovery_s`.
- **Down.** A worker that runs something is kept, and as many more as the queue has `keep_s` of work for: far less than
  what a worker is started for, because it is warm. A fleet is lowered to the most that was worth keeping at any moment
  of the last `idle_s`; so it never goes down and up again within that time, except by the ceiling.
- **Zero.** Without work nothing is worth keeping. With any work, one worker at least is asked for.

Work is all of a campaign that is left, not what the scheduler holds of it. Numbers that make no sense count as none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reprocess.execution.executor import Left

BACK_OFF = 0.5
"""Part of the workers that are there which the ceiling falls to."""
PLANNED = 0.9
"""Part of the time left that is planned with: forecasts err."""
ENDLESS = 1e12
"""Stands for numbers that are larger, infinity among them."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is left of one memory tier at this moment.

    Attributes
    ----------
    queued : int
        Units that have not begun.
    queued_s : float
        Core seconds that they are forecast to take.
    running : int
        Units that run.
    running_s : float
        Forecast of what is left of them, in core seconds.
    """

    queued: int
    queued_s: float
    running: int
    running_s: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """Workers of one tier: how many are asked for, and how many are there."""

    asked: int
    ready: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What one tier may do."""

    most: int
    """Workers."""
    least: int = 0
    """Workers that are kept without any work; `most` wins over it."""
    first: int = 8
    """Workers that a fleet begins with at most."""
    aim_s: float = 900.0
    """Work of a worker, in seconds, that makes it worth starting."""
    keep_s: float = 60.0
    """Work of a worker, in seconds, that makes it worth keeping."""
    idle_s: float = 60.0
    """How long, in seconds, a fleet is larger than it need be before it is lowered. What a start takes is the best
    guess when nobody knows what comes: it never costs more than twice what knowing would."""
    step_s: float = 30.0
    """Least time between two raises in seconds."""
    start_s: float = 60.0
    """From asking for a worker to its first unit, in seconds."""
    calm_s: float = 120.0
    """Least time between two halvings of the ceiling in seconds: what is given up works on until its unit has ended."""
    recovery_s: float = 1800.0
    """In how many seconds the ceiling rises from none to `most`."""
    tolerated: float = 1.0
    """Refusals of the store, by minute and worker, that are nobody's worry."""


@dataclass(frozen=True, slots=True)
class Past:
    """What must be remembered of one tier.

    Attributes
    ----------
    kept : tuple of (float, int)
        Moments of the last `Limits.idle_s`, ascending, and how many workers were worth keeping then, descending: a
        number that a later one exceeds can never again be the most.
    raised_s, halved_s : float
        When the fleet was raised and the ceiling halved.
    ceiling : float
        Of workers, for the archive's sake.
    """

    kept: tuple[tuple[float, int], ...] = ()
    raised_s: float = -math.inf
    halved_s: float = -math.inf
    ceiling: float = math.inf


@dataclass(frozen=True, slots=True)
class Memory:
    """What one decision leaves to the next; ``Memory()`` at first."""

    now_s: float = -math.inf
    tiers: Mapping[int, Past] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers each tier is to have, why, and what to give to the next decision."""

    replicas: Mapping[int, int]
    memory: Memory
    reasons: Mapping[int, str]


_NONE = Work(0, 0.0, 0, 0.0)


def decide(
    now_s: float,
    work: Mapping[int, Work],
    fleets: Mapping[int, Fleet],
    *,
    limits: Mapping[int, Limits],
    throttled: int,
    left: Left,
    memory: Memory,
) -> Decision:
    """Decide how many workers each tier should have.

    Parameters
    ----------
    now_s : float
        Any clock that does not go back, in seconds.
    work, fleets, limits : mapping of tier
        Tiers without limits are left alone; a tier without work has none, and without a fleet has no workers.
    throttled : int
        Refusals of the store (503, 429) since the last decision.
    left : Left
        What the run may still take: hours to its deadline, core seconds that its budget pays for.
    memory : Memory
        Of the last decision.

    Returns
    -------
    Decision
    """
    now_s = _sane(now_s, least=memory.now_s if math.isfinite(memory.now_s) else -ENDLESS)
    passed_s = min(now_s - memory.now_s, ENDLESS)
    sane = {tier: _sane_fleet(fleets.get(tier, Fleet(0, 0))) for tier in limits}
    refusals = _sane(throttled) / max(sum(fleet.ready for fleet in sane.values()), 1)
    time_left_s = math.inf if left.hours is None or math.isnan(left.hours) else _sane(left.hours) * 3600
    paid = _paid({tier: _sane_work(one) for tier, one in work.items()}, left.core_s)
    replicas, reasons, tiers = {}, {}, {}
    for tier, limit in sorted(limits.items()):
        pressed = refusals > _sane(limit.tolerated) * passed_s / 60 if math.isfinite(memory.now_s) else refusals > 0
        past = _ceiling(now_s, passed_s, sane[tier], limit, pressed=pressed, past=memory.tiers.get(tier, Past()))
        todo = paid.get(tier, _NONE)
        replicas[tier], reasons[tier], tiers[tier] = _decide_tier(now_s, todo, sane[tier], limit, time_left_s, past)
    return Decision(replicas, Memory(now_s, tiers), reasons)


def _paid(work: Mapping[int, Work], core_s_left: float | None) -> Mapping[int, Work]:
    """Leave out what the budget does not pay for, of each tier the same part: it will not be done in this run."""
    if core_s_left is None or math.isnan(core_s_left):
        return work
    queued_s = math.fsum(one.queued_s for one in work.values())
    free_s = _sane(core_s_left) - math.fsum(one.running_s for one in work.values())
    part = min(max(free_s, 0.0) / queued_s, 1.0) if queued_s else 1.0
    return {
        tier: replace(one, queued=math.ceil(one.queued * part), queued_s=one.queued_s * part)
        for tier, one in work.items()
    }


def _decide_tier(
    now_s: float, work: Work, fleet: Fleet, limits: Limits, time_left_s: float, past: Past
) -> tuple[int, str, Past]:
    """Return the number of workers, the reason, and what to remember."""
    worth, why = _worth(work, fleet, limits, time_left_s)
    keep = max(worth, work.running + _shares(work.queued_s, limits.keep_s, work.queued))
    kept = _kept(now_s, keep, fleet, limits, past)
    count = fleet.asked
    if worth > count:
        count, why = _raised(now_s, worth, fleet, limits, past, why)
    elif kept[0][1] < count:
        count = kept[0][1]
        why = f"nothing for {fleet.asked - count} of the workers to do in the last {limits.idle_s:.0f} s"
    else:
        why = f"{why}, and the fleet is large enough" if work.queued or work.running else "nothing to do"
    count, why = _clamped(count, limits, past.ceiling, why)
    if count > fleet.asked:
        past = replace(past, raised_s=now_s)
    return count, why, replace(past, kept=kept)


def _worth(work: Work, fleet: Fleet, limits: Limits, time_left_s: float) -> tuple[int, str]:
    """Return how many workers the work is worth, and a sentence that says so."""
    units = work.queued + work.running
    if not units:
        return 0, "nothing to do"
    told = f"{units} units with {work.queued_s + work.running_s:.0f} s of work"
    worth = max(_enough(work, limits.aim_s), 1)
    if math.isinf(time_left_s):
        return worth, told
    unit_s = work.queued_s / max(work.queued, 1)
    if time_left_s <= limits.start_s + unit_s:
        return min(worth, max(fleet.asked, 1)), f"{told}; more workers would begin too late"
    in_time = _enough(work, PLANNED * time_left_s - limits.start_s - unit_s)
    return (in_time, f"{told}, to be ended in {time_left_s:.0f} s") if in_time > worth else (worth, told)


def _enough(work: Work, within_s: float) -> int:
    """Return how many workers work off all within so many seconds, one unit on one worker at most."""
    left_s = min(work.running_s, work.running * max(within_s, 0.0))
    return _shares(work.queued_s + left_s, within_s, work.queued + work.running)


def _shares(work_s: float, share_s: float, most: int) -> int:
    """Return into how many shares the work can be cut, `most` at most."""
    return math.ceil(work_s / share_s) if share_s > 0 and work_s < most * share_s else most


def _raised(now_s: float, worth: int, fleet: Fleet, limits: Limits, past: Past, why: str) -> tuple[int, str]:
    """Return what slow start allows of a raise."""
    if now_s - past.raised_s < limits.step_s:
        return fleet.asked, f"{why}; raised {now_s - past.raised_s:.0f} s ago"
    allowed = max(2 * min(fleet.ready, fleet.asked), int(_sane(limits.first)), 1)
    if worth <= allowed:
        return worth, why
    return max(allowed, fleet.asked), f"{why}, worth {worth} workers; at most twice those that are there"


def _clamped(count: int, limits: Limits, ceiling: float, why: str) -> tuple[int, str]:
    most = max(int(_sane(limits.most)), 0)
    allowed = min(most, int(min(ceiling, ENDLESS)))
    if count > allowed:
        cause = "the store refuses requests" if allowed < most else "no more are allowed"
        count, why = allowed, f"{why}; {cause}: {allowed} at most"
    least = min(int(_sane(limits.least)), most)
    return (least, f"{why}; {least} at least") if count < least else (count, why)


def _ceiling(now_s: float, passed_s: float, fleet: Fleet, limits: Limits, *, pressed: bool, past: Past) -> Past:
    """Let the ceiling fall or rise."""
    if pressed and now_s - past.halved_s >= limits.calm_s:
        present = min(fleet.ready, fleet.asked)
        return replace(past, ceiling=max(present * BACK_OFF, 1.0), halved_s=now_s)
    if pressed or math.isinf(past.ceiling):
        return past
    risen = past.ceiling + limits.most * passed_s / max(limits.recovery_s, 1.0)
    return replace(past, ceiling=risen if risen < limits.most else math.inf)


def _kept(now_s: float, keep: int, fleet: Fleet, limits: Limits, past: Past) -> tuple[tuple[float, int], ...]:
    """Add what is worth keeping now; the first of the result is the most of the last `idle_s`."""
    before = past.kept or ((now_s, fleet.asked),)
    return _pushed(tuple(one for one in before if now_s - one[0] < limits.idle_s), now_s, keep)


def _pushed(kept: tuple[tuple[float, int], ...], now_s: float, keep: int) -> tuple[tuple[float, int], ...]:
    return (*(one for one in kept if one[1] > keep), (now_s, keep))


def _sane(value: float, *, least: float = 0.0) -> float:
    """Return a finite number that is not less than `least`."""
    return least if math.isnan(value) else min(max(value, least), ENDLESS)


def _sane_work(work: Work) -> Work:
    queued, running = int(_sane(work.queued)), int(_sane(work.running))
    return Work(queued, _sane(work.queued_s) if queued else 0.0, running, _sane(work.running_s) if running else 0.0)


def _sane_fleet(fleet: Fleet) -> Fleet:
    return Fleet(int(_sane(fleet.asked)), int(_sane(fleet.ready)))
