"""Quick-look pictures: a rate image, and beside it the older version and what changed, as PNG bytes.

The same arrays give the same bytes on every machine: levels are found by comparing pixels with tabulated edges, not by
a transcendental function of each pixel, whose last bit differs between processors; text is set without the shaping
libraries of the host; the file carries no date and no version.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from reprocess import errors
from reprocess.exposure import Band

Color = tuple[int, int, int]

DO_NOT_USE = 1
"""The DQ bit of pixels that must not be used."""

_SIDE = 512
_SIDE_BESIDE = 400
_BAND_PIXELS = 1 << 18
_ENLARGE_BELOW = 256
_MARGIN = 16
_GAP = 16
_BAR = 10
_TITLE_ROW = 20
_TITLE_SIZES = (16, 14, 12)
_LABEL_ROW = 20
_SCALE_ROW = 48

# One palette for the whole picture: marks, shades of text, a ramp for rates, a ramp for differences.
_BACKGROUND: Color = (22, 25, 31)
_TEXT: Color = (226, 230, 236)
_QUIET: Color = (148, 156, 168)
_INVALID: Color = (0, 158, 115)
_MARKS = (_BACKGROUND, _INVALID)
_SHADES = 15
_LEVELS = 110
_RATE_ANCHORS: tuple[Color, ...] = ((0, 0, 0), (255, 255, 255))
# Blue against orange is told apart by all eyes, and neither is the green of unusable pixels.
_DIFFERENCE_ANCHORS: tuple[Color, ...] = (
    (140, 205, 255),
    (0, 114, 178),
    (30, 32, 36),
    (213, 94, 0),
    (255, 200, 90),
)
_TEXT_BASE = len(_MARKS)
_QUIET_BASE = _TEXT_BASE + _SHADES
_RATE_BASE = _QUIET_BASE + _SHADES
_DIFFERENCE_BASE = _RATE_BASE + _LEVELS

_SOFTENINGS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
_BLACK_BELOW_SKY = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class QuickLook:
    """What one picture shows.

    Attributes
    ----------
    dataset : str
    title : str
        What the headers say of it, for example ``NIRCAM F200W``.
    new : ndarray of float, shape (row, column)
        Rate in DN/s, NaN where a pixel must not be used (see `shrink`).
    old : ndarray of float, shape (row, column), or None
        The version that readers had before, in the same pixels.
    """

    dataset: str
    title: str
    new: NDArray[np.floating]
    old: NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two versions of one image and their difference, averaged over the same blocks; NaN where unusable.

    All three are of shape (row, column), in DN/s.
    """

    old: NDArray[np.float32]
    new: NDArray[np.float32]
    difference: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    label: str
    indices: NDArray[np.uint8]
    base: int
    scale: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Stretch:
    low: float
    high: float
    softening: float


def shrink(
    image: NDArray[np.floating], dq: NDArray[np.unsignedinteger] | None = None, *, side: int = _SIDE
) -> NDArray[np.float32]:
    """Average square blocks of usable pixels until no side is longer than `side`.

    Parameters
    ----------
    image : ndarray of float, shape (row, column)
        Any unit. Pixels that are not finite are unusable.
    dq : ndarray of unsigned integer, shape (row, column), optional
        Pixels with the bit DO_NOT_USE are unusable.
    side : int
        Longest side of the result, in pixels.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        NaN where fewer than half of a block's pixels are usable. Blocks at the far edges may be smaller.

    Raises
    ------
    WrongLayout
        `image` has not two axes, has no pixels, or `dq` has another shape.
    """
    if image.ndim != 2 or image.size == 0:
        raise errors.WrongLayout(f"A quick look needs an image of rows and columns, not shape {image.shape}.")
    if dq is not None and dq.shape != image.shape:
        raise errors.WrongLayout(f"The DQ array has shape {dq.shape}, the image {image.shape}. They must be equal.")
    usable = np.isfinite(image)
    if dq is not None:
        usable &= (dq & DO_NOT_USE) == 0
    return _average(image, usable, _step(image.shape, side))


def _step(shape: Sequence[int], side: int) -> int:
    return max(1, math.ceil(max(shape) / side))


def _average(image: NDArray[np.floating], usable: NDArray[np.bool_], step: int) -> NDArray[np.float32]:
    values = np.where(usable, image, 0)
    # The order of these additions is fixed, which that of a library's reduction along an axis is not.
    total, count, pixels = (_add_blocks(each, step) for each in (values, usable, np.ones_like(usable)))
    mean = total / np.maximum(count, 1)
    return np.where(2 * count >= pixels, mean, np.nan).astype(np.float32)


def _add_blocks(image: NDArray[np.floating] | NDArray[np.bool_], step: int) -> NDArray[np.float64]:
    total = np.zeros([math.ceil(length / step) for length in image.shape])
    for row in range(step):
        for column in range(step):
            part = image[row::step, column::step]
            total[: part.shape[0], : part.shape[1]] += part
    return total


