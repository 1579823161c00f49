"""What the commands share: options, settings, and how a result is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprocess import errors, logs, settings

if TYPE_CHECKING:
    from reprocess import campaign
    from reprocess.target import Target

EXIT_FAILURES = 1
EXIT_USAGE = 2
EXIT_STORAGE = 3
EXIT_DAMAGE = 4
EXIT_PAUSED = 5
EXIT_BUSY = 6
EXIT_CLUSTER = 7
EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130


def _note(group: str, name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Keep a setting, wherever on the line it was given: before the command or after it."""

    def note(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:  # noqa: ANN401
        if value is not None:
            ctx.meta.setdefault(f"reprocess.{group}", {})[name] = value
        return value

    return note


def _note_verbosity(ctx: click.Context, parameter: click.Parameter, value: int) -> int:
    raise_verbosity(ctx, value)
    return value


def raise_verbosity(ctx: click.Context, least: int = 1) -> None:
    """Log so much at least: 1 what is done, 2 everything."""
    ctx.meta["reprocess.verbose"] = max(least, ctx.meta.get("reprocess.verbose", 0))
    _set_up_logs(ctx)


def _note_log_format(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    known = "reprocess.log_format" in ctx.meta
    if value is not None and (not known or is_said(ctx, "log_format")):  # the line weighs more than the environment
        ctx.meta["reprocess.log_format"] = value
        _set_up_logs(ctx)
    return value


def _set_up_logs(ctx: click.Context) -> None:
    logs.set_up(ctx.meta.get("reprocess.verbose", 0), ctx.meta.get("reprocess.log_format", logs.FORMATS[0]))


def _setting(flag: str, group: str, name: str, **rest: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    return click.option(flag, expose_value=False, callback=_note(group, name), **rest)


verbosity = click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    callback=_note_verbosity,
    help="Say what is done; twice: everything.",
)
log_format = click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    envvar=logs.FORMAT_VARIABLE,
    expose_value=False,
    callback=_note_log_format,
    show_envvar=True,
    help="Log lines for people, or one JSON object a line.",
)
logging_options = (verbosity, log_format)
everywhere = (
    _setting("--endpoint", "storage", "endpoint", metavar="URL", help="S3 endpoint (else AWS_ENDPOINT_URL)."),
    _setting("--profile", "storage", "profile", help="AWS profile."),
    _setting("--region", "storage", "region", help="AWS region."),
    _setting("--anonymous", "storage", "anonymous", is_flag=True, default=None, help="Read without credentials."),
    _setting("--cache-dir", "cache", "directory", metavar="DIR", help="Where rules are kept between runs."),
    *logging_options,
)


def with_all(options: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    """Put several options on a command, in this order."""

    def decorate(command: Any) -> Any:  # noqa: ANN401
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def is_said(ctx: click.Context, name: str) -> bool:
    """Tell whether an option stands on the line, and not only in the environment or as a default."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def settings_of(ctx: click.Context, **execution: object) -> settings.Settings:
    """Load the settings, with the flags of this line."""
    given = {group: ctx.meta.get(f"reprocess.{group}", {}) for group in ("storage", "cache")}
    return settings.load(os.environ, {**given, "execution": execution})


def open_archive(ctx: click.Context, archive: str, **execution: object) -> campaign.Archive:
    """Open the archive that a command names."""
    from reprocess import campaign

    return campaign.open_archive(archive, settings_of(ctx, **execution))


def show(value: Any, as_json: bool, text: Callable[[Any], str]) -> None:  # noqa: ANN401
    """Print a result, for a script or for people."""
    click.echo(json.dumps(value, indent=2, sort_keys=True) if as_json else text(value))


archive_argument = click.argument("archive", metavar="ARCHIVE")
json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")


def target_of(ctx: click.Context, path: str) -> Target:
    """Read a target from a file, or from a store by its URL."""
    from reprocess import campaign
    from reprocess.target import read_target

    try:
        if "://" in path:
            place, _, name = path.rpartition("/")
            text = campaign.open_url(place, settings_of(ctx)).get(name).data.decode()
        else:
            text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.TargetError(f"{path}: cannot be read ({error}). Name a target file with --target.") from error
    return read_target(text, name=path)
