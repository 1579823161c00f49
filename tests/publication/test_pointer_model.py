"""The pointer of one dataset as a model: publishing, going back, retiring, cleaning, in any order, with any faults.

Several programs work at a time, each waiting for leave before every single call of the store; any of them may be killed
or lose an answer at any call, and another begins. A reader looks after every step.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reprocess import errors
from reprocess.publication import chain, moves, publish, removal
from reprocess.publication import pointer as pointers
from reprocess.publication.removed import Removed
from reprocess.publication.stored import Stored
from tests.publication import samples
from tests.publication.faulty import ByContent, Killed, Watched

DATASET = samples.DATASET
FAULTS = ["none"] * 4 + ["before-killed", "after-killed", "before-no-answer", "after-no-answer"]
WRITES = ("put_if_absent", "upload_if_absent", "compare_and_swap", "delete")

RACES = [
    ("clean", "back"),
    ("back", "clean"),
    ("publish", "back"),
    ("publish", "retire"),
    ("publish", "clean"),
    ("retire", "back"),
]


def content(version: str) -> bytes:
    return f"rate of {version}".encode()


def publish_one(store, version: str, created: str) -> str:
    draft = samples.draft(version, created=created)
    manifest = publish.write_version(store, draft, {"rate.fits": content(version)}, patience=samples.HURRIED)
    return publish.move_pointer(store, manifest, writer=str(uuid.uuid4()), patience=samples.HURRIED)


def go_back(store) -> moves.Move:
    return moves.back(store, DATASET, moves.to_before, why="model", patience=samples.HURRIED)


def retire(store) -> moves.Move:
    return moves.retire(store, DATASET, why="model", patience=samples.HURRIED)


def clean(store, version: str) -> int:
    """Remove a version that readers saw and left, as a clean-up does."""

    def choose(present):
        return [version] if present.has(version) and present.version != version else []

    prefix = f"products/{DATASET}/{version}/"
    stored = Stored(version, tuple(store.list(prefix)))
    if version not in moves.give_up(store, DATASET, choose, why="model", patience=samples.HURRIED):
        return 0
    record = Removed(DATASET, version, "model", str(uuid.uuid4()))
    return removal.remove(store, record, stored, given_up=True, patience=samples.HURRIED)


@dataclass
class Program:
    """One program that waits for leave before each store call."""

    store: object
    work: object
    name: str
    result: object = None
    error: BaseException | None = None
    fault: str = "none"
    waiting: tuple[str, str] = ("", "")
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self):
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()
        self.arrived.acquire()

    def is_at(self, point: str) -> bool:
        """Whether it waits at a write of a kind of record."""
        name, key = self.waiting
        return name in WRITES and (point == "write" or point in key)

    @property
    def ended(self) -> bool:
        return self.result is not None or self.error is not None

    def step(self, fault: str) -> None:
        self.fault = fault
        self.go.release()
        self.arrived.acquire()

    def _work(self) -> None:
        try:
            self.result = self.work(Watched(self.store, self._call))
        except (Killed, errors.ReprocessError) as error:
            self.error = error
        finally:
            self.arrived.release()

    def _call(self, name, key, perform):
        self.waiting = name, key
        self.arrived.release()
        self.go.acquire()
        when, _, what = self.fault.partition("-")
        fault = Killed if what == "killed" else errors.StorageUnavailable
        if when == "before":
            raise fault(name)
        result = perform()
        if when == "after":
            raise fault(name)
        return result


class PointerModel(RuleBasedStateMachine):
    """Invariants hold after every single call of any program."""

    def __init__(self):
        super().__init__()
        self.store = ByContent(samples.memory_store())
        self.programs: list[Program] = []
        self.number = 0
        self.before: pointers.Pointer | None = None
        self.created: dict[str, str] = {}

    def begin(self, name, work):
        self.programs.append(Program(self.store, work, name))
        if len(self.programs) > 2:
            self.finish(self.programs.pop(0))

    def finish(self, program):
        while not program.ended:
            program.step("none")
            self.check()
        self.judge(program)

    @initialize(versions=st.integers(0, 4))
    def begins(self, versions):
        for _ in range(versions):
            self.publishes(again=False, late=True)
            self.finish(self.programs.pop())

    @rule(again=st.booleans(), late=st.booleans())
    def publishes(self, again, late):
        """A coordinator publishes a new version, or one that another wrote or is writing."""
        if not again or not self.number:
            self.number += 1
        version = f"v{self.number}-1"
        created = f"2026-11-{10 + self.number % 20 if late else 10}T00:00:00.000"
        created = self.created.setdefault(version, created)
        self.begin(f"publish {version}", lambda store: publish_one(store, version, created))

    @rule()
    def goes_back(self):
        self.begin("back", go_back)

    @rule()
    def retires(self):
        self.begin("retire", retire)

    @rule(which=st.integers(0, 2))
    def cleans(self, which):
        """A clean-up removes a version that readers have left; mostly the one before."""
        seen = [commit.version for commit in self.before.chain if commit.version] if self.before else []
        left = [version for version in reversed(seen) if version != self.before.version]
        if left:
            version = left[min(which, len(left) - 1)]
            self.begin(f"clean {version}", lambda store: (clean(store, version), "cleaned"))

    @rule(
        kinds=st.sampled_from(RACES),
        turns=st.lists(st.tuples(st.integers(1, 8), st.sampled_from(FAULTS)), min_size=2, max_size=8),
    )
    def race(self, kinds, turns):
        """Two programs begin together and take turns of a few calls; a fault strikes at the end of a turn."""
        for _ in range(2):
            self.publishes(again=False, late=True)
            while self.programs:
                self.finish(self.programs.pop(0))
        for kind in kinds:
            {
                "publish": lambda: self.publishes(again=False, late=True),
                "back": self.goes_back,
                "retire": self.retires,
                "clean": lambda: self.cleans(which=0),
            }[kind]()
        racing = list(self.programs)
        for number, (calls, fault) in enumerate(turns):
            for call in range(calls):
                if racing[number % len(racing)] in self.programs:
                    self.step(racing[number % len(racing)], fault if call == calls - 1 else "none")

    @rule(which=st.integers(0, 2), point=st.sampled_from(["write", "pointers/", "manifest.json"]))
    def goes_on_until(self, which, point):
        """A program works until it is about to write, and is halted there."""
        if which < len(self.programs):
            program = self.programs[which]
            while not program.ended and not program.is_at(point):
                self.step(program, "none")

    @rule(which=st.integers(0, 2), fault=st.sampled_from(FAULTS))
    def makes_a_call(self, which, fault):
        """A program makes one call, which may fail or be its last."""
        if which < len(self.programs):
            self.step(self.programs[which], fault)

    @rule(which=st.integers(0, 2))
    def ends(self, which):
        """A program works until its end while the others are halted."""
        if which < len(self.programs):
            self.finish(self.programs.pop(which))

    def step(self, program, fault):
        if not program.ended:
            program.step(fault)
            self.check()
        if program.ended:
            self.programs.remove(program)
            self.judge(program)

    def judge(self, program):
        """What a program claims to have done is in the chain; what it refuses is one of our errors with a reason."""
        pointer, _ = pointers.read(self.store, DATASET)
        if isinstance(program.error, Killed | errors.StorageUnavailable | errors.CommitConflict):
            return
        if program.error is not None:
            allowed = (errors.PublicationError, errors.UsageError, errors.PreconditionFailed, errors.AlreadyExists)
            assert isinstance(program.error, allowed), program
        elif program.name.startswith("publish"):
            assert pointer is not None
            assert pointer.has(program.name.split()[1])
        elif program.name == "retire":
            assert any(commit.action == "retire" for commit in pointer.chain)
        elif program.name == "back" and program.result.moved:
            assert any(
                after.action == "rollback"
                and (before.version, after.version) == (program.result.left, program.result.shown)
                for before, after in zip(pointer.chain, pointer.chain[1:], strict=False)
            )

    @invariant()
    def check(self):
        pointer, _ = pointers.read(self.store, DATASET)
        if pointer is None:
            assert self.before is None
            return
        self.chain_grows(pointer)
        self.readers_see_a_whole_version(pointer)
        self.as_of_is_monotone(pointer)
        self.before = pointer

    def chain_grows(self, pointer):
        """Numbers rise by one, no commit is lost or changed, and versions that were given up stay so."""
        assert [commit.sequence for commit in pointer.chain] == list(range(1, len(pointer.chain) + 1))
        for before, after in zip(pointer.chain, pointer.chain[1:], strict=False):
            assert before.version or after.action in ("rollback", "clean")  # nobody publishes what was retired
        if self.before is not None:
            earlier = self.before.chain
            assert pointer.chain[: len(earlier)] == earlier
            assert set(self.before.removed) <= set(pointer.removed)

    def readers_see_a_whole_version(self, pointer):
        """Whoever resolves the pointer now finds every byte, or a tombstone; never a version that was given up."""
        assert pointer.version not in pointer.removed
        if pointer.is_tombstone:
            assert pointer.commit.action in ("retire", "clean")
            return
        manifest = publish.read_version(self.store, DATASET, pointer.version)
        assert publish.verify_version(self.store, manifest) == ()
        assert self.store.get(manifest.prefix + "rate.fits").data == content(pointer.version)

    def as_of_is_monotone(self, pointer):
        """Times never go back; a time has the last commit until then; a moment that was asked for keeps its answer."""
        times = [commit.committed for commit in pointer.chain]
        assert times == sorted(times)
        for commit in pointer.chain:
            last = max(one.sequence for one in pointer.chain if one.committed == commit.committed)
            assert pointers.as_of(pointer, commit.committed).sequence == last
        if self.before is not None and self.before.committed < pointer.committed:
            for commit in self.before.chain:
                assert pointers.as_of(pointer, commit.committed) == pointers.as_of(self.before, commit.committed)

    @invariant()
    def what_stands_is_what_is_shown(self):
        """The commits that stand have each version once and end with the present one."""
        if self.before is not None:
            versions = [commit.version for commit in chain.standing(self.before)]
            assert len(set(versions)) == len(versions)
            assert versions[-1] == self.before.version

    def teardown(self):
        for program in self.programs:
            self.finish(program)
            program.thread.join()


PointerModel.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestPointerModel = PointerModel.TestCase
