"""Floating point operations of the matrix products of experts and routers, in closed form. Imports no torch.

A product of `[m, k]` and `[k, n]` counts 2 m k n. Elementwise operations, softmax and norms are not counted.
"""

from __future__ import annotations

from paris.experts.models.presets import ModelConfig, RouterConfig

_TIME_FREQUENCIES = 256
"""Inputs of the time embedding, as in `layers.TimeEmbed`."""


def forward_flops(model: ModelConfig, text_tokens: int) -> dict[str, int]:
    """Operations of one row's forward pass through an expert.

    Args:
        model: The shape.
        text_tokens: Text tokens attended to; 0 without text.

    Returns:
        `first`: products whose input takes no gradient; `projections`: all other products with weights; `attention`:
        scores and mixing.
    """
    n, d, text = model.num_patches, model.hidden_size, text_tokens
    patch = model.patch_size**2 * model.in_channels
    first = 2 * n * patch * d + 2 * text * model.text_embed_dim * d + 2 * _TIME_FREQUENCIES * d
    tokens = 2 * n * (4 * d * d + 2 * d * model.mlp_size)  # q, k, v, out; MLP
    if model.reads_text:
        tokens += 2 * n * 2 * d * d  # q, out of the text attention
    layer = tokens + 2 * text * 2 * d * d  # keys and values of the text
    time = 2 * d * d + 2 * 6 * d * d  # second layer of the time embedding; t_block
    attention = 2 * 2 * n * (n + text) * d
    return {
        "first": first,
        "projections": model.num_layers * layer + time + 2 * n * d * patch,
        "attention": model.num_layers * attention,
    }


def step_flops(model: ModelConfig, text_tokens: int, batch_size: int) -> int:
    """Forward and backward of a batch: the backward pass is twice the forward, nothing is counted twice.

    What an implementation computes a second time (scores in the backward pass, checkpointed layers) is its own affair.

    Args:
        model: The shape.
        text_tokens: As in `forward_flops`.
        batch_size: Rows.
    """
    parts = forward_flops(model, text_tokens)
    return batch_size * (2 * parts["first"] + 3 * (parts["projections"] + parts["attention"]))


def router_flops(router: RouterConfig) -> int:
    """Operations of one row's forward pass through a router; a step of training takes three times as many."""
    n, d = router.num_patches + 1, router.hidden_size
    patch = router.patch_size**2 * router.in_channels
    layer = 2 * n * (4 * d * d + 2 * d * router.mlp_size) + 2 * 6 * d * d + 2 * 2 * n * n * d
    time = 2 * _TIME_FREQUENCIES * d + 2 * d * d
    text = 0 if router.text_embed_dim is None else 2 * router.text_embed_dim * d
    head = 2 * d * d + 2 * d * router.num_clusters
    return 2 * (n - 1) * patch * d + time + text + router.num_layers * layer + head


def encoder_flops(num_tokens: int, width: int, num_layers: int, mlp_size: int) -> int:
    """Operations of one row's forward pass through a plain transformer, such as CLIP's text model or DINOv2.

    Args:
        num_tokens: Tokens of the row.
        width: Width of a token.
        num_layers: Layers.
        mlp_size: Width of the MLP's middle layer.
    """
    layer = 2 * num_tokens * (4 * width * width + 2 * width * mlp_size) + 2 * 2 * num_tokens**2 * width
    return num_layers * layer
