"""Judgement of products that somebody else made, by what their headers say.

Each R_ keyword tells one reference file, each S_ keyword whether a step ran, CAL_VER the software. R_ weighs more than
CRDS_CTX, which tells no more than the context of the last stage that ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reprocess.archive import software
from reprocess.archive.stage2 import Later
from reprocess.archive.wanted import Wanted
from reprocess.calibration import jump
from reprocess.calibration.step import Step
from reprocess.exposure import DETECTOR1, IMAGE2, CatalogueEntry, Header, Reason, Verdict

PACKAGE = "reprocess"
OFFICIAL = "jwst"

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

# Steps that the official pipeline runs on every exposure that has their reference: SKIPPED was somebody's wish.
_ALWAYS_RUN = frozenset({"dq_init", "saturation", "superbias", "linearity"})
# Steps that may find their reference of no use, but ask for it before: SKIPPED without was a wish.
_ASK_FIRST = frozenset({"dark_current", "ipc", "reset"})
_NO_FILE = frozenset({"", "N/A", "NONE", "OMIT", "UNDEFINED", "NOT APPLICABLE"})


def judge(dataset: str, products: Sequence[CatalogueEntry], wanted: Wanted) -> Verdict:
    """Judge what stage 1 had a part in.

    Parameters
    ----------
    dataset : str
    products : sequence of CatalogueEntry
        Rate products; or, where there are none, products of stage 2, which keep the keywords of stage 1.
    wanted : Wanted
    """
    first = wanted.steps[0].name
    unreadable = [product for product in products if product.error is not None]
    if unreadable:
        damaged = tuple(Reason("product-damaged", first, old=product.error) for product in unreadable)
        return Verdict(dataset, "stale", damaged, DETECTOR1)
    headers = [product.header for product in products]
    if all(_is_ours(header, wanted) for header in headers):
        return Verdict(dataset, "current")
    if not all(_usable(header) for header in headers):
        text = "a product has none of CAL_VER, CRDS_CTX and the R_ keywords"
        return Verdict(dataset, "unknown", (Reason("undecidable", first, old=text),), DETECTOR1)
    found = [reason for header in headers for reason in _reasons(header, wanted)]
    if not found and not all(_records_files(header, wanted) for header in headers):
        text = "a product names none of the reference files that it was made with"
        found = [Reason("undecidable", first, old=text)]
    return _verdict(dataset, found, DETECTOR1, wanted)


def judge_later(
    dataset: str, before: Verdict, products: Sequence[CatalogueEntry], wanted: Wanted, *, alone: bool
) -> Verdict:
    """Judge products of stage 2, given the verdict on the rate product that they are made of.

    Parameters
    ----------
    dataset : str
    before : Verdict
        On stage 1. If it has to run again, so has stage 2.
    products : sequence of CatalogueEntry
        Products of stage 2.
    wanted : Wanted
    alone : bool
        Whether `before` was read off the same products, so that what they say of stage 1 has been told.
    """
    if not wanted.later.steps:
        return before
    last = wanted.later.steps[-1].name
    reasons = [Reason("product-damaged", last, old=product.error) for product in products if product.error is not None]
    for header in (product.header for product in products if product.error is None):
        if not (alone or before.restart or _is_ours(header, wanted)):
            # CAL_VER is that of the last stage, so only the files tell of which rate product it was made.
            reasons += _other_files(header, wanted)
        reasons += _later_reasons(header, wanted.later)
    if before.restart:
        told = tuple(reason for reason in first_of_each(reasons) if reason not in before.reasons)
        return Verdict(dataset, before.state, (*before.reasons, *told), before.restart)
    found = _verdict(dataset, reasons, IMAGE2, wanted)
    return before if found.state == "current" else found


def _verdict(dataset: str, found: Iterable[Reason], restart: str, wanted: Wanted) -> Verdict:
    reasons = first_of_each(found)
    real = tuple(reason for reason in reasons if not _is_renamed(reason, wanted))
    if not real:
        return Verdict(dataset, "stale-in-name-only" if reasons else "current", reasons)
    known = any(reason.kind != "undecidable" for reason in real)
    return Verdict(dataset, "stale" if known else "unknown", real, restart)


def _is_renamed(reason: Reason, wanted: Wanted) -> bool:
    """Whether a file has another name and the same payload."""
    old, new, kind = reason.old, reason.new, reason.reference_type
    return reason.kind == "reference" and bool(old and new and kind and wanted.is_same(kind, old, new))


def reference_keyword(kind: str) -> str:
    """Header keyword that records the reference file of a type: six letters after ``R_``, irregular for some."""
    return _IRREGULAR.get(kind, f"R_{kind[:6].upper()}")


def reference_name(value: object) -> str | None:
    """Bare file name of an ``R_`` keyword's value; None for no file, whatever way it is written."""
    text = str(value).strip().removeprefix("crds://")
    if text.upper() in _NO_FILE or text.upper().startswith("NOT FOUND"):
        return None
    return text.rpartition("/")[2] or None


