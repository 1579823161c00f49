"""A web server that each message is posted to, as JSON.

Nothing of this machine goes with it: no cookies, no credentials, no names; of a message only its id is in the headers.
Redirects are not followed, so that what was subscribed for one host never reaches another.
"""

from __future__ import annotations

import http.client
import ipaddress
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message as Headers
from typing import IO, Any
from urllib.parse import SplitResult, urlsplit

from reprocess import __version__, errors
from reprocess.delivery.message import Message
from reprocess.delivery.transport import Transport, shown
from reprocess.publication.patience import Patience

TIMEOUT_S = 10.0
PATIENCE = Patience(tries=4, first_s=1.0, longest_s=8.0)
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Webhook(Transport):
    """Posts one message at a time; any answer of 200 to 299 means that it was taken.

    Parameters
    ----------
    url : str
        ``https://``; or ``http://`` on this machine itself. May hold a secret path, never a user or password.
    """

    batch = 1

    def __init__(self, url: str, *, patience: Patience = PATIENCE, timeout_s: float = TIMEOUT_S) -> None:
        self._url, self._patience, self._timeout_s = url, patience, timeout_s
        local = _is_local(_checked(url))
        proxies = urllib.request.ProxyHandler({}) if local else urllib.request.ProxyHandler()
        self._opener = urllib.request.build_opener(proxies, _Unredirected)
        self._opener.addheaders = []

    def send(self, messages: Sequence[Message]) -> None:
        """See `Transport.send`."""
        for message in messages:
            self._post(message)

    def _post(self, message: Message) -> None:
        for number in self._patience.rounds():
            status = self._status(message)
            if 200 <= status < 300:
                return
            if status and status not in _PASSING:
                raise errors.DeliveryError(f"{shown(self._url)} {_refusal(status)} Mend the subscription.")
            if number == self._patience.tries:
                what = f"answered {status}" if status else "did not answer"
                raise errors.DeliveryError(f"{shown(self._url)} {what}, {number} times. Deliver again later.")

    def _status(self, message: Message) -> int:
        """Post once, and return the status of the answer; 0 if there was none."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"reprocess/{__version__}",
            "Idempotency-Key": message.id,
        }
        request = urllib.request.Request(self._url, message.body.encode(), headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except (OSError, http.client.HTTPException):
            return 0


class _Unredirected(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the answer that it is."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Headers, newurl: str
    ) -> Any:  # noqa: ANN401
        """Go nowhere."""
        return None


def _refusal(status: int) -> str:
    return f"answered {status}, a redirect, and none is followed." if 300 <= status < 400 else f"answered {status}."


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known or any(letter <= " " or letter > "~" for letter in url):
        raise errors.UsageError(f"{shown(url) if known else 'That'} is no URL of a webhook. Write https://host/path.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise errors.UsageError(
            f"{shown(url)}: the URL of a webhook holds no user, no password and no fragment. Leave them out."
        )
    if parts.scheme != "https" and not _is_local(parts):
        raise errors.UsageError(f"{shown(url)}: messages go over https only, except to this machine. Write https://.")
    return parts


def _is_local(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
