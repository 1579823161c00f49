"""Verdicts of many rows at once: the same as those of one exposure at a time."""

import random

import numpy as np
import pyarrow as pa
import pytest

from reprocess.archive import fingerprint, judging, partition, scan, verdicts
from reprocess.archive.context import load_context
from tests.archive import small_rules, stores
from tests.archive.stores import dataset, fill, raw_key
from tests.archive.test_judging import World
from tests.archive.test_scan import fits_rate
from tests.formats import files

OLD, NEW, RENAMED = "jwst_9001.pmap", "jwst_9002.pmap", "jwst_9003.pmap"


@pytest.fixture
def world(tmp_path):
    """An archive in which every kind of verdict comes up."""
    world = World(tmp_path)
    small_rules.add_files(world.references, ["dark"], 2, seed=2)
    small_rules.add_files(world.references, ["gain"], 2, history=["the same pixels again"])
    small_rules.add_context(world.references, NEW, {"dark": 2, "gain": 2})
    small_rules.add_context(world.references, RENAMED, {"gain": 2})
    fill(world.raw, [dataset(number) for number in range(1, 9)])
    fill(world.raw, [dataset(number, program="04321") for number in range(1, 4)], primary={"READPATT": "RAPID"})
    for number, changes in enumerate(({"EXP_TYPE": "NRS_XXX"}, {"DATE-OBS": None}, {"INSTRUME": "MIRI"}), 20):
        fill(world.raw, [dataset(number)], primary=changes)
    world.raw.put(raw_key(dataset(30)), b"no FITS")
    world.raw.put("odd_uncal.fits", b"")
    world.raw.put(f"elsewhere/{dataset(8)}_uncal.fits", files.uncal())
    return world


def publish(world, number, judgement, **changes):
    """Leave a pointer as a publication does."""
    record = {
        "dataset": judgement.entry.dataset,
        "version": f"v-{number}",
        "software": "0.1.0",
        "context": OLD,
        "raw": fingerprint.raw_version(judgement.entry),
        "fingerprint": fingerprint.to_record(judgement.fingerprint),
        "equivalents": [],
        "history": [],
        **changes,
    }
    stores.publish(world.archive, record)


def judged(world, context, parameters=None):
    """All rows, judged at once."""
    catalogue = scan.scan([world.raw], world.archive).catalogue
    ((objects, pointers),) = catalogue.batches()
    return verdicts.judge(objects, pointers, question(world, context, parameters))


def question(world, context, parameters=None):
    return judging.question(
        load_context(world.references, context, world.cache),
        references=world.references,
        archive=world.archive,
        parameters=parameters or {},
        software="0.1.0",
    )


def every_verdict(done):
    return {done.verdict(row) for row in range(done.table.num_rows)}


def one_by_one(world, context, parameters=None):
    """Each dataset judged in a table of its own."""
    catalogue = scan.scan([world.raw], world.archive).catalogue
    ((objects, pointers),) = catalogue.batches()
    asked = question(world, context, parameters)
    found = set()
    for dataset_name in set(objects.column("dataset").to_pylist()):
        tables = (partition.rows_of(table, dataset_name) for table in (objects, pointers))
        found |= every_verdict(verdicts.judge(*tables, asked))
    return found


@pytest.mark.parametrize(
    ("context", "parameters"),
    [
        (OLD, {}),
        (NEW, {}),
        (RENAMED, {}),
        (NEW, {"jump": {"rejection_threshold": 5.0}}),
        (OLD, {"dark_current": {"skip": True}}),
    ],
)
def test_the_same_as_one_exposure_at_a_time(world, context, parameters):
    """Published, replaced, damaged, foreign, missing and undecidable exposures: the same state, reasons, restart."""
    made = {one.entry.dataset: one for one in world.judge(OLD) if not one.failure_class}
    for number in (1, 2, 3):
        publish(world, number, made[dataset(number)])
    publish(world, 4, made[dataset(4)], raw={"location": "elsewhere"})
    publish(world, 9, made[dataset(1, program="04321")])
    publish(world, 9, made[dataset(2, program="04321")])
    world.archive.put(f"products/{dataset(2, program='04321')}/v-9/manifest.json", b"no JSON")
    world.archive.delete(f"products/{dataset(1)}/v-1/manifest.json")
    world.archive.put(f"pointers/{dataset(5)}.json", b"{")
    world.archive.put(f"products/{dataset(3)}/v-3/manifest.json", b"no JSON")
    world.raw.put(raw_key(dataset(2)), files.uncal(primary={"TARGNAME": "ANOTHER"}))
    world.raw.put(raw_key(dataset(6), "rate"), files.to_bytes(fits_rate()))
    world.raw.put(raw_key(dataset(3), "rate"), files.to_bytes(fits_rate()))
    world.raw.put(raw_key(dataset(7), "rateints"), b"no FITS")
    for number, level in ((1, "cal"), (2, "calints"), (6, "cal"), (8, "cal")):
        world.raw.put(raw_key(dataset(number), level), files.to_bytes(fits_rate()))
    found = every_verdict(judged(world, context, parameters))

    assert found == one_by_one(world, context, parameters)
    assert len({each.state for each in found}) >= 3


def test_exposures_made_alike_are_judged_together(world):
    """A thousand exposures that were made alike are a handful of groups."""
    fill(world.raw, [dataset(number, program="00777") for number in range(1, 301)])
    made = [one for one in world.judge(OLD) if one.entry.dataset.startswith("jw00777")]
    for number, one in enumerate(made):
        publish(world, number, one)
    done = judged(world, NEW)

    assert np.count_nonzero(done.states() == "stale") == 300
    assert len(done.verdicts) < 20


def test_products_that_are_gone_are_judged_together(world):
    """Whoever lost the same files has the same verdict: all lost products of an archive cost a handful of groups."""
    fill(world.raw, [dataset(number, program="00777") for number in range(1, 41)])
    for number, one in enumerate(one for one in world.judge(OLD) if one.entry.dataset.startswith("jw00777")):
        publish(world, 1, one)
        if number % 2:
            world.archive.delete(f"products/{one.entry.dataset}/v-1/{one.entry.dataset}_rate.fits")
    done = judged(world, OLD)

    assert np.count_nonzero(done.states() == "current") == 20
    damaged = {one.reasons for one in every_verdict(done) if one.state == "stale"}
    ((reason,),) = damaged
    assert (reason.kind, reason.old) == ("product-damaged", "gone from the published version: rate.fits")
    assert len(done.verdicts) < 20


def test_partitions_are_put_together_whatever_their_types():
    """A keyword that is text in one partition and a number in another keeps both."""
    chance = random.Random(1)
    tables, values = [], []
    for kind in ("12", 12, True, 1.5, None, "x"):
        array, field = partition.keyword_column("CHANNEL", [kind] * chance.randint(1, 3))
        values += [kind] * len(array)
        tables.append(pa.table([array], schema=pa.schema([field])))
    joined = partition.joined(tables)

    assert partition.cards(joined.column(0), joined.schema.field(0)) == values
