"""What keeps an archive's references in order: filling its mirror, checking selection, finding what used a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from reprocess import __version__, campaign, errors
from reprocess.archive import agreement, answers, catalogue, find, mappings, sync
from reprocess.archive.agreement import Agreement
from reprocess.archive.context import load_context
from reprocess.archive.find import Made, Unread
from reprocess.archive.sync import Failed, Synced
from reprocess.campaign import Archive, Progress
from reprocess.reporting.wording import size_text
from reprocess.target import Target

_EXAMPLES = 20


def mirror_all(archive: Archive, target: Target, references: str | None, progress: Progress | None = None) -> Synced:
    """Mirror the rules of a target's context, and every file that they select for the exposures of the catalogue.

    Parameters
    ----------
    archive : Archive
    target : Target
    references : str or None
        URL of reference files and rules; else the one of the archive.
    progress : callable, optional

    Raises
    ------
    ArchiveError
        The archive was never scanned, or nothing says where references come from.
    """
    known = catalogue.open_catalogue(archive.store)
    source = campaign.open_url(campaign.references_url(archive, references), archive.settings)
    cache = archive.settings.cache.path
    context = load_context(source, target.context, cache, archive.store)
    broken = mappings.mirror_mappings(source, archive.store, target.context, cache)
    done = sync.sync(
        known.batches(),
        context=context,
        references=source,
        archive=archive.store,
        target=target,
        software=__version__,
        progress=None if progress is None else lambda done: progress(done, known.rows, "exposures"),
    )
    return replace(done, rules=tuple(_rule(name, error) for name, error in sorted(broken.items())))


def _rule(name: str, error: errors.ContextError) -> Failed:
    return Failed("rule", name, isinstance(error.__cause__, errors.ObjectMissing), str(error))


def check(
    archive: Archive, contexts: Iterable[str], count: int, *, seed: int, references: str | None
) -> list[Agreement]:
    """Compare our selection with the one of `crds` for exposures drawn at random, context by context."""
    known = catalogue.open_catalogue(archive.store)
    source = campaign.open_url(campaign.references_url(archive, references), archive.settings)
    drawn = agreement.draw(known.batches(), count, seed=seed)
    found = []
    for name in contexts:
        context = load_context(source, name, archive.settings.cache.path, archive.store)
        answers.recall(archive.store, context)  # what was kept is what is to be checked
        found.append(agreement.compare(drawn, context))
    return found


def made_with(archive: Archive, reference: str) -> Iterator[Made | Unread]:
    """Find the products that were made with a reference file, as of the last scan, and those that do not tell.

    Raises
    ------
    UsageError
        It is no name of a reference file.
    """
    name = find.reference_name(reference)
    return find.find(catalogue.open_catalogue(archive.store).batches(), name)


def synced_record(done: Synced) -> dict[str, Any]:
    """Put what a sync did into JSON values."""
    return {
        "exposures": done.exposures,
        "copied": [asdict(file) for file in done.copied],
        "present": [asdict(file) for file in done.present],
        "missing": [asdict(file) for file in done.failed if file.missing],
        "unusable": [asdict(file) for file in done.failed if not file.missing],
        "rules": [asdict(rule) for rule in done.rules],
        "bytes_copied": sum(file.size for file in done.copied),
        "bytes_present": sum(file.size for file in done.present),
    }


def synced_text(done: Synced) -> str:
    """Say what a sync did."""
    copied, present = (sum(file.size for file in files) for files in (done.copied, done.present))
    lines = [
        f"{done.exposures:,} exposures need {len(done.copied) + len(done.present) + len(done.failed):,} files: "
        f"{len(done.copied):,} copied ({size_text(copied)}), {len(done.present):,} were there ({size_text(present)})",
        *(f"  {file.type:<16} {file.name}  {size_text(file.size)}" for file in done.copied),
    ]
    if done.failed:
        missing = sum(file.missing for file in done.failed)
        lines.append(f"{missing:,} missing, {len(done.failed) - missing:,} unusable:")
        lines += [f"  {file.type:<16} {file.problem}" for file in done.failed]
    if done.rules:
        lines.append(f"{len(done.rules):,} rules cannot be had, so files that only they select were not looked for:")
        lines += [f"  {rule.problem}" for rule in done.rules]
    return "\n".join(lines)


def agreement_text(found: Agreement) -> str:
    """Say what a check found."""
    lines = [
        f"{found.context}: {found.rows:,} exposures, {found.comparisons:,} comparisons ({found.files:,} with a file, "
        f"{found.undecided:,} undecided): {len(found.differences):,} differences",
    ]
    for one in found.differences[:_EXAMPLES]:
        lines.append(f"  {one.dataset} {one.type}: {one.ours or 'no file'}, crds says {one.crds or 'no file'}")
    if len(found.differences) > _EXAMPLES:
        lines.append(f"  ... and {len(found.differences) - _EXAMPLES:,} more; --json lists all")
    if not found.decided:
        lines.append("  Nothing was compared: `reprocess plan` says why these exposures cannot be decided.")
    return "\n".join(lines)


def unread_text(unread: Sequence[Unread]) -> str:
    """Say which products do not tell what they were made with."""
    head = f"{len(unread):,} product(s) cannot be read, so it is not known whether they were:"
    return "\n".join([head, *(f"  {one.dataset}: {one.problem}" for one in unread)])


def made_text(made: Made) -> str:
    """Say in one line which product was made with a file."""
    if made.version is not None:
        return f"{made.dataset}  version {made.version}  as {made.used_as}  reprocess {made.software}, {made.context}"
    maker = ", ".join(filter(None, (made.software, made.context))) or "unknown software"
    return f"{made.dataset}  {made.location}/{made.key}  as {made.used_as}  made elsewhere, {maker}"
