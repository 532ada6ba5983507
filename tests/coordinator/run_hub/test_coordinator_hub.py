"""The organiser's client against a real Hub: what fails is named, what is done twice is harmless."""

from __future__ import annotations

import errno
import hashlib
import json
import socket
import time
from dataclasses import replace

import pytest
from deadlines import DEADLINE_S
from hub_gate import MODELS, STRANGER_TOKEN, WEIGHTS, Gate, run_hub, running_hub, wait_until
from hub_process import Wire
from huggingface_hub import CommitOperationAdd

from paris.coordinator.children import Children
from paris.coordinator.decisions.legs import kept_steps
from paris.coordinator.decisions.observations import Observation, Register, Registered
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.tick import tick
from paris.coordinator.errors import DeposedError, HubError
from paris.coordinator.hub.limits import HubLimits
from paris.coordinator.hub_errors import hub_errors
from paris.coordinator.run.create import create_run
from paris.coordinator.run.lives import LIFE_S
from paris.coordinator.run_hub.browsing import HubReader
from paris.coordinator.run_hub.embedded import EmbeddedHub
from paris.coordinator.service.executor import Executor
from paris.coordinator.service.registering import Registrar
from paris.coordinator.service.startup import make_executor
from paris.coordinator.state.events import Event
from paris.coordinator.state.model import LeaseState, State, SubmissionState, TaskState
from paris.experts.files import DiskFullError
from paris.node.hub.client import Hub
from paris.node.swarm.coordinator_records import verdict_on_hub
from paris.protocol.hub_layout import SUBMISSION_FILE, VERDICT_MARK, submission_folder
from paris.protocol.run_records import SubmittedFile, Task
from paris.protocol.sealer import Sealer
from paris.protocol.work_records import Lease, Rung, Submission, Verdict

VOLUNTEER = "a" * 64
EXPERT = "expert_1/diffusion_pytorch_model.safetensors"
POLICY = Policy(lease_s=600, heartbeat_every_s=10, want_life_s=60, train_router_after=0)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub")) as server:
        run_hub(server.url).ensure_repos()
        yield server


@pytest.fixture
def gate(server):
    with Gate(server.port) as gate:
        yield gate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return create_run(tmp_path_factory.mktemp("run"), recipe="emoji")


@pytest.fixture(scope="module")
def registrar(run, server):
    return Registrar(run_hub(server.url), Sealer(run.identity, run.run_id), run.verify)


