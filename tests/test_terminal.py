import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from reprocess import campaign, terminal
from reprocess.exposure import Outcome
from reprocess.planning.forecast import Forecast, Interval
from reprocess.reporting.running import RunTally
from reprocess.settings import PriceSettings
from reprocess.simulation.archive import simulate
from tests import trips


@pytest.fixture(scope="module")
def done():
    """An archive with an empty object and one of an unknown kind, its plan and summary."""
    raw = trips.copy(trips.simulated(trips.TINY).below("raw"), trips.fresh())
    key = next(stamp.key for stamp in raw.list())
    raw.put(key.replace("_00001_", "_00098_"), trips.having(raw.get(key).data, "EXP_TYPE", "'NRC_NEW'"))
    raw.put(key.replace("_00001_", "_00099_"), b"")
    archive = trips.make(raw=raw.url, options=trips.TINY)
    return archive, *trips.go(archive, trips.target(options=trips.TINY))


class TestProgress:
    def test_not_wanted(self):
        """Without a bar there is nothing to call."""
        with terminal.progress("x", enabled=False) as show:
            assert show is None

    def test_on_a_file(self, capsys):
        """Where standard error is no terminal nothing is drawn, on neither stream."""
        with terminal.progress("x") as show:
            show(1, None, "a")
            show(2, 3, "[b] not markup [/c]")
        captured = capsys.readouterr()

        assert (captured.out, captured.err.strip()) == ("", "")

    def test_on_a_terminal(self, monkeypatch):
        """On a terminal the counts and the last word are shown, and brackets in names are no markup."""
        screen = io.StringIO()
        monkeypatch.setattr(terminal, "Console", lambda **_: Console(file=screen, force_terminal=True, width=160))
        with terminal.progress("calibrating") as show:
            show(2, 3, "name[/dim]with[red]brackets")

        assert "2/3" in screen.getvalue()
        assert "name[/dim]with[red]brackets" in screen.getvalue()

    def test_rate_and_time_left(self, monkeypatch):
        """The rate is that of what is counted now, and the time left follows from it."""
        screen, now = io.StringIO(), [0.0]
        console = Console(file=screen, force_terminal=True, width=160, get_time=lambda: now[0])
        monkeypatch.setattr(terminal, "Console", lambda **_: console)
        with terminal.progress("scanning") as show:
            for second in range(1, 10):
                now[0] = second
                show(50_000 * second, None, "objects listed")
            for second in range(1, 41):
                now[0] = 10 + second
                show(20 * second, 2000, "headers")

        (*_, last) = re.findall(r"800/2000.*headers", screen.getvalue())
        assert re.search(r" 20/s .* 0:01:00 ", re.sub(r"\x1b\[[\d;]*m", "", last))

    def test_ends_when_the_work_fails(self, capsys):
        """An error inside goes out as it is."""
        with pytest.raises(ZeroDivisionError), terminal.progress("x"):
            raise ZeroDivisionError


