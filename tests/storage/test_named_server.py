"""The contract against a server that the caller names; buckets made there stay.

Set REPROCESS_TEST_S3_ENDPOINT to its URL and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to credentials that may make
buckets there. The server must have conditional writes and check SHA-256 sums.
"""

import os

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from reprocess.storage import Store, open_store
from reprocess.storage.s3_clients import forget
from tests.conftest import AMBIENT, make_bucket
from tests.storage.store_contract import StoreContract
from tests.storage.store_model import machine

_ENDPOINT = os.environ.get("REPROCESS_TEST_S3_ENDPOINT", "")
if not _ENDPOINT:
    pytest.skip("REPROCESS_TEST_S3_ENDPOINT names no S3 endpoint to test against", allow_module_level=True)


@pytest.fixture(autouse=True)
def ambient_credentials(monkeypatch: pytest.MonkeyPatch):
    """The credentials that the caller of pytest has set, not those of the embedded endpoint."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)
    forget()
    yield
    forget()


class TestNamedServer(StoreContract):
    @pytest.fixture
    def store(self, ambient_credentials: None) -> Store:
        return open_store(f"s3://{make_bucket(_ENDPOINT)}/some/prefix", endpoint=_ENDPOINT)


def test_random_operations():
    """The named server does what a dictionary does."""
    bucket = make_bucket(_ENDPOINT)
    prefixes = iter(range(1000))
    model = machine(lambda: open_store(f"s3://{bucket}/{next(prefixes)}", endpoint=_ENDPOINT))
    run_state_machine_as_test(model, settings=settings(max_examples=20, deadline=None, stateful_step_count=25))
