"""Which expert a prompt belongs to: a small classifier of the text alone, beside the router of pictures.

Near pure noise the posterior of a router that sees only the noisy picture is the prior, and sparse routing then sends a
prompt to experts that were never trained on its words. The prompt says what the picture cannot yet say.

Shapes: B prompts, L tokens, E text width, K clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from paris.experts.frozen.text import TextEncoder
from paris.experts.models.layers import masked_mean
from paris.experts.seeding import generator_for
from paris.experts.settings import Settings
from paris.experts.weights.checkpoint import load_tensors, save_tensors, specs_of

CAPTION_DROPOUT = 0.1
"""How often a router is trained on the null prompt, from which it learns the clusters' proportions."""


class PromptRouterConfig(Settings):
    """The shape of a `PromptRouter`."""

    text_embed_dim: Annotated[int, Field(ge=1)]
    hidden_size: Annotated[int, Field(ge=1)] = 256
    num_clusters: Annotated[int, Field(ge=1)]


class PromptRouter(nn.Module):
    """p(k | prompt): the mean of the text states through a small network."""

    def __init__(self, config: PromptRouterConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Linear(config.text_embed_dim, config.hidden_size)
        self.head = nn.Linear(config.hidden_size, config.num_clusters)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Draw weights from a normal of standard deviation 0.02, in the order of the parameters; biases are zero."""
        for parameter in self.parameters():
            parameter.normal_(0.0, 0.02 if parameter.dim() > 1 else 0.0, generator=generator)

    def forward(self, text: Tensor, text_mask: Tensor) -> Tensor:
        """Logits `[B, K]`, from text states `[B, L, E]` and their mask, bool `[B, L]`, True where a token counts."""
        return self.head(F.gelu(self.hidden(masked_mean(text, text_mask))))


def train_prompt_router(
    encoder: TextEncoder,
    captions: Sequence[str],
    clusters: Sequence[int],
    num_clusters: int,
    *,
    seed: int,
    steps: int = 300,
) -> PromptRouter:
    """Learn from captions which cluster they belong to; the null prompt learns the clusters' proportions.

    Args:
        encoder: The run's text encoder.
        captions: One a row; equal captions may stand in several clusters.
        clusters: Cluster of each caption, 0 to K-1.
        num_clusters: K.
        seed: The run's seed.
        steps: Optimizer steps, each on at most 1,024 captions.

    Returns:
        The trained classifier, on the CPU. Deterministic.
    """
    model = PromptRouter(PromptRouterConfig(text_embed_dim=encoder.config.dim, num_clusters=num_clusters))
    model.init_weights(generator_for(seed, "prompt-router", "initial"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    labels = torch.tensor(clusters)
    for step in range(steps):
        generator = generator_for(seed, "prompt-router", step)
        rows = torch.randperm(len(captions), generator=generator)[:1024]
        dropped = torch.rand(len(rows), generator=generator, dtype=torch.float32) < CAPTION_DROPOUT
        texts = ["" if drop else captions[row] for row, drop in zip(rows.tolist(), dropped.tolist(), strict=True)]
        loss = F.cross_entropy(model(*encoder.encode(texts)), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return model.eval()


class PromptPosterior(NamedTuple):
    """Log-probabilities of the experts given prompts alone, from `prompt_posterior`."""

    log_posterior: Tensor
    """`log p(k | prompt)`, `[B, K]`."""
    log_prior: Tensor
    """`log p(k)`, `[1, K]` or `[B, K]`."""
    log_negative: Tensor | None = None
    """`log p(k | negative prompt)`, `[1, K]` or `[B, K]`; None for the null prompt, whose posterior is the prior."""

    @property
    def evidence(self) -> Tensor:
        """`log p(k | prompt) - log p(k)`, `[B, K]`, added to a router's logits for the noisy picture.

        Bayes' rule, with picture and prompt independent given the cluster:
        p(k | x_t, c) is proportional to p(k | x_t) p(k | c) / p(k).
        """
        return self.log_posterior - self.log_prior

    @property
    def negative_evidence(self) -> Tensor | None:
        """The evidence of the negative prompts; None for the null prompt, which has none."""
        return None if self.log_negative is None else self.log_negative - self.log_prior

    def to(self, device: torch.device | str) -> PromptPosterior:
        """On another device."""
        return PromptPosterior(*(values if values is None else values.to(device) for values in self))


@torch.no_grad()
def prompt_posterior(
    prompt_router: PromptRouter,
    text: tuple[Tensor, Tensor],
    null: tuple[Tensor, Tensor],
    negative: tuple[Tensor, Tensor] | None = None,
) -> PromptPosterior:
    """Which experts the prompts belong to.

    Args:
        prompt_router: The model's.
        text: States `[B, L, E]` and mask `[B, L]` of the prompts.
        null: The same of the null prompt, one row: its posterior is the prior.
        negative: The same of negative prompts, one row or B; None for the null prompt.
    """
    posterior, prior = prompt_router(*text).log_softmax(1), prompt_router(*null).log_softmax(1)
    return PromptPosterior(posterior, prior, None if negative is None else prompt_router(*negative).log_softmax(1))


def save_prompt_router(path: Path, model: PromptRouter) -> str:
    """Write its weights as safetensors, whole or not at all; return their sha256."""
    return save_tensors(path, model.state_dict())


def load_prompt_router(path: Path, config: PromptRouterConfig) -> PromptRouter:
    """Read a prompt router; CheckpointError if the file is missing, another shape's, or not finite."""
    with torch.device("meta"):
        model = PromptRouter(config)
    model.load_state_dict(load_tensors(path, specs_of(model.state_dict())), assign=True)
    return model.eval()
