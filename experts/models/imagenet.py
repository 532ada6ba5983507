"""Initial weights from a DiT trained on ImageNet (Peebles and Xie, arXiv 2212.09748).

After the heterogeneous model of arXiv 2603.06741: patch embedding, position embedding and blocks are kept; the final
layer, the text projection and cross-attention, which DiT lacks, are as in `initial_expert`. An expert without text has
only the final layer is new.

DiT                                        here
x_embedder.proj, pos_embed                 patch_embed, pos_embed
t_embedder.mlp.{0,2}                       time_embed.mlp.{0,2}, the null class added to the last bias
y_embedder.embedding_table                 its last row, the null class; the 1000 classes are dropped
blocks.N.attn.{qkv,proj}                   layers.N.attn.{in_proj_weight and in_proj_bias, out_proj}
blocks.N.mlp.{fc1,fc2}                     layers.N.mlp.{0,2}
blocks.N.adaLN_modulation.1                t_block.1 and layers.N.scale_shift_table, see `shared_modulation`
final_layer (noise and learned sigma)      dropped

The names are those of facebookresearch/DiT; those of diffusers' `DiTTransformer2DModel` are converted first.
Time: DiT was trained on integer steps 0 to 999, that paper gives it `round(999 t)`; here it is `1000 t` as in every
expert, at most one step off.

Shapes: D hidden size, N layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from paris.experts.errors import CheckpointError
from paris.experts.models.layers import TimeEmbed, sincos_pos_embed
from paris.experts.models.model import DiTExpert, initial_expert
from paris.experts.models.presets import ModelConfig
from paris.experts.weights.checkpoint import TensorSpec, check_finite, check_specs, read_specs

_NUM_STEPS = 1000
_SAFE = "Only safetensors are read. A .pt file holds pickles: convert it where nothing can be lost."
_FROM_DIFFUSERS = (
    (r"pos_embed\.proj\.", "x_embedder.proj."),
    (r"transformer_blocks\.(\d+)\.norm1\.linear\.", r"blocks.\1.adaLN_modulation.1."),
    (r"transformer_blocks\.0\.norm1\.emb\.timestep_embedder\.linear_1\.", "t_embedder.mlp.0."),
    (r"transformer_blocks\.0\.norm1\.emb\.timestep_embedder\.linear_2\.", "t_embedder.mlp.2."),
    (r"transformer_blocks\.0\.norm1\.emb\.class_embedder\.", "y_embedder."),
    (r"transformer_blocks\.(\d+)\.attn1\.to_out\.0\.", r"blocks.\1.attn.proj."),
    (r"transformer_blocks\.(\d+)\.attn1\.to_([qkv])\.", r"blocks.\1.attn.\2."),
    (r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj\.", r"blocks.\1.mlp.fc1."),
    (r"transformer_blocks\.(\d+)\.ff\.net\.2\.", r"blocks.\1.mlp.fc2."),
    (r"proj_out_1\.", "final_layer.adaLN_modulation.1."),
    (r"proj_out_2\.", "final_layer.linear."),
)
_REPEATED = re.compile(r"transformer_blocks\.[1-9]\d*\.norm1\.emb\.")
"""diffusers repeats the embedders in each block."""


def from_imagenet_dit(path: Path, config: ModelConfig, seed: int) -> DiTExpert:
    """Make an expert's initial weights from an ImageNet DiT of the same shape.

    The blocks compute the same as DiT's for the null class, but for the error of `shared_modulation`.

    Args:
        path: A safetensors file with a DiT's `state_dict`.
        config: The expert's shape.
        seed: The run's seed, for the weights that DiT lacks.

    Returns:
        On the CPU, in float32. It predicts zero, as an untrained expert.

    Raises:
        CheckpointError: Not safetensors, not a DiT, or a DiT of another shape; the message names the tensor.
    """
    weights = _read(path, config)
    expert = initial_expert(config, seed)
    kept = {
        "patch_embed.weight": weights["x_embedder.proj.weight"],
        "patch_embed.bias": weights["x_embedder.proj.bias"],
        "pos_embed": weights["pos_embed"],
        "time_embed.mlp.0.weight": weights["t_embedder.mlp.0.weight"],
        "time_embed.mlp.0.bias": weights["t_embedder.mlp.0.bias"],
        "time_embed.mlp.2.weight": weights["t_embedder.mlp.2.weight"],
        # Exact: DiT adds the class embedding to the time embedding, so a constant class is a bias.
        "time_embed.mlp.2.bias": weights["t_embedder.mlp.2.bias"] + weights["y_embedder.embedding_table.weight"][-1],
    }
    for number in range(config.num_layers):
        kept |= _block(weights, number)
    expert.load_state_dict(kept, strict=False)
    modulations = [
        (weights[f"blocks.{n}.adaLN_modulation.1.weight"], weights[f"blocks.{n}.adaLN_modulation.1.bias"])
        for n in range(config.num_layers)
    ]
    weight, bias, tables = shared_modulation(modulations, expert.time_embed)
    shared = {"t_block.1.weight": weight, "t_block.1.bias": bias}
    expert.load_state_dict(
        shared | {f"layers.{n}.scale_shift_table": table for n, table in enumerate(tables)}, strict=False
    )
    return expert


@torch.no_grad()
def shared_modulation(
    modulations: list[tuple[Tensor, Tensor]], time_embed: TimeEmbed
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Fit one modulation and a table a layer (AdaLN-Single) to one modulation a layer (AdaLN-Zero).

    Layer n of DiT is modulated by `S_n(t) = W_n s(t) + b_n` with `s = SiLU(time embedding)`; here by
    `W s(t) + b + E_n`. The least squares fit over all layers and time steps is `W = mean_n W_n`, `b = mean_n b_n`,
    `E_n = mean_t (S_n(t) - W s(t) - b)`: exact for equal W_n.

    Args:
        modulations: Weight `[6D, D]` and bias `[6D]` of each layer.
        time_embed: With the class in its bias.

    Returns:
        Weight `[6D, D]`, bias `[6D]`, and a table `[6, D]` a layer.

    Source: ours. PixArt-alpha (Chen et al., arXiv 2310.00426, section 2.3) chooses E_n to be exact at `t = 500`.
    """
    weight = torch.stack([w for w, _ in modulations]).mean(0)
    bias = torch.stack([b for _, b in modulations]).mean(0)
    usual = F.silu(time_embed(torch.arange(_NUM_STEPS) / _NUM_STEPS)).mean(0)
    return weight, bias, [((w - weight) @ usual + b - bias).unflatten(0, (6, -1)) for w, b in modulations]


