"""`paris-coord train-router --from-samples`: each expert draws rows, once, for the router to be trained on.

samples/      see `paris.experts.pipeline.expert_samples`; begun again where experts or settings are others
"""

from __future__ import annotations

import hashlib
import json

import torch

from paris.coordinator.console import progress_bar, say
from paris.coordinator.errors import NotReadyError
from paris.coordinator.release.experts import TrainedExperts, trained_experts
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests
from paris.experts.data.shards import ClusterData
from paris.experts.frozen.codec import load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.pipeline.expert_samples import ExpertSamples, SampleFolder, in_proportion
from paris.experts.release.residency import ExpertBank
from paris.protocol.manifest import Manifest

SAMPLES_PER_EXPERT = 1024
_HELDOUT_SHARE = 8
"""Where no real held-out rows are here, so many times less samples than for training are drawn to judge the router."""


def draw_samples(
    run: RunDir, samples_per_expert: int, *, null_prompt: bool, max_resident_experts: int | None = None
) -> None:
    """Draw what is missing of the rows that were asked for; the same call goes on after an interruption.

    Args:
        run: A prepared run whose experts are all registered, or released.
        samples_per_expert: Rows of an expert on average; each draws in proportion to its cluster's rows.
        null_prompt: Draw without prompts. Else with the captions of the expert's own cluster.
        max_resident_experts: Experts in memory at once; None: all.

    Raises:
        NotReadyError: An expert is not registered, or captions are asked for and a shard is not here.
        ExpertError: As sampling raises; the shards that were drawn stay.
    """
    run.require_prepared()
    manifests = load_manifests(run)
    prompts = [[] for _ in manifests] if null_prompt else [_captions(run, manifest) for manifest in manifests]
    experts = trained_experts(run)
    request = _request(run, experts, [manifest.rows for manifest in manifests], samples_per_expert, prompts)
    total, device = sum(request.counts) + sum(request.heldout), run.config.compute.device
    torch.set_num_threads(run.config.compute.num_threads or torch.get_num_threads())
    layout = experts.layout
    with (
        ExpertBank.open(experts.folder, layout, device, max_resident_experts=max_resident_experts) as bank,
        progress_bar("drawing", total) as show,
    ):
        encoder = load_text_encoder(layout.text, experts.parts, device)
        codec = load_codec(layout.codec, experts.parts, device)
        SampleFolder(run.samples, request, bank, encoder, codec, prompts, device).draw(show)
    say(f"{total} pictures that the experts drew are in {run.samples}.")


def _request(
    run: RunDir, experts: TrainedExperts, cluster_rows: list[int], mean: int, prompts: list[list[str]]
) -> ExpertSamples:
    sampling, counts = experts.layout.sampling, in_proportion(cluster_rows, mean)
    has_heldout = all(path.is_file() for path in run.heldout_files)
    return ExpertSamples(
        experts=experts.digests,
        counts=counts,
        heldout=tuple(0 if has_heldout else -(-count // _HELDOUT_SHARE) for count in counts),
        prompts_sha256=hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),
        seed=run.config.run.seed,
        num_steps=sampling.num_steps,
        solver=sampling.solver,
        time_shift=sampling.time_shift,
    )


def _captions(run: RunDir, manifest: Manifest) -> list[str]:
    paths = [run.data / shard.path for shard in manifest.shards]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise NotReadyError(
            f"The captions of cluster {manifest.cluster} are asked for, but {missing[0]} is not here.",
            "Draw without them: --null-prompt.",
        )
    data = ClusterData(paths, max_open=1)
    return [caption for index in range(data.num_shards) for caption in data.shard(index).captions]
