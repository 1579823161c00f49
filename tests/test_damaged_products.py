"""Products whose manifest lies: each has its class, its message and its row in the plan, and stops no other."""

import json
from dataclasses import replace

import pytest

from reprocess import campaign, errors, inspection, story
from reprocess.publication import manifest as manifests
from reprocess.publication import pointer as pointers
from reprocess.publication import publish
from tests import trips
from tests.publication.faulty import Watched


def publish_all(archive, made):
    """Write and show every version of a plan, with a few bytes for its files."""
    for item in made.items:
        names = (f"{item.dataset}_rate.fits", f"{item.dataset}_rateints.fits")
        files = {name: f"{name} of {item.version}".encode() for name in names}
        written = publish.write_version(archive.store, manifests.draft(made, item), files)
        publish.move_pointer(archive.store, written, writer="w")


def edit(**changes):
    """Change what a manifest says of itself."""

    def change(data):
        return json.dumps({**json.loads(data), **changes}).encode()

    return change


def edit_file(**changes):
    """Change what a manifest says of its first file."""

    def change(data):
        first, *others = json.loads(data)["files"]
        return edit(files=[{**first, **changes}, *others])(data)

    return change


LIES = {
    "digest": (edit_file(sha256="0" * 64), "manifest.json is not the one that was published: its SHA-256 is"),
    "size": (edit_file(size=5), "manifest.json says that {}_rate.fits has 5 bytes, and it has"),
    "name": (edit_file(name="other.fits"), "manifest.json lists other.fits, which is gone"),
    "dataset": (edit(dataset="jw1"), "manifest.json names the dataset 'jw1', not '{}'"),
    "version": (edit(version="v"), "manifest.json names the version 'v', not"),
    "other JSON": (lambda _: b"[]", "manifest.json does not say its kind and schema"),
    "no JSON": (lambda _: b"<html>503</html>", "manifest.json is no JSON"),
    "nothing": (lambda _: b"", "manifest.json is no JSON"),
}


@pytest.fixture
def archive():
    """Two exposures, both published as the first target asks."""
    archive = trips.make(options=trips.TINY)
    publish_all(archive, plan(archive))
    campaign.scan(archive)
    return archive


def plan(archive, created=trips.CREATED):
    return campaign.plan(archive, trips.target(options=trips.TINY), created=created)


def damage(archive, change, name="manifest.json"):
    """Change a file of one published version; the dataset and the version."""
    dataset, version = sorted(trips.shown(archive).items())[0]
    key = f"products/{dataset}/{version}/{name.format(dataset)}"
    archive.store.put(key, change(archive.store.get(key).data))
    return dataset, version


def told(archive, dataset):
    account = inspection.explain(archive, dataset)
    return story.tell(account), story.record(account)


class TestLies:
    """From the lie to the new version."""

    @pytest.mark.parametrize("lie", LIES)
    def test_is_redone(self, archive, lie):
        """The product alone is stale as damaged, plan and explain say in what it lies, and a new version mends it."""
        change, said = LIES[lie]
        dataset, version = damage(archive, change)
        text, record = told(archive, dataset)  # before anybody scans
        assert said.format(dataset) in text
        assert f"The new version would be {version.removesuffix('1')}2" in text

        campaign.scan(archive)
        made = plan(archive, trips.LATER)

        (item,) = made.items
        (reason,) = item.verdict.reasons
        assert (item.dataset, item.verdict.state, reason.kind) == (dataset, "stale", "product-damaged")
        assert said.format(dataset) in reason.old
        assert item.version == version.removesuffix("1") + "2"
        assert [(each.state, len(each.datasets)) for each in made.settled] == [("current", 1)]
        assert "The product is damaged: " + said.format(dataset) in told(archive, dataset)[0]
        assert told(archive, dataset)[1]["reasons"] == record["reasons"]

        publish_all(archive, made)
        campaign.scan(archive)
        assert plan(archive, trips.LATEST).items == ()

    def test_a_file_of_another_size(self, archive):
        """A file that is shorter than its manifest says is damage, without that the manifest changed."""
        dataset, _ = damage(archive, lambda data: data[:-1], "{}_rateints.fits")
        campaign.scan(archive)

        (item,) = plan(archive, trips.LATER).items

        assert item.dataset == dataset
        assert f"{dataset}_rateints.fits has" in item.verdict.reasons[0].old

    def test_counted_in_the_status(self, archive):
        """How much is stale because it is damaged is told by its kind."""
        damage(archive, LIES["digest"][0])
        campaign.scan(archive)
        plan(archive, trips.LATER)

        newest, *_ = inspection.staleness(archive, 1)

        assert "product-damaged" in str(newest)

    def test_a_pointer_of_an_earlier_release(self, archive):
        """Without the manifest's digest it is read, and what contradicts it is found all the same."""
        for stamp in list(archive.store.list("pointers/")):
            record = json.loads(archive.store.get(stamp.key).data)
            assert record.pop("manifest")
            archive.store.put(stamp.key, json.dumps(record).encode())
        campaign.scan(archive)
        assert plan(archive, trips.LATER).items == ()
        assert {pointers.read(archive.store, name)[0].manifest for name in trips.shown(archive)} == {""}
        dataset, _ = damage(archive, LIES["size"][0])
        campaign.scan(archive)

        (item,) = plan(archive, trips.LATEST).items

        assert item.dataset == dataset
        assert "has 5 bytes" in item.verdict.reasons[0].old

    def test_verify_tells_it_too(self, archive):
        """A manifest that was edited where no file contradicts it is a problem of `verify`."""
        dataset, version = damage(archive, edit(files=[]))

        (problem,) = inspection.verify(archive).problems

        assert problem.startswith(f"products/{dataset}/{version}/manifest.json is not the one that was published")

    def test_a_manifest_that_is_refused(self, archive):
        """A store that does not give a manifest says nothing of the product: that one fails, and is not made again."""
        dataset, version = damage(archive, LIES["digest"][0])
        key = f"products/{dataset}/{version}/manifest.json"

        def refuse(name, _, perform):
            if name != "sweep":
                return perform()
            refused = errors.AccessDenied(f"{key}: no permission.")
            return ((one, refused if one.key == key else answer) for one, answer in perform())

        campaign.scan(replace(archive, store=Watched(archive.store, refuse)))
        (item,) = plan(archive, trips.LATER).items

        assert (item.dataset, item.verdict.state, item.failure_class) == (dataset, "unknown", "storage")
        assert "no permission" in item.failure
        assert "Scan again" in item.failure
        campaign.scan(archive)
        (item,) = plan(archive, trips.LATEST).items
        assert item.verdict.reasons[0].kind == "product-damaged"

    def test_through_a_run(self):
        """Whatever the lie, the run that redoes it shows the new version: the damaged one is no measure for it."""
        archive, wanted = trips.make(options=trips.TINY), trips.target(options=trips.TINY)
        trips.go(archive, wanted)
        for day, (change, _) in enumerate(LIES.values(), 1):
            dataset, version = damage(archive, change)
            campaign.scan(archive)

            _, summary = trips.go(archive, wanted, created=f"2026-12-{day:02d}T00:00:00.000")

            assert (summary.classes["published"], summary.classes["current"]) == (1, 1)
            assert trips.shown(archive)[dataset] != version
            assert inspection.verify(archive).problems == ()
            campaign.scan(archive)
