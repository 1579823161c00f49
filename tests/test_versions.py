"""Getting versions, going back, retiring, releasing and holding, on an archive that went the whole trip twice."""

import hashlib
from dataclasses import replace

import pytest

from reprocess import campaign, coordinator, errors, verification, versions
from reprocess.publication import events, holds, moves, publish, releases
from reprocess.publication import pointer as pointers
from tests import trips
from tests.publication.faulty import Fault, Watched


@pytest.fixture(scope="module")
def twice():
    """An archive after two campaigns for two targets; nobody changes it."""
    archive = trips.make(options=trips.TINY)
    first, _ = trips.go(archive, trips.target(options=trips.TINY))
    campaign.scan(archive)
    second, _ = trips.go(archive, trips.target("first", OTHER, options=trips.TINY), created=trips.LATER)
    return archive, first, second


OTHER = "\n[parameters.superbias]\nskip = true\n"


@pytest.fixture
def trip(twice):
    """A copy that may be changed, with both plans."""
    archive, first, second = twice
    return replace(archive, store=trips.copy(archive.store, trips.fresh())), first, second


@pytest.fixture
def archive(trip):
    return trip[0]


def version_of(plan, dataset):
    return next(item.version for item in plan.items if item.dataset == dataset)


def one(archive):
    return sorted(trips.shown(archive))[0]


def chain(archive, dataset):
    return [commit.version for commit in pointers.read(archive.store, dataset)[0].chain]


class TestGet:
    def test_what_readers_see(self, archive, tmp_path):
        """The files of the present version appear with the digests of the manifest, and nothing beside them."""
        dataset = one(archive)
        got = versions.get(archive, dataset, tmp_path / "new" / "place")

        assert got.manifest.version == trips.shown(archive)[dataset]
        assert sorted(tmp_path.rglob("*.*")) == sorted(got.paths)
        for path, file in zip(got.paths, got.manifest.files, strict=True):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256

    def test_as_of(self, trip, tmp_path):
        """At the time of each commit readers saw its version; far in the future they see the present one."""
        archive, first, second = trip
        dataset = one(archive)
        pointer, _ = pointers.read(archive.store, dataset)
        times = [*(commit.committed for commit in pointer.chain), "2999-01-01"]
        found = [versions.get(archive, dataset, tmp_path, as_of=time).manifest.version for time in times]

        assert found[:2] in ([version_of(first, dataset), version_of(second, dataset)], [pointer.version] * 2)
        assert found[2] == pointer.version == version_of(second, dataset)

    def test_by_its_name(self, trip, tmp_path):
        """An earlier version is got by its name."""
        archive, first, _ = trip
        wanted = version_of(first, one(archive))

        assert versions.get(archive, one(archive), tmp_path, version=wanted).manifest.version == wanted

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"as_of": "2001-01-01"}, "readers saw nothing at 2001-01-01T23:59:59"),
            ({"as_of": "yesterday"}, "is no date"),
            ({"version": "nonsense"}, "has no version nonsense"),
            ({"version": "a", "as_of": "2026-01-01"}, "Give one"),
        ],
    )
    def test_what_is_not_there(self, archive, tmp_path, options, message):
        """A time before the first version, a date that is none, an unknown version: said, and nothing is written."""
        with pytest.raises((errors.UsageError, errors.PublicationError), match=message):
            versions.get(archive, one(archive), tmp_path, **options)
        assert list(tmp_path.iterdir()) == []

    def test_an_unknown_dataset(self, archive, tmp_path):
        """An unknown name is answered with those that are like it."""
        with pytest.raises(errors.UsageError, match=f"The nearest are .*{one(archive)}"):
            versions.get(archive, one(archive)[:-1], tmp_path)

    def test_damage(self, archive, tmp_path):
        """If one byte of one file is wrong none of the files appears, and those that were there stay."""
        dataset = one(archive)
        (place := tmp_path / "provenance.json").write_bytes(b"mine")
        manifest = publish.read_version(archive.store, dataset, trips.shown(archive)[dataset])
        key = manifest.prefix + f"{dataset}_rateints.fits"
        archive.store.put(key, archive.store.get(key).data[:-1] + b"!")

        with pytest.raises(errors.ChecksumMismatch, match="rateints"):
            versions.get(archive, dataset, tmp_path)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]
        assert list(tmp_path.iterdir()) == [place]

    @pytest.mark.parametrize("number", [2, 3, 6, 9])
    def test_a_store_that_fails(self, archive, tmp_path, number):
        """Whatever call fails, no file appears."""
        fault = Fault(number, errors.StorageUnavailable("no answer"), after=False)

        with pytest.raises(errors.StorageUnavailable):
            versions.get(replace(archive, store=Watched(archive.store, fault)), one(archive), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_cannot_be(self, archive, tmp_path):
        """A directory that cannot be made is named."""
        (tmp_path / "file").write_text("")

        with pytest.raises(errors.UsageError, match="another directory"):
            versions.get(archive, one(archive), tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21", "2026-11-21T23:59:59.999"),
        ("2026-11-21T14:00", "2026-11-21T14:00:00.000"),
        ("2026-11-21T14:00:00Z", "2026-11-21T14:00:00.000"),
        ("2026-11-21T14:00:00+02:00", "2026-11-21T12:00:00.000"),
    ],
)
def test_instant(text, time):
    """A date alone means its end; a time without a zone is UTC."""
    assert versions.instant(text) == time


