"""Action: a grid of samples for the page, drawn in a child process, while no work waits for its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paris.coordinator.children import Children, Program
from paris.coordinator.decisions.last_work import by_cluster, evenly, judged_lease
from paris.coordinator.decisions.observations import DrawGrid
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.grids import FOLDER, Grid, GridRow, grid_times, read_grid
from paris.coordinator.state.indexes import unsettled
from paris.coordinator.state.model import WAITING, State, TaskState
from paris.experts.files import write_whole
from paris.protocol.hub_layout import WEIGHTS_FILE
from paris.protocol.run_records import RunSpec
from paris.protocol.sizes import of_size

MOST_ROWS, MOST_COLUMNS = 6, 4
_MOST_STEPS = 20


@dataclass
class SampleGrids:
    """Draws the grids of one run.

    Args:
        run: The run directory.
        spec: The published RunSpec.
        children: Starts the child process.
    """

    run: RunDir
    spec: RunSpec
    children: Children

    def __post_init__(self) -> None:
        times = grid_times(self.run.path)
        newest = read_grid(self.run.path, times[-1]) if times else None
        self._drawn = None if newest is None else _drawing(newest)

    def wanted(self, state: State) -> DrawGrid | None:
        """The grid that is to be drawn; None where nothing is new, or work waits for its verdict."""
        if any(known.phase in WAITING or known.recheck for known in unsettled(state)):
            return None
        drawing = _drawing(self._grid(state))
        return drawing if any(drawing.leases) and drawing != self._drawn else None

    def draw(self, state: State) -> None:
        """Draw the grid of a state.

        Raises:
            WorkerError: The child failed.
        """
        grid = self._grid(state)
        request = self.run.path / FOLDER / "request.json"
        write_whole(request, grid.model_dump_json().encode())
        self.children.run("samples", Program.GRIDS, str(self.run.path), str(request))
        self._drawn = _drawing(grid)

    def _grid(self, state: State) -> Grid:
        table, (prompts, seeds) = self.run.config.sampling, self._columns()
        return Grid(
            rows=tuple(self._row(state, task) for task in evenly(by_cluster(state), MOST_ROWS)),
            prompts=prompts,
            seeds=seeds,
            settings={
                "num_steps": min(_MOST_STEPS, table.num_steps),
                "time_shift": table.time_shift,
                "guidance_scale": table.guidance_scale if self.run.config.reads_text else 1.0,
            },
        )

    def _row(self, state: State, task: TaskState) -> GridRow:
        lease_id = judged_lease(task)
        if lease_id is None or not strip_source(self.run, lease_id).is_file():
            return GridRow(task_id=task.task.task_id)
        return GridRow(
            task_id=task.task.task_id,
            step=state.submissions[lease_id].submission.steps,
            lease_id=lease_id,
            model=of_size(self.spec, state.leases[lease_id].lease.size).model,
            objective=task.task.objective,
        )

    def _columns(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Prompts and seeds of the columns: one seed of as many prompts as there are, then the next seed."""
        table = self.run.config.sampling
        prompts = table.prompts[:MOST_COLUMNS] if self.run.config.reads_text else []
        pairs = [(prompt, seed) for seed in table.seeds or [0] for prompt in prompts or [""]][:MOST_COLUMNS]
        return tuple(prompt for prompt, _ in pairs), tuple(seed for _, seed in pairs)


def _drawing(grid: Grid) -> DrawGrid:
    return DrawGrid(grid.leases, grid.columns)


def strip_source(run: RunDir, lease_id: str) -> Path:
    """The verified weights of a lease's work."""
    return run.verify / lease_id / "candidate" / WEIGHTS_FILE
