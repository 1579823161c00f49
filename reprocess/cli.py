"""The command line: options in, one call, exit code out.

Exit codes: 0 done; 1 done, but some candidates failed; 2 the request itself is wrong (options, target, plan, archive);
3 the object store refused or did not answer; 4 a check found damage, or the sum does not close; 7 the workers went away
or the cluster did not answer; 70 a defect of this package; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from reprocess import (
    __version__,
    cli_bench,
    cli_campaign,
    cli_cluster,
    cli_events,
    cli_gate,
    cli_inspection,
    cli_references,
    cli_versions,
    errors,
    heap,
)
from reprocess.cli_options import (
    EXIT_CLUSTER,
    EXIT_DEFECT,
    EXIT_INTERRUPTED,
    EXIT_STORAGE,
    EXIT_USAGE,
    archive_argument,
    everywhere,
    is_said,
    json_flag,
    open_archive,
    settings_of,
    show,
    target_of,
    verbosity,
    with_all,
)

if TYPE_CHECKING:
    from reprocess.simulation.options import SimulationOptions

_EPILOG = """\b
The trip, on an archive in S3 or in a directory:
  reprocess init   s3://bucket/archive --raw s3://stpubdata/jwst/public --raw-anonymous --references s3://bucket/crds
  reprocess scan   s3://bucket/archive
  reprocess plan   s3://bucket/archive --target target.toml
  reprocess run    s3://bucket/archive DIGEST
  reprocess report s3://bucket/archive DIGEST --output report.html
One file on a laptop, without S3 and Dask:
  reprocess calibrate jw..._uncal.fits --reference gain=gain.fits --reference readnoise=readnoise.fits --output-dir .
Everything on made-up data:
  reprocess demo

\b
Settings come from reprocess.toml, then REPROCESS_* variables, then flags; the later weighs more.
S3 credentials come from where boto3 looks for them; AWS_ENDPOINT_URL names another S3 than Amazon's.

\b
Exit codes: 0 done; 1 done, some candidates failed; 2 wrong request; 3 storage refused or did not answer;
4 damage found or the sum does not close; 5 paused, or waits for approval; 6 another run or sweep is at work;
7 the workers went away or the cluster did not answer: again later;
70 a defect; 130 interrupted.
"""


def program() -> NoReturn:
    """Run the command line, and end this process at once when it is done.

    Threads of the S3 client may be about to call into the interpreter; were it taken down in the ordinary way, such a
    call would abort a process that has done its work.
    """
    _heed_interrupts()
    heap.keep_freed()
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = EXIT_DEFECT
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    logging.shutdown()
    os._exit(code)


def _heed_interrupts() -> None:
    """Let Ctrl-C and SIGTERM end the program in order, wherever they meet it.

    Python drops what is raised in a finaliser: an interrupt that comes at such a moment is sent once more.
    """

    def again(dropped: sys.UnraisableHookArgs) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _MOMENT_S)
        else:
            sys.__unraisablehook__(dropped)

    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGALRM, _terminate)
    sys.unraisablehook = again


_MOMENT_S = 0.01  # until the finaliser has ended


def _terminate(number: int, frame: object) -> NoReturn:
    """Take the signal of a service manager for what Ctrl-C is: an orderly end."""
    raise KeyboardInterrupt


class _Group(click.Group):
    """Commands in the order of the trip, and our errors as one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        try:
            return super().invoke(ctx)
        except errors.StorageError as error:
            _fail(error, EXIT_STORAGE)
        except (errors.WorkerLost, errors.ClusterUnavailable) as error:
            _fail(error, EXIT_CLUSTER)
        except errors.ReprocessError as error:
            _fail(error, EXIT_USAGE)
        except OSError as error:
            if error.filename is None:  # no file that was asked for: a closed pipe, or a defect
                raise
            _fail(errors.UsageError(f"{error.filename}: {error.strerror}. Name another path."), EXIT_USAGE)
        except KeyboardInterrupt:
            click.echo("reprocess: interrupted; what was done is kept, run the same command again to go on.", err=True)
            sys.exit(EXIT_INTERRUPTED)


def _fail(error: errors.ReprocessError, code: int) -> None:
    click.echo(f"reprocess: {error}", err=True)
    sys.exit(code)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(cls=_Group, epilog=_EPILOG, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="reprocess")
@with_all(everywhere)
def main() -> None:
    """Find the stale products of an archive of JWST Level 1b exposures, make them again, publish them whole."""