class TestRollback:
    def test_a_dataset(self, trip):
        """Readers see the version before; doing it again changes nothing, and says how to go on."""
        archive, first, second = trip
        dataset = one(archive)
        done, again = (versions.roll_back(archive, dataset, why="stripes") for _ in range(2))

        assert (done.what, done.left, done.shown) == ("moved", version_of(second, dataset), version_of(first, dataset))
        assert again.what == "as-it-was"
        assert "--to" in again.message
        assert trips.shown(archive)[dataset] == version_of(first, dataset)
        assert pointers.read(archive.store, dataset)[0].commit.why == "stripes"
        assert versions.roll_back(archive, dataset, to=version_of(second, dataset)).what == "moved"

    def test_dry(self, archive):
        """A dry run says the same and changes nothing."""
        before = trips.objects(archive.store, "")
        told = versions.roll_back(archive, one(archive), dry_run=True)

        assert told.what == "moved"
        assert trips.objects(archive.store, "") == before
        assert replace(versions.roll_back(archive, one(archive)), sequence=0) == told

    def test_a_campaign(self, trip):
        """All datasets of which readers see a version of it go back; doing it again changes nothing."""
        archive, first, second = trip
        done = list(versions.roll_back_campaign(archive, second.digest[:16]))
        again = list(versions.roll_back_campaign(archive, second.digest[:16]))

        assert {told.what for told in done} == {"moved"}
        assert {told.what for told in again} == {"as-it-was"}
        assert trips.shown(archive) == {item.dataset: item.version for item in first.items}

    def test_the_first_campaign(self, trip):
        """Where nothing was before, the dataset is left as it is, and that is said."""
        archive, first, second = trip
        list(versions.roll_back_campaign(archive, second.digest[:16]))
        told = list(versions.roll_back_campaign(archive, first.digest[:16]))

        assert {each.what for each in told} == {"refused"}
        assert all("nothing was shown before" in each.message for each in told)
        assert trips.shown(archive) == {item.dataset: item.version for item in first.items}

    def test_an_unknown_campaign(self, archive):
        with pytest.raises(errors.PlanError, match="no plan"):
            list(versions.roll_back_campaign(archive, "0123456789abcdef"))

    @pytest.mark.parametrize("how", ["file", "manifest"])
    def test_a_version_that_is_not_whole(self, trip, how):
        """Readers are never sent to a version that has lost a file or its manifest."""
        archive, first, second = trip
        dataset = one(archive)
        prefix = f"products/{dataset}/{version_of(first, dataset)}/"
        archive.store.delete(prefix + (f"{dataset}_rate.fits" if how == "file" else "manifest.json"))

        for dry_run in (True, False):
            assert versions.roll_back(archive, dataset, dry_run=dry_run).what == "refused"
        assert trips.shown(archive)[dataset] == version_of(second, dataset)

    def test_a_version_that_is_published_meanwhile(self, trip, monkeypatch):
        """What is published between looking and moving is seen, and what is before it is shown."""
        archive, _, second = trip
        dataset = one(archive)
        manifest = publish.read_version(archive.store, dataset, version_of(second, dataset))
        later = replace(manifest, version="f" * 20 + "-1", created="2027-01-01T00:00:00.000", plan="e" * 64)
        raced = []

        def hook(name, key, perform):
            if name == "compare_and_swap" and not raced:
                raced.append(publish.move_pointer(archive.store, later, writer="rival"))
            return perform()

        told = versions.roll_back(replace(archive, store=Watched(archive.store, hook)), dataset)

        assert (told.left, told.shown) == (later.version, version_of(second, dataset))
        assert len(chain(archive, dataset)) == 4

    @pytest.mark.parametrize("after", [False, True])
    def test_an_answer_that_is_lost(self, trip, after, monkeypatch):
        """A move whose answer was lost is made once, and told as made."""
        archive, _, second = trip
        struck = []

        def hook(name, key, perform):
            if name == "compare_and_swap" and not struck:
                struck.append(key)
                if after:
                    perform()
                raise errors.StorageUnavailable("no answer")
            return perform()

        monkeypatch.setattr("reprocess.publication.patience.Patience.rounds", lambda self: iter(range(1, 7)))
        told = versions.roll_back(replace(archive, store=Watched(archive.store, hook)), one(archive))

        assert (told.what, told.left) == ("moved", version_of(second, one(archive)))
        assert len(chain(archive, one(archive))) == 3

    def test_the_next_plan_makes_it_anew(self, trip):
        """A version that was taken back is not published any more: the next plan makes another incarnation of it."""
        archive, _, second = trip
        list(versions.roll_back_campaign(archive, second.digest[:16]))
        campaign.scan(archive)
        wanted = trips.target("first", OTHER, options=trips.TINY)
        third = campaign.plan(archive, wanted, created=trips.LATEST)
        coordinator.run(archive, third.digest)

        for item in third.items:
            run_key, _, number = item.version.rpartition("-")
            assert version_of(second, item.dataset) == f"{run_key}-{int(number) - 1}"
            assert trips.shown(archive)[item.dataset] == item.version
        assert verification.verify(archive).is_sound


