"""Fields and sampling runs of a few experts, with few words."""

from __future__ import annotations

from paris.experts.sampling.experts import Ensemble, ExpertMap, ExpertSource
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.sample import sample
from paris.experts.sampling.settings import SamplingSettings


def ensemble(experts, router=None):
    """Experts in a list or a dictionary, or a source of them, and a router."""
    return Ensemble(experts if isinstance(experts, ExpertSource) else ExpertMap(experts), router)


def guided(guidance):
    """Guidance, or that of a scale."""
    return guidance if isinstance(guidance, Guidance) else Guidance.from_settings({"scale": guidance})


def routed(routing):
    """A routing, or the one of a name."""
    return Routing.named(routing) if isinstance(routing, str) else routing


def field_of(experts, router, prompts, guidance=1.0, routing="top2", uniforms=None):
    """A field; `prompts` may be text states alone."""
    prompts = prompts if isinstance(prompts, Prompts) else Prompts(prompts)
    return VelocityField(ensemble(experts, router), prompts, guided(guidance), routed(routing), uniforms)


def draw(experts, router, prompts, seeds, *, guidance=1.0, latents=None, on_step=None, **fields):
    """Sample, by default without guidance; `fields` are those of `SamplingSettings`."""
    prompts = prompts if isinstance(prompts, Prompts) else Prompts(prompts)
    settings = SamplingSettings.from_settings({**fields, "guidance": guided(guidance)})
    return sample(ensemble(experts, router), prompts, seeds, settings, latents=latents, on_step=on_step)
