"""What a machine declares, and tasks that do not fit it."""

from __future__ import annotations

import importlib.metadata
import os
import re

import pytest
from units import make_unit

from paris.experts.models.presets import PRESETS
from paris.node.devices.portions import machine_of, portions
from paris.node.errors import SettingsError, TaskTooBigError, TrainerError
from paris.node.machine.config import NodeConfig
from paris.node.machine.gpus import visible_gpus
from paris.node.machine.hardware import Hardware, detect, require_fit, size_in_words
from paris.node.machine.home import Home
from paris.protocol.size_needs import SizeNeeds

SMI = """#!/bin/sh
if [ "$1" = -L ]; then
    echo "GPU 0: NVIDIA H100 (UUID: GPU-aaaa-1)"
    [ -z "$SLICED" ] || echo "  MIG 1g.10gb     Device  0: (UUID: MIG-cccc-1)"
    [ -z "$SLICED" ] || echo "  MIG 1c.3g.40gb  Device  1: (UUID: MIG-dddd-2)"
    echo "GPU 1: NVIDIA RTX A2000 (UUID: GPU-bbbb-2)"
else
    echo "GPU-aaaa-1, NVIDIA H100, 81559"
    echo "GPU-bbbb-2, NVIDIA RTX A2000, 6138"
fi
"""
MIB = 2**20
HUGE = PRESETS["dit-xl-2"].model_copy(update={"hidden_size": 65536, "num_layers": 65536, "num_heads": 64})


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A driver with two GPUs, and a torch that can use them."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(SMI)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.13.0+cu130")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_task_that_does_not_fit_says_what_is_missing(make_spec):
    machine = Hardware("cpu", "small CPU", memory_bytes=2**30, disk_bytes=2**30)
    spec = make_spec(model=PRESETS["dit-emoji-4"].to_settings()).payload
    require_fit(make_unit().task, spec, machine)
    for field, word in (("min_memory_bytes", "memory"), ("min_disk_bytes", "free disk")):
        task = make_unit().task.model_copy(update={field: 4 * 2**30})
        with pytest.raises(TaskTooBigError, match=rf"needs 4\.0 GiB of {word}.*has 1\.0 GiB"):
            require_fit(task, spec, machine)


@pytest.mark.parametrize(
    ("training", "needed"), [({}, "11.9 GiB"), ({"moments": "8bit", "precision": "bfloat16"}, "9.6 GiB")]
)
def test_a_task_that_says_less_than_its_model_needs_is_refused_before_anything_is_built(make_spec, training, needed):
    machine = Hardware("cpu", "small CPU", memory_bytes=2**32, disk_bytes=2**30)
    assert make_unit().task.min_memory_bytes == 0
    for model, words in (
        (PRESETS["dit-xl-2"], re.escape(needed)),
        (HUGE, r"[0-9.]+ GiB"),
    ):
        with pytest.raises(TaskTooBigError, match=f"needs {words} of memory"):
            require_fit(make_unit().task, make_spec(model=model.to_settings(), training=training).payload, machine)


def test_a_lease_of_a_smaller_size_is_held_to_what_that_size_needs(make_spec):
    machine = Hardware("cpu", "small CPU", memory_bytes=2**30, disk_bytes=2**30)
    needs = (SizeNeeds(min_memory_bytes=2**29, min_disk_bytes=2**29), SizeNeeds(min_memory_bytes=0, min_disk_bytes=0))
    task = make_unit().task.model_copy(update={"min_memory_bytes": 2**34, "smaller": needs})
    smaller = ({"hidden_size": 48}, {"hidden_size": 12})
    spec = make_spec(model=PRESETS["dit-emoji-4"].to_settings(), smaller=smaller).payload
    for size in (1, 2):
        require_fit(task, spec, machine, size)
    with pytest.raises(TaskTooBigError, match=r"needs 16\.0 GiB of memory"):
        require_fit(task, spec, machine)
    larger = task.model_copy(update={"smaller": (SizeNeeds(min_memory_bytes=0, min_disk_bytes=2**31),)})
    with pytest.raises(TaskTooBigError, match=r"needs 2\.0 GiB of free disk"):
        require_fit(larger, spec, machine, 1)
    with pytest.raises(TrainerError, match="in size 2, which it does not have"):
        require_fit(larger, spec, machine, 2)
    with pytest.raises(TrainerError, match="names size 3, the run has 2 smaller sizes"):
        require_fit(task, spec, machine, 3)
    assert size_in_words(spec, 2).endswith("it trains a smaller one, 16,752 of 706,224 parameters.")


