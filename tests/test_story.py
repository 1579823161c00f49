from dataclasses import replace

import pytest

from reprocess import campaign, story
from reprocess.exposure import SETTLED, Reason, Verdict
from reprocess.publication import pointer as pointers
from tests import trips


@pytest.fixture(scope="module")
def told():
    """An item, its plan and its pointer after two campaigns."""
    archive = trips.make(options=trips.TINY)
    wanted = trips.target(options=trips.TINY)
    trips.go(archive, wanted)
    campaign.scan(archive)
    made, _ = trips.go(archive, trips.target("second", options=trips.TINY), created=trips.LATER)
    item = next(item for item in made.items if item.action == "calibrate")
    return item, made, pointers.read(archive.store, item.dataset)[0]


class TestTell:
    def test_reads_from_what_it_is_to_what_would_be_done(self, told):
        """First the exposure, then what readers see, then the verdict with reasons, then the version to write."""
        item, made, pointer = told
        before = replace(pointer, version=pointer.history[0].version, history=())
        text = story.tell(item, made, before)
        words = ["NIRCAM", "Level 1b:", "Readers see version", "Judged against", "It is stale", item.version]
        places = [text.rindex(word) for word in words]

        assert places == sorted(places)
        assert text.endswith("\n")
        assert "carried out" not in text

    def test_a_plan_that_was_carried_out(self, told):
        """When readers see what the plan made, the verdict is told as one of the past."""
        assert "That plan was carried out" in story.tell(*told)

    def test_history(self, told):
        """Versions that readers saw before are named."""
        item, made, pointer = told

        assert pointer.history[0].version in story.tell(item, made, pointer)

    def test_nothing_published(self, told):
        """Without a pointer it says so."""
        item, made, _ = told

        assert "Readers see no version" in story.tell(item, made, None)

    def test_a_failure_is_told_instead_of_a_verdict(self, told):
        """What cannot be calibrated is told with its class, and nothing is promised."""
        item, made, _ = told
        text = story.tell(replace(item, action="fail", failure_class="bad-data", failure="x is empty."), made, None)

        assert "cannot be calibrated (bad-data): x is empty." in text
        assert item.version not in text

    @pytest.mark.parametrize("state", ["current", "stale", "stale-in-name-only", "missing", "unknown"])
    def test_every_state_has_words(self, told, state):
        """Each verdict is told in a sentence."""
        item, made, _ = told
        text = story.tell(replace(item, verdict=Verdict(item.dataset, state)), made, None)

        assert len(text.splitlines()) > 4
        assert (item.version in text) == (state not in SETTLED)


class TestSay:
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
