"""How unlike two experts are in what no renaming of their inner units can change.

A copy can hide from the cosine of the weights: with the channels, heads and hidden units in another order, or queries
and keys rotated against each other, a model computes the same function from other weights. The singular values of

    W_q^T W_k    W_o W_v    W_2 W_1 (of the MLP)

stay the same in all these forms. They are compared by how far training moved them: of the vectors s_a and s_b of two
experts that started at s_0, the distance is

    ||s_a - s_b|| / ((||s_a - s_0|| + ||s_b - s_0||) / 2),   averaged over the products

Source: products of attention weights as fingerprints, GhostSpec (arXiv 2511.06390); relative to the start, ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from paris.experts.seeding import generator_for

_LAYER = re.compile(r"layers\.(\d+)\.")
_ATTENTIONS = ("attn", "cross_attn")
_TINY = 1e-12


@dataclass(frozen=True)
class Spectra:
    """Singular values of the products of some layers, float64 `[D]` each, in one order for all experts of a run."""

    values: tuple[Tensor, ...]

    @classmethod
    def of(cls, names: Iterable[str], read: Callable[[str], Tensor], layers: Iterable[int]) -> Spectra:
        """The spectra of one model.

        Args:
            names: Of all its tensors.
            read: Returns one tensor, in its shape.
            layers: Numbers of the layers.
        """
        known = set(names)
        return cls(
            tuple(torch.linalg.svdvals(product) for k in layers for product in _products(f"layers.{k}.", known, read))
        )

    def distance(self, other: Spectra, start: Spectra) -> float:
        """The distance of this module's docstring: 0 for a copy in any form, about 2 for opposite ways."""
        parts = [
            float((a - b).norm() / ((a - s).norm() / 2 + (b - s).norm() / 2 + _TINY))
            for a, b, s in zip(self.values, other.values, start.values, strict=True)
        ]
        return sum(parts) / len(parts)


def drawn_layers(initial: Mapping[str, Tensor], seed: int, most: int) -> list[int]:
    """The layers to compare: all, or as many of a large model, drawn in secret.

    Args:
        initial: The run's initial weights, by name.
        seed: The case's.
        most: Number of layers.
    """
    numbers = {int(match[1]) for match in map(_LAYER.match, initial) if match is not None}
    drawn = torch.randperm(len(numbers), generator=generator_for(seed, "spectra"))[:most].tolist()
    return sorted(sorted(numbers)[place] for place in drawn)


def _products(layer: str, known: set[str], read: Callable[[str], Tensor]) -> Iterable[Tensor]:
    """The products of one layer, `[D, D]`; an expert without text has no cross-attention."""
    for name in _ATTENTIONS:
        if f"{layer}{name}.in_proj_weight" in known:
            query, key, value = read(f"{layer}{name}.in_proj_weight").double().chunk(3)
            yield query.T @ key
            yield read(f"{layer}{name}.out_proj.weight").double() @ value
    yield read(f"{layer}mlp.2.weight").double() @ read(f"{layer}mlp.0.weight").double()
