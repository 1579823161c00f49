import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from reprocess import errors
from reprocess.storage import open_store


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/some/prefix/", "s3://bucket/some/prefix"),
        ("memory://name", "memory://name"),
        ("memory://name/prefix", "memory://name/prefix"),
        ("file:///data/archive", "file:///data/archive"),
        ("file://localhost/data/a%20b", "file:///data/a%20b"),
        ("/data/x/../archive/", "file:///data/archive"),
        ("relative", f"file://{os.getcwd()}/relative"),
        ("~/archive", f"{Path.home().as_uri()}/archive"),
    ],
)
def test_url_of_the_store(url, expected):
    """Every way of naming a place leads to a store whose URL names the same place."""
    store = open_store(url)

    assert store.url == expected
    assert open_store(store.url).url == expected
    assert expected in repr(store)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3://",
        "s3:///prefix",
        "s3://bucket/a//b",
        "s3://bucket/../x",
        "s3://key:password@bucket/x",
        "s3://b?x=y",
        "gs://bucket",
        "http://host/x",
        "file://host/x",
        "file://",
        "memory://",
        "a\0b",
    ],
)
def test_malformed_urls_are_refused(url):
    """What names no store is a usage error that does not repeat a password."""
    with pytest.raises(errors.UsageError) as caught:
        open_store(url)

    assert "password" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://host", "http://", "http://key:password@host", "x"])
def test_malformed_endpoints_are_refused(endpoint):
    """An endpoint is an http or https URL without credentials."""
    with pytest.raises(errors.UsageError, match="endpoint") as caught:
        open_store("s3://bucket", endpoint=endpoint)

    assert "password" not in str(caught.value)


def test_options_survive_pickle():
    """Endpoint, profile, region and anonymity go where the store goes."""
    options = {"anonymous": True, "endpoint": "http://127.0.0.1:9", "profile": "night", "region": "eu-west-1"}
    store = open_store("s3://bucket/prefix", **options)

    again = pickle.loads(pickle.dumps(store.below("deeper")))

    assert again.url == "s3://bucket/prefix/deeper"
    assert (again._options.anonymous, again._options.endpoint) == (True, "http://127.0.0.1:9")
    assert (again._options.profile, again._options.region) == ("night", "eu-west-1")


def test_without_s3_no_client_of_s3_is_imported():
    """Work on files does not wait for the import of S3 clients."""
    code = (
        "import sys; from reprocess.storage import open_store; open_store('/tmp'); open_store('memory://x');"
        "print({'boto3', 'obstore', 's3fs', 'zarr'} & set(sys.modules))"
    )

    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "set()"
    )
