"""Every exception of the package, as one tree.

Each error says which outcome class a unit of work ends in when it raises it, and whether trying again can help.
A message names the object, says what is wrong with it, and says what to do.
Exceptions of client libraries end at the door of the room that uses the library and are chained to one of these.
"""

from __future__ import annotations

from typing import Any, ClassVar

FAILURE_CLASSES: set[str] = set()
"""Outcome classes of all errors of the tree; each adds its own when it is defined."""


class ReprocessError(Exception):
    """Anything this package raises on purpose.

    Attributes
    ----------
    outcome_class : str
        The terminal class of a unit of work that ends with this error.
    temporary : bool
        Whether the same call may succeed later without anybody changing anything.
    """

    outcome_class: ClassVar[str] = "own-error"
    temporary: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:  # noqa: ANN401
        super().__init_subclass__(**options)
        FAILURE_CLASSES.add(cls.outcome_class)


FAILURE_CLASSES.add(ReprocessError.outcome_class)


class UsageError(ReprocessError):
    """The caller asked for something that cannot be: a bad option, setting, target or plan."""

    outcome_class = "usage"


class TargetError(UsageError):
    """A target file is malformed or names something that does not exist."""


class PlanError(UsageError):
    """A plan does not exist, was edited, or does not fit the archive."""


class ArchiveError(UsageError):
    """The archive root is not set up, or its `archive.toml` is malformed."""


class StorageError(ReprocessError):
    """The object store did not do what was asked."""

    outcome_class = "storage"


class ObjectMissing(StorageError):
    """No object has this key."""


class BucketMissing(StorageError):
    """The bucket or root directory does not exist."""


class AccessDenied(StorageError):
    """No credentials, wrong credentials, or no permission."""


class AlreadyExists(StorageError):
    """A put-if-absent found the key taken."""


class PreconditionFailed(StorageError):
    """The object is not the version the caller named by its ETag."""


class CommitConflict(StorageError):
    """Two conditional writes met; read again, decide again."""

    temporary = True


class StorageUnavailable(StorageError):
    """The store did not answer, or asked to slow down: whether a write took effect is unknown."""

    temporary = True


class ChecksumMismatch(StorageError):
    """Bytes differ from the digest that was declared for them."""


class DamagedRecord(ReprocessError):
    """A JSON record is unreadable, of another kind, or of an unknown schema."""


class BadData(ReprocessError):
    """A Level 1b object cannot be calibrated because of what it holds."""

    outcome_class = "bad-data"


class Truncated(BadData):
    """The object ends before its headers say it does."""


class UnreadableHeader(BadData):
    """The bytes where a FITS header must be are no FITS header."""


class MissingExtension(BadData):
    """A FITS extension that must be there is not."""


class MissingKeyword(BadData):
    """A header keyword that must be there is not, or has no usable value."""


class WrongLayout(BadData):
    """Data type, number of axes or shape is not what the header or the level promises."""


class UnparsableKey(BadData):
    """An object's key does not follow the archive's key pattern."""


class RawReplaced(BadData):
    """The raw object is no longer the version that was scanned."""

    outcome_class = "raw-replaced"


class ReferenceFileError(ReprocessError):
    """A reference file or a rule that selects one is unusable."""

    outcome_class = "reference"


class MissingReference(ReferenceFileError):
    """A reference file that a step needs is not where references come from."""


class DamagedReference(ReferenceFileError):
    """A reference file is unreadable, or its content is not what its type promises."""


class ContextError(ReferenceFileError):
    """A context or one of its mappings cannot be loaded."""


class Unsupported(ReprocessError):
    """The exposure is of a kind that stage 1 here does not calibrate."""

    outcome_class = "unsupported"


class WorkerLost(ReprocessError):
    """The process that executed the unit went away."""

    outcome_class = "worker-lost"
    temporary = True


class OutOfMemory(ReprocessError):
    """The process that executed the unit had not enough memory."""

    outcome_class = "out-of-memory"


class Overdue(ReprocessError):
    """The unit did not end in the time that it was given."""

    outcome_class = "overdue"
    temporary = True


class PublicationError(ReprocessError):
    """A version that exists differs from the one that was to be written."""

    outcome_class = "publication"


class Overtaken(PublicationError):
    """Readers see a version of a later plan already; moving the pointer would go back."""

    outcome_class = "overtaken"


class Retired(Overtaken):
    """The dataset was retired: readers see no version of it until somebody rolls that back."""


class VersionRemoved(PublicationError):
    """The version was cleaned away."""


class OnHold(PublicationError):
    """Somebody has put the dataset on hold: nothing touches it until the hold is lifted."""

    outcome_class = "deferred"


class LeaseHeld(PublicationError):
    """Another coordinator works off the same campaign, or has taken it over."""


class ClusterError(ReprocessError):
    """A Kubernetes cluster refused what a run needs of it, or cannot give it."""

    outcome_class = "usage"


class ClusterUnavailable(ClusterError):
    """The API server of a cluster did not answer: whether a change was made is unknown."""

    temporary = True


class LeaseLapsed(LeaseHeld):
    """The store did not answer for so long that another coordinator may have taken over; perhaps none has."""

    temporary = True


class DeliveryError(ReprocessError):
    """A receiver of events did not take a message."""

    outcome_class = "delivery"
    temporary = True
