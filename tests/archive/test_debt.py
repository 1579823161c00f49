"""How much is stale, from judgement to judgement."""

import json
from dataclasses import replace

import pytest

from reprocess import errors
from reprocess.archive import debt
from reprocess.archive.debt import Amount, Candidate
from reprocess.exposure import Reason, Settled, Verdict
from reprocess.storage import open_store

DAYS = tuple(f"2026-11-{day:02}T01:02:03.000" for day in range(1, 8))
ORIGIN = {"context": "jwst_2.pmap", "software": "0.1.0"}


def file_reason(kind="dark", old="dark_1.fits", new="dark_2.fits"):
    return Reason("reference", "dark_current", kind, old, new)


def candidate(*reasons, state="stale", instrument="NIRCAM", size=100, made=""):
    return Candidate(Verdict("d", state, reasons), instrument, size, made)


def settled(state="current", count=3, instrument="NIRCAM", *reasons):
    return Settled(state, reasons, instrument, "NRC_IMAGE", tuple(f"d{number}" for number in range(count)))


def measure(candidates=(), rest=(), *, day=0, plan="", previous=None):
    return debt.measure(candidates, rest, plan=plan or f"{day:064x}", created=DAYS[day], previous=previous, **ORIGIN)


class TestMeasure:
    def test_counts_and_bytes_by_instrument_and_state(self):
        """Each exposure counts once in its state, with the bytes of its Level 1b object, settled ones too."""
        found = measure(
            [candidate(file_reason()), candidate(file_reason(), instrument="MIRI", size=7)],
            [(settled(), 300), (settled("stale-in-name-only", 2, "MIRI", file_reason()), 50), (settled(count=1), 4)],
        )

        assert found.amounts == {
            "MIRI": {"stale": Amount(1, 7), "stale-in-name-only": Amount(2, 50)},
            "NIRCAM": {"current": Amount(4, 304), "stale": Amount(1, 100)},
        }
        assert found.of_state("stale") == Amount(2, 107)
        assert found.total == Amount(8, 461)

    def test_causes(self):
        """An exposure counts once in each of its causes, however many old files it has of one type."""
        found = measure(
            [
                candidate(file_reason(), file_reason("gain", "g1"), size=10),
                candidate(file_reason(), file_reason(old="dark_0.fits"), size=5),
                candidate(Reason("product-missing", "dq_init"), state="missing", size=1),
            ],
            [(settled("stale-in-name-only", 2, "NIRCAM", file_reason("mask")), 50)],
        )
        causes = {cause.key: cause for cause in found.causes}

        assert {key: cause.amount for key, cause in causes.items()} == {
            ("stale", "reference", "dark"): Amount(2, 15),
            ("stale", "reference", "gain"): Amount(1, 10),
            ("missing", "product-missing", ""): Amount(1, 1),
        }
        assert set(causes["stale", "reference", "dark"].since) == {"dark_0.fits", "dark_1.fits"}
        assert found.causes[0].type == "dark"  # the largest first

    def test_old_things_that_only_one_exposure_has_are_not_kept_apart(self):
        """A record does not grow with the number of replaced raw objects."""
        replaced = [candidate(Reason("raw-changed", "dq_init", None, f"etag={n}", "etag=x")) for n in range(50)]

        (cause,) = measure(replaced).causes

        assert (cause.amount.count, list(cause.since)) == (50, [""])

    def test_the_oldest_product(self):
        """It is the earliest creation of a stale product of ours; others and unknown dates do not count."""
        found = measure(
            [
                candidate(file_reason(), made=DAYS[3]),
                candidate(file_reason(), made=DAYS[1]),
                candidate(file_reason()),
                candidate(Reason("undecidable", "raw"), state="unknown", made=DAYS[0]),
            ]
        )

        assert found.oldest_product == DAYS[1]
        assert measure([candidate(file_reason())]).oldest_product == ""

    def test_of_nothing(self):
        """A catalogue without exposures has neither amounts nor causes."""
        found = measure()

        assert (found.total, found.causes, found.stale_since) == (Amount(), (), "")


