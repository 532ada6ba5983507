"""What an expert draws as it learns, and that its training does not notice."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mini_coordinator import MODEL, SHARD_ROWS, TRAINING, write_cluster
from PIL import Image
from units import RUN, make_unit

from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig
from paris.experts.sampling.prompts import Prompts
from paris.experts.training.ema import Ema
from paris.experts.training.state import TrainState
from paris.experts.weights.checkpoint import load_weights
from paris.node.fetching.cache import Cache
from paris.node.machine.config import NodeConfig
from paris.node.machine.drawings import MOST, NUM_PICTURES, Drawings, DrawingsIndex
from paris.node.machine.hardware import Hardware
from paris.node.machine.home import Home
from paris.node.machine.machine import Machine
from paris.node.trainer.drawing import as_png, drawn, pictures
from paris.node.trainer.order import DrawingOrder, Order, ShardFile
from paris.node.trainer.task import make_drawer, make_training, task_of
from paris.node.work.order import drawn_every, make_order


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_cluster(folder, 0)
    write_vocabulary(folder / "vocab.json", ["cat", "red"])
    return folder


def order(data: Path, work: Path, *, every_steps: int | None, **changes) -> dict:
    paths = sorted((data / "shards" / "cluster-000").iterdir())
    drawing = DrawingOrder(folder=str(work / "drawings"), every_steps=every_steps) if every_steps else None
    values = {
        "run_id": "tiny-0123456789abcdef",
        "task_id": "expert-0",
        "seed": 3,
        "steps": 12,
        "batch_size": 4,
        "model": MODEL,
        "training": {**TRAINING, "snapshot_every": 4},
        "text": {"kind": "vocabulary", "dim": 8, "max_tokens": 4},
        "codec": {"kind": "pixels"},
        "shards": tuple(ShardFile(path=str(path), rows=n) for path, n in zip(paths, SHARD_ROWS, strict=True)),
        "text_folder": str(data),
        "work": str(work),
        "device": "cpu",
        "threads": 1,
        "drawing": drawing,
    }
    return json.loads(Order(**{**values, **changes}).model_dump_json())


def train(made: dict, stop_after: int | None = None):
    """Train as the trainer's process does."""
    asked = [0]

    def should_stop() -> bool:
        asked[0] += 1
        return asked[0] == stop_after

    training = make_training(made, "cpu", lambda: False)
    return training.run(lambda progress: None, should_stop, make_drawer(made))


@pytest.fixture(scope="module")
def undrawn(data, tmp_path_factory):
    torch.manual_seed(5)
    finished = train(order(data, tmp_path_factory.mktemp("undrawn"), every_steps=None))
    return finished, torch.get_rng_state()


@pytest.fixture(scope="module")
def work(data, tmp_path_factory):
    work = tmp_path_factory.mktemp("drawn")
    torch.manual_seed(5)
    finished = train(order(data, work, every_steps=4))
    return work, finished, torch.get_rng_state()


def test_a_training_that_draws_ends_with_the_same_bits(undrawn, work):
    (plain, state_then), (_, drawing, state_now) = undrawn, work
    assert drawing.weights_sha256 == plain.weights_sha256
    assert drawing.commitment == plain.commitment, "the optimizer and the live weights, too"
    assert torch.equal(state_now, state_then), "no draw from the process's own generator"


def test_it_draws_the_average_of_the_weights_at_every_so_many_steps(data, work):
    folder, finished, _ = work
    drawings = Drawings(folder / "drawings")
    assert drawings.steps() == [4, 8, 12]
    index = drawings.index()
    assert index.captions == ("red cat",) * NUM_PICTURES
    assert (index.is_latent, index.problem) == (False, "")
    task = task_of(order(data, folder, every_steps=4))
    network = DiTExpert(ModelConfig.from_settings(MODEL))
    load_weights(finished.weights_path, network)
    state = TrainState(network, task.training)
    state.ema = Ema(dict(network.named_parameters()))
    encoder = load_text_encoder(task.text, data, torch.device("cpu"))
    again = as_png(pictures(drawn(state, task, Prompts(*encoder.encode(list(index.captions)))), is_latent=False))
    assert drawings.grid(12) == again
    assert drawings.grid(4) != again
    assert Image.open(io.BytesIO(again)).size == (32, 16)


