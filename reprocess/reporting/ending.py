"""How a run of a campaign ended, or why it has not ended; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reprocess.reporting.wording import plain

RUNNING = "running"
"""The state of a campaign that is at work, or was cut off."""

_OVER = frozenset({"ended", "cancelled", "deferred"})
_WORDS = {
    RUNNING: "The campaign has not ended",
    "ended": "The campaign has ended",
    "paused": "The campaign is paused",
    "cancelled": "The campaign was cancelled",
    "deferred": "The campaign stopped at a limit",
    "approval": "The campaign waits for approval",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How the last run of a campaign ended.

    Attributes
    ----------
    state : str
        ``ended``, ``paused``, ``cancelled``, ``deferred`` (a budget or limit was reached), ``approval`` (the pilot is
        done and somebody is to look at it), or ``running``.
    reason : str
        Why, as a sentence; may be empty.
    by : str
        Who or what decided it; may be empty.
    """

    state: str = "ended"
    reason: str = ""
    by: str = ""

    @property
    def is_over(self) -> bool:
        """Whether every candidate must have a class by now; one without is a remainder, else it is still to do."""
        return self.state in _OVER

    @property
    def rest(self) -> str:
        """Class of the candidates that nothing was done about; empty if something is still to be done."""
        return self.state if self.state in ("cancelled", "deferred") else ""

    @property
    def is_plain(self) -> bool:
        """Whether the campaign simply came to its end."""
        return self.state == "ended" and not self.reason

    @property
    def sentence(self) -> str:
        """Say it, on one line."""
        words = plain(_WORDS.get(self.state, f"The campaign is {self.state}"))
        by = f", by {plain(self.by)}" if self.by else ""
        reason = plain(self.reason).strip().removesuffix(".")
        return f"{words}{by}{f': {reason}' if reason else ''}."


def to_record(ending: Ending) -> dict[str, str]:
    """Put it into JSON values."""
    return asdict(ending)


def from_record(record: Mapping[str, Any]) -> Ending:
    """Read what `to_record` made; what is missing is empty."""
    return Ending(str(record.get("state", RUNNING)), str(record.get("reason", "")), str(record.get("by", "")))
