"""A run of experts of two sizes: one volunteer's machine is too small for the run's model. Made, released, sampled."""

from __future__ import annotations

import pytest
from deadlines import DEADLINE_S
from swarm import command, join, serve_tiny, status, wait_until

from paris.experts.release.layout import read_layout

pytestmark = [pytest.mark.slow, pytest.mark.long]
GIB = 2**30
_SMALLER = "[[model.smaller]]\noverrides = { hidden_size = 24 }"
_SETTINGS = {
    "steps = 240": f"steps = 120\nmin_memory_bytes = {2 * GIB}\nleg_steps = 60",
    "\n[training]": f"{_SMALLER}\n\n[training]",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sizes")


@pytest.fixture(scope="module")
def run(folder, crew):
    """A finished run: ada's machine holds the smaller size, ben's the run's model."""
    run = serve_tiny(folder, crew, _SETTINGS)
    (folder / "ada").mkdir()
    (folder / "ada" / "config.toml").write_text(f"memory_limit_bytes = {3 * GIB // 2}\n")
    for name in ("ada", "ben"):
        join(run, crew, name)
    wait_until(lambda: status(run)["router"]["phase"] == "done", 2 * DEADLINE_S, "both experts and the router")
    return run


def test_each_machine_trains_what_it_can_hold_in_all_its_legs(run):
    tasks = status(run)["tasks"]
    assert {task["volunteer"]: task["size"] for task in tasks} == {"ada": 1, "ben": None}


def test_the_release_has_both_sizes_and_draws(run):
    released = command("paris-coord", "release", str(run))
    assert released.returncode == 0, released.stderr
    assert sorted(size.hidden_size for size in read_layout(run / "release").sizes) == [24, 48]
    card = (run / "release" / "README.md").read_text("utf-8")
    assert "(dit-emoji-4, or smaller)" in card
    out = run.parent / "heart.png"
    sampled = command("paris-coord", "sample", "a red heart", "--model", str(run / "release"), "--out", str(out))
    assert sampled.returncode == 0, sampled.stderr
    assert out.read_bytes().startswith(b"\x89PNG")