def judged(server, accepted: bool, lease: str, data: bytes = WEIGHTS) -> State:
    """A state in which a stranger's real pull request has its verdict."""
    stranger = run_hub(server.url, STRANGER_TOKEN)
    folder = submission_folder("expert-1", 1, VOLUNTEER)
    files = {f"{folder}/expert.safetensors": data, f"{folder}/{SUBMISSION_FILE}": b"{}"}
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    commit = stranger.api.create_commit(MODELS, operations, commit_message="Submit", create_pr=True)
    lease_id, number = lease * 32, int(commit.pr_num)
    task = Task(
        task_id="expert-1", cluster=1, steps=10, batch_size=1, manifest_sha256="0" * 64, data_bytes=1,
        min_memory_bytes=0, min_disk_bytes=0, deadline_s=10, grace_s=1, state="submitted", attempt=1,
    )  # fmt: skip
    file = SubmittedFile(path="expert.safetensors", sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    submission = Submission(
        lease_id=lease_id, task_id="expert-1", attempt=1, name="ada", repo=MODELS, pull_request=number,
        commit=commit.oid, files=(file,), steps=10, final_loss=0.5, commitment="0" * 64,
    )  # fmt: skip
    verdict = Verdict(
        lease_id=lease_id, task_id="expert-1", attempt=1, volunteer=VOLUNTEER, accepted=accepted, reason="as measured",
        rungs=(Rung(rung="skill", passed=accepted, figure=0.9, bound=0.5),),
    )  # fmt: skip
    phase = "accepted" if accepted else "rejected"
    known = SubmissionState(
        submission=submission, signer=VOLUNTEER, envelope="", seen_at=1.0, phase=phase, verdict=verdict
    )
    held = Lease(
        lease_id=lease_id, task_id="expert-1", attempt=1, volunteer=VOLUNTEER, granted_at=0.0, expires_at=60.0
    )  # fmt: skip
    leases = {lease_id: LeaseState(lease=held)}
    return State(tasks={"expert-1": TaskState(task=task)}, submissions={lease_id: known}, leases=leases)


def pull_refs(server) -> list[str]:
    refs = run_hub(server.url).api.list_repo_refs(MODELS, include_pull_requests=True)
    return [ref.ref for ref in refs.pull_requests]


def comments(server, number: int) -> list[str]:
    events = run_hub(server.url).api.get_discussion_details(MODELS, number).events
    return [event.content for event in events if event.type == "comment" and "paris-verdict" in event.content]


def read_as_node(server, run, number: int, lease_id: str) -> Verdict | None:
    hub = Hub(server.url, STRANGER_TOKEN)
    return verdict_on_hub(
        hub, MODELS, number, run_id=run.run_id, coordinator=run.identity.public_key, lease_id=lease_id
    )


def test_a_closed_port_is_a_hub_that_does_not_answer():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused, and nobody else can have it
        hub = run_hub(f"http://127.0.0.1:{taken.getsockname()[1]}")
        for call in (hub.ensure_repos, hub.head):
            with pytest.raises(HubError, match=rf"{hub.endpoint} does not answer.*Check that it runs") as caught:
                call()
            assert caught.value.exit_code == 62


def test_a_download_without_an_answer_is_the_hubs_fault_and_leaves_no_file(tmp_path, server):
    api = run_hub(server.url).api
    with pytest.raises(HubError, match="does not answer"), hub_errors(server.url):
        api.hf_hub_download(MODELS, "run.json", local_dir=tmp_path, local_files_only=True)
    assert not (tmp_path / "run.json").exists()


def test_a_wrong_token_is_refused_with_the_advice_to_check_it(server):
    head = run_hub(server.url).head()
    wrong = run_hub(server.url, "a_token_that_nobody_has")
    with pytest.raises(HubError, match=rf"{server.url} answered 401.*PARIS_HUB_TOKEN"):
        wrong.upload_file("run.json", b"{}", "not mine")
    assert run_hub(server.url).head() == head


def test_a_strangers_token_may_not_write(server):
    head = run_hub(server.url).head()
    stranger = run_hub(server.url, STRANGER_TOKEN)
    with pytest.raises(HubError, match=rf"{server.url} answered 403.*write access"):
        stranger.upload_file("run.json", b"{}", "not mine")
    with pytest.raises(HubError, match="403"):
        run_hub(server.url, STRANGER_TOKEN, "lab/other").ensure_repos()
    assert run_hub(server.url).head() == head
    assert not run_hub(server.url).api.repo_exists("lab/other")


def test_a_missing_repo_is_named_with_where_it_is_set(server):
    with pytest.raises(HubError, match=r"404.*lab/nowhere.*model_repo"):
        run_hub(server.url, model_repo="lab/nowhere").head()


def test_what_answers_but_is_no_hub_is_called_so():
    with Gate(None) as gate:
        gate.instead = lambda method, path: 200
        with pytest.raises(HubError, match=rf"instead of the Hub.*{gate.url}.*not JSON.*run.toml"):
            run_hub(gate.url).head()


def test_a_hub_that_is_busy_once_is_asked_again(gate, server):
    hub, busy = run_hub(gate.url), [503]
    gate.instead = lambda method, path: busy.pop() if busy and "preupload" in path else None
    hub.upload_file("busy.txt", b"arrived", "after all")
    assert [path for _, path in gate.seen if "preupload" in path][1:]
    assert run_hub(server.url).api.file_exists(MODELS, "busy.txt")


def test_a_hub_that_stays_busy_is_an_error_soon_and_nothing_is_half_done(gate, server):
    hub, head = run_hub(gate.url), run_hub(server.url).head()
    gate.instead = lambda method, path: 503 if "/commit/" in path or method == "GET" else None
    began = time.monotonic()
    with pytest.raises(HubError, match=r"answered 503.*work again when the Hub does"):
        hub.head()
    with pytest.raises(HubError, match="503"):
        hub.upload_file("half.txt", b"half", "half")
    assert time.monotonic() - began < 10
    assert run_hub(server.url).head() == head
    gate.instead = lambda method, path: None
    hub.upload_file("half.txt", b"half", "whole")
    assert hub.head() != head


def test_a_hub_without_room_for_another_tag_is_not_told_that_a_file_is_too_large(server, gate):
    gate.instead = lambda method, path: 413 if "/tag/" in path else None
    with pytest.raises(HubError, match=r"answered 413.*limit of this Hub: keep below it"):
        run_hub(gate.url).set_tag("v1", run_hub(server.url).head(), replaces=False)


@pytest.mark.parametrize("lanes", [1, 8])
def test_the_embedded_hub_takes_the_branches_and_tags_of_all_states_that_are_kept(run, lanes, monkeypatch):
    tables = {"run": {"num_experts": 48}, "tasks": {"lanes": lanes}}
    config = run.config.model_copy(
        update={name: getattr(run.config, name).model_copy(update=changed) for name, changed in tables.items()}
    )
    options: list[str] = []
    hub = EmbeddedHub(replace(run, config=config), Children(run.logs))
    monkeypatch.setattr(hub._child, "spawn", lambda program, *given: options.extend(given))
    monkeypatch.setattr(hub._child, "wait_until_ready", lambda: "ready")
    hub.start()
    limits = HubLimits.model_validate_json(options[options.index("--limits") + 1])
    kept: set[int] = set()
    for end in range(10, 1000, 10):
        kept = kept_steps(kept | {end}, 1000)
    states = (lanes + 1) * len(kept)
    assert limits.max_repo_refs > 48 * (states + len(kept)), "a branch each, and those of the expert itself a tag"


def test_a_full_disk_is_not_blamed_on_the_hub():
    with pytest.raises(DiskFullError, match=r"/data/x.*Free some space"), hub_errors("http://hub"):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/x")


def test_a_missing_local_file_is_not_blamed_on_the_hub(tmp_path):
    with pytest.raises(FileNotFoundError), hub_errors("http://hub"):
        (tmp_path / "nothing").read_bytes()


def test_registering_twice_finds_the_bytes_in_place(server, run, registrar):
    state = judged(server, True, "1")
    first = registrar.register(state, "1" * 32)
    head = registrar.hub.head()
    again = registrar.register(state, "1" * 32)
    number = state.submissions["1" * 32].submission.pull_request
    assert again == first
    assert (first.commit, first.path, registrar.hub.head()) == (head, EXPERT, head)
    assert registrar.hub.find_registered(EXPERT) == (hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))
    assert len(comments(server, number)) == 1
    verdict = read_as_node(server, run, number, "1" * 32)
    assert verdict == state.submissions["1" * 32].verdict
    outcome = HubReader(server.url).pull_request(MODELS, number)["outcome"]
    assert outcome == f"Registered as expert-1 in {first.commit[:12]}."
    page = Wire(server.port).ask("GET", f"/{MODELS}/discussions").body.decode()
    assert f'<strong>Registered</strong> as expert-1 in <a href="/{MODELS}/commit/{first.commit}"' in page


