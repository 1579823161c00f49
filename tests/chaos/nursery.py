"""Starts processes that have their libraries loaded: what is killed so often should not spend its life importing.

A child is a process of its own, forked from one that has imported the product and Dask and done nothing else; it runs
the same entrance as the command does. All die with the suite.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

PAUSE_S = 0.05
LARGEST_PUT_BYTES = 16 * 2**20
_PR_SET_PDEATHSIG = 1


class Child:
    """A process of a nursery; knows as much of it as `subprocess.Popen` would."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        """Exit code, the negative signal, or None while it runs."""
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the end; None if it does not come in time."""
        self._ended.wait(timeout_s)
        return self.returncode

    def kill(self) -> None:
        """Kill -9."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def end(self, code: int) -> None:
        """Take note of the end."""
        self.returncode = code
        self._ended.set()


class Nursery:
    """Forks children on demand; see the module."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
        )
        self._children: dict[int, Child] = {}
        self._born: list[Child] = []
        self._news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, words: list[str], *, environment: Mapping[str, str], output: Path) -> Child:
        """Run ``reprocess``, ``scheduler`` or ``worker`` with arguments, in the directory of its output."""
        assert self._process.stdin is not None
        order = {"words": words, "environment": dict(environment), "output": str(output)}
        with self._news:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            if not self._news.wait_for(lambda: self._born, timeout=60):
                raise RuntimeError("The nursery does not answer.")
            return self._born.pop()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            pid, code = json.loads(line)
            with self._news:
                if code is None:
                    self._children[pid] = Child(pid)
                    self._born.append(self._children[pid])
                    self._news.notify_all()
                else:
                    self._children.pop(pid).end(code)

    def close(self) -> None:
        """End the nursery and all its children."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    """Fork a child for each line of standard input, and tell of births and deaths on standard output."""

    import reprocess.cli
    import reprocess.coordinator
    import reprocess.worker  # noqa: F401
    from reprocess.publication import publish

    # Or nothing in so small a workload would be uploaded in parts.
    publish.SINGLE_PUT_BYTES = LARGEST_PUT_BYTES
    # Ctrl-C reaches the whole group; the suite decides who ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rest = b""
    while True:
        ready, _, _ = select.select([0], [], [], PAUSE_S)
        if ready:
            data = os.read(0, 1 << 20)
            if not data:
                os._exit(0)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                _fork(json.loads(line))
        _bury()


def _bury() -> None:
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            _tell(pid, os.waitstatus_to_exitcode(status))
    except ChildProcessError:
        return


def _tell(pid: int, code: int | None) -> None:
    os.write(1, json.dumps([pid, code]).encode() + b"\n")


def _fork(order: dict[str, object]) -> None:
    pid = os.fork()
    if pid:
        _tell(pid, None)
        return
    try:
        _become(order)
    finally:
        os._exit(70)


def _become(order: dict[str, object]) -> NoReturn:
    """Be the program that was ordered."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    words, output = [str(word) for word in order["words"]], Path(str(order["output"]))  # type: ignore[attr-defined]
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(output.parent)
    os.environ.clear()
    os.environ.update(order["environment"])  # type: ignore[call-overload]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = words
    if words[0] == "reprocess":
        from reprocess.cli import program

        program()
    from distributed.cli import dask_scheduler, dask_worker

    entrance = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[words[0]]
    entrance(words[1:], prog_name=f"dask {words[0]}")
    os._exit(0)


if __name__ == "__main__":
    main()
