"""What comes in may be anything: each bad object ends in its own class, and the rest goes on."""

import gzip
import io
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from reprocess import campaign, coordinator, errors
from reprocess.archive import root
from reprocess.publication import ledger
from reprocess.storage import open_store
from tests import trips
from tests.publication.faulty import Watched

DATASET = "jw01234001001_02101_{:05d}_nrca1"
FOLDER = "jwst/public/jw01234/jw01234001001/"


def key(number, ending="_uncal.fits"):
    """Key of the object with a number, in the public layout."""
    return FOLDER + DATASET.format(number) + ending


def good():
    """A Level 1b file that can be calibrated."""
    store = trips.simulated(trips.TINY)
    (name,) = [stamp.key for stamp in store.list("raw/") if "nrca1" in stamp.key]
    return store.get(name).data


def science(data):
    """Byte at which the header of SCI begins."""
    return trips.place(data, "XTENSION")


def in_science(data, change, *arguments):
    """Change a card of the SCI header."""
    begin = science(data)
    return data[:begin] + change(data[begin:], *arguments)


def saturated(data):
    """Every pixel of every group full."""
    begin = science(data)
    begin = trips.place(data[begin:], "END") + begin
    begin += -begin % 2880
    pixels = 4 * 32 * 32 * 2
    return data[:begin] + np.full(pixels // 2, 32767, ">i2").tobytes() + data[begin + pixels :]


def cut_in_science(data):
    """The file without the second half of its pixels."""
    return data[: science(data) + 2880 + 4000]


DAMAGES = {
    "truncated in SCI": (cut_in_science, "bad-data", "SCI end at byte .* Fetch"),
    "truncated by one byte of SCI": (lambda data: data[: science(data) + 5760 + 8191], "bad-data", "Fetch"),
    "truncated in the primary header": (lambda data: data[:3000], "bad-data", "Fetch"),
    "truncated in the first block": (lambda data: data[:100], "bad-data", "Fetch"),
    "truncated before SCI": (lambda data: data[: science(data)], "bad-data", "no SCI extension"),
    "one byte": (lambda _: b"S", "bad-data", "."),
    "empty": (lambda _: b"", "bad-data", "is empty.* Fetch"),
    "zeros": (lambda data: bytes(len(data)), "bad-data", "FITS"),
    "text": (lambda _: b"<html>503 Slow Down</html>" * 300, "bad-data", "FITS"),
    "gzip inside": (gzip.compress, "bad-data", "gzip-compressed.* Store it uncompressed"),
    "no SCI": (lambda data: in_science(data, trips.having, "EXTNAME", "'SCX     '"), "bad-data", "EXTNAME = 'SCX'"),
    "no EXTNAME": (lambda data: in_science(data, trips.without, "EXTNAME"), "bad-data", "EXTNAME"),
    "BITPIX 8": (lambda data: in_science(data, trips.having, "BITPIX", "8"), "bad-data", "BITPIX = 8, not 16"),
    "BITPIX -32": (lambda data: in_science(data, trips.having, "BITPIX", "-32"), "bad-data", "BITPIX = -32, not 16"),
    "BZERO 0": (lambda data: in_science(data, trips.having, "BZERO", "0"), "bad-data", "BZERO = 0, not 32768"),
    "no BZERO": (lambda data: in_science(data, trips.without, "BZERO"), "bad-data", "BZERO = 0, not 32768"),
    "three axes": (lambda data: in_science(data, trips.having, "NAXIS", "3"), "bad-data", "NAXIS = 3, not 4"),
    "negative axis": (lambda data: in_science(data, trips.having, "NAXIS1", "-32"), "bad-data", "NAXIS1"),
    "huge axis": (lambda data: in_science(data, trips.having, "NAXIS4", "999999999"), "bad-data", "SCI"),
    "an axis too small": (lambda data: in_science(data, trips.having, "NAXIS2", "16"), "bad-data", r"SCI has shape"),
    "NGROUPS 0": (lambda data: trips.having(data, "NGROUPS", "0"), "bad-data", "NGROUPS"),
    "NGROUPS 5": (lambda data: trips.having(data, "NGROUPS", "5"), "bad-data", r"\(1, 4, 32, 32\).*\(1, 5, 32, 32\)"),
    "NGROUPS text": (lambda data: trips.having(data, "NGROUPS", "'four'"), "bad-data", "NGROUPS .*'four'"),
    "NGROUPS float": (lambda data: trips.having(data, "NGROUPS", "4.5"), "bad-data", "NGROUPS .*4.5"),
    "no groups at all": (
        lambda data: in_science(trips.having(data, "NGROUPS", "0"), trips.having, "NAXIS3", "0"),
        "bad-data",
        "NGROUPS|shape|NAXIS3",
    ),
    "negative TFRAME": (lambda data: trips.having(data, "TFRAME", "-1.0"), "bad-data", "TFRAME"),
    "zero TGROUP": (lambda data: trips.having(data, "TGROUP", "0.0"), "bad-data", "TGROUP"),
    "FASTAXIS 7": (lambda data: trips.having(data, "FASTAXIS", "7"), "bad-data", "FASTAXIS"),
    "NFRAMES 0": (lambda data: trips.having(data, "NFRAMES", "0"), "bad-data", "NFRAMES"),
    "SUBSTRT1 0": (lambda data: trips.having(data, "SUBSTRT1", "0"), "bad-data", "SUBSTRT1"),
    "a corner outside the detector": (lambda data: trips.having(data, "SUBSTRT2", "2040"), "bad-data|reference", "."),
    "impossible date": (lambda data: trips.having(data, "DATE-OBS", "'2022-13-45'"), "bad-data", "DATE-OBS"),
    "unknown instrument": (lambda data: trips.having(data, "INSTRUME", "'HUBBLE'"), "reference|unsupported", "HUBBLE"),
    "unknown EXP_TYPE": (lambda data: trips.having(data, "EXP_TYPE", "'NRC_NEW'"), "unsupported", "NRC_NEW .*NIRCam"),
    "all groups saturated": (saturated, "bad-data", "saturated"),
} | {
    f"no {keyword}": (lambda data, keyword=keyword: trips.without(data, keyword), "bad-data|unsupported", keyword)
    for keyword in (
        "READPATT", "NINTS", "NGROUPS", "NFRAMES", "GROUPGAP", "TFRAME", "TGROUP", "FASTAXIS", "SLOWAXIS", "SUBSIZE1",
        "SUBSIZE2", "SUBSTRT1", "SUBSTRT2", "INSTRUME", "DETECTOR", "EXP_TYPE", "DATE-OBS", "TIME-OBS", "SUBARRAY",
    )
}  # fmt: skip
NUMBERS = {name: number for number, name in enumerate(DAMAGES, 100)}


@pytest.fixture(scope="module")
def ended():
    """An archive of bad objects with one good one before and one after them; its plan, and how each candidate ended."""
    raw = trips.fresh()
    data = good()
    for number in (1, 999):
        raw.put(key(number), data)
    for name, (damage, _, _) in DAMAGES.items():
        raw.put(key(NUMBERS[name]), damage(data))
    archive = trips.make(raw=raw.url, options=trips.TINY, canary=0, error_budget=0)
    made, summary = trips.go(archive, trips.target(options=trips.TINY))
    closing = ledger.close(made, ledger.read(archive.store, made.digest[:16]).values())
    return archive, summary, closing


class TestObjects:
    """Level 1b objects."""

    @pytest.mark.parametrize("name", DAMAGES)
    def test_each_ends_in_its_class(self, ended, name):
        """The class is its own, and the message names the object and what is wrong."""
        import re

        _, _, closing = ended
        dataset = DATASET.format(NUMBERS[name])
        _, wanted, words = DAMAGES[name]

        assert re.fullmatch(wanted, closing.classes[dataset]), (closing.classes[dataset], closing.messages[dataset])
        assert dataset in closing.messages[dataset]
        assert re.search(words, closing.messages[dataset]), closing.messages[dataset]

    def test_the_rest_goes_on(self, ended):
        """The good ones are published, the sum closes, and nothing of the bad ones can be seen."""
        archive, summary, closing = ended
        well = {DATASET.format(1), DATASET.format(999)}

        assert {name for name, found in closing.classes.items() if found == "published"} == well
        assert summary.closes
        assert summary.candidates == len(DAMAGES) + 2
        assert set(trips.shown(archive)) == well
        assert {name.split("/")[1] for name in trips.products(archive)} == well

    def test_reports_are_readable(self, ended):
        """The report lists every class, and no message holds a line break or a trace."""
        _, _, closing = ended

        assert all("\n" not in message and "Traceback" not in message for message in closing.messages.values())
        assert "own-error" not in closing.counts

    def test_running_again_tries_no_bad_object_again(self, ended):
        """What the same bytes will give again is not tried again."""
        archive, summary, _ = ended

        assert coordinator.run(archive, summary.digest).classes == summary.classes


def archive_of(objects):
    """An archive whose raw location holds these objects, scanned."""
    raw = trips.fresh()
    for name, data in objects.items():
        raw.put(name, data)
    return trips.make(raw=raw.url, options=trips.TINY), raw


def endings(archive, made):
    """Class and message of each candidate."""
    closing = ledger.close(made, ledger.read(archive.store, made.digest[:16]).values())
    return {name: (found, closing.messages.get(name, "")) for name, found in closing.classes.items()}


class TestKeys:
    """Keys that say nothing, or the same."""

    @pytest.mark.parametrize(
        "name", ["a/b_uncal.fits", "jw01234_uncal.fits", key(2, "_uncal.fits.gz"), "ä/x_uncal.fits"]
    )
    def test_a_key_that_does_not_parse(self, name):
        """A Level 1b file under a strange key is a candidate of its own that is bad data; the message names the key."""
        archive, _ = archive_of({key(1): good(), name: good()})
        made, summary = trips.go(archive, trips.target(options=trips.TINY))

        assert endings(archive, made)[DATASET.format(1)][0] == "published"
        ended, message = endings(archive, made)[name]
        assert ended == "bad-data"
        assert name in message
        assert summary.closes

    def test_other_objects_are_left_out(self):
        """What is no Level 1b file is counted and not judged."""
        archive, _ = archive_of(
            {key(1): good(), "readme.txt": b"x", key(2, "_cal.fits"): b"x", key(3, "_uncal.jpg"): b""}
        )
        made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)

        assert [verdict.dataset for verdict in made.verdicts()] == [DATASET.format(1)]

    def test_two_objects_of_one_name(self):
        """Neither is calibrated, both messages name the other one, and the sum closes."""
        twin = "elsewhere/" + key(2).rpartition("/")[2]
        archive, _ = archive_of({key(1): good(), key(2): good(), twin: good()})
        made, summary = trips.go(archive, trips.target(options=trips.TINY))
        found = [item for item in made.items if item.dataset == DATASET.format(2)]

        assert {item.action for item in found} == {"fail"}
        assert summary.closes
        assert set(trips.shown(archive)) == {DATASET.format(1)}
        for item in found:
            assert key(2) in item.failure
            assert twin in item.failure


