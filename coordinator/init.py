"""`paris-coord init`: a new run directory from a recipe, with its own key and free ports."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

from paris.coordinator.config import RunConfig, dump_config, load_recipe
from paris.coordinator.errors import ConfigError
from paris.coordinator.rundir import RunDir, require_empty, write_whole
from paris.protocol.signing import Identity


def create_run(path: Path, *, recipe: str, name: str | None, hub_endpoint: str | None) -> RunDir:
    """Make a run directory.

    Args:
        path: A folder that does not exist yet or is empty.
        recipe: Name of a packaged recipe.
        name: The run's name; the recipe's where None.
        hub_endpoint: Another Hub than the recipe's; then none is embedded.

    Raises:
        RunDirError: The folder is not empty; nothing is changed.
        ConfigError: The recipe is unknown, or the name is not allowed.
    """
    require_empty(path)
    config = _adapt(load_recipe(recipe), name, hub_endpoint)
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
    listen = [address.replace("/tcp/0", f"/tcp/{free_port('127.0.0.1')}") for address in dht.listen]
    return config.model_copy(update={"run": run, "hub": hub, "dht": dht.model_copy(update={"listen": listen})})


def free_port(host: str) -> int:
    """A port that is free now; the run keeps it, so that a restarted coordinator is found where it was."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
