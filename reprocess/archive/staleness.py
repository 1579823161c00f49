"""Staleness: compares what a product was made with and what the target asks for; no input or output.

Products of ours carry a fingerprint, and the comparison is exact. Products made by somebody else carry keywords only:
each R_ keyword tells one reference file, CAL_VER the software. R_ weighs more than CRDS_CTX, which tells no more than
the context of the last stage that ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from reprocess import errors
from reprocess.archive import fingerprint, recipe
from reprocess.archive.partition import Pointer
from reprocess.calibration.step import Step
from reprocess.exposure import CatalogueEntry, Fingerprint, Header, Reason, StepFingerprint, Verdict

PACKAGE = "reprocess"

# Types whose keyword is not R_ and their first six letters (keyword tables of the JWST data models).
_IRREGULAR = {
    "badshutter": "R_MSAOPE",
    "chromcorr": "R_CHRCOR",
    "cubepar": "R_CUBPAR",
    "emicorr": "R_MIREMI",
    "extract1d": "R_EXTR1D",
    "filteroffset": "R_FILOFF",
    "fringefreq": "R_FRIFRQ",
    "mrsptcorr": "R_MRSPT",
    "mrsxartcorr": "R_MRSXAR",
    "msaoper": "R_MSAOPE",
    "pastasoss": "R_PSTSOS",
    "pathloss": "R_PTHLOS",
    "sirskernel": "R_SIRSKL",
    "speckernel": "R_SPKERN",
    "specprofile": "R_SPPROF",
    "spectrace": "R_SPTRAC",
    "specwcs": "R_SPCWCS",
    "straymask": "R_STRAY",
    "throughput": "R_THRPUT",
    "trapdensity": "R_TRPDEN",
    "trappars": "R_TRPPAR",
    "tsophot": "R_TSPHOT",
    "wavecorr": "R_WAVCOR",
    "wavelengthrange": "R_WAVRAN",
    "wavemap": "R_WAVMAP",
}


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


@dataclass(frozen=True)
class Wanted:
    """What the target asks of one dataset.

    Attributes
    ----------
    fingerprint : Fingerprint
    steps : tuple of Step
        Steps that run, in their order.
    references : mapping of type to str or None
        File name that each type is selected to.
    parameters : mapping of step to mapping of parameter to value
    software : str
        Version of this package.
    """

    fingerprint: Fingerprint
    steps: tuple[Step, ...]
    references: Mapping[str, str | None]
    parameters: Mapping[str, Mapping[str, object]]
    software: str


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
        Products of somebody else; judged when we have published nothing.
    """
    first = wanted.steps[0].name
    if pointer is not None:
        try:
            published = read_pointer(pointer)
        except errors.DamagedRecord as error:
            return Verdict(dataset, "unknown", (Reason("undecidable", first, old=str(error)),), first)
        found = judge_published(dataset, published, wanted)
        if not pointer.missing:
            return found
        gone = f"gone from the published version: {', '.join(pointer.missing)}"
        reason = Reason("product-damaged", first, old=gone)
        return Verdict(dataset, "stale", (reason, *(found.reasons if found.state == "stale" else ())), first)
    if products:
        return judge_foreign(dataset, products, wanted)
    return Verdict(dataset, "missing", (Reason("product-missing", first),), first)


def judge_published(dataset: str, published: Published, wanted: Wanted) -> Verdict:
    """Compare a fingerprint of ours with the target's: the first difference is where work restarts."""
    old, new = published.fingerprint, wanted.fingerprint
    if not old or old[-1].digest != new[-1].digest:
        if old and old[0].digest == new[0].digest and recipe.digest(new) in published.equivalents:
            return Verdict(dataset, "current")
        restart = _restart(old, new)
        reasons = _first_of_each(_differences(old, new)) or (Reason("software", restart, new="another order of steps"),)
        return Verdict(dataset, "stale", reasons, restart)
    names = _first_of_each(_renamed(old, new))
    return Verdict(dataset, "stale-in-name-only" if names else "current", names)


