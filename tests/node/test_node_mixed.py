"""What a volunteer's node does with a task's objective and with initial weights that travel with the run."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from paris.node.errors import WrongHashError
from paris.node.fetching.shared_files import fetch_shared_files
from paris.node.trainer.order import Order, ShardFile
from paris.node.trainer.task import task_of
from paris.protocol.records import PartFile

WEIGHTS = bytes(range(256)) * 64


def order(tmp_path, **changes) -> dict:
    """As the trainer reads it: through JSON."""
    made = Order(
        run_id="tiny-0123456789abcdef",
        task_id="expert-0",
        seed=3,
        steps=5,
        batch_size=4,
        model={
            "image_size": 8,
            "in_channels": 3,
            "patch_size": 4,
            "hidden_size": 32,
            "num_layers": 1,
            "num_heads": 2,
            "text_embed_dim": 8,
            "max_text_tokens": 4,
        },
        training={"learning_rate": 1e-3},
        text={"kind": "vocabulary", "dim": 8, "max_tokens": 4},
        codec={"kind": "pixels"},
        shards=(ShardFile(path=str(tmp_path / "a.parquet"), rows=4),),
        text_folder=str(tmp_path),
        work=str(tmp_path / "work"),
        device="cpu",
        threads=1,
        **changes,
    )
    return json.loads(made.model_dump_json())


def test_an_order_carries_the_tasks_objective_to_the_training(tmp_path):
    plain = task_of(order(tmp_path))
    assert (plain.training.objective.kind, plain.initial_weights) == ("flow", None)
    given = {"kind": "epsilon", "schedule": "linear"}
    assert task_of(order(tmp_path, objective=given)).training.objective.to_settings() == given


def test_an_order_carries_the_name_and_digest_of_the_runs_initial_weights(tmp_path):
    file = PartFile(path="initial_weights.safetensors", sha256="a" * 64, bytes=7)
    assert task_of(order(tmp_path, initial_weights=file)).initial_weights.to_settings() == file.model_dump()


@pytest.fixture
def spec_with(file_hub, make_spec):
    """A description that names initial weights, of a Hub that has them and the vocabulary."""
    vocabulary = file_hub.add("vocab.json", b'["cat"]')
    weights = file_hub.add("initial_weights.safetensors", WEIGHTS)
    text = {"kind": "vocabulary", "dim": 8, "max_tokens": 4, "path": "vocab.json", "sha256": vocabulary.sha256}

    def make(path: str = "initial_weights.safetensors"):
        return make_spec(
            text=text, initial_weights=PartFile(path=path, sha256=weights.sha256, bytes=weights.num_bytes)
        ).payload

    return make


def test_initial_weights_are_fetched_once_beside_the_text_encoder(file_hub, downloader, spec_with, tmp_path):
    for _ in range(2):
        fetch_shared_files(downloader, spec_with(), "1" * 40, tmp_path / "text")
    assert (tmp_path / "text" / "initial_weights.safetensors").read_bytes() == WEIGHTS
    assert [path for path, _ in file_hub.requests].count("initial_weights.safetensors") == 1


def test_initial_weights_that_are_not_the_signed_ones_are_fetched_again_and_then_refused(
    file_hub, downloader, spec_with, tmp_path
):
    file_hub.faults["initial_weights.safetensors"] = ["wrong", "wrong"]
    with pytest.raises(WrongHashError):
        fetch_shared_files(downloader, spec_with(), "1" * 40, tmp_path / "text")
    assert not (tmp_path / "text" / "initial_weights.safetensors").exists()
    fetch_shared_files(downloader, spec_with(), "1" * 40, tmp_path / "text")
    (tmp_path / "text" / "initial_weights.safetensors").write_bytes(b"damaged")
    fetch_shared_files(downloader, spec_with(), "1" * 40, tmp_path / "text")
    assert (tmp_path / "text" / "initial_weights.safetensors").read_bytes() == WEIGHTS


def test_initial_weights_outside_their_folder_cannot_even_be_named(spec_with):
    for path in ("../x.safetensors", "/etc/passwd", "a/../../x"):
        with pytest.raises(ValidationError):
            spec_with(path)
