"""`reprocess.closing`: the report of a campaign, with pictures of what changed."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from reprocess import campaign, closing, coordinator
from reprocess.planning.pilot import Finding
from reprocess.publication import kept_plans, ledger
from reprocess.reporting.ending import Ending
from reprocess.simulation.options import SimulationOptions
from tests import trips

OPTIONS = SimulationOptions(exposures=6, shape=(32, 32), groups=4, instruments=("NIRCAM", "NIRISS"))


@pytest.fixture(scope="module")
def changed():
    """An archive of which the first campaign was redone for another context; the second plan, and its summary."""
    archive = trips.make(options=OPTIONS)
    trips.go(archive, trips.target(options=OPTIONS))
    campaign.scan(archive)
    return archive, *trips.go(archive, trips.target("second", options=OPTIONS), created=trips.LATER)


def copied(archive):
    return replace(archive, store=trips.copy(archive.store, trips.fresh()))


def page_of(archive, made):
    return archive.store.get(f"campaigns/{made.digest[:16]}/report.html").data.decode()


def pictures(html):
    """The pictures of a page."""
    return [Image.open(io.BytesIO(data)) for data in stored(html)]


def stored(html):
    return [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", html)]


def test_pictures_of_what_changed(changed):
    """Each changed exposure is drawn as it was, as it is, and the difference of both, no larger than a report bears."""
    archive, made, summary = changed
    found = pictures(page_of(archive, made))

    assert len(found) == len(summary.differences.largest) >= 2
    assert all(picture.width > 3 * 256 for picture in found)
    assert "largest changes" in page_of(archive, made)


def test_differences_are_those_of_the_stored_files(changed):
    """The page tells how many pixels of the stored rates differ."""
    archive, _, summary = changed
    change = summary.differences.largest[0]
    old, new = (
        trips.planes(archive.store.get(f"products/{change.dataset}/{version}/{change.dataset}_rate.fits").data)["SCI"]
        for version in (change.against, change.version)
    )

    assert change.changed == pytest.approx(np.mean((old != new) & ~(np.isnan(old) & np.isnan(new))))


def test_a_version_that_is_gone_costs_its_picture_only(changed):
    """If the older version was cleaned away, the report is written without the picture."""
    archive, made, summary = changed
    other = copied(archive)
    change = summary.differences.largest[0]
    for key in trips.objects(other.store, f"products/{change.dataset}/{change.against}/"):
        other.store.delete(key)
    again = closing.write_report(other, made)

    assert len(pictures(page_of(other, made))) == len(summary.differences.largest) - 1
    assert again.differences == summary.differences


def test_pictures_keep_within_their_room(changed, monkeypatch):
    """Pictures that would make the page too large are left out, the smallest changes first."""
    archive, made, _ = changed
    other = copied(archive)
    whole = pictures(page_of(archive, made))
    monkeypatch.setattr(closing, "_PICTURE_BYTES", len(stored(page_of(archive, made))[0]))
    closing.write_report(other, made)

    assert len(pictures(page_of(other, made))) == 1 < len(whole)


def test_the_same_again(changed):
    """The same plan and outcomes give the same page."""
    archive, made, _ = changed
    other = copied(archive)
    closing.write_report(other, made)
    first = page_of(other, made)
    closing.write_report(other, made)

    assert page_of(other, made) == first


def test_how_it_ended_is_kept(changed):
    """The record beside the report says how the run ended, and the sum."""
    archive, made, _ = changed
    other = copied(archive)
    for key in trips.objects(other.store, ledger.prefix(made.digest[:16])):
        other.store.delete(key)
    summary = closing.write_report(other, made, end=Ending("deferred", "The campaign has cost 3.00.", "--max-cost"))
    record = json.loads(other.store.get(closing.ending_key(made.digest)).data)

    assert summary.closes
    assert (record["state"], record["reason"]) == ("deferred", "The campaign has cost 3.00.")
    assert (record["classes"]["deferred"], record["to_do"], record["remainder"]) == (len(made.items), 0, 0)
    assert closing.read_ending(other, made.digest) == summary.ending
    assert "The campaign stopped at a limit, by --max-cost: The campaign has cost 3.00." in page_of(other, made)


def test_the_pilot_is_told(changed):
    """What the pilot has shown stands in the page."""
    archive, made, _ = changed
    other = copied(archive)
    finding = Finding(("a", "b"), False, "2 of 2 ended <bad-data>.", {"bad-data": 2}, 0.5, 10**9)
    kept_plans.keep_finding(other.store, made.digest[:16], finding)
    summary = closing.write_report(other, made)

    assert summary.pilot.passed is False
    assert "2 of 2 ended &lt;bad-data&gt;." in page_of(other, made)


def test_the_first_campaign_has_samples():
    """Where nothing was published before, the page shows some of what was made, one panel each."""
    archive = trips.make(options=trips.TINY)
    made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)
    summary = coordinator.run(archive, made.digest)

    assert summary.differences.compared == 0
    assert [picture.width < 3 * 256 for picture in pictures(page_of(archive, made))] == [True, True]
