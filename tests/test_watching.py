"""`reprocess.watching`: looking at a campaign while somebody else is at work."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reprocess import campaign, closing, coordinator, errors, inspection, watching
from reprocess.exposure import Outcome
from reprocess.publication import control, ledger
from reprocess.publication import lease as leases
from reprocess.reporting import live
from reprocess.reporting.ending import Ending
from tests import trips
from tests.publication.faulty import Watched

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def planned():
    """An archive with a plan that nobody has run."""
    archive = trips.make(options=trips.TINY)
    return archive, campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)


@pytest.fixture(scope="module")
def ended():
    """An archive with a campaign that has ended."""
    archive = trips.make(options=trips.TINY)
    return archive, *trips.go(archive, trips.target(options=trips.TINY))


def note(archive, made, *outcomes):
    """Append outcomes as a coordinator does."""
    with ledger.begin(archive.store, made.digest[:16]) as book:
        for each in outcomes:
            book.append(each)


def unit(item, outcome_class="published", **rest):
    return Outcome(item.dataset, item.dataset, outcome_class, ended="2026-11-21T11:00:00.000", worker="w", **rest)


def calls_of(archive, calls):
    """The same archive, whose reads are noted."""

    def hook(name, key, perform):
        calls.append((name, key))
        return perform()

    return replace(archive, store=Watched(archive.store, hook))


def test_before_anybody_began(planned):
    """A plan that nobody has run is told as such, with all of its work to do."""
    archive, made = planned
    found = watching.Watch(archive, made.digest).look(NOW)

    assert (found.to_do, found.is_over, found.holder) == (2, False, None)
    assert "nobody has begun it" in live.text(found)


def test_after_the_end(ended):
    """A campaign that has ended says so, with the same counts as its report, and where the report is."""
    archive, made, summary = ended
    found = watching.Watch(archive, made.digest[:8]).look(NOW)

    assert found.is_over
    assert found.classes == {name: count for name, count in summary.classes.items() if count}
    assert "The campaign has ended." in live.text(found)
    assert f"reprocess report {archive.store.url} {made.digest[:16]}" in live.text(found)


def test_only_what_is_new_is_read(planned):
    """A second look lists what came since the first, and reads each batch of outcomes once."""
    archive, made = planned
    calls = []
    watch = watching.Watch(calls_of(archive, calls), made.digest)
    note(archive, made, unit(made.items[0]))
    first = watch.look(NOW)
    calls.clear()
    note(archive, made, unit(made.items[1]))
    second = watch.look(NOW)
    read = [key for name, key in calls if name == "get" and "/outcomes/" in key]

    assert (first.to_do, second.to_do) == (1, 0)
    assert len(read) == 2  # the beginning of the second epoch, and its outcome
    calls.clear()
    watch.look(NOW)
    assert [key for name, key in calls if name == "get" and "/outcomes/" in key] == []


class TestLease:
    """Who is at work."""

    def held(self, planned, **change):
        """Take the lease of a campaign."""
        archive, made = planned
        lease = leases.acquire(archive.store, made.digest[:16], silence_s=30.0)
        note(archive, made, unit(made.items[0]))
        return archive, made, lease

    def test_somebody_is_at_work(self, planned):
        """The holder is named, with how long ago it was alive."""
        archive, made, _ = self.held(planned)
        found = watching.Watch(archive, made.digest).look(datetime.now(UTC))

        assert (found.is_held, found.is_over) == (True, False)
        assert f"at work: {found.holder.place} (coordinator 1)" in live.text(found)

    def test_somebody_is_silent(self, planned):
        """A holder that was silent for longer than it may be is not said to be at work."""
        archive, made, _ = self.held(planned)
        text = live.text(watching.Watch(archive, made.digest).look(datetime.now(UTC) + timedelta(hours=1)))

        assert "at work" not in text.splitlines()[0]
        assert "Run the plan again to take over." in text

    def test_a_lease_that_is_renewed_between_looks(self, planned):
        """Of two looks the second knows that the holder is alive, whatever the clocks say."""
        archive, made, lease = self.held(planned)
        watch = watching.Watch(archive, made.digest)
        watch.look(NOW)
        lease.renew()
        found = watch.look(datetime.now(UTC) + timedelta(hours=1))

        assert "alive just now" in live.text(found)

    def test_a_campaign_that_goes_on_after_its_report(self, ended):
        """Somebody who takes the lease again is at work, whatever an earlier report says."""
        archive, made, _ = ended
        other = replace(archive, store=trips.copy(archive.store, trips.fresh()))
        leases.acquire(other.store, made.digest[:16])

        assert not watching.Watch(other, made.digest).look(NOW).is_over
        assert b"has not ended" in inspection.read_report(other, made.digest)

    def test_damage(self, planned):
        """A lease that is no lease is told, with what to do."""
        archive, made = planned
        archive.store.put(leases.key(made.digest[:16]), b'{"kind":"lease","schema":1}\n')

        with pytest.raises(errors.DamagedRecord, match="Delete it"):
            watching.position(archive, made.digest)


class TestEndings:
    """How the last run ended."""

    def test_paused(self, planned):
        """A campaign that is paused says by whom and why, and has no remainder."""
        archive, made = planned
        note(archive, made, unit(made.items[0]))
        closing.write_report(archive, made, end=Ending("paused", "gain is wrong", "anna"))
        found = watching.Watch(archive, made.digest).look(NOW)

        assert (found.is_over, found.to_do, found.remainder) == (True, 1, ())
        assert "The campaign is paused, by anna: gain is wrong." in live.text(found)
        assert [each.state for each in inspection.standings(archive, 1)] == ["begun"]

    @pytest.mark.parametrize("state", ["cancelled", "deferred"])
    def test_what_nobody_came_to(self, planned, state):
        """Of a campaign that was stopped, what has no outcome is in the class of the stop."""
        archive, made = planned
        note(archive, made, unit(made.items[0]))
        summary = closing.write_report(archive, made, end=Ending(state, "enough"))
        found = watching.Watch(archive, made.digest).look(NOW)

        assert summary.closes
        assert found.classes == {"published": 1, state: 1}
        assert found.to_do == 0

    def test_a_remainder(self, planned):
        """A campaign that has ended with a candidate that has no class is an alarm with its name."""
        archive, made = planned
        note(archive, made, unit(made.items[0]))
        closing.write_report(archive, made)
        found = watching.Watch(archive, made.digest).look(NOW)

        assert found.remainder == (made.items[1].dataset,)
        assert f"THE SUM DOES NOT CLOSE. Without a class: {made.items[1].dataset}" in live.text(found)
        assert live.record(found)["closes"] is False

    def test_damage(self, planned):
        """A record of the end that cannot be read is told."""
        archive, made = planned
        archive.store.put(closing.ending_key(made.digest), b"{}")

        with pytest.raises(errors.DamagedRecord):
            watching.position(archive, made.digest)


def test_control(planned):
    """What somebody asked for is shown as long as it is not done."""
    archive, made = planned
    control.change(archive.store, made.digest[:16], by="anna", state=control.PAUSE, why="lunch")
    text = live.text(watching.Watch(archive, made.digest).look(NOW))

    assert "asked to pause by anna: lunch" in text


def test_record_is_json(ended):
    """The record has plain JSON values."""
    archive, made, _ = ended
    found = json.loads(json.dumps(live.record(watching.Watch(archive, made.digest).look(NOW))))

    assert (found["over"], found["ended"], found["closes"], found["remainder"]) == (True, True, True, [])
    assert found["lease"]["released"] is True
    assert found["classes"] == {"published": 2}


def test_an_interrupted_run_is_no_end(planned):
    """A run that was interrupted leaves no word of an end, and the next look says that it can go on."""
    archive, made = planned

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        coordinator.run(archive, made.digest, progress=interrupt)
    found = watching.Watch(archive, made.digest).look(NOW)

    assert (found.is_over, found.to_do) == (False, 1)
    assert "Run the plan again: it goes on." in live.text(found)
