"""`paris-coord init`: a new run directory from a recipe, with its own key and free ports."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from paris.coordinator.config import RunConfig, dump_config, load_recipe
from paris.coordinator.errors import ConfigError
from paris.coordinator.rundir import RunDir, require_empty, write_whole
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
        host: IPv4 address that volunteers reach this machine at; None for loopback.
        hub_port: Port of the embedded Hub; 0 takes a free one.

    Raises:
        RunDirError: The folder is not empty; nothing is changed.
        ConfigError: The recipe is unknown, or the name or the address is not allowed.
    """
    require_empty(path)
    config = _adapt(_at_host(load_recipe(recipe), host, hub_port), name, hub_endpoint)
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
        hub = hub.model_copy(update={"endpoint": hub_endpoint.rstrip("/"), "embedded": False})
    elif hub.embedded and urlsplit(hub.endpoint).port == 0:
        host = urlsplit(hub.endpoint).hostname
        hub = hub.model_copy(update={"endpoint": f"http://{host}:{free_port(str(host))}"})
    listen = [address.replace("/tcp/0", f"/tcp/{free_port(address.split('/')[2])}") for address in dht.listen]
    return config.model_copy(update={"run": run, "hub": hub, "dht": dht.model_copy(update={"listen": listen})})


def _at_host(config: RunConfig, host: str | None, hub_port: int) -> RunConfig:
    host = host or "127.0.0.1"
    try:
        address = str(IPv4Address(host))
    except ValueError as error:
        raise ConfigError(
            f"{host!r} is not an IPv4 address.", "Give the address that volunteers reach, as in 192.0.2.7."
        ) from error
    listen = [f"/ip4/{address}/tcp/0"]
    hub = config.hub
    if hub.embedded:
        hub = hub.model_copy(update={"endpoint": f"http://{address}:{hub_port}"})
    return config.model_copy(update={"hub": hub, "dht": config.dht.model_copy(update={"listen": listen})})


def free_port(host: str) -> int:
    """A port that is free now; the run keeps it, so that a restarted coordinator is found where it was.

    Raises:
        ConfigError: The address is not one of this machine.
    """
    try:
        with socket.socket() as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError(
            f"This machine cannot listen at {host}: {error.strerror}.", "Give an address of this machine."
        ) from error
