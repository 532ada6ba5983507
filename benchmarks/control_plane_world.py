"""A made run for benchmarks/control_plane.py: its state, and the records that its volunteers send as time goes on."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, field

from paris.coordinator.decisions.draws import draw_sha256
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.state.model import LeaseState, State, SubmissionState, TaskState, VolunteerState
from paris.protocol.envelope import Envelope
from paris.protocol.lanes import lane_id
from paris.protocol.limits import MAX_LANES
from paris.protocol.run_records import Head, SubmittedFile, Task
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.work_records import Heartbeat, Lease, Rung, Submission, Verdict, Want

LEG_STEPS, NUM_LEGS, LEG_S = 1000, 40, 4 * 3600.0
"""Of an expert's training: steps of a leg, legs, and how long one takes."""
_WORK_SHARE = 5
"""One volunteer of so many has a task, where there are enough."""
_MOST_TASKS = 1024
"""Of a run: lanes times experts."""
_LIFE_S = 900.0
"""Of a volunteer's records: they outlive a slow benchmark."""
_EXPERT_FILES = ("expert.safetensors", "weights.safetensors", "optimizer.safetensors", "chain.json")


@dataclass
class World:
    """A run in the middle of its training.

    Args:
        num_volunteers: N; one of five is at work, as far as there are tasks: lanes make at most 1,024.
        num_experts: K.
        num_legs: Verified legs of each task.
        now: UTC seconds.
    """

    num_volunteers: int
    num_experts: int
    num_legs: int
    now: float
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.coordinator = Identity.generate()
        self.run_id = make_run_id("control-plane", self.coordinator.public_key)
        self._own = Sealer(self.coordinator, self.run_id)
        self.people = [Sealer(Identity.generate(), self.run_id) for _ in range(self.num_volunteers)]
        self._of_key = {person.public_key: person for person in self.people}
        wanted = max(1, self.num_volunteers // _WORK_SHARE)
        self.lanes = min(MAX_LANES, math.ceil(wanted / self.num_experts), max(1, _MOST_TASKS // self.num_experts))
        self.num_working = min(wanted, self.num_experts * self.lanes)
        self._names = [lane_id(f"expert-{k}", lane) for lane in range(self.lanes) for k in range(self.num_experts)]
        self._sealed: dict[str, str] = {}
        self.state = self._begin()

    @property
    def policy(self) -> Policy:
        """At the default periods."""
        return Policy(
            lease_s=3600.0,
            heartbeat_every_s=60.0,
            want_life_s=240.0,
            leg_steps=LEG_STEPS,
            lanes=self.lanes,
            snapshot_every=100,
            replay_rate=0.1,
            audits=True,
            draw_key="5e" * 32,
        )

    def wants(self, part: int, parts: int, state: State) -> list[Envelope[Want]]:
        """New wants of every `parts`-th volunteer; who has no lease waits for one."""
        busy = {held.lease.volunteer for held in self.working(state)}
        return [
            person.seal(_want(number, person.public_key in busy), _LIFE_S)
            for number, person in enumerate(self.people)
            if number % parts == part
        ]

    def heartbeats(self, part: int, parts: int, state: State, now: float) -> list[Envelope[Heartbeat]]:
        """New heartbeats of every `parts`-th volunteer at work."""
        found = []
        for held in self.working(state)[part::parts]:
            begun, lease = held.lease.start_step or 0, held.lease
            step = begun + min(LEG_STEPS - 1, int(1 + (now - lease.granted_at) / LEG_S * LEG_STEPS))
            beat = _beat(lease, step).model_copy(update={"lease": self._sealed_lease(lease)})
            found.append(self._of_key[lease.volunteer].seal(beat, _LIFE_S))
        return found

    def submission(self, held: LeaseState) -> Envelope[Submission]:
        """The work of a lease, handed in."""
        handed_in = _submission(held.lease).model_copy(update={"lease": self._sealed_lease(held.lease)})
        return self._of_key[held.lease.volunteer].seal(handed_in, _LIFE_S)

    def working(self, state: State) -> list[LeaseState]:
        """The present leases whose work is not handed in."""
        present = (state.leases.get(task.lease_id or "") for task in state.tasks.values())
        return [held for held in present if held is not None and held.lease.lease_id not in state.submissions]

    def _sealed_lease(self, lease: Lease) -> str:
        if lease.lease_id not in self._sealed:
            self._sealed[lease.lease_id] = self._own.seal(lease, 30 * 86400.0).data.decode()
        return self._sealed[lease.lease_id]

    def _begin(self) -> State:
        tasks, leases, submissions = {}, {}, {}
        for number, name in enumerate(self._names):
            person = self.people[number % self.num_working]
            for leg in range(self.num_legs):
                lease = self._lease(name, leg, person.public_key)
                leases[lease.lease_id] = LeaseState(lease=lease, heartbeat=_beat(lease, lease.to_step or 0))
                submissions[lease.lease_id] = self._stored(lease)
            task = _task(name, number % self.num_experts, _head(name, self.num_legs))
            tasks[name] = TaskState(task=task)
            if number < self.num_working:
                lease = self._lease(name, self.num_legs, person.public_key)
                leases[lease.lease_id] = LeaseState(lease=lease)
                tasks[name] = tasks[name].leased(lease)
        volunteers = {person.public_key: self._volunteer(number) for number, person in enumerate(self.people)}
        return State(tasks=tasks, leases=leases, submissions=submissions, volunteers=volunteers)

    def _volunteer(self, number: int) -> VolunteerState:
        is_busy = number < self.num_working
        proven = max(1, self.num_legs) if is_busy else 0
        return VolunteerState(
            public_key=self.people[number].public_key,
            want=_want(number, is_busy),
            seen_at=self.now - 1,
            want_sequence=1,
            waiting_since=self.now - number,
            num_accepted=proven,
            num_proven=proven,
        )

    def _lease(self, name: str, leg: int, volunteer: str) -> Lease:
        lease_id = hashlib.sha256(f"{name} {leg}".encode()).hexdigest()[:32]
        begun_at = self.now - LEG_S * (self.num_legs - leg) - 600.0
        return Lease(
            lease_id=lease_id,
            task_id=name,
            attempt=leg + 1,
            volunteer=volunteer,
            granted_at=begun_at,
            expires_at=begun_at + LEG_S,
            start_step=leg * LEG_STEPS,
            to_step=(leg + 1) * LEG_STEPS,
            draw_sha256=draw_sha256("5e" * 32, lease_id),
        )

    def _stored(self, lease: Lease) -> SubmissionState:
        handed_in = _submission(lease)
        person = self._of_key[lease.volunteer]
        sealed = person.seal(handed_in.model_copy(update={"lease": "x" * 900}), _LIFE_S)
        return SubmissionState(
            submission=handed_in,
            signer=lease.volunteer,
            envelope=sealed.data.decode(),
            seen_at=lease.expires_at,
            phase="stored",
            verdict=verdict_of(lease),
            head=_head(lease.task_id, lease.attempt) if lease.attempt >= self.num_legs - 2 else None,
            stored_at=lease.expires_at,
            replay_rate=0.1,
        )


def head_of(lease: Lease) -> Head:
    """The state that a lease's leg ends with."""
    head = _head(lease.task_id, lease.attempt)
    if head is None:
        raise ValueError("A lease's attempts are counted from 1.")
    return head


def verdict_of(lease: Lease) -> Verdict:
    """Accepting a lease's work."""
    names = ("envelope", "structure", "novelty", "skill", "replay")
    return Verdict(
        lease_id=lease.lease_id,
        task_id=lease.task_id,
        attempt=lease.attempt,
        volunteer=lease.volunteer,
        accepted=True,
        reason="All rungs passed.",
        rungs=tuple(Rung(rung=name, passed=True, figure=0.1, bound=1.0, note="as measured") for name in names),
        credit_steps=LEG_STEPS,
        credit_s=LEG_S,
        draw_secret="0" * 64,
        replay_rate=0.1,
    )


def _want(number: int, is_busy: bool) -> Want:
    state = "busy" if is_busy else "waiting"
    return Want(
        name=f"volunteer-{number}",
        device="cuda: NVIDIA GeForce RTX 4090, 24 GiB",
        memory_bytes=2**34,
        disk_bytes=2**37,
        state=state,
        node_version="0.1.0",
        audits=True,
    )


def _beat(lease: Lease, step: int) -> Heartbeat:
    return Heartbeat(
        lease_id=lease.lease_id,
        task_id=lease.task_id,
        attempt=lease.attempt,
        state="training",
        step=step,
        loss=0.5 + 1 / (1 + step + time.monotonic() % 1),
        steps_per_s=LEG_STEPS / LEG_S,
        commitment=_digest(lease.task_id, step),
        commitment_step=step,
    )


def _submission(lease: Lease) -> Submission:
    folder = f"submissions/{lease.task_id}/{lease.attempt}"
    files = tuple(
        SubmittedFile(path=f"{folder}/{name}", sha256=_digest(folder, name), bytes=10**8) for name in _EXPERT_FILES
    )
    return Submission(
        lease_id=lease.lease_id,
        task_id=lease.task_id,
        attempt=lease.attempt,
        name=f"volunteer-{lease.volunteer[:6]}",
        repo="org/model",
        pull_request=lease.attempt,
        commit=_digest(folder)[:40],
        files=files,
        steps=lease.to_step or 0,
        final_loss=0.5,
        commitment=_digest(lease.task_id, lease.attempt),
        start_step=lease.start_step,
    )


def _task(name: str, cluster: int, head: Head | None) -> Task:
    return Task(
        task_id=name,
        cluster=cluster,
        steps=NUM_LEGS * LEG_STEPS,
        batch_size=64,
        manifest_sha256=_digest("manifest", cluster),
        data_bytes=10**9,
        min_memory_bytes=2**33,
        min_disk_bytes=2**34,
        deadline_s=2 * NUM_LEGS * LEG_S,
        grace_s=86400.0,
        state="open",
        head=head,
    )


def _head(name: str, num_legs: int) -> Head | None:
    if num_legs == 0:
        return None
    folder = f"states/{name}/step-{num_legs * LEG_STEPS:08d}"
    files = tuple(
        SubmittedFile(path=f"{folder}/{part}.safetensors", sha256=_digest(folder, part), bytes=10**8)
        for part in ("weights", "ema", "optimizer")
    )
    return Head(
        step=num_legs * LEG_STEPS,
        loss=0.5,
        previous=_digest(name, num_legs - 1),
        commitment=_digest(name, num_legs),
        commit=_digest(folder)[:40],
        files=files,
    )


def _digest(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
