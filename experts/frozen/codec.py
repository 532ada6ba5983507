"""From pictures to model inputs and back: pixels, or a VAE's latents.

Shapes: B pictures, C channels, H and W the model's, Hp and Wp the picture's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor

from paris.experts.errors import CodecError
from paris.experts.settings import RelativePath, Settings

SD_VAE_SCALE = 0.18215
"""Scales latents of sd-vae-ft-mse to unit variance (Rombach et al., arXiv 2112.10752)."""
_DECODE_BATCH = 4
StoredDtype = Literal["uint8", "float16", "int8"]


class CodecConfig(Settings):
    """How pictures are stored and scaled."""

    kind: Literal["pixels", "vae"] = "pixels"
    path: RelativePath = "vae"
    """The VAE's folder (diffusers AutoencoderKL), inside the folder that the codec is loaded from."""
    scale: Annotated[float, Field(gt=0, le=100)] = SD_VAE_SCALE
    """Latents times this are the model's inputs."""
    store: Literal["float16", "int8"] = "float16"
    """Type of stored latents; int8 halves the bytes that volunteers download."""
    int8_reach: Annotated[float, Field(gt=0, le=100)] = 6.0
    """Largest scaled latent that int8 can hold; larger ones are clipped. Steps are 1/127 of it."""


class Codec(Protocol):
    """From pictures to stored arrays to model inputs, and back."""

    config: CodecConfig
    dtype: StoredDtype
    """Type of stored arrays."""

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Pictures uint8 `[B, 3, Hp, Wp]` to stored arrays `[B, C, H, W]`."""

    def to_model(self, stored: np.ndarray | Tensor) -> Tensor:
        """Stored arrays to model inputs, float32 `[B, C, H, W]`."""

    def to_stored(self, x: Tensor) -> np.ndarray:
        """Model outputs `[B, C, H, W]` to stored arrays: the inverse of `to_model` but for rounding and clipping."""

    def decode(self, x: Tensor) -> np.ndarray:
        """Model outputs `[B, C, H, W]` to pictures uint8 `[B, Hp, Wp, 3]`."""

    def open(self) -> None:
        """Load the files now rather than with the first picture."""

    def to(self, device: torch.device | str) -> None:
        """Compute on another device from now on."""

    def save(self, folder: Path) -> CodecConfig:
        """Write the codec's files into `folder`; the configuration that loads them from there."""


