"""A store in a folder, enough of one for the simulator to write to."""

from __future__ import annotations

from pathlib import Path

from reprocess import errors
from reprocess.storage.store import Blob, Stamp, Store


class FolderStore(Store):
    """Keys are paths below a folder; only what writing and reading whole objects needs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def url(self):
        return self._root.as_uri()

    def path(self, key):
        return self._root / key

    def get(self, key, *, etag=""):
        return Blob(self.path(key).read_bytes(), self.head(key))

    def head(self, key):
        return Stamp(key, self.path(key).stat().st_size, "x")

    def list(self, prefix=""):
        for path in sorted(self._root.rglob("*")):
            key = path.relative_to(self._root).as_posix()
            if path.is_file() and key.startswith(prefix):
                yield self.head(key)

    def put(self, key, data):
        self.path(key).parent.mkdir(parents=True, exist_ok=True)
        self.path(key).write_bytes(data)
        return self.head(key)

    def upload_if_absent(self, key, parts):
        if self.path(key).exists():
            raise errors.AlreadyExists(f"{key} is taken. Choose another key.")
        self.path(key).parent.mkdir(parents=True, exist_ok=True)
        with self.path(key).open("wb") as file:
            file.writelines(parts)
        return self.head(key)

    def _absent(self, *_, **__):
        raise NotImplementedError

    get_ranges = sweep = put_if_absent = compare_and_swap = digest = delete = below = zarr = _absent
