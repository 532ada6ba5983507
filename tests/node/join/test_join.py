"""A real node against a small real coordinator: DHT, Hub, trainer, all of them processes or sockets on loopback."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from mini_coordinator import MODEL, SHARD_ROWS, TRAINING, MiniCoordinator
from node_process import all_gone

from paris.experts.files import file_sha256
from paris.node.errors import HubRefusedError, NoTaskError, StoppedError
from paris.protocol.envelope import open_envelope
from paris.protocol.errors import UnknownRunError

pytestmark = pytest.mark.slow


def undisturbed_weights(coordinator: MiniCoordinator, cluster: int, folder) -> str:
    """SHA-256 of the weights that this task ends with when nothing ever interrupts it, by the other package alone."""
    from paris.experts.frozen.codec import CodecConfig
    from paris.experts.frozen.text import TextConfig
    from paris.experts.models.presets import ModelConfig
    from paris.experts.training.config import TrainingConfig, TrainingTask
    from paris.experts.training.expert_training import ExpertTraining

    task = coordinator.tasks[f"expert-{cluster}"]
    training = TrainingTask(
        run_id=coordinator.run_id,
        seed=coordinator.spec.seed,
        task_id=task.task_id,
        model=ModelConfig(**MODEL),
        training=TrainingConfig(**TRAINING, steps=task.steps, batch_size=task.batch_size),
        text=TextConfig(**coordinator.spec.text),
        codec=CodecConfig(kind="pixels"),
        shard_rows=SHARD_ROWS,
    )
    data = coordinator.folder / "data"
    shards = coordinator.manifests[cluster].shards
    alone = ExpertTraining(training, folder, lambda i: data / shards[i].path, data)
    finished = alone.run(lambda progress: None, lambda: False)
    return finished.weights_sha256


def test_a_volunteer_does_a_whole_run_through_a_rejection_and_a_hub_that_goes_down(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(20)
    coordinator.verdicts["expert-0", 1] = False
    node = start("--name", "ada")
    joined = node.wait_for("joined")
    assert joined["name"] == "ada"
    assert joined["run_id"] == coordinator.run_id
    node.wait_for("fetched")
    coordinator.hub.stop()
    node.wait_for("retrying")
    coordinator.restart_hub()
    rejected = node.wait_for("verdict")
    assert "rejected at rung skill (1.5, the bound is 1)" in rejected["text"]
    submitted = node.wait_for("submitted")
    assert node.wait_for("verdict", attempt=2)["accepted"]
    done = node.wait_for("done")
    assert "run is complete" in done["text"]
    assert done["control_plane_bytes"] > 0
    assert node.wait_end() == 0

    assert [event["trainer_bytes"] for event in node.of("traffic")] == [0, 0]
    assert [event["trainer_refused"] for event in node.of("traffic")] == [0, 0]
    submission = coordinator.submissions[node.of("leased")[1]["lease_id"]]
    assert (submission.pull_request, submission.commit) == (submitted["pull_request"], submitted["commit"])
    weights = submission.files[0]
    fetched = coordinator.api.hf_hub_download(
        "org/model", weights.path, revision=submission.commit, local_dir=tmp_path / "check"
    )
    assert file_sha256(Path(fetched)) == weights.sha256
    assert weights.sha256 == undisturbed_weights(coordinator, 0, tmp_path / "alone")
    path = weights.path.replace("expert.safetensors", "submission.json")
    fetched = coordinator.api.hf_hub_download(
        "org/model", path, revision=submission.commit, local_dir=tmp_path / "check"
    )
    sealed = open_envelope(Path(fetched).read_bytes(), run_id=coordinator.run_id, coordinator=None, now=None)
    only_in_the_dht = {"pull_request": None, "commit": None, "lease": None}
    assert sealed.payload == submission.model_copy(update=only_in_the_dht)
    assert {beat.state for beat in coordinator.heartbeats} >= {"training", "waiting-verdict"}
    assert not (tmp_path / "home" / "runs" / coordinator.run_id / "expert-0-2" / "work").exists()
    rejected_work = tmp_path / "home" / "runs" / coordinator.run_id / "expert-0-1" / "work"
    assert not rejected_work.exists(), "it is deleted when the next task comes"


def test_a_killed_node_leaves_no_process_and_ends_with_the_same_weights(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(120)
    first = start("--run", coordinator.run_id, run=coordinator.peer.addresses[0])
    first.wait_for("snapshot")
    children = first.children()
    assert len(children) >= 2
    first.kill()
    assert all_gone(children) == []

    second = start("--once", run=coordinator.run_id)
    assert second.wait_for("trainer-ready")["step"] >= 10
    second.wait_for("snapshot")
    second.trainer().kill()
    second.wait_for("restarting")
    assert second.wait_for("verdict")["accepted"]
    assert second.wait_end() == 0
    assert len({beat.lease_id for beat in coordinator.heartbeats}) == 1
    submission = next(iter(coordinator.submissions.values()))
    assert submission.files[0].sha256 == undisturbed_weights(coordinator, 0, tmp_path / "alone")


def test_a_lease_taken_back_stops_the_task_and_keeps_its_files(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(100_000)
    node = start()
    node.wait_for("snapshot")
    lease_id = node.of("leased")[0]["lease_id"]
    coordinator.revoke(lease_id)
    lost = node.wait_for("lease-lost")
    assert "too late" in lost["reason"]
    node.wait_for("waiting")
    assert list((tmp_path / "home" / "runs" / coordinator.run_id / "expert-0-1" / "work" / "snapshots").glob("step-*"))
    children = node.children()
    node.process.send_signal(signal.SIGINT)
    assert node.wait_end() == StoppedError.exit_code
    assert all_gone(children) == []
    assert node.of("error")[0]["what"] == "Stopped."


def test_bad_beginnings_are_told_apart(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(20)
    coordinator.grants_to = "ada"
    unknown = start("--run", "other-0123456789abcdef", run=coordinator.peer.addresses[0], home="unknown")
    idle = start("--name", "ben", "--task-wait-s", "1", home="idle")
    refused = start("--name", "ada", token="not-a-token-of-this-hub")
    assert "waiting" in idle.wait_for("waiting")["text"]
    assert idle.wait_end() == NoTaskError.exit_code
    assert unknown.wait_end() == UnknownRunError.exit_code
    assert refused.wait_end() == HubRefusedError.exit_code
    error = refused.of("error")[0]
    assert "401" in error["what"]
    assert "PARIS_HUB_TOKEN" in error["next_step"]
    assert refused.of("training") == []
    assert "not-a-token-of-this-hub" not in json.dumps(refused.events)
