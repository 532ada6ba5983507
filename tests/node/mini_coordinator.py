"""A small coordinator for one node: real DHT peer, embedded Hub and shards; it grants and judges as it is told."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from deadlines import DEADLINE_S
from huggingface_hub import HfApi, constants

from paris.coordinator.hub import HubServer, admin_token
from paris.experts.data.shards import Row, write_shard
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.protocol.canonical import canonical_bytes
from paris.protocol.dht.peer import Peer
from paris.protocol.hub_layout import manifest_path, step_folder
from paris.protocol.manifest import Manifest, split_manifest
from paris.protocol.run_peer import NetworkOptions
from paris.protocol.run_records import RunSpec, Shard, Task
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.work_records import Answer, Audit, Challenge, Lease, Rung, Verdict

SHARD_ROWS = (7, 5, 6)
MODEL = {
    "image_size": 8,
    "in_channels": 3,
    "patch_size": 4,
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_ratio": 4.0,
    "text_embed_dim": 8,
    "max_text_tokens": 4,
}
TRAINING = {"learning_rate": 3e-3, "ema_decay": 0.9, "snapshot_every": 10, "window_shards": 1}


def write_cluster(folder: Path, cluster: int) -> tuple[Shard, ...]:
    """Real shards of random pixels; returns the manifest's entries."""
    shards = []
    for index, count in enumerate(SHARD_ROWS):
        rng = np.random.default_rng(100 * cluster + index)
        rows = [
            Row(f"{index}-{i}", rng.integers(0, 256, (3, 8, 8), dtype=np.uint8), "red cat", "", "", "", "cc0-1.0", "")
            for i in range(count)
        ]
        path = f"shards/cluster-{cluster:03d}/shard-{index:05d}.parquet"
        write_shard(folder / path, rows, (3, 8, 8), "uint8")
        data = (folder / path).read_bytes()
        shards.append(Shard(path=path, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), rows=count))
    return tuple(shards)


