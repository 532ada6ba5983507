"""From what a survey found and what the organiser wishes to the settings of a run, each with its reason.

Pure: no file of the source is opened here. Only a recipe, if one is named, is read from the package or a file.
"""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import ValidationError

from paris.coordinator.errors import ConfigError
from paris.coordinator.prepare.errors import TooFewRowsError
from paris.coordinator.prepare.rows.licences import UNKNOWN
from paris.coordinator.proposal.bases import forget_text, own_base, recipe_base
from paris.coordinator.proposal.findings import Survey
from paris.coordinator.proposal.picture_choices import choose_filters, choose_side, kept_share
from paris.coordinator.proposal.sizing import MIN_ROWS_PER_EXPERT, experts_for, heldout_for
from paris.coordinator.proposal.training_choices import choose_min_rows, choose_model, choose_training, is_tiny
from paris.coordinator.proposal.undecided import caption_kind, row_licence
from paris.coordinator.proposal.wish_checks import require_name, side_step_px
from paris.coordinator.proposal.wishes import Proposal, Reason, Reasons, Wishes
from paris.coordinator.run.config import RunConfig, complaint
from paris.protocol.limits import MAX_CLUSTERS
from paris.protocol.printable import on_one_line

__all__ = ["Proposal", "Reason", "Wishes", "propose"]

