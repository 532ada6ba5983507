"""States of legs on a real Hub: copied from the verified commit, once, and dropped when they are no longer kept."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_gate import MODELS, STRANGER_TOKEN, run_hub, running_hub
from huggingface_hub import CommitOperationAdd

from paris.coordinator.errors import HubError, NotTrainableAgainError
from paris.coordinator.run.create import create_run
from paris.coordinator.run_hub.browsing import HubReader
from paris.coordinator.service.candidates import candidate
from paris.coordinator.service.registering import Registrar
from paris.coordinator.service.verifier import Verifier
from paris.coordinator.state.model import LeaseState, State, SubmissionState, TaskState
from paris.protocol.chain import Chain, ChainStart, Link, LinkFiles, parse_chain
from paris.protocol.hub_layout import CHAIN_FILE, SUBMISSION_FILE, WEIGHTS_FILE, submission_folder
from paris.protocol.run_records import SubmittedFile, Task
from paris.protocol.sealer import Sealer
from paris.protocol.work_records import Lease, Submission, Verdict

VOLUNTEER = "a" * 64
TASK = Task(
    task_id="expert-1", cluster=1, steps=100, batch_size=1, manifest_sha256="0" * 64, data_bytes=1,
    min_memory_bytes=0, min_disk_bytes=0, deadline_s=10, grace_s=1, state="open", attempt=9,
)  # fmt: skip


@pytest.fixture(scope="module")
def registrar(tmp_path_factory):
    run = create_run(tmp_path_factory.mktemp("run"), recipe="emoji")
    with running_hub(tmp_path_factory.mktemp("hub")) as server:
        hub = run_hub(server.url)
        hub.ensure_repos()
        yield Registrar(hub, Sealer(run.identity, run.run_id), run.verify)


def commitment(step: int) -> str:
    return hashlib.sha256(str(step).encode()).hexdigest()


def accepted_leg(registrar: Registrar, step: int, before: State | None = None) -> State:
    """A state in which a stranger's real pull request with a leg of 5 steps is accepted."""
    lease_id, stranger = f"{step:032x}", run_hub(registrar.hub.endpoint, STRANGER_TOKEN)
    folder = submission_folder("expert-1", step, VOLUNTEER)
    names = (WEIGHTS_FILE, CHAIN_FILE, "weights.safetensors", "optimizer.safetensors")
    data = {name: f"{name} at {step}".encode() for name in names}
    link = Link(step=step, files=LinkFiles(weights="1" * 64, ema="2" * 64, optimizer="3" * 64), commitment="4" * 64)
    chain = Chain(task="0" * 64, start=ChainStart(step=step - 5, commitment=commitment(step - 5)), links=(link,))
    data[CHAIN_FILE] = chain.to_bytes()
    operations = [CommitOperationAdd(f"{folder}/{name}", content) for name, content in data.items()]
    operations.append(CommitOperationAdd(f"{folder}/{SUBMISSION_FILE}", b"{}"))
    made = stranger.api.create_commit(MODELS, operations, commit_message="A leg", create_pr=True)
    files = [SubmittedFile(path=n, sha256=hashlib.sha256(d).hexdigest(), bytes=len(d)) for n, d in data.items()]
    submission = Submission(
        lease_id=lease_id, task_id="expert-1", attempt=step, name="ada", repo=MODELS, pull_request=int(made.pr_num),
        commit=made.oid, files=tuple(files), steps=step, start_step=step - 5, final_loss=0.5,
        commitment=commitment(step),
    )  # fmt: skip
    verdict = Verdict(
        lease_id=lease_id, task_id="expert-1", attempt=step, volunteer=VOLUNTEER, accepted=True, reason="good", rungs=()
    )
    known = SubmissionState(
        submission=submission, signer=VOLUNTEER, envelope="", seen_at=1.0, phase="accepted", verdict=verdict
    )
    path = registrar.verify / lease_id / CHAIN_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(chain.to_bytes())
    lease = Lease(
        lease_id=lease_id, task_id="expert-1", attempt=step, volunteer=VOLUNTEER, granted_at=1.0, expires_at=2.0
    )
    before = before or State()
    return State(
        tasks={"expert-1": TaskState(task=TASK)},
        leases={**before.leases, lease_id: LeaseState(lease=lease)},
        submissions={**before.submissions, lease_id: known},
    )


def with_head(registrar: Registrar, state: State, step: int) -> State:
    """The state after a leg was stored."""
    head = registrar.store_leg(state, f"{step:032x}")
    known = state.submissions[f"{step:032x}"].model_copy(update={"phase": "stored", "head": head, "stored_at": 1.0})
    return replace(state, submissions={**state.submissions, f"{step:032x}": known})


def kept(registrar: Registrar) -> list[str]:
    return sorted(branch.rpartition("-")[2] for branch in registrar.hub.branches("state-expert-1-"))


