import json
import subprocess
import sys
from urllib.parse import urlsplit

# CRDS keeps mappings by name for the life of a process, so it gets one of its own.
SELECT = """
import json, os, sys
root = sys.argv[1]
os.environ.update(CRDS_PATH=root + "/crds", CRDS_SERVER_URL="https://serverless.invalid", CRDS_OBSERVATORY="jwst")
from astropy.io import fits
from crds.core import rmap
keys = {"INSTRUME": "META.INSTRUMENT.NAME", "DETECTOR": "META.INSTRUMENT.DETECTOR",
        "READPATT": "META.EXPOSURE.READPATT", "EXP_TYPE": "META.EXPOSURE.TYPE", "SUBARRAY": "META.SUBARRAY.NAME",
        "FILTER": "META.INSTRUMENT.FILTER", "DATE-OBS": "META.OBSERVATION.DATE", "TIME-OBS": "META.OBSERVATION.TIME"}
types = ["mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise", "reset", "rscd", "ipc", "refpix"]
expected = json.load(open(root + "/truth/expected.json"))
selected = {}
for which, name in expected["contexts"].items():
    context = rmap.get_cached_mapping(name, ignore_checksum=False)
    for exposure in expected["exposures"]:
        header = fits.getheader(f"{root}/{exposure['key']}")
        found = context.get_best_references({keys[k]: str(header[k]) for k in keys if k in header}, include=types)
        found = {k: v for k, v in found.items() if v != "NOT FOUND n/a"}
        selected.setdefault(exposure["dataset"], {})[which] = found
print(json.dumps(selected))
"""


def test_crds_selects_what_is_expected(simulated):
    """Under both contexts CRDS itself selects, for every exposure and type, the file that the statement says."""
    store, _ = simulated
    root = urlsplit(store.url).path
    done = subprocess.run([sys.executable, "-c", SELECT, root], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = json.loads(store.get("truth/expected.json").data)["datasets"]
    wanted = {name: {which: one[which] for which in ("first", "second")} for name, one in expected.items()}
    assert json.loads(done.stdout) == wanted


def test_mappings_that_do_not_change_keep_their_names(simulated):
    """Only the rmaps that the statement names, and what lists them, have a second version."""
    store, summary = simulated
    second = {stamp.key.rsplit("/", 1)[1] for stamp in store.list("crds/mappings/") if "_9002." in stamp.key}
    rmaps = {f"jwst_{one.instrument.lower()}_{one.type}_9002.rmap" for one in summary.changes}
    imaps = {f"jwst_{one.instrument.lower()}_9002.imap" for one in summary.changes}
    assert second == rmaps | imaps | {"jwst_9002.pmap"}


def test_a_reworded_rmap_selects_the_same_files(simulated):
    """The selectors of both MIRI gain rmaps are equal to the letter."""
    store, _ = simulated
    texts = [store.get(f"crds/mappings/jwst/jwst_miri_gain_900{n}.rmap").data.decode() for n in (1, 2)]
    assert texts[0] != texts[1]
    assert texts[0].partition("selector =")[2] == texts[1].partition("selector =")[2]
