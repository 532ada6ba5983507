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
logs/ verify/    one log and one work folder a child process
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from paris.coordinator.errors import ConfigError, RunDirError
from paris.protocol.records import RepoId

Settings = dict[str, bool | int | float | str]
_UnitTime = Annotated[float, Field(ge=0, le=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunTable(_Table):
    """[run]: what the run is."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    """Lower-case letters, digits, inner hyphens; the run id adds the key's fingerprint."""
    num_experts: Annotated[int, Field(ge=1, le=256)]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    licence: str = "cc-by-4.0"
    attribution: str = ""
    num_buckets: Annotated[int, Field(ge=1, le=64)] = 16
    """Over how many DHT keys the volunteers' records are spread; 1 is enough for tens of volunteers."""


class HubTable(_Table):
    """[hub]: where bytes travel."""

    endpoint: str = "https://huggingface.co"
    embedded: bool = False
    """Serve the Hub from this run directory at the endpoint's host and port."""
    model_repo: RepoId
    data_repo: RepoId


class DhtTable(_Table):
    """[dht]: how the coordinator's peer is reached."""

    listen: list[str] = ["/ip4/127.0.0.1/tcp/0"]
    initial_peers: list[str] = []
    announce: list[str] = []
    """Multiaddrs that volunteers can dial, where they differ from `listen`, such as behind a port forwarding."""
    nat_port_map: bool = False
    """Ask the router for a port (UPnP, NAT-PMP): sends packets to the gateway."""
    auto_nat: bool = False
    use_relay: bool = False


class TaskTable(_Table):
    """[tasks]: what each expert costs, and how patient the coordinator is."""

    steps: Annotated[int, Field(ge=1)]
    deadline_s: Annotated[float, Field(gt=0)]
    grace_s: Annotated[float, Field(ge=0)] = 600.0
    lease_s: Annotated[float, Field(gt=0)] = 3600.0
    heartbeat_every_s: Annotated[float, Field(gt=0)] = 60.0
    min_memory_bytes: Annotated[int, Field(ge=0)] = 0
    min_disk_bytes: Annotated[int, Field(ge=0)] = 0
    tick_every_s: Annotated[float, Field(gt=0)] = 5.0


class RouterTable(_Table):
    """[router]: the model that joins the experts."""

    preset: str
    overrides: Settings = {}
    steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    training: Settings = {}
    """Further fields of RouterTrainingConfig."""
    sees_prompt: bool = False
    """Show it the captions too. Without, the prompt router's word is joined to its own by Bayes' rule."""
    train_after: Annotated[int, Field(ge=0)] = 0
    """Start by itself when so many experts are registered; 0: only by `paris-coord train-router`."""


class ComputeTable(_Table):
    """[compute]: what the organiser's own machine gives to verification and router training."""

    device: str = "cpu"
    num_threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads of each child process; None leaves it to torch. Fewer where volunteers share the machine."""


class SamplingTable(_Table):
    """[sampling]: the release's defaults, and what the report draws.

    The fields of `paris.experts.sampling.settings`, which imports torch and so may not be imported here: a mistake is
    found now, and not when the release is made.
    """

    num_steps: Annotated[int, Field(ge=1)] = 50
    guidance_scale: Annotated[float, Field(ge=0)] = 7.5
    routing: Annotated[str, Field(pattern=r"^(top[1-9][0-9]{0,3}|full|threshold|ancestral)$")] = "ancestral"
    solver: Literal["euler", "heun", "ab2", "ab3", "dpmpp-2m"] = "euler"
    time_shift: Annotated[float, Field(gt=0)] = 1.0
    guidance_interval: tuple[_UnitTime, _UnitTime] = (0.0, 1.0)
    guidance_every: Annotated[int, Field(ge=1)] = 2
    guidance_away_from: Literal["expert", "ensemble"] = "ensemble"
    routing_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    sure_above: Annotated[float, Field(ge=0, le=1)] = 1.0
    router_every: Annotated[int, Field(ge=1)] = 1
    routing_temperature: Annotated[float, Field(gt=0)] = 1.0
    redecide_below: _UnitTime = 0.0
    prompts: list[str] = []
    seeds: list[int] = [0, 1, 2, 3]


class ModelTable(_Table):
    """[model]: the expert's preset, what differs from it, and what training starts from."""

    preset: str
    overrides: Settings = {}
    imagenet_weights: str | None = None
    """A DiT trained on ImageNet that all experts start from: a safetensors file, absolute or relative to the run
    directory. Without it they start from the run's seed."""


class ObjectivesTable(_Table):
    """[objectives]: which experts learn to predict the noise (DDPM); all others learn the velocity (flow matching)."""

    epsilon_clusters: tuple[Annotated[int, Field(ge=0)], ...] = ()
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the noise of the epsilon experts grows over time."""

    def of(self, cluster: int) -> Settings:
        """Fields of the Objective of one cluster's expert; empty for flow matching."""
        return {"kind": "epsilon", "schedule": self.schedule} if cluster in self.epsilon_clusters else {}


class RunConfig(_Table):
    """The whole of run.toml."""

    run: RunTable
    hub: HubTable
    dht: DhtTable = DhtTable()
    tasks: TaskTable
    model: ModelTable
    objectives: ObjectivesTable = ObjectivesTable()
    training: Settings = {}
    """Fields of TrainingConfig but `steps`, which [tasks] gives; `total_batch_size`, the rows that all experts see
    together in one step, may stand for `batch_size`."""
    router: RouterTable
    text: Settings
    """Fields of TextConfig that preparation does not fill in itself."""
    codec: Settings
    data: dict[str, Any]
    """Fields of PrepareConfig."""
    verify: Settings = {}
    """Bounds of the verification ladder that differ from their defaults."""
    compute: ComputeTable = ComputeTable()
    sampling: SamplingTable = SamplingTable()

    @property
    def expert_training(self) -> Settings:
        """[training] as one expert has it: the whole batch is split evenly, the steps are not (docs/quality.md)."""
        fields = dict(self.training)
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
