"""What was in the way of a campaign's workers, kept for its report."""

from __future__ import annotations

import pytest

from reprocess import errors
from reprocess.publication import obstacles
from reprocess.storage import open_store


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path))


def test_once(store):
    """What is in the way again, after another driver has come, is kept once; each campaign has its own."""
    for text in ("No node.", "A quota.", "No node."):
        obstacles.note(store, "a", text)
    obstacles.note(store, "b", "An image.")

    assert {one.text for one in obstacles.read(store, "a")} == {"No node.", "A quota."}
    assert all(one.since for one in obstacles.read(store, "a"))


def test_nothing(store):
    """Where nothing was in the way, nothing is read."""
    assert obstacles.read(store, "a") == ()


def test_secrets(store):
    """What looks like a password is not kept."""
    obstacles.note(store, "a", "https://user:hunter22@host refused")

    (kept,) = obstacles.read(store, "a")
    assert "hunter22" not in kept.text


def test_a_store_that_does_not_answer(store, monkeypatch, caplog):
    """A note that cannot be kept harms nobody, and is told."""
    monkeypatch.setattr(type(store), "put_if_absent", _silent)
    monkeypatch.setattr(obstacles, "BRIEFLY", obstacles.Patience(tries=1))
    obstacles.note(store, "a", "No node.")

    assert "will not tell" in caplog.text


def _silent(*_, **__):
    raise errors.StorageUnavailable("No answer.")


def test_damaged(store):
    """A note that is none is named."""
    store.put("campaigns/a/obstacles/x.json", b'{"kind": "obstacle", "schema": 1}')

    with pytest.raises(errors.DamagedRecord, match=r"obstacles/x\.json"):
        obstacles.read(store, "a")
