"""What is learned: models, objectives, training, router, pipeline. No network, no coordinator.

errors.py             typed errors with a next step and an exit code
settings.py           the base of every configuration
presets.py            shapes of experts and routers, and the named ones
files.py              writing a file whole or not at all
seeding.py            where every random number comes from

layers.py             what experts and routers are made of
initial.py            initial weights from a seed
model.py              the expert: a diffusion transformer with text cross-attention
router.py             the router: which cluster a noisy picture comes from
flow.py               flow matching: path, velocity, loss
schedules.py          DDPM: signal and noise over time
objectives.py         what an expert learns, and how all are sampled as one
initial_weights.py    what training starts from: a seed, or a file of the run
imagenet.py           such a file from a DiT trained on ImageNet
text.py               frozen text encoders: a vocabulary
text_transformers.py  frozen text encoders: a pretrained transformer
codec.py              pixels, or a VAE's latents

shards.py             one Parquet file of a cluster's rows
order.py              which rows batch s is made of
training.py           training one expert, resumable
ema.py                the moving average of the weights
checkpoint.py         weights in and out of safetensors, strictly
snapshots.py          training state on disk, and its chain of commitments
router_training.py    training the router
evaluate.py           held-out losses; whether a sample is its prompt's
features.py           picture features by a pretrained network

sampler.py            from noise to pictures, several experts as one model
layout.py             the published folder layout
parts.py              all parts of a model, from a folder or a Hub repo
parts_writing.py      all parts of a model, back into a folder
drawing.py            rules, prompts and noise of a sampling run; drawing without diffusers
routing_plot.py       a picture of which expert drew what
pipeline.py           prompts in, pictures out, as a pipeline of diffusers
pipeline_*.py         its files, placement, steps, callbacks and output
scheduler_files.py    its scheduler in a model's folder
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paris.experts.errors import ExpertError
    from paris.experts.model import DiTExpert
    from paris.experts.pipeline import ParisPipeline
    from paris.experts.presets import PRESETS, ROUTER_PRESETS, ModelConfig, RouterConfig
    from paris.experts.router import Router
    from paris.experts.sampler import sample

_HOME = {
    "DiTExpert": "model",
    "ExpertError": "errors",
    "ModelConfig": "presets",
    "PRESETS": "presets",
    "ParisPipeline": "pipeline",
    "ROUTER_PRESETS": "presets",
    "Router": "router",
    "RouterConfig": "presets",
    "sample": "sampler",
}

__all__ = [
    "PRESETS",
    "ROUTER_PRESETS",
    "DiTExpert",
    "ExpertError",
    "ModelConfig",
    "ParisPipeline",
    "Router",
    "RouterConfig",
    "sample",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that importing the package does not import torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
