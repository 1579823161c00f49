from __future__ import annotations

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

    @pytest.mark.parametrize("data", [b"{}", b'{"kind":"manifest","schema":2}', b'{"kind":"manifest","schema":1}'])
    def test_damage(self, data):
        """Bytes that are no whole manifest of a known schema are refused by name."""
        with pytest.raises(errors.DamagedRecord, match="the-key"):
            manifest.from_bytes(data, name="the-key")
