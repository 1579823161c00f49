import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from urllib.parse import urlsplit

import pytest

from reprocess import errors
from reprocess.demo import endpoint
from reprocess.storage import open_store


def listens(url):
    """Whether anybody answers there."""
    parts = urlsplit(url)
    with contextlib.suppress(OSError), socket.create_connection((parts.hostname, parts.port), timeout=2):
        return True
    return False


class TestServe:
    def test_is_an_s3_on_loopback(self, s3_endpoint):
        """Objects can be written and read; nobody but this machine can reach it; afterwards it is gone."""
        with endpoint.serve() as url:
            assert urlsplit(url).hostname == "127.0.0.1"
            endpoint.make_bucket(url, "some")
            store = open_store("s3://some/prefix", endpoint=url)
            store.put("a/b", b"data")
            assert store.get("a/b").data == b"data"
            assert [stamp.key for stamp in store.list()] == ["a/b"]

        assert not listens(url)

    def test_stops_when_the_block_fails(self):
        """An error inside goes out, and the server is stopped."""
        serving = endpoint.serve()
        url = serving.__enter__()
        assert listens(url)

        error = ZeroDivisionError()
        assert not serving.__exit__(ZeroDivisionError, error, None)
        assert not listens(url)

    def test_two_at_a_time(self):
        """Each has a port and objects of its own."""
        with endpoint.serve() as one, endpoint.serve() as other:
            endpoint.make_bucket(one, "some")
            with pytest.raises(OSError, match="404"):
                urllib.request.urlopen(f"{other}/some")

    @pytest.mark.slow
    def test_ends_with_its_program(self):
        """When the program that started it is killed, the server ends by itself."""
        program = (
            "import time; from reprocess.demo import endpoint\n"
            "with endpoint.serve() as url: print(url, flush=True); time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        url = process.stdout.readline().strip()
        assert listens(url)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        deadline = time.monotonic() + 20
        while listens(url) and time.monotonic() < deadline:
            time.sleep(0.1)

        assert not listens(url)

    def test_when_the_server_is_not_installed(self, monkeypatch):
        """Without the package that provides it the message says what to install."""
        monkeypatch.setattr(endpoint, "_SERVER", "raise ImportError")

        with pytest.raises(errors.UsageError, match="pip install"), endpoint.serve():
            pass


def test_a_bucket_at_nobody():
    """Where nobody answers, making a bucket is an error of the store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    with pytest.raises(errors.StorageUnavailable, match="made no bucket"):
        endpoint.make_bucket(f"http://127.0.0.1:{port}", "some")
