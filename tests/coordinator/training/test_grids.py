"""Grids of samples: drawn in a child process from the verified weights, and a bounded number of them kept."""

from __future__ import annotations

import json
import tarfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from paris.coordinator.children import Children
from paris.coordinator.run import grids
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.grids import Grid, GridRow, grid_file, grid_times, read_grid, write_grid
from paris.coordinator.service.grids import SampleGrids
from paris.coordinator.state.store import Store
from paris.coordinator.training.grids import draw_grid

FIXTURE = Path(__file__).parents[2] / "fixtures" / "run-2026-11.tar.xz"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    """A run of two experts: ada's is registered, ben's is in training."""
    folder = tmp_path_factory.mktemp("grids")
    with tarfile.open(FIXTURE) as archive:
        wanted = [member for member in archive if "/run" in member.name]
        archive.extractall(folder, members=wanted, filter="data")
    return RunDir.open(folder / "run-2026-11" / "run")


@pytest.fixture
def state(run):
    with closing(Store(run.state_file)) as store:
        return store.load()


@pytest.fixture
def samples(run):
    children = Children(run.logs)
    yield SampleGrids(run, make_spec(run, []), children)
    children.stop()


def test_a_grid_is_drawn_once_for_each_verified_state_and_shows_who_has_none(run, state, samples):
    asked = samples.wanted(state)
    assert [lease is not None for lease in asked.leases] == [True, False]
    samples.draw(state)
    (time,) = grid_times(run.path)
    grid = read_grid(run.path, time)
    assert grid.leases == asked.leases
    assert (grid.rows[0].step, grid.rows[1].lease_id) == (3000, None)
    with Image.open(grid_file(run.path, time)) as picture:
        columns = len(grid.seeds)
        assert picture.size == (100 * columns - 4, 196)
        colours = [len(picture.crop((0, y, 96, y + 96)).getcolors(96 * 96)) for y in (0, 100)]
    assert colours[0] > 8, "a picture"
    assert colours[1] == 1, "grey where nothing is verified"
    assert samples.wanted(state) is None
    assert SampleGrids(run, make_spec(run, []), samples.children).wanted(state) is None, "nor after a restart"
    changed = SampleGrids(sampled(run, seeds=[5, 6], num_steps=1), make_spec(run, []), samples.children)
    assert changed.wanted(state) is not None, "the settings are others"
    draw_grid(run, changed._grid(state))
    again = grid_times(run.path)[-1]
    assert read_grid(run.path, again).seeds[:2] != grid.seeds[:2]
    cells = [Image.open(grid_file(run.path, at)).crop((0, 0, 96, 96)).tobytes() for at in (time, again)]
    assert cells[0] != cells[1], "drawn anew for the same weights"
    assert len(list((run.path / "progress" / "strips").iterdir())) == 1


def sampled(run: RunDir, **changes) -> RunDir:
    """The run with other lines in [sampling]."""
    table = run.config.sampling.model_copy(update=changes)
    return replace(run, config=run.config.model_copy(update={"sampling": table}))


def test_other_prompts_seeds_or_sampling_are_another_grid(run, state, samples):
    changes = (
        {},
        {"prompts": ["a", "b"]},
        {"seeds": [9]},
        {"num_steps": 3},
        {"time_shift": 2.0},
        {"guidance_scale": 3},
    )
    samples._drawn = None
    made = [SampleGrids(sampled(run, **change), samples.spec, samples.children) for change in changes]
    for one in made:
        one._drawn = None
    assert len({one.wanted(state) for one in made}) == len(changes)
    assert made[0].wanted(state) == samples.wanted(state)


def test_nothing_is_drawn_while_work_waits_for_its_verdict(run, state, samples):
    samples._drawn = None
    (lease_id,) = state.submissions
    known = state.submissions[lease_id]
    other = known.submission.model_copy(update={"lease_id": "b" * 32})
    waiting = known.model_copy(update={"phase": "seen", "submission": other})
    assert samples.wanted(state) is not None
    assert samples.wanted(replace(state, submissions={**state.submissions, "b" * 32: waiting})) is None
    open_tasks = {name: task.unregistered() for name, task in state.tasks.items()}
    assert samples.wanted(replace(state, tasks=open_tasks)) is None, "no work is verified"


def test_of_the_older_grids_every_second_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(grids, "_MOST", 8)
    grid = Grid(rows=(GridRow(task_id="expert-0"),), prompts=("",), seeds=(0,))
    (tmp_path / "progress").mkdir()
    for time in range(100, 140):
        grid_file(tmp_path, time).write_bytes(b"")
        write_grid(tmp_path, time, grid)
    times = grid_times(tmp_path)
    assert len(times) < 8
    assert (times[0], times[-1]) == (100, 139)
    assert len(list((tmp_path / "progress").iterdir())) == 2 * len(times)
    assert read_grid(tmp_path, 139) == grid
    (tmp_path / "progress" / "grid-139.json").write_text(json.dumps({"format": 2}))
    assert read_grid(tmp_path, 139) is None, "of a later version"
