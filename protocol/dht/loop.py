"""The thread of a peer and its event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from paris.protocol.dht.guard import DaemonGuard

T = TypeVar("T")
_REAP_EVERY_S = 0.01


class DaemonLoop(asyncio.SelectorEventLoop):
    """An event loop that guards every process it starts; the only one it starts is p2pd.

    hivemind starts the daemon by `asyncio.create_subprocess_exec` and leaves no say in how. The loop has one.

    Args:
        guard: Told each process id at once, before anything waits for the daemon to get ready.
    """

    def __init__(self, guard: DaemonGuard) -> None:
        super().__init__()
        self._guard = guard
        self._processes: list[asyncio.SubprocessTransport] = []

    async def subprocess_exec(self, protocol_factory: Any, program: Any, *args: Any, **kwargs: Any) -> Any:
        """Start a process in a session of its own: Ctrl-C must reach us, not the daemon we still say goodbye with."""
        started = await super().subprocess_exec(protocol_factory, program, *args, start_new_session=True, **kwargs)
        self._guard.watch(started[0].get_pid(), _socket_paths(args))
        self._processes.append(started[0])
        return started

    async def close_processes(self) -> None:
        """Close the pipes of all processes, and kill those that still run: a start that was cut off leaves one."""
        for transport in self._processes:
            transport.close()
        while any(transport.get_returncode() is None for transport in self._processes):
            await asyncio.sleep(_REAP_EVERY_S)


def _socket_paths(args: tuple[Any, ...]) -> tuple[str, ...]:
    prefix = "-listen=/unix"
    return tuple(arg.removeprefix(prefix) for arg in args if isinstance(arg, str) and arg.startswith(prefix))


class LoopThread:
    """A daemon thread that runs coroutines for synchronous callers.

    Args:
        name: Of the thread, for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._guard = DaemonGuard()
        self._loop = DaemonLoop(self._guard)
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T], *, timeout_s: float) -> T:
        """Run a coroutine to its end.

        Raises:
            TimeoutError: It took longer; it has been cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what still runs, end processes that were left, and end the loop."""
        self.call(_cancel_others(), timeout_s=10)
        self.call(self._loop.close_processes(), timeout_s=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._guard.release()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
