"""Find the stale products of an archive of JWST Level 1b exposures, make them again, publish them whole.

The trip, and where each stage lives::

    scan      archive.scan           which exposures and products exist, and what do their headers say?
    judge     archive.staleness      is this product stale, why, and from which step on?
    plan      planning               what will be done, at what cost? Immutable, named by a digest.
    run       campaign, worker       tasks to outcomes, on Dask or in this process
    publish   publication            files, then manifest, then pointer: readers see a whole version
    report    report, page           does the sum close?

A reader of the code goes README, `campaign`, `worker`, `calibration.detector1`.
"""

__version__ = "0.1.0"
