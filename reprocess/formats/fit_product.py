"""The optional product of the ramp fit as a FITS file, laid out as the official pipeline lays it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from reprocess.calibration.optional_fit import OptionalFit
from reprocess.formats import asdf_tree, metadata_tree, product
from reprocess.formats.tail import Level1bMetadata
from reprocess.storage.store import Buffer

SUFFIX = "fitopt"


def write_fitopt(
    optional: OptionalFit, metadata: Level1bMetadata, info: product.ProductInfo, *, filename: str | None = None
) -> Iterator[Buffer]:
    """Write the fit of each segment as the blocks of a ``_fitopt`` FITS file; planes without any value are left out.

    Parameters
    ----------
    optional : OptionalFit
        Of the whole exposure.
    metadata : Level1bMetadata
    info : ProductInfo
    filename : str, optional
        Name of the file if it is not ``<dataset>_fitopt.fits``.
    """
    name = filename or f"{info.dataset}_{SUFFIX}.fits"
    headers = {"PRIMARY": product._primary(metadata, info, "RampFitOutputModel", name)}
    yield product._block(headers["PRIMARY"])
    single = np.dtype(np.float32)
    arrays: dict[str, tuple[str, np.dtype[Any], tuple[int, ...]]] = {}
    for plane in fields(OptionalFit):
        values = getattr(optional, plane.name)
        if not values.size:
            continue
        extension = plane.name.upper()
        headers[extension] = product._plane_header(extension, values.shape, metadata, dtype=single, unit=("", ""))
        arrays[plane.name] = (extension, single, values.shape)
        yield product._block(headers[extension])
        yield from product._pixels(values, flags=False)
    content = metadata_tree.tree(headers, arrays, inherited=metadata.meta, logs=metadata.logs)
    yield from product._asdf(asdf_tree.to_asdf(content))
