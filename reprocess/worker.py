"""One task on one worker: prepare a reference; or read, calibrate and write an exposure, whole or slab by slab.

Nothing here raises: whatever happens becomes an `Outcome` of its own class. Workers write files and manifests below the
archive root and nothing else; only the coordinator moves pointers.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors, heap, logs, redaction, shelf
from reprocess.archive import mirror
from reprocess.calibration import detector1, irs2, ramp_facts
from reprocess.calibration.rate import Rate
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference
from reprocess.comparison import published
from reprocess.execution.executor import Task, failed
from reprocess.exposure import Band, Outcome, ReferenceFile, Slab
from reprocess.formats import exposure_facts, level1b, prepared, product, tail, zeroframe
from reprocess.formats import reference as reference_format
from reprocess.planning import slabs
from reprocess.planning.plan import Item, Plan
from reprocess.publication import assemble, manifest, provenance, publish
from reprocess.reporting import quicklook
from reprocess.settings import CacheSettings
from reprocess.shelf import Shelf
from reprocess.storage import open_store, throttling
from reprocess.storage.counting import CountingStore
from reprocess.storage.held import Ranged
from reprocess.storage.store import Store
from reprocess.target import read_target

WRITTEN = "written"
"""Class of a unit whose version exists and is not published yet."""
STAGED = "staged"
"""Class of a unit that other units build on."""
prepared_prefix, ready_key = shelf.prepared_prefix, shelf.ready_key

_PLANES = ("sci", "err", "dq", "var_poisson", "var_rnoise")
_LOG = logging.getLogger(__name__)
_SHELF = Shelf(0)


@dataclass(frozen=True)
class Preparation:
    """What the unit that prepares one reference is told."""

    archive: Store
    reference: ReferenceFile


@dataclass(frozen=True)
class Work:
    """What the units of one exposure are told.

    Attributes
    ----------
    archive, raw : Store
        Where products go, and where the Level 1b object is.
    plan : Plan
        Without its items.
    item : Item
        The candidate.
    part : str
        ``whole``; or, of an exposure over the memory limit, ``facts``, ``slab`` or ``assembly``.
    slab : Slab or None
        For the part ``slab``.
    shelf_bytes : int
        References that a worker may keep between units.
    zarr : bool
        Whether the rates of each integration are written as Zarr too.
    cache : CacheSettings or None
        Where the worker's machine keeps references for all of its workers; None: nowhere.
    """

    archive: Store
    raw: Store
    plan: Plan
    item: Item
    part: str = "whole"
    slab: Slab | None = None
    shelf_bytes: int = 0
    zarr: bool = False
    cache: CacheSettings | None = None


@dataclass
class Meter:
    """Wall seconds by stage, what a unit wrote, and how that differs from what readers see."""

    seconds: dict[str, float] = field(default_factory=dict)
    version: str = ""
    written: manifest.Manifest | None = None
    difference: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage, and log it."""
        start, ended = time.perf_counter(), "was cut short after"
        with logs.fields(step=name):
            try:
                yield
                ended = "took"
            finally:
                seconds = time.perf_counter() - start
                self.seconds[name] = self.seconds.get(name, 0.0) + seconds
                _LOG.info("%s %s %.3f s", name, ended, seconds)


def run(task: Task) -> Outcome:
    """Do one unit of work.

    Parameters
    ----------
    task : Task
        With a `Preparation` or a `Work` as payload.

    Returns
    -------
    Outcome
        Of class ``written`` or ``staged``, or of the class of the error that ended it.
    """
    campaign = task.payload.plan.digest[:16] if isinstance(task.payload, Work) else ""
    with logs.unit(campaign=campaign, dataset=task.dataset, attempt=task.attempt) as kept:
        outcome = _run(task)
        return replace(outcome, log=kept.lines(failed=failed(outcome)))


def _run(task: Task) -> Outcome:
    meter, cpu, throttled = Meter(), time.process_time(), throttling.count()
    payload: Any = task.payload
    # Counted here, so that every byte is, whichever room asks for it.
    archive = CountingStore(payload.archive)
    raw = CountingStore(payload.raw) if isinstance(payload, Work) else None
    try:
        ended, message, temporary = _do(payload, archive, raw, meter), "", False
    except errors.ReprocessError as error:
        ended, message, temporary = error.outcome_class, _naming(task, str(error)), error.temporary
    except MemoryError as error:
        ended, temporary = errors.OutOfMemory.outcome_class, errors.OutOfMemory.temporary
        message = f"{task.unit}: not enough memory ({error}). Give workers more, or lower the memory limit of units."
    except Exception as error:
        ended, message, temporary = _told(task, error)
    stores = [archive] if raw is None else [archive, raw]
    return Outcome(
        unit=task.unit,
        dataset=task.dataset,
        outcome_class=ended,
        message=redaction.clean(message),
        temporary=temporary,
        attempt=task.attempt,
        version=meter.version,
        seconds={**meter.seconds, "cpu": time.process_time() - cpu},
        bytes_read=sum(store.bytes_read.total() for store in stores),
        bytes_written=sum(store.bytes_written.total() for store in stores),
        peak_bytes=heap.peak_bytes(),
        requests=sum(store.requests.total() for store in stores),
        throttled=throttling.count() - throttled,
        difference=meter.difference,
        ended=datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
    )


