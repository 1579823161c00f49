"""Products as the official data models read them."""

import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits

from tests.formats import files
from tests.formats.test_product import INFO, metadata, rate, rateints

READER = Path(__file__).with_name("official_reader.py")


def peer_python():
    """The Python that has the official pipeline: this one, or the one of REPROCESS_PEER, or of .venv-peer."""
    if importlib.util.find_spec("jwst"):
        return sys.executable
    peer = Path(os.environ.get("REPROCESS_PEER", Path(__file__).parents[2] / ".venv-peer")) / "bin" / "python"
    if not peer.exists():
        pytest.skip("the package jwst is neither here nor in the environment REPROCESS_PEER or .venv-peer")
    return str(peer)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Products of a synthetic and of both flight files, by name, with what the official reader finds in them."""
    folder = tmp_path_factory.mktemp("products")
    sources = {"synthetic": metadata()}
    for name in (files.NIRCAM, files.GUIDER):
        sources[name] = metadata(files.flight_file(name).read_bytes())
    products = {}
    for name, source in sources.items():
        products[name, "rate"] = rate(source=source)
        products[name, "rateints"] = rateints(source=source)
    paths = []
    for number, ((_, level), data) in enumerate(products.items()):
        paths.append(folder / str(number) / f"{INFO.dataset}_{level}.fits")  # the reader trusts the path for the name
        paths[-1].parent.mkdir()
        paths[-1].write_bytes(data)
    done = subprocess.run([peer_python(), READER, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {key: (products[key], found) for key, found in zip(products, json.loads(done.stdout), strict=True)}


SOURCES = ["synthetic", files.NIRCAM, files.GUIDER]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("level", "model"), [("rate", "ImageModel"), ("rateints", "CubeModel")])
class TestOfficialReader:
    """`jwst.datamodels.open` without a warning, and strict validation."""

    def test_kind_and_arrays(self, read, source, level, model):
        """The file opens as the right model with the arrays that were written."""
        found = read[source, level][1]
        planes = files.planes((16, 12) if level == "rate" else (2, 16, 12))

        assert (found["class"], tuple(found["shape"])) == (model, planes.sci.shape)
        assert found["dq"] == planes.dq.sum(dtype="u8")
        for name in ("err", "var_poisson", "var_rnoise"):
            assert found[name] == pytest.approx(getattr(planes, name).sum(dtype="f8"), rel=1e-12)

    def test_metadata(self, read, source, level, model):
        """Statuses, references, context, units and log lines are where the official reader looks for them."""
        found = read[source, level][1]

        assert found["meta.cal_step.jump"] == "COMPLETE"
        assert found["meta.ref_file.superbias.name"] == "crds://" + INFO.references["superbias"]
        assert found["meta.ref_file.crds.context_used"] == INFO.context
        assert (found["meta.bunit_data"], found["meta.bunit_err"]) == ("DN/s", "DN/s")
        assert found["meta.filename"] == f"{INFO.dataset}_{level}.fits"
        assert found["meta.model_type"] == model
        assert found["logs"] == list(INFO.log)

    def test_next_step(self, read, source, level, model):
        """The official flat-field correction, the next step that changes pixels, takes the product."""
        if source != "synthetic":
            pytest.skip("the pixels of this file are not those of its headers")

        assert read[source, level][1]["flattened"] == 0

    def test_tree_says_what_the_headers_say(self, read, source, level, model):
        """The metadata that the official reader takes from the headers are those of our own tree."""
        data, found = read[source, level]
        with fits.open(io.BytesIO(data)) as file:
            row = file["ASDF"].data["ASDF_METADATA"][0].tobytes()
        with asdf.open(io.BytesIO(row)) as tree:
            ours = dict(flatten("meta", tree.tree["meta"]))

        assert {name: str(value) for name, value in ours.items()} == {
            name: str(value) for name, value in found["meta"].items() if not isinstance(value, dict | list)
        }


def flatten(name, node):
    """Leaves of a tree by dotted path."""
    if isinstance(node, dict):
        for key, below in node.items():
            yield from flatten(f"{name}.{key}", below)
    else:
        yield name, node


def test_integration_times(read):
    """The official reader finds the integration times of rateints."""
    np.testing.assert_array_equal(read["synthetic", "rateints"][1]["int_times"], files.int_times(2)["int_mid_MJD_UTC"])
