"""The contract of transports, and from an address to one.

An address is ``file:PATH``, ``https://...`` (or ``http://`` on this machine), ``sns:ARN`` or ``sqs:URL``.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from urllib.parse import urlsplit

from reprocess import errors
from reprocess.delivery.message import Message

ADDRESSES = "file:PATH, https://..., sns:ARN or sqs:URL"


class Transport(abc.ABC):
    """Takes messages to one receiver."""

    batch = 1
    """Most messages that one call of `send` takes."""

    @abc.abstractmethod
    def send(self, messages: Sequence[Message]) -> None:
        """Send messages, in order; it returns when the receiver has taken all of them.

        Raises
        ------
        DeliveryError
            He has not, or it is unknown whether he has: sending all of them again is right.
        """


def open_transport(to: str, *, profile: str = "", region: str = "") -> Transport:
    """Open the transport that an address names; nothing is sent yet.

    Parameters
    ----------
    profile, region : str
        Of Amazon; empty: what boto3 takes, and the region that the address names.

    Raises
    ------
    UsageError
        The address is none, or messages cannot be sent there safely.
    """
    scheme, separator, rest = to.partition(":")
    if separator and scheme == "file":
        from reprocess.delivery.lines import LineFile

        return LineFile(rest)
    if separator and scheme in ("http", "https"):
        from reprocess.delivery.webhook import Webhook

        return Webhook(to)
    if separator and scheme in ("sns", "sqs"):
        from reprocess.delivery import amazon

        return (amazon.Topic if scheme == "sns" else amazon.Queue)(rest, amazon.Account(profile, region))
    raise errors.UsageError(f"{shown(to)} is no address of a receiver. Write {ADDRESSES}.")


def shown(to: str) -> str:
    """Write an address without what may be a secret: of a webhook the path and all after it."""
    scheme, _, _ = to.partition(":")
    if scheme in ("http", "https"):
        parts = urlsplit(to)
        more = "/..." if parts.path.strip("/") or parts.query else ""
        return f"{scheme}://{parts.netloc.rpartition('@')[2]}{more}"
    return to if scheme in ("file", "sns", "sqs") else f"{to[:80]!r}"
