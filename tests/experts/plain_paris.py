"""The published models in plain torch.nn, written from the papers' block maths alone: what ours is compared with.

No code is shared with paris.experts; only the names of parameters are the same.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from paris.experts.models.presets import ModelConfig, RouterConfig


class PlainTime(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, d), nn.SiLU(), nn.Linear(d, d))

    def forward(self, t):
        rows = []
        for moment in (t * 1000).tolist():
            angles = [moment * 10000 ** (-i / 128) for i in range(128)]
            rows.append([math.cos(a) for a in angles] + [math.sin(a) for a in angles])
        return self.mlp(torch.tensor(rows))


def plain_mlp(d, ratio):
    return nn.Sequential(nn.Linear(d, int(d * ratio)), nn.GELU(approximate="tanh"), nn.Linear(int(d * ratio), d))


class PlainBlock(nn.Module):
    def __init__(self, d, heads, ratio):
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.zeros(6, d))
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.cross_attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.mlp = plain_mlp(d, ratio)

    def forward(self, x, t0, text, padding):
        s, c, g, s2, c2, g2 = [(self.scale_shift_table[i] + t0[:, i])[:, None] for i in range(6)]
        y = F.layer_norm(x, x.shape[-1:]) * (1 + c) + s
        x = x + g * self.attn(y, y, y)[0]
        x = x + self.cross_attn(x, text, text, key_padding_mask=padding)[0]
        y = F.layer_norm(x, x.shape[-1:]) * (1 + c2) + s2
        return x + g2 * self.mlp(y)


class PlainExpert(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config, d = config, config.hidden_size
        self.patch_embed = nn.Conv2d(config.in_channels, d, config.patch_size, config.patch_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, (config.image_size // config.patch_size) ** 2, d))
        self.time_embed = PlainTime(d)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))
        self.text_proj = nn.Linear(config.text_embed_dim, d)
        self.layers = nn.ModuleList(PlainBlock(d, config.num_heads, config.mlp_ratio) for _ in range(config.num_layers))
        self.final_layer = nn.Module()
        self.final_layer.scale_shift_table = nn.Parameter(torch.zeros(2, d))
        self.final_layer.linear = nn.Linear(d, config.patch_size**2 * config.in_channels)

    def forward(self, x, t, text, mask):
        c = self.config
        tokens = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        time = self.time_embed(t)
        t0 = self.t_block(time).reshape(len(x), 6, c.hidden_size)
        for layer in self.layers:
            tokens = layer(tokens, t0, self.text_proj(text), ~mask)
        shift, scale = [(self.final_layer.scale_shift_table[i] + time)[:, None] for i in range(2)]
        patches = self.final_layer.linear(F.layer_norm(tokens, (c.hidden_size,)) * (1 + scale) + shift)
        out, p, side = torch.zeros_like(x), c.patch_size, c.image_size // c.patch_size
        for n in range(side * side):
            row, column = divmod(n, side)
            patch = patches[:, n].reshape(-1, p, p, c.in_channels).permute(0, 3, 1, 2)
            out[:, :, row * p : row * p + p, column * p : column * p + p] = patch
        return out


class PlainRouterBlock(nn.Module):
    def __init__(self, d, heads, ratio):
        super().__init__()
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.mlp = plain_mlp(d, ratio)

    def forward(self, x, time):
        s, c, g, s2, c2, g2 = [part[:, None] for part in self.adaLN_modulation(time).chunk(6, dim=1)]
        y = F.layer_norm(x, x.shape[-1:]) * (1 + c) + s
        x = x + g * self.attn(y, y, y)[0]
        y = F.layer_norm(x, x.shape[-1:]) * (1 + c2) + s2
        return x + g2 * self.mlp(y)


class PlainRouter(nn.Module):
    def __init__(self, config: RouterConfig):
        super().__init__()
        d = config.hidden_size
        self.patch_embed = nn.Conv2d(config.in_channels, d, config.patch_size, config.patch_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, (config.image_size // config.patch_size) ** 2, d))
        self.time_embed = PlainTime(d)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
        self.layers = nn.ModuleList(
            PlainRouterBlock(d, config.num_heads, config.mlp_ratio) for _ in range(config.num_layers)
        )
        gelu = nn.GELU(approximate="tanh")
        self.head = nn.Sequential(nn.Linear(d, d), gelu, nn.LayerNorm(d), gelu, nn.Linear(d, config.num_clusters))

    def forward(self, x, t):
        patches = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        tokens = torch.cat([self.cls_token.expand(len(x), 1, -1), patches], dim=1)
        time = self.time_embed(t)
        for layer in self.layers:
            tokens = layer(tokens, time)
        return self.head(tokens[:, 0])


def scramble(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a random value, so that no zero hides a part of the model."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.15)
    return model
