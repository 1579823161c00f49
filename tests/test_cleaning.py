"""Cleaning an archive that went the whole trip three times."""

from dataclasses import replace

import pytest

from reprocess import campaign, cleaning, coordinator, errors, verification, versions
from reprocess.archive import catalogue
from reprocess.publication import holds, incarnation, kept_plans, lease, publish
from reprocess.publication import pointer as pointers
from reprocess.settings import PriceSettings
from tests import trips
from tests.publication.faulty import Killed, Watched

STEPS = ("superbias", "linearity")


@pytest.fixture(scope="module")
def thrice():
    """An archive after three campaigns, and their plans; nobody changes it."""
    archive = trips.make(options=trips.TINY)
    plans = [trips.go(archive, trips.target(options=trips.TINY))[0]]
    for step, created in zip(STEPS, (trips.LATER, trips.LATEST), strict=True):
        campaign.scan(archive)
        wanted = trips.target("first", f"\n[parameters.{step}]\nskip = true\n", options=trips.TINY)
        plans.append(trips.go(archive, wanted, created=created)[0])
    # Partitions have a test of their own.
    catalogue.remove(archive.store, [stamp for stamp, _ in catalogue.superseded(archive.store)])
    return archive, plans


@pytest.fixture
def archive(thrice):
    archive, _ = thrice
    settings = replace(archive.settings, prices=PriceSettings(gb_month=0.02))
    return replace(archive, store=trips.copy(archive.store, trips.fresh()), settings=settings)


def clean(archive, **options):
    return cleaning.clean(
        archive, **{"keep": 1, "older_than_days": 0.0, "act": True, "sleep": lambda _: None, **options}
    )


def rule_of(found):
    return {(each.dataset, each.name) for each in found.gone}


def partitions(found):
    return sum(each.files for each in found.gone if each.name == "catalogue")


def old_versions(archive):
    shown = trips.shown(archive)
    found = {tuple(key.split("/")[1:3]) for key in trips.products(archive)}
    return {(dataset, version) for dataset, version in found if version != shown[dataset]}


