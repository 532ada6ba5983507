"""Between pictures and what the experts see: pixels as they are, or a VAE's latents.

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
"""Brings latents of sd-vae-ft-mse to unit variance (Rombach et al., arXiv 2112.10752)."""
_DECODED_TOGETHER = 4
StoredDtype = Literal["uint8", "float16", "int8"]


class CodecConfig(Settings):
    """How pictures are stored and shown to the model."""

    kind: Literal["pixels", "vae"] = "pixels"
    path: RelativePath = "vae"
    """The VAE's folder (diffusers AutoencoderKL), inside the folder that the codec is loaded from."""
    scale: Annotated[float, Field(gt=0, le=100)] = SD_VAE_SCALE
    """What latents are multiplied by for the model."""
    store: Literal["float16", "int8"] = "float16"
    """How a VAE's latents are stored; int8 halves what volunteers fetch, see `int8_reach`."""
    int8_reach: Annotated[float, Field(gt=0, le=100)] = 6.0
    """The largest value, as the model sees it, that int8 holds; larger ones are clipped. Steps are 1/127 of it."""


class Codec(Protocol):
    """Pictures in, stored arrays, model tensors, pictures out."""

    config: CodecConfig
    dtype: StoredDtype
    """What stored arrays are made of."""

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Pictures uint8 `[B, 3, Hp, Wp]` to stored arrays `[B, C, H, W]`."""

    def to_model(self, stored: np.ndarray | Tensor) -> Tensor:
        """Stored arrays `[B, C, H, W]` to what the model sees, float32."""

    def to_stored(self, x: Tensor) -> np.ndarray:
        """What the model makes `[B, C, H, W]` to stored arrays, of which `to_model` makes the same again."""

    def decode(self, x: Tensor) -> np.ndarray:
        """What the model makes `[B, C, H, W]` to pictures uint8 `[B, Hp, Wp, 3]`."""

    def open(self) -> None:
        """Load what encoding and decoding need, which otherwise happens when the first picture comes."""

    def to(self, device: torch.device | str) -> None:
        """Compute on another device from now on."""

    def save(self, folder: Path) -> CodecConfig:
        """Write the codec's files into `folder`; what names them there."""


class PixelCodec:
    """Pixels in [-1, 1]: nothing to load."""

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
        """Nothing to load."""

    def to(self, device: torch.device | str) -> None:
        """Nothing to move."""

    def save(self, folder: Path) -> CodecConfig:
        """Nothing to write."""
        return self.config


class VaeCodec:
    """Latents of a diffusers AutoencoderKL: the posterior's mean, stored as float16 or, in even steps, as int8.

    The VAE is loaded when the first picture is encoded or decoded: training and scoring only scale stored latents, and
    need neither its files nor diffusers. It computes in float32 whatever the experts compute in.

    Args:
        config: Folder and scale.
        folder: Where `config.path` starts.
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
        """Pictures uint8 `[B, 3, Hp, Wp]` to latents `[B, C, H, W]`: float16 and not yet scaled, or int8 steps."""
        x = torch.as_tensor(_checked(images)).to(self._device).float().div_(127.5).sub_(1.0)
        mean = self.vae.encode(x).latent_dist.mean.cpu()
        if self.dtype == "float16":
            return mean.numpy().astype(np.float16)
        steps = mean.mul_(self.config.scale / self._step).round_().clamp_(-127, 127)
        return steps.to(torch.int8).numpy()

    def to_model(self, stored: np.ndarray | Tensor) -> Tensor:
        """What is stored `[B, C, H, W]` to float32 of about unit variance."""
        return torch.as_tensor(stored).float().mul_(self.config.scale if self.dtype == "float16" else self._step)

    def to_stored(self, x: Tensor) -> np.ndarray:
        """Latents as the model makes them `[B, C, H, W]` to float16, not scaled; what it cannot hold is clipped."""
        largest = torch.finfo(torch.float16).max
        return (x.float() / self.config.scale).clamp(-largest, largest).cpu().numpy().astype(np.float16)

    @torch.no_grad()
    def decode(self, x: Tensor) -> np.ndarray:
        """Latents as the model makes them `[B, C, H, W]` to uint8 `[B, Hp, Wp, 3]`.

        A few pictures at a time on a GPU, so that a large batch does not need the memory of all; one at a time
        elsewhere, or with `vae.enable_slicing()`.
        """
        latents = x.to(self._device).float() / self.config.scale
        together = _DECODED_TOGETHER if self._device.type == "cuda" and not self.vae.use_slicing else 1
        return np.concatenate([_to_bytes(self.vae.decode(rows).sample) for rows in latents.split(together)])

    def open(self) -> None:
        """Load the VAE now.

        Raises:
            CodecError: It cannot be loaded, or diffusers is not installed.
        """
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
    """The codec that a configuration names.

    Args:
        config: Which one.
        folder: Where its files are; unused for pixels.
        device: Where a VAE computes.
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
        vae, loading = AutoencoderKL.from_pretrained(
            path, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CodecError(f"The VAE in {path} cannot be loaded: {error}") from error
    missing = sorted(loading["missing_keys"])
    if missing:  # diffusers would go on with random weights in their place
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
