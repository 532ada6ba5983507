"""Fashion-MNIST's files become a folder of class folders, which the recipe `fashion` reads."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from deadlines import DEADLINE_S
from PIL import Image

from paris.coordinator.demo.fashion import CLASSES, Clothing, read_clothing, write_class_folders
from paris.coordinator.prepare.config import prepare_config
from paris.coordinator.prepare.errors import OutputTakenError, SourceFormatError, SourceMissingError
from paris.coordinator.prepare.sources.folder import read_pictures
from paris.coordinator.prepare.sources.tree import FolderTree
from paris.coordinator.run.config import load_recipe


@pytest.fixture(scope="module")
def clothing():
    dice = np.random.default_rng(0)
    return Clothing(dice.integers(0, 256, (30, 28, 28)).astype(np.uint8), (np.arange(30) % 10).astype(np.uint8))


def files_of(clothing: Clothing, folder: Path) -> Path:
    """The data set's four files; the last ten pictures are the test part."""
    folder.mkdir()
    for part, rows in (("train", slice(20)), ("t10k", slice(20, None))):
        for kind, values in (("images-idx3", clothing.pixels[rows]), ("labels-idx1", clothing.labels[rows])):
            header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + values.tobytes()))
    return folder


def test_files_are_read_back_and_written_into_class_folders(clothing, tmp_path):
    found, out = read_clothing(files_of(clothing, tmp_path / "files")), tmp_path / "out"
    assert np.array_equal(found.pixels, clothing.pixels)
    assert write_class_folders(found, out, 25)
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert written == sorted(f"{CLASSES[i % 10].replace(' ', '_')}/{i:05d}.png" for i in range(25))
    with Image.open(out / "ankle_boot" / "00019.png") as image:
        assert np.array_equal(np.asarray(image), clothing.pixels[19])
    assert not write_class_folders(found, out, 25)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_the_recipe_reads_the_folder_with_the_classes_as_captions(clothing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = prepare_config(load_recipe("fashion").data).source
    write_class_folders(clothing, Path(source.path), 30)
    items = list(read_pictures(FolderTree(source.path), source))
    assert len(items) == 30
    assert {item.caption for item in items} == set(CLASSES)


def test_another_folder_is_left_as_it_is(clothing, tmp_path):
    (tmp_path / "mine.png").write_bytes(b"precious")
    with pytest.raises(OutputTakenError):
        write_class_folders(clothing, tmp_path, 30)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
    (tmp_path / "mine.png").unlink()
    write_class_folders(clothing, tmp_path, 20)
    with pytest.raises(OutputTakenError, match="30 pictures"):
        write_class_folders(clothing, tmp_path, 30)


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"no gzip", lambda data: data[:-20], lambda data: gzip.compress(gzip.decompress(data)[:-1])],
)
def test_a_damaged_file_is_refused(clothing, tmp_path, damage):
    files = files_of(clothing, tmp_path / "files")
    images = files / "train-images-idx3-ubyte.gz"
    images.write_bytes(damage(images.read_bytes()))
    with pytest.raises(SourceFormatError, match=r"train-images-idx3-ubyte\.gz is not an IDX file"):
        read_clothing(files)


def test_where_the_package_is_missing_one_line_says_how_to_get_it(tmp_path):
    with pytest.raises(SourceMissingError):
        read_clothing(tmp_path)
    command = (sys.executable, "-m", "paris.coordinator.demo.fashion", str(tmp_path / "out"), "--files", str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=DEADLINE_S)
    assert done.returncode == SourceMissingError.exit_code
    assert "Install it: apt-get install dataset-fashion-mnist" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
