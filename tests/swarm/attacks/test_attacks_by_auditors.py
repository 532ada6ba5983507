"""Attacks by auditors end as the catalogue says, in a few seeds; honest auditors are never blamed."""

from __future__ import annotations

from collections import Counter

import pytest
from attacks_by_auditors import BY_AUDITORS, AuditAttack, honest
from audited_run import CHEAT, HONEST_WORKER, AuditedRun

from benchmarks.attacks_audited import AUDITED, play

SEEDS = range(6)


@pytest.mark.parametrize("attack", BY_AUDITORS, ids=lambda attack: attack.name)
def test_an_attack_by_auditors_is_found_as_the_catalogue_says(attack: AuditAttack):
    ends = Counter(attack.play(seed)[1].refused_by for seed in SEEDS)
    if attack.caught_by is None:
        assert ends[""] == max(ends.values()), ends
    else:
        assert ends[attack.caught_by] > 0, ends


def test_honest_auditors_refuse_the_cheat_pass_the_others_and_are_never_blamed():
    run = AuditedRun(0, [honest] * 6)
    verdicts = [run.play(worker).verdict.accepted for worker in (HONEST_WORKER, CHEAT, *[HONEST_WORKER] * 20)]
    assert verdicts == [True, False, *[True] * 20]
    assert run.problems == []
    assert any(audit.bait is not None for number in range(6) for audit in run.audits_of(number)), "baits among them"
    assert {audit.outcome for number in range(6) for audit in run.audits_of(number)} == {"right"}


def test_a_trial_has_what_the_table_shows():
    name = "audit: auditor that never answers"
    (trial,) = play([name], 3)
    assert (trial["name"], trial["seed"], trial["refused_by"], trial["bound"]) == (name, 3, "audits/late", 2.0)
    assert trial["judged_cpu_s"] > 0
    assert name in AUDITED
