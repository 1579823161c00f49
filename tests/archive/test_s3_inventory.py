"""Inventories that S3 writes."""

import gzip
import hashlib
import io
import json
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reprocess import errors
from reprocess.archive import s3_inventory, scan
from reprocess.archive.s3_inventory import open_inventory
from reprocess.storage.locate import open_store
from tests.archive.stores import CountingStore, dataset, fill, raw_key
from tests.formats import files

SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"
PARQUET = (
    "message s3.inventory { required binary bucket (STRING); required binary key (STRING); optional binary version_id "
    "(STRING); optional boolean is_latest; optional boolean is_delete_marker; optional int64 size; optional int64 "
    "last_modified_date (TIMESTAMP(MILLIS,true)); optional binary e_tag (STRING); }"
)


def csv_file(rows):
    """Rows (key, size, etag, latest, deleted) as S3 writes them: quoted, percent-encoded, without a head line."""
    lines = []
    for bucket, key, size, etag, latest, deleted in rows:
        words = (
            bucket,
            quote(key),
            "null",
            str(latest).lower(),
            str(deleted).lower(),
            "" if size is None else str(size),
        )
        lines.append(",".join(f'"{word}"' for word in (*words, "2026-11-01T00:00:00.000Z", etag or "", "STANDARD")))
    return gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0)


def parquet_file(rows):
    names = ("bucket", "key", "size", "e_tag", "is_latest", "is_delete_marker")
    table = pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
    table = table.append_column("last_modified_date", pa.array([0] * len(rows), pa.timestamp("ms", "UTC")))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


MAKERS = {"CSV": (csv_file, SCHEMA, "csv.gz"), "Parquet": (parquet_file, PARQUET, "parquet")}


def write(store, bucket, parts, kind="CSV", **changes):
    """Write an inventory of some files; the URL of its manifest."""
    make, schema, suffix = MAKERS[kind]
    listed = []
    for number, rows in enumerate(parts):
        data, key = make(rows), f"inv/{bucket}/all/data/{number}.{suffix}"
        store.put(key, data)
        listed.append({"key": key, "size": len(data), "MD5checksum": hashlib.md5(data).hexdigest()})
    record = {
        "sourceBucket": bucket,
        "destinationBucket": "arn:aws:s3:::elsewhere",
        "version": "2016-11-30",
        "creationTimestamp": "1514944800000",
        "fileFormat": kind,
        "fileSchema": schema,
        "files": listed,
    } | changes
    key = f"inv/{bucket}/all/2026-11-01T01-00Z/manifest.json"
    store.put(key, json.dumps(record).encode())
    return f"{store.url}/{key}"


def of(store, prefix=""):
    """Rows of what a store holds, with ETags without quotes."""
    bucket = store.url.partition("://")[2].partition("/")[0]
    return [(bucket, prefix + one.key, one.size, one.etag.strip('"'), True, False) for one in store.list()]


@pytest.fixture
def inventories():
    return CountingStore()


def read(url):
    return [stamp for page in open_inventory(url, open_store).pages() for stamp in page]


class TestPages:
    """`S3Inventory.pages`."""

    @pytest.mark.parametrize("kind", MAKERS)
    def test_as_a_listing(self, inventories, kind, monkeypatch):
        """Keys, sizes and ETags are those of a listing: decoded, numbers, with quotes; old versions are left out."""
        monkeypatch.setattr(s3_inventory, "_ROWS", 2)
        odd = 'a b+c%20é,"q".fits'
        one = [("src", odd, 5, "aa", True, False), ("src", "old", 4, "bb", False, False)]
        two = [("src", "gone", None, None, True, True), ("src", "x", 0, "cc-7", True, False)] + [
            ("src", f"{number}", number, "dd", True, False) for number in range(5)
        ]

        found = read(write(inventories, "src", [one, [], two], kind))

        assert [(stamp.key, stamp.size, stamp.etag) for stamp in found] == [
            (odd, 5, '"aa"'),
            ("x", 0, '"cc-7"'),
            *((f"{number}", number, '"dd"') for number in range(5)),
        ]

    def test_a_copy_in_a_directory(self, tmp_path):
        """The path of a copied manifest does, if its files lie as they did in the bucket."""
        store = open_store(str(tmp_path / "deep"))
        write(store, "src", [[("src", "x", 1, "aa", True, False)]])

        (stamp,) = read(str(tmp_path / "deep/inv/src/all/2026-11-01T01-00Z/manifest.json"))

        assert stamp.key == "x"

    def test_files_are_read_one_by_one(self, inventories):
        """A file is fetched when its turn comes, not before."""
        url = write(inventories, "src", [[("src", f"{part}", 1, "aa", True, False)] for part in range(3)])
        fetched = []
        opened = open_inventory(url, open_store)
        store = opened.store
        ranges = store.get_ranges
        store.get_ranges = lambda key, *rest, **options: (fetched.append(key), ranges(key, *rest, **options))[1]

        pages = opened.pages()
        next(pages)

        assert fetched == ["inv/src/all/data/0.csv.gz"]


