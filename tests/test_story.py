import json
from dataclasses import replace

import pytest

from reprocess import campaign, story
from reprocess.exposure import IMAGE2, SETTLED, CatalogueEntry, Reason, Verdict
from reprocess.publication import pointer as pointers
from reprocess.story import Account
from tests import trips


@pytest.fixture(scope="module")
def redone():
    """What is known of an exposure that was stale, after the campaign that redid it."""
    archive = trips.make(options=trips.TINY)
    wanted = trips.target(options=trips.TINY)
    trips.go(archive, wanted)
    campaign.scan(archive)
    made, _ = trips.go(archive, trips.target("second", options=trips.TINY), created=trips.LATER)
    item = next(item for item in made.items if item.action == "calibrate")
    return Account(item, made, True, pointers.read(archive.store, item.dataset)[0], archive="s3://bucket/archive")


@pytest.fixture
def stale(redone):
    """The same before that campaign."""
    return replace(redone, pointer=replace(redone.pointer, version=redone.pointer.history[0].version, history=()))


ELSEWHERE = CatalogueEntry(
    "d",
    "rate",
    "s3://raw",
    "d_rate.fits",
    1,
    '"e"',
    {"CAL_VER": "1.9", "CRDS_CTX": "jwst_1.pmap", "R_DARK": "x", "A": 1},
)


class TestTell:
    def test_reads_from_what_it_is_to_what_would_be_done(self, stale):
        """First the exposure, then what readers see, then the verdict with reasons, then the work and its command."""
        text = story.tell(stale)
        reason = stale.item.verdict.reasons[0]
        words = ["NIRCAM", "Level 1b:", "What readers see", "made by reprocess", "Compared with jwst_9002.pmap"]
        words += ["It is stale", f"{reason.old} to {reason.new}", "Stage 1 would run", stale.item.version]
        words += [f"reprocess run s3://bucket/archive {stale.plan.digest[:16]}"]
        places = [text.rindex(word) for word in words]

        assert places == sorted(places)
        assert text.endswith("\n")
        assert "carried out" not in text

    def test_a_plan_that_was_carried_out(self, redone):
        """When readers see what the plan made, it is current, and the reasons are those of the past."""
        text = story.tell(redone)

        assert "It is current: that plan was carried out" in text
        assert "Why it was redone" in text
        assert text.rstrip().endswith("Nothing.")
        assert "It is stale" not in text

    def test_a_plan_that_is_not_kept(self, stale):
        """What was judged only to be told cannot be run: the way leads through a plan."""
        text = story.tell(replace(stale, kept=False))

        assert "reprocess plan s3://bucket/archive" in text
        assert "reprocess run" not in text

    def test_history(self, redone):
        """Versions that readers saw before are named."""
        assert redone.pointer.history[0].version in story.tell(redone)

    def test_nothing_published(self, stale):
        """Without a pointer it says so."""
        assert "No version of ours" in story.tell(replace(stale, pointer=None))

    def test_made_elsewhere(self, stale):
        """Products of others are named with what made them."""
        text = story.tell(replace(stale, pointer=None, elsewhere=(ELSEWHERE,)))

        assert "s3://raw/d_rate.fits (CAL_VER 1.9, CRDS_CTX jwst_1.pmap)" in text

    def test_the_first_step_that_differs(self, stale):
        """Of several reasons the step that runs first is named, whatever their order."""
        reasons = tuple(Reason("reference", step, step, "a", "b") for step in ("ramp_fit", "superbias", "jump"))
        verdict = Verdict("d", "stale", reasons, "detector1")

        assert "superbias is the first step that differs" in story.tell(
            replace(stale, item=replace(stale.item, verdict=verdict))
        )

    def test_work_that_begins_with_stage_2(self, stale):
        """A verdict that spares stage 1 says so."""
        verdict = Verdict("d", "stale", (Reason("reference", "flat_field", "flat", "a", "b"),), IMAGE2)

        assert "from the rate product on" in story.tell(replace(stale, item=replace(stale.item, verdict=verdict)))

    def test_a_failure(self, stale):
        """What cannot be calibrated is told with its class, and nothing is promised."""
        failed = replace(stale.item, action="fail", failure_class="bad-data", failure="x is empty.")
        text = story.tell(replace(stale, item=failed, pointer=None))

        assert "cannot be calibrated (bad-data): x is empty." in text
        assert failed.version not in text

    def test_stale_in_name_only(self, stale):
        """Other names of the same content are not told as a change."""
        verdict = Verdict("d", "stale-in-name-only", (Reason("reference", "jump", "gain", "a.fits", "b.fits"),))
        text = story.tell(replace(stale, item=replace(stale.item, verdict=verdict)))

        assert "the gain reference a.fits is b.fits now, with the same content." in text
        assert "changed" not in text

    @pytest.mark.parametrize("state", ["current", "stale", "stale-in-name-only", "missing", "unknown"])
    def test_every_state_has_words(self, stale, state):
        """Each verdict is told in a sentence, and a version is promised where there is work."""
        item = replace(stale.item, verdict=Verdict(stale.item.dataset, state))
        text = story.tell(replace(stale, item=item, pointer=None))

        assert len(text.splitlines()) > 8
        assert (item.version in text) == (state not in SETTLED)


