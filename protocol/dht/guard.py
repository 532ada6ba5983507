"""Ends the libp2p daemon when this process dies, even by `kill -9`.

hivemind starts p2pd as a plain child. If the parent is killed, it keeps running, serves stale records and occupies the
port. The guard is a shell that reads from a pipe of this process. When the process ends, the kernel closes the pipe;
the shell then ends the daemon and removes its sockets.
"""

from __future__ import annotations

import contextlib
import subprocess

_SCRIPT = """
trap '' HUP INT TERM
pids=
sockets=
while read -r word value; do
    case "$word" in
        pid) pids="$pids $value" ;;
        socket) sockets="$sockets $value" ;;
        done) pids=; break ;;
    esac
done
for pid in $pids; do kill "$pid"; done
[ -z "$pids" ] || sleep 1
for pid in $pids; do kill -9 "$pid"; done
for socket in $sockets; do rm -f "$socket"; done
"""


class DaemonGuard:
    """The guard process. Start it before the daemon."""

    def __init__(self) -> None:
        # Own session: Ctrl-C in a terminal must not end the guard.
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pid: int, sockets: tuple[str, ...] = ()) -> None:
        """Kill this process and remove these socket files when the current process ends."""
        self._tell(f"pid {pid}", *(f"socket {path}" for path in sockets))

    def release(self) -> None:
        """Call after the daemon has ended: the guard removes remaining sockets and exits without killing anything."""
        self._tell("done")
        self._end()

    def kill(self) -> None:
        """Kill the processes, which takes a second, and remove their sockets."""
        self._end()

    def _end(self) -> None:
        if self._shell.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the guard has already ended
                self._shell.stdin.close()
        self._shell.wait()

    def _tell(self, *lines: str) -> None:
        if self._shell.stdin is None or self._shell.stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):  # the guard was killed; we still stop the daemon ourselves
            self._shell.stdin.write("".join(f"{line}\n" for line in lines).encode())
            self._shell.stdin.flush()
