"""Tests on a cluster: on the one that KUBECONFIG names, else on a bench that is brought up and taken down.

    python -m tests.kubernetes [ARGUMENTS OF PYTEST]

With a cluster of one's own: KUBECONFIG, REPROCESS_TEST_IMAGE (an image of this version that the cluster has),
REPROCESS_TEST_HOST (an address of this machine that pods reach), AWS_ENDPOINT_URL and keys of an object store. The
bench needs root and ``../shared/tools``; where these are not there, nothing is tested, and that is said.
"""

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


def main() -> int:
    """Bring up what is missing, test, take it down; the exit code of pytest."""
    with contextlib.ExitStack() as scratch:
        environment = dict(os.environ)
        if "KUBECONFIG" not in os.environ:
            if os.geteuid() or not (TOOLS / "kube" / "kube").exists():
                print("[kubernetes] KUBECONFIG names no cluster, and none can be brought up here: nothing is tested")
                return 0
            environment |= scratch.enter_context(bench())
        options = ["-ra", "-o", "addopts=", "-o", "junit_family=xunit1", "--import-mode=importlib"]
        line = [sys.executable, "-m", "pytest", *options, *(sys.argv[1:] or ["tests/kubernetes"])]
        return subprocess.run(line, cwd=ROOT, env=environment, check=False).returncode


@contextlib.contextmanager
def bench() -> Iterator[dict[str, str]]:
    """A cluster of one node and an object store, on this machine; yields the environment that names them."""
    kube, s3 = TOOLS / "kube" / "kube", TOOLS / "s3" / "s3"
    with tempfile.TemporaryDirectory(prefix="reprocess-kubernetes-") as name, contextlib.ExitStack() as scratch:
        place = Path(name)
        say("a cluster of one node")
        scratch.callback(run, kube, "down", place / "node")
        found = settings(run(kube, "up", place / "node"))
        say("an object store")
        scratch.callback(run, s3, "down", place / "store")
        found |= settings(run(s3, "up", place / "store", "--address", found["KUBE_BENCH_HOST"]))
        image = Path(os.environ.get("REPROCESS_TEST_IMAGE_FILE", place / "image.tar"))
        if not image.exists():
            say("the image")
            run(kube, "base", "-o", place / "base")
            run(sys.executable, ROOT / "image" / "build", place / "base", image, "--name", IMAGE)
        run(kube, "load", place / "node", image)
        say("ready")
        yield {**found, "REPROCESS_TEST_IMAGE": IMAGE, "REPROCESS_TEST_HOST": found["KUBE_BENCH_HOST"]}


def run(*line: object) -> str:
    """Run a command to its end; its output."""
    return subprocess.run([str(word) for word in line], check=True, stdout=subprocess.PIPE, text=True).stdout


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


if __name__ == "__main__":
    sys.exit(main())
