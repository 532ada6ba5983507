"""`paris-coord train-router --from-samples`: draws training rows for the router from the experts.

samples/      see `paris.experts.pipeline.expert_samples`; drawn again when experts or settings change
"""

from __future__ import annotations

import hashlib
import json

import torch

from paris.coordinator.console import progress_bar, say
from paris.coordinator.errors import NotReadyError
from paris.coordinator.release.experts import TrainedExperts, fetch_trained_experts
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests
from paris.experts.data.cluster import ClusterData
from paris.experts.frozen.codec import load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.pipeline.expert_samples import ExpertSamples, SampleFolder, in_proportion
from paris.experts.release.bank import ExpertBank
from paris.protocol.manifest import Manifest

SAMPLES_PER_EXPERT = 1024
_TRAIN_PER_HELDOUT = 8
"""Training samples for each held-out sample; held-out samples are drawn only if the real held-out rows are missing."""


def draw_samples(
    run: RunDir, samples_per_expert: int, *, null_prompt: bool, max_resident_experts: int | None = None
) -> None:
    """Draw the requested rows that are not yet in `run.samples`; after an interruption the same call resumes.

    Args:
        run: A prepared run whose experts are all registered, or released.
        samples_per_expert: Mean rows of an expert; each expert draws in proportion to its cluster's rows.
        null_prompt: Draw with the null prompt instead of the captions of the expert's cluster. Experts without text
            always do.
        max_resident_experts: Experts in memory at once; None is all.

    Raises:
        NotReadyError: An expert is not registered, or captions are needed and a shard is missing.
        ExpertError: Sampling failed; finished shards are kept.
    """
    run.require_prepared()
    manifests = load_manifests(run)
    reads_captions = run.config.reads_text and not null_prompt
    prompts = [_captions(run, manifest) if reads_captions else [] for manifest in manifests]
    experts = fetch_trained_experts(run)
    counts = in_proportion([manifest.rows for manifest in manifests], samples_per_expert)
    request = _request(run, experts, counts, prompts)
    total, device = sum(request.counts) + sum(request.heldout), run.config.compute.device
    torch.set_num_threads(run.config.compute.num_threads or torch.get_num_threads())
    layout = experts.layout
    with (
        ExpertBank.open(experts.folder, layout, device, max_resident_experts=max_resident_experts) as bank,
        progress_bar("drawing", total) as show_done,
    ):
        encoder = load_text_encoder(layout.text, experts.frozen_folder, device)
        codec = load_codec(layout.codec, experts.frozen_folder, device)
        SampleFolder(run.samples, request, bank, encoder, codec, prompts, device).draw(show_done)
    say(f"The experts' {total} samples are in {run.samples}.")


def _request(run: RunDir, experts: TrainedExperts, counts: tuple[int, ...], prompts: list[list[str]]) -> ExpertSamples:
    sampling = experts.layout.sampling
    has_heldout = all(path.is_file() for path in run.heldout_files)
    return ExpertSamples(
        experts=experts.digests,
        counts=counts,
        heldout=tuple(0 if has_heldout else -(-count // _TRAIN_PER_HELDOUT) for count in counts),
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
            f"The captions of cluster {manifest.cluster} are needed, but {missing[0]} is missing.",
            "Draw without captions: --null-prompt.",
        )
    data = ClusterData(paths, max_open=1)
    return [caption for index in range(data.num_shards) for caption in data.shard(index).captions]
