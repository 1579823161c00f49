"""Units on a Dask cluster: on this machine, or wherever its scheduler is."""
