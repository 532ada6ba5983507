import json

import pytest
import torch
from safetensors.torch import save_file

from paris.experts.errors import CheckpointError
from paris.experts.weights.checkpoint import TensorSpec
from paris.experts.weights.weights_file import CHUNK, WeightsFile, is_finite, tensor_locations


def test_pieces_of_a_tensor_that_is_longer_than_a_chunk_fit_together(tmp_path):
    values = torch.randn(2, CHUNK + 7)
    save_file({"a": values, "b": values.half()[0]}, tmp_path / "x")
    file = WeightsFile(tmp_path / "x", "x", {"a": TensorSpec((2, CHUNK + 7)), "b": TensorSpec((CHUNK + 7,))})
    found = {"a": torch.empty(2, CHUNK + 7, dtype=torch.bfloat16), "b": torch.empty(CHUNK + 7, dtype=torch.float16)}
    file.read_into(found)
    assert torch.equal(found["a"], values.bfloat16())
    assert torch.equal(found["b"], values.half()[0])


@pytest.mark.parametrize(
    ("begin", "end"), [(0, 4), (0, 12), (-8, 0), (8, 0), (4, 12), (1 << 40, (1 << 40) + 8), ("0", [])]
)
def test_a_tensor_that_cannot_lie_where_the_header_says_is_refused(tmp_path, begin, end):
    # The file may be exchanged between the check of its names and the reading of its offsets.
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [begin, end]}}).encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with (tmp_path / "x").open("rb", buffering=0) as file, pytest.raises(CheckpointError, match=r"impossible|malform"):
        tensor_locations(file, {"a": TensorSpec((2,))})


@pytest.mark.parametrize("content", [b"", b"\x02", b"\x02" + bytes(7) + b"[]", (1 << 62).to_bytes(8, "little") + b"{}"])
def test_a_header_that_is_no_header_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with (tmp_path / "x").open("rb", buffering=0) as file, pytest.raises(CheckpointError, match="its header"):
        tensor_locations(file, {"a": TensorSpec((2,))})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_finite_is_what_torch_calls_finite(dtype):
    limits = torch.finfo(dtype)
    for value in (
        0.0,
        -0.0,
        limits.max,
        limits.min,
        limits.tiny,
        -limits.tiny / 2,
        *map(float, ("inf", "-inf", "nan")),
    ):
        values = torch.tensor([1.0, value, -1.0], dtype=dtype)
        assert is_finite(values) == bool(torch.isfinite(values).all())
