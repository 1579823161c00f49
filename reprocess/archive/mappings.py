"""Rules of a context on this machine: copies of its mapping files, made once."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reprocess import errors
from reprocess.archive.once import write_once
from reprocess.storage.store import Store

_PREFIX = "mappings/jwst/"
_CONTEXT = re.compile(r"[A-Za-z0-9_.-]+\.pmap")
# What a mapping selects is the value of a key; what it derives from is of its own kind, so no name is taken for it.
_NAMES = {".imap": re.compile(r"'([A-Za-z0-9_.-]+\.imap)'"), ".rmap": re.compile(r"'([A-Za-z0-9_.-]+\.rmap)'")}
_ENTRY = {
    suffix: re.compile(rf"'([A-Za-z0-9_-]+)'\s*:\s*'([A-Za-z0-9_.-]+\{suffix})'") for suffix in (".imap", ".rmap")
}
_CHECKSUM = re.compile(r"""^\s*['"]sha1sum['"]\s*:\s*['"]([0-9a-fA-F]{40})['"]""", re.MULTILINE)
_CONCURRENCY = 16


@dataclass(frozen=True)
class Copied:
    """Mappings of a context that are on this machine.

    Attributes
    ----------
    directory : Path
    selects : mapping of instrument to mapping of type to str
        Name of the rmap of each type, as the imaps have them; upper and lower case as in rules.
    broken : mapping of str to ContextError
        Mappings below the context that cannot be had, by name.
    """

    directory: Path
    selects: Mapping[str, Mapping[str, str]]
    broken: Mapping[str, errors.ContextError]


def copy_mappings(references: Store, context: str, cache_dir: Path, mirror: Store | None = None) -> Copied:
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
    mirror : Store, optional
        An archive root; mappings that it holds (`mirror_mappings`) are not read from anywhere else.

    Returns
    -------
    Copied
        An imap or rmap that is not in the store, or does not have the checksum that it claims, is told in it.

    Raises
    ------
    ContextError
        The name is none of a context, the context itself is not in the store or does not have the checksum that it
        claims, or the directory cannot be written.
    """
    directory, broken = _directory(references, cache_dir), dict[str, errors.ContextError]()
    texts = _texts(_Source(references, mirror), context, directory, broken)
    imaps = dict(_ENTRY[".imap"].findall(_selector(texts[context])))
    selects = {
        instrument: {kind.lower(): rmap for kind, rmap in _ENTRY[".rmap"].findall(_selector(texts.get(imap, "")))}
        for instrument, imap in imaps.items()
    }
    for instrument, imap in imaps.items():
        if imap in broken:
            broken[instrument] = broken[imap]
    return Copied(directory, selects, broken)


def mirror_mappings(
    references: Store, archive: Store, context: str, cache_dir: Path
) -> Mapping[str, errors.ContextError]:
    """Copy a context and every mapping below it into the archive, so that whoever plans needs no other place.

    Returns
    -------
    mapping of str to ContextError
        Mappings below the context that cannot be had, by name; all others are copied.

    Raises
    ------
    ContextError
        As by `copy_mappings`.
    """
    source, broken = _Source(references, archive), dict[str, errors.ContextError]()
    texts = _texts(source, context, _directory(references, cache_dir), broken)
    new = [name for name in texts if source.mirror_key(name) not in source.held]
    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        list(pool.map(lambda name: write_once(archive, source.mirror_key(name), texts[name].encode()), new))
    return broken


class _Source:
    """Where mappings are read from: the mirror as far as it has them, else the place of references."""

    def __init__(self, references: Store, mirror: Store | None) -> None:
        self.references = references
        self._mirror = mirror

    @functools.cached_property
    def held(self) -> frozenset[str]:
        """Keys of the mirror."""
        if self._mirror is None:
            return frozenset()
        return frozenset(stamp.key for stamp in self._mirror.list(self.mirror_key("")))

    def mirror_key(self, name: str) -> str:
        """Key of a mapping below the archive root, one for each location of references."""
        return f"references/rules/{_label(self.references)}/{name}"

    def read(self, name: str) -> tuple[bytes, str]:
        """Return a mapping, and where it was read."""
        if self._mirror is not None and self.mirror_key(name) in self.held:
            return self._mirror.get(self.mirror_key(name)).data, f"{self._mirror.url}/{self.mirror_key(name)}"
        return self.references.get(_PREFIX + name).data, f"{self.references.url}/{_PREFIX}{name}"


def _label(references: Store) -> str:
    return hashlib.sha256(references.url.encode()).hexdigest()[:16]


def _directory(references: Store, cache_dir: Path) -> Path:
    return cache_dir / "mappings" / _label(references)


def _texts(source: _Source, context: str, directory: Path, broken: dict[str, errors.ContextError]) -> dict[str, str]:
    """Return the text of a context and of every mapping below it, by name; afterwards all are in the directory.

    What is wrong with one below the context goes into `broken`.
    """
    if not _CONTEXT.fullmatch(context):
        raise errors.ContextError(f"{context!r} is no name of a context such as jwst_0541.pmap. Mend the target.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found = {context: _copy(source, context, directory, context)}
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            for suffix in (".imap", ".rmap"):
                names = _named(list(found.values()), suffix)
                copied = pool.map(lambda name: _tried(source, name, directory, context, broken), names)
                found |= {name: text for name, text in zip(names, copied, strict=True) if text is not None}
    except OSError as error:
        raise errors.ContextError(f"{directory}: {error.strerror}. Name another --cache-dir.") from error
    return found


def _tried(
    source: _Source, name: str, directory: Path, context: str, broken: dict[str, errors.ContextError]
) -> str | None:
    try:
        return _copy(source, name, directory, context)
    except errors.ContextError as error:
        broken[name] = error
        return None


def _named(texts: Sequence[str], suffix: str) -> list[str]:
    return sorted({name for text in texts for name in _NAMES[suffix].findall(_selector(text))})


def _selector(text: str) -> str:
    return text.partition("selector")[2]


def _copy(source: _Source, name: str, directory: Path, context: str) -> str:
    path = directory / name
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8")
    try:
        data, place = source.read(name)
    except errors.ObjectMissing as error:
        who = f"{context} needs {name}" if name != context else f"The context that is asked for is {context}"
        raise errors.ContextError(
            f"{who}, which is not at {source.references.url}/{_PREFIX}{name}. Copy it there, or name another context."
        ) from error
    text = data.decode("utf-8", "replace")
    if not _is_whole(text):
        why = "" if name == context else f": {context} needs it"
        raise errors.ContextError(
            f"{name} at {place} does not have the sha1sum that it claims, so it is damaged or was edited. Copy it "
            f"there again from CRDS{why}."
        )
    aside = directory / f".{name}.{uuid.uuid4().hex}"
    aside.write_bytes(data)
    os.replace(aside, path)
    return text


def _is_whole(text: str) -> bool:
    """Tell whether a mapping has the checksum that it claims: SHA-1 of all lines but the one that claims it."""
    claimed = _CHECKSUM.search(text)
    # Lines end as they do for CRDS, which reads mappings as text.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").splitlines(keepends=True)
    body = "".join(line for line in lines if "sha1sum" not in line)
    return claimed is not None and hashlib.sha1(body.encode()).hexdigest() == claimed[1]
