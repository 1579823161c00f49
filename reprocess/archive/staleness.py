"""Staleness: compares what a product was made with and what the target asks for; no input or output.

Products of ours carry a fingerprint, and the comparison is exact. Products made by somebody else carry keywords only,
see `foreign`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from reprocess import errors
from reprocess.archive import fingerprint, foreign, keys, recipe
from reprocess.archive.foreign import first_of_each
from reprocess.archive.partition import Pointer
from reprocess.archive.wanted import Wanted
from reprocess.exposure import DETECTOR1, CatalogueEntry, Fingerprint, Reason, StepFingerprint, Verdict


@dataclass(frozen=True)
class Published:
    """What a pointer says of the version that readers see.

    Attributes
    ----------
    version : str
    software : str
        Version of this package that made it.
    context : str
    raw : mapping
        Version of the Level 1b object, see `fingerprint.raw_version`.
    fingerprint : Fingerprint
    equivalents : frozenset of str
        Digests of recipes that were proved to give the same science payload from this raw object.
    """

    version: str
    software: str
    context: str
    raw: Mapping[str, str | int]
    fingerprint: Fingerprint
    equivalents: frozenset[str] = frozenset()


def read_pointer(pointer: Pointer) -> Published:
    """Say what a pointer says.

    Raises
    ------
    DamagedRecord
        The record could not be read.
    """
    if pointer.error is not None:
        raise errors.DamagedRecord(pointer.error)
    try:
        made = recipe.chain(pointer.raw, pointer.recipe)
    except (KeyError, TypeError, ValueError) as error:
        raise errors.DamagedRecord(f"{pointer.key} has no usable fingerprint ({error}). Scan again.") from error
    return Published(
        version=pointer.version,
        software=pointer.software,
        context=pointer.context,
        raw=pointer.raw,
        fingerprint=made,
        equivalents=frozenset(pointer.equivalents),
    )


def judge(
    dataset: str, wanted: Wanted, *, pointer: Pointer | None = None, products: Sequence[CatalogueEntry] = ()
) -> Verdict:
    """Judge the products of one dataset.

    Parameters
    ----------
    dataset : str
    wanted : Wanted
        What the target asks for.
    pointer : Pointer, optional
        Our published version; it is judged when there is one.
    products : sequence of CatalogueEntry
        Products of somebody else. Of rate products, those that are beside a version of ours are left out; products of
        stage 2 are judged too, whoever made the rate product.
    """
    rates = [product for product in products if product.level in keys.PRODUCT_LEVELS]
    later = [product for product in products if product.level in keys.LATER_LEVELS]
    first = wanted.steps[0].name
    if pointer is not None:
        found = _judge_pointer(dataset, pointer, wanted)
    elif rates or later:
        found = foreign.judge(dataset, rates or later, wanted)
    else:
        found = Verdict(dataset, "missing", (Reason("product-missing", first),), DETECTOR1)
    if not later:
        return found
    return foreign.judge_later(dataset, found, later, wanted, alone=pointer is None and not rates)


def _judge_pointer(dataset: str, pointer: Pointer, wanted: Wanted) -> Verdict:
    """Judge what readers see of ours, by its record, by which of its files are there, and by what its manifest says."""
    first = wanted.steps[0].name
    try:
        published = read_pointer(pointer)
    except errors.DamagedRecord as error:
        return Verdict(dataset, "unknown", (Reason("undecidable", first, old=str(error)),), DETECTOR1)
    found = judge_published(dataset, published, wanted)
    gone = f"gone from the published version: {', '.join(pointer.missing)}" if pointer.missing else ""
    damage = "; ".join(filter(None, (gone, pointer.damage)))
    if not damage:
        return found
    reason = Reason("product-damaged", first, old=damage)
    return Verdict(dataset, "stale", (reason, *(found.reasons if found.state == "stale" else ())), DETECTOR1)


def judge_published(dataset: str, published: Published, wanted: Wanted) -> Verdict:
    """Compare a fingerprint of ours with the target's."""
    old, new = published.fingerprint, wanted.fingerprint
    if not old or old[-1].digest != new[-1].digest:
        if old and old[0].digest == new[0].digest and recipe.digest(new) in published.equivalents:
            return Verdict(dataset, "current")
        order = Reason("software", _parted(old, new), new="another order of steps")
        return Verdict(dataset, "stale", first_of_each(_differences(old, new)) or (order,), DETECTOR1)
    names = first_of_each(_renamed(old, new))
    return Verdict(dataset, "stale-in-name-only" if names else "current", names)


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version is the one a target names, or lies in the range it names.

    Raises
    ------
    TargetError
        `wanted` is neither a version nor a range of versions.
    """
    try:
        return Version(version) == Version(wanted)
    except InvalidVersion:
        pass
    try:
        return Version(version) in SpecifierSet(wanted, prereleases=True)
    except (InvalidSpecifier, InvalidVersion) as error:
        raise errors.TargetError(
            f"software = {wanted!r} is neither a version nor a range of versions. Write say 0.1.0 or >=0.1,<0.2."
        ) from error


def _differences(old: Fingerprint, new: Fingerprint) -> Iterator[Reason]:
    """Yield every difference between two fingerprints, in the order of the target's steps."""
    before = {link.step: link for link in old}
    for link in new:
        if link.step not in before:
            yield Reason("software", link.step, new=f"{link.step} revision {link.revision}")
        elif link.step == fingerprint.RAW:
            yield from _raw_difference(before[link.step], link, new)
        else:
            yield from _step_differences(before[link.step], link)
    for link in old:
        if link.step not in {present.step for present in new}:
            yield Reason("software", link.step, old=f"{link.step} revision {link.revision}")


