"""A real join at a real terminal, of a run whose Hub has no open registration: it asks, and goes on."""

from __future__ import annotations

import os
import pty
import signal
import sys

import pytest

from paris.node.machine.home import Home


@pytest.mark.long
def test_a_join_at_a_terminal_asks_for_the_hubs_token_and_works_with_it(make_coordinator, tmp_path, monkeypatch):
    coordinator = make_coordinator(100_000)
    monkeypatch.delenv("PARIS_NODE_HUB_TOKEN_ENDPOINT")
    command = ["-m", "paris.node.cli", "join", str(tmp_path / "run.json"), "--home", str(tmp_path / "home")]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, *command, "--threads", "1", "--yes"])
    shown, is_typed = b"", False
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
            if b"without one): " in shown and not is_typed:
                os.write(terminal, b"volunteer-token-of-the-tests\n")
                is_typed = True
            if b"snapshot" in shown or b"training expert-0" in shown:
                os.kill(pid, signal.SIGTERM)
                break
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass  # Linux says so when the other side has ended
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown.decode()
    assert is_typed
    assert b"volunteer-token-of-the-tests" not in shown
    assert Home(tmp_path / "home").unfinished(coordinator.run_id) is not None
    assert (tmp_path / "home" / "hub_tokens.json").stat().st_mode & 0o777 == 0o600
