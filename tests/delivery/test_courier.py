"""From the log of events to receivers, at least once."""

import contextlib
import itertools
import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from reprocess import errors
from reprocess.delivery import courier
from reprocess.delivery.transport import Transport
from reprocess.publication import events, subscriptions
from reprocess.publication.subscriptions import Subscription
from tests.delivery import receivers
from tests.publication import samples
from tests.publication.faulty import Fault, Killed, Watched

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
A, B, C = (f"jw0123400100{n}_02101_00001_nrca1" for n in range(3))


class Post(Transport):
    """Remembers what it took; refuses the calls whose numbers it is given."""

    def __init__(self, batch=1, refuses=()):
        self.batch, self.refuses = batch, set(refuses)
        self.calls, self.taken = 0, []

    def send(self, messages):
        assert 0 < len(messages) <= self.batch
        self.calls += 1
        if self.calls in self.refuses:
            raise errors.DeliveryError("The post is closed. Come again.")
        self.taken += [json.loads(message.body) for message in messages]

    @property
    def datasets(self):
        return [body["dataset"] for body in self.taken]


@pytest.fixture
def store():
    return samples.memory_store()


@pytest.fixture
def post():
    return Post()


def subscribe(store, name="us", **fields):
    return subscriptions.add(store, Subscription(name, fields.pop("to", "post"), **fields))


def deliver(store, post, now=NOW):
    return courier.deliver(store, lambda to: post, now=now)


class TestAtOnce:
    def test_what_is_new(self, store, post):
        """Each event comes once, in the order of its stream, and nothing comes twice."""
        subscribe(store)
        receivers.log(store, "2026-11-21", 1, A, B)
        (first,) = deliver(store, post)
        receivers.log(store, "2026-11-21", 2, C)
        (second,) = deliver(store, post)
        (third,) = deliver(store, post)

        assert post.datasets == [A, B, C]
        assert [(each.events, each.messages, each.problem) for each in (first, second, third)] == [
            (2, 2, ""),
            (1, 1, ""),
            (0, 0, ""),
        ]

    def test_streams_that_come_late(self, store, post):
        """A stream whose name comes before those that were delivered is delivered too."""
        subscribe(store)
        receivers.log(store, "2026-11-21", 1, A, stream="b-000001")
        deliver(store, post)
        receivers.log(store, "2026-11-21", 1, B, stream="a-000001")
        receivers.log(store, "2026-11-20", 9, C, stream="b-000001")
        deliver(store, post)

        assert sorted(post.datasets) == [A, B, C]

    def test_chosen(self, store, post):
        """Who wants failures gets failures; the rest is passed by for good."""
        made = subscribe(store, kinds=("failed",))
        receivers.log(store, "2026-11-21", 1, A)
        receivers.log(store, "2026-11-21", 2, B, kind="bad-data")
        deliver(store, post)

        assert post.datasets == [B]
        assert list(subscriptions.pending(store, subscriptions.cursor_of(store, made)[0])) == []

    @pytest.mark.parametrize("batch", [1, 2, 10])
    def test_refused(self, store, batch):
        """What was refused, and all after it, comes the next time; what was taken does not come again."""
        subscribe(store)
        receivers.log(store, "2026-11-21", 1, *(f"jw{n:011d}_x" for n in range(5)))
        receivers.log(store, "2026-11-21", 2, A)
        post = Post(batch, refuses={2})
        (first,) = deliver(store, post)
        assert "closed" in first.problem
        taken = len(post.taken)
        assert (first.events, taken) == (min(batch, 5), min(batch, 5))
        deliver(store, post)

        assert post.datasets == [*(f"jw{n:011d}_x" for n in range(5)), A]

    def test_one_that_fails(self, store, post):
        """A receiver that is closed, and an address that is none, hold up nobody else."""
        for name in ("a", "b", "c"):
            subscribe(store, name, to=name)
        receivers.log(store, "2026-11-21", 1, A)

        def opened(to):
            if to == "a":
                raise errors.UsageError("a is no address.")
            return Post(refuses={1}) if to == "b" else post

        done = courier.deliver(store, opened, now=NOW)
        assert [bool(each.problem) for each in done] == [True, True, False]
        assert post.datasets == [A]

    @pytest.mark.parametrize("after", [False, True])
    def test_at_least_once(self, after):
        """Killed at any call to the store, and done again, everything arrives; hardly anything twice."""
        for number in itertools.count(1):
            store, post = samples.memory_store(), Post(2)
            subscribe(store)
            receivers.log(store, "2026-11-20", 1, A, B, C)
            receivers.log(store, "2026-11-21", 2, A, B, campaign="d")
            fault = Fault(number, Killed(), after=after)
            with contextlib.suppress(Killed):
                deliver(Watched(store, fault), post)
            deliver(store, post)

            counts = Counter(body["id"] for body in post.taken)
            assert len(counts) == 5
            assert max(counts.values()) <= 2
            if not fault.struck:
                break
        assert number > 4

    def test_two_at_a_time(self, store, post):
        """Two programs that deliver at the same time skip nothing, and the slower one leaves the cursor alone."""
        subscribe(store)
        receivers.log(store, "2026-11-21", 1, A)
        receivers.log(store, "2026-11-21", 2, B)
        rival = []

        def hook(name, key, perform):
            if name == "compare_and_swap" and not rival:
                rival.append(deliver(store, post))
            return perform()

        (late,) = deliver(Watched(store, hook), post)

        assert "at the same time" in late.problem
        assert set(post.datasets) == {A, B}
        assert deliver(store, post)[0].events == 0


