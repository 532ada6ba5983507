"""The tables of run.toml."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from paris.coordinator.run.database import check_database
from paris.protocol.fields import RepoId
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.limits import MAX_CLUSTERS, MAX_LANES, MAX_SMALLER_SIZES, MAX_WANT_WORK_BITS
from paris.protocol.secrets import is_encrypted, is_loopback
from paris.protocol.version import SOFTWARE_VERSION, is_older

Settings = dict[str, bool | int | float | str]
Notices = Literal[
    "opened", "uploaded", "joined", "leased", "resumed", "revoked", "submitted", "retry", "accepted", "rejected",
    "stored", "challenged", "answered", "audit", "registered", "router", "order", "problem", "disk-low",
]  # fmt: skip
"""What a webhook can be told of."""
_UnitTime = Annotated[float, Field(ge=0, le=1)]


class Table(BaseModel):
    """Immutable; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunTable(Table):
    """[run]: identity and size of the run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    """Lower-case letters, digits, inner hyphens; the run id adds the key's fingerprint."""
    num_experts: Annotated[int, Field(ge=1, le=MAX_CLUSTERS)]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    licence: str = "cc-by-4.0"
    attribution: str = ""
    num_buckets: Annotated[int, Field(ge=1, le=64)] = 16
    """Number of DHT keys that the volunteers' records are spread over; 1 is enough for tens of volunteers."""


class AboutTable(Table):
    """[about]: what the run is, for people; nothing is computed from it but a plan before `prepare`."""

    what: str = ""
    """One sentence."""
    hardware: str = ""
    """The machines it is for."""
    pictures: Annotated[int, Field(ge=1)] | None = None
    """How many pictures the settings are for, held-out ones included."""


class HubTable(Table):
    """[hub]: the Hub and the run's repos."""

    endpoint: str = PUBLIC_ENDPOINT
    embedded: bool = False
    """Serve the Hub from this run directory at the endpoint's host and port."""
    model_repo: RepoId
    data_repo: RepoId
    mailboxes_every_s: Annotated[float, Field(ge=0, le=300)] = 60.0
    """How often to look for volunteers that reach no peer and send their records by a pull request; 0: never."""


class DhtTable(Table):
    """[dht]: addresses of the coordinator's DHT peer."""

    listen: list[str] = ["/ip4/127.0.0.1/tcp/0"]
    initial_peers: list[str] = []
    announce: list[str] = []
    """Multiaddrs that volunteers dial, if they differ from `listen`, as behind port forwarding."""
    nat_port_map: bool = False
    """Ask the router for a port (UPnP, NAT-PMP): sends packets to the gateway."""
    auto_nat: bool = False
    """Let peers ask whether others can reach them, and help with hole punching: sends packets to those who ask."""
    use_relay: bool = False
    """Reach peers behind routers through relays."""
    relay_for_volunteers: bool = False
    """Relay for volunteers behind routers, and say so in the RunSpec: this peer must be reachable. Nodes that are older
    than this setting refuse such a RunSpec, so an upgrade never turns it on. Implies `use_relay`."""


class PageTable(Table):
    """[page]: the page of `serve`. The organiser's page, which can give orders, is served on this machine alone."""

    listen: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$")] | None = None
    """HOST:PORT of a server of its own. None: only where the embedded Hub answers, below /run."""
    public_page: bool = False
    """Show the public page, which is read-only, to requests from other machines."""
    samples: bool = False
    """Draw a grid of samples after each verified leg, on [compute] device, while no work waits for its verdict."""

    @model_validator(mode="after")
    def _check_listen(self) -> PageTable:
        if self.listen is not None and not self.public_page and not is_loopback(f"http://{self.listen}"):
            raise ValueError(
                f"page.listen is {self.listen!r}, which other machines may reach: listen on 127.0.0.1, or set "
                "page.public_page = true to show them the public page"
            )
        return self


