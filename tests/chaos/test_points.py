from __future__ import annotations

import re

import pytest

from tests.chaos import points
from tests.chaos.points import POINTS, Strike, described, due

ROOT = "/bucket/seed-0001/"
A, B = "campaigns/0123456789abcdef", "products/jw01234001001_02101_00001_nrca1/v0123-1"
PLACES = {
    "plan read": f"GET {ROOT}{A}/plan.json",
    "lease read": f"GET {ROOT}{A}/lease.json",
    "lease written": f"PUT {ROOT}{A}/lease.json",
    "epoch begun": f"PUT {ROOT}{A}/outcomes/000003-00000000.json",
    "outcomes read": f"GET {ROOT}{A}/outcomes/000003-00000000.json",
    "outcomes listed": "GET /bucket?list-type=2&prefix=seed-0001%2Fcampaigns%2F0123456789abcdef%2Foutcomes%2F",
    "outcomes written": f"PUT {ROOT}{A}/outcomes/000003-00000010.json",
    "array prepared": f"PUT {ROOT}references/prepared/abc/dark.zarr/sci/c/0/0",
    "reference ready": f"PUT {ROOT}references/ready/abc.json",
    "facts written": f"PUT {ROOT}staging/0123456789abcdef/jw1/facts.npz",
    "array staged": f"PUT {ROOT}staging/0123456789abcdef/jw1/00000-00016/rate-sci/c/0/0",
    "slab staged": f"PUT {ROOT}staging/0123456789abcdef/jw1/00000-00016/slab.json",
    "staging cleared": f"DELETE {ROOT}staging/0123456789abcdef/jw1/00000-00016/slab.json",
    "upload begun": f"POST {ROOT}{B}/a_rateints.fits?uploads",
    "part uploaded": f"PUT {ROOT}{B}/a_rateints.fits?uploadId=x&partNumber=1",
    "upload completed": f"POST {ROOT}{B}/a_rateints.fits?uploadId=x",
    "file written": f"PUT {ROOT}{B}/a_rate.fits",
    "manifest written": f"PUT {ROOT}{B}/manifest.json",
    "manifest read": f"GET {ROOT}{B}/manifest.json",
    "pointer read": f"GET {ROOT}pointers/jw1.json",
    "pointer written": f"PUT {ROOT}pointers/jw1.json",
    "report written": f"PUT {ROOT}{A}/report.txt",
}


class TestPoints:
    def test_every_point_has_an_example(self):
        """No name without a request, and none twice."""
        assert [point.name for point in POINTS] == list(PLACES)

    @pytest.mark.parametrize("name", PLACES)
    def test_a_request_is_of_one_point(self, name):
        """The request that is made at a point is recognised as that point and no other."""
        request = described(*PLACES[name].split(" "), ROOT)

        assert [point.name for point in POINTS if re.match(point.pattern, request)] == [name]


class TestStrikes:
    def test_every_moment_has_its_turn(self):
        """A few seeds together strike before and after every point."""
        chosen = {strike.name for seed in range(6) for strike in points.strikes(seed, 200, named=8, anywhere=0)}

        assert {f"{point.name}, {'after' if after else 'before'}" for point, after in points.MOMENTS} <= chosen

    def test_seeded(self):
        """The same seed plans the same strikes."""
        assert points.strikes(7, 200, named=8, anywhere=4) == points.strikes(7, 200, named=8, anywhere=4)

    def test_the_nth(self):
        """A strike waits for its request and its moment, and comes once."""
        strike = Strike("pointer written, after", "PUT pointers/", 2, True, "sender")
        moments = [("PUT pointers/a", True), ("PUT pointers/b", False), ("PUT products/a", True)]
        moments += [("PUT pointers/b", True), ("PUT pointers/c", True)]

        assert [bool(due([strike], request, after=after)) for request, after in moments] == [0, 0, 0, 1, 0]
