"""Plans: what will be done to every candidate, frozen and named by a digest of its content.

`run` takes nothing but a digest, so what was shown is what runs.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from reprocess import errors
from reprocess.archive import fingerprint
from reprocess.exposure import (
    CatalogueEntry,
    Fingerprint,
    Reason,
    ReferenceFile,
    Verdict,
)

SCHEMA = 1


@dataclass(frozen=True)
class Item:
    """One candidate of a plan: a dataset, the verdict on it, and what is to be done.

    Attributes
    ----------
    entry : CatalogueEntry
        The raw object as it was scanned, with the header keywords that calibration needs.
    verdict : Verdict
    action : str
        ``calibrate`` (units of work exist), ``none`` (already what the target asks for), or ``fail`` (known before any
        work: `failure_class` and `failure` say why).
    references : tuple of ReferenceFile
        Every reference file that the steps read, sorted by type.
    parameters : mapping of step to mapping of parameter to value
        Every parameter of every step, defaults included.
    fingerprint : Fingerprint
        What the target gives, step by step.
    version : str
        Name of the version that the work would write: run key and incarnation.
    rows_per_slab : int
        0 when the exposure is one unit; else rows of each slab.
    """

    entry: CatalogueEntry
    verdict: Verdict
    action: str
    references: tuple[ReferenceFile, ...] = ()
    parameters: Mapping[str, Mapping[str, Any]] | None = None
    fingerprint: Fingerprint = ()
    version: str = ""
    rows_per_slab: int = 0
    failure_class: str = ""
    failure: str = ""

    @property
    def dataset(self) -> str:
        """Root name of the Level 1b file."""
        return self.entry.dataset


@dataclass(frozen=True)
class Plan:
    """An immutable plan.

    Attributes
    ----------
    created : str
        UTC time, ISO 8601 with milliseconds and no zone; every date in a product is this one.
    software, context : str
        Exact version of this package, and the context.
    target : str
        Text of the target file.
    references : str
        URL that reference files are mirrored from.
    items : tuple of Item
        Every candidate, sorted by dataset.
    digest : str
        SHA-256 over all of the above; empty until `seal`.
    """

    created: str
    software: str
    context: str
    target: str
    references: str
    items: tuple[Item, ...]
    digest: str = ""


def seal(plan: Plan) -> Plan:
    """Sort the items by dataset and set the digest."""
    ordered = replace(plan, items=tuple(sorted(plan.items, key=lambda item: item.dataset)), digest="")
    return replace(ordered, digest=hashlib.sha256(_canonical(_body(ordered))).hexdigest())


def to_bytes(plan: Plan) -> bytes:
    """Write a sealed plan as canonical JSON."""
    return _canonical({"kind": "plan", "schema": SCHEMA, "digest": plan.digest, "plan": _body(plan)})


def from_bytes(data: bytes, *, name: str) -> Plan:
    """Read a plan and check its digest.

    Raises
    ------
    PlanError
        The bytes are no plan, are of an unknown schema, or do not have the digest they claim.
    """
    try:
        record = json.loads(data)
        kind, schema, digest, body = (record[key] for key in ("kind", "schema", "digest", "plan"))
    except (ValueError, KeyError, TypeError) as error:
        raise errors.PlanError(f"{name} is not a plan ({error}). Run `reprocess plan` again.") from error
    if kind != "plan" or schema != SCHEMA:
        raise errors.PlanError(f"{name} is a {kind} of schema {schema}, not a plan of schema {SCHEMA}. Plan again.")
    if hashlib.sha256(_canonical(body)).hexdigest() != digest:
        raise errors.PlanError(f"{name} was edited: its content does not have the digest {digest[:12]}. Plan again.")
    return Plan(**{**body, "items": tuple(map(_item, body["items"]))}, digest=digest)


def counts(items: Iterable[Item]) -> dict[str, dict[str, int]]:
    """Count candidates by verdict, by reason, by instrument and by action; for reports."""
    every = tuple(items)
    return {
        "verdict": dict(sorted(Counter(item.verdict.state for item in every).items())),
        "reason": dict(sorted(Counter(_label(reason) for item in every for reason in item.verdict.reasons).items())),
        "instrument": dict(sorted(Counter(str(item.entry.header.get("INSTRUME", "?")) for item in every).items())),
        "action": dict(sorted(Counter(item.failure_class or item.action for item in every).items())),
    }


def _label(reason: Reason) -> str:
    return f"{reason.kind}: {reason.reference_type}" if reason.reference_type else reason.kind


def _body(plan: Plan) -> dict[str, Any]:
    body = asdict(plan)
    del body["digest"]
    return body


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _item(body: dict[str, Any]) -> Item:
    verdict = body["verdict"]
    shape = body["entry"]["sci_shape"]
    return Item(
        **{
            **body,
            "entry": CatalogueEntry(**{**body["entry"], "sci_shape": None if shape is None else tuple(shape)}),
            "verdict": Verdict(**{**verdict, "reasons": tuple(Reason(**reason) for reason in verdict["reasons"])}),
            "references": tuple(ReferenceFile(**reference) for reference in body["references"]),
            "fingerprint": fingerprint.from_record(body["fingerprint"]),
        }
    )
