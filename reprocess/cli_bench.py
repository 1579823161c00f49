"""The command that measures: bench."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from reprocess import errors
from reprocess.cli_options import EXIT_FAILURES, everywhere, is_said, json_flag, settings_of, show, with_all


@click.command(short_help="Measure how fast a store and this machine are.")
@click.argument("url", metavar="BUCKET_URL")
@click.option("--exposures", type=click.IntRange(min=1), default=8, show_default=True, help="How many, per campaign.")
@click.option("--shape", metavar="RxC", default="2048x2048", show_default=True, help="Rows and columns of a frame.")
@click.option("--groups", type=click.IntRange(min=2), default=10, show_default=True, help="Groups of an exposure.")
@click.option("--workers", metavar="N,N,...", default="1,2", show_default=True, help="A campaign for each number.")
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Measure so often; medians.")
@click.option("--compare", "other", metavar="RUN", help="A run that was kept: its id, or a file.")
@click.option("--output-dir", type=click.Path(file_okay=False), help="Write record and picture there, too.")
@click.option("--clean", is_flag=True, help="Delete data sets and archives of benchmarks; keep what was measured.")
@json_flag
@with_all(everywhere)
@click.pass_context
def bench(ctx: click.Context, /, url: str, clean: bool, as_json: bool, **wish: Any) -> None:  # noqa: ANN401
    """Measure whole campaigns against the S3 bucket, the prefix or the directory BUCKET_URL.

    Exposures are made up once below BUCKET_URL/bench and used again as long as the options are the same. For each
    number of workers they are scanned, planned, calibrated and published into an archive of their own. What was
    measured is kept as bench/runs/RUN.json with a picture beside it. BUCKET_URL must hold nothing but benchmarks; the
    default data set takes 0.8 GB, and the products of each campaign 1.4 GB, until --clean.
    """
    if clean:
        _clean(ctx, url, as_json)
    else:
        _measure(ctx, url, as_json, wish)


def _clean(ctx: click.Context, url: str, as_json: bool) -> None:
    from reprocess import bench_place

    for name in ("exposures", "shape", "groups", "workers", "repeat", "other", "output_dir"):
        if is_said(ctx, name):
            flag = {"other": "compare"}.get(name, name.replace("_", "-"))
            raise errors.UsageError(f"--{flag} means nothing with --clean, which measures nothing. Leave it out.")
    deleted = bench_place.clean(url, settings_of(ctx))
    show({"deleted": deleted}, as_json, lambda _: f"{deleted:,} objects deleted; what was measured is kept.")


def _measure(ctx: click.Context, url: str, as_json: bool, wish: dict[str, Any]) -> None:
    from reprocess import bench as benches
    from reprocess import bench_place
    from reprocess.reporting import benchmark, benchmark_page

    settings = settings_of(ctx)
    wanted = benches.Wish(
        exposures=wish["exposures"],
        groups=wish["groups"],
        shape=benches.shape_of(wish["shape"]),
        workers=benches.workers_of(wish["workers"]),
        repeat=wish["repeat"],
    )
    # A run that does not exist is said before an hour is spent.
    other = bench_place.find(url, settings, wish["other"]) if wish["other"] else None
    if other is not None and other.data != benches.data_digest(wanted):
        raise errors.UsageError(
            f"Run {other.id} worked on other data. Give the same --exposures, --shape and --groups."
        )
    made = benches.measure(url, settings, wanted, say=lambda sentence: click.echo(sentence, err=True))
    found = benchmark.compare(other, made) if other is not None else ()
    if wish["output_dir"]:
        for path in benches.keep_copies(made, Path(wish["output_dir"])):
            click.echo(f"{path} written", err=True)
    record = benchmark.to_record(made)
    if other is not None:
        compared = [asdict(one) for one in found]
        record["comparison"] = {"with": other.id, "verdict": benchmark.verdict(found), "figures": compared}
    show(record, as_json, lambda _: benchmark_page.text(made, found, other.id if other else ""))
    if made.failed:
        sys.exit(EXIT_FAILURES)


COMMANDS = (bench,)