def test_the_state_of_a_leg_is_copied_once_and_its_pull_request_frees_its_storage(registrar):
    state = accepted_leg(registrar, 5)
    head = registrar.store_leg(state, f"{5:032x}")
    assert (head.step, head.previous, head.commitment) == (5, commitment(0), commitment(5))
    for file in head.files:
        name = {"ema.safetensors": WEIGHTS_FILE}.get(file.path.rpartition("/")[2], file.path.rpartition("/")[2])
        assert file.sha256 == hashlib.sha256(f"{name} at 5".encode()).hexdigest()
        path = registrar.hub.download(file.path, registrar.verify / "fetched", head.commit)
        assert path.read_bytes() == f"{name} at 5".encode()
    assert registrar.store_leg(state, f"{5:032x}") == head, "nothing is committed twice"
    refs = registrar.hub.api.list_repo_refs(MODELS, include_pull_requests=True).pull_requests
    assert [ref.ref for ref in refs] == []
    number = state.submissions[f"{5:032x}"].submission.pull_request
    outcome = HubReader(registrar.hub.endpoint).pull_request(MODELS, number)["outcome"]
    assert outcome == f"Stored as the state of expert-1 at step 5 in {head.commit[:12]}."


def test_states_that_are_no_longer_kept_are_deleted_and_their_bytes_are_freed(registrar):
    state = None
    for step in (15, 20, 25, 30):
        state = with_head(registrar, accepted_leg(registrar, step, state), step)
    # 5 was left by a leg that the state does not know: rolled back, say. 15, 20 and 30 are the first of their tenths.
    assert kept(registrar) == ["00000015", "00000020", "00000025", "00000030"]
    gone = state.submissions[f"{15:032x}"].head
    known = state.submissions[f"{15:032x}"]
    forgotten = known.model_copy(update={"head": None})
    state = replace(state, submissions={**state.submissions, f"{15:032x}": forgotten})
    state = with_head(registrar, accepted_leg(registrar, 35, state), 35)
    assert kept(registrar) == ["00000020", "00000025", "00000030", "00000035"]
    with pytest.raises(HubError, match="404"):
        registrar.hub.download(gone.files[0].path, registrar.verify / "gone", gone.commit)
    assert registrar.hub.api.list_repo_files(MODELS) == [], "main has no states"


def test_a_state_that_a_new_leg_makes_superfluous_stays_until_that_leg_is_saved(registrar):
    state = None
    for step in (51, 52, 53, 54, 55):
        state = with_head(registrar, accepted_leg(registrar, step, state), step)
    assert {"00000052", "00000055"} <= set(kept(registrar)), "52 is neither the first of its tenth nor of the last 3"


def test_weights_that_another_machine_verified_are_fetched_from_where_they_are_now(registrar, tmp_path):
    state = accepted_leg(registrar, 70)
    lease_id = f"{70:032x}"
    accepted = state.submissions[lease_id]
    assert accepted.phase == "accepted"

    def fetched(known: SubmissionState, folder: Path) -> Path:
        path = candidate(registrar.hub, folder, state, known)
        assert path == folder / "candidate" / WEIGHTS_FILE
        assert path.read_bytes() == b"expert.safetensors at 70"
        assert [file.name for file in folder.iterdir()] == ["candidate"]
        return path

    fetched(accepted, tmp_path / "0")
    stored = accepted.model_copy(update={"phase": "stored", "head": registrar.store_leg(state, lease_id)})
    folder = tmp_path / "1"
    fetched(stored, folder).write_bytes(b"kept")
    assert candidate(None, folder, state, stored).read_bytes() == b"kept"
    head = stored.head.model_copy(update={"commit": "0" * 40})
    assert candidate(registrar.hub, tmp_path / "2", state, stored.model_copy(update={"head": head})) is None


def test_a_chain_that_is_gone_is_fetched_again_and_another_one_is_refused(registrar):
    state = accepted_leg(registrar, 60)
    path = registrar.verify / f"{60:032x}" / CHAIN_FILE
    path.unlink()
    known = state.submissions[f"{60:032x}"]
    files = [
        file.model_copy(update={"sha256": "0" * 64}) if file.path == CHAIN_FILE else file
        for file in known.submission.files
    ]
    other = known.model_copy(update={"submission": known.submission.model_copy(update={"files": tuple(files)})})
    with pytest.raises(HubError, match=r"chain\.json on the Hub is not what was verified"):
        registrar.store_leg(replace(state, submissions={f"{60:032x}": other}), f"{60:032x}")
    assert registrar.store_leg(state, f"{60:032x}").previous == commitment(55)
    assert not path.with_name("fetched").exists()


def test_the_chain_of_a_leg_that_another_machine_verified_is_fetched_for_its_recheck_as_long_as_it_is_there(
    registrar, tmp_path, monkeypatch
):
    lease_id = f"{80:032x}"
    state = with_head(registrar, accepted_leg(registrar, 80), 80)
    verifier = Verifier(SimpleNamespace(verify=tmp_path), None, registrar.hub, None)
    chain = tmp_path / lease_id / CHAIN_FILE

    class RecheckedError(Exception):
        """The child would begin here."""

    def case(self, state: State, known: SubmissionState, folder: Path, earlier: None) -> None:
        assert parse_chain(chain.read_bytes()).start.commitment == commitment(75)
        raise RecheckedError

    monkeypatch.setattr(Verifier, "_case", case)
    with pytest.raises(RecheckedError):
        verifier.recheck(state, lease_id)
    chain.unlink()
    known = state.submissions[lease_id]
    gone = known.model_copy(update={"head": known.head.model_copy(update={"commit": "0" * 40})})
    with pytest.raises(NotTrainableAgainError, match=r"chain\.json is gone, on the Hub too"):
        verifier.recheck(replace(state, submissions={lease_id: gone}), lease_id)
    assert list(chain.parent.iterdir()) == []
