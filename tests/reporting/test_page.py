"""`reprocess.page`: one HTML file."""

import html.parser
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from reprocess.exposure import Reason
from reprocess.planning.forecast import Forecast, Interval
from reprocess.planning.pilot import Finding
from reprocess.publication.manifest import File
from reprocess.publication.obstacles import Obstacle
from reprocess.reporting import page, quicklook, report
from reprocess.reporting.ending import Ending
from reprocess.settings import PriceSettings
from tests.reporting.campaigns import SUPERBIAS, VERSION, item, outcome, plan

AROUND = report.Circumstances("x")
UNFINISHED = report.Circumstances("x", ending=Ending("running"))
SCRIPT = "<script>alert(1)</script>"
BREAKOUT = "\"'><img src=x onerror=alert(1)>"


class _Elements(html.parser.HTMLParser):
    """Every element of a document, and whether elements are closed in their order."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def campaign(nasty=""):
    name = f"jw01{nasty}"
    reason = Reason(f"reference{nasty}", f"superbias{nasty}", f"superbias{nasty}", f"old{nasty}", f"new{nasty}")
    items = (
        item(name, reason, mode=(f"NIRCAM{nasty}", f"NRC_IMAGE{nasty}")),
        item(f"jw02{nasty}", SUPERBIAS),
        item(f"jw03{nasty}", SUPERBIAS),
    )
    outcomes = [
        outcome(name, seconds={"read": 1.0, f"other{nasty}": 2.0, "cpu": 1.0}, peak_bytes=10),
        outcome(f"jw02{nasty}", "bad-data", f"broken{nasty}"),
    ]
    products = {name: [File(f"{name}_rate.fits", 5, ""), File(f"{nasty}.json", 5, "")]}
    a_plan = plan(*items, target=f"# {nasty}", software=f"0.1{nasty}")
    return report.summarise(
        a_plan, outcomes, report.Circumstances(archive=f"memory://archive{nasty}", products=products)
    )


def picture(name="jw01", title="NIRCAM F200W", old=None):
    new = np.linspace(0, 1, 600 * 300).reshape(300, 600)
    return page.Picture(name, title, quicklook.render(quicklook.QuickLook(name, title, new, old)))


@pytest.mark.parametrize("nasty", [SCRIPT, BREAKOUT, "{{ 7 * 7 }}", "</style></title><!--"])
def test_markup_from_outside_stays_text(nasty):
    """Names, headers, messages and targets never become elements, attributes or template code."""
    clean, found = (
        _Elements(page.render(campaign(text), pictures=[picture(f"jw01{text}", f"F200W{text}")]))
        for text in ("x", nasty)
    )

    # The clean campaign has the same elements with the same attributes' names, so nothing was added.
    assert [(tag, list(attributes)) for tag, attributes in found.found] == [
        (tag, list(attributes)) for tag, attributes in clean.found
    ]
    assert found.open == []
    assert any(nasty in (attributes.get("alt") or "") for attributes in found.of("img"))


def test_self_contained():
    """The page has no script, and nothing in it is loaded from anywhere but the page."""
    found = _Elements(page.render(campaign(), pictures=[picture()]))

    assert not found.of("script") + found.of("link") + found.of("iframe")
    assert all(image["src"].startswith("data:image/png;base64,") for image in found.of("img"))
    assert all(link["href"].startswith("#") for link in found.of("a"))
    assert "default-src 'none'" in found.of("meta")[1]["content"]
    assert not re.search(r"url\(|@import", page.render(campaign()))


def test_links_lead_somewhere():
    """Every link of the navigation names a section, with and without the optional ones."""
    for text in (page.render(campaign(), pictures=[picture()]), page.render(report.summarise(plan(), [], AROUND))):
        found = _Elements(text)
        names = {attributes["id"] for _, attributes in found.found if "id" in attributes}
        assert {link["href"][1:] for link in found.of("a")} <= names
        assert {each["aria-labelledby"] for each in found.of("section")} <= names


def test_tables_are_accessible():
    """Every head of a table says what it is the head of, and every bar has a name."""
    found = _Elements(page.render(campaign()))

    assert all(head.get("scope") in ("row", "col") for head in found.of("th"))
    assert found.of("svg")
    assert all(bar["role"] == "img" and bar["aria-label"] for bar in found.of("svg"))


def test_remainder_is_shown():
    """A sum that does not close is said at the top, with the number and the datasets."""
    text = page.render(campaign())

    assert "The sum does not close: 3 candidates, remainder 1" in text
    assert "<code>jw03</code>" in text


def test_what_is_still_to_do_is_no_alarm():
    """Before the end of a campaign its page says how many are to do, with no alarm and no list of names."""
    unfinished = report.summarise(plan(item("done"), item("open")), [outcome("done")], UNFINISHED)
    text = page.render(unfinished)

    assert "The campaign has not ended. 1 of 2 candidates are still to do" in text
    assert 'role="alert"' not in text
    assert "<code>open</code>" not in text
    assert "still to do: 1" in text


def test_limited_tables_say_so():
    """A table of many rows shows the first ones and the exact count."""
    names = [f"d{number:03}" for number in range(250)]
    text = page.render(report.summarise(plan(*map(item, names)), map(outcome, names), AROUND, rows=20))

    assert "first 20 of 250" in text
    assert "<code>d019</code>" in text
    assert "<code>d020</code>" not in text


def test_bars_fill_their_width():
    """The parts of the closing bar adjoin and make 100 percent."""
    bar = page._closing_bar(campaign())

    assert [round(part.start, 6) for part in bar] == [round(100 * n / 3, 6) for n in range(3)]
    assert sum(part.length for part in bar) == pytest.approx(100)


def test_comparisons_take_the_whole_width():
    """A picture of old, new and difference is laid out wider than a single one, and its alternative text says so."""
    old = np.zeros((300, 600))
    found = _Elements(page.render(campaign(), pictures=[picture(), picture(old=old)]))

    assert [each.get("class") for each in found.of("figure")] == [None, "across"]
    assert [each["alt"].split(" of ")[0] for each in found.of("img")] == [
        "Rate image",
        "Old rate image, new rate image and their difference",
    ]


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"<svg onload=alert(1)></svg>" * 9])
def test_damaged_pictures_are_left_out(data):
    """A picture that is no PNG file does not stop the report, and does not enter it."""
    found = _Elements(page.render(campaign(), pictures=[page.Picture("jw01", "", data), picture()]))

    assert len(found.of("img")) == 1


def test_same_in_every_process():
    """The page does not depend on the seed of hashes."""
    code = (
        "from tests.reporting.test_page import *; sys.stdout.write(page.render(campaign(SCRIPT), pictures=[picture()]))"
    )

    def run(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        return subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True).stdout

    assert run("1") == run("2")


def test_no_time_but_the_plans():
    """The only date in the page is the plan's."""
    assert set(re.findall(r"20\d\d-\d\d-\d\d", page.render(campaign()))) == {"2026-02-03"}


