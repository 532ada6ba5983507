"""Ends the libp2p daemon when this process dies, also by `kill -9`.

hivemind starts p2pd as a plain child: killed parents leave it behind, serving stale records and holding the port. A
guard is a shell that reads from a pipe which only we hold. Whenever and however we end, the kernel closes the pipe, the
shell reads the end of it, ends the daemon and removes its sockets.
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
    """A watching shell process; start it before the daemon, so that no moment is unwatched."""

    def __init__(self) -> None:
        # A session of its own: Ctrl-C in a terminal must not reach it before it has done its work.
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pid: int, sockets: tuple[str, ...] = ()) -> None:
        """End this process, and remove these socket files, when we die."""
        self._tell(f"pid {pid}", *(f"socket {path}" for path in sockets))

    def release(self) -> None:
        """The daemon has ended: the guard removes what sockets are left, and goes without killing anything."""
        self._tell("done")
        if self._shell.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the shell went first
                self._shell.stdin.close()
        self._shell.wait()

    def _tell(self, *lines: str) -> None:
        if self._shell.stdin is None or self._shell.stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):  # somebody killed the guard; the daemon is still ours to end
            self._shell.stdin.write("".join(f"{line}\n" for line in lines).encode())
            self._shell.stdin.flush()
