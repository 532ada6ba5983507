"""The volunteer's settings: default < config.toml < PARIS_NODE_* environment < command-line flag.

home/config.toml
    name = "ada"
    device = "cuda"
    cache_limit_bytes = 200_000_000_000
    hours = "22:00-07:00"               and the other manners (`paris.node.manners.settings`)
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from paris.node.errors import SettingsError
from paris.node.manners.settings import Manners
from paris.protocol.fields import ShortText

_ENV_PREFIX = "PARIS_NODE_"
_DEVICE = "(cpu|mps|cuda(:[0-9]{1,3})?)"
_SHORTER = {
    "Input should": "must",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "a valid integer": "an integer",
    "a valid": "a",
    "Value error, ": "",
}
"""pydantic's phrases in our words."""


def expanded(path: Path) -> Path:
    """A path with `~` replaced by the user's home folder.

    Raises:
        SettingsError: The system knows no such folder.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise SettingsError(
            f"{path} cannot be used: the system knows no home folder of that user.",
            "Name the node's folder: --home DIR, or PARIS_HOME; other paths must be given without ~.",
        ) from error


class NodeConfig(Manners):
    """The volunteer's settings for this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ShortText = ""
    """Shown beside the contributions; empty takes `volunteer-` and six digits of the public key."""
    device: Annotated[str, Field(pattern=rf"^(auto|{_DEVICE}(,{_DEVICE}){{0,63}})$")] = "auto"
    """What to train on: auto, cpu, cuda, cuda:N or mps; auto takes the first GPU there is. N counts, as torch does, the
    GPUs that CUDA_VISIBLE_DEVICES leaves. Several, such as "cuda:0,cuda:1", are a node each."""
    threads: int | None = Field(None, ge=1, le=1024)
    """CPU threads of the trainer; None takes one for each physical core."""
    nice: int = Field(5, ge=0, le=19)
    """Niceness of the trainer: how far it yields to other programs."""
    memory_limit_bytes: int | None = Field(None, ge=2**20)
    """Declare no more memory than this; None declares what the device has."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Rows in the device's memory at once; None finds the largest that fits."""
    checkpointing: bool = False
    """Gradient checkpointing: compute layers twice to need far less memory."""
    compile: bool = False
    """Compile the model before the first step: takes about a minute and a C++ compiler; then training is faster."""
    cache_limit_bytes: int | None = Field(None, ge=2**20)
    """Limit of the downloaded files together; None: the free disk."""
    parallel_downloads: int = Field(4, ge=1, le=32)
    """Shards fetched at the same time."""
    download_bytes_per_s: int | None = Field(None, ge=1024)
    """Download limit, of the Hub and peers together; None: no limit."""
    share_shards: bool = True
    """Take shards from volunteers that serve them, and serve them too if this node listens (`host_dht`)."""
    upload_bytes_per_s: int | None = Field(4_000_000, ge=2**17)
    """Upload limit of shards, to all peers together; None: no limit."""
    hub_upload_bytes_per_s: int | None = Field(None, ge=2**16)
    """Upload limit of finished work to the Hub; None: no limit."""
    max_uploads: int = Field(4, ge=1, le=32)
    """Shards served at the same time; to one volunteer half as many."""
    train_ahead: bool = True
    """While a leg is uploaded and judged, train the next one: void if the leg is refused."""
    early_trainer: bool = True
    """Start the trainer while a lease is awaited, if a task is open: it loads torch, and ends after two minutes without
    work."""
    max_tries: int | None = Field(None, ge=1, le=1000)
    """Tries of a request to the Hub, or of the run's address and peers at the start, without progress, before the node
    ends; None: it waits."""
    host_dht: bool = False
    """Listen, and store records for others too; off means this node only dials out."""
    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    """Addresses to listen on, as multiaddrs; matters only with `host_dht`."""
    announce: tuple[str, ...] = ()
    """Addresses to publish instead of those listened on, such as a public one whose port is forwarded here."""
    use_relay: bool | None = None
    """Use relays and hole punching: reach volunteers behind routers through the run's peers and, with `host_dht` and
    without `announce`, be reached so; None: where the run's peers relay."""
    page: bool = False
    """Serve the node's own page, to a browser that has its token."""
    page_port: int = Field(7411, ge=0, le=65535)
    """Port of the page; 0 takes a free one."""
    page_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")] = "127.0.0.1"
    """Address that the page listens on; 0.0.0.0 lets other machines connect, in a container also the machine itself."""
    draw_every_steps: int | None = Field(None, ge=0, le=10**8)
    """Steps between two drawings of the expert, for the page; None: 40 in a task, or fewer where they took more than a
    fiftieth of its work; 0: none. Without `page` nothing is drawn."""
    startup_timeout_s: float = Field(60, gt=0, le=600)
    """Seconds to wait for the first peer."""
    hub_endpoint: str = ""
    """Hub to read `org/repo` from; empty takes the run's own, or the public Hub."""
    hub_token_file: Annotated[Path, AfterValidator(expanded)] | None = None
    """File that holds the Hub token; the environment's PARIS_HUB_TOKEN comes first."""
    hub_token_endpoint: str = ""
    """The one Hub that the token is sent to; empty: `hub_endpoint` if set, else the public Hub."""
    allow_plain_http: bool = False
    """Send the token that the node derives from its identity over http to another machine, on a trusted network."""

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that `device` names."""
        return tuple(self.device.split(","))


def load_config(home: Path, environ: Mapping[str, str], flags: Mapping[str, Any]) -> NodeConfig:
    """Merge the settings of all sources.

    Args:
        home: Folder that may hold config.toml.
        environ: The process environment.
        flags: Values from the command line; None means not given.

    Raises:
        SettingsError: A setting is unknown or invalid; the message names it and its source.
    """
    path = home / "config.toml"
    values = _from_toml(path)
    sources = {name: str(path) for name in values}
    for name, text in environ.items():
        if name.startswith(_ENV_PREFIX):
            field = name.removeprefix(_ENV_PREFIX).lower()
            values[field], sources[field] = _from_text(text), name
    for field, value in flags.items():
        if value is not None:
            values[field], sources[field] = value, "--" + field.replace("_", "-")
    try:
        return NodeConfig.model_validate(values)
    except ValidationError as error:
        raise _settings_error(error, sources) from error


def _from_toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not readable TOML: {error}.", "Correct the file, or move it away.") from error


def _from_text(text: str) -> Any:
    """An environment value as TOML if it parses (numbers, true, lists), else as plain text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _settings_error(error: ValidationError, sources: Mapping[str, str]) -> SettingsError:
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else "?"
    known = ", ".join(sorted(NodeConfig.model_fields))
    if first["type"] == "extra_forbidden":
        return SettingsError(f"Unknown setting {field!r} from {sources.get(field, '?')}.", f"Known settings: {known}.")
    return SettingsError(
        f"Invalid setting {field} = {first['input']!r} (from {sources.get(field, '?')}): {_constraint(first['msg'])}.",
        "Correct it there.",
    )


def _constraint(message: str) -> str:
    """Shorten "Input should be greater than or equal to 5" of pydantic to "must be at least 5"."""
    for phrase, shorter in _SHORTER.items():
        message = message.replace(phrase, shorter)
    return message


def default_home() -> Path:
    """PARIS_HOME, or the system's user data folder.

    Raises:
        SettingsError: This user has no home folder.
    """
    if home := os.environ.get("PARIS_HOME"):
        return expanded(Path(home))
    from platformdirs import user_data_path

    return expanded(user_data_path("paris-node", appauthor=False))
