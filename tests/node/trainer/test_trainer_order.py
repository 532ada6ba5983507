"""What an order carries to the training."""

from __future__ import annotations

import json

import pytest

from paris.experts.errors import SettingsError
from paris.node.trainer.order import Order, ShardFile
from paris.node.trainer.task import make_training, task_of
from paris.protocol.run_records import SharedFile


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
    file = SharedFile(path="initial_weights.safetensors", sha256="a" * 64, bytes=7)
    assert task_of(order(tmp_path, initial_weights=file)).initial_weights.to_settings() == file.model_dump()


def test_an_order_carries_the_leg_to_the_training_which_refuses_one_that_ends_between_snapshots(tmp_path):
    whole = {**order(tmp_path), "training": {"learning_rate": 1e-3, "snapshot_every": 2}}
    make_training({**whole, "leg": {"until_step": 4}}, "cpu", lambda: False)
    with pytest.raises(SettingsError, match="cannot end at step 3"):
        make_training({**whole, "leg": {"until_step": 3}}, "cpu", lambda: False)
