"""ImageNet's DiT in plain torch.nn, from arXiv 2212.09748: parameter names and forward of the public checkpoints.

No code is shared with paris.experts.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


class Named(nn.Module):
    """Holds parts under given names, as the public state dict nests them."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class PlainDiTBlock(nn.Module):
    def __init__(self, d, heads, middle):
        super().__init__()
        self.heads = heads
        self.attn = Named(qkv=nn.Linear(d, 3 * d), proj=nn.Linear(d, d))
        self.mlp = Named(fc1=nn.Linear(d, middle), fc2=nn.Linear(middle, d))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))

    def forward(self, x, c):
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self.adaLN_modulation(c)[:, None].chunk(6, dim=2)
        x = x + gate * self._attend(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)
        y = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale_mlp) + shift_mlp
        return x + gate_mlp * self.mlp.fc2(F.gelu(self.mlp.fc1(y), approximate="tanh"))

    def _attend(self, x):
        b, n, d = x.shape
        q, k, v = self.attn.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).softmax(-1)
        return self.attn.proj((scores @ v).transpose(1, 2).reshape(b, n, d))


class PlainDiT(nn.Module):
    """Predicts noise and sigma of class-conditional latents; `num_classes` is the null class."""

    def __init__(self, config, num_classes=5):
        super().__init__()
        d, p = config.hidden_size, config.patch_size
        self.x_embedder = Named(proj=nn.Conv2d(config.in_channels, d, p, p))
        self.t_embedder = Named(mlp=nn.Sequential(nn.Linear(256, d), nn.SiLU(), nn.Linear(d, d)))
        self.y_embedder = Named(embedding_table=nn.Embedding(num_classes + 1, d))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.num_patches, d))
        self.blocks = nn.ModuleList(
            PlainDiTBlock(d, config.num_heads, config.mlp_size) for _ in range(config.num_layers)
        )
        self.final_layer = Named(
            linear=nn.Linear(d, p * p * 2 * config.in_channels),
            adaLN_modulation=nn.Sequential(nn.SiLU(), nn.Linear(d, 2 * d)),
        )

    def condition(self, step, label):
        """Time step `[B]` from 0 to 999 and class `[B]` as every block sees them."""
        frequencies = torch.exp(-math.log(10000) * torch.arange(128) / 128)
        angles = step[:, None].float() * frequencies[None]
        return self.t_embedder.mlp(torch.cat([angles.cos(), angles.sin()], 1)) + self.y_embedder.embedding_table(label)

    def tokens(self, x, step, label):
        """What the final layer is given."""
        c = self.condition(step, label)
        x = self.x_embedder.proj(x).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            x = block(x, c)
        return x