def first_of_each(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Keep one reason for a file that several steps read, with the first of these steps."""
    firsts: dict[object, Reason] = {}
    for reason in reasons:
        what = reason.step if reason.kind != "reference" else reason.reference_type
        firsts.setdefault((reason.kind, what, reason.old, reason.new), reason)
    return tuple(firsts.values())


def _is_ours(header: Header, wanted: Wanted) -> bool:
    """Whether it carries the fingerprint that the target gives."""
    return header.get("RPFPRINT") == wanted.fingerprint[-1].digest


def _usable(header: Header) -> bool:
    return any(key in ("CAL_VER", "CRDS_CTX", "RPFPRINT") or key.startswith("R_") for key in header)


def _reasons(header: Header, wanted: Wanted) -> Iterator[Reason]:
    """Yield what the header of a product says that the target does not, stage 1 only."""
    if "RPVERS" in header:
        yield from _our_software(header, wanted)
    else:
        yield from _official_software(header, [step for step in wanted.steps if not _is_skipped(step, wanted)])
    for step in wanted.steps:
        skipped = _is_skipped(step, wanted)
        if skipped and _status(header, step) == "COMPLETE":
            yield Reason("parameter", step.name, None, "skip=false", "skip=true")
        if not skipped and _status(header, step) == "SKIPPED" and _by_wish(header, step, wanted):
            yield Reason("parameter", step.name, None, "skip=true", "skip=false")
    yield from _other_files(header, wanted)


def _is_skipped(step: Step, wanted: Wanted) -> bool:
    return wanted.parameters.get(step.name, {}).get("skip") is True


def _status(header: Header, step: Step) -> str:
    return str(header.get(step.keyword, "")).strip().upper()


def _by_wish(header: Header, step: Step, wanted: Wanted) -> bool:
    """Whether a step was skipped because somebody wanted it so; some steps skip exposures by themselves."""
    if not any(wanted.references.get(kind) for kind in step.reference_types):
        return False
    if step.name == jump.STEP.name:
        groups = header.get("NGROUPS")
        return isinstance(groups, int) and groups >= jump.FEWEST_GROUPS
    asked = any(reference_keyword(kind) in header for kind in step.reference_types)
    return step.name in _ALWAYS_RUN or (step.name in _ASK_FIRST and not asked)


def _other_files(header: Header, wanted: Wanted) -> Iterator[Reason]:
    """Yield the files of stage 1 that a product was not made with."""
    for step in wanted.steps:
        if not _is_skipped(step, wanted):
            for kind in step.reference_types:
                yield from _other_file(header, step, kind, wanted.references.get(kind))


def _records_files(header: Header, wanted: Wanted) -> bool:
    """Whether a header names any of the files that stage 1 reads, or there are none."""
    read = [kind for kind, name in wanted.references.items() if name is not None]
    return not read or any(reference_keyword(kind) in header for kind in read)


def _other_file(header: Header, step: Step, kind: str, new: str | None) -> Iterator[Reason]:
    keyword = reference_keyword(kind)
    if keyword in header:
        old = reference_name(header[keyword])
        if old != new:
            yield Reason("reference", step.name, kind, old, new)
    elif new is not None and _status(header, step) == "COMPLETE":
        text = f"its header has no {keyword}, so nobody knows which {kind} file was read"
        yield Reason("undecidable", step.name, kind, old=text)


def _later_reasons(header: Header, later: Later) -> Iterator[Reason]:
    """Yield what a product of stage 2 says that stage 2 would not, as far as stage 2 alone decides it."""
    if "RPVERS" not in header and "CAL_VER" in header:
        yield from _official_software(header, later.steps)
    for step in later.steps:
        for kind in step.reference_types:
            old = reference_name(header.get(reference_keyword(kind), ""))
            if old is not None and _status(header, step) == "SKIPPED":
                continue  # it was selected, and nobody read it
            if kind not in later.undecided:
                yield from _other_file(header, step, kind, later.references.get(kind))
            elif old is not None:
                yield Reason("undecidable", step.name, kind, old=later.undecided[kind])


def _our_software(header: Header, wanted: Wanted) -> Iterator[Reason]:
    old, new = software.normal(header["RPVERS"]), software.normal(wanted.software)
    if old != new:
        yield Reason("software", wanted.steps[0].name, None, f"{PACKAGE} {old}", f"{PACKAGE} {new}")


def _official_software(header: Header, steps: Sequence[Step]) -> Iterator[Reason]:
    """Yield the steps that changed since the release that made a product."""
    version = software.normal(header.get("CAL_VER", "of an unknown release"))
    changed = software.changed_since(version)
    new = f"{OFFICIAL} {software.OFFICIAL}"
    if changed is None:
        known = f"releases {software.OLDEST} to {software.OFFICIAL}"
        text = f"it was made by {OFFICIAL} {version}, and changes of software are known of {known}"
        yield Reason("undecidable", steps[0].name, old=text)
        return
    for step in steps:
        if step.name in changed and _status(header, step) != "SKIPPED":
            yield Reason("software", step.name, None, f"{OFFICIAL} {version}", new)
