"""Parameter files (``pars-...``): what operations set in place of the defaults of the code, as ASDF.

A file of a step has its ``parameters``; a file of a pipeline has ``steps`` too, each with its name and parameters (the
schema of step configurations of the official pipeline, version 1.0.0 and 1.1.0).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from reprocess import errors

Values = Mapping[str, bool | int | float | str | None]


def read_parameters(data: bytes, name: str) -> dict[str, Values]:
    """Read a parameter file.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        Its name in CRDS, for messages.

    Returns
    -------
    dict of step to mapping of parameter to value
        By the names of steps in lower case; what a pipeline file sets for the pipeline itself is left out. Values that
        are neither numbers nor text nor truth values are left out too.

    Raises
    ------
    DamagedReference
        The file cannot be read, or is no file of parameters.
    """
    import asdf

    try:
        with asdf.open(io.BytesIO(data), lazy_load=False, memmap=False) as file:
            tree = dict(file.tree)
    except Exception as error:
        # asdf raises whatever its parts raise for damaged bytes
        raise errors.DamagedReference(f"{name} cannot be read: {error}. Fetch it again into the references.") from error
    steps = tree.get("steps", [tree])
    try:
        return {str(step["name"]).lower(): _plain(step["parameters"]) for step in steps}
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.DamagedReference(f"{name} is no file of parameters: it lacks {error}. Fetch it again.") from error


def _plain(values: Mapping[str, Any]) -> Values:
    return {str(name): value for name, value in values.items() if isinstance(value, bool | int | float | str | None)}
