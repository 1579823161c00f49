import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.storage import keys
from tests.storage.store_contract import BAD_KEYS, ODD_KEYS


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_pass(key):
    """What S3 and a file system can both hold is a key."""
    assert keys.check_key(key, "s3://b") == key


@pytest.mark.parametrize("key", BAD_KEYS)
def test_bad_keys_are_named(key):
    """A refusal names the store and says what to do."""
    with pytest.raises(errors.StorageError, match=r"s3://b: the key .* Rename the object or correct the key"):
        keys.check_key(key, "s3://b")


@given(st.text(min_size=1, max_size=30), st.integers(0, 30))
def test_every_beginning_of_a_key_is_a_prefix(key, length):
    """Whatever a key begins with may be asked for in a listing."""
    if keys.is_usable(key):
        assert keys.check_prefix(key[:length], "s3://b") == key[:length]


@pytest.mark.parametrize("prefix", ["/", "//", "/a", "a//", "../", "./", "a/../", "a/../b", "a\0"])
def test_what_no_key_begins_with_is_refused(prefix):
    """A prefix that would lead elsewhere or nowhere is an error, not an empty listing."""
    with pytest.raises(errors.StorageError):
        keys.check_prefix(prefix, "s3://b")


def test_join_adds_a_slash_only_between_two():
    """A missing prefix or key adds nothing."""
    assert [keys.join(*pair) for pair in (("a", "b"), ("", "b"), ("a", ""), ("", ""))] == ["a/b", "b", "a", ""]
