"""The organiser's settings of a run: `run.toml` in the run directory.

run.toml         the settings
keys/            run.key signs records (run.pub where it is elsewhere); peer.key is the identity of the DHT peer;
                 notify.secret signs notices
data/            output of `prepare`
state.sqlite     the coordinator's state, unless [state] sets a database
health.json      figures of the running service, for the page and /metrics
notices.json     how far each webhook of [notify] is
run.json         the signed RunSpec with the present peers, which volunteers join
hub/             repos of the embedded Hub
router/ release/ output of `train-router` and `release`
samples/         samples of the experts, for `train-router --from-samples`
distilled/       output of `distill`
warm-start/      snapshots of an unfinished `warm-start`
reference/       snapshots of an unfinished `reference`
logs/ verify/    log files and work folders of child processes
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from paris.coordinator.errors import ConfigError, RunDirError
from paris.coordinator.run.config_tables import (
    AboutTable,
    ComputeTable,
    DhtTable,
    HubTable,
    ModelTable,
    NotifyTable,
    ObjectivesTable,
    PageTable,
    PretrainedTable,
    RouterTable,
    RunTable,
    SamplingTable,
    Settings,
    StateTable,
    Table,
    TaskTable,
)
from paris.coordinator.run.config_text import check_text, with_text_defaults
from paris.coordinator.run.extending import composed, find_recipe, read_toml
from paris.coordinator.run.stretches import FEWEST_STRETCHES
from paris.protocol.chain import MAX_LINKS
from paris.protocol.errors import NewerFileError
from paris.protocol.version import UPGRADE

_FORMAT: Literal[1] = 1
_BATCH_SIZE = 32
"""Of an expert, if [training] sets none."""
_SNAPSHOT_EVERY = 1000
"""The default of `TrainingConfig`, which imports what this module may not."""
_WITH_MEAN = {"moments": ("float32",), "precision": ("float32", "bfloat16"), "state": ("exact",)}
"""Values of [training] whose states have a mean: 8-bit codes and the loss scale of float16 have none. The first is the
default."""
_MAX_TASKS = 1024
"""All their records are under one DHT key, with 1.5 to 3 kB each."""
WARM_START_BOUNDS: Settings = {"min_gain": 0.03, "min_peer_gain_share": 0.3, "max_foreign_advantage": 0.1}
"""Bounds for experts that start from a warm start: honest ones gain little and unequally, and lose on other clusters
(docs/quality.md, table of a common start)."""


class RunConfig(Table):
    """run.toml."""

    format: Literal[1] = _FORMAT
    """Of run.toml and the run directory; 1 where the file names none."""
    about: AboutTable | None = None
    run: RunTable
    hub: HubTable
    dht: DhtTable = DhtTable()
    page: PageTable = PageTable()
    notify: NotifyTable = NotifyTable()
    state: StateTable = StateTable()
    tasks: TaskTable
    model: ModelTable
    objectives: ObjectivesTable = ObjectivesTable()
    training: Settings = Field(default_factory=dict)
    """Fields of TrainingConfig except `steps`, which is in [tasks]. `total_batch_size`, the rows of one step of all
    experts together, may replace `batch_size`."""
    router: RouterTable
    pretrained: PretrainedTable = PretrainedTable()
    text: Settings
    """Fields of TextConfig, except those that `prepare` adds; `kind = "none"` trains experts without text."""
    codec: Settings
    data: dict[str, Any]
    """Fields of PrepareConfig."""
    verify: Settings = Field(default_factory=dict)
    """Bounds of the verification ladder that differ from their defaults."""
    compute: ComputeTable = ComputeTable()
    sampling: SamplingTable = SamplingTable()

    @property
    def expert_training(self) -> Settings:
        """[training] of one expert: the total batch is divided by the experts, the steps are not (docs/quality.md)."""
        fields = {"batch_size": _BATCH_SIZE, **({} if self.reads_text else {"caption_dropout": 0.0}), **self.training}
        total = fields.pop("total_batch_size", None)
        return fields if total is None else {**fields, "batch_size": int(total) // self.run.num_experts}

    @property
    def snapshot_every(self) -> int:
        """Steps between two scheduled snapshots of an expert's training."""
        return int(self.training.get("snapshot_every", _SNAPSHOT_EVERY))

    @property
    def leg_steps(self) -> int | None:
        """Usual steps of a leg; with `leg_hours` those of a volunteer that just meets the deadline, and at least
        `FEWEST_STRETCHES` stretches. None: no legs.
        """
        table, every = self.tasks, self.snapshot_every
        if table.leg_hours is None:
            return None if table.leg_steps is None else min(table.steps, table.leg_steps)
        steps = table.steps * table.leg_hours * 3600 / table.deadline_s
        return min(table.steps, max(FEWEST_STRETCHES, round(steps / every)) * every)

    @property
    def reads_text(self) -> bool:
        """Whether the experts read a text; False for [text] kind = "none"."""
        return self.text.get("kind") != "none"

    @model_validator(mode="before")
    @classmethod
    def _text_defaults(cls, values: Any) -> Any:
        return with_text_defaults(values)

    @model_validator(mode="after")
    def _check_text(self) -> RunConfig:
        check_text(self)
        return self

    @model_validator(mode="after")
    def _check_total_batch(self) -> RunConfig:
        total, experts = self.training.get("total_batch_size"), self.run.num_experts
        if total is None:
            return self
        if "batch_size" in self.training:
            raise ValueError("training.batch_size and training.total_batch_size exclude each other: give one of them")
        if type(total) is not int or total < 1 or total % experts:
            fitting = experts if type(total) is not int else max(experts, -(-total // experts) * experts)
            raise ValueError(
                f"training.total_batch_size is {total!r}, not a multiple of num_experts = {experts}, such as {fitting}"
            )
        return self

    @property
    def verify_settings(self) -> Settings:
        """[verify], with the bounds of a warm start where there is one."""
        return {**({} if self.model.warm_start_steps is None else WARM_START_BOUNDS), **self.verify}

    @model_validator(mode="after")
    def _check_initial_weights(self) -> RunConfig:
        if self.model.warm_start_steps is None:
            return self
        if self.model.imagenet_weights is not None:
            raise ValueError("model.warm_start_steps and model.imagenet_weights exclude each other: give one of them")
        if self.objectives.epsilon_clusters:
            raise ValueError(
                "model.warm_start_steps trains a velocity model, so objectives.epsilon_clusters must be empty"
            )
        return self

    @model_validator(mode="after")
    def _check_smaller(self) -> RunConfig:
        model = self.model
        if model.smaller and not (model.warm_start_steps is None and model.imagenet_weights is None):
            raise ValueError(
                "model.smaller needs experts that start from the run's seed: initial weights are of one size, so "
                "leave out warm_start_steps and imagenet_weights"
            )
        if model.smaller and self.tasks.lanes > 1:
            raise ValueError(f"model.smaller and tasks.lanes = {self.tasks.lanes}: states of two sizes have no mean")
        return self

    @model_validator(mode="after")
    def _check_train_after(self) -> RunConfig:
        if self.router.train_after > self.run.num_experts:
            raise ValueError(
                f"router.train_after is {self.router.train_after}, but run.num_experts is {self.run.num_experts}"
            )
        return self

    @model_validator(mode="after")
    def _check_legs(self) -> RunConfig:
        table = self.tasks
        if table.leg_steps is None:
            return self
        if table.leg_hours is not None:
            raise ValueError("tasks.leg_steps and tasks.leg_hours exclude each other: give one of them")
        every = self.snapshot_every
        if table.leg_steps < table.steps and table.leg_steps % every:
            fitting = max(every, round(table.leg_steps / every) * every)
            raise ValueError(
                f"tasks.leg_steps is {table.leg_steps}, not a multiple of training.snapshot_every = {every}, "
                f"such as {fitting}"
            )
        return self

    @model_validator(mode="after")
    def _check_chain(self) -> RunConfig:
        steps, every = self.leg_steps, self.snapshot_every
        if steps is not None and steps > MAX_LINKS * every:
            setting = "leg_steps" if self.tasks.leg_hours is None else "leg_hours"
            raise ValueError(
                f"tasks.{setting} makes legs of {steps} steps, with more than {MAX_LINKS} snapshots at "
                f"training.snapshot_every = {every}: shorten them, or set snapshot_every to {-(-steps // MAX_LINKS)}"
            )
        return self

    @model_validator(mode="after")
    def _check_lanes(self) -> RunConfig:
        lanes, experts = self.tasks.lanes, self.run.num_experts
        if lanes == 1:
            return self
        if self.leg_steps is None or self.leg_steps >= self.tasks.steps:
            raise ValueError(f"tasks.lanes is {lanes}, which takes legs shorter than all steps: set tasks.leg_steps")
        for field, fitting in _WITH_MEAN.items():
            value = self.training.get(field, fitting[0])
            if value not in fitting:
                raise ValueError(f"tasks.lanes is {lanes}, but states of training.{field} = {value!r} have no mean")
        if lanes * experts > _MAX_TASKS:
            raise ValueError(f"tasks.lanes is {lanes}, at most {_MAX_TASKS // experts} with {experts} experts")
        return self

    @model_validator(mode="after")
    def _check_epsilon_clusters(self) -> RunConfig:
        unknown = [cluster for cluster in self.objectives.epsilon_clusters if cluster >= self.run.num_experts]
        if unknown:
            raise ValueError(
                f"objectives.epsilon_clusters contains {unknown[0]}, but clusters are 0 to {self.run.num_experts - 1}"
            )
        return self


def parse_config(text: str, source: str) -> RunConfig:
    """Read a run.toml.

    Args:
        text: The TOML text.
        source: Path or recipe, for the message.

    Raises:
        ConfigError: Not TOML, an unknown or missing field, or an invalid value; names the first one.
        NewerFileError: A newer version wrote it.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{source} is not TOML: {error}.", "Fix that line and retry.") from error
    return validated(values, source)


def validated(values: dict[str, Any], source: str) -> RunConfig:
    """Check the values of a run.toml.

    Args:
        values: All tables, as TOML reads them.
        source: Path or recipe, for the message.

    Raises:
        ConfigError: An unknown or missing field, or an invalid value; names the first one.
        NewerFileError: A newer version wrote it.
    """
    try:
        if isinstance(values.get("format"), int) and values["format"] > _FORMAT:
            raise NewerFileError(
                f"{source} was written by a newer version of this software (format {values['format']}).",
                f"{UPGRADE} The file is unchanged.",
            )
        return RunConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}." for part in first["loc"])[:-1]
        place = f"{source}: {where}" if where else source
        value = "" if isinstance(first.get("input"), Mapping) else f" (value: {first.get('input')!r})"
        raise ConfigError(f"{place}: {complaint(first)}{value}.", "Fix or remove that field and retry.") from error


def complaint(error: Mapping[str, Any]) -> str:
    """What is wrong with a field.

    Args:
        error: One of `ValidationError.errors()`.
    """
    return str(error["msg"]).removeprefix("Value error, ")


def leading_setting(message: str) -> str:
    """The setting that a message of RunConfig starts with, such as "training.total_batch_size"; or empty."""
    found = re.match(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", message)
    return found[0] if found else ""


def load_config(run_dir: Path) -> RunConfig:
    """Read `run_dir/run.toml`.

    Raises:
        RunDirError: The file is missing.
        ConfigError: Its content is invalid.
    """
    path = run_dir / "run.toml"
    if not path.is_file():
        raise RunDirError(
            f"{run_dir} is not a run directory: it has no run.toml.",
            f"Create one: paris-coord init {shlex.quote(str(run_dir))}",
        )
    return parse_config(read_toml(path), str(path))


def dump_config(config: RunConfig) -> str:
    """Write a configuration as TOML."""
    import tomli_w  # of the extra `coordinator`; reading needs none

    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def load_recipe(name: str) -> RunConfig:
    """Read a recipe.

    Args:
        name: Name of a packaged recipe, or path of a .toml file.

    Raises:
        ConfigError: The recipe, or one that it extends, is unknown or invalid, or extends itself.
    """
    recipe = find_recipe(name)
    return validated(composed(recipe), recipe.title)