def test_a_training_that_goes_on_keeps_its_captions_and_drops_what_was_drawn_after_it(data, tmp_path, undrawn):
    made = order(data, tmp_path, every_steps=2)
    drawings = Drawings(tmp_path / "drawings")
    train(made, stop_after=5)
    assert drawings.steps() == [2, 4]
    captions = ("red", "cat") * (NUM_PICTURES // 2)
    drawings.write_index(drawings.index().model_copy(update={"captions": captions}))
    drawings.save(9999, b"of another training")
    finished = train(made)
    assert finished.weights_sha256 == undrawn[0].weights_sha256
    assert drawings.steps() == [2, 4, 6, 8, 10, 12]
    assert drawings.index().captions == captions


def test_what_cannot_be_drawn_or_saved_is_said_and_the_training_goes_on(data, tmp_path, undrawn):
    made = order(data, tmp_path, every_steps=4)
    (tmp_path / "drawings").mkdir()
    (tmp_path / "drawings" / "step-00000008.png").mkdir()
    finished = train(made)
    assert finished.weights_sha256 == undrawn[0].weights_sha256
    index = Drawings(tmp_path / "drawings").index()
    assert "IsADirectoryError" in index.problem
    assert not (tmp_path / "drawings" / "step-00000012.png").exists(), "one failure is enough"


def test_drawing_takes_a_fiftieth_of_the_training_at_most_and_is_only_done_for_a_page(make_spec, tmp_path):
    assert [drawn_every(NodeConfig(), steps, 8) for steps in (60, 2000, 8000)] == [134, 134, 200]
    assert drawn_every(NodeConfig(), 60, 4096) == 1
    assert [drawn_every(NodeConfig(draw_every_steps=every), 8000, 8) for every in (0, 7)] == [0, 7]
    unit, home = make_unit(), Home(tmp_path)
    audit = unit.model_copy(update={"lease": unit.lease.model_copy(update={"audit": "of another's steps"})})

    def drawing(unit, **settings) -> DrawingOrder | None:
        machine = Machine(home, NodeConfig(**settings), Hardware("cpu", "a machine", 2**30, 2**30))
        folder = home.unit_folder(RUN, "expert-0", 1)
        return make_order(make_spec().payload, unit, folder, Cache(home.cache), machine).drawing

    assert drawing(unit, page=True).folder == str(tmp_path / "runs" / RUN / "drawings" / "expert-0")
    assert [drawing(unit), drawing(unit, page=True, draw_every_steps=0), drawing(audit, page=True)] == [None] * 3


def test_latents_are_shown_as_colours():
    x = torch.zeros(8, 4, 2, 2)
    x[:, 0], x[:, 1] = 3.0, -9.0
    shown = pictures(x, is_latent=True)
    assert shown.shape == (8, 2, 2, 3)
    assert shown[0, 0, 0].tolist() == [255, 0, 128]
    assert pictures(x[:, :1], is_latent=True)[0, 0, 0].tolist() == [255, 255, 255]


def test_large_pictures_are_made_smaller():
    grid = Image.open(io.BytesIO(as_png(np.zeros((8, 256, 256, 3), np.uint8))))
    assert grid.size == (512, 256)


def test_there_are_never_more_than_so_many_drawings_and_first_and_last_stay(tmp_path):
    drawings = Drawings(tmp_path)
    for step in range(1, 3 * MOST):
        drawings.save(step, b"png")
    steps = drawings.steps()
    assert len(steps) <= MOST
    assert (steps[0], steps[-1]) == (1, 3 * MOST - 1)


def test_an_index_that_cannot_be_read_counts_as_none(tmp_path):
    drawings = Drawings(tmp_path)
    drawings.write_index(DrawingsIndex(captions=(), is_latent=True))
    assert drawings.index().is_latent
    for data in (b"{", b'{"version": 2, "captions": [], "is_latent": true}'):
        (tmp_path / "index.json").write_bytes(data)
        assert drawings.index() is None
