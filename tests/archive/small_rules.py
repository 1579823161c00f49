"""A small location of references: rules that CRDS accepts, and files of a few pixels."""

from __future__ import annotations

import hashlib

import numpy as np

from reprocess.calibration import detector1
from tests.formats import files

TYPES = detector1.reference_types(detector1.NEAR_INFRARED)
_DATE = "('META.OBSERVATION.DATE', 'META.OBSERVATION.TIME')"


def file_name(kind, number=1):
    return f"jwst_nircam_{kind}_{number:04d}.fits"


def reference_file(kind, seed=1, **options):
    """Bytes of a reference file of a type."""
    chance = np.random.default_rng([seed, len(kind)])
    frame = chance.normal(10, 1, (16, 12)).astype("f4")
    flags = np.zeros((16, 12), "u4")
    arrays = {
        "mask": {"DQ": flags},
        "linearity": {"COEFFS": np.stack([frame * 0, frame * 0 + 1, frame * 1e-9]), "DQ": flags},
        "dark": {"SCI": np.stack([frame, frame]), "DQ": flags},
        "saturation": {"SCI": frame * 6000, "DQ": flags},
        "superbias": {"SCI": frame, "DQ": flags},
        "ipc": {"SCI": np.array([[0, 0.01, 0], [0.01, 0.96, 0.01], [0, 0.01, 0]], "f4")},
    }
    return files.reference(arrays.get(kind, {"SCI": frame}), **options)


def add_files(store, kinds=TYPES, number=1, **options):
    """Put a file of each type."""
    for kind in kinds:
        store.put(f"references/jwst/nircam/{file_name(kind, number)}", reference_file(kind, **options))


def add_context(store, name="jwst_9001.pmap", numbers=None, absent=(), more=None):
    """Put a context with one rule for each type.

    Parameters
    ----------
    numbers : mapping of type to int
        Which delivery of a type the rule selects, 1 when it is left out.
    absent : types
        Types that are not applicable.
    more : mapping of type to file name
        Rules on further types.
    """
    numbers, more = numbers or {}, more or {}
    rules = {}
    for kind in (*TYPES, *more):
        if kind in absent:
            rules[kind] = "N/A"
            continue
        chosen = more.get(kind) or file_name(kind, numbers.get(kind, 1))
        rules[kind] = f"{name[:-5]}_nircam_{kind}.rmap"
        selector = f"Match({{\n    ('NRCA1',) : UseAfter({{\n        '2020-01-01 00:00:00' : '{chosen}',\n    }}),\n}})"
        head = {"filekind": kind.upper(), "instrument": "NIRCAM", "mapping": "REFERENCE"}
        _add(store, rules[kind], head, f"(('META.INSTRUMENT.DETECTOR',), {_DATE})", selector)
    imap = f"{name[:-5]}_nircam.imap"
    _add(store, imap, {"instrument": "NIRCAM", "mapping": "INSTRUMENT"}, "('REFTYPE',)", _table(rules))
    _add(store, name, {"mapping": "PIPELINE"}, "('META.INSTRUMENT.NAME',)", _table({"NIRCAM": imap}))
    return name


def _table(rules):
    return "{\n" + "".join(f"    '{key.upper()}' : '{value}',\n" for key, value in sorted(rules.items())) + "}"


def _add(store, name, head, parkey, selector):
    values = {"derived_from": "generated", "name": name, "observatory": "JWST", **head}
    lines = [f"    '{key}' : '{value}',\n" for key, value in sorted(values.items())] + [f"    'parkey' : {parkey},\n"]
    before, after = "header = {\n" + "".join(lines), "}\n\nselector = " + selector + "\n"
    checksum = hashlib.sha1((before + after).encode()).hexdigest()
    store.put(f"mappings/jwst/{name}", (before + f"    'sha1sum' : '{checksum}',\n" + after).encode())
