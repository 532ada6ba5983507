"""The child process: python -m paris.coordinator.verify CASE.json OUT.json

Exits with 0 when there is a verdict, accepted or not. Exits with another code, and one line on stderr, when the
submission could not be verified (the Hub did not answer, a file of the organiser is missing); the caller tries again.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from paris.coordinator.verify.case import read_case
from paris.coordinator.verify.report import write_report
from paris.protocol.errors import ParisError
from paris.protocol.lifeline import exit_with_parent
from paris.protocol.streams import protect_streams

_USAGE_EXIT = 2


def main(arguments: list[str]) -> int:
    """Verify one case.

    Args:
        arguments: Paths of the case and of the report to write.

    Returns:
        The exit code.
    """
    if len(arguments) != 2:
        _say("Usage: python -m paris.coordinator.verify CASE.json OUT.json")
        return _USAGE_EXIT
    protect_streams()
    exit_with_parent()
    case_file, report_file = map(Path, arguments)
    try:
        case = read_case(case_file)
    except ParisError as error:
        _say(str(error))
        return error.exit_code

    # Not in the file: a token does not belong on the disk.
    case = case.model_copy(update={"token": os.environ.get("PARIS_HUB_TOKEN", case.token)})
    import torch

    from paris.coordinator.verify.ladder import verify
    from paris.experts.errors import ExpertError
    from paris.experts.frozen.text import PromptWarning

    # Held-out captions contain words that no training caption has, on purpose.
    warnings.simplefilter("ignore", PromptWarning)
    if case.num_threads is not None:
        torch.set_num_threads(case.num_threads)
    try:
        report = verify(case, _say)
        write_report(report, report_file)
    except (ParisError, ExpertError) as error:
        _say(f"Could not verify {case.task.task_id} attempt {case.lease.attempt}: {error}")
        return error.exit_code
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
