"""The weights that all experts of a run start from: the seed's, or those of a file that volunteers fetch.

<run's files>/initial_weights.safetensors    a whole expert, float32; from `imagenet.py` or a warm start

A verifier measures each expert's progress from these common weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from paris.experts.errors import CheckpointError
from paris.experts.files import file_sha256
from paris.experts.models.model import DiTExpert, initial_expert
from paris.experts.models.presets import ModelConfig
from paris.experts.settings import Settings
from paris.experts.weights.checkpoint import load_tensors, save_weights, specs_of

INITIAL_WEIGHTS_FILE = "initial_weights.safetensors"


class InitialWeights(Settings):
    """A file of initial weights in a run's description."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,90}\.safetensors$")] = INITIAL_WEIGHTS_FILE
    """Relative to the folder of the run's files."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=1)]
    """Bounds the download."""


def starting_expert(config: ModelConfig, seed: int, weights: InitialWeights | None, folder: Path) -> DiTExpert:
    """The expert that training starts from, on the CPU.

    Args:
        config: The shape.
        seed: The run's seed; decides where `weights` is None.
        weights: The run's file of initial weights, if it has one.
        folder: Of the run's files.

    Raises:
        CheckpointError: The file is missing, has another digest, or is not exactly this model's weights.
    """
    if weights is None:
        return initial_expert(config, seed)
    path = folder / weights.path
    if not path.is_file():
        raise CheckpointError(f"The run's initial weights {path} are missing.", "Fetch the run's files again.")
    found = file_sha256(path)
    if found != weights.sha256:
        raise CheckpointError(
            f"{path} has sha256 {found[:12]}..., the run names {weights.sha256[:12]}....",
            "Remove the file and fetch the run's files again.",
        )
    with torch.device("meta"):
        expert = DiTExpert(config)
    expert.load_state_dict(load_tensors(path, specs_of(expert.state_dict())), assign=True)
    return expert


def write_initial_weights(folder: Path, expert: DiTExpert, name: str = INITIAL_WEIGHTS_FILE) -> InitialWeights:
    """Write an expert as the file `name` of initial weights, for `starting_expert`.

    Args:
        folder: Of the run's files.
        expert: In float32, the type of training's weights.
        name: As `InitialWeights.path` allows.
    """
    path = folder / name
    sha256 = save_weights(path, expert)
    return InitialWeights(path=name, sha256=sha256, bytes=path.stat().st_size)
