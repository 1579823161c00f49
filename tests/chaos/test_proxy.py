from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.chaos.points import Strike
from tests.chaos.proxy import Storm, Weather
from tests.storage import faulty_server

ROOT = "/bucket/seed/"
BODY = b"x" * 1000


@pytest.fixture
def server():
    """A server that keeps bodies by path, and says so."""
    kept: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            if self.command == "PUT" and len(body) == size:
                kept[self.path] = body
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY)

        do_GET = do_PUT = answer

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}", kept
    running.shutdown()
    running.server_close()


def ask(url, method, path, body=None):
    """Status and body, or the name of the error."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (http.client.HTTPException, OSError) as error:
        return type(error).__name__, b""
    finally:
        connection.close()


CALM = Weather()


def storm(tmp_path, weather=CALM, waiting=(), *, seed=0, strike=None):
    return Storm(
        seed, weather, list(waiting), root=ROOT, strike=strike or (lambda *_: False), log=tmp_path / "storm.jsonl"
    )


@pytest.fixture
def told(server, tmp_path):
    """What a client hears through a storm, and what the server has kept."""

    def tell(one, method="PUT", path=ROOT + "a", body=BODY):
        with faulty_server.serve(server[0], one.decide, one.heard) as proxy:
            one.caller = proxy.caller
            return ask(proxy.url, method, path, body), server[1].get(path)

    return tell


class TestWeather:
    @pytest.mark.parametrize(
        ("weather", "status", "kept"),
        [
            (Weather(), 200, BODY),
            (Weather(drop=1), "RemoteDisconnected", None),
            (Weather(lose=1), "RemoteDisconnected", BODY),
            (Weather(slow_down=1), 503, None),
            (Weather(fail=1), 500, None),
            (Weather(fail_afterwards=1), 500, BODY),
            (Weather(tear=1), "RemoteDisconnected", None),
            (Weather(slow=1, slow_s=0.01), 200, BODY),
        ],
    )
    def test_a_write(self, told, tmp_path, weather, status, kept):
        """What the client hears, and whether the server has it."""
        (heard, _), there = told(storm(tmp_path, weather))

        assert (heard, there) == (status, kept)

    def test_a_cut_answer(self, told, tmp_path):
        """A body that is cut is noticed by whoever knows its length."""
        (heard, _), _ = told(storm(tmp_path, Weather(cut=1)), "GET", body=None)

        assert heard == "IncompleteRead"

    def test_fates_are_seeded(self, tmp_path):
        """The n-th request of a path has the same fate whatever comes between; another seed gives other fates."""
        weather = Weather(drop=0.2, lose=0.2, slow_down=0.2)

        def fates(seed, *, noise):
            one = storm(tmp_path, weather, seed=seed)
            return [(one.decide("PUT", "/noise", 0) if noise else "", one.decide("PUT", "/a", 0))[1] for _ in range(50)]

        assert fates(1, noise=False) == fates(1, noise=True) != fates(2, noise=False)

    def test_how_often(self, tmp_path):
        """Faults come as often as is asked for."""
        one = storm(tmp_path, Weather(drop=0.1, lose=0.2))
        drawn = Counter(str(one.decide("PUT", f"/{number}", 0)) for number in range(4000))

        assert 300 < drawn[faulty_server.DROP_THE_REQUEST] < 500
        assert 680 < drawn[faulty_server.LOSE_THE_ANSWER] < 920
        assert one.faults.total() == sum(drawn.values()) - drawn[faulty_server.PASS_ON]


class TestStrikes:
    @pytest.mark.parametrize(("after", "kept"), [(False, None), (True, BODY)])
    def test_the_sender_is_killed(self, told, tmp_path, after, kept):
        """Before: the server has seen nothing. After: it has done it, and nobody hears."""
        ports = []
        strike = Strike("x", "PUT a", 1, after, "sender")
        one = storm(tmp_path, waiting=[strike], strike=lambda what, port: ports.append(port) or True)
        (heard, _), there = told(one)

        assert (heard, there) == ("RemoteDisconnected", kept)
        assert (len(ports), one.struck) == (1, ["x"])
        assert json.loads((tmp_path / "storm.jsonl").read_text())["strike"] == "x"

    @pytest.mark.parametrize("after", [False, True])
    def test_somebody_else_is_killed(self, told, tmp_path, after):
        """The request goes its way."""
        one = storm(tmp_path, waiting=[Strike("x", "PUT a", 1, after, "scheduler")])

        assert told(one) == ((200, BODY), BODY)
