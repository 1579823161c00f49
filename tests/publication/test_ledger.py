from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.exposure import Outcome
from reprocess.formats import records
from reprocess.publication import ledger
from tests.publication import samples
from tests.publication.faulty import Fault, Killed, Watched

CAMPAIGN = "0123456789abcdef"


@pytest.fixture
def store():
    return samples.memory_store()


def outcome(unit, outcome_class="published", **fields):
    return Outcome(unit, fields.pop("dataset", unit), outcome_class, **fields)


def begin(store, **options):
    return ledger.begin(store, CAMPAIGN, patience=samples.HURRIED, **options)


class TestLedger:
    def test_what_is_appended_is_read(self, store):
        """Every field of an outcome survives."""
        told = outcome(
            "u", "storage", message="no answer", temporary=True, attempt=2, seconds={"read": 0.25}, worker="w"
        )
        book = begin(store)
        book.append(told)
        book.flush()

        assert ledger.read(store, CAMPAIGN) == {"u": told}

    def test_batches(self, store):
        """A full batch is one object; what is not full waits for `flush`."""
        book = begin(store)
        book.batch = 10
        for i in range(25):
            book.append(outcome(f"u{i}"))

        assert len(ledger.read(store, CAMPAIGN)) == 20
        book.flush()
        assert len(ledger.read(store, CAMPAIGN)) == 25
        assert len(list(store.list("campaigns/"))) == 4

    def test_old_batches(self, store):
        """A batch that has waited long is written although it is not full."""
        now = itertools.count(step=6)
        book = begin(store)
        book.clock, book.flush_after_s = lambda: next(now), 10.0
        book.append(outcome("a"))
        book.append(outcome("b"))

        assert list(ledger.read(store, CAMPAIGN)) == ["a", "b"]

    def test_nothing_is_nothing(self, store):
        """A campaign that never ran has no outcomes, and flushing nothing writes nothing."""
        begin(store).flush()

        assert ledger.read(store, CAMPAIGN) == {}
        assert len(list(store.list())) == 1

    def test_a_later_run_has_the_last_word(self, store):
        """Of several outcomes of a unit the one of the later run counts, whichever was written last by the clock."""
        first, second = begin(store), begin(store)
        second.append(outcome("u", "published"))
        second.flush()
        first.append(outcome("u", "storage"))
        first.flush()

        assert (first.epoch, second.epoch) == (1, 2)
        assert ledger.read(store, CAMPAIGN)["u"].outcome_class == "published"

    def test_flushed_at_the_end(self, store):
        """Leaving the block writes what is pending, also when it is left by an exception."""

        def interrupted():
            with begin(store) as book:
                book.append(outcome("u"))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert list(ledger.read(store, CAMPAIGN)) == ["u"]

    def test_the_order_is_that_of_the_last_words(self, store):
        """Units come in the order in which their last outcomes were recorded."""
        book = begin(store)
        for unit in ("a", "b", "a"):
            book.append(outcome(unit))
        book.flush()

        assert list(ledger.read(store, CAMPAIGN)) == ["b", "a"]

    def test_many_epochs_stay_in_order(self, store):
        """Epochs and batches are ordered as numbers."""
        for i in range(12):
            book = begin(store)
            for j in range(12):
                book.append(outcome("u", message=f"{i}.{j}"))
                book.flush()

        assert ledger.read(store, CAMPAIGN)["u"].message == "11.11"

    def test_campaigns_are_apart(self, store):
        """Outcomes of another campaign are not read."""
        book = ledger.begin(store, "another", patience=samples.HURRIED)
        book.append(outcome("u"))
        book.flush()

        assert ledger.read(store, CAMPAIGN) == {}


class TestDamage:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"{}",
            records.dumps("lease", 1, {}),
            records.dumps("outcomes", 99, {"outcomes": []}),
            *(
                records.dumps("outcomes", 1, body)
                for body in ({}, {"outcomes": 3}, {"outcomes": ["x"]}, {"outcomes": [{"unit": "u"}]})
            ),
        ],
    )
    def test_a_damaged_batch(self, store, data):
        """A batch that cannot be read is named, with what to do; it is left as it is."""
        key = ledger.prefix(CAMPAIGN) + "000001-00000001.json"
        store.put(key, data)

        with pytest.raises(errors.DamagedRecord, match=rf"{key} .*delete it, and run again"):
            ledger.read(store, CAMPAIGN)
        assert store.get(key).data == data


