"""What was released last: released.json in the run directory, by which `serve` leaves the release's card alone.

It is written before the upload: the release is on the Hub once its tag is.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.model import State
from paris.experts.files import write_whole
from paris.protocol.fields import Sha256


class Released(BaseModel):
    """The last release of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    tag: str
    experts: tuple[Sha256, ...]
    """Of each expert's file, in order."""

    def is_of(self, state: State) -> bool:
        """Whether the experts that are registered now are those that were released."""
        in_order = sorted(state.experts.values(), key=lambda task: task.task.cluster)
        return self.experts == tuple(task.registration and task.registration.sha256 for task in in_order)


def read_released(run: RunDir) -> Released | None:
    """The last release; None if there was none.

    Raises:
        RunDirError: The file is damaged, or of a newer version.
    """
    try:
        return Released.model_validate_json(run.released.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise RunDirError(
            f"{run.released} cannot be read.", f"Release again: paris-coord release {run.path}"
        ) from error


def write_released(run: RunDir, released: Released) -> None:
    """Replace the file."""
    write_whole(run.released, released.model_dump_json(indent=1).encode())
