"""What one run has handed to its workers: which of it has begun, where, and what became of workers that died."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reprocess.execution import inquest
from reprocess.execution.executor import Priority, Task, out_of_memory, overdue, worker_lost
from reprocess.execution.frontier import Death, Frontier
from reprocess.execution.inquest import Inquest, Verdict

_LOG = logging.getLogger(__name__)
PUNCTUAL = 0.9
"""Share of its deadline after which a worker that dies has died of it: announcements take a moment."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Where an execution runs, and since when by the clock of this process."""

    worker: str
    since: float


@dataclass(frozen=True, slots=True)
class Dead:
    """An execution whose worker, here by its name, has died, and when that was heard."""

    task: Task
    begun: Begun
    worker: str
    since: float

    def why(self, verdict: Verdict) -> Death:
        """Tell what the unit is charged with."""
        if verdict is Verdict.STARVED:
            return out_of_memory
        deadline_s = self.task.deadline_s
        return overdue if deadline_s and self.since - self.begun.since >= PUNCTUAL * deadline_s else worker_lost


@dataclass
class Flight:
    """What is submitted and has not ended, and which of it is known to have begun.

    Attributes
    ----------
    run : int
    topic : str
        Under which the executions announce themselves.
    priority : callable
    tasks : mapping of future to task and token
    begun : mapping of token to where and since when
    overfull : set of str
        Addresses of workers that were ended because they took too much memory.
    dead : list of Dead
        Executions of which it is not known yet why their workers died.
    """

    run: int
    topic: str
    priority: Priority
    tasks: dict[Any, tuple[Task, str]] = field(default_factory=dict)
    begun: dict[str, Begun] = field(default_factory=dict)
    overfull: set[str] = field(default_factory=set)
    dead: list[Dead] = field(default_factory=list)
    _asked: float = 0.0
    _first: bool = True

    def announce(self, event: tuple[float, tuple[str, str]]) -> None:
        """Take an announcement; called in the client's own thread."""
        token, worker = event[1]
        if self._first:
            self._first = False
            _LOG.info("The first unit begins: %s.", token.partition("|")[0])
        if token in self.begun:
            _LOG.info("Unit %s begins again: its worker was taken away.", token.partition("|")[0])
        self.begun[token] = Begun(worker, time.monotonic())

    def restarted(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Take note of a worker that its nanny ends for the memory it takes; called in the client's own thread."""
        self.overfull.add(str(event[1].get("worker", "")))

    def running(self) -> dict[str, Begun]:
        """Return the executions that have begun, by unit; may be asked from another thread."""
        found = ((task.unit, self.begun.get(token)) for task, token in tuple(self.tasks.values()))
        return {unit: begun for unit, begun in found if begun is not None}

    def is_due(self) -> bool:
        """Whether it is time to ask about the dead."""
        return bool(self.dead) and time.monotonic() - self._asked >= inquest.PERIOD_S

    def bury(self, frontier: Frontier, ask: Inquest | None) -> None:
        """Tell the frontier of each death that is cleared up."""
        self._asked = time.monotonic()
        for dead in tuple(self.dead):
            verdict = self._verdict(dead, ask)
            if verdict is not Verdict.OPEN:
                self.dead.remove(dead)
                reason = f"attempt {dead.task.attempt} on {dead.worker}"
                charged = verdict is not Verdict.SPARED
                _LOG.info("Unit %s loses its worker %s: %s.", dead.task.unit, dead.worker, verdict.value)
                frontier.lost(dead.task.unit, executing=charged, reason=reason, why=dead.why(verdict))

    def _verdict(self, dead: Dead, ask: Inquest | None) -> Verdict:
        if dead.begun.worker in self.overfull:
            return Verdict.STARVED
        if ask is None or dead.why(Verdict.CHARGED) is overdue:
            return Verdict.CHARGED
        ago_s = time.monotonic() - dead.since
        found = ask(dead.worker, ago_s)
        return Verdict.CHARGED if found is Verdict.OPEN and ago_s >= inquest.LONGEST_S else found
