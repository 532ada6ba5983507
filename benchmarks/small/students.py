"""What is learned from experts alone: a student of all of them, and routers of what they draw.

<folder>/work/<student's part>/...                  as `parts.py`
<folder>/work/samples.<clustering>/...              what the experts drew, as shards
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.small.clusters import read_clusters, shard
from benchmarks.small.parts import Part, load_part, run_training, task_of, weights_of
from benchmarks.small.routers import SAMPLED, train_routers
from benchmarks.small.settings import SmallSettings, read_settings
from paris.experts.data.cluster import ClusterData
from paris.experts.files import file_sha256
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.objectives.objectives import VelocityModel
from paris.experts.pipeline.expert_samples import ExpertSamples, SampleFolder, in_proportion
from paris.experts.sampling.experts import ExpertMap
from paris.experts.training.distillation import DistillationTask, teacher_targets

_NUM_STEPS, _SOLVER = 25, "ab2"


class _AtHand(dict[int, VelocityModel]):
    """All experts in memory: nothing is ever fetched."""

    def prefetch(self, number: int) -> None:
        """It is there."""


def train_student(folder: Path, part: Part, teachers: Sequence[Part], say: Callable[[str], None] = print) -> None:
    """Distil trained experts into one model, or do nothing where that is done. Takes the process for itself.

    Args:
        folder: The benchmark's folder.
        part: The student.
        teachers: The experts, by number.
        say: Called with a line of progress now and then.
    """
    if weights_of(folder, part).is_file():
        return
    settings, numbers = read_settings(folder), range(len(teachers))
    clusters = read_clusters(folder, part.clustering)
    fields = task_of(folder, settings, part, None).to_settings()
    task = DistillationTask.from_settings(
        {
            **fields,
            "shard_rows": [data.shard_rows[0] for data in clusters],
            "shard_clusters": list(numbers),
            "teachers": [file_sha256(weights_of(folder, teacher)) for teacher in teachers],
        }
    )
    targets = teacher_targets(task, _AtHand({k: load_part(folder, teacher) for k, teacher in enumerate(teachers)}))
    run_training(folder, part, task, lambda k: shard(folder, part.clustering, k), say, with_targets=targets)


def train_routers_on_samples(
    folder: Path, clustering: str, experts: Sequence[Part], say: Callable[[str], None] = print
) -> None:
    """Train both routers on what the experts draw for captions of their own clusters; no picture is seen.

    `router_samples` rows a cluster on average, in the clusters' proportions, without guidance.

    Args:
        folder: The benchmark's folder.
        clustering: Whose clusters the experts were trained on.
        experts: The experts, by number, trained.
        say: Called with a line of progress now and then.
    """
    train_routers(folder, clustering + SAMPLED, say, rows=lambda: _drawn(folder, clustering, experts))


def _drawn(folder: Path, clustering: str, experts: Sequence[Part]) -> list[ClusterData]:
    torch.set_num_threads(1)
    settings: SmallSettings = read_settings(folder)
    captions = [data.shard(0).captions for data in read_clusters(folder, clustering)]
    request = ExpertSamples(
        experts=tuple(file_sha256(weights_of(folder, part)) for part in experts),
        counts=in_proportion([len(own) for own in captions], settings.router_samples),
        heldout=(0,) * len(captions),
        prompts_sha256=hashlib.sha256(json.dumps(captions).encode()).hexdigest(),
        seed=settings.seed,
        num_steps=_NUM_STEPS,
        solver=_SOLVER,
    )
    drawing = SampleFolder(
        folder / "work" / f"samples.{clustering}",
        request,
        ExpertMap({k: load_part(folder, part) for k, part in enumerate(experts)}),
        load_text_encoder(settings.text, folder / "data"),
        load_codec(CodecConfig(), folder / "data"),
        captions,
    )
    return drawing.draw()[0]
