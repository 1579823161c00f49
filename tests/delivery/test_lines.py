"""Messages appended to a file."""

import json
import os
import threading
import time

import pytest

from reprocess import errors
from reprocess.delivery import message
from reprocess.delivery.lines import LineFile
from tests.delivery import receivers

MESSAGES = [message.of_event(event, "us") for event in receivers.made(*(f"jw{n:011d}_x" for n in range(40)))]


def ids(path):
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_appended(tmp_path):
    """Each message is a line, after what was there."""
    path = tmp_path / "events.jsonl"
    for some in (MESSAGES[:3], MESSAGES[3:5]):
        LineFile(str(path)).send(some)

    assert ids(path) == [each.id for each in MESSAGES[:5]]


def test_half_a_line(tmp_path):
    """What somebody left half written does not damage what comes after it."""
    path = tmp_path / "events.jsonl"
    path.write_text('{"id": "cut o')
    LineFile(str(path)).send(MESSAGES[:2])

    assert [json.loads(line)["id"] for line in path.read_text().splitlines()[1:]] == [one.id for one in MESSAGES[:2]]


def test_several_writers(tmp_path, monkeypatch):
    """Lines of several writers do not mix, even if the system takes them in pieces."""
    write = os.write

    def piece(descriptor, data):
        time.sleep(0.0002)  # somebody else's turn
        return write(descriptor, data[:200])

    monkeypatch.setattr(os, "write", piece)
    path = tmp_path / "events.jsonl"
    parts = [MESSAGES[start::4] for start in range(4)]
    threads = [threading.Thread(target=lambda p=part: [LineFile(str(path)).send([m]) for m in p]) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ids(path)) == sorted(one.id for one in MESSAGES)


def test_a_write_that_takes_a_part(tmp_path, monkeypatch):
    """A line that the system takes in pieces is whole in the end."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    path = tmp_path / "events.jsonl"
    LineFile(str(path)).send(MESSAGES[:2])

    assert ids(path) == [one.id for one in MESSAGES[:2]]


def test_no_room(tmp_path):
    """A directory that is not there, a directory in the place of the file, and a pipe are failures of delivery."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "no" / "x", tmp_path, tmp_path / "pipe"):
        with pytest.raises(errors.DeliveryError, match="deliver again"):
            LineFile(str(path)).send(MESSAGES[:1])


@pytest.mark.parametrize("path", ["", "relative", "/x/"])
def test_no_path(path):
    """A path that would depend on where one stands is refused."""
    with pytest.raises(errors.UsageError, match="absolute"):
        LineFile(path)
