"""Events, subscriptions and logs on the command line."""

import json

import pytest

from reprocess.exposure import Outcome
from reprocess.publication import events, unit_logs
from reprocess.publication.events import Batch
from reprocess.storage import open_store
from tests.delivery import receivers

A, B = "jw01234001001_02101_00001_nrca1", "jw01235001001_02101_00001_nrca1"


@pytest.fixture
def archive(reprocess, tmp_path):
    """An archive of which nothing is known but what became of two datasets."""
    (tmp_path / "raw").mkdir()
    reprocess("init", "arc", "--raw", tmp_path / "raw")
    store = open_store(str(tmp_path / "arc"))
    told = (*receivers.made(A), *receivers.made(B, kind="bad-data"))
    for number in (1, 2):  # told twice, as after a crash
        store.put(Batch("2026-11-20", "c-000001", number).key, b"".join(map(events.to_line, told)))
    return store


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


class TestEvents:
    def test_listed_once(self, reprocess, archive):
        """Each event is listed once, for people or as JSON Lines."""
        assert [line["dataset"] for line in lines(reprocess("events", "arc", "--json"))] == [A, B]
        text = reprocess("events", "arc").stdout
        assert text.count(A) == text.count("reprocessed") == 1

    def test_chosen(self, reprocess, archive):
        """Dataset, kind and day choose."""
        assert [line["dataset"] for line in lines(reprocess("events", "arc", "--json", "--kind", "failed"))] == [B]
        assert [line["dataset"] for line in lines(reprocess("events", "arc", "--json", "--dataset", A))] == [A]
        assert reprocess("events", "arc", "--since", "2026-11-21").stdout == ""

    @pytest.mark.parametrize(
        ("words", "message"), [(("--since", "yesterday"), "no day"), (("--kind", "strange"), "There are new")]
    )
    def test_what_there_is_not(self, reprocess, archive, words, message):
        """A day that is none and a kind that is none are wrong requests."""
        assert message in reprocess("events", "arc", *words, code=2).stderr


class TestSubscriptions:
    def test_the_whole_way(self, reprocess, archive, tmp_path):
        """Subscribed, delivered, listed, ended."""
        said = reprocess(
            "subscribe", "arc", "us", "--to", "file:got.jsonl", "--since", "2026-11-20", "--program", "1234"
        )
        assert said.stdout == f"us: program 01234, at once, to file:{tmp_path}/got.jsonl\n"
        reprocess("deliver", "arc")
        assert [json.loads(line)["dataset"] for line in (tmp_path / "got.jsonl").read_text().splitlines()] == [A, A]

        (record,) = json.loads(reprocess("subscriptions", "arc", "--json").stdout)
        assert (record["name"], record["programs"]) == ("us", ["01234"])
        reprocess("unsubscribe", "arc", "us")
        assert reprocess("subscriptions", "arc").stdout == "Nobody has subscribed.\n"
        assert reprocess("deliver", "arc").stdout == "Nobody has subscribed.\n"

    def test_a_receiver_that_is_gone(self, reprocess, archive, tmp_path):
        """Somebody else is served, and the exit code tells."""
        for name, path in (("a", "gone/x"), ("b", "x")):
            reprocess("subscribe", "arc", name, "--to", f"file:{path}", "--since", "2026-11-20", "--digest", "daily")
        result = reprocess("deliver", "arc", "--json", code=1)

        first, second = json.loads(result.stdout)
        assert "gone/x cannot be appended to" in first["problem"]
        assert (second["events"], second["messages"], second["problem"]) == (2, 1, "")

    def test_secret_addresses(self, reprocess, archive):
        """Of a webhook only the host is shown."""
        said = reprocess("subscribe", "arc", "hook", "--to", "https://hooks.example.org/T0/secret?sig=x").stdout
        said += reprocess("subscriptions", "arc").stdout + reprocess("subscriptions", "arc", "--json").stdout

        assert "https://hooks.example.org/..." in said
        assert "secret" not in said
        assert "sig" not in said

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("us", "--to", "mail:me@example.org"), "no address of a receiver"),
            (("us", "--to", "http://example.org/x"), "https only"),
            (("us", "--to", "sns:events"), "no ARN"),
            (("us", "--to", "file:"), "absolute path"),
            (("Us", "--to", "file:x"), "no name"),
            (("us", "--to", "file:x", "--type", "uncal"), "none of the types"),
            (("us", "--to", "file:x", "--program", "many"), "no program"),
        ],
    )
    def test_what_cannot_be(self, reprocess, archive, words, message):
        """A subscription that could never work is refused, and nothing is kept."""
        assert message in reprocess("subscribe", "arc", *words, code=2).stderr
        assert list(archive.list("subscriptions/")) == []


class TestLogs:
    def test_shown(self, reprocess, archive):
        """The lines of a dataset, by its name or that of a file of it."""
        archive.put("campaigns/c1/plan.json", b"{}")
        log = (
            '{"time":"2026-11-21T03:00:00.000Z","level":"INFO","logger":"l","step":"read","message":"read took 1 s"}',
        )
        unit_logs.write(archive, "c1", [Outcome(A, A, "published", attempt=2, log=log)], epoch=1, number=1)

        text = reprocess("logs", "arc", f"{A}_uncal.fits").stdout
        assert f"2026-11-21T03:00:00.000 INFO {A} #2 read: read took 1 s" in text
        (first, last) = lines(reprocess("logs", "arc", A, "--json", "--campaign", "c1"))
        assert (first["campaign"], first["step"], last["message"]) == ("c1", "read", "ended as published")

    def test_nothing_there(self, reprocess, archive):
        """A dataset without lines is told."""
        assert "Check the names" in reprocess("logs", "arc", A, code=2).stderr


class TestLogFormat:
    def test_lines_in_json(self, reprocess, archive, monkeypatch):
        """By flag, before the command or after it, or by the environment, over which a flag weighs."""
        import logging

        from reprocess import logs

        def lines_are_json():
            return isinstance(logging.getLogger("reprocess").handlers[0].formatter, logs._Json)

        for words, environment, expected in (
            (("events", "arc"), "", False),
            (("events", "arc", "--log-format", "json"), "", True),
            (("--log-format", "json", "events", "arc"), "", True),
            (("events", "arc"), "json", True),
            (("--log-format", "text", "events", "arc"), "json", False),
            (("events", "arc", "--log-format", "text"), "json", False),
        ):
            monkeypatch.setenv("REPROCESS_LOG_FORMAT", environment)
            reprocess(*words)
            assert lines_are_json() is expected, words

    def test_a_format_that_is_none(self, reprocess, archive, monkeypatch):
        """A format that there is not is a wrong request."""
        monkeypatch.setenv("REPROCESS_LOG_FORMAT", "xml")
        assert "REPROCESS_LOG_FORMAT" in reprocess("events", "arc", code=2).stderr
