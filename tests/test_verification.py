"""Holding the bucket against manifests, pointers and ledger."""

from dataclasses import replace

import pytest

from reprocess import campaign, coordinator, verification, versions
from reprocess.publication import lease, ledger
from reprocess.publication import pointer as pointers
from tests import trips
from tests.publication.faulty import Killed, Watched


@pytest.fixture(scope="module")
def whole():
    """An archive after two campaigns, and their plans; nobody changes it."""
    archive = trips.make(options=trips.TINY)
    first, _ = trips.go(archive, trips.target(options=trips.TINY))
    campaign.scan(archive)
    wanted = trips.target("first", "\n[parameters.superbias]\nskip = true\n", options=trips.TINY)
    return archive, first, trips.go(archive, wanted, created=trips.LATER)[0]


@pytest.fixture
def archive(whole):
    return replace(whole[0], store=trips.copy(whole[0].store, trips.fresh()))


def verify(archive, **options):
    return verification.verify(archive, **{"sleep": lambda _: None, **options})


def products(archive, *, shown: bool):
    present = trips.shown(archive)
    return [key for key in trips.products(archive) if (present[key.split("/")[1]] == key.split("/")[2]) is shown]


class TestBucket:
    def test_all_is_well(self, archive):
        """What readers see is read back, older versions are compared, and the sums of both campaigns close."""
        found = verify(archive)

        assert (found.versions, found.files, found.older) == (2, 8, 2)
        assert found.is_sound
        assert [(each.state, each.remainder, dict(each.classes)) for each in found.campaigns] == [
            ("ended", 0, {"published": 2})
        ] * 2
        assert "2 published = 2 of 2 candidates" in verification.text(found)

    @pytest.mark.parametrize("shown", [True, False])
    @pytest.mark.parametrize("how", ["gone", "cut"])
    def test_a_file_that_is_gone_or_cut(self, archive, shown, how):
        """A file of any version that is missing or of another size is named."""
        key = next(key for key in products(archive, shown=shown) if key.endswith("_rate.fits"))
        data = archive.store.get(key).data
        archive.store.delete(key)
        if how == "cut":
            archive.store.put(key, data[:-1])
        found = verify(archive)

        assert not found.is_sound
        assert [key in problem for problem in found.problems] == [True]

    @pytest.mark.parametrize(
        ("shown", "everything", "sound"), [(True, False, False), (False, False, True), (False, True, False)]
    )
    def test_a_flipped_byte(self, archive, shown, everything, sound):
        """It is found in what readers see, and in older versions if everything is read back."""
        key = next(key for key in products(archive, shown=shown) if key.endswith("_rate.fits"))
        archive.store.put(key, b"!" + archive.store.get(key).data[1:])

        assert verify(archive, everything=everything).is_sound is sound

    def test_remains(self, archive):
        """Files under no manifest, and files that a manifest does not name, are told and are no damage."""
        dataset, version = min(trips.shown(archive).items())
        archive.store.put(f"products/{dataset}/{'f' * 20}-1/x.fits", b"x")
        archive.store.put(f"products/{dataset}/{version}/x.fits", b"x")
        found = verify(archive)

        assert found.is_sound
        assert sorted(found.remains) == sorted(
            [f"products/{dataset}/{'f' * 20}-1/", f"products/{dataset}/{version}/x.fits"]
        )

    def test_a_manifest_that_is_gone(self, archive):
        """A pointer to a version without a manifest is damage."""
        key = next(key for key in products(archive, shown=True) if key.endswith("manifest.json"))
        archive.store.delete(key)
        (problem,) = verify(archive).problems

        assert pointers.key(key.split("/")[1]) in problem

    def test_a_retired_dataset(self, archive):
        """A tombstone is no damage, and is counted."""
        versions.retire(archive, min(trips.shown(archive)), why="no")
        found = verify(archive)

        assert (found.is_sound, found.retired, found.versions) == (True, 1, 1)

    def test_what_is_published_meanwhile(self, archive):
        """A version that appears between the listing and the reading of its pointer is no damage."""
        dataset = min(trips.shown(archive))
        versions.roll_back(archive, dataset)
        prefix = f"products/{dataset}/{trips.shown(archive)[dataset]}/"
        listed = []

        def hook(name, key, perform):
            result = perform()
            if name == "list" and key == "products/":
                listed.append(key)
                return (stamp for stamp in result if not stamp.key.startswith(prefix))
            return result

        assert verify(replace(archive, store=Watched(archive.store, hook))).is_sound
        assert listed


class TestLedger:
    def cut_off(self, archive):
        """A campaign whose coordinator is killed after the first pointer was moved."""
        campaign.scan(archive)
        wanted = trips.target("first", "\n[parameters.linearity]\nskip = true\n", options=trips.TINY)
        made = campaign.plan(archive, wanted, created=trips.LATEST)

        def hook(name, key, perform):
            if name in ("compare_and_swap", "put_if_absent") and key.startswith("pointers/"):
                perform()
                raise Killed
            return perform()

        with pytest.raises(Killed):
            coordinator.run(replace(archive, store=Watched(archive.store, hook)), made.digest)
        return made

    def test_a_campaign_that_was_never_run(self, archive):
        """A plan alone leaves no remainder."""
        campaign.scan(archive)
        campaign.plan(archive, trips.target(options=trips.TINY), created=trips.LATEST)
        found = verify(archive)

        assert [each.state for each in found.campaigns] == ["not run", "ended", "ended"]
        assert found.is_sound

    def test_a_remainder(self, archive, whole):
        """An ended campaign whose ledger has lost a batch does not close; the datasets are named."""
        _, first, _ = whole
        name = first.digest[:16]
        for stamp in list(archive.store.list(ledger.prefix(name))):
            if not stamp.key.endswith("-00000000.json"):
                archive.store.delete(stamp.key)
        found = verify(archive)

        assert not found.is_sound
        assert sum(each.remainder for each in found.campaigns) == 2
        assert first.items[0].dataset in verification.text(found)
        assert f"reprocess run ARCHIVE {name}" in verification.text(found)

    def test_a_damaged_batch(self, archive, whole):
        """A batch that cannot be read is named, and the other sums are closed all the same."""
        name = whole[1].digest[:16]
        key = max(stamp.key for stamp in archive.store.list(ledger.prefix(name)))
        archive.store.put(key, b"{")
        found = verify(archive)

        assert not found.is_sound
        assert [bool(each.problems) for each in sorted(found.campaigns, key=lambda each: each.campaign != name)] == [
            True,
            False,
        ]

    def test_a_version_that_the_ledger_has_and_the_pointer_not(self, archive):
        """What the ledger calls published has to be in the pointer's chain."""
        dataset = min(trips.shown(archive))
        archive.store.delete(pointers.key(dataset))
        found = verify(archive)

        assert not found.is_sound
        assert sum(len(each.problems) for each in found.campaigns) == 2
        assert dataset in verification.text(found)

    def test_cut_off_and_running(self, archive):
        """A campaign that was cut off is a remainder, one whose coordinator is alive is none; run again it closes."""
        made = self.cut_off(archive)
        archive.store.delete(lease.key(made.digest[:16]))
        held = lease.acquire(archive.store, made.digest[:16])
        running = verify(archive, sleep=lambda _: held.renew())
        held.release()
        cut = verify(archive)
        coordinator.run(archive, made.digest)

        assert running.campaigns[0].state == "running"
        assert not running.problems
        assert cut.campaigns[0].state == "cut off"
        assert verify(archive).campaigns[0].state == "ended"
        assert verify(archive).is_sound
