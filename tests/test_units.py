"""From items to units: which there are, in which order, and in which memory tier they begin."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import campaign, units, worker
from reprocess.execution.executor import Amount
from reprocess.exposure import Outcome
from reprocess.planning import pilot
from reprocess.units import Past
from tests import trips
from tests.publication import samples


@pytest.fixture(scope="module")
def planned():
    """An archive, and a plan of exposures of one unit each."""
    archive = trips.make(options=trips.TINY, deadline_s=77.0)
    return archive, campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)


@pytest.fixture(scope="module")
def tall():
    """An archive, and a plan of exposures that are cut."""
    archive = trips.make(options=trips.TALL)
    wanted = trips.target(extra=trips.LEAST_MEMORY, options=trips.TALL)
    return archive, campaign.plan(archive, wanted, created=trips.CREATED)


def tasks(archive, made, outcomes=None, tiers=0, kinds=None, items=None):
    past = Past(outcomes or {}, tiers, kinds or {})
    return list(units.tasks(archive, made, made.items if items is None else items, past))


def ended(unit, tier):
    return Outcome(unit, unit.partition("/")[0], "again", tier=tier)


class TestTasks:
    """`tasks`."""

    def test_references_first(self, planned):
        """Each reference is prepared once, before the first exposure that waits for it."""
        made = tasks(*planned)
        preparing = [task.unit for task in made if isinstance(task.payload, worker.Preparation)]
        wanted = {f"reference/{one.name}" for item in planned[1].items for one in item.references}

        assert sorted(preparing) == sorted(wanted)
        seen = set()
        for task in made:
            assert set(task.after) <= seen
            seen.add(task.unit)

    def test_what_is_prepared_is_not_prepared_again(self, planned):
        """An archive that has the arrays of all references has units for exposures only, and they wait for nothing."""
        archive, made = planned
        store = trips.copy(archive.store, trips.fresh())
        for item in made.items:
            for one in item.references:
                store.put(worker.ready_key(one), b"{}")
        found = tasks(replace(archive, store=store), made)

        assert [(task.unit, task.after) for task in found] == [(item.dataset, ()) for item in made.items]

    def test_one_unit(self, planned):
        """An exposure that fits is one unit, under its own name, with the deadline of the settings and a bare plan."""
        archive, made = planned
        found = {task.unit: task for task in tasks(archive, made)}

        for item in made.items:
            task = found[item.dataset]
            assert units.last_unit(item) == task.unit == task.dataset
            assert (task.payload.part, task.payload.item, task.payload.plan.items) == ("whole", item, ())
            assert (task.payload.plan.digest, task.deadline_s, task.tier) == (made.digest, 77.0, 0)

    def test_slabs(self, tall):
        """A larger one is its facts, its slabs, and the assembly that waits for all of them and decides on it."""
        archive, made = tall
        item = made.items[0]
        assert item.rows_per_slab
        found = [task for task in tasks(archive, made, items=[item]) if task.dataset]
        facts, *slabs, assembly = found

        assert [facts.payload.part, *{task.payload.part for task in slabs}] == ["facts", "slab"]
        assert {task.after for task in slabs} == {(facts.unit,)}
        assert assembly.after == (facts.unit, *(task.unit for task in slabs))
        assert assembly.unit == units.last_unit(item)
        cores = [task.payload.slab.core for task in slabs]
        assert [row for core in cores for row in range(core.start, core.stop)] == list(range(item.entry.sci_shape[-2]))

    def test_only_what_waits(self, planned):
        """Items that need no work have no units, nor have the references that only they read."""
        assert tasks(*planned, items=[]) == []


class TestTier:
    """`Past.tier`."""

    def test_what_a_unit_came_to(self, tall):
        """Each unit begins where it had come to itself; other units of the same exposure do not."""
        archive, made = tall
        item = made.items[0]
        names = [task.unit for task in tasks(archive, made, items=[item]) if task.dataset]
        found = {
            task.unit: task.tier for task in tasks(archive, made, {names[1]: ended(names[1], 2)}, tiers=2, items=[item])
        }

        assert found[names[1]] == 2
        assert {tier for unit, tier in found.items() if unit != names[1]} == {0}

    def test_what_its_kind_needed(self, planned):
        """An exposure begins where the pilot of its kind came to, one of another kind at the bottom."""
        archive, made = planned
        one, other = made.items
        other = replace(other, entry=replace(other.entry, size=other.entry.size * 64))
        found = tasks(archive, made, tiers=2, kinds={pilot.kind(one): 1}, items=[one, other])

        assert {task.unit: task.tier for task in found if task.dataset} == {one.dataset: 1, other.dataset: 0}

    @given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
    @settings(max_examples=60, deadline=None)
    def test_always(self, own, kind, tiers):
        """The higher of the two counts, and never one that there is no more: settings may change between runs."""
        item = samples.item("a")
        past = Past({"a": ended("a", own)}, tiers, {pilot.kind(item): kind})

        assert past.tier(item, "a") == min(max(own, kind), tiers)

    def test_without_a_past(self):
        """What never ran begins at the bottom."""
        assert Past({}, 3).tier(samples.item("a"), "a") == 0


class TestExpected:
    """`expected`."""

    @pytest.mark.parametrize("which", ["planned", "tall"])
    def test_the_sum_of_the_tasks(self, which, request):
        """What is expected is what the tasks come to, tier by tier; preparations come besides."""
        archive, made = request.getfixturevalue(which)
        first = made.items[0]
        past = Past({units.last_unit(first): ended(units.last_unit(first), 1)}, 1)
        given_out = [task for task in units.tasks(archive, made, made.items, past) if task.dataset]

        expected = units.expected(made, made.items, past)

        for tier in (0, 1):
            some = [task for task in given_out if task.tier == tier]
            found = expected.get(tier, Amount())
            assert found.units == len(some)
            assert found.seconds == pytest.approx(sum(task.expected_s for task in some))
        assert all(task.expected_s > 0 for task in given_out)

    def test_as_the_plan_was_forecast(self, planned):
        """All exposures of a plan are expected to take what it was forecast to take."""
        _, made = planned
        (amount,) = units.expected(made, made.items, Past({}, 0)).values()

        assert amount.seconds == pytest.approx(3600 * made.forecast.core_hours.expected)
