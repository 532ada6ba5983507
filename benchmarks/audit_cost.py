"""What replays and audits cost on the whole: `python -m benchmarks.audit_cost`.

Plays the legs of whole runs with the coordinator's own rates and draws, nothing trained: an expert's legs go to
volunteers in turn, whose rates fall with their verified legs. The share is of steps trained again among steps trained.
Writes benchmarks/results/audit_cost.json and the table in docs/threat-model.md.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.marked import replace_between
from benchmarks.record import write_result
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
_LEGS = (10, 100, 1000)
"""Of a volunteer."""
_VOLUNTEERS = 16


def main() -> int:
    """Play, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    bounds = VerificationBounds()
    policy = Policy(lease_s=3600.0, heartbeat_every_s=60.0, replay_rate=bounds.replay_rate)
    rows = [
        {
            "legs": legs,
            "stretches": stretches,
            "share": statistics.mean(share(seed, legs, stretches, policy) for seed in range(given.seeds)),
        }
        for legs in _LEGS
        for stretches in _STRETCHES
    ]
    extra = {"experts": _EXPERTS, "volunteers": _VOLUNTEERS, "replay_rate": bounds.replay_rate}
    print(write_result("audit_cost", rows, seeds=range(given.seeds), **extra))
    replace_between(_DOC, _BEGIN, table(rows), _END)
    return 0


def share(seed: int, legs: int, stretches: int, policy: Policy) -> float:
    """Steps trained again, as a share of the steps of the run.

    Args:
        seed: Decides who does which leg, and the draws.
        legs: Of each volunteer, on the average.
        stretches: Of each leg, of equal length.
        policy: Gives the rates.
    """
    randomly = random.Random(seed)
    volunteers = [_volunteer(number) for number in range(_VOLUNTEERS)]
    again = total = 0
    for start in _starts(legs * _VOLUNTEERS // _EXPERTS, stretches):
        who = randomly.randrange(_VOLUNTEERS)
        rate = replay_rate(volunteers[who], policy) or 0.0
        secret, commitment = (hashlib.sha256(randomly.randbytes(8)).hexdigest() for _ in range(2))
        ends = range(start + 1, start + stretches + 1)
        again += len(draw(secret, commitment, ends, start, rate))
        total += stretches
        volunteers[who] = with_accepted_work(volunteers[who])
    return again / total


def table(rows: list[dict[str, float]]) -> str:
    """The shares, as Markdown."""
    heads = " | ".join(f"{count} {'stretch' if count == 1 else 'stretches'} a leg" for count in _STRETCHES)
    lines = [f"| legs of a volunteer | {heads} |", f"| --- | {' | '.join('---' for _ in _STRETCHES)} |"]
    for legs in _LEGS:
        cells = [f"{row['share']:.2%}" for row in rows if row["legs"] == legs]
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