class TestVersions:
    def test_old_versions_go(self, archive, tmp_path):
        """Versions beyond the last one go; readers see what they saw, and whoever asks for an old one is told."""
        old, shown = old_versions(archive), trips.shown(archive)
        dataset, version = min(old)
        found = clean(archive)

        assert rule_of(found) == old
        assert len(old) == 4
        assert trips.shown(archive) == shown
        assert verification.verify(archive).is_sound
        left = {key for key in trips.products(archive) if tuple(key.split("/")[1:3]) in old}
        assert {key.rpartition("/")[2] for key in left} == {"manifest.json", "removed.json"}
        for options in ({"version": version}, {"as_of": pointers.read(archive.store, dataset)[0].history[0].committed}):
            if pointers.as_of(pointers.read(archive.store, dataset)[0], options.get("as_of", "9")).version in (
                "",
                version,
            ):
                with pytest.raises(errors.VersionRemoved, match="cleaned away"):
                    versions.get(archive, dataset, tmp_path, **options)
        assert versions.roll_back(archive, dataset).what == "refused"
        assert clean(archive).gone == []

    def test_a_dry_run(self, archive):
        """It says what acting does, byte for byte, and changes nothing."""
        before = trips.objects(archive.store, "")
        dry = clean(archive, act=False)

        assert trips.objects(archive.store, "") == before
        done = clean(archive)
        assert (dry.gone, dry.bytes_freed) == (done.gone, done.bytes_freed)
        assert dry.bytes_freed == sum(each.size_bytes for each in dry.gone) > 0
        assert cleaning.record(done)["bytes_after"] == clean(archive).bytes_before

    @pytest.mark.parametrize(("options", "count"), [({"keep": 2}, 2), ({"keep": 3}, 0), ({"older_than_days": 1.0}, 0)])
    def test_what_the_rule_keeps(self, archive, options, count):
        """The last few stay, and so does what readers left lately, by the store's clock."""
        assert len(clean(archive, **options).gone) == count

    def test_the_archive_says_how_many(self, archive):
        """Without --keep it is what archive.toml says."""
        assert clean(archive, keep=None).gone == []
        assert archive.root.keep_versions == 3

    def test_releases_and_holds(self, archive, thrice):
        """What a release names stays, and so does everything of a held dataset."""
        _, plans = thrice
        one, other = sorted(trips.shown(archive))
        versions.roll_back(archive, one)
        versions.release(archive, "dr1")
        versions.roll_back(archive, one, to=next(item.version for item in plans[2].items if item.dataset == one))
        holds.put(archive.store, holds.Hold(other, "under study", "ana"))
        first = next(item.version for item in plans[0].items if item.dataset == one)

        assert rule_of(clean(archive)) == {(one, first)}
        list(versions.roll_back_to_release(archive, "dr1"))
        assert verification.verify(archive).is_sound

    def test_the_forecast(self, archive):
        """Bytes before are those of all products; a year costs bytes times the price of twelve months."""
        size = sum(stamp.size for stamp in archive.store.list("products/") if not stamp.key.endswith("manifest.json"))
        found = clean(archive)

        assert found.bytes_before == size
        assert cleaning.record(found)["year_cost_before"] == pytest.approx(size / 1e9 * 0.02 * 12)
        assert "A year of storage costs" in cleaning.text(found)

    def test_raw_is_not_touched(self, archive):
        """Not one object of the raw locations changes."""
        (raw,) = archive.raw.values()
        before = trips.objects(raw, "")
        clean(archive)

        assert trips.objects(raw, "") == before

    def test_what_is_cleaned_can_be_made_again(self, archive, thrice):
        """A plan that asks for the inputs of a cleaned version makes another incarnation of it."""
        clean(archive)
        campaign.scan(archive)
        made, _ = trips.go(archive, trips.target(options=trips.TINY), created="2026-11-24T00:00:00.000")

        assert {item.version.rpartition("-")[2] for item in made.items} == {"2"}
        assert trips.shown(archive) == {item.dataset: item.version for item in made.items}
        assert verification.verify(archive).is_sound

    def test_going_back_meanwhile(self, archive):
        """Somebody goes back to a version just before it is given up: it stays, and readers see it whole."""
        dataset = min(trips.shown(archive))
        raced = []

        def hook(name, key, perform):
            if name == "compare_and_swap" and key == pointers.key(dataset) and not raced:
                raced.append(versions.roll_back(archive, dataset).shown)
            return perform()

        found = clean(replace(archive, store=Watched(archive.store, hook)))

        assert trips.shown(archive)[dataset] == raced[0]
        assert (dataset, raced[0]) not in rule_of(found)
        assert verification.verify(archive).is_sound

    @pytest.mark.parametrize("number", range(1, 12))
    def test_killed(self, archive, number):
        """Killed at any write, readers see whole versions, and the next clean-up ends it."""
        old, writes = old_versions(archive), []

        def hook(name, key, perform):
            if name in ("put_if_absent", "compare_and_swap", "delete") and not key.startswith("clock/"):
                writes.append(key)
                if len(writes) == number:
                    raise Killed
            return perform()

        with pytest.raises(Killed):
            clean(replace(archive, store=Watched(archive.store, hook)))

        assert not verification.verify(archive).problems
        clean(archive)
        assert not [
            key for key in trips.products(archive) if tuple(key.split("/")[1:3]) in old and key.endswith(".fits")
        ]
        assert verification.verify(archive).is_sound
        assert not verification.verify(archive).remains


