"""From the bytes of a picture file to a square of pixels, or to the reason why it is dropped.

A picture is decoded as a viewer shows it: the first frame of an animation that is not of one colour, turned by its EXIF
orientation, in sRGB, on white. The centre is cropped square and scaled with Lanczos. Modes and profiles: colours.py;
PNG gamma: png_colours.py.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from paris.coordinator.prepare.compute.colours import on_white, to_srgb
from paris.coordinator.prepare.compute.picture_formats import formats, why_unidentified
from paris.coordinator.prepare.compute.png_colours import hdr_transfer, stated_gamma, with_gamma

MISSING = "missing file"
UNREADABLE = "unreadable picture"
ONE_COLOUR = "one colour"
TOO_SMALL = "too small"
TOO_LARGE = "too large"
TOO_LONG = "too long and thin"
HDR = "high dynamic range"
DUPLICATE = "same bytes as another picture"
NEAR_DUPLICATE = "nearly the same picture as another"
NO_CAPTION = "no caption"
_MAX_DETAIL_CHARS = 200
_MAX_FRAMES = 100
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
warnings.filterwarnings("ignore", module=r"PIL\.")  # on broken EXIF, and on sizes, which max_image_pixels decides


class DroppedPicture(Exception):
    """The picture cannot be used; `reason` is one of this module's constants, `detail` its size or an error."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason)


@dataclass(frozen=True)
class PictureLimits:
    """Limits of the pictures that are used."""

    min_side_px: int
    max_image_pixels: int
    max_aspect: float | None = None
    """Longer side over shorter; None: any."""
    keeps_one_colour: bool = False
    """Return squares of one colour too: of rows that passed at another size, whose details may vanish at this one."""


def decode_picture(data: bytes | None, size: int, limits: PictureLimits) -> np.ndarray:
    """Decode one picture.

    Args:
        data: The file's bytes; None if it could not be read.
        size: S, the side of the square in pixels.
        limits: Sizes are checked before the picture is decoded.

    Returns:
        uint8 `[3, S, S]`.

    Raises:
        DroppedPicture: It cannot be used.
    """
    if data is None:
        raise DroppedPicture(MISSING)
    # Pillow refuses pictures of twice its own limit.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, limits.max_image_pixels)
    try:
        with Image.open(io.BytesIO(data), formats=formats()) as image:
            _check_size(image, limits)
            if transfer := hdr_transfer(data):
                raise DroppedPicture(HDR, transfer)
            square = _to_square(image, size, limits)
    except DroppedPicture:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise DroppedPicture(TOO_LARGE) from error
    except UnidentifiedImageError as error:
        raise DroppedPicture(UNREADABLE, _detail(why_unidentified(data))) from error
    except Exception as error:  # Pillow's decoders raise exceptions of many types on broken bytes
        raise DroppedPicture(UNREADABLE, _detail(str(error) or type(error).__name__)) from error
    pixels = np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))
    if not limits.keeps_one_colour and _is_one_colour(square):
        raise DroppedPicture(ONE_COLOUR, f"#{bytes(pixels[:, 0, 0]).hex()}")
    return pixels


def _detail(text: str) -> str:
    """An error's text without memory addresses, which differ from run to run."""
    return _ADDRESS.sub("", text)[:_MAX_DETAIL_CHARS]


def _check_size(image: Image.Image, limits: PictureLimits) -> None:
    width, height = image.size
    size = f"{width}x{height}"
    if width * height > limits.max_image_pixels:
        raise DroppedPicture(TOO_LARGE, size)
    if min(width, height) < limits.min_side_px:
        raise DroppedPicture(TOO_SMALL, size)
    if limits.max_aspect is not None and max(width, height) > limits.max_aspect * min(width, height):
        raise DroppedPicture(TOO_LONG, size)


def _to_square(image: Image.Image, size: int, limits: PictureLimits) -> Image.Image:
    """The square, "RGB"."""
    image.draft("RGB", (size, size))  # JPEG alone: decodes at a half, quarter or eighth, never below the size
    profile, gamma = image.info.get("icc_profile"), stated_gamma(image)
    shown = _shown_frame(image, limits, profile)
    square = to_srgb(ImageOps.fit(shown, (size, size), Image.Resampling.LANCZOS), profile)
    return square if gamma is None else with_gamma(square, gamma)


def _shown_frame(image: Image.Image, limits: PictureLimits, profile: bytes | None) -> Image.Image:
    """The first frame with more than one colour in its central square, else the first of all.

    Chosen at full size, so that the passes over the pictures, at different sizes, choose the same frame.
    """
    first = on_white(_upright(image), profile)
    if getattr(image, "n_frames", 1) == 1 or not _is_one_colour(_centre(first)):
        return first
    others = _later_frames(image, limits, profile)
    return next((frame for frame in others if not _is_one_colour(_centre(frame))), first)


def _later_frames(image: Image.Image, limits: PictureLimits, profile: bytes | None) -> Iterator[Image.Image]:
    """The frames after the first, as far as they can be decoded."""
    for number in range(1, min(getattr(image, "n_frames", 1), _MAX_FRAMES)):
        try:
            image.seek(number)
            _check_size(image, limits)
            frame = on_white(_upright(image), profile)
        except Exception:  # as in decode_picture
            return
        yield frame


def _upright(image: Image.Image) -> Image.Image:
    """A frame, turned by its orientation.

    Not `ImageOps.exif_transpose`: it writes the other EXIF values back and fails on those of a wrong type.
    """
    image.load()
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the EXIF block is not readable, which no viewer minds
        turn = None
    return image.copy() if turn is None else image.transpose(turn)


def _centre(image: Image.Image) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _is_one_colour(image: Image.Image) -> bool:
    extrema = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    return all(low == high for low, high in bands)
