from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_training
import torch
from tiny_models import TINY, tiny_expert
from tiny_training import make_data, make_task

from paris.experts.errors import TrainingError
from paris.experts.models.model import initial_expert
from paris.experts.training.batches import Batch
from paris.experts.training.config import TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.machine import MachineSettings
from paris.experts.training.memory import counted_for_backward, is_out_of_memory, rows_within
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep


class SmallDevice(torch.nn.Module):
    """A real expert on a device with room for so many rows: what it says beyond is what CUDA says."""

    def __init__(self, task: TrainingTask, most_rows: int) -> None:
        super().__init__()
        self.expert = initial_expert(task.model, task.seed)
        self.most_rows = most_rows
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        if len(x) > self.most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return self.expert(x, *others)


def some_batch(rows: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(3)
    x0, noise = (torch.randn(rows, 3, 8, 8, generator=generator) for _ in range(2))
    text = torch.randn(rows, 4, 8, generator=generator)
    return Batch(x0, noise, torch.rand(rows, generator=generator), text, None)


def step_of(work: Path, most_rows: int, **machine: object) -> tuple[TrainStep, SmallDevice]:
    task = make_task()
    model = SmallDevice(task, most_rows)
    micro_batch = MicroBatch.of(task.training, MachineSettings.from_settings(machine), work)
    return TrainStep(TrainState(model, task.training), micro_batch, task.training.objective), model


def backward(step: TrainStep, batch: Batch) -> torch.Tensor:
    return step.micro_batch.run(step.backward, batch)


def test_a_full_device_gets_smaller_pieces_until_they_fit_and_the_gradients_are_the_same(tmp_path: Path) -> None:
    small, model = step_of(tmp_path / "small", 2)
    loss = backward(small, some_batch())
    assert model.seen == [6, 3, 2, 2, 2]
    assert small.micro_batch.rows == 2
    large, whole = step_of(tmp_path / "large", 6)
    torch.testing.assert_close(loss, backward(large, some_batch()))
    for one, other in zip(model.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_what_was_found_is_remembered_for_the_same_circumstances_alone(tmp_path: Path) -> None:
    found, _ = step_of(tmp_path, 3)
    backward(found, some_batch())
    again, model = step_of(tmp_path, 3)
    assert again.micro_batch.rows == 3
    backward(again, some_batch())
    assert model.seen == [3, 3]
    assert step_of(tmp_path, 3, checkpointing=True)[0].micro_batch.rows == 6
    (tmp_path / "micro_batch.json").write_text('{"rows": 0}')
    assert step_of(tmp_path, 3)[0].micro_batch.rows == 6


def test_what_was_chosen_is_taken_and_not_remembered(tmp_path: Path) -> None:
    chosen, model = step_of(tmp_path, 6, micro_batch_size=4)
    backward(chosen, some_batch())
    assert model.seen == [4, 2]
    assert not (tmp_path / "micro_batch.json").exists()


def test_a_device_without_room_for_one_row_is_an_error_that_says_what_helps(tmp_path: Path) -> None:
    step, model = step_of(tmp_path, 0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(TrainingError, match=r"even with one row.*checkpointing"):
        step(some_batch())
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_other_errors_of_a_model_are_not_taken_for_a_full_device(tmp_path: Path) -> None:
    step, _ = step_of(tmp_path, 6)
    with pytest.raises(RuntimeError, match="size of tensor"):
        step(replace(some_batch(), t=torch.rand(5)))
    assert step.micro_batch.rows == 6


@pytest.mark.parametrize(
    "words", ["MPS backend out of memory (MPS allocated: 9 GB)", "DefaultCPUAllocator: not enough memory: you tried"]
)
def test_a_full_device_is_known_by_type_or_by_its_words(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))
    assert is_out_of_memory(torch.OutOfMemoryError("anything"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(MemoryError("out of memory"))


def test_what_a_layer_keeps_for_its_backward_pass_is_counted_once_and_without_weights() -> None:
    linear = torch.nn.Linear(5, 7)
    x = torch.randn(3, 5)
    with counted_for_backward(linear) as count:
        (linear(x) * 2 + linear(x)).tanh()
    # The input of both products is one tensor, and tanh keeps its result; weights are there anyway.
    assert count.num_bytes == 4 * (3 * 5 + 3 * 7)


def test_what_a_backward_pass_keeps_for_itself_is_not_counted() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Linear(7, 5))

    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False).square().mean()

    x = torch.randn(3, 5, requires_grad=True)
    with counted_for_backward(model) as alone:
        forward(x)
    with counted_for_backward(model) as both:
        forward(x).backward()
    assert both.num_bytes == alone.num_bytes


def test_on_a_cpu_the_batch_is_halved_until_what_it_keeps_is_within_the_limit() -> None:
    model = tiny_expert()
    x, t, text = torch.randn(1, 3, 8, 8), torch.rand(1), torch.randn(1, 5, TINY.text_embed_dim)

    def one_row() -> torch.Tensor:
        return model(x, t, text).mean()

    with counted_for_backward(model) as count:
        one_row()
    fixed = (512 << 20) + 5 * sum(parameter.nbytes for parameter in model.parameters())
    per_row = 1.3 * count.num_bytes
    assert rows_within(int(fixed + 16.5 * per_row), model, one_row, 16) == 16
    assert rows_within(int(fixed + 15.5 * per_row), model, one_row, 16) == 8
    assert rows_within(int(fixed + 2.5 * per_row), model, one_row, 9) == 2
    assert rows_within(1, model, one_row, 16) == 1


def test_a_training_on_a_cpu_keeps_within_its_limit_and_says_so_in_its_folder(tmp_path: Path) -> None:
    make_data(tmp_path)
    machine = MachineSettings(memory_limit_bytes=1)
    training = ExpertTraining(
        make_task(steps=2),
        tmp_path / "work",
        lambda i: tiny_training.shard_path(tmp_path, i),
        tmp_path,
        machine=machine,
    )
    assert training.run(lambda _: None, lambda: False).is_complete
    kept = json.loads((tmp_path / "work" / "micro_batch.json").read_text())
    assert kept == {"rows": 1, "for": "cpu, limit 1, 6 rows"}
    remembered = MicroBatch.of(make_task(steps=2).training, machine, tmp_path / "work")
    assert (remembered.rows, remembered.is_untried) == (1, False)
