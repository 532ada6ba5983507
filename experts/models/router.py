"""The router: from a noisy picture and its time to logits of the clusters.

The published one does not read the text; one with `text_embed_dim` adds the prompt's mean state to its class token.

Shapes: B rows, N tokens, D hidden size, L text tokens, E text width, K clusters.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from paris.experts.errors import SamplingError
from paris.experts.models.gelu import Gelu
from paris.experts.models.initial import EMBEDDER_STD, SeededInit, initialize
from paris.experts.models.layers import (
    Attention,
    Mlp,
    PatchEmbed,
    TimeEmbed,
    masked_mean,
    modulated_norm,
    sincos_pos_embed,
)
from paris.experts.models.model import check_picture_shape
from paris.experts.models.presets import RouterConfig


class RouterBlock(nn.Module):
    """A DiT block with AdaLN-Zero: a modulation in each layer."""

    def __init__(self, config: RouterConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))
        self.attn = Attention(d, config.num_heads)
        self.mlp = Mlp(d, config.mlp_size)

    def init_weights(self, init: SeededInit) -> None:
        nn.init.zeros_(self.adaLN_modulation[1].weight)
        nn.init.zeros_(self.adaLN_modulation[1].bias)
        self.attn.init_weights(init)
        self.mlp.init_weights(init)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """One layer over tokens `[B, N + 1, D]`, under the time embedding `[B, D]`.

        Source: AdaLN-Zero, Peebles and Xie, arXiv 2212.09748, section 3.2.
        """
        table = self.adaLN_modulation(time).unflatten(1, (6, -1))
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = table.split(1, dim=1)
        x = torch.addcmul(x, gate, self.attn(modulated_norm(x, shift, scale)))
        return torch.addcmul(x, gate_mlp, self.mlp(modulated_norm(x, shift_mlp, scale_mlp)))


class Router(nn.Module):
    """Classifies noisy pictures by cluster.

    The constructor leaves the weights unset: load them, or start from `initial_router`.
    """

    def __init__(self, config: RouterConfig) -> None:
        super().__init__()
        self.config = config
        d = config.hidden_size
        self.patch_embed = PatchEmbed(config.in_channels, d, config.patch_size)
        self.pos_embed = nn.Parameter(torch.empty(1, config.num_patches, d))
        self.time_embed = TimeEmbed(d)
        self.cls_token = nn.Parameter(torch.empty(1, 1, d))
        self.text_embed = None if config.text_embed_dim is None else nn.Linear(config.text_embed_dim, d)
        self.layers = nn.ModuleList(RouterBlock(config) for _ in range(config.num_layers))
        self.head = nn.Sequential(
            nn.Linear(d, d),
            Gelu(),
            nn.LayerNorm(d),
            Gelu(),
            nn.Linear(d, config.num_clusters),
        )

    def init_weights(self, init: SeededInit) -> None:
        """Fill all weights as DiT does (arXiv 2212.09748); the layers' zero modulation makes them identities."""
        self.patch_embed.init_weights(init)
        self.pos_embed.data.copy_(sincos_pos_embed(self.config.hidden_size, self.config.patches_per_side))
        self.time_embed.init_weights(init)
        init.normal(self.cls_token, std=EMBEDDER_STD)
        if self.text_embed is not None:
            init.linear(self.text_embed)
        for layer in self.layers:
            layer.init_weights(init)
        init.linear(self.head[0])
        nn.init.ones_(self.head[2].weight)
        nn.init.zeros_(self.head[2].bias)
        init.linear(self.head[4], std=EMBEDDER_STD)

    @property
    def sees_prompt(self) -> bool:
        """Whether `forward` needs the text."""
        return self.text_embed is not None

    def forward(self, x: Tensor, t: Tensor, text: Tensor | None = None, text_mask: Tensor | None = None) -> Tensor:
        """Logits of the clusters; their softmax is the posterior, the experts' weights.

        Args:
            x: Noisy pictures or latents `[B, C, H, W]` of the configured size.
            t: Flow time `[B]` in [0, 1]; 1 is noise.
            text: Text states `[B, L, E]`; ignored unless `sees_prompt`.
            text_mask: bool `[B, L]`, False for padding; None without padding.

        Returns:
            float32 `[B, K]`.

        Raises:
            SamplingError: `x` has another shape than the configured one, or the text is missing or of another width.

        Source: McAllister et al., arXiv 2501.05450, algorithm 1; layout of the published Paris router.
        """
        check_picture_shape(x, self.config.in_channels, self.config.image_size)
        tokens = self.patch_embed(x.to(self.pos_embed.dtype)) + self.pos_embed
        tokens = torch.cat([self._first_token(len(x), text, text_mask), tokens], dim=1)
        time = self.time_embed(t)
        for layer in self.layers:
            tokens = layer(tokens, time)
        return self.head(tokens[:, 0]).float()

    def given(self, text: Tensor, text_mask: Tensor | None) -> Callable[[Tensor, Tensor], Tensor]:
        """The router with its text bound: `(x, t)` to logits `[B, K]`."""
        device = self.cls_token.device
        text, text_mask = text.to(device), None if text_mask is None else text_mask.to(device)
        return lambda x, t: self(x, t, text, text_mask)

    def _first_token(self, num_rows: int, text: Tensor | None, text_mask: Tensor | None) -> Tensor:
        """The class token `[B, 1, D]`, plus the prompt's mean state if `sees_prompt`."""
        token = self.cls_token.expand(num_rows, -1, -1)
        if self.text_embed is None:
            return token
        if text is None:
            raise SamplingError("This router reads the prompt, but was given none.", "Pass the text states.")
        if text.dim() != 3 or text.shape[2] != self.config.text_embed_dim:
            raise SamplingError(
                f"Text states have shape {list(text.shape)}, the router takes [B, L, {self.config.text_embed_dim}]."
            )
        return token + self.text_embed(masked_mean(text, text_mask).to(token.dtype))[:, None]


def initial_router(config: RouterConfig, seed: int) -> Router:
    """An untrained router on the CPU; the weights follow from the run's seed."""
    with torch.device("meta"):
        router = Router(config)
    initialize(router, seed)
    return router
