"""Fixed keys, fixed times and a sample payload for each record kind."""

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from paris.protocol.audit_order import AuditOrder, AuditStart
from paris.protocol.audits import PARTS, VALUES, packed
from paris.protocol.canonical import canonical_bytes
from paris.protocol.draws import draw_digest
from paris.protocol.envelope import Envelope, seal
from paris.protocol.payload import Payload
from paris.protocol.run_records import (
    Head,
    Invite,
    LaneEnd,
    ManifestPart,
    Registration,
    RunSpec,
    Shard,
    SubmittedFile,
    Task,
)
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity
from paris.protocol.size_needs import SizeNeeds
from paris.protocol.summary import Summary
from paris.protocol.want_work import do_work
from paris.protocol.work_records import (
    Answer,
    Audit,
    Challenge,
    Heartbeat,
    Holding,
    Lease,
    Rung,
    Submission,
    Verdict,
    Want,
)

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_800_000_000.0
LIFE_S = 600.0


def fixed_identity(name: str) -> Identity:
    """The same key for the same name."""
    return Identity(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


COORDINATOR = fixed_identity("coordinator")
VOLUNTEER = fixed_identity("volunteer")
STRANGER = fixed_identity("stranger")
INVITE_SEED = hashlib.sha256(b"invite").digest()
RUN_ID = make_run_id("cabins", COORDINATOR.public_key)


def hex_of(name: str, digits: int = 64) -> str:
    """Hex digits in place of a hash."""
    return hashlib.sha256(name.encode()).hexdigest()[:digits]


LEASE_ID = hex_of("lease", 32)

RUN = RunSpec(
    name="Cabins",
    num_experts=4,
    num_buckets=4,
    hub_endpoint="https://huggingface.co",
    data_repo="cabins/data",
    model_repo="cabins/model",
    initial_peers=("/ip4/203.0.113.7/tcp/31337/p2p/12D3KooWDD9CfZNQaVRiD8YEV53FBrdHiNVGSSkVNVmx9m2M9p1T",),
    seed=7,
    model={"preset": "dit-b-2", "image_size": 32},
    training={"steps": 1000, "learning_rate": 0.0001},
    text={"kind": "vocabulary", "dim": 64},
    codec={"kind": "pixels"},
    heartbeat_every_s=60.0,
    lease_s=3600.0,
    licence="CC-BY-4.0",
    attribution="Cabins by their photographers",
)
TASK = Task(
    task_id="expert-0",
    cluster=0,
    steps=1000,
    batch_size=16,
    manifest_sha256=hex_of("manifest"),
    data_bytes=5_000_000,
    min_memory_bytes=2_000_000_000,
    min_disk_bytes=6_000_000,
    deadline_s=7200.0,
    grace_s=600.0,
    state="open",
)
SUMMARY = Summary(num_open=1, num_leased=2, num_submitted=0, num_registered=1, lanes=1)
MANIFEST = ManifestPart(
    cluster=0,
    part=0,
    num_parts=1,
    manifest_sha256=hex_of("manifest"),
    repo="cabins/data",
    revision=hex_of("revision", 40),
    shards=(Shard(path="shards/cluster-000/shard-00000.parquet", sha256=hex_of("shard"), bytes=5_000_000, rows=512),),
)
LEASE = Lease(
    lease_id=LEASE_ID,
    task_id="expert-0",
    attempt=1,
    volunteer=VOLUNTEER.public_key,
    granted_at=NOW,
    expires_at=NOW + 3600.0,
)
CHALLENGE = Challenge(
    lease_id=LEASE_ID,
    task_id="expert-0",
    attempt=1,
    volunteer=VOLUNTEER.public_key,
    steps=(400, 600),
    answer_until=NOW + 3600.0,
)
VERDICT = Verdict(
    lease_id=LEASE_ID,
    task_id="expert-0",
    attempt=1,
    volunteer=VOLUNTEER.public_key,
    accepted=False,
    reason="skill: held-out loss 0.91 is not below 0.40",
    rungs=(
        Rung(rung="envelope", passed=True, figure=0.0, bound=0.0),
        Rung(rung="skill", passed=False, figure=0.91, bound=0.4, note="64 secret rows"),
    ),
)
REGISTRATION = Registration(
    task_id="expert-0",
    cluster=0,
    repo="cabins/model",
    commit=hex_of("commit", 40),
    path="experts/expert_0/expert.safetensors",
    sha256=hex_of("weights"),
    bytes=474_000_000,
    steps=1000,
    volunteer=VOLUNTEER.public_key,
    volunteer_name="ada",
    lease_id=LEASE_ID,
)
WANT = Want(
    name="ada",
    device="NVIDIA A40",
    memory_bytes=48_000_000_000,
    disk_bytes=100_000_000_000,
    state="waiting",
    node_version="0.1.0",
)
HEARTBEAT = Heartbeat(
    lease_id=LEASE_ID,
    task_id="expert-0",
    attempt=1,
    state="training",
    step=250,
    loss=0.5,
    steps_per_s=2.5,
    commitment=hex_of("commitment"),
    commitment_step=200,
)
SUBMISSION = Submission(
    lease_id=LEASE_ID,
    task_id="expert-0",
    attempt=1,
    name="ada",
    repo="cabins/model",
    pull_request=3,
    commit=hex_of("pull request", 40),
    files=(SubmittedFile(path="expert.safetensors", sha256=hex_of("weights"), bytes=474_000_000),),
    steps=1000,
    final_loss=0.31,
    commitment=hex_of("last commitment"),
)
STATE = tuple(
    SubmittedFile(path=f"{name}.safetensors", sha256=hex_of(name), bytes=num_bytes)
    for name, num_bytes in (("weights", 474_000_000), ("ema", 474_000_000), ("optimizer", 948_000_000))
)
HEAD = Head(
    step=500,
    loss=0.42,
    previous=hex_of("commitment"),
    commitment=hex_of("head"),
    commit=hex_of("commit", 40),
    files=STATE,
)
ANSWER = Answer(
    lease_id=LEASE_ID,
    task_id="expert-0",
    attempt=1,
    commit=hex_of("answer", 40),
    files=tuple(file.model_copy(update={"path": f"step-00000400/{file.path}"}) for file in STATE),
)
AUDIT_LEASE = LEASE.model_copy(
    update={
        "start_step": 400,
        "to_step": 600,
        "audit": AuditOrder(
            nonce=hex_of("nonce"),
            start=AuditStart(
                previous=hex_of("commitment"),
                commitment=hex_of("head"),
                commit=hex_of("answer", 40),
                folder=f"submissions/expert-0-1-{hex_of('other', 8)}/step-00000400",
                sha256=tuple(file.sha256 for file in STATE),
                bytes=tuple(file.bytes for file in STATE),
            ),
        ),
    }
)
AUDIT = Audit(
    lease_id=LEASE_ID,
    task_id="expert-0",
    attempt=1,
    commitment=hex_of("last commitment"),
    digest=hex_of("keyed"),
    sketch=packed({part: [number / 8 for number in range(VALUES)] for part in PARTS}),
)
INVITE = Invite(invite_id=hex_of("invite", 32), uses=3, key=Identity.of_seed(INVITE_SEED).public_key)
RELAYED = f"{RUN.initial_peers[0]}/p2p-circuit/p2p/12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"
HOLDING = Holding(
    cluster=0,
    manifest_sha256=hex_of("manifest"),
    addresses=("/ip4/203.0.113.8/tcp/31337/p2p/12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR",),
)


def admitted(payload: Payload, identity: Identity, *, granted_at: float = NOW, lease: Lease = LEASE) -> Payload:
    """A heartbeat, submission, answer or audit with the sealed lease of its work."""
    lease = lease.model_copy(
        update={
            "lease_id": payload.lease_id,
            "task_id": payload.task_id,
            "attempt": payload.attempt,
            "volunteer": identity.public_key,
            "granted_at": granted_at,
            "expires_at": granted_at + 3600.0,
        }
    )
    return payload.model_copy(update={"lease": sealed(lease, COORDINATOR, issued_at=granted_at).data.decode()})


def sealed(
    payload: Payload,
    identity: Identity | None = None,
    *,
    sequence: int = 1,
    issued_at: float = NOW,
    life_s: float = LIFE_S,
    run_id: str = RUN_ID,
) -> Envelope:
    """Seal a payload with its usual signer, at the fixed time."""
    signer = identity or SAMPLES[payload.kind][1]
    return seal(payload, signer, run_id=run_id, sequence=sequence, issued_at=issued_at, expires_at=issued_at + life_s)


SAMPLES: dict[str, tuple[Payload, Identity]] = {
    "run": (RUN, COORDINATOR),
    "task": (TASK, COORDINATOR),
    "summary": (SUMMARY, COORDINATOR),
    "manifest": (MANIFEST, COORDINATOR),
    "lease": (LEASE, COORDINATOR),
    "challenge": (CHALLENGE, COORDINATOR),
    "verdict": (VERDICT, COORDINATOR),
    "registration": (REGISTRATION, COORDINATOR),
    "invite": (INVITE, COORDINATOR),
    "want": (WANT, VOLUNTEER),
    "heartbeat": (admitted(HEARTBEAT, VOLUNTEER), VOLUNTEER),
    "submission": (admitted(SUBMISSION, VOLUNTEER), VOLUNTEER),
    "answer": (admitted(ANSWER, VOLUNTEER), VOLUNTEER),
    "audit": (admitted(AUDIT, VOLUNTEER, lease=AUDIT_LEASE), VOLUNTEER),
    "holding": (HOLDING, VOLUNTEER),
}
LEG_SAMPLES: dict[str, tuple[Payload, Identity]] = {
    "run-of-legs": (RUN.model_copy(update={"leg_steps": 500, "want_work_bits": 8}), COORDINATOR),
    "run-whose-peers-relay": (RUN.model_copy(update={"peers_relay": True}), COORDINATOR),
    "want-with-work": (WANT.model_copy(update={"work": do_work(RUN_ID, VOLUNTEER.public_key, 8)}), VOLUNTEER),
    "holding-through-a-relay": (HOLDING.model_copy(update={"addresses": (RELAYED,)}), VOLUNTEER),
    "task-with-head": (TASK.model_copy(update={"head": HEAD}), COORDINATOR),
    "task-of-lanes": (
        TASK.model_copy(
            update={
                "head": HEAD,
                "mean_of": tuple(
                    LaneEnd(task_id=task_id, commitment=hex_of(task_id), commit=hex_of(f"commit {task_id}", 40))
                    for task_id in ("expert-0", "expert-0.1")
                ),
            }
        ),
        COORDINATOR,
    ),
    "lease-of-a-lane": (
        LEASE.model_copy(
            update={"task_id": "expert-0.1", "start_step": 500, "to_step": 1000, "draw_sha256": hex_of("draw")}
        ),
        COORDINATOR,
    ),
    "lease-of-a-leg": (
        LEASE.model_copy(update={"start_step": 500, "to_step": 1000, "draw_sha256": draw_digest(hex_of("secret"))}),
        COORDINATOR,
    ),
    "lease-of-an-audit": (AUDIT_LEASE, COORDINATOR),
    "verdict-on-a-leg": (
        VERDICT.model_copy(
            update={
                "credit_steps": 500,
                "credit_s": 2400.0,
                "draw_secret": hex_of("secret"),
                "replay_rate": 0.25,
            }
        ),
        COORDINATOR,
    ),
    "submission-of-a-leg": (
        admitted(SUBMISSION.model_copy(update={"start_step": 500}), VOLUNTEER),
        VOLUNTEER,
    ),
}
"""Records of a run whose experts are trained in legs, and which asks for work."""
SIZE_SAMPLES: dict[str, tuple[Payload, Identity]] = {
    "run-of-sizes": (RUN.model_copy(update={"smaller": ({"hidden_size": 384, "num_heads": 6},)}), COORDINATOR),
    "task-of-sizes": (
        TASK.model_copy(
            update={
                "smaller": (SizeNeeds(min_memory_bytes=1_000_000_000, min_disk_bytes=5_500_000),),
                "head": HEAD.model_copy(update={"size": 1}),
            }
        ),
        COORDINATOR,
    ),
    "lease-of-a-size": (LEASE.model_copy(update={"size": 1}), COORDINATOR),
    "registration-of-a-size": (REGISTRATION.model_copy(update={"size": 1}), COORDINATOR),
}
"""Records of a run whose experts have different sizes."""


def signed_bytes(body: dict, identity: Identity) -> bytes:
    """Sign any body, including ones that `seal` would never make. Independent of `seal`."""
    signature = identity.sign(b"paris-record-v1\n" + canonical_bytes(body))
    return canonical_bytes({**body, "signature": signature})


def body_of(envelope: Envelope, **changes: object) -> dict:
    """The unsigned body of an envelope, with changes."""
    body = {
        "kind": envelope.kind,
        "version": 1,
        "run_id": envelope.run_id,
        "issued_at": envelope.issued_at,
        "expires_at": envelope.expires_at,
        "sequence": envelope.sequence,
        "payload": envelope.payload.model_dump(mode="json"),
        "signer": envelope.signer,
    }
    return body | changes


def golden_bytes(name: str) -> bytes:
    """A golden record, without the newline at the end of the file."""
    data = (GOLDEN / f"{name}.json").read_bytes()
    return data.removesuffix(b"\n")
