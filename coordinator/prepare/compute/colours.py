"""Pixels of any mode as a viewer shows them: eight bits by the mode's depth, on white, in sRGB."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}


def on_white(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture with transparent parts in white.

    Args:
        image: Of any mode.
        profile: Its ICC profile.

    Returns:
        "RGB"; or the mode whose colours the profile describes, for `to_srgb`.
    """
    image = _eight_bits(image)
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        ground = Image.new("RGBA", coloured.size, "white")
        ground.alpha_composite(coloured)
        image = ground
    mode = _profiled_mode(profile)
    if mode in ("L", "CMYK", "LAB") and image.mode == mode:
        return image
    if mode == "L" and image.mode in ("LA", "1"):
        return image.convert("L")
    return _from_lab(image) if image.mode == "LAB" else image.convert("RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture of `on_white` in sRGB, "RGB". A profile that is broken or of another colour space is ignored."""
    if profile is not None and _profiled_mode(profile) == image.mode:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            made = None
        if made is not None:
            return made
    return _from_lab(image) if image.mode == "LAB" else image.convert("RGB")


def _profiled_mode(profile: bytes | None) -> str | None:
    """The mode whose colours a profile describes; None without one. Bytes 16 to 20 of a profile name its space."""
    return None if profile is None else _SPACES.get(profile[16:20].decode("latin-1").strip())


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    made = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return image.convert("RGB") if made is None else made


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or of floats, as "L" or "LA" by its depth: Pillow's own conversion clips at 255."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    grey = Image.fromarray(_scaled(values))
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def _scaled(values: np.ndarray) -> np.ndarray:
    """uint8 `[H, W]` of grey values `[H, W]`.

    Integers are of 16 bits where they fit, else of 32. Floats are from 0 to 1, or to the next power of 256 that they
    fit.
    """
    if values.dtype.kind == "f":
        finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float64)
        top = finite.max(initial=0.0)
        white = next((limit for limit in (1.0, 255.0, 65535.0) if top <= limit), top)
        return np.asarray((finite.clip(0) * (255.0 / white)).round(), np.uint8)
    if values.dtype.itemsize == 4 and (values.max(initial=0) > 0xFFFF or values.min(initial=0) < -0x8000):
        return np.asarray(values.astype(np.uint32) >> 24, np.uint8)
    return np.asarray((values.astype(np.int64).clip(0) + 128) // 257, np.uint8)