def test_a_model_that_cannot_be_built_is_given_back_with_the_reason(make_spec):
    machine = Hardware("cpu", "small CPU", memory_bytes=2**32, disk_bytes=2**30)
    model = {**PRESETS["dit-emoji-4"].to_settings(), "num_layers": 10**9}
    with pytest.raises(TrainerError, match="num_layers = 1000000000"):
        require_fit(make_unit().task, make_spec(model=model).payload, machine)


def test_the_volunteers_limits_are_what_is_declared(tmp_path):
    config = NodeConfig(device="cpu", memory_limit_bytes=2**30, cache_limit_bytes=2**21)
    hardware = detect(config, tmp_path / "not" / "yet")
    assert (hardware.device, hardware.memory_bytes, hardware.disk_bytes) == ("cpu", 2**30, 2**21)


@pytest.mark.parametrize(
    ("visible", "memories"),
    [
        (None, [81559, 6138]),
        ("1", [6138]),
        ("1,0", [6138, 81559]),
        ("GPU-bbbb", [6138]),
        ("", []),
        ("-1", []),
        ("0,7,1", [81559]),
        ("0,0", [81559]),
        ("none", []),
        ("GPU-", []),
        ("MIG-cccc-1", []),
    ],
)
def test_the_gpus_are_those_that_cuda_would_use(two_gpus, visible, memories):
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert [gpu.memory_bytes // MIB for gpu in visible_gpus(environ)] == memories


@pytest.mark.parametrize(
    ("visible", "memories"),
    [
        (None, [10 * 1024]),
        ("0", [10 * 1024]),
        ("1", [6138]),
        ("GPU-bbbb", [6138]),
        ("1,0", [10 * 1024]),
        ("MIG-dddd-2", [40 * 1024]),
        ("MIG-d", [40 * 1024]),
        ("MIG-dddd-2,MIG-cccc-1", [40 * 1024]),
        ("MIG-eeee,0", []),
        ("MIG-", []),
    ],
)
def test_of_a_gpu_in_slices_cuda_uses_one_slice_and_then_no_other_gpu(two_gpus, monkeypatch, visible, memories):
    monkeypatch.setenv("SLICED", "1")
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert [gpu.memory_bytes // MIB for gpu in visible_gpus(environ)] == memories


def test_a_chosen_gpu_is_the_one_that_is_declared(two_gpus, tmp_path, monkeypatch):
    assert detect(NodeConfig(), tmp_path).device == "cuda"
    second = detect(NodeConfig(device="cuda:1"), tmp_path)
    assert (second.device, second.label, second.memory_bytes) == ("cuda:1", "NVIDIA RTX A2000", 6138 * MIB)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert detect(NodeConfig(), tmp_path).label == "NVIDIA RTX A2000"
    with pytest.raises(SettingsError, match=r"No cuda:1 device.*1 GPUs, CUDA_VISIBLE_DEVICES"):
        detect(NodeConfig(device="cuda:1"), tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert detect(NodeConfig(), tmp_path).device in ("cpu", "mps")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:1:2", "mps:1", " cpu"])
def test_a_device_that_is_none_is_refused(device):
    with pytest.raises(ValueError, match="device"):
        NodeConfig(device=device)


def test_each_of_several_gpus_is_a_machine_of_its_own(two_gpus, tmp_path, monkeypatch):
    config = NodeConfig(device="cuda:1,cuda")
    parts = portions(config, 8, 2**34)
    seen = [machine_of(part, config, Home(tmp_path)).hardware for part in parts]
    assert [(each.device, each.memory_bytes // MIB) for each in seen] == [("cuda:1", 6138), ("cuda:0", 81559)]
    assert len({each.gpu_uuid for each in seen} - {None}) == 2, "heat and power are looked at on each"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(SettingsError, match=r"No cuda:1 device.*CUDA_VISIBLE_DEVICES is '1'"):
        machine_of(parts[0], config, Home(tmp_path))
