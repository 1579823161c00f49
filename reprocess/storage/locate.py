"""From a URL to a store."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reprocess import errors
from reprocess.storage import keys
from reprocess.storage.store import Store


def open_store(
    url: str,
    *,
    anonymous: bool = False,
    endpoint: str | None = None,
    profile: str | None = None,
    region: str | None = None,
) -> Store:
    """Open the store that a URL names. Nothing is read or written yet.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``, ``file:///directory``, the path of a directory, or ``memory://name/prefix``, which lives
        in this process.
    anonymous : bool
        Do not sign requests: for public buckets.
    endpoint : str, optional
        URL of the S3 endpoint; else what boto3 takes: ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``, the profile, or
        Amazon's own.
    profile, region : str, optional
        AWS profile and region; else what boto3 takes. Without any region it is us-east-1.

    Raises
    ------
    UsageError
        The URL or the endpoint is malformed, holds credentials, or is of an unknown scheme.
    """
    scheme, separator, rest = url.partition("://")
    if not url or "\0" in url:
        raise errors.UsageError(f"{url!r} is no URL of a store. Write s3://bucket/prefix or the path of a directory.")
    if not separator:
        return _local(Path(os.path.abspath(Path(url).expanduser())))
    if scheme == "file":
        return _file(url)
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    if scheme not in ("s3", "memory"):
        raise errors.UsageError(f"{scheme}:// is no kind of store. Write s3://, file://, memory:// or a path.")
    if not bucket or "@" in bucket or "?" in bucket or (prefix and not keys.is_usable(prefix)):
        raise errors.UsageError(
            f"{_safe(url)} is malformed. Write {scheme}://{_NAMES[scheme]}/prefix, without credentials."
        )
    if scheme == "memory":
        from reprocess.storage.memory import MemoryStore

        return MemoryStore(bucket, prefix)
    from reprocess.storage.s3 import S3Store
    from reprocess.storage.s3_clients import Options

    options = Options(anonymous, _endpoint(endpoint), profile or "", region or "")
    return S3Store(bucket, prefix, options)


_NAMES = {"s3": "bucket", "memory": "name"}


def _file(url: str) -> Store:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path or parts.query or parts.fragment:
        raise errors.UsageError(f"{_safe(url)} is malformed. Write file:///directory with three slashes.")
    return _local(Path(os.path.normpath(unquote(parts.path))))


def _local(path: Path) -> Store:
    from reprocess.storage.local import LocalStore

    return LocalStore(path)


def _endpoint(endpoint: str | None) -> str:
    if not endpoint:
        return ""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc or parts.query:
        raise errors.UsageError(
            f"The endpoint {_safe(endpoint)} is malformed. Write https://host or http://host:port, without credentials."
        )
    return endpoint.rstrip("/")


def _safe(url: str) -> str:
    """Leave out what stands before an @: it may be a password."""
    scheme, separator, rest = url.partition("://")
    return repr(scheme + separator + rest.rpartition("@")[2].partition("?")[0])
