"""Fingerprints: what decided a product, step by step, as a chain of digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reprocess.calibration.step import Parameter, Step
from reprocess.exposure import CatalogueEntry, Fingerprint, ReferenceFile, StepFingerprint

RAW = "raw"
_RUN_KEY_LENGTH = 20


def raw_version(entry: CatalogueEntry) -> dict[str, str | int]:
    """Name the version of a Level 1b object: location, key, size and ETag."""
    return {"location": entry.location, "key": entry.key, "size": entry.size, "etag": entry.etag}


def fingerprint(
    raw: Mapping[str, str | int],
    steps: Sequence[Step],
    parameters: Mapping[str, Mapping[str, Parameter]],
    references: Mapping[str, ReferenceFile | None],
) -> Fingerprint:
    """Chain what decides the result of each step.

    Of a step that is skipped nothing counts but that it is skipped.

    Parameters
    ----------
    raw : mapping
        The version of the raw object, see `raw_version`.
    steps : sequence of Step
        Steps in the order in which they run.
    parameters : mapping of step to mapping of parameter to value
        Every parameter of every step, defaults included.
    references : mapping of type to ReferenceFile
        What each type is selected to; None, or left out, where there is no file.

    Returns
    -------
    tuple of StepFingerprint
        The pseudo step ``raw``, then one for each step. The last digest stands for the whole.
    """
    chain = [first(raw)]
    for step in steps:
        values = decisive_parameters(parameters[step.name])
        chosen = {kind: references.get(kind) for kind in used_types((step,), parameters)}
        files = tuple((kind, file.name, file.payload) for kind, file in chosen.items() if file is not None)
        chain.append(link(step.name, step.revision, _canonical_items(values), files, chain[-1].digest))
    return tuple(chain)


def decisive_parameters(values: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    """Return the parameters of a step that its result depends on."""
    return {"skip": True} if values.get("skip") is True else values


def used_types(steps: Sequence[Step], parameters: Mapping[str, Mapping[str, Parameter]]) -> tuple[str, ...]:
    """Return the reference types that steps read, sorted; those of skipped steps are not read."""
    running = (step for step in steps if parameters[step.name].get("skip") is not True)
    return tuple(sorted({kind for step in running for kind in step.reference_types}))


def version_name(raw: Mapping[str, str | int], chain: Fingerprint, incarnation: int = 1) -> str:
    """Name the version that work with these inputs writes: run key and incarnation."""
    return f"{run_key(raw, chain)}-{incarnation}"


def run_key(raw: Mapping[str, str | int], chain: Fingerprint) -> str:
    """Name inputs: the version of the raw object, and what the target gives."""
    return _digest({"raw": dict(raw), "fingerprint": chain[-1].digest})[:_RUN_KEY_LENGTH]


def to_record(chain: Fingerprint) -> list[dict[str, Any]]:
    """Write a fingerprint as JSON values."""
    return [asdict(each) for each in chain]


def from_record(chain: Sequence[Mapping[str, Any]]) -> Fingerprint:
    """Read a fingerprint from JSON values.

    Raises
    ------
    KeyError, TypeError, ValueError
        The values are no fingerprint.
    """
    return tuple(
        StepFingerprint(
            step=str(each["step"]),
            revision=int(each["revision"]),
            parameters=tuple((str(name), str(value)) for name, value in each["parameters"]),
            references=tuple((str(kind), str(name), str(payload)) for kind, name, payload in each["references"]),
            digest=str(each["digest"]),
        )
        for each in chain
    )


def first(raw: Mapping[str, str | int]) -> StepFingerprint:
    """Make the link that a chain begins with: the version of the raw object."""
    return link(RAW, 0, _canonical_items(raw), (), "")


def link(
    step: str,
    revision: int,
    parameters: tuple[tuple[str, str], ...],
    files: tuple[tuple[str, str, str], ...],
    before: str,
) -> StepFingerprint:
    """Make the link of a step, after the digest of the one before it."""
    return OpenLink.of(step, revision, parameters, files).after(before)


@dataclass(frozen=True, slots=True)
class OpenLink:
    """A link that does not know yet which one is before it: what many exposures have in common is written once.

    Attributes
    ----------
    own : StepFingerprint
        Without its digest.
    rest : str
        What is digested, after the digest of the link before: a JSON object with its keys in order, of which
        ``before`` is the first.
    """

    own: StepFingerprint
    rest: str

    @classmethod
    def of(
        cls,
        step: str,
        revision: int,
        parameters: tuple[tuple[str, str], ...],
        files: tuple[tuple[str, str, str], ...],
    ) -> OpenLink:
        """Describe a step."""
        digested = {
            "step": step,
            "revision": revision,
            "parameters": parameters,
            "references": [(kind, payload) for kind, _, payload in files],
        }
        return cls(StepFingerprint(step, revision, parameters, files, ""), _canonical(digested)[1:])

    def after(self, before: str) -> StepFingerprint:
        """Close the link."""
        digest = hashlib.sha256(f'{{"before":"{before}",{self.rest}'.encode()).hexdigest()
        own = self.own
        return StepFingerprint(own.step, own.revision, own.parameters, own.references, digest)


def _canonical_items(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _canonical(values[name])) for name in sorted(values))


def _digest(value: object) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


def _canonical(value: object) -> str:
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
