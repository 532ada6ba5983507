"""What a plan says of the verification of legs, against a count by the coordinator's own decisions, leg by leg."""

from __future__ import annotations

import hashlib
import io
import statistics
from typing import Any

import pytest
from planned import facts

from paris.coordinator.decisions.legs import end_of, round_end
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.trust import rate_after
from paris.coordinator.planning import tables
from paris.coordinator.planning.build import make_plan
from paris.coordinator.planning.checking import checks_of, lanes_plan
from paris.coordinator.planning.facts import Facts
from paris.coordinator.planning.tables import print_plan
from paris.coordinator.planning.words import duration
from paris.protocol.draws import draw
from paris.protocol.run_records import Head, SubmittedFile, Task

SEEDS, STEP_S, LEAST = 60, 0.5, 0.1
MANY_BYTES = 10**15
CASES = [
    ({"leg_steps": 600, "steps": 9000}, 6),
    ({"leg_steps": 600, "steps": 8790}, 5),
    ({"leg_hours": 0.11, "steps": 9000, "deadline_s": 9000.0}, 4),
    ({"leg_steps": 600, "steps": 8790, "lanes": 2}, 4),
    ({"leg_steps": 600, "steps": 8790, "lanes": 3}, 5),
    ({"leg_hours": 0.04, "steps": 9000, "deadline_s": 9000.0, "lanes": 2}, 3),
    ({"leg_hours": 0.001, "steps": 9000, "deadline_s": 9000.0}, 2),
    ({"leg_steps": 9000, "steps": 9000}, 2),
]


def policy_of(given: Facts) -> Policy:
    hours = given.config.tasks.leg_hours
    return Policy(
        lease_s=1.0,
        heartbeat_every_s=1.0,
        leg_steps=given.config.leg_steps,
        leg_s=None if hours is None else hours * 3600,
        lanes=given.config.tasks.lanes,
        snapshot_every=given.config.snapshot_every,
    )


def task_at(step: int, steps: int) -> Task:
    files = tuple(SubmittedFile(path=f"{name}.safetensors", sha256="0" * 64, bytes=1) for name in "abc")
    digests = {"previous": "0" * 64, "commitment": "0" * 64, "commit": "0" * 40}
    head = None if step == 0 else Head(step=step, loss=1.0, files=files, **digests)
    numbers: dict[str, Any] = {"deadline_s": 1.0, "grace_s": 1.0, "min_memory_bytes": 1, "min_disk_bytes": 1}
    return Task(
        task_id="expert-0", cluster=0, steps=steps, batch_size=1, manifest_sha256="0" * 64, data_bytes=1,
        state="open", head=head, **numbers,
    )  # fmt: skip


def legs_of(given: Facts) -> list[tuple[int, int, bool]]:
    """Start and end of each leg of an expert, and whether its round is lane 0's alone."""
    policy, steps, start, found = policy_of(given), given.config.tasks.steps, 0, []
    while start < steps:
        # From step 1 instead of 0: a leg without a head has the usual length, whatever the volunteer's speed.
        end = end_of(task_at(max(1, start), steps), 1 / STEP_S, MANY_BYTES, policy)
        found.append((start, end, round_end(task_at(start, steps), policy) >= steps))
        start = end
    return found


