"""What the plan of a run says about its settings, before there is data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from paris.coordinator.planning.build import make_plan
from paris.coordinator.planning.facts import facts_before
from paris.coordinator.proposal.remarks import Remark
from paris.coordinator.run.config import RunConfig


def plan_remarks(config: RunConfig, rows: int | None, folder: Path | None = None) -> Iterator[Remark]:
    """Problems of the plan.

    Args:
        config: Valid settings.
        rows: Pictures that are expected to be left, held-out ones included; None: as run.toml or the package says.
        folder: The data folder, where frozen networks may be.
    """
    if rows is not None and rows < config.run.num_experts:
        return
    for problem in make_plan(facts_before(config, rows, folder)).problems:
        setting = problem.setting.replace("[", "").replace("] ", ".")
        yield Remark(setting, problem.value, problem.what, problem.next_step, problem.refuses)
