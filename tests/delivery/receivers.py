"""Receivers on loopback, and logs of events to deliver."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reprocess.exposure import Outcome
from reprocess.publication import events
from reprocess.publication.events import Batch
from tests.publication import samples


class Receiver(ThreadingHTTPServer):
    """Remembers what was posted, and answers as it is told: a status for each request, 200 when nothing is left."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.posted, self.location = [], [], ""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, dict(self.headers), body))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


@contextmanager
def receiver():
    """A web server on loopback."""
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def made(*datasets, kind="published", campaign="c"):
    """One event for each dataset."""
    items = {dataset: samples.item(dataset) for dataset in datasets}
    return events.of([Outcome(d, d, kind, version="v") for d in datasets], items, campaign)


def log(store, day, number, *datasets, stream="c-000001", **options):
    """Write one batch of the log."""
    told = made(*datasets, **options)
    store.put(Batch(day, stream, number).key, b"".join(map(events.to_line, told)))
    return told
