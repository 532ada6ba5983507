"""A mean of lanes whose states or chains are lost: the round ends with what the Hub still has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_gate import OWNER_TOKEN, running_hub

from paris.coordinator.children import Children
from paris.coordinator.decisions.observations import AverageLanes, LanesAveraged, LanesLost
from paris.coordinator.errors import NotOnHubError, WorkerError
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.service.lane_means import LaneMeans
from paris.coordinator.state.model import State, SubmissionState
from paris.protocol.hub_layout import STATE_FILES
from paris.protocol.run_records import Head, SubmittedFile
from paris.protocol.work_records import Submission

LEASES = ("a" * 32, "b" * 32, "c" * 32)
ACTION = AverageLanes("expert-0", 200, LEASES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as server:
        made = RunHub(server.url, OWNER_TOKEN, "lab/run", "lab/run-data")
        made.ensure_repos()
        yield made


@pytest.fixture
def means(hub: RunHub, tmp_path: Path) -> LaneMeans:
    """Without any chain of a leg: none was kept."""
    return LaneMeans(hub, tmp_path / "verify", Children(tmp_path / "logs"))


def stored(hub: RunHub, folder: Path, lane: int) -> Head:
    """A state on a branch; what the files hold does not matter, since no mean of them is reached."""
    folder.mkdir(exist_ok=True)
    paths, files = {}, []
    for name in STATE_FILES:
        data = f"{lane} {name}".encode()
        (folder / f"{lane}-{name}").write_bytes(data)
        paths[f"states/{lane}/{name}"] = folder / f"{lane}-{name}"
        digest = hashlib.sha256(data).hexdigest()
        files.append(SubmittedFile(path=f"states/{lane}/{name}", sha256=digest, bytes=len(data)))
    commit = hub.upload_state(paths, "A state", f"state-{lane}")
    head = {"step": 200, "loss": 0.5, "previous": "0" * 64, "commitment": f"{lane}" * 64, "commit": commit}
    return Head(**head, files=tuple(files))


def state_of(heads: list[Head | None]) -> State:
    submissions = {}
    for lane, (lease_id, head) in enumerate(zip(LEASES, heads, strict=True)):
        submission = Submission(
            lease_id=lease_id,
            task_id=f"expert-0.{lane}" if lane else "expert-0",
            attempt=1,
            name=f"v{lane}",
            repo="lab/run",
            pull_request=1,
            commit="0" * 40,
            files=(SubmittedFile(path="x/expert.safetensors", sha256="1" * 64, bytes=1),),
            steps=200,
            final_loss=0.5,
            commitment=f"{lane}" * 64,
        )
        known = SubmissionState(submission=submission, signer="f" * 64, envelope="", seen_at=0.0, head=head)
        submissions[lease_id] = known
    return State(submissions=submissions)


def lost(head: Head, how: str) -> Head | None:
    """A head whose state cannot be had any more."""
    files = tuple(file.model_copy(update={"sha256": "9" * 64}) for file in head.files)
    return {
        "its commit is gone": head.model_copy(update={"commit": "9" * 40}),
        "its bytes are others": head.model_copy(update={"files": files}),
        "it is not kept": None,
    }[how]


@pytest.mark.parametrize("how", ["its commit is gone", "its bytes are others", "it is not kept"])
def test_where_one_state_is_left_the_round_ends_with_it(hub, means, tmp_path, how):
    heads = [stored(hub, tmp_path / "made", lane) for lane in range(3)]
    state = state_of([lost(heads[0], how), heads[1], lost(heads[2], how)])
    with pytest.raises(NotOnHubError):
        means.store(state, ACTION)
    assert means.store(state, ACTION, leaves_out=True) == LanesAveraged(
        "expert-0", LEASES[1:2], heads[1], (LEASES[0], LEASES[2])
    )
    assert list(means.verify.iterdir()) == []


def test_where_no_chain_is_left_the_round_ends_with_the_first_lane(hub, means, tmp_path):
    heads = [stored(hub, tmp_path / "made", lane) for lane in range(3)]
    with pytest.raises(WorkerError, match=r"has a readable chain\.json"):
        means.store(state_of(heads), ACTION)
    done = means.store(state_of(heads), ACTION, leaves_out=True)
    assert (done.leases, done.head, done.left_out) == (LEASES[:1], heads[0], LEASES[1:])


def test_where_no_state_is_left_they_are_lost_and_not_tried_for_ever(hub, means, tmp_path):
    state = state_of([lost(stored(hub, tmp_path / "made", 0), "its commit is gone"), None, None])
    with pytest.raises(NotOnHubError):
        means.store(state, ACTION)
    assert means.store(state, ACTION, leaves_out=True) == LanesLost("expert-0", LEASES)
    assert list(means.verify.iterdir()) == []
