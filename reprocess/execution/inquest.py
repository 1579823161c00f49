"""Why the worker of a unit went away: words for it, between those who ask and those who can know."""

from __future__ import annotations

import enum
from collections.abc import Callable


class Verdict(enum.Enum):
    """What is known of the end of a worker that was executing a unit."""

    OPEN = "nothing yet"
    CHARGED = "its process ended while its machine and its pod went on"
    SPARED = "it was taken away"
    STARVED = "the system ended it for the memory it took"


Inquest = Callable[[str, float], Verdict]
"""Asked of a worker by its name, and how many seconds ago it went; until it answers, the unit waits."""

LONGEST_S = 60.0
"""After so long without an answer the unit is charged: otherwise one that ends its workers could go round for ever."""
PERIOD_S = 1.0
"""How often is asked."""