def pair(
    shape: tuple[int, int],
    read: Callable[[Band], tuple[NDArray[np.floating], NDArray[np.floating]]],
    *,
    side: int = _SIDE_BESIDE,
) -> Pair:
    """Average two versions of an image, some rows at a time.

    Differences are taken before blocks are averaged, so that a pixel unusable in either version counts in neither.

    Parameters
    ----------
    shape : tuple of int
        (row, column) of both.
    read : callable
        Returns the rows of a band of the old and of the new image, NaN where a pixel is unusable.
    side : int
        Longest side of the result, in pixels.
    """
    step = _step(shape, side)
    height = step * max(1, _BAND_PIXELS // (step * max(1, shape[1])))
    parts: list[tuple[NDArray[np.float32], ...]] = []
    for start in range(0, shape[0], height):
        old, new = read(Band(start, min(start + height, shape[0])))
        images = (old, new, np.subtract(new, old, dtype=np.float64))
        parts.append(tuple(_average(image, np.isfinite(image), step) for image in images))
    return Pair(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))


def render(look: QuickLook) -> bytes:
    """Draw a quick look.

    Rates have an asinh stretch from a little below the sky to the 99.7th percentile of the new image, the same for old
    and new, so that they can be compared by eye. The difference is linear and symmetric about zero. Row 0 is at the
    bottom.

    Returns
    -------
    bytes
        A PNG file, the same for the same arrays and texts.

    Raises
    ------
    WrongLayout
        An array has not two axes, or old and new differ in shape.
    """
    if look.old is not None and look.old.shape != look.new.shape:
        raise errors.WrongLayout(
            f"{look.dataset}: the old image has shape {look.old.shape}, the new one {look.new.shape}. "
            "Draw the new one alone."
        )
    return _encode(_compose(look.dataset, look.title, _panels(look)))


def _panels(look: QuickLook) -> list[_Panel]:
    if look.old is None:
        new = _enlarge(shrink(look.new))
        return [_rate_panel("rate", new, _stretch(new))]
    old, new = look.old, look.new
    return _pair_panels(pair((new.shape[0], new.shape[1]), lambda band: (old[band.rows], new[band.rows])))


def render_pair(dataset: str, title: str, images: Pair) -> bytes:
    """Draw two versions that were averaged already, and their difference; see `render`."""
    return _encode(_compose(dataset, title, _pair_panels(images)))


def _pair_panels(images: Pair) -> list[_Panel]:
    old, new, difference = map(_enlarge, (images.old, images.new, images.difference))
    stretch = _stretch(new)
    return [_rate_panel("old", old, stretch), _rate_panel("new", new, stretch), _difference_panel(difference)]


