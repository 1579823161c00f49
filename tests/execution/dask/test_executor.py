from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import LocalCluster

from reprocess import errors
from reprocess.execution.attempts import policy
from reprocess.execution.dask.executor import DaskExecutor
from reprocess.execution.executor import Task, up_to
from tests.execution import functions
from tests.execution.executor_contract import ExecutorContract, task

ROOT = Path(__file__).parents[3]
MEMORY = 400_000_000


@pytest.fixture(scope="module")
def shared():
    """Two workers for the whole module."""
    with DaskExecutor.local(2, memory_limit_bytes=MEMORY) as executor:
        yield executor


class TestDaskExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, shared):
        return shared

    def test_slots_are_the_workers(self, shared):
        """Each local worker runs one task at a time."""
        assert shared.slots == 2

    def test_unpicklable(self, shared):
        """A payload that cannot be sent ends its own unit with an error of ours and no other."""
        tasks = [task("ok"), Task("lock", "d", ("succeed", threading.Lock())), task("fine")]

        outcomes = {outcome.unit: outcome for outcome in shared.run(functions.act, tasks)}

        assert outcomes["lock"].outcome_class == "own-error"
        assert outcomes["ok"].outcome_class == outcomes["fine"].outcome_class == "published"

    def test_the_load(self, shared):
        """While a run is under way, units that wait and run and workers that are busy can be asked for."""
        ended = shared.run(functions.act, [task(f"u{i}", "sleep", 0.3) for i in range(6)])
        next(ended)

        load = shared.load()
        assert load.queued + load.running <= 5
        assert load.running == load.busy.get(0, 0) >= 1
        assert load.busy.get(0, 0) + load.idle.get(0, 0) == 2
        assert len(list(ended)) == 5
        assert shared.load().queued == 0

    def test_what_the_store_refused(self, shared):
        """Refusals of the store are added up over all units, those that ended well too."""
        before = shared.refusals
        ended = list(shared.run(functions.act, [task("a", "wait", 3), task("b", "wait", 4), task("c")]))

        assert {outcome.outcome_class for outcome in ended} == {"published"}
        assert shared.refusals - before == 7

    def test_the_worker_is_named(self, shared):
        """An outcome tells its worker by name, never by address."""
        (outcome,) = shared.run(functions.act, [task("u")])

        assert outcome.worker
        assert ":" not in outcome.worker


class TestDeath:
    def test_only_the_culprit_is_charged(self, shared, tmp_path):
        """A unit that kills its worker each time ends worker-lost; all others succeed at their first attempt."""
        log = tmp_path / "log"
        others = [task(f"u{i}", "sleep", 0.01) for i in range(40)]

        ended = list(
            shared.run(functions.act, [*others[:3], task("killer", "die", str(log)), *others[3:]], retry=up_to(3))
        )

        outcomes = {outcome.unit: outcome for outcome in ended}
        killer = outcomes.pop("killer")
        assert (killer.outcome_class, killer.attempt) == ("worker-lost", 3)
        assert log.read_text().splitlines() == ["killer 1", "killer 2", "killer 3"]
        assert len(ended) == 41
        assert {(outcome.outcome_class, outcome.attempt) for outcome in outcomes.values()} == {("published", 1)}

    def test_those_in_line_are_innocent(self, shared, tmp_path):
        """Units that stood in line at a worker that died are executed again and not charged."""
        log = tmp_path / "log"
        killers = [task(f"killer{i}", "die", str(log)) for i in range(2)]
        # Four tasks or fewer are not queued by the scheduler but handed out at once.
        others = [task(f"u{i}", "sleep", 0.2) for i in range(2)]

        outcomes = {o.unit: o for o in shared.run(functions.act, [*killers, *others], retry=up_to(2))}

        assert {outcomes[f"u{i}"].outcome_class for i in range(2)} == {"published"}
        assert {outcomes[f"u{i}"].attempt for i in range(2)} == {1}
        assert {outcomes[f"killer{i}"].outcome_class for i in range(2)} == {"worker-lost"}
        assert Counter(log.read_text().splitlines()) == {f"killer{i} {n}": 1 for i in range(2) for n in (1, 2)}

    def test_a_second_attempt_may_succeed(self, shared, tmp_path):
        """A unit whose worker died once is tried again."""
        (outcome,) = shared.run(functions.act, [task("u", "die_before", (str(tmp_path / "log"), 2))])

        assert (outcome.outcome_class, outcome.attempt) == ("published", 2)

    def test_too_much_memory(self, shared):
        """A unit that needs more memory than a worker has is told so, loses its worker, and harms nobody else."""
        tasks = [task("hog", "devour", 2 * MEMORY), *(task(f"u{i}", "sleep", 0.05) for i in range(10))]

        outcomes = {outcome.unit: outcome for outcome in shared.run(functions.act, tasks, retry=up_to(1))}

        assert outcomes.pop("hog").outcome_class == "out-of-memory"
        assert {outcome.outcome_class for outcome in outcomes.values()} == {"published"}

    def test_a_higher_tier(self):
        """A unit that ran out of memory is executed again by a larger worker, and its outcome names the tier."""
        tasks = [task("hog", "devour", 2 * MEMORY), *(task(f"u{i}", "sleep", 0.01) for i in range(4))]

        with DaskExecutor.local(2, memory_limit_bytes=MEMORY, tiers_bytes=[6 * MEMORY]) as executor:
            assert executor.slots == 2
            outcomes = {o.unit: o for o in executor.run(functions.act, tasks, retry=policy(3, 1))}

        hog = outcomes.pop("hog")
        assert (hog.outcome_class, hog.tier) in {("published", 1), ("published", 0)}  # it may meet the large one first
        assert {(outcome.outcome_class, outcome.tier) for outcome in outcomes.values()} == {("published", 0)}

    def test_overdue(self, shared):
        """A unit that runs for longer than it may is ended with its worker; others are not charged."""
        late = replace(task("late", "sleep", 60), deadline_s=0.5)
        others = [task(f"u{i}", "sleep", 0.05) for i in range(6)]

        outcomes = {o.unit: o for o in shared.run(functions.act, [late, *others], retry=policy(3, 0))}

        assert (outcomes["late"].outcome_class, outcomes.pop("late").attempt) == ("overdue", 2)
        assert {(o.outcome_class, o.attempt) for o in outcomes.values()} == {("published", 1)}
        _until(lambda: shared.slots == 2)


