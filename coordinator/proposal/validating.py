"""All invalid fields of a run.toml, not the first alone: unknown names with the nearest known one, values with their
bounds.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.sources.settings import FilesSource, TwemojiSource
from paris.coordinator.proposal.remarks import Remark
from paris.coordinator.run.config import RunConfig, complaint, leading_setting
from paris.coordinator.run.shapes import expert_fields, expert_shape, smaller_shapes
from paris.coordinator.verify.bounds import VerificationBounds
from paris.experts.errors import ExpertError, SettingsError
from paris.experts.models.presets import ModelConfig, RouterConfig, router_preset


def invalid_fields(text: str) -> list[Remark]:
    """The fields that cannot be read.

    Args:
        text: A run.toml.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return [Remark("run.toml", "", f"it is not TOML: {error}", "Correct that line.")]
    remarks = list(_parsed(lambda: RunConfig.model_validate(values), "", RunConfig))
    return remarks or [*_tables(RunConfig.model_validate(values))]


def _tables(config: RunConfig) -> Iterator[Remark]:
    """The tables whose classes are elsewhere."""
    yield from _parsed(lambda: PrepareConfig.model_validate(config.data), "data", PrepareConfig)
    yield from _parsed(lambda: VerificationBounds.model_validate(config.verify), "verify", VerificationBounds)
    yield from _training(config)
    yield from _shapes(config)
    yield from _smaller(config)


def _training(config: RunConfig) -> Iterator[Remark]:
    from paris.experts.frozen.codec import CodecConfig
    from paris.experts.training.config import TrainingConfig

    given = {"steps": config.tasks.steps, **config.expert_training}
    yield from _parsed(lambda: TrainingConfig.model_validate(given), "training", TrainingConfig)
    yield from _parsed(lambda: CodecConfig.model_validate(config.codec), "codec", CodecConfig)


def _shapes(config: RunConfig) -> Iterator[Remark]:
    """[model] and [router]: presets and overrides."""
    expert: dict[str, Any] = {}
    try:
        expert |= expert_fields(config.model.preset, config.model.overrides, config.text)
    except SettingsError as error:
        yield Remark("model.preset", config.model.preset, error.what.rstrip("."), error.next_step)
    else:
        yield from _parsed(lambda: ModelConfig.model_validate(expert), "model.overrides", ModelConfig)
    try:
        base = router_preset(config.router.preset, config.run.num_experts).to_settings()
    except ExpertError as error:
        yield Remark("router.preset", config.router.preset, error.what.rstrip("."), error.next_step)
    else:
        seen: dict[str, Any] = {name: expert[name] for name in ("image_size", "in_channels") if name in expert}
        router: dict[str, Any] = {**base, **seen, **config.router.overrides}
        yield from _parsed(lambda: RouterConfig.model_validate(router), "router.overrides", RouterConfig)


def _smaller(config: RunConfig) -> Iterator[Remark]:
    """[[model.smaller]], where [model] itself is valid."""
    try:
        expert_shape(config)
    except ExpertError:
        return
    try:
        smaller_shapes(config)
    except SettingsError as error:
        value = f"{len(config.model.smaller)} sizes"
        yield Remark("model.smaller", value, error.what.rstrip("."), error.next_step)


def _parsed(parse: Callable[[], object], table: str, model: type[BaseModel]) -> Iterator[Remark]:
    try:
        parse()
    except ValidationError as error:
        for found in error.errors():
            yield _remark(found, table, model)


def _remark(error: Mapping[str, Any], table: str, model: type[BaseModel]) -> Remark:
    place = [str(part) for part in error["loc"]]
    setting = ".".join([*([table] if table else []), *place])
    value = "" if isinstance(error.get("input"), Mapping) else repr(error.get("input"))[:80]
    what = complaint(error)
    if not setting:  # a check of several settings: its message starts with one of them
        setting = leading_setting(what) or "run.toml"
        what = f"it{what[len(setting) :]}" if what.startswith(setting) else what
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place[-1], _names(model, place[:-1]), n=1)
        step = f"Did you mean {near[0]}?" if near else "Remove it."
        return Remark(setting, value, "there is no such setting", step)
    if error["type"] == "missing":
        return Remark(setting, value, "it is missing", "Add it.")
    return Remark(setting, value, what[:1].lower() + what[1:], "Correct or remove it.")


def _names(model: type[BaseModel], place: Iterable[str]) -> list[str]:
    """Names of the fields at a place."""
    kinds: list[type[BaseModel]] = [model]
    for part in place:
        if part == "source":
            kinds = [TwemojiSource, *FilesSource.__subclasses__()]
            continue
        field = kinds[0].model_fields.get(part)
        if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            kinds = [field.annotation]
    return sorted({name for kind in kinds for name in kind.model_fields})
