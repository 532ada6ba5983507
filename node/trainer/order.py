"""The agent's order to the trainer: data and settings, never code."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from paris.protocol.fields import Settings
from paris.protocol.run_records import SharedFile


class ShardFile(BaseModel):
    """One shard: its path, whether the file exists yet or not, and its number of rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    rows: int


class DrawingOrder(BaseModel):
    """Pictures to draw on the way."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: str
    """Of `paris.node.machine.drawings.Drawings`."""
    every_steps: int = Field(ge=1)


class Order(BaseModel):
    """One JSON line on the trainer's standard input."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    run_id: str
    task_id: str
    seed: int
    steps: int
    batch_size: int
    model: Settings
    training: Settings
    objective: Settings = {}
    text: Settings
    codec: Settings
    initial_weights: SharedFile | None = None
    shards: tuple[ShardFile, ...]
    text_folder: str
    work: str
    """Folder of snapshots and finished weights."""
    leg: dict[str, Any] | None = None
    """Fields of `paris.experts.training.leg.Leg`; None: the whole task. The head's files are in `work`/head."""
    device: str
    threads: int | None
    nice: int = 0
    """Of the process: whoever starts it reads this."""
    drawing: DrawingOrder | None = None
    """None: nothing is drawn."""
    machine: Settings = {}
    """Fields of `paris.experts.training.machine.MachineSettings`: the volunteer's choices."""
