"""How many stretches a leg has: steps between two snapshots, of which a replay trains one again."""

from __future__ import annotations

STRETCHES_A_LEG = 20
"""Of a new run: replays cost less than 1 % of a long run (`benchmarks/audit_cost.py`), and a volunteer's disk holds so
many states."""
FEW_STRETCHES = 5
"""A replay of a leg with fewer costs more than a fifth of it."""
FEWEST_STRETCHES = 10
"""Of a leg of `leg_hours`, however slow the volunteer is: a replay trains no more than a tenth of it again."""
_MOST = 40


def snapshots_for(leg_steps: int) -> int | None:
    """Steps between two snapshots that make about `STRETCHES_A_LEG` equal stretches of a leg.

    Args:
        leg_steps: Of the leg, at least 1.

    Returns:
        A divisor of it; None: no divisor makes 10 to 40 stretches.
    """
    counts = [count for count in range(FEWEST_STRETCHES, _MOST + 1) if leg_steps % count == 0]
    return leg_steps // min(counts, key=lambda count: abs(count - STRETCHES_A_LEG)) if counts else None
