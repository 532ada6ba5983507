"""The proof of work of this node for a run: done at the first join, kept in the home (`protocol.want_work`)."""

from __future__ import annotations

import re
from pathlib import Path

from paris.experts.files import write_whole
from paris.node.errors import disk_full_while
from paris.node.retry import StopSignal
from paris.node.view import EventKind, View
from paris.protocol.want_work import do_work, work_bits

_WORK = re.compile(r"[0-9a-f]{16}")


def find_work(path: Path, run_id: str, me: str, bits: int, view: View, stop: StopSignal) -> str | None:
    """The work that the run asks of this key, from the home or done now; None if it asks for none.

    Args:
        path: Where it is kept.
        run_id: The run.
        me: Public key of this node.
        bits: The run's `want_work_bits`.
        view: Is told that it is done.
        stop: Ends it.

    Raises:
        StoppedError: The volunteer stopped the node.
        DiskFullError: It cannot be kept.
    """
    if bits == 0:
        return None
    kept = path.read_bytes().decode("ascii", "replace").strip() if path.exists() else ""
    if _WORK.fullmatch(kept) and work_bits(run_id, me, kept) >= bits:
        return kept
    text = f"This run asks each new key for {2**bits:,} hashes before the first want: a proof of work, done once."
    view.event(EventKind.NOTE, text=text)
    work = do_work(run_id, me, bits, lambda num_tries: stop.pause(0))
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk_full_while("keeping the proof of work", path.parent):
        write_whole(path, f"{work}\n".encode("ascii"))
    return work
