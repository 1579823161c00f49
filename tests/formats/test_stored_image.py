"""Images read by rows from their place in a file."""

import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.formats import stored_image
from reprocess.formats.stored_image import HeldBytes, HeldImage, OpenFile, StoredImage

TYPES = ("u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8")


def written(data, **header):
    """A FITS file with one image."""
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, fits.Header(header), name="SCI")]).writeto(stream)
    return stream.getvalue()


def image(data):
    """The image of a file in memory."""
    with fits.open(io.BytesIO(data)) as file:
        return stored_image.image_of(file["SCI"], HeldBytes(data), "file: SCI")


class TestRead:
    """`read`."""

    @pytest.mark.parametrize("dtype", TYPES)
    @settings(deadline=None)
    @given(st.data())
    def test_windows(self, dtype, draw):
        """A window of any plane has the numbers that astropy gives, for every type that FITS has."""
        shape = tuple(draw.draw(st.lists(st.integers(1, 7), min_size=2, max_size=4)))
        whole = (
            np.random.default_rng(1).integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8).view(dtype)[..., 0]
        )
        rows, columns = (draw.draw(_slices(length)) for length in shape[-2:])
        found = image(written(whole))
        out = np.empty((*shape[:-2], rows.stop - rows.start, columns.stop - columns.start), found.dtype)

        assert isinstance(found, StoredImage)
        assert found.dtype == whole.dtype
        found.read(rows, columns, out=out)
        assert out.tobytes() == whole[..., rows, columns].tobytes()

    def test_large(self, tmp_path):
        """Images of more than one piece are read from disk as they are from memory."""
        whole = np.arange(2 * 300 * 700, dtype=np.float32).reshape(2, 300, 700)
        (tmp_path / "x.fits").write_bytes(written(whole))
        with (tmp_path / "x.fits").open("rb") as file:
            with stored_image.opened(file) as hdus:
                found = stored_image.image_of(hdus["SCI"], OpenFile(file), "x")
            out = found.read(slice(100, 300), slice(0, 700), out=np.empty((2, 200, 700), np.float32))
            pieces = np.concatenate([piece.copy() for piece in found.pieces()])

        np.testing.assert_array_equal(out, whole[:, 100:])
        np.testing.assert_array_equal(pieces, whole.reshape(-1))

    def test_first_planes(self):
        """Only the first planes of the third last axis are read where only these are wanted."""
        whole = np.arange(2 * 5 * 3 * 4, dtype=np.float32).reshape(2, 5, 3, 4)
        out = image(written(whole)).read(
            slice(0, 3), slice(0, 4), out=np.empty((2, 2, 3, 4), np.float32), planes=slice(0, 2)
        )

        np.testing.assert_array_equal(out, whole[:, :2])

    def test_cut_off(self):
        """A file that ends before its image is refused by its label."""
        data = written(np.zeros((50, 50), np.float32))
        found = image(data)
        short = StoredImage(HeldBytes(data[:6000]), found.offset, found.shape, found.stored, found.dtype, "short: SCI")
        with pytest.raises(errors.Truncated, match="short: SCI"):
            short.read(slice(0, 50), slice(0, 50), out=np.empty((50, 50), np.float32))


class TestImageOf:
    """`image_of`."""

    @pytest.mark.parametrize("header", [{"BSCALE": 2.0}, {"BZERO": 5.0}, {"BLANK": 3}])
    def test_scaled(self, header):
        """Pixels that are not what is stored are read whole, as astropy reads them."""
        data = written(np.arange(12, dtype=np.int16).reshape(3, 4))
        with fits.open(io.BytesIO(data), mode="update", do_not_scale_image_data=True) as file:
            file["SCI"].header.update(header)
            stream = io.BytesIO()
            file.writeto(stream)
        found = image(stream.getvalue())
        with fits.open(io.BytesIO(stream.getvalue())) as file:
            wanted = file["SCI"].data.astype(np.float32)

        assert isinstance(found, HeldImage)
        out = found.read(slice(1, 3), slice(0, 2), out=np.empty((2, 2), np.float32))
        np.testing.assert_array_equal(out, wanted[1:3, :2])

    def test_no_data(self):
        """An extension without data has no image."""
        assert image(written(None)) is None


def _slices(length):
    return st.integers(0, length - 1).flatmap(lambda a: st.integers(a + 1, length).map(lambda b: slice(a, b)))
