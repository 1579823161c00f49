"""Messages posted to a web server."""

import json

import pytest

from reprocess import errors
from reprocess.delivery import message
from reprocess.delivery.webhook import Webhook
from tests.delivery import receivers
from tests.publication import samples

MESSAGE = message.of_event(receivers.made(samples.DATASET)[0], "us")


@pytest.fixture
def server():
    with receivers.receiver() as server:
        yield server


def hook(url, **options):
    return Webhook(url, patience=samples.HURRIED, **options)


class TestPost:
    def test_what_arrives(self, server, monkeypatch):
        """The body is the event as JSON; the id is in it and in the header that servers look at."""
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # for other machines
        hook(server.url + "?sig=abc").send([MESSAGE])

        ((path, headers, body),) = server.posted
        assert path == "/hook?sig=abc"
        assert json.loads(body)["id"] == headers["Idempotency-Key"] == MESSAGE.id
        assert headers["Content-Type"] == "application/json"

    def test_nothing_private_in_the_headers(self, server):
        """No header tells of the machine, its user or its credentials."""
        hook(server.url).send([MESSAGE])

        ((_, headers, _),) = server.posted
        allowed = {"Host", "Content-Type", "Content-Length", "Accept-Encoding", "Connection"}
        assert set(headers) == allowed | {"User-Agent", "Idempotency-Key"}
        assert headers["User-Agent"].startswith("reprocess/")

    @pytest.mark.parametrize("status", [500, 503, 429, 0])
    def test_what_passes_is_tried_again(self, server, status):
        """A server that is busy, or cuts the connection, is asked again, with the same id."""
        server.answers = [status, status]
        hook(server.url).send([MESSAGE])

        assert len(server.posted) == 3
        assert {headers["Idempotency-Key"] for _, headers, _ in server.posted} == {MESSAGE.id}

    def test_not_for_ever(self, server):
        """A server that stays busy is given up for now, and the message does not repeat the secret path."""
        server.answers = [503] * 10
        with pytest.raises(errors.DeliveryError, match="503, 4 times") as caught:
            hook(server.url).send([MESSAGE])

        assert len(server.posted) == 4
        assert "hook" not in str(caught.value)

    def test_what_does_not_pass(self, server):
        """A refusal is not asked again."""
        server.answers = [404]
        with pytest.raises(errors.DeliveryError, match="answered 404"):
            hook(server.url).send([MESSAGE])
        assert len(server.posted) == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects(self, server, status):
        """What was meant for one host never reaches another."""
        with receivers.receiver() as other:
            server.answers, server.location = [status], other.url
            with pytest.raises(errors.DeliveryError, match="redirect"):
                hook(server.url).send([MESSAGE])
            assert other.posted == []
        assert len(server.posted) == 1

    def test_nobody_there(self):
        """A server that is gone is a failure of delivery."""
        with receivers.receiver() as server:
            url = server.url
        with pytest.raises(errors.DeliveryError, match="did not answer"):
            hook(url, timeout_s=1).send([MESSAGE])


@pytest.mark.parametrize(
    "url",
    ["https://host/x", "https://host:8443/x?sig=1", "http://127.0.0.1:80/", "http://localhost/x", "http://[::1]:8/x"],
)
def test_good_addresses(url):
    """Anything over https, and this machine without."""
    Webhook(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://host/x", "https only"),
        ("http://127.0.0.1.example.org/x", "https only"),
        ("http://10.0.0.1/x", "https only"),
        ("https://me:hunter22@host/x", "no user"),
        ("https://me@host/x", "no user"),
        ("https://host/x#y", "no fragment"),
        ("https:///x", "no URL"),
        ("https://host:port/x", "no URL"),
        ("https://host:0/x", "no URL"),
        ("https://host/a b", "no URL"),
        ("https://host/a\r\nX-Y: z", "no URL"),
        ("https://[::1/x", "no URL"),
    ],
)
def test_bad_addresses(url, message):
    """What is no URL, not safe, or holds a password is refused, and the password is not repeated."""
    with pytest.raises(errors.UsageError, match=message) as caught:
        Webhook(url)
    assert "hunter22" not in str(caught.value)
