"""Recipes: what decides a product apart from its Level 1b object, so that exposures made alike can be judged together.

A fingerprint begins with the raw object, so no two exposures have the same. Without it a few thousand are left in an
archive of millions. A recipe is kept as text, which a column of a catalogue holds once for all its rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from reprocess.archive import fingerprint
from reprocess.exposure import Fingerprint


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
    for step, revision, parameters, references in json.loads(recipe):
        links.append(
            fingerprint.link(
                str(step),
                int(revision),
                tuple((str(name), str(value)) for name, value in parameters),
                tuple((str(kind), str(name), str(payload)) for kind, name, payload in references),
                links[-1].digest,
            )
        )
    return tuple(links)