class TestRetire:
    def test_readers_are_told(self, archive, tmp_path):
        """Whoever gets it is told when and why; earlier times and versions by name can still be got."""
        dataset = one(archive)
        version = trips.shown(archive)[dataset]
        before = pointers.read(archive.store, dataset)[0].committed
        versions.retire(archive, dataset, why="wrong target observed")

        with pytest.raises(errors.Retired, match="wrong target observed"):
            versions.get(archive, dataset, tmp_path)
        assert versions.get(archive, dataset, tmp_path, version=version).manifest.version == version
        if before < pointers.read(archive.store, dataset)[0].committed:
            assert versions.get(archive, dataset, tmp_path, as_of=before).manifest.version == version
        assert versions.retire(archive, dataset, why="again").what == "as-it-was"

    def test_it_is_not_made_again(self, archive):
        """Plans leave a retired dataset alone, and say so; others are made."""
        dataset = one(archive)
        versions.retire(archive, dataset, why="wrong target observed")
        campaign.scan(archive)
        wanted = trips.target("first", "\n[parameters.linearity]\nskip = true\n", options=trips.TINY)
        made = campaign.plan(archive, wanted, created=trips.LATEST)
        summary = coordinator.run(archive, made.digest)
        actions = {item.dataset: (item.action, item.failure_class) for item in made.items}

        assert actions[dataset] == ("fail", "deferred")
        assert {action for name, (action, _) in actions.items() if name != dataset} == {"calibrate"}
        assert trips.shown(archive)[dataset] == ""
        assert summary.closes

    def test_a_campaign_that_runs_already(self, trip):
        """A version that is ready when its dataset is retired is not shown."""
        archive, _, second = trip
        dataset = one(archive)
        manifest = publish.read_version(archive.store, dataset, version_of(second, dataset))
        versions.retire(archive, dataset, why="wrong target")
        later = replace(manifest, version="f" * 20 + "-1", created="2027-01-01T00:00:00.000")

        with pytest.raises(errors.Retired, match="wrong target"):
            publish.move_pointer(archive.store, later, writer="w")

    def test_rollback_shows_it_again(self, trip):
        """What was retired is shown again by going back, and can then be made again."""
        archive, _, second = trip
        dataset = one(archive)
        versions.retire(archive, dataset, why="by mistake")

        assert versions.roll_back(archive, dataset).shown == version_of(second, dataset)
        assert trips.shown(archive)[dataset] == version_of(second, dataset)
        assert pointers.read(archive.store, dataset)[0].orphans == ()


class TestOrphans:
    def test_a_set_that_shrank(self, trip):
        """Files that readers knew and the present version has not are listed until a version has them again."""
        archive, _, second = trip
        dataset = one(archive)
        manifest = publish.read_version(archive.store, dataset, version_of(second, dataset))
        shrunk = replace(manifest, version="f" * 20 + "-1", created="2027-01-01T00:00:00.000", files=manifest.files[:1])
        publish.put_once(archive.store, shrunk.key, b"{}")
        publish.move_pointer(archive.store, shrunk, writer="w")
        pointer, _ = pointers.read(archive.store, dataset)

        assert pointer.files == (manifest.files[0].name,)
        assert pointer.orphans == tuple(file.name for file in manifest.files[1:])
        versions.roll_back(archive, dataset)
        assert pointers.read(archive.store, dataset)[0].orphans == ()


