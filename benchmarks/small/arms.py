"""What is compared: arms, each one model out of trained parts, all but monolith-4 of the same training compute.

"monolith"          one model, the whole batch, and a few steps more: as many as the experts' router cost
"monolith-4"        one model on a quarter of the batch: what the student of "distilled-4" may see too
"semantic-4"        four experts, a quarter of the batch each, as many steps
"random-4"          the same over random clusters
"semantic-8"        ... any clustering of `clusters.py`
"warm-4"            a fifth of the compute together as one model, then apart
"brief-4"           a twentieth of it together
"epsilon-4"         the smallest cluster's expert learns the noise (DDPM), the others the velocity
"narrow-4"          the smallest cluster's expert is half as wide: a volunteer with less memory
"mixed-4"           every second cluster's expert is half as wide: half of the volunteers have less memory
"shallow-4"         every second cluster's expert has half of the layers
"longer-4"          as mixed-4; the smaller experts train until they have cost what the others cost
"small-4"           all experts are half as wide: one size that every volunteer can hold
"halved-4"          all do half of the steps: what half of the machines can do without the others
"slow-4"            the smallest cluster's expert does a quarter of the steps: a volunteer with less time
"steps-4"           the steps are split instead of the batch: what not to do
"uniform-4"         flow times drawn evenly, not dwelling on the middle: another weight of the noise levels
"bad-4"             the smallest cluster's expert is another one that learned the largest cluster
"replaced-4"        the smallest cluster's expert was trained again by another volunteer; the routers are as they were
"sampled-4"         the experts of semantic-4, with routers that were trained on what the experts draw
"seeing-4"          the experts of semantic-4, with a router that sees the prompt too, instead of Bayes' rule
"distilled-4"       the experts of semantic-4 as one model: a quarter of the batch, each row taught by its expert
"NAME@0.5"          any of them at half the learning rate (or another multiple): is what is compared well tuned?
                    The teachers of a student stay as they are
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.small.clusters import KINDS, num_clusters
from benchmarks.small.parts import Part
from benchmarks.small.pictures import SmallDataError
from benchmarks.small.routers import SAMPLED, SEEING, router_training_flops
from benchmarks.small.settings import SmallSettings
from paris.experts.models.flops import step_flops

MONOLITH = "monolith"
_TOGETHER = {"warm": 0.2, "brief": 0.05}
"""Shares of the steps that are done as one model."""
_SMALLER = ("mixed", "shallow", "longer", "small")
"""Kinds with more than one smaller expert."""
_TRAINED = (*_TOGETHER, *_SMALLER, "epsilon", "narrow", "slow", "halved", "steps", "uniform", "bad", "replaced")
_CHANGED = (*_TRAINED, "sampled", "seeing", "distilled")
"""Kinds of arms over the clusters of "semantic"."""


class Arm(NamedTuple):
    """One way of spending the training compute."""

    name: str
    clustering: str
    parts: tuple[Part, ...]
    """Experts, by number."""
    starts: tuple[Part, ...] = ()
    """Parts that others start from: trained first, thrown away after."""
    teachers: tuple[Part, ...] = ()
    """Experts that the one part is taught by: trained first."""
    routers: str = ""
    """Name of the routers; empty: the clustering's."""

    @property
    def is_monolith(self) -> bool:
        """Whether there is nothing to route."""
        return len(self.parts) == 1

    def flops(self, settings: SmallSettings) -> dict[str, int]:
        """Training: of the experts with what they start from, and of the router."""
        experts = sum(part.flops(settings) for part in (*self.parts, *self.starts, *self.teachers))
        return {
            "experts": experts,
            "router": 0 if self.is_monolith else router_training_flops(settings, len(self.parts)),
        }


