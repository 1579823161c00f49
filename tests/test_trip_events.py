"""What a campaign tells of itself: events, and the logs of its units."""

import json
import logging
from dataclasses import replace

import pytest

from reprocess import campaign, coordinator, logs
from reprocess.publication import events, unit_logs
from reprocess.storage.memory import MemoryStore
from tests import trips
from tests.publication.faulty import Killed, Watched


def told(store):
    """All events of the log."""
    return [event for batch in events.objects(store) for event in events.read(store, batch.key)]


class TestEvents:
    def test_one_for_each_dataset(self, done):
        """Each dataset that ended has one event, new for what nobody had, and the version that readers see."""
        archive, made, _ = done
        found = told(archive.store)
        units = {item.dataset for item in made.items if item.action == "calibrate"}

        assert len(found) == len({event.id for event in found})
        assert {event.dataset for event in found} == units
        published = {event.dataset: event.version for event in found if event.kind == "new"}
        assert published == trips.shown(archive)
        assert {event.instrument for event in found} == {"NIRCAM", "NIRISS", "FGS"}

    def test_made_again(self):
        """What replaces a version is reprocessed, and says why."""
        archive = trips.make(options=trips.TINY)
        trips.go(archive, trips.target(options=trips.TINY))
        campaign.scan(archive)
        trips.go(archive, trips.target("second", options=trips.TINY), created=trips.LATER)

        again = [event for event in told(archive.store) if event.kind == "reprocessed"]
        assert again
        assert all(event.reasons for event in again)

    @pytest.mark.parametrize("word", ["events/", "outcomes/"])
    def test_killed_while_batches_are_written(self, word):
        """Killed before or after a batch of events or outcomes, and run again, each dataset has its event."""
        for after in (False, True):
            archive = trips.make(options=trips.TINY)
            made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)
            armed = [True]

            def hook(name, key, perform, armed=armed, after=after):
                strikes = name == "put_if_absent" and word in key and "-00000000" not in key and armed
                if strikes and not after:
                    armed.clear()
                    raise Killed
                result = perform()
                if strikes:
                    armed.clear()
                    raise Killed
                return result

            with pytest.raises(Killed):
                coordinator.run(replace(archive, store=Watched(archive.store, hook)), made.digest)
            coordinator.run(archive, made.digest)

            published = {event.dataset for event in told(archive.store) if event.kind == "new"}
            assert published == set(trips.shown(archive)) == {item.dataset for item in made.items}


def test_a_failure():
    """A unit that fails says in which step it did, and its dataset has an event of a failure."""
    raw = trips.copy(trips.simulated(trips.TINY), trips.fresh(), "raw/")
    archive = trips.make(raw=f"{raw.url}/raw", options=trips.TINY)
    made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)
    entry = made.items[0].entry
    raw.put(f"raw/{entry.key}", raw.get(f"raw/{entry.key}").data + b" " * 2880)
    coordinator.run(archive, made.digest)

    lines = unit_logs.find(archive.store, [entry.dataset])
    assert [line["step"] for line in lines if "was cut short after" in line["message"]] == ["read"]
    assert lines[-1]["message"].startswith("ended as raw-replaced: ")
    (event,) = [event for event in told(archive.store) if event.dataset == entry.dataset]
    assert (event.kind, event.outcome_class) == ("failed", "raw-replaced")


class _Talkative(MemoryStore):
    """A store whose client tells its secrets when it fails."""

    def get_ranges(self, key, ranges, *, etag=""):
        raise ValueError(
            f"GET https://me:hunter22@host/{key}?X-Amz-Signature=5igna7ure&x=1 with aws_secret_access_key={PLANTED}"
        )


PLANTED = "tOp5ecretV4lue/+x"


def test_no_secrets(monkeypatch, capsys):
    """Credentials that an error gives away are nowhere: not in the terminal, and in no object of the archive."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED)
    archive = trips.make(options=trips.TINY)
    (url,) = archive.raw
    raw = _Talkative(*url.removeprefix("memory://").split("/"))
    made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)
    logger = logging.getLogger("reprocess")
    before = (list(logger.handlers), logger.level, logger.propagate)
    logs.set_up(2, "json")
    coordinator.run(replace(archive, raw={url: raw}), made.digest)
    logger.handlers[:], logger.level, logger.propagate = before

    written = [archive.store.get(stamp.key).data.decode(errors="replace") for stamp in archive.store.list()]
    written.append(capsys.readouterr().err)
    assert sum("X-Amz-Signature=***" in each for each in written) >= 4  # terminal, ledger, logs, report
    for secret in ("hunter22", "5igna7ure", PLANTED):
        assert not any(secret in each for each in written)


class TestLogs:
    def test_every_dataset_has_lines(self, done):
        """Each unit's stages are kept with campaign, dataset, step and attempt, and how it ended."""
        archive, made, _ = done
        item = next(item for item in made.items if item.action == "calibrate")
        found = unit_logs.find(archive.store, [item.dataset])

        assert {"read", "calibrate", "write"} <= {line["step"] for line in found}
        assert found[-1]["message"] == "ended as published"
        for line in found:
            assert [line[name] for name in logs.FIELDS if name != "step"] == [made.digest[:16], item.dataset, 1]

    def test_outcomes_stay_small(self, done):
        """The ledger does not hold lines a second time."""
        archive, made, _ = done
        for stamp in archive.store.list(f"campaigns/{made.digest[:16]}/outcomes/"):
            assert all("log" not in each for each in json.loads(archive.store.get(stamp.key).data)["outcomes"])

    def test_requests(self, done):
        """Logs and events cost one object a batch, not one a unit."""
        archive, made, _ = done
        prefix = f"campaigns/{made.digest[:16]}/"
        batches = {name: len(list(archive.store.list(prefix + name))) for name in ("outcomes/", "logs/")}

        assert batches["logs/"] < batches["outcomes/"]
        assert len(list(events.objects(archive.store))) < batches["outcomes/"]
