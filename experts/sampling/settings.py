"""How a model is sampled where nothing else is asked for: what a release says of itself.

In a release's config.json: "sampling": {"num_steps": 50, "guidance_scale": 7.5, "routing": "top2", ...}; absent fields
are as below.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from paris.experts.sampling.guidance import Interval
from paris.experts.sampling.routing import Routing
from paris.experts.settings import Settings

_UnitTime = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=1, le=1000)]


class SamplingSettings(Settings):
    """What a model is sampled with where nothing else is asked for; the published model's, if it does not say."""

    num_steps: Annotated[int, Field(ge=1, le=10_000)] = 50
    guidance_scale: Annotated[float, Field(ge=0, le=100)] = 7.5
    routing: str = "top2"
    """"top1", "top2" and so on, "full", "threshold" or "ancestral"."""
    solver: Literal["euler", "heun", "ab2", "ab3", "dpmpp-2m"] = "euler"
    time_shift: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Above 1: shorter steps near noise, see `solvers.flow_times`."""
    guidance_interval: Interval = (0.0, 1.0)
    guidance_every: _Count = 1
    guidance_away_from: Literal["expert", "ensemble"] = "expert"
    """These three: see `guidance.Guidance`."""
    routing_threshold: _UnitTime | None = None
    """Experts less probable than this are left out; None: as the routing's name says."""
    sure_above: _UnitTime = 1.0
    router_every: _Count = 1
    routing_temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    redecide_below: _UnitTime = 0.0
    """These four: see `routing.Routing`."""

    @field_validator("routing")
    @classmethod
    def _is_known(cls, name: str) -> str:
        Routing.named(name)
        return name


def usual_sampling(*, has_prompt_router: bool) -> SamplingSettings:
    """What a model that says nothing of sampling is sampled with.

    Args:
        has_prompt_router: Whether the model can tell whose a prompt is before there is a picture: then routing is
            ancestral and guidance leads away from the ensemble, asked at every second step: of what costs no more than
            a single model, nearest to the data on two of three data sets (docs/quality.md); else top-2, as the paper
            has it.
    """
    if not has_prompt_router:
        return SamplingSettings()
    return SamplingSettings(routing="ancestral", guidance_away_from="ensemble", guidance_every=2)