class TestBegin:
    def test_two_at_once(self, store):
        """Two runs that begin at the same moment take different epochs."""
        rivals = []

        def hook(name, key, perform):
            if name == "put_if_absent" and not rivals:
                rivals.append(begin(store))
            return perform()

        ours = begin(Watched(store, hook))

        assert {ours.epoch, rivals[0].epoch} == {1, 2}

    @pytest.mark.parametrize("after", [False, True])
    def test_no_answer(self, store, after):
        """An epoch whose answer was lost is still ours."""
        fault = Fault(2, errors.StorageUnavailable("no answer"), after=after)

        assert begin(Watched(store, fault)).epoch == 1
        assert fault.struck

    @pytest.mark.parametrize("after", [False, True])
    def test_killed_at_every_call(self, after):
        """Killed at any store call, what was flushed is kept and the next run appends beside it."""
        for number in itertools.count(1):
            store = samples.memory_store()
            fault = Fault(number, Killed(), after=after)
            flushed = []
            try:
                book = begin(Watched(store, fault))
                for i in range(3):
                    book.append(outcome(f"u{i}"))
                    book.flush()
                    flushed.append(f"u{i}")
            except Killed:
                pass
            book = begin(store)
            book.append(outcome("later"))
            book.flush()

            assert set(flushed) | {"later"} <= set(ledger.read(store, CAMPAIGN))
            if not fault.struck:
                break


class TestFlush:
    def test_a_failed_flush_can_be_repeated(self, store):
        """Outcomes stay pending until they are stored, and are stored once."""
        down = [True]

        def hook(name, key, perform):
            result = perform()
            if down and name == "put_if_absent" and not key.endswith("-00000000.json"):
                raise errors.StorageUnavailable("answer lost")
            if down and name == "digest":
                raise errors.StorageUnavailable("no answer")
            return result

        book = begin(Watched(store, hook))
        book.append(outcome("a"))
        with pytest.raises(errors.StorageUnavailable):
            book.flush()
        down.clear()
        book.flush()
        book.flush()

        assert list(ledger.read(store, CAMPAIGN)) == ["a"]
        assert len(list(store.list())) == 2

    def test_after_a_long_silence(self, store):
        """What has gathered while the store was away is written in batches, nothing is lost."""
        down = []

        def hook(name, key, perform):
            if down and not key.endswith("-00000000.json"):
                raise errors.StorageUnavailable("no answer")
            return perform()

        book = begin(Watched(store, hook))
        book.batch = 2
        down.append(True)
        for i in range(5):
            with contextlib.suppress(errors.StorageUnavailable):
                book.append(outcome(f"u{i}"))
        down.clear()
        book.flush()

        assert list(ledger.read(store, CAMPAIGN)) == [f"u{i}" for i in range(5)]
        assert len(list(store.list())) == 4


class TestClose:
    def test_each_candidate_has_one_class(self):
        """Candidates end by their plan or by their last outcome, and the sum closes."""
        plan = samples.plan(
            samples.item("a"),
            samples.item("b", action="none"),
            samples.item("c", action="fail", failure_class="unsupported", failure="no kernel"),
            samples.item("d"),
        )

        summary = ledger.close(plan, [outcome("a"), outcome("d", "bad-data", message="cut")])

        assert summary.classes == {"a": "published", "b": "current", "c": "unsupported", "d": "bad-data"}
        assert summary.failures == {"c": "unsupported", "d": "bad-data"}
        assert summary.messages == {"c": "no kernel", "d": "cut"}
        assert summary.counts == {"bad-data": 1, "current": 1, "published": 1, "unsupported": 1}
        assert summary.closes
        assert summary.candidates == 4

    def test_slabs_are_no_end(self):
        """A class that only says how far a unit came leaves the candidate pending."""
        plan = samples.plan(samples.item("a"))

        summary = ledger.close(plan, [outcome("a/0", "staged", dataset="a"), outcome("a", "written")])

        assert summary.pending == ("a",)
        assert not summary.closes

    def test_the_last_word_counts(self):
        """Of several units of a dataset the last that ended counts."""
        plan = samples.plan(samples.item("a"))
        words = [outcome("a/0", "storage", dataset="a"), outcome("a/0", "staged", dataset="a"), outcome("a")]

        assert ledger.close(plan, words).classes == {"a": "published"}

    def test_strangers(self):
        """An outcome of a dataset that is no candidate spoils the sum."""
        summary = ledger.close(samples.plan(samples.item("a")), [outcome("a"), outcome("z")])

        assert summary.strangers == ("z",)
        assert not summary.closes

    def test_references_are_no_strangers(self):
        """A unit that prepares a reference is of no dataset; that it had to be tried again leaves the sum alone."""
        words = [outcome("reference/mask.fits", ledger.AGAIN, dataset=""), outcome("a")]

        assert ledger.close(samples.plan(samples.item("a")), words).closes

    @given(
        st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["calibrate", "none", "fail"])),
        st.lists(
            st.tuples(
                st.sampled_from("abcdefz"),
                st.sampled_from(["published", "storage", "staged", "held-back", "unchanged", "cancelled", "bad-data"]),
            )
        ),
    )
    def test_the_sum(self, actions, words):
        """Classes and pending add up to the candidates, and each candidate is in exactly one of them."""
        plan = samples.plan(
            *(samples.item(name, action=action, failure_class="unsupported") for name, action in actions.items())
        )

        summary = ledger.close(plan, [outcome(f"{i}", name, dataset=data) for i, (data, name) in enumerate(words)])

        assert sorted([*summary.classes, *summary.pending]) == sorted(actions)
        assert sum(summary.counts.values()) + len(summary.pending) == summary.candidates == len(actions)
        assert set(summary.classes.values()) <= ledger.terminal_classes()
