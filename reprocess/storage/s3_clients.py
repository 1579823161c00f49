"""The two clients of one bucket: obstore for the many requests, boto3 for the few that need its whole API.

Both take credentials, profile, region and endpoint from one boto3 session, so that whatever boto3 finds (environment,
profiles, SSO, roles of instances and of service accounts) serves both. They are made once a process and bucket.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
from botocore import UNSIGNED
from botocore.config import Config
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store as DataStore

from reprocess import errors
from reprocess.storage import s3_errors, throttling

_DEFAULT_REGION = "us-east-1"
_CONNECT_S, _READ_S = 5, 60
_CONNECTIONS = 32
_ATTEMPTS = 6
_BODY_LIMIT = timedelta(minutes=10)
_RETRY: Any = {
    "max_retries": _ATTEMPTS - 1,
    "retry_timeout": timedelta(minutes=2),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=10), "base": 2},
}
_ONCE: Any = {**_RETRY, "max_retries": 0}
# boto3 renews credentials that have less than ten minutes left; a longer life here would use some past their end.
_CREDENTIALS_LIFE = timedelta(minutes=8)


@dataclass(frozen=True, slots=True)
class Options:
    """How to reach a bucket; empty means what boto3 takes. Holds no secrets."""

    anonymous: bool = False
    endpoint: str = ""
    profile: str = ""
    region: str = ""


@dataclass(frozen=True)
class Clients:
    """Clients of one bucket in one process.

    Attributes
    ----------
    data : obstore.store.S3Store
        Sends each request once; see `s3_again`.
    control : boto3 client
        Retries by itself; not for commits.
    commit : boto3 client
        Sends each request once.
    """

    data: DataStore
    control: Any
    commit: Any
    config: dict[str, Any]

    def rooted(self, prefix: str) -> DataStore:
        """Make a client of the data plane whose root is a prefix, and which retries by itself."""
        return DataStore(prefix=prefix or None, **self.config)


def clients(bucket: str, options: Options) -> Clients:
    """Give the clients of a bucket, made at the first call in this process.

    Raises
    ------
    AccessDenied
        There are no credentials, or the profile does not exist.
    StorageError
        This process was forked from one that had clients already: they would wait for ever.
    """
    _refuse_forked()
    return _clients(bucket, options)


_first_process = 0


def _refuse_forked() -> None:
    global _first_process  # noqa: PLW0603 (the runtime of obstore is one to a process, and so is this)
    if not _first_process:
        _first_process = os.getpid()
    elif _first_process != os.getpid():
        raise errors.StorageError(
            "This process was forked from one that had used S3, and the S3 client does not live through a fork. "
            "Start worker processes with the method spawn or forkserver."
        )


@lru_cache(maxsize=64)
def _clients(bucket: str, options: Options) -> Clients:
    url = f"s3://{bucket}"
    with s3_errors.door(url, ""):
        session = boto3.Session(profile_name=options.profile or None, region_name=options.region or None)
        region = session.region_name or os.environ.get("AWS_REGION") or _DEFAULT_REGION
        if not options.anonymous and session.get_credentials() is None:
            raise s3_errors.denied(url, "no credentials")
        control = _boto(session, region, options, _ATTEMPTS)
        # What is committed has its checksum declared in a header, which is signed: no need to digest it once more.
        commit = _boto(session, region, options, 1, signed_payload=False)
        config = _data_config(bucket, region, options, session, control.meta.endpoint_url)
        for client in (control, commit):
            client.meta.events.register("needs-retry.s3", _note_throttling)
        return Clients(DataStore(**config | {"retry_config": _ONCE}), control, commit, config)


def _note_throttling(response: Any = None, **_: Any) -> None:  # noqa: ANN401 (called by botocore)
    """Count an answer that asks to wait: whatever becomes of the request, each of its tries comes by here."""
    if response is not None and response[0].status_code in throttling.STATUSES:
        throttling.note()


def _boto(session: boto3.Session, region: str, options: Options, attempts: int, *, signed_payload: bool = True) -> Any:  # noqa: ANN401
    sent: Any = {} if signed_payload else {"payload_signing_enabled": False}
    config = Config(
        signature_version=UNSIGNED if options.anonymous else "s3v4",
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        s3=sent or None,
    )
    client = _made(session, region, options, config)
    if _is_amazon(client.meta.endpoint_url):
        return client
    # Only Amazon answers for every bucket under a name of its own.
    by_path: Any = sent | {"addressing_style": "path"}
    return _made(session, region, options, config.merge(Config(s3=by_path)))


def _made(session: boto3.Session, region: str, options: Options, config: Config) -> Any:  # noqa: ANN401
    try:
        return session.client("s3", region_name=region, endpoint_url=options.endpoint or None, config=config)
    except ValueError as error:
        raise errors.StorageError(
            f"The S3 endpoint {options.endpoint or 'in the environment'} is malformed. Write http://host:port."
        ) from error
    except botocore.exceptions.InvalidRegionError as error:
        raise errors.StorageError(f"The region {region!r} is malformed. Write for example us-east-1.") from error


def _data_config(bucket: str, region: str, options: Options, session: boto3.Session, endpoint: str) -> dict[str, Any]:
    # A bucket with dots in its name has no certificate of its own.
    virtual = _is_amazon(endpoint) and "." not in bucket
    parts = urlsplit(endpoint)
    config: dict[str, Any] = {
        "bucket": bucket,
        "region": region,
        # Always given, or obstore would take one from the environment that boto3 did not take.
        "aws_endpoint_url_s3": f"{parts.scheme}://{bucket}.{parts.netloc}" if virtual else endpoint,
        "virtual_hosted_style_request": virtual,
        "skip_signature": options.anonymous,
        "retry_config": _RETRY,
        "client_options": {
            "allow_http": parts.scheme == "http",
            "connect_timeout": timedelta(seconds=_CONNECT_S),
            "read_timeout": timedelta(seconds=_READ_S),
            "timeout": _BODY_LIMIT,
            "pool_max_idle_per_host": str(4 * _CONNECTIONS),
        },
    }
    if not options.anonymous:
        config["credential_provider"] = Boto3CredentialProvider(session, ttl=_CREDENTIALS_LIFE)
    return config


def _is_amazon(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def forget() -> None:
    """Drop the clients of this process, so that the next call looks for credentials again."""
    cast(Any, _clients).cache_clear()
