"""Reference files in the layout of the observatory's, from the truth about the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.simulation import fits_blocks, pixels, ramp
from reprocess.simulation.deliveries import Delivery
from reprocess.simulation.fits_blocks import Card
from reprocess.simulation.instruments import subarrays
from reprocess.simulation.pixels import PixelMaps

_DATES = {"exact": "2022-06-20T12:00:00.000", "hasty": "2022-06-18T09:30:00.000"}
_LATER_DATE = "2023-08-01T15:45:00.000"
_MODELS = {
    "mask": "MaskModel",
    "saturation": "SaturationModel",
    "superbias": "SuperBiasModel",
    "linearity": "LinearityModel",
    "dark": "DarkModel",
    "gain": "GainModel",
    "readnoise": "ReadnoiseModel",
    "reset": "ResetModel",
    "rscd": "RSCDModel",
}
# A dark shorter than an exposure is extrapolated, and this one is a straight line: full frames stay small.
_DARK_GROUPS, _FULL_DARK_GROUPS, _MIRI_DARK_GROUPS = 4, 2, 2
_MIRI_INTEGRATIONS = 2
_RESET_GROUPS = len(ramp.RESET_DECAY_DN)
_DQ_DEF = [("BIT", "i4"), ("VALUE", "u4"), ("NAME", "S40"), ("DESCRIPTION", "S80")]
_FLAGS = {
    "DO_NOT_USE": "Bad pixel. Do not use.",
    "DEAD": "Dead pixel",
    "HOT": "Hot pixel",
    "LOW_QE": "Low quantum efficiency",
    "REFERENCE_PIXEL": "Pixel is a reference pixel",
    "NO_SAT_CHECK": "Saturation check cannot be made",
    "UNRELIABLE_BIAS": "Bias variance large",
    "NO_LIN_CORR": "Linearity correction not available",
    "UNRELIABLE_DARK": "Dark variance large",
    "UNRELIABLE_RESET": "Sensitive to reset anomaly",
}
# Meaning of the bits of each file's DQ, from bit 0 on, with the kinds of pixels that have it.
_MEANINGS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "mask": (
        ("DO_NOT_USE", pixels.DEAD | pixels.HOT),
        ("DEAD", pixels.DEAD),
        ("HOT", pixels.HOT),
        ("LOW_QE", pixels.LOW_EFFICIENCY),
        ("REFERENCE_PIXEL", pixels.REFERENCE),
    ),
    "saturation": (("NO_SAT_CHECK", pixels.NO_SATURATION),),
    "superbias": (("UNRELIABLE_BIAS", pixels.UNSURE_BIAS),),
    "linearity": (("NO_LIN_CORR", pixels.NO_LINEARITY),),
    "dark": (("HOT", pixels.HOT), ("UNRELIABLE_DARK", pixels.HOT)),
    "reset": (("UNRELIABLE_RESET", pixels.HOT),),
}


def file_parts(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    """The bytes of a reference file.

    Parameters
    ----------
    delivery : Delivery
    maps : PixelMaps
        Of the region that the file covers.
    seed : int

    Yields
    ------
    bytes
        Pieces of the file.
    """
    yield fits_blocks.primary(_primary_cards(delivery))
    yield from _EXTENSIONS[delivery.type](delivery, maps, seed)


def _mask(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    return _flags(delivery, maps)


def _saturation(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    bias = maps.bias if delivery.detector.infrared_array else np.float32(0.0)
    threshold = np.where(maps.kind & pixels.NO_SATURATION, np.float32(np.nan), maps.threshold + bias)
    return chain(fits_blocks.whole_image("SCI", "f4", threshold), _flags(delivery, maps))


def _superbias(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    bias = np.where(maps.kind & pixels.UNSURE_BIAS, np.float32(np.nan), maps.bias)
    if delivery.content == "hasty":
        bias = bias + pixels.superbias_error(delivery.detector, delivery.region, seed)
    error = np.full_like(bias, 0.4)
    images = (fits_blocks.whole_image("SCI", "f4", bias), fits_blocks.whole_image("ERR", "f4", error))
    return chain(*images, _flags(delivery, maps))


def _linearity(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    shape = maps.kind.shape
    square = np.where(maps.kind & pixels.NO_LINEARITY, np.float32(np.nan), maps.curvature)
    constant = [np.full(shape, value, dtype=np.float32) for value in (0.0, 1.0)]
    planes = [*constant, square, np.full(shape, maps.cubic, dtype=np.float32)]
    return chain(fits_blocks.image("COEFFS", "f4", (len(planes), *shape), planes), _flags(delivery, maps))


def _dark(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    """Groups of a straight ramp; MIRI has one more axis, of integrations."""
    current = maps.dark
    if delivery.content == "renewed":
        current = pixels.renewed_dark(maps, delivery.detector, delivery.region, seed)
    slope = current / maps.gain * np.float32(delivery.region.frame_time_s)
    groups, repeats = _dark_groups(delivery), _integrations(delivery)
    shape = (*repeats, groups, *slope.shape)
    ramps = (np.float32(1 + index % groups) * slope for index in range(groups * max(repeats, default=1)))
    errors = (np.full_like(slope, 0.05) for _ in range(groups * max(repeats, default=1)))
    images = (fits_blocks.image("SCI", "f4", shape, ramps), fits_blocks.image("ERR", "f4", shape, errors))
    return chain(*images, _flags(delivery, maps, lead=(*repeats, 1) if repeats else (), dtype="u4"))


def _reset(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    shape = (_MIRI_INTEGRATIONS, _RESET_GROUPS, *maps.kind.shape)
    levels = [ramp.reset_decay(index % _RESET_GROUPS) for index in range(_MIRI_INTEGRATIONS * _RESET_GROUPS)]
    planes = (np.full(maps.kind.shape, level, dtype=np.float32) for level in levels)
    errors = (np.full(maps.kind.shape, 0.1, dtype=np.float32) for _ in levels)
    images = (fits_blocks.image("SCI", "f4", shape, planes), fits_blocks.image("ERR", "f4", shape, errors))
    return chain(*images, _flags(delivery, maps, dtype="u4"))


def _rscd(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    names = [*(region.name for region in subarrays("MIRI")), "GENERIC"]
    columns = [("subarray", "S17"), ("readpatt", "S12"), ("group_skip1", "i4"), ("group_skip", "i4")]
    rows = np.array([(name, pattern, 1, 1) for name in names for pattern in ("FAST", "FASTR1")], dtype=columns)
    yield fits_blocks.table("RSCD_GROUP_SKIP", rows)


def _gain(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    gain = np.where(maps.kind & pixels.NO_GAIN, np.float32(np.nan), maps.gain)
    return fits_blocks.whole_image("SCI", "f4", gain, [("BUNIT", "electron/DN", "physical units of the array values")])


def _readnoise(delivery: Delivery, maps: PixelMaps, seed: int) -> Iterator[bytes]:
    unit: list[Card] = [("BUNIT", "DN", "physical units of the array values")]
    return fits_blocks.whole_image("SCI", "f4", maps.read_noise, unit)


_EXTENSIONS: Mapping[str, Callable[[Delivery, PixelMaps, int], Iterator[bytes]]] = {
    "mask": _mask,
    "saturation": _saturation,
    "superbias": _superbias,
    "linearity": _linearity,
    "dark": _dark,
    "reset": _reset,
    "rscd": _rscd,
    "gain": _gain,
    "readnoise": _readnoise,
}


def _flags(delivery: Delivery, maps: PixelMaps, *, lead: tuple[int, ...] = (), dtype: str = "u1") -> Iterator[bytes]:
    """The DQ image, whose bits mean what its own DQ_DEF table says, and that table; `lead` are axes before rows."""
    meanings = _MEANINGS[delivery.type]
    flags = np.zeros(maps.kind.shape, dtype=np.uint8)
    for bit, (_, kinds) in enumerate(meanings):
        flags |= ((maps.kind & kinds) != 0).astype(np.uint8) << bit
    planes = [flags] * int(np.prod(lead, dtype=int))
    yield from fits_blocks.image("DQ", dtype, (*lead, *flags.shape), planes)
    yield fits_blocks.table("DQ_DEF", _definitions([name for name, _ in meanings]))


def _definitions(names: Sequence[str]) -> NDArray[Any]:
    rows = [(bit, 1 << bit, name, _FLAGS[name]) for bit, name in enumerate(names)]
    return np.array(rows, dtype=_DQ_DEF)


def _integrations(delivery: Delivery) -> tuple[int, ...]:
    return () if delivery.detector.infrared_array else (_MIRI_INTEGRATIONS,)


def _dark_groups(delivery: Delivery) -> int:
    if not delivery.detector.infrared_array:
        return _MIRI_DARK_GROUPS
    return _FULL_DARK_GROUPS if delivery.region.name == "FULL" else _DARK_GROUPS


def _primary_cards(delivery: Delivery) -> list[Card]:
    detector, region = delivery.detector, delivery.region
    model = "DarkMIRIModel" if (detector.instrument, delivery.type) == ("MIRI", "dark") else _MODELS[delivery.type]
    return [
        ("DATE", _DATES.get(delivery.content, _LATER_DATE), "UTC date file created"),
        ("FILENAME", delivery.name, "Name of the file"),
        ("DATAMODL", model, "Type of data model"),
        ("TELESCOP", "JWST", "Telescope used to acquire the data"),
        ("REFTYPE", delivery.type.upper(), "Reference file type"),
        ("PEDIGREE", "SIMULATION", "The pedigree of the reference file"),
        ("DESCRIP", _description(delivery), "what it is"),
        ("AUTHOR", "Archive simulator", "Author of the reference file"),
        ("USEAFTER", delivery.useafter.replace(" ", "T"), "Use after date of the reference file"),
        ("INSTRUME", detector.instrument, "Instrument used to acquire the data"),
        ("DETECTOR", detector.name, "Name of detector used to acquire the data"),
        ("SUBARRAY", delivery.subarray_rule, "Subarray used"),
        ("SUBSTRT1", region.column_start + 1, "Starting pixel in axis 1 direction"),
        ("SUBSTRT2", region.row_start + 1, "Starting pixel in axis 2 direction"),
        ("SUBSIZE1", region.columns, "Number of pixels in axis 1 direction"),
        ("SUBSIZE2", region.rows, "Number of pixels in axis 2 direction"),
        ("FASTAXIS", detector.fast_axis, "Fast readout axis direction"),
        ("SLOWAXIS", detector.slow_axis, "Slow readout axis direction"),
        *_readout_cards(delivery),
        ("HISTORY", _history(delivery), ""),
    ]


def _readout_cards(delivery: Delivery) -> list[Card]:
    """How the frames of a dark or a reset were taken: one by one."""
    if delivery.type not in ("dark", "reset", "superbias", "readnoise"):
        return []
    fast = {"NIRCAM": "RAPID", "NIRISS": "NISRAPID", "FGS": "FGSRAPID", "MIRI": "FASTR1"}
    cards: list[Card] = [("READPATT", fast[delivery.detector.instrument], "Readout pattern")]
    if delivery.type == "reset":
        cards.append(("NINTS", _MIRI_INTEGRATIONS, "Number of integrations in exposure"))
        cards.append(("NGROUPS", _RESET_GROUPS, "Number of groups in integration"))
    if delivery.type == "dark":
        cards.append(("EXP_TYPE", f"{_DARK_TYPES[delivery.detector.instrument]}", "Type of data in the exposure"))
        cards.append(("NGROUPS", _dark_groups(delivery), "Number of groups in integration"))
        cards.append(("NFRAMES", 1, "Number of frames per group"))
        cards.append(("GROUPGAP", 0, "Number of frames dropped between groups"))
        cards.append(("AVDRKCUR", delivery.detector.dark_e_s, "[electron/s] average dark current"))
    return cards


_DARK_TYPES = {"NIRCAM": "NRC_DARK", "NIRISS": "NIS_DARK", "FGS": "FGS_DARK", "MIRI": "MIR_DARKIMG"}


def _description(delivery: Delivery) -> str:
    words = {"exact": "", "hasty": " from few darks", "copy": ", reviewed", "renewed": " after the warm-up"}
    return f"Simulated {delivery.type}{words[delivery.content]}"


def _history(delivery: Delivery) -> str:
    if delivery.content == "copy":
        return "Same pixels as the delivery before; header reviewed."
    return "Computed from the model that the simulated exposures are made with."
