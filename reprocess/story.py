"""One dataset's story in plain words: what made its product, what has changed since, what would be redone."""

from __future__ import annotations

from collections.abc import Iterator

from reprocess.exposure import SETTLED, Reason
from reprocess.planning.plan import Item, Plan
from reprocess.publication.pointer import Pointer

_STATES = {
    "current": "It is current: the target would give the same product.",
    "stale": "It is stale.",
    "stale-in-name-only": "It is stale in name only: files have new names and the same content. Nothing is to be done.",
    "missing": "There is no product yet.",
    "unknown": "It cannot be told whether it is stale, so it counts as stale.",
}


_SAID = ("missing", "product-missing")


def tell(item: Item, plan: Plan | None, pointer: Pointer | None) -> str:
    """Tell what is known of a dataset.

    Parameters
    ----------
    item : Item
        The dataset as it was judged.
    plan : Plan or None
        The plan that it was judged in.
    pointer : Pointer or None
        What readers see.
    """
    return "\n".join(_lines(item, plan, pointer)) + "\n"


def _lines(item: Item, plan: Plan | None, pointer: Pointer | None) -> Iterator[str]:
    header, entry = item.entry.header, item.entry
    kind = " ".join(str(header[key]) for key in ("INSTRUME", "DETECTOR", "EXP_TYPE", "FILTER") if header.get(key))
    yield f"{item.dataset}  ({kind or 'no header'})"
    yield f"Level 1b: {entry.location}/{entry.key}, {entry.size:,} bytes"
    yield ""
    yield from _published(pointer)
    yield ""
    if plan is not None:
        yield f"Judged against {plan.context} and reprocess {plan.software}, {plan.created} UTC:"
    if item.action == "fail":
        yield f"  It cannot be calibrated ({item.failure_class}): {item.failure}"
        return
    if pointer is not None and pointer.version == item.version and item.verdict.state not in SETTLED:
        yield "  That plan was carried out: readers see what it made. Before it:"
    yield f"  {_STATES[item.verdict.state]}"
    # That there is no product has been said.
    reasons = [reason for reason in item.verdict.reasons if (item.verdict.state, reason.kind) != _SAID]
    for reason in reasons:
        yield f"  - {say(reason)}"
    if item.verdict.restart and reasons:
        yield f"  The earliest step whose inputs changed is {item.verdict.restart}."
    if item.verdict.state not in SETTLED:
        yield f"  Its version is {item.version}."


def _published(pointer: Pointer | None) -> Iterator[str]:
    if pointer is None:
        yield "Readers see no version of ours."
        return
    yield f"Readers see version {pointer.version}, published {pointer.committed or 'at an unknown time'} UTC,"
    yield f"made by reprocess {pointer.software} with {pointer.context} (campaign {pointer.campaign})."
    for step in pointer.fingerprint:
        if step.references:
            yield f"  {step.step} read " + ", ".join(f"{kind} {name}" for kind, name, _ in step.references)
    if pointer.history:
        yield f"  Before it, readers saw {len(pointer.history)} other version(s): " + ", ".join(
            commit.version for commit in pointer.history
        )


def say(reason: Reason) -> str:
    """Say one reason as a sentence."""
    # What is quoted may be a sentence with a full stop of its own.
    old, new = (reason.old or "none").rstrip("."), (reason.new or "none").rstrip(".")
    sentences = {
        "raw-changed": f"The Level 1b object was replaced: {old} became {new}.",
        "software": f"{reason.step}: the software changed from {old} to {new}.",
        "reference": f"{reason.step}: the {reason.reference_type} reference changed from {old} to {new}.",
        "parameter": f"{reason.step}: a parameter changed from {old} to {new}.",
        "product-missing": "No product was found.",
        "product-damaged": f"The product is damaged: {old}.",
        "undecidable": f"It cannot be decided: {old}.",
    }
    return sentences.get(reason.kind, f"{reason.kind} at {reason.step}: {old} to {new}.")
