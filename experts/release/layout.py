"""A model's folder, in the layout of the published Paris weights: written, read, and its networks loaded.

config.json                                      name, number of experts, sizes; ours adds "text" and "codec"
model_index.json                                 what diffusers reads first
expert_0/config.json  model_index.json
expert_0/diffusion_pytorch_model.safetensors     ... up to expert_{K-1}
router/config.json
router/pytorch_model.safetensors
vocab.json                                       a vocabulary encoder, or:
text_encoder/  tokenizer/                        as `transformers` writes them; neither for experts without text
vae/                                             as diffusers writes it; absent for pixels

config.json: {"model_name": "Paris", "num_experts": 8, "image_size": 32, "num_channels": 4, ...,
              "text": {"kind": "transformers", ...}, "codec": {"kind": "vae", ...}}
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from paris.experts.errors import CheckpointError, LayoutError, SettingsError
from paris.experts.files import copy_whole
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import RouterConfig
from paris.experts.models.prompt_router import PromptRouter
from paris.experts.models.router import Router
from paris.experts.release.layout_fields import (
    Layout,
    expert_fields,
    index_fields,
    layout_of,
    root_fields,
    router_config_of,
    router_fields,
)
from paris.experts.release.layout_files import copy_frozen, read_json, write_json
from paris.experts.weights.checkpoint import TensorSpec, check_specs, load_tensors, read_specs, save_weights, specs_of

EXPERT_FILE = "diffusion_pytorch_model.safetensors"
ROUTER_FILE = "pytorch_model.safetensors"
PROMPT_ROUTER_FILE = "prompt_router.safetensors"
MAX_EXPERTS = 1024

Model = TypeVar("Model", bound=nn.Module)


def expert_path(folder: Path, number: int) -> Path:
    """Where expert `number` has its weights."""
    return folder / f"expert_{number}" / EXPERT_FILE


def router_path(folder: Path) -> Path:
    """Where the router has its weights."""
    return folder / "router" / ROUTER_FILE


def read_layout(folder: Path) -> Layout:
    """Read the config.json files of a folder, of ours or as published, and check that they fit together.

    Raises:
        LayoutError: A file or an expert's folder is missing, malformed, or contradicts another.
    """
    root = read_json(folder / "config.json")
    num_experts = root.get("num_experts")
    if not isinstance(num_experts, int) or not 1 <= num_experts <= MAX_EXPERTS:
        raise LayoutError(f"{folder}/config.json: num_experts is {num_experts!r}.")
    for number in range(num_experts):
        if not expert_path(folder, number).is_file():
            _refuse_sharded(expert_path(folder, number))
            raise LayoutError(
                f"{folder} has num_experts {num_experts}, but lacks expert_{number}/{EXPERT_FILE}.", "Fetch it again."
            )
    if (folder / f"expert_{num_experts}").exists():
        raise LayoutError(f"{folder} has num_experts {num_experts}, but also a folder expert_{num_experts}.")
    experts = [read_json(folder / f"expert_{number}" / "config.json") for number in range(num_experts)]
    router = read_json(folder / "router" / "config.json")
    try:
        return layout_of(root, experts, router)
    except (LayoutError, SettingsError) as error:
        raise LayoutError(f"{folder}: {error.what}") from error


def write_layout(
    folder: Path,
    layout: Layout,
    experts: Sequence[DiTExpert | Path],
    router: Router | Path,
    frozen: Path,
    prompt_router: PromptRouter | Path | None = None,
) -> None:
    """Write a model's folder, the root config.json last: a folder that has one is complete.

    Args:
        folder: Made where it does not exist.
        layout: `text` and `codec` name their files inside `frozen`.
        experts: All, in order: models, or their safetensors files, which are copied.
        router: The router, or its file.
        frozen: The folder of the vocabulary, or of the text encoder and the VAE.
        prompt_router: The prompt router or its file, where the layout has one.

    Raises:
        LayoutError: The number of experts is not the layout's, or a file is missing in `frozen`.
        CheckpointError: A file has not the names and shapes that the layout says.
        DiskFullError: No space; the folder has no root config.json then.
    """
    if len(experts) != layout.num_experts:
        raise LayoutError(f"There are {len(experts)} experts to write, the layout says {layout.num_experts}.")
    if (prompt_router is None) != (layout.prompt_router is None):
        raise LayoutError("A prompt router and its configuration are written together, or neither is.")
    (folder / "config.json").unlink(missing_ok=True)
    for number, expert in enumerate(experts):
        inner = folder / f"expert_{number}"
        _place(expert, inner / EXPERT_FILE, _empty_expert(layout, number))
        write_json(inner / "config.json", expert_fields(layout, number))
        write_json(inner / "model_index.json", {"_class_name": "DiTExpert", "expert_id": number})
    _place(router, router_path(folder), _empty_router(layout.router))
    write_json(folder / "router" / "config.json", router_fields(layout.router))
    if layout.prompt_router and prompt_router:
        _place(prompt_router, folder / "router" / PROMPT_ROUTER_FILE, PromptRouter(layout.prompt_router))
    released = copy_frozen(layout, frozen, folder)
    write_json(folder / "model_index.json", index_fields(released))
    write_json(folder / "config.json", root_fields(released))


def load_expert(folder: Path, layout: Layout, number: int, dtype: torch.dtype = torch.float32) -> DiTExpert:
    """One expert on the CPU, in this dtype; for sampling: `as_velocity(expert, layout.objectives[number])`.

    Raises:
        CheckpointError: The file has another model's names or shapes, or a value that is not finite.
    """
    return _loaded(_empty_expert(layout, number), expert_path(folder, number), f"expert_{number}", dtype)


def load_router(folder: Path, layout: Layout, dtype: torch.dtype = torch.float32) -> Router:
    """The router on the CPU, ready to sample.

    Raises:
        LayoutError: The file is missing.
        CheckpointError: As `load_expert`.
    """
    return _loaded(_empty_router(layout.router), _present(router_path(folder)), "router", dtype)


def stored_dtype(folder: Path) -> torch.dtype:
    """The floating type of the experts' files, by the header of the first; float32 where its tensors differ.

    Raises:
        CheckpointError: The file is not readable.
    """
    found = {spec.dtype for spec in read_specs(expert_path(folder, 0)).values() if spec.dtype.is_floating_point}
    return found.pop() if len(found) == 1 else torch.float32


def load_prompt_router(folder: Path, layout: Layout) -> PromptRouter | None:
    """The prompt router, where the model has one.

    Raises:
        LayoutError: The layout has one, but its file is missing.
        CheckpointError: As `load_expert`.
    """
    if layout.prompt_router is None:
        return None
    with torch.device("meta"):
        model = PromptRouter(layout.prompt_router)
    return _loaded(model, _present(folder / "router" / PROMPT_ROUTER_FILE), "prompt router", torch.float32)


def write_router(folder: Path, router: Router) -> None:
    """Write a router by itself: config.json and pytorch_model.safetensors, as a model's router folder has them.

    Raises:
        DiskFullError: No space; each file is as it was, or whole.
    """
    save_weights(folder / ROUTER_FILE, router)
    write_json(folder / "config.json", router_fields(router.config))


def read_router(folder: Path) -> Router:
    """Read a router's own folder, see `write_router`.

    Raises:
        LayoutError: A file is missing or malformed.
        CheckpointError: The weights are not those of the configured shape, or not finite.
    """
    try:
        config = router_config_of(read_json(folder / "config.json"))
    except SettingsError as error:
        raise LayoutError(f"{folder}: {error.what}") from error
    return _loaded(_empty_router(config), _present(folder / ROUTER_FILE), "router", torch.float32)


def _refuse_sharded(path: Path) -> None:
    index = path.with_name(path.name + ".index.json")
    if index.is_file():
        raise LayoutError(
            f"{index} splits the weights over several files, which are not read.",
            f"Join them: load all tensors and write them with safetensors as {path.name}.",
        )


def _present(path: Path) -> Path:
    if not path.is_file():
        _refuse_sharded(path)
        raise LayoutError(f"{path.parent} lacks {path.name}.", "Fetch it again.")
    return path


def _empty_expert(layout: Layout, number: int) -> DiTExpert:
    with torch.device("meta"):
        return DiTExpert(layout.sizes[number])


def _empty_router(config: RouterConfig) -> Router:
    with torch.device("meta"):
        return Router(config)


def _expected(path: Path, model: nn.Module) -> dict[str, TensorSpec]:
    """The model's names and shapes, in the floating types of the file."""
    found = read_specs(path)
    return {
        name: TensorSpec(spec.shape, found[name].dtype)
        if name in found and found[name].dtype.is_floating_point
        else spec
        for name, spec in specs_of(model.state_dict()).items()
    }


def _loaded(model: Model, path: Path, name: str, dtype: torch.dtype) -> Model:
    try:
        tensors = load_tensors(path, _expected(path, model))
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error.what}", "Fetch the model again.") from error
    model.load_state_dict({key: tensor.to(dtype) for key, tensor in tensors.items()}, assign=True)
    return model.eval().requires_grad_(False)


def _place(source: nn.Module | Path, target: Path, empty: nn.Module) -> None:
    if isinstance(source, nn.Module):
        save_weights(target, source)
        check_specs(read_specs(target), _expected(target, empty), str(target))
        return
    check_specs(read_specs(source), _expected(source, empty), str(source))
    copy_whole(source, target)
