"""Floating point operations of an expert's matrix products."""

from __future__ import annotations

from paris.experts.models.presets import ModelConfig


def forward_flops(model: ModelConfig, text_tokens: int) -> dict[str, int]:
    """Operations of one row's forward pass; a product of `[m, k]` and `[k, n]` counts 2 m k n.

    Not counted: elementwise operations, softmax, norms, and the two layers of the time embedding.

    Args:
        model: The shape.
        text_tokens: Text tokens attended to.

    Returns:
        `first`: products whose input takes no gradient; `projections`: all other products with weights; `attention`:
        scores and mixing.
    """
    n, d, text = model.num_patches, model.hidden_size, text_tokens
    patch = model.patch_size**2 * model.in_channels
    first = 2 * n * patch * d + 2 * text * model.text_embed_dim * d
    tokens = 2 * n * (6 * d * d + 2 * d * model.mlp_size)  # q, k, v, out; q, out of the text attention; MLP
    layer = tokens + 2 * text * 2 * d * d + 2 * 6 * d * d // model.num_layers  # keys and values of text; t_block once
    attention = 2 * 2 * n * (n + text) * d
    return {
        "first": first,
        "projections": model.num_layers * layer + 2 * n * d * patch,
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
