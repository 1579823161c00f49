"""Plans: what will be done to every candidate, frozen and named by a digest of its content.

`run` takes nothing but a digest, so what was shown is what runs.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from reprocess import errors
from reprocess.archive import fingerprint as fingerprints
from reprocess.archive import recipe as recipes
from reprocess.exposure import CatalogueEntry, Fingerprint, Reason, ReferenceFile, Settled, Verdict
from reprocess.planning import forecast as forecasts
from reprocess.planning.forecast import Forecast

SCHEMA = 3


@dataclass(frozen=True)
class Item:
    """One candidate of a plan: a dataset, the verdict on it, and what is to be done.

    Attributes
    ----------
    entry : CatalogueEntry
        The raw object as it was scanned, with the header keywords that calibration needs.
    verdict : Verdict
    action : str
        ``calibrate`` (units of work exist), or ``fail`` (known before any work: `failure_class` and `failure` say why).
    references : tuple of ReferenceFile
        Every reference file that the steps read, sorted by type.
    parameters : mapping of step to mapping of parameter to value
        Every parameter of every step, defaults included.
    recipe : str
        What decides the product apart from the raw object, see `recipe.text`; empty if no unit exists.
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
    recipe: str = ""
    version: str = ""
    rows_per_slab: int = 0
    failure_class: str = ""
    failure: str = ""

    @property
    def dataset(self) -> str:
        """Root name of the Level 1b file."""
        return self.entry.dataset

    @functools.cached_property
    def fingerprint(self) -> Fingerprint:
        """What the target gives, step by step; made when it is asked for, because most of a plan is never asked."""
        return recipes.chain(fingerprints.raw_version(self.entry), self.recipe) if self.recipe else ()


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
        Every candidate that something is to be done for, or that fails, sorted by dataset.
    settled : tuple of Settled
        All other candidates.
    where : str
        Expression that chose the candidates; empty when all exposures are.
    not_selected : int
        How many exposures it left out. With the candidates they are all that the catalogue has.
    digest : str
        SHA-256 over all of the above; empty until `seal`.
    forecast : Forecast or None
        What the work will cost. Kept beside what is digested: it binds nobody, and depends on the machine it was made
        on, while the same work has the same digest everywhere.
    """

    created: str
    software: str
    context: str
    target: str
    references: str
    items: tuple[Item, ...]
    settled: tuple[Settled, ...] = ()
    where: str = ""
    not_selected: int = 0
    digest: str = ""
    forecast: Forecast | None = None

    @property
    def candidates(self) -> int:
        """How many exposures were judged."""
        return len(self.items) + sum(len(each.datasets) for each in self.settled)

    def verdicts(self) -> Iterator[Verdict]:
        """Every candidate's verdict, those that something is to be done for first."""
        yield from (item.verdict for item in self.items)
        for each in self.settled:
            yield from (Verdict(dataset, each.state, each.reasons) for dataset in each.datasets)


def seal(plan: Plan) -> Plan:
    """Sort what the plan holds, and set the digest."""
    ordered = replace(
        plan,
        items=tuple(sorted(plan.items, key=lambda item: item.dataset)),
        settled=tuple(
            sorted(
                (replace(each, datasets=tuple(sorted(each.datasets))) for each in plan.settled),
                key=lambda each: each.datasets,
            )
        ),
        digest="",
    )
    return replace(ordered, digest=hashlib.sha256(_canonical(_body(ordered))).hexdigest())


def to_bytes(plan: Plan) -> bytes:
    """Write a sealed plan as canonical JSON; what many exposures have in common is written once."""
    told = forecasts.to_record(plan.forecast) if plan.forecast else None
    return _canonical({"kind": "plan", "schema": SCHEMA, "digest": plan.digest, "plan": _body(plan), "forecast": told})


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from looking at millions of new objects again and again: a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@_uncollected()
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
        raise errors.PlanError(
            f"{name} is a {kind} of schema {schema}, and this version reads plans of schema {SCHEMA}. Plan again."
        )
    if not _has_digest(data, body, digest):
        raise errors.PlanError(f"{name} was edited: its content does not have the digest {digest[:12]}. Plan again.")
    try:
        told = forecasts.from_record(record["forecast"]) if record.get("forecast") else None
    except (TypeError, AttributeError) as error:
        raise errors.PlanError(f"{name} was edited: its forecast is malformed ({error}). Plan again.") from error
    return Plan(**_content(body), digest=digest, forecast=told)


