"""JSON records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.formats import records

PAYLOADS = st.dictionaries(
    st.text(max_size=5).filter(lambda key: key not in ("kind", "schema")),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    ),
    max_size=4,
)


class TestRecords:
    """`dumps` and `loads`."""

    @given(PAYLOADS)
    def test_round_trip(self, payload):
        """What is written is read, with its kind and schema."""
        data = records.dumps("pointer", 1, payload)

        assert records.loads(data, "pointer", name="p") == {**payload, "kind": "pointer", "schema": 1}

    @given(PAYLOADS)
    def test_order_of_keys_does_not_matter(self, payload):
        """The same content gives the same bytes."""
        backwards = dict(reversed(payload.items()))

        assert records.dumps("pointer", 1, payload) == records.dumps("pointer", 1, backwards)

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"\xff", "no JSON"),
            (b"{", "no JSON"),
            (b"[]", "kind and schema"),
            (b'{"kind":"manifest","schema":1}', "kind 'manifest'"),
            (b'{"kind":"pointer","schema":7}', "schema 7"),
        ],
    )
    def test_what_is_no_such_record(self, data, words):
        """Damage, another kind and an unknown schema are told apart and name the record."""
        with pytest.raises(errors.DamagedRecord, match=words) as caught:
            records.loads(data, "pointer", name="pointers/x.json")

        assert "pointers/x.json" in str(caught.value)

    @pytest.mark.parametrize("payload", [{"kind": "x"}, {"a": float("nan")}, {"a": object()}])
    def test_what_cannot_be_written(self, payload):
        """Reserved keys and what JSON has no word for are refused."""
        with pytest.raises(errors.UsageError):
            records.dumps("pointer", 1, payload)
