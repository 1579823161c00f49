"""Small plans and outcomes, built in one line each, for tests of what is said about a campaign."""

from __future__ import annotations

from collections.abc import Mapping

from reprocess.exposure import CatalogueEntry, Outcome, Reason, Settled, Verdict
from reprocess.planning.plan import Item, Plan, seal

VERSION = "0123456789abcdef0123-1"
SUPERBIAS = Reason("reference", "superbias", "superbias", "superbias_1.fits", "superbias_2.fits")


def item(
    dataset: str,
    *reasons: Reason,
    action: str = "calibrate",
    state: str = "stale",
    mode: tuple[str, str] = ("NIRCAM", "NRC_IMAGE"),
    failure: tuple[str, str] = ("", ""),
) -> Item:
    """Build one candidate."""
    header = {"INSTRUME": mode[0], "EXP_TYPE": mode[1]}
    entry = CatalogueEntry(dataset, "uncal", "memory://raw", f"{dataset}_uncal.fits", 10, "etag", header)
    verdict = Verdict(dataset, state, reasons, reasons[0].step if reasons else None)
    failure_class, message = failure
    return Item(entry, verdict, action, version=VERSION, failure_class=failure_class, failure=message)


def plan(*items: Item, target: str = 'context = "jwst_1.pmap"', software: str = "0.1.0") -> Plan:
    """Build a sealed plan; items with the action ``none`` are settled."""
    work = tuple(item for item in items if item.action != "none")
    rest = tuple(settled(item) for item in items if item.action == "none")
    return seal(Plan("2026-02-03T04:05:06.000", software, "jwst_1.pmap", target, "memory://references", work, rest))


def settled(item: Item) -> Settled:
    """Build a candidate that nothing is to be done for."""
    header = item.entry.header
    return Settled(
        item.verdict.state,
        item.verdict.reasons,
        header.get("INSTRUME", ""),
        header.get("EXP_TYPE", ""),
        (item.dataset,),
    )


def outcome(
    dataset: str,
    outcome_class: str = "published",
    message: str = "",
    *,
    seconds: Mapping[str, float] | None = None,
    attempt: int = 1,
    peak_bytes: int = 0,
) -> Outcome:
    """Build how the one unit of a dataset ended."""
    return Outcome(
        unit=f"{dataset}:whole",
        dataset=dataset,
        outcome_class=outcome_class,
        message=message,
        attempt=attempt,
        version=VERSION if outcome_class == "published" else "",
        worker="worker-0",
        seconds=seconds or {},
        bytes_read=1000,
        bytes_written=2000,
        peak_bytes=peak_bytes,
    )
