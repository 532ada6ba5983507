"""Router training in a child process, which imports torch so that the service does not."""

from __future__ import annotations

from dataclasses import dataclass

from paris.coordinator.children import Children, Program
from paris.coordinator.run.directory import RunDir


@dataclass(frozen=True)
class RouterTrainer:
    """Trains the router of one run.

    Args:
        run: The run directory.
        children: Starts the child process.
    """

    run: RunDir
    children: Children

    def train(self, *, from_samples: bool) -> str:
        """Train the router; returns a sentence on the result for the event log.

        Args:
            from_samples: On rows that the experts drew, instead of data.

        Raises:
            WorkerError: The child failed.
        """
        rows = "samples" if from_samples else "data"
        self.children.run("router", Program.ROUTER, str(self.run.path), rows)
        return (self.run.router / "summary.txt").read_text("utf-8").strip()