@main.command(short_help="Make ARCHIVE, the root of everything that is written.")
@archive_argument
@click.option("--raw", multiple=True, required=True, metavar="URL", help="Where Level 1b files are; may be repeated.")
@click.option("--raw-anonymous", is_flag=True, help="The raw locations are public: read them without credentials.")
@click.option("--references", default="", metavar="URL", help="Where references and rules are (a CRDS cache).")
@click.option("--key-pattern", metavar="REGEX", help="What keys say: groups `dataset`, `level`.")
@with_all(everywhere)
@click.pass_context
def init(
    ctx: click.Context,
    archive: str,
    raw: tuple[str, ...],
    raw_anonymous: bool,
    references: str,
    key_pattern: str | None,
) -> None:
    """Make ARCHIVE, the root of everything that reprocess writes, and its archive.toml.

    ARCHIVE is s3://bucket/prefix or a directory. Raw locations are only ever read.
    """
    from reprocess import campaign
    from reprocess.archive import root

    locations = tuple(root.RawLocation(campaign.absolute(url), raw_anonymous) for url in raw)
    made = root.ArchiveRoot(raw=locations, references=campaign.absolute(references) if references else "")
    if key_pattern:
        made = replace(made, key_pattern=key_pattern)
    campaign.init(archive, made, settings_of(ctx))
    click.echo(f"{archive} is an archive now. Next: reprocess scan {archive}")


@main.command(short_help="Bring the catalogue up to date.")
@archive_argument
@click.option(
    "--inventory",
    "inventories",
    multiple=True,
    metavar="URL",
    help="manifest.json of an S3 Inventory (CSV or Parquet): take its bucket's objects from there instead of listing.",
)
@json_flag
@with_all(everywhere)
@click.pass_context
def scan(ctx: click.Context, archive: str, inventories: tuple[str, ...], as_json: bool) -> None:
    """Bring the catalogue of ARCHIVE up to date: list everything, read the headers of what is new or changed."""
    from reprocess import campaign, terminal

    with terminal.progress("scanning", enabled=not as_json) as progress:
        done = campaign.scan(open_archive(ctx, archive), progress, inventories=inventories)
    show(terminal.scan_record(done), as_json, lambda _: terminal.scan_text(done))


@main.command(short_help="Judge every exposure; write down what is to be done.")
@archive_argument
@click.option("--target", required=True, type=click.Path(dir_okay=False), help="TOML file: what to aim at.")
@click.option("--references", metavar="URL", help="Where reference files come from (else as `init` was told).")
@click.option("--again", multiple=True, metavar="DATASET", help="Make this one again: it is damaged.")
@click.option("--where", default="", metavar="EXPRESSION", help="Which exposures, for example \"FILTER = 'F200W'\".")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Forecast the wall time on so many workers.")
@json_flag
@with_all(everywhere)
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    archive: str,
    target: str,
    where: str,
    workers: int | None,
    as_json: bool,
    **rest: Any,  # noqa: ANN401
) -> None:
    """Judge every exposure of ARCHIVE against a target, write down what is to be done, and forecast what it costs.

    Prints the plan's digest; `reprocess run ARCHIVE DIGEST` takes nothing else. Scan first. --json prints JSON Lines:
    the plan with its counts and its forecast, then each exposure with its verdict.

    --where chooses exposures by header keywords, by columns of the catalogue (dataset, location, key, size, error), by
    what we have published (version, software, context) and by the judgement (verdict, reason, restart):

    \b
      --where "INSTRUME = 'NIRCAM' and DATE-OBS >= '2024-01-01'"
      --where "EXP_TYPE in ('NRC_IMAGE', 'NIS_IMAGE') and not FILTER like 'F2%'"
      --where "verdict = 'stale' and reason = 'reference: dark'"

    With =, !=, <, <=, >, >=, in, like, is null, and, or, not, parentheses. A comparison with a keyword that a header
    does not have is neither true nor false. Money is forecast from core_hour, gb_month and thousand_requests in the
    section [prices] of the settings.
    """  # noqa: D301 (a mark of click)
    from reprocess import campaign, terminal

    if is_said(ctx, "where") and not where.strip():
        raise errors.UsageError("--where is empty. Write an expression, or leave it out for the whole archive.")
    opened = open_archive(ctx, archive, workers=workers)
    wanted = target_of(ctx, target)
    with terminal.progress("judging", enabled=not as_json) as progress:
        made = campaign.plan(opened, wanted, where=where, progress=progress, **rest)
    if as_json:
        for record in terminal.plan_records(made):
            click.echo(json.dumps(record, sort_keys=True))
    else:
        click.echo(terminal.plan_text(made, archive))


for _command in cli_campaign.COMMANDS:
    main.add_command(_command)
for _command in (cli_inspection.status, cli_inspection.report, cli_inspection.explain, *cli_versions.COMMANDS):
    main.add_command(_command)
for _command in (*cli_events.COMMANDS, *cli_cluster.COMMANDS):
    main.add_command(_command)


