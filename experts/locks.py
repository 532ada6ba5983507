"""A lock that objects may hold which are copied or pickled."""

from __future__ import annotations

import threading
from types import TracebackType


class ReentrantLock:
    """`threading.RLock`; its copy is another lock, and free."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[ReentrantLock], tuple[()]]:
        return ReentrantLock, ()
