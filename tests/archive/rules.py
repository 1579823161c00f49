"""Real rules of contexts, and headers that ask them everything they can answer."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

EXPOSURE_TYPES = {
    "NIRCAM": ["NRC_IMAGE", "NRC_TSIMAGE", "NRC_CORON", "NRC_GRISM", "NRC_DARK", "NRC_TACQ"],
    "NIRISS": ["NIS_IMAGE", "NIS_AMI", "NIS_SOSS", "NIS_WFSS", "NIS_DARK"],
    "FGS": ["FGS_IMAGE", "FGS_FOCUS", "FGS_DARK"],
    "MIRI": ["MIR_IMAGE", "MIR_LRS-FIXEDSLIT", "MIR_MRS", "MIR_4QPM", "MIR_DARK"],
    "NIRSPEC": ["NRS_FIXEDSLIT", "NRS_IFU", "NRS_MSASPEC", "NRS_BRIGHTOBJ", "NRS_DARK"],
}
DETECTORS = {
    "NIRCAM": ["NRCA1", "NRCA2", "NRCA3", "NRCA4", "NRCALONG", "NRCB1", "NRCB2", "NRCB3", "NRCB4", "NRCBLONG"],
    "NIRISS": ["NIS"],
    "FGS": ["GUIDER1", "GUIDER2"],
    "MIRI": ["MIRIMAGE", "MIRIFULONG", "MIRIFUSHORT"],
    "NIRSPEC": ["NRS1", "NRS2"],
}
FILTERS = [
    "F090W",
    "F200W",
    "F150W2",
    "F444W",
    "F770W",
    "F1500W",
    "CLEAR",
    "OPAQUE",
    "F100LP",
    "F170LP",
    "N/A",
    "P750L",
    "FND",
]
PUPILS = ["CLEAR", "GRISMR", "MASKRND", "F162M", "NRM", "CLEARP", "F090W", "ANY"]
PATTERNS = [
    "RAPID",
    "BRIGHT1",
    "SHALLOW4",
    "DEEP8",
    "NIS",
    "NISRAPID",
    "FAST",
    "SLOW",
    "FASTR1",
    "NRSRAPID",
    "NRSIRS2",
    "FGS",
]
SUBARRAYS = [
    "FULL",
    "SUB160",
    "SUB64P",
    "SUB320",
    "SUB80",
    "SUBSTRIP256",
    "MASK1550",
    "SLITLESSPRISM",
    "SUBS200A1",
    "ALLSLITS",
]
TYPES = """
    area dark distortion drizpars filteroffset fringe gain ipc lastframe linearity mask persat photom psfmask readnoise
    refpix regions reset rscd saturation specwcs superbias trapdensity trappars wavelengthrange wcsregions
""".split()  # noqa: SIM905 (a table of words)
DAYS = ["2015-10-01", "2016-01-01", "2017-06-15", "2019-02-28", "2022-04-26", "2025-12-31", "1999-01-01", "2014-01-01"]
TIMES = ["00:00:00", "12:34:56.789", "23:59:59.999", "00:00:00.001", "10:20:30"]


def directory():
    """Folder laid out as a CRDS cache with real contexts, or skip."""
    shared = Path(os.environ.get("REPROCESS_SHARED") or Path(__file__).parents[3] / "shared")
    if not (shared / "crds" / "mappings" / "jwst").is_dir():
        pytest.skip("no real contexts: neither REPROCESS_SHARED nor ../shared has crds/mappings/jwst")
    return shared / "crds"


def headers(count, *, dates=(), seed=1):
    """Random primary headers; a third of the dates lies on, before or after one of `dates`."""
    chance = random.Random(seed)
    for _ in range(count):
        instrument = chance.choice(sorted(DETECTORS))
        header = {
            "INSTRUME": instrument,
            "DETECTOR": chance.choice(DETECTORS[instrument]),
            "EXP_TYPE": chance.choice(EXPOSURE_TYPES[instrument]),
            "FILTER": chance.choice(FILTERS),
            "PUPIL": chance.choice(PUPILS),
            "GRATING": chance.choice(["G140H", "PRISM", "MIRROR", "G395M"]),
            "BAND": chance.choice(["SHORT", "MEDIUM", "LONG", "N/A"]),
            "CHANNEL": chance.choice(["SHORT", "LONG", "12", "34", 1, "N/A"]),
            "MODULE": chance.choice(["A", "B"]),
            "CORONMSK": chance.choice(["NONE", "MASKA210R", "4QPM_1065"]),
            "READPATT": chance.choice(PATTERNS),
            "SUBARRAY": chance.choice(SUBARRAYS),
            "SUBSTRT1": chance.choice([1, 1, 897]),
            "SUBSTRT2": chance.choice([1, 1, 513]),
            "SUBSIZE1": chance.choice([2048, 1032, 160]),
            "SUBSIZE2": chance.choice([2048, 1024, 160]),
            "TSOVISIT": chance.choice([True, False]),
        }
        day, time = chance.choice(DAYS), chance.choice(TIMES)
        if dates and chance.random() < 1 / 3:
            day, _, time = chance.choice(dates).partition(" ")
        header |= {"DATE-OBS": day, "TIME-OBS": time or "00:00:00"}
        if chance.random() < 0.2:  # a keyword that is absent is a case of its own
            del header[chance.choice(sorted(set(header) - {"INSTRUME", "DATE-OBS", "TIME-OBS"}))]
        yield header
