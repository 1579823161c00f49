"""Plain trees in ASDF."""

import io

import asdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess.formats import asdf_tree

WORDS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20)
VALUES = st.recursive(
    st.one_of(WORDS, st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.booleans()),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(WORDS, below, max_size=4)),
    max_leaves=12,
)


@settings(deadline=None)  # the library brings its extensions up at the first call
@given(st.dictionaries(st.sampled_from(["meta", "cal_logs", "a b", "1"]), VALUES, max_size=4))
def test_round_trip(tree):
    """What is written is read back, by this module and by the ASDF library."""
    data = asdf_tree.to_asdf(tree)
    found = asdf_tree.from_asdf(data)
    with asdf.open(io.BytesIO(data)) as file:
        theirs = {key: file.tree[key] for key in tree}

    assert {key: found[key] for key in tree} == tree
    assert theirs == tree


def test_a_file_of_the_library():
    """A tree that the ASDF library wrote is read: plain values as they are, objects as None."""
    buffer = io.BytesIO()
    asdf.AsdfFile({"meta": {"a": 1, "b": "2022-01-01", "c": [1.5, None], "d": 1 + 2j}}).write_to(buffer)

    assert asdf_tree.from_asdf(buffer.getvalue())["meta"] == {"a": 1, "b": "2022-01-01", "c": [1.5, None], "d": None}


@pytest.mark.parametrize("data", [b"", b"#ASDF oops", b"#ASDF 1.0.0\n--- [1, 2]\n...\n", b"SIMPLE  ="])
def test_no_tree(data):
    """Bytes that are no tree are refused."""
    with pytest.raises(ValueError, match=r"begins with|no mapping"):
        asdf_tree.from_asdf(data)
