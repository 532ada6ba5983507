"""A model in memory back into a folder of the published layout, which loads as the same model."""

from __future__ import annotations

from pathlib import Path

from paris.experts.errors import LayoutError
from paris.experts.frozen.codec import Codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.models.prompt_router import PromptRouter, save_prompt_router
from paris.experts.models.router import Router
from paris.experts.release.layout import PROMPT_ROUTER_FILE, expert_path, router_path, write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.release.parts import learned
from paris.experts.sampling.expert_source import ExpertSource
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.weights.checkpoint import save_weights


def save_parts(
    folder: Path,
    *,
    name: str,
    dataset_name: str,
    experts: ExpertSource,
    router: Router,
    text_encoder: TextEncoder,
    codec: Codec,
    prompt_router: PromptRouter | None,
    sampling: SamplingSettings,
) -> None:
    """Write a model's folder, in the dtype that the model computes in; the root config.json last.

    Args:
        folder: Where to; made where it does not exist. What an earlier model of as many experts left is replaced.
        name: What the model is called.
        dataset_name: What it was trained on.
        experts: All K; of a bank one after the other is fetched.
        router: Of K clusters.
        text_encoder: Writes its own files.
        codec: Writes its own files.
        prompt_router: Where the model has one.
        sampling: What it is sampled with where nothing else is asked for.

    Raises:
        LayoutError: The folder holds more experts than the model has; nothing is written.
        SettingsError: The parts do not fit together.
        DiskFullError: No space; the folder has no root config.json then.
    """
    numbers = sorted(experts.keys())
    if (folder / f"expert_{len(numbers)}").exists():
        raise LayoutError(f"{folder} holds more than {len(numbers)} experts.", "Choose an empty folder.")
    (folder / "config.json").unlink(missing_ok=True)
    objectives = []
    for number in numbers:
        model, objective = learned(experts[number])
        save_weights(expert_path(folder, number), model)
        objectives.append(objective)
        config = model.config
    save_weights(router_path(folder), router)
    prompt_path = None
    if prompt_router is not None:
        prompt_path = folder / "router" / PROMPT_ROUTER_FILE
        save_prompt_router(prompt_path, prompt_router)
    layout = Layout.from_settings(
        {
            "name": name,
            "dataset_name": dataset_name,
            "num_experts": len(numbers),
            "model": config,
            "router": router.config,
            "text": text_encoder.save(folder),
            "codec": codec.save(folder),
            "prompt_router": prompt_router and prompt_router.config,
            "sampling": sampling,
            "objectives": tuple(objectives),
        }
    )
    # All lies where the layout has it: nothing is copied, but names and shapes are checked.
    paths = [expert_path(folder, number) for number in numbers]
    write_layout(folder, layout, paths, router_path(folder), folder, prompt_path)
