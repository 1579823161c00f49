"""Both pipelines on the same files, as their users run them: file names in, products out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner, Result
from jwst.pipeline import Detector1Pipeline
from stdatamodels.jwst import datamodels

from reprocess import cli
from reprocess.calibration import detector1
from tests.calibration.exposures import Exposure
from tests.parity import limits, official_steps

ROOT = "jw00001001001_02101_00001_det"
PRODUCTS = ("rate", "rateints")
NOT_GIVEN = "N/A"
# Officially a dark_current step that the user skips leaves no status.
SKIPPED_WITHOUT_A_WORD = {"S_DARK": "SKIPPED"}
Parameters = Mapping[str, Mapping[str, Any]]


def compared(
    exposure: Exposure, folder: Path, parameters: Parameters, covered: Exposure | None = None
) -> Iterator[tuple[str, limits.Difference]]:
    """Run both on the same files; how far rate and rateints are apart. Where neither makes any, there is nothing.

    The references are those of `covered`, which may have more rows and columns than the exposure.
    """
    for place in ("in", "official", "ours"):
        (folder / place).mkdir()
    uncal, references = write(exposure, folder / "in", covered or exposure)
    result = ours(uncal, references, folder / "ours", parameters)
    assert result.exit_code in (0, cli.EXIT_USAGE), result.output or result.exception
    try:
        theirs = official(uncal, references, folder / "official", parameters)
    except (IndexError, ValueError, TypeError) as error:
        pytest.skip(f"the official pipeline fails: {error}")
    if not theirs:
        _assert_nothing_usable(folder / "ours")
        return
    assert result.exit_code == 0, result.output
    for suffix, path in zip(PRODUCTS, theirs, strict=True):
        our, our_statuses = limits.planes(folder / "ours" / path.name)
        their, their_statuses = limits.planes(path)
        assert our_statuses == SKIPPED_WITHOUT_A_WORD | their_statuses
        yield suffix, limits.difference(our, their)


def _assert_nothing_usable(folder: Path) -> None:
    """Where the official pipeline makes no product, there is none here, or one without a number."""
    for path in folder.iterdir():
        arrays, _ = limits.planes(path)
        assert not np.isfinite(arrays["SCI"]).any()


def write(exposure: Exposure, folder: Path, covered: Exposure) -> tuple[Path, dict[str, str]]:
    """Write the exposure and its references with the official data models; references that are missing are N/A."""
    model = official_steps.science(exposure, folder, datamodels.Level1bModel)
    model.meta.filename = f"{ROOT}_uncal.fits"
    path = folder / f"{ROOT}_uncal.fits"
    model.save(path)
    names = official_steps.references(covered, folder)
    if covered is not exposure:  # officially these are not cut to the subarray
        (folder / "cut").mkdir()
        cut = official_steps.references(exposure, folder / "cut")
        names |= {kind: cut[kind] for kind in ("dark", "reset")}
    return path, names


def official(uncal: Path, references: Mapping[str, str], folder: Path, parameters: Parameters) -> list[Path]:
    """Run the official pipeline; its products, or none where it makes none."""
    pipe = Detector1Pipeline()
    pipe.prefetch_references = False
    pipe.output_dir, pipe.save_results = str(folder), True
    for name in pipe.step_defs:
        step = getattr(pipe, name)
        for kind in step.reference_file_types:
            setattr(step, f"override_{kind}", references.get(kind, NOT_GIVEN))
        for key, value in parameters.get(name, {}).items():
            setattr(step, key, value)
    pipe.run(str(uncal))
    return [path for path in _products(folder) if path.exists()]


def ours(uncal: Path, references: Mapping[str, str], folder: Path, parameters: Parameters) -> Result:
    """Run `reprocess calibrate`. Of the references that are missing every other one is left out, not N/A."""
    read = detector1.reference_types(detector1.steps_for(fits.getheader(uncal)))
    missing = sorted(kind for kind in read if references.get(kind, NOT_GIVEN) == NOT_GIVEN)
    given = {kind: references.get(kind, NOT_GIVEN) for kind in read if kind not in missing[::2]}
    options = [f"--reference={kind}={path}" for kind, path in given.items()]
    options += [
        f"--parameter={step}.{name}={json.dumps(value)}"
        for step, values in parameters.items()
        for name, value in values.items()
    ]
    return CliRunner().invoke(cli.main, ["calibrate", str(uncal), *options, "--output-dir", str(folder)])


def _products(folder: Path) -> list[Path]:
    return [folder / f"{ROOT}_{suffix}.fits" for suffix in PRODUCTS]
