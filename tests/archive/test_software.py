"""Changes between releases of the official pipeline."""

import pytest
from packaging.version import Version

from reprocess.archive import foreign, software, stage2
from reprocess.calibration import detector1


def test_the_same_release():
    """Since the release that gives the same pixels nothing has changed, however it is written."""
    assert software.changed_since("3.0.0") == software.changed_since("v3.0") == frozenset()


def test_every_change_between():
    """What changed is the sum over all releases between, and the first of them is left out."""
    assert software.changed_since("2.0.1") == software.CHANGES["3.0.0"]
    assert software.changed_since("2.0.0") == software.CHANGES["3.0.0"] | software.CHANGES["2.0.1"]


@pytest.mark.parametrize(("candidate", "release"), [("3.0.0rc2", "3.0.0"), ("1.20.0.dev7+g12", "1.20.0")])
def test_candidates_come_before_their_release(candidate, release):
    """A candidate may lack what its release changed."""
    assert software.CHANGES[release] <= software.changed_since(candidate)


def test_versions_are_no_texts():
    """1.9.4 is older than 1.20.2 and so has more changes."""
    assert software.changed_since("1.20.2") < software.changed_since("1.9.4")


@pytest.mark.parametrize("version", ["0.18.3", "0.17", "3.0.1", "main", ""])
def test_what_is_not_known(version):
    """Before the table, after it, or no version: not known, which is not the same as unchanged."""
    assert software.changed_since(version) is None


def test_the_table_names_steps():
    """Each step of the table is one of stage 1 or 2, and each release lies in the range that is told."""
    known = {step.name for step in detector1.STEPS} | {step.name for some in stage2.STEPS.values() for step in some}

    assert frozenset().union(*software.CHANGES.values()) <= known
    assert all(Version(software.OLDEST) < Version(each) <= Version(software.OFFICIAL) for each in software.CHANGES)
    assert foreign.OFFICIAL == "jwst"
