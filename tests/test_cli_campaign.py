"""The commands that work campaigns off and steer them: what they say, how they end, and what wrong input does."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reprocess import campaign, coordinator, errors, worker
from reprocess.exposure import Outcome
from reprocess.publication import control, lease, ledger
from reprocess.storage import open_store
from reprocess.storage.store import Stamp
from tests import trips
from tests.publication.faulty import Watched

DIGEST = ("run", "pause", "resume", "cancel", "approve", "retry")
"""Commands that take an archive and the digest of a plan, and nothing else."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A simulated archive, and one that is scanned and planned for; nobody changes them."""
    folder = tmp_path_factory.mktemp("campaigns")
    trips.copy(trips.simulated(trips.TINY), open_store(str(folder / "sim")))
    made = trips.make(
        str(folder / "arc"), raw=str(folder / "sim/raw"), references=str(folder / "sim/crds"), options=trips.TINY
    )
    campaign.plan(made, trips.target(options=trips.TINY), created=trips.CREATED)
    return folder


@pytest.fixture
def digest(reprocess, place, tmp_path):
    """Digest of a plan that has not run, of the archive `arc` in the working directory."""
    shutil.copytree(place / "arc", tmp_path / "arc")
    (plan,) = (tmp_path / "arc/campaigns").glob("*/plan.json")
    return json.loads(plan.read_text())["digest"]


@pytest.fixture
def archive(digest):
    """The same archive, as the package sees it."""
    return campaign.open_archive("arc", trips.settings())


@pytest.fixture
def settings(monkeypatch):
    """Set a setting of the section [execution]."""
    return lambda name, value: monkeypatch.setenv(f"REPROCESS_EXECUTION_{name.upper()}", str(value))


def targets(place, name="first"):
    return place / f"sim/targets/{name}.toml"


def refused(result):
    """The one line on standard error that says what is wrong; nothing on standard output."""
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("reprocess: ")]
    assert result.stderr.splitlines()[-1] == line
    return line


def command(result):
    """The command at the end of the last line, as somebody would copy it."""
    return result.stdout.rstrip().splitlines()[-1].rpartition("reprocess ")[2].split()


def record(result):
    return json.loads(result.stdout)


def found(result):
    return {name: count for name, count in record(result)["classes"].items() if count}


def failing(monkeypatch, *datasets, outcome_class="bad-data"):
    """Have exposures fail on the worker."""
    real = worker.run

    def run(task):
        if task.dataset in datasets:
            return Outcome(task.unit, task.dataset, outcome_class, f"{task.dataset} is odd")
        return real(task)

    monkeypatch.setattr(worker, "run", run)


def datasets(archive, digest):
    return [item.dataset for item in campaign.find_plan(archive, digest).items]


