"""Action: a release, made in a child process, which imports torch so that the service does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, cast

from paris.coordinator.children import Children, Program
from paris.coordinator.errors import WorkerError
from paris.coordinator.run.directory import RunDir


@dataclass(frozen=True)
class Releaser:
    """Makes releases of one run.

    Args:
        run: The run directory.
        children: Starts the child process.
    """

    run: RunDir
    children: Children

    def make(self, tell: Callable[[str], None]) -> str:
        """Assemble, check and upload a release; one that was interrupted is made again.

        Args:
            tell: Receives what is done now, at each stage.

        Returns:
            The release's tag.

        Raises:
            WorkerError: It could not be made; the message says why.
        """
        child = self.children.spawn("release-child", Program.RELEASE, str(self.run.path), answers=True)
        said = ""
        for line in cast(IO[bytes], child.stdout):
            said = line.decode("utf-8", "replace").strip()
            tell(said)
        code = child.wait()
        last_line = self.children.forget(child)
        if code != 0:
            raise WorkerError(said if code > 0 and said else f"It ended with code {code}: {last_line or 'no output'}")
        return said
