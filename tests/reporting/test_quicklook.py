"""`reprocess.quicklook`: arrays to PNG bytes."""

import io
import os
import struct
import subprocess
import sys
import zlib

import hypothesis
import hypothesis.extra.numpy as stn
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image

from reprocess import errors
from reprocess.reporting import quicklook
from reprocess.reporting.quicklook import QuickLook, render, shrink

GREEN = (0, 158, 115)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def look(new, old=None):
    return QuickLook("jw01", "NIRCAM F200W", np.asarray(new, float), None if old is None else np.asarray(old, float))


def image_part(data, rows, columns, number=0):
    """Cut one panel's image out of a picture, row 0 first."""
    left = 16 + number * (max(columns, 256) + 16)
    top = 16 + 2 * 20 + 6 + 20
    return pixels(data)[top : top + rows, left : left + columns][::-1]


def sky():
    """A flat, noisy sky of 300 by 300 pixels."""
    return np.random.default_rng(0).normal(1.0, 0.1, (300, 300))


class TestShrink:
    def test_small_images_stay(self):
        """An image that fits is returned as it is, in float32."""
        image = np.arange(12.0).reshape(3, 4)

        assert np.array_equal(shrink(image), image)
        assert shrink(image).dtype == np.float32

    def test_blocks_are_averaged(self):
        """A pixel of the result is the mean of its block."""
        image = np.arange(16.0).reshape(4, 4)

        assert np.array_equal(shrink(image, side=2), [[2.5, 4.5], [10.5, 12.5]])

    def test_unusable_pixels_do_not_count(self):
        """NaN, infinity and DO_NOT_USE pixels are left out of the mean, other DQ bits are not."""
        image = np.array([[1.0, 3.0], [np.inf, 100.0]])
        dq = np.array([[4, 2], [0, 5]], np.uint32)

        assert shrink(image, dq, side=1)[0, 0] == 2.0

    def test_mostly_unusable_block_is_unusable(self):
        """A block with fewer than half of its pixels usable is NaN."""
        image = np.array([[1.0, np.nan], [np.nan, np.nan]])

        assert np.isnan(shrink(image, side=1)[0, 0])

    @hypothesis.given(
        stn.arrays(
            np.float32, stn.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.floats(-100, 100, width=32)
        ),
        st.integers(1, 12),
    )
    def test_result_fits_and_stays_within_the_values(self, image, side):
        """No side is longer than asked for, and no mean is outside the values."""
        small = shrink(image, side=side)

        assert max(small.shape) <= side
        assert small.min() >= image.min() - 1e-4
        assert small.max() <= image.max() + 1e-4

    @pytest.mark.parametrize("shape", [(4,), (1, 2, 2), (0, 3)])
    def test_refuses_what_is_no_image(self, shape):
        """An array that is no image of rows and columns is refused with its shape."""
        with pytest.raises(errors.WrongLayout, match="shape"):
            shrink(np.zeros(shape))

    def test_refuses_other_dq(self):
        """A DQ array of another shape is refused."""
        with pytest.raises(errors.WrongLayout, match="must be equal"):
            shrink(np.zeros((2, 2)), np.zeros((2, 3), np.uint32))


