"""How a model is sampled where nothing else is asked for: what a release says of itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from paris.experts.settings import Settings


class SamplingSettings(Settings):
    """What a model is sampled with where nothing else is asked for; the published model's, if it does not say."""

    num_steps: Annotated[int, Field(ge=1, le=10_000)] = 50
    guidance_scale: Annotated[float, Field(ge=0, le=100)] = 7.5
    routing: Literal["top1", "top2", "full"] = "top2"
    solver: Literal["euler", "heun"] = "euler"
