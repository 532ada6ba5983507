"""The router job: trains the run's router and prompt router. Run by `train-router`, or by `serve` as a child process.

router/config.json  pytorch_model.safetensors     the router, as in a release
router/prompt_router.safetensors                  p(k | prompt), trained beside it
router/report.json                                accuracy and calibration by noise level, losses, source of the rows
router/summary.txt                                one sentence, written last: marks the folder as complete
router/training/<digest>/snapshots ...            during training; a killed job resumes from them
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.console import fail_worker
from paris.coordinator.errors import RunDirError
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import hold_lock
from paris.coordinator.run.prepared_data import load_manifests
from paris.coordinator.run.shapes import router_shape
from paris.experts.files import file_sha256, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paris.experts.data.cluster import ClusterData
    from paris.experts.models.prompt_router import PromptRouter
    from paris.experts.models.router import Router
    from paris.experts.training.router_report import RouterReport
    from paris.experts.training.router_training import RouterTask
    from paris.protocol.run_records import RunSpec

logger = logging.getLogger(__name__)
_PROGRESS_EVERY = 50


def run_router_job(run: RunDir, *, from_samples: bool = False) -> str:
    """Train the router and the prompt router of a run, and write them to `run.router`.

    Args:
        run: A prepared run directory.
        from_samples: Train on samples of the experts, drawn before by `draw_samples`, instead of the data.

    Returns:
        One sentence with the router's accuracy.

    Raises:
        RunDirError: The data is not prepared, or another process trains the router.
        ShardError: Samples are missing.
        ExpertError: A setting is invalid, or training diverged; an earlier router is left unchanged.
    """
    spec = make_spec(run, [])
    rows = _sampled_rows(run) if from_samples else _prepared_rows(run)
    busy = RunDirError(f"Another process trains the router of {run.path}.", "Wait until it ends.")
    logger.info("Training the router on %s, judging it on %s.", rows.trained_on, rows.judged_on)
    with hold_lock(run.router / "training.lock", busy):
        router, report = _fit_router(run, spec, rows)
        prompt_router = _fit_prompt_router(run, spec, rows.clusters)
        summary = _write_routers(run, rows, router, report, prompt_router)
        shutil.rmtree(run.router / "training", ignore_errors=True)
    return summary


def _write_routers(
    run: RunDir, rows: _Rows, router: Router, report: RouterReport, prompt_router: PromptRouter | None
) -> str:
    from paris.experts.release.layout import write_router

    (run.router / "summary.txt").unlink(missing_ok=True)
    write_router(run.router, router)
    _write_prompt_router(run, prompt_router)
    record = {**_report_json(report, len(rows.clusters)), "trained_on": rows.trained_on, "judged_on": rows.judged_on}
    write_whole(run.router / "report.json", json.dumps(record, indent=1).encode())
    ignores_prompt = run.config.router.sees_prompt and not router.sees_prompt
    summary = _summary(report, rows, ignores_prompt=ignores_prompt)
    write_whole(run.router / "summary.txt", summary.encode())
    return summary


@dataclass(frozen=True)
class _Rows:
    """Training and held-out rows of each cluster."""

    clusters: list[ClusterData]
    heldout: list[ClusterData]
    digests: list[str]
    """SHA-256 of each shard of training rows."""
    trained_on: str = "data"
    judged_on: str = "data"


def _prepared_rows(run: RunDir) -> _Rows:
    from paris.experts.data.cluster import ClusterData

    manifests = load_manifests(run)
    clusters = [ClusterData([run.data / shard.path for shard in manifest.shards]) for manifest in manifests]
    digests = [shard.sha256 for manifest in manifests for shard in manifest.shards]
    return _Rows(clusters, [ClusterData([path]) for path in run.heldout_files], digests)


def _sampled_rows(run: RunDir) -> _Rows:
    """Samples of the experts; the router is evaluated on real held-out rows if they are here."""
    from paris.experts.data.cluster import ClusterData
    from paris.experts.pipeline.expert_samples import read_samples

    clusters, heldout = read_samples(run.samples)
    digests = [file_sha256(data.opened(i).path) for data in clusters for i in range(data.num_shards)]
    if heldout:
        return _Rows(clusters, heldout, digests, "samples", "samples")
    return _Rows(clusters, [ClusterData([path]) for path in run.heldout_files], digests, "samples", "data")


def _fit_router(run: RunDir, spec: RunSpec, rows: _Rows) -> tuple[Router, RouterReport]:
    """Train the router of noisy pictures and evaluate it on held-out rows."""
    import torch

    from paris.experts.frozen.codec import CodecConfig, load_codec
    from paris.experts.frozen.text import TextConfig
    from paris.experts.frozen.text_loading import load_text_encoder
    from paris.experts.training.machine import MachineSettings
    from paris.experts.training.router_training import RouterRows, train_router

    task, compute = _router_task(run, spec, rows), run.config.compute
    steps, text = task.training.steps, TextConfig.from_settings(spec.text)

    def write_progress(step: int, loss: float) -> None:
        if step % _PROGRESS_EVERY == 0 or step == steps:
            progress = {"step": step, "steps": steps, "loss": loss}
            write_whole(run.router / "progress.json", json.dumps(progress).encode())

    return train_router(
        task,
        RouterRows(rows.clusters, rows.heldout),
        load_codec(CodecConfig.from_settings(spec.codec), run.data),
        load_text_encoder(text, run.data, compute.device) if task.router.text_embed_dim else None,
        run.router / "training" / task.digest[:16],  # never resume from snapshots of other data or settings
        MachineSettings(device=compute.device, num_threads=compute.num_threads or torch.get_num_threads()),
        on_progress=write_progress,
    )


def _router_task(run: RunDir, spec: RunSpec, rows: _Rows) -> RouterTask:
    from paris.experts.training.router_training import RouterTask, RouterTrainingConfig

    table = run.config.router
    sees_prompt = table.sees_prompt and any(map(_has_captions, rows.clusters))
    training = {"steps": table.steps, "batch_size": table.batch_size, "learning_rate": table.learning_rate}
    data = json.dumps([rows.digests, spec.codec, spec.text], sort_keys=True)
    return RouterTask(
        seed=spec.seed,
        router=router_shape(run.config, reads_prompt=sees_prompt),
        training=RouterTrainingConfig.from_settings({**training, **table.training}),
        data_digest=hashlib.sha256(data.encode()).hexdigest(),
    )


def _fit_prompt_router(run: RunDir, spec: RunSpec, clusters: list[ClusterData]) -> PromptRouter | None:
    """Train the prompt router on the captions; None if there are none, or if nothing reads them."""
    from paris.experts.frozen.text import TextConfig
    from paris.experts.frozen.text_loading import load_text_encoder
    from paris.experts.models.prompt_router import train_prompt_router

    encoder = load_text_encoder(TextConfig.from_settings(spec.text), run.data)
    if not encoder.config.reads_text or not any(map(_has_captions, clusters)):
        return None
    captions = [(text, k) for k, data in enumerate(clusters) for text in _captions(data)]
    return train_prompt_router(
        encoder, [text for text, _ in captions], [k for _, k in captions], spec.num_experts, seed=spec.seed
    )


def _write_prompt_router(run: RunDir, prompt_router: PromptRouter | None) -> None:
    """Write the prompt router, or remove an earlier one if it is None."""
    from paris.experts.models.prompt_router import save_prompt_router

    weights, config = run.router / "prompt_router.safetensors", run.router / "prompt_router.json"
    if prompt_router is None:
        config.unlink(missing_ok=True)
        weights.unlink(missing_ok=True)
        return
    save_prompt_router(weights, prompt_router)
    write_whole(config, json.dumps(prompt_router.config.to_settings()).encode())


def _captions(data: ClusterData) -> Iterator[str]:
    """All captions of all rows: a row with several is in the prompt router's training once with each."""
    shards = (data.opened(index) for index in range(data.num_shards))
    return (text for shard in shards for texts in shard.all_captions for text in texts)


def _has_captions(data: ClusterData) -> bool:
    return any(_captions(data))


def _report_json(report: RouterReport, num_clusters: int) -> dict[str, Any]:
    """The report as JSON; each `*_by_noise` list becomes (low, high, figure) triples of equal noise intervals."""
    fields = report.model_dump(mode="json")
    for name, figures in fields.items():
        if name.endswith("_by_noise"):
            count = len(figures)
            fields[name] = [(i / count, (i + 1) / count, figure) for i, figure in enumerate(figures)]
    return {**fields, "num_clusters": num_clusters}


def _summary(report: RouterReport, rows: _Rows, *, ignores_prompt: bool) -> str:
    subject = "The router" if rows.trained_on == "data" else "The router, trained on samples of the experts,"
    unseen = "held-out rows" if rows.judged_on == "data" else "further samples"
    summary = f"{subject} names the cluster of {report.accuracy:.0%} of {unseen} over all noise levels"
    summary += f" (chance {report.chance:.0%})."
    return summary + (" No row has a caption, so it sees pictures alone." if ignores_prompt else "")


if __name__ == "__main__":
    fail_worker(lambda: run_router_job(RunDir.open(Path(sys.argv[1])), from_samples=sys.argv[2:] == ["samples"]))