def _content(body: dict[str, Any]) -> dict[str, Any]:
    shared = [_recipe(each) for each in body.pop("recipes")]
    items = tuple(_item(each, shared) for each in body["items"])
    return {**body, "items": items, "settled": tuple(map(_settled, body["settled"]))}


def _has_digest(data: bytes, body: object, digest: object) -> bool:
    """Whether a plan has the digest it claims: as `to_bytes` wrote it, or laid out in another way.

    To write a plan once more takes longer than everything else that reading it does. The slice that is digested reaches
    to the end of the record, so nothing that follows can stand for it in what was parsed.
    """
    head, tail = b',"plan":', b',"schema":%d}' % SCHEMA
    begin = data.find(head) + len(head)
    written = hashlib.sha256(memoryview(data)[begin : -len(tail)]).hexdigest() if data.endswith(tail) else ""
    return written == digest or hashlib.sha256(_canonical(body)).hexdigest() == digest


def counts(plan: Plan) -> dict[str, dict[str, int]]:
    """Count candidates by verdict, reason, instrument, mode, restart step and action; and exposures by selection."""
    found: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
    for item in plan.items:
        header = item.entry.header
        _count(found, item.verdict, str(header.get("INSTRUME", "?")), str(header.get("EXP_TYPE", "?")), 1)
        found["action"][item.failure_class or item.action] += 1
    for each in plan.settled:
        verdict = Verdict("", each.state, each.reasons)
        _count(found, verdict, each.instrument or "?", each.exp_type or "?", len(each.datasets))
        found["action"]["none"] += len(each.datasets)
    found["selection"].update({"selected": plan.candidates, "not selected": plan.not_selected})
    return {name: dict(sorted(some.items())) for name, some in found.items()}


COUNTED = ("verdict", "reason", "instrument", "mode", "restart", "action", "selection")


def _count(found: Mapping[str, Counter[str]], verdict: Verdict, instrument: str, exp_type: str, number: int) -> None:
    found["verdict"][verdict.state] += number
    found["instrument"][instrument] += number
    found["mode"][exp_type] += number
    if verdict.restart:
        found["restart"][verdict.restart] += number
    for label in dict.fromkeys(map(_label, verdict.reasons)):
        found["reason"][label] += number


def _label(reason: Reason) -> str:
    return f"{reason.kind}: {reason.reference_type}" if reason.reference_type else reason.kind


def _body(plan: Plan) -> dict[str, Any]:
    shared: dict[str, int] = {}
    items = [_item_body(item, shared) for item in plan.items]
    plain = {
        name: getattr(plan, name)
        for name in ("created", "software", "context", "target", "references", "where", "not_selected")
    }
    return {
        **plain,
        "recipes": [json.loads(text) for text in shared],
        "items": items,
        "settled": [asdict(each) for each in plan.settled],
    }


def _item_body(item: Item, numbers: dict[str, int]) -> dict[str, Any]:
    """Write an item; what it shares with others becomes the number of a recipe."""
    shared = {
        "parameters": item.parameters,
        "references": [asdict(file) for file in item.references],
        "recipe": item.recipe,
    }
    entry = item.entry
    return {
        "entry": {name: getattr(entry, name) for name in CatalogueEntry.__dataclass_fields__},
        "verdict": asdict(item.verdict),
        "recipe": numbers.setdefault(json.dumps(shared, sort_keys=True), len(numbers)),
        **{name: getattr(item, name) for name in ("action", "version", "rows_per_slab", "failure_class", "failure")},
    }


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _recipe(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "parameters": body["parameters"],
        "references": tuple(ReferenceFile(**reference) for reference in body["references"]),
        "recipe": body["recipe"],
    }


def _item(body: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> Item:
    shape = body["entry"]["sci_shape"]
    shared = known[body["recipe"]]
    entry = CatalogueEntry(**{**body["entry"], "sci_shape": None if shape is None else tuple(shape)})
    return Item(
        entry=entry,
        verdict=_verdict(body["verdict"]),
        references=shared["references"],
        parameters=shared["parameters"],
        recipe=shared["recipe"],
        **{name: body[name] for name in ("action", "version", "rows_per_slab", "failure_class", "failure")},
    )


def _verdict(body: Mapping[str, Any]) -> Verdict:
    return Verdict(**{**body, "reasons": tuple(Reason(**reason) for reason in body["reasons"])})


def _settled(body: Mapping[str, Any]) -> Settled:
    reasons = tuple(Reason(**reason) for reason in body["reasons"])
    return Settled(**{**body, "reasons": reasons, "datasets": tuple(body["datasets"])})
