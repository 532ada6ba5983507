"""A pipeline out of a folder or a Hub repo, and back into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch

from paris.experts.errors import SamplingError
from paris.experts.pipeline.placement import PlacedPipeline
from paris.experts.pipeline.scheduler_files import load_scheduler, save_scheduler
from paris.experts.release.parts import load_parts, local_folder
from paris.experts.release.parts_writing import save_parts
from paris.experts.release.residency import Keep


class StoredPipeline(PlacedPipeline):
    """A pipeline that loads and saves itself in the published layout, instead of in that of diffusers."""

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | Path,
        revision: str | None = None,
        endpoint: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        torch_dtype: torch.dtype | None = None,
        max_resident_experts: int | None = None,
        keep: Keep | None = None,
        **download: Any,
    ) -> Self:
        """Load a model in the published layout. Only JSON, text and safetensors are read; nothing is executed.

        Args:
            path_or_repo: A folder, or a Hub repo such as `org/model`.
            revision: Branch, tag or commit of the repo; None for its main branch.
            endpoint: URL of another Hub than the public one.
            device: None for a GPU where there is one.
            dtype: What experts and router compute in; None: float32. Text encoder and VAE compute in float32.
            torch_dtype: The same under its older name.
            max_resident_experts: How many experts are on the device at once, the others being fetched while one
                computes; None: all.
            keep: Where the others wait, "memory" or "disk"; see `ExpertBank.open`.
            download: For the Hub: token, cache_dir, local_files_only, force_download.

        Raises:
            LayoutError: No such folder or repo, or a part of it is missing or contradicts another.
            CheckpointError: Weights are not those of the model that the folder describes, or not finite.
            TextError: The text encoder cannot be loaded.
            CodecError: The VAE cannot be loaded.
            SettingsError: `max_resident_experts` is less than 1.
        """
        folder = local_folder(path_or_repo, revision, endpoint, **download)
        dtype = dtype or torch_dtype or torch.float32
        parts = load_parts(folder, device=device, dtype=dtype, max_resident_experts=max_resident_experts, keep=keep)
        layout = parts.layout
        pipeline = cls(
            parts.experts,
            parts.router,
            parts.text_encoder,
            parts.codec,
            parts.prompt_router,
            load_scheduler(folder),
            layout.sampling,
            layout.name,
            layout.dataset_name,
        )
        pipeline.register_to_config(_name_or_path=str(path_or_repo))
        return pipeline

    def save_pretrained(
        self, save_directory: str | Path, safe_serialization: bool = True, variant: str | None = None
    ) -> None:
        """Write the model in the published layout: `from_pretrained` loads the same model.

        Args:
            save_directory: Where to; made where it does not exist.
            safe_serialization: Always; nothing is ever pickled.
            variant: None alone.

        Raises:
            LayoutError: The folder holds more experts than the model has; nothing is written.
            SamplingError: Another form than safetensors is asked for.
            DiskFullError: No space; the folder has no root config.json then.
        """
        if not safe_serialization or variant is not None:
            raise SamplingError("A model is written as plain safetensors.", "Leave safe_serialization and variant out.")
        folder = Path(save_directory)
        save_parts(
            folder,
            name=self.config.name,
            dataset_name=self.config.dataset_name,
            experts=self.experts,
            router=self.router,
            text_encoder=self.text_encoder,
            codec=self.codec,
            prompt_router=self.prompt_router,
            sampling=self.sampling,
        )
        save_scheduler(folder, self.scheduler)
