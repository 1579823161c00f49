"""When a read is made again, and when it is given up."""

from __future__ import annotations

import asyncio

import pytest

from reprocess import errors
from reprocess.storage import s3_again


@pytest.fixture
def pauses(monkeypatch):
    """No pause is made; how long each would have been."""
    found = []

    async def sleep(seconds):
        found.append(seconds)

    monkeypatch.setattr(s3_again.asyncio, "sleep", sleep)
    return found


def attempts(*ends):
    """An attempt that ends in each of these ways, one after the other."""
    left = list(ends)

    async def attempt():
        end = left.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    return attempt


SILENT = errors.StorageUnavailable("No answer.")
MET = errors.CommitConflict("Two writes met.")


def read(*ends):
    return asyncio.run(s3_again.read(attempts(*ends)))


def test_later_each_time(pauses):
    """Pauses grow, and are never longer than ten seconds; by chance up to half shorter."""
    assert read(*[SILENT] * 5, "data") == "data"
    assert all(0.1 * 2**n <= pause <= 0.2 * 2**n for n, pause in enumerate(pauses))


def test_given_up(pauses):
    """After six tries the last error is told."""
    with pytest.raises(errors.StorageUnavailable):
        read(*[SILENT] * 6, "data")
    assert len(pauses) == 5


def test_conflicts(pauses):
    """Conflicts are over soon: four more tries, and they leave the tries after silences alone."""
    assert read(MET, MET, SILENT, MET, MET, "data") == "data"
    with pytest.raises(errors.CommitConflict):
        read(*[MET] * 5, "data")


@pytest.mark.parametrize("error", [errors.ObjectMissing("None."), errors.AccessDenied("No."), ValueError()])
def test_what_is_final(pauses, error):
    """What another try would meet again is told at once."""
    with pytest.raises(type(error)):
        read(error, "data")
    assert pauses == []


def test_time(pauses, monkeypatch):
    """Where each try takes a minute, there are not six of them."""
    clock = iter(range(0, 6000, 61))
    monkeypatch.setattr(s3_again.time, "monotonic", lambda: next(clock))
    with pytest.raises(errors.StorageUnavailable):
        read(*[SILENT] * 5, "data")
    assert len(pauses) == 1
