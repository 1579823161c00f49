"""What the S3 clients raise becomes our own errors here; the original stays chained to it.

Of an original only status and code are repeated: its text may hold more than should be in a log.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import botocore.exceptions as boto
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from reprocess import errors
from reprocess.storage import throttling

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.InvalidConfigError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.NoAuthTokenError,
    boto.MetadataRetrievalError,
)
_UNREACHED = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, boto.ResponseStreamingError)
_SLOW = {"RequestTimeout", "SlowDown", "ServiceUnavailable", "Throttling", "RequestLimitExceeded", "InternalError"}
_WRONG_BYTES = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
_WRONG_IDENTITY = {
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_CLIENT = (boto.ClientError, boto.BotoCoreError, BaseError, OSError, ValueError)


@contextlib.contextmanager
def door(url: str, key: str) -> Iterator[None]:
    """Let only `StorageError` out of the block."""
    try:
        yield
    except _CLIENT as error:
        raise converted(error, url, key) from error


def converted(error: Exception, url: str, key: str) -> errors.StorageError:
    """Word a client's exception as one of ours; `url` is the store's root."""
    if isinstance(error, boto.ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return answered(status, str(error.response.get("Error", {}).get("Code", "")), url, key)
    if isinstance(error, _CREDENTIALS):
        return denied(url, type(error).__name__)
    if isinstance(error, _UNREACHED):
        return unreached(url, key, type(error).__name__)
    if isinstance(error, BaseError | FileNotFoundError):
        return _obstore(error, url, key)
    return errors.StorageError(f"{url}/{key}: the S3 client refused ({type(error).__name__}). See the chained error.")


def _obstore(error: Exception, url: str, key: str) -> errors.StorageError:
    text = str(error)
    status, code = _found(_STATUS, text), _found(_CODE, text)
    if status:
        if int(status) in throttling.STATUSES:
            throttling.note()
        return answered(int(status), code, url, key)
    if "redirect" in text:
        return answered(301, code, url, key)
    if isinstance(error, FileNotFoundError):
        return answered(404, code, url, key)
    if isinstance(error, PreconditionError | AlreadyExistsError):
        return answered(412, code, url, key)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return answered(403, code, url, key)
    if "botocore" in text or "boto3" in text or "CredentialProvider" in text or "credential" in text.lower():
        return denied(url, "no usable credentials")
    if "HTTP error" in text or "timed out" in text or "retries" in text:
        return unreached(url, key, "no answer")
    return errors.StorageError(f"{url}/{key}: the S3 client refused ({type(error).__name__}). See the chained error.")


def answered(status: int, code: str, url: str, key: str) -> errors.StorageError:
    """Word an answer of the server that is no success."""
    name = f"{url}/{key}" if key else url
    if code == "NoSuchBucket":
        return errors.BucketMissing(f"{url}: the bucket does not exist. Check its name, the endpoint and the region.")
    if code in _WRONG_REGION or status in (301, 307):
        return errors.StorageError(f"{url}: the bucket is in another region. Name it with --region or AWS_REGION.")
    if status in (401, 403) or code in _WRONG_IDENTITY:
        return denied(url, code or str(status), key)
    if code in _WRONG_BYTES:
        return errors.ChecksumMismatch(
            f"{name}: S3 refused the bytes, they differ from the declared checksum ({code})."
        )
    if status >= 500 or status == 429 or code in _SLOW:
        return unreached(url, key, f"{status} {code}".strip())
    if status == 404:
        return errors.ObjectMissing(f"{name} does not exist ({code or status}).")
    if status == 412:
        return errors.PreconditionFailed(f"{name} is no longer the version that was named. Read it again.")
    if status == 409:
        return errors.CommitConflict(f"{name}: two conditional writes met ({code or status}). Read it again and retry.")
    return errors.StorageError(f"{name}: S3 answered {status} {code}. See the chained error.")


def denied(url: str, why: str, key: str = "") -> errors.AccessDenied:
    """Word what is wrong with credentials or permissions, and what to do."""
    what = f"access to {key!r} denied" if key else "access denied"
    return errors.AccessDenied(
        f"{url}: {what} ({why}). Set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to an identity that "
        "may use this bucket, or --profile; a public bucket is read with --anonymous. Without permission to list, S3 "
        "says the same of a missing object."
    )


def unreached(url: str, key: str, why: str) -> errors.StorageUnavailable:
    """Word that there was no answer, or none that settles what happened."""
    name = f"{url}/{key}" if key else url
    return errors.StorageUnavailable(
        f"{name}: S3 did not answer or asked to wait ({why}). Check the endpoint and the network, then try again; "
        "whether a write took effect is unknown."
    )


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match.group(1) if match else ""
