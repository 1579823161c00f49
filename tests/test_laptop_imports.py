"""What `reprocess calibrate` loads."""

import subprocess
import sys

SLOW = (
    "dask",
    "distributed",
    "boto3",
    "botocore",
    "obstore",
    "pyarrow",
    "crds",
    "zarr",
    "asdf",
    "matplotlib",
    "astropy.table",
)


def test_no_slow_library():
    """One file on a laptop needs none of the libraries that the campaign is made of."""
    program = f"import sys, reprocess.laptop; print([name for name in {SLOW} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
