"""Parameter files."""

import io

import asdf
import pytest

from reprocess import errors
from reprocess.formats import parameter_file


def to_bytes(tree):
    stream = io.BytesIO()
    asdf.AsdfFile(tree).write_to(stream)
    return stream.getvalue()


JUMP = {"class": "jwst.jump.jump_step.JumpStep", "name": "jump", "parameters": {"skip": False, "expand_factor": 2.0}}


def test_a_step():
    """The parameters of a step are found under its name."""
    assert parameter_file.read_parameters(to_bytes(JUMP), "p") == {"jump": {"skip": False, "expand_factor": 2.0}}


def test_a_pipeline():
    """A pipeline's file has the parameters of its steps; its own, and lists, are no parameters of steps."""
    ramp_fit = {"class": "x", "name": "ramp_fit", "parameters": {"algorithm": "LIKELY", "pre_hooks": []}}
    tree = {"class": "y", "name": "Detector1Pipeline", "parameters": {"save_calibrated_ramp": True}}

    found = parameter_file.read_parameters(to_bytes({**tree, "steps": [JUMP, ramp_fit]}), "p")

    assert found == {"jump": JUMP["parameters"], "ramp_fit": {"algorithm": "LIKELY"}}


@pytest.mark.parametrize("data", [b"", b"SIMPLE  = T", to_bytes({"a": 1}), to_bytes({"name": "jump", "parameters": 3})])
def test_no_parameter_file(data):
    """What is no file of parameters is refused by its name."""
    with pytest.raises(errors.DamagedReference, match="pars_x"):
        parameter_file.read_parameters(data, "pars_x.asdf")
