"""An S3 endpoint on loopback for the demonstration: moto's server in a process of its own.

It keeps everything in memory and in temporary files, and forgets it when it stops. It checks neither checksums nor
credentials.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

from reprocess import errors

_SERVER = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(f"http://{host}:{port}", flush=True)
sys.stdin.read()
server.stop()
"""


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Start an S3 endpoint on a free port of the loopback address, and stop it at the end.

    The server also ends by itself when this process does, however it dies: it reads its standard input.

    Yields
    ------
    str
        URL of the endpoint.

    Raises
    ------
    UsageError
        The package that provides the server is not installed.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Interrupts from the terminal are for the caller, who then stops the server in order.
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise errors.UsageError(
                "The embedded S3 endpoint did not start. Install it with `pip install 'reprocess[demo]'`."
            )
        yield url
    finally:
        _stop(process)


def make_bucket(url: str, name: str) -> None:
    """Make a bucket at an embedded endpoint, which asks for no signature.

    Raises
    ------
    StorageUnavailable
        The endpoint did not make it.
    """
    request = urllib.request.Request(f"{url}/{name}", method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            return
    except OSError as error:
        raise errors.StorageUnavailable(f"The embedded endpoint {url} made no bucket {name}: {error}.") from error


_TIMEOUT_S = 30


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()
