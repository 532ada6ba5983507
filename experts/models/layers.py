"""Layers of experts and routers. Parameter names are those of the published weights.

Shapes: B rows, N tokens, D hidden size, H heads, L text tokens, C channels, P patch size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paris.experts.models.gelu import Gelu
from paris.experts.models.initial import EMBEDDER_STD, SeededInit

TIME_SCALE = 1000.0
"""Flow time in [0, 1] enters the network on the scale of a thousand timesteps."""
TIME_FREQUENCIES = 256
TIME_MAX_PERIOD = 10_000.0


def patchify(x: Tensor, patch_size: int) -> Tensor:
    """Cut pictures `[B, C, H, W]` into patches `[B, N, C * P * P]`, row by row, channels first within a patch."""
    b, c, h, w = x.shape
    p = patch_size
    patches = x.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(b, (h // p) * (w // p), c * p * p)


def unpatchify(tokens: Tensor, patch_size: int, channels: int) -> Tensor:
    """Put patches `[B, N, P * P * C]`, channels last within a patch, together to square pictures `[B, C, H, W]`.

    Source: Peebles and Xie, arXiv 2212.09748, the order of the published weights' last layer.
    """
    b, n, _ = tokens.shape
    side, p = math.isqrt(n), patch_size
    grid = tokens.reshape(b, side, side, p, p, channels).permute(0, 5, 1, 3, 2, 4)
    return grid.reshape(b, channels, side * p, side * p)


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without parameters, then `x * (1 + scale) + shift`; x `[B, N, D]`, shift and scale `[B, 1, D]`.

    Source: AdaLN, Peebles and Xie, arXiv 2212.09748, section 3.2.
    """
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), scale + 1)


class PatchEmbed(nn.Module):
    """`[B, C, H, W]` to `[B, N, D]`: a convolution of stride P, computed as a matrix product."""

    def __init__(self, channels: int, hidden_size: int, patch_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden_size, channels, patch_size, patch_size))
        self.bias = nn.Parameter(torch.empty(hidden_size))

    def init_weights(self, init: SeededInit) -> None:
        init.linear(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(patchify(x, self.weight.shape[-1]), self.weight.flatten(1), self.bias)


class TimeEmbed(nn.Module):
    """Flow time `[B]` in [0, 1] to `[B, D]`: sinusoids through an MLP."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(TIME_FREQUENCIES, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size)
        )

    def init_weights(self, init: SeededInit) -> None:
        init.linear(self.mlp[0], std=EMBEDDER_STD)
        init.linear(self.mlp[2], std=EMBEDDER_STD)

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(timestep_embedding(t).to(self.mlp[0].weight.dtype))


def timestep_embedding(t: Tensor) -> Tensor:
    """Cosines, then sines, of `1000 t` at 128 frequencies from 1 down to almost 1/10000: float32 `[B, 256]`.

    Source: Peebles and Xie, arXiv 2212.09748 (their TimestepEmbedder; cosines first).
    """
    half = TIME_FREQUENCIES // 2
    exponents = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = (t.float() * TIME_SCALE)[:, None] * torch.exp(-math.log(TIME_MAX_PERIOD) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def masked_mean(text: Tensor, mask: Tensor | None) -> Tensor:
    """The mean text state `[B, E]` over the tokens of the mask; zero where it has none.

    Args:
        text: Text states `[B, L, E]`.
        mask: bool `[B, L]`; None: all tokens.
    """
    if mask is None:
        return text.mean(1)
    weights = mask.to(text.dtype).unsqueeze(2)
    return (text * weights).sum(1) / weights.sum(1).clamp(min=1)


class Attention(nn.Module):
    """Multi-head self- or cross-attention, with the parameter names of `torch.nn.MultiheadAttention`."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * hidden_size))
        self.out_proj = nn.Linear(hidden_size, hidden_size)

    def init_weights(self, init: SeededInit) -> None:
        init.xavier_uniform(self.in_proj_weight)
        nn.init.zeros_(self.in_proj_bias)
        init.linear(self.out_proj)

    def forward(self, x: Tensor) -> Tensor:
        """Self-attention over `[B, N, D]`."""
        b, n, d = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(b, n, 3, self.num_heads, d // self.num_heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self._mix(q, k, v, None)

    def keys_and_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values `[B, H, L, D / H]` of a context `[B, L, D]`, for `attend`."""
        b, length, d = context.shape
        kv = F.linear(context, self.in_proj_weight[d:], self.in_proj_bias[d:])
        k, v = kv.view(b, length, 2, self.num_heads, d // self.num_heads).permute(2, 0, 3, 1, 4).unbind(0)
        return k, v

    def attend(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        """Cross-attention of tokens `[B, N, D]` over a context.

        Args:
            x: Tokens that make the queries.
            keys: `[B, H, L, D / H]`.
            values: `[B, H, L, D / H]`.
            bias: Added to the scores, broadcast to `[B, H, N, L]`; minus infinity hides a token.
        """
        b, n, d = x.shape
        q = F.linear(x, self.in_proj_weight[:d], self.in_proj_bias[:d])
        q = q.view(b, n, self.num_heads, d // self.num_heads).transpose(1, 2)
        return self._mix(q, keys, values, bias)

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Sequential):
    """Linear, GELU (tanh), linear."""

    def __init__(self, hidden_size: int, middle_size: int) -> None:
        super().__init__(nn.Linear(hidden_size, middle_size), Gelu(), nn.Linear(middle_size, hidden_size))

    def init_weights(self, init: SeededInit) -> None:
        init.linear(self[0])
        init.linear(self[2])


def sincos_pos_embed(hidden_size: int, side: int) -> Tensor:
    """Sines and cosines of each token's column (first half of D) and row: float32 `[1, side * side, D]`.

    Source: Peebles and Xie, arXiv 2212.09748 (after MAE, arXiv 2111.06377).
    """
    quarter = hidden_size // 4
    omega = 10_000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * omega
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns = line[None, :, :].expand(side, side, -1)
    rows = line[:, None, :].expand(side, side, -1)
    return torch.cat([columns, rows], dim=2).reshape(1, side * side, hidden_size).float()
