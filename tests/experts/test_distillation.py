"""A student learns from experts that were really trained, each on its own cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import MODEL, SHAPE, WORDS, Listener, make_rows, make_task, never

from paris.experts import ParisPipeline
from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import write_shard
from paris.experts.errors import SettingsError, SnapshotError
from paris.experts.files import file_sha256
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.initial_weights import write_initial_weights
from paris.experts.models.router import initial_router
from paris.experts.objectives.objectives import Objective, as_velocity
from paris.experts.release.bank import ExpertBank
from paris.experts.release.layout import expert_path, load_expert, read_layout, write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.release.single import single_layout, smallest_router, write_single
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.training.batches import Batches
from paris.experts.training.distillation import DistillationTask, TaughtBatches, teacher_targets
from paris.experts.training.expert_training import ExpertTraining

NUM_CLUSTERS = 3
SHARDS = [(cluster, count) for cluster, counts in enumerate([(11, 6), (9,), (8, 5)]) for count in counts]
"""Cluster and rows of each shard."""
OBJECTIVES = (Objective(), Objective(kind="epsilon"), Objective())


@dataclass(frozen=True)
class World:
    folder: Path
    layout: Layout

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def shard(self, index: int) -> Path:
        return self.folder / f"shard-{index}.parquet"

    def bank(self, most: int | None = None) -> ExpertBank:
        return ExpertBank.open(self.model, self.layout, max_resident_experts=most)

    def task(self, **changes: object) -> DistillationTask:
        settings = {"steps": 20, "batch_size": 10, "learning_rate": 5e-3, "snapshot_every": 5, "window_shards": 8}
        base = make_task(**{**settings, **{k: v for k, v in changes.items() if k in settings}})
        digests = tuple(file_sha256(expert_path(self.model, k)) for k in range(self.layout.num_experts))
        own = {
            "task_id": "student",
            "shard_rows": tuple(count for _, count in SHARDS),
            "shard_clusters": tuple(cluster for cluster, _ in SHARDS),
            "teachers": digests,
        }
        more = {k: v for k, v in changes.items() if k not in settings}
        return DistillationTask.from_settings({**dict(base), **own, **more})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three clusters of dark, middle and bright pictures; their experts, one of which predicts noise."""
    folder = tmp_path_factory.mktemp("distillation")
    for index, (cluster, count) in enumerate(SHARDS):
        write_shard(
            folder / f"shard-{index}.parquet",
            make_rows(count, index, low=80 * cluster, high=80 * cluster + 60),
            SHAPE,
            "uint8",
        )
    write_vocabulary(folder / "vocab.json", WORDS)
    files = []
    for cluster, objective in enumerate(OBJECTIVES):
        indices = [index for index, (of, _) in enumerate(SHARDS) if of == cluster]
        task = make_task(steps=60, learning_rate=1e-2, objective=objective).model_copy(
            update={"task_id": f"expert-{cluster}", "shard_rows": tuple(SHARDS[index][1] for index in indices)}
        )
        paths = [folder / f"shard-{index}.parquet" for index in indices]
        finished = ExpertTraining(task, folder / f"expert-{cluster}", paths.__getitem__, folder).run(
            lambda _: None, never
        )
        files.append(finished.weights_path)
    router = smallest_router(MODEL, NUM_CLUSTERS)
    layout = Layout(
        name="Three",
        num_experts=NUM_CLUSTERS,
        model=MODEL,
        objectives=OBJECTIVES,
        router=router,
        text=make_task().text,
        codec=CodecConfig(),
        sampling=SamplingSettings(num_steps=4, guidance_scale=2.0, routing="full"),
    )
    write_layout(folder / "model", layout, files, initial_router(router, 0), folder)
    return World(folder, read_layout(folder / "model"))


def make(
    world: World, work: Path, most: int | None = None, steps_per_fetch: int = 1, **changes: object
) -> ExpertTraining:
    task = world.task(**changes)
    return student(task, world.bank(most), work, world.shard, world.model, steps_per_fetch)


def student(
    task: DistillationTask,
    bank: ExpertBank,
    work: Path,
    shard_path: Callable[[int], Path],
    parts: Path,
    steps_per_fetch: int = 1,
) -> ExpertTraining:
    targets = teacher_targets(task, bank, "cpu", steps_per_fetch)
    return ExpertTraining(task, work, shard_path, parts, report_every=1, with_targets=targets)


def test_each_row_is_taught_by_the_expert_of_its_cluster_and_by_no_other(world: World) -> None:
    task = world.task()
    data = ClusterData([world.shard(index) for index in range(len(SHARDS))])
    codec, encoder = load_codec(CodecConfig(), Path()), load_text_encoder(task.text, world.model)
    batches = Batches(task, data, codec, encoder)
    batch = TaughtBatches(batches, world.bank(), task, torch.device("cpu"), 1).batch(3)
    experts = [as_velocity(load_expert(world.model, world.layout, k), OBJECTIVES[k]) for k in range(NUM_CLUSTERS)]
    seen = set()
    for row, (shard, number) in enumerate(batches.rows(3)):
        cluster = SHARDS[shard][0]
        assert np.array_equal(data.shard(shard).latents[number], codec.to_stored(batch.x0[row]))
        x = (1 - batch.t[row]) * batch.x0[row] + batch.t[row] * batch.noise[row]
        one = slice(row, row + 1)
        mask = None if batch.text_mask is None else batch.text_mask[one]
        with torch.no_grad():
            said = experts[cluster](x[None], batch.t[one], experts[cluster].project_text(batch.text[one], mask))
        torch.testing.assert_close(batch.target[one], said, rtol=1e-4, atol=1e-4)
        seen.add(cluster)
    assert seen == {0, 1, 2}


