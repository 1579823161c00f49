"""The gate: whether readers may see a version, by how it differs from theirs and by what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from reprocess.comparison.compare import Findings, is_place
from reprocess.target import Budget

Verdict = Literal["identical", "within", "outside"]

_NAMED = 5  # keywords in a sentence

# Key of the budget, extension, what is measured of it, and how to say it.
_MEASURES: tuple[tuple[str, str, Callable[[Mapping[str, Any]], float | None], str], ...] = (
    ("changed_fraction", "SCI", lambda found: found["changed"] / found["pixels"], "{} of the pixels changed"),
    (
        "nan_fraction",
        "SCI",
        lambda found: (found["nan_new"] - found["nan_old"]) / found["pixels"],
        "{} of the pixels lost their value",
    ),
    ("median_sigma", "SCI", lambda found: found["median_sigma"], "the median of the differences is {}"),
    ("mad_sigma", "SCI", lambda found: found["mad_sigma"], "the scatter of the differences is {}"),
    ("max_sigma", "SCI", lambda found: found["max_sigma"], "the largest difference is {}"),
    ("err_median", "ERR", lambda found: found["median_sigma"], "the median of the differences of the errors is {}"),
    ("dq_fraction", "DQ", lambda found: found["changed"] / found["pixels"], "{} of the pixels have other flags"),
)


def decide(findings: Findings, budget: Budget) -> tuple[Verdict, tuple[str, ...]]:
    """Decide on a version.

    Parameters
    ----------
    findings : Findings
        How it differs from the published one.
    budget : Budget
        What was expected of its mode.

    Returns
    -------
    str
        ``identical``, ``within`` the budget, or ``outside`` of it.
    tuple of str
        One sentence for each limit that was passed.
    """
    if findings.is_empty:
        return "identical", ()
    reasons = (*_of_layout(findings, budget), *_of_pixels(findings, budget), *_of_keywords(findings, budget))
    return ("outside" if reasons else "within"), reasons


def _of_layout(findings: Findings, budget: Budget) -> Iterator[str]:
    if budget.shape:
        return
    for name, record in findings.extensions.items():
        if "shape_old" in record:
            yield f"{name} was {_layout(record, 'old')} and is {_layout(record, 'new')}; the budget does not allow it."


def _layout(record: Mapping[str, Any], side: str) -> str:
    shape, kind = record[f"shape_{side}"], record[f"type_{side}"]
    return f"{' x '.join(map(str, shape))} of type {kind}" if shape else "not there"


def _of_pixels(findings: Findings, budget: Budget) -> Iterator[str]:
    for name, record in findings.extensions.items():
        if "shape_old" in record:
            continue
        for key, extension, measure, what in _MEASURES:
            allowed = getattr(budget, key)
            if allowed is None or name.rpartition("/")[2] != extension:
                continue
            value = measure(record)
            if value is not None and (value if key == "nan_fraction" else abs(value)) > allowed:
                yield f"{name}: {what.format(_amount(key, value))}; the budget allows {_amount(key, allowed)}."


def _amount(key: str, value: float) -> str:
    return f"{100 * value:.3g} %" if key.endswith("_fraction") else f"{value:.3g} ERR"


def _of_keywords(findings: Findings, budget: Budget) -> Iterator[str]:
    if findings.wcs_changed and not budget.wcs:
        names = [name for name in findings.keywords if is_place(name)]
        yield f"The place on the sky changed ({_listed(names)}); the budget does not allow it."
    if budget.keywords is not None:
        # Those of the place on the sky have a limit of their own.
        others = [name for name in findings.keywords if not is_place(name)]
        passed = [name for name in others if name.rpartition("/")[2] not in budget.keywords]
        if passed:
            yield f"Keywords changed: {_listed(passed)}; the budget does not allow it."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
