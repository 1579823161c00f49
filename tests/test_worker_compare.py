"""What a worker finds out when it holds a version that it wrote against the one that readers see."""

from dataclasses import replace

import pytest

from reprocess import campaign, worker
from reprocess.archive import recipe
from reprocess.comparison import published
from reprocess.execution.executor import Task
from reprocess.publication import pointer as pointers
from reprocess.publication import publish
from reprocess.storage.counting import CountingStore
from tests import trips
from tests.test_worker import in_slabs, run

MORE_JUMPS = "[parameters.jump]\nrejection_threshold = 3.0\n"
NO_EFFECT = "[parameters.jump]\nmax_jump_to_flag_neighbors = 1e9\n"
"""Changes a fingerprint, and no pixel: there are no jumps as large."""
NARROW = "[budget.default]\nchanged_fraction = 0.0\ndq_fraction = 0.0\n"


def planned(archive, extra, created=trips.LATER):
    return campaign.plan(archive, trips.target(extra=extra, options=trips.TALL), created=created)


@pytest.fixture(scope="module")
def seen():
    """An archive of which readers see one exposure, and what its unit was told."""
    archive = trips.make(options=trips.TALL)
    made = campaign.plan(archive, trips.target(options=trips.TALL), created=trips.CREATED)
    item = made.items[0]
    for reference in {one.sha256: one for item in made.items for one in item.references}.values():
        worker.run(Task(reference.name, "", worker.Preparation(archive.store, reference)))
    (raw,) = archive.raw.values()
    work = worker.Work(archive.store, raw, replace(made, items=()), item)
    assert run(work).difference == {}
    manifest = publish.read_version(archive.store, item.dataset, item.version)
    publish.move_pointer(archive.store, manifest, writer="w")
    campaign.scan(archive)
    return archive, work


def later(seen, extra):
    """What the unit of a later plan is told, in a root of its own."""
    archive, work = seen
    other = replace(archive, store=trips.copy(archive.store, trips.fresh()))
    made = planned(other, extra)
    (item,) = (each for each in made.items if each.dataset == work.item.dataset)
    return replace(work, archive=other.store, plan=replace(made, items=()), item=item)


class TestDifference:
    def test_within(self, seen):
        """Another parameter, other pixels: the outcome says how many, against which version."""
        archive, before = seen
        outcome = run(later(seen, MORE_JUMPS))

        assert outcome.outcome_class == worker.WRITTEN, outcome.message
        assert (outcome.difference["verdict"], outcome.difference["against"]) == ("within", before.item.version)
        assert outcome.difference["extensions"]["rate/DQ"]["bits_gained"]["JUMP_DET"] > 0
        assert outcome.difference["extensions"]["rate/SCI"]["changed"] > 0
        assert "compare" in outcome.seconds
        assert trips.shown(archive) == {before.item.dataset: before.item.version}

    def test_identical(self, seen):
        """A parameter that changes no pixel: identical, with one request more than a first version takes."""
        _, before = seen
        work = later(seen, NO_EFFECT)
        store, bare = CountingStore(work.archive), CountingStore(trips.copy(work.archive, trips.fresh()))
        bare.delete(pointers.key(work.item.dataset))
        bare.reset()
        outcome, first = run(work, archive=store), run(work, archive=bare)

        assert work.item.version != before.item.version
        assert outcome.difference["verdict"] == "identical"
        assert first.difference == {}
        assert store.requests.total() == bare.requests.total() + 1

    def test_whatever_the_units(self, seen):
        """A version that existed already, and one made in slabs, are compared to the same result."""
        whole, cut = later(seen, MORE_JUMPS), later(seen, MORE_JUMPS)
        once, again = run(whole), run(whole)

        assert once.difference == again.difference == in_slabs(cut, 17)[-1].difference

    def test_outside(self, seen):
        """Outside the budget of the target the difference is kept beside the plan; within it is not."""
        work, wide = later(seen, MORE_JUMPS + NARROW), later(seen, MORE_JUMPS)
        outcome, other = run(work), run(wide)
        campaign_id = work.plan.digest[:16]

        assert outcome.difference["verdict"] == "outside"
        assert outcome.difference["extensions"] == other.difference["extensions"]
        kept = published.read(work.archive, campaign_id, work.item.dataset)
        assert kept["reasons"] == outcome.difference["reasons"]
        assert kept["version"] == outcome.version
        assert not list(wide.archive.list(f"campaigns/{wide.plan.digest[:16]}/differences/"))

    def test_readers_lost_their_version(self, seen):
        """Without the files of the published version a unit ends well, and says what it could not read."""
        work = later(seen, MORE_JUMPS)
        for stamp in list(work.archive.list(f"products/{work.item.dataset}/")):
            work.archive.delete(stamp.key)
        outcome = run(work)

        assert outcome.outcome_class == worker.WRITTEN
        assert outcome.difference["verdict"] == "within"
        assert "could not be compared" in outcome.difference["reasons"][0]


class TestJudging:
    def test_a_budget_changes_no_verdict(self, seen):
        """Whatever is expected of differences, the same work is planned under the same names."""
        archive, _ = seen

        def versions(extra):
            return [(item.version, item.fingerprint, item.verdict) for item in planned(archive, extra).items]

        assert versions(MORE_JUMPS + NARROW) == versions(MORE_JUMPS)
        assert versions(NARROW) == versions("")

    def test_what_was_proved_equivalent_is_current(self, seen):
        """Once the pointer lists the recipe of an identical version, that target asks for no more work."""
        archive, before = seen
        work = later(seen, NO_EFFECT)
        run(work)
        other = replace(archive, store=work.archive)
        manifest = publish.read_version(work.archive, before.item.dataset, before.item.version)
        equivalents = [recipe.digest(work.item.fingerprint)]

        assert publish.move_pointer(work.archive, manifest, writer="w", equivalents=equivalents) == "published"
        campaign.scan(other)
        again = planned(other, NO_EFFECT, trips.LATEST)
        assert before.item.dataset not in {item.dataset for item in again.items}
        assert before.item.dataset in {name for some in again.settled for name in some.datasets}
        shown, _ = pointers.read(work.archive, before.item.dataset)
        assert (shown.version, shown.equivalents) == (before.item.version, tuple(equivalents))
