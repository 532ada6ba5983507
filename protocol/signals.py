"""The signals that ask a program to stop: Ctrl-C, SIGTERM, and SIGHUP at the end of its terminal."""

from __future__ import annotations

import signal

_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *(() if _HANGUP is None else (_HANGUP,)))


def stop_signals() -> tuple[signal.Signals, ...]:
    """The stop signals to handle; SIGHUP stays ignored in a process that `nohup` started."""
    is_under_nohup = _HANGUP is not None and signal.getsignal(_HANGUP) is signal.SIG_IGN
    return STOP_SIGNALS[:2] if is_under_nohup else STOP_SIGNALS
