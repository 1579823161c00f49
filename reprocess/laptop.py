"""One exposure on one machine, without S3 and without Dask: files in, two products out."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reprocess import __version__, errors
from reprocess.archive import judging
from reprocess.calibration import detector1
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference
from reprocess.calibration.step import Step
from reprocess.exposure import Band, CatalogueEntry
from reprocess.formats import level1b, product, region, tail
from reprocess.formats import reference as reference_format
from reprocess.formats.header import FIRST_BYTES
from reprocess.storage import open_store
from reprocess.storage.store import ByteRange, Store

_NOT_APPLICABLE = "N/A"
_LOG = logging.getLogger(__name__)


def calibrate(
    uncal: Path,
    *,
    references: Mapping[str, Path | None],
    parameters: Mapping[str, Mapping[str, Any]],
    output_dir: Path,
) -> tuple[Path, Path]:
    """Calibrate a Level 1b file.

    Parameters
    ----------
    uncal : Path
        The file; its name may end in ``_uncal.fits``.
    references : mapping of CRDS type to Path or None
        None, or a type that is left out, skips the steps that read it.
    parameters : mapping of step to mapping of parameter to value
    output_dir : Path
        Made if it is not there.

    Returns
    -------
    tuple of Path
        ``<root>_rate.fits`` and ``<root>_rateints.fits``. Both are written whole or not at all.

    Raises
    ------
    BadData, Unsupported, ReferenceFileError, UsageError
        See the message.
    """
    store, entry = _entry(uncal)
    with _naming(uncal.name):
        steps = detector1.steps_for(entry.header)
    level1b.check_layout(entry)
    assert entry.sci_shape is not None
    readout = Readout.from_header(entry.header, entry.sci_shape, name=uncal.name)
    resolved = _resolve(steps, parameters)
    read = {kind: _reference(kind, path, readout) for kind, path in references.items() if path is not None}
    unknown = sorted(set(references) - set(detector1.reference_types(steps)))
    if unknown:
        known = ", ".join(detector1.reference_types(steps))
        raise errors.UsageError(f"No step reads a {unknown[0]} reference. Types are {known}.")
    absent = sorted(set(detector1.reference_types(steps)) - set(references))
    if absent:
        _LOG.warning("no reference given, so what reads it is skipped: %s", ", ".join(absent))
    raw = level1b.read_slab(store, entry, Band(0, readout.rows))
    with _naming(uncal.name):
        made = detector1.calibrate(raw, read, readout=readout, parameters=resolved)
    metadata = tail.read_tail(store, entry)
    keywords = {step.name: step.keyword for step in steps}
    info = product.ProductInfo(
        dataset=entry.dataset,
        created=datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        software=__version__,
        context=_NOT_APPLICABLE,
        statuses={keywords[name]: status for name, status in made.statuses.items()},
        references={kind: _name(references.get(kind)) for kind in detector1.reference_types(steps)},
    )
    rate, rateints = (output_dir / f"{entry.dataset}_{suffix}.fits" for suffix in ("rate", "rateints"))
    _write(
        {
            rate: product.write_rate(made.rate, metadata, info),
            rateints: product.write_rateints(made.rateints, metadata, info),
        }
    )
    return rate, rateints


def read_references(given: Sequence[str]) -> dict[str, Path | None]:
    """Read ``TYPE=PATH`` options; the path ``N/A`` means none.

    Raises
    ------
    UsageError
        An option is malformed, given twice, or its file does not exist.
    """
    found: dict[str, Path | None] = {}
    for option in given:
        kind, separator, path = option.partition("=")
        if not separator or not kind or not path:
            raise errors.UsageError(f"--reference {option!r}: write TYPE=PATH, as gain=gain.fits, or TYPE=N/A.")
        if kind.lower() in found:
            raise errors.UsageError(f"--reference {kind} is given twice. Give it once.")
        found[kind.lower()] = None if path == _NOT_APPLICABLE else Path(path)
    return found


def read_parameters(given: Sequence[str], skip: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Read ``STEP.NAME=VALUE`` options, and steps to skip. A value is JSON, or else a word.

    Raises
    ------
    UsageError
        An option is malformed.
    """
    found: dict[str, dict[str, Any]] = {step: {"skip": True} for step in skip}
    for option in given:
        place, separator, text = option.partition("=")
        step, dot, name = place.partition(".")
        if not (separator and dot and step and name):
            raise errors.UsageError(
                f"--parameter {option!r}: write STEP.NAME=VALUE, for example jump.rejection_threshold=5."
            )
        found.setdefault(step, {})[name] = _value(text)
    return found


def _value(text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except json.JSONDecodeError:
        return text


def _entry(uncal: Path) -> tuple[Store, CatalogueEntry]:
    """Read the headers of a file on disk as a scan would."""
    if not uncal.is_file():
        raise errors.UsageError(f"{uncal}: there is no such file.")
    store = open_store(str(uncal.parent.absolute()))
    stamp = store.head(uncal.name)
    dataset = uncal.name.removesuffix(".fits").removesuffix("_uncal")
    length = FIRST_BYTES
    while True:
        wanted = ByteRange(0, min(length, stamp.size))
        data = bytes(store.get_ranges(uncal.name, [wanted], etag=stamp.etag)[0])
        entry = level1b.read_entry(data, stamp, store.url, dataset, "uncal")
        if isinstance(entry, CatalogueEntry):
            return store, entry
        length = entry.length


def _reference(kind: str, path: Path, readout: Readout) -> Reference:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise errors.MissingReference(f"{kind} reference {path}: cannot be read ({error.strerror}).") from error
    whole = reference_format.read_reference(data, kind, path.name)
    return region.cut(whole, corner=(readout.row_start, readout.column_start), shape=readout.frame_shape)


def _name(path: Path | None) -> str | None:
    return path.name if path is not None else None


def _resolve(steps: Sequence[Step], given: Mapping[str, Mapping[str, Any]]) -> judging.Parameters:
    unknown = sorted(set(given) - {step.name for step in detector1.STEPS})
    if unknown:
        known = ", ".join(step.name for step in detector1.STEPS)
        raise errors.UsageError(f"There is no step {unknown[0]!r}. There are {known}.")
    return judging.resolve_parameters(steps, given)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the name of the file before the message of what knows only arrays and keywords."""
    try:
        yield
    except (errors.BadData, errors.Unsupported) as error:
        raise type(error)(f"{name}: {error}") from error


def _write(products: Mapping[Path, Iterator[bytes]]) -> None:
    """Write aside, then move into place: nobody sees half a product, or one without the other."""
    asides = {path: path.with_name(f".{path.name}.{uuid.uuid4().hex}") for path in products}
    try:
        for path, blocks in products.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with asides[path].open("xb") as file:
                file.writelines(blocks)
        for path, aside in asides.items():
            os.replace(aside, path)
    except OSError as error:
        place = next(iter(products)).parent
        raise errors.UsageError(f"{place}: cannot be written ({error.strerror}). Name another --output-dir.") from error
    finally:
        for aside in asides.values():
            with contextlib.suppress(OSError):
                aside.unlink()
