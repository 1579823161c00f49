"""The benchmark of stage 1 as text and as a picture: what is asked for, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measurement

STEPS = ("saturation", "superbias", "refpix", "linearity", "dark_current", "jump", "ramp_fit")
OURS = ("read exposure", "read references", "write")
MEGABYTE = 1e6

TEN, HALF_HIT, LIKELY = "10 groups", "10 groups, 50% of pixels hit", "10 groups, LIKELY"
# What is measured, the case, the step (none: the whole), and how many times less than the official pipeline is asked.
RATIOS = (
    ("whole of stage 1, 5 groups", "5 groups", None, 15),
    ("whole of stage 1, 10 groups", TEN, None, 20),
    ("whole of stage 1, 20 groups", "20 groups", None, 15),
    ("jump, 10 groups", TEN, "jump", 40),
    ("ramp fit (OLS), 10 groups", TEN, "ramp_fit", 8),
    ("likelihood fit, 10 groups", LIKELY, "ramp_fit", 20),
)
PEAK_MB = 400
GROWTH = 2.0

Row = Sequence[object]
Cases = Mapping[str, Any]


def text(record: Mapping[str, Any]) -> str:
    """Write every case step by step, then what is asked for."""
    cases: Cases = record["cases"]
    parts = [_case(name, found) for name, found in cases.items()]
    title = ("CPU seconds, medians", "official", "ours", "official/ours", "asked")
    rows = [*_ratios(cases), *_peak(cases), *_growth(cases)]
    return "\n\n".join([*parts, measurement.table(title, rows)])


def _case(name: str, found: Mapping[str, Any]) -> str:
    ours, theirs = found["ours"], found.get("official", {"steps": {}})
    rest = sum(seconds for step, seconds in theirs["steps"].items() if step not in STEPS)
    left = sum(seconds for step, seconds in ours["steps"].items() if step not in (*STEPS, *OURS))
    rows: list[Row] = [(step, ours["steps"].get(step, 0.0), theirs["steps"].get(step)) for step in STEPS]
    rows += [(stage, ours["steps"].get(stage, 0.0), None) for stage in OURS]
    rows.append(("everything else", left, rest if "total" in theirs else None))
    rows.append(("**whole**", ours["total"], theirs.get("total")))
    rows.append(("peak memory, MB", *(each.get("peak_bytes", 0) / MEGABYTE or None for each in (ours, theirs))))
    rows.append(("imports (not in the whole)", ours["imports"], theirs.get("imports")))
    table = measurement.table(("step", "ours", "official", "ratio"), [(*row, _ratio(row[2], row[1])) for row in rows])
    agreement = (f"{word.replace('_', ' ')}: {value:.2g}" for word, value in (found.get("agreement") or {}).items())
    return f"{name} of 2048 x 2048, CPU seconds, medians\n{table}\n{', '.join(agreement)}".rstrip()


def _ratios(cases: Cases) -> Iterator[Row]:
    for label, name, step, asked in RATIOS:
        if name in cases:
            theirs, ours = (_seconds(cases[name].get(side), step) for side in ("official", "ours"))
            yield label, theirs, ours, _ratio(theirs, ours), f"{asked} or more"


def _peak(cases: Cases) -> Iterator[Row]:
    if TEN in cases:
        sides = (cases[TEN].get(side, {}).get("peak_bytes") for side in ("official", "ours"))
        theirs, ours = (None if peak is None else peak / MEGABYTE for peak in sides)
        yield "peak memory in MB, 10 groups", theirs, ours, _ratio(theirs, ours), f"{PEAK_MB} MB or less"


def _growth(cases: Cases) -> Iterator[Row]:
    """Tell what 50 % of the pixels hit cost, against 2 %."""
    if TEN in cases and HALF_HIT in cases:
        for label, step in (("jump", "jump"), ("ramp fit", "ramp_fit"), ("whole", None)):
            grown = [
                _ratio(*(_seconds(cases[name].get(side), step) for name in (HALF_HIT, TEN)))
                for side in ("official", "ours")
            ]
            yield f"{label}: 50 % of pixels hit / 2 %", *grown, None, f"{GROWTH:g} or less"


def _seconds(side: Mapping[str, Any] | None, step: str | None) -> float | None:
    if side is None:
        return None
    found: float | None = side["total"] if step is None else side["steps"].get(step)
    return found


def _ratio(over: Any, under: Any) -> float | None:  # noqa: ANN401 (cells of a table)
    return over / under if over and under else None


def plot(record: Mapping[str, Any], path: Path) -> None:
    """Draw both sides' processor time, case by case and step by step, on scales of powers of ten."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    cases: Cases = dict(sorted(record["cases"].items(), key=lambda case: (int(case[0].split()[0]), len(case[0]))))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    _bars(left, list(cases), [cases[name]["ours"]["total"] for name in cases], _totals(cases))
    left.set_title("Stage 1 of one full frame, FITS in and out")
    found = cases[TEN]
    official = found.get("official", {"steps": {}})["steps"]
    _bars(right, list(STEPS), [found["ours"]["steps"][step] for step in STEPS], [official.get(step) for step in STEPS])
    right.set_title("10 groups, step by step")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False)
    machine = record["machine"]
    figure.supxlabel(f"{record['date']}, {machine['cpu']}, one core; medians", fontsize=8, color="0.4")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _totals(cases: Cases) -> list[float | None]:
    return [cases[name].get("official", {}).get("total") for name in cases]


def _bars(axes: Any, labels: Sequence[str], ours: Sequence[float], theirs: Sequence[float | None]) -> None:  # noqa: ANN401
    places = range(len(labels))
    axes.barh([place - 0.2 for place in places], [value or 0 for value in theirs], 0.38, color="0.72", label="official")
    axes.barh([place + 0.2 for place in places], ours, 0.38, color="tab:blue", label="reprocess")
    for place, our, their in zip(places, ours, theirs, strict=True):
        ratio = _ratio(their, our)
        axes.text(
            our * 1.06,
            place + 0.2,
            f"{our:.2f} s" + (f"  ({ratio:.1f}x less)" if ratio else ""),
            va="center",
            fontsize=8,
        )
        if their:
            axes.text(their * 1.06, place - 0.2, f"{their:.2f} s", va="center", fontsize=8, color="0.35")
    axes.set_xscale("log")
    axes.set_xlim(right=max([*ours, *(value for value in theirs if value)]) * 6)
    axes.set_yticks(list(places), labels)
    axes.invert_yaxis()
    axes.set_xlabel("CPU seconds")
    axes.spines[["top", "right"]].set_visible(False)
