"""One dataset's story in plain words: what made its product, what has changed since, what would be redone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reprocess.exposure import DETECTOR1, IMAGE2, SETTLED, CatalogueEntry, Reason
from reprocess.planning.plan import Item, Plan
from reprocess.publication import chain
from reprocess.publication.pointer import Commit, Pointer

_STATES = {
    "current": "It is current: the target would give the same product.",
    "stale": "It is stale:",
    "stale-in-name-only": "It is stale in name only: files have new names and the same content.",
    "missing": "There is no product yet.",
    "unknown": "It cannot be told whether it is stale, so it counts as stale.",
}
_RESTARTS = {
    DETECTOR1: "Stage 1 would run from the Level 1b object on",
    IMAGE2: "Stage 2 would run from the rate product on; stage 1 would not run again",
}
_MAKERS = ("CAL_VER", "CRDS_CTX")
_SAID = ("missing", "product-missing")
_NAME_ONLY = "stale-in-name-only"


@dataclass(frozen=True)
class Account:
    """What is known of a dataset.

    Attributes
    ----------
    item : Item
        The dataset as it was judged.
    plan : Plan
        The plan that it was judged in, kept or not.
    kept : bool
        Whether the plan is kept in the archive, so that it can be run.
    pointer : Pointer or None
        What readers see.
    elsewhere : tuple of CatalogueEntry
        Products of the dataset that somebody else made.
    archive : str
        URL of the archive, for the commands that go on.
    """

    item: Item
    plan: Plan
    kept: bool = False
    pointer: Pointer | None = None
    elsewhere: tuple[CatalogueEntry, ...] = ()
    archive: str = "ARCHIVE"

    @property
    def carried_out(self) -> bool:
        """Whether readers see what the plan made, so that what it found stale is stale no more."""
        shown = self.pointer is not None and self.pointer.version == self.item.version
        return shown and self.item.verdict.state not in SETTLED


def tell(account: Account) -> str:
    """Tell what is known of a dataset, for people."""
    parts = (_exposure, _published, _judged, _work)
    return "\n\n".join("\n".join(part(account)) for part in parts) + "\n"


def _exposure(account: Account) -> Iterator[str]:
    header, entry = account.item.entry.header, account.item.entry
    kind = " ".join(str(header[key]) for key in ("INSTRUME", "DETECTOR", "EXP_TYPE", "FILTER") if header.get(key))
    yield f"{account.item.dataset}  ({kind or 'no header'})"
    yield f"Level 1b: {entry.location}/{entry.key}, {entry.size:,} bytes"


def _published(account: Account) -> Iterator[str]:
    pointer = account.pointer
    yield "What readers see"
    if pointer is None:
        yield "  No version of ours."
    elif pointer.is_tombstone:
        yield f"  Nothing: it was retired on {_time(chain.arrival(pointer).committed)}, because: {pointer.why}"
        yield f"  Before that they saw {_earlier(pointer)}."
    else:
        yield f"  Version {pointer.version}, since {_time(pointer.committed)},"
        yield f"  made by reprocess {pointer.software} with {pointer.context} (campaign {pointer.campaign})."
        yield from _files(pointer)
        if pointer.orphans:
            yield f"  Earlier versions also had {', '.join(pointer.orphans)}."
        if pointer.history:
            yield f"  Before it readers saw {_earlier(pointer)}."
    for each in account.elsewhere:
        yield f"  Made elsewhere: {each.location}/{each.key} {_maker(each)}."


def _maker(product: CatalogueEntry) -> str:
    if product.error is not None:
        return f"cannot be read ({product.error.rstrip('.')})"
    said = ", ".join(f"{word} {product.header[word]}" for word in _MAKERS if word in product.header)
    return f"({said or 'does not say by what'})"


def _files(pointer: Pointer) -> Iterator[str]:
    rows = [(step.step, kind, name) for step in pointer.fingerprint for kind, name, _ in step.references]
    if not rows:
        return
    yield "  It was made with these files:"
    widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
    yield from (f"    {step:<{widths[0]}}  {kind:<{widths[1]}}  {name}" for step, kind, name in rows)


def _earlier(pointer: Pointer) -> str:
    history = [commit for commit in pointer.history if commit.action != "clean"]
    return ", ".join(_earlier_one(commit, pointer) for commit in reversed(history))


def _earlier_one(commit: Commit, pointer: Pointer) -> str:
    gone = "cleaned away" if commit.version in pointer.removed else ""
    notes = [note for note in (f"since {_time(commit.committed)}" if commit.committed else "", gone) if note]
    return (commit.version or "nothing") + (f" ({', '.join(notes)})" if notes else "")


def _judged(account: Account) -> Iterator[str]:
    item, plan = account.item, account.plan
    state = item.verdict.state
    place = f"plan {plan.digest[:16]} of {_time(plan.created)}" if account.kept else "as it is now"
    yield f"Compared with {plan.context} and reprocess {plan.software} ({place})"
    if account.carried_out:
        yield "  It is current: that plan was carried out, and readers see what it made."
        if state != "missing":
            yield "  Why it was redone:"
    else:
        yield f"  {_STATES[state]}"
    # That there is no product has been said.
    reasons = [reason for reason in item.verdict.reasons if (state, reason.kind) != _SAID]
    yield from (f"  - {_renamed(one) if state == _NAME_ONLY else say(one)}" for one in reasons)


def _renamed(reason: Reason) -> str:
    return (
        f"{reason.step}: the {reason.reference_type} reference {reason.old} is {reason.new} now, with the same content."
    )


def _work(account: Account) -> Iterator[str]:
    item, plan = account.item, account.plan
    yield "What would be done"
    if item.action == "fail":
        yield f"  Nothing: it cannot be calibrated ({item.failure_class}): {item.failure}"
    elif item.verdict.state in SETTLED or account.carried_out:
        yield "  Nothing."
    else:
        restart = item.verdict.restart
        yield f"  {_RESTARTS.get(restart or '', f'Work would begin with {restart}')}{_first(item)}."
        yield f"  The new version would be {item.version}."
        command = (
            f"run {account.archive} {plan.digest[:16]}"
            if account.kept
            else f"plan {account.archive} --target TARGET.toml"
        )
        yield f"  To do it: reprocess {command}"


def _first(item: Item) -> str:
    """Say which step is the first that a change affects."""
    order = {link.step: place for place, link in enumerate(item.fingerprint)}
    steps = {reason.step for reason in item.verdict.reasons if reason.kind in ("reference", "software", "parameter")}
    known = sorted(steps & set(order), key=order.__getitem__)
    return f"; {known[0]} is the first step that differs" if known else ""


def _time(text: str) -> str:
    return f"{text[:19].replace('T', ' ')} UTC" if text else "an unknown time"


def say(reason: Reason) -> str:
    """Say one reason as a sentence."""
    # What is quoted may be a sentence with a full stop of its own.
    old, new = (reason.old or "none").rstrip("."), (reason.new or "none").rstrip(".")
    sentences = {
        "raw-changed": f"The Level 1b object was replaced: {old} became {new}.",
        "software": _software(reason, old, new),
        "reference": f"{reason.step}: the {reason.reference_type} reference changed from {old} to {new}.",
        "parameter": _parameter(reason, old, new),
        "product-missing": "No product was found.",
        "product-damaged": f"The product is damaged: {old}.",
        "undecidable": f"It cannot be decided: {old}.",
    }
    return sentences.get(reason.kind, f"{reason.kind} at {reason.step}: {old} to {new}.")


def _software(reason: Reason, old: str, new: str) -> str:
    if new.startswith(f"{reason.step} revision") and reason.old is None:
        return f"{reason.step}: this step is new ({new})."
    if old.startswith(f"{reason.step} revision") and reason.new is None:
        return f"{reason.step}: this step is no longer run (it was {old})."
    if reason.old is None:
        return f"{reason.step}: the software has {new}."
    return f"{reason.step}: the software changed from {old} to {new}."


def _parameter(reason: Reason, old: str, new: str) -> str:
    """Say a change of a parameter; both sides are ``name=value``, or nothing where there was no such parameter."""
    (name, _, before), (other, _, now) = old.partition("="), new.partition("=")
    if reason.old is None:
        return f"{reason.step}: the parameter {new} is new."
    if reason.new is None:
        return f"{reason.step}: the parameter {old} is no more."
    if name != other:
        return f"{reason.step}: a parameter changed from {old} to {new}."
    return f"{reason.step}: the parameter {name} changed from {before} to {now}."


def record(account: Account) -> dict[str, Any]:
    """Put what is known of a dataset into JSON values.

    ``verdict``, ``reasons`` and ``restart`` are those of today: what was stale and was redone is current, and
    ``redone`` tells why it was.
    """
    item, pointer, plan = account.item, account.pointer, account.plan
    judged = {
        "verdict": item.verdict.state,
        "reasons": [reason_record(reason) for reason in item.verdict.reasons],
        "restart": item.verdict.restart,
    }
    today = {"verdict": "current", "reasons": [], "restart": None} if account.carried_out else judged
    return {
        "dataset": item.dataset,
        "published": _published_record(pointer) if pointer else None,
        **today,
        "redone": judged if account.carried_out else None,
        "references": _used(pointer) if pointer else {},
        "history": [_commit_record(commit) for commit in pointer.history] if pointer else [],
        "elsewhere": [
            {"location": each.location, "key": each.key, "header": _telling(each.header), "problem": each.error}
            for each in account.elsewhere
        ],
        "judged": {
            "context": plan.context,
            "software": plan.software,
            "created": plan.created,
            "plan": plan.digest if account.kept else None,
        },
        "failure": {"class": item.failure_class, "message": item.failure} if item.action == "fail" else None,
        "version": item.version or None,
    }


def reason_record(reason: Reason) -> dict[str, str | None]:
    """Put one reason into JSON values."""
    return {
        "kind": reason.kind,
        "type": reason.reference_type,
        "old": reason.old,
        "new": reason.new,
        "step": reason.step,
    }


def _published_record(pointer: Pointer) -> dict[str, Any]:
    return {
        "retired": pointer.why if pointer.is_tombstone else None,
        "orphans": list(pointer.orphans),
        "version": pointer.version,
        "software": pointer.software,
        "context": pointer.context,
        "made": pointer.created,
        "published": pointer.committed,
        "campaign": pointer.campaign,
    }


def _commit_record(commit: Commit) -> dict[str, str]:
    return {
        "version": commit.version,
        "published": commit.committed,
        "campaign": commit.campaign,
        "action": commit.action,
        "why": commit.why,
    }


def _used(pointer: Pointer) -> dict[str, str]:
    return {kind: name for step in pointer.fingerprint for kind, name, _ in step.references}


def _telling(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a product made elsewhere says of its making."""
    return {word: value for word, value in sorted(header.items()) if word in _MAKERS or word.startswith(("R_", "S_"))}