class TestRender:
    def test_row_0_is_at_the_bottom(self):
        """A bright pixel in row 0 is at the bottom of the picture, at its column."""
        image = sky()
        image[:3, 5:8] = 1000.0

        drawn = image_part(render(look(image)), 300, 300)

        assert drawn[1, 6].min() == 255
        assert drawn[-2, 6].max() < 200

    def test_unusable_pixels_have_their_own_color(self):
        """Unusable pixels, and only they, have a colour that no rate and no difference has."""
        image = sky()
        image[10:20, 30:40] = np.nan

        for number, old in ((0, None), (1, sky())):
            rows = 300
            drawn = image_part(render(look(image, old)), rows, 300, number)
            assert np.array_equal((drawn == GREEN).all(axis=-1), np.isnan(image))
        assert GREEN not in quicklook._ramp(quicklook._RATE_ANCHORS, 110)
        assert GREEN not in quicklook._ramp(quicklook._DIFFERENCE_ANCHORS, 110)

    def test_brighter_is_never_darker(self):
        """The stretch keeps the order of rates."""
        image = np.geomspace(0.1, 1e4, 300 * 300).reshape(300, 300)

        grey = image_part(render(look(image)), 300, 300)[..., 0].astype(int).ravel()

        assert (np.diff(grey) >= 0).all()
        assert len(np.unique(grey)) > 50

    def test_old_and_new_have_one_scale(self):
        """A pixel of the same rate looks the same in old and new, whatever else is in them."""
        new, old = sky(), sky()
        old[100:, :] *= 5

        data = render(look(new, old))

        assert np.array_equal(image_part(data, 300, 300, 0)[:100], image_part(data, 300, 300, 1)[:100])

    def test_difference_has_a_sign(self):
        """What became brighter is orange, what became fainter blue, and what stayed is dark."""
        new, old = np.ones((300, 300)), np.ones((300, 300))
        new[:100] += 1
        new[200:] -= 1

        drawn = image_part(render(look(new, old)), 300, 300, 2).astype(int)

        assert drawn[50, 50, 0] > drawn[50, 50, 2] + 100
        assert drawn[250, 50, 2] > drawn[250, 50, 0] + 100
        assert drawn[150, 50].max() < 60

    @pytest.mark.parametrize("side", [1, 8, 31, 256, 513, 700])
    @pytest.mark.parametrize("old", [False, True])
    def test_pictures_stay_small(self, side, old):
        """Whatever the size of the image, panels have at most 512 pixels and at least a few."""
        image = np.ones((side, side))

        height, width, _ = pixels(render(look(image, image if old else None))).shape

        assert 128 < height < 512 + 140
        assert 256 < width < 3 * 512

    @pytest.mark.parametrize("value", [np.nan, 0.0, 7.0, -1e30, 1e30])
    def test_flat_images(self, value):
        """An image of one value, or of none, is drawn."""
        image = np.full((20, 30), value)

        for old in (None, image):
            assert render(look(image, old)).startswith(b"\x89PNG")

    def test_refuses_other_shape(self):
        """Old and new of different shapes are refused, with the dataset's name."""
        with pytest.raises(errors.WrongLayout, match="jw01: the old image"):
            render(look(np.zeros((2, 2)), np.zeros((3, 3))))

    @hypothesis.given(st.text(max_size=300), st.text(max_size=300))
    @hypothesis.settings(max_examples=25, deadline=None)
    def test_any_text(self, dataset, title):
        """Names of any characters and length are drawn within the picture."""
        assert render(QuickLook(dataset, title, np.ones((4, 4)))).startswith(b"\x89PNG")


class TestBytes:
    def test_no_metadata(self):
        """The file has pixels and a palette, and neither dates nor names of software."""
        data, position, chunks = render(look(sky())), 8, []
        while position < len(data):
            (length,) = struct.unpack(">I", data[position : position + 4])
            kind = data[position + 4 : position + 8]
            body = data[position + 4 : position + 8 + length]
            assert struct.unpack(">I", data[position + 8 + length : position + 12 + length])[0] == zlib.crc32(body)
            chunks.append(kind)
            position += 12 + length

        assert set(chunks) == {b"IHDR", b"PLTE", b"IDAT", b"IEND"}

    def test_same_in_every_process(self):
        """Two processes make the same bytes, whatever the seed of hashes, time zone and language."""
        code = (
            "from tests.reporting.test_quicklook import *; import hashlib;"
            "print(hashlib.sha256(render(look(sky(), sky() * 1.5)) + render(look(sky()))).hexdigest())"
        )

        def run(**changes):
            environment = {**os.environ, **changes}
            return subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True).stdout

        assert run(PYTHONHASHSEED="1", TZ="UTC") == run(
            PYTHONHASHSEED="2",
            TZ="Asia/Tokyo",
            LANG="C",
            NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        )

    def test_float32_and_float64_agree(self):
        """The bytes do not depend on the float type or the memory layout of the array."""
        image = sky().astype(np.float32)

        one = render(QuickLook("a", "b", image))
        assert one == render(QuickLook("a", "b", image.astype(np.float64)))
        assert one == render(QuickLook("a", "b", np.asfortranarray(image)))
        assert one == render(QuickLook("a", "b", image.astype(">f4")))

    def test_last_bit_of_sinh_does_not_matter(self):
        """Edges are rounded far above the last bit, so the host's mathematics library plays no part."""
        edges = quicklook._asinh_edges(0.03)

        assert np.array_equal(edges, np.round(edges, 9))
        assert (np.diff(edges) > 0).all()
