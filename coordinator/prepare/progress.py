"""Progress of a preparation, stage by stage."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); stages: "list", "embed", "caption", "cluster", "encode", "shards", "describe".
An exception that it raises stops the work."""


def part_progress(progress: Progress, stage: str, before: int, total: int) -> Callable[[int], None]:
    """A callback for one part of a stage, called with the finished rows of that part.

    Args:
        progress: Called with the finished rows of the whole stage.
        stage: The stage.
        before: Rows of the earlier parts.
        total: Rows of all parts.
    """
    return lambda done: progress(stage, before + done, total)
