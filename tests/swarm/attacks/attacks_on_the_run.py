"""Attacks on a served run by records: `python attacks_on_the_run.py RUN_JSON NAME...` plays them.

It prints the outcome of each as a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path += [str(TESTS), str(TESTS / "protocol")]

from mallory import Mallory, Outcome  # noqa: E402

from paris.protocol.keys import dht_key  # noqa: E402
from paris.protocol.run_records import Registration, SubmittedFile, Task  # noqa: E402
from paris.protocol.runid import make_run_id  # noqa: E402
from paris.protocol.signing import Identity  # noqa: E402
from paris.protocol.work_records import Heartbeat, Lease, Submission, Verdict  # noqa: E402

MANY = 200
"""Records of a flood. More would show the same."""


@dataclass(frozen=True)
class RunAttack:
    """One way to attack a run."""

    name: str
    does: str
    caught_by: str | None
    """Who refuses it and why; None: it gets through."""
    play: Callable[[Mallory], Outcome]


def task_of(mallory: Mallory, **changes) -> Task:
    fields = {
        "task_id": "expert-0",
        "cluster": 0,
        "steps": 1,
        "batch_size": 1,
        "manifest_sha256": "0" * 64,
        "data_bytes": 1,
        "min_memory_bytes": 0,
        "min_disk_bytes": 0,
        "deadline_s": 1e6,
        "grace_s": 0.0,
        "state": "open",
    }
    return Task(**{**fields, **changes})


def beat(lease_id: str = "a" * 32, **changes) -> Heartbeat:
    fields = {"lease_id": lease_id, "task_id": "expert-0", "attempt": 1, "state": "training", "step": 1}
    return Heartbeat(**{**fields, **changes})


def submission(mallory: Mallory, lease_id: str = "a" * 32, **changes) -> Submission:
    file = SubmittedFile(path="submissions/x/expert.safetensors", sha256="0" * 64, bytes=1)
    fields = {
        "lease_id": lease_id,
        "task_id": "expert-0",
        "attempt": 1,
        "name": "mallory",
        "repo": mallory.spec.model_repo,
        "pull_request": 1,
        "commit": "0" * 40,
        "files": (file,),
        "steps": 1,
        "final_loss": 0.1,
        "commitment": "0" * 64,
    }
    return Submission(**{**fields, **changes})


def own_lease(mallory: Mallory, **changes) -> Lease:
    now = time.time()
    fields = {
        "lease_id": "a" * 32,
        "task_id": "expert-0",
        "attempt": 1,
        "volunteer": mallory.identity.public_key,
        "granted_at": now,
        "expires_at": now + 1e6,
    }
    return Lease(**{**fields, **changes})


def one(make: Callable[[Mallory], object]) -> Callable[[Mallory], Outcome]:
    """Sign one record and send it to where it belongs."""
    return lambda mallory: mallory.send([mallory.raw(mallory.sealed(make(mallory)))])


def verdict(mallory: Mallory) -> Verdict:
    mine = mallory.identity.public_key
    return Verdict(
        lease_id="a" * 32, task_id="expert-0", attempt=1, volunteer=mine, accepted=True, reason="Good.", rungs=()
    )


def registration(mallory: Mallory) -> Registration:
    return Registration(
        task_id="expert-0",
        cluster=0,
        lease_id="a" * 32,
        volunteer=mallory.identity.public_key,
        volunteer_name="mallory",
        steps=1,
        repo=mallory.spec.model_repo,
        commit="0" * 40,
        path="expert_0/diffusion_pytorch_model.safetensors",
        sha256="0" * 64,
        bytes=1,
    )


def in_anothers_place(mallory: Mallory) -> Outcome:
    other = Identity.generate().public_key
    return mallory.send([mallory.raw(mallory.sealed(mallory.want()), subkey=other)])


def erase(mallory: Mallory) -> Outcome:
    return mallory.send([(dht_key(mallory.run_id, "task"), None, b"", time.time() + 60)])


def nowhere(mallory: Mallory) -> Outcome:
    return mallory.send([mallory.raw(mallory.sealed(mallory.want()), key=f"paris_v1_{mallory.run_id}_mine")])


def oversized(mallory: Mallory) -> Outcome:
    return mallory.send([mallory.raw(mallory.sealed(mallory.want()), value=b"{" * 100_000)])


def kept_alive(mallory: Mallory) -> Outcome:
    """A copy of a true record under a later expiry."""
    later = mallory.published.expires_at + 86400
    return mallory.send([mallory.raw(mallory.published, expires_at=later)])


def far_future(mallory: Mallory) -> Outcome:
    return mallory.send([mallory.raw(mallory.sealed(mallory.want(), expires_at=time.time() + 10 * 365 * 86400))])


def replayed(mallory: Mallory) -> Outcome:
    """An older record of its own over the newer one."""
    older = mallory.sealed(mallory.want(), sequence=1, expires_at=time.time() + 59)
    newer = mallory.sealed(mallory.want(state="leaving"), sequence=2)
    return mallory.send([mallory.raw(newer), mallory.raw(older)], allowed=1)


def of_another_run(mallory: Mallory) -> Outcome:
    key = Identity.generate()
    foreign = mallory.sealed(task_of(mallory), key, run_id=make_run_id("other", key.public_key))
    return mallory.send([mallory.raw(foreign)])


def wrong_bucket(mallory: Mallory) -> Outcome:
    """In the bucket of other volunteers, to fill it."""
    sealed = mallory.sealed(mallory.want())
    own = mallory.raw(sealed)[0]
    other = next(key for b in range(64) if (key := dht_key(mallory.run_id, "want", b)) != own)
    return mallory.send([mallory.raw(sealed, key=other)])


def invented(make: Callable[[Mallory, int], object]) -> Callable[[Mallory], Outcome]:
    """Many records of as many fresh keys."""

    def play(mallory: Mallory) -> Outcome:
        sealed = [mallory.sealed(make(mallory, i), Identity.generate()) for i in range(MANY)]
        return mallory.send([mallory.raw(envelope) for envelope in sealed])

    return play


def with_own_lease(mallory: Mallory) -> Outcome:
    """A heartbeat with a lease that the attacker signed itself."""
    lease = mallory.sealed(own_lease(mallory)).data.decode()
    return mallory.send([mallory.raw(mallory.sealed(beat(lease=lease)))])


def with_stolen_lease(mallory: Mallory) -> Outcome:
    """A submission with a lease that was granted to somebody else, read from the DHT."""
    peer = mallory.peer()
    peer.publish(mallory.sealed(mallory.want(name="victim"), Identity.generate()), mallory.spec.num_buckets)
    lease = mallory.wait_for(lambda: peer.read("lease"), "somebody's lease")[0]
    peer.stop()
    granted = lease.payload
    names = {"task_id": granted.task_id, "attempt": granted.attempt, "lease": lease.data.decode()}
    return mallory.send([mallory.raw(mallory.sealed(submission(mallory, granted.lease_id, **names)))])


ON_THE_RUN = (
    RunAttack("forged task", "Signs a task with a key of its own", "peers/bad-signature", one(task_of)),
    RunAttack("forged lease", "Grants itself a lease", "peers/bad-signature", one(own_lease)),
    RunAttack("forged verdict", "Accepts its own work", "peers/bad-signature", one(verdict)),
    RunAttack("forged registration", "Registers a file of its own", "peers/bad-signature", one(registration)),
    RunAttack("another's place", "Overwrites another's record", "peers/wrong-subkey", in_anothers_place),
    RunAttack("plain value", "Erases all tasks by a plain value", "peers/plain-value", erase),
    RunAttack("unknown key", "Keeps data of its own at the peers", "peers/unknown-key", nowhere),
    RunAttack("oversized record", "Stores 100 kB in a place for 2 kB", "peers/oversized", oversized),
    RunAttack("record kept alive", "Stores a true record with a later expiry", "peers/expiry-mismatch", kept_alive),
    RunAttack("record for ten years", "Signs a life of ten years", "peers/expired", far_future),
    RunAttack("old record again", "Puts an older record over a newer one", "peers/stale-sequence", replayed),
    RunAttack("record of another run", "Signs as the coordinator of another run", "peers/malformed", of_another_run),
    RunAttack("wrong bucket", "Fills the bucket of other volunteers", "peers/wrong-bucket", wrong_bucket),
    RunAttack(
        "invented submissions",
        f"Sends {MANY} submissions of fresh keys",
        "peers/no-lease",
        invented(lambda mallory, i: submission(mallory, f"{i:032x}")),
    ),
    RunAttack(
        "invented heartbeats",
        f"Sends {MANY} heartbeats of fresh keys",
        "peers/no-lease",
        invented(lambda mallory, i: beat(f"{i:032x}")),
    ),
    RunAttack("lease of its own", "Shows a lease that it signed itself", "peers/foreign-lease", with_own_lease),
    RunAttack("stolen lease", "Shows a lease that was granted to another", "peers/foreign-lease", with_stolen_lease),
    RunAttack(
        "invented volunteers",
        f"Asks for work with {MANY} fresh keys",
        None,
        invented(lambda mallory, i: mallory.want()),
    ),
)


def main() -> int:
    """Play attacks, each with a key of its own."""
    from attacks_on_the_hub import ON_THE_HUB

    run_json, names = Path(sys.argv[1]), sys.argv[2:]
    attacks = {attack.name: attack for attack in (*ON_THE_RUN, *ON_THE_HUB)}
    for name in names:
        mallory, began = Mallory(run_json), time.process_time()
        outcome = asdict(attacks[name].play(mallory))
        print(json.dumps({"attack": name, **outcome, "made_cpu_s": round(time.process_time() - began, 3)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
