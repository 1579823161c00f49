"""CRDS rules: the two contexts, their imaps and their rmaps, as text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import groupby

from reprocess.simulation.deliveries import (
    FIRST_CONTEXT,
    SECOND_CONTEXT,
    SUBARRAY,
    Deliveries,
    Delivery,
    changed_rmaps,
    match_keys,
    reference_types,
    rmap_name,
)
from reprocess.simulation.instruments import INSTRUMENTS

# What an imap of the observatory also lists and this archive has no files of.
_ABSENT_TYPES = (
    "APCORR", "AREA", "BARSHADOW", "CAMERA", "COLLIMATOR", "CUBEPAR", "DARK", "DFLAT", "DISPERSER", "DISTORTION",
    "DRIZPARS", "EMICORR", "EXTRACT1D", "FFLAT", "FILTEROFFSET", "FLAT", "FORE", "FPA", "FRINGE", "GAIN", "IFUFORE",
    "IFUPOST", "IFUSLICER", "IPC", "LASTFRAME", "LINEARITY", "MASK", "MSA", "MSAOPER", "OTE", "PATHLOSS", "PERSAT",
    "PHOTOM", "PICTUREFRAME", "PSFMASK", "READNOISE", "REFPIX", "REGIONS", "RESET", "RESOL", "RSCD", "SATURATION",
    "SFLAT", "SIRSKERNEL", "SPECWCS", "STRAYMASK", "SUPERBIAS", "THROUGHPUT", "TRAPDENSITY", "TRAPPARS", "TSOPHOT",
    "WAVECORR", "WAVELENGTHRANGE", "WCSREGIONS", "WFSSBKG",
)  # fmt: skip
_USEAFTER_KEYS = ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME")
_DESCRIPTIONS = {
    1: "Simulated archive: what products were first made with",
    2: "Simulated archive: one superbias, renamed gains, renewed darks, reworded rules",
}


def mappings(made: Deliveries) -> dict[str, str]:
    """Text of all mappings of both contexts by file name.

    Parameters
    ----------
    made : Deliveries

    Returns
    -------
    dict of str to str
    """
    changed = changed_rmaps(made)
    used = sorted({file.detector.instrument for file in made.first}, key=INSTRUMENTS.index)
    texts: dict[str, str] = {}
    for version, files in ((1, made.first), (2, made.second)):
        versions = {pair: version if pair in changed else 1 for pair in _pairs(used)}
        for instrument in used:
            imap_version = version if any(pair[0] == instrument for pair in changed) else 1
            versions[instrument, ""] = imap_version
            texts |= _instrument(instrument, files, versions)
        name = FIRST_CONTEXT if version == 1 else SECOND_CONTEXT
        texts[name] = _context(name, version, {key: _imap_name(key, versions[key, ""]) for key in used})
    return texts


def _pairs(instruments: Sequence[str]) -> list[tuple[str, str]]:
    return [(instrument, one) for instrument in instruments for one in reference_types(instrument)]


def _imap_name(instrument: str, version: int) -> str:
    return f"jwst_{instrument.lower()}_{9000 + version}.imap"


def _instrument(instrument: str, files: Sequence[Delivery], versions: Mapping[tuple[str, str], int]) -> dict[str, str]:
    """The imap of an instrument and its rmaps."""
    texts, chosen = {}, dict.fromkeys(_ABSENT_TYPES, "N/A")
    for reference_type in reference_types(instrument):
        version = versions[instrument, reference_type]
        name = rmap_name(instrument, reference_type, version)
        chosen[reference_type.upper()] = name
        rules = [file for file in files if file.type == reference_type and file.detector.instrument == instrument]
        texts[name] = _rmap(name, version, instrument, reference_type, rules)
    name = _imap_name(instrument, versions[instrument, ""])
    header = {"instrument": instrument, "mapping": "INSTRUMENT", "parkey": ("REFTYPE",)}
    texts[name] = _mapping(name, versions[instrument, ""], header, _flat_selector(chosen))
    return texts


def _context(name: str, version: int, chosen: Mapping[str, str]) -> str:
    header = {
        "description": _DESCRIPTIONS[version],
        "mapping": "PIPELINE",
        "parkey": ("META.INSTRUMENT.NAME",),
    }
    return _mapping(name, version, header, _flat_selector(chosen))


def _rmap(name: str, version: int, instrument: str, reference_type: str, files: Sequence[Delivery]) -> str:
    keys = match_keys(instrument, reference_type)
    header: dict[str, object] = {
        "classes": ("Match", "UseAfter"),
        "filekind": reference_type.upper(),
        "instrument": instrument,
        "mapping": "REFERENCE",
        "parkey": (keys, _USEAFTER_KEYS),
    }
    if SUBARRAY in keys:
        header["substitutions"] = {SUBARRAY: {"GENERIC": "N/A"}}
    header["text_descr"] = f"{reference_type} of the simulated archive, delivery {version}"
    return _mapping(name, version, header, _match_selector(files))


def _mapping(name: str, version: int, header: Mapping[str, object], selector: str) -> str:
    """Header and selector, with the checksum over all lines but its own, as CRDS takes it."""
    derived = "created by hand" if version == 1 else name.replace(f"_{9000 + version}.", f"_{8999 + version}.")
    fields = {**header, "derived_from": derived, "name": name, "observatory": "JWST"}
    lines = [f"    {key!r} : {_value(fields[key])},\n" for key in sorted(fields)]
    begin, end = "header = {\n" + "".join(lines), "}\n\n" + selector
    digest = hashlib.sha1((begin + end).encode(), usedforsecurity=False).hexdigest()
    return f"{begin}    'sha1sum' : '{digest}',\n{end}"


def _value(value: object) -> str:
    """A header value as CRDS writes it: nested tables are indented."""
    if not isinstance(value, dict):
        return repr(value)
    rows = [
        f"        {key!r} : {{\n" + "".join(f"            {a!r} : {b!r},\n" for a, b in inner.items()) + "        },\n"
        for key, inner in value.items()
    ]
    return "{\n" + "".join(rows) + "    }"


def _flat_selector(chosen: Mapping[str, str]) -> str:
    lines = [f"    {key!r} : {chosen[key]!r},\n" for key in sorted(chosen)]
    return "selector = {\n" + "".join(lines) + "}\n"


def _match_selector(files: Sequence[Delivery]) -> str:
    """Match of tuples (or of one value), each with a UseAfter table in the order of dates."""
    ordered = sorted(files, key=lambda file: (file.match, file.useafter))
    blocks = []
    for match, rules in groupby(ordered, key=lambda file: file.match):
        label = repr(match if len(match) > 1 else match[0])
        dates = "".join(f"        {file.useafter!r} : {file.name!r},\n" for file in rules)
        blocks.append(f"    {label} : UseAfter({{\n{dates}    }}),\n")
    return "selector = Match({\n" + "".join(blocks) + "})\n"