def everything():
    """A campaign of which every part of the page has something to say."""
    names = [f"d{number:02}" for number in range(12)]
    ends = ["published", "held-back", "unchanged", "bad-data", "storage", "out-of-memory", *["published"] * 5]
    image = {
        "changed": 5,
        "pixels": 10,
        "median_sigma": 0.5,
        "mad_sigma": 0.1,
        "max_sigma": 9.0,
        "nan_old": 0,
        "nan_new": 4,
    }
    flags = {"changed": 1, "pixels": 10, "bits_gained": {"JUMP_DET": 2}, "bits_lost": {"HOT": 1}}
    differences = {
        "published": {"verdict": "within", "extensions": {"rate/SCI": image, "rate/DQ": flags}},
        "held-back": {"verdict": "outside", "reasons": ["too much <b>"], "extensions": {"rate/SCI": image}},
        "unchanged": {"verdict": "identical"},
    }
    outcomes = [
        replace(
            outcome(name, end, "why", seconds={"read": 5.0}, attempt=1 + number % 3),
            ended=f"2026-02-0{3 + number % 2}T04:{number:02}:10.000",
            worker=f"w{number % 3}",
            tier=number % 2,
            requests=13,
            difference={"against": "old-1", "keywords": {"SCI/X": ["<1>", "2"]}, **differences[end]}
            if end in differences
            else {},
        )
        for number, (name, end) in enumerate(zip(names, ends, strict=False))
    ]
    interval = Interval(1.0, 2.0, 3.0)
    forecast = Forecast(12, 3, interval, interval, interval, interval, interval, 0)
    made = replace(plan(*map(item, names)), where="instrument = '<x>'", not_selected=7, forecast=forecast)
    around = report.Circumstances(
        "s3://archive",
        ending=Ending("paused", "gain <is> wrong", "anna"),
        prices=PriceSettings(core_hour=1.0),
        pilot=Finding(("d00",), True, "", {"published": 1}, 1.0, 10),
        obstacles=[Obstacle("No node takes <w>. Look at the tolerations.", "2026-01-02T03:04:05.678Z")],
    )
    return report.summarise(made, outcomes, around)