def counted(given: Facts, volunteers: int, seed: int) -> tuple[int, int, int]:
    """Legs, replayed stretches and replayed steps, by the protocol's own draw; volunteers take legs in turn."""
    experts, lanes, every = given.config.run.num_experts, given.config.tasks.lanes, given.config.snapshot_every
    further = min(max(0, volunteers - experts), experts * (lanes - 1))
    legs = stretches = steps = 0
    for start, end, is_alone in legs_of(given):
        for _ in range(experts if is_alone else experts + further):
            secret = hashlib.sha256(f"{seed} {legs}".encode()).hexdigest()
            ends = [*range(start + every, end, every), end]
            drawn = draw(secret, secret, ends, start, rate_after(legs // volunteers, LEAST))
            stretches, steps = stretches + len(drawn), steps + sum(one.end - one.start for one in drawn)
            legs += 1
    return legs, stretches, steps


@pytest.mark.parametrize(("tasks", "volunteers"), CASES)
def test_legs_and_replays_are_those_that_the_coordinators_decisions_make(tasks, volunteers):
    given = facts(tasks=tasks, verify={"replay_rate": LEAST})
    checks = checks_of(given, volunteers, STEP_S, verification_s=2.0)
    lives = [counted(given, volunteers, seed) for seed in range(SEEDS)]
    assert {legs for legs, _, _ in lives} == {checks.legs}
    spread = statistics.stdev(stretches for _, stretches, _ in lives) / SEEDS**0.5
    assert checks.replays == pytest.approx(statistics.mean(number for _, number, _ in lives), abs=4 * spread + 0.02)
    steps = statistics.mean(number for _, _, number in lives)
    assert checks.replays_s == pytest.approx(steps * STEP_S, rel=0.05, abs=4 * spread * 30 * STEP_S)
    assert checks.verifications_s == 2.0 * checks.legs


def test_a_run_without_replays_or_legs_has_none():
    assert checks_of(facts(), 4, STEP_S, 1.0) is None
    off = checks_of(facts(tasks={"leg_steps": 60}, verify={"replay": False}), 4, STEP_S, 1.0)
    assert (off.replays, off.replayed_share, off.replays_s) == (0.0, 0.0, 0.0)


def test_lanes_have_a_round_and_a_mean_for_each_leg_but_the_last():
    given = facts(tasks={"leg_steps": 600, "steps": 8790, "lanes": 3})
    means = len({start for start, _, is_alone in legs_of(given) if not is_alone})
    lanes = lanes_plan(given, 5)
    assert (lanes.further, lanes.rounds, lanes.means) == (3, means + 1, 2 * means)
    assert lanes.further_steps == 3 * 600 * means
    assert lanes.fetched_bytes == lanes.sent_bytes // 2 * 5, "three lanes of one expert and two of the other"
    alone = lanes_plan(given, 2)
    assert (alone.further, alone.means, alone.fetched_bytes) == (0, 0, 0)
    assert lanes_plan(facts(tasks={"leg_steps": 600, "steps": 8790}), 5) is None


def test_further_lanes_cost_compute_and_no_time():
    one, two = (make_plan(facts(tasks={"leg_steps": 600, "steps": 9000, "lanes": lanes})) for lanes in (1, 2))
    assert two.volunteers == 2 * one.volunteers
    assert two.cards[-1].all_s == one.cards[-1].all_s
    assert two.cards[-1].experts_s == pytest.approx(one.cards[-1].experts_s * (1 + 14 / 15))


@pytest.mark.parametrize(("audits", "said"), [("organiser", "replays, on your"), ("volunteers", "audits, by")])
def test_the_table_says_who_trains_again(audits, said):
    tasks = {"leg_steps": 600, "steps": 9000, "lanes": 2}
    made, out = make_plan(facts(tasks=tasks, verify={"audits": audits})), io.StringIO()
    print_plan(made, out)
    text = " ".join(out.getvalue().split())
    assert said in text
    assert f"{made.cards[-1].checks.replayed_share:.2%}" in text
    assert f"15 rounds an expert, {made.lanes.means} means in all" in text
    out = io.StringIO()
    print_plan(make_plan(facts()), out)
    assert "Verification of all legs" not in out.getvalue()


def test_a_terminal_of_80_columns_shows_every_figure_whole(monkeypatch):
    monkeypatch.setattr(tables, "_FILE_WIDTH", 80)
    made, out = make_plan(facts(tasks={"leg_steps": 600, "steps": 9000})), io.StringIO()
    print_plan(made, out)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "\u2026" not in out.getvalue(), "nothing is cut"
    for card in made.cards:
        assert any(f" {card.name} " in line for line in lines)
        assert any("one expert" in line and f" {duration(card.expert_s)} " in line for line in lines)
