"""What a later run of the same plan would do, and what somebody has to decide; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reprocess.publication import refusals

_DONE = frozenset({"current", "published", "unchanged"})
_PLAN_AGAIN = frozenset({"overtaken", "publication", "usage", "raw-replaced"})


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about some candidates: how many, in words, and what to type (may be empty)."""

    count: int
    words: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """What commands are about: archive, digest of the plan and identity of the campaign, and the target's context."""

    archive: str
    digest: str
    campaign: str


def steps(classes: Mapping[str, int], *, to_do: int, remainder: int, state: str, names: Names) -> tuple[Step, ...]:
    """Say what is left, the most urgent first; empty if nothing is.

    Parameters
    ----------
    classes : mapping of str to int
        Candidates by terminal class.
    to_do, remainder : int
        Candidates without a class: before the end of a campaign, and after it.
    state : str
        That of the campaign's ending.
    names : Names
    """
    run = f"reprocess run {names.archive} {names.digest}"
    found = []
    if remainder:
        words = "have no class, which is an error. The same plan, run again, does what has no outcome"
        found.append(Step(remainder, words, run))
    if to_do:
        found.append(_go_on(to_do, state, run, names))
    for words, command, members in _groups(classes, run, names):
        count = sum(members.values())
        several = ", ".join(f"{name} {each:,}" for name, each in members.items())
        found.append(
            Step(count, words.replace("CLASSES", several if len(members) > 1 else next(iter(members))), command)
        )
    return tuple(found)


def _groups(classes: Mapping[str, int], run: str, names: Names) -> list[tuple[str, str, dict[str, int]]]:
    """Bring classes together for which the same is to be done."""
    groups: dict[tuple[str, str], dict[str, int]] = {}
    for name, count in classes.items():
        if count and name not in _DONE:
            groups.setdefault(_of_class(name, run, names), {})[name] = count
    return [(words, command, members) for (words, command), members in groups.items()]


def decide(archive: str) -> str:
    """Return what to type to decide on a version that was held back."""
    return "\n".join(f"reprocess {word} {archive} DATASET VERSION" for word in ("accept", "reject"))


def _go_on(count: int, state: str, run: str, names: Names) -> Step:
    if state == "paused":
        resume = f"reprocess resume {names.archive} {names.campaign}"
        return Step(count, "are still to do. Resume, then run the same plan", f"{resume}\n{run}")
    if state == "approval":
        approve = f"reprocess approve {names.archive} {names.campaign}"
        return Step(count, "wait for approval. Look at what the pilot did, approve, then run", f"{approve}\n{run}")
    return Step(count, "are still to do. The same plan, run again, goes on with them", run)


def _of_class(name: str, run: str, names: Names) -> tuple[str, str]:
    """Say what is to be done about a class, and what to type."""
    plan = f"reprocess plan {names.archive} --target TARGET.toml"
    if name == "held-back":
        words = "are held back and wait for a decision. No run touches them until somebody accepts or rejects them"
        return words, decide(names.archive)
    if name == "deferred":
        return "were deferred. The same plan, run again, goes on with them", run
    if name == "cancelled":
        return "were cancelled. This campaign will not do them; plan again to do them", plan
    if name == "unsupported":
        return "are of a kind that this version does not calibrate. No run will do them", ""
    if name in _PLAN_AGAIN:
        scan = f"reprocess scan {names.archive}"
        return "failed (CLASSES). The same plan fails again: scan and plan again", f"{scan}\n{plan}"
    if name in refusals.FOR_GOOD:
        words = "failed for good (CLASSES). They are tried again when their inputs change, or when somebody asks for it"
        return words, f"reprocess retry {names.archive} {names.campaign} [--class CLASS]\n{run}"
    return "failed (CLASSES). The same plan, run again, tries them again", run
