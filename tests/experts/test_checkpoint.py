from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from paris.experts.errors import CheckpointError
from paris.experts.files import DiskFullError, file_sha256
from paris.experts.weights.checkpoint import (
    TensorSpec,
    load_tensors,
    load_weights,
    read_specs,
    save_tensors,
    save_weights,
    specs_of,
)

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1.5])}


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """A disk that is full for this process: files may not grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_saved_tensors_come_back_and_the_digest_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "x.safetensors"
    assert save_tensors(path, TENSORS) == file_sha256(path)
    for loaded in (load_tensors(path, specs_of(TENSORS)), load_file(path)):
        assert all(torch.equal(loaded[name], TENSORS[name]) for name in TENSORS)
    assert [file.name for file in path.parent.iterdir()] == ["x.safetensors"]


def test_a_header_is_read_without_the_tensors(tmp_path: Path) -> None:
    save_tensors(tmp_path / "x", TENSORS)
    assert read_specs(tmp_path / "x") == {"a.weight": TensorSpec((2, 3)), "b": TensorSpec((1,))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": None}, "lacks 'b'"),
        ({"extra": torch.zeros(1)}, "has 'extra', which the model does not know"),
        ({"b": torch.zeros(2)}, r"'b' is torch.float32 \[2\], not torch.float32 \[1\]"),
        ({"b": torch.zeros(1, dtype=torch.float16)}, r"'b' is torch.float16 \[1\]"),
        ({"b": torch.tensor([float("nan")])}, "'b' holds a value that is not finite"),
    ],
)
def test_a_file_that_differs_in_one_tensor_is_refused_by_name(tmp_path: Path, change: dict, message: str) -> None:
    tensors = {name: tensor for name, tensor in {**TENSORS, **change}.items() if tensor is not None}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_tensors(tmp_path / "x.safetensors", specs_of(TENSORS))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle in a zip", (2**40).to_bytes(8, "little") + b"{}"])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match="x is not a readable safetensors file"):
        load_tensors(tmp_path / "x", specs_of(TENSORS))


def test_a_missing_file_and_one_that_is_cut_off_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a readable"):
        load_tensors(tmp_path / "none", specs_of(TENSORS))
    save_tensors(tmp_path / "x", TENSORS)
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="not a readable"):
        load_tensors(tmp_path / "x", specs_of(TENSORS))


def test_a_tensor_of_a_type_that_no_model_has_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "I8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(CheckpointError, match="type 'I8'"):
        read_specs(tmp_path / "x")


def test_a_model_is_unchanged_where_loading_fails(tmp_path: Path) -> None:
    model, other = nn.Linear(2, 3), nn.Linear(2, 4)
    before = model.weight.clone()
    save_weights(tmp_path / "x", other)
    with pytest.raises(CheckpointError):
        load_weights(tmp_path / "x", model)
    assert torch.equal(model.weight, before)
    twin = nn.Linear(2, 4)
    load_weights(tmp_path / "x", twin)
    assert torch.equal(twin.weight, other.weight)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    digest = save_tensors(path, TENSORS)
    with largest_file(4096), pytest.raises(DiskFullError, match=r"No space left to write .*x\.safetensors"):
        save_tensors(path, {"big": torch.zeros(10_000)})
    assert file_sha256(path) == digest
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]