class TestAge:
    def test_it_is_the_first_record_without_interruption(self):
        """An old file that was found in each of the last records is as old as the first of them."""
        first = measure([candidate(file_reason())], day=0)
        second = measure([candidate(file_reason(new="dark_3.fits"))], day=1, previous=first)
        third = measure([candidate(file_reason(new="dark_4.fits"))], day=2, previous=second)

        assert third.stale_since == DAYS[0]

    def test_another_old_file_begins_anew(self):
        """What is stale for another old file is not as old as what was redone meanwhile."""
        first = measure([candidate(file_reason())], day=0)
        second = measure([candidate(file_reason(old="dark_2.fits", new="dark_3.fits"))], day=1, previous=first)

        assert second.stale_since == DAYS[1]

    def test_an_interruption_begins_anew(self):
        """What was found, then not, then found again counts from the last time on."""
        first = measure([candidate(file_reason())], day=0)
        second = measure([], [(settled(), 1)], day=1, previous=first)
        third = measure([candidate(file_reason())], day=2, previous=second)

        assert third.stale_since == DAYS[2]

    def test_the_oldest_of_several(self):
        """With several old things the age is the one of the oldest, and other states have no part in it."""
        first = measure([candidate(Reason("product-missing", "x"), state="missing")], day=0)
        second = measure([candidate(file_reason()), *[first_missing()]], day=1, previous=first)
        third = measure([candidate(file_reason(), file_reason("gain", "g1")), first_missing()], day=2, previous=second)

        assert third.stale_since == DAYS[1]
        assert {cause.key: cause.oldest for cause in third.causes} == {
            ("stale", "reference", "dark"): DAYS[1],
            ("stale", "reference", "gain"): DAYS[2],
            ("missing", "product-missing", ""): DAYS[0],
        }


def first_missing():
    return candidate(Reason("product-missing", "x"), state="missing")


class TestRecords:
    @pytest.fixture
    def store(self, tmp_path):
        return open_store(str(tmp_path))

    def kept(self, store, day, **options):
        found = measure([candidate(file_reason(), made=DAYS[0])], [(settled(), 9)], day=day, **options)
        debt.keep(store, found)
        return found

    def test_what_is_kept_is_read(self, store):
        """A record comes back as it was, the newest first, below the catalogue."""
        made = [self.kept(store, day) for day in (2, 0, 1)]

        assert debt.history(store, 10) == (made[0], made[2], made[1])
        assert debt.history(store, 1) == (made[0],)
        assert all(stamp.key.startswith("catalogue/") for stamp in store.list())

    def test_only_earlier_ones(self, store):
        """Asked for those before a time, it gives none of that time or later."""
        made = [self.kept(store, day) for day in range(3)]

        assert debt.history(store, 10, before=DAYS[2]) == (made[1], made[0])
        assert debt.history(store, 10, before=DAYS[0]) == ()

    def test_a_record_is_never_changed(self, store):
        """The same plan again leaves its record as it was written first; another of the same moment has its own."""
        first = self.kept(store, 0)
        debt.keep(store, replace(first, context="another"))
        self.kept(store, 0, plan="f" * 64)

        assert {one.context for one in debt.history(store, 10)} == {"jwst_2.pmap"}
        assert len(debt.history(store, 10)) == 2

    def test_the_same_bytes(self):
        """The order of exposures does not matter."""
        rows = [candidate(file_reason(old=old), instrument=old) for old in ("a", "b", "c")]

        assert debt.to_bytes(measure(rows)) == debt.to_bytes(measure(rows[::-1]))

    @pytest.mark.parametrize("data", [b"", b"{}", b'{"kind":"debt","schema":9}', b'{"kind":"debt","schema":1}'])
    def test_damaged(self, store, data, caplog):
        """A record that cannot be read is refused by name, and left out of the history."""
        whole = self.kept(store, 0)
        store.put(f"{debt.PREFIX}20991231T000000.000-x.json", data)

        with pytest.raises(errors.DamagedRecord, match="somewhere"):
            debt.from_bytes(data, name="somewhere")
        assert debt.history(store, 1) == (whole,)
        assert "20991231" in caplog.text

    def test_says_what_it_is(self):
        """A record tells its kind and schema."""
        body = json.loads(debt.to_bytes(measure()))

        assert (body["kind"], body["schema"]) == ("debt", 1)
