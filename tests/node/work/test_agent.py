"""What an agent does when the Hub or the run's peers do not do their part."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from file_hub import REVISION
from typer.testing import CliRunner
from units import make_unit

from paris.node.cli import app
from paris.node.control.wishes import Wishes
from paris.node.errors import HubRefusedError, NothingToHandInError
from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.hub.client import Hub
from paris.node.hub.tokens import PlainHttpError
from paris.node.join import joining
from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware
from paris.node.machine.home import Home
from paris.node.machine.machine import Machine
from paris.node.manners.pause import Pause
from paris.node.retry import StopSignal
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.connection import Swarm, Traffic
from paris.node.swarm.session import RunSession
from paris.node.work.agent import Agent
from paris.node.work.data import DataSources
from paris.protocol.errors import NoPeersError, VersionError
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.run_records import SubmittedFile
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.work_records import Submission

COORDINATOR, ME = Identity.generate(), Identity.generate()
RUN = make_run_id("tiny", COORDINATOR.public_key)
LAN = "http://192.168.1.20:8484"
LEASE = make_unit().lease.model_copy(update={"volunteer": ME.public_key, "expires_at": 2e9})


class Peers:
    """Stand where the DHT is; the first `deaf` submissions are not stored."""

    is_up, is_full, look_s, place = True, False, 5.0, None

    def __init__(self) -> None:
        self.heard: list = []
        self.deaf = 0
        self.runs: list = []
        self.tasks: list = []

    def publish(self, envelope) -> bool:
        self.heard.append(envelope)
        self.deaf -= envelope.kind == "submission"
        return envelope.kind != "submission" or self.deaf < 0

    def read(self, kind, part=None) -> list:
        return {"lease": [Sealer(COORDINATOR, RUN).seal(LEASE, 60)], "run": self.runs, "task": self.tasks}.get(kind, [])

    def follow(self, run) -> None:
        self.followed = run

    def traffic(self) -> Traffic:
        return Traffic()

    def of(self, kind: str) -> list:
        return [envelope for envelope in self.heard if envelope.kind == kind]


@pytest.fixture
def peers() -> Peers:
    return Peers()


@pytest.fixture
def make_agent(make_spec, file_hub, peers, tmp_path):
    """An agent with one unfinished unit; the Hub has none of its files."""

    def make(**fields) -> Agent:
        home, unit = Home(tmp_path / "home"), make_unit(**fields)
        home.unit_folder(RUN, "expert-0", 1).save(unit.model_copy(update={"run_id": RUN, "lease": LEASE}))
        text = {"kind": "vocabulary", "path": "vocab.json", "sha256": "0" * 64}
        run = make_spec(identity=COORDINATOR, run_id=RUN, heartbeat_every_s=0.01, text=text)
        sealer = Sealer(ME, RUN)
        session = RunSession(run, "ada", sealer, peers, Announcer(peers, sealer, 3600))
        data = DataSources(Hub(file_hub.endpoint, "secret"), Cache(tmp_path / "cache"), Bandwidth(None), None)
        machine = Machine(home, NodeConfig(), Hardware("cpu", "small CPU", 2**30, 2**30))
        view = SimpleNamespace(event=lambda kind, **fields: None, close=lambda: None)
        return Agent(session, data, machine, view, StopSignal())

    return make


def test_a_unit_whose_files_are_gone_from_the_hub_is_given_back(make_agent, peers):
    agent = make_agent(state="fetching", repo="org/data", revision=REVISION)
    with pytest.raises(HubRefusedError):
        agent.run()
    assert agent.machine.home.unfinished(RUN) is None
    assert [envelope.payload.state for envelope in peers.of("heartbeat")] == ["failed"]


@pytest.mark.long
def test_who_leaves_while_the_node_works_gives_the_task_back(make_agent, peers):
    told = []
    agent = make_agent(state="awaiting-verdict", submission=handed_in())
    view = SimpleNamespace(event=lambda kind, **fields: told.append(fields.get("text")))
    wishes = Wishes(agent._stop)
    wishes.leave()
    joining._work(agent, wishes, view, max_tasks=None, task_wait_s=None)
    assert agent.machine.home.unfinished(RUN) is None
    assert [envelope.payload.state for envelope in peers.of("heartbeat")] == ["failed"]
    assert {envelope.payload.state for envelope in peers.of("want")} == {"leaving"}
    assert "given back" in told[-1]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_node_that_waits_says_so_when_the_run_asks_for_a_newer_one_by_now(make_agent, make_spec, peers, order):
    specs = [make_spec(identity=COORDINATOR, run_id=RUN, min_node_version=least) for least in ("0.0.1", "99.0")]
    peers.runs = [replace(specs[number], sequence=number + 1) for number in order]
    agent = make_agent(state="done")
    with pytest.raises(VersionError, match=r"asks for paris-node 99\.0 or newer, this is") as caught:
        agent.wait_for_lease(None)
    assert "pip install --upgrade" in caught.value.next_step
    assert [envelope.payload.node_version for envelope in peers.of("want")] == []
    assert peers.followed == max(peers.runs, key=lambda run: run.sequence)


def test_the_trainer_starts_with_the_want_where_a_task_is_open_and_ends_with_a_pause_and_with_the_node(
    make_agent, peers
):
    agent, waiting = make_agent(state="done"), []
    peers.tasks = [Sealer(COORDINATOR, RUN).seal(make_unit().task.model_copy(update={"state": "open"}), 60)]

    def look() -> Pause | None:
        process = agent._trainer._process
        waiting.append(process is not None and process.is_running)
        if len(waiting) == 3:
            agent._wishes.finish()
        return Pause("hours", "outside of the hours") if len(waiting) == 2 else None

    agent._wishes.heed(look)
    assert agent.run() == 0
    assert waiting == [False, True, False]
    assert agent._trainer.take() is None


def handed_in() -> Submission:
    ids = {"lease_id": LEASE.lease_id, "task_id": LEASE.task_id, "attempt": LEASE.attempt}
    return Submission(
        **ids,
        name="ada",
        repo="org/model",
        pull_request=1,
        commit="1" * 40,
        files=(SubmittedFile(path="submissions/x/expert.safetensors", sha256="0" * 64, bytes=1),),
        steps=10,
        final_loss=0.5,
        commitment="c" * 64,
    )


def test_who_hands_in_without_waiting_leaves_a_record_of_the_longest_life(make_agent, peers):
    peers.deaf = 2
    make_agent(state="awaiting-verdict", submission=handed_in()).hand_in(waits=False)
    envelopes = peers.of("submission")
    assert len(envelopes) == 3, "two tries were not stored"
    assert envelopes[-1].expires_at - envelopes[-1].issued_at == RECORD_RULES["submission"].max_life_s


def test_that_no_peer_stored_what_is_handed_in_is_said(make_agent, peers):
    peers.deaf = 100
    with pytest.raises(NoPeersError, match="no peer of the run took the record") as caught:
        make_agent(state="awaiting-verdict", submission=handed_in()).hand_in(waits=False)
    assert "paris-node join" in caught.value.next_step


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ([], PlainHttpError),
        (["--allow-plain-http"], NothingToHandInError),
        (["--hub-endpoint", "http://127.0.0.1:9"], NothingToHandInError),
    ],
)
def test_hand_in_says_that_a_token_would_go_over_plain_http(make_spec, tmp_path, monkeypatch, flags, error):
    def unreachable(addresses):
        raise NoPeersError("Nobody answers.", "")

    swarm = Swarm(num_buckets=1, initial_peers=(), start_peer=unreachable)
    monkeypatch.setattr(joining, "wait_for_answer", lambda *_, **__: (make_spec(hub_endpoint=LAN), swarm))
    ended = CliRunner().invoke(app, ["hand-in", "run.json", "--home", str(tmp_path), *flags])
    assert ended.exit_code == error.exit_code, ended.output
