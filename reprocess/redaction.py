"""Keeping secrets out of what is written down: logs, events, messages. Standard library only.

Nothing here knows what a client library holds; it takes out what looks like a secret, wherever it comes from, and the
very values of variables of the environment that are named like one.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping

MASK = "***"
_SHORTEST = 6  # a shorter value of a variable stands in too many innocent words

_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSW|ACCESS_KEY|API_?KEY|CREDENTIAL(?!S_FILE)", re.IGNORECASE)
# The end of a value: blanks, and what may stand after a URL or a word in a sentence, in Python or in JSON.
_VALUE = r"""[^\s&'"<>,;)}\]\\]+"""
# A password that was not escaped may hold a slash.
_USERINFO = re.compile(r"://(?:[^\s/?#'\"<>]{0,300}|[^\s/:@]{1,100}:[^\s@'\"<>]{1,300})@")
_QUERY = re.compile(
    rf"(?P<name>[?&](?:X-Amz-[A-Za-z-]+|AWSAccessKeyId|Signature|sig|key|code|[\w.-]{{0,40}}(?:token|secret|passw)[\w.-]{{0,40}})=)"
    rf"{_VALUE}",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:basic|bearer|aws4-hmac-sha256)\s+)?[^\r\n'\"]+",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?P<name>(?:secret|password|passwd|session[_-]?token|security[_-]?token|access[_-]?key|api[_-]?key)[\w-]{0,40}"
    rf"['\"]?\s{{0,5}}[:=]\s{{0,5}}['\"]?){_VALUE}",
    re.IGNORECASE,
)
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")


def clean(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Replace what is a secret, or looks like one, by `MASK`.

    Taken out are: users and passwords in URLs, the values that sign a presigned URL, headers of authorization, values
    that follow a name such as ``secret_access_key``, Amazon's key ids, and the values of secret variables.

    Parameters
    ----------
    text : str
    environment : mapping, optional
        Where secret variables are looked for; ``os.environ`` when it is left out.
    """
    if not text:
        return text
    for value in _ambient() if environment is None else _secrets(environment):
        text = text.replace(value, MASK)
    text = _USERINFO.sub(f"://{MASK}@", text)
    text = _QUERY.sub(rf"\g<name>{MASK}", text)
    text = _HEADER.sub(rf"\g<name>{MASK}", text)
    text = _NAMED.sub(rf"\g<name>{MASK}", text)
    return _KEY_ID.sub(MASK, text)


def _ambient() -> list[str]:
    """Return the secrets of this process; which variables hold any is looked up once a second, their values always."""
    global _known  # noqa: PLW0603 (there is one environment to a process)
    until, count, names = _known
    now = time.monotonic()
    if now >= until or count != len(os.environ):
        names = tuple(name for name in os.environ if _SECRET_NAME.search(name))
        _known = (now + 1.0, len(os.environ), names)
    return _secrets({name: os.environ.get(name, "") for name in names})


_known: tuple[float, int, tuple[str, ...]] = (0.0, -1, ())


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """Return the values of variables that are named like secrets, the longest first."""
    found = {value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST}
    return sorted(found, key=len, reverse=True)
