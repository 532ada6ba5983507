"""The compact form of a state: about 7 bytes a parameter instead of 16, for `[training] state = "compact"`.

    ema.safetensors        <name>                         the EMA weights, float32: what is judged and sampled from
    weights.safetensors    code.<name>                    weights minus EMA, in 8 bits
                           exponent.<name>
    optimizer.safetensors  code.exp_avg.<name>            mean of the gradients, in 8 bits
                           exponent.exp_avg.<name>
                           code.exp_avg_sq.<name>         root of the mean of their squares, in 8 bits
                           exponent.exp_avg_sq.<name>
                           the rest                       as in the exact form: a loss scale, moments of bitsandbytes

Whoever writes such files goes on from what they stand for: so a training that was resumed has the bits of one that was
not. The codes are those of `block_codes`; all is computed on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor

from paris.experts.training.adamw import MOMENTS
from paris.experts.training.block_codes import BlockCode, num_blocks
from paris.experts.weights.checkpoint import TensorSpec

_CODE, _EXPONENT = "code.", "exponent."
_FINE = 4
"""Bits of the mantissa of differences: most are within 8 octaves of the largest in their block."""
_WIDE = 3
"""Of means of gradients, which span more."""
_CODES = {
    "weights": BlockCode(_FINE, is_signed=True),
    MOMENTS[0]: BlockCode(_WIDE, is_signed=True),
    MOMENTS[1]: BlockCode(_FINE, is_signed=False),
}

Read = Callable[[str], Tensor]
"""The tensor of a name."""


def compact(tensors: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a state's compact files, by file.

    Args:
        tensors: Of its exact files, on any device.
    """
    average = tensors["ema"].__getitem__
    return {file: dict(_compacted(file, content, average)) for file, content in tensors.items()}


def compact_specs(specs: Mapping[str, Mapping[str, TensorSpec]]) -> dict[str, dict[str, TensorSpec]]:
    """As `compact`, of names, shapes and types."""
    found: dict[str, dict[str, TensorSpec]] = {}
    for file, content in specs.items():
        found[file] = {}
        for name, spec in content.items():
            if _kind(file, name, spec.dtype) is None:
                found[file][name] = spec
                continue
            found[file][_CODE + name] = TensorSpec(spec.shape, torch.uint8)
            count = torch.Size(spec.shape).numel()
            found[file][_EXPONENT + name] = TensorSpec((num_blocks(count),), torch.uint8)
    return found


def exact_names(names: Iterable[str]) -> list[str]:
    """The names of the exact form of a file, from those of either form."""
    return [name.removeprefix(_CODE) for name in names if not name.startswith(_EXPONENT)]


def exact_values(file: str, found: Iterable[tuple[str, Tensor]], average: Read) -> Iterator[tuple[str, Tensor]]:
    """What the tensors of a file stand for, one at a time; those of an exact file stand for themselves.

    Args:
        file: Such as "weights".
        found: Names and values, in the order of `compact_specs`.
        average: The EMA of a parameter.
    """
    codes: Tensor | None = None
    for name, value in found:
        if name.startswith(_CODE):
            codes = value
        elif codes is not None and name.startswith(_EXPONENT):
            exact = name.removeprefix(_EXPONENT)
            yield exact, _decoded(file, exact, codes, value, average)
            codes = None
        else:
            yield name, value


def exact_reader(file: str, names: Iterable[str], read: Read, average: Read) -> Read:
    """Reads what the tensors of a file stand for, by their names in the exact form.

    Args:
        file: Such as "weights".
        names: Of the file, in either form.
        read: A tensor of the file.
        average: The EMA of a parameter.
    """
    coded = {name.removeprefix(_CODE) for name in names if name.startswith(_CODE)}

    def value(name: str) -> Tensor:
        if name not in coded:
            return read(name)
        return _decoded(file, name, read(_CODE + name), read(_EXPONENT + name), average)

    return value


def _compacted(file: str, content: Mapping[str, Tensor], average: Read) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in content.items():
        value, kind = tensor.detach().cpu(), _kind(file, name, tensor.dtype)
        if kind is None:
            yield name, value
            continue
        if kind == "weights":
            value = value - average(name).detach().cpu()
        elif kind == MOMENTS[1]:
            value = value.sqrt()
        codes, exponents = _CODES[kind].encode(value)
        yield _CODE + name, codes
        yield _EXPONENT + name, exponents


def _decoded(file: str, name: str, codes: Tensor, exponents: Tensor, average: Read) -> Tensor:
    kind = _kind(file, name, torch.float32)
    value = _CODES[kind or "weights"].decode(codes, exponents)
    if kind == "weights":
        return average(name).detach().cpu() + value
    return value.square() if kind == MOMENTS[1] else value


def _kind(file: str, name: str, dtype: torch.dtype) -> str | None:
    """Which of `_CODES` a tensor of the exact form gets, if one."""
    if file == "weights":
        return file
    kind = name.partition(".")[0]
    return kind if file == "optimizer" and kind in MOMENTS and dtype == torch.float32 else None
