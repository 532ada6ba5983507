"""Weights in and out of safetensors, with exactly the expected names, shapes and types.

`expert.safetensors`, the EMA weights under the model's own names, is what a submission holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from paris.experts.errors import CheckpointError
from paris.experts.files import file_sha256, whole_file

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "U8": torch.uint8,
}


@dataclass(frozen=True)
class TensorSpec:
    """Shape and type of a tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32


def specs_of(tensors: Mapping[str, Tensor]) -> dict[str, TensorSpec]:
    """The specs of tensors, such as a model's `state_dict()`; the meta device is enough."""
    return {name: TensorSpec(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors as one safetensors file. The same tensors make the same bytes.

    Args:
        path: The file to make or replace.
        tensors: On any device; a view is written out in full.

    Returns:
        SHA-256 of the file, 64 hex digits.

    Raises:
        DiskFullError: No space; `path` is unchanged.
    """
    with whole_file(path) as partial:
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)
        except SafetensorError as error:
            raise _as_os_error(error) from error
        return file_sha256(partial)


def read_specs(path: Path) -> dict[str, TensorSpec]:
    """The specs in a safetensors file's header; no tensor is read.

    Raises:
        CheckpointError: Not a safetensors file, truncated, or with a type that no model here has.
    """
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return {
                name: TensorSpec(tuple(part.get_shape()), _DTYPES[part.get_dtype()]) for name, part in slices.items()
            }
    except KeyError as error:
        raise CheckpointError(f"{path.name} holds a tensor of type {error}, which no model here has.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is not a readable safetensors file: {error}.") from error


def check_specs(found: Mapping[str, TensorSpec], expected: Mapping[str, TensorSpec], name: str) -> None:
    """Compare the specs of the file `name` with those of a model.

    Raises:
        CheckpointError: A tensor is missing, unknown, or of another shape or type; the message names the first.
    """
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    if missing or unknown:
        first = f"lacks {missing[0]!r}" if missing else f"has {unknown[0]!r}, which the model does not know"
        raise CheckpointError(f"{name} {first} ({len(missing)} missing, {len(unknown)} unknown in all).")
    for key, spec in expected.items():
        if found[key] != spec:
            raise CheckpointError(
                f"{name}: {key!r} is {found[key].dtype} {list(found[key].shape)}, not {spec.dtype} {list(spec.shape)}."
            )


def load_tensors(path: Path, expected: Mapping[str, TensorSpec]) -> dict[str, Tensor]:
    """Read a safetensors file of exactly the expected tensors into CPU memory; raises as `iter_tensors`."""
    return dict(iter_tensors(path, expected))


def iter_tensors(path: Path, expected: Mapping[str, TensorSpec]) -> Iterator[tuple[str, Tensor]]:
    """Name and value of each tensor, one at a time in CPU memory, of a file of exactly the expected ones.

    Raises:
        CheckpointError: Not readable, other names, shapes or types than expected, or not finite.
    """
    check_specs(read_specs(path), expected, path.name)
    with safe_open(path, framework="pt") as file:
        for name in expected:
            # A copy: safetensors returns views of the mapped file, which another process could change.
            tensor = file.get_tensor(name).clone()
            check_finite({name: tensor}, path.name)
            yield name, tensor


def check_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    """Raise CheckpointError for NaN or infinity; the message names the first such tensor."""
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{name}: {key!r} holds a value that is not finite.")


def save_weights(path: Path, model: nn.Module) -> str:
    """Write a model's weights by `save_tensors`; the file's SHA-256."""
    return save_tensors(path, model.state_dict())


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill a model, on any device, by `load_tensors`; it is unchanged where that raises."""
    model.load_state_dict(load_tensors(path, specs_of(model.state_dict())))


def _as_os_error(error: SafetensorError) -> Exception:
    """The OSError inside a safetensors error, which has its number in the text only."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), str(error)) if number else error
