"""The staleness of an archive for Prometheus: text for the textfile collector of a node exporter, or beside a campaign.

Nothing is remembered: each text is made from one record of the archive.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reprocess.archive.debt import STATES, Debt

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def exposition(debt: Debt, now: datetime) -> str:
    """Write the newest judgement of an archive in the text format of Prometheus.

    Parameters
    ----------
    debt : Debt
    now : datetime
        With a time zone; ages are counted up to it.
    """
    from prometheus_client import generate_latest

    return generate_latest(gauges(debt, now)).decode()


def gauges(debt: Debt, now: datetime) -> CollectorRegistry:
    """Make the metrics of the newest judgement of an archive; see `exposition`."""
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"reprocess_{name}", text, labels, registry=registry)

    exposures = gauge("exposures", "Exposures by state of their products.", "state", "instrument")
    for instrument, amounts in debt.amounts.items():
        for state in sorted({*STATES, *amounts}):  # zeros too, so that no series ends
            exposures.labels(state, instrument).set(amounts[state].count if state in amounts else 0)
    gauge("stale_bytes", "Bytes of the Level 1b objects of stale exposures.").set(debt.of_state("stale").bytes)
    causes = gauge("stale_exposures", "Stale exposures by cause; one may have several.", "kind", "type")
    for cause in debt.causes:
        if cause.state == "stale":
            causes.labels(cause.kind, cause.type).set(cause.amount.count)
    oldest = gauge("stale_oldest_seconds", "Upper limit of how long any exposure has been stale; 0 if none is.")
    oldest.set(max(0.0, (now - moment(debt.stale_since)).total_seconds()) if debt.stale_since else 0)
    judged = gauge("judged_timestamp_seconds", "When the whole catalogue was judged last, Unix time.")
    judged.set(moment(debt.created).timestamp())
    return registry


def moment(created: str) -> datetime:
    """Read a time of a record."""
    return datetime.fromisoformat(created).replace(tzinfo=UTC)
