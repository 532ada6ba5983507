"""Which bait an auditor gets, how often, and how near to the claim a copy is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_audits import AUDITED, BAIT, handed_in, judged_lease, opened, step, verdict, work
from test_baits import BAITED, with_bait
from tick_world import PEOPLE, START, stored

from paris.coordinator.decisions.baits import bait_for, is_copied, is_right
from paris.coordinator.state.audits import Bait, OpenAudit
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import State
from paris.protocol.audit_order import AuditStart
from paris.protocol.audits import PARTS, packed
from paris.protocol.hub_layout import STATE_FILES

REFUSED = "e" * 32
AUDIT = OpenAudit(start_step=0, end_step=100, start=None, opened_at=START)
BEN = PEOPLE[1].public_key


def changed(state: State, **fields) -> State:
    """The state with other fields in the refused work."""
    row = state.submissions[REFUSED].model_copy(update=fields)
    return replace(state, submissions={**state.submissions, REFUSED: row})


def taken(state: State, policy=BAITED, audit: OpenAudit = AUDIT) -> tuple[Bait | None, tuple[Bait, ...]]:
    """The bait that an auditor gets, and those that are left."""
    draft = Draft(state)
    found = bait_for(draft, state.submissions[judged_lease(state)], audit, BEN, policy)
    assert found is None or found[0] == state.submissions[REFUSED]
    return None if found is None else found[1], draft.submissions[REFUSED].baits


def test_the_first_of_several_baits_is_taken():
    others = tuple(BAIT.model_copy(update={"nonce": digit * 64}) for digit in "cd")
    assert taken(changed(with_bait(), baits=(BAIT, *others))) == (BAIT, others)


def test_a_bait_without_a_right_answer_is_given_to_nobody_and_one_that_is_out_passes_who_did_not_copy():
    """A run of an earlier version has such baits."""
    old = BAIT.model_copy(update={"right": None})
    assert taken(changed(with_bait(), baits=(old,))) == (None, (old,))
    other = packed(dict.fromkeys(PARTS, [3.0] * 64))
    assert is_right(old, other, BAITED)
    assert not is_right(BAIT, other, BAITED)


@pytest.mark.parametrize(("away", "is_near"), [(0.019, True), (0.021, False)])
def test_the_right_answer_is_the_organisers_end_within_the_bound_of_replays(away, is_near):
    sketch = packed({part: [1.0 if part == "scale" else 1.0 / (1 + away)] * 64 for part in PARTS})
    assert is_right(BAIT, sketch, AUDITED.model_copy(update={"replay_bound": 0.02})) is is_near


def test_no_bait_is_of_ones_own_work_nor_of_work_that_one_has_audited():
    assert taken(with_bait()) == (BAIT, ())
    assert taken(changed(with_bait(), signer=BEN)) == (None, (BAIT,))
    state = opened(with_bait()).state
    (row,) = state.audits.values()
    state = replace(state, audits={row.lease_id: row.model_copy(update={"leg": REFUSED})})
    assert taken(state) == (None, (BAIT,))


def test_a_bait_has_the_size_of_the_audit_that_it_takes_the_place_of():
    state = with_bait()
    held = state.leases[judged_lease(state)]
    sized = held.model_copy(update={"lease": held.lease.model_copy(update={"size": 1})})
    assert taken(replace(state, leases={judged_lease(state): sized})) == (None, (BAIT,))


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_bait_starts_from_a_state_that_can_still_be_fetched(is_kept):
    state = with_bait()
    head = stored(work(state)).head
    commitment = head.commitment if is_kept else "9" * 64
    start = AuditStart(
        previous="0" * 64, commitment=commitment, commit="1" * 40, folder="states/x",
        sha256=("2" * 64,) * len(STATE_FILES), bytes=(1,) * len(STATE_FILES),
    )  # fmt: skip
    leg = work(state).model_copy(update={"phase": "stored", "head": head})
    state = replace(state, submissions={**state.submissions, "d" * 32: leg})
    bait = BAIT.model_copy(update={"start": start})
    assert taken(changed(state, baits=(bait,))) == ((bait, ()) if is_kept else (None, (bait,)))


def test_baits_come_at_their_rate_by_a_lot_for_each_work_round_and_audit():
    state, rate = with_bait(), AUDITED.model_copy(update={"bait_rate": 0.5})
    rounds = [taken(state, rate, AUDIT.model_copy(update={"round": number}))[0] is not None for number in range(80)]
    assert 20 < sum(rounds) < 60  # of 40 expected; deviation 4.5
    assert taken(state, AUDITED.model_copy(update={"bait_rate": 0.0}))[0] is None


@pytest.mark.parametrize(("away", "is_copy"), [(0.0, True), (0.0099, True), (0.0101, False), (0.02, False)])
def test_a_copy_is_nearer_to_the_wrong_claim_than_half_of_the_bound(away, is_copy):
    sketch = packed({part: [2.0 if part == "scale" else 2.0 / (1 + away)] * 64 for part in PARTS})
    assert is_copied(BAIT, sketch, AUDITED.model_copy(update={"replay_bound": 0.02})) is is_copy


@pytest.mark.parametrize(("audits", "kept"), [(True, (BAIT,)), (False, ())])
def test_refused_work_leaves_baits_only_where_volunteers_audit(audits, kept):
    state = handed_in()
    refused = verdict(state, False, baits=(BAIT,))
    state = step(state, START + 31, refused, policy=AUDITED.model_copy(update={"audits": audits})).state
    assert work(state).baits == kept
