"""Legs of really trained work through the coordinator's real actions: verified, stored on a Hub, rolled back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
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
from paris.coordinator.service.references import head_scores, reference_curves
from paris.coordinator.service.startup import make_executor, make_policy
from paris.coordinator.service.tasks import make_tasks
from paris.coordinator.state.model import State, TaskState
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.verify import read_report, write_report
from paris.experts.training.commitments import NO_COMMITMENT, read_state, scheduled_folder
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import HEAD_FOLDER, Head, Leg
from paris.protocol.chain import Chain, ChainStart, Link, LinkFiles
from paris.protocol.draws import draw, draw_digest
from paris.protocol.envelope import seal
from paris.protocol.hub_layout import STATE_FILES, step_folder, submission_folder
from paris.protocol.records import Answer, Challenge, Lease, Submission, SubmittedFile, Want
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

EVERY, LEG, STEPS = 10, 20, 60
NOW = 1_000_000.0
LENIENT = {"min_gain": 0.0, "max_foreign_advantage": 1.0, "max_claim_ratio": 100.0}
"""So few steps teach little; what is tested here is everything around the skill."""


class Coordinator:
    """`serve` without a DHT: ticks, and carries out their actions until none is left."""

    def __init__(self, run: RunDir, hub: RunHub) -> None:
        self.run, self.hub, self.now = run, hub, NOW
        tasks: dict[str, TaskState] = {"expert-0": make_tasks(run)[0]}
        self.state = State(tasks=tasks)
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


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("legs")
    with running_hub(folder / "hub") as server:
        made = prepared_run(folder, snapshot_every=EVERY)
        values = made.config.model_dump(mode="json", exclude_none=True)
        values["hub"] = {"endpoint": server.url, "model_repo": "lab/run", "data_repo": "lab/run-data"}
        values["tasks"] |= {"leg_steps": LEG, "steps": STEPS}
        values["verify"] = LENIENT
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
        work = self.coordinator.run.path / "work" / f"{self.name}-{lease.attempt}"
        task, head = expert_task(self.coordinator.run, 0), self._fetch_head(work)
        leg = Leg(until_step=lease.to_step, head=head)
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

    def answer(self, challenge: Challenge, pull_request: int) -> AnswerReceived:
        """Give the snapshots that are asked for."""
        hub, lease_id = self.coordinator.hub, challenge.lease_id
        folder = submission_folder(challenge.task_id, challenge.attempt, self.identity.public_key)
        kept = self.coordinator.run.path / "work" / f"{self.name}-{challenge.attempt}" / "snapshots"
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

    def _fetch_head(self, work: Path) -> Head | None:
        record = self.coordinator.state.tasks["expert-0"].task.head
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

    def _sealed(self, payload):
        now, run_id = self.coordinator.now, self.coordinator.run.run_id
        return seal(payload, self.identity, run_id=run_id, sequence=int(now * 1000), issued_at=now, expires_at=now + 60)


def lease_of(state: State) -> Lease:
    return state.leases[state.tasks["expert-0"].lease_id].lease


def handed_in(coordinator: Coordinator, who: Volunteer, *observations: Observation) -> tuple[State, list[int]]:
    """The state once a leg is judged, and the steps of the snapshots that its volunteer was asked for."""
    lease, asked = lease_of(coordinator.state), []
    state = coordinator.see(who.work(lease), *observations)
    while (challenge := state.submissions[lease.lease_id].challenge) is not None:
        asked += challenge.steps
        state = coordinator.see(who.answer(challenge, state.submissions[lease.lease_id].submission.pull_request))
    return state, asked


def expected_questions(state: State, lease: Lease) -> list[int]:
    """What anybody can compute from the verdict: the starts of drawn stretches that were not on the Hub."""
    known = state.submissions[lease.lease_id]
    verdict, commitment = known.verdict, known.submission.commitment
    assert draw_digest(verdict.draw_secret) == lease.draw_sha256
    steps = range(lease.start_step + EVERY, lease.to_step + 1, EVERY)
    drawn = draw(verdict.draw_secret, commitment, steps, lease.start_step, verdict.replay_rate)
    assert [rung.rung for rung in verdict.rungs].count("replay") == bool(drawn)
    return [stretch.start for stretch in drawn if stretch.start != lease.start_step]


def test_two_volunteers_take_turns_until_the_expert_is_registered_and_a_roll_back_goes_to_a_stored_state(coordinator):
    ada, ben = Volunteer(coordinator, "ada"), Volunteer(coordinator, "ben")
    taken = []
    for who in (ada, ben):
        state = coordinator.see(who.want())
        taken.append((lease_of(state).start_step, lease_of(state).to_step))
        lease = lease_of(state)
        state, asked = handed_in(coordinator, who, who.want("leaving"))
        assert asked == expected_questions(state, lease)
    assert taken == [(0, 20), (20, 40)]
    reasons = [known.verdict.reason for known in state.submissions.values()]
    assert [known.phase for known in state.submissions.values()] == ["stored", "stored"], reasons
    assert state.tasks["expert-0"].task.head.step == 40
    report = json.loads((coordinator.run.verify / taken_lease(state, 40) / "report.json").read_text())
    assert [rung["passed"] for rung in report["rungs"]] == [True] * len(report["rungs"])

    require_replayed_legs_as_reference(coordinator.run, state)

    state = coordinator.see(Order(OrderKind.ROLL_BACK, "expert-0", "to see it again", 20))
    assert state.tasks["expert-0"].task.head.step == 20
    for expected in ((20, 40), (40, 60)):
        state = coordinator.see(ada.want())
        assert (lease_of(state).start_step, lease_of(state).to_step) == expected
        state, _ = handed_in(coordinator, ada)
    registration = state.tasks["expert-0"].registration
    assert registration.volunteer_name == "ada"
    assert registration.sha256 == undisturbed(coordinator.run)


def require_replayed_legs_as_reference(run: RunDir, state: State) -> None:
    """Replayed legs are a curve for those that follow; a leg is compared with the state that it starts from."""
    replayed = [
        known.submission.steps
        for known in state.submissions.values()
        if any(rung.rung == "replay" for rung in known.verdict.rungs)
    ]
    curves = reference_curves(run, state, 40, "")
    assert [point.step for curve in curves for point in curve.points] == sorted(replayed)
    for signer in {known.signer for known in state.submissions.values()}:
        others = [known.submission.steps for known in state.submissions.values() if known.signer != signer]
        found = [point.step for curve in reference_curves(run, state, 40, signer) for point in curve.points]
        assert found == sorted(set(others) & set(replayed)), "nobody's own work is a reference for it"
    require_an_end_that_was_compared(run, state)
    assert all(curve.audited and curve.cluster == 0 for curve in curves)
    assert head_scores(run, state, state.leases[taken_lease(state, 20)]) is None
    assert head_scores(run, state, state.leases[taken_lease(state, 40)]).step == 20


def require_an_end_that_was_compared(run: RunDir, state: State) -> None:
    """A leg is no reference when its rung passed only because the state to start from is no longer kept."""
    path = run.verify / taken_lease(state, 20) / "report.json"
    report = read_report(path)
    rungs = tuple(
        rung.model_copy(update={"checks": tuple(c.model_copy(update={"name": "start"}) for c in rung.checks)})
        for rung in report.rungs
    )
    write_report(report.model_copy(update={"rungs": rungs}), path)
    assert 20 not in [point.step for curve in reference_curves(run, state, 40, "") for point in curve.points]
    write_report(report, path)
    assert 20 in [point.step for curve in reference_curves(run, state, 40, "") for point in curve.points]


def taken_lease(state: State, step: int) -> str:
    return next(lease_id for lease_id, known in state.submissions.items() if known.submission.steps == step)


def undisturbed(run: RunDir) -> str:
    """The digest of an expert that one machine trained without a stop."""
    training = ExpertTraining(expert_task(run, 0), run.path / "whole", shard_paths(run, 0).__getitem__, run.data)
    return str(training.run(lambda _: None, lambda: False).weights_sha256)
