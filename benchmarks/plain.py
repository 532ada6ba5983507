"""A plain baseline implementation with torch.nn only, like the public re-implementations.

The models are the tests' reference (tests/experts/plain_paris.py): torch.nn.MultiheadAttention, the text projected in
every layer. Only its two Python loops, over moments and over patches, are replaced by tensor operations, for a fair
comparison of time.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.training.batches import Batch


def _load_reference() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "tests" / "experts" / "plain_paris.py"
    spec = importlib.util.spec_from_file_location("plain_paris", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("plain_paris", module)
    spec.loader.exec_module(module)
    return module


_reference = _load_reference()


class PlainTime(_reference.PlainTime):
    """The time embedding without a loop over rows."""

    def forward(self, t: Tensor) -> Tensor:
        """Flow time `[B]` in [0, 1] to `[B, D]`."""
        exponents = torch.arange(128, dtype=torch.float32, device=t.device) / 128
        angles = (t * 1000)[:, None] * torch.exp(-math.log(10_000) * exponents)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=1))


class PlainExpert(_reference.PlainExpert):
    """The plain expert without a loop over patches."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.time_embed = PlainTime(config.hidden_size)

    def forward(self, x: Tensor, t: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """The velocity at `x [B, C, H, W]`, time `t [B]`, text `[B, L, E]`, True in `mask [B, L]` where it counts."""
        c = self.config
        tokens = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        time = self.time_embed(t)
        t0 = self.t_block(time).reshape(len(x), 6, c.hidden_size)
        for layer in self.layers:
            tokens = layer(tokens, t0, self.text_proj(text), ~mask)
        shift, scale = [(self.final_layer.scale_shift_table[i] + time)[:, None] for i in range(2)]
        patches = self.final_layer.linear(F.layer_norm(tokens, (c.hidden_size,)) * (1 + scale) + shift)
        side, p = c.image_size // c.patch_size, c.patch_size
        grid = patches.reshape(len(x), side, side, p, p, c.in_channels)
        return torch.einsum("nhwpqc->nchpwq", grid).reshape(x.shape)


class PlainRouter(_reference.PlainRouter):
    """The plain router without a loop over rows."""

    def __init__(self, config: RouterConfig) -> None:
        super().__init__(config)
        self.time_embed = PlainTime(config.hidden_size)


class PlainTraining:
    """AdamW, clipping and EMA as a first version has them: torch's defaults, the average tensor by tensor.

    Args:
        model: What is trained, on its device.
        learning_rate: Of every step.
        ema_decay: Of every step.
    """

    def __init__(self, model: nn.Module, learning_rate: float = 1e-4, ema_decay: float = 0.9999) -> None:
        self.model = model
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)
        self._decay = ema_decay
        self.average = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def forward_backward(self, batch: Batch) -> Tensor:
        """Leave the gradients of one batch's mean loss; the loss `[]`."""
        at = batch.t[:, None, None, None]
        output = self.model((1 - at) * batch.x0 + at * batch.noise, batch.t, batch.text, batch.text_mask)
        loss = F.mse_loss(output.float(), batch.noise - batch.x0)
        self._optimizer.zero_grad()
        loss.backward()
        return loss.detach()

    def apply(self) -> None:
        """Clip, AdamW, average."""
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].mul_(self._decay).add_(parameter, alpha=1 - self._decay)
