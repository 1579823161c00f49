"""Who is told of which events, and how far."""

from dataclasses import replace
from datetime import date

import pytest

from reprocess import errors
from reprocess.exposure import Outcome
from reprocess.publication import events, subscriptions
from reprocess.publication.events import Batch
from reprocess.publication.subscriptions import Cursor, Subscription
from tests.publication import samples
from tests.publication.faulty import Fault, Watched

ITEM = samples.item()
(EVENT,) = events.of([Outcome("u", ITEM.dataset, "published", version="v")], {ITEM.dataset: ITEM}, "c")
EVENT = replace(EVENT, instrument="NIRCAM")


@pytest.fixture
def store():
    return samples.memory_store()


def wanted(name="us", **fields):
    return Subscription(name, fields.pop("to", "file:/tmp/x"), **fields)


def log(store, *places):
    """Write batches of the log, each with one event."""
    for day, stream, number in places:
        store.put(Batch(day, stream, number).key, events.to_line(EVENT))


def left(store, cursor):
    return [(batch.day, batch.stream, batch.number) for batch, _ in subscriptions.pending(store, cursor)]


class TestWants:
    def test_everything(self):
        """Who chooses nothing gets everything."""
        assert wanted().wants(EVENT)

    @pytest.mark.parametrize(
        ("chosen", "expected"),
        [
            ({"programs": ("01234",)}, True),
            ({"programs": ("99999",)}, False),
            ({"programs": ("99999", "01234")}, True),
            ({"instruments": ("NIRCAM",)}, True),
            ({"instruments": ("MIRI",)}, False),
            ({"types": ("rateints",)}, True),
            ({"types": ("cal",)}, False),
            ({"kinds": ("reprocessed", "new")}, True),
            ({"kinds": ("failed",)}, False),
            ({"kinds": ("reprocessed",), "instruments": ("MIRI",)}, False),
        ],
    )
    def test_chosen(self, chosen, expected):
        """Every choice must fit, each by one of its values."""
        assert wanted(**chosen).wants(EVENT) is expected

    def test_what_is_not_known(self):
        """A retirement does not say of which instrument it is, so whoever wants one instrument hears of it."""
        event = events.by_hand("retired", ITEM.dataset, "v")

        assert wanted(instruments=("MIRI",)).wants(event)
        assert not wanted(programs=("99999",)).wants(event)


class TestRecords:
    def test_what_is_added_is_there(self, store):
        """Every field survives."""
        made = subscriptions.add(store, wanted(programs=("01234",), kinds=("new",), digest="daily"))

        assert subscriptions.every(store) == (made,)
        assert made.id
        assert made.created

    def test_from_now_on(self, store):
        """What happened before is not delivered; what comes after is, in an old stream too."""
        log(store, ("2026-11-20", "a-000001", 1), ("2026-11-20", "a-000001", 2))
        cursor, _ = subscriptions.cursor_of(store, subscriptions.add(store, wanted()))
        assert left(store, cursor) == []

        log(store, ("2026-11-20", "a-000001", 3), ("2026-11-20", "b-000001", 1), ("2026-11-21", "a-000001", 4))
        assert [place[1:] for place in left(store, cursor)] == [("a-000001", 3), ("b-000001", 1), ("a-000001", 4)]

    def test_from_a_day_on(self, store):
        """What happened since the day that is named is delivered."""
        log(store, ("2026-11-19", "a-000001", 1), ("2026-11-20", "a-000001", 2))
        cursor, _ = subscriptions.cursor_of(store, subscriptions.add(store, wanted(), since="2026-11-20"))

        assert left(store, cursor) == [("2026-11-20", "a-000001", 2)]

    def test_a_name_that_is_taken(self, store):
        """The first subscription of a name stays, and its cursor with it."""
        first = subscriptions.add(store, wanted())
        with pytest.raises(errors.UsageError, match="already"):
            subscriptions.add(store, wanted(to="file:/tmp/y"))

        assert subscriptions.every(store) == (first,)
        subscriptions.cursor_of(store, first)
        assert len(list(store.list("subscriptions/"))) == 2

    def test_removed(self, store):
        """Nothing of it stays, and the name is free again."""
        subscriptions.add(store, wanted())
        subscriptions.add(store, wanted("us.too"))
        subscriptions.remove(store, "us")
        assert [each.name for each in subscriptions.every(store)] == ["us.too"]

        subscriptions.add(store, wanted())
        assert len(subscriptions.every(store)) == 2

    @pytest.mark.parametrize("name", ["them", "", "../x", "A b"])
    def test_there_is_none(self, store, name):
        """Who ends what there is not is told so."""
        with pytest.raises(errors.UsageError, match="no subscription"):
            subscriptions.remove(store, name)

    @pytest.mark.parametrize(
        ("fields", "since", "message"),
        [
            ({"name": "Ours"}, "", "no name"),
            ({"name": "a/b"}, "", "no name"),
            ({"name": "x" * 65}, "", "no name"),
            ({"types": ("uncal",)}, "", "'uncal' is none of the types. There are rate, rateints, cal"),
            ({"kinds": ("old",)}, "", "There are new, reprocessed"),
            ({"digest": "hourly"}, "", "There are daily"),
            ({}, "2026-13-01", "is no day"),
            ({}, "yesterday", "YYYY-MM-DD"),
        ],
    )
    def test_what_cannot_be(self, store, fields, since, message):
        """A wish that nothing could fulfil is refused, and nothing is written."""
        with pytest.raises(errors.UsageError, match=message):
            subscriptions.add(store, wanted(**fields), since=since)
        assert list(store.list()) == []

    def test_damage(self, store):
        """A record that cannot be read is named."""
        made = subscriptions.add(store, wanted())
        store.put(f"subscriptions/us/cursor-{made.id}.json", b'{"kind":"cursor","schema":1}')

        with pytest.raises(errors.DamagedRecord, match=r"cursor-.*subscribe again"):
            subscriptions.cursor_of(store, made)


