"""The tables of `run.toml`, one pydantic model each; `config.py` puts them together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.records import RepoId

Settings = dict[str, bool | int | float | str]
_UnitTime = Annotated[float, Field(ge=0, le=1)]


class Table(BaseModel):
    """Frozen, and with no field that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunTable(Table):
    """[run]: what the run is."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    """Lower-case letters, digits, inner hyphens; the run id adds the key's fingerprint."""
    num_experts: Annotated[int, Field(ge=1, le=256)]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    licence: str = "cc-by-4.0"
    attribution: str = ""
    num_buckets: Annotated[int, Field(ge=1, le=64)] = 16
    """Over how many DHT keys the volunteers' records are spread; 1 is enough for tens of volunteers."""


class HubTable(Table):
    """[hub]: where bytes travel."""

    endpoint: str = PUBLIC_ENDPOINT
    embedded: bool = False
    """Serve the Hub from this run directory at the endpoint's host and port."""
    model_repo: RepoId
    data_repo: RepoId


class DhtTable(Table):
    """[dht]: how the coordinator's peer is reached."""

    listen: list[str] = ["/ip4/127.0.0.1/tcp/0"]
    initial_peers: list[str] = []
    announce: list[str] = []
    """Multiaddrs that volunteers can dial, where they differ from `listen`, such as behind a port forwarding."""
    nat_port_map: bool = False
    """Ask the router for a port (UPnP, NAT-PMP): sends packets to the gateway."""
    auto_nat: bool = False
    use_relay: bool = False


class TaskTable(Table):
    """[tasks]: what each expert costs, and how patient the coordinator is."""

    steps: Annotated[int, Field(ge=1)]
    deadline_s: Annotated[float, Field(gt=0)]
    grace_s: Annotated[float, Field(ge=0)] = 600.0
    lease_s: Annotated[float, Field(gt=0)] = 3600.0
    heartbeat_every_s: Annotated[float, Field(gt=0)] = 60.0
    min_memory_bytes: Annotated[int, Field(ge=0)] = 0
    min_disk_bytes: Annotated[int, Field(ge=0)] = 0
    tick_every_s: Annotated[float, Field(gt=0)] = 5.0


class RouterTable(Table):
    """[router]: the model that joins the experts."""

    preset: str
    overrides: Settings = {}
    steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    training: Settings = {}
    """Further fields of RouterTrainingConfig."""
    sees_prompt: bool = False
    """Show it the captions too, where there are any. Without, the prompt router's word is joined to its own by Bayes'
    rule. Ancestral routing draws by the prompt router either way."""
    train_after: Annotated[int, Field(ge=0)] = 0
    """Start by itself when so many experts are registered; 0: only by `paris-coord train-router`."""


class ComputeTable(Table):
    """[compute]: what the organiser's own machine gives to verification and to training of its own."""

    device: str = "cpu"
    num_threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads of each child process; None leaves it to torch. Fewer where volunteers share the machine."""


class SamplingTable(Table):
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
    guidance_every: Annotated[int, Field(ge=1)] = 1
    guidance_away_from: Literal["expert", "ensemble"] = "expert"
    """New recipes say "ensemble"; the run.toml of a run that was begun before there was a choice keeps what it had."""
    routing_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    sure_above: Annotated[float, Field(ge=0, le=1)] = 1.0
    router_every: Annotated[int, Field(ge=1)] = 1
    routing_temperature: Annotated[float, Field(gt=0)] = 1.0
    redecide_below: _UnitTime = 0.0
    prompts: list[str] = []
    seeds: list[int] = [0, 1, 2, 3]


class ModelTable(Table):
    """[model]: the expert's preset, what differs from it, and what training starts from."""

    preset: str
    overrides: Settings = {}
    imagenet_weights: str | None = None
    """A DiT trained on ImageNet that all experts start from: a safetensors file, absolute or relative to the run
    directory. Without it they start from the run's seed."""
    warm_start_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of one model on the data of all clusters, in a batch as large as all experts' together, that all experts
    start from: `paris-coord warm-start` trains it (docs/quality.md)."""


class ObjectivesTable(Table):
    """[objectives]: which experts learn to predict the noise (DDPM); all others learn the velocity (flow matching)."""

    epsilon_clusters: tuple[Annotated[int, Field(ge=0)], ...] = ()
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the noise of the epsilon experts grows over time."""

    def of(self, cluster: int) -> Settings:
        """Fields of the Objective of one cluster's expert; empty for flow matching."""
        return {"kind": "epsilon", "schedule": self.schedule} if cluster in self.epsilon_clusters else {}
