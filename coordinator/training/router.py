"""Router training: by `paris-coord train-router`, or by the running service as a child process.

router/config.json  pytorch_model.safetensors     the router, as in a release
router/prompt_router.safetensors                  p(k | prompt), trained beside it
router/report.json                                accuracy and calibration by noise level, losses; what rows it saw
router/summary.txt                                one sentence, written last: then all of it is there
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.console import fail_worker
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests
from paris.experts.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paris.experts.data.shards import ClusterData
    from paris.experts.models.prompt_router import PromptRouter
    from paris.experts.models.router import Router
    from paris.experts.training.router_report import RouterReport
    from paris.protocol.records import RunSpec

_PROGRESS_EVERY = 50


def train_run_router(run: RunDir, *, from_samples: bool = False) -> str:
    """Train the run's two routers on its prepared data, or on what its experts drew.

    Args:
        run: A prepared run directory.
        from_samples: On the rows of `router_samples.py`, which are drawn already.

    Returns:
        One sentence on what the router learned.

    Raises:
        RunDirError: Nothing is prepared.
        ShardError: Samples are asked for, and not all of them are drawn.
        ExpertError: A setting is not valid, or training diverged; an earlier router is left as it was.
    """
    from paris.experts.release.layout import write_router

    spec = make_spec(run, [])
    rows = _sampled_rows(run) if from_samples else _prepared_rows(run)
    router, report = _train_router(run, spec, rows)
    prompt_router = _train_prompt_router(run, spec, rows.clusters)
    (run.router / "summary.txt").unlink(missing_ok=True)
    write_router(run.router, router)
    _write_prompt_router(run, prompt_router)
    plain = {**_plain(report, spec.num_experts), "trained_on": rows.trained_on, "judged_on": rows.judged_on}
    write_whole(run.router / "report.json", json.dumps(plain, indent=1).encode())
    who = "The router, trained on samples of the experts," if from_samples else "The router"
    unseen = "held-out rows" if rows.judged_on == "data" else "further samples"
    summary = f"{who} names the cluster of {report.accuracy:.0%} of {unseen} over all noise levels"
    summary += f" (chance {report.chance:.0%})."
    if run.config.router.sees_prompt and not router.sees_prompt:
        summary += " No row has a caption, so it sees pictures alone."
    write_whole(run.router / "summary.txt", summary.encode())
    return summary


@dataclass(frozen=True)
class _Rows:
    """What the routers see."""

    clusters: list[ClusterData]
    heldout: list[ClusterData]
    trained_on: str = "data"
    judged_on: str = "data"


def _prepared_rows(run: RunDir) -> _Rows:
    from paris.experts.data.shards import ClusterData

    manifests = load_manifests(run)
    clusters = [ClusterData([run.data / shard.path for shard in manifest.shards]) for manifest in manifests]
    return _Rows(clusters, [ClusterData([path]) for path in run.heldout_files])


def _sampled_rows(run: RunDir) -> _Rows:
    """What the experts drew; judged on real rows where they are here."""
    from paris.experts.data.shards import ClusterData
    from paris.experts.pipeline.expert_samples import read_samples

    clusters, heldout = read_samples(run.samples)
    if heldout:
        return _Rows(clusters, heldout, "samples", "samples")
    return _Rows(clusters, [ClusterData([path]) for path in run.heldout_files], "samples", "data")


def _train_router(run: RunDir, spec: RunSpec, rows: _Rows) -> tuple[Router, RouterReport]:
    """The router of noisy pictures; it is judged on the secret held-out rows."""
    import torch

    from paris.experts.frozen.codec import CodecConfig, load_codec
    from paris.experts.frozen.text import TextConfig
    from paris.experts.frozen.text_loading import load_text_encoder
    from paris.experts.models.presets import router_preset
    from paris.experts.training.router_training import RouterTrainingConfig, train_router

    table = run.config.router
    base = router_preset(table.preset, spec.num_experts)
    same_pictures = {name: spec.model[name] for name in ("image_size", "in_channels")}
    text = TextConfig.from_settings(spec.text)
    sees_prompt = table.sees_prompt and any(map(_has_captions, rows.clusters))
    same_text = {"text_embed_dim": text.dim} if sees_prompt else {}
    config = type(base).from_settings({**base.to_settings(), **same_pictures, **table.overrides, **same_text})
    training = {"steps": table.steps, "batch_size": table.batch_size, "learning_rate": table.learning_rate}

    def show(step: int, loss: float) -> None:
        if step % _PROGRESS_EVERY == 0 or step == table.steps:
            progress = {"step": step, "steps": table.steps, "loss": loss}
            write_whole(run.router / "progress.json", json.dumps(progress).encode())

    return train_router(
        config,
        rows.clusters,
        rows.heldout,
        load_codec(CodecConfig.from_settings(spec.codec), run.data),
        RouterTrainingConfig.from_settings({**training, **table.training}),
        seed=spec.seed,
        text_encoder=load_text_encoder(text, run.data, run.config.compute.device) if sees_prompt else None,
        device=run.config.compute.device,
        num_threads=run.config.compute.num_threads or torch.get_num_threads(),
        on_progress=show,
    )


def _train_prompt_router(run: RunDir, spec: RunSpec, clusters: list[ClusterData]) -> PromptRouter | None:
    """The router of prompts, from the rows' captions; None where no row has one."""
    from paris.experts.frozen.text import TextConfig
    from paris.experts.frozen.text_loading import load_text_encoder
    from paris.experts.models.prompt_router import train_prompt_router

    encoder = load_text_encoder(TextConfig.from_settings(spec.text), run.data)
    if not any(map(_has_captions, clusters)):
        return None
    captions = [(text, k) for k, data in enumerate(clusters) for text in _captions(data)]
    return train_prompt_router(
        encoder, [text for text, _ in captions], [k for _, k in captions], spec.num_experts, seed=spec.seed
    )


def _write_prompt_router(run: RunDir, prompt_router: PromptRouter | None) -> None:
    """Write it, or remove an earlier one where there is none now."""
    from paris.experts.models.prompt_router import save_prompt_router

    weights, config = run.router / "prompt_router.safetensors", run.router / "prompt_router.json"
    if prompt_router is None:
        config.unlink(missing_ok=True)
        weights.unlink(missing_ok=True)
        return
    save_prompt_router(weights, prompt_router)
    write_whole(config, json.dumps(prompt_router.config.to_settings()).encode())


def _captions(data: ClusterData) -> Iterator[str]:
    return (text for index in range(data.num_shards) for text in data.shard(index).captions)


def _has_captions(data: ClusterData) -> bool:
    return any(_captions(data))


def _plain(report: RouterReport, num_clusters: int) -> dict[str, Any]:
    """The report as JSON; figures by noise level become (from, to, figure)."""
    plain = report.model_dump(mode="json")
    for name, figures in plain.items():
        if name.endswith("_by_noise"):
            count = len(figures)
            plain[name] = [(i / count, (i + 1) / count, figure) for i, figure in enumerate(figures)]
    return {**plain, "num_clusters": num_clusters}


if __name__ == "__main__":
    fail_worker(lambda: train_run_router(RunDir.open(Path(sys.argv[1])), from_samples=sys.argv[2:] == ["samples"]))