_MIN_TOKENS, _MAX_TOKENS = 8, 32
_PROMPTS, _PROMPT_CHARS = 8, 200
_FEW_ROWS = 100
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
    """The choices of one proposal.

    Args:
        survey: What the source holds.
        wishes: What was asked for.
    """

    def __init__(self, survey: Survey, wishes: Wishes) -> None:
        self._survey, self._wishes = survey, wishes
        self._reasons = Reasons()
        self._captions = caption_kind(survey, wishes)

    def proposal(self) -> Proposal:
        """All settings: source, side and filters first, as they decide how many rows there are for the rest."""
        survey, wishes, reasons = self._survey, self._wishes, self._reasons
        source, licence = self._source()
        recipe = None if wishes.recipe is None else recipe_base(wishes.recipe)
        is_vae = recipe is not None and recipe["codec"]["kind"] == "vae"
        of_recipe = None if recipe is None else recipe["data"].get("image_size")
        side = choose_side(survey.pictures, wishes.size, of_recipe, side_step_px(is_vae=is_vae), reasons)
        filters = choose_filters(survey.pictures, side, reasons)
        rows = self._rows({**({} if recipe is None else recipe["data"]), **filters})
        base = recipe or own_base(tiny=is_tiny(rows, side, wishes))
        experts = self._experts(rows, None if recipe is None else recipe["run"]["num_experts"])
        values = {**base, "text": self._text(base), **choose_model(base, side, wishes)}
        values |= choose_training(base, values, rows, experts, wishes, reasons)
        values["router"]["train_after"] = max(1, experts - 1)
        values["data"] = {**base["data"], **self._data(side, rows // experts), **filters, "source": source}
        values["tasks"] |= choose_min_rows(rows, experts, values["data"]["heldout_rows"], reasons)
        self._name_run(values, licence, experts)
        values["sampling"] = {**base["sampling"], "prompts": self._prompts()}
        if self._captions == "none":
            forget_text(values)
        try:
            return Proposal(RunConfig.model_validate(values), reasons.all())
        except ValidationError as error:
            found = complaint(error.errors()[0])
            raise ConfigError(f"The options contradict each other: {found}.", "Change one of them.") from error

    def _source(self) -> tuple[dict[str, Any], str]:
        """[data.source], and the licence of pictures that state none."""
        survey, wishes, reasons = self._survey, self._wishes, self._reasons
        licence = row_licence(survey, wishes)
        changes: dict[str, Any] = {"class_captions": self._captions == "class", "licence": licence}
        changes |= {"author": wishes.author or "", "attribution": wishes.attribution or ""}
        if licence == UNKNOWN and UNKNOWN in survey.licences:
            without, rows = survey.licences[UNKNOWN], sum(survey.licences.values())
            which = "Nothing states one" if without == rows else f"{without} of {rows} pictures state none"
            warning = f"{which}; publish only what you have the right to publish."
            reasons.add("data.source.licence", licence, warning)
        self._explain_captions()
        source = survey.source.model_copy(update=changes)
        return source.model_dump(mode="json", exclude_none=True), licence

    def _explain_captions(self) -> None:
        """Say which field holds the captions, that classes replace them, and how many pictures have none."""
        survey, captions, reasons = self._survey, self._survey.captions, self._reasons
        if self._captions != "none" and survey.source.caption_column is not None:
            example = f", such as {on_one_line(captions.examples[0])[:40]!r}" if captions.examples else ""
            why = f"{captions.own} of {survey.rows} pictures have a caption{example}; --captions names another field."
            reasons.add("data.source.caption_column", survey.source.caption_column, why)
        if self._captions == "class":
            names = list(captions.class_names)
            have = "picture has" if captions.classes_only == 1 else "pictures have"
            why = f"{captions.classes_only} {have} a class alone; {len(names)} classes: {', '.join(names[:3])} ..."
            reasons.add("data.source.class_captions", "true", why)
        if missing := self._missing_captions():
            why = f"{missing} of {survey.rows} pictures have no caption and are left out; see --captioner, --captions."
            reasons.add("data.captioner", "unset", why)

    def _rows(self, filters: dict[str, Any]) -> int:
        """Pictures that `prepare` can be expected to keep."""
        kind = "none" if self._wishes.captioner is not None else self._captions
        rows = math.floor(self._survey.listed_with(kind) * kept_share(self._survey.pictures, filters))
        return min(rows, self._wishes.max_rows or rows)

    def _experts(self, rows: int, of_recipe: int | None) -> int:
        """K, by rows, at most the recipe's."""
        wished = self._wishes.experts
        experts = wished or min(experts_for(rows), of_recipe or MAX_CLUSTERS)
        least = experts * MIN_ROWS_PER_EXPERT
        if rows < least:
            place = on_one_line(self._survey.place)
            raise TooFewRowsError(
                f"{_counted(experts)} {least} pictures at the least, {rows} of {place} can be used.",
                self._more_pictures(experts, rows),
            )
        each = rows // experts
        why = f"You asked for it; {each} pictures each." if wished else f"{rows} pictures, {each} each."
        if each < _FEW_ROWS:
            why += " An expert needs some hundred: these will learn their pictures by heart."
        self._reasons.add("run.num_experts", experts, why)
        return experts

    def _more_pictures(self, experts: int, rows: int) -> str:
        """What to do about too few pictures."""
        missing = self._missing_captions()
        if missing:
            have = "1 picture has" if missing == 1 else f"{missing} have"
            return f"{have} no caption: give --captioner MODEL, or --captions none to learn no text."
        fits = experts > 1 and rows >= MIN_ROWS_PER_EXPERT
        return f"Give --experts {experts_for(rows)}, or more pictures." if fits else "Add pictures."

    def _missing_captions(self) -> int:
        """Pictures that are left out for want of a caption."""
        if self._captions == "none" or self._wishes.captioner is not None:
            return 0
        captions = self._survey.captions
        return captions.without + (0 if self._captions == "class" else captions.classes_only)

    def _name_run(self, values: dict[str, Any], licence: str, experts: int) -> None:
        """Set [about], [run] and the names of the repos."""
        survey, name = self._survey, self._name()
        stated = [known for known in survey.licences if known != UNKNOWN]
        found = {*stated, *([licence] if UNKNOWN in survey.licences else [])}
        chosen = next(iter(found)) if len(found) == 1 else "other"
        if len(found) > 1:
            self._reasons.add("run.licence", chosen, f"The pictures have several: {', '.join(sorted(found))}.")
        credit = self._wishes.attribution or f"Pictures: {survey.source.name}."
        pictures = min(survey.rows, self._wishes.max_rows or survey.rows)
        values["about"] = {"what": f"own pictures: {survey.source.name}", "pictures": pictures}
        run = {"name": name, "num_experts": experts, "licence": chosen, "attribution": credit}
        values["run"] = {**values["run"], **run}
        values["hub"] = {**values["hub"], "model_repo": f"paris/{name}", "data_repo": f"paris/{name}-data"}

    def _name(self) -> str:
        wished = self._wishes.name
        name = wished or re.sub(r"[^a-z0-9]+", "-", self._survey.source.name.lower().rpartition("/")[2])
        name = name if wished else name.strip("-")[:40].strip("-") or "pictures"
        require_name(name)
        return name

    def _text(self, base: dict[str, Any]) -> dict[str, Any]:
        if self._captions == "none":
            self._reasons.add("text.kind", "none", "You asked for training without captions.")
            return {"kind": "none"}
        text = dict(base["text"])
        if text.get("kind") == "vocabulary" and self._wishes.captioner is None:
            longest = self._survey.captions.words_p95
            text["max_tokens"] = min(_MAX_TOKENS, max(_MIN_TOKENS, longest))
            why = f"95 % of the captions have at most {longest} words."
            self._reasons.add("text.max_tokens", text["max_tokens"], why)
        return text

    def _data(self, side: int, rows_per_expert: int) -> dict[str, Any]:
        wishes, heldout = self._wishes, heldout_for(rows_per_expert)
        data: dict[str, Any] = {"image_size": side, "heldout_rows": heldout}
        why = f"{heldout / rows_per_expert:.0%} of each cluster, to verify the volunteers' work with."
        self._reasons.add("data.heldout_rows", heldout, why)
        if wishes.captioner is not None:
            data["captioner"] = wishes.captioner
        if wishes.max_rows is not None and wishes.max_rows < self._survey.rows:
            data["max_images"] = wishes.max_rows
            self._reasons.add("data.max_images", wishes.max_rows, f"You asked for it; there are {self._survey.rows}.")
        return data

    def _prompts(self) -> list[str]:
        if self._captions == "none":
            return []
        names = list(self._survey.captions.class_names) if self._captions == "class" else []
        return [text[:_PROMPT_CHARS] for text in (names or self._survey.captions.examples)[:_PROMPTS]]


def _counted(experts: int) -> str:
    return "An expert needs" if experts == 1 else f"{experts} experts need"
