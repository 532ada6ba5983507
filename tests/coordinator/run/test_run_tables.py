"""[objectives] and imagenet_weights of run.toml, up to the records made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from paris.coordinator.errors import ConfigError, NotReadyError
from paris.coordinator.run.config import RunConfig, dump_config, load_recipe, parse_config
from paris.coordinator.run.create import create_run
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import convert_initial_weights
from paris.coordinator.run.prepared_data import model_config
from paris.coordinator.service.peering import network_of
from paris.coordinator.service.tasks import make_tasks
from paris.experts.errors import CheckpointError
from paris.experts.files import write_whole
from paris.experts.models.initial_weights import InitialWeights, starting_expert
from paris.protocol.envelope import seal
from paris.protocol.record_rules import RECORD_RULES

TINY = Path(__file__).parents[2] / "swarm" / "tiny.toml"
D, LAYERS, SIZE, PATCH = 48, 2, 24, 4


def with_tables(**tables) -> RunConfig:
    config = load_recipe(str(TINY)).model_dump(mode="json", exclude_none=True)
    merged = {name: {**config.get(name, {}), **table} for name, table in tables.items()}
    return RunConfig.model_validate({**config, **merged})


@pytest.fixture
def run(tmp_path):
    """A run directory as `prepare` leaves it, with one shard a cluster that nobody reads."""
    made = create_run(tmp_path / "run", recipe=str(TINY))
    write_whole(made.data / "prepared.json", json.dumps({"text": {"sha256": "0" * 64}}).encode())
    for cluster in range(2):
        shard = {"path": f"shards/cluster-{cluster:03d}/a.parquet", "sha256": "1" * 64, "bytes": 10, "rows": 2}
        manifest = json.dumps({"cluster": cluster, "shards": [shard]})
        write_whole(made.data / "manifests" / f"cluster-{cluster:03d}.json", manifest.encode())
    return made


def changed(run: RunDir, **tables) -> RunDir:
    write_whole(run.path / "run.toml", dump_config(with_tables(**tables)).encode())
    return RunDir.open(run.path)


def dit(path: Path, hidden: int = D) -> Path:
    """Random weights of an ImageNet DiT under its public names."""
    tokens, mlp = (SIZE // PATCH) ** 2, 4 * hidden
    shapes = {
        "x_embedder.proj": (hidden, 3, PATCH, PATCH),
        "t_embedder.mlp.0": (hidden, 256),
        "t_embedder.mlp.2": (hidden, hidden),
        "final_layer.linear": (PATCH**2 * 6, hidden),
        "final_layer.adaLN_modulation.1": (2 * hidden, hidden),
    }
    for n in range(LAYERS):
        shapes[f"blocks.{n}.attn.qkv"] = (3 * hidden, hidden)
        shapes[f"blocks.{n}.attn.proj"] = (hidden, hidden)
        shapes[f"blocks.{n}.mlp.fc1"] = (mlp, hidden)
        shapes[f"blocks.{n}.mlp.fc2"] = (hidden, mlp)
        shapes[f"blocks.{n}.adaLN_modulation.1"] = (6 * hidden, hidden)
    tensors = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}
    tensors |= {"pos_embed": torch.randn(1, tokens, hidden)}
    save_file(tensors | {"y_embedder.embedding_table.weight": torch.randn(1001, hidden)}, path)
    return path


def test_each_task_names_its_experts_objective(run):
    assert [state.task.objective for state in make_tasks(run)] == [{}, {}]
    mixed = changed(run, objectives={"epsilon_clusters": [1], "schedule": "linear"})
    assert [state.task.objective for state in make_tasks(mixed)] == [{}, {"kind": "epsilon", "schedule": "linear"}]


def test_memory_and_disk_of_a_task_are_what_its_model_needs_unless_run_toml_says(run):
    model = {"preset": "dit-xl-2", "overrides": {}}
    large = changed(run, model=model)
    (task, _) = (state.task for state in make_tasks(large))
    assert task.min_memory_bytes > 12 * 10**9
    assert task.min_disk_bytes > 30 * 10**9 + task.data_bytes
    said = changed(run, model=model, tasks={"min_memory_bytes": 0, "min_disk_bytes": 7})
    (task, _) = (state.task for state in make_tasks(said))
    assert (task.min_memory_bytes, task.min_disk_bytes) == (0, 7 + task.data_bytes)


def test_an_objectives_table_survives_being_written():
    config = with_tables(objectives={"epsilon_clusters": [0], "schedule": "linear"}, model={"imagenet_weights": "a"})
    assert parse_config(dump_config(config), "again") == config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("epsilon_clusters = [2]", "contains 2, but clusters are 0 to 1"),
        ('schedule = "sigmoid"', r"objectives\.schedule"),
        ('kind = "epsilon"', r"objectives\.kind: Extra inputs"),
    ],
)
def test_an_invalid_objectives_table_is_refused(table, message):
    text = TINY.read_text() + f"\n[objectives]\n{table}\n"
    with pytest.raises(ConfigError, match=message):
        parse_config(text, "run.toml")


def test_an_imagenet_checkpoint_becomes_the_initial_weights_of_all_experts(run, tmp_path):
    dit(run.path / "dit.safetensors")
    started = changed(run, model={"imagenet_weights": "dit.safetensors"})
    with pytest.raises(NotReadyError, match="not made yet"):
        make_spec(started, [])
    named = convert_initial_weights(started, run.path / "dit.safetensors")
    spec = make_spec(started, [])
    assert spec.initial_weights == named
    file = started.data / named.path
    assert file.stat().st_size == named.bytes
    weights = InitialWeights.from_settings(named.model_dump())
    expert = starting_expert(model_config(started), spec.seed, weights, started.data)
    assert expert.config.hidden_size == D
    plain = {state.task.task_id: state.task.min_disk_bytes for state in make_tasks(changed(run))}
    for state in make_tasks(changed(run, model={"imagenet_weights": "dit.safetensors"})):
        assert state.task.min_disk_bytes == plain[state.task.task_id] + named.bytes


def test_a_checkpoint_of_another_shape_is_refused_and_nothing_is_published(run, tmp_path):
    started = changed(run, model={"imagenet_weights": "dit.safetensors"})
    with pytest.raises(CheckpointError, match=r"as an ImageNet DiT: 'pos_embed' is .*36, 64\], not .*36, 48\]"):
        convert_initial_weights(started, dit(tmp_path / "dit.safetensors", hidden=64))
    with pytest.raises(NotReadyError):
        make_spec(started, [])


def test_the_records_of_a_run_with_mixed_objectives_are_valid(run):
    dit(run.path / "dit.safetensors")
    mixed = changed(
        run, objectives={"epsilon_clusters": [0, 1]}, model={"imagenet_weights": str(run.path / "dit.safetensors")}
    )
    convert_initial_weights(mixed, run.path / "dit.safetensors")
    peers = [f"/ip4/203.0.113.{n}/tcp/31337/p2p/12D3KooWDD9CfZNQaVRiD8YEV53FBrdHiNVGSSkVNVmx9m2M9p1T" for n in range(3)]
    for payload in (make_spec(mixed, peers), make_tasks(mixed)[0].task):
        sealed = seal(payload, run.identity, run_id=run.run_id, sequence=1, issued_at=1.0, expires_at=2.0)
        assert len(sealed.data) < RECORD_RULES[payload.kind].max_bytes


def test_the_runspec_says_that_peers_relay_only_where_relay_for_volunteers_is_set(run):
    """Nodes of before refuse the field: `use_relay`, which is older than it, must not add it."""
    for table, relays in (({}, False), ({"use_relay": True}, False), ({"relay_for_volunteers": True}, True)):
        made = changed(run, dht=table)
        assert make_spec(made, []).peers_relay == (relays or None)
        network = network_of(made.config.dht)
        assert (network.is_relay, network.use_relay) == (relays, bool(table))
