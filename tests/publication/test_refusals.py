"""What ended for good: lists that several write at once, over a store that loses answers."""

from __future__ import annotations

import threading
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.exposure import Outcome
from reprocess.formats import records
from reprocess.publication import ledger, refusals
from reprocess.publication.patience import Patience
from reprocess.publication.refusals import Refusal
from tests.publication import samples
from tests.publication.faulty import ByContent, Fault, Watched

CAMPAIGN, OTHER = "0123456789abcdef", "fedcba9876543210"
NO_ANSWER = errors.StorageUnavailable("no answer")


@pytest.fixture
def store():
    return samples.memory_store()


def refusal(dataset="a", outcome_class="bad-data", run_key="k1", campaign=CAMPAIGN):
    return Refusal(dataset, run_key, outcome_class, f"{dataset} is odd", campaign)


def note(store, *some, campaign=CAMPAIGN):
    refusals.note(store, campaign, some, patience=samples.HURRIED)


def release(store, *datasets, campaign=CAMPAIGN):
    refusals.release(store, campaign, datasets, patience=samples.HURRIED)


def names(store):
    return {one.dataset for one in refusals.read(store).values()}


class TestWords:
    """What counts as refused, and under which name."""

    def test_the_incarnation_does_not_count(self):
        """A version's name without its incarnation stays the same when it is made again."""
        assert refusals.run_key("0f1e-1") == refusals.run_key("0f1e-12") == "0f1e"

    @pytest.mark.parametrize("name", sorted(ledger.terminal_classes()))
    def test_what_may_pass_is_not_refused(self, name):
        """Faults of the store, of references or of ours are no reason to give an exposure up, nor is a good end."""
        refused = refusals.refuses(Outcome("a", "a", name))

        assert refused == (name in {"held-back", "bad-data", "worker-lost", "out-of-memory", "overdue"})


class TestNote:
    """`note` and `read`."""

    def test_none(self, store):
        """An archive where nothing was refused has no list, and noting nothing makes none."""
        note(store)

        assert refusals.read(store) == {}
        assert not list(store.list(""))

    def test_every_campaign(self, store):
        """Refusals of all campaigns are read, by dataset and run key."""
        one, two, three = refusal("a"), refusal("b"), refusal("a", run_key="k2", campaign=OTHER)
        note(store, one, two)
        note(store, three, campaign=OTHER)

        assert refusals.read(store) == {("a", "k1"): one, ("b", "k1"): two, ("a", "k2"): three}

    def test_added(self, store):
        """What is noted later is added to what is there."""
        note(store, refusal("a"))
        note(store, refusal("b"))

        assert names(store) == {"a", "b"}

    def test_the_later_word_counts(self, store):
        """Of several refusals of one dataset in a campaign the last one is kept."""
        note(store, refusal("a", "overdue"))
        note(store, refusal("a", "worker-lost"), refusal("a", "held-back", run_key="k2"))

        assert refusals.read(store) == {("a", "k2"): refusal("a", "held-back", run_key="k2")}

    def test_the_same_again_writes_nothing(self, store):
        """Every run of a campaign notes what it refused; nothing is written if that is known."""
        note(store, refusal("a"), refusal("b"))
        before = store.head(refusals.key(CAMPAIGN))
        note(store, refusal("b"), refusal("a"))

        assert store.head(refusals.key(CAMPAIGN)) == before


class TestRelease:
    """`release`."""

    def test_some(self, store):
        """What is released is gone, the rest stays."""
        note(store, refusal("a"), refusal("b"), refusal("c"))
        release(store, "a", "c", "stranger")

        assert names(store) == {"b"}

    def test_of_its_campaign_only(self, store):
        """The same dataset may be refused by another campaign still."""
        note(store, refusal("a"))
        note(store, refusal("a", run_key="k2", campaign=OTHER), campaign=OTHER)
        release(store, "a")

        assert set(refusals.read(store)) == {("a", "k2")}

    def test_nothing_to_release(self, store):
        """No object is made in order to say that it is empty."""
        release(store, "a")

        assert not list(store.list(""))


