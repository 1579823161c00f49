"""What operators tell campaigns that exist already: wait, go on, end, go first, try again, do the rest."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from reprocess import errors, units
from reprocess.campaign import Archive, find_plan
from reprocess.planning.plan import Plan
from reprocess.publication import control as controls
from reprocess.publication import ledger, refusals
from reprocess.publication.control import Control


@dataclass(frozen=True, slots=True)
class Retrial:
    """What will be tried again: the campaign, and its datasets by the class that they ended in."""

    campaign: str
    datasets: dict[str, str]


def somebody() -> str:
    """Name whoever runs this process: user and host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        user = "somebody"
    return f"{user} on {socket.gethostname()}"


def pause(archive: Archive, digest: str, *, why: str, by: str = "") -> Control:
    """Have a campaign stop until it is resumed; what executes is given up, and not lost."""
    return _change(archive, digest, by, state=controls.PAUSE, why=why)


def resume(archive: Archive, digest: str, *, by: str = "") -> Control:
    """Let a campaign go on: the next `run` works on it."""
    return _change(archive, digest, by, state=controls.RUN, why="")


def cancel(archive: Archive, digest: str, *, why: str, by: str = "") -> Control:
    """End a campaign for good; what it has published stays."""
    return _change(archive, digest, by, state=controls.CANCEL, why=why)


def prefer(archive: Archive, digest: str, priority: int, *, by: str = "") -> Control:
    """Set the priority of a campaign among those that share workers."""
    return _change(archive, digest, by, priority=priority)


def approve(archive: Archive, digest: str, *, by: str = "") -> Control:
    """Say that the pilot of a campaign is good, and let the campaign go on.

    Raises
    ------
    PlanError
        An operator has paused it for another reason: that is for `resume`.
    """
    made = find_plan(archive, digest)
    present = controls.read(archive.store, made.digest[:16])
    if present.state == controls.PAUSE and present.by not in controls.AT_THE_PILOT:
        why = present.why or "no reason given"
        raise errors.PlanError(
            f"Campaign {made.digest[:16]} was paused by {present.by} ({why}), not after its pilot. Lift that with "
            "`reprocess resume`."
        )
    return _change(archive, digest, by, state=controls.RUN, why="", approved=True)


def _change(archive: Archive, digest: str, by: str, **what: Any) -> Control:  # noqa: ANN401
    made = find_plan(archive, digest)
    return controls.change(archive.store, made.digest[:16], by=by or somebody(), **what)


def retry(archive: Archive, digest: str, *, classes: Collection[str] = ()) -> Retrial:
    """Have what failed or was held back tried again, by the next run of the campaign and by later plans.

    Parameters
    ----------
    digest : str
        Of the plan.
    classes : collection of str
        Classes to try again; all failures, and what was held back, when it is empty.

    Raises
    ------
    UsageError
        A class is none of a failure.
    """
    made = find_plan(archive, digest)
    possible = ledger.terminal_classes() - _NOT_AGAIN
    if unknown := sorted(set(classes) - possible):
        raise errors.UsageError(f"{unknown[0]!r} is no class to try again. There are {', '.join(sorted(possible))}.")
    wanted = frozenset(classes) or possible
    outcomes = ledger.read(archive.store, made.digest[:16])
    last = {item.dataset: outcomes.get(units.last_unit(item)) for item in made.items}
    chosen = {name: one for name, one in last.items() if one is not None and one.outcome_class in wanted}
    if chosen:
        with ledger.begin(archive.store, made.digest[:16]) as book:
            for one in chosen.values():
                told = f"{one.outcome_class}: {one.message} An operator has it tried again."
                book.append(replace(one, outcome_class=ledger.AGAIN, message=told, attempt=0))
    _release(archive, made, wanted)
    return Retrial(made.digest[:16], {name: one.outcome_class for name, one in sorted(chosen.items())})


_NOT_AGAIN = frozenset({"published", "unchanged", "current", "cancelled", "deferred", "unsupported"})


def _release(archive: Archive, made: Plan, classes: Collection[str]) -> None:
    """Take back what the campaign refused, also of exposures that it took over from an earlier one as refused."""
    names = {item.dataset for item in made.items}
    refused = refusals.read(archive.store).values()
    for campaign in sorted({one.campaign for one in refused}):
        some = [one for one in refused if one.campaign == campaign and one.outcome_class in classes]
        refusals.release(archive.store, campaign, [one.dataset for one in some if one.dataset in names])
