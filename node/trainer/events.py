"""The trainer's events: one JSON line each on its standard output, `{"event": ..., ...}`."""

from __future__ import annotations

from enum import StrEnum


class TrainerEvent(StrEnum):
    """The value of "event"."""

    READY = "ready"
    """device, threads."""
    PROGRESS = "progress"
    """step, loss, steps_per_s, commitment, commitment_step, note."""
    FINISHED = "finished"
    """steps, final_loss, commitment, network_refused, sockets; of a whole expert also sha256, bytes."""
    STOPPED = "stopped"
    """network_refused, sockets."""
    ERROR = "error"
    """type, what, next_step, exit_code, error_code, is_disk_full, is_permanent."""
    ENDED = "ended"
    """code. From the supervisor, after the process has ended."""
    RESTARTING = "restarting"
    """code, deaths. From the supervisor, before it starts the next process."""
