"""Topics (SNS) and queues (SQS) of Amazon: the only module besides storage that uses boto3.

Credentials come from where boto3 looks for them, as those of the stores do. Of an error only its code is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
from botocore.config import Config

from reprocess import errors
from reprocess.delivery.message import Message
from reprocess.delivery.transport import Transport

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=20)
_ARN = re.compile(r"arn:aws[a-z-]*:sns:(?P<region>[a-z0-9-]+):\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_AMAZON = re.compile(r"(?:sqs\.)?(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.(?:queue\.)?amazonaws\.com(?:\.cn)?")
_SENDING = 10  # what Amazon takes in one request
_BYTES = 250_000
_ODD = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Account:
    """Whose topics and queues: a profile and a region of Amazon; empty is what boto3 takes, or the address says."""

    profile: str = ""
    region: str = ""


class Topic(Transport):
    """An SNS topic.

    Parameters
    ----------
    arn : str
        ``arn:aws:sns:REGION:ACCOUNT:NAME``; one whose name ends with ``.fifo`` gets the messages of a dataset in order.
    """

    batch = _SENDING

    def __init__(self, arn: str, account: Account) -> None:
        match = _ARN.fullmatch(arn)
        if not match:
            raise errors.UsageError(f"sns:{arn[:100]} is no ARN. Write sns:arn:aws:sns:REGION:ACCOUNT:NAME.")
        self._arn, self._account, self._region = arn, account, match["region"]

    def send(self, messages: Sequence[Message]) -> None:
        """See `Transport.send`."""
        client = _client("sns", self._account, self._region, name=f"sns:{self._arn}")
        for some in _requests(messages):
            entries = [
                {"Id": str(at), "Message": one.body, "Subject": one.subject, **_order(self._arn, one)}
                for at, one in enumerate(some)
            ]
            _ask(
                partial(client.publish_batch, TopicArn=self._arn, PublishBatchRequestEntries=entries),
                name=f"sns:{self._arn}",
            )


class Queue(Transport):
    """An SQS queue.

    Parameters
    ----------
    url : str
        ``https://sqs.REGION.amazonaws.com/ACCOUNT/NAME``; one that ends with ``.fifo`` keeps the order of a dataset.
    """

    batch = _SENDING

    def __init__(self, url: str, account: Account) -> None:
        parts = urlsplit(url)
        odd = parts.username is not None or parts.query or parts.fragment or not parts.path.strip("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or odd:
            raise errors.UsageError(
                "That is no URL of a queue. Write sqs:https://sqs.REGION.amazonaws.com/ACCOUNT/NAME."
            )
        match = _AMAZON.fullmatch(parts.hostname)
        if match is None and parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise errors.UsageError(f"sqs:{url[:200]}: messages go over https only, except to this machine.")
        self._url, self._account, self._region = url, account, match["region"] if match else ""
        self._endpoint = "" if match else f"{parts.scheme}://{parts.netloc}"

    def send(self, messages: Sequence[Message]) -> None:
        """See `Transport.send`."""
        client = _client("sqs", self._account, self._region, endpoint=self._endpoint, name=f"sqs:{self._url}")
        for some in _requests(messages):
            entries = [
                {"Id": str(at), "MessageBody": one.body, **_order(self._url, one)} for at, one in enumerate(some)
            ]
            _ask(
                partial(client.send_message_batch, QueueUrl=self._url, Entries=entries),
                name=f"sqs:{self._url}",
            )


def _order(address: str, message: Message) -> dict[str, str]:
    """Return what keeps messages in order, and each in once, where the receiver can do that."""
    if not address.endswith(".fifo"):
        return {}
    return {"MessageGroupId": _ODD.sub("_", message.group)[:128], "MessageDeduplicationId": message.id}


def _requests(messages: Sequence[Message]) -> list[list[Message]]:
    """Cut messages into requests that are not too large."""
    found: list[list[Message]] = []
    size = 0
    for message in messages:
        length = len(message.body.encode()) + len(message.subject)
        if not found or size + length > _BYTES or len(found[-1]) == _SENDING:
            found.append([])
            size = 0
        found[-1].append(message)
        size += length
    return found


def _client(service: Literal["sns", "sqs"], account: Account, region: str, *, name: str, endpoint: str = "") -> Any:  # noqa: ANN401
    try:
        session = boto3.Session(profile_name=account.profile or None, region_name=region or account.region or None)
        where = session.region_name or "us-east-1"
        return session.client(service, region_name=where, endpoint_url=endpoint or None, config=_CONFIG)
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise errors.DeliveryError(
            f"{name}: boto3 cannot be set up ({type(error).__name__}). Check profile, region and AWS_ENDPOINT_URL."
        ) from error


def _ask(send: Callable[[], dict[str, Any]], *, name: str) -> None:
    """Send one request, and see that every message of it was taken."""
    try:
        refused = send().get("Failed", [])
    except botocore.exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        raise errors.DeliveryError(f"{name} refused ({code}). Check that it exists and that you may send.") from error
    except botocore.exceptions.BotoCoreError as error:
        raise errors.DeliveryError(
            f"{name} was not reached ({type(error).__name__}). Check credentials and the network, then deliver again."
        ) from error
    if refused:
        code = refused[0].get("Code", "?")
        raise errors.DeliveryError(f"{name} did not take {len(refused)} of the messages ({code}). Deliver again.")
