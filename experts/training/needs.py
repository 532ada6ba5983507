"""Memory and disk that training an expert needs, by the model's shape, in closed form. Imports no torch."""

from __future__ import annotations

from paris.experts.models.presets import ModelConfig, RouterConfig

PROCESS_BYTES = 512 << 20
"""Python, torch and the data."""
WORKSPACE = 1.3
"""Gradients and intermediate results of a layer, beside what the forward pass keeps."""
FLOAT_BYTES = 4
_SNAPSHOTS = 3
"""Two are kept while the next is written."""
CODED_BLOCK = 256
"""Values of a compact state with one more byte in common (`block_codes.py`)."""
_TIME_FREQUENCIES = 256
"""Inputs of the time embedding, as in `layers.TimeEmbed`."""


def num_parameters(model: ModelConfig) -> int:
    """Parameters of a `DiTExpert`."""
    d, mlp = model.hidden_size, model.mlp_size
    patch = model.patch_size**2 * model.in_channels
    attention = 4 * d * d + 4 * d
    block = 6 * d + (2 if model.reads_text else 1) * attention + 2 * d * mlp + mlp + d
    time = (_TIME_FREQUENCIES + 1) * d + (d + 1) * d + (d + 1) * 6 * d
    ends = (patch + 1) * d + model.num_patches * d + 2 * d + (d + 1) * patch
    text = (model.text_embed_dim + 1) * d if model.reads_text else 0
    return model.num_layers * block + time + text + ends


def num_router_parameters(router: RouterConfig) -> int:
    """Parameters of a `Router`."""
    d, mlp = router.hidden_size, router.mlp_size
    patch = router.patch_size**2 * router.in_channels
    block = (d + 1) * 6 * d + 4 * d * d + 4 * d + 2 * d * mlp + mlp + d
    time = (_TIME_FREQUENCIES + 1) * d + (d + 1) * d
    text = 0 if router.text_embed_dim is None else (router.text_embed_dim + 1) * d
    head = (d + 1) * d + 2 * d + (d + 1) * router.num_clusters
    return router.num_layers * block + time + text + head + (patch + 1) * d + router.num_patches * d + d


def saved_bytes(model: ModelConfig, rows: int, *, checkpointing: bool = False, precision: str = "float32") -> int:
    """Bytes that a forward pass keeps for the backward pass; with checkpointing, of one layer while it is recomputed.

    Weights that autocast copies are not included.

    Args:
        model: The expert's shape.
        rows: Rows in memory together.
        checkpointing: Keep the layers' inputs alone, and one layer's intermediate results.
        precision: Of `TrainingConfig`.
    """
    n, d, text, width = model.num_patches, model.hidden_size, model.max_text_tokens, _width(precision)
    patch = model.patch_size**2 * model.in_channels
    cross_attention = 3 * width * d + 4 * model.num_heads if model.reads_text else 0
    token = (16 + 8 * width) * d + 2 * width * model.mlp_size + 4 * model.num_heads + 16 + cross_attention
    layer = n * token + 2 * width * text * d + 32 * d
    ends = n * ((8 + width) * d + (4 + width) * patch + 8) + width * text * (model.text_embed_dim + d)
    ends += FLOAT_BYTES * (_TIME_FREQUENCIES + 5 * d)
    if checkpointing:
        kept = n * d * FLOAT_BYTES + 2 * width * text * d
        return rows * (model.num_layers * kept + layer + ends)
    return rows * (model.num_layers * layer + ends)


def memory_bytes(
    model: ModelConfig,
    rows: int,
    *,
    checkpointing: bool = False,
    precision: str = "float32",
    moments: str = "float32",
) -> int:
    """Memory of a device that trains: process, weights, gradients, EMA, moments, and what a batch takes.

    Args:
        model: The expert's shape.
        rows: Rows in memory together.
        checkpointing: As in `saved_bytes`.
        precision: Of `TrainingConfig`; autocast keeps a copy of the weights in half precision.
        moments: "float32" or "8bit", of `TrainingConfig`.
    """
    copied = 0 if precision == "float32" else _width(precision)
    fixed = num_parameters(model) * (3 * FLOAT_BYTES + _moment_bytes(moments) + copied)
    saved = saved_bytes(model, rows, checkpointing=checkpointing, precision=precision)
    return PROCESS_BYTES + fixed + int(WORKSPACE * saved)


def least_memory_bytes(model: ModelConfig, moments: str = "float32", precision: str = "float32") -> int:
    """Memory for one row at a time, with checkpointing: no less will do. Arguments as for `memory_bytes`."""
    return memory_bytes(model, 1, checkpointing=True, precision=precision, moments=moments)


def state_bytes(model: ModelConfig, moments: str = "float32", state: str = "exact") -> int:
    """One scheduled snapshot, also what a leg hands in: weights, EMA and moments.

    Args:
        model: As for `memory_bytes`.
        moments: As for `memory_bytes`.
        state: "exact" or "compact", of `TrainingConfig`.
    """
    parameters = num_parameters(model)
    if state == "exact":
        return parameters * (2 * FLOAT_BYTES + _moment_bytes(moments))
    coded = 3 if moments == "float32" else 1
    return parameters * (FLOAT_BYTES + 3) + coded * parameters // CODED_BLOCK


def least_disk_bytes(
    model: ModelConfig, moments: str = "float32", leg_snapshots: int | None = None, state: str = "exact"
) -> int:
    """Snapshots, and the finished weights and EMA; without the data.

    Args:
        model: As for `memory_bytes`.
        moments: As for `memory_bytes`.
        leg_snapshots: Scheduled snapshots of a leg, all of which are kept, with the state it starts from and a pause.
            None: no legs.
        state: As for `state_bytes`; a pause, and the snapshot of the last step, are exact.
    """
    snapshots = _SNAPSHOTS if leg_snapshots is None else leg_snapshots + 2
    finished = num_parameters(model) * 2 * FLOAT_BYTES
    return (snapshots - 2) * state_bytes(model, moments, state) + 2 * state_bytes(model, moments) + finished


def _width(precision: str) -> int:
    return FLOAT_BYTES if precision == "float32" else FLOAT_BYTES // 2


def _moment_bytes(moments: str) -> int:
    return 2 if moments == "8bit" else 2 * FLOAT_BYTES
