from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import SHAPE, WORDS, make_rows

from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import ShardFile, write_shard
from paris.experts.errors import SnapshotError, TrainingError
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text import TextConfig, TextEncoder
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.presets import RouterConfig
from paris.experts.models.router import Router
from paris.experts.training.evaluate import stratified_draws
from paris.experts.training.router_report import RouterReport, calibration_error
from paris.experts.training.router_training import (
    RouterBatches,
    RouterRows,
    RouterTask,
    RouterTrainingConfig,
    train_router,
)

CONFIG = RouterConfig(
    image_size=8, in_channels=3, patch_size=4, hidden_size=32, num_layers=2, num_heads=2, num_clusters=2
)
TRAINING = RouterTrainingConfig(steps=60, batch_size=32, learning_rate=5e-3, warmup_steps=5, ema_decay=0.95)


def task_of(config: RouterConfig = CONFIG, **training: object) -> RouterTask:
    return RouterTask(seed=3, router=config, training=TRAINING.model_copy(update=training))


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[ClusterData], list[ClusterData]]:
    """Dark pictures and, half as many, bright ones."""
    folder: Path = tmp_path_factory.mktemp("router")
    train, heldout = [], []
    for cluster, (low, high, shard_rows) in enumerate([(0, 130, [20, 20]), (126, 256, [12, 8])]):
        paths = [folder / f"{cluster}-{index}.parquet" for index in range(3)]
        for index, count in enumerate([*shard_rows, 20 - 10 * cluster]):
            write_shard(paths[index], make_rows(count, 10 * cluster + index, low=low, high=high), SHAPE, "uint8")
        train.append(ClusterData(paths[:2]))
        heldout.append(ClusterData(paths[2:]))
    return train, heldout


@pytest.fixture
def named(tmp_path: Path) -> tuple[list[ClusterData], TextEncoder]:
    """Two clusters of the same pictures under other words: the text alone tells them apart."""
    data = []
    for cluster, word in enumerate(("cat", "dog")):
        rows = [replace(row, caption=word) for row in make_rows(40, 5)]
        write_shard(tmp_path / f"{cluster}.parquet", rows, SHAPE, "uint8")
        data.append(ClusterData([tmp_path / f"{cluster}.parquet"]))
    write_vocabulary(tmp_path / "vocab.json", WORDS)
    return data, load_text_encoder(TextConfig(kind="vocabulary", dim=8, max_tokens=4, path="vocab.json"), tmp_path)


def test_a_router_that_sees_the_prompt_knows_the_cluster_even_in_pure_noise(named, tmp_path) -> None:
    data, encoder = named
    config = CONFIG.model_copy(update={"text_embed_dim": 8})
    codec = load_codec(CodecConfig(), Path())
    rows = RouterRows(data, data)
    router, report = train_router(task_of(config), rows, codec, encoder, tmp_path / "seeing")
    assert router.sees_prompt
    assert min(report.accuracy_by_noise) > 0.95
    _, blind = train_router(task_of(), rows, codec, encoder, tmp_path / "blind")
    assert blind.accuracy < 0.7
    null = router(torch.randn(1, *SHAPE), torch.ones(1), *encoder.encode([""])).softmax(1)
    assert null.max() < 0.9


def test_a_router_that_sees_the_prompt_learns_all_captions_of_a_row(named, tmp_path) -> None:
    _, encoder = named
    folder = tmp_path / "several"
    folder.mkdir()
    clusters = []
    for cluster, word in enumerate(("cat", "dog")):
        rows = [replace(row, caption="", more_captions=(word,)) for row in make_rows(40, 5)]
        write_shard(folder / f"{cluster}.parquet", rows, SHAPE, "uint8")
        clusters.append(ClusterData([folder / f"{cluster}.parquet"]))
    batches = RouterBatches(task_of(), clusters, load_codec(CodecConfig(), Path()), encoder)
    batch = batches.batch(0)
    words = encoder.encode(["cat", "dog"])[0]
    drawn = [(states[:1] == words[k, :1]).all().item() for states, k in zip(batch.text, batch.target, strict=True)]
    assert 0.1 < sum(drawn) / len(drawn) < 0.9
    assert torch.equal(batch.text, batches.batch(0).text)


