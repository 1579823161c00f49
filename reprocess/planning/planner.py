"""Planner: what is known of every candidate to a sealed plan. Pure: no input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reprocess import errors
from reprocess.archive import fingerprint
from reprocess.archive.judging import Judgement
from reprocess.planning import slabs
from reprocess.planning.plan import Item, Plan, seal
from reprocess.target import Target

_NO_WORK = frozenset(("current", "stale-in-name-only"))


def plan(
    judgements: Iterable[Judgement],
    *,
    created: str,
    software: str,
    target: Target,
    references: str,
    memory_limit_bytes: int,
    incarnations: Mapping[str, int] | None = None,
) -> Plan:
    """Make a sealed plan in which each candidate is exactly one item.

    Parameters
    ----------
    judgements : iterable of Judgement
        One for each candidate, see `reprocess.archive.judging`.
    created : str
        UTC time, ISO 8601 with milliseconds and no zone.
    software : str
        Version of this package.
    target : Target
    references : str
        URL that reference files come from.
    memory_limit_bytes : int
        Memory of one worker; larger exposures are cut into slabs.
    incarnations : mapping of dataset to int, optional
        Incarnation of the version to write where it is not the first.
    """
    chosen = incarnations or {}
    return seal(
        Plan(
            created=created,
            software=software,
            context=target.context,
            target=target.text,
            references=references,
            items=tuple(item(one, memory_limit_bytes, chosen.get(one.entry.dataset, 1)) for one in judgements),
        )
    )


def item(judgement: Judgement, memory_limit_bytes: int, incarnation: int = 1) -> Item:
    """Decide what is to be done with one candidate."""
    if judgement.failure_class:
        return _failed(judgement, judgement.failure_class, judgement.failure)
    work = judgement.verdict.state not in _NO_WORK
    try:
        rows = _rows(judgement, memory_limit_bytes) if work else 0
    except errors.PlanError as error:
        return _failed(judgement, error.outcome_class, f"{judgement.entry.dataset}: {error}")
    raw = fingerprint.raw_version(judgement.entry)
    return Item(
        entry=judgement.entry,
        verdict=judgement.verdict,
        action="calibrate" if work else "none",
        references=judgement.references,
        parameters=judgement.parameters,
        fingerprint=judgement.fingerprint,
        version=fingerprint.version_name(raw, judgement.fingerprint, incarnation),
        rows_per_slab=rows,
    )


def _rows(judgement: Judgement, memory_limit_bytes: int) -> int:
    shape = judgement.entry.sci_shape or ()
    if len(shape) != 4:
        raise errors.PlanError(f"its science array has shape {shape}, not four axes. Scan again.")
    integrations, groups, rows, columns = shape
    miri = judgement.entry.header.get("INSTRUME") == "MIRI"
    pixels = slabs.MIRI_PIXELS if miri else slabs.NEAR_INFRARED_PIXELS
    return slabs.rows_per_slab(
        (integrations, groups, rows, columns),
        memory_limit_bytes,
        judgement.locality,
        reference_bytes=slabs.reference_bytes_per_pixel((file.size for file in judgement.references), pixels),
    )


def _failed(judgement: Judgement, failure_class: str, failure: str) -> Item:
    return Item(judgement.entry, judgement.verdict, "fail", failure_class=failure_class, failure=failure)
