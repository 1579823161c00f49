"""The report of a campaign in a real browser: Chromium, by Playwright, both from outside the project's environment.

`make browser` runs these; without Playwright or Chromium they are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from reprocess.reporting import page, quicklook
from tests.reporting.test_page import BREAKOUT, SCRIPT, everything
from tests.reporting.test_page import campaign as small

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed; `make browser` has it")
CHROMIUM = os.environ.get("REPROCESS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="there is no Chromium; install one, or name it in REPROCESS_CHROMIUM"
)
WIDTHS = (400, 1280)


@pytest.fixture(scope="module")
def browser():
    """A browser without a window."""
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Pages on disk: of a campaign that was paused with everything in it, and of one whose names are attacks."""
    place = tmp_path_factory.mktemp("reports")
    rows = quicklook.pair((64, 64), lambda band: (_image(band), 2 * _image(band)), side=64)
    pictures = [page.Picture("jw01", "NIRCAM", quicklook.render_pair("jw01", "NIRCAM", rows))]
    for name, text in (
        ("everything", page.render(everything(), pictures=pictures)),
        ("attack", page.render(small(SCRIPT + BREAKOUT))),
    ):
        (place / f"{name}.html").write_text(text, encoding="utf-8")
    return place


def _image(band):
    return np.add.outer(np.arange(band.start, band.stop), np.arange(64)).astype(np.float32)


@pytest.fixture(params=["everything", "attack"])
def opened(request, browser, reports):
    """Open a page; what it asked for and complained of is noted."""

    def go(*, width, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        found = context.new_page()
        found.said, found.asked = [], []
        found.on("console", lambda message: found.said.append(message.text))
        found.on("pageerror", lambda error: found.said.append(str(error)))
        found.on("dialog", lambda dialog: found.said.append(dialog.message) or dialog.dismiss())
        found.on("request", lambda asked: found.asked.append(asked.url))
        found.goto((reports / f"{request.param}.html").as_uri())
        return found

    return go


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wrong(opened, width, scheme):
    """The page opens from disk without a word on the console, and asks for nothing but itself and its own pictures."""
    found = opened(width=width, scheme=scheme)

    assert found.said == []
    assert [url for url in found.asked if not url.startswith(("file:", "data:"))] == []
    assert found.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


@pytest.mark.parametrize("width", WIDTHS)
def test_it_does_not_overflow(opened, width):
    """The page is no wider than its window; wide tables scroll by themselves."""
    assert opened(width=width).evaluate("document.documentElement.scrollWidth") <= width


def test_the_sum_is_seen(opened):
    """What the sum says stands in the first view, and its bar is as wide as its section."""
    found = opened(width=1280)
    state = found.locator(".state").first
    bar = found.locator("#closing svg.bar").first

    assert "candidates" in state.inner_text()
    assert state.bounding_box()["y"] < 300
    assert bar.bounding_box()["width"] > 1000


def test_links_reach_their_sections(opened):
    """Each link of the navigation moves its section into view."""
    found = opened(width=1280)
    for link in found.locator("nav a").all():
        link.click()
        section = found.locator(link.get_attribute("href"))

        assert section.bounding_box()["height"] > 20
        assert abs(section.bounding_box()["y"]) < 900


def test_text_can_be_read(opened):
    """In the dark the ink is light and the page dark, and the other way about."""
    for scheme, lighter in (("dark", True), ("light", False)):
        found = opened(width=1280, scheme=scheme)
        ink, ground = (
            found.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor")
        )

        assert (_lightness(ink) > _lightness(ground) + 300) is lighter


def _lightness(color):
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))