ROW = [("src", "x", 1, "aa", True, False)]


class TestDamage:
    """What is wrong is said, with the name of the file."""

    @pytest.mark.parametrize(
        ("data", "match"),
        [
            (b"{", "manifest.json is a damaged inventory: it is no JSON"),
            (b"[]", "no JSON object"),
            (b"{}", "no manifest.*fileFormat"),
            (b'{"fileFormat": "CSV", "files": [{"key": "a"}]}', "no manifest.*size"),
        ],
    )
    def test_manifest(self, inventories, data, match):
        """A manifest that is none."""
        url = write(inventories, "src", [ROW])
        inventories.put(url.removeprefix(inventories.url + "/"), data)

        with pytest.raises(errors.DamagedRecord, match=match):
            read(url)

    def test_no_manifest(self, inventories):
        """A URL that names nothing is the user's mistake."""
        with pytest.raises(errors.UsageError, match=r"does not exist"):
            read(f"{inventories.url}/manifest.json")

    def test_its_checksum(self, inventories):
        """A manifest that differs from the checksum beside it."""
        url = write(inventories, "src", [ROW])
        inventories.put(url.removeprefix(inventories.url + "/").replace(".json", ".checksum"), b"0" * 32)

        with pytest.raises(errors.DamagedRecord, match=r"manifest.json.*MD5 is"):
            read(url)

    def test_orc(self, inventories):
        """ORC is refused by name."""
        with pytest.raises(errors.ArchiveError, match=r"manifest.json lists files of the format ORC"):
            read(write(inventories, "src", [ROW], fileFormat="ORC"))

    @pytest.mark.parametrize("kind", MAKERS)
    def test_without_etags(self, inventories, kind, monkeypatch):
        """An inventory that was not asked for ETags cannot tell versions."""
        if kind == "Parquet":
            whole = parquet_file(ROW)
            sink = io.BytesIO()
            pq.write_table(pq.read_table(io.BytesIO(whole)).drop_columns(["e_tag"]), sink)
            monkeypatch.setitem(MAKERS, "Parquet", (lambda _: sink.getvalue(), PARQUET, "parquet"))
        url = write(inventories, "src", [ROW], kind, fileSchema=SCHEMA.replace(", ETag", ""))

        with pytest.raises(errors.ArchiveError, match=r"does not tell etag. Let S3 write Size and ETag"):
            read(url)

    @pytest.mark.parametrize("kind", MAKERS)
    def test_a_file(self, inventories, kind):
        """Another size, other bytes, no file at all, and bytes that are what was promised and still nothing."""
        url = write(inventories, "src", [ROW], kind)
        key = f"inv/src/all/data/0.{MAKERS[kind][2]}"
        whole = inventories.get(key).data

        for data, match in ((whole[:-1], "bytes, and the manifest says"), (whole[:-1] + b"!", "its MD5 is")):
            inventories.put(key, data)
            with pytest.raises(errors.DamagedRecord, match=rf"{key} is a damaged inventory: .*{match}"):
                read(url)
        inventories.delete(key)
        with pytest.raises(errors.DamagedRecord, match=rf"{key}.*does not exist"):
            read(url)

    @pytest.mark.parametrize(
        ("kind", "data", "match"),
        [
            ("CSV", b"no gzip", "cannot be read"),
            ("CSV", gzip.compress(b'"src","x"\n', mtime=0), "row 1 has 2 fields, and the manifest names 9"),
            ("CSV", csv_file([("src", "x", None, "aa", True, False)]), "'x' has the size ''"),
            ("CSV", csv_file([("src", "x", 1, "", True, False)]), "ETag ''"),
            ("CSV", csv_file([("other", "x", 1, "aa", True, False)]), "bucket 'other'"),
            ("CSV", csv_file(ROW)[:-9], "cannot be read"),
            ("Parquet", b"PAR1 no", "cannot be read"),
        ],
        # Compressed bytes as names of tests differ from machine to machine.
        ids=["no gzip", "too few fields", "no size", "no ETag", "another bucket", "truncated", "no Parquet"],
    )
    def test_rows(self, inventories, kind, data, match, monkeypatch):
        """A file that is what its MD5 says but no list of objects."""
        monkeypatch.setitem(MAKERS, kind, (lambda _: data, *MAKERS[kind][1:]))
        url = write(inventories, "src", [ROW], kind)

        with pytest.raises(errors.DamagedRecord, match=rf"data/0.*{match}"):
            read(url)


