"""Parameters and operations of the frozen networks: text encoders, picture embedders, the VAE. Imports no torch.

Of a network in a folder, its config.json is read. Else the name is looked up, or a usual shape is assumed and said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.experts.models.flops import encoder_flops

_VAE_FLOPS_A_PIXEL = 4_161_410
_VAE_PARAMETERS = 83_653_863
"""Of Stable Diffusion's AutoencoderKL: its encoder on one pixel of a picture of 256x256, and all its weights."""
_LITE0_FLOPS, _LITE0_PARAMETERS = 250_715_136, 4_652_008
"""EfficientNet-Lite0 on 128x128 pixels."""
_DINOV2 = {"small": (384, 12), "base": (768, 12), "large": (1024, 24), "giant": (1536, 40)}
"""Width and layers."""
_PICTURE_TOKENS = 257
"""224x224 pixels in patches of 14, and the class token."""
_CLIP_LAYERS = 12
_CLIP_WORDS = 49_408
_TOKENIZER_BYTES = 4_000_000


@dataclass(frozen=True)
class Network:
    """A frozen network."""

    name: str
    num_parameters: int
    flops: int
    """Forward pass of one row."""
    assumption: str = ""
    """A sentence, if its shape was not read or known."""

    @property
    def bytes(self) -> int:
        """Weights in float32."""
        return 4 * self.num_parameters


def text_encoder(text: dict[str, Any], folder: Path | None) -> Network | None:
    """The text encoder of a run; None if nothing is computed for a caption.

    Args:
        text: [text] of run.toml.
        folder: The data folder, where `text["path"]` may be; None: there is none yet.
    """
    if text.get("kind") != "transformers":
        return None
    tokens, width = int(text["max_tokens"]), int(text["dim"])
    shape = None if folder is None else _shape_in(folder / str(text.get("path", "text_encoder")))
    if shape is None:
        assumed = f"The text encoder has {_CLIP_LAYERS} layers of width {width}, as CLIP's."
        layers, mlp, words = _CLIP_LAYERS, 4 * width, _CLIP_WORDS
    else:
        (_, layers, mlp, words), assumed = shape, ""
    parameters = _parameters(width, layers, mlp) + words * width + tokens * width
    return Network("text encoder", parameters, encoder_flops(tokens, width, layers, mlp), assumed)


def text_files_bytes(network: Network) -> int:
    """Bytes of a text encoder's files: weights and tokenizer."""
    return network.bytes + _TOKENIZER_BYTES


def embedder(name: str) -> Network:
    """The picture embedder of `[data] embedder`: a known name, or a folder."""
    if name == "efficientnet-lite0":
        return Network(name, _LITE0_PARAMETERS, _LITE0_FLOPS)
    shape, assumed = _shape_in(Path(name)), ""
    if shape is None:
        size = next((size for size in _DINOV2 if name.lower().endswith(size)), None)
        if size is None or "dinov2" not in name.lower():
            assumed = f"The embedder {name} costs as much as DINOv2-large."
        width, layers = _DINOV2[size or "large"]
        mlp = 4 * width
    else:
        width, layers, mlp, _ = shape
    return Network(name, _parameters(width, layers, mlp), encoder_flops(_PICTURE_TOKENS, width, layers, mlp), assumed)


def vae(image_size: int) -> Network:
    """The VAE's encoder on a picture of `image_size` px a side."""
    assumed = "The VAE costs as much as that of Stable Diffusion."
    return Network("VAE", _VAE_PARAMETERS, _VAE_FLOPS_A_PIXEL * image_size**2, assumed)


def _parameters(width: int, layers: int, mlp: int) -> int:
    return layers * (4 * width * width + 2 * width * mlp + 9 * width + mlp)


def _shape_in(folder: Path) -> tuple[int, int, int, int] | None:
    """Width, layers, MLP width and words of a transformers folder; None if it has no such config.json."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        config = config.get("text_config") or config
        width = int(config.get("hidden_size") or config["d_model"])
        layers = int(config.get("num_hidden_layers") or config["num_layers"])
        mlp = int(config.get("intermediate_size") or config.get("d_ff") or width * config.get("mlp_ratio", 4))
        return width, layers, mlp, int(config.get("vocab_size", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