def _raw_difference(old: StepFingerprint, new: StepFingerprint, chain: Fingerprint) -> Iterator[Reason]:
    then, now = dict(old.parameters), dict(new.parameters)
    changed = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    if changed:
        versions = (" ".join(f"{name}={_unquoted(values.get(name))}" for name in changed) for values in (then, now))
        yield Reason("raw-changed", chain[1].step if len(chain) > 1 else new.step, None, *versions)


def _unquoted(value: str | None) -> str:
    """Return a value of a fingerprint as people write it; an ETag has quotes of its own."""
    return "unknown" if value is None else value.replace("\\", "").strip('"')


def _step_differences(old: StepFingerprint, new: StepFingerprint) -> Iterator[Reason]:
    if old.revision != new.revision:
        revisions = (f"{link.step} revision {link.revision}" for link in (old, new))
        yield Reason("software", new.step, None, *revisions)
    then, now = dict(old.parameters), dict(new.parameters)
    for name in sorted(set(then) | set(now)):
        if then.get(name) != now.get(name):
            yield Reason("parameter", new.step, None, *(_assignment(name, values.get(name)) for values in (then, now)))
    yield from _reference_differences(old, new)


def _reference_differences(old: StepFingerprint, new: StepFingerprint) -> Iterator[Reason]:
    then = {kind: (name, payload) for kind, name, payload in old.references}
    now = {kind: (name, payload) for kind, name, payload in new.references}
    for kind in sorted(set(then) | set(now)):
        (old_name, old_payload), (new_name, new_payload) = then.get(kind, (None, None)), now.get(kind, (None, None))
        if old_payload != new_payload:
            yield Reason("reference", new.step, kind, old_name, new_name)


def _renamed(old: Fingerprint, new: Fingerprint) -> Iterator[Reason]:
    for before, after in zip(old, new, strict=False):
        for (kind, old_name, _), (_, new_name, _) in zip(before.references, after.references, strict=False):
            if old_name != new_name:
                yield Reason("reference", after.step, kind, old_name, new_name)


def _parted(old: Fingerprint, new: Fingerprint) -> str:
    """Return the first step that differs: where the chains part, or the last one when only the old chain goes on."""
    steps = [link.step for link in new if link.step != fingerprint.RAW]
    same = {link.digest for link in old}
    parted = (link.step for link in new if link.digest not in same and link.step != fingerprint.RAW)
    return next(parted, steps[-1])


def _assignment(name: str, value: str | None) -> str | None:
    return None if value is None else f"{name}={value}"