@main.command(short_help="Calibrate one file on this machine, without S3 and Dask.")
@click.argument("uncal", metavar="UNCAL.fits", type=click.Path(dir_okay=False))
@click.option("--reference", "given", multiple=True, metavar="TYPE=PATH", help="A reference file, or N/A.")
@click.option("--parameter", "parameters", multiple=True, metavar="STEP.NAME=VALUE", help="A parameter.")
@click.option("--skip", multiple=True, metavar="STEP", help="Leave out a step; may be repeated.")
@click.option("--save-step", "save_steps", multiple=True, metavar="STEP", help="Write the exposure after a step, too.")
@click.option("--output-dir", required=True, type=click.Path(file_okay=False), help="Where the products go.")
@click.option("--memory-limit", metavar="SIZE", help="Memory to take at most: 400MB, 2GB, or bytes.")
@click.option("--threads", type=click.IntRange(min=1, max=256), default=1, show_default=True, help="Bands at a time.")
@verbosity
def calibrate(
    uncal: str,
    given: tuple[str, ...],
    parameters: tuple[str, ...],
    skip: tuple[str, ...],
    output_dir: str,
    memory_limit: str | None,
    **rest: Any,  # noqa: ANN401
) -> None:
    """Calibrate one exposure on this machine, without S3 and without Dask.

    Writes <root>_rate.fits and <root>_rateints.fits. TYPE is a CRDS type: mask, saturation, superbias, linearity, dark,
    gain, readnoise, ipc; for MIRI reset and rscd, for IRS2 frames of NIRSpec refpix. A type that is N/A or left out
    skips the step that needs it; gain and readnoise must be there, and refpix where IRS2 needs it.

    --save-step STEP also writes <root>_STEP.fits, the ramp after that step; for ramp_fit the rates before gain_scale,
    <root>_0_ramp_fit.fits and <root>_1_ramp_fit.fits. Memory and threads do not change any pixel.
    --parameter ramp_fit.save_opt=true also writes <root>_fitopt.fits, the fit of each segment, in one piece: that takes
    the memory of the whole exposure.
    """
    from reprocess import laptop

    made = laptop.calibrate(
        Path(uncal),
        references=laptop.read_references(given),
        parameters=laptop.read_parameters(parameters, skip),
        output_dir=Path(output_dir),
        memory_limit_bytes=None if memory_limit is None else laptop.read_size(memory_limit),
        **rest,
    )
    for path in made:
        click.echo(path)


for _command in (cli_references.references, cli_references.find, cli_gate.accept, cli_gate.reject):
    main.add_command(_command)


@main.command(short_help="Make up an archive with known truth.")
@click.argument("url", metavar="URL")
@click.option("--exposures", type=click.IntRange(min=1), default=8, show_default=True, help="How many.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same archive.")
@click.option("--instrument", "instruments", multiple=True, help="NIRCAM, NIRISS, FGS, MIRI; repeatable.")
@click.option("--shape", metavar="ROWSxCOLUMNS", help="Size of every frame (default: a mix of subarrays).")
@click.option("--groups", type=click.IntRange(min=1), help="Groups in each integration.")
@click.option("--integrations", type=click.IntRange(min=1), help="Integrations in each exposure.")
@click.option("--demo", "demonstration", is_flag=True, help="The mix of the demonstration: about 40, some full frame.")
@json_flag
@with_all(everywhere)
@click.pass_context
def simulate(ctx: click.Context, /, url: str, as_json: bool, **wish: Any) -> None:  # noqa: ANN401
    """Make up an archive below URL: Level 1b exposures, their truth, reference files, two contexts, two targets."""
    from reprocess import campaign, terminal
    from reprocess.simulation import archive

    store = campaign.open_url(campaign.absolute(url), settings_of(ctx))
    with terminal.progress("simulating", enabled=not as_json) as progress:
        made = archive.simulate(store, _simulation(wish), progress=progress)
    show(json.loads(archive.statement(made)), as_json, lambda _: terminal.simulation_text(made, url))


@main.command(short_help="Show the whole trip on a made-up archive.")
@click.option("--output-dir", default="demo-output", show_default=True, help="Where the report and the pictures go.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes (default: one per core).")
@with_all(everywhere)
@click.pass_context
def demo(ctx: click.Context, output_dir: str, workers: int | None) -> None:
    """Show the whole trip on a made-up archive, with an S3 endpoint on loopback and a Dask cluster on this machine."""
    from reprocess.demo import trip

    trip.show(Path(output_dir), settings_of(ctx, workers=workers))


for _command in cli_bench.COMMANDS:
    main.add_command(_command)


def _simulation(wish: Mapping[str, Any]) -> SimulationOptions:
    from reprocess.simulation.options import SimulationOptions

    if wish["demonstration"]:
        return SimulationOptions.demo(wish["seed"])
    return SimulationOptions(
        exposures=wish["exposures"],
        seed=wish["seed"],
        instruments=tuple(name.upper() for name in wish["instruments"]),
        shape=_shape(wish["shape"]) if wish["shape"] else None,
        groups=wish["groups"],
        integrations=wish["integrations"],
    )


def _shape(text: str) -> tuple[int, int]:
    rows, separator, columns = text.lower().partition("x")
    if not (separator and rows.isdigit() and columns.isdigit()):
        raise errors.UsageError(f"--shape {text!r}: write ROWSxCOLUMNS, for example 256x256.")
    return int(rows), int(columns)
