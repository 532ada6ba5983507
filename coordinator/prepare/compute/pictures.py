"""From the bytes of a picture file to a square of pixels, or to the reason why it is dropped.

Transparent parts become white, the EXIF orientation is applied, and the centre is cropped square and scaled with
Lanczos.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

MISSING = "missing file"
UNREADABLE = "unreadable picture"
TOO_SMALL = "too small"
TOO_LARGE = "too large"
TOO_LONG = "too long and thin"
DUPLICATE = "same bytes as another picture"
NEAR_DUPLICATE = "nearly the same picture as another"
NO_CAPTION = "no caption"
_MAX_DETAIL_CHARS = 200


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


def decode_picture(data: bytes | None, size: int, limits: PictureLimits) -> np.ndarray:
    """Decode one picture.

    Args:
        data: The file's bytes; None if it could not be read.
        size: S, the side of the square in pixels.
        limits: Checked before the picture is decoded.

    Returns:
        uint8 `[3, S, S]`.

    Raises:
        DroppedPicture: It cannot be used.
    """
    if data is None:
        raise DroppedPicture(MISSING)
    try:
        with Image.open(io.BytesIO(data)) as image:
            _check_size(image, limits)
            return _to_square(image, size)
    except DroppedPicture:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise DroppedPicture(TOO_LARGE) from error
    except Exception as error:  # Pillow's decoders raise exceptions of many types on broken bytes
        raise DroppedPicture(UNREADABLE, str(error)[:_MAX_DETAIL_CHARS]) from error


def _check_size(image: Image.Image, limits: PictureLimits) -> None:
    width, height = image.size
    size = f"{width}x{height}"
    if width * height > limits.max_image_pixels:
        raise DroppedPicture(TOO_LARGE, size)
    if min(width, height) < limits.min_side_px:
        raise DroppedPicture(TOO_SMALL, size)
    if limits.max_aspect is not None and max(width, height) > limits.max_aspect * min(width, height):
        raise DroppedPicture(TOO_LONG, size)


def _to_square(image: Image.Image, size: int) -> np.ndarray:
    image.draft("RGB", (size, size))  # JPEG alone: decodes at a half, quarter or eighth, never below the size
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        coloured = upright.convert("RGBA")
        ground = Image.new("RGBA", coloured.size, "white")
        ground.alpha_composite(coloured)
        upright = ground
    square = ImageOps.fit(upright.convert("RGB"), (size, size), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))
