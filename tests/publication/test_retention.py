"""What may go: versions, remains, and what never may."""

import datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from reprocess.publication import removed
from reprocess.publication.retention import Rule, superfluous
from reprocess.publication.stored import Stored
from reprocess.storage.store import Stamp
from tests.publication.test_chain import pointer

CUTOFF = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
LONG_AGO, LATELY = "2026-11-01T00:00:00.000Z", "2026-11-21T00:00:00.000Z"


def stored(version: str, *names: str, modified: str = LONG_AGO) -> Stored:
    names = names or ("manifest.json", "rate.fits")
    return Stored(version, tuple(Stamp(f"products/d/{version}/{name}", 10, "e", modified) for name in names))


def goes(found, shown, *, keep: int = 1, cutoff=CUTOFF, **options) -> list[str]:
    return [each.stored.version for each in superfluous(found, shown, Rule(keep, cutoff), **options)]


class TestVersions:
    chain = ("v1@a", "v2@b", "v3@c", "v4@d")

    @pytest.mark.parametrize(("keep", "gone"), [(1, "v1 v2 v3"), (2, "v1 v2"), (3, "v1"), (4, ""), (9, "")])
    def test_the_last_few_stay(self, keep, gone):
        """Of the versions that readers saw, so many of the latest stay, the present one included."""
        found = [stored(f"v{n}") for n in (1, 2, 3, 4)]

        assert goes(found, pointer(*self.chain), keep=keep) == gone.split()

    def test_what_was_left_lately_stays(self):
        """Readers left v1 on the 2nd, v2 on the 3rd: what they left after the cutoff stays, however many they are."""
        found = [stored(f"v{n}") for n in (1, 2, 3, 4)]
        cutoff = datetime.datetime(2026, 11, 2, 12, tzinfo=datetime.UTC)

        assert goes(found, pointer(*self.chain), cutoff=cutoff) == ["v1"]

    def test_the_present_version_never_goes(self):
        """Not even where it is the oldest, because readers went back to it, or was given up by mistake."""
        assert goes([stored("v1"), stored("v2")], pointer("v1@a", "v2@b", "<v1@a")) == ["v2"]
        assert goes([stored("v1", removed.NAME, "manifest.json", "rate.fits")], pointer("v1@a")) == []

    def test_releases_and_living_campaigns_are_protected(self):
        """What a release names, or a running campaign may write, stays."""
        found = [stored("v1"), stored("v2"), stored("x", "rate.fits")]

        assert goes(found, pointer(*self.chain), protected={"v1", "x"}) == ["v2"]

    def test_a_retired_dataset(self):
        """The last version of a retired dataset counts among those that stay, so it can be shown again."""
        assert goes([stored("v1"), stored("v2")], pointer("v1@a", "v2@b", "+")) == ["v1"]

    def test_never_shown(self):
        """What readers never saw stays as long as it may still be published: until a later plan has been."""
        shown = pointer("v1@a")  # of a plan created at "t"
        found = [stored("v1"), stored("w")]

        assert goes(found, shown, created=[("w", "u")]) == []
        assert goes(found, shown) == []
        assert goes(found, shown, created=[("w", "a")]) == ["w"]
        assert goes([stored("v1"), stored("w", modified=LATELY)], shown, created=[("w", "a")]) == []
        assert goes(found, None) == []


class TestRemains:
    def test_files_without_a_manifest(self):
        """They go when all of them are old, with or without a pointer."""
        old, new = stored("x", "rate.fits"), stored("y", "rate.fits", modified=LATELY)

        assert goes([old, new], None) == ["x"]
        assert goes([old, new], pointer("v1@a")) == ["x"]

    def test_a_removal_that_was_cut_off(self):
        """What a clean-up left goes with the next one; its records stay for ever."""
        assert goes([stored("x", removed.NAME, "manifest.json", "rate.fits")], pointer("v1@a")) == ["x"]
        assert goes([stored("x", removed.NAME, "manifest.json")], pointer("v1@a")) == []


@given(
    st.lists(st.sampled_from(["v1@a", "v2@b", "v3@c", "<v1@a", "<v2@b", "+", "v4@d"]), min_size=1, max_size=8),
    st.integers(1, 5),
    st.integers(1, 30),
    st.sets(st.sampled_from(["v1", "v2", "v3", "v4"])),
)
def test_what_must_stay_stays(moves, keep, day, protected):
    """The present version, protected ones and so many of the latest stay; `keep` bounds the rest."""
    shown = pointer(*moves)
    versions = {commit.version for commit in shown.chain if commit.version}
    cutoff = datetime.datetime(2026, 11, day, tzinfo=datetime.UTC)
    gone = goes([stored(version) for version in sorted(versions)], shown, keep=keep, cutoff=cutoff, protected=protected)

    assert shown.version not in gone
    assert not set(gone) & protected
    assert len(versions - set(gone)) >= min(keep, len(versions))