class TestScan:
    """Scans by inventory."""

    @pytest.mark.parametrize("kind", MAKERS)
    def test_then_a_listing_reads_nothing(self, inventories, s3_store, kind):
        """What an inventory names is the same version that S3 lists: neither order of scans reads a header twice."""
        archive = CountingStore()
        for number in range(3):
            s3_store.put(raw_key(dataset(number)), files.uncal())
        prefix = s3_store.url.partition("://")[2].partition("/")[2]
        url = write(inventories, s3_store.url.partition("://")[2].partition("/")[0], [of(s3_store, f"{prefix}/")], kind)

        def by_inventory():
            return scan.scan([s3_store], archive, inventories=[open_inventory(url, open_store)])

        first, listed, again = by_inventory(), scan.scan([s3_store], archive), by_inventory()

        assert (first.new, first.requests) == (3, 3)
        assert (listed.unchanged, listed.requests, again.unchanged, again.requests) == (3, 0, 3, 0)
        assert listed.catalogue.generation.sequence == again.catalogue.generation.sequence == 1

    def test_locations(self, inventories):
        """Each raw location takes its part; others are listed; what lies in none is counted and not catalogued."""
        raw, archive, other = CountingStore(), CountingStore(), CountingStore()
        first, second = raw.below("one"), raw.below("two/deep")
        fill(first, [dataset(1)])
        fill(second, [dataset(2)])
        fill(raw.below("onemore"), [dataset(3)])
        fill(other, [dataset(4)])
        url = write(inventories, raw.url.partition("://")[2], [of(raw)])

        done = scan.scan([first, second, other], archive, inventories=[open_inventory(url, open_store)])

        places = {entry.dataset: entry.location for entry in done.catalogue.entries()}
        assert places == {dataset(1): first.url, dataset(2): second.url, dataset(4): other.url}
        assert done.ignored == {"elsewhere": 1}

    def test_a_location_that_it_does_not_cover(self, inventories):
        """An inventory of a part of a bucket makes nothing vanish from the other part."""
        raw, archive = CountingStore(), CountingStore()
        first, second = raw.below("one"), raw.below("two")
        fill(first, [dataset(1)])
        fill(second, [dataset(2)])
        url = write(inventories, raw.url.partition("://")[2], [of(first, "one/")])

        done = scan.scan([first, second], archive, inventories=[open_inventory(url, open_store)])

        assert sorted(entry.dataset for entry in done.catalogue.entries()) == [dataset(1), dataset(2)]

    def test_an_old_one(self, inventories):
        """What was replaced since is read as it is now, what vanished is no candidate."""
        raw, archive = CountingStore(), CountingStore()
        fill(raw, [dataset(1), dataset(2), dataset(3)])
        url = write(inventories, raw.url.partition("://")[2], [of(raw)])
        raw.put(raw_key(dataset(1)), files.uncal(primary={"FILTER": "F090W"}))
        raw.delete(raw_key(dataset(2)))

        done = scan.scan([raw], archive, inventories=[open_inventory(url, open_store)])
        raw.reads.clear()
        listed = scan.scan([raw], archive)

        filters = {entry.dataset: entry.header["FILTER"] for entry in done.catalogue.entries()}
        assert filters == {dataset(1): "F090W", dataset(3): "F200W"}
        assert (listed.unchanged, dict(raw.reads)) == (2, {})
