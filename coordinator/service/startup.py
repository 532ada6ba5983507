"""Bringing a coordinator up and down: lock, Hub, DHT peer, published description, then the loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from paris.coordinator.children import Children
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import serve_lock
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.connect import connect_hub
from paris.coordinator.run_hub.embedded import start_embedded_hub
from paris.coordinator.service.actions import Work
from paris.coordinator.service.executor import Executor
from paris.coordinator.service.loop import Service
from paris.coordinator.service.publisher import Publisher
from paris.coordinator.service.upload import publish_data, publish_run_json
from paris.coordinator.state.events import Event
from paris.coordinator.state.store import Store
from paris.protocol.dht.options import NetworkOptions
from paris.protocol.dht.peer import Peer


def serve(run: RunDir, log: Callable[[Event], None], stop: threading.Event) -> None:
    """Run the coordinator until `stop` is set.

    Args:
        run: A prepared run directory.
        log: Receives events for people.
        stop: Set by a signal handler.

    Raises:
        RunDirError: Another coordinator serves this directory, or nothing is prepared.
        PortTakenError: The DHT's or the embedded Hub's port is in use.
        HubError: The Hub does not answer or refuses.
        ConfigError: The embedded Hub's endpoint names no host and port.
    """
    run.require_prepared()
    children = Children(run.logs)
    with serve_lock(run):
        try:
            embedded = start_embedded_hub(run, children) if run.config.hub.embedded else None
            hub = connect_hub(run, children, start_embedded=False)
            hub.ensure_repos()
            _serve_with(run, hub, children, log, stop, embedded.keep_alive if embedded else lambda: False)
        finally:
            children.stop()


def _serve_with(
    run: RunDir,
    hub: RunHub,
    children: Children,
    log: Callable[[Event], None],
    stop: threading.Event,
    keep_hub_alive: Callable[[], bool],
) -> None:
    store = Store(run.state_file)
    service: Service | None = None
    executor: Executor | None = None
    peer = start_peer(run)
    try:
        spec = make_spec(run, peer.addresses)
        manifests = publish_data(run, hub, log)
        publish_run_json(run, hub, spec)
        log(Event("serving", f"Run {run.run_id}: join with  paris-node join {run.run_json}"))
        executor = Executor(Work(run, spec, hub, children), lambda text: log(Event("problem", text)), time.time)
        service = Service(
            spec=spec,
            manifests=manifests,
            peer=peer,
            restart_peer=lambda dead: restart_peer(run, dead),
            keep_hub_alive=keep_hub_alive,
            store=store,
            executor=executor,
            publisher=Publisher(run.identity, run.run_id),
            policy=make_policy(run),
            clock=time.time,
            log=log,
        )
        service.run(stop, run.config.tasks.tick_every_s)
    finally:
        if executor is not None:
            executor.stop()
        (service.peer if service is not None else peer).stop()
        store.close()


def start_peer(run: RunDir) -> Peer:
    """The coordinator's DHT peer: the run's own key and port, so that it is found where it was.

    Raises:
        PortTakenError: Its port is in use.
    """
    table = run.config.dht
    return Peer.start(
        run_id=run.run_id,
        coordinator=run.identity.public_key,
        listen=table.listen,
        initial_peers=table.initial_peers,
        identity_path=run.peer_key,
        network=NetworkOptions(
            nat_port_map=table.nat_port_map,
            auto_nat=table.auto_nat,
            use_relay=table.use_relay,
            announce=tuple(table.announce),
        ),
    )


def restart_peer(run: RunDir, dead: Peer) -> Peer:
    """A new peer in the place of one whose daemon died."""
    dead.stop()
    return start_peer(run)


def make_policy(run: RunDir) -> Policy:
    """The numbers that `tick` decides by."""
    table = run.config.tasks
    return Policy(
        lease_s=table.lease_s,
        heartbeat_every_s=table.heartbeat_every_s,
        want_life_s=max(10.0, 4 * table.heartbeat_every_s),
        train_router_after=run.config.router.train_after,
    )
