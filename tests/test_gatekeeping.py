"""Accepting and rejecting versions that were held back."""

import json

import pytest

from reprocess import campaign, errors, gatekeeping
from reprocess.archive import root
from reprocess.comparison import published
from reprocess.publication import events, holds, publish, refusals
from reprocess.publication import pointer as pointers
from reprocess.publication.refusals import Refusal
from reprocess.target import Budget
from tests import trips
from tests.comparison import versions

DATASET = versions.DATASET
OLD, NEW = "a1-1", "b2-1"
CAMPAIGN = "c" * 16
LATER = "2026-12-01T00:00:00.000"
RATE = versions.planes()


def held_back(url, *, noted=True):
    """An archive of which readers see OLD, and NEW is held back."""
    campaign.init(url, root.ArchiveRoot(raw=(root.RawLocation(f"{url}/raw"),)), trips.settings())
    archive = campaign.open_archive(url, trips.settings())
    old = versions.version(archive.store, OLD, RATE, fingerprint=versions.chain(1))
    publish.move_pointer(archive.store, old, writer="w")
    moved = versions.moved(RATE, sci=5)
    new = versions.version(archive.store, NEW, moved, fingerprint=versions.chain(2), created=LATER)
    found = published.difference(archive.store, new, budget=Budget(changed_fraction=0.0))
    published.keep(archive.store, new.campaign, new, found)
    if noted:
        refused = Refusal(DATASET, "b2", "held-back", "too many pixels", CAMPAIGN)
        refusals.note(archive.store, CAMPAIGN, [refused])
    return archive


@pytest.fixture
def archive():
    return held_back(trips.fresh().url)


def _interrupted(*_):
    raise KeyboardInterrupt


def shown(archive):
    return pointers.read(archive.store, DATASET)[0].version


