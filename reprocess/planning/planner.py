"""Planner: what is known of every candidate to a sealed plan. Pure: no input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reprocess import errors
from reprocess.archive import fingerprint, recipe
from reprocess.archive.judging import Judgement
from reprocess.exposure import SETTLED, Settled
from reprocess.planning import slabs
from reprocess.planning.plan import Item, Plan, seal
from reprocess.target import Target


def plan(
    judgements: Iterable[Judgement],
    *,
    created: str,
    software: str,
    target: Target,
    references: str,
    memory_limit_bytes: int,
    incarnations: Mapping[str, int] | None = None,
    settled: Iterable[Settled] = (),
) -> Plan:
    """Make a sealed plan in which each candidate is accounted for exactly once.

    Parameters
    ----------
    judgements : iterable of Judgement
        Candidates that something is to be done for, that fail, or that are settled; see `reprocess.archive.judging`.
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
    settled : iterable of Settled
        Candidates that were found to be settled without a judgement of each.
    """
    chosen, every = incarnations or {}, tuple(judgements)
    waiting = [one for one in every if one.failure_class or one.verdict.state not in SETTLED]
    rest = [one for one in every if not one.failure_class and one.verdict.state in SETTLED]
    return seal(
        Plan(
            created=created,
            software=software,
            context=target.context,
            target=target.text,
            references=references,
            items=tuple(item(one, memory_limit_bytes, chosen.get(one.entry.dataset, 1)) for one in waiting),
            settled=together([*settled, *map(_alone, rest)]),
        )
    )


def together(settled: Iterable[Settled]) -> tuple[Settled, ...]:
    """Put settled candidates together that are alike in all that is told of them."""
    found: dict[Settled, list[str]] = {}
    for each in settled:
        found.setdefault(replace(each, datasets=()), []).extend(each.datasets)
    return tuple(replace(kind, datasets=tuple(datasets)) for kind, datasets in found.items())


def _alone(judgement: Judgement) -> Settled:
    header, verdict = judgement.entry.header, judgement.verdict
    instrument, exp_type = (str(header.get(keyword, "")) for keyword in ("INSTRUME", "EXP_TYPE"))
    return Settled(verdict.state, verdict.reasons, instrument, exp_type, (verdict.dataset,))


def item(judgement: Judgement, memory_limit_bytes: int, incarnation: int = 1) -> Item:
    """Decide what is to be done with one candidate that is not settled."""
    if judgement.failure_class:
        return _failed(judgement, judgement.failure_class, judgement.failure)
    try:
        rows = _rows(judgement, memory_limit_bytes)
    except errors.PlanError as error:
        return _failed(judgement, error.outcome_class, f"{judgement.entry.dataset}: {error}")
    raw = fingerprint.raw_version(judgement.entry)
    return Item(
        entry=judgement.entry,
        verdict=judgement.verdict,
        action="calibrate",
        references=judgement.references,
        parameters=judgement.parameters,
        recipe=recipe.text(judgement.fingerprint),
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
