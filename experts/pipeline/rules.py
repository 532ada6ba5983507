"""How a picture is drawn, every question answered: what a call says, else what the model says of itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.sampling.solvers import new_solver


class Rules(NamedTuple):
    """How a run is sampled, every question answered."""

    num_steps: int
    solver: str
    time_shift: float
    guidance: Guidance
    routing: Routing


def rules_of(
    default: SamplingSettings,
    *,
    num_steps: int | None = None,
    guidance_scale: float | None = None,
    routing: str | Routing | None = None,
    max_experts: int | None = None,
    routing_threshold: float | None = None,
    solver: str | None = None,
) -> Rules:
    """What a model says of itself, where nothing else is asked for.

    Args:
        default: The model's settings.
        num_steps: None, here and below: as the model says.
        guidance_scale: 1 is no guidance. When it applies, and what it leads away from, is as the model says.
        routing: A rule, or the name of one. A name brings a rule of its own: nothing of the model's remains.
        max_experts: Experts a row uses at most, in place of the rule's.
        routing_threshold: Experts less probable than this are left out, in place of the rule's.
        solver: A name of `solvers.SOLVERS`.

    Raises:
        SamplingError: No routing or solver has this name.
        SettingsError: A number is out of range.
    """
    asked = {"num_steps": num_steps, "guidance_scale": guidance_scale, "solver": solver}
    if solver is not None:
        new_solver(solver)
    known = {name: value for name, value in asked.items() if value is not None}
    settings = SamplingSettings.from_settings({**default.to_settings(), **known})
    rule = _own_routing(settings) if routing is None else routing
    rule = Routing.named(rule) if isinstance(rule, str) else rule
    changed = {"max_experts": max_experts, "threshold": routing_threshold}
    changes = {name: value for name, value in changed.items() if value is not None}
    guidance = Guidance(
        scale=settings.guidance_scale,
        interval=settings.guidance_interval,
        every=settings.guidance_every,
        away_from=settings.guidance_away_from,
    )
    rule = Routing.from_settings({**rule.to_settings(), **changes})
    return Rules(settings.num_steps, settings.solver, settings.time_shift, guidance, rule)


def _own_routing(settings: SamplingSettings) -> Routing:
    rule = Routing.named(settings.routing)
    threshold = rule.threshold if settings.routing_threshold is None else settings.routing_threshold
    more: dict[str, Any] = {
        "sure_above": settings.sure_above,
        "router_every": settings.router_every,
        "temperature": settings.routing_temperature,
        "redecide_below": settings.redecide_below,
    }
    return rule.model_copy(update={"threshold": threshold, **more})
