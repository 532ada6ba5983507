"""A run directory as `prepare` and `release` leave it, with two experts that were really trained, in a second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from paris.coordinator.run.config import dump_config, load_recipe
from paris.coordinator.run.create import create_run
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.experts.data.shards import Row, write_shard
from paris.experts.files import file_sha256, write_whole
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.presets import ModelConfig
from paris.experts.models.router import initial_router
from paris.experts.objectives.objectives import Objective
from paris.experts.release.layout import write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.release.single import smallest_router
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.training.expert_training import ExpertTraining

TINY = Path(__file__).parents[1] / "swarm" / "tiny.toml"
SIZE = 8
NAMES = ("red heart", "blue bus")
SHARD_ROWS = ((30, 18), (16,))
"""Rows of each shard of each cluster."""
OBJECTIVES = (Objective(), Objective(kind="epsilon"))
_HELDOUT_ROWS = 12


def prepared_run(folder: Path, *, warm_start_steps: int | None = None, **training: object) -> RunDir:
    """Two clusters of small pictures, dark red and bright blue; settings as the swarm's tiny recipe, but smaller.

    Args:
        folder: Where the run directory is made.
        warm_start_steps: Of `[model]`; with them both experts learn the velocity, else the second one the noise.
        training: Fields of `[training]` that differ.
    """
    made = create_run(folder / "run", recipe=str(TINY))
    recipe = load_recipe(str(TINY)).model_dump(mode="json", exclude_none=True)
    hub = made.config.hub.model_dump()
    warm = {"warm_start_steps": warm_start_steps} if warm_start_steps else {}
    tables = {
        "hub": hub,
        "model": {"preset": "dit-emoji-4", "overrides": {**_SMALL, "num_layers": 2}, **warm},
        "training": {**recipe["training"], **training},
        "objectives": {"epsilon_clusters": [] if warm else [1]},
        "tasks": {**recipe["tasks"], "steps": 60},
        "router": {**recipe["router"], "steps": 80},
    }
    write_whole(made.path / "run.toml", dump_config(type(made.config).model_validate({**recipe, **tables})).encode())
    run = RunDir.open(made.path)
    words = write_vocabulary(run.data / "vocab.json", sorted({word for name in NAMES for word in name.split()}))
    for cluster, counts in enumerate(SHARD_ROWS):
        shards = [_shard(run, cluster, number, count) for number, count in enumerate(counts)]
        manifest = {"cluster": cluster, "shards": shards}
        write_whole(run.data / "manifests" / f"cluster-{cluster:03d}.json", json.dumps(manifest).encode())
        _write(run.heldout_files[cluster], cluster, 100 + cluster, _HELDOUT_ROWS)
    prepared = {"text": {"path": "vocab.json", "sha256": words}, "config": {"embedder": "efficientnet-lite0"}}
    write_whole(run.data / "prepared.json", json.dumps(prepared).encode())
    return run


def release(run: RunDir) -> None:
    """Train both experts on their clusters, and put them into the release folder with a router that knows nothing."""
    tasks = [expert_task(run, cluster) for cluster in range(len(SHARD_ROWS))]
    files = []
    for cluster, task in enumerate(tasks):
        paths = shard_paths(run, cluster)
        training = ExpertTraining(task, run.path / "work" / task.task_id, paths.__getitem__, run.data)
        files.append(training.run(lambda _: None, lambda: False).weights_path)
    model, text = tasks[0].model, tasks[0].text
    router = smallest_router(model, len(NAMES))
    layout = Layout(
        name="tiny",
        num_experts=len(NAMES),
        model=model,
        objectives=OBJECTIVES,
        router=router,
        text=text,
        codec=CodecConfig(),
        sampling=run.config.sampling.model_dump(exclude={"prompts", "seeds"}),
    )
    write_layout(run.release, layout, files, initial_router(router, 0), run.data)


def expert_task(run: RunDir, cluster: int) -> TrainingTask:
    """The task that a volunteer trains."""
    spec = make_spec(run, [])
    return TrainingTask(
        run_id=run.run_id,
        seed=spec.seed,
        task_id=f"expert-{cluster}",
        model=ModelConfig.from_settings(spec.model),
        training=TrainingConfig.from_settings({**spec.training, "objective": OBJECTIVES[cluster]}),
        text=TextConfig.from_settings(spec.text),
        codec=CodecConfig(),
        shard_rows=SHARD_ROWS[cluster],
    )


def shard_paths(run: RunDir, cluster: int) -> list[Path]:
    """The published shards of a cluster."""
    return [run.data / _name(cluster, number) for number in range(len(SHARD_ROWS[cluster]))]


_SMALL = {"image_size": SIZE, "hidden_size": 32, "num_heads": 2}


def _name(cluster: int, number: int) -> str:
    return f"shards/cluster-{cluster:03d}/shard-{number:05d}.parquet"


def _shard(run: RunDir, cluster: int, number: int, count: int) -> dict[str, object]:
    path = run.data / _name(cluster, number)
    _write(path, cluster, 10 * cluster + number, count)
    return {"path": _name(cluster, number), "sha256": file_sha256(path), "bytes": path.stat().st_size, "rows": count}


def _write(path: Path, cluster: int, seed: int, count: int) -> None:
    dice = np.random.default_rng(seed)
    colour = np.array([(150, 20, 30), (120, 160, 240)][cluster])[:, None, None]
    rows = [
        Row(
            f"{seed}-{i}",
            np.clip(colour + dice.integers(-20, 21, (3, SIZE, SIZE)), 0, 255).astype(np.uint8),
            f"a {NAMES[cluster]}",
            "test",
            "",
            "nobody",
            "cc0-1.0",
            "test",
        )
        for i in range(count)
    ]
    write_shard(path, rows, (3, SIZE, SIZE), "uint8")
