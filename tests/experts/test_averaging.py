from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from paris.experts.errors import CheckpointError
from paris.experts.files import file_sha256
from paris.experts.weights.averaging import average_files
from paris.experts.weights.checkpoint import save_tensors


def random_tensors(seed: int, **more: Tensor) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    shapes = {"b.weight": (7, 3), "a": (300_000,), "scalar": (), "b.\u00e9": (2, 0, 3)}
    return {**{name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}, **more}


def save_all(folder: Path, several: list[dict[str, Tensor]]) -> list[Path]:
    files = [folder / f"{number}.safetensors" for number in range(len(several))]
    for path, tensors in zip(files, several, strict=True):
        save_tensors(path, tensors)
    return files


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_mean_has_the_bytes_of_numpys_mean_saved_whole(tmp_path: Path, count: int) -> None:
    several = [random_tensors(seed) for seed in range(count)]
    sha256 = average_files(save_all(tmp_path, several), tmp_path / "mean.safetensors")
    stacked = {name: np.stack([one[name].double().numpy() for one in several]) for name in several[0]}
    mean = {name: torch.from_numpy(np.asarray(values.mean(0), np.float32)) for name, values in stacked.items()}
    assert sha256 == save_tensors(tmp_path / "expected.safetensors", mean)
    assert sha256 == file_sha256(tmp_path / "mean.safetensors")


def test_a_file_written_in_another_order_makes_the_same_mean(tmp_path: Path) -> None:
    one, other = random_tensors(0), random_tensors(1)
    files = save_all(tmp_path, [one, other])
    sha256 = average_files(files, tmp_path / "mean.safetensors")
    data = files[1].read_bytes()
    length = int.from_bytes(data[:8], "little")
    padded = data[8 : 8 + length] + b" " * 16
    files[1].write_bytes(len(padded).to_bytes(8, "little") + padded + data[8 + length :])
    assert average_files(files, tmp_path / "again.safetensors") == sha256


def test_no_file_is_held_in_memory(tmp_path: Path) -> None:
    files = save_all(tmp_path, [{"a": torch.full((4_000_000,), float(number))} for number in range(2)])
    tracemalloc.start()
    average_files(files, tmp_path / "mean.safetensors")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < files[0].stat().st_size / 2


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (random_tensors(1, more=torch.zeros(2)), "does not know"),
        (random_tensors(1, a=torch.zeros(2)), "'a' is torch.float32"),
        (random_tensors(1, a=torch.full((300_000,), torch.nan)), "not finite"),
    ],
    ids=["other names", "other shapes", "not finite"],
)
def test_files_that_have_no_mean_leave_the_target_as_it_was(
    tmp_path: Path, second: dict[str, Tensor], what: str
) -> None:
    files, target = save_all(tmp_path, [random_tensors(0), second]), tmp_path / "mean.safetensors"
    target.write_bytes(b"before")
    with pytest.raises(CheckpointError, match=what):
        average_files(files, target)
    assert target.read_bytes() == b"before"


def test_moments_in_8_bits_have_no_mean(tmp_path: Path) -> None:
    (path,) = save_all(tmp_path, [{"exp_avg.a": torch.zeros(4, dtype=torch.uint8)}])
    with pytest.raises(CheckpointError, match="not float32"):
        average_files([path, path], tmp_path / "mean.safetensors")