class WebhookTable(Table):
    """[[notify.webhooks]]: an address to which `serve` posts what happens."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,38}$")]
    """In messages; the address itself is a secret."""
    url: str
    """https, or http on this machine."""
    style: Literal["signed", "slack", "discord"] = "signed"
    """A signed JSON object (Standard Webhooks), or the message that these services take."""
    events: tuple[Notices, ...] = ("stored", "registered", "rejected", "router", "problem", "disk-low")
    """Kinds of events of the log, and "disk-low"."""

    @model_validator(mode="after")
    def _check_url(self) -> WebhookTable:
        if urlsplit(self.url).scheme not in ("http", "https") or not is_encrypted(self.url):
            raise ValueError(f"the address of webhook {self.name!r} is neither https nor on this machine")
        return self


class StateTable(Table):
    """[state]: where the coordinator keeps its state."""

    database: Annotated[str, Field(max_length=1000)] | None = None
    """A PostgreSQL database, postgresql://USER@HOST/NAME, without a password. None: state.sqlite in the run directory.
    """

    @model_validator(mode="after")
    def _check_database(self) -> StateTable:
        # Of the table and not of the field: the message on a field repeats its value, with a password in it.
        if self.database is not None:
            check_database(self.database)
        return self


class NotifyTable(Table):
    """[notify]: what tells the organiser of news."""

    webhooks: Annotated[tuple[WebhookTable, ...], Field(max_length=16)] = ()
    disk_low_bytes: Annotated[float, Field(ge=0)] = 10e9
    """Free space of the run directory's disk below which "disk-low" is posted."""

    @model_validator(mode="after")
    def _check_names(self) -> NotifyTable:
        names = [hook.name for hook in self.webhooks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"notify.webhooks has two of the name {twice!r}: give each its own")
        return self


class TaskTable(Table):
    """[tasks]: cost of each expert's training, and the coordinator's timeouts."""

    steps: Annotated[int, Field(ge=1)]
    deadline_s: Annotated[float, Field(gt=0)]
    grace_s: Annotated[float, Field(ge=0)] = 600.0
    lease_s: Annotated[float, Field(gt=0)] = 3600.0
    heartbeat_every_s: Annotated[float, Field(gt=0)] = 60.0
    min_memory_bytes: Annotated[int, Field(ge=0)] | None = None
    """Least memory of a volunteer's device; None: computed (planning/needs.py)."""
    min_disk_bytes: Annotated[int, Field(ge=0)] | None = None
    """Least free disk beside the data; None: computed."""
    min_rows: Annotated[int, Field(ge=1)] = 20
    """Fewest training pictures of an expert for which tasks are opened."""
    allowed_only: bool = False
    """Give tasks only to volunteers that `paris-coord allow` named."""
    min_node_version: Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4}){0,3}$")] = "0.1.0"
    """Oldest software of volunteers that get tasks; older nodes are told to update. Not newer than this software."""
    leg_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of a leg, the part of an expert's training that one lease is for; a multiple of training.snapshot_every.
    None, and no leg_hours: one volunteer trains a whole expert."""
    leg_hours: Annotated[float, Field(gt=0)] | None = None
    """Instead of leg_steps: hours of a leg, by the speed that the volunteer reported last."""
    lanes: Annotated[int, Field(ge=1, le=MAX_LANES)] = 1
    """Volunteers that train each expert side by side, a leg each from the same state; the next legs start from the mean
    of their states. 1: one after another."""
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    """Volunteers that do the same leg or expert at the same time, where some would have nothing to do; the first
    verified work counts."""
    want_work_bits: Annotated[int, Field(ge=0, le=MAX_WANT_WORK_BITS)] = 20
    """Proof of work of a new volunteer's key: 2 ** bits hashes, about a second at 20; each bit more doubles it."""
    tick_every_s: Annotated[float, Field(gt=0)] = 5.0

    @model_validator(mode="after")
    def _check_min_node_version(self) -> TaskTable:
        if is_older(SOFTWARE_VERSION, self.min_node_version):
            raise ValueError(
                f"tasks.min_node_version is {self.min_node_version!r}, newer than this software, {SOFTWARE_VERSION}: "
                "update the coordinator first"
            )
        return self


