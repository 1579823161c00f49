"""Which incarnation of a version to write: inputs that were used before do not always give a version to use again.

A version that readers saw and then left stays in the past, because a pointer never goes back to it by itself. Files
without a manifest are of a plan that was cut off; they carry its name, so another plan cannot finish them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from reprocess.publication.manifest import prefix
from reprocess.publication.pointer import Pointer
from reprocess.storage.store import Store

_AT_ONCE = 16


def choose_all(store: Store, wanted: Iterable[tuple[str, str, Pointer | None]]) -> Mapping[str, int]:
    """Choose the incarnation of many datasets, several at a time; see `choose`.

    Parameters
    ----------
    wanted : iterable of (dataset, run key, pointer)

    Returns
    -------
    mapping of dataset to int
    """
    every = tuple(wanted)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip([each[0] for each in every], pool.map(lambda each: choose(store, *each), every), strict=True))


def choose(store: Store, dataset: str, run_key: str, pointer: Pointer | None = None) -> int:
    """Choose the incarnation of a version, with one listing.

    Parameters
    ----------
    store : Store
        The archive root.
    dataset, run_key : str
        The run key names raw object and fingerprint.
    pointer : Pointer, optional
        What readers see now.

    Returns
    -------
    int
        1 for inputs that nobody used yet; the latest one if it is whole and readers have not left it; else one more.
    """
    present = {pointer.version} if pointer else set()
    left = {commit.version for commit in pointer.history} - present if pointer else set()
    begun, whole = set(present | left), set(present)
    for stamp in store.list(prefix(dataset, run_key + "-").removesuffix("/")):
        version, _, name = stamp.key.removeprefix(prefix(dataset, "").removesuffix("/")).partition("/")
        begun.add(version)
        if name == "manifest.json":
            whole.add(version)
    numbers = [_number(version) for version in begun if version.startswith(run_key + "-")]
    last = max(numbers, default=0)
    return last if f"{run_key}-{last}" in whole - left else last + 1


def _number(version: str) -> int:
    number = version.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
