"""What a run still has to do, by memory tier: all that will ever be given to it, not only what is held by now.

One thread runs units and tells of them; another one may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from reprocess.execution.executor import Amount, Left, Task
from reprocess.execution.scaling import Work

TRUSTED = 5
"""So many executions have to end before their times correct what was expected of others."""
LEAST_LEFT = 0.1
"""Part of its time that a unit which runs is expected to run on at least, however long it has run."""


class Backlog:
    """The units that have not ended, with the seconds they are expected to take.

    Attributes
    ----------
    left : callable
        See `Executor.expect`.
    """

    def __init__(self) -> None:
        self.left: Callable[[], Left] = Left
        self._coming: dict[int, Amount] = {}
        self._open: dict[str, Task] = {}
        self._expected_s = self._taken_s = 0.0
        self._ended = 0

    def expect(self, amounts: Mapping[int, Amount], left: Callable[[], Left] = Left) -> None:
        """Take note of what the next run will be given."""
        self._coming, self.left = dict(amounts), left

    def draw(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Pass the tasks of a run on, as they are asked for, and know them from then on."""
        for task in tasks:
            coming = self._coming.get(task.tier, Amount())
            self._coming[task.tier] = Amount(max(coming.units - 1, 0), max(coming.seconds - task.expected_s, 0.0))
            self._open[task.unit] = task
            yield task

    def handed_out(self, task: Task) -> None:
        """Take note of a task that goes to a worker, perhaps in another tier than before."""
        self._open[task.unit] = task

    def executed(self, task: Task, seconds: float) -> None:
        """Learn from how long an execution took."""
        if task.expected_s > 0:
            self._expected_s += task.expected_s
            self._taken_s += seconds
            self._ended += 1

    def ended(self, unit: str) -> None:
        """Take note of the final outcome of a unit."""
        self._open.pop(unit, None)

    def clear(self) -> None:
        """Forget everything that is left: the run is over."""
        self._coming = {}
        self._open.clear()
        self.left = Left

    @property
    def pace(self) -> float:
        """How much longer units take than they were expected to."""
        return self._taken_s / self._expected_s if self._ended >= TRUSTED and self._expected_s else 1.0

    def work(self, running: Mapping[str, float]) -> dict[int, Work]:
        """Add up what is left of each tier.

        Parameters
        ----------
        running : mapping of unit to float
            How long each unit that runs has been running, in seconds.
        """
        coming = dict(self._coming)  # at once: the other thread may add a tier
        pace, found = self.pace, {tier: [one.units, one.seconds, 0, 0.0] for tier, one in coming.items()}
        for task in tuple(self._open.values()):
            sums = found.setdefault(task.tier, [0, 0.0, 0, 0.0])
            place, left_s = 0, task.expected_s
            if task.unit in running:
                place, left_s = 2, max(left_s - running[task.unit] / pace, LEAST_LEFT * left_s)
            sums[place] += 1
            sums[place + 1] += left_s
        return {
            tier: Work(int(queued), queued_s * pace, int(run), run_s * pace)
            for tier, (queued, queued_s, run, run_s) in found.items()
        }
