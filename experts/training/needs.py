"""Memory and disk that training an expert needs at least, by the model's shape. Imports no torch."""

from __future__ import annotations

from paris.experts.models.presets import ModelConfig

_PROCESS_BYTES = 512 << 20
"""Python, torch and the data."""
_FLOAT_BYTES = 4
_SNAPSHOTS = 3
"""Two are kept while the next is written."""
_TIME_FREQUENCIES = 256
"""Inputs of the time embedding, as in `layers.TimeEmbed`."""


def num_parameters(model: ModelConfig) -> int:
    """Parameters of a `DiTExpert`."""
    d, mlp = model.hidden_size, model.mlp_size
    patch = model.patch_size**2 * model.in_channels
    attention = 4 * d * d + 4 * d
    block = 6 * d + 2 * attention + 2 * d * mlp + mlp + d
    time = (_TIME_FREQUENCIES + 1) * d + (d + 1) * d + (d + 1) * 6 * d
    ends = (patch + 1) * d + model.num_patches * d + 2 * d + (d + 1) * patch
    return model.num_layers * block + time + (model.text_embed_dim + 1) * d + ends


def least_memory_bytes(model: ModelConfig, moments: str = "float32") -> int:
    """Weights, gradients, EMA and moments, and each layer's input for one row: with checkpointing no less will do.

    Args:
        model: The expert's shape.
        moments: "float32" or "8bit", of `TrainingConfig`.
    """
    kept = model.num_layers * model.num_patches * model.hidden_size * _FLOAT_BYTES
    return _PROCESS_BYTES + num_parameters(model) * (3 * _FLOAT_BYTES + _moment_bytes(moments)) + kept


def least_disk_bytes(model: ModelConfig, moments: str = "float32") -> int:
    """Snapshots, and the finished weights and EMA; without the data. Arguments as for `least_memory_bytes`."""
    return num_parameters(model) * (_SNAPSHOTS * (2 * _FLOAT_BYTES + _moment_bytes(moments)) + 2 * _FLOAT_BYTES)


def _moment_bytes(moments: str) -> int:
    return 2 if moments == "8bit" else 2 * _FLOAT_BYTES
