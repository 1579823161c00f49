"""The dashboard and what Prometheus scrapes: nothing is shown that is not there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reprocess.execution.executor import Load
from reprocess.planning.forecast import Forecast, Interval
from reprocess.publication.spending import Spent
from reprocess.reporting import campaign_metrics, metrics
from tests.archive.test_debt import candidate, file_reason, measure
from tests.manifests.rendering import ROOT, needs_kubectl, one

DASHBOARD = ROOT / "k8s" / "components" / "monitoring" / "dashboard.json"
SUBJECTS = {
    "units by class": "reprocess_campaign_units_total",
    "queue": "reprocess_campaign_queue",
    "workers by tier": "reprocess_campaign_tier_workers",
    "cost": "reprocess_campaign_cost",
    "S3 errors": "reprocess_campaign_storage_errors_total",
    "S3 that asks to wait": "reprocess_campaign_throttled_total",
    "staleness debt": "reprocess_exposures",
}


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries():
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def used():
    return {name for query in queries() for name in re.findall(r"\breprocess_\w+", query)}


def given() -> dict[str, set[str]]:
    """What the program tells Prometheus: metrics and their labels."""
    about = Interval(1.0, 2.0, 3.0)
    forecast = Forecast(
        exposures=1,
        workers=1,
        bytes_read=about,
        bytes_written=about,
        core_hours=about,
        wall_seconds=about,
        money=about,
        measured=0,
    )
    standing = campaign_metrics.Standing(
        "0123456789abcdef",
        2,
        classes={"published": 1},
        units={"published": 1},
        spent=Spent(money=1.0),
        forecast=forecast,
        load=Load(1, 1, {0: 1}, {0: 1}),
    )
    debt = measure([candidate(file_reason(), size=9)])
    text = campaign_metrics.exposition(standing) + metrics.exposition(debt, datetime(2026, 11, 3, tzinfo=UTC))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_metrics_exist():
    """Each metric on the dashboard is one that the program gives."""
    assert used() <= given().keys()


def test_labels_exist():
    """What the dashboard sorts or filters by is a label of the metric."""
    known = given()
    for query in queries():
        sorted_by = {label.strip() for group in re.findall(r"by \(([\w, ]+)\)", query) for label in group.split(",")}
        filtered_by = set(re.findall(r"[{,](\w+)=", query))
        for name in set(re.findall(r"\breprocess_\w+", query)):
            assert sorted_by | filtered_by <= known[name], query


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subjects(subject):
    """What an operator wants to see has a panel."""
    assert SUBJECTS[subject] in used()


def test_layout():
    """Panels lie within the width, none over another, and each says what it shows."""
    taken = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells
    assert all(panel["title"] and panel["description"] for panel in panels())
    identities = [panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(set(identities)) == len(identities)


@needs_kubectl
def test_dashboard_is_shipped(with_components):
    """The component brings the dashboard as it lies here, with the label that Grafana looks for."""
    found = one(with_components, "ConfigMap", "reprocess-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["data"] == {"dashboard.json": DASHBOARD.read_text()}


@needs_kubectl
def test_scraping(with_components):
    """Prometheus asks the driver at the port that it serves, by the operator's object or by annotation."""
    template = one(with_components, "CronJob", "reprocess-sweep")["spec"]["jobTemplate"]["spec"]["template"]
    monitor = one(with_components, "PodMonitor", "reprocess")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    (endpoint,) = monitor["podMetricsEndpoints"]
    ports = {port["name"]: str(port["containerPort"]) for port in template["spec"]["containers"][0]["ports"]}
    annotations = template["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    assert (ports[endpoint["port"]], endpoint["path"]) == (
        annotations["prometheus.io/port"],
        annotations["prometheus.io/path"],
    )
