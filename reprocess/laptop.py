"""One exposure on one machine, without S3 and without Dask: files in, two products out."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from reprocess import __version__, errors, slabwise
from reprocess.calibration import dark_current, detector1, irs2
from reprocess.calibration import parameters as step_parameters
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference
from reprocess.calibration.step import Step
from reprocess.calibration.steps import Parameters
from reprocess.exposure import CatalogueEntry, Slab
from reprocess.formats import level1b, product, tail
from reprocess.formats import reference as reference_format
from reprocess.formats.exposure_file import ExposureFile
from reprocess.formats.header import FIRST_BYTES
from reprocess.formats.product_rows import ProductRows
from reprocess.formats.reference_bands import ReferenceBands
from reprocess.planning import bands, slabs
from reprocess.slab_products import SlabProducts
from reprocess.storage import open_store
from reprocess.storage.store import ByteRange, Store

_NOT_APPLICABLE = "N/A"
_PATTERNS = """
    ACQ1 ACQ2 BRIGHT1 BRIGHT2 DEEP2 DEEP8 DHS3 DHS4 DHS5 DHS6 DHS7 FAST FASTGRPAVG FASTGRPAVG8 FASTGRPAVG16
    FASTGRPAVG32 FASTGRPAVG64 FASTR1 FASTR100 FGS FGS60 FGS840 FGS8370 FGSRAPID FINEGUIDE ID MEDIUM2 MEDIUM8
    MEDIUMDEEP2 MEDIUMDEEP8 NIS NISRAPID NRS NRSIRS2 NRSIRS2RAPID NRSN16R4 NRSN32R8 NRSN8R2 NRSRAPID NRSRAPIDD1
    NRSRAPIDD2 NRSRAPIDD6 NRSSLOW RAPID SHALLOW2 SHALLOW4 SLOW SLOWR1 TRACK"""
_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)\s*((?P<prefix>[kKMGT])(?P<binary>i)?)?[bB]?")
_LOG = logging.getLogger(__name__)


def calibrate(
    uncal: Path,
    *,
    references: Mapping[str, Path | None],
    parameters: Mapping[str, Mapping[str, Any]],
    output_dir: Path,
    save_steps: Sequence[str] = (),
    memory_limit_bytes: int | None = None,
    threads: int = 1,
) -> tuple[Path, ...]:
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
    save_steps : sequence of str
        Steps after which the exposure is written, too.
    memory_limit_bytes : int, optional
        Memory that the process may take. The results do not depend on it, nor on `threads`.
    threads : int
        Bands of rows that are calibrated at the same time.

    Returns
    -------
    tuple of Path
        ``<root>_rate.fits`` and ``<root>_rateints.fits``, the files of `save_steps`, and ``<root>_fitopt.fits`` if the
        parameter save_opt of ramp_fit is true. All of them are written whole, or none.

    Raises
    ------
    BadData, Unsupported, ReferenceFileError, UsageError
        See the message.
    """
    with contextlib.ExitStack() as files:
        store, entry = _entry(uncal)
        with _naming(uncal.name):
            steps = detector1.steps_for(entry.header)
        level1b.check_layout(entry)
        assert entry.sci_shape is not None
        readout = Readout.from_header(entry.header, entry.sci_shape, name=uncal.name)
        _check_pattern(readout, uncal.name)
        resolved = _resolve(steps, parameters)
        _check_types(steps, references)
        _check_saved(steps, save_steps)
        inputs = slabwise.Inputs(
            exposure=ExposureFile.of(
                files.enter_context(uncal.open("rb")), entry, zeroframe=detector1.needs_zeroframe(readout, resolved)
            ),
            references={
                kind: _reference(kind, files.enter_context(_open(kind, path)), path.name, readout)
                for kind, path in references.items()
                if path is not None
            },
            readout=readout,
            parameters=resolved,
            save_steps=tuple(dict.fromkeys(save_steps)),
        )
        cut = _slabs(inputs, steps, memory_limit_bytes, threads)
        metadata, info = tail.read_tail(store, entry), _info(entry, steps, references)
        with _naming(uncal.name), _writing(output_dir), ProductRows(output_dir) as rows:
            products = SlabProducts(rows, metadata, info, readout)
            slabwise.calibrate(inputs, cut, products, threads=threads)
            inputs.exposure.check_unchanged()
    return tuple(output_dir / name for name in products.names)


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


