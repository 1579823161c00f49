from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.exposure import Band
from reprocess.publication import assemble
from reprocess.publication.patience import Patience
from tests.publication import samples
from tests.publication.faulty import Fault, Killed, Watched

PREFIX = assemble.prefix("campaign", samples.DATASET)
ROWS, COLUMNS = 24, 5


def planes(integrations: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    sci = random.normal(size=(integrations, ROWS, COLUMNS)).astype(np.float32)
    sci[0, 3] = np.nan
    flags = random.integers(0, 2**32, size=(ROWS, COLUMNS), dtype=np.uint32)
    flags[8:16] = 0
    return {"rate/dq": flags, "rateints/sci": sci}


def bands(*edges: int) -> list[Band]:
    return [Band(start, stop) for start, stop in itertools.pairwise(edges)]


def stage(store, band: Band, arrays=None, **options) -> int:
    arrays = planes() if arrays is None else arrays
    part = {name: array[..., band.rows, :] for name, array in arrays.items()}
    return assemble.stage_slab(store, PREFIX, band, part, **options)


@pytest.fixture
def store():
    return samples.memory_store()


class TestStaged:
    @settings(max_examples=15, deadline=None)
    @given(
        inner=st.sets(st.integers(1, ROWS - 1), max_size=4),
        cuts=st.tuples(st.integers(0, ROWS), st.integers(0, ROWS)),
        data=st.data(),
    )
    def test_slabs_make_the_whole(self, inner, cuts, data):
        """However an exposure is cut and in whatever order slabs are staged, slices read as from the whole array."""
        store, whole = samples.memory_store(), planes()
        for band in data.draw(st.permutations(bands(0, *sorted(inner), ROWS))):
            stage(store, band)

        staged = assemble.open_staged(store, PREFIX, rows=ROWS).arrays

        for name, array in whole.items():
            assert (staged[name].shape, staged[name].dtype, staged[name].ndim) == (array.shape, array.dtype, array.ndim)
            np.testing.assert_array_equal(np.asarray(staged[name]), array)
            np.testing.assert_array_equal(staged[name][min(cuts) : max(cuts)], array[min(cuts) : max(cuts)])

    def test_only_what_is_asked_for_is_read(self, store):
        """A slice of rows reads the slabs it touches; a slice of integrations reads those integrations."""
        for band in bands(0, 8, 16, ROWS):
            stage(store, band)
        staged = assemble.open_staged(store, PREFIX, rows=ROWS).arrays
        read = []
        for _, part in staged["rate/dq"].parts:
            part.store.get = _noting(part.store.get, read)

        staged["rate/dq"][9:12]

        assert len(read) == 1

    def test_an_answer_that_was_cut(self, store, monkeypatch):
        """A read that the store fails is asked again, and one that fails for ever ends as the store's failure."""
        monkeypatch.setattr(assemble, "PATIENT", Patience(tries=3, sleep=lambda _: None))
        stage(store, Band(0, ROWS))
        staged = assemble.open_staged(store, PREFIX, rows=ROWS).arrays["rate/dq"]
        ((_, part),) = staged.parts
        whole, part.store.get = staged[0:ROWS], _failing(part.store.get, times=2)

        np.testing.assert_array_equal(staged[0:ROWS], whole)

        part.store.get = _failing(part.store.get, times=10)
        with pytest.raises(errors.StorageUnavailable, match="was cut"):
            staged[0:ROWS]

    def test_statuses(self, store):
        """What all slabs agree on is handed to the assembly."""
        for band in bands(0, 12, ROWS):
            stage(store, band, statuses={"jump": "COMPLETE"})

        assert assemble.open_staged(store, PREFIX, rows=ROWS).statuses == {"jump": "COMPLETE"}

    def test_no_steps(self, store):
        """A stride is refused, because no product needs it."""
        stage(store, Band(0, ROWS))

        with pytest.raises(errors.ReprocessError, match="contiguous"):
            assemble.open_staged(store, PREFIX, rows=ROWS).arrays["rate/dq"][::2]


def _noting(get, read):
    async def noting(key, *arguments, **options):
        read.append(key)
        return await get(key, *arguments, **options)

    return noting


def _failing(get, *, times):
    remaining = iter(range(times))

    async def failing(key, *arguments, **options):
        if next(remaining, None) is not None:
            raise errors.StorageUnavailable(f"the answer for {key} was cut.")
        return await get(key, *arguments, **options)

    return failing


class TestOpenStaged:
    @pytest.mark.parametrize(
        ("edges", "words"),
        [
            ([(0, 8)], "8 to 24 are missing"),
            ([(8, 24)], "0 to 8 are missing"),
            ([(0, 8), (16, 24)], "8 to 16 are missing"),
            ([(0, 16), (8, 24)], "8 to 16 are staged twice"),
            ([], "0 to 24 are missing"),
        ],
    )
    def test_rows_are_covered_once(self, store, edges, words):
        """Missing rows and rows of two slabs are refused by their numbers."""
        for edge in edges:
            stage(store, Band(*edge))

        with pytest.raises(errors.PublicationError, match=words):
            assemble.open_staged(store, PREFIX, rows=ROWS)

    def test_a_missing_chunk(self, store):
        """A chunk that is not there is an error, never zeros."""
        for band in bands(0, 8, ROWS):
            stage(store, band)
        chunk = next(stamp.key for stamp in store.list(PREFIX) if "sci/c/" in stamp.key)
        store.delete(chunk)

        with pytest.raises(errors.PublicationError, match="2 of 3 chunks"):
            assemble.open_staged(store, PREFIX, rows=ROWS)

    def test_slabs_must_agree(self, store):
        """Slabs of different shapes or statuses do not make a product."""
        stage(store, Band(0, 8), statuses={"jump": "COMPLETE"})
        stage(store, Band(8, ROWS), statuses={"jump": "SKIPPED"})
        with pytest.raises(errors.PublicationError, match="statuses"):
            assemble.open_staged(store, PREFIX, rows=ROWS)

        stage(store, Band(8, ROWS), {"rate/dq": planes()["rate/dq"]}, statuses={"jump": "COMPLETE"})
        with pytest.raises(errors.PublicationError, match="arrays"):
            assemble.open_staged(store, PREFIX, rows=ROWS)

    @pytest.mark.parametrize("after", [False, True])
    def test_killed_at_every_call(self, after):
        """A slab whose writer was killed is missing or whole, and staging it again mends it."""
        for number in itertools.count(1):
            store = samples.memory_store()
            fault = Fault(number, Killed(), after=after)
            with contextlib.suppress(Killed):
                stage(Watched(store, fault), Band(0, ROWS))
            try:
                staged = assemble.open_staged(store, PREFIX, rows=ROWS)
            except errors.PublicationError:
                stage(store, Band(0, ROWS))
                staged = assemble.open_staged(store, PREFIX, rows=ROWS)
            for name, array in planes().items():
                np.testing.assert_array_equal(np.asarray(staged.arrays[name]), array)
            if not fault.struck:
                break


class TestStageSlab:
    def test_the_same_bytes(self, store):
        """Staging a slab again writes the same objects with the same bytes."""
        stage(store, Band(0, 8))
        before = {stamp.key: store.get(stamp.key).data for stamp in store.list()}
        stage(store, Band(0, 8))

        assert {stamp.key: store.get(stamp.key).data for stamp in store.list()} == before

    def test_no_two_slabs_share_an_object(self, store):
        """Slabs write apart from each other."""
        stage(store, Band(0, 8))
        first = {stamp.key for stamp in store.list()}
        stage(store, Band(8, 16))
        second = {stamp.key for stamp in store.list()} - first

        assert len(first) == len(second) > 4

    def test_bytes(self, store):
        """The answer is the size of the arrays."""
        assert stage(store, Band(0, 8)) == 8 * COLUMNS * 4 * 4

    def test_wrong_rows(self, store):
        """An array that does not have the band's rows is refused by name."""
        with pytest.raises(errors.ReprocessError, match="rate/dq"):
            assemble.stage_slab(store, PREFIX, Band(0, 7), {"rate/dq": planes()["rate/dq"][:8]})


class TestClearStaging:
    def test_nothing_is_left(self, store):
        """Everything of the dataset goes, and nothing of another one."""
        other = assemble.prefix("campaign", samples.DATASET + "-2")
        for band in bands(0, 8, ROWS):
            stage(store, band)
        assemble.stage_slab(store, other, Band(0, ROWS), planes())
        kept = {stamp.key for stamp in store.list(other)}

        assert assemble.clear_staging(store, PREFIX) > 0

        assert {stamp.key for stamp in store.list()} == kept
        assert assemble.clear_staging(store, PREFIX) == 0


def test_a_slab_of_zeros_may_be_staged_twice(store):
    """A plane that is all 0 is there after a second attempt as it was after the first."""
    nothing = {"rate/err": np.zeros((ROWS, COLUMNS), np.float32)}
    for _ in range(2):
        assemble.stage_slab(store, PREFIX, Band(0, ROWS), nothing)

    assert not np.any(assemble.open_staged(store, PREFIX, rows=ROWS).arrays["rate/err"][0:ROWS])


def test_what_each_slab_tells_is_kept(store):
    """Beside what all slabs agree on, each may tell something of its own."""
    for band in (Band(0, 5), Band(5, ROWS)):
        part = {"a": np.zeros((len(band), COLUMNS), np.float32)}
        assemble.stage_slab(store, PREFIX, band, part, told={"rows": len(band)})

    told = assemble.open_staged(store, PREFIX, rows=ROWS).told
    assert {core.start: each["rows"] for core, each in told.items()} == {0: 5, 5: ROWS - 5}
