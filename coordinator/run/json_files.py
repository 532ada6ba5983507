"""JSON files of a run directory: each holds one object, and a damaged one is named with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paris.coordinator.errors import RunDirError


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """Read the object in a JSON file.

    Args:
        path: The file.
        remedy: What the organiser does if the file is damaged, one sentence.

    Raises:
        RunDirError: The file cannot be read, or holds no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise RunDirError(f"{path} cannot be read: {error.strerror}.", remedy) from error
    except (ValueError, RecursionError) as error:
        raise RunDirError(f"{path} is damaged: {error}.", remedy) from error
    if not isinstance(value, dict):
        raise RunDirError(f"{path} is damaged: it holds no JSON object.", remedy)
    return value