class TestRun:
    """`run`."""

    def test_a_limit(self, reprocess, digest):
        """0 when a limit was reached; what is left is told, and the same command does it."""
        text = reprocess("run", "arc", digest, "--max-exposures", 1).stdout
        result = reprocess("run", "arc", digest, "--json")

        assert "Exposures left for another run: 1." in text
        assert "reprocess run " in text.partition("What is left")[2]
        assert found(result) == {"published": 2}

    def test_hours(self, reprocess, digest):
        """A run that has no time does nothing, and says why."""
        result = reprocess("run", "arc", digest, "--max-hours", 1e-9)

        assert "by --max-hours" in result.stdout
        assert found(reprocess("run", "arc", digest, "--json", "--max-hours", 5)) == {"published": 2}

    def test_money_needs_prices(self, reprocess, digest):
        """2 when a limit on the cost is asked for and nobody knows what anything costs."""
        assert "core_hour in the section [prices]" in refused(reprocess("run", "arc", digest, "--max-cost", 1, code=2))

    @pytest.mark.parametrize(
        "words",
        [
            ("--max-cost", "0"),
            ("--max-cost", "much"),
            ("--max-hours", "-1"),
            ("--max-exposures", "0"),
            ("--release", "../x"),
            ("--release", "a b"),
        ],
        ids=" ".join,
    )
    def test_wrong_limits(self, reprocess, digest, archive, words):
        """2 when a limit or a name makes no sense, before anything is done."""
        result = reprocess("run", "arc", digest, *words, code=2)

        assert result.stdout == ""
        assert words[0].lstrip("-").replace("max-", "") in result.stderr
        assert not ledger.read(archive.store, digest[:16])

    def test_failures(self, reprocess, digest, archive, monkeypatch):
        """1 when exposures failed; the report says which, why, and how to have them tried again."""
        (bad, _) = datasets(archive, digest)
        with monkeypatch.context() as patch:
            failing(patch, bad)
            text = reprocess("run", "arc", digest, code=1).stdout

        assert f"{bad} is odd" in text
        assert "reprocess retry" in text
        reprocess("run", "arc", digest, code=1)
        assert "1 to try again" in reprocess("retry", "arc", digest).stdout
        assert found(reprocess("run", "arc", digest, "--json")) == {"published": 2}

    def test_the_error_budget(self, reprocess, digest, archive, monkeypatch, settings):
        """5 when too many failed: the campaign is paused with the reason, and goes on when it is resumed."""
        settings("error_budget", 1)
        with monkeypatch.context() as patch:
            failing(patch, *datasets(archive, digest), outcome_class="reference")
            text = reprocess("run", "arc", digest, code=5).stdout
            reprocess("run", "arc", digest, code=5)

        assert "Too many failures." in text
        assert "reprocess resume" in text
        assert "error budget" in refused(reprocess("approve", "arc", digest, code=2))
        reprocess(*command(reprocess("resume", "arc", digest)))
        assert len(trips.shown(archive)) == 2

    def test_somebody_else_is_at_work(self, reprocess, digest, archive, settings):
        """6 when another coordinator has the campaign; the line says who, and nothing is published."""
        settings("lease_s", 1)
        with lease.acquire(archive.store, digest[:16], silence_s=0.5).kept():
            line = refused(reprocess("run", "arc", digest, "--json", code=6))

        assert "process" in line
        assert not trips.shown(archive)

    def test_a_release(self, reprocess, digest, archive):
        """All versions are shown together, under a name."""
        reprocess("run", "arc", digest, "--release", "dr-1")

        assert json.loads(archive.store.get("releases/dr-1.json").data)["versions"] == trips.shown(archive)

    def test_an_empty_plan(self, reprocess, place, digest):
        """0 when there is nothing to do; it is said, and nobody is asked to do anything."""
        reprocess("run", "arc", digest)
        reprocess("scan", "arc")
        plan = reprocess("plan", "arc", "--target", targets(place), "--json").stdout.splitlines()[0]
        result = reprocess("run", "arc", json.loads(plan)["digest"])

        assert "What is left: nothing" in result.stdout
        assert "current    2" in result.stdout


