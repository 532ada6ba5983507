"""`paris-coord reference`: trains experts on the organiser's machine and notes their scores by step.

Submissions must come up to them (`paris.coordinator.verify.reference`). The experts themselves are not kept.

<run>/data/reference.json                        the scores; written after each snapshot
<run>/reference/cluster-000-<digest>/...         snapshots during training; removed at its end
"""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress

from paris.coordinator.console import print_json, say
from paris.coordinator.errors import ConfigError, RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import initial_weights
from paris.coordinator.run.locks import hold_lock
from paris.coordinator.run.prepared_data import model_config, text_settings
from paris.coordinator.service.verifier import verification_seed
from paris.coordinator.training.pooled import PooledShard, PooledTraining, pooled_shards, train_pooled
from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.verify.curves import ReferenceCurve
from paris.coordinator.verify.reference_file import StoredCurve, made_of, read_reference, save_curve
from paris.coordinator.verify.scoring import Scoring, SecretRows, scored_point
from paris.coordinator.verify.tensor_reads import open_trusted
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import PromptWarning, TextConfig
from paris.experts.models.initial_weights import InitialWeights
from paris.experts.objectives.objectives import Objective
from paris.experts.training.config import Progress, TrainingConfig, TrainingTask

logger = logging.getLogger(__name__)


def make_reference(
    run: RunDir, clusters: Iterable[int] | None, device: str | None, should_stop: Callable[[], bool], *, as_json: bool
) -> None:
    """Train an expert of each cluster to the last step and note its scores at each snapshot; finished ones are kept.

    Args:
        run: A prepared run. It may be served meanwhile.
        clusters: Which clusters; None is all.
        device: Where to compute; None is `device` of [compute].
        should_stop: Called after each step; True saves a snapshot and returns. The same call resumes.
        as_json: Print progress and scores as JSON lines on stdout.

    Raises:
        ConfigError: A cluster is not one of the run's.
        RunDirError: The data is not prepared, or another process makes the reference.
        NotReadyError: Shards, secret rows or initial weights are missing.
        ExpertError: Training failed; the last snapshot is kept.
    """
    num_experts = run.config.run.num_experts
    chosen = sorted(set(range(num_experts) if clusters is None else clusters))
    if unknown := [cluster for cluster in chosen if not 0 <= cluster < num_experts]:
        raise ConfigError(f"There is no cluster {unknown[0]}.", f"Name clusters from 0 to {num_experts - 1}.")
    run.require_prepared()
    device = device or run.config.compute.device
    busy = RunDirError(f"Another process makes the reference of {run.path}.", "Wait until it ends.")
    with hold_lock(run.path / "reference.lock", busy), warnings.catch_warnings():
        # Held-out captions contain words that no training caption has, on purpose.
        warnings.simplefilter("ignore", PromptWarning)
        scoring = _scoring(run, device)
        for cluster in chosen:
            if not _train(run, _Recorder(run, scoring, cluster, chosen, as_json=as_json), device, should_stop):
                return
    _remove_work(run, chosen)
    say(f"The reference of {len(chosen)} clusters is in {run.reference}. Keep it secret.")


def _remove_work(run: RunDir, finished: list[int]) -> None:
    """Remove the snapshots of finished clusters, of earlier settings too; another cluster's training may be paused."""
    for cluster in finished:
        for folder in run.reference_work.glob(f"cluster-{cluster:03d}-*"):
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # is not empty
        run.reference_work.rmdir()


def _scoring(run: RunDir, device: str) -> Scoring:
    secret = SecretRows(
        heldout=tuple(run.heldout_files),
        parts=run.data,
        text=TextConfig.from_settings(text_settings(run)),
        codec=CodecConfig.from_settings(run.config.codec),
        seed=verification_seed(run),
        bounds=VerificationBounds.model_validate(run.config.verify_settings),
        device=device,
    )
    return Scoring(secret, model_config(run))


