"""From what a survey found and what the organiser wishes to the settings of a run, each with its reason.

Pure: no file of the source is opened here. Only a recipe, if one is named, is read from the package or a file.
"""

from __future__ import annotations

import re
from typing import Any

from paris.coordinator.errors import ConfigError
from paris.coordinator.prepare.errors import PrepareConfigError, TooFewRowsError
from paris.coordinator.prepare.rows.licences import UNKNOWN
from paris.coordinator.prepare.sources.settings import FilesSource
from paris.coordinator.proposal.bases import expert_shape, forget_text, own_base, recipe_base
from paris.coordinator.proposal.findings import Survey
from paris.coordinator.proposal.sizing import (
    MIN_ROWS_PER_EXPERT,
    SIDES_PX,
    batch_for,
    deadline_for,
    experts_for,
    heldout_for,
    shape_for,
    side_for,
    steps_for,
)
from paris.coordinator.proposal.undecided import caption_kind, row_licence
from paris.coordinator.proposal.wishes import Proposal, Reason, Wishes
from paris.coordinator.run.config import RunConfig
from paris.experts.models.presets import model_preset

__all__ = ["Proposal", "Reason", "Wishes", "propose"]
_MIN_TOKENS, _MAX_TOKENS = 8, 32
_PROMPTS = 8
_NEAR_BITS = 6
_NEAR_SHARE = 0.01
_LONG_ASPECT = 3.0
_LONG_SHARE = 0.1
_SMALL_SHARE = 0.5


NO_WISHES = Wishes()


def propose(survey: Survey, wishes: Wishes = NO_WISHES) -> Proposal:
    """Choose the settings of a run.

    Args:
        survey: What the source holds.
        wishes: What was asked for.

    Raises:
        UndecidedError: No captions are found and none of the ways out is chosen, or a data set of a Hub has no licence.
        TooFewRowsError: Fewer pictures than 20 an expert.
        PrepareConfigError: The pictures are smaller than the size.
        ConfigError: A wish is invalid.
    """
    return _Choosing(survey, wishes).proposal()


