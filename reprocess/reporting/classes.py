"""The classes that candidates end in: their order, what each means, and what to do about it; pure."""

from __future__ import annotations

REMAINDER = "remainder"
"""What the candidates without a terminal class are counted as once a campaign has ended."""

TO_DO = "still to do"
"""What they are counted as before that."""

BEFORE = ("current", "published", "unchanged", "held-back")
AFTER = ("unsupported", "deferred", "cancelled")
WORKED = ("published", "unchanged", "held-back")

_ADVICE = {
    "bad-data": "The raw object cannot be calibrated. Get it again from where it came from, then scan and plan again.",
    "raw-replaced": "The raw object is no longer the one that the plan names. Scan and plan again.",
    "reference": "Put the named reference file where references come from, or take another context; then plan again.",
    "storage": "Check endpoint, credentials and permissions, then run the same plan again: it goes on.",
    "worker-lost": "Its worker went away again and again. Look at its log; `reprocess retry` has it tried once more.",
    "out-of-memory": "It did not fit into the memory of a worker. Give workers more memory, then `reprocess retry`.",
    "overdue": "It took longer than a unit may take. Look at its log; raise the limit, then `reprocess retry`.",
    "publication": "A version of this name exists with other bytes. Scan and plan again.",
    "overtaken": "Readers already see the version of a later plan. Nothing was changed; scan and plan again.",
    "own-error": "A defect of this package. Report the message together with the plan's digest.",
    "usage": "The request is wrong. The message says which option, setting or target to change.",
    "held-back": "The new version differs by more than the budget allows. Look, then accept or reject it.",
    "unsupported": "This version does not calibrate them; the message of each says what can be done.",
    "deferred": "A budget, a limit or a hold came first. Run the same plan again to go on.",
    "cancelled": "The campaign was cancelled before this was done. What to type is at the end of this report.",
}
_GENERAL = "The message says what to do."

_MEANINGS = {
    "current": "already what the target asks for",
    "published": "new version, which readers now see",
    "unchanged": "made again with the same science content; readers keep what they had",
    "held-back": "new version exists and waits for a decision",
    "unsupported": "of a kind that stage 1 does not calibrate here",
    "deferred": "left for a later run by a budget, a limit or a hold",
    "cancelled": "not begun, or stopped by request",
}
_FAILURES = {
    "bad-data": "the raw object cannot be used",
    "raw-replaced": "the raw object is no longer the one planned for",
    "reference": "a reference file or a rule is missing or damaged",
    "storage": "the store refused or did not answer",
    "worker-lost": "the process went away",
    "out-of-memory": "it did not fit into the memory of a worker",
    "overdue": "it took too long",
    "publication": "a version of this name exists with other bytes",
    "overtaken": "readers already see the version of a later plan",
    "own-error": "a defect of this package",
    "usage": "the request was wrong",
}


def rank(outcome_class: str) -> tuple[int, str]:
    """Return what classes are sorted by: what readers can see, failures by name, what was not begun."""
    if outcome_class in BEFORE:
        return BEFORE.index(outcome_class), ""
    if outcome_class in AFTER:
        return len(BEFORE) + 1 + AFTER.index(outcome_class), ""
    return len(BEFORE), outcome_class


def is_failure(outcome_class: str) -> bool:
    """Whether a class that a candidate can end in is one of failure."""
    return outcome_class not in BEFORE + AFTER


def advice(outcome_class: str) -> str:
    """Say what to do about candidates of a class."""
    return _ADVICE.get(outcome_class, _GENERAL)


def meaning(outcome_class: str) -> str:
    """Say what it means to end in a class."""
    return _MEANINGS.get(outcome_class) or f"failed: {_FAILURES.get(outcome_class, 'see the messages')}"
