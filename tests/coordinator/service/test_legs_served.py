"""Legs of really trained work through the coordinator's real actions: verified, stored on a Hub, rolled back."""

from __future__ import annotations

import json

import pytest
from leg_world import EVERY, Volunteer, handed_in, lease_of, running_coordinator
from released_run import expert_task, shard_paths

from paris.coordinator.run.directory import RunDir
from paris.coordinator.service.references import head_scores, reference_curves
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.verify import read_report, write_report
from paris.experts.training.expert_training import ExpertTraining
from paris.protocol.draws import draw, draw_digest
from paris.protocol.work_records import Lease


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    with running_coordinator(tmp_path_factory.mktemp("legs")) as coordinator:
        yield coordinator


def expected_questions(state: State, lease: Lease) -> list[int]:
    """What anybody can compute from the verdict: the starts of drawn stretches that were not on the Hub."""
    known = state.submissions[lease.lease_id]
    verdict, commitment = known.verdict, known.submission.commitment
    assert draw_digest(verdict.draw_secret) == lease.draw_sha256
    steps = range(lease.start_step + EVERY, lease.to_step + 1, EVERY)
    drawn = draw(verdict.draw_secret, commitment, steps, lease.start_step, verdict.replay_rate)
    assert [rung.rung for rung in verdict.rungs].count("replay") == bool(drawn)
    return [stretch.start for stretch in drawn if stretch.start != lease.start_step]


def test_two_volunteers_take_turns_until_the_expert_is_registered_and_a_roll_back_goes_to_a_stored_state(coordinator):
    ada, ben = Volunteer(coordinator, "ada"), Volunteer(coordinator, "ben")
    taken = []
    for who in (ada, ben):
        state = coordinator.see(who.want())
        taken.append((lease_of(state).start_step, lease_of(state).to_step))
        lease = lease_of(state)
        state, asked = handed_in(coordinator, who, who.want("leaving"))
        assert asked == expected_questions(state, lease)
    assert taken == [(0, 20), (20, 40)]
    reasons = [known.verdict.reason for known in state.submissions.values()]
    assert [known.phase for known in state.submissions.values()] == ["stored", "stored"], reasons
    assert state.tasks["expert-0"].task.head.step == 40
    report = json.loads((coordinator.run.verify / taken_lease(state, 40) / "report.json").read_text())
    assert [rung["passed"] for rung in report["rungs"]] == [True] * len(report["rungs"])

    require_replayed_legs_as_reference(coordinator.run, state)

    state = coordinator.see(Order(OrderKind.ROLL_BACK, "expert-0", "to see it again", 20))
    assert state.tasks["expert-0"].task.head.step == 20
    for expected in ((20, 40), (40, 60)):
        state = coordinator.see(ada.want())
        assert (lease_of(state).start_step, lease_of(state).to_step) == expected
        state, _ = handed_in(coordinator, ada)
    registration = state.tasks["expert-0"].registration
    assert registration.volunteer_name == "ada"
    assert registration.sha256 == undisturbed(coordinator.run)


def require_replayed_legs_as_reference(run: RunDir, state: State) -> None:
    """Replayed legs are a curve for those that follow; a leg is compared with the state that it starts from."""
    replayed = [
        known.submission.steps
        for known in state.submissions.values()
        if any(rung.rung == "replay" for rung in known.verdict.rungs)
    ]
    curves = reference_curves(run, state, 40, "")
    assert [point.step for curve in curves for point in curve.points] == sorted(replayed)
    for signer in {known.signer for known in state.submissions.values()}:
        others = [known.submission.steps for known in state.submissions.values() if known.signer != signer]
        found = [point.step for curve in reference_curves(run, state, 40, signer) for point in curve.points]
        assert found == sorted(set(others) & set(replayed)), "nobody's own work is a reference for it"
    require_an_end_that_was_compared(run, state)
    assert all(curve.audited and curve.cluster == 0 for curve in curves)
    assert head_scores(run, state, state.leases[taken_lease(state, 20)]) is None
    assert head_scores(run, state, state.leases[taken_lease(state, 40)]).step == 20


def require_an_end_that_was_compared(run: RunDir, state: State) -> None:
    """A leg is no reference when its rung passed only because the state to start from is no longer kept."""
    path = run.verify / taken_lease(state, 20) / "report.json"
    report = read_report(path)
    rungs = tuple(
        rung.model_copy(update={"checks": tuple(c.model_copy(update={"name": "start"}) for c in rung.checks)})
        for rung in report.rungs
    )
    write_report(report.model_copy(update={"rungs": rungs}), path)
    assert 20 not in [point.step for curve in reference_curves(run, state, 40, "") for point in curve.points]
    write_report(report, path)
    assert 20 in [point.step for curve in reference_curves(run, state, 40, "") for point in curve.points]


def taken_lease(state: State, step: int) -> str:
    return next(lease_id for lease_id, known in state.submissions.items() if known.submission.steps == step)


def undisturbed(run: RunDir) -> str:
    """The digest of an expert that one machine trained without a stop."""
    training = ExpertTraining(expert_task(run, 0), run.path / "whole", shard_paths(run, 0).__getitem__, run.data)
    return str(training.run(lambda _: None, lambda: False).weights_sha256)
