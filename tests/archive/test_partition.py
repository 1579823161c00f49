"""Partitions as Parquet."""

import io
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.archive import partition
from reprocess.archive.partition import Pointer
from reprocess.exposure import CatalogueEntry

CARDS = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
)
ENTRIES = st.builds(
    CatalogueEntry,
    dataset=st.text(min_size=1, max_size=8),
    level=st.sampled_from(["uncal", "rate"]),
    location=st.sampled_from(["s3://a", "memory://b"]),
    key=st.text(min_size=1, max_size=8),
    size=st.integers(0, 2**50),
    etag=st.text(max_size=8),
    header=st.dictionaries(st.sampled_from(["FILTER", "NINTS", "TFRAME", "ZEROFRAM", "DATE-OBS"]), CARDS),
    sci_offset=st.none() | st.integers(0, 10**6),
    sci_shape=st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)),
    error_class=st.none() | st.just("bad-data"),
    error=st.none() | st.text(max_size=5),
)


def kinds(entry):
    """An entry with the type of each card, because 1, 1.0 and True are equal."""
    return (entry, {key: type(value) for key, value in entry.header.items()})


class TestEntries:
    """`entries_to_parquet` and back."""

    @given(st.lists(ENTRIES, max_size=6, unique_by=lambda entry: (entry.location, entry.key, entry.etag)))
    @settings(max_examples=150, deadline=None)
    def test_round_trip(self, entries):
        """Every value comes back with its type, whatever the types of its neighbours."""
        data = partition.entries_to_parquet(entries)

        found = partition.entries_from_parquet(data, name="p")

        ordered = sorted(entries, key=lambda entry: (entry.location, entry.key, entry.etag))
        assert list(map(kinds, found)) == list(map(kinds, ordered))

    @given(st.lists(ENTRIES, max_size=5, unique_by=lambda entry: (entry.location, entry.key, entry.etag)), st.randoms())
    @settings(max_examples=30, deadline=None)
    def test_same_bytes(self, entries, random):
        """The order in which headers were read leaves no trace."""
        shuffled = list(entries)
        random.shuffle(shuffled)

        assert partition.entries_to_parquet(shuffled) == partition.entries_to_parquet(entries)

    def test_columns_can_be_queried(self):
        """A keyword is a column of its own type, so that other tools can ask questions of the catalogue."""
        entries = [
            CatalogueEntry("d", "uncal", "l", f"k{n}", 1, "e", {"FILTER": "F200W", "NINTS": n, "TFRAME": 1.5})
            for n in (1, 2)
        ]

        table = pq.read_table(io.BytesIO(partition.entries_to_parquet(entries)))

        assert table.column("NINTS").to_pylist() == [1, 2]
        assert table.column("FILTER").to_pylist() == ["F200W", "F200W"]
        assert str(table.schema.field("TFRAME").type) == "double"

    def test_damaged(self):
        """Bytes that are no partition are refused by name."""
        with pytest.raises(errors.DamagedRecord, match="catalogue/x"):
            partition.entries_from_parquet(b"PAR1 nothing", name="catalogue/x")


class TestPointers:
    """`pointers_to_parquet` and back."""

    def test_round_trip(self):
        """What a record says, or its error, comes back as it was."""
        said = {
            **{"version": "v-2", "software": "0.1", "context": "jwst_0541.pmap", "recipe": "[]", "left": ("v-1",)},
            **{"raw": {"location": "s3://r", "key": "k", "size": 5, "etag": "e"}, "equivalents": ("q", "r")},
            **{"created": "2026-01-01T00:00:00.000", "manifest": "aa", "compared": "bb", "damage": "it lies"},
        }
        pointers = [
            Pointer("a", "s3://x", "pointers/a.json", 3, '"1"', **said),
            Pointer("b", "s3://x", "pointers/b.json", 3, '"2"', error_class="storage", error="why"),
            Pointer("c", "s3://x", "pointers/c.json", 3, '"3"', version="v-1", missing=("manifest.json", "rate.fits")),
        ]

        assert partition.pointers_from_parquet(partition.pointers_to_parquet(pointers), name="p") == pointers

    def test_what_a_judgement_does_not_need(self):
        """Columns that only scans need can be left unread; their values are empty then."""
        made = Pointer("a", "s3://x", "pointers/a.json", 3, '"1"', manifest="aa", compared="bb", damage="it lies")
        data = partition.pointers_to_parquet([made])

        table = partition.read_table(data, name="p", without=partition.UNJUDGED)

        assert not set(partition.UNJUDGED) & set(table.column_names)
        assert partition.pointers(table) == [replace(made, manifest="", compared="")]

    def test_of_an_earlier_scan(self):
        """Pointers of a partition that does not tell their creation are read; it is unknown."""
        made = [Pointer("a", "s3://x", "pointers/a.json", 3, '"1"', created="2026-01-01T00:00:00.000")]
        earlier = partition.pointer_table(made).drop_columns("created")
        joined = partition.joined([earlier, partition.pointer_table(made)])

        assert [one.created for one in partition.pointers(earlier)] == [""]
        assert [one.created for one in partition.pointers(joined)] == ["", made[0].created]
