"""A peer's event loop and thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from paris.protocol.dht.guard import DaemonGuard

_log = logging.getLogger(__name__)
T = TypeVar("T")
_REAP_EVERY_S = 0.01
_CLOSE_TIMEOUT_S = 10.0
_SOFT_LIMIT_BYTES = 768 << 20
_HARD_LIMIT_BYTES = 1 << 30


class DaemonLoop(asyncio.SelectorEventLoop):
    """An event loop that registers the processes it starts, which is only p2pd, with a guard.

    hivemind starts the daemon by `asyncio.create_subprocess_exec` without options; this class adds them.

    Args:
        guard: Receives each process id at once, before anything waits for the daemon.
    """

    def __init__(self, guard: DaemonGuard) -> None:
        super().__init__()
        self._guard = guard
        self._processes: list[asyncio.SubprocessTransport] = []

    async def subprocess_exec(self, protocol_factory: Any, program: Any, *args: Any, **kwargs: Any) -> Any:
        """Start a process in its own session: Ctrl-C must not end the daemon before an orderly shutdown.

        Its memory is capped, since strangers send it bytes; it gets no token.
        """
        args = (*args, *_more_arguments(args))
        kwargs["env"] = _environment(kwargs.get("env") or os.environ)
        started = await super().subprocess_exec(protocol_factory, program, *args, start_new_session=True, **kwargs)
        self._guard.watch(started[0].get_pid(), _socket_paths(args))
        _cap_memory(started[0].get_pid())
        self._processes.append(started[0])
        return started

    async def close_processes(self) -> None:
        """Close the pipes of all processes and kill those still running, such as after an interrupted start."""
        for transport in self._processes:
            transport.close()
        while any(transport.get_returncode() is None for transport in self._processes):
            await asyncio.sleep(_REAP_EVERY_S)


def _more_arguments(args: Sequence[str]) -> Iterator[str]:
    """Arguments of the daemon that hivemind does not pass."""
    if "-autoRelay=1" in args:
        yield "-relayDiscovery=0"  # else go-libp2p waits three minutes for four relays to choose from
    if "-relay=1" in args and "-forceReachabilityPublic=1" not in args:
        yield "-relayService=0"  # else every peer that uses relays would be one


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Go collects garbage harder near the soft limit; above the hard one the daemon ends, and is started again."""
    kept = {name: value for name, value in environ.items() if "TOKEN" not in name}
    return {**kept, "GOMEMLIMIT": str(_SOFT_LIMIT_BYTES)}


def _cap_memory(pid: int) -> None:
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or the system forbids it
            resource.prlimit(pid, resource.RLIMIT_DATA, (_HARD_LIMIT_BYTES, _HARD_LIMIT_BYTES))


def _socket_paths(args: tuple[Any, ...]) -> tuple[str, ...]:
    prefix = "-listen=/unix"
    return tuple(arg.removeprefix(prefix) for arg in args if isinstance(arg, str) and arg.startswith(prefix))


class LoopThread:
    """A daemon thread that runs coroutines for synchronous callers.

    Args:
        name: Name of the thread, for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._guard = DaemonGuard()
        self._loop = DaemonLoop(self._guard)
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T], *, timeout_s: float) -> T:
        """Run a coroutine and return its result.

        Raises:
            TimeoutError: It took longer than `timeout_s`, and was cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel running tasks, kill remaining processes, and stop the loop.

        On a busy machine this may take too long. Then the guard kills the processes, and no error is raised: it would
        hide the one for which the peer is closed.
        """
        is_clean = True
        for step in (_cancel_others, self._loop.close_processes):
            try:
                self.call(step(), timeout_s=_CLOSE_TIMEOUT_S)
            except TimeoutError:
                is_clean = False
                _log.warning("%s did not close within %.0f s.", self._thread.name, _CLOSE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if is_clean:
            self._guard.release()
        else:
            self._guard.kill()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