class TestAccept:
    def test_moves_the_pointer(self, archive):
        """Readers see the version from then on, and nothing refuses it any more."""
        decided = gatekeeping.accept(archive, DATASET, NEW)

        assert (decided.left, decided.shown, decided.changed) == (OLD, NEW, True)
        assert decided.held_back == "too many pixels"
        assert shown(archive) == NEW
        assert not refusals.read(archive.store)

    def test_is_told(self, archive):
        """Whoever subscribed to what is reprocessed hears of it, once."""
        gatekeeping.accept(archive, DATASET, NEW)
        gatekeeping.accept(archive, DATASET, NEW)

        (told,) = [event for batch in events.objects(archive.store) for event in events.read(archive.store, batch.key)]
        assert (told.kind, told.dataset, told.version) == ("reprocessed", DATASET, NEW)

    def test_is_told_after_a_death(self, archive, monkeypatch):
        """A call that dies once readers see the version has it told by the next one."""
        with monkeypatch.context() as patch:
            patch.setattr(events, "tell", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                gatekeeping.accept(archive, DATASET, NEW)
        assert shown(archive) == NEW

        gatekeeping.accept(archive, DATASET, NEW)

        assert len(list(events.objects(archive.store))) == 1

    def test_again(self, archive):
        """Accepting twice is accepting once."""
        gatekeeping.accept(archive, DATASET, NEW)
        before = trips.objects(archive.store, "")

        assert not gatekeeping.accept(archive, DATASET, NEW).changed
        assert trips.objects(archive.store, "") == before

    def test_by_the_difference_alone(self):
        """A campaign that died before it noted what it held back has kept the difference: that is enough."""
        archive = held_back(trips.fresh().url, noted=False)

        assert "of the pixels changed" in gatekeeping.accept(archive, DATASET, NEW).held_back
        assert shown(archive) == NEW

    def test_rejected_before(self, archive):
        """What was rejected can still be accepted."""
        gatekeeping.reject(archive, DATASET, NEW)
        gatekeeping.accept(archive, DATASET, NEW)

        assert shown(archive) == NEW
        assert not refusals.read(archive.store)

    def test_overtaken(self, archive):
        """A version is not accepted in the place of a later one."""
        latest = versions.version(archive.store, "c3-1", RATE, created="2027-01-01T00:00:00.000")
        publish.move_pointer(archive.store, latest, writer="w")

        with pytest.raises(errors.Overtaken):
            gatekeeping.accept(archive, DATASET, NEW)
        assert shown(archive) == "c3-1"
        assert refusals.read(archive.store)

    def test_not_whole(self, archive):
        """A version that lost a file is not shown."""
        archive.store.delete(f"products/{DATASET}/{NEW}/{DATASET}_rate.fits")

        with pytest.raises(errors.PublicationError, match="not whole"):
            gatekeeping.accept(archive, DATASET, NEW)
        assert shown(archive) == OLD

    def test_on_hold(self, archive):
        """What is on hold stays as it is."""
        holds.put(archive.store, holds.Hold(DATASET, "paper in review", "pat"))

        with pytest.raises(errors.OnHold, match="paper in review"):
            gatekeeping.accept(archive, DATASET, NEW)

    @pytest.mark.parametrize(
        ("dataset", "version", "said"),
        [(DATASET, "zz-1", f"no version 'zz-1'.*{OLD}, {NEW}"), ("jw0", NEW, "It has none; check the name")],
    )
    def test_unknown(self, archive, dataset, version, said):
        """A version that does not exist is told with those that do."""
        with pytest.raises(errors.UsageError, match=said):
            gatekeeping.accept(archive, dataset, version)

    def test_never_held_back(self, archive):
        """A version that waits for its campaign is not the operator's to accept; one of before is rolled back to."""
        versions.version(archive.store, "d4-1", RATE, created=LATER)
        gatekeeping.accept(archive, DATASET, NEW)

        with pytest.raises(errors.UsageError, match="was not held back"):
            gatekeeping.accept(archive, DATASET, "d4-1")
        with pytest.raises(errors.UsageError, match="rollback"):
            gatekeeping.accept(archive, DATASET, OLD)


class TestReject:
    def test_is_noted(self, archive):
        """The refusal says so from then on, with what the operator said; readers see what they saw."""
        decided = gatekeeping.reject(archive, DATASET, NEW, why="wrong dark")

        assert (decided.shown, decided.changed, decided.held_back) == (OLD, True, "wrong dark")
        assert refusals.read(archive.store) == {
            (DATASET, "b2"): Refusal(DATASET, "b2", "rejected", "wrong dark", CAMPAIGN)
        }
        assert shown(archive) == OLD

    def test_again(self, archive):
        """Rejecting twice is rejecting once; another reason is noted."""
        gatekeeping.reject(archive, DATASET, NEW, why="wrong dark")

        assert not gatekeeping.reject(archive, DATASET, NEW).changed
        assert gatekeeping.reject(archive, DATASET, NEW, why="wrong flat").changed
        assert [one.message for one in refusals.read(archive.store).values()] == ["wrong flat"]

    def test_what_readers_see(self, archive):
        """A version that readers see is not rejected: going back is another thing."""
        with pytest.raises(errors.UsageError, match="rollback"):
            gatekeeping.reject(archive, DATASET, OLD)


class TestCommands:
    def test_accept_and_reject(self, reprocess, tmp_path):
        """Both commands say what became of the version, for people and for scripts."""
        url = str(tmp_path / "archive")
        held_back(url)

        said = reprocess("reject", url, DATASET, NEW, "--why", "wrong dark").output
        assert said == f"{DATASET}: {NEW} is rejected (wrong dark). Readers go on seeing {OLD}.\n"
        told = json.loads(reprocess("accept", url, DATASET, NEW, "--json").output)
        assert (told["what"], told["left"], told["shown"]) == ("accepted", OLD, NEW)
        assert "already" in reprocess("accept", url, DATASET, NEW).output

    def test_wrong_request(self, reprocess, tmp_path):
        """A version that does not exist is a wrong request."""
        url = str(tmp_path / "archive")
        held_back(url)

        assert "no version 'x-1'" in reprocess("accept", url, DATASET, "x-1", code=2).stderr
