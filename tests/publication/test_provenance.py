from __future__ import annotations

import json
import socket
from dataclasses import replace

import prov.model
import pytest

from reprocess.publication import provenance
from tests.publication import samples

PRODUCTS = ["jw_rate.fits", "jw_rateints.fits"]
LOG = ["superbias: COMPLETE", "jump: 12 pixels", "jump: 12 pixels"]


def made(**changes) -> bytes:
    item = replace(samples.item(), **changes)
    statuses = {"superbias": "COMPLETE", "jump": "SKIPPED"}
    return provenance.to_bytes(samples.plan(item), item, products=PRODUCTS, statuses=statuses, log=LOG)


@pytest.fixture(scope="module")
def document():
    return prov.model.ProvDocument.deserialize(content=made().decode(), format="json")


def attributes(document, identifier) -> dict[str, list]:
    (record,) = document.get_record(identifier)
    found: dict[str, list] = {}
    for name, value in record.attributes:
        found.setdefault(str(name), []).append(value)
    return found


def relations(document, kind) -> list[tuple[str, ...]]:
    return [
        tuple(str(value) for _, value in record.formal_attributes if value) for record in document.get_records(kind)
    ]


class TestDocument:
    def test_records(self, document):
        """One activity for each step, one agent, and entities for all that went in and came out."""
        assert len(list(document.get_records(prov.model.ProvActivity))) == 2
        assert len(list(document.get_records(prov.model.ProvAgent))) == 1
        # Raw, version, plan, context, one reference, two products.
        assert len(list(document.get_records(prov.model.ProvEntity))) == 7

    def test_the_raw_object(self, document):
        """The raw object is named by location, key, size and version token."""
        found = attributes(document, f"dataset:{samples.DATASET}/raw")

        assert found["reprocess:etag"] == ['"e7a9"']
        assert found["reprocess:size"] == [20160]

    def test_references(self, document):
        """Each reference has both digests and is used by the steps that read it."""
        found = attributes(document, "reference:jwst_nircam_superbias_0123.fits")
        step = f"step:{samples.DATASET}/v1-1/superbias"

        assert found["reprocess:sha256"] == ["a" * 64]
        assert found["reprocess:payload"] == ["5" * 64]
        assert (step, "reference:jwst_nircam_superbias_0123.fits") in relations(document, prov.model.ProvUsage)

    def test_parameters(self, document):
        """Each parameter of each step is there with its value as JSON, and the step's status and digest."""
        found = attributes(document, f"step:{samples.DATASET}/v1-1/jump")

        assert found["reprocess:parameter.rejection_threshold"] == ["4.0"]
        assert found["reprocess:parameter.flag_4_neighbors"] == ["true"]
        assert found["reprocess:status"] == ["SKIPPED"]
        assert found["reprocess:digest"] == [samples.item().fingerprint[-1].digest]

    def test_the_chain(self, document):
        """The first step used the raw object, each was informed by the one before, the last generated the products."""
        first, last = (f"step:{samples.DATASET}/v1-1/{name}" for name in ("superbias", "jump"))

        assert (first, f"dataset:{samples.DATASET}/raw") in relations(document, prov.model.ProvUsage)
        assert relations(document, prov.model.ProvCommunication) == [(last, first)]
        assert {relation[:2] for relation in relations(document, prov.model.ProvGeneration)} == {
            (f"dataset:{samples.DATASET}/v1-1/{name}", last) for name in PRODUCTS
        }

    def test_the_plan_binds(self, document):
        """Every step is associated with the software under the plan."""
        plan = samples.plan(samples.item())

        assert {relation[1:] for relation in relations(document, prov.model.ProvAssociation)} == {
            ("software:reprocess/0.1.0", f"plan:{plan.digest}")
        }

    def test_the_log_keeps_its_order(self, document):
        """Lines of the log keep their order and their repetitions."""
        lines = sorted(attributes(document, f"dataset:{samples.DATASET}/v1-1")["reprocess:log"])

        assert [line.split(" ", 1)[1] for line in lines] == LOG


class TestBytes:
    def test_the_same_bytes(self):
        """The same inputs give the same bytes, in whatever order mappings are."""
        parameters = samples.item().parameters
        turned = {step: dict(reversed(values.items())) for step, values in reversed(parameters.items())}

        assert made() == made()
        assert provenance.to_bytes(samples.plan(samples.item()), samples.item(), products=PRODUCTS) == (
            provenance.to_bytes(
                samples.plan(samples.item()), replace(samples.item(), parameters=turned), products=PRODUCTS[::-1]
            )
        )

    def test_no_host(self):
        """Nothing tells where or by whom it was made."""
        assert socket.gethostname().encode() not in made()

    def test_dates_are_the_plans(self):
        """The only times are the plan's."""
        generated = json.loads(made())["wasGeneratedBy"]

        assert {record["prov:time"] for record in generated.values()} == {"2026-11-21T02:00:00.000Z"}

    def test_no_fingerprint(self):
        """An item without steps still says from which raw object its products come."""
        content = json.loads(made(recipe=""))

        assert content["activity"] == {}
        assert len(content["wasDerivedFrom"]) == 2
