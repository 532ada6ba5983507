"""`paris-node check`: one verdict line for each thing that a join needs."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.node.errors import explain
from paris.node.hub.account import account_token
from paris.node.hub.client import Hub, translated
from paris.node.hub.tokens import PlainHttpError, hub_token
from paris.node.join.resolve import Address, resolve
from paris.node.machine.config import NodeConfig, load_config
from paris.node.machine.hardware import detect, gib
from paris.node.machine.home import Home
from paris.protocol.errors import NoPeersError, ParisError, RecordError, reason_of
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.signing import Identity

_CONNECT_TIMEOUT_S = 5.0
_MIN_FREE_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Line:
    """One line."""

    name: str
    passed: bool
    text: str


def check(run: str | None, home_path: Path, run_id: str | None, flags: dict[str, Any]) -> Iterator[Line]:
    """Check everything that `join` needs, without joining.

    Args:
        run: RUN, or None to check the machine alone.
        home_path: The home.
        run_id: From `--run`.
        flags: Settings given on the command line.

    Yields:
        One line per check; a failed one names the next step.
    """
    home = Home(home_path)
    config = load_config(home_path, os.environ, flags)

    def device() -> str:
        hardware = detect(config, home_path)
        return f"{hardware.device} ({hardware.label}), {gib(hardware.memory_bytes)} of memory"

    yield _line("device", device)
    yield _line("disk", lambda: _disk(home_path))
    if run is None:
        return
    addresses: list[Address] = []

    def resolved() -> str:
        token = hub_token(home_path, config, os.environ, config.hub_endpoint or PUBLIC_ENDPOINT)
        addresses.append(resolve(run, home=home, config=config, run_id=run_id, token=token))
        return f"{addresses[0].run_id}, {len(addresses[0].initial_peers)} peers"

    yield _line("run", resolved)
    if not addresses:
        return
    for address in addresses[0].initial_peers:
        yield _line(f"peer {address}", lambda address=address: _dial(address))  # type: ignore[misc]
    if addresses[0].spec is not None:
        endpoint = config.hub_endpoint or addresses[0].spec.payload.hub_endpoint
        hub, refusal = _account(home, config, endpoint)
        repo = addresses[0].spec.payload.data_repo
        yield _line("hub", lambda: _hub(hub, repo))
        yield _line("token", lambda: _token(hub, refusal))


def _account(home: Home, config: NodeConfig, endpoint: str) -> tuple[Hub, PlainHttpError | None]:
    """The Hub; without a token where it is plain http on another machine, and why."""
    try:
        return Hub(endpoint, account_token(home.path, config, Identity.load_or_create(home.identity), endpoint)), None
    except PlainHttpError as error:
        return Hub(endpoint, None), error


def _line(name: str, look: Callable[[], str]) -> Line:
    try:
        return Line(name, True, look())
    except (ParisError, OSError) as error:
        told = explain(error)
        return Line(name, False, f"{told.what} {told.next_step}".strip())


def _disk(home: Path) -> str:
    existing = next(path for path in (home, *home.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < _MIN_FREE_BYTES:
        raise ParisError(f"Only {gib(free)} are free at {existing}.", "Free some space, or choose another --home.")
    if not os.access(existing, os.W_OK):
        raise ParisError(f"{existing} is not writable.", "Choose another --home.")
    return f"{gib(free)} free at {existing}"


def _dial(address: str) -> str:
    """Open a TCP connection to a peer's multiaddr; who answers is checked by joining."""
    parts = address.split("/")
    if (
        len(parts) < 5
        or parts[1] not in ("ip4", "ip6", "dns", "dns4", "dns6")
        or parts[3] != "tcp"
        or not parts[4].isdigit()
    ):
        raise RecordError(f"{address} is not a TCP multiaddr.", "It reads /ip4/HOST/tcp/PORT/p2p/ID.")
    began = time.monotonic()
    try:
        with socket.create_connection((parts[2], int(parts[4])), timeout=_CONNECT_TIMEOUT_S):
            return f"answers in {1000 * (time.monotonic() - began):.0f} ms"
    except OSError as error:
        raise NoPeersError(
            f"No answer: {reason_of(error)}.", "Check the network and firewall; ask the organiser for other peers."
        ) from error


def _hub(hub: Hub, repo: str) -> str:
    with translated(f"asking {hub.endpoint} for {repo}"):
        sha = hub.api.repo_info(repo, repo_type="dataset").sha
    return f"{hub.endpoint} serves {repo} at {str(sha)[:12]}"


def _token(hub: Hub, refusal: PlainHttpError | None) -> str:
    if refusal is not None:
        raise refusal
    if hub.token is None:
        raise ParisError("There is no token; contributions need one.", "Set PARIS_HUB_TOKEN=...")
    return f"belongs to {hub.user_name()}"
