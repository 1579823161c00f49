"""Logging: one set-up, at the entrance; the fields that every line carries; the lines of one unit kept together.

Rooms only ask for a logger by their name. Whoever works for a campaign or a unit says so once, with `fields`, and every
line below tells it. No line holds a secret: see `reprocess.redaction`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from reprocess import redaction

FORMATS = ("text", "json")
FORMAT_VARIABLE = "REPROCESS_LOG_FORMAT"
"""Variable of the environment that chooses one, for workers too."""
FIELDS: Mapping[str, str | int] = {"campaign": "", "dataset": "", "step": "", "attempt": 0}
"""What every line in JSON says besides time, level, logger and message; empty, or 0, where it is of nothing."""

COLLECTED_BYTES = 256_000
"""Most that is held of a unit while it runs; the oldest lines go first."""
KEPT_BYTES = 4_000
"""Most that is kept of a unit that went well."""
KEPT_BYTES_OF_TROUBLE = 64_000
"""Most that is kept of one that failed or warned."""
LONGEST_MESSAGE = 8_000

_PACKAGE = "reprocess"
_EVERYTHING = 2
_FIELDS: ContextVar[Mapping[str, str | int]] = ContextVar("reprocess-log-fields", default=FIELDS)


def set_up(verbosity: int, log_format: str = "text") -> None:
    """Send logs of this package to standard error.

    Parameters
    ----------
    verbosity : int
        0: warnings; 1: what is done; 2 or more: everything, of this package only.
    log_format : str
        ``text`` for people; ``json`` for one JSON object a line, with the `FIELDS`.
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, _EVERYTHING)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    logger = logging.getLogger(_PACKAGE)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    if verbosity < _EVERYTHING:
        # What a cut-off run leaves behind in the loops of libraries is of no use to anybody.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)


@contextmanager
def fields(**told: str | int) -> Iterator[None]:
    """Have every line that is logged in a block say something more: any of the `FIELDS`."""
    token = _FIELDS.set({**_FIELDS.get(), **told})
    try:
        yield
    finally:
        _FIELDS.reset(token)


@contextmanager
def unit(*, campaign: str, dataset: str, attempt: int) -> Iterator[Kept]:
    """Collect what is logged while a unit runs: from level INFO on, whatever the terminal shows."""
    kept = Kept()
    token = _KEPT.set(kept)
    try:
        with _COLLECTOR.listening(), fields(campaign=campaign, dataset=dataset, attempt=attempt, step=""):
            yield kept
    finally:
        _KEPT.reset(token)


@dataclass
class Kept:
    """Lines of one unit. Each is a JSON object without what all have in common; see `whole`."""

    _lines: deque[tuple[str, int]] = field(default_factory=deque)
    _size: int = 0
    _dropped: int = 0
    _trouble: bool = False

    def add(self, line: str, level: int = logging.INFO) -> None:
        """Take a line; the oldest are dropped when there are too many."""
        self._trouble |= level >= logging.WARNING
        self._lines.append((line, len(line)))
        self._size += len(line)
        while self._size > COLLECTED_BYTES:
            self._size -= self._lines.popleft()[1]
            self._dropped += 1

    def lines(self, *, failed: bool) -> tuple[str, ...]:
        """Return the last lines, as many as may be kept; the first says how many are left out, if any are."""
        room = KEPT_BYTES_OF_TROUBLE if failed or self._trouble else KEPT_BYTES
        found: list[str] = []
        for line, size in reversed(self._lines):
            room -= size
            if room < 0:
                break
            found.append(line)
        missing = self._dropped + len(self._lines) - len(found)
        note = [line_of(f"{missing} earlier lines are left out.")] if missing else []
        return (*note, *reversed(found))


def line_of(message: str, *, level: str = "INFO", time: str | None = None) -> str:
    """Write a line of a unit that no logger wrote; `time` is now when it is left out."""
    moment = _moment(datetime.now(UTC)) if time is None else time
    told = {"time": moment, "level": level, "logger": __name__, "message": redaction.clean(message)[:LONGEST_MESSAGE]}
    return json.dumps(told)


def whole(line: str, common: Mapping[str, Any]) -> dict[str, Any]:
    """Give a line of a unit what all its lines have in common."""
    return {**FIELDS, **common, **json.loads(line)}


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _told(record: logging.LogRecord) -> dict[str, Any]:
    """Say in JSON values what a record says, without secrets."""
    try:
        message = record.getMessage()
    except (TypeError, ValueError) as error:  # a line that cannot be formatted is a line still
        message = f"{record.msg} ({error})"
    told = {
        "time": _moment(datetime.fromtimestamp(record.created, UTC)),
        "level": record.levelname,
        "logger": record.name,
        "message": redaction.clean(message)[:LONGEST_MESSAGE],
    }
    if record.exc_info:
        # The end of a trace tells most.
        told["exception"] = redaction.clean(logging.Formatter().formatException(record.exc_info))[-LONGEST_MESSAGE:]
    return told


class _Text(logging.Formatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return redaction.clean(super().format(record))


class _Json(logging.Formatter):
    """A JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({**_FIELDS.get(), **_told(record)})


class _Collector(logging.Handler):
    """Puts lines with the unit that the present context works for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._guard = threading.Lock()
        self._listeners = 0
        self._shown = self._level = logging.NOTSET
        self._passed_on: list[logging.Handler] = []
        self._propagated = True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, and pass it on to whom it would have gone."""
        kept = _KEPT.get()
        if kept is not None:
            step = {"step": told} if (told := _FIELDS.get()["step"]) else {}
            kept.add(json.dumps({**_told(record), **step}), record.levelno)
        if record.levelno >= self._shown:
            self._show(record)

    def _show(self, record: logging.LogRecord) -> None:
        """Hand a record to whom it would have gone without this collector."""
        for handler in self._passed_on:
            if record.levelno >= handler.level:
                handler.handle(record)
        parent = logging.getLogger(_PACKAGE).parent
        if self._propagated and parent is not None:
            parent.callHandlers(record)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Stand in for the handlers of the package, which still get what they would have got."""
        with self._guard:
            if not self._listeners:
                self._take()
            self._listeners += 1
        try:
            yield
        finally:
            with self._guard:
                self._listeners -= 1
                if not self._listeners:
                    self._give_back()

    def _take(self) -> None:
        logger = logging.getLogger(_PACKAGE)
        if not logger.hasHandlers():
            # A worker that nobody set up would print lines as they come, secrets and all.
            set_up(0, os.environ.get(FORMAT_VARIABLE, FORMATS[0]))
        self._shown, self._level = logger.getEffectiveLevel(), logger.level
        self._passed_on, self._propagated = list(logger.handlers), logger.propagate
        logger.handlers[:], logger.propagate = [self], False
        logger.setLevel(min(self._shown, logging.INFO))

    def _give_back(self) -> None:
        logger = logging.getLogger(_PACKAGE)
        logger.handlers[:], logger.propagate = self._passed_on, self._propagated
        logger.setLevel(self._level)


_KEPT: ContextVar[Kept | None] = ContextVar("reprocess-log-kept", default=None)
_COLLECTOR = _Collector()
