"""What a model is sampled with, and how a release's config.json and a run.toml's [sampling] write that down.

On disk the settings are flat; absent fields are those of the published model:

"sampling": {"num_steps": 50, "guidance_scale": 7.5, "routing": "top2", "solver": "euler", "time_shift": 1.0,
             "guidance_interval": [0.0, 1.0], "guidance_every": 1, "guidance_away_from": "expert",
             "routing_threshold": null, "sure_above": 1.0, "router_every": 1, "routing_temperature": 1.0,
             "redecide_below": 0.0}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.solvers import new_solver
from paris.experts.settings import Settings

_PUBLISHED_SCALE = 7.5
_ENSEMBLE_SCALE = 1.25
_GUIDANCE = {
    "guidance_scale": "scale",
    "guidance_interval": "interval",
    "guidance_every": "every",
    "guidance_away_from": "away_from",
}
"""Fields on disk, and what `Guidance` calls them."""
_ROUTING = {
    "routing_threshold": "threshold",
    "sure_above": "sure_above",
    "router_every": "router_every",
    "routing_temperature": "temperature",
    "redecide_below": "redecide_below",
}
"""Fields on disk beside the routing's name, and what `Routing` calls them."""


class SamplingSettings(Settings):
    """What a model is sampled with. The fields on disk are taken too."""

    num_steps: Annotated[int, Field(ge=1, le=10_000)] = 50
    solver: Literal["euler", "heun", "ab2", "ab3", "dpmpp-2m"] = "euler"
    time_shift: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Above 1: shorter steps near noise, see `solvers.flow_times`."""
    guidance: Guidance = Guidance(scale=_PUBLISHED_SCALE)
    routing: Routing = Routing()
    """A rule, or the name of one."""

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, values: Any) -> Any:
        """Guidance and routing out of the fields on disk."""
        if not isinstance(values, dict):
            return values
        guidance = {field: values[name] for name, field in _GUIDANCE.items() if name in values}
        routing = {field: values[name] for name, field in _ROUTING.items() if name in values}
        nested = {name: value for name, value in values.items() if name not in _GUIDANCE and name not in _ROUTING}
        if guidance:
            if "guidance" in values:
                raise ValueError(f"guidance is given twice: as such, and as {', '.join(_GUIDANCE)}")
            nested["guidance"] = {"scale": _usual_scale(guidance.get("away_from")), **guidance}
        rule = values.get("routing", "top2")
        if isinstance(rule, str):
            if routing.get("threshold", 0) is None:
                del routing["threshold"]
            nested["routing"] = {**Routing.named(rule).to_settings(), **routing}
        elif routing:
            raise ValueError(f"routing is given twice: as a rule, and as {', '.join(_ROUTING)}")
        return nested

    def to_settings(self) -> dict[str, Any]:
        """The fields on disk; SettingsError if the routing has no name."""
        guidance, routing = self.guidance.to_settings(), self.routing.to_settings()
        usual = Routing.named(self.routing.name)
        threshold = None if self.routing.threshold == usual.threshold else self.routing.threshold
        return {
            "num_steps": self.num_steps,
            "guidance_scale": guidance.pop("scale"),
            "routing": self.routing.name,
            "solver": self.solver,
            "time_shift": self.time_shift,
            **{name: guidance[field] for name, field in _GUIDANCE.items() if field in guidance},
            **{name: routing[field] for name, field in _ROUTING.items()},
            "routing_threshold": threshold,
        }

    @property
    def needs_uniforms(self) -> bool:
        """Whether a run draws experts, and so needs a number a row to draw with."""
        return self.routing.ancestral or self.guidance.is_away_from_ensemble

    def with_overrides(
        self,
        *,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        routing: str | Routing | None = None,
        max_experts: int | None = None,
        routing_threshold: float | None = None,
        solver: str | None = None,
    ) -> Self:
        """These settings, with the arguments that are not None in place of their own.

        Args:
            num_steps: Steps, from 1.
            guidance_scale: 1 is no guidance. Its interval and the rest stay.
            routing: A rule, or the name of one. A name brings a rule of its own: nothing of these settings' remains.
            max_experts: In place of the rule's.
            routing_threshold: In place of the rule's.
            solver: A name of `solvers.SOLVERS`.

        Raises:
            SamplingError: No routing or solver has this name.
            SettingsError: A number is out of range.
        """
        if solver is not None:
            new_solver(solver)
        rule = Routing.named(routing) if isinstance(routing, str) else routing or self.routing
        changes = {
            "num_steps": num_steps,
            "solver": solver,
            "guidance": {**dict(self.guidance), **_given(scale=guidance_scale)},
            "routing": {**dict(rule), **_given(max_experts=max_experts, threshold=routing_threshold)},
        }
        return self.from_settings({**dict(self), **_given(**changes)})


def default_sampling(*, has_prompt_router: bool, reads_text: bool = True) -> SamplingSettings:
    """The settings of a model whose config.json has none.

    Without text, a picture's expert is drawn from the clusters' proportions, and nothing guides it.

    With a prompt router, p(k | prompt) is known before there is a picture. Routing is then ancestral, and guidance
    leads away from the ensemble at every second step: of what costs no more than a single model, nearest to the data
    on two of three data sets; the best scales are 1 to 1.25 (docs/quality.md). Else top-2 and 7.5, as in the paper.
    """
    if not reads_text:
        return SamplingSettings(routing=Routing.named("ancestral"), guidance=Guidance())
    if not has_prompt_router:
        return SamplingSettings()
    guidance = Guidance(scale=_usual_scale("ensemble"), every=2, away_from="ensemble")
    return SamplingSettings(routing=Routing.named("ancestral"), guidance=guidance)


def _usual_scale(away_from: str | None) -> float:
    """The guidance scale where none is written down."""
    return _ENSEMBLE_SCALE if away_from == "ensemble" else _PUBLISHED_SCALE


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