def _told(task: Task, error: Exception) -> tuple[str, str, bool]:
    """Return class, message and whether to try again of what nobody has raised on purpose."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        where = error.filename or tempfile.gettempdir()
        told = (
            f"{task.unit}: {where}: {error.strerror}. Make room there, or set TMPDIR of the workers to another place."
        )
        return errors.StorageUnavailable.outcome_class, told, errors.StorageUnavailable.temporary
    _LOG.error("unit %s failed", task.unit, exc_info=error)
    return "own-error", f"{task.unit}: {type(error).__name__}: {error}", False


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def _naming(task: Task, message: str) -> str:
    """Kernels and storage know no dataset; whoever reads their message has to."""
    return message if task.dataset in message else f"{task.dataset}: {message}"


def _do(payload: Preparation | Work, archive: Store, raw: Store | None, meter: Meter) -> str:
    if isinstance(payload, Preparation):
        return _prepare(payload.reference, archive, meter)
    assert raw is not None
    return _PARTS[payload.part](_Desk(payload, archive, raw, meter))


def _prepare(reference: ReferenceFile, archive: Store, meter: Meter) -> str:
    """Turn a mirrored reference file into arrays that are chunked by rows."""
    key = mirror.file_key(reference.sha256, reference.name)
    with meter.stage("read"):
        data = archive.get(key).data
        found = reference_format.read_reference(data, reference.type, reference.name)
    with meter.stage("write"):
        shelf.write(archive, reference, found)
    return STAGED


@dataclass(frozen=True)
class _Desk:
    """What one unit works with: its orders, its stores and its clock."""

    work: Work
    archive: Store
    raw: Store
    meter: Meter

    @property
    def staging(self) -> str:
        return assemble.prefix(self.work.plan.digest[:16], self.work.item.dataset)

    @property
    def facts_key(self) -> str:
        return self.staging + "facts.npz"

    @property
    def readout(self) -> Readout:
        entry = self.work.item.entry
        level1b.check_layout(entry)
        assert entry.sci_shape is not None
        return Readout.from_header(entry.header, entry.sci_shape, name=entry.key)

    def references(
        self, band: Band, types: Iterable[str] | None = None, columns: slice | None = None
    ) -> dict[str, Reference | None]:
        """Read the rows of `band` of every reference, or of those of some types, or of some columns."""
        wanted = {reference.type: reference for reference in self.work.item.references}
        _SHELF.limit_bytes = self.work.shelf_bytes
        window = slice(0, self.readout.columns) if columns is None else columns
        kinds = (kind for kind in sorted(wanted) if types is None or kind in types)
        return {kind: self._reference(wanted[kind], band, window) for kind in kinds}

    def _reference(self, reference: ReferenceFile, band: Band, columns: slice) -> Reference:
        corner = (self.readout.row_start + band.start, self.readout.column_start + columns.start)
        shape = (len(irs2.raw_band(reference.type, band, self.readout)), columns.stop - columns.start)

        def read() -> Reference:
            return shelf.read(self.archive, reference, corner=corner, shape=shape, cache=self.work.cache)

        return _SHELF.get((self.archive.url, reference.sha256, reference.type, corner, shape), read)


def _whole(desk: _Desk) -> str:
    """Read, calibrate and write an exposure that fits the memory limit."""
    if _exists(desk):
        _compare(desk)
        return WRITTEN
    item, readout = desk.work.item, desk.readout
    band = Band(0, readout.rows)
    with desk.meter.stage("read"):
        raw, rest = level1b.read_whole(desk.raw, item.entry)
    with desk.meter.stage("references"):
        references = desk.references(band)
    with desk.meter.stage("calibrate"):
        made = detector1.calibrate(
            raw, references, readout=readout, parameters=item.parameters or {}, zeroframe=_zeroframe(desk, band, rest)
        )
    del raw, references
    _write(desk, made.rate, made.rateints, made.statuses, rest)
    _compare(desk, {"rate": made.rate, "rateints": made.rateints})
    return WRITTEN


def _zeroframe(desk: _Desk, band: Band, rest: Ranged | None = None) -> NDArray[Any] | None:
    """Read the ZEROFRAME of some rows, if there is one and the rates can depend on it."""
    if not detector1.needs_zeroframe(desk.readout, desk.work.item.parameters or {}):
        return None
    read = zeroframe.reader(rest or desk.raw, desk.work.item.entry)
    return None if read is None else read(band)


def _facts(desk: _Desk) -> str:
    """Reduce an exposure over the memory limit to the facts that its slabs need."""
    if _exists(desk):
        return STAGED
    item, readout = desk.work.item, desk.readout
    early, whole = ("mask", "saturation", "superbias", "ipc", "rscd", "gain"), Band(0, readout.rows)
    parameters = item.parameters or {}
    with desk.meter.stage("references"):
        references = desk.references(whole, early)
        strips = [desk.references(whole, columns=columns) for columns in detector1.edges(readout, parameters)]
    with desk.meter.stage("read"):
        frames = detector1.Replay(lambda: (block.data for block in level1b.read_frames(desk.raw, item.entry)))
        first = _zeroframe(desk, whole)
        facts = detector1.gather_facts(
            frames,
            references,
            readout=readout,
            parameters=parameters,
            strips=strips or None,
            zeroframes=None if first is None else [first],
        )
    desk.archive.put(desk.facts_key, exposure_facts.to_bytes(facts))
    return STAGED


def _slab(desk: _Desk) -> str:
    """Calibrate and stage one slab."""
    if _exists(desk):
        return STAGED
    assert desk.work.slab is not None
    with desk.meter.stage("read"):
        facts = desk.archive.get(desk.facts_key).data
    _stage(desk, desk.work.slab, facts)
    return STAGED


def _stage(desk: _Desk, slab: Slab, stored: bytes) -> None:
    """Calibrate a slab with the facts of its exposure, and stage it."""
    item, readout = desk.work.item, desk.readout
    facts = exposure_facts.from_bytes(stored, name=desk.facts_key)
    with desk.meter.stage("read"):
        raw = level1b.read_slab(desk.raw, item.entry, slab.padded)
        first = _zeroframe(desk, slab.padded)
    with desk.meter.stage("references"):
        references = desk.references(slab.padded)
    with desk.meter.stage("calibrate"):
        made = detector1.calibrate(
            raw,
            references,
            readout=readout,
            parameters=item.parameters or {},
            slab=slab,
            facts=facts,
            zeroframe=first,
        )
    arrays = {f"{kind}-{name}": getattr(getattr(made, kind), name) for kind in ("rate", "rateints") for name in _PLANES}
    told = {"facts": hashlib.sha256(stored).hexdigest(), **asdict(made.reports)}
    with desk.meter.stage("write"):
        assemble.stage_slab(desk.archive, desk.staging, slab.core, arrays, statuses=made.statuses, told=told)


def _assembly(desk: _Desk) -> str:
    """Write the version of an exposure from its staged slabs."""
    if not _exists(desk):
        staged = _settled(desk)
        rate, rateints = (
            Rate(*(staged.arrays[f"{kind}-{name}"] for name in _PLANES))  # type: ignore[arg-type]  # read late
            for kind in ("rate", "rateints")
        )
        _write(desk, rate, rateints, staged.statuses)
    assemble.clear_staging(desk.archive, desk.staging)
    _compare(desk)
    return WRITTEN


def _settled(desk: _Desk) -> assemble.Staged:
    """Open the staged slabs; calibrate them anew first if what they tell together shows that their facts were wrong."""
    while True:
        stored = desk.archive.get(desk.facts_key).data
        staged = assemble.open_staged(desk.archive, desk.staging, rows=desk.readout.rows)
        digest = hashlib.sha256(stored).hexdigest()
        old = {core for core, told in staged.told.items() if told["facts"] != digest}
        for core in sorted(old, key=lambda core: core.start):
            _stage(desk, slabs.widened(core, rows=desk.readout.rows, halo=halo(desk.work.item)), stored)
        if old:
            continue
        facts = exposure_facts.from_bytes(stored, name=desk.facts_key)
        groups = ramp_facts.revised(facts.groups, [_reports(told) for told in staged.told.values()])
        if groups is None:
            return staged
        desk.archive.put(desk.facts_key, exposure_facts.to_bytes(replace(facts, groups=groups)))


def _reports(told: Mapping[str, Any]) -> ramp_facts.Reports:
    maps = (told[name] for name in ("wholly_jumped", "dead_groups"))
    jumped, dead = (None if each is None else tuple(map(tuple, each)) for each in maps)
    return ramp_facts.Reports(jumped, dead)


_PARTS: Mapping[str, Callable[[_Desk], str]] = {
    "whole": _whole,
    "facts": _facts,
    "slab": _slab,
    "assembly": _assembly,
}


def _exists(desk: _Desk) -> bool:
    """Whether an earlier attempt has finished this very version."""
    item = desk.work.item
    desk.meter.version = item.version
    desk.meter.written = publish.read_version(desk.archive, item.dataset, item.version)
    return desk.meter.written is not None


def _write(desk: _Desk, rate: Rate, rateints: Rate, statuses: Mapping[str, str], rest: Ranged | None = None) -> None:
    """Write products, picture and provenance of a version, its manifest last."""
    plan, item = desk.work.plan, desk.work.item
    with desk.meter.stage("read"):
        metadata = tail.read_tail(rest or desk.raw, item.entry)
    info = product_info(plan, item, statuses)
    names = [f"{item.dataset}_{suffix}.fits" for suffix in ("rate", "rateints")]
    files: dict[str, publish.Content] = {
        names[0]: lambda: product.write_rate(rate, metadata, info),
        names[1]: lambda: product.write_rateints(rateints, metadata, info),
        f"{item.dataset}_quicklook.png": picture(rate, item),
        "provenance.json": provenance.to_bytes(plan, item, products=names, statuses=statuses, log=info.log),
    }
    with desk.meter.stage("write"), tempfile.TemporaryDirectory(prefix="reprocess-") as directory:
        if desk.work.zarr:
            files |= _zarr_files(rateints, item, directory)
        desk.meter.written = publish.write_version(desk.archive, manifest.draft(plan, item), files)


def _compare(desk: _Desk, held: Mapping[str, Rate] | None = None) -> None:
    """Hold the version that is there now against the one that readers see; `held` are arrays that it was written of."""
    plan, item, made = desk.work.plan, desk.work.item, desk.meter.written
    assert made is not None
    with desk.meter.stage("compare"):
        wanted = read_target(plan.target, name=f"target of plan {plan.digest[:12]}")
        found = published.difference(
            desk.archive,
            made,
            budget=wanted.budget_for(str(item.entry.header.get("EXP_TYPE", ""))),
            held=held,
            replaces_damage=any(reason.kind == "product-damaged" for reason in item.verdict.reasons),
        )
        if found.get("verdict") == "outside":
            published.keep(desk.archive, plan.digest[:16], made, found)
    desk.meter.difference = published.summary(found)


def _zarr_files(rateints: Rate, item: Item, directory: str) -> dict[str, publish.Content]:
    """Write the rates of each integration as Zarr on disk, so that its objects are published like any file."""
    name, aside = f"{item.dataset}_rateints.zarr", open_store(directory)
    prepared.write_rateints_zarr(aside, name, rateints, {"dataset": item.dataset, "unit": "DN/s"})
    return {stamp.key: partial(_parts, aside, stamp.key) for stamp in aside.list(name)}


def _parts(store: Store, key: str) -> list[bytes]:
    return [store.get(key).data]


def product_info(plan: Plan, item: Item, statuses: Mapping[str, str]) -> product.ProductInfo:
    """Gather what the products of an item say of their making."""
    chain = detector1.steps_for(item.entry.header)
    steps = {step.name: step for step in chain}
    wanted = detector1.reference_types(chain)
    names = {reference.type: reference.name for reference in item.references}
    return product.ProductInfo(
        dataset=item.dataset,
        created=plan.created,
        software=plan.software,
        context=plan.context,
        statuses={steps[name].keyword: status for name, status in statuses.items()},
        references={kind: names.get(kind) for kind in wanted},
        fingerprint=item.fingerprint[-1].digest if item.fingerprint else "",
        raw_etag=item.entry.etag,
        log=tuple(_log(item, statuses)),
    )


def _log(item: Item, statuses: Mapping[str, str]) -> Iterator[str]:
    """Say what each step did, in the order of the chain, without host, user, path or time."""
    for step in item.fingerprint:
        # Not the order of the statuses: staged ones come back sorted by name.
        if step.step in statuses:
            files = ", ".join(f"{kind} {file}" for kind, file, _ in step.references)
            values = ", ".join(f"{key}={value}" for key, value in step.parameters)
            yield "; ".join(filter(None, (f"{step.step}: {statuses[step.step]}", files, values)))


def picture(rate: Rate, item: Item) -> bytes:
    """Draw the quick look of a rate image."""
    image = quicklook.shrink(np.asarray(rate.sci), np.asarray(rate.dq))
    return quicklook.render(quicklook.QuickLook(item.dataset, title(item), image))


def title(item: Item) -> str:
    """Say what the headers of an exposure say of it, for a picture."""
    header = item.entry.header
    return " ".join(str(header[key]) for key in ("INSTRUME", "DETECTOR", "FILTER", "SUBARRAY") if header.get(key))


def halo(item: Item) -> int:
    """Rows that a slab of an exposure must read on either side of its own."""
    return detector1.locality(detector1.steps_for(item.entry.header), item.parameters or {}).halo_rows
