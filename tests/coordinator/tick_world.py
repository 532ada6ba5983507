"""A run's records as a coordinator sees them, for tests of its decisions."""

from __future__ import annotations

import hashlib

from paris.coordinator.decisions.legs import head_commitment
from paris.coordinator.decisions.observations import (
    HeartbeatReceived,
    LegStored,
    Observation,
    Registered,
    SubmissionReceived,
    Verified,
    WantReceived,
)
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.tick import Decision, tick
from paris.coordinator.state.credits import Credit, credits_of
from paris.coordinator.state.model import LeaseState, State, SubmissionState, TaskState
from paris.protocol.envelope import seal
from paris.protocol.payload import Payload
from paris.protocol.run_records import Head, Registration, SubmittedFile, Task
from paris.protocol.signing import Identity
from paris.protocol.work_records import Heartbeat, Lease, Rung, Submission, Verdict, Want

POLICY = Policy(lease_s=600, heartbeat_every_s=10, want_life_s=60, train_router_after=2)
START = 1_000_000.0
PEOPLE = [Identity.of_seed(bytes([number] * 32)) for number in range(4)]
"""The same in each run of the tests: the lot of an audit falls by the key."""


def task(number: int, min_memory_bytes: int = 0) -> TaskState:
    return TaskState(
        task=Task(
            task_id=f"expert-{number}",
            cluster=number,
            steps=1000,
            batch_size=8,
            manifest_sha256="0" * 64,
            data_bytes=1,
            min_memory_bytes=min_memory_bytes,
            min_disk_bytes=0,
            deadline_s=1000,
            grace_s=100,
            state="open",
        )
    )


def run_of(num_tasks: int, **fields: int) -> State:
    return State(tasks={f"expert-{k}": task(k, **fields) for k in range(num_tasks)})


def sealed(payload: Payload, who: Identity, now: float, sequence: int = 0):
    return seal(payload, who, run_id="r", sequence=sequence or int(now * 1000), issued_at=now, expires_at=now + 60)


def want(who: int, now: float, state: str = "waiting", memory_bytes: int = 10**9) -> WantReceived:
    payload = Want(
        name=f"v{who}", device="cpu", memory_bytes=memory_bytes, disk_bytes=10**9, state=state, node_version="0.1.0"
    )
    return WantReceived(sealed(payload, PEOPLE[who], now))


def beat(
    lease: Lease, who: int, now: float, step: int, state: str = "training", steps_per_s: float = 0.0
) -> HeartbeatReceived:
    payload = Heartbeat(
        lease_id=lease.lease_id,
        task_id=lease.task_id,
        attempt=lease.attempt,
        state=state,
        step=step,
        loss=1.0,
        steps_per_s=steps_per_s,
    )
    return HeartbeatReceived(sealed(payload, PEOPLE[who], now))


def submission(lease: Lease, who: int, now: float) -> SubmissionReceived:
    payload = Submission(
        lease_id=lease.lease_id,
        task_id=lease.task_id,
        attempt=lease.attempt,
        name=f"v{who}",
        repo="a/b",
        pull_request=7,
        commit="0" * 40,
        files=(SubmittedFile(path="submissions/x/expert.safetensors", sha256="1" * 64, bytes=10),),
        steps=1000,
        final_loss=0.1,
        commitment="2" * 64,
    )
    return SubmissionReceived(sealed(payload, PEOPLE[who], now))


def verdict(lease: Lease, accepted: bool) -> Verified:
    rungs = (Rung(rung="envelope", passed=accepted, figure=0.0, bound=0.0),)
    return Verified(
        Verdict(
            lease_id=lease.lease_id,
            task_id=lease.task_id,
            attempt=lease.attempt,
            volunteer=lease.volunteer,
            accepted=accepted,
            reason="because",
            rungs=rungs,
        )
    )


