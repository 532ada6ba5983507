"""Fashion-MNIST as a folder of class folders: `python -m paris.coordinator.demo.fashion FOLDER [--rows 10000]`.

FOLDER/t-shirt/00001.png  FOLDER/ankle_boot/00000.png  ...      named by their place in the data set

Out of the files of Debian's package `dataset-fashion-mnist`. Source: Xiao, Rasul and Vollgraf, arXiv 1708.07747; MIT
licence. The recipe `fashion` reads the folder as it reads anybody's pictures.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import zlib
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from paris.coordinator.console import fail_clearly, say
from paris.coordinator.prepare.errors import OutputTakenError, SourceFormatError, SourceMissingError
from paris.protocol.streams import protect_streams

CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
INSTALLED = Path("/usr/share/datasets/fashion-mnist")
"""Where the package puts its files."""
_INSTALL = "Install it: apt-get install dataset-fashion-mnist. Or give a folder with its four .gz files: --files."
_IDX_UNSIGNED_BYTES = 8


class Clothing(NamedTuple):
    """Pictures of Fashion-MNIST. Shape: N pictures."""

    pixels: np.ndarray
    """Grey, white on black, uint8 `[N, 28, 28]`."""
    labels: np.ndarray
    """Places in `CLASSES`, uint8 `[N]`."""


def read_clothing(folder: Path = INSTALLED) -> Clothing:
    """Read all 70,000 pictures: the 60,000 of the training files, then the 10,000 of the test files.

    Args:
        folder: With the four files of the data set.

    Raises:
        SourceMissingError: A file is missing.
        SourceFormatError: A file is damaged.
    """
    parts = [(_idx(folder, f"{part}-images-idx3"), _idx(folder, f"{part}-labels-idx1")) for part in ("train", "t10k")]
    return Clothing(np.concatenate([pixels for pixels, _ in parts]), np.concatenate([labels for _, labels in parts]))


def _idx(folder: Path, name: str) -> np.ndarray:
    """One IDX file: two zero bytes, the type, the number of axes, their lengths as big-endian int32, the values."""
    path = folder / f"{name}-ubyte.gz"
    if not path.is_file():
        raise SourceMissingError(f"{path} is missing.", _INSTALL)
    damaged = SourceFormatError(f"{path} is not an IDX file of bytes.", "Install dataset-fashion-mnist again.")
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise damaged from error
    if len(data) < 4 or data[:3] != bytes([0, 0, _IDX_UNSIGNED_BYTES]) or len(data) < 4 + 4 * data[3]:
        raise damaged
    shape = [int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(data[3])]
    if len(data) - 4 - 4 * data[3] != np.prod(shape):
        raise damaged
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def write_class_folders(clothing: Clothing, folder: Path, num_rows: int) -> bool:
    """Write the first pictures as PNG, each into the folder of its class; whole or not at all.

    Args:
        clothing: All pictures.
        folder: A missing or empty folder, or one that this function has written with as many rows.
        num_rows: Pictures to write, from the first on; the classes are mixed.

    Returns:
        False if they were there already.

    Raises:
        OutputTakenError: The folder has other files; they are unchanged.
    """
    from PIL import Image

    chosen = list(enumerate(zip(clothing.pixels[:num_rows], clothing.labels[:num_rows], strict=True)))
    wanted = {f"{_class_folder(label)}/{number:05d}.png" for number, (_, label) in chosen}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if found == wanted:
        return False
    if found or folder.is_file():
        raise OutputTakenError(
            f"{folder} has other files than these {len(wanted)} pictures.", "Choose another folder, or remove it."
        )
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        for name in {_class_folder(label) for _, (_, label) in chosen}:
            (partial / name).mkdir(parents=True)
        for number, (pixels, label) in chosen:
            Image.fromarray(pixels).save(partial / _class_folder(label) / f"{number:05d}.png")
        shutil.rmtree(folder, ignore_errors=True)  # empty folders at most
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _class_folder(label: int) -> str:
    return CLASSES[label].replace(" ", "_")


app = typer.Typer(add_completion=False)


@app.command()
def write(
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    rows: Annotated[int, typer.Option(help="Number of pictures, of 70,000.", min=1, max=70_000)] = 10_000,
    files: Annotated[Path, typer.Option(help="Folder with the data set's four .gz files.")] = INSTALLED,
) -> None:
    """Write Fashion-MNIST's pictures into class folders."""
    if write_class_folders(read_clothing(files), folder, rows):
        say(f"Wrote {rows} pictures of {len(CLASSES)} classes to {folder}.")


if __name__ == "__main__":
    protect_streams()
    fail_clearly(app, sys.argv[1:])
