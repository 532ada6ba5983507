"""Attacks with the signed record: forged, replayed for another lease, or with facts that are not so."""

from __future__ import annotations

from attack import MALLORY, Attack, changed, honest
from verify_attempt import Attempt
from verify_world import NOW, World


def late(world: World) -> tuple[Attempt, dict]:
    attempt = honest(world, expires_at=NOW - 500.0)
    attempt.task = world.task(0, state="registered")
    return attempt, {}


def tampered(world: World) -> tuple[Attempt, dict]:
    attempt = honest(world)
    attempt.record = attempt._sealed(attempt._payload(), 2).replace('"steps":120', '"steps":121')
    return attempt, {}


ON_RECORDS = (
    Attack("record changed after signing", "Edits a signed record", "envelope/signature", tampered),
    Attack("record is noise", "Sends bytes that are no record", "envelope/signature", changed(record="{]")),
    Attack(
        "signed by somebody without the lease",
        "Signs another's submission with a key of its own",
        "envelope/lease-holder",
        changed(signer=MALLORY),
    ),
    Attack(
        "another lease", "Names a lease that is not its own", "envelope/lease-id", changed(facts={"lease_id": "e" * 32})
    ),
    Attack("another attempt", "Names another attempt", "envelope/attempt", changed(facts={"attempt": 2})),
    Attack("another task", "Names another task", "envelope/task", changed(facts={"task_id": "expert-1"})),
    Attack("late for a registered task", "Submits when the task has its expert", "envelope/late", late),
    Attack("fewer steps than asked", "Claims a tenth of the steps", "envelope/steps", changed(facts={"steps": 10})),
    Attack("another repo", "Names a repo of its own", "envelope/repo", changed(facts={"repo": "mallory/shapes"})),
    Attack(
        "no commit", "Names no commit, so that the files may change", "envelope/pinned", changed(facts={"commit": None})
    ),
    Attack(
        "no such pull request",
        "Names a pull request that is not there",
        "envelope/pull-request",
        changed(facts={"pull_request": 10**6}),
    ),
    Attack("another commit", "Names a commit that is not there", "envelope/head", changed(facts={"commit": "0" * 40})),
    Attack(
        "another loss inside",
        "Signs one loss in the DHT and another in the pull request",
        "envelope/record-facts",
        changed(inner_facts={"final_loss": 0.01}),
    ),
    Attack(
        "a record inside that another signed",
        "Puts another's record into the pull request",
        "envelope/record-signer",
        changed(inner_signer=MALLORY),
    ),
    Attack(
        "invented loss",
        "Claims a training loss of a fraction of the real one",
        "skill/claimed-loss",
        changed(final_loss=0.05),
        work=1.0,
    ),
)
