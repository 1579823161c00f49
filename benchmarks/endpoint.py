"""Where objects are: at AWS_ENDPOINT_URL (plain HTTP), or in a moto of our own; and how many requests are made."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from reprocess.demo import endpoint as embedded

MOTO = "moto"
_REQUEST = re.compile(rb"(GET|PUT|POST|HEAD|DELETE) /([^ ?]*)")
_KINDS = ("raw", "products", "pointers", "references", "campaigns", "events", "catalogue")
"""What a key is about, by a folder in it."""
_PIECE_BYTES = 2**18
_NOBODYS_KEYS = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "benchmark")


@dataclass(frozen=True)
class Bucket:
    """A bucket made for one benchmark: its name, the endpoint's URL, its kind in words, and what clients need."""

    name: str
    url: str
    server: str
    environment: Mapping[str, str]

    @property
    def suffix(self) -> str:
        """What the results of a server other than moto have in their names."""
        words = re.findall(r"[a-z0-9]+", self.server.lower().partition("(")[0])
        return "" if self.server == MOTO else "-" + "-".join(words)


@contextlib.contextmanager
def bucket() -> Iterator[Bucket]:
    """Make a bucket, and remove it with all that is in it at the end."""
    with contextlib.ExitStack() as stack:
        url = os.environ.get("AWS_ENDPOINT_URL", "")
        if url and not url.startswith("http://"):
            raise SystemExit("AWS_ENDPOINT_URL must name a server of plain HTTP, or requests could not be counted")
        named = {} if url else {**_NOBODYS_KEYS, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
        url = url or stack.enter_context(embedded.serve())
        os.environ.update({**named, "AWS_ENDPOINT_URL": url})
        stack.callback(_forget, [*named, "AWS_ENDPOINT_URL"] if named else [])
        name = f"reprocess-benchmark-{uuid.uuid4().hex[:12]}"
        client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        answer = client.create_bucket(Bucket=name)
        if not named:
            stack.callback(_remove, client, name)
        software = answer["ResponseMetadata"]["HTTPHeaders"].get("server", "unknown")
        yield Bucket(name, url, MOTO if named else software, {**named, "AWS_ENDPOINT_URL": url})


def _forget(names: list[str]) -> None:
    for name in names:
        del os.environ[name]


def _remove(client: Any, name: str) -> None:  # noqa: ANN401 (a client of boto3)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for entry in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=entry["Key"])
    client.delete_bucket(Bucket=name)


@dataclass
class Traffic:
    """What went through a relay: requests, and bytes from and to the server, heads of messages included.

    Requests are counted by method, and by method and kind of key, for example ``PUT products``.
    """

    requests: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    received: int = 0
    sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def relay(upstream: str) -> Iterator[tuple[str, Traffic]]:
    """Stand between clients and a server of plain HTTP, change nothing, and count.

    Yields the URL for the clients, and the count. It costs time: what is timed does not go through it.
    """
    parts, traffic = urlsplit(upstream), Traffic()
    assert parts.hostname is not None
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    target = (parts.hostname, parts.port or 80)
    threading.Thread(target=_accept, args=(listener, target, traffic), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", traffic
    finally:
        listener.close()


def _accept(listener: socket.socket, target: tuple[str, int], traffic: Traffic) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(target)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            counter = _Counter(traffic)
            for ways in ((client, server, counter.upwards), (server, client, counter.downwards)):
                threading.Thread(target=_pump, args=ways, daemon=True).start()


class _Counter:
    """Counts one connection. Its requests follow each other: one begins where the client speaks after the server."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._clients_turn = True

    def upwards(self, piece: bytes) -> None:
        begin = _REQUEST.match(piece) if self._clients_turn else None
        self._clients_turn = False
        with self._traffic.lock:
            self._traffic.sent += len(piece)
            if begin:
                method, path = (part.decode() for part in begin.groups())
                kind = next((kind for kind in _KINDS if kind in path.split("/")), "others")
                self._traffic.requests[method] += 1
                self._traffic.kinds[f"{method} {kind}"] += 1

    def downwards(self, piece: bytes) -> None:
        self._clients_turn = True
        with self._traffic.lock:
            self._traffic.received += len(piece)


def _pump(source: socket.socket, sink: socket.socket, seen: Callable[[bytes], None]) -> None:
    """Pass on what comes until one side closes, then close the other."""
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            seen(piece)
            sink.sendall(piece)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
