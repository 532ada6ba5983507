"""The cheat among a demo's volunteers: it takes a task, trains nothing, and hands in weights that it made up.

    python -m paris.coordinator.demo.cheat RUN.json NAME

It speaks to the run as a stranger with a client of its own would, by records in the DHT and a pull request. Every
signature, file and digest is right; only the training is missing. It prints JSON lines, as `paris-node` does.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from paris.coordinator.demo.made_up import MadeUp, make_up
from paris.coordinator.hub_errors import use_hub_client
from paris.experts.files import write_whole
from paris.protocol.canonical import parse_json
from paris.protocol.dht.peer import Peer
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.hub_layout import SUBMISSION_FILE, submission_folder
from paris.protocol.lifeline import exit_with_parent
from paris.protocol.limits import MAX_RECORD_BYTES
from paris.protocol.manifest import join_manifest
from paris.protocol.payload import Payload
from paris.protocol.run_peer import RunPeer
from paris.protocol.run_records import ManifestPart, RunSpec, SubmittedFile, Task
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.version import SOFTWARE_VERSION
from paris.protocol.work_records import Heartbeat, Lease, Submission, Verdict, Want

P = TypeVar("P", bound=Payload)
_POLL_S = 1.0
_LIFE_S = 300.0


@dataclass(frozen=True)
class Cheat:
    """A stranger in a run.

    Args:
        run: The signed description.
        name: Shown beside its work.
        sealer: Signs with a fresh key.
        peer: Reads and stores records.
    """

    run: Envelope[RunSpec]
    name: str
    sealer: Sealer
    peer: RunPeer

    def work(self) -> None:
        """Wait for a lease, hand in, wait for the verdict, and leave."""
        lease = self._wait(lambda: self._mine("lease", Lease), self._want("waiting"))
        task = self._wait(lambda: self._task(lease.payload.task_id))
        _say("leased", task_id=task.task_id, attempt=lease.payload.attempt)
        with tempfile.TemporaryDirectory() as folder:
            submission = self._hand_in(lease, task, Path(folder))
        _say("submitted", task_id=task.task_id, pull_request=submission.pull_request)
        beat = self._heartbeat(lease, task)
        verdict = self._wait(lambda: self._mine("verdict", Verdict, lease.payload.lease_id), submission, beat)
        _say("verdict", accepted=verdict.payload.accepted, text=verdict.payload.reason)
        self._publish(self._want("leaving"))

    def _hand_in(self, lease: Envelope[Lease], task: Task, folder: Path) -> Submission:
        read = self.peer.read("manifest", task.cluster)
        chunks = [envelope.payload for envelope in read if isinstance(envelope.payload, ManifestPart)]
        manifest = join_manifest(chunks, task.manifest_sha256)
        made = make_up(self.run, task, lease.payload, [shard.rows for shard in manifest.shards], folder)
        place = submission_folder(task.task_id, lease.payload.attempt, self.sealer.public_key)
        inner = self._submission(lease, task, made, place)
        write_whole(folder / SUBMISSION_FILE, self.sealer.seal(inner, _LIFE_S).data)
        number, commit = self._upload(folder, place, f"{task.task_id} attempt {lease.payload.attempt} by {self.name}")
        return inner.model_copy(update={"pull_request": number, "commit": commit})

    def _submission(self, lease: Envelope[Lease], task: Task, made: MadeUp, place: str) -> Submission:
        return Submission(
            lease_id=lease.payload.lease_id,
            task_id=task.task_id,
            attempt=lease.payload.attempt,
            name=self.name,
            repo=self.run.payload.model_repo,
            pull_request=None,
            commit=None,
            files=tuple(
                SubmittedFile(path=f"{place}/{name}", sha256=sha256, bytes=num_bytes)
                for name, (sha256, num_bytes) in made.files.items()
            ),
            steps=task.steps,
            final_loss=made.loss,
            commitment=made.commitment,
            start_step=lease.payload.start_step,
            lease=lease.data.decode(),
        )

    def _upload(self, folder: Path, place: str, title: str) -> tuple[int, str]:
        """Open the pull request; its number and commit."""
        from huggingface_hub import CommitOperationAdd, HfApi, constants

        use_hub_client()
        constants.HF_HUB_DISABLE_XET = True
        files = [path for path in sorted(folder.iterdir()) if path.is_file()]
        info = HfApi(endpoint=self.run.payload.hub_endpoint, token=secrets.token_hex(20)).create_commit(
            self.run.payload.model_repo,
            [CommitOperationAdd(path_in_repo=f"{place}/{path.name}", path_or_fileobj=str(path)) for path in files],
            commit_message=title,
            create_pr=True,
        )
        return int(info.pr_num or 0), str(info.oid)

    def _wait(self, find: Callable[[], P | Envelope[P] | None], *payloads: Payload) -> Any:
        """Publish records until something is found."""
        while (found := find()) is None:
            for payload in payloads:
                self._publish(payload)
            time.sleep(_POLL_S)
        return found

    def _mine(self, kind: str, of: type[P], lease_id: str | None = None) -> Envelope[P] | None:
        """The newest record of a kind that names this volunteer."""
        found = [
            envelope
            for envelope in self.peer.read(kind)
            if isinstance(envelope.payload, of)
            and getattr(envelope.payload, "volunteer", None) == self.sealer.public_key
            and lease_id in (None, getattr(envelope.payload, "lease_id", None))
        ]
        return max(found, key=lambda envelope: envelope.sequence, default=None)  # type: ignore[return-value]

    def _task(self, task_id: str) -> Task | None:
        tasks = [envelope.payload for envelope in self.peer.read("task")]
        return next((task for task in tasks if isinstance(task, Task) and task.task_id == task_id), None)

    def _publish(self, payload: Payload) -> None:
        self.peer.publish(self.sealer.seal(payload, _LIFE_S), self.run.payload.num_buckets)

    def _want(self, state: Any) -> Want:
        return Want(
            name=self.name,
            device="cpu: says so",
            memory_bytes=2**36,
            disk_bytes=2**40,
            state=state,
            node_version=SOFTWARE_VERSION,
        )

    def _heartbeat(self, lease: Envelope[Lease], task: Task) -> Heartbeat:
        return Heartbeat(
            lease_id=lease.payload.lease_id,
            task_id=task.task_id,
            attempt=lease.payload.attempt,
            state="waiting-verdict",
            step=task.steps,
            lease=lease.data.decode(),
        )


def main(arguments: list[str]) -> int:
    """Cheat once in a run on this machine.

    Args:
        arguments: Path of run.json, and the name to appear under.
    """
    exit_with_parent()
    data = Path(arguments[0]).read_bytes().strip()
    raw = parse_json(data, max_bytes=MAX_RECORD_BYTES)
    run = open_envelope(data, run_id=raw["run_id"], coordinator=None, now=None)
    if not isinstance(run.payload, RunSpec):
        raise TypeError(f"{arguments[0]} is a {run.kind} record, not a RunSpec.")
    peer = Peer.start(
        run_id=run.run_id,
        coordinator=run.signer,
        initial_peers=run.payload.initial_peers,
        client_mode=True,
    )
    with peer:
        Cheat(run, arguments[1], Sealer(Identity.generate(), run.run_id), peer).work()  # type: ignore[arg-type]
    return 0


def _say(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
