"""Two programs publish versions of one dataset at the same time: any order of store calls, any faults."""

from __future__ import annotations

import threading
import uuid

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reprocess import errors
from reprocess.publication import pointer as pointers
from reprocess.publication import publish
from tests.publication import samples
from tests.publication.faulty import ByContent, Killed, Watched

EARLY, LATE = "2026-11-21T00:00:00.000", "2026-11-22T00:00:00.000"


class Publisher:
    """A program that publishes one version and waits for permission before each store call."""

    def __init__(self, store, version: str, created: str) -> None:
        self.store, self.version, self.created = store, version, created
        self.start()

    def start(self) -> None:
        self.writer = str(uuid.uuid4())
        self.result = self.error = None
        self.fault = "none"
        self.arrived, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()
        self.arrived.acquire()

    @property
    def running(self) -> bool:
        return self.result is None and self.error is None

    def step(self, fault: str) -> None:
        self.fault = fault
        self.go.release()
        self.arrived.acquire()

    def _work(self) -> None:
        store = Watched(self.store, self._call)
        try:
            draft = samples.draft(self.version, created=self.created)
            manifest = publish.write_version(
                store, draft, {"rate.fits": content(self.version)}, patience=samples.HURRIED
            )
            self.result = publish.move_pointer(store, manifest, writer=self.writer, patience=samples.HURRIED)
        except (Killed, errors.ReprocessError) as error:
            self.error = error
        finally:
            self.arrived.release()

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


def content(version: str) -> bytes:
    return f"rate of {version}".encode()


class Interleaving(RuleBasedStateMachine):
    @initialize(times=st.sampled_from([(EARLY, EARLY), (EARLY, LATE), (LATE, EARLY)]), shown=st.booleans())
    def begin(self, times, shown):
        self.store = ByContent(samples.memory_store())
        if shown:
            draft = samples.draft("v0-1", created=EARLY)
            manifest = publish.write_version(self.store, draft, {"rate.fits": content("v0-1")})
            publish.move_pointer(self.store, manifest, writer="w0")
        self.publishers = [Publisher(self.store, f"v{i}-1", time) for i, time in enumerate(times, start=1)]

    @rule(
        which=st.integers(0, 1),
        fault=st.sampled_from(
            ["none"] * 6 + ["before-killed", "after-killed", "before-no-answer", "after-no-answer"],
        ),
    )
    def step(self, which, fault):
        publisher = self.publishers[which]
        if publisher.running:
            publisher.step(fault)
        elif publisher.error is not None:
            publisher.start()

    @invariant()
    def readers_see_a_whole_version(self):
        if not hasattr(self, "publishers"):
            return
        pointer, _ = pointers.read(self.store, samples.DATASET)
        if pointer is None:
            return
        manifest = publish.read_version(self.store, samples.DATASET, pointer.version)
        assert publish.verify_version(self.store, manifest) == ()
        assert self.store.get(manifest.prefix + "rate.fits").data == content(pointer.version)

    @invariant()
    def each_version_is_committed_once(self):
        if not hasattr(self, "publishers"):
            return
        pointer, _ = pointers.read(self.store, samples.DATASET)
        chain = pointer.chain if pointer else ()
        versions = [commit.version for commit in chain]
        assert len(set(versions)) == len(versions)
        assert [commit.sequence for commit in chain] == list(range(1, len(chain) + 1))
        for publisher in self.publishers:
            if publisher.result is not None:
                assert publisher.version in versions
            if isinstance(publisher.error, errors.Overtaken):
                (rival,) = (other for other in self.publishers if other is not publisher)
                assert (rival.created, rival.version in versions) == (LATE, True)
            assert not isinstance(publisher.error, errors.PublicationError) or isinstance(
                publisher.error, errors.Overtaken
            )
        created = {"v0-1": EARLY, **{publisher.version: publisher.created for publisher in self.publishers}}
        assert [created[version] for version in versions] == sorted(created[version] for version in versions)

    def teardown(self):
        for publisher in getattr(self, "publishers", ()):
            while not publisher.result and not isinstance(publisher.error, errors.Overtaken):
                if publisher.error is not None:
                    publisher.start()
                while publisher.running:
                    publisher.step("none")
        if hasattr(self, "publishers"):
            self.each_version_is_committed_once()
            self.readers_see_a_whole_version()
            for publisher in self.publishers:
                publisher.thread.join()


Interleaving.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestInterleaving = Interleaving.TestCase
