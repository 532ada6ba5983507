"""A whole model in memory: loaded from a folder or a Hub repo, and saved into a folder that loads as the same model.

Nothing here needs diffusers, unless the model has a VAE: its import takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from paris.experts.errors import LayoutError
from paris.experts.frozen.codec import Codec, load_codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.prompt_router import PromptRouter, save_prompt_router
from paris.experts.models.router import Router
from paris.experts.objectives.objectives import EpsilonAsVelocity, Objective, VelocityModel
from paris.experts.release.bank import ExpertBank, Keep
from paris.experts.release.layout import (
    PROMPT_ROUTER_FILE,
    expert_path,
    load_prompt_router,
    load_router,
    read_layout,
    router_path,
    write_layout,
)
from paris.experts.release.layout_fields import Layout
from paris.experts.sampling.experts import Ensemble, ExpertSource
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.training.needs import num_parameters
from paris.experts.weights.checkpoint import save_weights

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
"""What is fetched from a Hub: data alone, never a pickle, never code."""


class ExpertList(nn.ModuleList, ExpertSource):
    """Experts that are all in memory, by number from 0.

    Args:
        experts: `DiTExpert` models, or what `as_velocity` made of them.
    """

    def __init__(self, experts: Iterable[Any] = ()) -> None:
        super().__init__(experts)

    @property
    def config(self) -> Any:
        """The shape of the largest expert."""
        return max((expert.config for expert in self), key=num_parameters)

    def keys(self) -> range:
        """See `ExpertSource.keys`."""
        return range(len(self))

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The experts' own networks."""
        return tuple(unwrapped(expert)[0] for expert in self)


ModelExperts: TypeAlias = ExpertList | ExpertBank


@dataclass(frozen=True)
class ParisModel:
    """What a model is sampled with."""

    experts: ModelExperts
    router: Router
    text_encoder: TextEncoder
    codec: Codec
    prompt_router: PromptRouter | None
    """On the CPU; None where the noisy picture alone decides."""
    sampling: SamplingSettings
    """What is used where a call does not ask for others."""
    name: str
    dataset_name: str = ""

    @property
    def ensemble(self) -> Ensemble:
        """Experts and router."""
        return Ensemble(self.experts, self.router)

    @property
    def device(self) -> torch.device:
        """Where experts and router are."""
        return next(self.router.parameters()).device


def unwrapped(expert: VelocityModel) -> tuple[nn.Module, Objective]:
    """The network of an expert, and what it learned to predict: the inverse of `as_velocity`.

    Raises:
        LayoutError: The expert is no network.
    """
    if isinstance(expert, EpsilonAsVelocity):
        return expert.model, expert.objective
    if isinstance(expert, nn.Module):
        return expert, Objective()
    raise LayoutError(f"An expert of type {type(expert).__name__} has no weights to write.")


def load_model(
    folder: Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    max_resident_experts: int | None = None,
    keep: Keep | None = None,
) -> ParisModel:
    """Load a folder in the published layout. Only JSON, text and safetensors are read; nothing is executed.

    Args:
        folder: The folder, of ours or as published.
        device: None for a GPU where there is one.
        dtype: What experts and router compute in. Text encoder and VAE compute in float32.
        max_resident_experts: How many experts of one size are on the device at once; None: all.
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
    return ParisModel(
        router=load_router(folder, layout, dtype).to(place),
        text_encoder=load_text_encoder(layout.text, folder, place),
        codec=codec,
        prompt_router=load_prompt_router(folder, layout),
        experts=ExpertBank.open(folder, layout, place, dtype, max_resident_experts, keep),
        sampling=layout.sampling,
        name=layout.name,
        dataset_name=layout.dataset_name,
    )


def save_model(folder: Path, model: ParisModel) -> None:
    """Write a model's folder, in the dtype that the model computes in; the root config.json last.

    Args:
        folder: Where to; made where it does not exist. An earlier model of as many experts is replaced.
        model: The model; of a bank one expert after the other is fetched.

    Raises:
        LayoutError: The folder holds more experts than the model has; nothing is written.
        SettingsError: The parts do not fit together.
        DiskFullError: No space; the folder has no root config.json then.
    """
    numbers = sorted(model.experts.keys())
    if (folder / f"expert_{len(numbers)}").exists():
        raise LayoutError(f"{folder} holds more than {len(numbers)} experts.", "Choose an empty folder.")
    (folder / "config.json").unlink(missing_ok=True)
    objectives, sizes = [], []
    for number in numbers:
        with model.experts.exclusive():
            network, objective = unwrapped(model.experts[number])
            save_weights(expert_path(folder, number), network)
        objectives.append(objective)
        sizes.append(network.config)
    save_weights(router_path(folder), model.router)
    if model.prompt_router is not None:
        save_prompt_router(folder / "router" / PROMPT_ROUTER_FILE, model.prompt_router)
    layout = Layout.from_settings(
        {
            "name": model.name,
            "dataset_name": model.dataset_name,
            "num_experts": len(numbers),
            "model": model.experts.config,
            "sizes": tuple(sizes),
            "objectives": tuple(objectives),
            "router": model.router.config,
            "text": model.text_encoder.save(folder),
            "codec": model.codec.save(folder),
            "prompt_router": model.prompt_router and model.prompt_router.config,
            "sampling": model.sampling,
        }
    )
    # All files are already in the folder: nothing is copied, but names and shapes are checked.
    paths = [expert_path(folder, number) for number in numbers]
    prompt_router = folder / "router" / PROMPT_ROUTER_FILE if model.prompt_router else None
    write_layout(folder, layout, paths, router_path(folder), folder, prompt_router)


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
