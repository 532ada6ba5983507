"""A coordinator's real actions without a DHT, and volunteers who really train: for tests of legs and lanes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w
from deadlines import DEADLINE_S
from hub_gate import OWNER_TOKEN, STRANGER_TOKEN, running_hub, wait_until
from huggingface_hub import CommitOperationAdd
from released_run import expert_task, prepared_run, shard_paths

from paris.coordinator.children import Children
from paris.coordinator.decisions.observations import AnswerReceived, Observation, SubmissionReceived, WantReceived
from paris.coordinator.decisions.tick import tick
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.service.startup import make_executor, make_policy
from paris.coordinator.service.tasks import make_tasks
from paris.coordinator.state.model import State
from paris.experts.training.commitments import NO_COMMITMENT, read_state, scheduled_folder
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import HEAD_FOLDER, Head, Leg
from paris.protocol.chain import Chain, ChainStart, Link, LinkFiles
from paris.protocol.envelope import seal
from paris.protocol.hub_layout import STATE_FILES, step_folder, submission_folder
from paris.protocol.lanes import expert_of, lane_of
from paris.protocol.run_records import SubmittedFile
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.work_records import Answer, Challenge, Lease, Submission, Want

EVERY, LEG, STEPS = 10, 20, 60
NOW = 1_000_000.0
LENIENT = {"min_gain": 0.0, "max_foreign_advantage": 1.0, "max_claim_ratio": 100.0}
"""So few steps teach little; what is tested here is everything around the skill."""


class Coordinator:
    """`serve` without a DHT: ticks, and carries out their actions until none is left."""

    def __init__(self, run: RunDir, hub: RunHub) -> None:
        self.run, self.hub, self.now = run, hub, NOW
        made = {task.task.task_id: task for task in make_tasks(run)}
        self.state = State(tasks={task_id: task for task_id, task in made.items() if expert_of(task_id) == "expert-0"})
        self.problems: list[str] = []
        sealer, self._children = Sealer(run.identity, run.run_id), Children(run.logs)
        log = lambda event: self.problems.append(event.text)  # noqa: E731
        self._executor = make_executor(run, make_spec(run, []), hub, sealer, self._children, log)

    def see(self, *observations: Observation) -> State:
        """Tick, and carry on until nothing is to do."""
        seen = list(observations)
        while True:
            self.now += 1.0
            decision = tick(self.state, seen, make_policy(self.run), self.now)
            self.state = decision.state
            if not decision.actions:
                return self.state
            self._executor.start(decision.actions, self.state)
            seen = wait_until(lambda: self._executor.results() or self.problems, DEADLINE_S, "an action has ended")
            assert self.problems == []

    def stop(self) -> None:
        self._executor.stop()
        self._children.stop()


@contextmanager
def running_coordinator(
    folder: Path, *, verify: Mapping[str, object] | None = None, **tasks: object
) -> Iterator[Coordinator]:
    """A coordinator with a Hub and a prepared run of legs.

    Args:
        folder: Of the run and the Hub.
        verify: Further fields of `[verify]`.
        tasks: Further fields of `[tasks]`.
    """
    with running_hub(folder / "hub") as server:
        made = prepared_run(folder, snapshot_every=EVERY)
        values = made.config.model_dump(mode="json", exclude_none=True)
        values["hub"] = {"endpoint": server.url, "model_repo": "lab/run", "data_repo": "lab/run-data"}
        values["tasks"] |= {"leg_steps": LEG, "steps": STEPS, **tasks}
        values["verify"] = {**LENIENT, **(verify or {})}
        (made.path / "run.toml").write_text(tomli_w.dumps(values))
        run = RunDir.open(made.path)
        hub = RunHub(server.url, OWNER_TOKEN, "lab/run", "lab/run-data")
        hub.ensure_repos()
        coordinator = Coordinator(run, hub)
        yield coordinator
        coordinator.stop()


class Volunteer:
    """Trains what it is leased, and hands it in."""

    def __init__(self, coordinator: Coordinator, name: str) -> None:
        self.coordinator, self.name, self.identity = coordinator, name, Identity.generate()

    def want(self, state: str = "waiting") -> WantReceived:
        want = Want(
            name=self.name, device="cpu", memory_bytes=2**40, disk_bytes=2**40, state=state, node_version="9.0.0"
        )
        return WantReceived(self._sealed(want))

    def work(self, lease: Lease) -> SubmissionReceived:
        """Fetch the head, train the leg, open a pull request."""
        work = self.work_folder(lease)
        task, head = expert_task(self.coordinator.run, 0), self._fetch_head(lease, work)
        leg = Leg(until_step=lease.to_step, head=head, lane=lane_of(lease.task_id))
        paths = shard_paths(self.coordinator.run, 0)
        training = ExpertTraining(task, work, paths.__getitem__, self.coordinator.run.data, leg=leg)
        finished = training.run(lambda _: None, lambda: False)
        steps = range(lease.start_step + EVERY, lease.to_step + 1, EVERY)
        links = [read_state(scheduled_folder(work / "snapshots", step)) for step in steps]
        chain = Chain(
            task=task.digest,
            start=ChainStart(step=lease.start_step, commitment=head.commitment if head else NO_COMMITMENT),
            links=tuple(Link(step=s.step, files=LinkFiles(**s.files), commitment=s.commitment) for s in links),
        )
        state = scheduled_folder(work / "snapshots", lease.to_step)
        files = {"expert.safetensors": state / "ema.safetensors"}
        if lease.to_step < STEPS:
            files |= {name: state / name for name in ("weights.safetensors", "optimizer.safetensors")}
        data = {"chain.json": chain.to_bytes(), **{name: path.read_bytes() for name, path in files.items()}}
        return self._hand_in(lease, data, float(finished.final_loss), links[-1].commitment)

    def work_folder(self, work: Lease | Challenge) -> Path:
        """Where it trains."""
        return self.coordinator.run.path / "work" / f"{self.name}-{work.task_id}-{work.attempt}"

    def answer(self, challenge: Challenge, pull_request: int) -> AnswerReceived:
        """Give the snapshots that are asked for."""
        hub, lease_id = self.coordinator.hub, challenge.lease_id
        folder = submission_folder(challenge.task_id, challenge.attempt, self.identity.public_key)
        kept = self.work_folder(challenge) / "snapshots"
        paths = [f"{step_folder(step)}/{name}" for step in challenge.steps for name in STATE_FILES]
        data = {f"{folder}/{path}": (kept / path).read_bytes() for path in paths}
        made = replace(hub, token=STRANGER_TOKEN).api.create_commit(
            hub.model_repo,
            [CommitOperationAdd(path, content) for path, content in data.items()],
            commit_message="Asked for",
            revision=f"refs/pr/{pull_request}",
        )
        files = tuple(
            SubmittedFile(path=path, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
            for path, content in data.items()
        )
        payload = Answer(
            lease_id=lease_id, task_id=challenge.task_id, attempt=challenge.attempt, commit=made.oid, files=files
        )
        return AnswerReceived(self._sealed(payload))

    def _fetch_head(self, lease: Lease, work: Path) -> Head | None:
        record = self.coordinator.state.tasks[lease.task_id].task.head
        if record is None:
            return None
        digests = {}
        for file in record.files:
            name = file.path.rpartition("/")[2]
            found = self.coordinator.hub.download(file.path, work / "fetched", record.commit)
            (work / HEAD_FOLDER).mkdir(parents=True, exist_ok=True)
            (work / HEAD_FOLDER / name).write_bytes(found.read_bytes())
            digests[name.removesuffix(".safetensors")] = file.sha256
        fields = record.model_dump(include={"step", "loss", "previous", "commitment"})
        return Head.from_settings({**fields, "files": digests})

    def _hand_in(self, lease: Lease, data: dict[str, bytes], loss: float, commitment: str) -> SubmissionReceived:
        hub = self.coordinator.hub
        folder = submission_folder(lease.task_id, lease.attempt, self.identity.public_key)
        payload = Submission(
            lease_id=lease.lease_id, task_id=lease.task_id, attempt=lease.attempt, name=self.name, repo=hub.model_repo,
            pull_request=None, commit=None, start_step=lease.start_step, steps=lease.to_step, final_loss=loss,
            commitment=commitment,
            files=tuple(
                SubmittedFile(path=name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
                for name, content in data.items()
            ),
        )  # fmt: skip
        contents = {**data, "submission.json": self._sealed(payload).data}
        operations = [CommitOperationAdd(f"{folder}/{name}", content) for name, content in contents.items()]
        api = replace(hub, token=STRANGER_TOKEN).api
        made = api.create_commit(hub.model_repo, operations, commit_message="A leg", create_pr=True)
        outer = payload.model_copy(update={"pull_request": int(made.pr_num), "commit": made.oid})
        return SubmissionReceived(self._sealed(outer))

    def _sealed(self, payload: Any) -> Any:
        now, run_id = self.coordinator.now, self.coordinator.run.run_id
        return seal(payload, self.identity, run_id=run_id, sequence=int(now * 1000), issued_at=now, expires_at=now + 60)


def lease_of(state: State, task_id: str = "expert-0") -> Lease:
    """The present lease of a task."""
    return state.leases[state.tasks[task_id].lease_id or ""].lease


def handed_in(
    coordinator: Coordinator, who: Volunteer, *observations: Observation, task_id: str = "expert-0"
) -> tuple[State, list[int]]:
    """The state once a leg is judged, and the steps of the snapshots that its volunteer was asked for."""
    lease, asked = lease_of(coordinator.state, task_id), list[int]()
    state = coordinator.see(who.work(lease), *observations)
    while (challenge := state.submissions[lease.lease_id].challenge) is not None:
        asked += challenge.steps
        state = coordinator.see(who.answer(challenge, state.submissions[lease.lease_id].submission.pull_request))
    return state, asked
