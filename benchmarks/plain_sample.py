"""Plain sampling, as in the public port: picture by picture, expert by expert.

At each step the router evaluates the picture; the best two experts run separately, with the text and with the null
text, and their guided velocities are averaged. The models are those of `plain.py`.

Shapes: B pictures, K experts, L text tokens, E text width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.plain import PlainExpert, PlainRouter


class PlainSampling:
    """One run, a step at a time.

    Args:
        experts: All K.
        router: Selects the experts.
        text: States of the prompts `[B, L, E]`, and their mask `[B, L]`.
        null: State of the null prompt `[1, L, E]`, and its mask `[1, L]`.
        guidance_scale: Scale of classifier-free guidance.
        max_experts: Experts per picture and step.
    """

    def __init__(
        self,
        experts: Sequence[nn.Module],
        router: nn.Module,
        text: tuple[Tensor, Tensor],
        null: tuple[Tensor, Tensor],
        guidance_scale: float,
        max_experts: int = 2,
    ) -> None:
        self._experts, self._router, self._text, self._null = experts, router, text, null
        self._scale, self._max_experts = guidance_scale, max_experts

    @torch.no_grad()
    def step(self, x: Tensor, t: float, t_next: float) -> Tensor:
        """One step of Euler's from flow time t to `t_next`, for all pictures `[B, C, H, W]`, one after the other."""
        return torch.cat(
            [x[row : row + 1] + (t_next - t) * self._velocity(x[row : row + 1], t, row) for row in range(len(x))]
        )

    def _velocity(self, x: Tensor, t: float, row: int) -> Tensor:
        times = torch.full((1,), t)
        probabilities = self._router(x, times).softmax(dim=-1)
        best, index = probabilities.topk(self._max_experts, dim=-1)
        weights = best / best.sum(dim=-1, keepdim=True)
        states, mask = self._text[0][row : row + 1], self._text[1][row : row + 1]
        velocity = torch.zeros_like(x)
        for weight, number in zip(weights[0], index[0].tolist(), strict=True):
            expert = self._experts[number]
            with_text = expert(x, times, states, mask)
            without = expert(x, times, *self._null)
            velocity = velocity + weight * (without + self._scale * (with_text - without))
        return velocity


def plain_twin(model: nn.Module) -> nn.Module:
    """The plain model with the very tensors of ours: no second copy of the weights.

    Args:
        model: A `DiTExpert` or a `Router`.
    """
    with torch.device("meta"):
        twin = (PlainExpert if hasattr(model, "text_proj") else PlainRouter)(model.config)
    twin.load_state_dict(model.state_dict(), assign=True)
    return twin.eval().requires_grad_(False)