class TestSteering:
    """`pause`, `resume`, `cancel`, `priority`, `approve`, `retry`."""

    def test_pause_and_resume(self, reprocess, digest, archive):
        """5 from a paused campaign, with who, why and how to lift it; typing what is printed leads on to the end."""
        paused = reprocess("pause", "arc", digest, "--why", "slow store")
        told = reprocess("run", "arc", digest, code=5).stdout

        assert "(slow store)" in paused.stdout
        assert "paused, by " in told
        assert "slow store" in told
        assert found(reprocess("run", "arc", digest, "--json", code=5)) == {}
        assert not trips.shown(archive)
        result = reprocess(*command(reprocess(*command(paused))))
        assert "published  2" in result.stdout

    def test_cancel(self, reprocess, digest):
        """A cancelled campaign does no work, its sum closes, and it cannot be resumed."""
        assert "(wrong target)" in reprocess("cancel", "arc", digest, "--why", "wrong target").stdout
        reprocess("cancel", "arc", digest)

        assert found(reprocess("run", "arc", digest, "--json")) == {"cancelled": 2}
        for name in ("resume", "pause", "approve"):
            assert "Plan again" in refused(reprocess(name, "arc", digest, code=2))

    def test_priority(self, reprocess, digest, archive):
        """The number is kept, below nothing too; what is no number is refused."""
        assert "priority -5" in reprocess("priority", "arc", digest, "--", -5).stdout
        assert control.read(archive.store, digest[:16]).priority == -5
        for wrong in ("much", 2000):
            reprocess("priority", "arc", digest, wrong, code=2)
        assert control.read(archive.store, digest[:16]).priority == -5

    def test_approval(self, reprocess, digest, archive):
        """5 when the pilot is done and nobody has approved it; the commands that are printed lead on to the end."""
        told = reprocess("run", "arc", digest, "--approve", code=5).stdout
        assert "waits for approval" in told
        assert "reprocess approve" in told
        reprocess("run", "arc", digest, "--approve", "--json", code=5)
        assert not trips.shown(archive)
        reprocess(*command(reprocess("approve", "arc", digest)))

        assert len(trips.shown(archive)) == 2

    def test_approval_lifts_no_pause(self, reprocess, digest):
        """What an operator has paused for another reason is not approved by accident."""
        reprocess("run", "arc", digest, "--approve", code=5)
        reprocess("pause", "arc", digest, "--why", "hands off")

        line = refused(reprocess("approve", "arc", digest, code=2))
        assert "hands off" in line
        assert "reprocess resume" in line

    def test_a_limit_leaves_the_approved_pilot_alone(self, reprocess, digest):
        """What the pilot has written is published without counting for the limit of the next run."""
        reprocess("run", "arc", digest, "--approve", code=5)
        reprocess("approve", "arc", digest)
        result = reprocess("run", "arc", digest, "--max-exposures", 1)

        assert "published  2" in result.stdout
        assert "left for another run" not in result.stdout

    def test_retry(self, reprocess, digest, archive, monkeypatch):
        """Failures are tried again by class; of another class, and of none, there is nothing."""
        (bad, _) = datasets(archive, digest)
        assert "nothing to try again" in reprocess("retry", "arc", digest).stdout
        with monkeypatch.context() as patch:
            failing(patch, bad, outcome_class="overdue")
            reprocess("run", "arc", digest, code=1)

        assert record(reprocess("retry", "arc", digest, "--class", "bad-data", "--json"))["datasets"] == {}
        told = record(reprocess("retry", "arc", digest, "--class", "overdue", "--class", "bad-data", "--json"))
        assert told == {"campaign": digest[:16], "datasets": {bad: "overdue"}}
        assert found(reprocess("run", "arc", digest, "--json")) == {"published": 2}

    def test_retry_of_nonsense(self, reprocess, digest):
        """2 when a class is none; all that there are are told."""
        line = refused(reprocess("retry", "arc", digest, "--class", "slow", code=2))

        assert "'slow'" in line
        assert "out-of-memory" in line


class TestSweep:
    """`sweep`."""

    def test_nights(self, reprocess, place, digest):
        """A night with a limit leaves the rest to the next one; then there is nothing to do. 0 each time."""
        first = reprocess("sweep", "arc", "--target", targets(place), "--max-exposures", 1).stdout
        second = record(reprocess("sweep", "arc", "--target", targets(place), "--json"))
        third = record(reprocess("sweep", "arc", "--target", targets(place), "--json"))

        assert "New exposures: 1 done, 100% of them within five days" in first
        assert "New exposures without products: 1, overdue 0" in first
        assert set(second) == {"scan", "digest", "summary", "clock"}
        assert (second["summary"]["classes"]["published"], second["clock"]["waiting"]) == (1, 0)
        assert (third["summary"]["classes"]["current"], third["clock"]["done"]) == (2, 0)

    def test_another_sweep(self, reprocess, place, digest, archive, settings):
        """6 when another sweep is at work: a nightly job is not in trouble then."""
        settings("lease_s", 1)
        with lease.acquire(archive.store, "sweep", silence_s=0.5).kept():
            line = refused(reprocess("sweep", "arc", "--target", targets(place), code=6))

        assert "sweep" in line
        assert not trips.shown(archive)

    def test_failures(self, reprocess, place, digest, archive, monkeypatch):
        """1 when exposures failed."""
        failing(monkeypatch, datasets(archive, digest)[0])
        reprocess("sweep", "arc", "--target", targets(place), code=1)

        assert len(trips.shown(archive)) == 1

    @pytest.mark.parametrize(
        ("text", "named"),
        [("contxt = 'x'\n", "contxt"), ("context = \n", "bad.toml"), ("", "bad.toml"), (None, "bad.toml")],
    )
    def test_a_bad_target(self, reprocess, place, digest, archive, tmp_path, text, named):
        """2 when the target is none, before anything is scanned or planned."""
        if text is not None:
            (tmp_path / "bad.toml").write_text(targets(place).read_text() + text if "contxt" in text else text)
        before = trips.objects(archive.store, "")

        assert named in refused(reprocess("sweep", "arc", "--target", "bad.toml", code=2))
        assert trips.objects(archive.store, "") == before

    def test_it_has_no_approval(self, reprocess, place, digest):
        """A night never waits for a person."""
        assert "--approve" in reprocess("sweep", "arc", "--target", targets(place), "--approve", code=2).stderr


