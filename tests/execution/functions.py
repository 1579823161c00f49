"""What tests let workers do: module-level functions, told by the payload of their task."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from reprocess import errors
from reprocess.execution.executor import Task
from reprocess.exposure import Outcome


class Escape(Exception):
    """Something that no caller expects."""


def act(task: Task) -> Outcome:
    """Do what the payload ``(verb, argument)`` says, and leave a line in the log if the argument is a path."""
    verb, argument = task.payload
    return globals()[f"_{verb}"](task, argument)


def end(task: Task, outcome_class: str = "published", *, temporary: bool = False, message: str = "") -> Outcome:
    return Outcome(task.unit, task.dataset, outcome_class, message, temporary)


def note(log: str, line: str) -> None:
    """Append a line; several processes may do so at the same time."""
    with Path(log).open("a") as file:
        file.write(line + "\n")


def _succeed(task: Task, _: object) -> Outcome:
    return end(task)


def _wait(task: Task, throttled: int) -> Outcome:
    return replace(end(task), throttled=throttled)


def _note(task: Task, log: str) -> Outcome:
    note(log, task.unit)
    return end(task)


def _fail(task: Task, outcome_class: str) -> Outcome:
    return end(task, outcome_class, message="as asked")


def _falter(task: Task, until: int) -> Outcome:
    return end(task, "storage", temporary=True) if task.attempt < until else end(task)


def _raise(task: Task, _: object) -> Outcome:
    raise Escape(task.unit)


def _raise_ours(task: Task, _: object) -> Outcome:
    raise errors.BadData(task.unit)


def _exit(task: Task, _: object) -> Outcome:
    sys.exit(3)


def _return_nothing(task: Task, _: object) -> Outcome:
    return None  # type: ignore[return-value]


def _return_another(task: Task, _: object) -> Outcome:
    return Outcome("somebody-else", task.dataset, "published")


def _sleep(task: Task, seconds: float) -> Outcome:
    time.sleep(seconds)
    return end(task)


def _note_and_sleep(task: Task, argument: tuple[str, float]) -> Outcome:
    note(argument[0], f"{task.unit} {os.getpid()}")
    time.sleep(argument[1])
    return end(task)


def _die(task: Task, log: str) -> Outcome:
    note(log, f"{task.unit} {task.attempt}")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _die_before(task: Task, argument: tuple[str, int]) -> Outcome:
    return _die(task, argument[0]) if task.attempt < argument[1] else end(task)


def _devour(task: Task, bytes_: int) -> Outcome:
    hoard = bytearray(bytes_)
    hoard[::4096] = b"x" * len(hoard[::4096])
    time.sleep(5)
    return end(task)


def _interrupt_itself(task: Task, _: object) -> Outcome:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.5)
    return end(task)
