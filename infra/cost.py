"""What a campaign costs on AWS: from measured seconds, bytes and requests of one exposure, and listed prices.

``python infra/cost.py`` prints the tables of docs/cost.md; ``--write`` puts them there. Arithmetic only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
PAGE = HERE.parent / "docs" / "cost.md"
SIZES = (100_000, 1_000_000)
WORKERS = 200
NIGHT = 500
"""Exposures of one night, for the cost of sweeps."""

_HOUR_S, _MONTH_H, _GIGA = 3600.0, 730.0, 1e9
Prices = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one full-frame exposure takes when it is made again.

    Attributes
    ----------
    cpu_s, clock_s : float
        Processor time, and time on the clock, of one worker beside a store on the same machine.
    gets, puts : float
        Requests.
    bytes_read, bytes_written : float
        What is written is kept as one version.
    """

    cpu_s: float
    clock_s: float
    gets: float
    puts: float
    bytes_read: float
    bytes_written: float


def measured(path: Path = RESULTS / "exposure-ceph-object-gateway.json") -> Measured:
    """Read what the benchmark of exposures has measured from S3 to S3, comparison with the last version included."""
    found = json.loads(path.read_text())
    alone = found["workers"]["1"]
    asked = [(name.partition(" ")[0], count) for name, count in found["requests"].items()]
    return Measured(
        cpu_s=alone["cpu_all"],
        clock_s=alone["wall"],
        gets=sum(count for method, count in asked if method in ("GET", "HEAD")),
        puts=sum(count for method, count in asked if method not in ("GET", "HEAD")),
        bytes_read=alone["bytes_read"],
        bytes_written=alone["bytes_written"],
    )


def prices(path: Path = HERE / "prices.toml") -> Prices:
    """Read prices."""
    return tomllib.loads(path.read_text())


def network_s(took: Measured, given: Prices) -> float:
    """Return the seconds of an exposure when all workers of a machine wait for its network."""
    machine = given["machine"]
    return (took.bytes_read + took.bytes_written) * 8 / 1e9 / machine["gbit_s"] * machine["workers"]


def seconds(took: Measured, given: Prices) -> float:
    """Return the seconds of a worker that are paid for one exposure: what limits it, its own work or the network."""
    return float(max(took.clock_s, network_s(took, given)))


def machine_hours(exposures: float, each_s: float, given: Prices) -> float:
    """Return the hours that machines are paid for."""
    machine = given["machine"]
    return exposures * each_s / _HOUR_S / machine["workers"] / machine["busy"]


def machines(exposures: float, each_s: float, given: Prices) -> float:
    """Return what machines and their disks cost."""
    disk_hour = given["machine"]["disk_gib"] * given["standing"]["disk_gib_month"] / _MONTH_H
    return machine_hours(exposures, each_s, given) * (given["machine"]["spot_hour"] + disk_hour)


def requests(exposures: float, took: Measured, given: Prices) -> float:
    """Return what requests cost."""
    store = given["store"]
    return exposures / 1000 * (took.puts * store["thousand_puts"] + took.gets * store["thousand_gets"])


def storage_month(size_bytes: float, given: Prices) -> float:
    """Return what so many bytes cost for one month, the dearer ones first."""
    store = given["store"]
    edges = [0.0, *(edge * 1000 * _GIGA for edge in store["up_to_tb"]), float("inf")]
    steps = zip(itertools.pairwise(edges), store["gb_month"], strict=True)
    return float(sum(max(min(size_bytes, end) - begin, 0) / _GIGA * price for (begin, end), price in steps))


def standing_month(given: Prices) -> float:
    """Return what a month costs in which nobody works."""
    standing = given["standing"]
    hours = standing["control_plane_hour"] + standing["driver_hour"] + standing["nat_hour"]
    disk = given["machine"]["disk_gib"] * standing["disk_gib_month"]
    return float(hours * _MONTH_H + disk + standing["key_month"] + standing["watch_month"])


def rows(took: Measured, given: Prices, sizes: Sequence[int], workers: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the table of campaigns: a name, and one cell for each size."""
    paid = seconds(took, given)
    every = (
        ("if processors were all", took.cpu_s),
        ("as measured beside the store", took.clock_s),
        ("with the network of the machine", paid),
    )
    yield "worker hours", [f"{size * paid / _HOUR_S:,.0f}" for size in sizes]
    yield f"hours with {workers} workers", [f"{size * paid / _HOUR_S / workers:,.1f}" for size in sizes]
    for name, each in every:
        yield f"machines, {name} ({each:.1f} s)", [f"{machines(size, each, given):,.2f}" for size in sizes]
    yield "requests", [f"{requests(size, took, given):,.2f}" for size in sizes]
    yield (
        "**campaign**",
        [f"**{machines(size, paid, given) + requests(size, took, given):,.2f}**" for size in sizes],
    )
    yield "products, TB", [f"{size * took.bytes_written / 1e12:,.1f}" for size in sizes]
    yield (
        "**products kept, per month**",
        [f"**{storage_month(size * took.bytes_written, given):,.2f}**" for size in sizes],
    )


def tables(took: Measured, given: Prices, *, sizes: Sequence[int] = SIZES, workers: int = WORKERS) -> str:
    """Write both tables as Markdown."""
    head = f"| {given['currency']}, {given['region']}, {given['date']} | "
    lines = [head + " | ".join(f"{size:,} exposures" for size in sizes) + " |", "| --- |" + " ---: |" * len(sizes)]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows(took, given, sizes, workers)]
    nightly = NIGHT * 30
    month = machines(nightly, seconds(took, given), given) + requests(nightly, took, given)
    lines += [
        "",
        f"| {given['currency']} per month | |",
        "| --- | ---: |",
        f"| cluster without workers | {standing_month(given):,.2f} |",
        f"| sweeps of {NIGHT} exposures a night | {month:,.2f} |",
        f"| what those sweeps add to storage | {storage_month(nightly * took.bytes_written, given):,.2f} |",
    ]
    return "\n".join(lines)


BEGIN, END = "<!-- made by infra/cost.py -->", "<!-- until here -->"


def put_in(page: str, made: str) -> str:
    """Put tables between the marks of a page."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Print the tables, or put them in the page."""
    parser = argparse.ArgumentParser(prog="cost", description=__doc__)
    parser.add_argument("--exposures", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--prices", type=Path, default=HERE / "prices.toml", help="your own prices")
    parser.add_argument("--write", action="store_true", help="renew docs/cost.md")
    chosen = parser.parse_args()
    if chosen.write:
        PAGE.write_text(put_in(PAGE.read_text(), tables(measured(), prices())))
    else:
        print(tables(measured(), prices(chosen.prices), sizes=chosen.exposures, workers=chosen.workers))


if __name__ == "__main__":
    main()
