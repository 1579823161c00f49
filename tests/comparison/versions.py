"""Two versions of one exposure's products, made on the spot and stored as workers store them."""

from __future__ import annotations

import dataclasses

import numpy as np

from reprocess.archive import fingerprint
from reprocess.formats import product
from reprocess.publication import manifest as manifests
from reprocess.publication import publish
from tests.formats import files
from tests.formats.test_product import INFO, metadata
from tests.publication import samples

DATASET = samples.DATASET
SHAPE = (16, 12)


def planes(shape=SHAPE, seed=2, **changed):
    """The planes of a rate; named ones are replaced."""
    made = files.planes(shape, seed)
    made.err[...] += np.float32(0.5)
    return dataclasses.replace(made, **changed)


def moved(made, **added):
    """A copy of planes with something added to some of them."""
    arrays = {name: getattr(made, name).copy() for name in ("sci", "err", "dq", "var_poisson", "var_rnoise")}
    for name, value in added.items():
        arrays[name] = (arrays[name] + value).astype(arrays[name].dtype)
    return files.Planes(**arrays)


def version(store, name, rate, rateints=None, *, info=None, source=None, payloads=True, more=None, **draft):
    """Write a version; its manifest. Without payloads it is one that was written before there were any."""
    info = info or dataclasses.replace(INFO, dataset=DATASET)
    source = source or metadata()
    made = dataclasses.replace(samples.draft(name), **draft)
    written = {f"{DATASET}_rate.fits": lambda: product.write_rate(rate, source, info)}
    if rateints is not None:
        written[f"{DATASET}_rateints.fits"] = lambda: product.write_rateints(rateints, source, info)
    made = publish.write_version(store, made, {**written, "provenance.json": b"{}", **(more or {})})
    if not payloads:
        plain = tuple(dataclasses.replace(file, payload={}) for file in made.files)
        made = dataclasses.replace(made, files=plain)
        store.put(made.key, manifests.to_bytes(made))
    # As everybody else will read it.
    return manifests.from_bytes(manifests.to_bytes(made), name=made.key)


def cube(made):
    """Planes of a single integration that are those of a rate."""
    return files.Planes(made.sci[None], made.err[None], made.dq[None], made.var_poisson[None], made.var_rnoise[None])


def uncubed(made):
    """The rate that planes of a single integration are."""
    return files.Planes(made.sci[0], made.err[0], made.dq[0], made.var_poisson[0], made.var_rnoise[0])


def chain(revision):
    """A fingerprint of one raw object; each revision is another recipe."""
    first = fingerprint.first({"etag": '"e7a9"'})
    return (first, fingerprint.link("jump", revision, (), (), first.digest))
