"""Lines of units, kept beside the outcomes."""

import json
from dataclasses import replace

import pytest

from reprocess import errors, logs
from reprocess.exposure import Outcome
from reprocess.publication import unit_logs
from tests.publication import samples
from tests.publication.faulty import Watched

A, B = samples.DATASET, samples.DATASET.replace("nrca1", "nrca12")


@pytest.fixture
def store():
    return samples.memory_store()


def outcome(dataset, outcome_class="published", *messages, **fields):
    log = tuple(json.dumps({**json.loads(logs.line_of(each)), "step": "jump"}) for each in messages)
    return Outcome(dataset, dataset, outcome_class, log=log, **{"ended": "2026-11-21T03:00:00.000", **fields})


def write(store, campaign, *outcomes, epoch=1, number=1):
    store.put(f"campaigns/{campaign}/plan.json", b"{}")
    unit_logs.write(store, campaign, outcomes, epoch=epoch, number=number, patience=samples.HURRIED)


def messages(found):
    return [line["message"] for line in found]


class TestFind:
    def test_lines_of_one_dataset(self, store):
        """A dataset's lines come in their order, whole, and nobody else's."""
        write(
            store, "c", outcome(A, "published", "one", "two", attempt=2, worker="w"), outcome(B, "published", "other")
        )
        found = unit_logs.find(store, [A])

        assert messages(found) == ["one", "two", "ended as published"]
        assert [found[0][name] for name in logs.FIELDS] == ["c", A, "jump", 2]
        assert (found[0]["worker"], found[0]["unit"]) == ("w", A)
        assert messages(unit_logs.find(store, [B])) == ["other", "ended as published"]

    def test_a_worker_that_was_lost(self, store):
        """Of a unit whose lines were lost with its worker there is still how it ended, and when."""
        write(store, "c", outcome(A, "worker-lost", message="the worker went away"))
        (line,) = unit_logs.find(store, [A])

        assert line["message"] == "ended as worker-lost: the worker went away"
        assert (line["level"], line["time"]) == ("WARNING", "2026-11-21T03:00:00.000Z")

    def test_batches_and_epochs(self, store):
        """What several runs kept comes in the order of the runs."""
        for epoch, number in ((2, 1), (1, 12), (1, 2)):
            write(store, "c", outcome(A, "published", f"{epoch}.{number}"), epoch=epoch, number=number)

        told = [each for each in messages(unit_logs.find(store, [A])) if "." in each]
        assert told == ["1.2", "1.12", "2.1"]

    def test_the_latest_campaign(self, store):
        """The latest campaign that has any lines is shown; another one when it is named, by its beginning too."""
        for campaign in ("zz01", "aa02", "mm03"):
            write(store, campaign, outcome(A if campaign != "mm03" else B, "published", campaign))

        assert messages(unit_logs.find(store, [A]))[0] in ("aa02", "zz01")  # by the store's clock
        assert messages(unit_logs.find(store, [A], "zz01"))[0] == "zz01"
        assert messages(unit_logs.find(store, [A], "zz"))[0] == "zz01"
        assert unit_logs.find(store, [A], "mm") == ()
        assert unit_logs.find(store, ["nobody"]) == ()

    def test_damage(self, store):
        """A line that is no record is named with its object."""
        store.put("campaigns/c/logs/000001-00000001.jsonl", f'"{A}\n"{A}"\n'.encode())
        with pytest.raises(errors.DamagedRecord, match=r"000001-00000001.*Remove"):
            unit_logs.find(store, [A])


class TestWrite:
    def test_again(self, store):
        """The same batch written twice is there once."""
        for _ in range(2):
            write(store, "c", outcome(A, "published", "one"), replace(outcome(B), ended=""))

        assert len(list(store.list("campaigns/c/logs/"))) == 1
        assert len(unit_logs.find(store, [A])) == 2

    def test_no_answer(self, store, caplog):
        """A store that does not answer costs lines, not the campaign."""

        def hook(name, key, perform):
            if "logs/" in key:
                raise errors.StorageUnavailable("no answer")
            return perform()

        write(Watched(store, hook), "c", outcome(A))

        assert "not kept" in caplog.text

    def test_no_secrets(self, store):
        """The message that a unit ended with goes without passwords."""
        write(store, "c", outcome(A, "storage", message="https://me:hunter22@host/ does not answer"))

        assert all("hunter22" not in line["message"] for line in unit_logs.find(store, [A]))