class PixelCodec:
    """Pixels in [-1, 1]; has no files."""

    dtype: StoredDtype = "uint8"

    def __init__(self, config: CodecConfig) -> None:
        self.config = config

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Pictures uint8 `[B, 3, H, W]`, unchanged."""
        return _checked(images)

    def to_model(self, stored: np.ndarray | Tensor) -> Tensor:
        """uint8 `[B, 3, H, W]` to float32 in [-1, 1]: 0 becomes -1, 255 becomes 1."""
        return torch.as_tensor(stored).float().div_(127.5).sub_(1.0)

    def to_stored(self, x: Tensor) -> np.ndarray:
        """`[B, 3, H, W]` in [-1, 1], clipped and rounded, to uint8."""
        return _pixels(x).cpu().numpy()

    def decode(self, x: Tensor) -> np.ndarray:
        """`[B, 3, H, W]` in [-1, 1], clipped, to uint8 `[B, H, W, 3]`."""
        return _to_bytes(x)

    def open(self) -> None:
        """No-op."""

    def to(self, device: torch.device | str) -> None:
        """No-op."""

    def save(self, folder: Path) -> CodecConfig:
        """No-op."""
        return self.config


class VaeCodec:
    """Latents of a diffusers AutoencoderKL: the posterior's mean, stored as float16, or quantized to int8.

    The VAE is loaded with the first picture: training and scoring only scale stored latents, and need neither its
    files nor diffusers. It computes in float32.

    Args:
        config: Folder and scale.
        folder: `config.path` is relative to it.
        device: Where it computes.
    """

    def __init__(self, config: CodecConfig, folder: Path, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.dtype: StoredDtype = config.store
        self._step = config.int8_reach / 127
        self._path = folder / config.path
        self._device = torch.device(device)
        self._loaded: Any = None

    @property
    def vae(self) -> Any:
        """The AutoencoderKL: its `enable_tiling` and `enable_slicing` are honoured.

        Raises:
            CodecError: It cannot be loaded, or diffusers is not installed.
        """
        if self._loaded is None:
            self._loaded = _load_vae(self._path).to(self._device).eval().requires_grad_(False)
        return self._loaded

    @torch.no_grad()
    def encode(self, images: np.ndarray) -> np.ndarray:
        """Pictures uint8 `[B, 3, Hp, Wp]` to latents `[B, C, H, W]`: unscaled float16, or int8 steps."""
        x = torch.as_tensor(_checked(images)).to(self._device).float().div_(127.5).sub_(1.0)
        mean = self.vae.encode(x).latent_dist.mean.cpu()
        if self.dtype == "float16":
            return mean.numpy().astype(np.float16)
        steps = mean.mul_(self.config.scale / self._step).round_().clamp_(-127, 127)
        return steps.to(torch.int8).numpy()

    def to_model(self, stored: np.ndarray | Tensor) -> Tensor:
        """Stored latents `[B, C, H, W]` to float32 of about unit variance."""
        return torch.as_tensor(stored).float().mul_(self.config.scale if self.dtype == "float16" else self._step)

    def to_stored(self, x: Tensor) -> np.ndarray:
        """Scaled latents `[B, C, H, W]` to unscaled float16, clipped to its range."""
        largest = torch.finfo(torch.float16).max
        return (x.float() / self.config.scale).clamp(-largest, largest).cpu().numpy().astype(np.float16)

    @torch.no_grad()
    def decode(self, x: Tensor) -> np.ndarray:
        """Scaled latents `[B, C, H, W]` to uint8 `[B, Hp, Wp, 3]`.

        To save memory, four at a time on a GPU; one at a time elsewhere, or with `vae.enable_slicing()`.
        """
        latents = x.to(self._device).float() / self.config.scale
        together = _DECODE_BATCH if self._device.type == "cuda" and not self.vae.use_slicing else 1
        return np.concatenate([_to_bytes(self.vae.decode(rows).sample) for rows in latents.split(together)])

    def open(self) -> None:
        """Load the VAE now; raises as `vae`."""
        _ = self.vae

    def to(self, device: torch.device | str) -> None:
        """Compute on another device from now on."""
        self._device = torch.device(device)
        if self._loaded is not None:
            self._loaded.to(self._device)

    def save(self, folder: Path) -> CodecConfig:
        """Write the VAE as diffusers does, into `folder/vae`."""
        self.vae.save_pretrained(folder / "vae", safe_serialization=True)
        return self.config.model_copy(update={"path": "vae"})


def load_codec(config: CodecConfig, folder: Path, device: torch.device | str = "cpu") -> Codec:
    """The codec of a configuration, whose paths are relative to `folder`; a VAE computes on `device`."""
    return PixelCodec(config) if config.kind == "pixels" else VaeCodec(config, folder, device)


def _load_vae(path: Path) -> Any:
    if not (path / "config.json").is_file():
        raise CodecError(f"There is no VAE in {path}: config.json is missing.", "Fetch the run's VAE first.")
    from diffusers import AutoencoderKL

    try:
        vae, loading = AutoencoderKL.from_pretrained(
            path, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CodecError(f"The VAE in {path} cannot be loaded: {error}") from error
    missing = sorted(loading["missing_keys"])
    if missing:  # diffusers would go on with random weights
        raise CodecError(f"The VAE in {path} lacks {missing[0]!r} ({len(missing)} missing in all).")
    return vae


def _checked(images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise CodecError(f"Pictures are uint8 [B, 3, H, W], not {images.dtype} {list(images.shape)}.")
    return images


def _to_bytes(x: Tensor) -> np.ndarray:
    return _pixels(x).permute(0, 2, 3, 1).cpu().numpy()


def _pixels(x: Tensor) -> Tensor:
    return x.float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
