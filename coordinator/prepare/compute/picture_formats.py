"""The picture formats that are read: those of Pillow that decode in this process."""

from __future__ import annotations

import functools
import io

from PIL import Image

_OUTSIDE = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
"""Formats that Pillow hands to other programs, which a stranger's file must not start, or does not decode at all."""
_SIGNED = {"AVIF", "BMP", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PNG", "PSD", "QOI", "TIFF", "WEBP"}
"""Formats whose first bytes no text has."""
SIGNATURE_BYTES = 32


@functools.cache
def formats() -> tuple[str, ...]:
    """Names of the formats, as Pillow's `formats`."""
    Image.init()
    return tuple(name for name in Image.ID if name not in _OUTSIDE)


@functools.cache
def endings() -> frozenset[str]:
    """Endings of the formats' files: ".jpg", ".avif"."""
    readable = {*formats(), "MPO"}  # Pillow opens MPO as JPEG
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in readable)


def has_signature(first_bytes: bytes) -> bool:
    """Whether a file of another ending starts as a picture does.

    Args:
        first_bytes: The first `SIGNATURE_BYTES` of the file.
    """
    return any(_accepts(name, first_bytes) is True for name in formats() if name in _SIGNED)


def why_unidentified(data: bytes) -> str:
    """The reason for which Pillow cannot identify a picture: the error of the format that its first bytes name."""
    for name in formats():
        if _accepts(name, data[:SIGNATURE_BYTES]) is True:
            try:
                Image.OPEN[name][0](io.BytesIO(data), "")
            except Exception as error:  # as in decode_picture
                return f"broken {name}: {error}"
    return "not a picture format that Pillow reads"


def _accepts(name: str, first_bytes: bytes) -> bool:
    accept = Image.OPEN[name][1]
    try:
        return accept is not None and accept(first_bytes) is True
    except Exception:  # as on opening: some expect more bytes than an empty file has
        return False