class TestWindow:
    def test_the_scheduler_holds_a_window(self, shared, monkeypatch):
        """However many tasks there are, the scheduler knows a window of them, and none when the run is over."""
        monkeypatch.setattr(shared, "_window", 20)
        most = 0
        for _ in shared.run(functions.act, (task(f"u{i}") for i in range(400))):
            most = max(most, _held(shared))

        # Those that have ended count for the moment until the scheduler hears that nobody wants them.
        assert 0 < most <= 200
        # Of an earlier test whose tasks could not be sent: the traceback in its log holds their futures in a cycle.
        gc.collect()
        _until(lambda: _held(shared) == 0)

    def test_nothing_stands_in_line_at_a_worker(self, shared):
        """A worker holds the one task that it executes, so that its death touches no other."""
        most = 0
        for _ in shared.run(functions.act, (task(f"u{i}", "sleep", 0.05) for i in range(20))):
            held = shared._client.run_on_scheduler(
                lambda dask_scheduler: [len(worker.processing) for worker in dask_scheduler.workers.values()]
            )
            most = max(most, *held)

        assert most == 1

    def test_tasks_are_read_lazily(self, shared, monkeypatch):
        """No more tasks are read than the window holds."""
        monkeypatch.setattr(shared, "_window", 10)
        read = []
        run = shared.run(functions.act, (read.append(i) or task(f"u{i}") for i in range(100)))
        next(run)
        run.close()

        assert len(read) <= 20


def _held(executor: DaskExecutor) -> int:
    return executor._client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))


