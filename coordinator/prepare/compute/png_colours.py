"""Colours that a PNG states without an ICC profile: a gamma (gAMA), or the code points of video (cICP).

Pillow reads neither into pixels. Viewers apply the gamma, and need a display's range to show PQ and HLG.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of ITU-T H.273 whose values are not those of an ordinary picture."""
_SRGB_GAMMA = 1 / 2.2
_SAME = 0.05
"""Difference from sRGB's gamma, as a share, below which libpng does nothing either."""


def hdr_transfer(data: bytes) -> str:
    """The name of a PNG's high-dynamic-range transfer function; empty for every other picture."""
    if not data.startswith(_SIGNATURE):
        return ""
    file = io.BytesIO(data)
    file.seek(len(_SIGNATURE))
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"cICP":
            points = file.read(4)
            return _HDR_TRANSFERS.get(points[1], "") if len(points) == 4 else ""
        file.seek(length + 4, io.SEEK_CUR)
    return ""


def stated_gamma(image: Image.Image) -> float | None:
    """The gamma that a viewer applies: None if the picture has a profile, says that it is sRGB, or as good as is."""
    gamma = image.info.get("gamma")
    if gamma is None or gamma <= 0 or "icc_profile" in image.info or "srgb" in image.info:
        return None
    return None if abs(gamma / _SRGB_GAMMA - 1) < _SAME else float(gamma)


def with_gamma(image: Image.Image, gamma: float) -> Image.Image:
    """An "RGB" picture whose values are light to the power of `gamma`, in sRGB.

    Source: PNG specification (third edition), 11.3.2.2; IEC 61966-2-1 for sRGB's curve.
    """
    light = np.linspace(0.0, 1.0, 256) ** (1 / gamma)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    table = (srgb * 255).round().astype(int).tolist()
    return image.point(table * 3)
