import io

import numpy as np
import pytest
from astropy.io import fits

from reprocess import errors
from reprocess.storage import files


@pytest.fixture
def image():
    data = io.BytesIO()
    pixels = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels, name="SCI")]).writeto(data)
    return data.getvalue()


class TestOpenFile:
    def test_astropy_over_s3(self, s3_store, s3_endpoint, image):
        """An image in a bucket opens in astropy by its URL."""
        s3_store.put("a/image.fits", image)

        with files.open_file(f"{s3_store.url}/a/image.fits", endpoint=s3_endpoint) as file, fits.open(file) as hdus:
            assert hdus["SCI"].data[99, 99] == 9999

    def test_path(self, tmp_path, image):
        """A path of this machine opens likewise."""
        (tmp_path / "image.fits").write_bytes(image)

        with files.open_file(str(tmp_path / "image.fits")) as file:
            assert file.read() == image

    def test_missing(self, s3_store, s3_endpoint, tmp_path):
        """What is not there is named, wherever it is looked for."""
        with pytest.raises(errors.ObjectMissing, match=r"none\.fits"):
            files.open_file(f"{s3_store.url}/none.fits", endpoint=s3_endpoint)
        with pytest.raises(errors.ObjectMissing, match=r"none\.fits"):
            files.open_file(str(tmp_path / "none.fits"))
