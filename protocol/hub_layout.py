"""File names in a run's two Hub repos, and the mark of a verdict in a comment; shared by node and coordinator.

model repo    run.json, expert_0/diffusion_pytorch_model.safetensors, ...
              branch state-<task>-<8 digits>: states/<task>/step-<8 digits>/weights.safetensors, ema.safetensors,
              optimizer.safetensors: a head of legs, whose storage is free when the branch is deleted; the same of
              <task>.mean: the mean of an expert's lanes
              refs/pr/N: submissions/<task>-<attempt>-<key>/expert.safetensors, submission.json; of a leg also
              weights.safetensors, optimizer.safetensors, chain.json; after a challenge step-<8 digits>/...
              branch swarm: swarm/run.json, swarm/<16 digits of a volunteer's key>.json: the coordinator's records, for
              volunteers that reach no peer; refs/pr/N of such a volunteer: swarm/inbox/<16 digits>.json, its mailbox
data repo     shards/..., manifests/cluster-000.json, ...
"""

from __future__ import annotations

import re

_MAILBOX = "Mailbox of "
PUBLIC_ENDPOINT = "https://huggingface.co"
RUN_FILE = "run.json"
WEIGHTS_FILE = "expert.safetensors"
"""EMA weights of one expert, in a submission's folder."""
SUBMISSION_FILE = "submission.json"
"""The signed Submission record, in the same folder."""
CHAIN_FILE = "chain.json"
"""A leg's snapshots with the digests of their files: what its last commitment is made of."""
TRAINED_FILE = "weights.safetensors"
"""The weights that are trained, of which `WEIGHTS_FILE` is the moving average."""
OPTIMIZER_FILE = "optimizer.safetensors"
SUBMITTED_AS = {"weights": TRAINED_FILE, "ema": WEIGHTS_FILE, "optimizer": OPTIMIZER_FILE}
"""The files of a state under the names that a submission gives them."""
STATE_FILES = (TRAINED_FILE, "ema.safetensors", OPTIMIZER_FILE)
"""The state of a training, in a head's folder, in the order of `SUBMITTED_AS`."""
SWARM_BRANCH = "swarm"
SWARM_RUN_FILE = "swarm/run.json"
"""The coordinator's records that concern everybody."""
VERDICT_MARK = "paris-verdict: "
"""Starts the line of a pull request's comment with the signed Verdict record."""


def swarm_file(public_key: str) -> str:
    """The coordinator's records that concern one volunteer, on `SWARM_BRANCH`."""
    return f"swarm/{public_key[:16]}.json"


def mailbox_file(public_key: str) -> str:
    """A volunteer's records, in a pull request of its own."""
    return f"swarm/inbox/{public_key[:16]}.json"


def mailbox_title(public_key: str) -> str:
    """The title of that pull request."""
    return f"{_MAILBOX}{public_key}"


def mailbox_owner(title: str) -> str | None:
    """The key in the title of a mailbox; None for another pull request."""
    key = title.removeprefix(_MAILBOX)
    return key if key != title and re.fullmatch("[0-9a-f]{64}", key) else None


def submission_folder(task_id: str, attempt: int, public_key: str) -> str:
    """The folder of the model repo that a submission may write to.

    Args:
        task_id: The task.
        attempt: The lease's attempt.
        public_key: The volunteer's, 64 hex digits.
    """
    return f"submissions/{task_id}-{attempt}-{public_key[:8]}"


def state_folder(task_id: str, step: int) -> str:
    """The folder of a head in the model repo."""
    return f"states/{task_id}/{step_folder(step)}"


def state_branch(task_id: str, step: int) -> str:
    """The branch of a head in the model repo: not main, whose history would keep the files of every head for ever."""
    return f"{state_branches(task_id)}{step:08d}"


def state_branches(task_id: str) -> str:
    """The beginning of the names of all branches of a task's heads."""
    return f"state-{task_id}-"


def mean_of_lanes(task_id: str) -> str:
    """The name, in place of a task's, under which the means of an expert's lanes are kept."""
    return f"{task_id}.mean"


def step_folder(step: int) -> str:
    """The name of a snapshot's folder."""
    return f"step-{step:08d}"


def snapshot_paths(place: str, step: int) -> tuple[str, ...]:
    """Where the `STATE_FILES` of a snapshot that was asked for are, in their order.

    Args:
        place: The `submission_folder`.
        step: Of the snapshot.
    """
    return tuple(f"{place}/{step_folder(step)}/{name}" for name in STATE_FILES)


def pull_request_ref(number: int) -> str:
    """The git ref of a pull request."""
    return f"refs/pr/{number}"


def manifest_path(cluster: int) -> str:
    """A cluster's manifest in the data repo."""
    return f"manifests/cluster-{cluster:03d}.json"


def expert_path(cluster: int) -> str:
    """A registered expert's weights in the model repo, in the published layout."""
    return f"expert_{cluster}/diffusion_pytorch_model.safetensors"
