"""A verdict in words, and that nobody waits for ever for one."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from units import make_unit

from paris.node.errors import LeaseLostError, StoppedError
from paris.node.swarm.held_leases import HeldLeases
from paris.node.work.verdict import verdict_in_words, wait_for_verdict
from paris.protocol.admission import LEASE_GRACE_S
from paris.protocol.records import Rung, Verdict

ME = "a" * 64


def test_a_rejection_names_rung_figure_and_bound():
    rungs = (
        Rung(rung="structure", passed=True, figure=0.0, bound=0.0),
        Rung(rung="skill", passed=False, figure=1.25, bound=1.0, note="on held-out rows"),
    )
    verdict = Verdict(
        lease_id="0" * 32,
        task_id="expert-2",
        attempt=1,
        volunteer=ME,
        accepted=False,
        reason="Too little.",
        rungs=rungs,
    )
    expected = "expert-2: rejected at rung skill (1.25, the bound is 1). Too little. on held-out rows"
    assert verdict_in_words(verdict) == expected


@pytest.mark.parametrize(("over_s", "ends_with"), [(60.0, LeaseLostError), (-60.0, StoppedError)])
def test_no_verdict_is_awaited_when_the_grace_of_the_lease_is_over(tmp_path, over_s, ends_with):
    lease = make_unit().lease
    lease = lease.model_copy(update={"expires_at": time.time() - LEASE_GRACE_S - over_s})
    swarm = SimpleNamespace(read=lambda kind, part=None: [])
    leases = HeldLeases(swarm, ME)
    leases.keep(lease, tmp_path / "lease.json", "tiny-0123456789abcdef")
    session = SimpleNamespace(swarm=swarm, announcer=SimpleNamespace(leases=leases), poll_s=1.0)
    submission = SimpleNamespace(lease_id=lease.lease_id, pull_request=None)

    def pause(seconds: float) -> None:
        raise StoppedError("Stopped.", "")

    with pytest.raises(ends_with):
        wait_for_verdict(session, None, submission, tmp_path, None, pause)