class TestCursor:
    def test_positions(self):
        """A batch is done, done in part, or not done."""
        batches = [Batch("2026-11-20", "a-000001", number) for number in range(4)]
        cursor = Cursor().past(batches[0]).past(batches[1], 7)

        assert [cursor.position(batch) for batch in batches] == [None, 7, 0, 0]
        assert cursor.position(Batch("2026-11-21", "a-000001", 0)) == 0

    def test_forgetting(self):
        """Days of long ago are forgotten as a whole, and count as done."""
        old, new = Batch("2026-11-01", "a-000001", 1), Batch("2026-11-20", "a-000001", 2)
        cursor = Cursor().past(old).past(new).forgetting("2026-11-20", date(2026, 11, 20))

        assert cursor.since == "2026-11-13"
        assert list(cursor.done) == ["2026-11-20/a-000001"]
        assert cursor.position(Batch("2026-11-01", "b-000001", 1)) is None

    @pytest.mark.parametrize(
        ("newest", "today"), [("2099-01-01", date(2026, 11, 20)), ("2026-11-20", date(2099, 1, 1))]
    )
    def test_a_clock_of_the_future(self, newest, today):
        """One clock that is ahead makes nobody forget the present."""
        assert Cursor().forgetting(newest, today).since == "2026-11-13"


class TestMove:
    @pytest.mark.parametrize("after", [False, True])
    def test_a_lost_answer(self, store, after):
        """Whether the swap took effect is found out; it counts once."""
        made = subscriptions.add(store, wanted())
        cursor, etag = subscriptions.cursor_of(store, made)
        fault = Fault(1, errors.StorageUnavailable("no answer"), after=after)
        moved, etag = subscriptions.move(
            Watched(store, fault), made, cursor.past(Batch("2026-11-20", "a", 1)), etag=etag, patience=samples.HURRIED
        )

        assert subscriptions.cursor_of(store, made) == (moved, etag)
        assert moved.sequence == 1

    def test_somebody_else(self, store):
        """Who comes second does not put the cursor back."""
        made = subscriptions.add(store, wanted())
        cursor, etag = subscriptions.cursor_of(store, made)
        first, _ = subscriptions.move(store, made, cursor.past(Batch("2026-11-20", "a", 5)), etag=etag)

        with pytest.raises(errors.PreconditionFailed):
            subscriptions.move(
                store, made, cursor.past(Batch("2026-11-20", "a", 3)), etag=etag, patience=samples.HURRIED
            )
        assert subscriptions.cursor_of(store, made)[0] == first

    def test_removed_meanwhile(self, store):
        """A subscription that has ended is not brought back."""
        made = subscriptions.add(store, wanted())
        cursor, etag = subscriptions.cursor_of(store, made)
        subscriptions.remove(store, "us")

        with pytest.raises(errors.PreconditionFailed, match="unsubscribed"):
            subscriptions.move(store, made, cursor, etag=etag)
        assert list(store.list()) == []
