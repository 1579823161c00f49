"""The log of what became of datasets."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.exposure import Outcome, Reason, Verdict
from reprocess.publication import events
from tests.publication import samples
from tests.publication.faulty import Fault, Killed, Watched

OTHER = samples.DATASET.replace("nrca1", "nrca2")
PLAN = samples.plan(samples.item(), samples.item(OTHER, verdict=Verdict(OTHER, "missing", (Reason("x", "y"),))))
CAMPAIGN = PLAN.digest[:16]
ITEMS = {item.dataset: item for item in PLAN.items}


@pytest.fixture
def store():
    return samples.memory_store()


def outcome(outcome_class="published", dataset=samples.DATASET, **fields):
    return Outcome(dataset, dataset, outcome_class, version="v1-1", **{"ended": "2026-11-21T03:00:00.000", **fields})


def of(*outcomes):
    return events.of(outcomes, ITEMS, CAMPAIGN)


def logged(store):
    """All events of the log in their order."""
    return [event for batch in events.objects(store) for event in events.read(store, batch.key)]


class TestOf:
    @pytest.mark.parametrize(
        ("outcome_class", "dataset", "kind"),
        [
            ("published", samples.DATASET, "reprocessed"),
            ("published", OTHER, "new"),
            ("held-back", samples.DATASET, "held-back"),
            ("bad-data", samples.DATASET, "failed"),
            ("worker-lost", OTHER, "failed"),
        ],
    )
    def test_kinds(self, outcome_class, dataset, kind):
        """What is published is new where there was nothing before; every failure is one."""
        (event,) = of(outcome(outcome_class, dataset))

        assert (event.kind, event.dataset, event.outcome_class) == (kind, dataset, outcome_class)

    def test_a_catalogue_that_is_old(self):
        """What was compared with a published version replaces that, whatever the catalogue says."""
        (event,) = of(outcome(dataset=OTHER, difference={"against": "v0-1", "verdict": "within"}))

        assert event.kind == "reprocessed"

    @pytest.mark.parametrize(
        "outcome_class", ["unchanged", "current", "deferred", "cancelled", "staged", "written", "again"]
    )
    def test_silence(self, outcome_class):
        """Where readers see what they saw and nobody has to do anything, nothing happened."""
        assert of(outcome(outcome_class)) == ()

    def test_units_without_a_candidate(self):
        """The preparation of a reference belongs to no dataset."""
        assert of(outcome("reference", "")) == ()

    def test_what_it_says(self):
        """An event says of what it is, of which version, and why it was made."""
        (event,) = of(outcome())

        assert (event.campaign, event.version, event.program) == (CAMPAIGN, "v1-1", "01234")
        assert (event.types, event.reasons, event.time) == (
            ("rate", "rateints"),
            ("software",),
            "2026-11-21T03:00:00.000Z",
        )

    def test_the_units_of_one_dataset(self):
        """A slab that fails, and the assembly that fails because of it, are one event."""
        assert len(of(outcome("bad-data", attempt=0), outcome("bad-data"))) == 1

    def test_ids(self):
        """An id is that of campaign, dataset, kind and version, and of nothing else."""
        (one,) = of(outcome())
        (again,) = of(outcome(attempt=2, worker="w", ended="2026-12-01T00:00:00.000"))
        others = [*of(outcome("bad-data")), *of(outcome(dataset=OTHER)), *of(replace(outcome(), version="v2-1"))]
        (elsewhere,) = events.of([outcome()], ITEMS, "another")

        assert one.id == again.id
        assert len({one.id, elsewhere.id, *(other.id for other in others)}) == 5

    def test_no_secrets(self):
        """A message that holds a password goes without it."""
        (event,) = of(outcome("storage", message="https://me:hunter22@host/x does not answer"))

        assert "hunter22" not in event.message


class TestLog:
    def test_what_is_appended_is_read(self, store):
        """Every field of an event survives, and the day is today's."""
        told = of(outcome(), outcome("held-back", OTHER))
        events.record(store, told, campaign=CAMPAIGN, epoch=1, number=3)

        assert logged(store) == list(told)
        (batch,) = events.objects(store)
        assert batch.stream == f"{CAMPAIGN}-000001"
        assert abs(datetime.fromisoformat(batch.day).replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(days=2)

    def test_nothing_is_nothing(self, store):
        """A batch without events writes nothing."""
        events.record(store, (), campaign=CAMPAIGN, epoch=1, number=3)

        assert list(store.list()) == []

    def test_again(self, store):
        """The same batch written twice is there once."""
        for _ in range(2):
            events.record(store, of(outcome()), campaign=CAMPAIGN, epoch=1, number=3)

        assert len(list(events.objects(store))) == 1

    def test_again_with_more(self, store):
        """A batch that grew before it was tried again loses nothing; what it told before has the same id."""
        events.record(store, of(outcome()), campaign=CAMPAIGN, epoch=1, number=3)
        events.record(store, of(outcome(), outcome(dataset=OTHER)), campaign=CAMPAIGN, epoch=1, number=3)

        assert {event.dataset for event in logged(store)} == {samples.DATASET, OTHER}
        assert len({event.id for event in logged(store)}) == 2

    def test_a_clock_of_the_past(self, store, monkeypatch, caplog):
        """A batch of a machine whose clock is weeks behind is also written under the day of the store."""
        monkeypatch.setattr(events, "_now", lambda: "2020-01-01T00:00:00.000Z")
        events.record(store, of(outcome()), campaign=CAMPAIGN, epoch=1, number=3)

        days = [batch.day for batch in events.objects(store)]
        assert days == ["2020-01-01", next(iter(store.list("events/"))).modified[:10]]
        assert "Set it" in caplog.text

    def test_damage(self, store):
        """A line that is no event is named with its object."""
        store.put("events/2026-11-21/a-00000001.jsonl", b"[]\n")

        with pytest.raises(errors.DamagedRecord, match=r"a-00000001.*Remove"):
            logged(store)

    def test_fields_of_the_future(self, store):
        """What a later version adds to an event does not stop this one."""
        (event,) = of(outcome())
        line = events.to_line(event).replace(b'{"campaign"', b'{"brightness":1,"campaign"')

        assert events.from_line(line, name="x") == event

    def test_by_hand(self, store):
        """Events of commands stand beside those of campaigns; the same move made again is another event."""
        told = [events.by_hand("rolled-back", samples.DATASET, "v1-1", sequence=number) for number in (2, 4)]
        events.tell(store, told)

        assert logged(store) == told
        assert len({event.id for event in told}) == 2


class TestCatchUp:
    def test_what_is_missing_is_appended(self, store):
        """After a crash the ledger tells what the log does not have."""
        outcomes = [outcome(), outcome("held-back", OTHER)]
        events.record(store, of(outcomes[0]), campaign=CAMPAIGN, epoch=1, number=1)

        assert events.catch_up(store, PLAN, outcomes, epoch=2) == 1
        assert events.catch_up(store, PLAN, outcomes, epoch=3) == 0
        assert sorted(event.id for event in logged(store)) == sorted(event.id for event in of(*outcomes))

    def test_a_message_that_looks_like_an_event(self, store):
        """What a message quotes is no event."""
        (hidden,) = of(outcome(dataset=OTHER))
        told = outcome("bad-data", message=f'"id":"{hidden.id}"')
        events.record(store, of(told), campaign=CAMPAIGN, epoch=1, number=1)

        assert events.catch_up(store, PLAN, [told, outcome(dataset=OTHER)], epoch=2) == 1

    def test_other_campaigns(self, store):
        """What another campaign told of the same dataset is no event of this one."""
        events.record(store, events.of([outcome()], ITEMS, "another"), campaign="another", epoch=1, number=1)

        assert events.catch_up(store, PLAN, [outcome()], epoch=1) == 1

    @given(st.integers(1, 12), st.booleans(), st.booleans())
    def test_at_least_once(self, number, after, again):
        """Killed at any call while batches are written, and caught up, the log has every event of the ledger."""
        store, ledger = samples.memory_store(), []
        fault = Fault(number, Killed(), after=after)
        watched = Watched(store, fault)
        try:
            for at, each in enumerate([outcome(), outcome("bad-data", OTHER), outcome(dataset=OTHER)], 1):
                events.record(watched, of(each), campaign=CAMPAIGN, epoch=1, number=at)
                ledger.append(each)
        except Killed:
            pass
        if again:
            ledger.append(outcome("held-back"))
        events.catch_up(store, PLAN, ledger, epoch=2)

        assert {event.id for event in of(*ledger)} <= {event.id for event in logged(store)}
