"""One simulated exposure as files on disk, with the references that a plan names for it."""

import functools
from typing import NamedTuple

from reprocess import campaign, laptop
from reprocess.planning import bands
from reprocess.simulation.options import SimulationOptions
from tests import trips

NIRCAM = SimulationOptions(exposures=2, shape=(32, 32), groups=4, integrations=2, instruments=("NIRCAM",))
NIRISS = SimulationOptions(exposures=1, shape=(48, 32), groups=6, instruments=("NIRISS",))
MIRI = SimulationOptions(exposures=1, shape=(64, 48), groups=6, integrations=2, instruments=("MIRI",))


class Files(NamedTuple):
    """Paths of a Level 1b file and, by type, of its references."""

    uncal: object
    references: dict


@functools.cache
def items(options):
    """The items of a plan of everything that is simulated."""
    archive = trips.make(options=options)
    return campaign.plan(archive, trips.target(options=options), created=trips.CREATED).items


def write(folder, options=NIRCAM, number=0):
    """Write one exposure and its references to a folder."""
    source, item = trips.simulated(options), items(options)[number]
    uncal = folder / item.entry.key.rpartition("/")[2]
    uncal.write_bytes(source.get(f"raw/{item.entry.key}").data)
    references = {}
    for reference in item.references:
        (key,) = [stamp.key for stamp in source.list("crds/references/") if stamp.key.endswith(f"/{reference.name}")]
        references[reference.type] = folder / reference.name
        references[reference.type].write_bytes(source.get(key).data)
    return Files(uncal, references)


def calibrate(files, folder, *, parameters=None, rows=None, monkeypatch=None, **options):
    """Calibrate, in bands of some rows if they are given."""
    if rows is not None:
        monkeypatch.setattr(bands, "band_rows", lambda *_, **__: rows)
    references = options.pop("references", files.references)
    return laptop.calibrate(
        files.uncal, references=references, parameters=parameters or {}, output_dir=folder, **options
    )


def content(path):
    """Shape, type and bytes of all planes of a product."""
    planes = trips.planes(path.read_bytes())
    return {name: (plane.shape, plane.dtype, plane.tobytes()) for name, plane in planes.items()}
