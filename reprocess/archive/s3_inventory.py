"""S3 Inventory: the list of a bucket's objects that S3 itself writes once a day or week, as a source beside LIST.

A ``manifest.json`` names the data files, with the MD5 of each. CSV files are compressed with gzip, have no head line
and percent-encoded keys; Parquet files name their columns. Files are read one after the other, in batches of rows.
An inventory may be old: what was replaced or has vanished since shows when headers are read.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.parquet as pq

from reprocess import errors
from reprocess.storage.store import ByteRange, Stamp, Store

_NEEDED = ("key", "size", "etag")
_PIECE_BYTES = 16 * 2**20
_ROWS = 10_000
_MD5 = re.compile(r"[0-9a-f]{32}")

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of an inventory: its key in the bucket where inventories are, its size in bytes, its MD5."""

    key: str
    size: int
    md5: str


@dataclass(frozen=True)
class S3Inventory:
    """An inventory that was opened; no data file is read yet.

    Attributes
    ----------
    bucket : str
        The bucket whose objects it lists.
    kind : str
        ``CSV`` or ``PARQUET``.
    columns : tuple of str
        Columns of a CSV file in their order, in lower case without ``_``; empty for Parquet, which names its own.
    files : tuple of DataFile
    store : Store
        Where the keys of the files begin.
    """

    bucket: str
    kind: str
    columns: tuple[str, ...]
    files: tuple[DataFile, ...]
    store: Store

    def pages(self) -> Iterator[list[Stamp]]:
        """Read the present objects of the bucket, with keys of the bucket, as a listing would give them.

        Raises
        ------
        DamagedRecord
            A file has another size or MD5 than the manifest says, or cannot be read.
        ArchiveError
            The inventory does not tell what a scan needs.
        """
        for file in self.files:
            with tempfile.TemporaryFile() as aside:
                _fetch(self.store, file, aside)
                try:
                    for columns, rows in _csv(aside, self.columns) if self.kind == "CSV" else _parquet(aside):
                        yield list(_stamps(columns, rows, self.bucket))
                except (OSError, EOFError, ValueError, zlib.error, csv.Error, pa.ArrowException) as error:
                    raise _damaged(f"{self.store.url}/{file.key}", f"it cannot be read: {error}") from error
                except errors.ArchiveError as error:
                    raise errors.ArchiveError(f"{self.store.url}/{file.key}: {error}") from error


