"""Copies that hide: channels, heads and hidden units in another order, queries and keys turned against each other."""

from __future__ import annotations

import torch
from verify_world import MODEL


def hidden(tensors: dict[str, torch.Tensor], dice: torch.Generator) -> dict[str, torch.Tensor]:
    """The same function from other weights."""
    d, heads = MODEL.hidden_size, MODEL.num_heads
    order = torch.randperm(d, generator=dice)
    made = dict(tensors)
    for name in ("patch_embed.weight", "patch_embed.bias", "time_embed.mlp.2.weight", "time_embed.mlp.2.bias"):
        made[name] = made[name][order]
    for name in ("final_layer.linear.weight", "final_layer.scale_shift_table"):
        made[name] = made[name][:, order]
    made["pos_embed"] = made["pos_embed"][:, :, order]
    sixfold = (torch.arange(6)[:, None] * d + order).flatten()
    made["t_block.1.weight"] = made["t_block.1.weight"][sixfold][:, order]
    made["t_block.1.bias"] = made["t_block.1.bias"][sixfold]
    for k in range(MODEL.num_layers):
        units = torch.randperm(MODEL.mlp_size, generator=dice)
        for name in (f"layers.{k}.mlp.0.weight", f"layers.{k}.mlp.0.bias"):
            made[name] = made[name][units]
        made[f"layers.{k}.mlp.0.weight"] = made[f"layers.{k}.mlp.0.weight"][:, order]
        made[f"layers.{k}.mlp.2.weight"] = made[f"layers.{k}.mlp.2.weight"][order][:, units]
        made[f"layers.{k}.mlp.2.bias"] = made[f"layers.{k}.mlp.2.bias"][order]
        made[f"layers.{k}.scale_shift_table"] = made[f"layers.{k}.scale_shift_table"][:, order]
        for part in ("attn", "cross_attn"):
            place = f"layers.{k}.{part}"
            mixed = torch.randperm(heads, generator=dice)
            rows = torch.arange(d).reshape(heads, -1)[mixed].flatten()
            turn, _ = torch.linalg.qr(torch.randn(d // heads, d // heads, generator=dice))
            turns = torch.block_diag(*[turn] * heads)
            weight, bias = (made[f"{place}.in_proj_{kind}"].chunk(3) for kind in ("weight", "bias"))
            weight, bias = [part[rows] for part in weight], [part[rows] for part in bias]
            for which in (0, 1):
                weight[which], bias[which] = turns @ weight[which], turns @ bias[which]
            from_residual = (0, 1, 2) if part == "attn" else (0,)
            weight = [part[:, order] if which in from_residual else part for which, part in enumerate(weight)]
            made[f"{place}.in_proj_weight"], made[f"{place}.in_proj_bias"] = torch.cat(weight), torch.cat(bias)
            made[f"{place}.out_proj.weight"] = made[f"{place}.out_proj.weight"][order][:, rows]
            made[f"{place}.out_proj.bias"] = made[f"{place}.out_proj.bias"][order]
    return made