class MiniCoordinator:
    """Grants each open task to whoever wants one; judges by `verdicts[(task, attempt)]`, accepting by default.

    Args:
        folder: Of its Hub and data.
        steps: Of each expert.
        host: Where Hub and peer listen; elsewhere than on loopback the Hub takes the tokens that nodes derive.
        relays: Whether its peer relays for volunteers.
    """

    def __init__(self, folder: Path, steps: tuple[int, ...], host: str = "127.0.0.1", *, relays: bool = False) -> None:
        self.folder = folder
        self.identity = Identity.generate()
        self.run_id = make_run_id("tiny", self.identity.public_key)
        self._sealer = Sealer(self.identity, self.run_id)
        self.verdicts: dict[tuple[str, int], bool] = {}
        self.submissions: dict[str, object] = {}
        self.heartbeats: list[object] = []
        self.wants: list[object] = []
        self.leases: dict[str, Lease] = {}
        self.judged: dict[str, Verdict] = {}
        self.is_granting = True
        self.is_judging = True
        self.asks: tuple[int, ...] = ()
        """Steps of the snapshots that it asks for before it judges."""
        self.challenges: dict[str, Challenge] = {}
        self.answers: list[Answer] = []
        self.grants_to: str | None = None
        self.most_leases = 1
        """At a time, to different volunteers."""
        self.audited: dict[str, Audit] = {}
        """What came of audits, by lease id."""
        self.leg_steps: int | None = None
        """Leases are for the first so many steps; None: for whole tasks."""
        self.hub = HubServer(folder / "hub", host, open_registration=host != "127.0.0.1").start()
        self.api = HfApi(endpoint=self.hub.url, token=admin_token(folder / "hub"))
        self.peer = Peer.start(
            run_id=self.run_id,
            coordinator=self.identity.public_key,
            listen=[f"/ip4/{host}/tcp/0"],
            network=NetworkOptions(use_relay=relays, is_relay=relays, auto_nat=relays),
        )
        self._relays = relays
        self._prepare(steps)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _prepare(self, steps: tuple[int, ...]) -> None:
        constants.HF_HUB_DISABLE_XET = True
        data = self.folder / "data"
        shards = [write_cluster(data, k) for k in range(len(steps))]
        for k, listed in enumerate(shards):
            path = data / manifest_path(k)  # for a node that reads its lease before the peers have the manifest
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(canonical_bytes({"shards": [shard.model_dump(mode="json") for shard in listed]}))
        vocab = write_vocabulary(data / "vocab.json", ["cat", "red"])
        self.api.create_repo("org/data", repo_type="dataset")
        self.api.create_repo("org/model")
        revision = self.api.upload_folder(repo_id="org/data", repo_type="dataset", folder_path=data).oid
        self.spec = RunSpec(
            name="tiny",
            num_experts=len(steps),
            num_buckets=2,
            hub_endpoint=self.hub.url,
            data_repo="org/data",
            model_repo="org/model",
            initial_peers=tuple(self.peer.addresses),
            seed=3,
            model=MODEL,
            training=TRAINING,
            text={"kind": "vocabulary", "dim": 8, "max_tokens": 4, "path": "vocab.json", "sha256": vocab},
            codec={"kind": "pixels"},
            heartbeat_every_s=0.5,
            lease_s=600.0,
            licence="CC0-1.0",
            want_work_bits=8,
            peers_relay=self._relays or None,
        )
        self.manifests = [Manifest(k, "org/data", revision, shards[k]) for k in range(len(steps))]
        self.tasks = {f"expert-{k}": self._task(k, count) for k, count in enumerate(steps)}

    def _task(self, cluster: int, steps: int) -> Task:
        manifest = self.manifests[cluster]
        return Task(
            task_id=f"expert-{cluster}",
            cluster=cluster,
            steps=steps,
            batch_size=4,
            manifest_sha256=manifest.sha256,
            data_bytes=manifest.num_bytes,
            min_memory_bytes=1000,
            min_disk_bytes=1000,
            deadline_s=600.0,
            grace_s=60.0,
            state="open",
        )

    def sealed(self, payload, life_s: float = 120.0):
        """Seal a record with a growing sequence."""
        return self._sealer.seal(payload, life_s)

    def publish(self) -> None:
        """Put everything into the DHT, again and always with a later expiry."""
        records = [self.spec, *self.tasks.values(), *self.leases.values(), *self.judged.values()]
        records += self.challenges.values()
        records += [chunk for manifest in self.manifests for chunk in split_manifest(manifest)]
        self.peer.publish_many([self.sealed(record) for record in records], self.spec.num_buckets)

    def _run(self) -> None:
        while not self._stop.is_set():
            if self.is_granting:
                self._grant()
            self.heartbeats += [e.payload for e in self.peer.read_all("heartbeat", self.spec.num_buckets)]
            self.answers += [e.payload for e in self.peer.read_all("answer", self.spec.num_buckets)]
            for envelope in self.peer.read_all("audit", self.spec.num_buckets):
                self._release(envelope.payload)
            for envelope in self.peer.read_all("submission", self.spec.num_buckets):
                if self.asks:
                    self._challenge(envelope.payload, envelope.signer)
                if self.is_judging:
                    self._judge(envelope.payload, envelope.signer)
            self.publish()
            self._stop.wait(0.2)

    def _grant(self) -> None:
        for envelope in self.peer.read_all("want", self.spec.num_buckets):
            self.wants.append(envelope.payload)
            held = [v for v in self.leases.values() if v.lease_id not in self.judged and v.state == "granted"]
            task = next((task for task in self.tasks.values() if task.state == "open"), None)
            if self.grants_to not in (None, envelope.payload.name):
                continue
            may_hold = len(held) < self.most_leases and envelope.signer not in {v.volunteer for v in held}
            if envelope.payload.state == "waiting" and task is not None and may_hold:
                attempt = task.attempt + 1
                self.tasks[task.task_id] = task.model_copy(update={"state": "leased", "attempt": attempt})
                legs = {"start_step": 0, "to_step": self.leg_steps, "draw_sha256": "e" * 64} if self.leg_steps else {}
                lease_id = hashlib.sha256(f"{task.task_id}{attempt}".encode()).hexdigest()[:32]
                self.leases[lease_id] = Lease(
                    lease_id=lease_id,
                    task_id=task.task_id,
                    attempt=attempt,
                    volunteer=envelope.signer,
                    granted_at=time.time(),
                    expires_at=time.time() + 600,
                    **legs,
                )

    def audit(self, lease: Lease) -> None:
        """Grant the lease of an audit to the volunteer that it names."""
        self.leases[lease.lease_id] = lease

    def _release(self, audit: Audit) -> None:
        self.audited[audit.lease_id] = audit
        lease = self.leases[audit.lease_id]
        self.leases[audit.lease_id] = lease.model_copy(update={"state": "released", "reason": "The audit arrived."})

    def _challenge(self, submission, signer: str) -> None:
        self.challenges[submission.lease_id] = Challenge(
            lease_id=submission.lease_id,
            task_id=submission.task_id,
            attempt=submission.attempt,
            volunteer=signer,
            steps=self.asks,
            answer_until=time.time() + 600,
        )

    def _judge(self, submission, signer: str) -> None:
        if submission.lease_id in self.judged:
            return
        accepted = self.verdicts.get((submission.task_id, submission.attempt), True)
        self.submissions[submission.lease_id] = submission
        rung = Rung(rung="skill", passed=accepted, figure=1.5, bound=1.0, note="held-out loss")
        self.judged[submission.lease_id] = Verdict(
            lease_id=submission.lease_id,
            task_id=submission.task_id,
            attempt=submission.attempt,
            volunteer=signer,
            accepted=accepted,
            reason="All rungs passed." if accepted else "It learned too little.",
            rungs=(rung,),
        )
        state = "registered" if accepted else "open"
        self.tasks[submission.task_id] = self.tasks[submission.task_id].model_copy(update={"state": state})

    def wait_for_heartbeat(self, condition: Callable[[object], bool], timeout_s: float = DEADLINE_S) -> None:
        """Wait until a heartbeat that fulfils a condition has been read."""
        deadline = time.monotonic() + timeout_s
        while not any(condition(beat) for beat in list(self.heartbeats)):
            assert time.monotonic() < deadline, f"no such heartbeat within {timeout_s:.0f} s"
            self._stop.wait(0.1)

    def wait_for_answer(self, steps: tuple[int, ...], timeout_s: float = DEADLINE_S) -> Answer:
        """Wait until an answer with these snapshots has been read."""
        deadline, wanted = time.monotonic() + timeout_s, {step_folder(step) for step in steps}
        while True:
            for answer in list(self.answers):
                if {file.path.split("/")[-2] for file in answer.files} == wanted:
                    return answer
            assert time.monotonic() < deadline, f"no answer with {wanted} within {timeout_s:.0f} s"
            self._stop.wait(0.1)

    def revoke(self, lease_id: str) -> None:
        """Take a lease back, as if the deadline were missed; nobody else gets the task."""
        self.is_granting = False
        self.leases[lease_id] = self.leases[lease_id].model_copy(update={"state": "revoked", "reason": "too late."})

    def restart_hub(self) -> None:
        """Start the Hub again where it was."""
        self.hub = HubServer(self.folder / "hub", port=self.hub.port).start()

    def stop(self) -> None:
        """End everything."""
        self._stop.set()
        self._thread.join(DEADLINE_S)
        self.peer.stop()
        self.hub.stop()
