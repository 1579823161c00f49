"""What operators want of a campaign: changed by several at once, over a store that loses answers."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.formats import records
from reprocess.publication import control
from reprocess.publication.control import CANCEL, DEFER, PAUSE, RUN, Control
from reprocess.publication.patience import Patience
from tests.publication import samples
from tests.publication.faulty import ByContent, Fault, Watched

CAMPAIGN = "0123456789abcdef"
NO_ANSWER = errors.StorageUnavailable("no answer")
BOTH = pytest.mark.parametrize("number", [1, 2])  # the call that fails: the read, or the write


@pytest.fixture
def store():
    return samples.memory_store()


def change(store, **what):
    return control.change(store, CAMPAIGN, by=what.pop("by", "Ada"), patience=samples.HURRIED, **what)


def read(store):
    return control.read(store, CAMPAIGN)


class Between(Watched):
    """A store where something happens once, right after a write whose answer is lost or right before a write."""

    def __init__(self, inner, act, *, after):
        super().__init__(inner, self.strike)
        self.act, self.after = act, after

    def strike(self, name, key, perform):
        act, write = self.act, name in ("compare_and_swap", "put_if_absent")
        if act is None or not write:
            return perform()
        self.act = None
        if self.after:
            perform()
            act()
            raise NO_ANSWER
        act()
        return perform()

    def __getattribute__(self, name):
        if name in ("strike", "act", "after"):
            return object.__getattribute__(self, name)
        return super().__getattribute__(name)


class TestChange:
    """`change`."""

    def test_without_a_record(self, store):
        """A campaign that nobody said anything about goes on."""
        assert read(store) == Control(state=RUN, priority=0, approved=False)

    def test_the_rest_stays(self, store):
        """Who changes one thing changes nothing else, and is named."""
        change(store, state=PAUSE, why="slow store")
        change(store, priority=7, by="Grace")
        found = read(store)

        assert (found.state, found.why, found.priority, found.by) == (PAUSE, "slow store", 7, "Grace")
        assert found.changed

    @BOTH
    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("old", [None, "an earlier wish"])
    def test_one_call_without_an_answer(self, store, number, after, old):
        """A change is made once, whether the call that had no answer took effect or not."""
        if old:
            change(store, why=old)
        written = []

        def counting(name, key, perform):
            result = perform()
            written.append(name) if name in ("compare_and_swap", "put_if_absent") else None
            return result

        faulty = Watched(Watched(store, counting), Fault(number, NO_ANSWER, after=after))
        made = change(faulty, state=PAUSE)

        assert read(store) == made
        assert len(written) == 1

    def test_overtaken_after_a_lost_answer(self, store):
        """A change that took effect and was replaced by another is known to be made: it is not made again."""
        asked = Between(store, lambda: change(store, state=RUN, by="Grace"), after=True)
        told = change(asked, state=PAUSE)

        assert told == read(store)
        assert (told.state, told.by) == (RUN, "Grace")

    def test_overtaken_before_it_was_made(self, store):
        """A change that came too late is decided anew on what the other left."""
        asked = Between(store, lambda: change(store, priority=5, by="Grace"), after=False)
        told = change(asked, state=PAUSE)

        assert (told.state, told.priority, told.by) == (PAUSE, 5, "Ada")

    def test_cancelled_meanwhile(self, store):
        """Who resumes a campaign that is cancelled at that moment is told so."""
        change(store, state=PAUSE)
        asked = Between(store, lambda: change(store, state=CANCEL, by="Grace"), after=False)

        with pytest.raises(errors.PlanError, match=r"cancelled by Grace.*Plan again"):
            change(asked, state=RUN)
        assert read(store).state == CANCEL

    @pytest.mark.parametrize("state", [RUN, PAUSE, DEFER])
    def test_cancel_is_final(self, store, state):
        """Nothing leads out of it; to cancel twice, or to set a priority, does no harm."""
        change(store, state=CANCEL, why="wrong target")
        change(store, state=CANCEL)
        change(store, priority=1)

        with pytest.raises(errors.PlanError, match="Plan again"):
            change(store, state=state)
        assert read(store).state == CANCEL

    @pytest.mark.parametrize("wanted", [PAUSE, CANCEL])
    def test_only_from_some_states(self, store, wanted):
        """What a program wants only of a campaign that goes on does not lift what an operator said meanwhile."""
        asked = Between(store, lambda: change(store, state=wanted, by="Grace"), after=False)
        told = change(asked, state=DEFER, by="--max-hours", only_from=(RUN, DEFER))

        assert told == read(store)
        assert (told.state, told.by) == (wanted, "Grace")

    def test_writers_at_once(self, store):
        """Of many changes at once none is lost, on a store whose ETags are those of S3 too."""
        patient = Patience(tries=60, first_s=0.001, longest_s=0.01)
        names = [name for name in Control.__dataclass_fields__ if name in ("priority", "approved", "why", "state")]
        wishes = {"priority": 3, "approved": True, "why": "all of it", "state": PAUSE}

        def work(name):
            control.change(ByContent(store), CAMPAIGN, by=name, patience=patient, **{name: wishes[name]})

        threads = [threading.Thread(target=work, args=(name,)) for name in names * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        found = read(store)
        assert {name: getattr(found, name) for name in names} == wishes
        assert len({found.writer, *found.earlier}) == len(threads)

    def test_others_are_always_faster(self, store):
        """Who never gets a turn is told to try again, in words of ours."""

        def hook(name, key, perform):
            if name != "get":
                change(store, priority=1, by="Grace")
            return perform()

        with pytest.raises(errors.CommitConflict, match=r"control\.json was changed by others .* Try again"):
            change(Watched(store, hook), state=PAUSE)

    @pytest.mark.parametrize("name", ["get", "put_if_absent"])
    def test_a_store_that_never_answers(self, store, name):
        """It is given up after so many tries."""

        def hook(call, key, perform):
            if call == name:
                raise NO_ANSWER
            return perform()

        with pytest.raises(errors.StorageUnavailable):
            change(Watched(store, hook), state=PAUSE)
        assert read(store) == Control()

    def test_no_permission(self, store):
        """A refusal is no fault that passes: it is told at once."""
        with pytest.raises(errors.AccessDenied):
            change(Watched(store, Fault(2, errors.AccessDenied("may not write"), after=False)), state=PAUSE)

    def test_many_changes(self, store):
        """The record does not grow with every change."""
        for number in range(100):
            change(store, priority=number)
        size = len(store.get(control.key(CAMPAIGN)).data)
        change(store, priority=100)

        assert len(store.get(control.key(CAMPAIGN)).data) <= size + 1


GOOD = {"state": PAUSE, "priority": 0, "approved": False, "why": "", "by": "", "changed": "", "writer": "w"}


class TestDamage:
    """Records that are none."""

    def put(self, store, body):
        store.put(control.key(CAMPAIGN), records.dumps("control", 1, {"earlier": [], **body}))

    def test_good(self, store):
        """The record that the others are made of is good."""
        self.put(store, GOOD)

        assert read(store).state == PAUSE

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"kind": "pointer", "schema": 1}'])
    def test_no_record(self, store, data):
        """It is named, and left as it is by whoever wants to change it."""
        store.put(control.key(CAMPAIGN), data)

        for call in (read, lambda store: change(store, state=CANCEL)):
            with pytest.raises(errors.DamagedRecord, match=r"control\.json"):
                call(store)
        assert store.get(control.key(CAMPAIGN)).data == data

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("state", "paused"),
            ("state", None),
            ("priority", "1"),
            ("priority", True),
            ("approved", "no"),
            ("why", 3),
            ("earlier", 3),
        ],
    )
    def test_edited_by_hand(self, store, name, value):
        """A value that means nothing is not taken for leave to go on."""
        self.put(store, {**GOOD, name: value})

        with pytest.raises(errors.DamagedRecord, match=f"{name} is missing or not.*Delete it"):
            read(store)

    @pytest.mark.parametrize("name", GOOD)
    def test_incomplete(self, store, name):
        """What is missing is named."""
        self.put(store, {each: value for each, value in GOOD.items() if each != name})

        with pytest.raises(errors.DamagedRecord, match=f"{name} is missing"):
            read(store)


WISHES = st.sampled_from(
    [{"state": RUN}, {"state": PAUSE}, {"state": DEFER}, {"state": CANCEL}, {"priority": 1}, {"approved": True}]
)
FAULTS = st.sampled_from(["none", "none", "not sent", "no answer"])


@given(st.lists(st.tuples(WISHES, st.lists(FAULTS, min_size=4, max_size=4)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_as_if_nothing_ever_failed(wishes):
    """Whatever answers are lost, the record says what it would if each change that was not refused were made once."""
    store, model = samples.memory_store(), {}
    for what, faults in wishes:
        plan = iter(faults[:3])  # the last try has its answer

        def hook(name, key, perform, plan=plan):
            fault = next(plan, "none")
            if fault == "not sent":
                raise NO_ANSWER
            result = perform()
            if fault == "no answer":
                raise NO_ANSWER
            return result

        try:
            change(Watched(store, hook), **what)
        except errors.PlanError:
            assert model["state"] == CANCEL
            assert what["state"] != CANCEL
        else:
            assert model.get("state") != CANCEL or what.get("state", CANCEL) == CANCEL
            model |= what
    found = read(store)

    assert found == Control(**model, by=found.by, changed=found.changed, writer=found.writer, earlier=found.earlier)
    made = [one for one in (found.writer, *found.earlier) if one]
    assert len(made) == len(set(made)) <= len(wishes)
