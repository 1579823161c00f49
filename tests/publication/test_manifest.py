from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from reprocess import errors
from reprocess.publication import manifest
from tests.publication import samples


class TestDraft:
    def test_what_the_plan_says(self):
        """A draft takes everything from the plan and its item, the date included."""
        item = samples.item()
        plan = samples.plan(item)

        draft = manifest.draft(plan, item)

        assert (draft.created, draft.context, draft.plan) == (plan.created, plan.context, plan.digest)
        assert draft.raw == {"location": "s3://raw/public", "key": item.entry.key, "size": 20160, "etag": '"e7a9"'}
        assert draft.campaign == plan.digest[:16]
        assert draft.key == f"products/{item.dataset}/{item.version}/manifest.json"


class TestBytes:
    def test_round_trip(self):
        """What is written is read back."""
        made = replace(samples.draft(), files=(manifest.File("a.fits", 7, "d" * 64),))

        assert manifest.from_bytes(manifest.to_bytes(made), name="m") == made

    def test_of_an_earlier_release(self):
        """A manifest of an earlier release is written back with the bytes it has: pointers know their digest."""
        stored = (
            b'{"campaign":"0123456789abcdef","context":"jwst_1.pmap","created":"2026-11-21T02:00:00.000","dataset":"d",'
            b'"files":[{"name":"a.fits","sha256":"dd","size":7}],"fingerprint":[{"digest":"77","parameters":[["p","1"]],'
            b'"references":[["gain","g.fits","55"]],"revision":2,"step":"jump"}],"kind":"manifest",'
            b'"plan":"0123456789abcdef01","raw":{"etag":"e","key":"k","location":"s3://r","size":5},"schema":1,'
            b'"software":"0.1.0","version":"v1-1"}\n'
        )

        made = manifest.from_bytes(stored, name="m")

        assert manifest.to_bytes(made) == stored
        assert manifest.digest(made) == hashlib.sha256(stored).hexdigest()

    @pytest.mark.parametrize("data", [b"{}", b'{"kind":"manifest","schema":2}', b'{"kind":"manifest","schema":1}'])
    def test_damage(self, data):
        """Bytes that are no whole manifest of a known schema are refused by name."""
        with pytest.raises(errors.DamagedRecord, match="the-key"):
            manifest.from_bytes(data, name="the-key")

    def test_payload(self):
        """What a FITS file shows is kept with it; a file without it is written as it always was."""
        payload = {
            "SCI": {"offset": 8640, "shape": [2, 2], "dtype": "f4", "sha256": "e" * 64},
            "keywords": {"SCI": "f"},
        }
        plain, fits = manifest.File("a.json", 7, "d" * 64), manifest.File("a.fits", 7, "d" * 64, payload)
        made = replace(samples.draft(), files=(plain, fits))

        assert manifest.from_bytes(manifest.to_bytes(made), name="m") == made
        assert b'{"name":"a.json","sha256":"' + b"d" * 64 + b'","size":7}' in manifest.to_bytes(made)