def _block(weights: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """A layer's weights under our names; both models order queries, keys, values, then heads."""
    theirs, ours = f"blocks.{number}.", f"layers.{number}."
    return {
        f"{ours}attn.in_proj_weight": weights[f"{theirs}attn.qkv.weight"],
        f"{ours}attn.in_proj_bias": weights[f"{theirs}attn.qkv.bias"],
        **{f"{ours}attn.out_proj.{kind}": weights[f"{theirs}attn.proj.{kind}"] for kind in ("weight", "bias")},
        **{f"{ours}mlp.0.{kind}": weights[f"{theirs}mlp.fc1.{kind}"] for kind in ("weight", "bias")},
        **{f"{ours}mlp.2.{kind}": weights[f"{theirs}mlp.fc2.{kind}"] for kind in ("weight", "bias")},
    }


def _read(path: Path, config: ModelConfig) -> dict[str, Tensor]:
    """A DiT's tensors in float32 under facebookresearch's names, checked against the expert's shape."""
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path.name} is no safetensors file.", _SAFE)
    specs = read_specs(path)
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name).float() for name in specs if not _REPEATED.match(name)}
    if "pos_embed.proj.weight" in weights:
        weights = _renamed(weights, config)
    found = {name: TensorSpec(tuple(tensor.shape)) for name, tensor in weights.items()}
    check_specs(found, _expected(found, config), f"{path.name}, as an ImageNet DiT")
    check_finite(weights, path.name)
    return weights


def _renamed(weights: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """From diffusers' names; its files split queries, keys and values, and lack the fixed positions."""
    renamed = {"pos_embed": sincos_pos_embed(config.hidden_size, config.patches_per_side)}
    for name, tensor in weights.items():
        for pattern, theirs in _FROM_DIFFUSERS:
            name, count = re.subn(f"^{pattern}", theirs, name)
            if count:
                break
        renamed[name] = tensor
    for number in range(config.num_layers):
        for kind in ("weight", "bias"):
            parts = [renamed.pop(f"blocks.{number}.attn.{part}.{kind}", None) for part in "qkv"]
            if all(part is not None for part in parts):
                renamed[f"blocks.{number}.attn.qkv.{kind}"] = torch.cat([part for part in parts if part is not None])
    return renamed


def _expected(found: Mapping[str, TensorSpec], config: ModelConfig) -> dict[str, TensorSpec]:
    """Specs of a DiT with any number of classes, with or without learned sigma: neither is kept."""
    d, p, c = config.hidden_size, config.patch_size, config.in_channels
    classes = found.get("y_embedder.embedding_table.weight", TensorSpec((1, d))).shape[0]
    outputs = found.get("final_layer.linear.weight", TensorSpec((1, d))).shape[0]
    linears = {
        "t_embedder.mlp.0": (d, 256),
        "t_embedder.mlp.2": (d, d),
        "final_layer.linear": (outputs, d),
        "final_layer.adaLN_modulation.1": (2 * d, d),
    }
    for n in range(config.num_layers):
        linears |= {
            f"blocks.{n}.attn.qkv": (3 * d, d),
            f"blocks.{n}.attn.proj": (d, d),
            f"blocks.{n}.mlp.fc1": (config.mlp_size, d),
            f"blocks.{n}.mlp.fc2": (d, config.mlp_size),
            f"blocks.{n}.adaLN_modulation.1": (6 * d, d),
        }
    shapes = {"pos_embed": (1, config.num_patches, d), "y_embedder.embedding_table.weight": (classes, d)}
    shapes |= {"x_embedder.proj.weight": (d, c, p, p), "x_embedder.proj.bias": (d,)}
    shapes |= {f"{name}.weight": shape for name, shape in linears.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in linears.items()}
    return {name: TensorSpec(shape) for name, shape in shapes.items()}
