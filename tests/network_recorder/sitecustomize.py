"""Imported by every Python process whose PYTHONPATH names this folder: records its name look-ups and connections.

Appends lines to the file in NETWORK_RECORD: event, host, and the process's command. Child processes inherit both
variables. Only Python's own sockets are seen: the libp2p daemon is watched by `coordinator/demo/sockets.py`.
"""

import os
import sys

_CONNECTS = ("socket.connect", "socket.sendto")
_LOOKS_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")


def _record(event: str, arguments: tuple) -> None:
    if event in _CONNECTS and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event in _LOOKS_UP:
        host = arguments[0]
    else:
        return
    line = f"{event} {host!r} {' '.join(sys.orig_argv[1:])[:120]!r}\n"
    descriptor = os.open(os.environ["NETWORK_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


if "NETWORK_RECORD" in os.environ:
    sys.addaudithook(_record)
