"""An S3 endpoint that asks the policies of a role first, and refuses with 403 what they do not allow.

It stands before the embedded S3 server of the tests, in the same process, so that several roles can work in the same
buckets, each through its own gate. What passes, and what was refused, is noted.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app

from tests.infra.accounts import Account

Environment = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """One action of S3 on ``bucket`` or ``bucket/key``, with what its conditions may look at."""

    action: str
    resource: str
    facts: Mapping[str, str | None] = field(default_factory=dict)


def asked(environment: Environment) -> Asked:
    """Name the action that a request needs.

    Raises
    ------
    NotImplementedError
        The programme sends no such request; if it does now, its action has to be looked up.
    """
    method, resource = environment["REQUEST_METHOD"], environment["PATH_INFO"].strip("/")
    query = parse_qs(environment.get("QUERY_STRING", ""), keep_blank_values=True)
    key, odd = "/" in resource, set(query) - (_LISTING if method == "GET" else _UPLOADING)
    if odd or "HTTP_X_AMZ_COPY_SOURCE" in environment:
        raise NotImplementedError(f"{method} {resource} {sorted(odd)}")
    match method, key:
        case "GET" | "HEAD", False:
            prefix = query.get("prefix")
            return Asked("s3:ListBucket", resource, {"s3__prefix": prefix[0]} if prefix else {})
        case "GET" | "HEAD", True:
            return Asked("s3:GetObject", resource)
        case "PUT", True:
            return Asked("s3:PutObject", resource, _facts(environment, creates="partNumber" not in query))
        case "POST", True:
            return Asked("s3:PutObject", resource, _facts(environment, creates="uploads" not in query))
        case "DELETE", True:
            action = "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"
            return Asked(action, resource, _facts(environment, creates=False))
    raise NotImplementedError(f"{method} {resource}")


_LISTING = {"list-type", "prefix", "delimiter", "start-after", "continuation-token", "max-keys", "encoding-type"}
_UPLOADING = {"uploads", "uploadId", "partNumber"}


_CIPHER = "x_amz_server_side_encryption"
_HEADERS = {
    f"s3__{name}": f"HTTP_{name.upper()}"
    for name in (
        "if_none_match",
        "if_match",
        _CIPHER,
        f"{_CIPHER}_aws_kms_key_id",
        f"{_CIPHER}_customer_algorithm",
    )
}


def _facts(environment: Environment, *, creates: bool) -> dict[str, str | None]:
    """What conditions see of a write; parts of an upload and its beginning create no object yet."""
    found: dict[str, str | None] = {name: environment[each] for name, each in _HEADERS.items() if each in environment}
    return found | {"s3__ObjectCreationOperation": "true" if creates else "false"}


@dataclass
class Gate:
    """The gate of one role: the actions and resources that passed, and what was refused."""

    account: Account
    role: str
    passed: set[tuple[str, str]] = field(default_factory=set)
    refused: list[Asked] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._behind = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()

    def __call__(self, environment: Environment, start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        try:
            wanted = asked(environment)
        except NotImplementedError as error:
            wanted = Asked(f"unknown:{error}", "")
        allowed = self._allows(wanted)
        with self._lock:
            self.seen(wanted, allowed)
        if not allowed:
            # What the client still sends would else be taken for its next request.
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            return _forbidden(environment, start)
        answer, status, headers = run_wsgi_app(self._behind, environment)
        if status.startswith("404") and self._hides(wanted):
            return _forbidden(environment, start)
        start(status, list(headers))
        return answer

    def seen(self, wanted: Asked, allowed: bool) -> None:
        """Note a request."""
        if allowed:
            self.passed.add((wanted.action, wanted.resource))
        else:
            self.refused.append(wanted)

    def _allows(self, wanted: Asked) -> bool:
        # Who writes or deletes under If-Match must be allowed to read as well.
        reads = "s3__if_match" not in wanted.facts or self.account.allows(self.role, "s3:GetObject", wanted.resource)
        return reads and self.account.allows(self.role, wanted.action, wanted.resource, **wanted.facts)

    def _hides(self, wanted: Asked) -> bool:
        """Whether S3 says 403 of an object that is not there, because the role may not list the bucket."""
        return not self.account.allows(self.role, "s3:ListBucket", wanted.resource.partition("/")[0])


def _forbidden(environment: Environment, start: Callable[..., Any]) -> list[bytes]:
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>by policy</Message></Error>"
    start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [] if environment["REQUEST_METHOD"] == "HEAD" else [body]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serve(account: Account, role: str) -> Iterator[Gate]:
    """Open the gate of a role on a free port of the loopback address."""
    gate = Gate(account, role)
    server = make_server("127.0.0.1", 0, gate, threaded=True, request_handler=_Quiet)  # type: ignore[arg-type]
    gate.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()
