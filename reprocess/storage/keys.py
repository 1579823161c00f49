"""What a key may look like. Keys come from listings and records, so they are untrusted input."""

from __future__ import annotations

from reprocess import errors

LONGEST = 1024
"""Bytes of UTF-8 in the longest key that S3 takes."""


def check_key(key: str, url: str) -> str:
    """Give back a key that can be used on every store.

    Raises
    ------
    StorageError
        The key is empty or too long, begins or ends with ``/``, has an empty part, ``.`` or ``..``, or holds a control
        character.
    """
    fault = _fault(key)
    if fault:
        raise errors.StorageError(f"{url}: the key {key[:200]!r} {fault}. Rename the object or correct the key.")
    return key


def check_prefix(prefix: str, url: str) -> str:
    """Give back the beginning of a key: as a key, but it may be empty or end with ``/`` or in the middle of a part.

    Raises
    ------
    StorageError
        No key can begin like this.
    """
    if prefix:
        complete = prefix.removesuffix("/")
        last = complete.rpartition("/")[2]
        # A prefix may stop in the middle of a part, so "a/." can be the beginning of the key "a/.zarray".
        half = prefix == complete and last in (".", "..")
        check_key(complete + "x" if half else complete, url)
    return prefix


def check_folder(prefix: str, url: str) -> str:
    """Give back the beginning of keys at which a level ends: empty, or with a ``/`` at its end.

    Raises
    ------
    StorageError
        It ends in the middle of a part, or no key can begin like this.
    """
    if prefix and not prefix.endswith("/"):
        raise errors.StorageError(f"{url}: {prefix[:200]!r} is no level of keys. End it with /.")
    return check_prefix(prefix, url)


def is_usable(key: str) -> bool:
    """Tell whether `check_key` would let a key pass."""
    return not _fault(key)


def join(prefix: str, key: str) -> str:
    """Put a key below a prefix; both may be empty."""
    return f"{prefix}/{key}" if prefix and key else prefix or key


def _fault(key: str) -> str:
    if not key:
        return "is empty"
    parts = key.split("/")
    if "" in parts:
        return "is absolute, ends with / or has an empty part"
    if "." in parts or ".." in parts:
        return "has a part that is . or .."
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in key):
        return "holds a control character"
    return _encoding_fault(key)


def _encoding_fault(key: str) -> str:
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"is longer than {LONGEST} bytes" if length > LONGEST else ""
