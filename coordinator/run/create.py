"""`paris-coord init`: a new run directory from a recipe, with its own key and free ports."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from paris.coordinator.errors import ConfigError
from paris.coordinator.run.config import RunConfig, dump_config, load_recipe
from paris.coordinator.run.directory import RunDir, require_empty
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
    """Make a run directory.

    Args:
        path: A folder that does not exist yet or is empty.
        recipe: Name of a packaged recipe.
        name: The run's name; the recipe's where None.
        hub_endpoint: Another Hub than the recipe's; then none is embedded.
        host: IPv4 address of this machine that volunteers reach it at; None leaves the recipe's, for the DHT and the
            embedded Hub.
        hub_port: Port of the embedded Hub; 0 leaves the recipe's. Where that is 0 too, a free one is taken.

    Raises:
        RunDirError: The folder is not empty; nothing is changed.
        ConfigError: The recipe is unknown, or the name, the address or the endpoint is not allowed, or a port is given
            for a Hub that is not embedded; nothing is made.
    """
    require_empty(path)
    config = load_recipe(recipe)
    if hub_port and (hub_endpoint is not None or not config.hub.embedded):
        other = hub_endpoint or config.hub.endpoint
        raise ConfigError(
            f"--hub-port {hub_port} is for an embedded Hub, but this run's is elsewhere: {other}.",
            "Leave out --hub-port, or --hub.",
        )
    config = _adapt(_at_host(config, host, hub_port), name, hub_endpoint)
    identity = Identity.load_or_create(path / "keys" / "run.key")
    write_whole(path / "run.toml", dump_config(config).encode())
    return RunDir(path.resolve(), config, identity)


def _adapt(config: RunConfig, name: str | None, hub_endpoint: str | None) -> RunConfig:
    run, hub, dht = config.run, config.hub, config.dht
    if name is not None:
        fields = {**run.model_dump(), "name": name}
        try:
            run = type(run).model_validate(fields)
        except ValueError as error:
            raise ConfigError(
                f"{name!r} cannot be a run's name.", "Use 1 to 40 lower-case letters, digits and inner hyphens."
            ) from error
    if hub_endpoint is not None:
        hub = hub.model_copy(update={"endpoint": _checked(hub_endpoint).rstrip("/"), "embedded": False})
    elif hub.embedded and urlsplit(hub.endpoint).port == 0:
        host = urlsplit(hub.endpoint).hostname
        hub = hub.model_copy(update={"endpoint": f"http://{host}:{free_port(str(host))}"})
    listen = [
        f"{address[:-1]}{free_port(address.split('/')[2])}" if address.endswith("/tcp/0") else address
        for address in dht.listen
    ]
    return config.model_copy(update={"run": run, "hub": hub, "dht": dht.model_copy(update={"listen": listen})})


def _checked(endpoint: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+.*", endpoint):
        raise ConfigError(f"{endpoint!r} is not a Hub's endpoint.", f"Give a URL, as in {PUBLIC_ENDPOINT}.")
    return endpoint


def _at_host(config: RunConfig, host: str | None, hub_port: int) -> RunConfig:
    """What is not given stays as the recipe has it."""
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
            f"{host!r} is not an IPv4 address.", "Give the address that volunteers reach, as in 192.0.2.7."
        ) from error


def free_port(host: str) -> int:
    """A port that is free now; the run keeps it, so that a restarted coordinator is found where it was.

    Raises:
        ConfigError: The address is not one of this machine.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError(
            f"This machine cannot listen at {host}: {error.strerror}.", "Give an address of this machine."
        ) from error