class TestChanges:
    """Raw objects that change after they were scanned."""

    def change(self, archive, act):
        made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)
        act()
        summary = coordinator.run(archive, made.digest)
        return made, summary, endings(archive, made)[DATASET.format(2)]

    def test_replaced_between_plan_and_run(self):
        """The unit ends as raw-replaced, says what to do, and the next trip calibrates the new object."""
        archive, raw = archive_of({key(1): good(), key(2): good()})
        _, summary, (ended, message) = self.change(archive, lambda: raw.put(key(2), good()))

        assert (ended, summary.classes["published"]) == ("raw-replaced", 1)
        assert key(2) in message
        assert "Scan again" in message
        assert DATASET.format(2) not in trips.shown(archive)

        campaign.scan(archive)
        _, summary = trips.go(archive, trips.target(options=trips.TINY), created=trips.LATER)
        assert (summary.classes["published"], summary.classes["current"]) == (1, 1)

    def test_deleted_between_plan_and_run(self):
        """A raw object that is gone is raw-replaced; after a scan it is no candidate any more."""
        archive, raw = archive_of({key(1): good(), key(2): good()})
        _, summary, (ended, message) = self.change(archive, lambda: raw.delete(key(2)))

        assert (ended, summary.classes["published"]) == ("raw-replaced", 1)
        assert key(2) in message
        campaign.scan(archive)
        made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.LATER)
        assert [verdict.dataset for verdict in made.verdicts()] == [DATASET.format(1)]

    @pytest.mark.parametrize(
        ("extra", "moment"),
        [("", 1), *((trips.LEAST_MEMORY, moment) for moment in (1, 2, 3))],
        ids=["whole", "slabs-1", "slabs-2", "slabs-3"],
    )
    def test_replaced_while_it_is_read(self, extra, moment):
        """Ranges of two versions never mix: a raw object that is replaced between two reads is raw-replaced."""
        source = trips.simulated(trips.TALL)
        raw = trips.copy(source.below("raw"), trips.fresh())
        archive = trips.make(raw=raw.url, options=trips.TALL)
        calls = []

        def hook(name, key, perform):
            if name in ("get_ranges", "fill") and "nrca1" in key:
                calls.append(key)
                if len(calls) == moment:
                    raw.put(key, raw.get(key).data)
            return perform()

        made = campaign.plan(archive, trips.target(extra=extra, options=trips.TALL), created=trips.CREATED)
        watched = replace(archive, raw={url: Watched(store, hook) for url, store in archive.raw.items()})
        summary = coordinator.run(watched, made.digest)
        ended = {name.rpartition("_")[2]: found for name, (found, _) in endings(archive, made).items()}

        assert len(calls) >= moment
        assert ended == {"nrca1": "raw-replaced", "nrcalong": "published"}
        assert summary.closes
        assert len(trips.shown(archive)) == 1


