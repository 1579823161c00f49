"""Staleness as an indicator: a plan of a whole catalogue to a record of how much is stale. Pure: no input or output."""

from __future__ import annotations

from reprocess.archive import debt
from reprocess.archive.debt import Debt
from reprocess.archive.judging import Survey
from reprocess.planning.plan import Plan


def measure(plan: Plan, survey: Survey, previous: Debt | None = None) -> Debt:
    """Add up what a plan found.

    Parameters
    ----------
    plan : Plan
        Of the whole catalogue: what a part of it holds cannot be compared with anything.
    survey : Survey
        What the plan was made from.
    previous : Debt, optional
        What the judgement before found.
    """
    made = {one.entry.dataset: one.pointer.created for one in survey.judgements if one.pointer is not None}
    candidates = (
        debt.Candidate(
            item.verdict, str(item.entry.header.get("INSTRUME", "")), item.entry.size, made.get(item.dataset, "")
        )
        for item in plan.items
    )
    return debt.measure(
        candidates,
        zip(survey.settled, survey.settled_bytes, strict=True),
        plan=plan.digest,
        created=plan.created,
        context=plan.context,
        software=plan.software,
        previous=previous,
    )
