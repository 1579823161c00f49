"""Several coordinators append to one ledger: any order of store calls, lost answers, deaths between any two calls."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reprocess import errors
from reprocess.exposure import Outcome
from reprocess.publication import ledger
from tests.publication import samples
from tests.publication.faulty import ByContent, Killed, Watched

CAMPAIGN = "0123456789abcdef"
UNITS, BATCH = 3, 2


class Coordinator:
    """A program that begins an epoch and appends outcomes; it waits for permission before each store call.

    Attributes
    ----------
    appended : list of Outcome
        What it has given to its ledger, each with a message of its own.
    kept : int
        So many of them it was told are stored.
    """

    def __init__(self, store, name: str, length: int) -> None:
        self.store, self.name, self.length = store, name, length
        self.appended: list[Outcome] = []
        self.kept = 0
        self.epoch = 0
        self.ended = False
        self.error: BaseException | None = None
        self.fault = "none"
        self.arrived, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()
        self.arrived.acquire()

    def step(self, fault: str) -> None:
        """Let it make one store call."""
        self.fault = fault
        self.go.release()
        self.arrived.acquire()

    def _work(self) -> None:
        try:
            book = self._begun()
            for number in range(self.length):
                outcome = Outcome(f"u{number % UNITS}", "d", "published", f"{self.name}.{number}")
                self.appended.append(outcome)
                self._try(lambda one=outcome: book.append(one))
                if number % 3 == 0:
                    self._try(book.flush)  # as when a batch is old
                if not book._pending:
                    self.kept = len(self.appended)
            while book._pending:
                self._try(book.flush)
            self.kept = len(self.appended)
        except BaseException as error:
            self.error = error
        finally:
            self.ended = True
            self.arrived.release()

    def _begun(self) -> ledger.Ledger:
        while True:
            try:
                watched = Watched(self.store, self._call)
                book = ledger.begin(watched, CAMPAIGN, writer=self.name, patience=samples.HURRIED)
            except errors.StorageUnavailable:
                continue
            book.batch, book.flush_after_s, self.epoch = BATCH, 1e9, book.epoch
            return book

    def _try(self, act) -> None:
        """Go on after a store that did not answer: the ledger has kept what it could not write."""
        with contextlib.suppress(errors.StorageUnavailable):
            act()

    def _call(self, name, key, perform):
        self.arrived.release()
        self.go.acquire()
        fault = self.fault
        if fault.startswith("before"):
            raise Killed if fault == "before-killed" else errors.StorageUnavailable(name)
        result = perform()
        if fault.startswith("after"):
            raise Killed if fault == "after-killed" else errors.StorageUnavailable(name)
        return result


class Appending(RuleBasedStateMachine):
    @initialize(length=st.integers(0, 7))
    def begin(self, length):
        self.store = ByContent(samples.memory_store())
        self.names = itertools.count()
        self.length = length
        self.stored: dict[str, bytes] = {}
        self.everybody: list[Coordinator] = []
        self.before: dict[str, int] = {}
        self.working = [self.another(), self.another()]

    def another(self) -> Coordinator:
        epochs = [int(key.rpartition("/")[2].split("-")[0]) for key in self.stored]
        made = Coordinator(self.store, f"c{next(self.names)}", self.length)
        self.before[made.name] = max(epochs, default=0)
        self.everybody.append(made)
        return made

    @rule(
        which=st.integers(0, 1),
        fault=st.sampled_from(
            ["none"] * 6 + ["before-killed", "after-killed", "before-no-answer", "after-no-answer"],
        ),
    )
    def step(self, which, fault):
        if self.working[which].ended:
            self.working[which] = self.another()
        else:
            self.working[which].step(fault)

    @rule(which=st.integers(0, 1), fault=st.sampled_from(["before-no-answer", "after-no-answer"]))
    def silence(self, which, fault):
        """The store does not answer for longer than anybody is patient."""
        for _ in range(2 * samples.HURRIED.tries):
            if not self.working[which].ended:
                self.working[which].step(fault)

    @invariant()
    def nothing_that_is_stored_changes(self):
        if not hasattr(self, "stored"):
            return
        found = {stamp.key: self.store.get(stamp.key).data for stamp in self.store.list("campaigns/")}
        assert self.stored.items() <= found.items()
        self.stored = found

    @invariant()
    def what_is_read_is_the_last_word(self):
        """Of each unit the latest outcome by epoch and place, and never less than what somebody was told is kept."""
        if not hasattr(self, "stored"):
            return
        read = ledger.read(self.store, CAMPAIGN)
        places = {
            outcome.message: (one.epoch, place) for one in self.everybody for place, outcome in enumerate(one.appended)
        }
        for outcome in read.values():
            assert outcome in [each for one in self.everybody for each in one.appended]
        for one in self.everybody:
            for outcome in one.appended[: one.kept]:
                assert places[read[outcome.unit].message] >= places[outcome.message]

    @invariant()
    def each_epoch_is_of_one_coordinator_and_has_its_outcomes_once_and_in_order(self):
        if not hasattr(self, "stored"):
            return
        self.nothing_that_is_stored_changes()
        written: dict[str, list[str]] = {}
        owners: dict[str, set[str]] = {}
        for key in sorted(self.stored):
            body = json.loads(self.stored[key])
            owners.setdefault(key.rpartition("/")[2].split("-")[0], set()).add(body["writer"])
            written.setdefault(body["writer"], []).extend(each["message"] for each in body["outcomes"])
        assert all(len(each) == 1 for each in owners.values())
        for one in self.everybody:
            told = [outcome.message for outcome in one.appended]
            found = written.get(one.name, [])
            assert found == told[: len(found)]
            assert len(found) >= one.kept

    @invariant()
    def later_runs_have_later_epochs(self):
        for one in getattr(self, "everybody", ()):
            assert one.error is None or isinstance(one.error, Killed), one.error
            assert not one.epoch or one.epoch > self.before[one.name]

    def teardown(self):
        for one in getattr(self, "working", ()):
            while not one.ended:
                one.step("none")
            one.thread.join()
            assert one.error is not None or one.kept == self.length
        if hasattr(self, "working"):
            self.nothing_that_is_stored_changes()
            self.what_is_read_is_the_last_word()
            self.each_epoch_is_of_one_coordinator_and_has_its_outcomes_once_and_in_order()


Appending.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAppending = Appending.TestCase
