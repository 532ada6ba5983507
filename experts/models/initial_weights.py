"""What the training of every expert of a run starts from: the run's seed, or a file that travels with its parts.

<parts folder>/initial_weights.safetensors    a whole expert under the model's own names, float32; see `imagenet.py`

All experts of a run start from the same weights, so that what each learned can be told from what it was given.
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
    """A file of initial weights, as a run's description names it."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,90}\.safetensors$")] = INITIAL_WEIGHTS_FILE
    """Its name in the folder of the run's parts."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=1)]
    """Its size, so that it can be fetched within bounds."""


def starting_expert(config: ModelConfig, seed: int, weights: InitialWeights | None, folder: Path) -> DiTExpert:
    """The expert that training starts from, and that a verifier measures progress against; on the CPU.

    Args:
        config: The shape.
        seed: The run's seed.
        weights: The run's initial weights; None where it has none: then the seed's.
        folder: Where the run's parts are.

    Raises:
        CheckpointError: The file is missing, another than the run names, or not exactly this model's weights.
    """
    if weights is None:
        return initial_expert(config, seed)
    path = folder / weights.path
    if not path.is_file():
        raise CheckpointError(f"The run's initial weights {path} are missing.", "Fetch the run's parts again.")
    found = file_sha256(path)
    if found != weights.sha256:
        raise CheckpointError(
            f"{path} has sha256 {found[:12]}..., the run names {weights.sha256[:12]}....",
            "Remove the file and fetch the run's parts again.",
        )
    with torch.device("meta"):
        expert = DiTExpert(config)
    expert.load_state_dict(load_tensors(path, specs_of(expert.state_dict())), assign=True)
    return expert


def write_initial_weights(folder: Path, expert: DiTExpert, name: str = INITIAL_WEIGHTS_FILE) -> InitialWeights:
    """Put an expert's weights among a run's parts, for `starting_expert`.

    Args:
        folder: Where the run's parts are.
        expert: In float32, which training computes its weights in.
        name: Of the file, as `InitialWeights.path` allows.

    Returns:
        How the run's description names the file.

    Raises:
        DiskFullError: No space; an earlier file is as it was.
    """
    path = folder / name
    sha256 = save_weights(path, expert)
    return InitialWeights(path=name, sha256=sha256, bytes=path.stat().st_size)
