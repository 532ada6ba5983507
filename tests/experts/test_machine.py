from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tiny_training
import torch
from tiny_models import TINY, tiny_expert
from tiny_training import make_data, make_task, never, shard_path

from paris.experts.errors import SettingsError
from paris.experts.models.model import DiTExpert
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.machine import MachineSettings, configure_model, limit_gpu_memory
from paris.experts.training.memory import counted_for_backward
from paris.experts.training.precision import check_precision

LIGHT = """
import runpy, sys
sys.argv = ["tiny_training.py", *sys.argv[1:]]
sys.path.insert(0, sys.argv[0])
import tiny_training
tiny_training.main()
print(sorted({name.split(".")[0] for name in sys.modules} & {"sympy", "triton", "bitsandbytes"}))
print(sorted(name for name in sys.modules if name in ("torch._dynamo", "torch._inductor")))
"""


def step_of(model: DiTExpert, rows: int = 2, tokens: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, text = torch.randn(rows, 3, 8, 8, generator=generator), torch.randn(rows, tokens, 10, generator=generator)
    model.zero_grad()
    out = model(*(one.to(model.pos_embed.device) for one in (x, torch.linspace(0.1, 0.9, rows), text)))
    out.square().sum().backward()
    return [out.detach(), *(parameter.grad.clone() for parameter in model.parameters())]


def train(folder: Path, work: Path, machine: MachineSettings) -> str | None:
    training = ExpertTraining(
        make_task(steps=3), work, lambda i: tiny_training.shard_path(folder, i), folder, machine=machine
    )
    return training.run(lambda _: None, lambda: False).weights_sha256


def test_checkpointing_keeps_less_and_gives_the_same_bits(tmp_path: Path) -> None:
    plain, saving = tiny_expert(), tiny_expert()
    configure_model(saving, MachineSettings(checkpointing=True))
    for one, other in zip(step_of(plain), step_of(saving), strict=True):
        assert torch.equal(one, other)
    make_data(tmp_path)
    assert train(tmp_path, tmp_path / "a", MachineSettings()) == train(
        tmp_path, tmp_path / "b", MachineSettings(checkpointing=True, batches_ahead=1)
    )


def kept_bytes(model: DiTExpert) -> int:
    with counted_for_backward(model) as count:
        model(torch.randn(2, 3, 8, 8), torch.rand(2), torch.randn(2, 5, 10))
    return count.num_bytes


def test_checkpointing_needs_memory_for_one_layer_where_all_would_be_kept() -> None:
    config = TINY.model_copy(update={"num_layers": 8})
    plain, saving = tiny_expert(config=config), tiny_expert(config=config)
    configure_model(saving, MachineSettings(checkpointing=True))
    assert kept_bytes(saving) < kept_bytes(plain) / 4


def test_all_layers_share_one_compilation_and_compute_what_they_did_before() -> None:
    config = TINY.model_copy(update={"num_layers": 4})
    plain, compiled = tiny_expert(config=config), tiny_expert(config=config)
    # The backend that makes no machine code: what is compiled, and how often, is the same. The benchmark compares all.
    configure_model(compiled, MachineSettings(compile=True), backend="aot_eager")
    assert list(compiled.state_dict()) == list(plain.state_dict())
    counters = torch._dynamo.utils.counters["stats"]
    before = counters["unique_graphs"]
    for one, other in zip(step_of(plain), step_of(compiled), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * one.abs().max().item())
    assert counters["unique_graphs"] - before == 1
    # Other numbers of rows and of text tokens are compiled once more, for all numbers at once.
    for rows, tokens in ((3, 4), (4, 3), (5, 2)):
        for one, other in zip(step_of(plain, rows, tokens), step_of(compiled, rows, tokens), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * one.abs().max().item())
    assert counters["unique_graphs"] - before == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm device")
def test_a_gpu_compiles_the_whole_model_and_computes_what_it_did_before() -> None:
    plain, compiled = (tiny_expert().to("cuda") for _ in range(2))
    configure_model(compiled, MachineSettings(compile=True))
    assert list(compiled.state_dict()) == list(plain.state_dict())
    for rows, tokens in ((2, 3), (3, 4), (4, 3), (5, 2)):
        for one, other in zip(step_of(plain, rows, tokens), step_of(compiled, rows, tokens), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * one.abs().max().item())


def test_two_trainings_have_the_same_bits_on_the_fastest_device_that_is_here(tmp_path: Path) -> None:
    make_data(tmp_path)
    machine = MachineSettings(device="cuda" if torch.cuda.is_available() else "cpu")
    task = make_task(steps=6, precision="bfloat16")
    commitments = set()
    for name in ("first", "second"):
        training = ExpertTraining(task, tmp_path / name, lambda index: shard_path(tmp_path, index), tmp_path, machine)
        commitments.add(training.run(lambda progress: None, never).commitment)
    assert len(commitments) == 1


def test_a_training_imports_neither_the_compiler_nor_a_library_that_nobody_asked_for(tmp_path: Path) -> None:
    make_data(tmp_path)
    script = LIGHT.replace("sys.argv[0]", repr(str(Path(tiny_training.__file__).parent)))
    command = [sys.executable, "-c", script, str(tmp_path), str(tmp_path / "work")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[-3].startswith("done ")
    assert lines[-2:] == ["[]", "[]"]


def test_a_precision_that_a_device_does_not_know_is_refused() -> None:
    check_precision(torch.device("cpu"), "bfloat16")
    check_precision(torch.device("meta"), "float32")
    with pytest.raises(SettingsError, match="bfloat16, which the device 'meta' does not support"):
        check_precision(torch.device("meta"), "bfloat16")


def test_an_unknown_choice_is_named() -> None:
    with pytest.raises(SettingsError, match="unknown field 'turbo'"):
        MachineSettings.from_settings({"turbo": True})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm device")
def test_beyond_its_share_the_memory_of_a_gpu_counts_as_full():
    device = torch.device("cuda")
    try:
        limit_gpu_memory(device, 0.1)
        total = torch.cuda.get_device_properties(device).total_memory
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(total // 8, dtype=torch.uint8, device=device)
    finally:
        limit_gpu_memory(device, 1.0)


def test_a_share_of_the_gpus_memory_changes_nothing_on_a_cpu():
    limit_gpu_memory(torch.device("cpu"), 0.1)
    assert torch.empty(2**20).numel() == 2**20
