"""What ended for good without being published: no later plan tries it again until its inputs change or somebody asks.

Each campaign leaves one object, ``refused/<campaign>.json``: the datasets that were held back by the gate or failed in
a way that the same inputs will give again, with the run key of what was refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from reprocess import errors
from reprocess.exposure import Outcome
from reprocess.formats import records
from reprocess.publication.patience import Patience
from reprocess.publication.publish import PATIENT
from reprocess.storage.store import Store

KIND, SCHEMA = "refusals", 1
PREFIX = "refused/"

FOR_GOOD = frozenset({"held-back", "bad-data", "worker-lost", "out-of-memory", "overdue", "rejected"})
"""Classes that the same inputs will end in again. What depends on the store or on references is none of them."""

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that was not published.

    Attributes
    ----------
    dataset : str
    run_key : str
        Digest of raw object and fingerprint: the version's name without its incarnation.
    outcome_class, message : str
        How it ended.
    campaign : str
        In which campaign.
    """

    dataset: str
    run_key: str
    outcome_class: str
    message: str
    campaign: str


def run_key(version: str) -> str:
    """Return the name of a version without its incarnation."""
    return version.rpartition("-")[0]


def refuses(outcome: Outcome) -> bool:
    """Whether an outcome says that trying again is of no use."""
    return outcome.outcome_class in FOR_GOOD


def key(campaign: str) -> str:
    """Key of what a campaign refused, below the archive root."""
    return f"{PREFIX}{campaign}.json"


def read(store: Store) -> dict[tuple[str, str], Refusal]:
    """Read every refusal of an archive, by dataset and run key."""
    keys = [stamp.key for stamp in store.list(PREFIX)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        lists = pool.map(lambda each: _read(store, each)[0], keys)
        return {(one.dataset, one.run_key): one for some in lists for one in some.values()}


def note(store: Store, campaign: str, refusals: Iterable[Refusal], *, patience: Patience = PATIENT) -> None:
    """Add refusals to those of a campaign; the later word on a dataset counts."""
    new = {one.dataset: one for one in refusals}
    if new:
        _change(store, campaign, new, (), patience)


def release(store: Store, campaign: str, datasets: Collection[str], *, patience: Patience = PATIENT) -> None:
    """Take back the refusals of some datasets of a campaign, so that they are tried again."""
    if datasets:
        _change(store, campaign, {}, datasets, patience)


def _change(store: Store, campaign: str, new: Mapping[str, Refusal], gone: Collection[str], patience: Patience) -> None:
    place = key(campaign)
    for number in patience.rounds():
        present, etag = patience.insist(lambda: _read(store, place))
        wanted = {name: one for name, one in {**present, **new}.items() if name not in gone}
        if wanted == present:
            return
        data = records.dumps(KIND, SCHEMA, {"refusals": [asdict(wanted[name]) for name in sorted(wanted)]})
        try:
            if etag:
                store.compare_and_swap(place, data, etag=etag)
            else:
                store.put_if_absent(place, data, content_type="application/json")
            return
        except errors.StorageUnavailable:
            if number == patience.tries:
                raise
        except (errors.CommitConflict, errors.PreconditionFailed, errors.AlreadyExists) as error:
            if number == patience.tries:
                told = f"{place} was changed by others {number} times meanwhile. Try again."
                raise errors.CommitConflict(told) from error


def _read(store: Store, place: str) -> tuple[dict[str, Refusal], str]:
    try:
        blob = store.get(place)
    except errors.ObjectMissing:
        return {}, ""
    body = records.loads(blob.data, KIND, name=place, schemas=(SCHEMA,))
    try:
        found = [Refusal(**each) for each in body["refusals"]]
        if not all(isinstance(value, str) for one in found for value in asdict(one).values()):
            raise TypeError("a value that is no text")
        return {one.dataset: one for one in found}, blob.stamp.etag
    except (KeyError, TypeError) as error:
        raise errors.DamagedRecord(
            f"{place} is not a list of refusals ({error}). Delete it to try all again."
        ) from error
