"""A small HTTP server that answers as told, or passes the request on to a real S3 and then loses or cuts the answer."""

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

LOSE_THE_ANSWER = "lose the answer"
CUT_THE_ANSWER = "cut the answer"
PASS_ON = "pass on"
Answer = str | tuple[int, str]


class FaultyServer:
    """Decides for each request by `decide(method, path, n)`, where n counts the requests of this method from 1."""

    def __init__(self, upstream: str, decide: Callable[[str, str, int], Answer]) -> None:
        self.upstream = urlsplit(upstream)
        self.decide = decide
        self.requests: Counter[str] = Counter()
        self.signed = 0
        self.lock = threading.Lock()
        self.url = ""

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        with self.lock:
            self.requests[handler.command] += 1
            number = self.requests[handler.command]
            self.signed += "Authorization" in handler.headers
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        answer = self.decide(handler.command, handler.path, number)
        if isinstance(answer, tuple):
            status, code = answer
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>made up</Message></Error>".encode()
            _reply(handler, status, [("Content-Type", "application/xml")], text)
            return
        status, headers, text = self._pass_on(handler, body)
        if answer == LOSE_THE_ANSWER:
            handler.close_connection = True
            return
        _reply(handler, status, headers, text, cut=answer == CUT_THE_ANSWER)

    def _pass_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        with contextlib.closing(http.client.HTTPConnection(self.upstream.netloc)) as connection:
            connection.request(handler.command, handler.path, body, dict(handler.headers.items()))
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()


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
def serve(upstream: str, decide: Callable[[str, str, int], Answer]) -> Iterator[FaultyServer]:
    """Run the server on a free port of the loopback address."""
    faulty = FaultyServer(upstream, decide)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self) -> None:
            faulty.handle(self)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    faulty.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        server.shutdown()
        server.server_close()