def _until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _descendants(pid: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            parents[int(entry.parent.name)] = int(fields[1])
    found, front = set(), {pid}
    while front := {child for child, parent in parents.items() if parent in front} - found:
        found |= front
    return found


class TestProcesses:
    def test_closed_before_the_run_ended(self):
        """A run that is given up after its executor was closed, as an interrupt may do it, ends without complaint."""
        with DaskExecutor.local(1, memory_limit_bytes=MEMORY) as executor:
            run = executor.run(functions.act, [task("quick"), *(task(f"u{i}", "sleep", 60) for i in range(3))])
            next(run)

        run.close()

    def test_close_is_quick_and_leaves_nothing(self, capfd):
        """Closing takes a moment, ends every worker and writes nothing, also with work under way."""
        before = _descendants(os.getpid())
        with DaskExecutor.local(1, memory_limit_bytes=MEMORY) as executor:
            workers = _descendants(os.getpid()) - before
            run = executor.run(functions.act, [task("quick"), *(task(f"u{i}", "sleep", 60) for i in range(3))])
            next(run)
            run.close()
            begin = time.monotonic()

        assert workers
        assert time.monotonic() - begin < 5
        _until(lambda: not any(Path(f"/proc/{pid}").exists() and pid in _descendants(os.getpid()) for pid in workers))
        assert capfd.readouterr() == ("", "")

    def test_only_loopback(self, shared):
        """Nothing listens on an address that other machines reach."""
        pids = {os.getpid(), *_descendants(os.getpid())}
        inodes = {os.readlink(link) for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                    assert fields[1].startswith("0100007F:"), line


SCRIPT = """
import sys
from pathlib import Path
from reprocess.execution.dask.executor import DaskExecutor
from tests.execution import functions
from tests.execution.executor_contract import task

if __name__ == "__main__":
    log, ended = sys.argv[1:]
    tasks = [task("quick"), *(task(f"u{i}", "note_and_sleep", (log, 60.0)) for i in range(50))]
    try:
        with DaskExecutor.local(2, memory_limit_bytes=400_000_000) as executor:
            for outcome in executor.run(functions.act, tasks):
                functions.note(ended, outcome.unit)
    except KeyboardInterrupt:
        functions.note(ended, "interrupted")
"""


class TestInterrupt:
    def test_workers_leave_interrupts_alone(self, shared):
        """An interrupt that reaches a worker, as one from a terminal does, is not its business."""
        (outcome,) = shared.run(functions.act, [task("u", "interrupt_itself")])

        assert (outcome.outcome_class, outcome.attempt) == ("published", 1)

    @pytest.mark.parametrize("whole_group", [True, False])
    def test_interrupt(self, tmp_path, whole_group):
        """Ctrl-C ends the run soon: what was done is out, no worker is left, and nothing is blamed."""
        log, ended = tmp_path / "log", tmp_path / "ended"
        (tmp_path / "script.py").write_text(SCRIPT)
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py"), str(log), str(ended)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
        _until(lambda: log.exists() and len(log.read_text().splitlines()) == 2 and ended.exists(), 20)
        children = _descendants(process.pid)

        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)

        assert process.wait(10) == 0
        assert ended.read_text().split() == ["quick", "interrupted"]
        assert len(log.read_text().splitlines()) == 2
        _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
        assert b"Traceback" not in process.stderr.read()


class TestConnect:
    def test_a_scheduler_that_exists(self, shared):
        """Another program can use the same scheduler by its address, and leaves its workers alone."""
        with DaskExecutor.connect(shared._client.scheduler.address) as executor:
            assert executor.slots == 2
            assert [o.outcome_class for o in executor.run(functions.act, [task("u")])] == ["published"]

        assert shared.slots == 2

    def test_no_scheduler(self):
        """An address that nobody serves is a mistake of the caller, told at once."""
        with pytest.raises(errors.UsageError, match=r"127\.0\.0\.1:9"):
            DaskExecutor.connect("tcp://127.0.0.1:9", timeout_s=1)

    def test_nonsense(self):
        """So is an address that is none."""
        with pytest.raises(errors.UsageError, match="nonsense"):
            DaskExecutor.connect("nonsense://", timeout_s=1)

    def test_failures_are_ours(self):
        """The scheduler is told not to run a unit again by itself."""
        tolerant = {"allowed_failures": 7, "dashboard": False}
        with (
            LocalCluster(0, host="127.0.0.1", dashboard_address="127.0.0.1:0", scheduler_kwargs=tolerant) as cluster,
            DaskExecutor.connect(cluster.scheduler_address),
        ):
            assert cluster.scheduler.allowed_failures == 0

    def test_the_scheduler_goes_away(self):
        """Without a scheduler the run ends with an error that says so, not by waiting for ever."""
        host = DaskExecutor.local(1, memory_limit_bytes=MEMORY)
        guest = DaskExecutor.connect(host._client.scheduler.address)
        run = guest.run(functions.act, [task("u"), *(task(f"u{i}", "sleep", 30) for i in range(3))])
        try:
            next(run)
            host.close()
            with pytest.raises(errors.WorkerLost, match="scheduler"):
                list(run)
        finally:
            guest.close()


class TestDeserted:
    def test_no_worker_for_long(self, monkeypatch):
        """A run without a single worker for long ends with an error that says so, instead of waiting for ever."""
        monkeypatch.setattr("reprocess.execution.dask.executor.DESERTED_S", 0.5)
        with (
            LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
            DaskExecutor.connect(empty.scheduler_address) as executor,
            pytest.raises(errors.WorkerLost, match="No worker has been alive"),
        ):
            list(executor.run(functions.act, [task("u")]))
