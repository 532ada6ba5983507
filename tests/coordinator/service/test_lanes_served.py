"""Two volunteers side by side on one expert, through the coordinator's real actions, to the registered expert."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from leg_world import LEG, STEPS, Volunteer, handed_in, lease_of, running_coordinator
from released_run import expert_task
from safetensors.numpy import load_file

from paris.coordinator.state.model import State
from paris.experts.files import file_sha256
from paris.experts.training.commitments import commitment_of, scheduled_folder
from paris.protocol.hub_layout import STATE_FILES

OWN, OTHER = "expert-0", "expert-0.1"


def test_two_volunteers_train_an_expert_side_by_side_from_mean_to_mean(tmp_path: Path) -> None:
    with running_coordinator(tmp_path, lanes=2) as coordinator:
        ada, ben = Volunteer(coordinator, "ada"), Volunteer(coordinator, "ben")
        for end, in_order in ((LEG, (OWN, OTHER)), (2 * LEG, (OTHER, OWN))):
            state = coordinator.see(ada.want(), ben.want())
            who = {task_id: _holder(state, task_id, ada, ben) for task_id in (OWN, OTHER)}
            leases = {task_id: lease_of(state, task_id) for task_id in (OWN, OTHER)}
            assert {(lease.start_step, lease.to_step) for lease in leases.values()} == {(end - LEG, end)}
            for task_id in in_order:
                state, _ = handed_in(coordinator, who[task_id], task_id=task_id)
            states = [
                scheduled_folder(who[task_id].work_folder(leases[task_id]) / "snapshots", end)
                for task_id in (OWN, OTHER)
            ]
            _require_mean(state, states, expert_task(coordinator.run, 0).digest, coordinator, tmp_path / str(end))
        state = coordinator.see(ada.want(), ben.want())
        assert state.tasks[OTHER].is_waiting
        last = _holder(state, OWN, ada, ben)
        state, _ = handed_in(coordinator, last)
        assert state.tasks[OWN].registration.steps == STEPS
        assert state.is_complete
        assert [known.verdict.accepted for known in state.submissions.values()] == [True] * 5
        branches = coordinator.hub.branches("state-expert-0.mean-")
        assert branches == [f"state-expert-0.mean-{step:08d}" for step in (LEG, 2 * LEG)]


def _holder(state: State, task_id: str, *people: Volunteer) -> Volunteer:
    key = lease_of(state, task_id).volunteer
    return next(person for person in people if person.identity.public_key == key)


def _require_mean(state: State, states: list[Path], task: str, coordinator, folder: Path) -> None:
    """The head is the mean of both volunteers' own snapshots, by numpy, and all lanes have it."""
    head = state.tasks[OWN].task.head
    assert state.tasks[OTHER].task.head == head
    assert [end.task_id for end in state.tasks[OWN].task.mean_of] == [OWN, OTHER]
    for file, name in zip(head.files, STATE_FILES, strict=True):
        found = coordinator.hub.download(file.path, folder, head.commit)
        assert file_sha256(found) == file.sha256
        parts = [load_file(place / name) for place in states]
        mean = load_file(found)
        assert mean.keys() == parts[0].keys()
        assert any((parts[0][key] != parts[1][key]).any() for key in mean), "the lanes saw the same rows"
        for key, values in mean.items():
            expected = (parts[0][key].astype(np.float64) + parts[1][key].astype(np.float64)) / 2
            np.testing.assert_array_equal(values, expected.astype(np.float32))
    files = {name.removesuffix(".safetensors"): file.sha256 for file, name in zip(head.files, STATE_FILES, strict=True)}
    commitments = [end.commitment for end in state.tasks[OWN].task.mean_of]
    assert head.previous == hashlib.sha256("\n".join(commitments).encode()).hexdigest()
    assert head.commitment == commitment_of(head.previous, task, head.step, files)
