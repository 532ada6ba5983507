"""A trainer that is started before there is work for it: torch takes seconds to load."""

from __future__ import annotations

from paris.node.trainer.supervisor import TrainingProcess


class WaitingTrainer:
    """At most one trainer that loads torch and waits for its order.

    It holds the memory of torch, and no GPU, for two minutes at most: then it ends by itself
    (`process.py`). All calls come from one thread, which lives as long as the process: see `TrainingProcess.start`.

    Args:
        nice: How far it yields to other programs, 0 to 19.
        is_wanted: False: none is ever started.
    """

    def __init__(self, nice: int, *, is_wanted: bool = True) -> None:
        self._nice, self._is_wanted = nice, is_wanted
        self._process: TrainingProcess | None = None

    def start(self) -> None:
        """Start one, unless one waits."""
        if self._is_wanted and (self._process is None or not self._process.is_running):
            self.drop()
            self._process = TrainingProcess(self._nice)
            self._process.start()

    def take(self) -> TrainingProcess | None:
        """The one that waits, which this no longer keeps; None where none does."""
        process, self._process = self._process, None
        if process is None or process.is_running:
            return process
        process.kill()
        return None

    def drop(self) -> None:
        """End the one that waits."""
        if self._process is not None:
            self._process.kill()
            self._process = None
