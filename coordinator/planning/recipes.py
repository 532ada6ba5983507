"""The packaged recipes as a table, each with what it costs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from paris.coordinator.planning.build import assumed_cpu, make_plan
from paris.coordinator.planning.by_card import on_card
from paris.coordinator.planning.facts import facts_before
from paris.coordinator.planning.words import duration, gpu_time
from paris.coordinator.planning.work import work_of
from paris.coordinator.run.config import load_recipe
from paris.coordinator.run.extending import recipe_names

_ENDLESS_S = 7 * 86400.0


class RecipeRow(BaseModel):
    """One recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    what: str
    hardware: str
    pictures: int
    image_size: int
    """Side of a picture, px."""
    num_experts: int
    expert_parameters: int
    card: str
    """The commonest card that holds an expert."""
    card_s: float
    """Training of all experts on it."""
    cpu_s: float
    """The same on a CPU of assumed speed."""

    @property
    def cost(self) -> str:
        """For people; without the time on a CPU where that is more than a week."""
        words = f"{gpu_time(self.card_s)} of an {self.card}"
        return words if self.cpu_s > _ENDLESS_S else f"{words}; or {duration(self.cpu_s)} of a CPU"


def recipe_rows() -> list[RecipeRow]:
    """All packaged recipes, the cheapest first.

    Raises:
        ConfigError: A recipe is invalid.
    """
    return sorted(map(_row, recipe_names()), key=lambda row: row.card_s)


def _row(name: str) -> RecipeRow:
    config = load_recipe(name)
    about = config.about
    facts = facts_before(config, None if about is None else about.pictures)
    plan = make_plan(facts)
    card = next(card for card in plan.cards if card.experts_s is not None)
    here = on_card(assumed_cpu(), facts, work_of(facts), volunteers=1)
    return RecipeRow(
        name=name,
        what="" if about is None else about.what,
        hardware="" if about is None else about.hardware,
        pictures=facts.data.num_pictures,
        image_size=facts.data_settings.image_size,
        num_experts=plan.num_experts,
        expert_parameters=plan.expert_parameters,
        card=card.name,
        card_s=card.experts_s or 0.0,
        cpu_s=here.experts_s or 0.0,
    )