class TestBadInput:
    """What is damaged, missing or forbidden ends in one line, and nothing is made worse."""

    @pytest.mark.parametrize("name", DIGEST)
    def test_no_such_campaign(self, reprocess, digest, archive, name):
        """2 for the name of a plan that does not exist, with where names come from."""
        before = trips.objects(archive.store, "")

        assert "`reprocess plan` prints the digest" in refused(reprocess(name, "arc", "0123456789ab", code=2))
        assert "is no digest" in refused(reprocess(name, "arc", "sweep", code=2))
        assert trips.objects(archive.store, "") == before

    @pytest.mark.parametrize("name", DIGEST)
    def test_no_such_archive(self, reprocess, name):
        """2 for a place where no archive is, with the command that makes one."""
        assert "reprocess init" in refused(reprocess(name, "nowhere", "0123456789ab", code=2))

    @pytest.mark.parametrize("name", DIGEST)
    def test_a_plan_that_was_edited(self, reprocess, digest, archive, name):
        """2 for a plan that somebody changed: what was shown is what runs, or nothing does."""
        key = f"campaigns/{digest[:16]}/plan.json"
        archive.store.put(key, archive.store.get(key).data.replace(b'"calibrate"', b'"nothing"', 1))
        before = trips.objects(archive.store, "")
        line = refused(reprocess(name, "arc", digest, code=2))

        assert "lan again" in line
        assert trips.objects(archive.store, "") == before

    @pytest.mark.parametrize("name", DIGEST[:-1])
    @pytest.mark.parametrize("data", [b"", b'{"kind":"control","schema":1,"state":"paused"}'])
    def test_a_damaged_control_object(self, reprocess, digest, archive, name, data):
        """2 when what operators want cannot be read; it is named, and left as it is."""
        archive.store.put(control.key(digest[:16]), data)
        before = trips.objects(archive.store, "")

        assert "control.json" in refused(reprocess(name, "arc", digest, code=2))
        assert trips.objects(archive.store, "") == before

    @pytest.mark.parametrize("data", [b"", b"{", b'{"kind":"outcomes","schema":1,"outcomes":[{}]}'])
    def test_a_damaged_ledger(self, reprocess, digest, archive, data):
        """2 when an object of the ledger cannot be read; after deleting it, as the line says, all is as it was."""
        reprocess("run", "arc", digest)
        versions, shown = trips.products(archive), trips.shown(archive)
        key = f"{ledger.prefix(digest[:16])}000001-00000001.json"
        archive.store.put(key, data)
        for words in (("run",), ("status",), ("report",), ("retry",)):
            line = refused(reprocess(*words, "arc", digest, code=2))
            assert f"{key} " in line
            assert "delete it, and run again" in line

        archive.store.delete(key)
        assert found(reprocess("run", "arc", digest, "--json")) == {"published": 2}
        assert (trips.products(archive), trips.shown(archive)) == (versions, shown)

    def test_a_ledger_object_that_is_missing(self, reprocess, digest, archive):
        """4 from `verify` when outcomes were deleted; another run finds what is there, and makes nothing anew."""
        reprocess("run", "arc", digest)
        versions, shown = trips.products(archive), trips.shown(archive)
        archive.store.delete(f"{ledger.prefix(digest[:16])}000001-00000001.json")

        assert "2 without a class (a remainder)" in reprocess("verify", "arc", code=4).stdout
        assert found(reprocess("run", "arc", digest, "--json")) == {"published": 2}
        assert (trips.products(archive), trips.shown(archive)) == (versions, shown)
        reprocess("verify", "arc")

    @pytest.mark.parametrize("call", ["list", "get", "put"])
    def test_no_permission(self, reprocess, digest, archive, monkeypatch, call):
        """3 when the bucket refuses, naming what; no reader sees anything else than before."""
        real = campaign.open_archive

        def hook(name, key, perform):
            if name.startswith(call) and key.startswith("campaigns/"):
                raise errors.AccessDenied(
                    f"s3://bucket/{key}: no permission to {call}. Check the policy of the bucket."
                )
            return perform()

        def forbidden(*words, **more):
            opened = real(*words, **more)
            return replace(opened, store=Watched(opened.store, hook))

        with monkeypatch.context() as patch:
            patch.setattr(campaign, "open_archive", forbidden)
            line = refused(reprocess("run", "arc", digest, code=3))

        assert "Check the policy" in line
        assert not trips.shown(archive)
        assert found(reprocess("run", "arc", digest, "--json")) == {"published": 2}

    def test_workers_without_permission(self, reprocess, digest, archive, monkeypatch):
        """1 when workers may not write: each exposure says so in its own words, and may be run again."""
        real = worker.run

        def hook(name, key, perform):
            if name.startswith("put"):
                raise errors.AccessDenied(f"s3://bucket/{key}: no permission to write. Check the role of the workers.")
            return perform()

        def run(task):
            store = Watched(task.payload.archive, hook)
            return real(replace(task, payload=replace(task.payload, archive=store)))

        with monkeypatch.context() as patch:
            patch.setattr(worker, "run", run)
            text = reprocess("run", "arc", digest, code=1).stdout

        assert "Check the role of the workers" in text
        assert not trips.shown(archive)
        assert found(reprocess("run", "arc", digest, "--json")) == {"published": 2}

    def test_a_full_disk(self, reprocess, digest, archive, monkeypatch):
        """1 when the disk of a worker is full: it is told with what to do, and the next run does the rest."""

        def full(*words, **more):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(worker.tempfile, "TemporaryDirectory", full)
            patch.setenv("REPROCESS_EXECUTION_ATTEMPTS", "1")
            text = reprocess("run", "arc", digest, code=1).stdout

        assert "No space left on device. Make room" in " ".join(text.split())
        assert found(reprocess("run", "arc", digest, "--json")) == {"published": 2}

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_a_clock_that_is_wrong(self, reprocess, place, digest, archive, monkeypatch, hours):
        """A machine whose clock is an hour off plans and runs; where its plan counts as older, that is said."""
        reprocess("run", "arc", digest)
        at = datetime.fromisoformat(trips.CREATED) + timedelta(hours=hours)
        monkeypatch.setattr(campaign, "_now", lambda: at.isoformat(timespec="milliseconds"))
        reprocess("scan", "arc")
        before = trips.shown(archive)
        plan = reprocess("plan", "arc", "--target", targets(place, "second"), "--json").stdout.splitlines()[0]
        result = reprocess("run", "arc", json.loads(plan)["digest"], code=0 if hours > 0 else 1)

        changed = {name for name, version in trips.shown(archive).items() if version != before[name]}
        if hours > 0:
            assert len(changed) == 1
        else:
            assert not changed
            assert "plan again" in " ".join(result.stdout.split())

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_a_store_whose_clock_is_wrong(self, reprocess, digest, archive, hours):
        """Times of the store are compared with those of no machine: leases and pointers work all the same."""
        store, moved = archive.store, timedelta(hours=hours)

        def hook(name, key, perform):
            made = perform()
            if not isinstance(made, Stamp):
                return made
            return replace(made, modified=(datetime.fromisoformat(made.modified) + moved).isoformat())

        summary = coordinator.run(replace(archive, store=Watched(store, hook)), digest)

        assert (summary.classes["published"], summary.closes) == (2, True)
        reprocess("verify", "arc")
