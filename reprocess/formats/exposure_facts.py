"""Facts of an exposure on their way to the workers that calibrate its slabs: arrays, never code."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from reprocess import errors
from reprocess.calibration import refpix, refpix_miri
from reprocess.calibration.facts import Facts
from reprocess.calibration.ramp_facts import GroupMap, RampFacts

_SIGNALS: dict[str, type[refpix.Signal] | type[refpix_miri.Signal]] = {
    "near-infrared": refpix.Signal,
    "mid-infrared": refpix_miri.Signal,
}
_ZEROFRAME = "zeroframe_"


def to_bytes(facts: Facts) -> bytes:
    """Write facts as an archive of arrays."""
    signal = facts.reference_signal
    kind = next((kind for kind, found in _SIGNALS.items() if isinstance(signal, found)), "")
    record = {"signal": kind, "groups": asdict(facts.groups)}
    arrays = {field.name: getattr(signal, field.name) for field in fields(signal)} if signal is not None else {}
    zero = facts.zeroframe_signal
    if zero is not None:
        arrays |= {_ZEROFRAME + field.name: getattr(zero, field.name) for field in fields(zero)}
    content = io.BytesIO()
    np.savez(content, record=np.array(json.dumps(record)), **{name: a for name, a in arrays.items() if a is not None})
    return content.getvalue()


def from_bytes(data: bytes, *, name: str) -> Facts:
    """Read facts.

    Raises
    ------
    DamagedRecord
        The bytes hold no facts.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as content:
            record = json.loads(str(content["record"]))
            arrays = {key: _plain(content[key]) for key in content.files if key != "record"}
        found = _SIGNALS[record["signal"]] if record["signal"] else None
        signal = found(**{field.name: arrays.get(field.name) for field in fields(found)}) if found else None  # type: ignore[arg-type]
        groups = record["groups"]
        return Facts(
            signal,
            RampFacts(
                dead_groups=tuple(tuple(map(bool, each)) for each in groups["dead_groups"]),
                saturated_groups=tuple(map(bool, groups["saturated_groups"])),
                median_gain=float(groups["median_gain"]),
                released_groups=_group_map(groups.get("released_groups")),
            ),
            _zeroframe_signal(arrays),
        )
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise errors.DamagedRecord(f"{name} holds no facts of an exposure: {error!r}. Run the plan again.") from error


def _zeroframe_signal(arrays: dict[str, Any]) -> refpix.Signal | None:
    found = {field.name: arrays.get(_ZEROFRAME + field.name) for field in fields(refpix.Signal)}
    return None if found["fast"] is None else refpix.Signal(**found)  # type: ignore[arg-type]


def _group_map(record: list[list[bool]] | None) -> GroupMap | None:
    return None if record is None else tuple(tuple(map(bool, each)) for each in record)


def _plain(array: Any) -> Any:  # noqa: ANN401
    return array.item() if array.ndim == 0 else array
