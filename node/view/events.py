"""The events that a node shows, and the sentence of each."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from paris.node.errors import StoppedError
from paris.protocol.errors import heading
from paris.protocol.printable import printable


class EventKind(StrEnum):
    """Every event that a node shows; the value is the word in `--json`."""

    INTRODUCTION = "introduction"
    JOINED = "joined"
    WAITING = "waiting"
    LEASED = "leased"
    FETCHING = "fetching"
    FETCHED = "fetched"
    TRAINER_READY = "trainer-ready"
    LEG = "leg"
    AUDITING = "auditing"
    TRAINING = "training"
    SNAPSHOT = "snapshot"
    PAUSED = "paused"
    RESUMED = "resumed"
    RESTARTING = "restarting"
    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    RETRYING = "retrying"
    SUBMITTED = "submitted"
    AWAITING_VERDICT = "awaiting-verdict"
    VERDICT = "verdict"
    TRAFFIC = "traffic"
    LEASE_LOST = "lease-lost"
    DHT = "dht"
    NOTE = "note"
    DONE = "done"
    ERROR = "error"


PROGRESS = (EventKind.TRAINING, EventKind.UPLOADED)
"""Events of which there are many: each takes the place of the one before."""
SENTENCES: dict[EventKind, str] = {
    EventKind.INTRODUCTION: "{text}",
    EventKind.JOINED: "Joined run {run_id} as {name} on {hardware}.",
    EventKind.WAITING: "{text}",
    EventKind.LEASED: "Leased {task_id}, attempt {attempt}: {steps} steps on cluster {cluster}.",
    EventKind.FETCHING: "Fetching {num_files} files, {num_bytes} bytes.",
    EventKind.FETCHED: (
        "All data is here and verified ({bytes_received} bytes from the Hub, {bytes_from_peers} from peers)."
    ),
    EventKind.TRAINING: (
        "{task_id}: step {step} of {steps}, loss {loss}, {steps_per_s:.2f} steps/s, {eta_s:.0f} s to go."
    ),
    EventKind.LEG: (
        "{task_id}: steps {start_step} to {end_step} of {steps}; a leg takes about {takes} here; "
        "you can stop at any time."
    ),
    EventKind.AUDITING: "Auditing steps {start_step} to {end_step} of {task_id}, about {takes}.",
    EventKind.TRAINER_READY: "{task_id}: the trainer is ready at step {step} of {steps}.",
    EventKind.SNAPSHOT: "{task_id}: snapshot at step {step}, commitment {commitment}.",
    EventKind.PAUSED: "{text}",
    EventKind.RESUMED: "{text}",
    EventKind.RESTARTING: "The trainer ended (code {code}); it starts again from the last snapshot.",
    EventKind.UPLOADING: "{task_id}: training is done; uploading {num_bytes} bytes.",
    EventKind.UPLOADED: "{task_id}: {sent_bytes} of {num_bytes} bytes are uploaded, {bytes_per_s:.0f} bytes/s.",
    EventKind.RETRYING: "{text} Next try in {wait_s:.0f} s.",
    EventKind.SUBMITTED: "{task_id}: submitted as pull request {pull_request} of {repo}.",
    EventKind.AWAITING_VERDICT: "{task_id}: waiting for the verdict.",
    EventKind.VERDICT: "{text}",
    EventKind.LEASE_LOST: "{task_id}: the lease was taken back: {reason} The files stay until the next task.",
    EventKind.DHT: "{text}",
    EventKind.NOTE: "{text}",
    EventKind.TRAFFIC: "Control plane: {control_plane_bytes} bytes. Trainer: {trainer_bytes} bytes.",
    EventKind.DONE: "{text}",
    EventKind.ERROR: "{what}",
}


def sentence(kind: EventKind, fields: dict[str, Any]) -> str:
    """An event in words; control characters of the run's texts are shown as escapes.

    Args:
        kind: The event.
        fields: Those of `View.event`; the loss is rounded, the commitment shortened. `node` says which of several it
            was.
    """
    shown = dict(fields)
    if isinstance(shown.get("loss"), float):
        shown["loss"] = f"{shown['loss']:.4f}"
    if isinstance(shown.get("commitment"), str):
        shown["commitment"] = shown["commitment"][:12]
    text = SENTENCES[kind].format(**shown)
    if kind is EventKind.ERROR:
        if fields["error_code"] != StoppedError.error_code:  # that one the volunteer wanted
            text = f"{heading(fields['error_code'])} {text}"
        text = f"{text} {fields['next_step']}".strip()
    return printable(f"{fields['node']}: {text}" if fields.get("node") else text)