class TestRemains:
    def put(self, archive, name="x_rate.fits", version="f" * 20 + "-1"):
        dataset = min(trips.shown(archive))
        archive.store.put_if_absent(f"products/{dataset}/{version}/{name}", b"half")
        return dataset, version

    def test_files_of_no_version(self, archive):
        """They go when they are old; nobody can finish that version any more, and plans take the next incarnation."""
        dataset, version = self.put(archive)
        assert (dataset, version) not in rule_of(clean(archive, older_than_days=1.0))
        assert (dataset, version) in rule_of(clean(archive))

        manifest = publish.read_version(archive.store, dataset, trips.shown(archive)[dataset])
        with pytest.raises(errors.PublicationError):
            publish.write_version(archive.store, replace(manifest, version=version, files=()), {"x_rate.fits": b"half"})
        with pytest.raises(errors.VersionRemoved):
            publish.need_version(archive.store, dataset, version)
        assert incarnation.choose(archive.store, dataset, "f" * 20) == 2

    def test_a_version_that_is_finished_meanwhile(self, archive):
        """A worker that writes the manifest just before the clean-up does has made a version: it stays whole."""
        dataset, version = self.put(archive, "x_rate.fits")
        manifest = publish.read_version(archive.store, dataset, trips.shown(archive)[dataset])
        finished = []

        def hook(name, key, perform):
            if name == "put_if_absent" and key.endswith(f"{version}/manifest.json") and not finished:
                draft = replace(manifest, version=version, files=())
                finished.append(publish.write_version(archive.store, draft, {"x_rate.fits": b"half"}))
            return perform()

        clean(replace(archive, store=Watched(archive.store, hook)))

        assert publish.verify_version(archive.store, publish.read_version(archive.store, dataset, version)) == ()
        assert incarnation.choose(archive.store, dataset, "f" * 20) == 1

    def test_a_living_campaign(self, archive, thrice):
        """What a campaign whose coordinator is alive may write stays, and so does its staging."""
        _, plans = thrice
        campaign_ = plans[0].digest[:16]
        item = kept_plans.find(archive.store, campaign_).items[0]
        held = lease.acquire(archive.store, campaign_)
        archive.store.put(f"staging/{campaign_}/{item.dataset}/x", b"slab")

        assert (item.dataset, item.version) not in rule_of(clean(archive, sleep=lambda _: held.renew()))
        assert list(archive.store.list("staging/"))
        held.release()
        assert {("", campaign_), (item.dataset, item.version)} <= rule_of(clean(archive))
        assert not list(archive.store.list("staging/"))

    def test_staging(self, archive, thrice):
        """Staging of a campaign that nobody works off goes when it is old, and its lease is free afterwards."""
        campaign_ = thrice[1][0].digest[:16]
        archive.store.put(f"staging/{campaign_}/d/0-8/slab.json", b"slab")

        assert ("", campaign_) not in rule_of(clean(archive, older_than_days=1.0))
        found = clean(archive, act=False)
        assert ("", campaign_) in rule_of(found)
        assert list(archive.store.list("staging/"))
        assert ("", campaign_) in rule_of(clean(archive))
        assert not list(archive.store.list("staging/"))
        assert coordinator.run(archive, campaign_).closes

    def test_old_scans(self, archive):
        """Partitions of the catalogue that a later scan has replaced go when they are old; plans read as before."""
        campaign.scan(archive)
        old = {stamp.key for stamp, _ in catalogue.superseded(archive.store)}
        used = set(trips.objects(archive.store, "catalogue/")) - old
        archive.store.put_if_absent("catalogue/objects/program=00001/old.parquet", b"rows")

        assert not partitions(clean(archive, older_than_days=1.0))
        assert partitions(clean(archive)) == len(old) + 1
        assert set(trips.objects(archive.store, "catalogue/")) == used
        found = campaign.scan(archive)
        assert (found.new, found.changed) == (0, 0)

    def test_a_damaged_pointer(self, archive):
        """A dataset whose pointer cannot be read is left alone and named; others are cleaned."""
        one, other = sorted(trips.shown(archive))
        archive.store.put(pointers.key(one), b"{}")
        found = clean(archive)

        assert {dataset for dataset, _ in rule_of(found)} == {other}
        assert len(found.problems) == 1
        assert one in found.problems[0]

    def test_a_damaged_release(self, archive):
        """A release that cannot be read stops everything: nobody knows what it names."""
        archive.store.put("releases/dr1.json", b"{}")
        before = trips.products(archive)

        with pytest.raises(errors.DamagedRecord, match="releases/dr1"):
            clean(archive)
        assert trips.products(archive) == before


def test_on_s3(thrice, s3_store):
    """The same on S3: old versions go, the present ones stay whole."""
    archive = replace(thrice[0], store=trips.copy(thrice[0].store, s3_store))
    old = old_versions(archive)
    # Its clock tells whole seconds.
    found = clean(archive, older_than_days=-1.0)

    assert rule_of(found) == old
    assert verification.verify(archive).is_sound


def test_in_a_directory(thrice, tmp_path):
    """The same in a directory."""
    from reprocess.storage import open_store

    archive = replace(thrice[0], store=trips.copy(thrice[0].store, open_store(str(tmp_path))))

    assert rule_of(clean(archive)) == old_versions(thrice[0])
    assert verification.verify(archive).is_sound
