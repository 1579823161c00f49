"""What receivers get."""

import json

from reprocess.delivery import message
from reprocess.delivery.message import Digest
from tests.delivery import receivers

EVENTS = receivers.made("jw01234001001_02101_00001_nrca1", "jw01234001001_02101_00001_nrca2")
FAILED = receivers.made("jw01235001001_02101_00001_nrca1", kind="bad-data")


def digest(*events):
    found = Digest("2026-11-20")
    for event in events:
        found.add(event)
    return found.message("us")


def test_of_an_event():
    """The message of an event has its id and says all of it."""
    told = message.of_event(EVENTS[0], "us")
    body = json.loads(told.body)

    assert told.id == body["id"] == EVENTS[0].id
    assert (body["type"], body["subscription"], body["kind"]) == ("event", "us", "reprocessed")
    assert "\n" not in told.body


def test_of_a_day():
    """A digest counts each event once, by kind, instrument, program and class, and lists them."""
    body = json.loads(digest(*EVENTS, *FAILED, *EVENTS).body)

    assert (body["type"], body["count"], body["day"]) == ("digest", 3, "2026-11-20")
    assert body["counts"]["kind"] == {"failed": 1, "reprocessed": 2}
    assert body["counts"]["program"] == {"01234": 2, "01235": 1}
    assert [each["dataset"] for each in body["events"]] == [each.dataset for each in (*EVENTS, *FAILED)]


def test_ids_of_digests():
    """The same events make the same message, in any order; more of them, or for somebody else, make another."""
    one = digest(*EVENTS)

    assert one == digest(*EVENTS)
    assert digest(*reversed(EVENTS)).id == one.id
    assert digest(*EVENTS, *FAILED).id != one.id


def test_a_large_day():
    """A digest fits a queue, however many events there are, and says how many it does not list."""
    events = receivers.made(*(f"jw{n:011d}_02101_00001_nrca1" for n in range(3000)))
    told = digest(*events)

    assert len(told.body) < 250_000
    assert json.loads(told.body)["not_listed"] == 3000 - message.LISTED
