"""demo.json: what a demo was asked for, how it runs, and how far it has come. The same command continues from it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.json_files import read_object
from paris.experts.files import write_whole
from paris.protocol.errors import NewerFileError
from paris.protocol.version import UPGRADE

RECORD = "demo.json"
_FORMAT: Literal[2] = 2
_SAVE_EVERY_S = 10.0
_REMEDY = "Start again from the beginning: add --overwrite."


class DemoState(BaseModel):
    """demo.json."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1, 2] = _FORMAT
    """1 is of demos without strangers."""
    options: dict[str, str]
    """The command line's options that decide what the demo is, such as "--minutes": "10"."""
    volunteers: Annotated[int, Field(ge=1)]
    """Number of `paris-node join` processes."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of each."""
    device: str = "cpu"
    """Where the volunteers train."""
    strangers: bool = False
    """One volunteer hands over in the middle of its training, and one is a cheat (`strangers.py`)."""
    handover: Literal["staying", "leaving", "done"] = "staying"
    """How far that hand-over is."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """That the report draws; None leaves it to the report."""
    predicted_s: dict[str, float] = {}
    """Expected seconds of each stage; empty for a recipe."""
    stages_s: dict[str, float] = {}
    """Seconds spent in each stage, in all sessions."""
    finished: list[str] = []
    """Stages that are done."""
    peak_memory_bytes: Annotated[int, Field(ge=0)] = 0
    sockets: dict[str, int] = {}
    """Counts of `SocketWatch` in earlier sessions."""


@dataclass
class DemoRecord:
    """The state of a demo, on disk.

    Args:
        path: demo.json.
        state: Its content.
    """

    path: Path
    state: DemoState
    _saved_at: float = field(default_factory=time.monotonic)
    _running: tuple[str, float, float] = ("", 0.0, 0.0)
    """The present stage, its seconds in earlier sessions, and when it started."""

    @classmethod
    def load(cls, folder: Path) -> DemoRecord | None:
        """Read the record of a demo's folder; None if there is none.

        Raises:
            RunDirError: The file is damaged.
            NewerFileError: A newer version wrote it.
        """
        path = folder / RECORD
        if not path.is_file():
            return None
        values = read_object(path, _REMEDY)
        if isinstance(values.get("format"), int) and values["format"] > _FORMAT:
            raise NewerFileError(
                f"{path} was written by a newer version of this software (format {values['format']}).",
                f"{UPGRADE} The file is unchanged.",
            )
        try:
            return cls(path, DemoState.model_validate(values))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RunDirError(f"{path} is damaged: {where}: {first['msg']}.", _REMEDY) from error

    def save(self) -> None:
        """Write the file as a whole."""
        write_whole(self.path, self.state.model_dump_json(indent=1).encode())
        self._saved_at = time.monotonic()

    def require_options(self, options: Mapping[str, str]) -> None:
        """Check that a command asks for this demo.

        Raises:
            RunDirError: An option differs; names both values.
        """
        mine = self.state.options
        for name in (*mine, *options):
            if mine.get(name) != options.get(name):
                raise RunDirError(
                    f"{self.path.parent} holds a demo of {_shown(name, mine)}, not of {_shown(name, options)}.",
                    "Give the same options to continue it, another folder (--out), or --overwrite to replace it.",
                )

    def is_finished(self, stage: str) -> bool:
        """Whether a stage is done."""
        return stage in self.state.finished

    def repeat(self, stage: str) -> None:
        """Let a stage run again in this session, although an earlier one finished it."""
        self.state.finished = [name for name in self.state.finished if name != stage]

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of the body to a stage; the stage is finished when the body ends without an error."""
        self._running = (stage, self.state.stages_s.get(stage, 0.0), time.monotonic())
        try:
            yield
            self.state.finished.append(stage)
        finally:
            self._count()
            self.save()

    def keep_time(self) -> None:
        """Save the present stage's time, at most every 10 seconds: it survives a kill."""
        if time.monotonic() - self._saved_at > _SAVE_EVERY_S:
            self._count()
            self.save()

    def _count(self) -> None:
        stage, before, started = self._running
        self.state.stages_s[stage] = before + time.monotonic() - started


def _shown(name: str, options: Mapping[str, str]) -> str:
    return f"{name} {options[name]}" if name in options else f"no {name}"
