"""Fixtures that more than one room uses: an S3 endpoint on loopback and stores in it, the command line, a campaign."""

import contextlib
import json
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import settings

from reprocess.storage import Store, open_store

# The gate draws the same examples each time; whoever works on the code draws new ones.
settings.register_profile("gate", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("gate")

# A shell that starts something in the background has it ignore Ctrl-C, and so would every program that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

AMBIENT = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
"""What the caller of pytest had set, before fixtures put made-up credentials there."""


def make_bucket(endpoint: str) -> str:
    """Make a bucket with a fresh name, with the credentials of the environment."""
    import boto3
    from botocore.config import Config

    name = f"test-{uuid.uuid4().hex[:20]}"
    path_style = Config(s3={"addressing_style": "path"})
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=path_style).create_bucket(Bucket=name)
    return name


def _atomic(serve: Callable[..., Any]) -> Callable[..., Any]:
    """Have requests on condition served one after the other: moto looks and writes in two steps, S3 in one."""
    lock = threading.Lock()

    def serve_atomically(application: object, environ: Mapping[str, Any], start_response: object) -> object:
        conditional = "HTTP_IF_MATCH" in environ or "HTTP_IF_NONE_MATCH" in environ
        with lock if conditional and environ["REQUEST_METHOD"] != "GET" else contextlib.nullcontext():
            return serve(application, environ, start_response)

    return serve_atomically


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of an S3 endpoint on loopback; made-up credentials for it are in the environment meanwhile."""
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication
    from moto.server import ThreadedMotoServer

    from reprocess.storage.s3_clients import forget

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DomainDispatcherApplication, "__call__", _atomic(DomainDispatcherApplication.__call__))
        for name in AMBIENT:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", "made-up-key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        forget()
        yield f"http://{host}:{port}"
    forget()
    server.stop()


@pytest.fixture
def s3_bucket(s3_endpoint: str) -> str:
    """Name of a fresh bucket."""
    return make_bucket(s3_endpoint)


@pytest.fixture
def s3_store(s3_endpoint: str, s3_bucket: str) -> Store:
    """A store in a fresh bucket, below a prefix."""
    return open_store(f"s3://{s3_bucket}/some/prefix", endpoint=s3_endpoint)


@pytest.fixture
def reprocess(tmp_path, monkeypatch):
    """Call the command line in a directory of its own, without the caller's settings."""
    from click.testing import CliRunner

    from reprocess import cli

    for name in os.environ:
        if name.startswith(("AWS_", "REPROCESS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("REPROCESS_CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.setenv("REPROCESS_EXECUTION_SCHEDULER", "serial")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def call(*words, code=0):
        result = CliRunner().invoke(cli.main, [str(word) for word in words])
        assert result.exit_code == code, (result.output, result.exception)
        assert "Traceback" not in result.stderr
        return result

    return call


@pytest.fixture(scope="module")
def done():
    """An archive after one campaign, with its plan and summary; nobody changes it."""
    from tests import trips

    archive = trips.make()
    return archive, *trips.go(archive)


@pytest.fixture(scope="module")
def expected():
    """What the simulator says of each dataset from the first context to the second."""
    from tests import trips

    return json.loads(trips.simulated().get("truth/expected.json").data)["datasets"]