def read_size(text: str) -> int:
    """Read an amount of memory, such as ``400MB``, ``1.5 GiB`` or a number of bytes.

    Raises
    ------
    UsageError
        It is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found or float(found["number"]) <= 0:
        raise errors.UsageError(f"--memory-limit {text!r}: write a size, for example 400MB or 2GB.")
    power = " KMGT".index((found["prefix"] or " ").upper())
    return int(float(found["number"]) * (1024 if found["binary"] else 1000) ** power)


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


def _check_pattern(readout: Readout, name: str) -> None:
    if readout.read_pattern not in _PATTERNS.split():
        raise errors.Unsupported(f"{name}: READPATT is {readout.read_pattern!r}, which is no readout pattern of JWST.")


def _check_types(steps: Sequence[Step], references: Mapping[str, Path | None]) -> None:
    """Refuse types that no step reads, and say which are missing."""
    known = detector1.reference_types(steps)
    unknown = sorted(set(references) - set(known))
    if unknown:
        raise errors.UsageError(f"No step reads a {unknown[0]} reference. Types are {', '.join(known)}.")
    absent = sorted(set(known) - set(references))
    if absent:
        _LOG.warning("no reference given, so what reads it is skipped: %s", ", ".join(absent))


def _check_saved(steps: Sequence[Step], wanted: Sequence[str]) -> None:
    names = [step.name for step in steps]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise errors.UsageError(f"--save-step {unknown[0]}: the exposure has no such step. It has {', '.join(names)}.")


def _open(kind: str, path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise errors.MissingReference(f"{kind} reference {path}: cannot be read ({error.strerror}).") from error


def _reference(kind: str, file: BinaryIO, name: str, readout: Readout) -> ReferenceBands:
    opened = reference_format.open_reference(file, kind, name)
    groups = None
    if kind == "dark":
        keywords = Reference(type=kind, arrays={}, keywords=opened.keywords, name=name)
        groups = dark_current.groups_needed(keywords, opened.shape("sci")[-3], readout)
    corner = (readout.row_start, readout.column_start)
    return ReferenceBands.of(opened, corner=corner, shape=irs2.reference_shape(kind, readout), groups=groups)


def _runs(step: Step, inputs: slabwise.Inputs) -> bool:
    """Tell whether a step does anything at all: it is not skipped, and what it reads is there."""
    given = not step.reference_types or any(kind in inputs.references for kind in step.reference_types)
    return given and not inputs.parameters[step.name].get("skip")


def _slabs(
    inputs: slabwise.Inputs, steps: Sequence[Step], memory_limit_bytes: int | None, threads: int
) -> tuple[Slab, ...]:
    """Cut the exposure into slabs that fit the memory."""
    running = [step for step in steps if _runs(step, inputs)]
    locality = detector1.locality(running, {step.name: inputs.parameters[step.name] for step in running})
    if inputs.parameters["ramp_fit"]["save_opt"]:
        locality = replace(locality, whole=True)  # its list of segments is as long as the longest of the exposure
    rows = bands.band_rows(
        inputs.readout.raw_shape,
        locality,
        reference_bytes=sum(each.bytes_per_pixel for each in inputs.references.values())
        + (irs2.BYTES_PER_PIXEL if inputs.readout.interleaved else 0),
        memory_limit_bytes=memory_limit_bytes,
        threads=threads,
    )
    return slabs.cut(inputs.readout.rows, rows, locality.halo_rows)


def _info(entry: CatalogueEntry, steps: Sequence[Step], references: Mapping[str, Path | None]) -> product.ProductInfo:
    """Say what is known of the products before they are made."""
    return product.ProductInfo(
        dataset=entry.dataset,
        created=datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        software=__version__,
        context=_NOT_APPLICABLE,
        statuses={},
        references={kind: _name(references.get(kind)) for kind in detector1.reference_types(steps)},
    )


def _name(path: Path | None) -> str | None:
    return path.name if path is not None else None


def _resolve(steps: Sequence[Step], given: Mapping[str, Mapping[str, Any]]) -> Parameters:
    unknown = sorted(set(given) - {step.name for step in detector1.STEPS})
    if unknown:
        known = ", ".join(step.name for step in detector1.STEPS)
        raise errors.UsageError(f"There is no step {unknown[0]!r}. There are {known}.")
    return step_parameters.checked(steps, given)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put the name of the file before the message of what knows only arrays and keywords."""
    try:
        yield
    except (errors.BadData, errors.Unsupported) as error:
        if str(error).startswith(name):
            raise
        raise type(error)(f"{name}: {error}") from error
    except MemoryError as error:
        raise errors.OutOfMemory(f"{name}: not enough memory ({error}). Set --memory-limit, or a lower one.") from error


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Turn what the system says of files that cannot be written into a sentence."""
    try:
        yield
    except OSError as error:
        raise errors.UsageError(
            f"{directory}: cannot be written ({error.strerror}). Name another --output-dir."
        ) from error