class TestOperator:
    """What happened is told by the page alone."""

    def test_how_it_ended(self):
        """Who stopped it and why stand at the top, and what is to do about it below."""
        text = page.render(everything())

        assert "The campaign is paused, by anna: gain &lt;is&gt; wrong." in text
        assert "1 of 12 candidates are still to do" in text
        assert "reprocess resume s3://archive" in text

    def test_every_part_is_there(self):
        """Each section has its place, and links, names and tables are as elsewhere."""
        found = _Elements(page.render(everything(), pictures=[picture()]))
        sections = [each["id"] for each in found.of("section")]

        assert sections == [
            "closing", "next", "obstacles", "pilot", "problems", "differences", "pictures", "timeline", "cost",
            "effort", "stale", "published", "again",
        ]  # fmt: skip
        assert {link["href"][1:] for link in found.of("a")} <= set(sections)
        assert all(head.get("scope") in ("row", "col") for head in found.of("th"))
        assert all(each["role"] == "img" and each["aria-label"] for each in found.of("svg"))
        assert found.open == []

    def test_what_was_in_the_way(self):
        """What kept workers from coming is told with its time, and nowhere if there was nothing."""
        text = page.render(everything())

        assert "2026-01-02 03:04:05 UTC" in text
        assert "No node takes &lt;w&gt;. Look at the tolerations." in text
        assert "In the way" not in page.render(report.summarise(plan(), [], AROUND))

    def test_what_was_not_selected(self):
        """What --where left out is in no class, and is told."""
        text = page.render(everything())

        assert "7 were not selected, which makes 19 in the catalogue" in text
        assert "instrument = &#39;&lt;x&gt;&#39;" in text

    def test_what_is_held_back(self):
        """A held version is listed with its name, the reasons, and what to type."""
        text = page.render(everything())

        assert "too much &lt;b&gt;" in text
        assert VERSION in text[text.index('id="held-back"') :]
        assert "reprocess accept s3://archive DATASET VERSION" in text

    def test_it_stays_small(self):
        """A hundred times as many exposures make a page of a few hundred kilobytes, not of many megabytes."""
        names = [f"d{number:05}" for number in range(10_000)]
        made = [
            replace(
                outcome(name, ("published", "bad-data", "held-back")[n % 3], "x" * 200, seconds={"read": 5.0}),
                ended=f"2026-02-03T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.000",
                worker=f"w{n % 500}",
                difference={"verdict": "outside", "against": "o", "extensions": {}, "reasons": ["y" * 100] * 9},
            )
            for n, name in enumerate(names)
        ]

        assert len(page.render(report.summarise(plan(*map(item, names)), made, AROUND))) < 1_000_000
