"""Which steps changed between releases of the official pipeline: an older product is stale if its steps did.

From the change logs of `jwst`, releases 1.0.0 to 3.0.0, and of the `stcal` that each of them required: the steps for
which they tell of other pixels or flags in modes that are calibrated or judged here, with default parameters or with
those that the observatory's parameter files set (snowballs and showers). Other options, memory, speed, logs and tests
are left out; where the log leaves a doubt, the step is in.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from packaging.version import InvalidVersion, Version

OFFICIAL = "3.0.0"
"""Release of the official pipeline that gives the pixels of this package."""

OLDEST = "1.0.0"
"""First release of the table; what changed before it is not known."""

CHANGES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        release: frozenset(steps.split())
        for release, steps in {
            "3.0.0": "linearity persistence ramp_fit",
            "2.0.1": "picture_frame",
            "2.0.0": "firstframe jump picture_frame ramp_fit rscd",
            "1.20.0": "clean_flicker_noise firstframe photom",
            "1.19.0": "clean_flicker_noise dark_current emicorr flat_field photom saturation",
            "1.18.0": "clean_flicker_noise emicorr flat_field jump",
            "1.17.0": "firstframe jump rscd saturation",
            "1.16.0": "clean_flicker_noise emicorr flat_field jump photom ramp_fit saturation",
            "1.15.1": "ramp_fit",
            "1.15.0": "emicorr flat_field jump ramp_fit refpix saturation",
            "1.14.0": "charge_migration dark_current emicorr jump photom ramp_fit refpix",
            "1.13.4": "emicorr",
            "1.13.2": "emicorr",
            "1.13.1": "emicorr",
            "1.13.0": "emicorr photom",
            "1.12.5": "refpix",
            "1.12.2": "charge_migration flat_field",
            "1.12.0": "charge_migration jump ramp_fit refpix",
            "1.11.3": "refpix",
            "1.11.2": "refpix",
            "1.11.1": "jump ramp_fit",
            "1.11.0": "dark_current photom ramp_fit refpix",
            "1.10.1": "jump",
            "1.10.0": "charge_migration dq_init jump photom ramp_fit",
            "1.9.4": "ramp_fit",
            "1.9.0": "photom ramp_fit",
            "1.8.1": "jump",
            "1.8.0": "dark_current jump",
            "1.7.0": "jump ramp_fit",
            "1.6.0": "ramp_fit saturation",
            "1.5.3": "flat_field",
            "1.5.2": "jump linearity ramp_fit",
            "1.5.1": "linearity ramp_fit refpix saturation superbias",
            "1.5.0": "jump ramp_fit reset saturation",
            "1.4.5": "reset",
            "1.4.1": "jump",
            "1.4.0": "jump linearity ramp_fit",
            "1.2.0": "jump ramp_fit refpix",
        }.items()
    }
)
"""Steps that a release changed, compared with the release before it."""


def changed_since(version: str) -> frozenset[str] | None:
    """Return the steps that changed after a version of the official pipeline, up to `OFFICIAL`.

    Parameters
    ----------
    version : str
        CAL_VER. Versions are ordered as versions: 1.9.0 comes before 1.20.0, and a candidate before its release.

    Returns
    -------
    frozenset of str or None
        None where it is not known: older than `OLDEST`, newer than `OFFICIAL`, or no version at all.
    """
    try:
        made = Version(version)
    except InvalidVersion:
        return None
    if not Version(OLDEST) <= made <= Version(OFFICIAL):
        return None
    return frozenset[str]().union(*(steps for release, steps in CHANGES.items() if Version(release) > made))


def normal(version: object) -> str:
    """Write equal versions alike; what is no version stays as it is."""
    try:
        return str(Version(str(version)))
    except InvalidVersion:
        return str(version)
