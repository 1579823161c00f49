"""The command `plan`: what it chooses, forecasts and prints."""

import json

import pytest

from reprocess import campaign, errors, terminal
from reprocess.archive import catalogue
from reprocess.publication import experience, ledger, settlement
from reprocess.storage import open_store
from tests import trips


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a simulated archive of eight exposures of three instruments; nobody changes it."""
    folder = tmp_path_factory.mktemp("plan")
    trips.copy(trips.simulated(), open_store(str(folder / "sim")))
    return folder


@pytest.fixture
def plan(reprocess, place):
    """Plan for an archive that was scanned."""
    reprocess("init", "arc", "--raw", place / "sim/raw", "--references", place / "sim/crds")
    reprocess("scan", "arc")

    def call(*words, target="first", code=0):
        return reprocess("plan", "arc", "--target", place / f"sim/targets/{target}.toml", *words, code=code)

    return call


def records(result):
    """What `--json` prints: the plan, and the exposures."""
    first, *rest = map(json.loads, result.stdout.splitlines())
    return first, rest


def opened():
    return campaign.open_archive("arc", trips.settings())


class TestWhere:
    """`--where`."""

    def test_the_sum_closes(self, plan):
        """What is chosen and what is not are together what the catalogue has, in text, record and plan."""
        first, rest = records(plan("--json", "--where", "INSTRUME = 'NIRCAM'"))
        text = plan("--where", "INSTRUME = 'NIRCAM'").stdout
        every, _ = records(plan("--json"))

        assert (first["where"], first["candidates"]) == ("INSTRUME = 'NIRCAM'", len(rest))
        assert first["counts"]["selection"] == {"selected": len(rest), "not selected": first["not_selected"]}
        assert sum(first["counts"]["selection"].values()) == every["candidates"] == 8
        assert set(first["counts"]["instrument"]) == {"NIRCAM"}
        assert every["counts"]["selection"] == {"selected": 8, "not selected": 0}
        assert f"{first['not_selected']} not selected by --where INSTRUME = 'NIRCAM'" in text
        kept = campaign.find_plan(opened(), first["digest"])
        assert (kept.where, kept.not_selected) == ("INSTRUME = 'NIRCAM'", first["not_selected"])

    def test_references_of_others_are_not_touched(self, plan):
        """Nothing that was left out costs a reference file."""
        plan("--where", "INSTRUME = 'FGS'")
        mirrored = [stamp.key for stamp in opened().store.list("references/") if stamp.key.endswith(".fits")]

        assert mirrored
        assert not [key for key in mirrored if "fgs" not in key]

    def test_after_the_judgement(self, plan, reprocess):
        """Exposures are chosen by their verdict, and the plan of a choice runs and closes."""
        digest = records(plan("--json", "--where", "not INSTRUME = 'FGS'"))[0]["digest"]
        assert "remainder 0" in " ".join(reprocess("run", "arc", digest).stdout.split())
        reprocess("scan", "arc")
        _, every = records(plan("--json", target="second"))
        for text, wanted in (
            ("verdict = 'missing'", lambda one: one["verdict"] == "missing"),
            ("version is null", lambda one: one["verdict"] == "missing"),
            ("verdict = 'stale' and restart = 'detector1'", lambda one: one["verdict"] == "stale"),
            ("reason = 'reference'", lambda one: "reference" in {reason["kind"] for reason in one["reasons"]}),
            ("verdict = 'current'", lambda one: one["verdict"] == "current"),
        ):
            first, rest = records(plan("--json", "--where", text, target="second"))

            assert rest == [one for one in every if wanted(one)], text
            assert first["not_selected"] == 8 - len(rest), text
        assert {one["verdict"] for one in every} >= {"missing", "stale", "current"}

    def test_nothing_chosen(self, plan, reprocess):
        """An expression that fits nothing makes a plan of nothing, which says so and names no command to run it."""
        text = plan("--where", "FILTER = 'F999Z'").stdout
        first, rest = records(plan("--json", "--where", "FILTER = 'F999Z'"))

        assert "8 not selected by --where FILTER = 'F999Z'" in text
        assert "It selects nothing: there is nothing to run." in text
        assert "Next:" not in text
        assert (rest, first["candidates"], first["not_selected"]) == ([], 0, 8)
        assert first["forecast"]["exposures"] == 0
        assert "remainder 0" in " ".join(reprocess("run", "arc", first["digest"]).stdout.split())

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("FILTER =", "position 9: expected"),
            ("FILTRE = 'F200W'", "Did you mean FILTER"),
            ("NGROUPS = 'six'", "position 1: NGROUPS is a number, and 'six' is a text"),
            ("verdict > 3", "verdict is a text, and 3 is a number"),
            ("open('x', 'w')", "position 1: there is no 'open'"),
        ],
    )
    def test_mistakes(self, plan, text, said):
        """A mistake is one line, exit code 2, and no plan."""
        result = plan("--where", text, code=2)

        assert result.stdout == ""
        assert said in result.stderr
        assert not list(opened().store.list("campaigns/"))

    def test_a_damaged_product_that_is_left_out(self, plan):
        """To make again what the choice leaves out is a wrong request."""
        result = plan("--where", "INSTRUME = 'FGS'", "--again", "jw01234001001_02101_00001_nrca1", code=2)

        assert "--where leaves it out" in result.stderr


class TestForecast:
    """The forecast."""

    def test_benchmark_then_measured(self, plan, reprocess):
        """The first plan is forecast from the benchmark, the next ones from what this archive took, and both say so."""
        bare = records(plan("--json"))[0]
        assert "measured on a benchmark machine" in plan().stdout
        reprocess("run", "arc", bare["digest"])
        reprocess("scan", "arc")
        first, _ = records(plan("--json", "--again", "jw01234001001_02101_00001_nrca1"))
        text = plan("--again", "jw01234001001_02101_00001_nrca1").stdout

        assert (bare["forecast"]["exposures"], bare["forecast"]["measured"]) == (8, 0)
        assert (first["forecast"]["exposures"], first["forecast"]["measured"]) == (1, 8)
        assert "measured on 8 exposures of this archive" in text
        outcomes = [one for one in ledger.read(opened().store, bare["digest"][:16]).values() if one.dataset]
        taken = sum(sum(s for stage, s in one.seconds.items() if stage != "cpu") for one in outcomes)
        found = experience.read(opened().store, catalogue.open_catalogue(opened().store))
        assert sum(one.seconds for one in found) == pytest.approx(taken)
        items = campaign.find_plan(opened(), bare["digest"]).items
        assert [one.shape for one in found] == [item.entry.sci_shape for item in items]

    def test_bytes(self, plan, reprocess):
        """What is written in the end lies within the forecast."""
        made = records(plan("--json"))[0]
        reprocess("run", "arc", made["digest"])
        written = sum(
            one.bytes_written for one in ledger.read(opened().store, made["digest"][:16]).values() if one.dataset
        )
        found = made["forecast"]["bytes_written"]

        assert found["low"] < written < found["high"]

    def test_workers(self, plan):
        """The wall time is that of as many workers as are asked for, and the text says how many."""
        one, four = (records(plan("--json", "--workers", count))[0]["forecast"] for count in (1, 4))

        assert (one["workers"], four["workers"]) == (1, 4)
        assert four["wall_seconds"]["expected"] < one["wall_seconds"]["expected"]
        assert four["core_hours"] == one["core_hours"]
        assert "wall time on 4 workers" in plan("--workers", 4).stdout

    def test_money(self, plan, monkeypatch):
        """Without prices the money is null and the text says how to give one; with a price it is told."""
        assert records(plan("--json"))[0]["forecast"]["money"] is None
        assert "give core_hour and gb_month in the section [prices]" in plan().stdout
        monkeypatch.setenv("REPROCESS_PRICES_CORE_HOUR", "3600")
        found = records(plan("--json"))[0]["forecast"]
        assert found["money"]["expected"] == pytest.approx(3600 * found["core_hours"]["expected"])
        assert "money" in plan().stdout
        assert "[prices]" not in plan().stdout

    def test_kept_with_the_plan(self, plan):
        """The plan holds the forecast that was shown; made again, it is still that one."""
        archive, target = opened(), trips.target()
        made = campaign.plan(archive, target, created=trips.CREATED)
        archive = campaign.open_archive("arc", trips.settings(workers=7))
        again = campaign.plan(archive, target, created=trips.CREATED)

        assert again == made == campaign.find_plan(archive, made.digest)
        assert made.forecast.workers == 1
        assert terminal.plan_text(again, "arc") == terminal.plan_text(made, "arc")

    def test_a_damaged_ledger(self, plan, reprocess):
        """A ledger that cannot be read teaches nothing, and stops nothing."""
        made = records(plan("--json"))[0]
        reprocess("run", "arc", made["digest"])
        store = opened().store
        for stamp in list(store.list(ledger.prefix(made["digest"][:16]))):
            store.put(stamp.key, b"{")
        store.put(settlement.key(made["digest"][:16]), b"{")
        found = records(plan("--json", "--again", "jw01234001001_02101_00001_nrca1"))[0]

        assert found["forecast"]["measured"] == 0


def test_a_plan_of_an_earlier_version(plan, reprocess):
    """A plan that an earlier version wrote is refused by name, and the message says to plan again."""
    digest = records(plan("--json"))[0]["digest"]
    store, key = opened().store, f"campaigns/{digest[:16]}/plan.json"
    store.put(key, store.get(key).data.replace(b'"schema":3', b'"schema":2'))

    result = reprocess("run", "arc", digest, code=2)

    assert "schema 2" in result.stderr
    assert "Plan again" in result.stderr
    with pytest.raises(errors.PlanError):
        campaign.find_plan(opened(), digest)
