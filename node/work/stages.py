"""Which stage a unit's state asks for. Each can be left by kill -9 and taken up again."""

from __future__ import annotations

from collections.abc import Callable

from paris.node.machine.unit import FINAL, State
from paris.node.work.submission_stage import await_verdict, submit
from paris.node.work.training_stage import accept, train
from paris.node.work.unit_work import UnitWork

_STAGES: dict[State, Callable[[UnitWork], None]] = {
    "leased": accept,
    "fetching": train,
    "training": train,
    "uploading": submit,
    "awaiting-verdict": await_verdict,
}


def finish(work: UnitWork) -> None:
    """Go through the states that are left.

    Raises:
        LeaseLostError: The coordinator took the lease back; the files stay.
        StoppedError: The volunteer stopped the node.
        ParisError: What the stage says; the unit stays in its state.
    """
    try:
        while work.unit.state not in FINAL:
            _STAGES[work.unit.state](work)
    finally:
        work.close()
