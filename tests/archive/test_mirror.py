"""The mirror of reference files."""

import hashlib

import numpy as np
import pytest

from reprocess import errors
from reprocess.archive.mirror import file_key, index_key, mirror
from tests.archive.stores import CountingStore
from tests.formats import files

NAME = "jwst_nircam_gain_0042.fits"
KEY = f"references/jwst/nircam/{NAME}"


def gain(value=2.0, **options):
    return files.reference({"SCI": np.full((8, 8), value, "f4")}, **options)


@pytest.fixture
def references():
    return CountingStore()


@pytest.fixture
def archive():
    return CountingStore()


class TestMirror:
    """`mirror`."""

    @pytest.mark.parametrize("key", [KEY, f"references/jwst/{NAME}"])
    def test_copies_the_file(self, references, archive, key):
        """The archive holds the same bytes under their digest, and the record says so."""
        references.put(key, gain())

        copied = mirror(references, archive, type="gain", name=NAME)

        assert archive.get(file_key(copied.sha256, NAME)).data == gain()
        assert copied.sha256 == hashlib.sha256(gain()).hexdigest()
        assert (copied.type, copied.name, copied.size) == ("gain", NAME, len(gain()))

    def test_second_call_reads_the_index_only(self, references, archive):
        """A file that is mirrored is neither fetched nor digested again."""
        references.put(KEY, gain())
        first = mirror(references, archive, type="gain", name=NAME)
        references.reads.clear()
        archive.reads.clear()

        assert mirror(references, archive, type="gain", name=NAME) == first
        assert not references.reads
        assert dict(archive.reads) == {index_key(NAME): 1}

    def test_payload_is_what_calibration_sees(self, references, archive):
        """A delivery with another history and the same pixels has another SHA-256 and the same payload."""
        references.put(KEY, gain())
        references.put(KEY.replace("0042", "0043"), gain(history=["redelivered"]))
        references.put(KEY.replace("0042", "0044"), gain(2.5))

        names = [NAME.replace("0042", number) for number in ("0042", "0043", "0044")]
        old, same, other = (mirror(references, archive, type="gain", name=name) for name in names)

        assert old.sha256 != same.sha256
        assert old.payload == same.payload != other.payload

    def test_missing(self, references, archive):
        """The message names the file, every place where it was looked for, and what to do."""
        with pytest.raises(errors.MissingReference, match=f"{NAME} is not at {references.url}/{KEY} and .* Copy it"):
            mirror(references, archive, type="gain", name=NAME)

    @pytest.mark.parametrize("data", [b"", b"no FITS", gain()[:3000], files.reference({"DQ": np.zeros((4, 4), "u4")})])
    def test_damaged(self, references, archive, data):
        """A file that cannot be what its type promises is refused, and nothing of it reaches the archive."""
        references.put(KEY, data)

        with pytest.raises(errors.DamagedReference, match=NAME):
            mirror(references, archive, type="gain", name=NAME)
        assert list(archive.list()) == []

    @pytest.mark.parametrize("record", [b"{", b'{"kind":"reference","schema":1}'])
    def test_damaged_index(self, references, archive, record):
        """An index record that is unreadable is not overwritten in silence."""
        archive.put(index_key(NAME), record)

        with pytest.raises(errors.DamagedRecord, match=NAME):
            mirror(references, archive, type="gain", name=NAME)

    def test_two_types(self, references, archive):
        """One file cannot be of two types."""
        references.put(KEY, gain())
        mirror(references, archive, type="gain", name=NAME)

        with pytest.raises(errors.DamagedReference, match="mirrored as gain"):
            mirror(references, archive, type="readnoise", name=NAME)

    def test_cut_off_before_the_index(self, references, archive):
        """A mirror that died after the file and before its record is completed by the next call."""
        references.put(KEY, gain())
        archive.put(file_key(hashlib.sha256(gain()).hexdigest(), NAME), gain())

        copied = mirror(references, archive, type="gain", name=NAME)

        assert mirror(references, archive, type="gain", name=NAME) == copied

    def test_name_reused(self, references, archive):
        """Two contents under one name are never mixed: the second writer is refused."""
        references.put(KEY, gain())
        other = CountingStore()
        other.put(KEY, gain(3.0))
        write = archive.put_if_absent

        def slow(key, data, **options):
            if key == index_key(NAME):
                archive.put_if_absent = write
                mirror(other, archive, type="gain", name=NAME)
            return write(key, data, **options)

        archive.put_if_absent = slow
        with pytest.raises(errors.DamagedReference, match="another content"):
            mirror(references, archive, type="gain", name=NAME)

    def test_unknown_outcome(self, references, archive, monkeypatch):
        """A write whose fate is unknown is tried again, and its own success is no error."""
        monkeypatch.setattr("time.sleep", lambda _: None)
        references.put(KEY, gain())
        write, lost = archive.put_if_absent, []

        def lose_first_answer(key, data, **options):
            stamp = write(key, data, **options)
            if key not in lost:
                lost.append(key)
                raise errors.StorageUnavailable("no answer")
            return stamp

        archive.put_if_absent = lose_first_answer

        assert mirror(references, archive, type="gain", name=NAME).size == len(gain())
        assert len(lost) == 2

    def test_store_stays_away(self, references, archive, monkeypatch):
        """A store that does not answer again and again is reported as such."""
        monkeypatch.setattr("time.sleep", lambda _: None)
        references.put(KEY, gain())

        def no_answer(key, data, **options):
            raise errors.StorageUnavailable("no answer")

        archive.put_if_absent = no_answer
        with pytest.raises(errors.StorageUnavailable):
            mirror(references, archive, type="gain", name=NAME)
