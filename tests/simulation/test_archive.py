import json
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest

from reprocess import errors
from reprocess.simulation.archive import simulate, statement
from reprocess.simulation.options import SimulationOptions
from reprocess.storage import open_store
from reprocess.target import read_target

TINY = SimulationOptions(exposures=3, shape=(32, 32), groups=3, integrations=1)


def contents(name, options):
    store = open_store(f"memory://{name}")
    simulate(store, options)
    return {stamp.key: store.get(stamp.key).data for stamp in store.list()}


def test_every_object_of_the_summary_is_there(simulated):
    """What the summary lists is what was written, with its size."""
    store, summary = simulated
    sizes = {stamp.key: stamp.size for stamp in store.list()}
    assert all(sizes[exposure.key] == exposure.size for exposure in summary.exposures)
    assert set(summary.references) == {key for key in sizes if key.startswith("crds/references/")}
    assert {f"truth/{exposure.dataset}_truth.fits" for exposure in summary.exposures} <= set(sizes)


def test_the_same_options_give_the_same_bytes():
    """An archive follows from its options alone."""
    assert contents("once", TINY) == contents("again", TINY)


def test_an_exposure_does_not_depend_on_how_many_others_there_are():
    """Exposure n of a seed is the same in a small archive and in a larger one."""
    few = contents("few", TINY)
    more = contents("more", SimulationOptions(exposures=9, shape=(32, 32), groups=3, integrations=1))
    raw = [key for key in few if key.startswith("raw/")]
    assert len(raw) == TINY.exposures
    assert all(few[key] == more[key] for key in raw)


def test_another_seed_gives_another_sky():
    """Nothing of the pixels is the same under another seed."""
    one = contents("one", TINY)
    other = contents("other", SimulationOptions(exposures=3, seed=2, shape=(32, 32), groups=3, integrations=1))
    assert all(one[key] != other[key] for key in one if key.startswith(("raw/", "truth/")))


def test_an_archive_is_not_written_over():
    """A second archive below the same root is refused."""
    contents("taken", TINY)
    with pytest.raises(errors.AlreadyExists, match="memory://taken"):
        simulate(open_store("memory://taken"), TINY)


def test_progress_is_told_after_each_exposure():
    """The callback hears of every dataset once, and the count grows to the total."""
    heard = []
    summary = simulate(open_store("memory://heard"), TINY, progress=lambda *told: heard.append(told))
    assert [done for done, _, _ in heard] == [1, 2, 3]
    assert {dataset for _, _, dataset in heard} == {exposure.dataset for exposure in summary.exposures}


def test_targets_name_the_two_contexts(simulated):
    """Both targets are valid and differ in their context."""
    store, summary = simulated
    texts = [store.get(f"targets/{name}.toml").data.decode() for name in ("first", "second")]
    assert tuple(read_target(text, name="target").context for text in texts) == summary.contexts


def test_the_statement_is_kept_with_the_truth(simulated):
    """What is expected of the second context can be read back from the archive."""
    store, summary = simulated
    kept = store.get("truth/expected.json").data
    assert kept == statement(summary)
    states = {name: expected["state"] for name, expected in json.loads(kept)["datasets"].items()}
    assert states == {expected.dataset: expected.state for expected in summary.expected}
    assert set(states.values()) == {"current", "stale", "stale-in-name-only"}


def test_files_pass_fitsverify(simulated):
    """No file breaks the FITS standard; long S_REGION strings are written as in flight files, without LONGSTRN."""
    verify = shutil.which("fitsverify")
    if verify is None:
        pytest.skip("the program fitsverify is not installed")
    store, _ = simulated
    root = urlsplit(store.url).path
    keys = [stamp.key for stamp in store.list() if stamp.key.endswith(".fits")]
    done = subprocess.run([verify, *keys], cwd=root, capture_output=True, text=True, check=False)
    reports = [line for line in done.stdout.splitlines() if "*** Error" in line or "*** Warning" in line]
    assert keys
    assert {report for report in reports if "OGIP long string keyword convention" not in report} == set()
