"""Loss scaling, without which small gradients are lost in float16: for GPUs that have no bfloat16.

The loss is multiplied before its backward pass and the gradients are divided after it. A step whose gradients overflow
changes no weight and halves the scale; many good steps in a row double it. All of it happens on the device, and is part
of a snapshot.

Source: Micikevicius et al., arXiv 1710.03740, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FIRST = 2.0**14
_LARGEST = 2.0**24
_GROWS_AFTER = 1000
"""Good steps in a row."""


class LossScale:
    """The scale, always a power of two: scaling rounds nothing.

    Args:
        device: Where the model computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.state = torch.tensor([_FIRST, 0.0], device=device)
        """The scale, and good steps since it changed `[2]`: what a snapshot holds."""

    @property
    def scale(self) -> Tensor:
        """What the loss is multiplied with `[]`."""
        return self.state[0]

    def update(self, is_overflow: Tensor) -> None:
        """Take the outcome of one step into account.

        Args:
            is_overflow: Whether a gradient was not finite `[]`, bool.
        """
        scale, good = self.state.unbind()
        good = torch.where(is_overflow, 0.0, good + 1)
        grows = good >= _GROWS_AFTER
        scale = torch.where(is_overflow, (scale / 2).clamp(min=1.0), torch.where(grows, scale * 2, scale))
        self.state.copy_(torch.stack([scale.clamp(max=_LARGEST), torch.where(grows, 0.0, good)]))
