"""Simulated runs: the same volunteers under the coordinator's decisions, and under BOINC's ways to check work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.swarm.figures import figures, simulate
from benchmarks.swarm.paris import Paris, policy_of, refusal_chance
from benchmarks.swarm.replicas import Replicas
from benchmarks.swarm.scheme import Setup
from benchmarks.swarm.volunteers import DAY_S, population, sessions
from benchmarks.swarm.world import World
from benchmarks.swarm_sim import line_of, quick_setups, run_all, setups
from benchmarks.swarm_sim_report import checked_table, draw, room_table

SMALL = Setup(10, 3, legs=3)


@pytest.fixture(scope="module")
def found():
    """Figures of small runs without cheats, by scheme."""
    return {scheme: simulate(replace(SMALL, scheme=scheme)) for scheme in ("paris", "quorum", "adaptive")}


def test_the_volunteers_depend_on_the_seed_alone_and_are_replaced_when_they_leave():
    one, other = population(50, 0.2, 60 * DAY_S, 1), population(50, 0.2, 60 * DAY_S, 1)
    assert one == other != population(50, 0.2, 60 * DAY_S, 2)
    assert sum(volunteer.arrives_at == 0.0 for volunteer in one) == 50
    assert 60 < len(one) < 400
    assert 0.1 < sum(volunteer.is_cheat for volunteer in one) / len(one) < 0.3
    assert len({volunteer.key for volunteer in one}) == len(one)


def test_volunteers_are_on_for_their_share_of_the_time():
    long = replace(population(1, 0.0, DAY_S, 0)[0], arrives_at=0.0, leaves_at=2000 * DAY_S, on_share=0.6)
    times = list(sessions(long, 0))
    assert all(begin < end for begin, end in times)
    assert sum(end - begin for begin, end in times) / long.leaves_at == pytest.approx(0.6, abs=0.05)


def test_every_way_to_check_ends_the_run_with_right_experts(found):
    for row in found.values():
        assert (row["verified_share"], row["wrong_share"]) == (1.0, 0.0)
        assert row["makespan_days"] > 3 * 8 / 24 / 4
        assert 0 < row["with_work_share"] <= 1


def test_a_quorum_wastes_half_and_audits_far_less(found):
    assert found["quorum"]["wasted_share"] >= 0.5
    assert found["paris"]["wasted_share"] < 0.25
    assert 0 < found["paris"]["audited_share"] + found["paris"]["replayed_share"] < 0.1


def test_equal_setups_give_equal_figures(found):
    again = simulate(replace(SMALL, scheme="paris"))
    times = {"tick_cpu_ms", "save_cpu_ms"}
    assert {k: v for k, v in again.items() if k not in times} == {
        k: v for k, v in found["paris"].items() if k not in times
    }


def test_cheats_are_found_and_a_quorum_lets_no_wrong_step_in():
    setup = replace(SMALL, malice=0.5)
    for scheme in (Paris(setup), Replicas(replace(setup, scheme="quorum"))):
        tally = World(setup, scheme).run()
        row = figures(setup, tally, scheme.result, is_done=scheme.is_done())
        assert row["cheats"] > 0
        assert row["cheats_found"] > 0
        assert row["honest_work_refused"] == 0
    assert row["wrong_share"] == 0.0


def test_adaptive_replication_believes_who_was_right_ten_times():
    setup = replace(SMALL, experts=1, scheme="adaptive", legs=60)
    scheme, volunteers = Replicas(setup), population(2, 0.0, DAY_S, 0)
    granted = []
    for turn in range(40):
        for one in volunteers:
            scheme.is_here(one, float(turn))
        now = scheme.poll(float(turn)).granted
        granted.append(len(now))
        for work in now:
            scheme.hands_in(work, work.end, (), float(turn))
    assert set(granted[:10]) == {2}
    assert granted[10:].count(1) > 20


def test_a_quorum_asks_a_third_where_two_ends_differ_and_drops_who_is_late():
    setup = replace(SMALL, experts=1, scheme="quorum")
    scheme, volunteers = Replicas(setup), population(4, 0.0, DAY_S, 0)
    for one in volunteers[:2]:
        scheme.is_here(one, 0.0)
    first, second = scheme.poll(0.0).granted
    scheme.hands_in(first, first.end, (), 1.0)
    scheme.hands_in(second, second.end, (first.start,), 2.0)
    scheme.is_here(volunteers[2], 3.0)
    (third,) = scheme.poll(3.0).granted
    late = setup.deadline_s
    scheme.is_here(volunteers[3], late)
    (fourth,) = scheme.poll(late).granted
    assert len({first.key, second.key, third.key, fourth.key}) == 4
    scheme.hands_in(fourth, fourth.end, (), late + 1.0)
    assert scheme.poll(late + 2.0).taken_back == [third.work_id]
    assert scheme.result.verified_steps == setup.leg_steps
    assert scheme.result.refused == {second.key}


def test_the_chances_of_refusal_are_measured_ones():
    assert refusal_chance("attack: leg: half of the steps") == 1.0
    assert refusal_chance("attack: half of the steps, own loss, first") == 0.0
    assert policy_of(SMALL).leg_steps == SMALL.leg_steps == 20 * SMALL.stretch_steps


def test_an_interrupted_benchmark_goes_on(tmp_path, capsys):
    wanted, out = quick_setups()[:2], tmp_path / "swarm_sim.json"
    rows = run_all(wanted[:1], [], out)
    assert len(run_all(wanted, rows, out)) == 2
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["paris", "adaptive"]
    assert line_of(rows[0]) == printed[0]
    assert run_all(wanted, rows, out)[0] is rows[0]


def test_the_tables_and_the_plot_are_made_from_the_rows(found, tmp_path):
    rows = [{**row, "malice": 0.05} for row in found.values()]
    days = {"wasted_share": 0.1, "makespan_days": 20.0, "honest_work_refused": 2}
    seeds = [{**rows[0], **days}, {**rows[0], **days, "wasted_share": 0.2, "makespan_days": 10.0}]
    many = {**found["paris"], "experts": 8, "lanes": 8, "days": 0.25, "present": 7000.0, "with_work_share": 0.02}
    assert "| 5% | quorum of two |" in checked_table(rows)
    line = checked_table([*seeds, many]).splitlines()[2]
    assert line.startswith("| 5% | Paris | 15.0 (10.0 to 20.0) | 15.0% (10.0 to 20.0) | ")
    assert "| 4 | 0 of 0 |" in line
    assert room_table(rows) == "Not simulated yet.\n"
    assert room_table([*rows, many]).splitlines()[2].startswith("| 8 | 8 | 64 | 7,000 | 140 | 2.0% | ")
    assert draw([*rows, many], tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_all_runs_differ():
    assert len(set(setups())) == len(setups()) == 3 * 3 * 5 + 6
