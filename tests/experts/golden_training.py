"""Short trainings whose results are golden: experts, routers, a prompt router, a student."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from golden_release import OBJECTIVES, make_release
from golden_values import Golden, digest, one_thread, summary
from safetensors.torch import load_file
from tiny_training import MODEL, Listener, make_data, make_task, never, shard_path
from torch import Tensor

from paris.experts.data.cluster import ClusterData
from paris.experts.files import file_sha256
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.presets import RouterConfig
from paris.experts.models.prompt_router import train_prompt_router
from paris.experts.release.bank import ExpertBank
from paris.experts.release.layout import expert_path, read_layout
from paris.experts.training.config import TrainingTask
from paris.experts.training.distillation import DistillationTask, teacher_targets
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.router_training import RouterRows, RouterTask, RouterTrainingConfig, train_router

# An average that keeps 0.4 from step 3 on; a rate that warms up, falls, and decays the weights.
SETTINGS = {"steps": 10, "snapshot_every": 4, "ema_decay": 0.4, "warmup_steps": 2, "weight_decay": 0.05}
EXPERTS = {
    "velocity": {},
    "epsilon": {"objective": {"kind": "epsilon"}},
    "epsilon, linear schedule": {"objective": {"kind": "epsilon", "schedule": "linear"}},
    "micro-batches, logit-normal times, unclipped": {
        "micro_batch_size": 4,
        "time_sampling": "logit-normal",
        "grad_clip": None,
        "beta2": 0.99,
    },
    "bfloat16": {"precision": "bfloat16"},
}
ROUTERS = {"router": None, "router that sees the prompt": MODEL.text_embed_dim}
_SHARD_CLUSTERS = (0, 1, 2, 1)
_ROUTER = {"image_size": 8, "in_channels": 3, "patch_size": 4, "hidden_size": 16, "num_layers": 2, "num_heads": 2}


def golden_training(folder: Path) -> dict[str, Golden]:
    """Each case by name; the folder is for what they write."""
    make_data(folder)
    release = make_release(folder / "release")
    makers: dict[str, Callable[[], Golden]] = {
        **{name: lambda name=name: _expert(folder, folder / name, **EXPERTS[name]) for name in EXPERTS},
        **{name: lambda name=name: _router(folder, folder / name, ROUTERS[name]) for name in ROUTERS},
        "prompt router": lambda: _prompt_router(folder),
        "student": lambda: _student(folder, release, folder / "student"),
    }
    with one_thread():
        return {name: make() for name, make in makers.items()}


def _expert(folder: Path, work: Path, **training: object) -> Golden:
    return _trained(make_task(**{**SETTINGS, **training}), folder, work)


def _student(folder: Path, release: Path, work: Path) -> Golden:
    layout = read_layout(release)
    teachers = tuple(file_sha256(expert_path(release, number)) for number in range(len(OBJECTIVES)))
    own = {"task_id": "student", "shard_clusters": _SHARD_CLUSTERS, "teachers": teachers}
    task = DistillationTask.from_settings({**dict(make_task(**SETTINGS)), **own})
    made = _trained(task, folder, work, with_targets=teacher_targets(task, ExpertBank.open(release, layout)))
    # The task names the digests of its teachers' random weights, which depend on the machine.
    return replace(made, same={}, bits={"task": task.digest, **made.bits})


def _trained(task: TrainingTask, folder: Path, work: Path, **more: object) -> Golden:
    listener = Listener()
    training = ExpertTraining(task, work, lambda i: shard_path(folder, i), folder, report_every=1, **more)
    finished = training.run(listener.report, never)
    newest = work / "snapshots" / f"step-{task.steps:08d}"
    parts = {name: newest / f"{name}.safetensors" for name in ("weights", "ema", "optimizer")}
    commitments = {f"commitment at step {p.commitment_step}": p.commitment for p in listener.heard if p.commitment}
    return Golden(
        same={"task": task.digest},
        bits={
            "expert.safetensors": finished.weights_sha256,
            **{path.name: file_sha256(path) for path in parts.values()},
            **commitments,
        },
        near={
            "losses": [float(f"{p.loss:.7g}") for p in listener.heard if p.loss is not None],
            **_summaries("weights", load_file(parts["weights"])),
            **_summaries("ema", load_file(finished.weights_path)),
        },
    )


def _router(folder: Path, work: Path, text_embed_dim: int | None) -> Golden:
    clusters = [_cluster(folder, cluster) for cluster in range(3)]
    task = RouterTask(
        seed=7,
        router=RouterConfig(**_ROUTER, num_clusters=3, text_embed_dim=text_embed_dim),
        training=RouterTrainingConfig(steps=10, batch_size=8, learning_rate=3e-3, warmup_steps=2, ema_decay=0.4),
    )
    encoder = _encoder(folder) if text_embed_dim else None
    rows = RouterRows(clusters, clusters)
    router, report = train_router(task, rows, load_codec(CodecConfig(), folder), encoder, work)
    judged = [loss for _, loss in report.losses] + [report.brier, *report.brier_by_noise]
    return _network(router.state_dict(), judged)


def _prompt_router(folder: Path) -> Golden:
    captions = [(shard.captions, cluster) for cluster in range(3) for shard in _shards(folder, cluster)]
    texts = [caption for said, _ in captions for caption in said]
    clusters = [cluster for said, cluster in captions for _ in said]
    encoder = _encoder(folder)
    router = train_prompt_router(encoder, texts, clusters, 3, seed=7, steps=10)
    says = router(*encoder.encode(["red heart", ""])).softmax(1)
    return _network(router.state_dict(), says.flatten().tolist())


def _network(tensors: Mapping[str, Tensor], judged: list[float]) -> Golden:
    numbers = [float(f"{number:.7g}") for number in judged]
    return Golden(bits={"weights": digest(tensors)}, near={"judged": numbers, **_summaries("weights", tensors)})


def _summaries(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, list[float]]:
    return {f"{kind}: {name}": summary(tensor) for name, tensor in sorted(tensors.items())}


def _cluster(folder: Path, cluster: int) -> ClusterData:
    return ClusterData([shard_path(folder, i) for i, of in enumerate(_SHARD_CLUSTERS) if of == cluster])


def _shards(folder: Path, cluster: int):
    data = _cluster(folder, cluster)
    return [data.shard(i) for i in range(_SHARD_CLUSTERS.count(cluster))]


def _encoder(folder: Path):
    return load_text_encoder(make_task().text.model_copy(update={"path": "vocab.json"}), folder)
