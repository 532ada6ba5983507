"""Both ends of the way through the Hub in one process: a coordinator, volunteers, a gate that counts requests."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from hub_gate import MODELS, Gate, run_hub
from huggingface_hub import CommitOperationAdd

from paris.coordinator.run_hub.mailboxes import HubMailboxes
from paris.coordinator.service.hub_way import HubWay as CoordinatorsWay
from paris.coordinator.service.publisher import Publisher
from paris.coordinator.service.ways import Shown
from paris.node.hub.client import Hub
from paris.node.hub.mailbox import Mailbox
from paris.node.swarm.ways.hub import HubWay
from paris.protocol.hub_layout import SWARM_BRANCH, mailbox_file, mailbox_title
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.summary import summarise
from paris.protocol.validator import RecordJudge
from paris.protocol.want_work import do_work
from paris.protocol.work_records import Heartbeat, Lease, Want

COORDINATOR = Identity.generate()
RUN_ID = make_run_id("tiny", COORDINATOR.public_key)
SPEC = RunSpec(
    name="tiny",
    num_experts=1,
    hub_endpoint="http://127.0.0.1:1",
    data_repo="lab/run-data",
    model_repo=MODELS,
    seed=1,
    model={},
    training={},
    text={},
    codec={},
    heartbeat_every_s=30.0,
    lease_s=300.0,
    licence="cc0",
    want_work_bits=4,
)
TASK = Task(
    task_id="expert-0",
    cluster=0,
    steps=100,
    batch_size=8,
    manifest_sha256="0" * 64,
    data_bytes=1,
    min_memory_bytes=1,
    min_disk_bytes=1,
    deadline_s=100.0,
    grace_s=10.0,
    state="open",
)
SUMMARY = summarise([TASK])
EVERY_S = 60.0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Others:
    """The other ways of a node, which answer as a test says."""

    is_up: bool = False
    name: str = "DHT"
    look_s: float = 5.0


@dataclass
class Volunteer:
    """A node's end of the way."""

    endpoint: str
    token: str
    identity: Identity = field(default_factory=Identity.generate)
    patience_s: float = 0.0
    others: Others = field(default_factory=Others)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.sealer = Sealer(self.identity, RUN_ID)
        self.mailbox = Mailbox(Hub(self.endpoint, self.token), MODELS, self.identity.public_key)
        run = Sealer(COORDINATOR, RUN_ID).seal(SPEC, 900.0)
        self.way = HubWay(self.mailbox, run, [self.others], patience_s=self.patience_s, clock=self.clock)

    def want(self, state: str = "waiting"):
        work = do_work(RUN_ID, self.identity.public_key, 4)
        payload = Want(
            name="ada", device="cpu", memory_bytes=1, disk_bytes=1, state=state, node_version="0.1.0", work=work
        )
        return self.sealer.seal(payload, 120.0)

    def heartbeat(self, lease, step: int):
        attached = lease.data.decode()
        ids = {"lease_id": lease.payload.lease_id, "task_id": "expert-0", "attempt": lease.payload.attempt}
        return self.sealer.seal(Heartbeat(**ids, state="training", step=step, lease=attached), 120.0)


def lease_of(volunteer: Volunteer, attempt: int = 1) -> Lease:
    return Lease(
        lease_id=f"{attempt:032x}",
        task_id="expert-0",
        attempt=attempt,
        volunteer=volunteer.identity.public_key,
        granted_at=time.time(),
        expires_at=time.time() + 300,
    )


class World:
    """A Hub, a gate before it that counts requests, and the coordinator's end of the way."""

    def __init__(self, gate: Gate, add_volunteer) -> None:
        self.gate, self._add_volunteer = gate, add_volunteer
        self.hub = run_hub(gate.url)
        self.restart()

    def restart(self) -> None:
        """A coordinator that knows nothing of an earlier one."""
        self.way = CoordinatorsWay(
            HubMailboxes(self.hub),
            RecordJudge(RUN_ID, COORDINATOR.public_key),
            Publisher(Sealer(COORDINATOR, RUN_ID)),
            run_id=RUN_ID,
            num_buckets=1,
            every_s=EVERY_S,
        )

    def volunteer(self, **settings) -> Volunteer:
        return Volunteer(self.gate.url, self._add_volunteer(), **settings)

    def tell(self, *more) -> None:
        """Show what follows from a state, and let the coordinator's thread have one round."""
        self.way.show(Shown([SPEC, TASK, SUMMARY, *more], None))
        self.way.round()

    def received(self, *kinds: str):
        return list(self.way.received(kinds))

    def open_mailbox(self, key: str, data: bytes, token: str) -> int:
        """A pull request that anybody can make."""
        info = Hub(self.gate.url, token).api.create_commit(
            MODELS,
            [CommitOperationAdd(mailbox_file(key), data)],
            commit_message=mailbox_title(key),
            create_pr=True,
        )
        return int(info.pr_num)

    def status(self, number: int) -> str:
        return self.hub.api.get_discussion_details(MODELS, number).status

    def file(self, path: str) -> bytes | None:
        return HubMailboxes(self.hub).read(path, SWARM_BRANCH, 10**6)

    def num_commits(self) -> int:
        return len(self.hub.api.list_repo_commits(MODELS, revision=SWARM_BRANCH))
