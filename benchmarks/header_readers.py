"""Readers of many headers in S3: ours, and what s3fs and astropy can do. All return the keywords of a catalogue."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reprocess.exposure import Card
from reprocess.storage import open_store
from reprocess.storage.store import Stamp, Store

HEADER_BYTES = 20 * 2880  # what our own sweep asks for: both headers of nearly every Level 1b file
BLOCK_BYTES = 64 * 1024
THREADS = 32

Headers = dict[str, dict[str, Card]]


def _ours(store: Store, stamps: Sequence[Stamp]) -> Headers:
    from reprocess.archive import headers
    from reprocess.archive.spool import Found

    found = [Found(store.url, stamp, stamp.key, "uncal") for stamp in stamps]
    return {entry.key: dict(entry.header) for entry in headers.sweep(store, found, reads=headers.Reads())}


def _scan(store: Store, stamps: Sequence[Stamp]) -> Headers:
    from reprocess.archive import scan

    archive = open_store(store.url.replace("/raw", f"/archive-{uuid.uuid4().hex}"))
    done = scan.scan((store,), archive)
    assert done.unreadable == 0
    return {}


def _ranges(store: Store, stamps: Sequence[Stamp]) -> Headers:
    import s3fs
    from astropy.io import fits

    paths = [_path(store, stamp) for stamp in stamps]
    filesystem = s3fs.S3FileSystem()
    parts = filesystem.cat_ranges(
        paths, [0] * len(paths), [min(HEADER_BYTES, stamp.size) for stamp in stamps], batch_size=64
    )
    headers = {}
    for stamp, part in zip(stamps, parts, strict=True):
        primary, end = _header(part, 0, fits.Header)
        _header(part, end, fits.Header)[0]["NAXIS"]
        headers[stamp.key] = _kept(primary)
    return headers


def _header(data: bytes, start: int, kind: Any) -> tuple[Any, int]:  # noqa: ANN401 (a class of astropy)
    at = data.index(b"END" + b" " * 77, start)
    return kind.fromstring(data[start : at + 80]), start - (start - at - 80) // 2880 * 2880


def _blocks(store: Store, stamps: Sequence[Stamp]) -> Headers:
    import s3fs
    from astropy.io import fits

    filesystem = s3fs.S3FileSystem(default_block_size=BLOCK_BYTES, default_cache_type="blockcache")

    def one(stamp: Stamp) -> dict[str, Card]:
        with filesystem.open(_path(store, stamp)) as file, fits.open(file) as opened:
            opened["SCI"].header["NAXIS"]
            return _kept(opened[0].header)

    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip([stamp.key for stamp in stamps], pool.map(one, stamps), strict=True))


def _untuned(store: Store, stamps: Sequence[Stamp]) -> Headers:
    from astropy.io import fits

    headers = {}
    for stamp in stamps:
        with fits.open(f"s3://{_path(store, stamp)}", use_fsspec=True) as opened:
            opened["SCI"].header["NAXIS"]
            headers[stamp.key] = _kept(opened[0].header)
    return headers


def _nothing(store: Store, stamps: Sequence[Stamp]) -> Headers:
    return {}


FUNCTIONS: dict[str, Callable[[Store, Sequence[Stamp]], Headers]] = {
    "ours": _ours,
    "scan": _scan,
    "ranges": _ranges,
    "blocks": _blocks,
    "untuned": _untuned,
    "nothing": _nothing,
}


def _path(store: Store, stamp: Stamp) -> str:
    return f"{store.url.removeprefix('s3://')}/{stamp.key}"


def _kept(header: Any) -> dict[str, Card]:  # noqa: ANN401 (a header of astropy)
    """Keep the keywords that a catalogue needs."""
    from reprocess.formats import keywords

    return {key: header[key] for key in header if key in keywords.WANTED and key not in keywords.STRUCTURE}
