"""What came before, by the chain of a pointer."""

from dataclasses import replace

import pytest

from reprocess import errors
from reprocess.publication import chain, moves
from reprocess.publication.pointer import Commit, Pointer
from tests.publication import samples


def pointer(*moves_: str) -> Pointer:
    """A chain of moves such as ``v1@c1`` (published by a campaign), ``<v1@c1`` (back to it), ``+`` (retired)."""
    commits = []
    for number, text in enumerate(moves_, 1):
        version, _, campaign = text.lstrip("<+~").partition("@")
        action = {"<": "rollback", "+": "retire", "~": "clean"}.get(text[0], "publish")
        commits.append(Commit(version, number, "w", campaign, f"2026-11-{number:02d}T00:00:00.000", action))
    last = commits[-1]
    return Pointer(
        samples.DATASET, last.version, last.sequence, "w", last.campaign, "p", "t", "c", "s",
        history=tuple(commits[:-1]), committed=last.committed, action=last.action,
    )  # fmt: skip


class TestStanding:
    @pytest.mark.parametrize(
        ("moves_", "versions"),
        [
            (["v1@a"], "v1"),
            (["v1@a", "v2@b", "v3@c"], "v1 v2 v3"),
            (["v1@a", "v2@b", "<v1@a"], "v1"),
            (["v1@a", "v2@b", "<v1@a", "v3@c"], "v1 v3"),
            (["v1@a", "v2@b", "~v2@b", "v3@c"], "v1 v2 v3"),
            (["v1@a", "v2@b", "+", "<v2@b", "v3@c"], "v1 v2 v3"),
            (["v1@a", "v2@b", "<v1@a", "<v2@b"], "v1 v2"),
        ],
    )
    def test_what_was_taken_back_does_not_stand(self, moves_, versions):
        """Going back takes back what came later; notes on the same version change nothing."""
        assert " ".join(commit.version for commit in chain.standing(pointer(*moves_))) == versions


class TestBefore:
    @pytest.mark.parametrize(
        ("moves_", "version"),
        [
            (["v1@a"], None),
            (["v1@a", "v2@b"], "v1"),
            (["v1@a", "v2@b", "<v1@a", "v3@c"], "v1"),
            (["v1@a", "v2@b", "+"], "v2"),
            (["v1@a", "v2@b", "~v2@b"], "v1"),
        ],
    )
    def test_before(self, moves_, version):
        """Before the present version is what stands before it, not what was seen and taken back."""
        found = chain.before(pointer(*moves_))

        assert (found.version if found else None) == version

    @pytest.mark.parametrize(
        ("moves_", "version"),
        [(["v1@a", "v2@b", "v3@b"], "v1"), (["v1@b"], None), (["v1@a", "v2@b", "<v1@a", "v3@b"], "v1")],
    )
    def test_before_a_campaign(self, moves_, version):
        """Before a campaign is what stands that is not of it."""
        found = chain.before_campaign(pointer(*moves_), "b")

        assert (found.version if found else None) == version


class TestChoices:
    def test_once(self):
        """A dataset that was brought back already is left as it is, whatever was noted on it since."""
        assert moves.to_before(pointer("v1@a", "v2@b", "v3@c")) == "v2"
        assert moves.to_before(pointer("v1@a", "v2@b", "v3@c", "<v2@b")) == ""
        assert moves.to_before(pointer("v1@a", "v2@b", "v3@c", "<v2@b", "~v2@b")) == ""
        assert moves.to_before(pointer("v1@a", "v2@b", "<v1@a", "v3@c")) == "v1"

    def test_a_campaign_that_is_not_shown(self):
        """A dataset that shows another campaign's version is left as it is."""
        assert moves.to_before_campaign(pointer("v1@a", "v2@b", "v3@c"), "b") == ""
        assert moves.to_before_campaign(pointer("v1@a", "v2@b"), "b") == "v1"

    def test_nothing_before(self):
        """The first version has nothing before it, and the message says what to do."""
        with pytest.raises(errors.PublicationError, match="retire"):
            moves.to_before(pointer("v1@a"))
        with pytest.raises(errors.PublicationError, match="retire"):
            moves.to_before_campaign(pointer("v1@a"), "a")


class TestLastShown:
    def test_times(self):
        """A version was left when another came; the present one was not, and comes last."""
        found = chain.last_shown(pointer("v1@a", "v2@b", "<v1@a", "v3@c"))

        assert found == {"v2": "2026-11-03T00:00:00.000", "v1": "2026-11-04T00:00:00.000", "v3": ""}
        assert list(found) == ["v2", "v1", "v3"]

    def test_retired(self):
        """A retired dataset has left its last version."""
        assert chain.last_shown(pointer("v1@a", "+")) == {"v1": "2026-11-02T00:00:00.000"}

    def test_arrival(self):
        """The present version came with the move that showed it, not with later notes on it."""
        assert chain.arrival(pointer("v1@a", "v2@b", "~v2@b")).sequence == 2
        assert chain.arrival(replace(pointer("v1@a"), committed="x")).sequence == 1
