"""The arguments of `from_pretrained`: diffusers' own as diffusers takes them, all others refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from paris.experts.errors import SettingsError
from paris.experts.pipeline.placement import BY_RESIDENCY, dtype_of
from paris.experts.release.layout import stored_dtype

PARTS = ("router", "experts", "text_encoder", "codec", "prompt_router", "scheduler", "sampling", "name", "dataset_name")
"""What a caller may give in place of the model's own."""
_DOWNLOAD = ("token", "cache_dir", "local_files_only", "force_download")
_ALREADY_SO: dict[str, tuple[Any, ...]] = {
    "use_safetensors": (None, True),
    "trust_remote_code": (None, False),
    "low_cpu_mem_usage": (None, True, False),
    "disable_mmap": (None, True, False),
    "custom_pipeline": (None,),
    "variant": (None,),
}
"""Arguments of diffusers, with the values that ask for what is done anyway."""
_INSTEAD = {
    "variant": "A model has one set of weights: choose what it computes in by dtype=.",
    "vae": "Give codec=.",
    "tokenizer": "Give text_encoder=.",
    "max_memory": BY_RESIDENCY,
    "offload_folder": BY_RESIDENCY,
    "use_safetensors": "Weights are read from safetensors alone.",
    "trust_remote_code": "A model's code is never executed.",
    "custom_pipeline": "A model's code is never executed.",
}
_DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True)
class LoadArguments:
    """What `from_pretrained` was given beside its named arguments."""

    download: dict[str, Any]
    """For `local_folder`."""
    parts: dict[str, Any]
    """Out of `PARTS`."""
    device: torch.device | str | None

    @classmethod
    def of(cls, given: Mapping[str, Any], device: torch.device | str | None) -> Self:
        """Sort the arguments; `device_map` may name the device.

        Raises:
            SettingsError: An argument is unknown or asks for what a model of experts cannot do; the message names it.
        """
        rest = dict(given)
        download = {name: rest.pop(name) for name in _DOWNLOAD if name in rest}
        parts = {name: rest.pop(name) for name in PARTS if name in rest}
        place = rest.pop("device_map", None)
        if isinstance(place, str) and place in _DEVICE_MAPS:
            raise SettingsError(f"device_map is {place!r}, which is not for several experts.", BY_RESIDENCY)
        if place is not None and not isinstance(place, str | torch.device):
            raise SettingsError(f"device_map is {place!r:.80}.", "Give a device, such as 'cuda'.")
        for name, value in rest.items():
            if name not in _ALREADY_SO or value not in _ALREADY_SO[name]:
                known = ", ".join((*PARTS, *_DOWNLOAD, "device_map"))
                raise SettingsError(
                    f"from_pretrained cannot take {name}={value!r:.80}.", _INSTEAD.get(name, f"It takes {known}.")
                )
        chosen = place if device is None else device
        try:
            return cls(download, parts, None if chosen is None else torch.device(chosen))
        except (RuntimeError, TypeError) as error:
            raise SettingsError(f"There is no device {chosen!r:.80}.", "Give a device, such as 'cuda'.") from error


def loaded_dtype(folder: Path, dtype: torch.dtype | str | None, torch_dtype: torch.dtype | str | None) -> torch.dtype:
    """What experts and router compute in: float32, unless one of the two arguments says otherwise.

    Args:
        folder: The model's; "auto" is the type that its experts' files hold.
        dtype: A floating type of torch or its name, such as "bfloat16", or "auto".
        torch_dtype: The same under its older name.

    Raises:
        SettingsError: Both are given and differ, or the type is unknown.
    """
    if dtype is not None and torch_dtype is not None and dtype != torch_dtype:
        raise SettingsError(f"dtype is {dtype}, torch_dtype is {torch_dtype}.", "Give one of them.")
    wanted = torch_dtype if dtype is None else dtype
    if wanted is None:
        return torch.float32
    return stored_dtype(folder) if wanted == "auto" else dtype_of(wanted)