def test_a_router_that_sees_the_prompt_needs_something_to_encode_it(named, tmp_path) -> None:
    config = CONFIG.model_copy(update={"text_embed_dim": 8})
    rows = RouterRows(named[0], named[0])
    with pytest.raises(TrainingError, match="nothing to encode"):
        train_router(task_of(config), rows, load_codec(CodecConfig(), Path()), None, tmp_path)


Trained = tuple[Router, RouterReport, list[tuple[int, float]]]


def train(clusters: tuple[list[ClusterData], list[ClusterData]], work: Path, **training: object) -> Trained:
    heard: list[tuple[int, float]] = []
    router, report = train_router(
        task_of(**training),
        RouterRows(*clusters),
        load_codec(CodecConfig(), Path()),
        None,
        work,
        on_progress=lambda *progress: heard.append(progress),
    )
    return router, report, heard


def is_same(one: Router, other: Router) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.fixture(scope="module")
def trained(clusters: tuple[list[ClusterData], list[ClusterData]], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(clusters, tmp_path_factory.mktemp("trained"))


def test_a_router_tells_clusters_apart_in_data_and_not_in_noise(trained: Trained) -> None:
    _, report, _ = trained
    assert len(report.accuracy_by_noise) == 10
    assert report.accuracy_by_noise[0] > 0.95
    assert report.accuracy_by_noise[9] < 0.9
    assert report.accuracy == pytest.approx(sum(report.accuracy_by_noise) / 10)
    assert (report.num_rows, report.num_heldout) == (60, 30)
    assert report.chance == pytest.approx(2 / 3)
    assert 0 <= report.calibration_error < 0.3


def test_calibration_and_brier_score_by_noise_are_what_plain_counting_finds(
    clusters: tuple[list[ClusterData], list[ClusterData]], trained: Trained
) -> None:
    router, report, _ = trained
    codec = load_codec(CodecConfig(), Path())
    rows = [
        (codec.to_model(data.shard(0).latents[i : i + 1]), k)
        for k, data in enumerate(clusters[1])
        for i in range(20 - 10 * k)
    ]
    for level in (0, 5, 9):
        squares, said = [], []
        for number, (x0, cluster) in enumerate(rows):
            times, noise = stratified_draws(3, number, 10, SHAPE)
            x = (1 - times[level]) * x0 + times[level] * noise[level]
            with torch.no_grad():
                posterior = router(x, times[level : level + 1]).softmax(1)[0].tolist()
            squares.append(sum((p - (k == cluster)) ** 2 for k, p in enumerate(posterior)))
            said.append((max(posterior), posterior.index(max(posterior)) == cluster))
        assert report.brier_by_noise[level] == pytest.approx(sum(squares) / len(squares), abs=1e-5)
        gaps = []
        for low in range(15):
            inside = [(p, right) for p, right in said if low / 15 <= p < (low + 1) / 15 or (low == 14 and p == 1.0)]
            gaps.append(abs(sum(p for p, _ in inside) - sum(right for _, right in inside)))
        assert report.calibration_by_noise[level] == pytest.approx(sum(gaps) / len(said), abs=1e-5)
    assert report.brier == pytest.approx(sum(report.brier_by_noise) / 10)
    assert report.brier_by_noise[0] < 0.1 < report.brier_by_noise[9]


def test_in_pure_noise_the_router_says_the_natural_proportions(trained: Trained) -> None:
    noise = torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        posterior = trained[0](noise, torch.ones(64)).softmax(1).mean(0)
    assert posterior[0].item() == pytest.approx(2 / 3, abs=0.15)


def test_progress_is_reported_and_the_loss_falls(trained: Trained) -> None:
    _, report, heard = trained
    assert [step for step, _ in heard] == [10, 20, 30, 40, 50, 60]
    assert list(report.losses) == heard
    assert heard[-1][1] < 0.75 * heard[0][1]


def test_the_same_arguments_make_the_same_router(
    clusters: tuple[list[ClusterData], list[ClusterData]], trained: Trained, tmp_path: Path
) -> None:
    router, report, _ = train(clusters, tmp_path)
    assert report == trained[1]
    assert is_same(router, trained[0])


@pytest.mark.parametrize("killed_at", [20, 40, 60])
def test_a_router_whose_training_was_killed_ends_with_the_same_weights_and_report(
    clusters: tuple[list[ClusterData], list[ClusterData]], trained: Trained, tmp_path: Path, killed_at: int
) -> None:
    script = Path(__file__).with_name("killed_router.py")
    paths = [[str(data.shard(i).path) for i in range(data.num_shards)] for data in (*clusters[0], *clusters[1])]
    task = task_of(snapshot_every=15)
    words = [sys.executable, str(script), task.model_dump_json(), json.dumps(paths), str(tmp_path), str(killed_at)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert list((tmp_path / "snapshots").glob(f"step-{killed_at // 15 * 15:08d}"))
    router, report, heard = train(clusters, tmp_path, snapshot_every=15)
    assert heard[0][0] == -(-(killed_at // 15 * 15) // 10) * 10
    assert report == trained[1]
    assert is_same(router, trained[0])


def test_micro_batches_of_a_router_change_nothing_but_rounding(
    clusters: tuple[list[ClusterData], list[ClusterData]], tmp_path: Path
) -> None:
    whole, _, _ = train(clusters, tmp_path / "whole", steps=3)
    cut, _, _ = train(clusters, tmp_path / "cut", steps=3, micro_batch_size=7)
    assert not is_same(whole, cut)
    for one, other in zip(whole.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert task_of(micro_batch_size=7).digest == task_of().digest != task_of(steps=3).digest


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_router_trains_in_another_precision_and_ends_elsewhere(
    clusters: tuple[list[ClusterData], list[ClusterData]], trained: Trained, tmp_path: Path, precision: str
) -> None:
    router, report, _ = train(clusters, tmp_path, precision=precision)
    assert report.accuracy_by_noise[0] > 0.95
    assert {parameter.dtype for parameter in router.parameters()} == {torch.float32}
    assert not is_same(router, trained[0])


def test_snapshots_of_another_routers_task_are_refused(
    clusters: tuple[list[ClusterData], list[ClusterData]], tmp_path: Path
) -> None:
    train(clusters, tmp_path, steps=3)
    with pytest.raises(SnapshotError, match="of another task"):
        train(clusters, tmp_path, steps=4)


def test_a_router_for_another_number_of_clusters_is_refused(
    clusters: tuple[list[ClusterData], list[ClusterData]], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="has 2 clusters, 1 training and 1 held-out"):
        train((clusters[0][:1], clusters[1][:1]), tmp_path)


def test_the_calibration_error_is_the_gap_between_what_is_said_and_what_holds() -> None:
    said = torch.tensor([0.9] * 10 + [0.5] * 10, dtype=torch.float64)
    right = torch.tensor([1.0] * 7 + [0.0] * 3 + [1.0] * 6 + [0.0] * 4, dtype=torch.float64)
    assert calibration_error(said, right) == pytest.approx(0.5 * 0.2 + 0.5 * 0.1)
    assert calibration_error(torch.ones(4), torch.ones(4)) == 0.0


def num_decoded_shards() -> int:
    gc.collect()
    return sum(type(found) is ShardFile and "latents" in vars(found) for found in gc.get_objects())


@pytest.mark.parametrize("window", [1, 2])
def test_a_router_keeps_as_many_shards_decoded_as_its_window_holds(
    clusters: tuple[list[ClusterData], list[ClusterData]], window: int
) -> None:
    before = num_decoded_shards()
    batches = RouterBatches(task_of(window_shards=window), clusters[0], load_codec(CodecConfig(), Path()), None)
    seen = {int(k) for step in range(20) for k in batches.batch(step).target}
    assert seen == {0, 1}
    assert num_decoded_shards() - before == window
