"""What an operator wants of a campaign: go on, wait, or end; an object beside its plan that the coordinator reads.

``campaigns/<id>/control.json`` is changed by compare-and-swap. A campaign without one goes on.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection
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

STATES = (RUN, PAUSE, CANCEL, DEFER)

AT_THE_PILOT = ("pilot", "--approve")
"""What pauses a campaign after its pilot, as `Control.by` names it."""

_REMEMBERED = 32  # more changes than can come between a change and the last try to make it


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
    earlier : tuple of str
        The changes before it, the latest first: a change whose answer was lost is known again after others.
    """

    state: str = RUN
    priority: int = 0
    approved: bool = False
    why: str = ""
    by: str = ""
    changed: str = ""
    writer: str = ""
    earlier: tuple[str, ...] = ()


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


def change(
    store: Store,
    campaign: str,
    *,
    by: str,
    only_from: Collection[str] = STATES,
    patience: Patience = PATIENT,
    **what: Any,  # noqa: ANN401
) -> Control:
    """Change what a campaign is to do, and leave the rest as it is.

    Parameters
    ----------
    by : str
        Who wants it.
    only_from : collection of str
        States that are changed; in another one everything stays as it is.
    **what
        Attributes of `Control` and their new values.

    Returns
    -------
    Control
        What holds now. If others have changed it since, what they want.

    Raises
    ------
    PlanError
        The campaign was cancelled; that is for good.
    DamagedRecord
        The object is none of ours.
    StorageUnavailable, CommitConflict
        It stays unknown whether the change was made; making it again is safe.
    """
    writer, now = str(uuid.uuid4()), datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    for number in patience.rounds():
        present, etag = patience.insist(lambda: _read(store, campaign))
        if writer in (present.writer, *present.earlier) or present.state not in only_from:
            return present
        if present.state == CANCEL and what.get("state", CANCEL) != CANCEL:
            raise errors.PlanError(f"Campaign {campaign} was cancelled by {present.by}. Plan again to do its work.")
        before = (present.writer, *present.earlier)[:_REMEMBERED] if present.writer else ()
        changed = now.isoformat(timespec="seconds")
        wanted = replace(present, **what, by=by, changed=changed, writer=writer, earlier=before)
        try:
            _write(store, campaign, wanted, etag)
            return wanted
        except errors.StorageUnavailable:
            if number == patience.tries:
                raise
        except (errors.CommitConflict, errors.PreconditionFailed, errors.AlreadyExists) as error:
            if number == patience.tries:
                told = f"{key(campaign)} was changed by others {number} times meanwhile. Try again."
                raise errors.CommitConflict(told) from error
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
    return _checked(body, place), blob.stamp.etag


def _checked(body: dict[str, Any], place: str) -> Control:
    """Make a record of what was stored; a state that a hand has misspelt must not count as none."""
    values = {name: body[name] for name in Control.__dataclass_fields__ if name in body}
    defaults = asdict(Control())
    try:
        values["earlier"] = tuple(values.get("earlier", ()))
        wrong = [name for name, value in values.items() if type(value) is not type(defaults[name])]
    except TypeError:
        wrong = ["earlier"]
    wrong += [name for name in defaults if name not in values]
    if not wrong and values["state"] not in STATES:
        wrong = ["state"]
    if wrong:
        raise errors.DamagedRecord(
            f"{place}: {wrong[0]} is missing or not what it must be. Delete it: the campaign then goes on."
        )
    return Control(**values)
