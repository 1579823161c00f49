"""Which products were made with a reference file."""

import io
import json

import pytest
from astropy.io import fits

from reprocess import errors
from reprocess.archive import find, scan
from tests.archive import small_rules
from tests.archive.stores import dataset, fill, raw_key
from tests.archive.test_judging import World
from tests.formats import files

GAIN = small_rules.file_name("gain")


@pytest.fixture
def world(tmp_path):
    """Products of ours in three programs, and one of somebody else."""
    world = World(tmp_path)
    for program in ("00001", "00002", "00003"):
        fill(world.raw, [dataset(number, program=program) for number in (1, 2)])
    for judgement in world.judge():
        world.publish(judgement)
    return world


def rate(**header):
    """A product of somebody else."""
    stream = io.BytesIO()
    image = fits.ImageHDU(files.planes().sci, name="SCI")
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(header)), image]).writeto(stream)
    return stream.getvalue()


def found(world, name, rows=10**6):
    return list(find.find(scan.scan([world.raw], world.archive).catalogue.batches(rows=rows), name))


@pytest.mark.parametrize("rows", [1, 10**6])
def test_ours(world, rows):
    """All products whose recipe has the file, of every program, each with its version."""
    made = found(world, GAIN, rows)

    assert [one.dataset for one in made] == [
        dataset(number, program=program) for program in ("00001", "00002", "00003") for number in (1, 2)
    ]
    assert {(one.version, one.used_as, one.context) for one in made} == {("v-1", "gain", "jwst_9001.pmap")}


def test_only_those(world):
    """Products that were made with another file of the type are not listed."""
    small_rules.add_files(world.references, ["gain"], 2, seed=2)
    small_rules.add_context(world.references, "jwst_9002.pmap", {"gain": 2})
    world.publish(world.judge("jwst_9002.pmap")[3])

    assert len(found(world, GAIN)) == 5
    assert [one.dataset for one in found(world, small_rules.file_name("gain", 2))] == [dataset(2, program="00002")]


def test_theirs(world):
    """Products of somebody else are found by their R_ keywords, whatever else their program has in that column."""
    headers = [
        {"R_GAIN": f"crds://{GAIN}", "R_DARK": "N/A", "CAL_VER": "1.12.5", "CRDS_CTX": "jwst_1100.pmap"},
        {"R_GAIN": f"crds://{GAIN}.old", "R_DARK": f"crds://{GAIN}"},
        {"R_GAIN": 3, "R_DARK": True},
        {},
    ]
    for number, header in enumerate(headers, 11):
        world.raw.put(raw_key(dataset(number), "rate"), rate(**header))

    theirs = [one for one in found(world, GAIN) if one.version is None]

    assert [(one.dataset, one.used_as, one.software, one.context) for one in theirs] == [
        (dataset(11), "R_GAIN", "1.12.5", "jwst_1100.pmap"),
        (dataset(12), "R_DARK", "", ""),
    ]


def test_damaged_pointers_and_unreadable_products_stop_nothing(world):
    """A product that cannot be read is told, whatever is looked for; a raw object that cannot be read is not."""
    pointer, product = f"pointers/{dataset(1, program='00002')}.json", raw_key(dataset(11), "rate")
    world.archive.put(pointer, b"{")
    world.raw.put(product, b"no FITS")
    world.raw.put(raw_key(dataset(12)), b"no FITS")

    made = found(world, GAIN)
    unread = [one for one in made if isinstance(one, find.Unread)]

    assert (len(made), {(one.dataset, one.key) for one in unread}) == (
        7,
        {(dataset(1, program="00002"), pointer), (dataset(11), product)},
    )
    assert all(one.key in one.problem for one in unread)
    assert found(world, "jwst_nircam_gain_0009.fits") == unread


def test_what_was_retired(world):
    """A product that readers no longer see is not listed."""
    key = f"pointers/{dataset(1, program='00002')}.json"
    record = json.loads(world.archive.get(key).data)
    world.archive.put(key, json.dumps({**record, "version": ""}).encode())

    assert len(found(world, GAIN)) == 5


@pytest.mark.parametrize("name", ["jwst_nircam_gain_0009.fits", GAIN[:-1], "gain"])
def test_names_are_matched_whole(world, name):
    """Nothing is found by a part of a name."""
    assert not found(world, name)


@pytest.mark.parametrize("text", ["", "crds://", "/data/x.fits", "jwst_nircam_gain_*.fits"])
def test_no_name(text):
    """What is no name of a file is refused."""
    with pytest.raises(errors.UsageError, match="whole name"):
        find.reference_name(text)


def test_prefix():
    """A name may be given as keywords have it."""
    assert find.reference_name(f"crds://{GAIN}") == find.reference_name(GAIN) == GAIN
