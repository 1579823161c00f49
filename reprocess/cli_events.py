"""Commands about what happened: events, who is told of them, and the logs of units."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from reprocess import errors
from reprocess.cli_options import EXIT_FAILURES, archive_argument, everywhere, json_flag, open_archive, show, with_all

if TYPE_CHECKING:
    from reprocess.campaign import Archive
    from reprocess.publication.subscriptions import Subscription

_since = click.option("--since", metavar="DAY", default="", help="From this day on (YYYY-MM-DD, UTC).")


@click.command(short_help="List what became of datasets.")
@archive_argument
@_since
@click.option("--dataset", default="", metavar="DATASET", help="Of one dataset only.")
@click.option("--kind", "kinds", multiple=True, help="new, reprocessed, retired, rolled-back, failed, held-back.")
@json_flag
@with_all(everywhere)
@click.pass_context
def events(ctx: click.Context, archive: str, since: str, dataset: str, kinds: tuple[str, ...], as_json: bool) -> None:
    """List what became of datasets, each event once, as they were recorded. --json prints JSON Lines."""
    from reprocess.publication import events as log
    from reprocess.publication import subscriptions as subscribed

    subscribed.check_day(since)
    subscribed.check_values("kinds", kinds, log.KINDS)
    store = open_archive(ctx, archive).store
    seen = set()
    for batch in log.objects(store, since):
        for event in log.read(store, batch.key):
            told = event.id not in seen and (not dataset or event.dataset == dataset)
            if told and (not kinds or event.kind in kinds):
                click.echo(json.dumps(asdict(event), sort_keys=True) if as_json else _event_text(event))
            seen.add(event.id)


def _event_text(event: Any) -> str:  # noqa: ANN401
    why = event.message or ", ".join(event.reasons)
    return f"{event.time[:19]} {event.kind:<11} {event.dataset} {event.version}" + (f"  {why}" if why else "")


@click.command(short_help="Have events of ARCHIVE delivered.")
@archive_argument
@click.argument("name", metavar="NAME")
@click.option("--to", required=True, metavar="ADDRESS", help="file:PATH, https://..., sns:ARN or sqs:URL.")
@click.option("--program", "programs", multiple=True, metavar="P", help="Only of this program; may be repeated.")
@click.option("--instrument", "instruments", multiple=True, metavar="I", help="Only of this instrument; repeatable.")
@click.option("--type", "types", multiple=True, metavar="T", help="Only of this product: rate, rateints, cal, calints.")
@click.option("--kind", "kinds", multiple=True, metavar="K", help="Only events of this kind: new, reprocessed, ...")
@click.option("--digest", type=click.Choice(["daily"]), help="One message a day (UTC), with counts and a list.")
@_since
@with_all(everywhere)
@click.pass_context
def subscribe(
    ctx: click.Context,
    /,
    archive: str,
    name: str,
    to: str,
    digest: str | None,
    since: str,
    **chosen: tuple[str, ...],
) -> None:
    """Have events of ARCHIVE delivered under NAME, from now on or from a day on.

    `run` delivers when it ends, and `reprocess deliver ARCHIVE` at any time. Every event comes at least once, with an
    id that stays the same: leave out the ids that you have. A webhook gets one POST of JSON an event, with the id as
    Idempotency-Key too; it must speak https, and redirects are not followed. A file gets one line of JSON an event.
    """
    from reprocess.publication import subscriptions as subscribed

    address = _absolute(to)
    opened = open_archive(ctx, archive)
    transport_of(opened)(address)  # says what is wrong with an address before anybody relies on it
    wanted = subscribed.Subscription(
        name=name,
        to=address,
        programs=tuple(map(_program, chosen["programs"])),
        instruments=tuple(each.upper() for each in chosen["instruments"]),
        types=chosen["types"],
        kinds=chosen["kinds"],
        digest=digest or "",
    )
    subscribed.add(opened.store, wanted, since=since)
    click.echo(_subscription_text(wanted))


def _absolute(to: str) -> str:
    path = to.removeprefix("file:")
    return f"file:{os.path.abspath(os.path.expanduser(path))}" if to.startswith("file:") and path else to


def _program(text: str) -> str:
    """Write a program as events do: five digits, or what stands for names that are not official."""
    if re.fullmatch(r"\d{1,5}", text):
        return text.zfill(5)
    if re.fullmatch(r"x[0-9a-f]{2}", text):
        return text
    raise errors.UsageError(f"{text!r} is no program. Write its number, for example 1075.")


def transport_of(opened: Archive) -> Any:  # noqa: ANN401
    """Return what opens transports with the profile and region of the settings."""
    from reprocess.delivery.transport import open_transport

    storage = opened.settings.storage
    return partial(open_transport, profile=storage.profile, region=storage.region)


@click.command(short_help="List who has events delivered.")
@archive_argument
@json_flag
@with_all(everywhere)
@click.pass_context
def subscriptions(ctx: click.Context, archive: str, as_json: bool) -> None:
    """List the subscriptions of ARCHIVE. Of webhooks only the host is shown: the rest of a URL may be secret."""
    from reprocess.delivery.transport import shown
    from reprocess.publication import subscriptions as subscribed

    found = subscribed.every(open_archive(ctx, archive).store)
    records = [{**asdict(each), "to": shown(each.to)} for each in found]
    show(records, as_json, lambda _: "\n".join(map(_subscription_text, found)) or "Nobody has subscribed.")


def _subscription_text(wanted: Subscription) -> str:
    from reprocess.delivery.transport import shown

    chosen: Iterable[tuple[str, tuple[str, ...]]] = (
        ("program", wanted.programs),
        ("instrument", wanted.instruments),
        ("type", wanted.types),
        ("kind", wanted.kinds),
    )
    what = "; ".join(f"{word} {' or '.join(values)}" for word, values in chosen if values) or "everything"
    return f"{wanted.name}: {what}, {'one digest a day' if wanted.digest else 'at once'}, to {shown(wanted.to)}"


@click.command(short_help="End a subscription.")
@archive_argument
@click.argument("name", metavar="NAME")
@with_all(everywhere)
@click.pass_context
def unsubscribe(ctx: click.Context, archive: str, name: str) -> None:
    """End the subscription NAME of ARCHIVE."""
    from reprocess.publication import subscriptions as subscribed

    subscribed.remove(open_archive(ctx, archive).store, name)
    click.echo(f"{name} gets nothing any more.")


@click.command(short_help="Deliver what is new to all subscriptions.")
@archive_argument
@json_flag
@with_all(everywhere)
@click.pass_context
def deliver(ctx: click.Context, archive: str, as_json: bool) -> None:
    """Deliver what is new to all subscriptions of ARCHIVE. `run` does this when it ends.

    Exits with 1 if a receiver did not take what is his; the others have theirs, and the rest is kept for the next time.
    For daily digests call it once a day.
    """
    from reprocess.delivery import courier

    opened = open_archive(ctx, archive)
    done = courier.deliver(opened.store, transport_of(opened))
    show([asdict(each) for each in done], as_json, lambda _: courier.text(done))
    sys.exit(EXIT_FAILURES if any(each.problem for each in done) else 0)


@click.command(short_help="Show what the units of a dataset logged.")
@archive_argument
@click.argument("dataset", metavar="DATASET")
@click.option("--campaign", "digest", metavar="DIGEST", help="Of this campaign, not of the latest that has any.")
@json_flag
@with_all(everywhere)
@click.pass_context
def logs(ctx: click.Context, archive: str, dataset: str, digest: str | None, as_json: bool) -> None:
    """Show what the units of DATASET logged, and how each ended: of the latest campaign that worked on it.

    Kept are the last 4 kB of a unit that went well and the last 64 kB of one that failed or warned. --json prints JSON
    Lines with campaign, dataset, unit, step, attempt and worker in each.
    """
    from reprocess import terminal
    from reprocess.archive import keys
    from reprocess.publication import unit_logs

    opened = open_archive(ctx, archive)
    meant = keys.meant(dataset, keys.KeyPattern(opened.root.key_pattern))
    with terminal.progress("reading logs", enabled=not as_json) as bar:
        shown = None if bar is None else lambda done, total: bar(done, total, "")
        found = unit_logs.find(opened.store, meant, digest or "", progress=shown)
    if not found:
        where = f"campaign {digest}" if digest else "any campaign"
        raise errors.UsageError(
            f"No unit of {dataset!r} has logged anything in {where} of {opened.store.url}. Check the names."
        )
    for line in found:
        click.echo(json.dumps(line) if as_json else _log_text(line))


def _log_text(line: dict[str, Any]) -> str:
    step = f" {line['step']}" if line["step"] else ""
    trace = "\n" + line["exception"] if line.get("exception") else ""
    time = str(line["time"])[:23]
    return (
        f"{time} {line['level']} {line.get('unit', line['dataset'])} #{line['attempt']}{step}: {line['message']}{trace}"
    )


COMMANDS = (events, subscribe, subscriptions, unsubscribe, deliver, logs)