class TestLiveRun:
    """The line of a run."""

    def run(self, *, terminal_width=None, clock=None):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=terminal_width is not None, width=terminal_width or 80)
        shown = terminal.LiveRun(RunTally(), console, clock or (lambda: 0.0))
        return shown, console, screen

    def test_not_wanted(self):
        """Without a line there is nothing to call."""
        with terminal.live_run(PriceSettings(), enabled=False) as shown:
            assert shown is None

    def test_in_a_file_a_line_comes_now_and_then(self):
        """Where the line cannot be rewritten it comes once in a while, whole, and brackets in names are no markup."""
        now = [0.0]
        shown, _, screen = self.run(clock=lambda: now[0])
        for second in range(1, 100):
            now[0] = float(second)
            shown.observe(Outcome(f"d{second}", f"d{second}", "bad-data" if second % 2 else "published"))
            shown(second, 200, f"d{second}[/dim]")
        lines = screen.getvalue().splitlines()

        assert len(lines) == 3
        assert lines[0] == "calibrating  30/200 (15 %)  1.00/s  2 min 50 s left  15 failed (bad-data 15)"

    def test_on_a_terminal_it_is_one_line(self):
        """However long it is, it takes one line of the terminal, and nothing is printed between."""
        shown, console, screen = self.run(terminal_width=40)
        shown(5, 10, "a[red]name" * 30)
        console.print(shown)

        assert screen.getvalue().count("\n") == 1
        assert "5/10 (50 %)" in screen.getvalue()

    def test_the_terminal_is_redrawn(self, monkeypatch):
        """While a block works the line is on standard error; afterwards its last state stays."""
        screen = io.StringIO()
        monkeypatch.setattr(terminal, "Console", lambda **_: Console(file=screen, force_terminal=True, width=120))
        with terminal.live_run(PriceSettings()) as shown:
            shown(3, 4, "name")

        assert "3/4 (75 %)" in screen.getvalue()

    def test_the_cost_of_what_was_forecast(self):
        """With prices the cost so far stands beside what the plan should cost."""
        interval = Interval(1.0, 2.0, 3.0)
        forecast = Forecast(1, 1, interval, interval, interval, interval, interval, 0)
        with terminal.live_run(PriceSettings(core_hour=1.0), forecast) as shown:
            shown.observe(Outcome("d", "d", "published", seconds={"read": 1800.0}))

            assert shown.line() == "0 done  cost 0.50 of 2.00"


class TestWords:
    def test_plan(self, done):
        """The plan's text ends with the command that runs it, and counts add up."""
        _, made, _ = done
        text = terminal.plan_text(made, "s3://bucket/archive")

        assert text.splitlines()[-1] == f"Next: reprocess run s3://bucket/archive {made.digest[:16]}"
        assert f"plan {made.digest}" in text
        assert "4 exposures" in text

    def test_plan_with_many_failures(self, done):
        """Few failures are shown in full, of many it says how to list them all."""
        _, made, _ = done
        failed = next(item for item in made.items if item.action == "fail")
        text = terminal.plan_text(replace(made, items=(failed,) * 1200), "a")

        assert text.count(failed.dataset + ": ") == 5
        assert "1,195 more; --json lists all" in text

    def test_plan_record(self, done):
        """First the plan, then each candidate as one record of JSON values, with its verdict and why."""
        _, made, _ = done
        first, *rest = json.loads(json.dumps(list(terminal.plan_records(made))))

        assert first["candidates"] == len(rest) == 4
        assert first["digest"] == made.digest
        assert sum(first["counts"]["verdict"].values()) == 4
        assert {each["verdict"] for each in rest} == {"missing", "unknown"}
        assert [each["failure"]["class"] for each in rest if "failure" in each] == ["unsupported", "bad-data"]
        assert all({"kind", "type", "old", "new", "step"} == set(reason) for each in rest for reason in each["reasons"])

    def test_scan(self, done):
        """A scan is told in one line unless something is wrong or left out."""
        archive, _, _ = done
        scanned = campaign.scan(archive)

        assert terminal.scan_text(scanned).startswith("4 objects: 0 new, 0 changed, 4 unchanged, 0 vanished;")
        assert terminal.scan_record(scanned)["objects"] == 4
        assert "1 cannot be used" in terminal.scan_text(scanned)
        assert "left out: 3 cal" in terminal.scan_text(replace(scanned, ignored={"cal": 3}))

    def test_summary(self, done):
        """The record closes like the text."""
        _, made, summary = done
        record = json.loads(json.dumps(terminal.summary_record(summary)))

        assert record["closes"] is True
        assert record["digest"] == made.digest
        assert sum(record["classes"].values()) == record["candidates"] == 4
        assert terminal.closing_text(summary) == "4 candidates: 2 published, 1 bad-data, 1 unsupported; the sum closes"

    def test_simulation(self):
        """What was made up is told with the commands that go on, and they name what exists."""
        store = trips.fresh()
        text = terminal.simulation_text(simulate(store, trips.TINY), "some/where")

        assert "2 exposures" in text
        for place in ("raw", "crds", "targets/first.toml"):
            assert f"some/where/{place}" in text
            assert any(stamp.key.startswith(place) for stamp in store.list(place))
