"""Bringing a coordinator up and down: lock, Hub, DHT peer, published description, then the loop."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from paris.coordinator.children import Children
from paris.coordinator.embedded_hub import organiser_token, start_embedded_hub
from paris.coordinator.errors import HubError, NotReadyError
from paris.coordinator.executor import Executor
from paris.coordinator.hub_client import RunHub
from paris.coordinator.initial_weights import initial_weights
from paris.coordinator.locks import served
from paris.coordinator.observations import Event
from paris.coordinator.publications import Publisher
from paris.coordinator.run_data import load_manifests
from paris.coordinator.rundir import RunDir
from paris.coordinator.service import Service
from paris.coordinator.spec import make_policy, make_spec
from paris.coordinator.store import Store
from paris.coordinator.work import Work
from paris.experts.files import file_sha256, write_whole
from paris.protocol.dht.options import NetworkOptions
from paris.protocol.dht.peer import Peer
from paris.protocol.envelope import seal
from paris.protocol.manifest import Manifest
from paris.protocol.records import PartFile, RunSpec

_RUN_JSON_LIFE_S = 7 * 86400.0


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
    with served(run):
        try:
            embedded = start_embedded_hub(run, children) if run.config.hub.embedded else None
            hub = connect_hub(run, children, start_embedded=False)
            hub.ensure_repos()
            _serve_with(run, hub, children, log, stop, embedded.keep_alive if embedded else lambda: False)
        finally:
            children.stop()


def connect_hub(run: RunDir, children: Children, *, start_embedded: bool = True) -> RunHub:
    """The run's Hub; where it is embedded, started first as a child process.

    Args:
        run: The run directory.
        children: Where the embedded Hub is started.
        start_embedded: False where a running `serve` has it up already.

    Raises:
        HubError: No token, or the embedded Hub did not come up.
    """
    table = run.config.hub
    if table.embedded and start_embedded:
        start_embedded_hub(run, children)
    return RunHub(table.endpoint, _token(run), table.model_repo, table.data_repo)


def _token(run: RunDir) -> str:
    if run.config.hub.embedded:
        return organiser_token(run)
    token = os.environ.get("PARIS_HUB_TOKEN", "")
    if not token:
        raise HubError("No token for the Hub.", "Set PARIS_HUB_TOKEN to a token with write access to the run's repos.")
    return token


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
        _publish_run_json(run, hub, spec)
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


def publish_data(run: RunDir, hub: RunHub, log: Callable[[Event], None]) -> list[Manifest]:
    """Upload the prepared data once; `published.json` remembers the commit.

    Args:
        run: A prepared run directory.
        hub: Its repos, which exist.
        log: Told of an upload.

    Returns:
        The manifests at the commit that holds their shards.

    Raises:
        NotReadyError: What all experts start from is not made yet, or not what its record says; nothing is uploaded.
        HubError: The Hub refused, or did not answer.
    """
    record = run.data / "published.json"
    digests = [manifest.sha256 for manifest in load_manifests(run)]
    start = initial_weights(run)
    digests += [start.sha256] if start else []
    known = json.loads(record.read_text("utf-8")) if record.is_file() else {}
    if known.get("manifests") != digests or known.get("repo") != hub.data_repo:
        if start:
            _require_whole(run.data / start.path, start)
        revision = hub.upload_data(run.data)
        known = {"repo": hub.data_repo, "revision": revision, "manifests": digests}
        write_whole(record, json.dumps(known, indent=1).encode())
        log(Event("uploaded", f"Shards and manifests are on the Hub at {revision[:12]}."))
    return load_manifests(run, known["revision"])


def _require_whole(path: Path, named: PartFile) -> None:
    """What all experts start from is what its record says: looked at once, before it travels."""
    if file_sha256(path) != named.sha256:
        what = f"{path} is not the file of {named.sha256[:12]}... that its record names."
        raise NotReadyError(what, "Make it again: paris-coord warm-start or prepare.")


def _publish_run_json(run: RunDir, hub: RunHub, spec: RunSpec) -> None:
    """Sign the description with the present peers, for files and for the Hub."""
    now = time.time()
    envelope = seal(
        spec,
        run.identity,
        run_id=run.run_id,
        sequence=int(now * 1000),
        issued_at=now,
        expires_at=now + _RUN_JSON_LIFE_S,
    )
    hub.upload_file("run.json", envelope.data, "Run description with the present peers")
    write_whole(run.run_json, envelope.data)


def stop_on_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
