"""Recipes."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reprocess.archive import recipe
from tests.archive.test_fingerprint import FILES, RAW, chain


@given(st.dictionaries(st.sampled_from(["location", "key", "etag"]), st.text(max_size=20)))
def test_a_raw_object_and_a_recipe_are_the_fingerprint(changes):
    """The chain comes back with all its digests, for any raw object."""
    raw = {**RAW, **changes}

    assert recipe.chain(raw, recipe.text(chain(raw=raw))) == chain(raw=raw)


def test_the_digest_is_that_of_all_exposures_made_alike():
    """Neither the raw object nor the name of a file counts; what is in the file does."""
    renamed = {**FILES, "gain": replace(FILES["gain"], name="another.fits")}
    changed = {**FILES, "gain": replace(FILES["gain"], payload="another")}

    assert recipe.digest(chain(raw={**RAW, "etag": "x"})) == recipe.digest(chain())
    assert recipe.digest(chain(references=renamed)) == recipe.digest(chain())
    assert recipe.digest(chain(references=changed)) != recipe.digest(chain())
