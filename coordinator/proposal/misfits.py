"""Settings that do not fit the pictures. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from paris.coordinator.prepare.config import PrepareConfig, prepare_config
from paris.coordinator.prepare.rows.licences import is_allowed
from paris.coordinator.prepare.sources.settings import FilesSource
from paris.coordinator.proposal.findings import Survey
from paris.coordinator.proposal.picture_choices import kept_share
from paris.coordinator.proposal.remarks import Remark
from paris.coordinator.proposal.sizing import MIN_ROWS_PER_EXPERT, experts_for
from paris.coordinator.proposal.texts import UNSPACED
from paris.coordinator.run.config import RunConfig
from paris.protocol.counted import counted

_MANY_LEFT_OUT = 0.3
_SMALL = 0.1
_FEW_PASSES, _MANY_PASSES = 3, 3000


def misfits(config: RunConfig, data: PrepareConfig, survey: Survey) -> list[Remark]:
    """What does not fit the data.

    Args:
        config: Valid settings.
        data: [data] of them.
        survey: What the source holds.
    """
    rows = kept_rows(config, survey)
    return [
        *_captions(config, data, survey),
        *_licences(data, survey),
        *_sizes(data, survey),
        *_experts(config, data, rows),
        *_steps(config, rows),
    ]


def kept_rows(config: RunConfig, survey: Survey) -> int:
    """Rows that `prepare` can be expected to keep.

    Args:
        config: Valid settings.
        survey: What the source holds.
    """
    data = prepare_config(config.data)
    source = data.source
    needs_none = data.captioner is not None or config.text["kind"] == "none"
    has_classes = isinstance(source, FilesSource) and source.class_captions
    listed = survey.listed_with("none" if needs_none else "class" if has_classes else "own")
    filters = data.model_dump(include={"min_side_px", "max_aspect", "near_duplicate_bits"})
    rows = math.floor(listed * kept_share(survey.pictures, filters))
    return min(rows, data.max_images or rows)


def _captions(config: RunConfig, data: PrepareConfig, survey: Survey) -> Iterator[Remark]:
    captions, source = survey.captions, data.source
    if not isinstance(source, FilesSource) or config.text["kind"] == "none" or data.captioner is not None:
        return
    if source.class_captions and not captions.classes_only:
        yield Remark("data.source.class_captions", "true", "no picture has a class alone", "Remove it.", is_error=False)
    missing = captions.without + (0 if source.class_captions else captions.classes_only)
    if missing > _MANY_LEFT_OUT * survey.rows:
        classes = "class_captions = true takes their classes; " if captions.classes_only else ""
        yield Remark(
            "data.source.caption_column",
            source.caption_column or "unset",
            f"{missing} of {survey.rows} pictures have no caption, and are left out",
            f'{classes}captioner writes captions; [text] kind = "none" needs none.',
            is_error=missing == survey.rows,
        )
    longest, most = captions.words_p95, int(config.text.get("max_tokens", captions.words_p95))
    if config.text["kind"] == "vocabulary" and longest > most:
        yield Remark(
            "text.max_tokens",
            str(most),
            f"one caption in twenty has {longest} words or more, and is cut",
            f"Set it to {longest}.",
            is_error=False,
        )
    if config.text["kind"] == "vocabulary" and captions.language in UNSPACED:
        yield Remark(
            "text.kind",
            "vocabulary",
            f"the captions are {captions.language}, in which a whole caption is one word",
            "Use a transformer text encoder of that language.",
            is_error=False,
        )
    if config.text["kind"] == "transformers" and captions.language not in ("", "English", "Latin script"):
        yield Remark(
            "text.path",
            str(config.text.get("path", "")),
            f"the captions are {captions.language}, which encoders trained on English do not know",
            "Use an encoder of that language.",
            is_error=False,
        )


def _licences(data: PrepareConfig, survey: Survey) -> Iterator[Remark]:
    if not data.licences:
        return
    total = sum(survey.licences.values())
    allowed = sum(count for name, count in survey.licences.items() if is_allowed(name, data.licences))
    if allowed < total:
        others = ", ".join(name for name in survey.licences if not is_allowed(name, data.licences))
        yield Remark(
            "data.licences",
            ",".join(data.licences),
            f"{total - allowed} of {total} pictures have another licence ({others[:120]}), and are left out",
            "Add it, if you may publish them; licence in [data.source] is for pictures that state none.",
            is_error=not allowed,
        )


def _sizes(data: PrepareConfig, survey: Survey) -> Iterator[Remark]:
    pictures = survey.pictures
    below = pictures.share_below(data.image_size)
    dropped = pictures.share_below(data.min_side_px)
    if below > _SMALL and dropped < below:
        yield Remark(
            "data.image_size",
            str(data.image_size),
            f"{below:.0%} of the sampled pictures are smaller and blown up; the median is {pictures.side_at(0.5)} px",
            "Lower it, or leave them out with min_side_px.",
            is_error=False,
        )
    if dropped > _MANY_LEFT_OUT:
        yield Remark(
            "data.min_side_px",
            str(data.min_side_px),
            f"{dropped:.0%} of the sampled pictures are smaller, and are left out",
            "Lower it, with image_size.",
            is_error=dropped == 1,
        )
    if data.max_aspect is not None and pictures.share_longer(data.max_aspect) > _MANY_LEFT_OUT:
        yield Remark(
            "data.max_aspect",
            f"{data.max_aspect:g}",
            f"{pictures.share_longer(data.max_aspect):.0%} of the sampled pictures are longer, and are left out",
            "Raise or remove it.",
            is_error=False,
        )
    if data.near_duplicate_bits is None and pictures.near_duplicates > _SMALL * max(1, pictures.sampled):
        yield Remark(
            "data.near_duplicate_bits",
            "unset",
            f"{pictures.near_duplicates} of {pictures.sampled} sampled pictures are nearly another one",
            "Set it to 6.",
            is_error=False,
        )


def _experts(config: RunConfig, data: PrepareConfig, rows: int) -> Iterator[Remark]:
    experts = config.run.num_experts
    each = rows // experts
    if rows < experts * MIN_ROWS_PER_EXPERT:
        yield Remark(
            "run.num_experts",
            str(experts),
            f"{counted(rows, 'picture')} can be used, {each} an expert; {MIN_ROWS_PER_EXPERT} are the least",
            f"Set it to {experts_for(rows)}." if rows >= MIN_ROWS_PER_EXPERT else "Add pictures: no K fits so few.",
        )
        return
    heldout = data.heldout_per_cluster(each)
    if heldout > each // 2:
        yield Remark(
            "data.heldout_rows",
            str(heldout),
            f"more than half of the {each} pictures of an expert are held out",
            f"Set it to {max(1, each // 4)}.",
            is_error=heldout >= each,
        )


def _steps(config: RunConfig, rows: int) -> Iterator[Remark]:
    seen = config.tasks.steps * int(config.expert_training["batch_size"]) * config.run.num_experts
    passes = seen / max(1, rows)
    if passes < _FEW_PASSES or passes > _MANY_PASSES:
        few = passes < _FEW_PASSES
        yield Remark(
            "tasks.steps",
            str(config.tasks.steps),
            f"each picture is seen {passes:.2g} times" if few else f"each picture is seen {passes:.0f} times",
            "Raise it, or the batch." if few else "Lower it: the experts know their pictures by heart long before.",
            is_error=False,
        )
