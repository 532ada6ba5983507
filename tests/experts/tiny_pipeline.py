"""A whole pipeline small enough for a test: three experts of pixels, a router, three words."""

from __future__ import annotations

from tiny_models import TINY, tiny_expert, tiny_router
from torch import nn

from paris.experts import ParisPipeline
from paris.experts.frozen.codec import CodecConfig, PixelCodec
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import VocabularyEncoder
from paris.experts.models.model import TextContext

WORDS = ["blue", "dog", "red"]
TEXT = TextConfig(kind="vocabulary", dim=10, max_tokens=5)


def tiny_pipeline(**change) -> ParisPipeline:
    """Three experts, with a silent progress bar.

    Args:
        change: Other parts than the usual ones.
    """
    parts = {
        "experts": [tiny_expert(k) for k in range(3)],
        "router": tiny_router(),
        "text_encoder": VocabularyEncoder(TEXT, WORDS),
        "codec": PixelCodec(CodecConfig()),
    }
    pipeline = ParisPipeline(**parts | change)
    # As loaded ones: with gradients, even where none is taken, torch computes in another order.
    pipeline.experts.requires_grad_(False)
    pipeline.router.requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class GaussianExpert(nn.Module):
    """Knows data that is normal with this mean and deviation exactly: noise e must become mean + deviation e."""

    config = TINY
    mean, deviation = 0.3, 0.5

    def project_text(self, text, text_mask=None):
        return TextContext((), (), None)

    def forward(self, x, t, text):
        t = t.reshape(-1, 1, 1, 1)
        variance = (1 - t) ** 2 * self.deviation**2 + t**2
        away = (x - (1 - t) * self.mean) / variance
        return t * away - (self.mean + (1 - t) * self.deviation**2 * away)