class _Recorder:
    """Scores an expert at each scheduled snapshot, and keeps the curve on disk up to date."""

    def __init__(self, run: RunDir, scoring: Scoring, cluster: int, clusters: list[int], *, as_json: bool) -> None:
        self._run, self._scoring, self._clusters, self.as_json = run, scoring, clusters, as_json
        self.cluster, self._made_of = cluster, made_of(run, cluster)
        self._objective = run.config.objectives.for_cluster(cluster)
        self.work_dir = run.reference_work / f"cluster-{cluster:03d}-{self._made_of[:16]}"
        stored = read_reference(run).get(cluster)
        if stored and stored.made_of == self._made_of:
            self._curve = stored.curve
        else:
            self._curve = ReferenceCurve(cluster=cluster, objective=self._objective)

    @property
    def is_complete(self) -> bool:
        """Whether the last step is scored."""
        return self._curve.last_step == self._run.config.tasks.steps

    def __call__(self, progress: Progress) -> None:
        """Score the snapshot of this step, if it is a scheduled one that has no scores yet."""
        is_scheduled = progress.step > 0 and progress.step == progress.commitment_step
        if not is_scheduled or progress.step <= self._curve.last_step or progress.loss is None:
            return
        folder = self.work_dir / "snapshots" / f"step-{progress.step:08d}"
        weights = open_trusted(folder / "ema.safetensors", VerificationBounds()).state()
        objective = Objective.from_settings(self._objective)
        losses = self._scoring.losses(weights, self._clusters, objective)
        shuffled = self._scoring.shuffled_losses(weights, self.cluster, objective)
        point = scored_point(progress.step, progress.loss, losses, shuffled)
        self._curve = self._curve.model_copy(update={"points": (*self._curve.points, point)})
        save_curve(self._run, StoredCurve(made_of=self._made_of, curve=self._curve))
        heldout = float(losses[self.cluster].mean())
        logger.info("Reference of cluster %d at step %d: held-out loss %.4f.", self.cluster, progress.step, heldout)
        if self.as_json:
            event = {"at": time.time(), "event": "scored", "cluster": self.cluster, "step": progress.step}
            print_json({**event, "heldout_loss": heldout, "training_loss": progress.loss})


def _train(run: RunDir, recorder: _Recorder, device: str, should_stop: Callable[[], bool]) -> bool:
    """Train a cluster's expert, and score it on the way; False if stopped before its end."""
    if recorder.is_complete:
        say(f"The reference of cluster {recorder.cluster} is complete.")
        return True
    shards = [shard for shard in pooled_shards(run, model_config(run)) if shard.cluster == recorder.cluster]
    training = PooledTraining(
        title=f"reference of cluster {recorder.cluster}",
        task=reference_task(run, recorder.cluster, shards),
        shards=shards,
        work_dir=recorder.work_dir,
        device=device,
        on_progress=recorder,
    )
    finished = train_pooled(run, training, should_stop, as_json=recorder.as_json)
    if finished.is_complete:
        shutil.rmtree(recorder.work_dir)
    return finished.is_complete


def reference_task(run: RunDir, cluster: int, shards: list[PooledShard]) -> TrainingTask:
    """The task of a cluster's expert, but with an order and noise of its own.

    Args:
        run: A prepared run.
        cluster: The cluster.
        shards: Its shards.

    Raises:
        ExpertError: A setting is invalid.
        NotReadyError: The initial weights are missing.
    """
    start, config = initial_weights(run), run.config
    fixed = {"steps": config.tasks.steps, "objective": config.objectives.for_cluster(cluster)}
    return TrainingTask(
        run_id=run.run_id,
        seed=config.run.seed,
        task_id=f"reference-{cluster}",
        model=model_config(run),
        training=TrainingConfig.from_settings({**config.expert_training, **fixed}),
        text=TextConfig.from_settings(text_settings(run)),
        codec=CodecConfig.from_settings(config.codec),
        shard_rows=tuple(shard.rows for shard in shards),
        initial_weights=InitialWeights.from_settings(start.model_dump()) if start else None,
    )