class TestDaily:
    def test_once_a_day(self, store, post):
        """A day's digest is sent when it is over; today's waits."""
        subscribe(store, digest="daily")
        receivers.log(store, "2026-11-19", 1, A)
        receivers.log(store, "2026-11-20", 2, B, C)
        receivers.log(store, "2026-11-20", 1, A, stream="b-000001", campaign="d")
        receivers.log(store, "2026-11-21", 3, A, campaign="e")
        (done,) = deliver(store, post)
        deliver(store, post)

        assert [(body["day"], body["count"]) for body in post.taken] == [("2026-11-19", 1), ("2026-11-20", 3)]
        assert (done.events, done.messages) == (4, 2)
        deliver(store, post, now=datetime(2026, 11, 22, tzinfo=UTC))
        assert [body["day"] for body in post.taken[2:]] == ["2026-11-21"]

    def test_late_events(self, store, post):
        """What is written under a day after its digest makes another digest of that day."""
        subscribe(store, digest="daily")
        receivers.log(store, "2026-11-20", 1, A)
        deliver(store, post)
        receivers.log(store, "2026-11-20", 2, B)
        deliver(store, post)

        first, second = post.taken
        assert (first["count"], second["count"]) == (1, 1)
        assert first["id"] != second["id"]

    def test_nothing_to_say(self, store, post):
        """A day without events that are wanted has no digest."""
        subscribe(store, digest="daily", kinds=("failed",))
        receivers.log(store, "2026-11-20", 1, A)
        deliver(store, post)

        assert post.taken == []

    def test_refused(self, store):
        """A digest that was refused is sent again with the same id."""
        subscribe(store, digest="daily")
        receivers.log(store, "2026-11-19", 1, A)
        receivers.log(store, "2026-11-20", 2, B)
        post = Post(refuses={2})
        deliver(store, post)
        deliver(store, post)

        assert [body["day"] for body in post.taken] == ["2026-11-19", "2026-11-20"]


def test_a_damaged_log(store, post):
    """A batch that cannot be read is named, and what came before it was delivered."""
    subscribe(store)
    receivers.log(store, "2026-11-20", 1, A)
    store.put("events/2026-11-20/c-000001-00000002.jsonl", b"{}\n")
    (done,) = deliver(store, post)

    assert post.datasets == [A]
    assert "00000002" in done.problem


def test_in_a_bucket(s3_store, post):
    """The log and the cursor are kept by S3 as by any other store."""
    subscribe(s3_store)
    events.record(s3_store, receivers.made(A, B), campaign="c", epoch=1, number=1)
    deliver(s3_store, post)
    deliver(s3_store, post)

    assert post.datasets == [A, B]


def test_after_a_run(store, caplog):
    """At the end of a run a receiver that is closed, and a store that does not answer, are warnings."""
    subscribe(store)
    receivers.log(store, "2026-11-21", 1, A)
    courier.after_run(store, lambda to: Post(refuses={1}))
    fault = Fault(1, errors.StorageUnavailable("no answer"), after=False)
    courier.after_run(Watched(store, fault), lambda to: Post())

    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "for us" in caplog.text


def test_text():
    """What was delivered is told in a line each."""
    assert courier.text([]) == "Nobody has subscribed."
    assert "3 event(s) in 1 message(s); closed" in courier.text([courier.Delivered("us", 3, 1, "closed")])


def test_ids_are_those_of_the_log(store, post):
    """Receivers know events by the ids that the log has."""
    subscribe(store)
    told = receivers.log(store, "2026-11-21", 1, A, B)
    deliver(store, post)

    assert [body["id"] for body in post.taken] == [event.id for event in told]
    assert all(isinstance(event, events.Event) for event in told)