class RouterTable(Table):
    """[router]: the router and its training."""

    preset: str
    overrides: Settings = {}
    steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    training: Settings = {}
    """Further fields of RouterTrainingConfig."""
    sees_prompt: bool = False
    """Give the router the captions as input, if there are any. Otherwise its posterior is combined with that of the
    prompt router by Bayes' rule. Ancestral routing draws from the prompt router in both cases."""
    train_after: Annotated[int, Field(ge=0)] = 0
    """`serve` trains the router when this many experts are registered; 0 leaves it to `paris-coord train-router`."""


class ComputeTable(Table):
    """[compute]: device and threads for verification and training on the organiser's machine."""

    device: str = "cpu"
    num_threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads of each child process; None is torch's default. Set fewer if volunteers share the machine."""


class SamplingTable(Table):
    """[sampling]: sampling defaults of the release, and prompts and seeds of the report.

    Repeats the fields of `paris.experts.sampling.settings`, which imports torch and may not be imported here, so that
    an invalid value is found at `init` and not at `release`.
    """

    num_steps: Annotated[int, Field(ge=1)] = 50
    guidance_scale: Annotated[float, Field(ge=0)] = 7.5
    """1.25 where `guidance_away_from` is "ensemble" (docs/quality.md)."""
    routing: Annotated[str, Field(pattern=r"^(top[1-9][0-9]{0,3}|full|threshold|ancestral)$")] = "ancestral"
    solver: Literal["euler", "heun", "ab2", "ab3", "dpmpp-2m"] = "euler"
    time_shift: Annotated[float, Field(gt=0)] = 1.0
    guidance_interval: tuple[_UnitTime, _UnitTime] = (0.0, 1.0)
    guidance_every: Annotated[int, Field(ge=1)] = 1
    guidance_away_from: Literal["expert", "ensemble"] = "expert"
    """Recipes set "ensemble"; the default serves a run.toml that is older than this field."""
    routing_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    sure_above: Annotated[float, Field(ge=0, le=1)] = 1.0
    router_every: Annotated[int, Field(ge=1)] = 1
    routing_temperature: Annotated[float, Field(gt=0)] = 1.0
    redecide_below: _UnitTime = 0.0
    prompts: list[str] = []
    seeds: list[int] = [0, 1, 2, 3]

    @model_validator(mode="before")
    @classmethod
    def _usual_scale(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("guidance_away_from") == "ensemble":
            return {"guidance_scale": 1.25, **values}
        return values


class SmallerTable(Table):
    """[[model.smaller]]: a smaller size of expert, for machines that cannot hold the run's model."""

    preset: str | None = None
    """Its pictures and text are those of the run's model. None: the run's model, with other `overrides`."""
    overrides: Settings = {}


class ModelTable(Table):
    """[model]: architecture and initial weights of the experts."""

    preset: str
    overrides: Settings = {}
    imagenet_weights: str | None = None
    """A DiT trained on ImageNet that all experts start from: path of a safetensors file, absolute or relative to the
    run directory. Default: random weights by the run's seed."""
    warm_start_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps of the warm start, a model trained on all clusters with the total batch of all experts, that all experts
    start from; `paris-coord warm-start` trains it (docs/quality.md)."""
    smaller: Annotated[tuple[SmallerTable, ...], Field(max_length=MAX_SMALLER_SIZES)] = ()
    """The largest first. A volunteer trains the largest size that its machine can hold."""


class PretrainedTable(Table):
    """[pretrained]: where `prepare` takes frozen networks from that are not in the data folder yet.

    A name on the public Hub (`org/name`, or `org/name@revision`), or a folder.
    """

    vae: str | None = None
    """A diffusers AutoencoderKL, for `path` of [codec]."""
    text_encoder: str | None = None
    """Of transformers, with its tokenizer, for `path` of [text]."""


class ObjectivesTable(Table):
    """[objectives]: which experts predict the noise (DDPM); all others predict the velocity (flow matching)."""

    epsilon_clusters: tuple[Annotated[int, Field(ge=0)], ...] = ()
    schedule: Literal["cosine", "linear"] = "cosine"
    """Noise schedule of the epsilon experts."""

    def for_cluster(self, cluster: int) -> Settings:
        """Fields of the Objective of a cluster's expert; empty for flow matching."""
        return {"kind": "epsilon", "schedule": self.schedule} if cluster in self.epsilon_clusters else {}
