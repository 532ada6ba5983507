"""All parts of a model: from a folder or a Hub repo into memory, and back into a folder.

Nothing here needs diffusers, unless the model has a VAE: its import takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paris.experts.errors import LayoutError
from paris.experts.frozen.codec import Codec, load_codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.prompt_router import PromptRouter
from paris.experts.models.router import Router
from paris.experts.objectives.objectives import EpsilonAsVelocity, Objective, VelocityModel
from paris.experts.release.layout import load_prompt_part, load_router, read_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.release.residency import ExpertBank, Keep

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
"""What is fetched from a Hub: data alone, never a pickle, never code."""


class Experts(nn.ModuleList):
    """Experts that are all in memory, by number from 0.

    Args:
        experts: `DiTExpert` models, or what `as_velocity` made of them.
    """

    def __init__(self, experts: Iterable[Any] = ()) -> None:
        super().__init__(experts)

    def keys(self) -> range:
        """The experts' numbers."""
        return range(len(self))


def learned(expert: VelocityModel) -> tuple[nn.Module, Objective]:
    """The network itself, and what it learned to predict.

    Args:
        expert: As sampling asks it.
    """
    if isinstance(expert, EpsilonAsVelocity):
        return expert.model, expert.objective
    if isinstance(expert, nn.Module):
        return expert, Objective()
    raise LayoutError(f"An expert of type {type(expert).__name__} has no weights to write.")


@dataclass(frozen=True)
class ModelParts:
    """What a model is sampled with."""

    layout: Layout
    experts: ExpertBank
    router: Router
    text_encoder: TextEncoder
    codec: Codec
    prompt_router: PromptRouter | None
    device: torch.device


def load_parts(
    folder: Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    max_resident_experts: int | None = None,
    keep: Keep | None = None,
) -> ModelParts:
    """Load a folder in the published layout. Only JSON, text and safetensors are read; nothing is executed.

    Args:
        folder: The folder, of ours or as published.
        device: None for a GPU where there is one.
        dtype: What experts and router compute in. Text encoder and VAE compute in float32.
        max_resident_experts: How many experts are on the device at once; None: all.
        keep: Where the others wait, see `ExpertBank.open`.

    Raises:
        LayoutError: A part is missing or contradicts another.
        CheckpointError: Weights are not those of the model that the folder describes, or not finite.
        TextError: The text encoder cannot be loaded.
        CodecError: The VAE cannot be loaded.
    """
    layout = read_layout(folder)
    place = torch.device(device or best_device())
    codec = load_codec(layout.codec, folder, place)
    codec.open()
    return ModelParts(
        layout=layout,
        router=load_router(folder, layout, dtype).to(place),
        text_encoder=load_text_encoder(layout.text, folder, place),
        codec=codec,
        prompt_router=load_prompt_part(folder, layout),
        device=place,
        experts=ExpertBank.open(folder, layout, place, dtype, max_resident_experts, keep),
    )


def local_folder(
    path_or_repo: str | Path,
    revision: str | None = None,
    endpoint: str | None = None,
    **download: Any,
) -> Path:
    """The folder itself, or where a Hub repo's data files were downloaded to.

    Args:
        path_or_repo: A folder, or a Hub repo such as `org/model`.
        revision: Branch, tag or commit of the repo; None for its main branch.
        endpoint: URL of another Hub than the public one.
        download: More for `huggingface_hub.snapshot_download`: token, cache_dir, local_files_only, force_download.

    Raises:
        LayoutError: There is no such folder, or the Hub does not give the repo.
    """
    path = Path(path_or_repo)
    if path.is_dir():
        return path
    name = str(path_or_repo)
    if isinstance(path_or_repo, Path) or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise LayoutError(f"There is no folder {name}.", "Give a model's folder, or a Hub repo such as org/model.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, endpoint=endpoint, allow_patterns=_FILES, **download))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise LayoutError(f"{name} cannot be fetched from the Hub: {first_line}", "Check name and revision.") from error


def best_device() -> str:
    """A GPU where there is one, of NVIDIA, AMD or Apple; else the processor."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
