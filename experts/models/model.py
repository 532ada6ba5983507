"""The expert: a diffusion transformer with AdaLN-Single, and with text cross-attention unless it reads no text.

Shapes: B rows, N tokens, D hidden size, L text tokens, E text width; L and E are 0 without text.
Names and shapes of parameters are those of the published Paris weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from paris.experts.errors import SamplingError
from paris.experts.models.initial import EMBEDDER_STD, SeededInit, initialize
from paris.experts.models.layers import (
    Attention,
    Mlp,
    PatchEmbed,
    TimeEmbed,
    modulated_norm,
    sincos_pos_embed,
    unpatchify,
)
from paris.experts.models.presets import ModelConfig


class TextContext(NamedTuple):
    """The text's keys and values in each layer of one expert: computed once, used at every sampling step."""

    keys: tuple[Tensor, ...] = ()
    """One `[B, heads, L, D / heads]` a layer; empty without text."""
    values: tuple[Tensor, ...] = ()
    """One `[B, heads, L, D / heads]` a layer; empty without text."""
    bias: Tensor | None = None
    """`[B, 1, 1, L]`: 0 for a token, minus infinity for padding; None without padding."""

    def rows(self, index: Tensor | slice) -> TextContext:
        """The context of some rows: row numbers `[R]`, or a slice, which copies nothing."""
        bias = None if self.bias is None else self.bias[index]
        return TextContext(tuple(k[index] for k in self.keys), tuple(v[index] for v in self.values), bias)


class Block(nn.Module):
    """A DiT block with AdaLN-Single: self-attention, cross-attention where there is text, MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.scale_shift_table = nn.Parameter(torch.empty(6, d))
        self.attn = Attention(d, config.num_heads)
        self.cross_attn = Attention(d, config.num_heads) if config.reads_text else None
        self.mlp = Mlp(d, config.mlp_size)

    def init_weights(self, init: SeededInit) -> None:
        init.normal(self.scale_shift_table, std=self.scale_shift_table.shape[1] ** -0.5)
        self.attn.init_weights(init)
        if self.cross_attn is not None:
            self.cross_attn.init_weights(init)
            nn.init.zeros_(self.cross_attn.out_proj.weight)
        self.mlp.init_weights(init)

    def forward(
        self, x: Tensor, modulation: Tensor, keys: Tensor | None, values: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        """One layer.

        Args:
            x: Tokens `[B, N, D]`.
            modulation: Of the time, shared by all layers `[B, 6, D]`; the layer's own table is added.
            keys: Of the text, see `TextContext`; None without text, as are the next two.
            values: Of the text.
            bias: Of the text.

        Source: AdaLN-Single, Chen et al. (PixArt-alpha), arXiv 2310.00426, section 2.3.
        """
        table = self.scale_shift_table + modulation
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = table.split(1, dim=1)
        x = torch.addcmul(x, gate, self.attn(modulated_norm(x, shift, scale)))
        if self.cross_attn is not None:
            x = x + self.cross_attn.attend(x, keys, values, bias)
        return torch.addcmul(x, gate_mlp, self.mlp(modulated_norm(x, shift_mlp, scale_mlp)))


class FinalLayer(nn.Module):
    """Tokens `[B, N, D]` and time embedding `[B, D]` to patches `[B, N, P * P * C]`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.empty(2, config.hidden_size))
        self.linear = nn.Linear(config.hidden_size, config.patch_size**2 * config.in_channels)

    def init_weights(self, init: SeededInit) -> None:
        init.normal(self.scale_shift_table, std=self.scale_shift_table.shape[1] ** -0.5)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.scale_shift_table + time[:, None]).split(1, dim=1)
        return self.linear(modulated_norm(x, shift, scale))


