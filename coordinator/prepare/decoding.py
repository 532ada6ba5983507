"""The Daft step with which every pass over the pictures begins: read the bytes, decode them to squares of pixels."""

from __future__ import annotations

from paris.coordinator.prepare.compute.engine import daft
from paris.coordinator.prepare.compute.functions import DecodePictures
from paris.coordinator.prepare.compute.pictures import PictureLimits
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.sources.reading import with_bytes


def with_pixels(
    frame: daft.DataFrame, size: int, config: PrepareConfig, *, keeps_one_colour: bool = True
) -> daft.DataFrame:
    """Add the column `decoded`, a struct of reason, detail, sha256 and pixels.

    Args:
        frame: Items; only the column `location` is read.
        size: Side of the squares, in pixels.
        config: The source, and the limits of its pictures.
        keeps_one_colour: False in the first pass, which drops pictures of one colour.
    """
    limits = PictureLimits(config.min_side_px, config.max_image_pixels, config.max_aspect, keeps_one_colour)
    # Threads, not processes: Pillow and torch release the GIL while they compute.
    decode = daft.cls(use_process=False)(DecodePictures)(size, limits)
    frame = with_bytes(frame, config.source)
    return frame.with_column("decoded", decode.decode(frame["data"]))
