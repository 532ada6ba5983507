"""The events of `--json` as types, and their JSON schema: docs/events.schema.json.

Programs that read the events should ignore fields and events that they do not know: newer versions add some.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from paris.node.view.events import EventKind

_TEXT = {"text": str}
_STRETCH = {"task_id": str, "start_step": int, "end_step": int, "steps": int, "leg_s": float, "takes": str}
_PAUSE = {"reason": str, "why": str, "until": float | None, "kept_until": float | None}
_TRAINING = {
    "task_id": str,
    "step": int,
    "steps": int,
    "loss": float | None,
    "steps_per_s": float,
    "eta_s": float,
    "heartbeat_at": float | None,
    "heartbeat_age_s": float | None,
    "peers": int | None,
    "gpu_temperature_c": float | None,
    "gpu_power_w": float | None,
}
_VERDICT = {
    "task_id": str,
    "text": str,
    "lease_id": str,
    "attempt": int,
    "volunteer": str,
    "accepted": bool,
    "reason": str,
    "rungs": list[dict[str, Any]],
}
_TRAFFIC = {
    "task_id": str,
    "control_plane_bytes": int,
    "trainer_bytes": int | None,
    "trainer_sockets": int,
    "trainer_refused": int,
}

FIELDS: dict[EventKind, dict[str, Any]] = {
    EventKind.INTRODUCTION: {
        **dict.fromkeys(("text", "run_id", "name", "licence", "page", "hardware", "device", "home"), str),
        **dict.fromkeys(("num_experts", "num_open", "num_parameters", "memory_bytes"), int),
        **dict.fromkeys(("steps", "leg_steps", "needs_memory_bytes", "download_bytes", "disk_bytes"), int | None),
        "manners": list[str],
    },
    EventKind.JOINED: {
        **dict.fromkeys(("run_id", "name", "hardware", "device", "identity"), str),
        "credit_steps": int,
    },
    EventKind.WAITING: _TEXT,
    EventKind.LEASED: {
        **dict.fromkeys(("task_id", "lease_id"), str),
        **dict.fromkeys(("attempt", "steps", "start_step", "end_step"), int),
        "cluster": int | None,
    },
    EventKind.FETCHING: {"task_id": str, "num_files": int, "num_bytes": int},
    EventKind.FETCHED: {"task_id": str, "bytes_received": int, "bytes_from_peers": int},
    EventKind.TRAINER_READY: {"task_id": str, "step": int, "steps": int},
    EventKind.LEG: _STRETCH,
    EventKind.AUDITING: {name: kind for name, kind in _STRETCH.items() if name != "steps"},
    EventKind.TRAINING: _TRAINING,
    EventKind.SNAPSHOT: {"task_id": str, "step": int, "commitment": str},
    EventKind.PAUSED: {"text": str, **_PAUSE},
    EventKind.RESUMED: {"task_id": str, "text": str},
    EventKind.RESTARTING: {"task_id": str, "code": int, "deaths": int},
    EventKind.UPLOADING: {"task_id": str, "num_bytes": int},
    EventKind.UPLOADED: {"task_id": str, "sent_bytes": int, "num_bytes": int, "bytes_per_s": float},
    EventKind.RETRYING: {"text": str, "wait_s": float},
    EventKind.SUBMITTED: {"task_id": str, "pull_request": int, "commit": str, "repo": str},
    EventKind.AWAITING_VERDICT: {"task_id": str},
    EventKind.VERDICT: _VERDICT,
    EventKind.TRAFFIC: _TRAFFIC,
    EventKind.LEASE_LOST: {"task_id": str, "reason": str},
    EventKind.DHT: {"is_up": bool, "text": str},
    EventKind.NOTE: _TEXT,
    EventKind.DONE: _TEXT,
    EventKind.ERROR: {"type": str, "what": str, "next_step": str, "exit_code": int, "error_code": str},
}
"""Fields that every event of a kind has. None stands for what is not known."""
OPTIONAL: dict[EventKind, dict[str, Any]] = {
    EventKind.PAUSED: {"task_id": str},
    EventKind.RETRYING: {"task_id": str},
    EventKind.NOTE: {"task_id": str},
    EventKind.DONE: {"tasks": int, "control_plane_bytes": int},
    EventKind.VERDICT: {"credit_steps": int, "credit_s": float, "draw_secret": str, "replay_rate": float},
}
"""Fields that only some have."""


def event_model(kind: EventKind) -> type[BaseModel]:
    """The type of the lines of one kind of event."""
    fields: dict[str, Any] = {
        "event": (Literal[kind.value], ...),
        "at": (Annotated[float, Field(description="UTC seconds.")], ...),
        "since_join_s": (Annotated[float, Field(description="Seconds since the node started.")], ...),
    }
    fields["node"] = (Annotated[str | None, Field(description="Which of several devices' nodes.")], None)
    fields |= {name: (annotation, ...) for name, annotation in FIELDS[kind].items()}
    fields |= {name: (annotation | None, None) for name, annotation in OPTIONAL.get(kind, {}).items()}
    config = ConfigDict(extra="allow", strict=True)
    return create_model(f"{kind.value.title().replace('-', '')}Event", __config__=config, **fields)


def events_schema() -> dict[str, Any]:
    """The JSON schema of one line."""
    models = tuple(event_model(kind) for kind in EventKind)
    line: Any = Annotated[Union[models], Field(discriminator="event")]  # noqa: UP007 - a tuple of types
    schema = TypeAdapter(line).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A line of paris-node --json", **schema}
