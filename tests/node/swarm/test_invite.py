"""An invite is checked when it is given, and kept for later joins."""

from __future__ import annotations

import time

import pytest

from paris.node.swarm.invite import find_invite
from paris.protocol.errors import RecordError
from paris.protocol.invites import HeldInvite, new_invite
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

INVITE, SEED = new_invite(2)


def test_an_invite_is_kept_for_the_next_join_until_it_is_over(make_spec, coordinator, tmp_path):
    run, path = make_spec(), tmp_path / "runs" / "invite"
    now = [time.time()]
    held = HeldInvite(Sealer(coordinator, run.run_id, lambda: now[0]).seal(INVITE, 60.0), SEED)
    assert find_invite(path, None, run) is None
    assert find_invite(path, f" {held.text}\n", run) == held
    assert find_invite(path, None, run) == held
    assert path.stat().st_mode & 0o077 == 0, "its private key is for nobody else"
    now[0] -= 100
    path.write_text(HeldInvite(Sealer(coordinator, run.run_id, lambda: now[0]).seal(INVITE, 60.0), SEED).text)
    assert find_invite(path, None, run) is None


DAMAGES = [
    lambda text: text[:-9],
    lambda text: text[:-2] + "zz",
    lambda text: text[:-64] + "12" * 32,
    lambda text: text.partition(".")[0],
    lambda text: "x" + text,
    lambda text: "",
    lambda text: "é",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_invite_is_refused_and_the_kept_one_stays(make_spec, coordinator, tmp_path, damage):
    run, path = make_spec(), tmp_path / "invite"
    held = HeldInvite(Sealer(coordinator, run.run_id).seal(INVITE, 60.0), SEED)
    find_invite(path, held.text, run)
    with pytest.raises(RecordError, match="invite is not"):
        find_invite(path, damage(held.text), run)
    assert find_invite(path, None, run) == held


def test_an_invite_of_somebody_else_is_refused(make_spec, tmp_path):
    run = make_spec()
    held = HeldInvite(Sealer(Identity.generate(), run.run_id).seal(INVITE, 60.0), SEED)
    with pytest.raises(RecordError, match="not the key of run"):
        find_invite(tmp_path / "invite", held.text, run)
    assert not (tmp_path / "invite").exists()