class TestRaces:
    """Several writers, and answers that are lost."""

    def test_writers_at_once(self, store):
        """Of many that note and release at once each has its way, on a store whose ETags are those of S3 too."""
        note(store, *(refusal(f"old-{number}") for number in range(6)))
        patient = Patience(tries=60, first_s=0.001, longest_s=0.01)

        def add(number):
            refusals.note(ByContent(store), CAMPAIGN, [refusal(f"new-{number}")], patience=patient)

        def take(number):
            refusals.release(ByContent(store), CAMPAIGN, [f"old-{number}"], patience=patient)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6) for work in (add, take)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert names(store) == {f"new-{number}" for number in range(6)}

    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("old", [False, True])
    def test_one_call_without_an_answer(self, store, number, after, old):
        """A list is as it should be, whether the call that had no answer took effect or not."""
        if old:
            note(store, refusal("z"))
        note(Watched(store, Fault(number, NO_ANSWER, after=after)), refusal("a"))

        assert names(store) == ({"a", "z"} if old else {"a"})

    def test_overtaken(self, store):
        """What another wrote between reading and writing is kept."""
        other = [refusal("b")]

        def hook(name, key, perform):
            if name != "get" and other:
                note(store, other.pop())
            return perform()

        note(Watched(store, hook), refusal("a"))

        assert names(store) == {"a", "b"}

    def test_others_are_always_faster(self, store):
        """Who never gets a turn is told to try again, in words of ours; what the others noted is there."""
        count = iter(range(100))

        def hook(name, key, perform):
            if name != "get":
                note(store, refusal(f"b{next(count)}"))
            return perform()

        with pytest.raises(errors.CommitConflict, match=rf"{CAMPAIGN}\.json was changed by others .* Try again"):
            note(Watched(store, hook), refusal("a"))
        assert len(names(store)) == samples.HURRIED.tries

    def test_a_store_that_never_answers(self, store):
        """It is given up after so many tries."""

        def hook(name, key, perform):
            if name != "get":
                raise NO_ANSWER
            return perform()

        with pytest.raises(errors.StorageUnavailable):
            note(Watched(store, hook), refusal("a"))


class TestDamage:
    """Lists that are none."""

    @pytest.mark.parametrize(
        "data",
        [
            b"{",
            b"{}",
            records.dumps("control", 1, {}),
            *(
                records.dumps("refusals", 1, body)
                for body in (
                    {},
                    {"refusals": 3},
                    {"refusals": "x"},
                    {"refusals": [None]},
                    {"refusals": [{"dataset": "a"}]},
                    {"refusals": [{**asdict(Refusal("a", "k", "c", "m", "p")), "more": 1}]},
                    {"refusals": [asdict(Refusal(3, "k", "c", "m", "p"))]},
                )
            ),
        ],
    )
    def test_named_and_left_alone(self, store, data):
        """A damaged list is named by whoever reads or changes it, and stays as it is."""
        place = refusals.key(CAMPAIGN)
        store.put(place, data)

        for call in (refusals.read, lambda store: note(store, refusal("a")), lambda store: release(store, "a")):
            with pytest.raises(errors.DamagedRecord, match=place):
                call(store)
        assert store.get(place).data == data


ACTS = st.lists(
    st.tuples(
        st.booleans(),
        st.lists(st.sampled_from("abc"), max_size=3),
        st.sampled_from(["overdue", "bad-data"]),
        st.lists(st.sampled_from(["none", "not sent", "no answer"]), max_size=3),
    ),
    max_size=10,
)


@given(ACTS)
@settings(max_examples=200, deadline=None)
def test_as_if_nothing_ever_failed(acts):
    """Whatever answers are lost, the list is what a dictionary would be."""
    store, model = samples.memory_store(), {}
    for adds, datasets, kind, faults in acts:
        plan = iter(faults)

        def hook(name, key, perform, plan=plan):
            fault = next(plan, "none")
            if fault == "not sent":
                raise NO_ANSWER
            result = perform()
            if fault == "no answer":
                raise NO_ANSWER
            return result

        if adds:
            note(Watched(store, hook), *(refusal(each, kind) for each in datasets))
            model |= {(each, "k1"): refusal(each, kind) for each in datasets}
        else:
            release(Watched(store, hook), *datasets)
            model = {key: one for key, one in model.items() if one.dataset not in datasets}

    assert refusals.read(store) == model


def test_who_refused_is_kept(store):
    """The campaign is part of a refusal, so that its `retry` finds what it has refused."""
    note(store, replace(refusal("a"), campaign=OTHER))

    assert refusals.read(store)["a", "k1"].campaign == OTHER
