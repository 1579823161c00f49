"""What an operator wants of a campaign: go on, wait, or end; an object beside its plan that the coordinator reads.

``campaigns/<id>/control.json`` is changed by compare-and-swap. A campaign without one goes on.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any

from reprocess import errors
from reprocess.formats import records
from reprocess.publication.patience import Patience
from reprocess.publication.publish import PATIENT
from reprocess.storage.store import Store

KIND, SCHEMA = "control", 1

RUN, PAUSE, CANCEL, DEFER = "run", "pause", "cancel", "defer"
"""What a campaign is to do: go on; wait for an operator; end for good; end for today, at a limit that was set."""


@dataclass(frozen=True, slots=True)
class Control:
    """What a campaign is to do.

    Attributes
    ----------
    state : str
        `RUN`, `PAUSE`, `CANCEL` or `DEFER`.
    priority : int
        Of several campaigns on the same workers the one with the higher number goes first.
    approved : bool
        Whether somebody has looked at the pilot and found it good.
    why, by : str
        For people: the reason of the present state, and who gave it.
    changed : str
        When, by the clock of whoever changed it: UTC, ISO 8601.
    writer : str
        Names one change: keeps equal wishes apart.
    """

    state: str = RUN
    priority: int = 0
    approved: bool = False
    why: str = ""
    by: str = ""
    changed: str = ""
    writer: str = ""


def key(campaign: str) -> str:
    """Key of a campaign's control object below the archive root."""
    return f"campaigns/{campaign}/control.json"


def read(store: Store, campaign: str) -> Control:
    """Read what a campaign is to do.

    Raises
    ------
    DamagedRecord
        The object is none of ours.
    """
    return _read(store, campaign)[0]


def change(store: Store, campaign: str, *, by: str, patience: Patience = PATIENT, **what: Any) -> Control:  # noqa: ANN401
    """Change what a campaign is to do, and leave the rest as it is.

    Parameters
    ----------
    by : str
        Who wants it.
    **what
        Attributes of `Control` and their new values.

    Raises
    ------
    PlanError
        The campaign was cancelled; that is for good.
    StorageUnavailable, CommitConflict
        It stays unknown whether the change was made; making it again is safe.
    """
    writer, now = str(uuid.uuid4()), datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    for number in patience.rounds():
        present, etag = patience.insist(lambda: _read(store, campaign))
        if present.writer == writer:
            return present
        if present.state == CANCEL and what.get("state", CANCEL) != CANCEL:
            raise errors.PlanError(f"Campaign {campaign} was cancelled by {present.by}. Plan again to do its work.")
        wanted = replace(present, **what, by=by, changed=now.isoformat(timespec="seconds"), writer=writer)
        try:
            _write(store, campaign, wanted, etag)
            return wanted
        except (errors.StorageUnavailable, errors.CommitConflict, errors.PreconditionFailed, errors.AlreadyExists):
            if number == patience.tries:
                raise
    raise errors.StorageUnavailable(f"No try was allowed to change {key(campaign)}.")


def _write(store: Store, campaign: str, wanted: Control, etag: str) -> None:
    data = records.dumps(KIND, SCHEMA, asdict(wanted))
    if etag:
        store.compare_and_swap(key(campaign), data, etag=etag)
    else:
        store.put_if_absent(key(campaign), data, content_type="application/json")


def _read(store: Store, campaign: str) -> tuple[Control, str]:
    place = key(campaign)
    try:
        blob = store.get(place)
    except errors.ObjectMissing:
        return Control(), ""
    body = records.loads(blob.data, KIND, name=place, schemas=(SCHEMA,))
    try:
        return Control(**{name: body[name] for name in Control.__dataclass_fields__}), blob.stamp.etag
    except KeyError as error:
        raise errors.DamagedRecord(f"{place} lacks {error}. Delete it: the campaign then goes on.") from error
