"""Between pictures and what the experts see: pixels as they are, or a VAE's latents.

Shapes: B pictures, C channels, H and W the model's, Hp and Wp the picture's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from paris.experts.errors import CodecError
from paris.experts.settings import Settings
from paris.experts.text import InnerPath

SD_VAE_SCALE = 0.18215
"""Brings latents of sd-vae-ft-mse to unit variance (Rombach et al., arXiv 2112.10752)."""


class CodecConfig(Settings):
    """How pictures are stored and shown to the model."""

    kind: Literal["pixels", "vae"] = "pixels"
    path: InnerPath = "vae"
    """The VAE's folder (diffusers AutoencoderKL), inside the folder that the codec is loaded from."""
    scale: Annotated[float, Field(gt=0, le=100)] = SD_VAE_SCALE
    """What stored latents are multiplied by for the model."""


class Codec(Protocol):
    """Pictures in, stored arrays, model tensors, pictures out."""

    config: CodecConfig
    dtype: Literal["uint8", "float16"]
    """What stored arrays are made of."""

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Pictures uint8 `[B, 3, Hp, Wp]` to stored arrays `[B, C, H, W]`."""

    def to_model(self, stored: np.ndarray | Tensor) -> Tensor:
        """Stored arrays `[B, C, H, W]` to what the model sees, float32."""

    def decode(self, x: Tensor) -> np.ndarray:
        """What the model makes `[B, C, H, W]` to pictures uint8 `[B, Hp, Wp, 3]`."""


class PixelCodec:
    """Pixels in [-1, 1]: nothing to load."""

    dtype: Literal["uint8", "float16"] = "uint8"

    def __init__(self, config: CodecConfig) -> None:
        self.config = config

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Pictures uint8 `[B, 3, H, W]`, unchanged."""
        return _checked(images)

    def to_model(self, stored: np.ndarray | Tensor) -> Tensor:
        """uint8 `[B, 3, H, W]` to float32 in [-1, 1]: 0 becomes -1, 255 becomes 1."""
        return torch.as_tensor(stored).float().div_(127.5).sub_(1.0)

    def decode(self, x: Tensor) -> np.ndarray:
        """`[B, 3, H, W]` in [-1, 1], clipped, to uint8 `[B, H, W, 3]`."""
        return _to_bytes(x)


class VaeCodec:
    """Latents of a diffusers AutoencoderKL: the posterior's mean, stored as float16.

    Args:
        config: Folder and scale.
        folder: Where `config.path` starts.
        device: Where it computes.

    Raises:
        CodecError: The VAE cannot be loaded, or diffusers is not installed.
    """

    dtype: Literal["uint8", "float16"] = "float16"

    def __init__(self, config: CodecConfig, folder: Path, device: torch.device | str = "cpu") -> None:
        self.config = config
        self._device = torch.device(device)
        self._vae = _load_vae(folder / config.path).to(self._device).eval().requires_grad_(False)

    @torch.no_grad()
    def encode(self, images: np.ndarray) -> np.ndarray:
        """Pictures uint8 `[B, 3, Hp, Wp]` to float16 latents `[B, C, H, W]`, not yet scaled."""
        x = torch.as_tensor(_checked(images)).to(self._device).float().div_(127.5).sub_(1.0)
        return self._vae.encode(x).latent_dist.mean.cpu().numpy().astype(np.float16)

    def to_model(self, stored: np.ndarray | Tensor) -> Tensor:
        """float16 `[B, C, H, W]` to float32 of about unit variance."""
        return torch.as_tensor(stored).float().mul_(self.config.scale)

    @torch.no_grad()
    def decode(self, x: Tensor) -> np.ndarray:
        """Latents as the model makes them `[B, C, H, W]` to uint8 `[B, Hp, Wp, 3]`, one picture at a time."""
        latents = x.to(self._device).float() / self.config.scale
        return np.concatenate([_to_bytes(self._vae.decode(row[None]).sample) for row in latents])


def load_codec(config: CodecConfig, folder: Path, device: torch.device | str = "cpu") -> Codec:
    """The codec that a configuration names.

    Args:
        config: Which one.
        folder: Where its files are; unused for pixels.
        device: Where a VAE computes.

    Raises:
        CodecError: The VAE cannot be loaded.
    """
    return PixelCodec(config) if config.kind == "pixels" else VaeCodec(config, folder, device)


def _load_vae(path: Path) -> Any:
    if not (path / "config.json").is_file():
        raise CodecError(f"There is no VAE in {path}: config.json is missing.", "Fetch the run's VAE first.")
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise CodecError(f"A VAE needs diffusers: {error}.", "Run pip install diffusers.") from error
    try:
        return AutoencoderKL.from_pretrained(path, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise CodecError(f"The VAE in {path} cannot be loaded: {error}") from error


def _checked(images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise CodecError(f"Pictures are uint8 [B, 3, H, W], not {images.dtype} {list(images.shape)}.")
    return images


def _to_bytes(x: Tensor) -> np.ndarray:
    pixels = x.float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()
