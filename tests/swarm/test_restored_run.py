"""A run that was backed up while it was served goes on from the backup at another address, with the same volunteer."""

from __future__ import annotations

import pytest
from deadlines import DEADLINE_S
from swarm import all_gone, command, join, serve_tiny, status, wait_until

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("restored")


def test_the_run_goes_on_elsewhere_and_the_volunteer_with_its_task(folder, crew):
    settings = {"num_experts = 2": "num_experts = 1", "train_after = 2": "train_after = 1"}
    run = serve_tiny(folder, crew, settings)
    ada = join(run, crew, "ada")
    wait_until(lambda: ada.event("snapshot"), DEADLINE_S, "ada's first snapshot")
    made = command("paris-coord", "backup", str(run), "--out", str(folder / "run.tar"))
    assert made.returncode == 0, made.stderr
    # The machine is lost with everything on it, and ada's node with its connection.
    for process in list(crew.started):
        lost = process.tree()
        process.kill()
        wait_until(lambda lost=lost: all_gone(lost), DEADLINE_S, "all end with their parent")
    run.rename(folder / "lost")
    again = folder / "again"
    restored = command("paris-coord", "restore", str(folder / "run.tar"), str(again), "--host", "127.0.0.2")
    assert restored.returncode == 0, restored.stderr
    coordinator = crew("coordinator-again", "paris-coord", "serve", str(again), "--json")
    wait_until(lambda: coordinator.event("serving"), DEADLINE_S, "a run.json with the new address")
    back = join(again, crew, "ada", session="-again")
    assert back.popen.wait(2 * DEADLINE_S) == 0, back.stderr.read_text()
    assert not back.event("leased"), "it goes on with the task that it has"
    (task,) = status(again)["tasks"]
    assert (task["state"], task["volunteer"]) == ("registered", "ada")
