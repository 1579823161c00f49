"""Files to arrays and back: the only room that imports FITS, ASDF and Zarr libraries."""
