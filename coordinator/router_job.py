"""Router training: by `paris-coord train-router`, or by the running service as a child process.

router/config.json  pytorch_model.safetensors     the router, as in a release
router/prompt_router.safetensors                  p(k | prompt), trained beside it
router/report.json  summary.txt                   accuracy by noise level, losses
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from paris.coordinator.console import fail_worker, say
from paris.coordinator.rundir import RunDir, write_whole
from paris.coordinator.spec import load_manifests, make_spec

_PROGRESS_EVERY = 50


def train_run_router(run: RunDir) -> None:
    """Train the run's two routers on its prepared data.

    Args:
        run: A prepared run directory.

    Raises:
        RunDirError: Nothing is prepared.
        ExpertError: A setting is not valid, or training diverged; an earlier router is left as it was.
    """
    import torch

    from paris.experts.codec import CodecConfig, load_codec
    from paris.experts.layout import write_router
    from paris.experts.presets import router_preset
    from paris.experts.prompt_router import save_prompt_router, train_prompt_router
    from paris.experts.router_training import RouterTrainingConfig, train_router
    from paris.experts.shards import ClusterData
    from paris.experts.text import TextConfig, load_text_encoder

    spec, table = make_spec(run, []), run.config.router
    clusters = [
        ClusterData([run.data / shard.path for shard in manifest.shards]) for manifest in load_manifests(run, "0" * 40)
    ]
    heldout = [ClusterData([run.data / "heldout" / f"cluster-{k:03d}.parquet"]) for k in range(spec.num_experts)]
    base = router_preset(table.preset, spec.num_experts)
    config = type(base).from_settings({**base.to_settings(), **table.overrides})
    training = RouterTrainingConfig.from_settings(
        {"steps": table.steps, "batch_size": table.batch_size, "learning_rate": table.learning_rate} | table.training
    )
    codec = load_codec(CodecConfig.from_settings(spec.codec), run.data)

    def show(step: int, loss: float) -> None:
        if step % _PROGRESS_EVERY == 0 or step == table.steps:
            write_whole(
                run.router / "progress.json", json.dumps({"step": step, "steps": table.steps, "loss": loss}).encode()
            )

    router, report = train_router(
        config,
        clusters,
        heldout,
        codec,
        training,
        seed=spec.seed,
        device=run.config.compute.device,
        num_threads=run.config.compute.num_threads or torch.get_num_threads(),
        on_progress=show,
    )
    encoder = load_text_encoder(TextConfig.from_settings(spec.text), run.data)
    captions = [(text, k) for k, data in enumerate(clusters) for text in _captions(data)]
    prompt_router = train_prompt_router(
        encoder, [text for text, _ in captions], [k for _, k in captions], spec.num_experts, seed=spec.seed
    )
    write_router(run.router, router)
    save_prompt_router(run.router / "prompt_router.safetensors", prompt_router)
    write_whole(run.router / "prompt_router.json", json.dumps(prompt_router.config.to_settings()).encode())
    rate = f"{report.accuracy:.0%} of held-out rows over all noise levels (chance {report.chance:.0%})"
    summary = f"The router names the cluster of {rate}."
    write_whole(run.router / "report.json", json.dumps(_plain(report, spec.num_experts), indent=1).encode())
    write_whole(run.router / "summary.txt", summary.encode())
    say(summary)


def _captions(data: Any) -> list[str]:
    return [text for index in range(data.num_shards) for text in data.shard(index).captions]


def _plain(report: Any, num_clusters: int) -> dict[str, Any]:
    bins = len(report.accuracy_by_noise)
    by_noise = [(i / bins, (i + 1) / bins, accuracy) for i, accuracy in enumerate(report.accuracy_by_noise)]
    return {**report.model_dump(mode="json"), "accuracy_by_noise": by_noise, "num_clusters": num_clusters}


if __name__ == "__main__":
    fail_worker(lambda: train_run_router(RunDir.open(Path(sys.argv[1]))))
