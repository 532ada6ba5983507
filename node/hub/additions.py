"""Files as a commit takes them: read no faster than the volunteer's upload limit, and counted."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from paris.node.hub.sending import Sending

Passed = Callable[[int], None]
"""Called with the bytes that were just read; waits as long as they take under the limit, or raises StoppedError."""


class _SentFile(io.BufferedReader):
    """A file whose reader says how far it is.

    Args:
        path: The file.
        on_read: Called with the bytes that were read, and the position after them.
    """

    def __init__(self, path: Path, on_read: Callable[[int, int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._on_read = on_read
        self.is_sent = False
        """Whether what is read goes into the network; before, the Hub's client reads it all for its digest."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self.is_sent:
            self._on_read(len(data), self.tell())
        return data


@contextmanager
def additions(files: Mapping[str, Path], passed: Passed | None, sending: Sending | None = None) -> Iterator[list[Any]]:
    """The operations that add files to a repo.

    Args:
        files: By their path in the repo.
        passed: Limits the speed; None: no limit.
        sending: Counts what goes out; None: nobody does. With neither, the Hub's client may use Xet, which sends only
            what the Hub lacks, and does not say how far it is.
    """
    from huggingface_hub import CommitOperationAdd

    if passed is None and sending is None:
        yield [CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(file)) for path, file in files.items()]
        return

    def reader_of(path: str) -> Callable[[int, int], None]:
        def on_read(num_bytes: int, position: int) -> None:
            if sending is not None:
                sending.reached(path, position)
            if passed is not None:
                passed(num_bytes)

        return on_read

    with ExitStack() as stack:
        opened = {path: stack.enter_context(_SentFile(file, reader_of(path))) for path, file in files.items()}
        operations = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=file) for path, file in opened.items()]
        for file in opened.values():
            file.is_sent = True
        if sending is not None:
            sending.begin({path: file.stat().st_size for path, file in files.items()})
        yield operations
