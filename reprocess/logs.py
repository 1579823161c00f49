"""Logging: one set-up, at the entrance; rooms only ask for a logger by their name."""

from __future__ import annotations

import logging
import sys

_EVERYTHING = 2


def set_up(verbosity: int) -> None:
    """Send logs of this package to standard error.

    Parameters
    ----------
    verbosity : int
        0: warnings; 1: what is done; 2 or more: everything, of this package only.
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, _EVERYTHING)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("reprocess")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    if verbosity < _EVERYTHING:
        # What a cut-off run leaves behind in the loops of libraries is of no use to anybody.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
