from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_expert
from tiny_training import SHAPE, SHARD_ROWS, make_data, make_rows, make_task, shard_path
from torch import nn

from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import write_shard
from paris.experts.errors import SettingsError
from paris.experts.frozen.codec import load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.objectives.objectives import Objective
from paris.experts.training.batches import Batch, Batches, draw_times
from paris.experts.training.config import TrainingConfig
from paris.experts.training.loop import smoothed_loss
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_data(folder)
    return folder


def step_of(expert: nn.Module, objective: Objective) -> TrainStep:
    return TrainStep(TrainState(expert, make_task().training), MicroBatch(1), objective)


def make_batches(folder: Path, task_id: str = "expert-1", **training: object) -> Batches:
    task = make_task(**training).model_copy(update={"task_id": task_id})
    data = ClusterData([shard_path(folder, index) for index in range(len(SHARD_ROWS))])
    return Batches(task, data, load_codec(task.codec, folder), load_text_encoder(task.text, folder))


def fields(batch: Batch) -> tuple[torch.Tensor, ...]:
    mask = torch.ones(batch.text.shape[:2], dtype=torch.bool) if batch.text_mask is None else batch.text_mask
    return batch.x0, batch.noise, batch.t, batch.text, mask


def test_a_batch_is_a_function_of_its_step_alone(folder: Path) -> None:
    used = make_batches(folder)
    for step in (9, 0, 9, 4):
        for one, other in zip(fields(used.batch(step)), fields(make_batches(folder).batch(step)), strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(used.batch(0).noise, used.batch(1).noise)


def test_two_tasks_on_the_same_data_draw_other_noise_times_and_rows(folder: Path) -> None:
    one, other = make_batches(folder), make_batches(folder, task_id="expert-2")
    assert one.rows(0) != other.rows(0)
    assert not torch.equal(one.batch(0).noise, other.batch(0).noise)
    assert not torch.equal(one.batch(0).t, other.batch(0).t)


def test_captions_are_the_same_whether_cached_or_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = make_batches(folder)
    monkeypatch.setattr("paris.experts.training.batches._CACHE_BYTES", 0)
    direct = make_batches(folder)
    for step in range(4):
        for one, other in zip(fields(cached.batch(step)), fields(direct.batch(step)), strict=True):
            assert torch.equal(one, other)


@pytest.mark.filterwarnings("ignore:[0-9]* words are not in the vocabulary")
def test_of_several_captions_one_is_drawn_at_each_visit_always_the_same(folder: Path, tmp_path: Path) -> None:
    single = make_batches(folder, caption_dropout=0.0)
    for index, count in enumerate(SHARD_ROWS):
        rows = [replace(row, more_captions=("nothing known", "a third")) for row in make_rows(count, index)]
        write_shard(shard_path(tmp_path, index), rows, SHAPE, "uint8")
    (tmp_path / "vocab.json").write_bytes((folder / "vocab.json").read_bytes())
    first, second = (make_batches(tmp_path, caption_dropout=0.0) for _ in range(2))
    is_first, num_rows = 0, 0
    for step in range(12):
        one, other, plain = first.batch(step), second.batch(step), single.batch(step)
        assert all(torch.equal(a, b) for a, b in zip(fields(one), fields(other), strict=True))
        assert torch.equal(one.noise, plain.noise)
        length = min(one.text.shape[1], plain.text.shape[1])
        is_first += int((one.text[:, :length] == plain.text[:, :length]).all(2).all(1).sum())
        num_rows += len(one.t)
    assert 0.1 < is_first / num_rows < 0.8


def test_captions_are_dropped_as_often_as_configured(folder: Path) -> None:
    for rate in (0.0, 0.5, 1.0):
        batches = make_batches(folder, caption_dropout=rate, batch_size=64)
        null = torch.cat([(batches.batch(step).text == 0).all(2).all(1) for step in range(8)])
        assert null.double().mean().item() == pytest.approx(rate, abs=0.1)


def test_times_have_the_distribution_that_is_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    uniform = draw_times(20_000, "uniform", generator)
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert uniform.var().item() == pytest.approx(1 / 12, abs=0.005)
    middle = draw_times(20_000, "logit-normal", generator)
    logits = torch.log(middle / (1 - middle))
    assert (logits.mean().item(), logits.std().item()) == (pytest.approx(0, abs=0.03), pytest.approx(1, abs=0.03))


def test_the_learning_rate_warms_up_and_falls_to_its_end() -> None:
    config = TrainingConfig(steps=110, batch_size=1, learning_rate=0.2, warmup_steps=10, final_learning_rate=0.1)
    rates = [config.learning_rate_at(step) for step in range(111)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[9] == rates[10] == pytest.approx(0.2)
    assert rates[60] == pytest.approx(0.2 * (0.1 + 0.9 / 2))
    assert rates[110] == pytest.approx(0.02)
    assert TrainingConfig(steps=9, batch_size=1, learning_rate=0.2).learning_rate_at(8) == 0.2


def test_an_unknown_training_field_is_named() -> None:
    with pytest.raises(SettingsError, match="unknown field 'learning_rat'"):
        TrainingConfig.from_settings({"steps": 1, "batch_size": 1, "learning_rat": 0.1})


def test_the_smoothed_loss_does_not_depend_on_where_it_is_cut() -> None:
    losses = list(torch.rand(30, generator=torch.Generator().manual_seed(0)))
    whole = smoothed_loss(None, losses, 0)
    assert smoothed_loss(smoothed_loss(None, losses[:11], 0), losses[11:], 11) == whole
    assert smoothed_loss(None, [torch.tensor(0.75)] * 30, 0) == pytest.approx(0.75)


def padded(lengths: list[int], tokens: int, width: int = 10) -> Batch:
    generator = torch.Generator().manual_seed(2)
    x0, noise = (torch.randn(len(lengths), 3, 8, 8, generator=generator) for _ in range(2))
    text = torch.randn(len(lengths), tokens, width, generator=generator)
    mask = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    return Batch(x0, noise, torch.rand(len(lengths), generator=generator), text, mask)


@pytest.mark.parametrize(
    ("lengths", "tokens", "left", "is_masked"),
    [
        ([3, 9, 1], 40, 16, True),
        ([3, 8, 1], 40, 8, True),
        ([8, 8, 8], 40, 8, False),
        ([3, 33, 1], 37, 37, True),
        ([1, 1, 1], 5, 5, True),
        ([5, 5, 5], 5, 5, False),
    ],
)
def test_text_that_is_padding_in_every_row_is_left_out_and_changes_nothing_but_rounding(
    lengths: list[int], tokens: int, left: int, is_masked: bool
) -> None:
    batch, objective = padded(lengths, tokens), Objective()
    cut = batch.without_padding()
    assert cut.text.shape == (3, left, 10)
    assert (cut.text_mask is not None) == is_masked
    grads = []
    for one in (batch, cut):
        expert = tiny_expert()
        step_of(expert, objective).backward([one])
        grads.append([parameter.grad for parameter in expert.parameters()])
    for whole, part in zip(*grads, strict=True):
        torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-5 * whole.abs().max().item())


def test_padding_that_the_model_may_look_at_is_kept() -> None:
    batch = replace(padded([3, 9], 40), text_mask=torch.ones(2, 40, dtype=torch.bool))
    assert batch.without_padding().text is batch.text


def test_the_loss_of_a_batch_is_the_mean_of_its_pieces() -> None:
    batch, expert = padded([3, 9, 2, 4, 4], 9), tiny_expert()
    for objective in (Objective(), Objective(kind="epsilon")):
        pieces, step = batch.split(2), step_of(expert, objective)
        assert [len(piece) for piece in pieces] == [2, 2, 1]
        mean = sum(step.backward([piece]) * len(piece) for piece in pieces) / 5
        torch.testing.assert_close(mean, step.backward([batch]))
        torch.testing.assert_close(mean, step.backward(pieces))
