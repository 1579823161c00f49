"""Rules of a context on this machine: copies of its mapping files, made once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reprocess import errors
from reprocess.storage.store import Store

_PREFIX = "mappings/jwst/"
_CONTEXT = re.compile(r"[A-Za-z0-9_.-]+\.pmap")
# What a mapping selects is the value of a key; what it derives from is of its own kind, so no name is taken for it.
_NAMES = {".imap": re.compile(r"'([A-Za-z0-9_.-]+\.imap)'"), ".rmap": re.compile(r"'([A-Za-z0-9_.-]+\.rmap)'")}
_CONCURRENCY = 16


def copy_mappings(references: Store, context: str, cache_dir: Path) -> Path:
    """Copy a context and every mapping below it, as far as they are not here yet.

    Mapping files never change under one name, so a file that is here is not read again. Each location of references has
    a directory of its own: two servers may give one name to different rules.

    Parameters
    ----------
    references : Store
        Where references come from, laid out as a CRDS cache.
    context : str
        For example ``jwst_0541.pmap``.
    cache_dir : Path
        Where copies are kept between runs.

    Returns
    -------
    Path
        The directory that holds the mappings.

    Raises
    ------
    ContextError
        The name is none of a context, a mapping is not in the store, or the directory cannot be written.
    """
    if not _CONTEXT.fullmatch(context):
        raise errors.ContextError(f"{context!r} is no name of a context such as jwst_0541.pmap. Mend the target.")
    directory = cache_dir / "mappings" / hashlib.sha256(references.url.encode()).hexdigest()[:16]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            texts = [_copy(references, context, directory, context)]
            for suffix in (".imap", ".rmap"):
                names = _named(texts, suffix)
                texts = list(pool.map(lambda name: _copy(references, name, directory, context), names))
    except OSError as error:
        raise errors.ContextError(f"{directory}: {error.strerror}. Name another --cache-dir.") from error
    return directory


def _named(texts: Sequence[str], suffix: str) -> list[str]:
    return sorted({name for text in texts for name in _NAMES[suffix].findall(_selector(text))})


def _selector(text: str) -> str:
    return text.partition("selector")[2]


def _copy(references: Store, name: str, directory: Path, context: str) -> str:
    path = directory / name
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8")
    try:
        data = references.get(_PREFIX + name).data
    except errors.ObjectMissing as error:
        raise errors.ContextError(
            f"{context} needs {name}, which is not at {references.url}/{_PREFIX}{name}. Copy it there, or name a "
            "context that is complete."
        ) from error
    aside = directory / f".{name}.{uuid.uuid4().hex}"
    aside.write_bytes(data)
    os.replace(aside, path)
    return data.decode("utf-8", "replace")
