"""The command line: options in, one call, exit code out.

Exit codes: 0 done; 1 done, but some candidates failed; 2 the request itself is wrong (options, target, plan, archive);
3 the object store refused or did not answer; 4 a check found damage, or the sum does not close; 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprocess import __version__, errors, logs, settings

if TYPE_CHECKING:
    from reprocess import campaign

EXIT_FAILURES = 1
EXIT_USAGE = 2
EXIT_STORAGE = 3
EXIT_DAMAGE = 4
EXIT_INTERRUPTED = 130

_EPILOG = """\b
The trip, on an archive in S3 or in a directory:
  reprocess init   s3://bucket/archive --raw s3://stpubdata/jwst/public --raw-anonymous --references s3://bucket/crds
  reprocess scan   s3://bucket/archive
  reprocess plan   s3://bucket/archive --target target.toml
  reprocess run    s3://bucket/archive DIGEST
  reprocess report s3://bucket/archive DIGEST --output report.html
One file on a laptop, without S3 and Dask:
  reprocess calibrate jw..._uncal.fits --reference dark=dark.fits --reference gain=gain.fits --output-dir .
Everything on made-up data:
  reprocess demo

\b
Settings come from reprocess.toml, then REPROCESS_* variables, then flags; the later weighs more.
S3 credentials come from where boto3 looks for them; AWS_ENDPOINT_URL names another S3 than Amazon's.

\b
Exit codes: 0 done; 1 done, some candidates failed; 2 wrong request; 3 storage refused or did not answer;
4 damage found or the sum does not close; 130 interrupted.
"""


class _Group(click.Group):
    """Commands in the order of the trip, and our errors as one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        try:
            return super().invoke(ctx)
        except errors.StorageError as error:
            _fail(error, EXIT_STORAGE)
        except errors.ReprocessError as error:
            _fail(error, EXIT_USAGE)
        except KeyboardInterrupt:
            click.echo("reprocess: interrupted; what was done is kept, run the same command again to go on.", err=True)
            sys.exit(EXIT_INTERRUPTED)


def _fail(error: errors.ReprocessError, code: int) -> None:
    click.echo(f"reprocess: {error}", err=True)
    sys.exit(code)


@click.group(cls=_Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="reprocess")
@click.option("--endpoint", metavar="URL", help="S3 endpoint (else AWS_ENDPOINT_URL, else Amazon's).")
@click.option("--profile", help="AWS profile.")
@click.option("--region", help="AWS region.")
@click.option("--anonymous", is_flag=True, default=None, help="Read everything without credentials.")
@click.option("--cache-dir", metavar="DIR", help="Where rules of contexts are kept between runs.")
@click.option("-v", "--verbose", count=True, help="Say what is done; twice: everything.")
@click.pass_context
def main(  # noqa: PLR0913 (one parameter an option)
    ctx: click.Context,
    endpoint: str | None,
    profile: str | None,
    region: str | None,
    anonymous: bool | None,
    cache_dir: str | None,
    verbose: int,
) -> None:
    """Find the stale products of an archive of JWST Level 1b exposures, make them again, publish them whole."""
    logs.set_up(verbose)
    storage = {"endpoint": endpoint, "profile": profile, "region": region, "anonymous": anonymous}
    ctx.obj = {"storage": storage, "cache": {"directory": cache_dir}}


def _settings(ctx: click.Context, **execution: object) -> settings.Settings:
    return settings.load(os.environ, {**ctx.obj, "execution": execution})


def _open(ctx: click.Context, archive: str, **execution: object) -> campaign.Archive:
    from reprocess import campaign

    return campaign.open_archive(archive, _settings(ctx, **execution))


def _show(value: Any, as_json: bool, text: Callable[[Any], str]) -> None:  # noqa: ANN401
    click.echo(json.dumps(value, indent=2, sort_keys=True) if as_json else text(value))


_archive = click.argument("archive", metavar="ARCHIVE")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")
