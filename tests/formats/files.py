"""Level 1b files, rates and reference files made on the spot, small and complete."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from reprocess.formats import asdf_tree
from reprocess.formats.tail import INT_TIMES

KEYWORDS = {
    "TELESCOP": "JWST",
    "DATE": "2026-11-01T00:00:00.000",
    "FILENAME": "jw01234001001_02101_00001_nrca1_uncal.fits",
    "DATAMODL": "Level1bModel",
    "TITLE": "It's a long title that has to go on in a second card because it does not fit into the first",
    "PROGRAM": "01234",
    "DATE-OBS": "2026-10-01",
    "TIME-OBS": "10:00:00.000",
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCA1",
    "CHANNEL": "SHORT",
    "MODULE": "A",
    "FILTER": "F200W",
    "PUPIL": "CLEAR",
    "EXP_TYPE": "NRC_IMAGE",
    "READPATT": "BRIGHT1",
    "NFRAMES": 1,
    "GROUPGAP": 1,
    "FRMDIVSR": 1,
    "TFRAME": 10.73677,
    "TGROUP": 21.47354,
    "SUBARRAY": "FULL",
    "SUBSTRT1": 1,
    "SUBSTRT2": 1,
    "FASTAXIS": -1,
    "SLOWAXIS": 2,
}

SCIENCE = {
    "BUNIT": ("DN", "physical units of the array values"),
    "MJD-BEG": (60950.4, "[d] exposure start time in MJD"),
    "WCSAXES": (2, "number of World Coordinate System axes"),
    "CRPIX1": (1024.5, ""),
    "CRPIX2": (1024.5, ""),
    "CRVAL1": (12.5, ""),
    "CRVAL2": (-4.25, ""),
    "CTYPE1": ("RA---TAN", ""),
    "CTYPE2": ("DEC--TAN", ""),
    "CUNIT1": ("deg", ""),
    "CUNIT2": ("deg", ""),
    "CDELT1": (8.6e-6, ""),
    "CDELT2": (8.6e-6, ""),
    "S_REGION": (
        "POLYGON ICRS  245.979858401 28.398269261 245.998787752 28.392915468 245.992478247 28.376265790",
        "area",
    ),
}


@dataclass
class Planes:
    """Arrays of a rate."""

    sci: Any
    err: Any
    dq: Any
    var_poisson: Any
    var_rnoise: Any


def pixels(shape=(2, 3, 16, 12), seed=1):
    """Random DN over all 16 bits."""
    return np.random.default_rng(seed).integers(0, 65536, shape, dtype=np.uint16)


def int_times(count):
    """Times of `count` integrations."""
    times = np.zeros(count, INT_TIMES)
    times["integration_number"] = np.arange(1, count + 1)
    for step, name in enumerate(INT_TIMES.names[1:]):
        times[name] = 60950.4 + 0.1 * step + np.arange(count)
    return times


def uncal(data=None, *, primary=None, science=None, times=True, extra_cards=0, tree=None):
    """The bytes of a Level 1b file; keywords set to None are left out."""
    data = pixels() if data is None else data
    header = fits.Header()
    shape = dict(zip(("NINTS", "NGROUPS", "SUBSIZE2", "SUBSIZE1"), data.shape, strict=False))
    for keyword, value in {**KEYWORDS, **shape, **(primary or {})}.items():
        if value is not None:
            header[keyword] = value
    for number in range(extra_cards):
        header[f"FILL{number:04d}"] = number
    sci = fits.ImageHDU(data, name="SCI")
    for keyword, card in {**SCIENCE, **(science or {})}.items():
        sci.header[keyword] = card
    parts = [fits.PrimaryHDU(header=header), sci, fits.BinTableHDU(np.zeros(4, [("group", "i4")]), name="GROUP")]
    if times:
        parts.append(fits.BinTableHDU(int_times(data.shape[0]), name="INT_TIMES"))
    if tree is not None:
        content = asdf_tree.to_asdf(tree)
        row = np.frombuffer(content, np.dtype([("ASDF_METADATA", "u1", (len(content),))]))
        parts.append(fits.BinTableHDU(row, name="ASDF"))
    return to_bytes(parts)


def to_bytes(parts):
    """The bytes of a FITS file."""
    buffer = io.BytesIO()
    fits.HDUList(parts).writeto(buffer)
    return buffer.getvalue()


def planes(shape=(16, 12), seed=2):
    """A random rate with NaNs and every bit of DQ."""
    random = np.random.default_rng(seed)
    values = [random.normal(1, 5, shape).astype("f4") for _ in range(4)]
    values[0][..., 0, 0] = np.nan
    dq = random.integers(0, 2**32, shape, dtype=np.uint32)
    return Planes(values[0], abs(values[1]), dq, abs(values[2]), abs(values[3]))


def reference(arrays, *, keywords=None, dq_def=None, history=()):
    """The bytes of a reference file: arrays by extension name, DQ_DEF as (bit, value, name) rows."""
    header = fits.Header({"TELESCOP": "JWST", "REFTYPE": "X", **(keywords or {})})
    for line in history:
        header["HISTORY"] = line
    parts = [fits.PrimaryHDU(header=header)]
    parts += [fits.ImageHDU(array, name=name) for name, array in arrays.items()]
    if dq_def is not None:
        rows = np.array(
            [(bit, value, name, "") for bit, value, name in dq_def],
            [("BIT", "u4"), ("VALUE", "u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")],
        )
        parts.append(fits.BinTableHDU(rows, name="DQ_DEF"))
    return to_bytes(parts)


def table(name, rows):
    """The bytes of a reference file that is a table."""
    return to_bytes([fits.PrimaryHDU(header=fits.Header({"TELESCOP": "JWST"})), fits.BinTableHDU(rows, name=name)])


def flight_file(name):
    """Path of a public Level 1b file, or skip."""
    shared = os.environ.get("REPROCESS_SHARED") or Path(__file__).parents[3] / "shared"
    path = Path(shared) / "data" / "jwst" / name
    if not path.exists():
        pytest.skip(f"the public file {name} is not in REPROCESS_SHARED/data/jwst")
    return path


NIRCAM = "jw01075001001_03105_00009_nrca2_uncal.fits"
GUIDER = "jw01019001001_gs-acq1_2022117003102_uncal.fits"
