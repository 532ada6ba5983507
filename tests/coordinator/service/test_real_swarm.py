"""Figures of a real swarm: of made observations, and of a small swarm that really runs."""

from __future__ import annotations

import pytest

from benchmarks.real_swarm import figures, measure, table
from benchmarks.real_swarm_run import make_run
from paris.coordinator.state.reading import read_state


def heartbeat(lease: str, step: int, at: float) -> dict[str, object]:
    return {"what": "heartbeat", "lease": lease, "step": step, "at": at}


def test_delays_and_bytes_are_those_of_the_nodes():
    lines = [
        *(
            {"what": "lease", "node": f"n{second}", "task": "expert-0", "after_s": float(second)}
            for second in range(20)
        ),
        heartbeat("a", 1, 100.0),
        heartbeat("a", 2, 160.0),
        heartbeat("b", 1, 100.0),
        {"what": "traffic", "node": "n0", "has_lease": True, "sent": 1000, "received": 500, "seconds": 1800.0},
        {"what": "traffic", "node": "n1", "has_lease": False, "sent": 10, "received": 20, "seconds": 3600.0},
    ]
    found = figures(lines, {("a", 1): 101.0, ("a", 2): 163.0}, 100.0, 5.0, 50.0)
    assert found["want_to_lease_s"] == {"median": 9.5, "p95": 19.0, "most": 19.0}
    assert (found["heartbeats_sent"], found["heartbeats_seen"]) == (3, 2)
    assert found["heartbeat_to_seen_s"] == {"median": 2.0, "p95": 3.0, "most": 3.0}
    assert (found["bytes_an_hour_with_lease"], found["bytes_an_hour_waiting"]) == (3000, 30)
    assert (found["coordinator_cpu_share"], found["nodes_cpu_share"]) == (0.05, 0.5)
    shown = table({"peers": 20, "experts": 10, "seconds": 100.0, **found})
    assert "| from wanting a task to the lease: median, p95 | 9.5 s, 19.0 s |" in shown
    assert "| bytes an hour of a node with a lease | 3 kB |" in shown


def test_a_swarm_that_got_nothing_has_no_figures():
    found = figures([], {}, 1.0, 0.0, 0.0)
    assert found["want_to_lease_s"] is None
    assert "median, p95 | - |" in table({"peers": 1, "experts": 1, "seconds": 1.0, **found})


def test_the_run_has_a_task_an_expert_and_the_periods_of_a_real_one(tmp_path):
    run = make_run(tmp_path / "run", 3)
    assert sorted(read_state(run).tasks) == ["expert-0", "expert-1", "expert-2"]
    assert (run.config.tasks.heartbeat_every_s, run.config.tasks.tick_every_s) == (60.0, 2.0)


@pytest.mark.long  # shorter: the figures above
def test_a_small_swarm_gets_its_leases_and_its_heartbeats_are_seen(tmp_path):
    row = measure(tmp_path, 4, 90.0)
    assert row["errors"] == []
    assert row["leases"] == 2
    assert row["heartbeats_seen"] >= 2
    assert row["bytes_an_hour_with_lease"] > 0
    assert row["bytes_an_hour_waiting"] > 0
