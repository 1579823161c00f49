"""Objects as open files, for libraries that speak fsspec: astropy, asdf, a user's own script."""

from __future__ import annotations

from typing import IO, Any

from reprocess import errors

BLOCK_BYTES = 64 * 2**10


def open_file(url: str, *, anonymous: bool = False, endpoint: str | None = None, profile: str | None = None) -> IO[Any]:
    """Open an object of S3, or a file of this machine, for reading.

    Parameters
    ----------
    url : str
        ``s3://bucket/key``, or a path.
    anonymous : bool
        Do not sign requests: for public buckets.
    endpoint, profile : str, optional
        As for `open_store`.

    Returns
    -------
    file object
        Binary and seekable. It reads in blocks of 64 kB: the default of s3fs fetches 50 MB for one header.

    Raises
    ------
    ObjectMissing
        There is no such object.
    AccessDenied
        It may not be read.

    Examples
    --------
    >>> with open_file("s3://bucket/archive/products/.../..._rate.fits") as file:  # doctest: +SKIP
    ...     header = astropy.io.fits.getheader(file, "SCI")
    """
    if not url.startswith("s3://"):
        return _local(url)
    import s3fs

    system = s3fs.S3FileSystem(
        anon=anonymous,
        endpoint_url=endpoint,
        profile=profile,
        default_block_size=BLOCK_BYTES,
        default_cache_type="blockcache",
        config_kwargs={"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 5, "mode": "standard"}},
    )
    try:
        return system.open(url, "rb")  # type: ignore[no-any-return]  # s3fs has no types
    except FileNotFoundError as error:
        raise errors.ObjectMissing(f"{url}: there is no such object. Check bucket and key.") from error
    except PermissionError as error:
        raise errors.AccessDenied(f"{url} may not be read: {error}. Check credentials, or read anonymously.") from error


def _local(path: str) -> IO[Any]:
    try:
        return open(path.removeprefix("file://"), "rb")
    except FileNotFoundError as error:
        raise errors.ObjectMissing(f"{path}: there is no such file.") from error
    except OSError as error:
        raise errors.AccessDenied(f"{path} cannot be read: {error.strerror}.") from error