def ended(executor: Executor, failed: list[Event]) -> list[Observation]:
    """Wait until the one action has brought a result or failed."""
    found: list[Observation] = []
    wait_until(lambda: found.extend(executor.results()) or found or failed, DEADLINE_S, "the action ended")
    return found


def test_a_head_that_moved_is_refused_and_the_next_tick_registers(server, run, gate):
    data, said, mover = WEIGHTS + bytes(8), [], run_hub(server.url)
    state = judged(server, True, "2", data)

    def move_head_once(method: str, path: str) -> None:
        if method == "POST" and "/commit/main" in path:
            gate.instead = lambda *_: None
            mover.upload_file("run.json", json.dumps({"at": time.time()}).encode(), "moved")

    gate.instead = move_head_once
    new, before = (hashlib.sha256(data).hexdigest(), len(data)), mover.find_registered(EXPERT)
    results: list[Observation] = []
    for expected in (before, new):
        decision = tick(state, results, POLICY, 100.0)
        assert decision.actions == (Register("2" * 32),)
        failed: list[Event] = []
        sealer, children = Sealer(run.identity, run.run_id), Children(run.logs)
        executor = make_executor(run, None, run_hub(gate.url), sealer, children, failed.append)
        executor.start(decision.actions, state)
        results = ended(executor, failed)
        executor.stop()
        said += failed
        assert mover.find_registered(EXPERT) == expected
    assert len(said) == 1
    assert f"{gate.url} answered 412" in said[0].text
    assert [type(result) for result in results] == [Registered]
    assert tick(state, results, POLICY, 100.0).actions == ()


def test_a_rejected_pull_request_loses_its_ref_and_may_be_closed_twice(server, run, registrar):
    state = judged(server, False, "3", b"\0" * 80)
    number = state.submissions["3" * 32].submission.pull_request
    assert f"refs/pr/{number}" in pull_refs(server)
    for _ in range(2):
        registrar.close(state, "3" * 32)
        assert f"refs/pr/{number}" not in pull_refs(server)
    assert registrar.hub.api.get_discussion_details(MODELS, number).status == "closed"
    assert len(comments(server, number)) == 1
    (comment,) = comments(server, number)
    assert "| skill | no | 0.9 | 0.5 |" in comment
    marked = next(line for line in comment.splitlines() if line.startswith(VERDICT_MARK))
    sealed = json.loads(marked.removeprefix(VERDICT_MARK))
    assert sealed["expires_at"] - sealed["issued_at"] == LIFE_S, "in the DHT a longer one would keep out later ones"
    assert read_as_node(server, run, number, "3" * 32) == state.submissions["3" * 32].verdict
    assert read_as_node(server, run, number, "4" * 32) is None


def test_a_coordinator_that_has_lost_the_lead_changes_nothing_on_the_hub(tmp_path):
    def deposed() -> None:
        raise DeposedError("Another coordinator leads the run.")

    hub = replace(run_hub("http://127.0.0.1:1"), require_lead=deposed)
    changes = [
        lambda: hub.upload_data(tmp_path),
        lambda: hub.upload_file("run.json", b"{}", "again"),
        lambda: hub.copy_verified("0" * 40, {"a": "b"}, "copy"),
        lambda: hub.upload_state({}, "state", "state-expert-0-00000001"),
        lambda: hub.delete_branch("state-expert-0-00000001"),
        lambda: hub.close_pull_request(1, "closed", free_storage=True),
        lambda: hub.upload_release(tmp_path, [], ["release"]),
        lambda: hub.set_tag("release", "0" * 40, replaces=False),
        lambda: hub.delete_tag("release"),
    ]
    for change in changes:
        with pytest.raises(DeposedError):
            change()