def test_the_students_loss_to_its_teachers_falls(world: World, tmp_path: Path) -> None:
    listener = Listener()
    make(world, tmp_path, steps=150, learning_rate=1e-2).run(listener.report, never)
    assert listener.heard[-1].loss < 0.75 * listener.heard[1].loss


def test_teachers_that_come_and_go_teach_the_same_to_the_last_bit(world: World, tmp_path: Path) -> None:
    whole = make(world, tmp_path / "whole").run(lambda _: None, never)
    few = make(world, tmp_path / "few", most=1, steps_per_fetch=8).run(lambda _: None, never)
    assert (few.weights_sha256, few.commitment) == (whole.weights_sha256, whole.commitment)


def test_a_distillation_that_was_stopped_goes_on_to_the_same_bits(world: World, tmp_path: Path) -> None:
    whole = make(world, tmp_path / "whole", steps_per_fetch=4).run(lambda _: None, never)
    listener = Listener(stop_after=7)
    stopped = make(world, tmp_path / "cut", steps_per_fetch=4).run(listener.report, listener.should_stop)
    assert (stopped.step, stopped.is_complete) == (7, False)
    cut = make(world, tmp_path / "cut", steps_per_fetch=4).run(lambda _: None, never)
    assert (cut.weights_sha256, cut.commitment, cut.final_loss) == (
        whole.weights_sha256,
        whole.commitment,
        whole.final_loss,
    )


def test_micro_batches_are_taught_what_their_rows_are(world: World, tmp_path: Path) -> None:
    whole = make(world, tmp_path / "whole", steps=3).run(lambda _: None, never)
    training = world.task(steps=3).training.model_copy(update={"micro_batch_size": 3})
    cut = make(world, tmp_path / "cut", training=training).run(lambda _: None, never)
    assert cut.final_loss == pytest.approx(whole.final_loss, rel=1e-4)


def test_a_student_that_starts_as_its_only_teacher_has_nothing_to_learn(world: World, tmp_path: Path) -> None:
    teacher = load_expert(world.model, world.layout, 0)
    parts = tmp_path / "parts"
    write_vocabulary(parts / "vocab.json", WORDS)
    start = write_initial_weights(parts, teacher)
    one = single_layout(world.layout, "One")
    write_single(tmp_path / "one", one, teacher, world.model)
    shards = [index for index, (cluster, _) in enumerate(SHARDS) if cluster == 0]
    rows = {"shard_rows": tuple(SHARDS[index][1] for index in shards), "shard_clusters": (0, 0)}
    teachers = (file_sha256(expert_path(tmp_path / "one", 0)),)
    task = world.task(steps=1, initial_weights=start, teachers=teachers, **rows)
    bank = ExpertBank.open(tmp_path / "one", one)
    training = student(task, bank, tmp_path / "work", lambda index: world.shard(shards[index]), parts)
    assert training.run(lambda _: None, never).final_loss == pytest.approx(0.0, abs=1e-10)
    scratch = task.model_copy(update={"initial_weights": None})
    other = student(scratch, bank, tmp_path / "scratch", lambda index: world.shard(shards[index]), parts)
    assert other.run(lambda _: None, never).final_loss > 0.1


def test_one_model_is_guided_at_every_step_where_the_ensemble_was_asked_seldom(world: World) -> None:
    for away_from, every in (("ensemble", 1), ("expert", 2)):
        guidance = Guidance(scale=2.0, away_from=away_from, every=2)
        sampling = world.layout.sampling.model_copy(update={"guidance": guidance})
        one = single_layout(world.layout.model_copy(update={"sampling": sampling}), "One").sampling
        assert (one.guidance.away_from, one.guidance.every) == ("expert", every)


def test_the_student_is_a_model_of_one_expert_that_draws(world: World, tmp_path: Path) -> None:
    finished = make(world, tmp_path / "work").run(lambda _: None, never)
    write_single(tmp_path / "one", single_layout(world.layout, "One"), finished.weights_path, world.model)
    layout = read_layout(tmp_path / "one")
    assert (layout.num_experts, layout.sampling.routing.name, layout.sampling.guidance.scale) == (1, "top1", 2.0)
    pipeline = ParisPipeline.from_pretrained(tmp_path / "one", device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    drawn = [
        np.asarray(pipeline("red cat", generator=1, output_type="np", routing=routing).images)
        for routing in ("top1", "top2", "full")
    ]
    assert drawn[0].shape == (1, 8, 8, 3)
    assert drawn[0].std() > 0
    assert all(np.array_equal(drawn[0], other) for other in drawn[1:])


def test_other_teachers_make_another_task(world: World, tmp_path: Path) -> None:
    make(world, tmp_path, steps=5).run(lambda _: None, never)
    with pytest.raises(SnapshotError, match="of another task"):
        make(world, tmp_path, steps=5, teachers=("0" * 64,) * 3).run(lambda _: None, never)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shard_clusters": (0, 1)}, "2 clusters are named for 5 shards"),
        ({"shard_clusters": (0, 0, 1, 2, 3)}, "of cluster 3, there are 3 experts"),
        ({"teachers": ("x",) * 3}, "teachers.0"),
    ],
)
def test_a_task_that_does_not_fit_together_is_refused(world: World, changes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        world.task(**changes)


def test_a_student_of_another_objective_is_refused(world: World) -> None:
    training = make_task(objective={"kind": "epsilon"}).training
    with pytest.raises(SettingsError, match="learns the velocity, not epsilon"):
        world.task(training=training)
