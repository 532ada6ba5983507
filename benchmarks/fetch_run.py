"""The run of benchmarks/fetch.py: an embedded Hub with one cluster, and a minimal coordinator.

The coordinator grants every volunteer a lease of the same task, as with replicas, and does nothing else.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np

from paris.coordinator.hub import HubServer, add_user, admin_token
from paris.experts.data.shards import Row, write_shard
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.protocol.dht.peer import Peer
from paris.protocol.envelope import Envelope, seal
from paris.protocol.manifest import Manifest, split_manifest
from paris.protocol.payload import Payload
from paris.protocol.run_records import RunSpec, Shard, Task
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity
from paris.protocol.work_records import Lease

WINDOW_SHARDS = 8
"""A run's default."""
DEADLINE_S = 7500.0
"""Deadline of the task; peers may delay the first step by a thousandth of it."""
TOKEN = "token-of-the-volunteers"
_SHAPE = (4, 32, 32)
_LIFE_S = 600.0
_PUBLISH_EVERY_S = 0.5


class DataHub:
    """A Hub with the shards of one cluster.

    Args:
        folder: Of everything.
        num_shards: Shards of the cluster.
        rows: Rows of each, random latents: nothing about them can be compressed.
    """

    def __init__(self, folder: Path, num_shards: int, rows: int) -> None:
        from huggingface_hub import HfApi, constants
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        constants.HF_HUB_DISABLE_XET = True
        self._server = HubServer(folder / "hub").start()
        self.url = self._server.url
        self._token = admin_token(folder / "hub")
        add_user(folder / "hub", "volunteer", TOKEN)
        data = folder / "data"
        shards = tuple(_make_shard(data, index, rows) for index in range(num_shards))
        listed = {"cluster": 0, "shards": [shard.model_dump() for shard in shards]}
        (data / "manifests").mkdir()
        (data / "manifests" / "cluster-000.json").write_text(json.dumps(listed), "utf-8")
        self.vocabulary_sha256 = write_vocabulary(data / "vocab.json", ["cat", "red"])
        api = HfApi(endpoint=self.url, token=self._token)
        api.create_repo("org/data", repo_type="dataset")
        api.create_repo("org/model")
        revision = str(api.upload_folder(repo_id="org/data", repo_type="dataset", folder_path=data).oid)
        self.manifest = Manifest(0, "org/data", revision, shards)

    def shard_bytes(self) -> int:
        """Bytes of shards that the Hub has sent so far, by its own account."""
        request = urllib.request.Request(
            f"{self.url}/api/paris/traffic", headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            entries = json.load(answer)["entries"]
        return sum(entry["downloaded_bytes"] for entry in entries if entry["part"] == "shards")

    def stop(self) -> None:
        """End the Hub."""
        self._server.stop()


class Lead:
    """The organiser's peer of one run: publishes what a volunteer needs, and grants each one a lease.

    Args:
        hub: Where the data is.
        run_json: Where to write what volunteers join.
    """

    def __init__(self, hub: DataHub, run_json: Path) -> None:
        self._identity = Identity.generate()
        self._run_id = make_run_id("fetch", self._identity.public_key)
        self._peer = Peer.start(run_id=self._run_id, coordinator=self._identity.public_key)
        self._sequence = 0
        self._leases: dict[str, Lease] = {}
        self._spec = _spec(hub, tuple(self._peer.addresses))
        self._records: list[Payload] = [self._spec, _task(hub.manifest), *split_manifest(hub.manifest)]
        run_json.write_bytes(self._sealed(self._spec).data)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._lead, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the swarm."""
        self._stop.set()
        self._thread.join()
        self._peer.stop()

    def _lead(self) -> None:
        while not self._stop.wait(_PUBLISH_EVERY_S):
            for envelope in self._peer.read_all("want", self._spec.num_buckets):
                if envelope.signer not in self._leases:
                    self._leases[envelope.signer] = _lease(envelope.signer, len(self._leases) + 1)
            self._peer.publish_many([self._sealed(p) for p in [*self._records, *self._leases.values()]], 1)

    def _sealed(self, payload: Payload) -> Envelope[Payload]:
        now = time.time()
        self._sequence = max(self._sequence + 1, int(now * 1000))
        times = {"issued_at": now, "expires_at": now + _LIFE_S}
        return seal(payload, self._identity, run_id=self._run_id, sequence=self._sequence, **times)


def _make_shard(folder: Path, index: int, rows: int) -> Shard:
    rng = np.random.default_rng(index)
    path = f"shards/cluster-000/shard-{index:05d}.parquet"
    latents = rng.integers(0, 2**15, (rows, *_SHAPE), dtype=np.uint16).view(np.float16)
    made = [
        Row(f"{index}-{i}", latent, "red cat", "made", "", "", "cc0-1.0", "made") for i, latent in enumerate(latents)
    ]
    write_shard(folder / path, made, _SHAPE, "float16")
    data = (folder / path).read_bytes()
    return Shard(path=path, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), rows=rows)


def _spec(hub: DataHub, initial_peers: tuple[str, ...]) -> RunSpec:
    return RunSpec(
        name="fetch",
        num_experts=1,
        hub_endpoint=hub.url,
        data_repo="org/data",
        model_repo="org/model",
        initial_peers=initial_peers,
        seed=0,
        model={},
        training={"window_shards": WINDOW_SHARDS},
        text={"kind": "vocabulary", "dim": 8, "max_tokens": 4, "path": "vocab.json", "sha256": hub.vocabulary_sha256},
        codec={},
        heartbeat_every_s=5.0,
        lease_s=3600.0,
        licence="CC0-1.0",
    )


def _task(manifest: Manifest) -> Task:
    return Task(
        task_id="expert-0",
        cluster=0,
        steps=1000,
        batch_size=16,
        manifest_sha256=manifest.sha256,
        data_bytes=manifest.num_bytes,
        min_memory_bytes=1000,
        min_disk_bytes=manifest.num_bytes,
        deadline_s=DEADLINE_S,
        grace_s=600.0,
        state="open",
    )


def _lease(volunteer: str, attempt: int) -> Lease:
    return Lease(
        lease_id=hashlib.sha256(volunteer.encode()).hexdigest()[:32],
        task_id="expert-0",
        attempt=attempt,
        volunteer=volunteer,
        granted_at=time.time(),
        expires_at=time.time() + DEADLINE_S,
    )