class _Choosing:
    """The choices of one proposal, made one after the other.

    Args:
        survey: What the source holds.
        wishes: What was asked for.
    """

    def __init__(self, survey: Survey, wishes: Wishes) -> None:
        self._survey, self._wishes = survey, wishes
        self._reasons: list[Reason] = []
        self._captions = caption_kind(survey, wishes)
        kind = "none" if wishes.captioner is not None else self._captions
        self._rows = min(survey.rows_with(kind), wishes.max_rows or survey.rows)

    def proposal(self) -> Proposal:
        """All settings."""
        base = own_base() if self._wishes.recipe is None else recipe_base(self._wishes.recipe)
        source, licence = self._source()
        name = self._name()
        experts = self._experts(base)
        values = {**base, "run": {**base["run"], **self._run(name, licence, experts)}}
        values["hub"] = {**base["hub"], "model_repo": f"paris/{name}", "data_repo": f"paris/{name}-data"}
        values["text"] = self._text(base)
        side = self._side(base)
        values |= self._model(base, side)
        values |= self._training(base, values, experts)
        values["data"] = {**base["data"], **self._data(side, experts), "source": source}
        values["sampling"] = {**base["sampling"], "prompts": self._prompts()}
        if self._captions == "none":
            forget_text(values)
        try:
            return Proposal(RunConfig.model_validate(values), tuple(self._reasons))
        except ValueError as error:
            raise ConfigError(f"The wishes contradict each other: {error}.", "Change one of them.") from error

    def _because(self, setting: str, value: object, why: str) -> None:
        self._reasons.append(Reason(setting, str(value), why))

    def _source(self) -> tuple[dict[str, Any], str]:
        survey, wishes = self._survey, self._wishes
        if not isinstance(survey.source, FilesSource):
            raise ConfigError(f"{survey.place} is no source of files.", "Use a recipe for it.")
        licence = row_licence(survey, wishes)
        changes: dict[str, Any] = {"class_captions": self._captions == "class", "licence": licence}
        changes |= {"author": wishes.author or "", "attribution": wishes.attribution or ""}
        if licence == UNKNOWN and UNKNOWN in survey.licences:
            self._because(
                "data.source.licence", licence, "Nothing states one; publish only what you have the right to publish."
            )
        if self._captions == "class":
            self._because("data.source.class_captions", "true", self._class_reason())
        source = survey.source.model_copy(update=changes)
        return source.model_dump(mode="json", exclude_none=True), licence

    def _class_reason(self) -> str:
        names = list(self._survey.captions.class_names)
        shown = ", ".join(names[:3])
        return f"{self._survey.captions.classes_only} pictures have a class alone; {len(names)} classes: {shown} ..."

    def _name(self) -> str:
        wished, source = self._wishes.name, self._survey.source
        name = wished or re.sub(r"[^a-z0-9]+", "-", getattr(source, "name", "").lower().rpartition("/")[2])
        name = name if wished else name.strip("-")[:40].strip("-") or "pictures"
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name):
            raise ConfigError(
                f"Invalid run name {name!r}.", "Use up to 40 lower-case letters, digits and inner hyphens."
            )
        return name

    def _experts(self, base: dict[str, Any]) -> int:
        """K, by rows, at most the recipe's."""
        rows, wished = self._rows, self._wishes.experts
        experts = wished or experts_for(rows)
        if wished is None and self._wishes.recipe is not None:
            experts = min(experts, base["run"]["num_experts"])
        least = experts * MIN_ROWS_PER_EXPERT
        if rows < least:
            raise TooFewRowsError(
                f"{experts} experts need {least} pictures at the least, {rows} of {self._survey.place} can be used.",
                "Give fewer --experts, or more pictures." if experts > 1 else "Add pictures.",
            )
        each = rows // experts
        why = f"You asked for it; {each} pictures each." if wished else f"{rows} pictures, {each} each."
        if each < 100:
            why += " An expert needs some hundred: these will learn their pictures by heart."
        self._because("run.num_experts", experts, why)
        return experts

    def _run(self, name: str, licence: str, experts: int) -> dict[str, Any]:
        stated = [known for known in self._survey.licences if known != UNKNOWN]
        found = {*stated, *([licence] if UNKNOWN in self._survey.licences else [])}
        chosen = next(iter(found)) if len(found) == 1 else "other"
        if len(found) > 1:
            self._because("run.licence", chosen, f"The pictures have several: {', '.join(sorted(found))}.")
        credit = self._wishes.attribution or f"Pictures: {getattr(self._survey.source, 'name', name)}."
        return {"name": name, "num_experts": experts, "licence": chosen, "attribution": credit}

    def _text(self, base: dict[str, Any]) -> dict[str, Any]:
        if self._captions == "none":
            self._because("text.kind", "none", "You asked for training without captions.")
            return {"kind": "none"}
        text = dict(base["text"])
        if text["kind"] == "vocabulary":
            longest = self._survey.captions.words_p95
            text["max_tokens"] = min(_MAX_TOKENS, max(_MIN_TOKENS, longest))
            self._because("text.max_tokens", text["max_tokens"], f"95 % of the captions have at most {longest} words.")
        return text

    def _side(self, base: dict[str, Any]) -> int:
        """Side of the pictures, px."""
        pictures, wished = self._survey.pictures, self._wishes.size
        recipe_side = base["data"].get("image_size") if self._wishes.recipe is not None else None
        side = wished or recipe_side or side_for(pictures)
        if not side:
            raise PrepareConfigError(
                f"The pictures are too small: nine in ten should reach {SIDES_PX[-1]} px, the median is "
                f"{pictures.side_at(0.5)} px.",
                "Give --size 8 to use them as they are.",
            )
        below = pictures.share_below(side)
        if below > _SMALL_SHARE:
            raise PrepareConfigError(
                f"{below:.0%} of the sampled pictures have a side below {side} px; the median is "
                f"{pictures.side_at(0.5)} px.",
                f"Give --size {side_for(pictures) or 8}.",
            )
        why = "You asked for it" if wished else "The recipe's" if recipe_side else "The largest that nine in ten reach"
        self._because("data.image_size", side, f"{why}; the median shorter side is {pictures.side_at(0.5)} px.")
        return int(side)

    def _model(self, base: dict[str, Any], side: int) -> dict[str, Any]:
        """[model] and [router] for a side."""
        model, router = dict(base["model"]), dict(base["router"])
        is_own = self._wishes.recipe is None
        if self._wishes.preset is not None:
            model = {"preset": self._wishes.preset, "overrides": {}}
        scale = 8 if base["codec"]["kind"] == "vae" else 1
        if side % (scale * 4):
            raise PrepareConfigError(f"The size {side} is no multiple of {scale * 4}.", "Give a --size that is.")
        shape = shape_for(self._rows, side) if is_own and self._wishes.preset is None else {"image_size": side // scale}
        if scale == 1 or self._wishes.size is not None:
            pixels = {"in_channels": 3, "patch_size": 4} if scale == 1 else {}
            preset = model_preset(model["preset"]).to_settings()
            wanted = {**model.get("overrides", {}), **pixels, **shape}
            model["overrides"] = {name: value for name, value in wanted.items() if preset[name] != value}
            router["overrides"] = {**router.get("overrides", {}), **pixels, "image_size": side // scale}
        return {"model": model, "router": router}

    def _training(self, base: dict[str, Any], values: dict[str, Any], experts: int) -> dict[str, Any]:
        """[training], [tasks] and what of [router] depends on K."""
        each = batch_for(self._rows // experts)
        training = dict(base["training"])
        if self._wishes.recipe is None:
            training["total_batch_size"] = experts * each
            wide = values["model"]["overrides"].get("hidden_size", 0) > 96
            training["learning_rate"] = 2e-3 if wide else 6e-3
            steps = self._wishes.steps or steps_for(self._rows)
        else:
            if "total_batch_size" in training:
                each = max(1, int(training["total_batch_size"]) // base["run"]["num_experts"])
                training["total_batch_size"] = experts * each
            each = int(training.get("batch_size", each))
            steps = self._wishes.steps or base["tasks"]["steps"]
        passes = steps * each * experts / self._rows
        self._because("tasks.steps", steps, f"{passes:.0f} passes over the pictures at {each * experts} rows a step.")
        deadline_s = deadline_for(expert_shape(values["model"], values["text"]), each, steps)
        why = "Four times the work of two slow cores"
        tasks = {**base["tasks"], "steps": steps, "deadline_s": deadline_s, "grace_s": max(120.0, deadline_s / 20)}
        self._because("tasks.deadline_s", f"{deadline_s:.0f}", f"{why}, {deadline_s / 4 / 3600:.1f} hours.")
        if self._captions == "none":
            training.pop("caption_dropout", None)
        training["warmup_steps"] = min(int(training.get("warmup_steps", 0)), steps // 10)
        training["snapshot_every"] = max(1, min(int(training.get("snapshot_every", 1000)), steps // 10))
        return {
            "training": training,
            "tasks": tasks,
            "router": {**values["router"], "train_after": max(1, experts - 1)},
        }

    def _data(self, side: int, experts: int) -> dict[str, Any]:
        pictures, wishes = self._survey.pictures, self._wishes
        heldout = heldout_for(self._rows // experts)
        data: dict[str, Any] = {"image_size": side, "heldout_rows": heldout}
        self._because("data.heldout_rows", heldout, "A twentieth of each cluster, to verify the volunteers' work with.")
        if pictures.share_below(side):
            data["min_side_px"] = side
            share = f"{pictures.share_below(side):.0%}"
            self._because("data.min_side_px", side, f"{share} of the sampled pictures are smaller, and are left out.")
        else:
            data["min_side_px"] = min(16, side)
        if pictures.near_duplicates > _NEAR_SHARE * pictures.sampled:
            data["near_duplicate_bits"] = _NEAR_BITS
            found = f"{pictures.near_duplicates} of {pictures.sampled} sampled pictures are nearly another one."
            self._because("data.near_duplicate_bits", _NEAR_BITS, found)
        long = pictures.share_longer(_LONG_ASPECT)
        if 0 < long <= _LONG_SHARE:
            data["max_aspect"] = _LONG_ASPECT
            self._because("data.max_aspect", _LONG_ASPECT, f"{long:.1%} are longer; the square shows little of them.")
        if wishes.captioner is not None:
            data["captioner"] = wishes.captioner
        if wishes.max_rows is not None and wishes.max_rows < self._survey.rows:
            data["max_images"] = wishes.max_rows
            self._because("data.max_images", wishes.max_rows, f"You asked for it; there are {self._survey.rows}.")
        return data

    def _prompts(self) -> list[str]:
        if self._captions == "none":
            return []
        names = list(self._survey.captions.class_names) if self._captions == "class" else []
        return [text[:200] for text in (names or self._survey.captions.examples)[:_PROMPTS]]
