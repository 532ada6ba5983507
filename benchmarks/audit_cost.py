"""What replays and audits cost on the whole, and whom they find: `python -m benchmarks.audit_cost`.

Plays the legs of whole runs with the coordinator's own rates, draws and baits, nothing trained: an expert's legs go to
volunteers in turn, whose rates fall with their verified legs. The cost is of steps trained again among steps trained,
as if there were always a bait. The cheat does one leg in ten wrongly, at random, and is found when one of those is
drawn.

Writes benchmarks/results/audit_cost.json and the tables in docs/threat-model.md. Ten seconds of a core.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.marked import replace_between
from benchmarks.record import write_result
from paris.coordinator.decisions.baits import is_bait_drawn
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.trust import replay_rate, with_accepted_work
from paris.coordinator.state.model import VolunteerState
from paris.coordinator.verify import VerificationBounds
from paris.protocol.draws import draw
from paris.protocol.work_records import Want

_DOC = Path(__file__).resolve().parents[1] / "docs" / "threat-model.md"
_BEGIN, _END = "<!-- audit cost: python -m benchmarks.audit_cost -->\n", "<!-- end of audit cost -->\n"
_EXPERTS = 8
_STRETCHES = (1, 5, 10, 20)
"""Of a leg."""
_LEGS = (10, 30, 100, 1000)
"""Of a volunteer."""
_VOLUNTEERS = 16
_RATES = (0.05, 0.1, 0.2)
"""Least shares of the legs that are replayed."""
_CHEATED = 0.1
"""Of a cheat's legs."""


def main() -> int:
    """Play, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="runs")
    parser.add_argument("--cheats", type=int, default=2000, help="cheats for each rate")
    given = parser.parse_args()
    usual = policy_of(VerificationBounds().replay_rate)
    costs = [
        {"legs": legs, "stretches": stretches, "share": _mean_share(given.seeds, legs, stretches, usual)}
        for legs, stretches in itertools.product(_LEGS, _STRETCHES)
    ]
    found = [
        {"legs": legs, "rate": rate, "found": found_share(given.cheats, legs, policy_of(rate))}
        for legs, rate in itertools.product(_LEGS, _RATES)
    ]
    extra = {"experts": _EXPERTS, "volunteers": _VOLUNTEERS, "replay_rate": usual.replay_rate, "cheats": given.cheats}
    rows = [{"what": "cost", **row} for row in costs] + [{"what": "found", **row} for row in found]
    print(write_result("audit_cost", rows, seeds=range(given.seeds), bait_rate=usual.bait_rate, **extra))
    replace_between(_DOC, _BEGIN, f"{cost_table(costs)}\n{found_table(found)}", _END)
    return 0


def policy_of(rate: float) -> Policy:
    """The defaults of a run of legs whose volunteers audit.

    Args:
        rate: The least share of the legs that are replayed.
    """
    bait_rate = VerificationBounds().bait_rate
    return Policy(
        lease_s=3600.0, heartbeat_every_s=60.0, replay_rate=rate, bait_rate=bait_rate, audits=True, draw_key="00" * 32
    )


def share(seed: int, legs: int, stretches: int, policy: Policy) -> float:
    """Steps trained again, baits among them, as a share of the steps of the run.

    Args:
        seed: Decides who does which leg, and the draws.
        legs: Of each volunteer, on the average.
        stretches: Of each leg, of equal length.
        policy: Gives the rates.
    """
    randomly = random.Random(seed)
    volunteers = [_volunteer(number) for number in range(_VOLUNTEERS)]
    again = total = num_audits = 0
    for start in _starts(legs * _VOLUNTEERS // _EXPERTS, stretches):
        who = randomly.randrange(_VOLUNTEERS)
        rate = replay_rate(volunteers[who], policy) or 0.0
        leg = hashlib.sha256(randomly.randbytes(8)).hexdigest()
        for _ in draw(leg, leg, range(start + 1, start + stretches + 1), start, rate):
            while is_bait_drawn(leg, 1, volunteers[who].public_key, num_audits, policy):
                num_audits, again = num_audits + 1, again + 1
            num_audits, again = num_audits + 1, again + 1
        total += stretches
        volunteers[who] = with_accepted_work(volunteers[who])
    return again / total


def found_share(cheats: int, legs: int, policy: Policy) -> float:
    """Of many cheats that do one leg in ten wrongly, the share that is found out.

    Args:
        cheats: How many, each with draws of its own.
        legs: Of each, as long as none of the wrong ones is replayed.
        policy: Gives the rates.
    """
    return sum(_is_found(random.Random(number), legs, policy) for number in range(cheats)) / cheats


def _is_found(randomly: random.Random, legs: int, policy: Policy) -> bool:
    cheat = _volunteer(0)
    for _ in range(legs):
        leg = hashlib.sha256(randomly.randbytes(8)).hexdigest()
        is_wrong = randomly.random() < _CHEATED
        # Within an expert: the first stretch of a training is always replayed.
        if is_wrong and draw(leg, leg, (2, 3), 1, replay_rate(cheat, policy) or 0.0):
            return True
        cheat = with_accepted_work(cheat)
    return False


def _mean_share(seeds: int, legs: int, stretches: int, policy: Policy) -> float:
    return statistics.mean(share(seed, legs, stretches, policy) for seed in range(seeds))


def cost_table(rows: list[dict[str, float]]) -> str:
    """The shares of steps, as Markdown."""
    heads = " | ".join(f"{count} {'stretch' if count == 1 else 'stretches'} a leg" for count in _STRETCHES)
    lines = [f"| cost: legs of a volunteer | {heads} |", f"| --- | {' | '.join('---' for _ in _STRETCHES)} |"]
    for legs in _LEGS:
        cells = [f"{row['share']:.2%}" for row in rows if row["legs"] == legs]
        lines.append(f"| {legs} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def found_table(rows: list[dict[str, float]]) -> str:
    """The shares of cheats that are found, as Markdown."""
    heads = " | ".join(f"`replay_rate = {rate}`" for rate in _RATES)
    lines = [f"| found: legs of the cheat | {heads} |", f"| --- | {' | '.join('---' for _ in _RATES)} |"]
    for legs in _LEGS:
        cells = [f"{row['found']:.0%}" for row in rows if row["legs"] == legs]
        lines.append(f"| {legs} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _starts(num_legs: int, stretches: int) -> Iterator[int]:
    """The first step of each leg of the run, in snapshots."""
    for leg in range(num_legs):
        for _ in range(_EXPERTS):
            yield leg * stretches


def _volunteer(number: int) -> VolunteerState:
    want = Want(name=f"v{number}", device="", memory_bytes=0, disk_bytes=0, state="waiting", node_version="0.1.0")
    return VolunteerState(public_key=f"{number:064x}", want=want, seen_at=0, want_sequence=1, waiting_since=0)


if __name__ == "__main__":
    raise SystemExit(main())
