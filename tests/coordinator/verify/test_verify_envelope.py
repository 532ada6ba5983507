"""Rung 1 by itself: what is signed, declared, on the Hub and downloaded must agree, each to the byte and the second."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
from verify_attempt import Attempt
from verify_world import BOUNDS, NOW, STEPS, World

from paris.coordinator.errors import HubError
from paris.coordinator.verify import LegStart
from paris.coordinator.verify.envelope_rung import Candidate, check_envelope
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.coordinator.verify.training_task import training_task
from paris.experts.training.commitments import NO_COMMITMENT, commitment_of
from paris.protocol.chain import Chain, ChainStart, Link, LinkFiles
from paris.protocol.hub_layout import CHAIN_FILE, WEIGHTS_FILE
from paris.protocol.limits import MAX_CLOCK_SKEW_S
from paris.protocol.run_records import SubmittedFile
from paris.protocol.signing import Identity

WEIGHTS = bytes(range(256)) * 4
MALLORY = Identity.generate()


def attempt_of(world: World, *, state: str = "leased", **lease_changes) -> Attempt:
    """Work of the right form for task 0; this rung does not look into the weights."""
    volunteer = Identity.generate()
    lease = world.lease(0, volunteer, **lease_changes)
    return Attempt(world, 0, volunteer, lease, world.task(0, state=state), WEIGHTS, 1.0, "c" * 64)


def checked(case, max_bytes: int = len(WEIGHTS)) -> tuple[Candidate, Checks]:
    checks = Checks()
    return check_envelope(case, checks, {WEIGHTS_FILE: max_bytes}), checks


def refused(case, max_bytes: int = len(WEIGHTS)) -> tuple[str, float, float]:
    """Check, figure and bound of the refusal."""
    with pytest.raises(CheckFailed) as failed:
        checked(case, max_bytes)
    return failed.value.check.name, failed.value.check.figure, failed.value.check.bound


def test_work_that_agrees_in_everything_is_pinned_to_its_commit_and_downloaded(world):
    attempt = attempt_of(world)
    case = attempt.submit()
    candidate, checks = checked(case)
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    submission = candidate.submission
    assert (candidate.sha256, candidate.num_bytes, candidate.chain) == (digest, len(WEIGHTS), None)
    assert (candidate.commit, candidate.pull_request) == (submission.commit, submission.pull_request)
    assert candidate.path == f"{attempt.place}/expert.safetensors"
    assert case.candidate.read_bytes() == WEIGHTS
    assert checks.remarks == []
    made = {check.name for check in checks.made}
    assert made >= {"signature", "kind", "lease-holder", "lease-id", "task", "attempt", "from-the-future", "late"}
    assert made >= {"no-leg", "steps", "repo", "declared-files", "file-count", "undeclared-files", "declared-size"}
    assert made >= {"pinned", "foreign-changes", "extra-files", "missing-files", "hub-size", "hub-digest"}
    assert made >= {"record-size", "record-signer", "record-facts", "digest", "size"}


@pytest.mark.parametrize(("ahead_s", "passes"), [(MAX_CLOCK_SKEW_S, True), (MAX_CLOCK_SKEW_S + 0.5, False)])
def test_a_record_may_be_signed_ahead_of_time_by_the_skew_of_clocks(world, ahead_s, passes):
    case = attempt_of(world).submit(received_at=NOW - 10 - ahead_s)  # the record is of ten seconds ago
    if passes:
        checked(case)
    else:
        assert refused(case) == ("from-the-future", ahead_s, MAX_CLOCK_SKEW_S)


@pytest.mark.parametrize(
    ("late_s", "state", "passes"), [(100, "leased", True), (101, "leased", False), (1, "registered", False)]
)
def test_late_work_is_judged_for_a_while_where_the_task_has_no_expert(world, late_s, state, passes):
    attempt = attempt_of(world, state=state, expires_at=NOW - late_s)
    case = attempt.submit(bounds=BOUNDS.model_copy(update={"max_late_s": 100.0}))
    if passes:
        assert checked(case)[1].remarks == [
            "late work: the lease was granted, ended 100 s before; the task has no expert yet"
        ]
    else:
        assert refused(case) == ("late", late_s, 100.0 if state == "leased" else 0.0)


def test_work_for_a_lease_that_was_taken_back_says_so(world):
    _, checks = checked(attempt_of(world, state="leased").submit())
    assert checks.remarks == []
    attempt = attempt_of(world)
    attempt.lease = attempt.lease.model_copy(update={"state": "revoked"})
    assert checked(attempt.submit())[1].remarks == [
        "late work: the lease was revoked, ended 0 s before; the task has no expert yet"
    ]


FACTS = {
    "lease-id": {"lease_id": "e" * 32},
    "task": {"task_id": "expert-1"},
    "attempt": {"attempt": 2},
    "steps": {"steps": STEPS - 1},
    "repo": {"repo": "mallory/shapes"},
    "no-leg": {"start_step": 0},
    "pull-request": {"pull_request": 10**6},
    "head": {"commit": "0" * 40},
}


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_that_is_not_so_is_refused_by_its_own_check(world, name):
    attempt = attempt_of(world)
    attempt.facts = FACTS[name]
    assert refused(attempt.submit())[0] == name


@pytest.mark.parametrize("missing", ["commit", "pull_request"])
def test_work_that_names_no_commit_could_change_later(world, missing):
    attempt = attempt_of(world)
    attempt.facts = {missing: None}
    assert refused(attempt.submit()) == ("pinned", 1, 0)


def test_the_signature_is_the_lease_holders_on_both_copies(world):
    outside, inside = attempt_of(world), attempt_of(world)
    outside.signer, inside.inner_signer = MALLORY, MALLORY
    assert refused(outside.submit())[0] == "lease-holder"
    assert refused(inside.submit())[0] == "record-signer"
    noise = attempt_of(world)
    noise.record = "{]"
    assert refused(noise.submit())[0] == "signature"


def test_the_copy_inside_the_pull_request_may_lack_what_only_the_record_outside_can_know(world):
    attempt = attempt_of(world)
    attempt.inner_facts = {"pull_request": 3, "commit": "a" * 40}
    checked(attempt.submit())
    attempt = attempt_of(world)
    attempt.inner_facts = {"final_loss": 0.5, "commitment": "d" * 64}
    assert refused(attempt.submit()) == ("record-facts", 2, 0)


def declared(attempt: Attempt, *files: tuple[str, int]) -> Attempt:
    digest = hashlib.sha256(attempt.weights).hexdigest()
    attempt.facts = {"files": tuple(SubmittedFile(path=path, sha256=digest, bytes=count) for path, count in files)}
    return attempt


def test_exactly_the_files_of_such_a_task_are_declared(world):
    weights = ("expert.safetensors", len(WEIGHTS))
    assert refused(declared(attempt_of(world), weights, ("more.bin", 1)).submit())[0] == "declared-files"
    assert refused(declared(attempt_of(world), weights, weights).submit()) == ("file-count", 2, 1)


def test_the_declared_size_may_be_the_largest_of_the_model_and_no_byte_more(world):
    case = attempt_of(world).submit()
    assert refused(case, len(WEIGHTS) - 1) == ("declared-size", len(WEIGHTS), len(WEIGHTS) - 1)
    with pytest.raises(CheckFailed, match="declared bytes of the checkpoint: 1024,"):
        checked(case, len(WEIGHTS) - 1)
    assert not case.candidate.exists()
    checked(case)


@pytest.mark.parametrize("off", [-1, 1])
def test_the_size_on_the_hub_is_the_signed_one(world, off):
    attempt = declared(attempt_of(world), ("expert.safetensors", len(WEIGHTS) + off))
    assert refused(attempt.submit(), len(WEIGHTS) + 1) == ("hub-size", len(WEIGHTS), len(WEIGHTS) + off)


def test_other_bytes_of_the_same_length_are_refused_by_their_digest(world):
    attempt = attempt_of(world)
    attempt.weights_on_hub = WEIGHTS[::-1]
    case = attempt.submit()
    assert refused(case)[0] in ("hub-digest", "digest")
    assert not case.candidate.exists()


def test_bytes_that_changed_on_their_way_are_nobodys_fault(world):
    attempt = attempt_of(world)
    attempt.weights = b"changed" + WEIGHTS[7:]
    attempt.served_instead = attempt.weights[::-1]
    case = attempt.submit()
    with pytest.raises(HubError, match="arrived with digest"):
        checked(case)
    assert not case.candidate.exists()


def test_nothing_outside_of_the_submissions_folder_is_changed_and_nothing_is_added_or_left_out(world):
    outside, beside, without = attempt_of(world), attempt_of(world), attempt_of(world)
    outside.files = {"README.md": b"mine", "experts/x.bin": b"mine"}
    assert refused(outside.submit()) == ("foreign-changes", 2, 0)
    beside.files = {f"{beside.place}/more.bin": b"more"}
    assert refused(beside.submit()) == ("extra-files", 1, 0)
    without.leave_out = (f"{without.place}/submission.json",)
    assert refused(without.submit()) == ("missing-files", 1, 0)


def test_a_record_inside_that_is_too_long_is_not_fetched(world):
    long = attempt_of(world)
    long.files = {f"{long.place}/submission.json": b" " * (BOUNDS.max_json_bytes + 1)}
    assert refused(long.submit()) == ("record-size", BOUNDS.max_json_bytes + 1, BOUNDS.max_json_bytes)


def test_a_pull_request_that_moved_on_is_judged_at_the_signed_commit_only_where_that_is_allowed(world):
    attempt = attempt_of(world)
    attempt.pushed_later = WEIGHTS[::-1]
    case = attempt.submit()
    assert refused(case)[0] == "head"
    candidate, checks = checked(
        case.model_copy(update={"bounds": BOUNDS.model_copy(update={"allow_moved_head": True})})
    )
    assert candidate.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert len(checks.remarks) == 1
    assert checks.remarks[0].endswith("; the signed commit was judged")


def leg_of(world: World) -> tuple[Attempt, LegStart, Chain]:
    """The only leg of task 0, from the initial weights to its last step, with a chain of one snapshot."""
    attempt, leg = attempt_of(world, start_step=0, to_step=STEPS, draw_sha256="0" * 64), LegStart(shard_rows=(40, 40))
    task = training_task(SimpleNamespace(run_id=world.run_id, run=world.spec, task=attempt.task), leg).digest
    files = LinkFiles(weights="1" * 64, ema=hashlib.sha256(WEIGHTS).hexdigest(), optimizer="2" * 64)
    link = Link(step=STEPS, files=files, commitment=commitment_of(NO_COMMITMENT, task, STEPS, files.model_dump()))
    chain = Chain(task=task, start=ChainStart(step=0, commitment=NO_COMMITMENT), links=(link,))
    data = chain.to_bytes()
    declared = (
        SubmittedFile(path="expert.safetensors", sha256=files.ema, bytes=len(WEIGHTS)),
        SubmittedFile(path="chain.json", sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)),
    )
    attempt.files = {f"{attempt.place}/chain.json": data}
    attempt.facts = {"files": declared, "start_step": 0, "commitment": link.commitment}
    attempt.inner_facts = attempt.facts
    return attempt, leg, chain


LEG_BYTES = {WEIGHTS_FILE: len(WEIGHTS), CHAIN_FILE: 4096}


def test_a_legs_chain_is_checked_before_its_weights_are_fetched(world):
    attempt, leg, chain = leg_of(world)
    case = attempt.submit(leg=leg)
    candidate = check_envelope(case, Checks(), LEG_BYTES)
    assert candidate.chain == chain
    assert (candidate.sha256, candidate.path) == (chain.links[-1].files.ema, f"{attempt.place}/expert.safetensors")
    assert (case.chain.read_bytes(), case.candidate.read_bytes()) == (chain.to_bytes(), WEIGHTS)
    attempt, leg, chain = leg_of(world)
    attempt.facts = attempt.inner_facts = {**attempt.facts, "commitment": "d" * 64}
    case = attempt.submit(leg=leg)
    with pytest.raises(CheckFailed, match="the chain ends with"):
        check_envelope(case, Checks(), LEG_BYTES)
    assert not case.candidate.exists()


def test_a_leg_without_its_chain_is_not_complete(world):
    attempt, leg, _ = leg_of(world)
    attempt.facts = {**attempt.facts, "files": attempt.facts["files"][:1]}
    with pytest.raises(CheckFailed) as failed:
        check_envelope(attempt.submit(leg=leg), Checks(), LEG_BYTES)
    assert failed.value.check.name == "undeclared-files"


def test_a_chain_that_is_declared_too_long_is_refused_by_its_name(world):
    attempt, leg, chain = leg_of(world)
    with pytest.raises(CheckFailed, match=r"declared bytes of the chain\.json: "):
        check_envelope(attempt.submit(leg=leg), Checks(), {**LEG_BYTES, CHAIN_FILE: len(chain.to_bytes()) - 1})
