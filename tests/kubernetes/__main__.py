"""Tests on a cluster: on the one that KUBECONFIG names, else on a bench that is brought up and taken down.

    python -m tests.kubernetes [ARGUMENTS OF PYTEST]

With a cluster of one's own: KUBECONFIG, REPROCESS_TEST_IMAGE (an image of this version that the cluster has),
REPROCESS_TEST_HOST (an address of this machine that pods reach), AWS_ENDPOINT_URL and keys of an object store. The
bench needs root and ``../shared/tools``; where these are not there, nothing is tested, and that is said.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.kubernetes import one_node

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Bring up what is missing, test, take it down; the exit code of pytest."""
    with contextlib.ExitStack() as scratch:
        environment = dict(os.environ)
        if "KUBECONFIG" not in os.environ:
            if why := one_node.why_not():
                print(f"[kubernetes] KUBECONFIG names no cluster, and {why}: nothing is tested on a cluster")
                return 0
            try:
                environment |= scratch.enter_context(one_node.one_node())
            except one_node.NoCluster as error:
                print(f"[kubernetes] No cluster can be brought up here: {error}. Nothing is tested on a cluster.")
                return 0
            # Who ends this program ends what it has brought up.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        options = ["-ra", "-o", "addopts=", "-o", "junit_family=xunit1", "--import-mode=importlib"]
        line = [sys.executable, "-m", "pytest", *options, *(sys.argv[1:] or ["tests/kubernetes"])]
        return subprocess.run(line, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
