"""Filling the mirror before anything is planned."""

import pytest

from reprocess import errors
from reprocess.archive import mirror, scan, sync
from reprocess.archive.context import load_context
from reprocess.target import Target
from tests.archive import small_rules
from tests.archive.stores import CountingStore, dataset, fill
from tests.archive.test_judging import World, write_parameters

PARS = "jwst_nircam_pars-jumpstep_0007.asdf"


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    small_rules.add_context(world.references, more={"pars-jumpstep": PARS})
    write_parameters(world, PARS, "jump", rejection_threshold=6.0)
    fill(world.raw, [dataset(1), dataset(2)])
    fill(world.raw, [dataset(1, program="04321")])
    return world


def synced(world, parameters=None, references=None, **options):
    known = scan.scan([world.raw], world.archive).catalogue
    return sync.sync(
        known.batches(rows=1),
        context=load_context(world.references, "jwst_9001.pmap", world.cache),
        references=references or world.references,
        archive=world.archive,
        target=Target("jwst_9001.pmap", ">=0.1", parameters or {}),
        software="0.1.0",
        **options,
    )


def test_everything_is_copied_once(world):
    """What the exposures need is copied, parameter files too; a second sync finds all of it and reads nothing."""
    first = synced(world)
    reads = {key: count for key, count in world.references.reads.items() if key.startswith("references/")}
    second = synced(world)

    assert {file.type for file in first.copied} == {*small_rules.TYPES, "pars-jumpstep"}
    assert (first.present, first.failed, first.exposures) == ((), (), 3)
    assert set(reads.values()) == {1}
    assert (second.copied, second.present) == ((), first.copied)
    assert {key: world.references.reads[key] for key in reads} == reads


def test_judging_after_it_reads_the_archive_only(world):
    """Once synced, an archive is judged without any file of the place where references come from."""
    synced(world)
    for stamp in list(world.references.list("references/")):
        world.references.delete(stamp.key)
    before = [stamp.key for stamp in world.archive.list("references/")]
    world.references.reads.clear()

    found = world.judge()

    assert [one.failure for one in found] == ["", "", ""]
    assert {one.parameters["jump"]["rejection_threshold"] for one in found} == {6.0}
    assert not [key for key in world.references.reads if key.startswith("references/")]
    assert [stamp.key for stamp in world.archive.list("references/")] == before


def test_from_another_bucket(world):
    """Files may come from another place than rules."""
    other = CountingStore()
    for stamp in list(world.references.list("references/")):
        other.put(stamp.key, world.references.get(stamp.key).data)
        world.references.delete(stamp.key)

    assert not synced(world, references=other).failed


def test_missing_and_unusable(world):
    """Files that are missing or damaged are told each, the others are copied all the same."""
    world.references.delete(f"references/jwst/nircam/{small_rules.file_name('dark')}")
    world.references.delete(f"references/jwst/nircam/{PARS}")
    world.references.put(f"references/jwst/nircam/{small_rules.file_name('gain')}", b"no FITS")

    done = synced(world)

    assert {(one.type, one.missing) for one in done.failed} == {
        ("dark", True),
        ("gain", False),
        ("pars-jumpstep", True),
    }
    assert all(one.name in one.problem for one in done.failed)
    assert {file.type for file in done.copied} == set(small_rules.TYPES) - {"dark", "gain"}


def test_skipped_steps_need_nothing(world):
    """What the target does not read is not mirrored."""
    done = synced(world, {"ipc": {"skip": True}})

    assert "ipc" not in {file.type for file in done.copied}


def test_a_mirror_that_lost_a_file_is_mended(world):
    """A file that the index knows and that is gone is copied again; one of another size is told."""
    first = synced(world)
    lost, short = first.copied[:2]
    world.archive.delete(mirror.file_key(lost.sha256, lost.name))
    world.archive.put(mirror.file_key(short.sha256, short.name), b"half")

    done = synced(world)

    assert done.copied == (lost,)
    assert [(one.name, one.missing) for one in done.failed] == [(short.name, False)]
    assert "Delete" in done.failed[0].problem


def test_impossible_target(world):
    """A target that cannot be met is refused before anything is copied."""
    with pytest.raises(errors.TargetError, match="treshold"):
        synced(world, {"jump": {"treshold": 1}})
    assert not list(world.archive.list("references/"))


def test_progress(world):
    """Progress counts exposures."""
    seen = []
    synced(world, progress=seen.append)

    assert seen == [2, 3]


def test_the_same_bytes(world):
    """The same archive and target give the same files, byte for byte, wherever the mirror is."""
    synced(world)
    first = {stamp.key: world.archive.get(stamp.key).data for stamp in world.archive.list("references/")}
    world.archive = CountingStore()
    synced(world)

    assert {stamp.key: world.archive.get(stamp.key).data for stamp in world.archive.list("references/")} == first
