"""Models, objectives, training, routers, sampling, pipeline. No network, no coordinator.

settings.py   the base class of configurations
errors.py     typed errors with a next step and an exit code
files.py      atomic file writes
installed.py  modules that are not installed, and the extra that has them
locks.py      a lock that can be copied
seeding.py    the source of random numbers

frozen/       pretrained networks: text encoders, picture codecs, picture features
data/         shards, and the order of their rows
weights/      safetensors in and out, strictly
models/       the networks, their shapes and initial weights
objectives/   training objectives, and their models as velocities
training/     one expert, and the routers: deterministic, resumable
sampling/     from noise to pictures: several experts as one model
release/      a whole model as a folder, in the published layout
pipeline/     prompts in, pictures out

A room imports only rooms above it; training and sampling do not know each other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paris.experts.errors import ExpertError
    from paris.experts.models.model import DiTExpert
    from paris.experts.models.presets import PRESETS, ROUTER_PRESETS, ModelConfig, RouterConfig
    from paris.experts.models.router import Router
    from paris.experts.pipeline.pipeline import ParisPipeline
    from paris.experts.sampling.sample import sample

_HOME = {
    "DiTExpert": "models.model",
    "ExpertError": "errors",
    "ModelConfig": "models.presets",
    "PRESETS": "models.presets",
    "ParisPipeline": "pipeline.pipeline",
    "ROUTER_PRESETS": "models.presets",
    "Router": "models.router",
    "RouterConfig": "models.presets",
    "sample": "sampling.sample",
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
    """Import a public name when it is first used, so that importing the package does not import torch.

    Raises:
        AttributeError: There is no such name.
        MissingModuleError: It takes an extra that is not installed; its message names the extra.
    """
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"{__name__}.{_HOME[name]}")
    except ModuleNotFoundError as error:
        from paris.experts.installed import missing_module

        if (missing := missing_module(error)) is None:
            raise
        raise missing from error
    return getattr(module, name)