class TestRelease:
    def test_it_names_what_readers_see(self, trip):
        """A release names the present versions, never changes, and can be shown again."""
        archive, _, second = trip
        made = versions.release(archive, "dr2")
        list(versions.roll_back_campaign(archive, second.digest[:16]))

        assert made.versions == {item.dataset: item.version for item in second.items}
        with pytest.raises(errors.UsageError, match="another name"):
            versions.release(archive, "dr2")
        told = list(versions.roll_back_to_release(archive, "dr2"))
        assert {each.what for each in told} == {"moved"}
        assert trips.shown(archive) == made.versions
        assert versions.release(archive, "dr2") == made
        assert {each.what for each in versions.roll_back_to_release(archive, "dr2")} == {"as-it-was"}

    def test_of_a_campaign(self, trip):
        """With a campaign it names only what readers see of it, and what is retired is in no release."""
        archive, first, second = trip
        gone, *_ = datasets = sorted(trips.shown(archive))
        versions.retire(archive, gone, why="no")
        made = versions.release(archive, "dr3", campaign=second.digest[:8])

        assert set(made.versions) == set(datasets[1:])
        assert made.campaign == second.digest[:16]
        with pytest.raises(errors.UsageError, match="no versions"):
            versions.release(archive, "dr1", campaign=first.digest[:16])

    @pytest.mark.parametrize("name", ["", "a/b", "../x", "x" * 101, ".hidden"])
    def test_names(self, archive, name):
        """A name that cannot be a key is refused."""
        with pytest.raises(errors.UsageError, match="called"):
            versions.release(archive, name)

    def test_an_unknown_release(self, archive):
        """The names that there are are told."""
        versions.release(archive, "dr2")

        with pytest.raises(errors.UsageError, match="There are: dr2"):
            list(versions.roll_back_to_release(archive, "dr1"))


class TestHold:
    def test_nothing_touches_it(self, archive):
        """A held dataset is neither taken back nor retired, until the hold is lifted."""
        dataset = one(archive)
        versions.hold(archive, dataset, why="under study", who="ana")

        assert versions.roll_back(archive, dataset).what == "refused"
        with pytest.raises(errors.OnHold, match=r"ana.*under study"):
            versions.retire(archive, dataset, why="x")
        assert versions.unhold(archive, dataset).who == "ana"
        assert versions.unhold(archive, dataset) is None
        assert versions.roll_back(archive, dataset).what == "moved"

    def test_who_and_why(self, archive):
        """All holds are read with who and why; the same hold may be set again, another not."""
        for dataset in sorted(trips.shown(archive)):
            versions.hold(archive, dataset, why="under study", who="ana")
        versions.hold(archive, one(archive), why="under study", who="ana")

        found = versions.held(archive)
        assert sorted(found) == sorted(trips.shown(archive))
        assert {(hold.who, hold.why) for hold in found.values()} == {("ana", "under study")}
        assert found == {dataset: holds.find(archive.store, dataset) for dataset in found}
        with pytest.raises(errors.UsageError, match="held by ana"):
            versions.hold(archive, one(archive), why="mine", who="bo")

    @pytest.mark.parametrize(
        ("dataset", "why", "who"), [("", "x", "y"), ("jw0", "x", "y"), (None, " ", "y"), (None, "x", "")]
    )
    def test_what_is_no_hold(self, archive, dataset, why, who):
        """A dataset that nobody knows, no reason, nobody: refused."""
        with pytest.raises(errors.UsageError):
            versions.hold(archive, one(archive) if dataset is None else dataset, why=why, who=who)

    def test_a_damaged_hold(self, archive):
        """A hold that cannot be read is never taken for none."""
        archive.store.put(holds.key(one(archive)), b"{}")

        with pytest.raises(errors.DamagedRecord, match="holds/"):
            versions.held(archive)
        assert versions.roll_back(archive, one(archive)).what == "refused"


def test_events(trip):
    """Whoever listens is told of each move once by its id, also if the command is given again."""
    archive, _, second = trip
    dataset = one(archive)
    for _ in range(2):
        versions.roll_back(archive, dataset, why="stripes")
    versions.roll_back(archive, dataset, dry_run=True)
    versions.roll_back(archive, dataset, to=version_of(second, dataset))
    versions.retire(archive, dataset, why="no")
    told = [event for batch in events.objects(archive.store) for event in events.read(archive.store, batch.key)]
    by_hand = {event.id: event for event in told if event.kind in ("retired", "rolled-back")}

    assert sorted(event.kind for event in by_hand.values()) == ["retired", "rolled-back", "rolled-back"]
    assert {event.message for event in by_hand.values()} == {"stripes", "", "no"}


def test_a_release_and_moves_on_s3(twice, s3_store):
    """The same on S3: release, retire, show again, byte for byte."""
    archive = replace(twice[0], store=trips.copy(twice[0].store, s3_store))
    made = versions.release(archive, "dr2")
    dataset = one(archive)
    versions.retire(archive, dataset, why="no")
    list(versions.roll_back_to_release(archive, "dr2"))

    assert trips.shown(archive) == made.versions
    assert releases.named(s3_store) == {name: frozenset({version}) for name, version in made.versions.items()}
    assert moves.whole(s3_store, dataset, made.versions[dataset]).files
