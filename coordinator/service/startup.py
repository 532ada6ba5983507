"""Starting and stopping a coordinator: lock, Hub, DHT peer, published description, then the loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from paris.coordinator.children import Children
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.errors import DatabaseError, DeposedError, HubError
from paris.coordinator.model_repo.keeping import ModelRepo
from paris.coordinator.run.database import PostgresSchema
from paris.coordinator.run.derived import derived_secret
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import serve_lock
from paris.coordinator.run.page_token import ensure_page_token
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.connect import connect_hub
from paris.coordinator.run_hub.embedded import start_embedded_hub
from paris.coordinator.service.executor import Executor, Workers
from paris.coordinator.service.garbage import collect_garbage
from paris.coordinator.service.grids import SampleGrids
from paris.coordinator.service.health import HealthReport
from paris.coordinator.service.hub_way import open_hub_way
from paris.coordinator.service.lane_means import LaneMeans
from paris.coordinator.service.line import LineDesk
from paris.coordinator.service.loop import Server, Service
from paris.coordinator.service.notices import Notifier
from paris.coordinator.service.page import PageServer
from paris.coordinator.service.publisher import Publisher
from paris.coordinator.service.registering import Registrar
from paris.coordinator.service.releases import Releaser
from paris.coordinator.service.router import RouterTrainer
from paris.coordinator.service.standing import Claim, stand
from paris.coordinator.service.swarm import DhtWay
from paris.coordinator.service.tasks import require_same_sizes
from paris.coordinator.service.upload import publish_data, publish_run_json
from paris.coordinator.service.verifier import Verifier
from paris.coordinator.service.verifying import VerifyingProcesses
from paris.coordinator.service.ways import Ways
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.reading import open_own_store
from paris.coordinator.state.store import SEEN_BEATS
from paris.coordinator.verify import VerificationBounds
from paris.protocol.clock import SteadyClock
from paris.protocol.run_records import RunSpec
from paris.protocol.sealer import Sealer

logger = logging.getLogger(__name__)
_AGAIN_S = 10.0
"""With a database, how long after an error this coordinator stands again; meanwhile another one may lead."""
_SHORTEST_SILENCE_S, _STEPS_MISSED = 60.0, 12
"""Without so many steps, and for so long, the line falls silent; a step may wait for a Hub that does not answer."""
_LAST_NOTICES_S = 5.0
"""How long a stop waits for webhooks that do not answer."""


@dataclass
class _Past:
    """What a claim to lead leaves to the next one of this coordinator."""

    has_lost: bool = False
    """Whether the lead was lost, or ended before the state was taken over."""


def serve(run: RunDir, log: Callable[[Event], None], stop: threading.Event) -> None:
    """Run the coordinator until `stop` is set; with a database, beside others of which one leads.

    With a database, a Hub or database that fails later than at the first look ends the lead alone: this coordinator
    stands again.

    Args:
        run: A prepared run directory.
        log: Receives events for people.
        stop: Set by a signal handler.

    Raises:
        RunDirError: Another coordinator serves this directory, nothing is prepared, or tasks were opened for other
            sizes.
        PortTakenError: The DHT's, the embedded Hub's or the page's port is in use.
        WorkerError: The page did not start.
        HubError: The Hub does not answer or refuses, and the run has no database.
        ConfigError: The embedded Hub's endpoint names no host and port.
        DatabaseError: The state is damaged, or its database does not answer.
    """
    run.require_prepared()
    with serve_lock(run):
        open_own_store(run).close()
        past = _Past()
        while not stop.is_set():
            try:
                _serve(run, log, stop, past)
            except DeposedError as error:
                past.has_lost = True
                log(Event(EventKind.PROBLEM, str(error)))
            except (DatabaseError, HubError) as error:
                if not isinstance(run.state, PostgresSchema):
                    raise
                log(Event(EventKind.PROBLEM, str(error)))
                stop.wait(_AGAIN_S)


def _serve(run: RunDir, log: Callable[[Event], None], stop: threading.Event, past: _Past) -> None:
    """Lead the run, once it is this coordinator's to lead, until `stop` is set.

    Args:
        run: As of `serve`.
        log: As of `serve`.
        stop: As of `serve`.
        past: What an earlier claim has left, and this one leaves.

    Raises:
        DeposedError: Another coordinator leads by now; everything is ended.
    """
    # Exits run in reverse order: first the actions end, last the children.
    with ExitStack() as stack:
        children = Children(run.logs)
        stack.callback(children.stop)
        # From below on, `log` is the one that webhooks are told of, too.
        claim = stand(run, lambda event: log(event), stack)
        if not claim.wait(stop):
            return
        after_loss, past.has_lost = past.has_lost, True
        servers: list[Server] = [start_embedded_hub(run, children)] if run.config.hub.embedded else []
        hub = replace(connect_hub(run, children, start_embedded=False), require_lead=claim.require)
        hub.ensure_repos()
        store = open_own_store(run, seen_every_s=SEEN_BEATS * run.config.tasks.heartbeat_every_s)
        stack.callback(store.close)
        require_same_sizes(run, store.load().tasks.values())
        log = _with_notices(run, log, stack)
        logger.info("Freed %d bytes of old submissions.", collect_garbage(run, store.load()))
        claim.take_over(store, after_loss=after_loss)
        past.has_lost = False
        sealer = Sealer(run.identity, run.run_id, sequences=claim.sequences)
        ways = _published(run, hub, sealer, claim, log, stack)
        servers += _start_page(run, children, log)
        executor = make_executor(run, ways.spec, hub, sealer, children, log)
        stack.callback(executor.stop)
        service = Service(
            ways=ways,
            servers=servers,
            store=store,
            executor=executor,
            policy=make_policy(run),
            clock=SteadyClock(),
            log=log,
        )
        report = HealthReport(run, claim.peer, executor)

        def after_step(tick_s: float) -> None:
            report(tick_s)
            if claim.keep():
                _describe(run, hub, sealer, claim, ways.describe)

        service.run(stop, run.config.tasks.tick_every_s, after_step)


def _published(
    run: RunDir, hub: RunHub, sealer: Sealer, claim: Claim, log: Callable[[Event], None], stack: ExitStack
) -> Ways:
    """Upload the data and the description, and open the ways to volunteers."""
    manifests = publish_data(run, hub, log)
    spec = _describe(run, hub, sealer, claim)
    log(Event(EventKind.SERVING, f"Run {run.run_id}: join with  {run.join_command}"))
    wake = threading.Event()
    every_s = run.config.tasks.tick_every_s
    silent_after_s = max(_SHORTEST_SILENCE_S, _STEPS_MISSED * every_s)
    desk = LineDesk(run.run_id, spec, sealer, wake, silent_after_s=silent_after_s, every_s=every_s)
    claim.peer.on_start(lambda peer: peer.serve_line(desk))
    dht = DhtWay(spec, claim.peer, Publisher(sealer))
    return Ways(spec, manifests, [desk, dht, *open_hub_way(run, hub, sealer, stack)], wake)


def _describe(
    run: RunDir, hub: RunHub, sealer: Sealer, claim: Claim, show: Callable[[RunSpec], None] = lambda spec: None
) -> RunSpec:
    """The run's description with the present addresses, shown, then in run.json on the Hub and here.

    It is shown even while the Hub fails; `claim` asks for it again then.
    """
    addresses = claim.addresses()
    logger.info("The coordinators' peers listen on %s.", ", ".join(addresses))
    spec = make_spec(run, addresses)
    show(spec)
    publish_run_json(run, hub, sealer, spec)
    claim.told(addresses)
    return spec


def _with_notices(run: RunDir, log: Callable[[Event], None], stack: ExitStack) -> Callable[[Event], None]:
    """The log, with the problems also told to the webhooks; a thread posts to these until the stack ends."""
    if not run.config.notify.webhooks:
        return log
    notifier, stop = Notifier(run, log), threading.Event()
    thread = threading.Thread(target=notifier.run, args=(stop,), name="notices", daemon=True)
    thread.start()
    stack.callback(thread.join, _LAST_NOTICES_S)
    stack.callback(stop.set)

    def noted(event: Event) -> None:
        log(event)
        notifier.note(event)

    return noted


def _start_page(run: RunDir, children: Children, log: Callable[[Event], None]) -> list[Server]:
    """Start the page's own server, if the run has one, and say where its page is."""
    servers: list[Server] = []
    ensure_page_token(run.path)
    if run.config.page.listen is not None:
        page = PageServer(run, children)
        log(Event(EventKind.SERVING, f"The run's page: {page.start()}"))
        servers.append(page)
    if run.config.hub.embedded:
        log(Event(EventKind.SERVING, f"The run's page beside the Hub: {run.config.hub.endpoint.rstrip('/')}/run"))
    return servers