class DiTExpert(nn.Module):
    """Predicts the velocity, or the noise, of noisy pictures, given time and, unless it reads none, text.

    The constructor leaves the weights unset: load them, or start from `initial_expert`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        """Keep only each layer's input for the backward pass, and recompute the rest then."""
        d = config.hidden_size
        self.patch_embed = PatchEmbed(config.in_channels, d, config.patch_size)
        self.pos_embed = nn.Parameter(torch.empty(1, config.num_patches, d))
        self.time_embed = TimeEmbed(d)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))
        self.text_proj = nn.Linear(config.text_embed_dim, d) if config.reads_text else None
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_layer = FinalLayer(config)

    def init_weights(self, init: SeededInit) -> None:
        """Fill all weights as PixArt-alpha does (arXiv 2310.00426, section 2.3).

        The last layer and each text attention's output projection are zero: the untrained expert predicts zero, and
        training lets the text in.
        """
        self.patch_embed.init_weights(init)
        self.pos_embed.data.copy_(sincos_pos_embed(self.config.hidden_size, self.config.patches_per_side))
        self.time_embed.init_weights(init)
        init.linear(self.t_block[1], std=EMBEDDER_STD)
        if self.text_proj is not None:
            init.linear(self.text_proj)
        for layer in self.layers:
            layer.init_weights(init)
        self.final_layer.init_weights(init)

    def project_text(self, text: Tensor | None, text_mask: Tensor | None = None) -> TextContext:
        """The text's keys and values in all layers.

        Args:
            text: States of a text encoder `[B, L, E]`; None, or states without width, for an expert without text.
            text_mask: bool `[B, L]`, False for padding, at least one True a row; None without padding.

        Raises:
            SamplingError: The states have another width than the configured one.
        """
        if text is None and self.text_proj is not None:
            raise SamplingError("This expert reads a text, but was given none.", "Pass the text states.")
        if text is not None and (text.dim() != 3 or text.shape[2] != self.config.text_embed_dim):
            expected = f"[B, L, {self.config.text_embed_dim}]"
            raise SamplingError(f"Text states have shape {list(text.shape)}, the expert takes {expected}.")
        if text is None or self.text_proj is None:
            return TextContext()
        projected = self.text_proj(text.to(self.text_proj.weight.dtype))
        pairs = [layer.cross_attn.keys_and_values(projected) for layer in self.layers]
        bias = None
        if text_mask is not None:
            bias = projected.new_zeros(text_mask.shape).masked_fill_(~text_mask, float("-inf"))[:, None, None, :]
        return TextContext(tuple(k for k, _ in pairs), tuple(v for _, v in pairs), bias)

    def forward(
        self, x: Tensor, t: Tensor, text: Tensor | TextContext | None, text_mask: Tensor | None = None
    ) -> Tensor:
        """The velocity `noise - x0` expected at `x`; of an epsilon expert, the noise.

        Args:
            x: Noisy pictures or latents `[B, C, H, W]` of the configured size.
            t: Time `[B]` in [0, 1]; 1 is noise.
            text: Text states `[B, L, E]`, or their `project_text`; as there, None without text.
            text_mask: As in `project_text`; None with a `TextContext`.

        Returns:
            `[B, C, H, W]` in the dtype of `x`.

        Raises:
            SamplingError: `x` or `text` has another shape than the configured one.

        Source: the published Paris experts (arXiv 2510.03434).
        """
        check_picture_shape(x, self.config.in_channels, self.config.image_size)
        context = text if isinstance(text, TextContext) else self.project_text(text, text_mask)
        tokens = self.patch_embed(x.to(self.pos_embed.dtype)) + self.pos_embed
        time = self.time_embed(t)
        modulation = self.t_block(time).unflatten(1, (6, -1))
        nothing = (None,) * len(self.layers)
        for layer, keys, values in zip(self.layers, context.keys or nothing, context.values or nothing, strict=True):
            if self.checkpointing and torch.is_grad_enabled():
                inputs = (tokens, modulation, keys, values, context.bias)
                tokens = checkpoint(layer, *inputs, use_reentrant=False, preserve_rng_state=False)
            else:
                tokens = layer(tokens, modulation, keys, values, context.bias)
        patches = self.final_layer(tokens, time)
        return unpatchify(patches, self.config.patch_size, self.config.in_channels).to(x.dtype)


def check_picture_shape(x: Tensor, channels: int, size: int) -> None:
    """Raise SamplingError unless `x` is `[B, channels, size, size]`."""
    if x.dim() != 4 or tuple(x.shape[1:]) != (channels, size, size):
        raise SamplingError(
            f"The model takes pictures or latents of shape [B, {channels}, {size}, {size}], not {list(x.shape)}.",
            "Check that model and codec belong to the same run.",
        )


def initial_expert(config: ModelConfig, seed: int) -> DiTExpert:
    """An untrained expert on the CPU; the weights follow from the run's seed, which all its experts share."""
    with torch.device("meta"):
        expert = DiTExpert(config)
    initialize(expert, seed)
    return expert
