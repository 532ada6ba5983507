"""A verdict in words, and that nobody waits for ever for one."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from units import make_unit

from paris.node.errors import LeaseLostError, StoppedError, TransientHubError
from paris.node.swarm.held_leases import HeldLeases
from paris.node.view import EventKind
from paris.node.work.verdict import verdict_in_words, wait_for_verdict
from paris.protocol.admission import LEASE_GRACE_S
from paris.protocol.envelope import Envelope, seal
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity
from paris.protocol.work_records import Rung, Verdict

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
    session = SimpleNamespace(ways=swarm, announcer=SimpleNamespace(leases=leases), poll_s=1.0)
    submission = SimpleNamespace(lease_id=lease.lease_id, pull_request=None)

    def pause(seconds: float) -> None:
        raise StoppedError("Stopped.", "")

    with pytest.raises(ends_with):
        wait_for_verdict(session, None, submission, tmp_path, None, pause)


def judged(accepted: bool, *rungs: Rung) -> Verdict:
    return Verdict(
        lease_id="0" * 32, task_id="expert-2", attempt=1, volunteer=ME, accepted=accepted, reason="So.", rungs=rungs
    )  # fmt: skip


def test_other_verdicts_are_told_with_their_reason():
    assert (
        verdict_in_words(judged(True, Rung(rung="skill", passed=True, figure=1, bound=2))) == "expert-2: accepted. So."
    )
    assert verdict_in_words(judged(False)) == "expert-2: rejected. So."
    failed = Rung(rung="skill", passed=False, figure=0.123456, bound=2)
    assert verdict_in_words(judged(False, failed)) == "expert-2: rejected at rung skill (0.1235, the bound is 2). So."


COORDINATOR = Identity.generate()
RUN = make_run_id("tiny", COORDINATOR.public_key)


def waited(tmp_path, records: list, hub: object, *, is_over: bool, events: list | None = None) -> Verdict:
    """What a node whose DHT and Hub hold this hears of its submission."""
    session = SimpleNamespace(
        ways=SimpleNamespace(read=lambda kind, part=None: records if kind == "verdict" else []),
        announcer=SimpleNamespace(leases=SimpleNamespace(is_over=lambda lease_id: is_over)),
        poll_s=1.0,
        run_id=RUN,
        run=SimpleNamespace(signer=COORDINATOR.public_key),
    )
    submission = SimpleNamespace(lease_id="0" * 32, pull_request=7, repo="a/b")
    report = SimpleNamespace(event=lambda kind, text: events.append((kind, text)))
    return wait_for_verdict(session, hub, submission, tmp_path, report, lambda s: pytest.fail("it waited"))


def sealed(verdict: Verdict) -> Envelope:
    return seal(verdict, COORDINATOR, run_id=RUN, sequence=1, issued_at=1.0, expires_at=60.0)


def test_a_verdict_is_read_from_the_dht_and_where_the_lease_is_over_from_the_pull_request(tmp_path):
    mine = judged(True)
    assert waited(tmp_path, [sealed(mine)], None, is_over=False) == mine
    asked = []

    def details(repo, number, repo_type):
        asked.append((repo, number, repo_type))
        text = f"Thank you.\nparis-verdict: {sealed(mine).data.decode()}"
        return SimpleNamespace(events=[SimpleNamespace(content=text)])

    hub = SimpleNamespace(api=SimpleNamespace(get_discussion_details=details))
    other = sealed(mine.model_copy(update={"lease_id": "1" * 32}))
    assert waited(tmp_path, [other], hub, is_over=True) == mine
    assert asked == [("a/b", 7, "model")]


def test_a_pull_request_that_cannot_be_read_is_noted(tmp_path):
    def details(*arguments, **facts):
        raise TransientHubError("The Hub did not answer.")

    events, hub = [], SimpleNamespace(api=SimpleNamespace(get_discussion_details=details))
    with pytest.raises(LeaseLostError):
        waited(tmp_path, [], hub, is_over=True, events=events)
    assert events == [(EventKind.NOTE, "The pull request could not be read: The Hub did not answer.")]


def test_the_pull_request_is_read_once_a_minute_while_the_dht_has_no_verdict(tmp_path):
    now, read_at, pauses, kinds = [500.0], [], [], []

    def read(kind: str, part: int | None = None) -> list:
        kinds.append(kind)
        return []

    def details(*arguments, **facts):
        read_at.append(now[0])
        raise TransientHubError("The Hub did not answer.")

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += 20.0
        if now[0] > 640.0:
            raise StoppedError("Stopped.", "")

    session = SimpleNamespace(
        ways=SimpleNamespace(read=read), poll_s=3.0, run_id=RUN,
        announcer=SimpleNamespace(leases=SimpleNamespace(is_over=lambda lease_id: False)),
        run=SimpleNamespace(signer=COORDINATOR.public_key),
    )  # fmt: skip
    hub = SimpleNamespace(api=SimpleNamespace(get_discussion_details=details))
    submission = SimpleNamespace(lease_id="0" * 32, pull_request=7, repo="a/b")
    report = SimpleNamespace(event=lambda kind, text: None)
    with pytest.raises(StoppedError):
        wait_for_verdict(session, hub, submission, tmp_path, report, pause, lambda: now[0])
    assert read_at == [560.0, 620.0]
    assert set(pauses) == {3.0}
    assert kinds == ["verdict", "challenge"] * len(pauses), "snapshots that are asked for are given meanwhile"
