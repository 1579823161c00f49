"""The records that all rooms share; standard library only.

Array axes are always (integration, group, row, column); rows and columns are those of the Level 1b file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Card = str | int | float | bool
Header = Mapping[str, Card]


@dataclass(frozen=True, slots=True)
class Band:
    """Full rows `start` to `stop` (exclusive, 0-based) of a detector image."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def rows(self) -> slice:
        """The band as an index of the row axis."""
        return slice(self.start, self.stop)


@dataclass(frozen=True, slots=True)
class Slab:
    """A band of rows that one task owns, and the wider band it must read to calibrate it.

    Attributes
    ----------
    core : Band
        Rows whose results this slab delivers.
    padded : Band
        `core` widened by the halo, cut at the edges of the image.
    """

    core: Band
    padded: Band

    @property
    def core_in_padded(self) -> slice:
        """Index of the core rows in an array that holds the padded rows."""
        return slice(self.core.start - self.padded.start, self.core.stop - self.padded.start)


@dataclass(frozen=True)
class CatalogueEntry:
    """What the scan knows of one object: its version in the store and, of its headers, what judging needs.

    Attributes
    ----------
    dataset : str
        Root name of the Level 1b file, for example ``jw01075001001_03105_00009_nrca2``.
    level : str
        ``uncal``, ``rate``, ``rateints``, ``cal`` or ``calints``: the suffix of the file's name.
    location : str
        URL of the store that holds the object.
    key, size, etag
        The object's key below `location`, its bytes and its opaque version token.
    header : mapping
        Primary header keywords by their FITS names.
    sci_offset : int or None
        Byte at which the data of the SCI extension begin.
    sci_shape : tuple of int or None
        Axes of SCI in array order, for ``uncal`` (integration, group, row, column).
    error_class, error : str or None
        Why the object cannot be used: an outcome class and a sentence.
    """

    dataset: str
    level: str
    location: str
    key: str
    size: int
    etag: str
    header: Header = field(default_factory=dict)
    sci_offset: int | None = None
    sci_shape: tuple[int, ...] | None = None
    error_class: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """One reference file as a plan names it.

    Attributes
    ----------
    type : str
        CRDS type in lower case, for example ``superbias``.
    name : str
        File name in CRDS.
    sha256 : str
        Digest of the whole file: where its mirror lives.
    payload : str
        Digest of what calibration can see of it: arrays and the keywords the steps read.
    size : int
        Bytes of the file.
    """

    type: str
    name: str
    sha256: str
    payload: str
    size: int


@dataclass(frozen=True, slots=True)
class StepFingerprint:
    """What decided the result of one step.

    Attributes
    ----------
    step : str
        Official name of the step, for example ``ramp_fit``; ``raw`` for the Level 1b object that the chain begins with.
    revision : int
        Revision of the algorithm.
    parameters : tuple of (str, str)
        Names and JSON values, sorted by name.
    references : tuple of (str, str, str)
        Type, file name and payload digest, sorted by type; the name is for people and is not digested.
    digest : str
        SHA-256 over all of the above but the names, and over the digest of the step before.
    """

    step: str
    revision: int
    parameters: tuple[tuple[str, str], ...]
    references: tuple[tuple[str, str, str], ...]
    digest: str


Fingerprint = tuple[StepFingerprint, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that has changed since a product was made.

    Attributes
    ----------
    kind : str
        ``raw-changed``, ``software``, ``reference``, ``parameter``, ``product-missing``, ``product-damaged``
        or ``undecidable``.
    step : str
        First step that the change affects.
    reference_type : str or None
        For ``reference``, the CRDS type.
    old, new : str or None
        What the product was made with and what the target asks for; None where there is none.
    """

    kind: str
    step: str
    reference_type: str | None = None
    old: str | None = None
    new: str | None = None


DETECTOR1 = "detector1"
"""Stage 1, as the official pipeline names it: from the Level 1b object to the rate product."""

IMAGE2 = "image2"
"""Stage 2 of images: from the rate product on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a dataset's products are what the target would give.

    Attributes
    ----------
    dataset : str
    state : str
        ``current``, ``stale``, ``stale-in-name-only``, ``missing`` or ``unknown``.
    reasons : tuple of Reason
        Empty only for ``current``.
    restart : str or None
        Where work begins: `DETECTOR1` (from the Level 1b object) or `IMAGE2` (from the rate product); None when there
        is nothing to do. Products between steps are not kept, so stage 1 always runs whole; which of its steps is the
        first that is affected is told by the reasons.
    """

    dataset: str
    state: str
    reasons: tuple[Reason, ...] = ()
    restart: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """Candidates that are what the target asks for already, and alike in all that is told of them.

    Attributes
    ----------
    state : str
        ``current`` or ``stale-in-name-only``.
    reasons : tuple of Reason
    instrument, exp_type : str
        INSTRUME and EXP_TYPE; empty where the header has none.
    datasets : tuple of str
        Their names.
    """

    state: str
    reasons: tuple[Reason, ...]
    instrument: str
    exp_type: str
    datasets: tuple[str, ...]


SETTLED = frozenset(("current", "stale-in-name-only"))
"""States of verdicts that ask for no work."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one unit of work ended.

    Attributes
    ----------
    unit : str
        Identity of the unit in its plan.
    dataset : str
    outcome_class : str
        ``published``, ``unchanged``, ``current``, ``unsupported``, ``cancelled``, ``deferred``, ``held-back``, or the
        class of a failure (`reprocess.errors`).
    message : str
        Empty, or a sentence that names the object, what is wrong and what to do.
    temporary : bool
        Whether trying again may help.
    attempt : int
        1 for the first.
    version : str
        Name of the version that was written, or empty.
    worker : str
        Name of the worker (never an address).
    seconds : mapping of str to float
        Wall seconds by stage: read, calibrate, write and so on, and ``cpu`` for the process time of all.
    bytes_read, bytes_written, peak_bytes : int
        Traffic with the store, and the peak resident memory of the worker process.
    requests : int
        Requests that were made of the store.
    throttled : int
        How often the store asked to wait (503, 429) while the unit ran, in the whole process; it was asked again.
    ended : str
        When the unit ended, by the clock of the worker: UTC, ISO 8601 with milliseconds and no zone.
    tier : int
        Memory tier that the unit ran in; 0 is the smallest.
    difference : mapping of str to object
        How the new version differs from the one that readers see; empty if they were not compared.
    log : tuple of str
        Last lines that the unit logged, see `reprocess.logs`; kept beside the outcomes, not in them.
    """

    unit: str
    dataset: str
    outcome_class: str
    message: str = ""
    temporary: bool = False
    attempt: int = 1
    version: str = ""
    worker: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    bytes_read: int = 0
    bytes_written: int = 0
    peak_bytes: int = 0
    requests: int = 0
    throttled: int = 0
    ended: str = ""
    tier: int = 0
    difference: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[str, ...] = ()
