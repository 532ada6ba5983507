"""The organiser's settings of a run: `run.toml` in the run directory, one pydantic model a table.

run.toml         what this module reads
keys/            run.key signs records; peer.key is the DHT peer's identity
data/            what `prepare` made
state.sqlite     the coordinator's memory
run.json         the signed RunSpec with the present peers: what volunteers join
hub/             the embedded Hub's repos, where there is one
router/ release/ what `train-router` and `release` made
samples/         what the experts drew for `train-router --from-samples`
distilled/       what `distill` made
warm-start/      snapshots of `warm-start`, while it trains
logs/ verify/    one log and one work folder a child process
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field, ValidationError, model_validator

from paris.coordinator.errors import ConfigError, RunDirError
from paris.coordinator.run.config_tables import (
    ComputeTable,
    DhtTable,
    HubTable,
    ModelTable,
    ObjectivesTable,
    RouterTable,
    RunTable,
    SamplingTable,
    Settings,
    Table,
    TaskTable,
)

_BATCH_SIZE = 32
"""Of an expert, where [training] says nothing."""
WARM_BOUNDS: Settings = {"min_gain": 0.03, "min_peer_gain_share": 0.3, "max_foreign_advantage": 0.1}
"""Against a start that has learned most of what there is, honest experts gain little, not all alike, and lose elsewhere
(docs/quality.md, table of a common start)."""


class RunConfig(Table):
    """The whole of run.toml."""

    run: RunTable
    hub: HubTable
    dht: DhtTable = DhtTable()
    tasks: TaskTable
    model: ModelTable
    objectives: ObjectivesTable = ObjectivesTable()
    training: Settings = Field(default_factory=dict)
    """Fields of TrainingConfig but `steps`, which [tasks] gives; `total_batch_size`, the rows that all experts see
    together in one step, may stand for `batch_size`."""
    router: RouterTable
    text: Settings
    """Fields of TextConfig that preparation does not fill in itself."""
    codec: Settings
    data: dict[str, Any]
    """Fields of PrepareConfig."""
    verify: Settings = Field(default_factory=dict)
    """Bounds of the verification ladder that differ from their defaults."""
    compute: ComputeTable = ComputeTable()
    sampling: SamplingTable = SamplingTable()

    @property
    def expert_training(self) -> Settings:
        """[training] as one expert has it: the whole batch is split evenly, the steps are not (docs/quality.md)."""
        fields = {"batch_size": _BATCH_SIZE, **self.training}
        total = fields.pop("total_batch_size", None)
        return fields if total is None else {**fields, "batch_size": int(total) // self.run.num_experts}

    @model_validator(mode="after")
    def _batch_splits(self) -> RunConfig:
        total, experts = self.training.get("total_batch_size"), self.run.num_experts
        if total is None:
            return self
        if "batch_size" in self.training:
            raise ValueError("training.batch_size is an expert's part of training.total_batch_size: give one of them")
        if type(total) is not int or total < 1 or total % experts:
            raise ValueError(f"training.total_batch_size is {total!r}, not a multiple of the {experts} experts")
        return self

    @property
    def verify_settings(self) -> Settings:
        """[verify], with what follows from the other tables."""
        return {**({} if self.model.warm_start_steps is None else WARM_BOUNDS), **self.verify}

    @model_validator(mode="after")
    def _one_start(self) -> RunConfig:
        if self.model.warm_start_steps is None:
            return self
        if self.model.imagenet_weights is not None:
            raise ValueError("model.warm_start_steps and model.imagenet_weights are two starts: give one of them")
        if self.objectives.epsilon_clusters:
            raise ValueError(
                "model.warm_start_steps trains a velocity model: objectives.epsilon_clusters must be empty"
            )
        return self

    @model_validator(mode="after")
    def _router_waits_for_experts_that_exist(self) -> RunConfig:
        if self.router.train_after > self.run.num_experts:
            raise ValueError(
                f"router.train_after is {self.router.train_after}, there are {self.run.num_experts} experts"
            )
        return self

    @model_validator(mode="after")
    def _epsilon_clusters_exist(self) -> RunConfig:
        unknown = [cluster for cluster in self.objectives.epsilon_clusters if cluster >= self.run.num_experts]
        if unknown:
            raise ValueError(
                f"objectives.epsilon_clusters names cluster {unknown[0]}, there are {self.run.num_experts}, from 0"
            )
        return self


def parse_config(text: str, source: str) -> RunConfig:
    """Read a run.toml.

    Args:
        text: The TOML text.
        source: Where it came from, for the message.

    Raises:
        ConfigError: Not TOML, an unknown or missing field, or a value out of range; the first such is named.
    """
    try:
        return RunConfig.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML: {error}.", "Mend that line and try again.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{source}: {where}: {first['msg']} (value: {first.get('input')!r}).",
            "Mend or remove that field and try again.",
        ) from error


def load_config(run_dir: Path) -> RunConfig:
    """Read `run_dir/run.toml`.

    Raises:
        RunDirError: There is none.
        ConfigError: It does not hold a valid configuration.
    """
    path = run_dir / "run.toml"
    if not path.is_file():
        raise RunDirError(
            f"{run_dir} is not a run directory: it has no run.toml.", f"Make one: paris-coord init {run_dir}"
        )
    return parse_config(path.read_text("utf-8"), str(path))


def dump_config(config: RunConfig) -> str:
    """Write a configuration as TOML."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def recipe_names() -> list[str]:
    """Names of the recipes that `init` can start from."""
    return sorted(item.name.removesuffix(".toml") for item in _recipes().iterdir() if item.name.endswith(".toml"))


def load_recipe(name: str) -> RunConfig:
    """Read a recipe.

    Args:
        name: A packaged one's name, or the path of a TOML file with the same tables.

    Raises:
        ConfigError: No recipe has this name, or the file does not hold a valid one.
    """
    if name.endswith(".toml") and Path(name).is_file():
        return parse_config(Path(name).read_text("utf-8"), name)
    if name not in recipe_names():
        known = ", ".join(recipe_names())
        raise ConfigError(f"There is no recipe {name!r}.", f"Known recipes: {known}; or give the path of a .toml file.")
    return parse_config(_recipes().joinpath(f"{name}.toml").read_text("utf-8"), f"recipe {name}")


def _recipes() -> Any:
    return files("paris.coordinator").joinpath("recipes")