def judge_foreign(dataset: str, products: Sequence[CatalogueEntry], wanted: Wanted) -> Verdict:
    """Judge products of somebody else by their keywords."""
    first = wanted.steps[0].name
    unreadable = [product for product in products if product.error is not None]
    if unreadable:
        reasons = tuple(Reason("product-damaged", first, old=product.error) for product in unreadable)
        return Verdict(dataset, "stale", reasons, first)
    headers = [product.header for product in products]
    if all(header.get("RPFPRINT") == wanted.fingerprint[-1].digest for header in headers):
        return Verdict(dataset, "current")
    if not all(_usable(header) for header in headers):
        text = "a product has none of CAL_VER, CRDS_CTX and the R_ keywords"
        return Verdict(dataset, "unknown", (Reason("undecidable", first, old=text),), first)
    reasons = _first_of_each(reason for header in headers for reason in _foreign_reasons(header, wanted))
    # The intermediate products of somebody else are not kept, so work always begins with the first step.
    return Verdict(dataset, "stale" if reasons else "current", reasons, first if reasons else None)


def reference_keyword(kind: str) -> str:
    """Header keyword that records the reference file of a type: six letters after ``R_``, irregular for some."""
    return _IRREGULAR.get(kind, f"R_{kind[:6].upper()}")


def reference_name(value: object) -> str | None:
    """Bare file name of an ``R_`` keyword's value; None for not applicable, whatever way it is written."""
    name = str(value).strip().removeprefix("crds://").rpartition("/")[2]
    return None if not name or str(value).strip().upper() in ("N/A", "NONE", "OMIT", "UNDEFINED") else name


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
    if old.parameters != new.parameters:
        versions = (" ".join(f"{name}={value}" for name, value in link.parameters) for link in (old, new))
        yield Reason("raw-changed", chain[1].step if len(chain) > 1 else new.step, None, *versions)


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


def _restart(old: Fingerprint, new: Fingerprint) -> str:
    """Return the first step to run: where the chains part, or the last one when the old chain only goes on further."""
    steps = [link.step for link in new if link.step != fingerprint.RAW]
    same = {link.digest for link in old}
    parted = (link.step for link in new if link.digest not in same and link.step != fingerprint.RAW)
    return next(parted, steps[-1])


def _assignment(name: str, value: str | None) -> str | None:
    return None if value is None else f"{name}={value}"


def _usable(header: Header) -> bool:
    return any(key in ("CAL_VER", "CRDS_CTX", "RPFPRINT") or key.startswith("R_") for key in header)


def _foreign_reasons(header: Header, wanted: Wanted) -> Iterator[Reason]:
    made_by = _software(header)
    asked_for = f"{PACKAGE} {wanted.software}"
    if made_by != asked_for:
        yield Reason("software", wanted.steps[0].name, None, made_by, asked_for)
    for step in wanted.steps:
        skipped = wanted.parameters.get(step.name, {}).get("skip") is True
        if skipped and header.get(step.keyword) == "COMPLETE":
            yield Reason("parameter", step.name, None, "skip=false", "skip=true")
        for kind in () if skipped else step.reference_types:
            keyword = reference_keyword(kind)
            if keyword not in header:
                continue  # nothing was recorded, so nothing can be said
            old, new = reference_name(header[keyword]), wanted.references.get(kind)
            if old != new:
                yield Reason("reference", step.name, kind, old, new)


def _software(header: Header) -> str:
    """Name the software that made a product, with equal versions written alike."""
    if "RPVERS" in header:
        return f"{PACKAGE} {_normal(header['RPVERS'])}"
    return f"CAL_VER {_normal(header['CAL_VER'])}" if "CAL_VER" in header else "unknown software"


def _normal(version: object) -> str:
    try:
        return str(Version(str(version)))
    except InvalidVersion:
        return str(version)


def _first_of_each(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Keep one reason for a file that several steps read, with the first of these steps."""
    firsts: dict[object, Reason] = {}
    for reason in reasons:
        what = reason.step if reason.kind != "reference" else reason.reference_type
        firsts.setdefault((reason.kind, what, reason.old, reason.new), reason)
    return tuple(firsts.values())
