"""The child process: python -m paris.coordinator.verify, with one VerificationRequest a line on standard input.

It answers each with a VerificationAnswer on standard output: 0 when there is a verdict, accepted or not; another code,
and why, when the submission could not be verified (the Hub did not answer, a file of the organiser is missing): the
caller tries again. Torch is imported once for many submissions; the process ends after `_MOST_CASES` of them, after
`_IDLE_S` seconds without one, and with its parent.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

from pydantic import ValidationError

from paris.coordinator.errors import WorkerError
from paris.coordinator.verify.case import VerificationAnswer, VerificationRequest, read_case
from paris.coordinator.verify.report import write_report
from paris.protocol.errors import ParisError
from paris.protocol.lifeline import lines_from_parent
from paris.protocol.streams import protect_streams

_USAGE_EXIT = 2
_IDLE_S = 60.0
_MOST_CASES = 32
"""Bounds what a leak, in a library say, can add up to."""


def main(arguments: list[str]) -> int:
    """Verify until nothing is asked any more.

    Args:
        arguments: None are known.

    Returns:
        The exit code.
    """
    if arguments:
        print("Usage: python -m paris.coordinator.verify, with requests on standard input.", file=sys.stderr)
        return _USAGE_EXIT
    protect_streams()
    for _, line in zip(range(_MOST_CASES), lines_from_parent(_IDLE_S), strict=False):
        print(_answer(line).model_dump_json(), flush=True)
    return 0


def _answer(line: bytes) -> VerificationAnswer:
    from paris.experts.errors import ExpertError

    try:
        _verify(VerificationRequest.model_validate_json(line))
    except ValidationError as error:
        return VerificationAnswer(exit_code=_USAGE_EXIT, message=f"No request: {' '.join(str(error).split())[:300]}")
    except (ParisError, ExpertError) as error:
        return VerificationAnswer(exit_code=error.exit_code, message=str(error))
    except (MemoryError, RuntimeError) as error:
        from paris.experts.training.memory import is_out_of_memory

        if not isinstance(error, MemoryError) and not is_out_of_memory(error):
            raise
        first_line = str(error).partition("\n")[0]
        return VerificationAnswer(exit_code=WorkerError.exit_code, message=f"Out of memory: {first_line}")
    return VerificationAnswer(exit_code=0)


def _verify(request: VerificationRequest) -> None:
    """Write the report of one case.

    Raises:
        ParisError, ExpertError: It could not be verified.
    """
    case = read_case(request.case)
    # Not in the file: a token does not belong on the disk.
    case = case.model_copy(update={"token": request.token or case.token})
    import torch

    from paris.coordinator.verify.ladder import verify
    from paris.experts.frozen.text import PromptWarning

    # Held-out captions contain words that no training caption has, on purpose.
    warnings.simplefilter("ignore", PromptWarning)
    if case.num_threads is not None:
        torch.set_num_threads(case.num_threads)
    write_report(verify(case, lambda line: _log(line, request.log)), request.report)


def _log(line: str, path: Path) -> None:
    """A log that cannot be written harms no verdict."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        logging.getLogger(__name__).warning("%s cannot be written: %s", path, error.strerror)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
