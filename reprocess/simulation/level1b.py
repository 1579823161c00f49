"""Level 1b files, laid out as flight data are: SCI, GROUP, INT_TIMES and the tree of metadata."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.simulation import fits_blocks, keywords
from reprocess.simulation.ramp import Group
from reprocess.simulation.schedule import Exposure

_MJD_BEGIN = datetime(1858, 11, 17, tzinfo=UTC)
_Y2000 = datetime(2000, 1, 1, tzinfo=UTC)
_SECONDS_PER_DAY = 86400.0
# TT - UTC of these years; TDB differs from TT by 2 ms at most.
_TT_MINUS_UTC_S = 69.184
_LIGHT_TIME_S = 499.0
_AU_KM = 1.495978707e8
_YEAR_DAYS = 365.25
_OBLIQUITY = math.radians(23.4393)
_COMPLETE = "Normal Completion"

_GROUP_COLUMNS = [
    ("integration_number", "i4"),
    ("group_number", "i2"),
    ("end_day", "i2"),
    ("end_milliseconds", "i4"),
    ("end_submilliseconds", "i2"),
    ("group_end_time", "S26"),
    ("number_of_columns", "i2"),
    ("number_of_rows", "i2"),
    ("number_of_gaps", "i2"),
    ("completion_code_number", "i2"),
    ("completion_code_text", "S36"),
    ("bary_end_time", "f8"),
    ("helio_end_time", "f8"),
]
_INT_TIMES_COLUMNS = [
    ("integration_number", "i4"),
    ("int_start_MJD_UTC", "f8"),
    ("int_mid_MJD_UTC", "f8"),
    ("int_end_MJD_UTC", "f8"),
    ("int_start_BJD_TDB", "f8"),
    ("int_mid_BJD_TDB", "f8"),
    ("int_end_BJD_TDB", "f8"),
]


def file_parts(exposure: Exposure, groups: Iterable[Group]) -> Iterator[bytes]:
    """The bytes of a Level 1b file, group by group.

    Parameters
    ----------
    exposure : Exposure
    groups : iterable of ndarray of uint16, shape (row, column)
        All groups of all integrations, in order.

    Yields
    ------
    bytes
        Pieces of the file.
    """
    mode = exposure.mode
    values = header_values(exposure)
    shape = (mode.nints, mode.ngroups, mode.subarray.rows, mode.subarray.columns)
    yield fits_blocks.primary(keywords.cards(keywords.PRIMARY, values))
    yield from fits_blocks.image("SCI", "u2", shape, groups, keywords.cards(keywords.SCIENCE, values))
    yield fits_blocks.table("GROUP", _group_table(exposure))
    yield fits_blocks.table("INT_TIMES", _int_times(exposure))
    yield fits_blocks.asdf_table(keywords.asdf_document(values))


def header_values(exposure: Exposure) -> dict[str, Any]:
    """Every keyword of the primary and SCI headers that this exposure has, with its value."""
    return {
        **_identity(exposure),
        **_configuration(exposure),
        **_readout(exposure),
        **_times(exposure),
        **_pointing(exposure),
        **_ephemeris(exposure),
    }


def _identity(exposure: Exposure) -> dict[str, Any]:
    """What the file and the observation are called."""
    observation = f"{exposure.observation:03d}"
    visit_id = f"{exposure.program}{observation}001"
    return {
        "DATE": _iso(exposure.start + timedelta(days=3)),
        "ORIGIN": "STSCI",
        "TIMESYS": "UTC",
        "TIMEUNIT": "s",
        "FILENAME": f"{exposure.dataset}_uncal.fits",
        "SDP_VER": "2023_1a",
        "PRD_VER": "PRDOPSSOC-059",
        "OSS_VER": "8.4.10",
        "GSC_VER": "GSC30",
        "DATAMODL": "Level1bModel",
        "TELESCOP": "JWST",
        "HGA_MOVE": False,
        "COMPRESS": False,
        "TITLE": f"Simulated survey {exposure.program}",
        "PI_NAME": "Simulated, Observer",
        "CATEGORY": "GO",
        "OBS_ID": f"V{visit_id}P0000000002101",
        "VISIT_ID": visit_id,
        "PROGRAM": exposure.program,
        "OBSERVTN": observation,
        "VISIT": "001",
        "VISITGRP": "02",
        "SEQ_ID": "1",
        "ACT_ID": "01",
        "EXPOSURE": str(exposure.visit_exposure),
        "BKGDTARG": False,
        "TEMPLATE": f"{exposure.mode.detector.instrument} Imaging",
        "OBSLABEL": f"Field {exposure.observation}",
        **_visit(exposure),
    }


def _visit(exposure: Exposure) -> dict[str, Any]:
    return {
        "ENG_QUAL": "OK",
        "ENGQLPTG": "CALCULATED_TRACK_TR_202111",
        "VISITYPE": "PRIME_TARGETED_FIXED",
        "VSTSTART": _iso(exposure.start - timedelta(minutes=40)).replace("T", " ") + "0000",
        "VISITSTA": "SUCCESSFUL",
        "NEXPOSUR": 4,
        "INTARGET": False,
        "TARGOOPP": False,
        "TSOVISIT": False,
        "EXP_ONLY": False,
        "CROWDFLD": False,
        "TARGPROP": f"FIELD-{exposure.number}",
        "TARGNAME": f"FIELD-{exposure.number}",
        "TARGTYPE": "FIXED",
    }


def _configuration(exposure: Exposure) -> dict[str, Any]:
    """Instrument, subarray and aperture."""
    detector, region = exposure.mode.detector, exposure.mode.subarray
    aperture = f"{detector.name}_{region.name}"
    near_infrared_camera = detector.instrument == "NIRCAM"
    return {
        "INSTRUME": detector.instrument,
        "DETECTOR": detector.name,
        "MODULE": detector.name[3] if near_infrared_camera else None,
        "CHANNEL": ("LONG" if detector.name.endswith("LONG") else "SHORT") if near_infrared_camera else None,
        "FILTER": exposure.filter_name or None,
        "PUPIL": exposure.pupil or None,
        "EXP_TYPE": exposure.exp_type,
        "SUBARRAY": region.name,
        "SUBSTRT1": region.column_start + 1,
        "SUBSTRT2": region.row_start + 1,
        "SUBSIZE1": region.columns,
        "SUBSIZE2": region.rows,
        "FASTAXIS": detector.fast_axis,
        "SLOWAXIS": detector.slow_axis,
        "SCA_NUM": detector.sca,
        "APERNAME": aperture,
        "PPS_APER": aperture,
        "PATTTYPE": "NONE",
        "PATT_NUM": 1,
        "NUMDTHPT": 1,
        "XOFFSET": 0.0,
        "YOFFSET": 0.0,
    }


def _readout(exposure: Exposure) -> dict[str, Any]:
    """How groups were made, and how long everything took."""
    mode = exposure.mode
    effective = round(mode.nints * exposure.integration_time_s, 6)
    return {
        "EXPCOUNT": exposure.visit_exposure,
        "EXPRIPAR": "PRIME",
        "READPATT": mode.pattern.name,
        "NOUTPUTS": mode.subarray.outputs,
        "NINTS": mode.nints,
        "NGROUPS": mode.ngroups,
        "NFRAMES": mode.pattern.nframes,
        "FRMDIVSR": mode.pattern.nframes,
        "GROUPGAP": mode.pattern.groupgap,
        "DRPFRMS1": 0,
        "DRPFRMS3": 0,
        "NSAMPLES": 1,
        "TSAMPLE": 10.0,
        "TFRAME": mode.subarray.frame_time_s,
        "TGROUP": round(exposure.group_time_s, 6),
        "EFFINTTM": round(exposure.integration_time_s, 6),
        "EFFEXPTM": effective,
        "XPOSURE": effective,
        "DURATION": round(exposure.duration_s, 6),
        "TELAPSE": round(exposure.duration_s, 6),
        "NRSTSTRT": 1,
        "NRESETS": 1,
        "ZEROFRAM": False,
        "DATAPROB": False,
        "BUNIT": "DN",
    }


def _times(exposure: Exposure) -> dict[str, Any]:
    """Begin, middle and end in all the systems."""
    end = exposure.start + timedelta(seconds=exposure.duration_s)
    begin_mjd, end_mjd = _mjd(exposure.start), _mjd(end)
    middle_mjd = 0.5 * (begin_mjd + end_mjd)
    values: dict[str, Any] = {
        "DATE-OBS": f"{exposure.start:%Y-%m-%d}",
        "TIME-OBS": _iso(exposure.start).split("T")[1],
        "DATE-BEG": _iso(exposure.start),
        "DATE-END": _iso(end),
        "BARTDELT": _light_time_s(exposure),
        "HELIDELT": _light_time_s(exposure) - 1.1,
    }
    moments = (
        ("BEG", "STR", "EXPSTART", begin_mjd),
        ("MID", "MID", "EXPMID", middle_mjd),
        ("END", "END", "EXPEND", end_mjd),
    )
    for name, short, keyword, mjd in moments:
        values[keyword] = mjd
        values["MJD-AVG" if name == "MID" else f"MJD-{name}"] = mjd
        values[f"TDB-{name}"] = _barycentric(exposure, mjd)
        values[f"B{short}TIME"] = _barycentric(exposure, mjd)
        values[f"H{short}TIME"] = _barycentric(exposure, mjd) - 1.1 / _SECONDS_PER_DAY
    return values


def _pointing(exposure: Exposure) -> dict[str, Any]:
    """A tangent plane through the middle of the subarray."""
    detector, region = exposure.mode.detector, exposure.mode.subarray
    roll, scale = math.radians(exposure.roll_deg), detector.pixel_arcsec / 3600.0
    return {
        "TARG_RA": exposure.ra_deg,
        "TARG_DEC": exposure.dec_deg,
        "PROP_RA": exposure.ra_deg,
        "PROP_DEC": exposure.dec_deg,
        "VA_RA": exposure.ra_deg,
        "VA_DEC": exposure.dec_deg,
        "VA_SCALE": 1.0,
        "PA_APER": exposure.roll_deg,
        "RADESYS": "ICRS",
        "RA_V1": exposure.ra_deg,
        "DEC_V1": exposure.dec_deg,
        "PA_V3": exposure.roll_deg,
        "WCSAXES": 2,
        "CRPIX1": 0.5 * (region.columns + 1),
        "CRPIX2": 0.5 * (region.rows + 1),
        "CRVAL1": exposure.ra_deg,
        "CRVAL2": exposure.dec_deg,
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "CDELT1": scale,
        "CDELT2": scale,
        "PC1_1": -math.cos(roll),
        "PC1_2": math.sin(roll),
        "PC2_1": math.sin(roll),
        "PC2_2": math.cos(roll),
        "S_REGION": _footprint(exposure, roll, scale),
        "V2_REF": detector.v2,
        "V3_REF": detector.v3,
        "VPARITY": -1,
        "V3I_YANG": 0.0,
        "RA_REF": exposure.ra_deg,
        "DEC_REF": exposure.dec_deg,
        "ROLL_REF": exposure.roll_deg,
        "VELOSYS": 0.0,
        "GS_ORDER": 1,
        "GDSTARID": f"S{100000 + exposure.number}",
        "GS_RA": exposure.ra_deg,
        "GS_DEC": exposure.dec_deg,
        "GS_MAG": 14.5,
        "PCS_MODE": "FINEGUIDE",
    }


def _footprint(exposure: Exposure, roll: float, scale: float) -> str:
    """The four corners on the sky, degrees."""
    half_columns, half_rows = 0.5 * exposure.mode.subarray.columns, 0.5 * exposure.mode.subarray.rows
    corners = []
    for x, y in (
        (-half_columns, -half_rows),
        (half_columns, -half_rows),
        (half_columns, half_rows),
        (-half_columns, half_rows),
    ):
        east = scale * (-math.cos(roll) * x + math.sin(roll) * y) / math.cos(math.radians(exposure.dec_deg))
        north = scale * (math.sin(roll) * x + math.cos(roll) * y)
        corners.append(f"{(exposure.ra_deg + east) % 360.0:.9f} {exposure.dec_deg + north:.9f}")
    return "POLYGON ICRS  " + " ".join(corners)


def _ephemeris(exposure: Exposure) -> dict[str, Any]:
    """Where the telescope is: near the Earth, whose orbit is taken as a circle."""
    angle = _season(exposure)
    speed = 2.0 * math.pi * _AU_KM / (_YEAR_DAYS * _SECONDS_PER_DAY)
    along, across = math.cos(angle), math.sin(angle)
    return {
        "REFFRAME": "EME2000",
        "EPH_TYPE": "Definitive",
        "EPH_TIME": _mjd(exposure.start),
        "JWST_X": 1.01 * _AU_KM * along,
        "JWST_Y": 1.01 * _AU_KM * across * math.cos(_OBLIQUITY),
        "JWST_Z": 1.01 * _AU_KM * across * math.sin(_OBLIQUITY),
        "JWST_DX": -speed * across,
        "JWST_DY": speed * along * math.cos(_OBLIQUITY),
        "JWST_DZ": speed * along * math.sin(_OBLIQUITY),
    }


def _group_table(exposure: Exposure) -> NDArray[Any]:
    """One row for each group: when it ended."""
    mode = exposure.mode
    rows = np.zeros(mode.nints * mode.ngroups, dtype=_GROUP_COLUMNS)
    for index in range(len(rows)):
        integration, group = divmod(index, mode.ngroups)
        frames = (group + 1) * mode.pattern.nframes + group * mode.pattern.groupgap
        seconds = exposure.integration_start_s(integration) + frames * mode.subarray.frame_time_s
        rows[index] = _group_row(exposure, integration, group, exposure.start + timedelta(seconds=seconds))
    return rows


def _group_row(exposure: Exposure, integration: int, group: int, end: datetime) -> tuple[Any, ...]:
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    milliseconds, rest = divmod((end - midnight) // timedelta(microseconds=1), 1000)
    barycentric = _barycentric(exposure, _mjd(end))
    region = exposure.mode.subarray
    when = (integration + 1, group + 1, (midnight - _Y2000).days, milliseconds, rest, _iso(end))
    helio = barycentric - 1.1 / _SECONDS_PER_DAY
    return (*when, region.columns, region.rows, 0, 0, _COMPLETE, barycentric, helio)


def _int_times(exposure: Exposure) -> NDArray[Any]:
    """One row for each integration: its begin, middle and end."""
    rows = np.zeros(exposure.mode.nints, dtype=_INT_TIMES_COLUMNS)
    for integration in range(exposure.mode.nints):
        begin = _mjd(exposure.start) + exposure.integration_start_s(integration) / _SECONDS_PER_DAY
        end = begin + exposure.integration_time_s / _SECONDS_PER_DAY
        moments = (begin, 0.5 * (begin + end), end)
        rows[integration] = (integration + 1, *moments, *(_barycentric(exposure, mjd) for mjd in moments))
    return rows


def _season(exposure: Exposure) -> float:
    """Angle of the Earth about the Sun, radians, from the autumn equinox."""
    equinox = datetime(2022, 9, 23, tzinfo=UTC)
    return 2.0 * math.pi * ((exposure.start - equinox) / timedelta(days=1)) / _YEAR_DAYS


def _light_time_s(exposure: Exposure) -> float:
    """How much earlier light of the target reaches the telescope than the barycentre."""
    ra, dec, season = math.radians(exposure.ra_deg), math.radians(exposure.dec_deg), _season(exposure)
    toward = math.cos(season) * math.cos(ra) + math.sin(season) * math.cos(_OBLIQUITY) * math.sin(ra)
    return _LIGHT_TIME_S * (math.cos(dec) * toward + math.sin(season) * math.sin(_OBLIQUITY) * math.sin(dec))


def _barycentric(exposure: Exposure, mjd: float) -> float:
    return mjd + (_TT_MINUS_UTC_S + _light_time_s(exposure)) / _SECONDS_PER_DAY


def _mjd(moment: datetime) -> float:
    return (moment - _MJD_BEGIN) / timedelta(days=1)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
