"""What a pointer's chain of commits says: what came before, and what readers saw when. Arithmetic only."""

from __future__ import annotations

from reprocess.publication.pointer import Commit, Pointer


def standing(pointer: Pointer) -> tuple[Commit, ...]:
    """Return the commits that stand: without those that were taken back, each version once, the present one last.

    Going back to a version takes back whatever came after it. The commit of a version is the one that showed it first.
    """
    found: list[Commit] = []
    for commit in pointer.chain:
        versions = [each.version for each in found]
        if commit.version in versions:
            del found[versions.index(commit.version) + 1 :]
        else:
            found.append(commit)
    return tuple(found)


def before(pointer: Pointer) -> Commit | None:
    """Find what readers saw before the present version; None if they saw nothing."""
    return next(reversed(standing(pointer)[:-1]), None)


def before_campaign(pointer: Pointer, campaign: str) -> Commit | None:
    """Find what readers saw before a campaign, whose version is the present one; None if they saw nothing."""
    return next((commit for commit in reversed(standing(pointer)) if commit.campaign != campaign), None)


def arrival(pointer: Pointer) -> Commit:
    """Find the commit with which the present version was shown without a break until now."""
    found = pointer.commit
    for commit in reversed(pointer.history):
        if commit.version != pointer.version:
            break
        found = commit
    return found


def last_shown(pointer: Pointer) -> dict[str, str]:
    """Tell when readers left each version, by the store's clock; empty for the present one, which comes last.

    Versions are in the order in which they were left.
    """
    left: dict[str, str] = {}
    chain = pointer.chain
    for commit, following in zip(chain, (*chain[1:], None), strict=True):
        if following is None or following.version != commit.version:
            left.pop(commit.version, None)
            left[commit.version] = following.committed if following else ""
    return {version: time for version, time in left.items() if version}
