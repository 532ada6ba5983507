"""A small run with really trained experts and an embedded Hub."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from paris.coordinator.verify import OtherCheckpoint, VerificationBounds
from paris.experts.data.shards import Row, ShardFile, write_shard
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import build_vocabulary, write_vocabulary
from paris.experts.models.initial_weights import InitialWeights, starting_expert, write_initial_weights
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import FLOW_MATCHING, Objective
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.machine import MachineSettings
from paris.experts.weights.checkpoint import load_weights
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity
from paris.protocol.work_records import Lease

NOW = 1_800_000_000.0
SIZE = 16
SHAPE = (3, SIZE, SIZE)
REPO = "org/shapes"
STEPS = 120
NUM_CLUSTERS = 3
NAMES = ("red circle", "green square", "blue bar")
COLOURS = ((220, 40, 40), (40, 180, 60), (50, 70, 220))
MODEL = ModelConfig(
    image_size=SIZE,
    in_channels=3,
    patch_size=4,
    hidden_size=48,
    num_layers=2,
    num_heads=4,
    text_embed_dim=8,
    max_text_tokens=4,
)
TRAINING = TrainingConfig(
    steps=STEPS,
    batch_size=16,
    learning_rate=3e-3,
    warmup_steps=10,
    ema_decay=0.95,
    snapshot_every=1000,
    window_shards=2,
)
BOUNDS = VerificationBounds(bootstrap_samples=400)


def picture(cluster: int, dice: np.random.Generator) -> np.ndarray:
    """A shape of the cluster's kind and about its colour, somewhere on white."""
    radius = int(dice.integers(3, 6))
    x, y = dice.integers(radius, SIZE - radius, 2)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    inside = (
        (columns - x) ** 2 + (rows - y) ** 2 <= radius**2,
        (abs(columns - x) <= radius) & (abs(rows - y) <= radius),
        abs(columns - x) <= radius // 2,
    )[cluster]
    image = np.full(SHAPE, 255, np.uint8)
    image[:, inside] = np.clip(np.array(COLOURS[cluster]) + dice.integers(-25, 26, 3), 0, 255)[:, None]
    return image


def make_data(folder: Path, seed: int = 0) -> None:
    """Two published shards and one secret one a cluster, and the vocabulary."""
    dice = np.random.default_rng(seed)
    for cluster, name in enumerate(NAMES):
        for file, count in (("shard-0", 40), ("shard-1", 40), ("heldout", 32)):
            rows = [
                Row(f"{cluster}-{file}-{i}", picture(cluster, dice), f"a {name}", "drawn", "", "", "CC0-1.0", "by hand")
                for i in range(count)
            ]
            write_shard(folder / f"cluster-{cluster}" / f"{file}.parquet", rows, SHAPE, "uint8")
    write_vocabulary(folder / "vocab.json", build_vocabulary(f"a {name}" for name in NAMES))


@dataclass(frozen=True)
class Trained:
    """What a volunteer has after training, or says it has."""

    weights: bytes
    final_loss: float
    commitment: str
    cpu_s: float = 0.0