def arm(name: str, settings: SmallSettings) -> Arm:
    """The arm of a name.

    Args:
        name: "monolith", or KIND-K.
        settings: The folder's.

    Raises:
        SmallDataError: No arm has this name, or the batch cannot be split over so many.
    """
    plain, _, multiple = name.partition("@")
    if multiple:
        return _at_rate(name, arm(plain, settings), multiple)
    if name == MONOLITH:
        return Arm(
            name, "all-1", (Part(clustering="all-1", batch_size=settings.batch_size, steps=_monolith_steps(settings)),)
        )
    kind, _, count = name.partition("-")
    if kind == MONOLITH and count.isdecimal() and int(count) and settings.batch_size % int(count) == 0:
        part = Part(clustering="all-1", batch_size=settings.batch_size // int(count), steps=settings.steps)
        return Arm(name, "all-1", (part,))
    clustering = f"semantic-{count}" if kind in _CHANGED else name
    if kind not in {*KINDS, *_CHANGED} - {"all"} or settings.batch_size % (experts := num_clusters(clustering)):
        raise SmallDataError(f"There is no arm {name!r} for a batch of {settings.batch_size}.", f"Known: {__doc__}")
    parts = [
        Part(clustering=clustering, cluster=k, batch_size=settings.batch_size // experts, steps=settings.steps)
        for k in range(experts)
    ]
    if kind in _TOGETHER:
        return _warm(name, clustering, parts, settings, _TOGETHER[kind])
    if kind in _SMALLER:
        return Arm(name, clustering, tuple(_smaller(kind, part, settings) for part in parts))
    if kind == "sampled":
        return Arm(name, clustering, tuple(parts), routers=clustering + SAMPLED)
    if kind == "seeing":
        return Arm(name, clustering, tuple(parts), routers=clustering + SEEING)
    if kind == "distilled":
        student = parts[0].model_copy(update={"batch_size": max(1, settings.batch_size // 4), "is_student": True})
        return Arm(name, clustering, (student,), teachers=tuple(parts))
    if kind == "steps":
        fewer = {"batch_size": settings.batch_size, "steps": settings.steps // experts}
        parts = [part.model_copy(update=fewer) for part in parts]
    if kind == "halved":
        parts = [part.model_copy(update={"steps": settings.steps // 2}) for part in parts]
    if kind == "uniform":
        parts = [part.model_copy(update={"times": "uniform"}) for part in parts]
    change = {
        "epsilon": {"objective": "epsilon"},
        "narrow": {"hidden_size": settings.hidden_size // 2},
        "slow": {"steps": settings.steps // 4},
        "bad": {"cluster": 0},
        "replaced": {"is_again": True},
    }.get(kind, {})
    # Clusters are numbered by falling size.
    parts[-1] = parts[-1].model_copy(update=change)
    return Arm(name, clustering, tuple(parts))


def _smaller(kind: str, part: Part, settings: SmallSettings) -> Part:
    """The part in a kind of `_SMALLER`. Clusters are numbered by falling size, so every second is a fair half."""
    if kind != "small" and part.cluster % 2 == 0:
        return part
    if kind == "shallow":
        return part.model_copy(update={"num_layers": max(1, settings.num_layers // 2)})
    smaller = part.model_copy(update={"hidden_size": settings.hidden_size // 2})
    if kind != "longer":
        return smaller
    steps = round(part.steps * part.flops(settings) / smaller.flops(settings))
    return smaller.model_copy(update={"steps": steps})


def _at_rate(name: str, plain: Arm, multiple: str) -> Arm:
    try:
        change = {"rate": float(multiple)}
    except ValueError as error:
        raise SmallDataError(f"{name!r}: {multiple!r} is no multiple of a learning rate.") from error
    renamed = {part.name: part.model_copy(update=change).name for part in plain.starts}

    def faster(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(part.model_copy(update={**change, "start": renamed.get(part.start or "")}) for part in parts)

    return plain._replace(name=name, parts=faster(plain.parts), starts=faster(plain.starts))


def _warm(name: str, clustering: str, parts: list[Part], settings: SmallSettings, share: float) -> Arm:
    start = Part(clustering="all-1", batch_size=settings.batch_size, steps=max(1, round(share * settings.steps)))
    changed = {"steps": settings.steps - start.steps, "start": start.name}
    return Arm(name, clustering, tuple(part.model_copy(update=changed) for part in parts), (start,))


def _monolith_steps(settings: SmallSettings) -> int:
    """The experts' steps, and what their router cost."""
    step = step_flops(settings.model, settings.model.max_text_tokens, settings.batch_size)
    return settings.steps + round(router_training_flops(settings, settings.experts) / step)