class TestRecord:
    def record(self, account):
        return json.loads(json.dumps(story.record(account)))

    def test_of_what_is_stale(self, stale):
        """It has the verdict with its reasons, the version that readers see, and the files that it was made with."""
        body, pointer = self.record(stale), stale.pointer

        assert (body["dataset"], body["verdict"], body["restart"]) == (stale.item.dataset, "stale", "detector1")
        assert [set(reason) for reason in body["reasons"]] == [{"kind", "type", "old", "new", "step"}]
        assert (
            body["published"].items()
            >= {
                "version": pointer.version,
                "software": pointer.software,
                "context": pointer.context,
                "made": pointer.created,
            }.items()
        )
        assert body["references"]["dark"].startswith("jwst_nircam_dark_")
        assert (body["redone"], body["history"]) == (None, [])
        assert body["judged"]["plan"] == stale.plan.digest

    def test_of_what_was_redone(self, redone):
        """What readers see of a plan that was carried out is current, and why it was redone is kept apart."""
        body = self.record(redone)

        assert (body["verdict"], body["reasons"], body["restart"]) == ("current", [], None)
        assert body["redone"]["verdict"] == "stale"
        assert [each["version"] for each in body["history"]] == [redone.pointer.history[0].version]

    def test_of_others(self, stale):
        """Without a version of ours there is none, and products of others tell what their headers do."""
        body = self.record(replace(stale, pointer=None, kept=False, elsewhere=(ELSEWHERE,)))

        assert (body["published"], body["references"], body["judged"]["plan"]) == (None, {}, None)
        assert body["elsewhere"][0]["header"] == {"CAL_VER": "1.9", "CRDS_CTX": "jwst_1.pmap", "R_DARK": "x"}

    def test_of_a_failure(self, stale):
        """A failure has its class and its message."""
        failed = replace(stale.item, action="fail", failure_class="bad-data", failure="x", version="")

        assert self.record(replace(stale, item=failed))["failure"] == {"class": "bad-data", "message": "x"}


class TestSay:
    @pytest.mark.parametrize(
        ("kind", "old", "new", "sentence"),
        [
            ("software", None, "jump revision 2", "jump: this step is new (jump revision 2)."),
            ("software", "jump revision 2", None, "jump: this step is no longer run (it was jump revision 2)."),
            ("software", None, "another order of steps", "jump: the software has another order of steps."),
            ("parameter", "a=4.0", "a=5.0", "jump: the parameter a changed from 4.0 to 5.0."),
            ("parameter", None, "a=5.0", "jump: the parameter a=5.0 is new."),
            ("parameter", "a=4.0", None, "jump: the parameter a=4.0 is no more."),
            ("reference", None, "x.fits", "jump: the dark reference changed from none to x.fits."),
            ("raw-changed", "etag=1", "etag=2", "The Level 1b object was replaced: etag=1 became etag=2."),
        ],
    )
    def test_reads_well(self, kind, old, new, sentence):
        """What was not there before, or is no more, is said so."""
        assert story.say(Reason(kind, "jump", "dark", old, new)) == sentence

    @pytest.mark.parametrize(
        ("kind", "word"),
        [
            ("raw-changed", "replaced"),
            ("software", "software"),
            ("reference", "dark reference"),
            ("parameter", "parameter"),
            ("product-missing", "No product"),
            ("product-damaged", "damaged"),
            ("undecidable", "cannot be decided"),
            ("something-new", "something-new"),
        ],
    )
    def test_is_a_sentence(self, kind, word):
        """Every kind of reason is one sentence with a full stop at its end, and only one."""
        sentence = story.say(Reason(kind, "jump", "dark", "old.fits", "new.fits"))

        assert word in sentence
        assert sentence.endswith(".")
        assert not sentence.endswith("..")

    def test_what_was_not_there(self):
        """A file that was not used before, or is not any more, is none."""
        assert "from none to b" in story.say(Reason("reference", "jump", "dark", None, "b"))
        assert "from a to none" in story.say(Reason("reference", "jump", "dark", "a", None))

    def test_a_message_with_its_own_full_stop(self):
        """A reason that quotes a sentence does not end in two full stops."""
        assert not story.say(Reason("undecidable", "raw", old="x is empty. Fetch it again.")).endswith("..")
