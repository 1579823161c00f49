"""The archive root: where raw exposures, references and our own products live, written down in ``archive.toml``."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reprocess import errors
from reprocess.storage.store import Store

KEY = "archive.toml"
SCHEMA = 1
# The public JWST layout: any folders, then an exposure or guide-star name and the suffix of its level.
PUBLIC_KEY_PATTERN = r"(?:.*/)?(?P<dataset>jw\d{11}_[A-Za-z0-9_-]+?)_(?P<level>[a-z0-9]+)\.fits"


@dataclass(frozen=True, slots=True)
class RawLocation:
    """A store of Level 1b objects; `anonymous` for public buckets that are read without credentials."""

    url: str
    anonymous: bool = False


@dataclass(frozen=True)
class ArchiveRoot:
    """What ``archive.toml`` says.

    Attributes
    ----------
    raw : tuple of RawLocation
        Where Level 1b objects are; never written.
    references : str
        URL of reference files and rules, laid out as a CRDS cache; empty when none is set.
    key_pattern : str
        Regular expression with the groups ``dataset`` and ``level``.
    keep_versions : int
        How many versions of each dataset a clean-up keeps, the published one included.
    """

    raw: tuple[RawLocation, ...]
    references: str = ""
    key_pattern: str = PUBLIC_KEY_PATTERN
    keep_versions: int = 3


def write(store: Store, root: ArchiveRoot) -> None:
    """Make an archive root, once.

    Raises
    ------
    ArchiveError
        The archive exists already with another content, or the pattern is unusable.
    """
    _check(root, store.url)
    try:
        store.put_if_absent(KEY, _toml(root).encode(), content_type="application/toml")
    except errors.AlreadyExists as error:
        if read(store) != root:
            raise errors.ArchiveError(
                f"{store.url} is an archive already and its {KEY} says something else. Edit it, or take another root."
            ) from error


def read(store: Store) -> ArchiveRoot:
    """Read ``archive.toml``.

    Raises
    ------
    ArchiveError
        There is none, or it is malformed.
    """
    try:
        text = store.get(KEY).data.decode()
        table = tomllib.loads(text)
    except (errors.ObjectMissing, errors.BucketMissing) as error:
        if store.url.startswith("s3://") and isinstance(error, errors.BucketMissing):
            raise
        raise errors.ArchiveError(
            f"{store.url} has no {KEY}: it is no archive yet. Make one with `reprocess init {store.url} --raw URL`."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.ArchiveError(f"{store.url}/{KEY} is not valid TOML: {error}. Mend that line.") from error
    root = _root(table, f"{store.url}/{KEY}")
    _check(root, store.url)
    return root


def _root(table: Mapping[str, Any], name: str) -> ArchiveRoot:
    known = {"schema", "raw", "references", "key_pattern", "keep_versions"}
    unknown = sorted(set(table) - known)
    if unknown or table.get("schema") != SCHEMA:
        what = f"unknown key {unknown[0]!r}" if unknown else f"schema {table.get('schema')!r}, not {SCHEMA}"
        raise errors.ArchiveError(f"{name}: {what}. It has {', '.join(sorted(known))}.")
    for key, kind in (("references", str), ("key_pattern", str), ("keep_versions", int)):
        if key in table and type(table[key]) is not kind:
            raise errors.ArchiveError(f"{name}: {key} is {table[key]!r}; it must be of type {kind.__name__}.")
    try:
        raw = tuple(RawLocation(**location) for location in table["raw"])
        rest = {key: table[key] for key in ("references", "key_pattern", "keep_versions") if key in table}
    except (KeyError, TypeError) as error:
        raise errors.ArchiveError(f"{name}: the [[raw]] sections are malformed ({error}). Each has a url.") from error
    for location in raw:
        if type(location.url) is not str or not location.url or type(location.anonymous) is not bool:
            raise errors.ArchiveError(f"{name}: {location} is malformed. url is text, anonymous is true or false.")
    return ArchiveRoot(raw=raw, **rest)


def _check(root: ArchiveRoot, name: str) -> None:
    if not root.raw:
        raise errors.ArchiveError(f"{name}: an archive needs at least one raw location. Give --raw URL.")
    try:
        groups = set(re.compile(root.key_pattern).groupindex)
    except re.error as error:
        raise errors.ArchiveError(f"{name}: key_pattern is no regular expression: {error}.") from error
    if not {"dataset", "level"} <= groups:
        raise errors.ArchiveError(f"{name}: key_pattern must have the groups (?P<dataset>...) and (?P<level>...).")


def _toml(root: ArchiveRoot) -> str:
    # A JSON string is a TOML basic string, so no TOML writer is needed for four keys.
    lines = [
        f"schema = {SCHEMA}",
        f"references = {json.dumps(root.references)}",
        f"key_pattern = {json.dumps(root.key_pattern)}",
        f"keep_versions = {root.keep_versions}",
    ]
    for location in root.raw:
        lines += ["", "[[raw]]", f"url = {json.dumps(location.url)}", f"anonymous = {json.dumps(location.anonymous)}"]
    return "\n".join(lines) + "\n"