def make_executor(
    run: RunDir, spec: RunSpec, hub: RunHub, sealer: Sealer, children: Children, log: Callable[[Event], None]
) -> Executor:
    """What carries out the run's actions.

    Args:
        run: The run directory.
        spec: The run's description, as published.
        hub: The run's repos.
        sealer: Signs verdicts.
        children: Starts child processes.
        log: Receives an event when an action failed.
    """
    workers = Workers(
        verifier=Verifier(run, spec, hub, VerifyingProcesses(children)),
        registrar=Registrar(hub, sealer, run.verify),
        lane_means=LaneMeans(hub, run.verify, children),
        router=RouterTrainer(run, children),
        releaser=Releaser(run, children),
        model_repo=ModelRepo(run, hub),
        grids=SampleGrids(run, spec, children) if run.config.page.samples else None,
    )
    return Executor(workers, children, lambda text: log(Event(EventKind.PROBLEM, text)))


def make_policy(run: RunDir) -> Policy:
    """The policy of `tick`, from run.toml."""
    table = run.config.tasks
    bounds = VerificationBounds.model_validate(run.config.verify_settings)
    return Policy(
        lease_s=table.lease_s,
        heartbeat_every_s=table.heartbeat_every_s,
        want_life_s=max(10.0, 4 * table.heartbeat_every_s),
        train_router_after=run.config.router.train_after,
        allowed_only=table.allowed_only,
        min_node_version=table.min_node_version,
        leg_steps=run.config.leg_steps,
        leg_s=None if table.leg_hours is None else table.leg_hours * 3600,
        lanes=table.lanes,
        replicas=table.replicas,
        snapshot_every=run.config.snapshot_every,
        replay_rate=bounds.replay_rate if bounds.replay else None,
        audits=bounds.replay and bounds.audits == "volunteers",
        audit_s=bounds.audit_hours * 3600,
        audit_draw_s=bounds.audit_draw_hours * 3600,
        audit_wait_s=bounds.audit_wait_hours * 3600,
        bait_rate=bounds.bait_rate,
        roll_back_wrong=bounds.roll_back_wrong,
        replay_bound=bounds.max_replay(str(run.config.training.get("precision", "float32"))),
        answer_s=bounds.answer_hours * 3600,
        draw_key=derived_secret(run, "draws").hex(),
    )
