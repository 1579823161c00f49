"""A cluster of one node and an object store on this machine, with the image of this version: for who has no other."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ROOT.parent / "shared" / "tools"
IMAGE = "reprocess:test"


class NoCluster(Exception):
    """This machine does not let one be brought up."""


def why_not() -> str:
    """Say what is missing for it; empty if nothing is."""
    if not (TOOLS / "kube" / "kube").exists():
        return "there is nothing here that brings one up"
    return "bringing one up takes root" if os.geteuid() else ""


@contextlib.contextmanager
def one_node() -> Iterator[dict[str, str]]:
    """A cluster of one node and an object store, on this machine; yields the environment that names them."""
    kube, s3 = TOOLS / "kube" / "kube", TOOLS / "s3" / "s3"
    with tempfile.TemporaryDirectory(prefix="reprocess-kubernetes-") as name, contextlib.ExitStack() as scratch:
        place = Path(name)
        try:
            say("a cluster of one node")
            scratch.callback(run, kube, "down", place / "node", check=False)
            found = settings(run(kube, "up", place / "node"))
            say("an object store")
            scratch.callback(run, s3, "down", place / "store", check=False)
            found |= settings(run(s3, "up", place / "store", "--address", found["KUBE_BENCH_HOST"]))
        except subprocess.CalledProcessError as error:
            raise NoCluster(f"{' '.join(error.cmd[:2])} has failed, see above") from error
        image = Path(os.environ.get("REPROCESS_TEST_IMAGE_FILE", place / "image.tar"))
        if not image.exists():
            say("the image")
            run(kube, "base", "-o", place / "base")
            run(sys.executable, ROOT / "image" / "build", place / "base", image, "--name", IMAGE)
        run(kube, "load", place / "node", image)
        say("ready")
        yield {**found, "REPROCESS_TEST_IMAGE": IMAGE, "REPROCESS_TEST_HOST": found["KUBE_BENCH_HOST"]}


def run(*line: object, check: bool = True) -> str:
    """Run a command to its end; its output."""
    return subprocess.run([str(word) for word in line], check=check, stdout=subprocess.PIPE, text=True).stdout


def settings(text: str) -> dict[str, str]:
    """Read lines that a shell was to evaluate."""
    script = f"set -a; {text}\nenv -0"
    told = subprocess.run(
        ["bash", "-c", script], check=True, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}
    )
    pairs = (one.partition("=") for one in told.stdout.split("\0") if one)
    return {name: value for name, _, value in pairs if name not in ("PATH", "PWD", "SHLVL", "_")}


def say(text: str) -> None:
    """Tell what is done, and when."""
    print(f"[kubernetes] {time.strftime('%H:%M:%S')} {text}", flush=True)