class TestReferences:
    """Reference files and rules."""

    @pytest.fixture
    def references(self):
        """A store of references that may be damaged."""
        return trips.copy(trips.simulated(trips.TINY).below("crds"), trips.fresh())

    def ended(self, references):
        """Classes and messages, with the one exposure that reads other files than the damaged ones."""
        archive = trips.make(references=references.url, options=trips.TINY)
        made, summary = trips.go(archive, trips.target(options=trips.TINY))
        assert summary.closes
        return {name.rpartition("_")[2]: found for name, found in endings(archive, made).items()}

    def name(self, kind):
        """Key of the file that the exposure of nrca1 reads."""
        store = trips.simulated(trips.TINY)
        archive = trips.make(options=trips.TINY)
        made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)
        item = next(item for item in made.items if item.dataset.endswith("nrca1"))
        (found,) = [reference.name for reference in item.references if reference.type == kind]
        (key,) = [stamp.key for stamp in store.list("crds/references/") if stamp.key.endswith(found)]
        return key.removeprefix("crds/")

    @pytest.mark.parametrize("kind", ["mask", "dark", "gain"])
    @pytest.mark.parametrize(
        "damage",
        [lambda data: data[: len(data) // 2], lambda data: data[:2000], lambda _: b"", lambda _: b"not found"],
        ids=["half", "a block", "empty", "text"],
    )
    def test_truncated(self, references, kind, damage):
        """Only exposures that read the file fail; the message names dataset, type, file, and what to do."""
        key = self.name(kind)
        references.put(key, damage(references.get(key).data))
        found = self.ended(references)

        assert found["nrcalong"][0] == "published"
        ended, message = found["nrca1"]
        assert ended == "reference"
        for word in ("it needs", kind, key.rpartition("/")[2], "again"):
            assert word in message

    def test_missing(self, references):
        """A file that is not there is named with the places where it was looked for."""
        key = self.name("superbias")
        references.delete(key)
        ended, message = self.ended(references)["nrca1"]

        assert ended == "reference"
        assert key in message
        assert "plan again" in message

    @pytest.mark.parametrize("kind", ["gain", "readnoise", "superbias", "dark", "linearity", "saturation"])
    def test_nothing_but_nan(self, references, kind):
        """A reference without a single number is damaged: its step would else say COMPLETE and do nothing."""
        key = self.name(kind)
        plane = "COEFFS" if kind == "linearity" else "SCI"
        with fits.open(io.BytesIO(references.get(key).data)) as file:
            file[plane].data[:] = np.nan
            buffer = io.BytesIO()
            file.writeto(buffer)
        references.put(key, buffer.getvalue())
        found = self.ended(references)

        assert found["nrcalong"][0] == "published"
        ended, message = found["nrca1"]
        assert ended == "reference"
        assert f"{plane} has not a single finite number" in message
        assert key.rpartition("/")[2] in message

    def test_a_context_that_is_not_there(self, references):
        """The plan is refused, and the message names context and place."""
        references.delete("mappings/jwst/jwst_9001.pmap")
        archive = trips.make(references=references.url, options=trips.TINY)

        with pytest.raises(errors.ContextError, match=r"jwst_9001.pmap, which is not at .*Copy it there"):
            campaign.plan(archive, trips.target(options=trips.TINY))

    def test_a_rule_that_is_not_there(self, references):
        """Exposures that need a rule that is missing fail, each by the name of the rule."""
        references.delete("mappings/jwst/jwst_nircam_gain_9001.rmap")
        archive = trips.make(references=references.url, options=trips.TINY)

        made = campaign.plan(archive, trips.target(options=trips.TINY))

        assert {item.failure_class for item in made.items} == {"reference"}
        assert all("jwst_nircam_gain_9001.rmap" in item.failure for item in made.items)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda text: text.replace("9001.fits", "9009.fits", 1),
            lambda text: text[: len(text) // 2],
            lambda text: "",
            lambda text: "\0\0\0",
            lambda text: "import os; os.abort()",
        ],
        ids=["checksum", "half", "empty", "zeros", "code"],
    )
    def test_a_rule_that_was_edited(self, references, damage):
        """A rule whose content is not what its checksum says is not used, nor executed: who needs it fails."""
        key = "mappings/jwst/jwst_nircam_gain_9001.rmap"
        references.put(key, damage(references.get(key).data.decode()).encode())
        archive = trips.make(references=references.url, options=trips.TINY)

        made = campaign.plan(archive, trips.target(options=trips.TINY))

        assert {item.failure_class for item in made.items} == {"reference"}
        assert all("jwst_9001.pmap" in item.failure and "gain" in item.failure for item in made.items)

    def test_nowhere(self):
        """Without any place of references the plan is refused, and the message names the option."""
        raw = trips.simulated(trips.TINY).url + "/raw"
        archive = trips.make(raw=raw, options=trips.TINY)

        with pytest.raises(errors.ArchiveError, match="--references"):
            campaign.plan(replace(archive, root=replace(archive.root, references="")), trips.target(options=trips.TINY))


class TestTargets:
    """Targets that ask for what cannot be."""

    @pytest.mark.parametrize(
        ("extra", "named"),
        [
            ("[parameters.jmp]\nskip = true\n", "jmp"),
            ("[parameters.jump]\nthreshold = 4.0\n", "'threshold'"),
            ("[parameters.jump]\nrejection_threshold = 'high'\n", "rejection_threshold"),
            ("[parameters.jump]\nskip = 1\n", "skip"),
            ("[parameters]\njump = 4\n", "jump"),
            ("[limits]\nmemory_limit_mb = 'lots'\n", "memory_limit_mb"),
            ("[limits]\nmemory_limit_mb = -5\n", "memory_limit_mb"),
            ("[limits]\nmemory = 5\n", "'memory'"),
            ("[limit]\nmemory_limit_mb = 5\n", "'limit'"),
            ("[parameters.jump]\nrejection_threshold = nan\n", "rejection_threshold"),
            ("[parameters.jump]\nrejection_threshold = inf\n", "rejection_threshold"),
        ],
    )
    def test_unknown_or_of_the_wrong_type(self, extra, named):
        """A step, parameter, limit or value that does not exist is refused by its name before any work."""
        archive = trips.make(options=trips.TINY)

        with pytest.raises(errors.TargetError, match=named):
            campaign.plan(archive, trips.target(extra=extra, options=trips.TINY))

    @pytest.mark.parametrize("software", ["99.0", ">=2", "latest"])
    def test_other_software(self, software):
        """A target for another version of the package is refused, and both versions are named."""
        archive = trips.make(options=trips.TINY)
        wanted = replace(trips.target(options=trips.TINY), software=software)

        with pytest.raises(errors.TargetError, match=software):
            campaign.plan(archive, wanted)

    @pytest.mark.parametrize("context", ["../../etc/passwd", "jwst_0541", "/tmp/x.pmap", "jwst_0541.pmap\n", "."])
    def test_what_is_no_context(self, context):
        """A context whose name is a path, or none, is refused."""
        archive = trips.make(options=trips.TINY)

        with pytest.raises(errors.ContextError, match=r"no name of a context|is not at"):
            campaign.plan(archive, replace(trips.target(options=trips.TINY), context=context))

    def test_a_limit_that_fits_nothing(self):
        """Exposures that cannot be calibrated within the limit fail one by one, and the message says what to raise."""
        archive = trips.make(options=trips.TINY)
        wanted = trips.target(extra="[limits]\nmemory_limit_mb = 1\n", options=trips.TINY)
        made, summary = trips.go(archive, wanted)

        assert summary.closes
        assert summary.failed == 2
        assert {"Raise memory_limit_mb." in item.failure for item in made.items} == {True}


class TestArchives:
    """Roots that are none."""

    def test_never_made(self):
        """A place without archive.toml is no archive, and the message says how to make one."""
        with pytest.raises(errors.ArchiveError, match="reprocess init"):
            campaign.open_archive(trips.fresh().url, trips.settings())

    @pytest.mark.parametrize(
        "text", ["", "schema = 1", "schema = 9", "{", "schema = 1\nraw = 5", "schema = 1\n[[raw]]\nx = 1"]
    )
    def test_malformed(self, text):
        """An archive.toml that is malformed is named, never guessed at."""
        store = trips.fresh()
        store.put("archive.toml", text.encode())

        with pytest.raises(errors.ArchiveError, match=r"archive\.toml"):
            campaign.open_archive(store.url, trips.settings())

    @pytest.mark.parametrize(
        "text",
        [
            "schema = 1\n[[raw]]\nurl = 5",
            'schema = 1\n[[raw]]\nurl = "memory://x"\nanonymous = "yes"',
            'schema = 1\nreferences = 7\n[[raw]]\nurl = "memory://x"',
            'schema = 1\nkey_pattern = 7\n[[raw]]\nurl = "memory://x"',
            'schema = 1\nraw = ["memory://x"]',
        ],
    )
    def test_of_the_wrong_type(self, text):
        """Values of the wrong type are refused by our own error."""
        store = trips.fresh()
        store.put("archive.toml", text.encode())

        with pytest.raises(errors.UsageError, match=r"archive\.toml"):
            campaign.open_archive(store.url, trips.settings())

    def test_never_scanned(self):
        """Planning before scanning is refused, and the message says what comes first."""
        store = trips.fresh()
        campaign.init(store.url, root.ArchiveRoot(raw=(root.RawLocation("memory://x"),)), trips.settings())
        archive = campaign.open_archive(store.url, trips.settings())

        with pytest.raises(errors.ArchiveError, match="scan"):
            campaign.plan(archive, trips.target(), references="memory://x")

    def test_a_raw_location_that_is_not_there(self, tmp_path):
        """A raw directory that does not exist is an error of the store, not an empty archive."""
        described = root.ArchiveRoot(raw=(root.RawLocation(str(tmp_path / "none")),))
        campaign.init(str(tmp_path / "archive"), described, trips.settings())

        with pytest.raises(errors.BucketMissing, match="none"):
            campaign.scan(campaign.open_archive(str(tmp_path / "archive"), trips.settings()))

    def test_a_raw_location_that_was_taken_out_after_the_plan(self):
        """A plan whose raw location is no longer in archive.toml is refused, and both are named."""
        archive = trips.make(options=trips.TINY)
        made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)

        with pytest.raises(errors.PlanError, match=r"raw.*archive\.toml"):
            coordinator.run(replace(archive, raw={"memory://other": open_store("memory://other")}), made.digest)
