"""Sketches of states: their sums by an independent route, and how well they tell a distance."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from paris.experts.errors import CheckpointError
from paris.experts.training.compact_state import compact
from paris.experts.training.sketch import SUMS, keyed_digest, sketch_state
from paris.experts.training.state_distance import distance
from paris.experts.weights.checkpoint import read_specs
from paris.protocol.audits import PARTS, VALUES, apart

NONCE = "5e" * 32
SHAPES = {"a": (31, 7), "b": (5,)}


def tensors(seed: int, scale: float = 1.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: scale * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def write_state(folder: Path, weights, ema, mean, square) -> Path:
    folder.mkdir()
    save_file(weights, folder / "weights.safetensors")
    save_file(ema, folder / "ema.safetensors")
    moments = {f"exp_avg.{name}": value for name, value in mean.items()}
    moments |= {f"exp_avg_sq.{name}": value for name, value in square.items()}
    save_file(moments, folder / "optimizer.safetensors")
    return folder


def state(folder: Path, seed: int, *, noise: float = 0.0) -> Path:
    """A state that another one with the same seed differs from by noise, relative to its values."""
    made = []
    for number in range(4):
        values, other = tensors(seed + number), tensors(1000 + number, noise)
        made.append({name: value + other[name] for name, value in values.items()})
    weights, ema, mean, square = made
    return write_state(folder, weights, ema, mean, {name: value.square() for name, value in square.items()})


def sums_by_hand(values: dict[str, torch.Tensor], part: str) -> list[float]:
    sums = [0.0] * SUMS
    for name, tensor in values.items():
        flat = tensor.double().flatten().tolist()
        random = hashlib.shake_256(bytes.fromhex(NONCE) + part.encode() + b" " + name.encode()).digest(len(flat))
        for value, byte in zip(flat, random, strict=True):
            sums[byte % 64] += -value if byte & 64 else value
    return sums


def test_the_sums_are_those_of_the_protocol(tmp_path):
    start, end = state(tmp_path / "start", 1), state(tmp_path / "end", 50)
    found = sketch_state(end, start, NONCE)
    assert set(found) == set(PARTS)
    assert all(len(sums) == VALUES == SUMS for sums in found.values())
    way = {name: tensors(50)[name].double() - tensors(1)[name].double() for name in SHAPES}
    assert found["weights"] == pytest.approx(sums_by_hand(way, "weights"), rel=1e-6, abs=1e-6)
    divisor = {name: tensors(53)[name].square().double().sqrt() + 1e-8 for name in SHAPES}
    update = {name: tensors(52)[name].double() / divisor[name] for name in SHAPES}
    assert found["update"] == pytest.approx(sums_by_hand(update, "update"), rel=1e-6, abs=1e-6)
    count = sum(math.prod(shape) for shape in SHAPES.values())
    logs = {name: value.log() / math.sqrt(count) for name, value in divisor.items()}
    assert found["scale"] == pytest.approx(sums_by_hand(logs, "scale"), rel=1e-6, abs=1e-6)


def test_the_last_state_of_a_task_is_sketched_by_its_ema_alone(tmp_path):
    start, end = state(tmp_path / "start", 1), state(tmp_path / "end", 50)
    (end / "weights.safetensors").unlink()
    (end / "optimizer.safetensors").unlink()
    assert list(sketch_state(end, start, NONCE, ("ema",))) == ["ema"]


def test_distances_of_sketches_scatter_around_the_true_one_as_the_bound_says(tmp_path):
    start, end = state(tmp_path / "start", 1), state(tmp_path / "end", 50)
    other = state(tmp_path / "other", 50, noise=0.05)
    true = distance(end, other, start)
    found = []
    for number in range(100):
        nonce = f"{number:064x}"
        found.append(apart(sketch_state(other, start, nonce), sketch_state(end, start, nonce)))
    weights = np.array([one.weights for one in found]) / true.weights
    assert np.mean(weights) == pytest.approx(1.0, abs=0.06)
    assert np.std(weights) < 0.2, "of one sketch; of the ratio of two lengths about the root of 2 times 1 / sqrt(128)"
    assert (np.array([one.moments for one in found]) > true.moments / 3).all()


def test_compact_states_are_sketched_by_what_they_stand_for(tmp_path):
    start = state(tmp_path / "start", 1)
    folders = state(tmp_path / "end", 50), state(tmp_path / "other", 50, noise=0.05)
    for folder in folders:
        files = {name: load_file(folder / f"{name}.safetensors") for name in ("weights", "ema", "optimizer")}
        for name, content in compact(files).items():
            save_file(content, folder / f"{name}.safetensors")
    end, other = folders
    true = distance(end, other, start)
    found = apart(sketch_state(other, start, NONCE), sketch_state(end, start, NONCE))
    assert found.weights == pytest.approx(true.weights, rel=0.5)
    assert true.moments / 3 < found.moments < true.moments * 3


def test_only_who_has_the_bytes_can_tell_the_keyed_digest(tmp_path):
    path = tmp_path / "ema.safetensors"
    path.write_bytes(b"bytes")
    assert keyed_digest(path, NONCE) == hashlib.sha256(bytes.fromhex(NONCE) + b"bytes").hexdigest()
    assert keyed_digest(path, "00" * 32) != keyed_digest(path, NONCE)


def test_a_file_of_other_tensors_is_named(tmp_path):
    start, end = state(tmp_path / "start", 1), state(tmp_path / "end", 50)
    specs = {name: read_specs(end / f"{name}.safetensors") for name in ("weights", "ema", "optimizer")}
    save_file({"a": torch.zeros(3)}, end / "weights.safetensors")
    with pytest.raises(CheckpointError, match="weights"):
        sketch_state(end, start, NONCE, specs=specs)


def test_a_negative_second_moment_is_named(tmp_path):
    start, end = state(tmp_path / "start", 1), state(tmp_path / "end", 50)
    bad = {f"{kind}.a": torch.full((2,), -1.0) for kind in ("exp_avg", "exp_avg_sq")}
    save_file(bad, end / "optimizer.safetensors")
    with pytest.raises(CheckpointError, match="negative"):
        sketch_state(end, start, NONCE, ("optimizer",))


def test_a_way_beyond_all_numbers_is_named(tmp_path):
    start, end = state(tmp_path / "start", 1), state(tmp_path / "end", 50)
    huge = {name: torch.full(shape, 1e308, dtype=torch.float64) for name, shape in SHAPES.items()}
    save_file(huge, end / "ema.safetensors")
    save_file({name: -value for name, value in huge.items()}, start / "ema.safetensors")
    with pytest.raises(CheckpointError, match="too far"):
        sketch_state(end, start, NONCE, ("ema",))
