import pytest

from reprocess import errors
from reprocess.archive import root
from reprocess.storage import open_store

RAW = (root.RawLocation("s3://stpubdata/jwst/public", anonymous=True), root.RawLocation('file:///odd "name"'))


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path))


class TestWrite:
    def test_round_trip(self, store):
        """What was written is what is read, whatever characters it holds."""
        made = root.ArchiveRoot(raw=RAW, references="s3://b/crds", keep_versions=5)
        root.write(store, made)

        assert root.read(store) == made

    def test_again(self, store):
        """Writing the same description again changes nothing; another one is refused."""
        root.write(store, root.ArchiveRoot(raw=RAW))
        root.write(store, root.ArchiveRoot(raw=RAW))

        with pytest.raises(errors.ArchiveError, match="already"):
            root.write(store, root.ArchiveRoot(raw=RAW, references="elsewhere"))

    @pytest.mark.parametrize("pattern", ["(", "(?P<dataset>.*)", ".*"])
    def test_pattern(self, store, pattern):
        """A key pattern that cannot name dataset and level is refused before anything is written."""
        with pytest.raises(errors.ArchiveError, match="key_pattern"):
            root.write(store, root.ArchiveRoot(raw=RAW, key_pattern=pattern))

        assert not list(store.list())


class TestRead:
    def test_no_archive(self, store):
        """A root without a description is no archive, and the message says how to make one."""
        with pytest.raises(errors.ArchiveError, match="reprocess init"):
            root.read(store)

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("schema = ", "valid TOML"),
            ("schema = 2\n[[raw]]\nurl = 'a'", "schema 2"),
            ("schema = 1\nrow = 1\n[[raw]]\nurl = 'a'", "'row'"),
            ("schema = 1", "raw"),
            ("schema = 1\n[[raw]]\nuri = 'a'", "raw"),
        ],
    )
    def test_malformed(self, store, text, named):
        """A description that is malformed is an error that names what is wrong."""
        store.put(root.KEY, text.encode())

        with pytest.raises(errors.ArchiveError, match=named):
            root.read(store)
