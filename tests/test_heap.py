"""Freed memory is kept for the next arrays, unless the environment says how to deal with it."""

import os
import subprocess
import sys

import pytest

from reprocess import heap

PROGRAM = """
import resource, sys
import numpy as np
from reprocess import heap

def faults():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        arrays = [np.ones(1 << 17) for _ in range(8)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin

if "keep" in sys.argv:
    heap.keep_freed()
faults()
print(faults())
"""


def faults(*arguments: str, **environment: str) -> int:
    kept = {name: value for name, value in os.environ.items() if name not in heap.ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(heap._mallopt() is None, reason="the C library is not glibc")
def test_arrays_get_pages_that_are_mapped_already():
    """Work that drops its arrays again and again does not have their pages mapped anew."""
    assert faults("keep") < 1000 < faults()


@pytest.mark.skipif(heap._mallopt() is None, reason="the C library is not glibc")
def test_the_environment_weighs_more():
    """Whoever sets glibc's thresholds keeps them."""
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="65536") > 1000
