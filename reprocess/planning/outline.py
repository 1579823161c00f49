"""What a plan comes to, in a few numbers: so that a list of plans needs not read each of them whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from reprocess import errors
from reprocess.formats import records
from reprocess.planning.plan import Plan

KIND, SCHEMA = "outline", 1


@dataclass(frozen=True, slots=True)
class Outline:
    """What a plan comes to.

    Attributes
    ----------
    digest, created, context, software : str
        Those of the plan.
    candidates : int
        Exposures that were judged.
    work : int
        Candidates that units of work exist for.
    failing : mapping of str to int
        Candidates that fail before any work, by class.
    where : str
        Expression that chose the candidates; empty when all exposures are.
    """

    digest: str
    created: str
    context: str
    software: str
    candidates: int
    work: int
    failing: Mapping[str, int] = field(default_factory=dict)
    where: str = ""


def outline(plan: Plan) -> Outline:
    """Sum up a sealed plan."""
    failing = Counter(item.failure_class for item in plan.items if item.action == "fail")
    return Outline(
        digest=plan.digest,
        created=plan.created,
        context=plan.context,
        software=plan.software,
        candidates=plan.candidates,
        work=len(plan.items) - failing.total(),
        failing=dict(sorted(failing.items())),
        where=plan.where,
    )


def key(digest: str) -> str:
    """Where the outline of a plan is."""
    return f"campaigns/{digest[:16]}/outline.json"


def to_bytes(made: Outline) -> bytes:
    """Write an outline as canonical JSON."""
    return records.dumps(KIND, SCHEMA, asdict(made))


def from_bytes(data: bytes, *, name: str) -> Outline:
    """Read an outline.

    Raises
    ------
    DamagedRecord
        The bytes are no outline of a known schema.
    """
    body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
    try:
        return Outline(**{word: value for word, value in body.items() if word not in ("kind", "schema")})
    except TypeError as error:
        raise errors.DamagedRecord(f"{name} is no whole outline: {error}. Delete it; the plan is read then.") from error
