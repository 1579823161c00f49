"""A small HTTP server that answers as told, or passes the request on to a real S3 and then loses or cuts the answer.

Nothing in a request or an answer is ever changed without the client being able to notice.
"""

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

LOSE_THE_ANSWER = "lose the answer"
CUT_THE_ANSWER = "cut the answer"
DROP_THE_REQUEST = "drop the request"
"""The connection is closed before the server has seen anything."""
TEAR_THE_REQUEST = "tear the request"
"""The server sees half of the body, then its connection is closed."""
FAIL_AFTERWARDS = "fail afterwards"
"""500, although the server has done it."""
PASS_ON = "pass on"
Answer = str | tuple[int, str]


class FaultyServer:
    """Decides for each request by `decide(method, path, n)`, where n counts the requests of this method from 1.

    While `decide` runs, `caller.port` is the port that the request came from; and so it is while `heard` runs, which is
    called with method, path and status when the server has answered and the client has not heard of it. If that
    returns true, the client never will.
    """

    def __init__(
        self,
        upstream: str,
        decide: Callable[[str, str, int], Answer],
        heard: Callable[[str, str, int], bool] | None = None,
    ) -> None:
        self.upstream = urlsplit(upstream)
        self.decide = decide
        self.heard = heard or (lambda *_: False)
        self.caller = threading.local()
        self.requests: Counter[str] = Counter()
        self.signed = 0
        self.lock = threading.Lock()
        self.url = ""

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        with self.lock:
            self.requests[handler.command] += 1
            number = self.requests[handler.command]
            self.signed += "Authorization" in handler.headers
        self.caller.port = handler.client_address[1]
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        answer = self.decide(handler.command, handler.path, number)
        if isinstance(answer, tuple):
            _refuse(handler, *answer)
        elif answer in (DROP_THE_REQUEST, TEAR_THE_REQUEST):
            if answer == TEAR_THE_REQUEST:
                self._tear(handler, body)
            handler.close_connection = True
        else:
            self._answer(handler, body, answer)

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes, answer: str) -> None:
        try:
            status, headers, text = self._pass_on(handler, body)
        except (http.client.HTTPException, OSError):
            handler.close_connection = True  # whether the server has done it is as unknown here as it is to the client
            return
        if self.heard(handler.command, handler.path, status) or answer == LOSE_THE_ANSWER:
            handler.close_connection = True
        elif answer == FAIL_AFTERWARDS:
            _refuse(handler, 500, "InternalError")
        else:
            _reply(handler, status, headers, text, cut=answer == CUT_THE_ANSWER)

    def _pass_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = self._connection(handler)
        connection.request(handler.command, handler.path, body, dict(handler.headers.items()))
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()

    def _connection(self, handler: BaseHTTPRequestHandler) -> http.client.HTTPConnection:
        """One connection to the server for each of a client; it opens itself anew after the server has closed it."""
        if not hasattr(handler, "upstream"):
            handler.upstream = http.client.HTTPConnection(self.upstream.netloc)  # type: ignore[attr-defined]
        return handler.upstream  # type: ignore[attr-defined,no-any-return]

    def _tear(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        with contextlib.closing(http.client.HTTPConnection(self.upstream.netloc)) as connection:
            headers = dict(handler.headers.items()) | {"Content-Length": str(len(body))}
            connection.request(handler.command, handler.path, body[: len(body) // 2], headers)


def _refuse(handler: BaseHTTPRequestHandler, status: int, code: str) -> None:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>made up</Message></Error>".encode()
    _reply(handler, status, [("Content-Type", "application/xml")], text)


def _reply(
    handler: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False
) -> None:
    handler.send_response_only(status)
    for name, value in headers:
        if name.lower() not in ("content-length", "transfer-encoding", "connection"):
            handler.send_header(name, value)
    if handler.command == "HEAD":
        handler.send_header("Content-Length", next((v for n, v in headers if n.lower() == "content-length"), "0"))
    else:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body[: len(body) // 2] if cut else body)
        handler.close_connection = handler.close_connection or cut


@contextlib.contextmanager
def serve(
    upstream: str,
    decide: Callable[[str, str, int], Answer],
    heard: Callable[[str, str, int], bool] | None = None,
) -> Iterator[FaultyServer]:
    """Run the server on a free port of the loopback address."""
    faulty = FaultyServer(upstream, decide, heard)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def answer(self) -> None:
            # A client that was killed does not read its answer.
            with contextlib.suppress(ConnectionError):
                faulty.handle(self)

        def handle(self) -> None:
            try:
                with contextlib.suppress(ConnectionError):
                    super().handle()
            finally:
                if hasattr(self, "upstream"):
                    self.upstream.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    faulty.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        server.shutdown()
        server.server_close()
