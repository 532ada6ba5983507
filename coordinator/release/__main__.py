"""The child process that makes a release: python -m paris.coordinator.release RUN.

It prints what it does now, a line a stage. The last line is the release's tag, or, with an exit code other than 0, why
there is none.
"""

from __future__ import annotations

import sys
from pathlib import Path

from paris.coordinator.console import fail_worker
from paris.coordinator.release.assemble import release_run
from paris.coordinator.run.directory import RunDir
from paris.experts.errors import ExpertError
from paris.protocol.errors import ParisError

_LONGEST = 500


def main(run_dir: Path) -> None:
    """Make the release, without a tag of the organiser's choice; errors as of `release_run`."""
    try:
        _tell(release_run(RunDir.open(run_dir), None, _tell))
    except (ParisError, ExpertError) as error:
        _tell(f"{error.what} {error.next_step}".strip())
        raise


def _tell(text: str) -> None:
    print(" ".join(text.split())[:_LONGEST], flush=True)


if __name__ == "__main__":
    fail_worker(lambda: main(Path(sys.argv[1])))
