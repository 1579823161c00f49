"""Which incarnation of a version to write: inputs that were used before do not always give a version to use again.

A version that readers saw and then left stays in the past, because a pointer never goes back to it by itself. Files
without a manifest are of a plan that was cut off; they carry its name, so another plan cannot finish them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from reprocess.archive import fingerprint
from reprocess.archive.judging import Judgement
from reprocess.archive.partition import Pointer
from reprocess.exposure import SETTLED
from reprocess.publication import removed
from reprocess.publication.manifest import prefix
from reprocess.storage.store import Store

_AT_ONCE = 16


def choose_all(store: Store, judgements: Sequence[Judgement], *, again: Collection[str] = ()) -> Mapping[str, int]:
    """Choose the incarnation that each candidate with work to do would write, several at a time; see `choose`.

    Parameters
    ----------
    store : Store
        The archive root.
    judgements : sequence
    again : collection of str
        Datasets whose present version must not be used again, because it is damaged.

    Returns
    -------
    mapping of dataset to int
    """
    wanted = [
        (one.entry.dataset, fingerprint.run_key(fingerprint.raw_version(one.entry), one.fingerprint), one.pointer)
        for one in judgements
        if not one.failure_class and one.verdict.state not in SETTLED
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        chosen = pool.map(lambda each: choose(store, *each, again=each[0] in again), wanted)
        return dict(zip((dataset for dataset, _, _ in wanted), chosen, strict=True))


def choose(store: Store, dataset: str, run_key: str, pointer: Pointer | None = None, *, again: bool = False) -> int:
    """Choose the incarnation of a version, with one listing.

    Parameters
    ----------
    store : Store
        The archive root.
    dataset, run_key : str
        The run key names raw object and fingerprint.
    pointer : Pointer, optional
        What readers see now.
    again : bool
        Use no version again.

    Returns
    -------
    int
        1 for inputs that nobody used yet; the latest one if it is whole and readers have not left it; else one more.
    """
    usable = pointer if pointer and not pointer.error else None  # the verdict has said what is wrong with it
    again = again or bool(usable and (usable.missing or usable.damage))
    present = {usable.version} if usable else set()
    left = set(usable.left) - present if usable else set()
    begun, whole = set(present | left), set(present)
    for stamp in store.list(prefix(dataset, run_key + "-").removesuffix("/")):
        version, _, name = stamp.key.removeprefix(prefix(dataset, "").removesuffix("/")).partition("/")
        begun.add(version)
        if name == "manifest.json":
            whole.add(version)
        elif name == removed.NAME:
            left.add(version)
    numbers = [_number(version) for version in begun if version.startswith(run_key + "-")]
    last = max(numbers, default=0)
    return last if f"{run_key}-{last}" in whole - left and not again else last + 1


def _number(version: str) -> int:
    number = version.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
