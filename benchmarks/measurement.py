"""How everything here is measured: processor time rather than wall time, one process per measurement, medians."""

from __future__ import annotations

import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import reprocess

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results")
PACKAGES = ("numpy", "scipy", "astropy", "obstore", "boto3", "s3fs", "zarr", "dask")

Result = dict[str, Any]


class Clock:
    """Processor seconds by stage, of this process unless another clock is given; a stage inside another counts once."""

    def __init__(self, read: Callable[[], float] = time.process_time) -> None:
        self._read = read
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the processor time of a block to a stage."""
        start = self._read()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = self._read() - start
            self.seconds[name] += spent - self._inner.pop()
            self._inner[-1] += spent

    def watch(self, owner: ModuleType | type, stage: str, *names: str) -> None:
        """Count every call of functions of a module or a class, and what their iterators do, to a stage."""
        for name in names:
            setattr(owner, name, self._timed(getattr(owner, name), stage))

    def _timed(self, function: Any, stage: str) -> Any:  # noqa: ANN401 (any function)
        def timed(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
            with self.stage(stage):
                result = function(*arguments, **keywords)
            return self._iterated(result, stage) if isinstance(result, Iterator) else result

        return timed

    def _iterated(self, values: Iterator[Any], stage: str) -> Iterator[Any]:
        end = object()
        while True:
            with self.stage(stage):
                value = next(values, end)
            if value is end:
                return
            yield value


def peak_bytes() -> int:
    """Largest resident memory of this process so far.

    Not `ru_maxrss` where Linux knows better: that one begins with what the parent had before the program was loaded.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def apart(function: str, *, environment: Mapping[str, str] | None = None, **arguments: object) -> Result:
    """Call ``module:name`` in a process of its own, and return what it returned."""
    return run_program([sys.executable, "-m", "benchmarks.measurement", function, json.dumps(arguments)], environment)


def run_program(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Result:
    """Run a program that prints its result as the last line, in JSON."""
    # One thread: what is compared is work, and machines differ in cores.
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        command,
        env={**os.environ, **single, **(environment or {})},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-4000:]}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def median(results: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Take the median of several measurements, number by number."""
    every = list(results)
    return {name: statistics.median(one.get(name, 0.0) for one in every) for name in every[0]}


def table(title: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table; numbers get three digits."""
    lines = [list(title), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(title))]
    written = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    written.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(written)


def _text(cell: object) -> str:
    if not isinstance(cell, float):
        return "" if cell is None else str(cell)
    return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"


def record(name: str, content: Mapping[str, Any], load_before: float) -> Result:
    """Put together what was measured, when, on what kind of machine, with which versions."""
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": _machine() | {"load": [round(load_before, 1), round(os.getloadavg()[0], 1)]},
        "versions": {"reprocess": reprocess.__version__, "python": platform.python_version(), **versions},
        **content,
    }


def write(record: Result) -> None:
    """Write ``results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{record['benchmark']}.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def _machine() -> Result:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cores": os.cpu_count(), "cpu": _cpu_model(), "memory_GiB": round(memory / 2**30, 1)}


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    module, _, called = sys.argv[1].partition(":")
    print(json.dumps(getattr(importlib.import_module(module), called)(**json.loads(sys.argv[2]))))
