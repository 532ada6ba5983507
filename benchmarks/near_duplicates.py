"""How well near duplicates are distinguished from different pictures with a similar perceptual hash.

    python -m benchmarks.near_duplicates [--rows 6000] [--out FILE]

Data: all Twemoji emoji on white, and Fashion-MNIST (Debian's dataset-fashion-mnist). Every fourth picture is copied
four times: as JPEG of quality 90, of quality 75 at three quarters of its size, of quality 60 at half its size, and as
WebP at one and a half. For each number of bits: the number of pairs of different pictures matched by the hash alone,
with imagehash.colorhash (at the distance that keeps 95 % of the copies of emoji), and with the mean colours of
`prepare`; and the share of copies found by the hash alone and with the colours. Pairs with equal pixels do not count.
Writes benchmarks/results/near_duplicates.json.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from PIL import Image

from benchmarks.record import as_table, write_result
from paris.coordinator.demo.fashion import read_clothing
from paris.coordinator.prepare.compute.pictures import PictureLimits, decode_picture
from paris.coordinator.prepare.selecting.filters import HashPictures
from paris.coordinator.prepare.selecting.near_duplicates import MAX_LEVELS
from paris.coordinator.prepare.sources.settings import TwemojiSource
from paris.coordinator.prepare.sources.twemoji import read_twemoji

_VIEW_PX = 128
_COPIES = ((90, 1.0), (75, 0.75), (60, 0.5))
_COLORHASH_BITS = 4
_LIMITS = PictureLimits(min_side_px=1, max_image_pixels=10**8)
_HEADINGS = ("pictures", "bits", "wrong_hash", "wrong_colorhash", "wrong_colours", "found_hash", "found_colours")


def emoji() -> Iterator[Image.Image]:
    """All base forms."""
    for item in read_twemoji(TwemojiSource(names="all")):
        image = Image.open(item.location.removeprefix("file://")).convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image)
        yield ground.convert("RGB")


def fashion(rows: int) -> Iterator[Image.Image]:
    """The first pieces of clothing, dark on white."""
    for picture in read_clothing().pixels[:rows]:
        yield Image.fromarray(255 - picture).convert("RGB")


def copies(image: Image.Image) -> Iterator[bytes]:
    """The same picture as others publish it."""
    for quality, scale in _COPIES:
        yield saved(image.resize((round(image.width * scale), round(image.height * scale))), "JPEG", quality=quality)
    yield saved(image.resize((round(image.width * 1.5), round(image.height * 1.5))), "WEBP", quality=80)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


class Looks:
    """What the ways compare, of some pictures."""

    def __init__(self, files: list[bytes]) -> None:
        pixels = [decode_picture(data, _VIEW_PX, _LIMITS) for data in files]
        hashed = [HashPictures(_VIEW_PX).of_pixels(one.tobytes()) for one in pixels]
        self.bits = np.array([one["phash"] for one in hashed], np.uint64)
        self.colours = np.stack([np.frombuffer(one["colours"], np.uint8) for one in hashed]).astype(np.int16)
        colorhashes = [imagehash.colorhash(Image.fromarray(one.transpose(1, 2, 0))) for one in pixels]
        self.colorhash = np.stack([one.hash.ravel() for one in colorhashes])
        self.sums = np.array([hash(one.tobytes()) for one in pixels])


def measured(name: str, pictures: list[Image.Image]) -> list[dict[str, Any]]:
    """Wrong pairs and copies found, for each number of bits."""
    own = Looks([saved(image, "PNG") for image in pictures])
    origins = np.repeat(np.arange(0, len(pictures), 4), len(_COPIES) + 1)
    copied = Looks([data for image in pictures[::4] for data in copies(image)])
    one, other = np.triu_indices(len(pictures), 1)
    apart = np.concatenate([np.bitwise_count(own.bits[i] ^ own.bits[i + 1 :]) for i in range(len(pictures))])
    near = (apart <= 8) & (own.sums[one] != own.sums[other])
    one, other, apart = one[near], other[near], apart[near]
    levels = np.abs(own.colours[one] - own.colours[other]).max(axis=1)
    colorhash = (own.colorhash[one] != own.colorhash[other]).sum(axis=1)
    copies_apart = np.bitwise_count(copied.bits ^ own.bits[origins])
    copies_levels = np.abs(copied.colours - own.colours[origins]).max(axis=1)
    return [
        {
            "pictures": f"{len(pictures)} {name}",
            "bits": bits,
            "wrong_hash": int((apart <= bits).sum()),
            "wrong_colorhash": int(((apart <= bits) & (colorhash <= _COLORHASH_BITS)).sum()),
            "wrong_colours": int(((apart <= bits) & (levels <= MAX_LEVELS)).sum()),
            "found_hash": round(float((copies_apart <= bits).mean()), 3),
            "found_colours": round(float(((copies_apart <= bits) & (copies_levels <= MAX_LEVELS)).mean()), 3),
        }
        for bits in (0, 3, 6, 8)
    ]


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=6000, help="pieces of clothing")
    parser.add_argument("--out", type=Path, help="the file to write")
    options = parser.parse_args()
    rows = measured("emoji", list(emoji())) + measured("of Fashion-MNIST", list(fashion(options.rows)))
    print(as_table(_HEADINGS, [[str(row[name]) for name in _HEADINGS] for row in rows]))
    print(write_result("near_duplicates", rows, out=options.out, colorhash_bits=_COLORHASH_BITS, levels=MAX_LEVELS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
