"""One small pile of pictures in each form that a source may have; all forms hold the same bytes, texts and rights."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw


@dataclass(frozen=True)
class Pictured:
    name: str
    data: bytes
    caption: str | None
    author: str
    licence: str


def png(shape: str, number: int, size: tuple[int, int] = (80, 64)) -> bytes:
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    if shape == "disc":
        pen.ellipse((10 + 3 * number, 8, 50 + 3 * number, 48), fill=(200, 30 + 8 * number, 40))
    else:
        blocks = np.random.default_rng(number).integers(0, 200, (4, 5), np.uint8)
        image = Image.merge("RGB", [Image.fromarray(blocks // part).resize(size, 0) for part in (4, 2, 1)])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pile(num_each: int = 5) -> list[Pictured]:
    """Discs by Ada under CC BY, blocks by Ben under CC0."""
    discs = [Pictured(f"disc-{n}", png("disc", n), f"a red disc {n}", "Ada", "CC BY 4.0") for n in range(num_each)]
    return discs + [
        Pictured(f"blocks-{n}", png("blocks", n), f"blue blocks {n}", "Ben", "CC0 1.0") for n in range(num_each)
    ]


def said(picture: Pictured) -> dict[str, str]:
    return {
        **({} if picture.caption is None else {"caption": picture.caption}),
        "artist": picture.author,
        "LICENSE": picture.licence,
        "url": f"https://example.org/{picture.name}",
    }


def write_folder(folder: Path, pictures: list[Pictured]) -> None:
    folder.mkdir(parents=True)
    for picture in pictures:
        (folder / f"{picture.name}.png").write_bytes(picture.data)
    lines = [json.dumps({"file_name": f"{picture.name}.png", **said(picture)}) for picture in pictures]
    (folder / "metadata.jsonl").write_text("\n".join(lines))


def tar_bytes(pictures: list[Pictured]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for picture in pictures:
            for ending, data in (("png", picture.data), ("json", json.dumps(said(picture)).encode())):
                member = tarfile.TarInfo(f"{picture.name}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


def write_tars(folder: Path, pictures: list[Pictured]) -> None:
    folder.mkdir(parents=True)
    half = len(pictures) // 2
    (folder / "00000.tar").write_bytes(tar_bytes(pictures[:half]))
    (folder / "00001.tar").write_bytes(tar_bytes(pictures[half:]))


def write_tables(folder: Path, pictures: list[Pictured]) -> None:
    folder.mkdir(parents=True)
    rows = [{"image": {"bytes": p.data, "path": f"{p.name}.png"}, **said(p)} for p in pictures]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000.parquet", row_group_size=3)


WRITERS = {"folder": write_folder, "webdataset": write_tars, "parquet": write_tables}
