"""`paris-coord init`: a new run directory from a recipe, with its own key and free ports."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from paris.coordinator.errors import ConfigError
from paris.coordinator.run.config import RunConfig, dump_config, load_recipe
from paris.coordinator.run.config_tables import RunTable
from paris.coordinator.run.directory import RunDir, require_empty, require_writable
from paris.coordinator.run.stretches import snapshots_for
from paris.experts.files import write_whole
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.signing import Identity


def create_run(
    path: Path,
    *,
    recipe: str,
    name: str | None = None,
    hub_endpoint: str | None = None,
    host: str | None = None,
    hub_port: int = 0,
) -> RunDir:
    """Create a run directory with a new signing key.

    Args:
        path: A missing or empty folder.
        recipe: Name of a packaged recipe, or path of a .toml file.
        name: The run's name; None is the recipe's.
        hub_endpoint: An external Hub, in place of the recipe's; None is the recipe's.
        host: IPv4 address at which volunteers reach the DHT peer and the embedded Hub; None is the recipe's.
        hub_port: Port of the embedded Hub; 0 is the recipe's, and a free port if that is 0 too.

    Raises:
        RunDirError: The folder is not empty, or cannot be written.
        ConfigError: The recipe is unknown, the name, address or endpoint is invalid, or a port is given although the
            Hub is not embedded. Nothing is created.
    """
    require_empty(path)
    config = _with_name(load_recipe(recipe), name)
    return write_run(path, config, hub_endpoint=hub_endpoint, host=host, hub_port=hub_port)


def write_run(
    path: Path,
    config: RunConfig,
    *,
    hub_endpoint: str | None = None,
    host: str | None = None,
    hub_port: int = 0,
    text: Callable[[RunConfig], str] = dump_config,
) -> RunDir:
    """Create a run directory with a new signing key from settings.

    Args:
        path: A missing or empty folder.
        config: The settings; each port 0 becomes a free one. Where they do not say otherwise, states of legs are
            compact, and legs of a number of steps have 20 stretches.
        hub_endpoint: As of `create_run`, as are `host` and `hub_port`.
        host: See there.
        hub_port: See there.
        text: Writes the settings as TOML.

    Raises:
        RunDirError: The folder is not empty, or cannot be written.
        ConfigError: The address or endpoint is invalid, or a port is given although the Hub is not embedded. Nothing
            is created.
        OSError, DiskFullError: It cannot be written. The folder is empty again.
    """
    require_empty(path)
    if hub_port and (hub_endpoint is not None or not config.hub.embedded):
        other = hub_endpoint or config.hub.endpoint
        raise ConfigError(
            f"--hub-port {hub_port} needs an embedded Hub, but this run uses {other}.",
            "Remove --hub-port or --hub.",
        )
    config = _with_snapshots(_with_state(_with_endpoints(with_host(config, host, hub_port), hub_endpoint)))
    require_writable(path)
    written = text(config).encode()  # before anything is written
    try:
        identity = Identity.load_or_create(path / "keys" / "run.key")
        write_whole(path / "run.toml", written)
    except BaseException:  # what is left would refuse the next try
        shutil.rmtree(path / "keys", ignore_errors=True)
        raise
    return RunDir(path.resolve(), config, identity)


def require_addresses(hub_endpoint: str | None, host: str | None) -> None:
    """Refuse what `write_run` would refuse, before longer work.

    Raises:
        ConfigError: The Hub's endpoint is no URL, or the host no IPv4 address of this machine.
    """
    if hub_endpoint is not None:
        _valid_endpoint(hub_endpoint)
    if host is not None:
        free_port(_ipv4(host))


def _with_name(config: RunConfig, name: str | None) -> RunConfig:
    if name is None:
        return config
    try:
        run = RunTable.model_validate({**config.run.model_dump(), "name": name})
    except ValueError as error:
        raise ConfigError(
            f"Invalid run name {name!r}.", "Use 1 to 40 lower-case letters, digits and inner hyphens."
        ) from error
    return config.model_copy(update={"run": run})


def _with_state(config: RunConfig) -> RunConfig:
    """Written down in new runs: a run.toml without it, from before there was a choice, has exact states.

    So have lanes, whose states have a mean, and no other run rounds its states for nothing.
    """
    if config.leg_steps is None or config.tasks.lanes > 1:
        return config
    return config.model_copy(update={"training": {"state": "compact", **config.training}})


def _with_snapshots(config: RunConfig) -> RunConfig:
    """Written down in new runs: snapshots decide what a replay costs."""
    leg_steps = None if config.tasks.leg_steps is None else config.leg_steps
    every = None if leg_steps is None or "snapshot_every" in config.training else snapshots_for(leg_steps)
    if every is None:
        return config
    return config.model_copy(update={"training": {**config.training, "snapshot_every": every}})


def _with_endpoints(config: RunConfig, hub_endpoint: str | None) -> RunConfig:
    """Set an external Hub's endpoint, and replace each port 0 by a free port."""
    hub, dht = config.hub, config.dht
    if hub_endpoint is not None:
        hub = hub.model_copy(update={"endpoint": _valid_endpoint(hub_endpoint).rstrip("/"), "embedded": False})
    elif hub.embedded and urlsplit(hub.endpoint).port == 0:
        host = urlsplit(hub.endpoint).hostname
        hub = hub.model_copy(update={"endpoint": f"http://{host}:{free_port(str(host))}"})
    listen = [
        f"{address[:-1]}{free_port(address.split('/')[2])}" if address.endswith("/tcp/0") else address
        for address in dht.listen
    ]
    return config.model_copy(update={"hub": hub, "dht": dht.model_copy(update={"listen": listen})})


def _valid_endpoint(endpoint: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+.*", endpoint):
        raise ConfigError(f"Invalid Hub endpoint {endpoint!r}.", f"Give a URL such as {PUBLIC_ENDPOINT}.")
    return endpoint


def with_host(config: RunConfig, host: str | None, hub_port: int) -> RunConfig:
    """Set where volunteers reach the DHT peer and the embedded Hub.

    Args:
        config: The settings.
        host: IPv4 address of this machine; None keeps what they say.
        hub_port: Of the embedded Hub; 0 keeps it.

    Raises:
        ConfigError: The host is no IPv4 address of this machine.
    """
    hub, dht = config.hub, config.dht
    if host is not None:
        host = _ipv4(host)
        listen = [re.sub(r"^/ip4/[^/]+", f"/ip4/{host}", address) for address in dht.listen]
        dht = dht.model_copy(update={"listen": listen})
    if hub.embedded and (host is not None or hub_port):
        url = urlsplit(hub.endpoint)
        hub = hub.model_copy(update={"endpoint": f"http://{host or url.hostname}:{hub_port or url.port or 0}"})
    return config.model_copy(update={"hub": hub, "dht": dht})


def _ipv4(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError as error:
        raise ConfigError(
            f"{host!r} is not an IPv4 address.",
            "Give the address at which volunteers reach this machine, such as 192.0.2.7.",
        ) from error


def free_port(host: str) -> int:
    """Pick a free port; run.toml keeps it, so that a restarted coordinator has the same address.

    Raises:
        ConfigError: The address does not belong to this machine.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError(
            f"This machine cannot listen at {host}: {error.strerror}.", "Give an address of this machine."
        ) from error