def _rate_panel(label: str, image: NDArray[np.float32], stretch: _Stretch) -> _Panel:
    edges = stretch.low + (stretch.high - stretch.low) * _asinh_edges(stretch.softening)
    scale = (_number(stretch.low), _number(float(edges[_LEVELS // 2 - 1])), f"{_number(stretch.high)} DN/s")
    return _Panel(label, _indices(image, edges, _RATE_BASE), _RATE_BASE, scale)


def _difference_panel(image: NDArray[np.float32]) -> _Panel:
    size = np.abs(image)
    reach = _percentile(size, 0.997) or _percentile(size, 1.0)
    edges = (reach or 1.0) * (2 * np.arange(1, _LEVELS) / _LEVELS - 1)
    label, scale = "new - old", (f"-{_number(reach)}", "0", f"+{_number(reach)} DN/s")
    if reach == 0:
        found = "no difference" if np.isfinite(image).any() else "nothing to compare"
        label, scale = f"new - old: {found}", ("", "0 DN/s", "")
    return _Panel(label, _indices(image, edges, _DIFFERENCE_BASE), _DIFFERENCE_BASE, scale)


def _stretch(image: NDArray[np.float32]) -> _Stretch:
    """Put black a little below the sky, white at the brightest sources, and the bend at the noise of the sky."""
    sky, high = _percentile(image, 0.5), _percentile(image, 0.997)
    noise = sky - _percentile(image, 0.16)
    low = sky - _BLACK_BELOW_SKY * noise
    if high <= low:
        return _Stretch(low, low + 1, _SOFTENINGS[0])
    wanted = noise / (high - low)
    return _Stretch(low, high, next((each for each in _SOFTENINGS if each <= wanted), _SOFTENINGS[-1]))


def _percentile(image: NDArray[np.float32], fraction: float) -> float:
    """Return one of the usable pixels, never a mean of two, so that rounding plays no part; 0 without any."""
    ordered = np.sort(image[np.isfinite(image)])
    return float(ordered[int(fraction * (ordered.size - 1))]) if ordered.size else 0.0


@cache
def _asinh_edges(softening: float) -> NDArray[np.float64]:
    """Return where each level ends, between 0 and 1; rounded, because the last bit of sinh is the host's."""
    reach = math.asinh(1 / softening)
    return np.array([round(softening * math.sinh(reach * n / _LEVELS), 9) for n in range(1, _LEVELS)])


def _indices(image: NDArray[np.float32], edges: NDArray[np.float64], base: int) -> NDArray[np.uint8]:
    levels = np.searchsorted(edges, image, side="right")
    return np.where(np.isfinite(image), base + levels, _MARKS.index(_INVALID)).astype(np.uint8)


def _enlarge(image: NDArray[np.float32]) -> NDArray[np.float32]:
    factor = max(1, _ENLARGE_BELOW // max(image.shape))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _compose(dataset: str, title: str, panels: Sequence[_Panel]) -> Image.Image:
    rows, columns = panels[0].indices.shape
    cell = max(columns, _ENLARGE_BELOW)
    width = 2 * _MARGIN + len(panels) * cell + (len(panels) - 1) * _GAP
    top = _MARGIN + 2 * _TITLE_ROW + 6
    canvas = np.zeros((top + _LABEL_ROW + rows + _SCALE_ROW, width), np.uint8)
    _write(canvas, dataset, x=_MARGIN, y=_MARGIN - 2, size=_title_size(dataset, width), room=width - 2 * _MARGIN)
    _write(canvas, title, x=_MARGIN, y=_MARGIN + _TITLE_ROW, base=_QUIET_BASE, room=width - 2 * _MARGIN)
    for number, panel in enumerate(panels):
        _place(canvas, panel, x=_MARGIN + number * (cell + _GAP), y=top, width=cell)
    picture = Image.fromarray(canvas)
    picture.putpalette([part for color in _palette() for part in color])
    return picture


def _place(canvas: NDArray[np.uint8], panel: _Panel, *, x: int, y: int, width: int) -> None:
    _write(canvas, panel.label, x=x, y=y, room=width)
    key = x + width - _length("unusable")
    _write(canvas, "unusable", x=key, y=y, base=_QUIET_BASE)
    canvas[y + 3 : y + 13, key - 15 : key - 5] = _MARKS.index(_INVALID)
    rows, columns = panel.indices.shape
    image_top = y + _LABEL_ROW
    canvas[image_top : image_top + rows, x : x + columns] = np.flipud(panel.indices)
    bar_top = image_top + rows + 8
    canvas[bar_top : bar_top + _BAR, x : x + width] = panel.base + np.arange(width) * _LEVELS // width
    for text, share in zip(panel.scale, (0.0, 0.5, 1.0), strict=True):
        left = x + int(share * (width - _length(text)))
        _write(canvas, text, x=left, y=bar_top + _BAR + 4, base=_QUIET_BASE)


def _write(
    canvas: NDArray[np.uint8],
    text: str,
    *,
    x: int,
    y: int,
    base: int = _TEXT_BASE,
    size: int = 13,
    room: int | None = None,
) -> None:
    line = _fit(_plain(text), size, room)
    mask = Image.new("L", (_length(line, size) + 2, size + 6))
    ImageDraw.Draw(mask).text((0, 0), line, fill=255, font=_font(size))
    shades = np.asarray(mask, dtype=np.uint16) * _SHADES // 255
    height, width = shades.shape
    under = canvas[y : y + height, x : x + width]
    shades = shades[: under.shape[0], : under.shape[1]]
    under[shades > 0] = base + shades[shades > 0] - 1


def _plain(text: str) -> str:
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def _fit(text: str, size: int, room: int | None) -> str:
    while room is not None and text and _length(text, size) > room:
        text = text.removesuffix("...")[:-1] + "..." if text != "..." else ""
    return text


def _title_size(text: str, width: int) -> int:
    fitting = (size for size in _TITLE_SIZES if _length(_plain(text), size) <= width - 2 * _MARGIN)
    return next(fitting, _TITLE_SIZES[-1])


def _length(text: str, size: int = 13) -> int:
    return math.ceil(_font(size).getlength(text))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise errors.UsageError("Pillow was built without FreeType. Install the wheel of Pillow.")
    return ImageFont.truetype(io.BytesIO(font.font_bytes), size, layout_engine=ImageFont.Layout.BASIC)


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _palette() -> list[Color]:
    text, quiet = (_ramp((_BACKGROUND, color), _SHADES + 1)[1:] for color in (_TEXT, _QUIET))
    return [*_MARKS, *text, *quiet, *_ramp(_RATE_ANCHORS, _LEVELS), *_ramp(_DIFFERENCE_ANCHORS, _LEVELS)]


def _ramp(anchors: Sequence[Color], length: int) -> list[Color]:
    colors = []
    for level in range(length):
        position = level * (len(anchors) - 1) / (length - 1)
        first = min(int(position), len(anchors) - 2)
        share = position - first
        red, green, blue = (round(a + share * (b - a)) for a, b in zip(anchors[first], anchors[first + 1], strict=True))
        colors.append((red, green, blue))
    return colors


def _encode(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, format="PNG", compress_level=9)
    return out.getvalue()