def open_inventory(url: str, open_store: Callable[[str], Store]) -> S3Inventory:
    """Read the manifest of an inventory and find its files.

    Parameters
    ----------
    url : str
        ``s3://bucket/.../manifest.json``, or the path of a copy; the files are then looked for below each directory
        above it.
    open_store : callable
        Opens a store by its URL.

    Raises
    ------
    DamagedRecord
        The manifest is damaged, or a file that it names is missing.
    ArchiveError
        It is of a format that cannot be read (ORC), or does not tell ETags and sizes.
    """
    folder, _, name = url.rpartition("/")
    folder = folder or ("." if "/" not in url else "/")
    record = _manifest(open_store(folder), name, url)
    try:
        kind = str(record["fileFormat"]).upper()
        files = tuple(DataFile(str(one["key"]), int(one["size"]), str(one["MD5checksum"])) for one in record["files"])
        bucket, schema = str(record["sourceBucket"]), str(record["fileSchema"])
    except KeyError as error:
        raise _damaged(url, f"it is no manifest of an S3 Inventory, because it lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise _damaged(url, f"it is no manifest of an S3 Inventory: {error}") from error
    if kind not in ("CSV", "PARQUET"):
        raise errors.ArchiveError(
            f"{url} lists files of the format {record['fileFormat']}, and only CSV and Parquet can be read. "
            "Let S3 write the inventory in one of these."
        )
    columns = tuple(_plain(word) for word in schema.split(",")) if kind == "CSV" else ()
    if columns:
        _check_columns(columns, url)
    for file in files:
        if not _MD5.fullmatch(file.md5.lower()):
            raise _damaged(url, f"{file.md5!r} of {file.key} is no MD5")
    return S3Inventory(bucket, kind, columns, files, _root(url, folder, files, open_store))


def _manifest(store: Store, name: str, url: str) -> Mapping[str, Any]:
    """Read the manifest, and hold it against its checksum if that is beside it."""
    try:
        data = store.get(name).data
    except (errors.ObjectMissing, errors.BucketMissing) as error:
        raise errors.UsageError(f"{url} does not exist. Name the manifest.json of an S3 Inventory.") from error
    try:
        told = store.get(f"{name.removesuffix('.json')}.checksum").data.decode("ascii", "replace").strip().lower()
    except (errors.ObjectMissing, errors.AccessDenied):
        told = ""
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if told and told != found:
        raise _damaged(url, f"its MD5 is {found}, and its checksum file says {told}")
    try:
        record = json.loads(data)
    except ValueError as error:
        raise _damaged(url, f"it is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise _damaged(url, "it is no JSON object")
    return record


def _root(url: str, folder: str, files: Sequence[DataFile], open_store: Callable[[str], Store]) -> Store:
    """Find where the keys of the files begin: in the bucket of the manifest, or in a directory above a copy."""
    scheme, separator, rest = folder.partition("://")
    if separator and scheme != "file":
        return open_store(f"{scheme}://{rest.partition('/')[0]}")
    here = Path(rest if separator else folder).absolute()
    stores = [open_store(str(each)) for each in (here, *here.parents)]
    for store in stores if files else stores[:1]:
        try:
            store.head(files[0].key) if files else None
        except errors.StorageError:
            continue
        return store
    raise _damaged(url, f"it names {files[0].key}, which is below no directory above it")


def _fetch(store: Store, file: DataFile, aside: IO[bytes]) -> None:
    """Bring a file to the local disk and check it."""
    name = f"{store.url}/{file.key}"
    try:
        stamp = store.head(file.key)
        if stamp.size != file.size:
            raise _damaged(name, f"it has {stamp.size} bytes, and the manifest says {file.size}")
        total = hashlib.md5(usedforsecurity=False)
        for start in range(0, stamp.size, _PIECE_BYTES):
            part = ByteRange(start, min(_PIECE_BYTES, stamp.size - start))
            (piece,) = store.get_ranges(file.key, [part], etag=stamp.etag)
            total.update(piece)
            aside.write(piece)
    except errors.ObjectMissing as error:
        raise _damaged(name, "it does not exist, and the manifest names it") from error
    if total.hexdigest() != file.md5.lower():
        raise _damaged(name, f"its MD5 is {total.hexdigest()}, and the manifest says {file.md5}")
    aside.seek(0)


def _csv(aside: IO[bytes], columns: Sequence[str]) -> Iterator[tuple[Sequence[str], list[Row]]]:
    batch: list[Row] = []
    with gzip.open(aside) as opened, io.TextIOWrapper(opened, encoding="utf-8", newline="") as text:
        place = columns.index("key")
        for number, row in enumerate(csv.reader(text), 1):
            if len(row) != len(columns):
                raise ValueError(f"row {number} has {len(row)} fields, and the manifest names {len(columns)}")
            if "%" in row[place] or "+" in row[place]:
                row[place] = unquote_plus(row[place], errors="strict")
            batch.append(tuple(row))
            if len(batch) == _ROWS:
                yield columns, batch
                batch = []
    yield columns, batch


def _parquet(aside: IO[bytes]) -> Iterator[tuple[Sequence[str], list[Row]]]:
    opened = pq.ParquetFile(aside)
    names = {_plain(name): name for name in opened.schema_arrow.names}
    columns = [name for name in (*_NEEDED, "bucket", "islatest", "isdeletemarker") if name in names]
    _check_columns(columns, "its columns")
    for batch in opened.iter_batches(batch_size=_ROWS, columns=[names[name] for name in columns], use_threads=False):
        values = [batch.column(names[name]).to_pylist() for name in columns]
        yield columns, [tuple(_text(value) for value in row) for row in zip(*values, strict=True)]


def _stamps(columns: Sequence[str], rows: Iterable[Row], bucket: str) -> Iterator[Stamp]:
    """Return the present objects of rows, as LIST names them: it gives ETags with quotes, an inventory without."""
    place = {name: number for number, name in enumerate(columns)}
    key, size, etag = (place[name] for name in _NEEDED)
    latest, deleted, whose = (place.get(name) for name in ("islatest", "isdeletemarker", "bucket"))
    for row in rows:
        if latest is not None and row[latest].lower() == "false":
            continue
        if deleted is not None and row[deleted].lower() == "true":
            continue
        if whose is not None and row[whose] != bucket:
            raise ValueError(f"a row is of the bucket {row[whose]!r}, and the manifest says {bucket!r}")
        if not row[size].isdecimal() or not row[etag] or not row[key]:
            raise ValueError(f"the row of {row[key]!r} has the size {row[size]!r} and the ETag {row[etag]!r}")
        yield Stamp(row[key], int(row[size]), row[etag] if row[etag].startswith('"') else f'"{row[etag]}"')


def _check_columns(columns: Sequence[str], name: str) -> None:
    lacking = [word for word in _NEEDED if word not in columns]
    if lacking:
        raise errors.ArchiveError(
            f"{name}: the inventory does not tell {' and '.join(lacking)}. Let S3 write Size and ETag into it."
        )


def _plain(word: str) -> str:
    return word.strip().replace("_", "").lower()


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _damaged(name: str, what: str) -> errors.DamagedRecord:
    return errors.DamagedRecord(f"{name} is a damaged inventory: {what}. Take another one, or scan without it.")