@dataclass
class World:
    """The run, its data, its Hub."""

    folder: Path
    endpoint: str
    admin_token: str
    run_key: Identity = field(default_factory=Identity.generate)
    start: InitialWeights | None = None
    """What all experts start from, if not the run's seed's weights."""
    seed: int = 0
    """Another world for each: other pictures (by `make_data`), weights, order, noise and secret draws."""
    _warm: dict[int, World] = field(default_factory=dict)
    _trained: dict[tuple, Trained] = field(default_factory=dict)
    _num_leases: int = 0

    @property
    def run_id(self) -> str:
        return make_run_id("shapes", self.run_key.public_key)

    @property
    def text(self) -> TextConfig:
        return TextConfig(kind="vocabulary", dim=8, max_tokens=4)

    @property
    def spec(self) -> RunSpec:
        return RunSpec(
            name="shapes",
            num_experts=NUM_CLUSTERS,
            hub_endpoint=self.endpoint,
            data_repo="org/shapes-data",
            model_repo=REPO,
            seed=7 + self.seed,
            model=MODEL.to_settings(),
            training={
                name: value
                for name, value in TRAINING.to_settings().items()
                if value is not None and name != "objective"  # each task has its own
            },
            text=self.text.to_settings(),
            codec=CodecConfig().to_settings(),
            initial_weights=self.start.to_settings() if self.start else None,
            heartbeat_every_s=60.0,
            lease_s=3600.0,
            licence="CC0-1.0",
        )

    def shards(self, cluster: int) -> list[Path]:
        return [self.folder / f"cluster-{cluster}" / f"shard-{i}.parquet" for i in range(2)]

    def train(
        self,
        cluster: int,
        *,
        steps: int = STEPS,
        as_task: int | None = None,
        objective: Objective = FLOW_MATCHING,
        start: InitialWeights | None = None,
        shards: tuple[Path, ...] = (),
        batch_size: int = TRAINING.batch_size,
        machine: MachineSettings | None = None,
        interrupted_at: int | None = None,
        model: ModelConfig = MODEL,
    ) -> Trained:
        """Really train on a cluster's shards, by the very code that a node runs; once for each set of arguments.

        Args:
            cluster: Whose shards.
            steps: How many.
            as_task: The task whose order and noise are used; a cheat may take another cluster's shards for it.
            objective: What it learns to predict.
            start: The run's initial weights, if not the world's.
            shards: What is taken instead of the cluster's own.
            batch_size: Another one is a cheat's.
            machine: Threads, micro-batch and the like.
            interrupted_at: The step at which another machine takes over, with one thread.
            model: Of the run, or a smaller one.
        """
        start, shards = start or self.start, shards or tuple(self.shards(cluster))
        task_number = cluster if as_task is None else as_task
        key = (cluster, steps, task_number, objective, start, shards, batch_size, machine, interrupted_at, model)
        if key not in self._trained:
            task = TrainingTask(
                run_id=self.run_id,
                seed=7 + self.seed,
                task_id=f"expert-{task_number}",
                model=model,
                training=TRAINING.model_copy(update={"steps": steps, "objective": objective, "batch_size": batch_size}),
                text=self.text,
                codec=CodecConfig(),
                shard_rows=tuple(ShardFile(path).num_rows for path in shards),
                initial_weights=start,
            )
            work = Path(tempfile.mkdtemp(prefix="work-", dir=self.folder))  # a world and its warm ones share the folder
            began = time.process_time()
            if interrupted_at is not None:
                reached: list[int] = []
                first = ExpertTraining(task, work, shards.__getitem__, self.folder, machine, report_every=1)
                first.run(lambda progress: reached.append(progress.step), lambda: reached[-1] >= interrupted_at)
                work, machine = work.rename(work.with_name(f"{work.name}-of-another")), None
            training = ExpertTraining(task, work, shards.__getitem__, self.folder, machine)
            finished = training.run(lambda progress: None, lambda: False)
            weights = (work / "expert.safetensors").read_bytes()
            cpu_s = time.process_time() - began
            self._trained[key] = Trained(weights, float(finished.final_loss), finished.commitment, cpu_s)
        return self._trained[key]

    def changed_shards(self, cluster: int, name: str, change: Callable[[Row, int], Row | None]) -> tuple[Path, ...]:
        """A cluster's shards with other rows, made once for each name.

        Args:
            cluster: Whose shards.
            name: Of the folder.
            change: Receives a row and its number in its shard; None leaves the row out.
        """
        made = []
        for path in self.shards(cluster):
            target = self.folder / f"{name}-{cluster}" / path.name
            if not target.is_file():
                shard = ShardFile(path)
                rows = [
                    Row(f"{cluster}-{i}", latent, caption, "drawn", "", "", "CC0-1.0", "by hand")
                    for i, (latent, caption) in enumerate(zip(shard.latents, shard.captions, strict=True))
                ]
                others = [change(row, i) for i, row in enumerate(rows)]
                write_shard(target, [row for row in others if row is not None], SHAPE, "uint8")
            made.append(target)
        return tuple(made)

    def warm(self, steps: int) -> World:
        """The same data and Hub, for a run whose experts all start from one short training on all of it."""
        if steps not in self._warm:
            self._warm[steps] = self._warmed(steps)
        return self._warm[steps]

    def _warmed(self, steps: int) -> World:
        shards = [shard for cluster in range(NUM_CLUSTERS) for shard in self.shards(cluster)]
        together = {"steps": steps, "batch_size": NUM_CLUSTERS * TRAINING.batch_size}
        task = TrainingTask(
            run_id=self.run_id,
            seed=7 + self.seed,
            task_id="warm-start",
            model=MODEL,
            training=TRAINING.model_copy(update=together),
            text=self.text,
            codec=CodecConfig(),
            shard_rows=(40,) * len(shards),
        )
        training = ExpertTraining(task, self.folder / "warm-start", shards.__getitem__, self.folder)
        model = DiTExpert(MODEL)
        load_weights(training.run(lambda progress: None, lambda: False).weights_path, model)
        start = write_initial_weights(self.folder, model, f"warm-{steps}.safetensors")
        return World(self.folder, self.endpoint, self.admin_token, self.run_key, start, self.seed)

    def initial(self) -> dict[str, torch.Tensor]:
        model = starting_expert(MODEL, 7 + self.seed, self.start, self.folder)
        return {name: value.clone() for name, value in model.state_dict().items()}

    def task(self, cluster: int, **changes) -> Task:
        fields = {
            "task_id": f"expert-{cluster}",
            "cluster": cluster,
            "steps": STEPS,
            "batch_size": 16,
            "manifest_sha256": "0" * 64,
            "data_bytes": 1,
            "min_memory_bytes": 0,
            "min_disk_bytes": 0,
            "deadline_s": 600.0,
            "grace_s": 60.0,
            "state": "submitted",
            "attempt": 1,
        }
        return Task(**{**fields, **changes})

    def lease(self, cluster: int, volunteer: Identity, **changes) -> Lease:
        self._num_leases += 1
        fields = {
            "lease_id": f"{self._num_leases:032x}",
            "task_id": f"expert-{cluster}",
            "attempt": 1,
            "volunteer": volunteer.public_key,
            "granted_at": NOW - 1000.0,
            "expires_at": NOW + 1000.0,
        }
        return Lease(**{**fields, **changes})

    def other(self, cluster: int, *, registered: bool = True, objective: Objective = FLOW_MATCHING) -> OtherCheckpoint:
        """An honest expert of the run, by somebody else."""
        weights = self.train(cluster, objective=objective).weights
        path = self.folder / f"other-{cluster}-{objective.kind}{'-warm' * bool(self.start)}.safetensors"
        path.write_bytes(weights)
        return OtherCheckpoint(
            task_id=f"expert-{cluster}",
            cluster=cluster,
            sha256=hashlib.sha256(weights).hexdigest(),
            volunteer="f" * 64,
            path=path,
            objective=objective.to_settings(),
            registered=registered,
        )
