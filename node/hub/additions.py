"""Files as a commit takes them, read no faster than the volunteer's upload limit."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

Passed = Callable[[int], None]
"""Called with the bytes that were just read; waits as long as they take under the limit, or raises StoppedError."""


class _LimitedFile(io.BufferedReader):
    """A file that is sent at a limited speed.

    Args:
        path: The file.
        passed: Waits for the bytes that were read.
    """

    def __init__(self, path: Path, passed: Passed) -> None:
        super().__init__(io.FileIO(path))
        self._passed = passed
        self.is_sent = False
        """Whether what is read goes into the network; before, the Hub's client reads it all for its digest."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self.is_sent:
            self._passed(len(data))
        return data


@contextmanager
def additions(files: Mapping[str, Path], passed: Passed | None) -> Iterator[list[Any]]:
    """The operations that add files to a repo.

    Args:
        files: By their path in the repo.
        passed: Limits the speed; None: no limit.
    """
    from huggingface_hub import CommitOperationAdd

    if passed is None:
        yield [CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(file)) for path, file in files.items()]
        return
    with ExitStack() as stack:
        opened = {path: stack.enter_context(_LimitedFile(file, passed)) for path, file in files.items()}
        operations = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=file) for path, file in opened.items()]
        for file in opened.values():
            file.is_sent = True
        yield operations