def registration(lease: Lease) -> Registered:
    return Registered(
        Registration(
            task_id=lease.task_id,
            cluster=0,
            repo="a/b",
            commit="0" * 40,
            path="expert_0/x.safetensors",
            sha256="1" * 64,
            bytes=10,
            steps=1000,
            volunteer=lease.volunteer,
            volunteer_name="v",
            lease_id=lease.lease_id,
        )
    )


def step(state: State, now: float, *seen: Observation) -> Decision:
    return tick(state, seen, POLICY, now)


def lease_of(state: State, task_id: str = "expert-0") -> Lease:
    return state.leases[state.tasks[task_id].lease_id].lease


LEGS = POLICY.model_copy(update={"leg_steps": 200, "snapshot_every": 100, "draw_key": "5e" * 32})


def chain_digest(start: str, *steps: int, by: str = "honest") -> str:
    """What a chain from a start's commitment commits to; honest volunteers get the same."""
    return hashlib.sha256(f"{start} {steps} {by}".encode()).hexdigest()


def leg(held: LeaseState, who: int, now: float, *, steps: int | None = None, by: str = "honest") -> SubmissionReceived:
    """A leg as it is handed in, with the state that honest training, or a cheat, ends with."""
    lease, end = held.lease, steps or held.lease.to_step
    reached = chain_digest(held.start_commitment or "", *range(lease.start_step, end + 1, 100), by=by)
    names = ("expert.safetensors", "weights.safetensors", "optimizer.safetensors", "chain.json")
    files = [SubmittedFile(path=name, sha256=chain_digest(reached, by=name), bytes=10) for name in names]
    received = submission(lease, who, now)
    update = {"start_step": lease.start_step, "steps": end, "commitment": reached, "files": tuple(files)}
    payload = received.envelope.payload.model_copy(update=update)
    return SubmissionReceived(sealed(payload, PEOPLE[who], now))


def stored(known: SubmissionState) -> LegStored:
    s = known.submission
    folder = f"states/{s.task_id}/step-{s.steps:08d}"
    files = tuple(
        SubmittedFile(path=f"{folder}/{name}", sha256="1" * 64, bytes=10)
        for name in ("weights.safetensors", "ema.safetensors", "optimizer.safetensors")
    )
    head = Head(
        step=s.steps, loss=0.5, previous="0" * 64, commitment=s.commitment, commit="0" * 40, files=files
    )  # fmt: skip
    return LegStored(s.lease_id, head)


def held(state: State, task_id: str = "expert-0") -> LeaseState:
    return state.leases[state.tasks[task_id].lease_id]


def who_holds(state: State, task_id: str = "expert-0") -> int:
    return [person.public_key for person in PEOPLE].index(lease_of(state, task_id).volunteer)


def leg_step(state: State, now: float, *seen: Observation) -> Decision:
    return tick(state, seen, LEGS, now)


def leg_verdict(state: State, lease: Lease, accepted: bool = True) -> Verified:
    """A verdict on a leg whose verification began in this state."""
    return Verified(verdict(lease, accepted).verdict, head_commitment(state.tasks[lease.task_id].task))


def handed_in(state: State, now: float, work: SubmissionReceived) -> State:
    """The state after a leg was handed in, verified and stored."""
    lease = state.leases[work.envelope.payload.lease_id].lease
    state = leg_step(state, now, work).state
    state = leg_step(state, now + 1, leg_verdict(state, lease)).state
    return leg_step(state, now + 2, stored(state.submissions[lease.lease_id])).state


def earned(state: State) -> dict[str, Credit]:
    """Credits by public key."""
    return {credit.public_key: credit for credit in credits_of(state)}


def relay(num_legs: int, who=(0, 1)) -> State:
    """Volunteers take turns at an expert: so many of its five legs are verified, and the next one is leased."""
    state, now = run_of(1), START
    for number in range(num_legs + 1):
        state = leg_step(state, now, want(who[number % len(who)], now)).state
        if number < num_legs:
            state = handed_in(state, now + 10, leg(held(state), who_holds(state), now + 10))
            state = leg_step(state, now + 13, want(who[number % len(who)], now + 13, state="leaving")).state
        now += 100
    return state
