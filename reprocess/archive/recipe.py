"""Recipes: what decides a product apart from its Level 1b object, so that exposures made alike can be judged together.

A fingerprint begins with the raw object, so no two exposures have the same. Without it a few thousand are left in an
archive of millions. A recipe is kept as text, which a column of a catalogue holds once for all its rows.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping

from reprocess.archive import fingerprint
from reprocess.archive.fingerprint import OpenLink
from reprocess.exposure import Fingerprint

_KEPT = 256  # recipes at hand; exposures that are judged or planned one after the other mostly share theirs


def text(chain: Fingerprint) -> str:
    """Write the recipe of a fingerprint: steps, revisions, parameters, types with file names and payloads."""
    links = [
        [link.step, link.revision, link.parameters, link.references] for link in chain if link.step != fingerprint.RAW
    ]
    return json.dumps(links, separators=(",", ":"))


def digest(chain: Fingerprint) -> str:
    """Digest the recipe of a fingerprint; file names do not count, as in the fingerprint itself.

    Equal raw objects and equal digests give the same product.
    """
    links = [
        [link.step, link.revision, link.parameters, [(kind, payload) for kind, _, payload in link.references]]
        for link in chain
        if link.step != fingerprint.RAW
    ]
    return hashlib.sha256(json.dumps(links, separators=(",", ":")).encode()).hexdigest()


def chain(raw: Mapping[str, str | int], recipe: str) -> Fingerprint:
    """Make the fingerprint of a raw object and a recipe.

    Parameters
    ----------
    raw : mapping
        The version of the raw object, see `fingerprint.raw_version`.
    recipe : str
        See `text`.

    Raises
    ------
    KeyError, TypeError, ValueError
        The text is no recipe.
    """
    links = [fingerprint.first(raw)]
    for each in _open_links(recipe):
        links.append(each.after(links[-1].digest))
    return tuple(links)


@functools.lru_cache(_KEPT)
def _open_links(recipe: str) -> tuple[OpenLink, ...]:
    return tuple(
        OpenLink.of(
            str(step),
            int(revision),
            tuple((str(name), str(value)) for name, value in parameters),
            tuple((str(kind), str(name), str(payload)) for kind, name, payload in references),
        )
        for step, revision, parameters, references in json.loads(recipe)
    )
