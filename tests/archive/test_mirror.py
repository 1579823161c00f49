"""The mirror of reference files."""

import hashlib
import io
import threading

import asdf
import numpy as np
import pytest

from reprocess import errors
from reprocess.archive.mirror import copy_again, file_key, index_key, mirror, obtain, read_mirrored
from reprocess.storage import open_store
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

    def test_name_reused(self, references, archive, monkeypatch):
        """Two contents under one name are never mixed: the second writer is refused."""
        monkeypatch.setattr("reprocess.archive.mirror.PATIENCE_S", 0)
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
        assert len(lost) == 3  # the claim, the file, its record
        assert not list(archive.list("references/claims/"))

    def test_store_stays_away(self, references, archive, monkeypatch):
        """A store that does not answer again and again is reported as such."""
        monkeypatch.setattr("time.sleep", lambda _: None)
        references.put(KEY, gain())

        def no_answer(key, data, **options):
            raise errors.StorageUnavailable("no answer")

        archive.put_if_absent = no_answer
        with pytest.raises(errors.StorageUnavailable):
            mirror(references, archive, type="gain", name=NAME)

    def test_two_at_a_time(self, references, archive):
        """Of many that want a file at once one copies it, and all have the same record."""
        references.put(KEY, gain())
        begin, found = threading.Barrier(6), []

        def one():
            begin.wait()
            found.append(obtain(references, archive, type="gain", name=NAME))

        threads = [threading.Thread(target=one) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert references.reads[KEY] == 1
        assert sorted(copied for _, copied in found) == [False] * 5 + [True]
        assert len({file for file, _ in found}) == 1
        assert not list(archive.list("references/claims/"))

    def test_claim_of_the_dead(self, references, archive, monkeypatch):
        """A claim that nobody renews or gives back only delays."""
        monkeypatch.setattr("reprocess.archive.mirror.PATIENCE_S", 0.1)
        references.put(KEY, gain())
        archive.put(f"references/claims/{NAME}", b"somebody who was killed")

        assert obtain(references, archive, type="gain", name=NAME)[1]
        assert not list(archive.list("references/claims/"))

    @pytest.mark.parametrize("kind", ["memory", "local"])
    def test_large_files_go_through_in_pieces(self, references, archive, monkeypatch, tmp_path, kind):
        """A file larger than a piece is neither read nor written in one, and arrives whole."""
        monkeypatch.setattr("reprocess.archive.mirror.PIECE_BYTES", 1000)
        place = archive if kind == "memory" else open_store(str(tmp_path))
        references.put(KEY, gain())

        copied = mirror(references, place, type="gain", name=NAME)

        assert not references.reads
        assert place.get(file_key(copied.sha256, NAME)).data == gain()

    @pytest.mark.parametrize("kind", ["memory", "local"])
    def test_a_reader_never_sees_half_a_file(self, references, archive, monkeypatch, tmp_path, kind):
        """While a file comes in nothing of it can be listed or read, and a copy that is cut off leaves nothing."""
        monkeypatch.setattr("reprocess.archive.mirror.PIECE_BYTES", 1000)
        place = archive if kind == "memory" else open_store(str(tmp_path))
        references.put(KEY, gain())
        pieces, seen = place.upload_if_absent, []

        def watched(key, parts, **options):
            def looking():
                for number, part in enumerate(parts):
                    seen.append([stamp.key for stamp in place.list("references/") if "/claims/" not in stamp.key])
                    if number == 2 and len(seen) < 6:
                        raise errors.StorageError("the line is cut")
                    yield part

            return pieces(key, looking() if "/files/" in key else parts, **options)

        monkeypatch.setattr(place, "upload_if_absent", watched)
        with pytest.raises(errors.StorageError, match="cut"):
            mirror(references, place, type="gain", name=NAME)
        assert not list(place.list())
        copied = mirror(references, place, type="gain", name=NAME)

        assert len(seen) > 6
        assert not any(seen)
        assert place.get(file_key(copied.sha256, NAME)).data == gain()

    def test_in_s3(self, references, s3_store, monkeypatch):
        """In S3 a file that comes in pieces appears whole, with its SHA-256, and leaves no claim."""
        monkeypatch.setattr("reprocess.archive.mirror.PIECE_BYTES", 1000)
        references.put(KEY, gain())

        copied = mirror(references, s3_store, type="gain", name=NAME)

        key = file_key(copied.sha256, NAME)
        assert s3_store.get(key).data == gain()
        assert s3_store.digest(key) == copied.sha256
        assert sorted(stamp.key for stamp in s3_store.list()) == sorted((key, index_key(NAME)))
        assert obtain(references, s3_store, type="gain", name=NAME) == (copied, False)

    def test_copied_again(self, references, archive):
        """Content that was removed comes back, and another content under the name is refused."""
        references.put(KEY, gain())
        copied = mirror(references, archive, type="gain", name=NAME)
        archive.delete(file_key(copied.sha256, NAME))

        copy_again(references, archive, copied)

        assert archive.get(file_key(copied.sha256, NAME)).data == gain()
        references.put(KEY, gain(9.0))
        with pytest.raises(errors.DamagedReference, match="another content"):
            copy_again(references, archive, copied)


class TestParameterFiles:
    """`read_mirrored`."""

    NAME = "jwst_nircam_pars-jumpstep_0001.asdf"

    def parameters(self, **options):
        stream = io.BytesIO()
        asdf.AsdfFile({"class": "jwst.jump", "name": "jump", "parameters": options}).write_to(stream)
        return stream.getvalue()

    def test_read_from_the_mirror(self, references, archive):
        """Once it is mirrored a parameter file is not read from anywhere else."""
        references.put(f"references/jwst/nircam/{self.NAME}", self.parameters(rejection_threshold=5.0))
        first = read_mirrored(references, archive, type="pars-jumpstep", name=self.NAME)
        references.delete(f"references/jwst/nircam/{self.NAME}")

        assert read_mirrored(references, archive, type="pars-jumpstep", name=self.NAME) == first
        assert first == self.parameters(rejection_threshold=5.0)

    def test_payload(self, references, archive):
        """The payload of a parameter file is what it sets."""
        names = [self.NAME.replace("0001", number) for number in ("0001", "0002", "0003")]
        for name, data in zip(
            names,
            [self.parameters(a=1), self.parameters(a=1) + b"\n", self.parameters(a=2)],
            strict=True,
        ):
            references.put(f"references/jwst/nircam/{name}", data)
        one, same, other = (mirror(references, archive, type="pars-jumpstep", name=name) for name in names)

        assert one.sha256 != same.sha256
        assert one.payload == same.payload != other.payload

    def test_damaged(self, references, archive):
        """What is no parameter file does not reach the archive; a mirror that was changed is not believed."""
        references.put(f"references/jwst/nircam/{self.NAME}", b"no ASDF")
        with pytest.raises(errors.DamagedReference, match=self.NAME):
            read_mirrored(references, archive, type="pars-jumpstep", name=self.NAME)
        assert not list(archive.list())

        references.put(f"references/jwst/nircam/{self.NAME}", self.parameters(a=1))
        file = mirror(references, archive, type="pars-jumpstep", name=self.NAME)
        archive.put(file_key(file.sha256, self.NAME), self.parameters(a=2))
        with pytest.raises(errors.DamagedReference, match="SHA-256"):
            read_mirrored(references, archive, type="pars-jumpstep", name=self.NAME)
