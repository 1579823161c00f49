"""Where plans are kept: written once, found again by their digests."""

from __future__ import annotations

from dataclasses import asdict

from reprocess import errors
from reprocess.formats import records
from reprocess.planning import plan as plans
from reprocess.planning.pilot import Finding
from reprocess.planning.plan import Plan
from reprocess.publication import publish
from reprocess.storage.store import Store

_SHORTEST = 6


def keep(store: Store, made: Plan) -> Plan:
    """Keep a sealed plan.

    Returns
    -------
    Plan
        It, or the one of the same digest that was there already, with the forecast that was shown then.
    """
    try:
        publish.put_once(store, f"campaigns/{made.digest[:16]}/plan.json", plans.to_bytes(made))
    except errors.PublicationError:
        return find(store, made.digest)
    return made


def keep_finding(store: Store, campaign: str, finding: Finding) -> None:
    """Keep what the pilot of a campaign has shown, for its report and for whoever is to approve it."""
    data = records.dumps("pilot", 1, asdict(finding))
    store.put(f"campaigns/{campaign}/pilot.json", data, content_type="application/json")


def find(store: Store, digest: str) -> Plan:
    """Read the plan that a digest, perhaps shortened, names.

    Raises
    ------
    PlanError
        No plan or several have it, or the plan was edited.
    """
    wanted = digest.lower()
    if len(wanted) < _SHORTEST or not set(wanted) <= set("0123456789abcdef"):
        raise errors.PlanError(f"{digest!r} is no digest: it has {_SHORTEST} to 64 hexadecimal digits.")
    found = [stamp.key for stamp in store.list(f"campaigns/{wanted[:16]}") if stamp.key.endswith("/plan.json")]
    if len(found) != 1:
        many = "no plan" if not found else f"{len(found)} plans"
        raise errors.PlanError(f"{store.url} has {many} {digest}. `reprocess plan` prints the digest.")
    made = plans.from_bytes(store.get(found[0]).data, name=found[0])
    if not made.digest.startswith(wanted):
        raise errors.PlanError(f"{found[0]} has the digest {made.digest}, not {digest}. Plan again.")
    return made
