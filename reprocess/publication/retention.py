"""Which versions and remains of a dataset may go. Arithmetic on a listing, a pointer and a few sets; no I/O.

Nothing goes that readers see, that a release names, that somebody holds, or that a living campaign may be writing. Of
the versions that readers saw, the last few stay, and any that they left only lately. A version that readers never saw
(held back, or still to be published) goes only when one of a later plan has been published. Files without a manifest
are no version: they go when all of them are old.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from reprocess.publication import chain, store_clock
from reprocess.publication.pointer import Pointer
from reprocess.publication.stored import Stored


@dataclass(frozen=True)
class Rule:
    """What a clean-up keeps.

    Attributes
    ----------
    keep : int
        How many versions of each dataset, the one that readers see included.
    cutoff : datetime
        By the store's clock: what was written or left after it stays.
    """

    keep: int
    cutoff: datetime.datetime


@dataclass(frozen=True, slots=True)
class Superfluous:
    """A version that may go, or what is left of one, and by which rule."""

    stored: Stored
    why: str


def superfluous(
    stored: Iterable[Stored],
    pointer: Pointer | None,
    rule: Rule,
    *,
    protected: Collection[str] = (),
    created: Collection[tuple[str, str]] = (),
) -> Iterator[Superfluous]:
    """Yield what may go of one dataset.

    Parameters
    ----------
    stored : iterable of Stored
        What a listing found.
    pointer : Pointer or None
        What readers see and saw.
    protected : collection of str
        Versions that a release names or a living campaign may be writing.
    created : collection of (version, str)
        When the plans of versions were created that readers never saw.
    """
    kept = _kept(pointer, rule) if pointer else frozenset()
    times = dict(created)
    for each in stored:
        if each.version in protected or (pointer is not None and each.version == pointer.version):
            continue
        if not each.is_whole:
            if each.files and each.newest <= rule.cutoff:
                yield Superfluous(each, "files without a manifest" if not each.is_removed else "left by a clean-up")
        elif pointer is None:
            continue
        elif pointer.has(each.version):
            if each.version not in kept:
                yield Superfluous(each, f"not among the last {rule.keep} versions, and left long ago")
        elif each.newest <= rule.cutoff and times.get(each.version, pointer.created) < pointer.created:
            yield Superfluous(each, "never shown, and a later plan was published")


def never_shown(stored: Iterable[Stored], pointer: Pointer | None) -> tuple[str, ...]:
    """Return the whole versions whose manifests have to be asked when their plans were created."""
    if pointer is None:
        return ()
    return tuple(each.version for each in stored if each.is_whole and not pointer.has(each.version))


def _kept(pointer: Pointer, rule: Rule) -> frozenset[str]:
    """Return the versions that readers see or saw and that stay."""
    left = chain.last_shown(pointer)
    latest = [version for version in reversed(left) if version not in pointer.removed][: rule.keep]
    late = [version for version, time in left.items() if _is_late(time, rule) and version not in pointer.removed]
    return frozenset((*latest, *late))


def _is_late(left: str, rule: Rule) -> bool:
    """Whether readers left a version after the cutoff; a time that is not known counts as late."""
    return not left or store_clock.moment(left) > rule.cutoff
