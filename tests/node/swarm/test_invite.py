"""An invite is checked when it is given, and kept for later joins."""

from __future__ import annotations

import time

import pytest

from paris.node.swarm.invite import find_invite
from paris.protocol.errors import RecordError
from paris.protocol.invites import invite_text
from paris.protocol.records import Invite
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

INVITE = Invite(invite_id="12" * 16, uses=2)


def test_an_invite_is_kept_for_the_next_join_until_it_is_over(make_spec, coordinator, tmp_path):
    run, path = make_spec(), tmp_path / "runs" / "invite"
    now = [time.time()]
    envelope = Sealer(coordinator, run.run_id, lambda: now[0]).seal(INVITE, 60.0)
    assert find_invite(path, None, run) is None
    assert find_invite(path, f" {invite_text(envelope)}\n", run) == envelope
    assert find_invite(path, None, run) == envelope
    now[0] -= 100
    path.write_bytes(Sealer(coordinator, run.run_id, lambda: now[0]).seal(INVITE, 60.0).data)
    assert find_invite(path, None, run) is None


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: "x" + text, lambda text: "", lambda text: "é"])
def test_a_damaged_invite_is_refused_and_the_kept_one_stays(make_spec, coordinator, tmp_path, damage):
    run, path = make_spec(), tmp_path / "invite"
    envelope = Sealer(coordinator, run.run_id).seal(INVITE, 60.0)
    find_invite(path, invite_text(envelope), run)
    with pytest.raises(RecordError, match="invite is not"):
        find_invite(path, damage(invite_text(envelope)), run)
    assert find_invite(path, None, run) == envelope


def test_an_invite_of_somebody_else_is_refused(make_spec, tmp_path):
    run = make_spec()
    envelope = Sealer(Identity.generate(), run.run_id).seal(INVITE, 60.0)
    with pytest.raises(RecordError, match="not the key of run"):
        find_invite(tmp_path / "invite", invite_text(envelope), run)
    assert not (tmp_path / "invite").exists()
