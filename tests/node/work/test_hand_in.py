"""What a leg hands in: the newest scheduled snapshot, with the chain that leads to it."""

from __future__ import annotations

import pytest
from legs import TASK, contents, make_head, make_leg, write_snapshots
from units import make_unit

from paris.experts.files import file_sha256
from paris.experts.training.commitments import FILES, NO_COMMITMENT, scheduled_folder
from paris.node.errors import NothingToHandInError, TrainerError
from paris.node.hub.pull_request import make_submission
from paris.node.machine.garbage import free_accepted_unit, free_ended_units
from paris.node.machine.home import Home
from paris.node.machine.unit import UnitFolder
from paris.node.work.agent import _GIVE_UP
from paris.node.work.hand_in import finished_leg, trained_leg
from paris.protocol.chain import parse_chain
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity


def names(folder: UnitFolder) -> list[str]:
    return sorted(path.relative_to(folder.work).as_posix() for path in folder.work.rglob("*") if path.is_file())


def test_a_first_leg_hands_in_its_state_and_a_chain_from_zero(tmp_path):
    folder, unit = make_leg(tmp_path / "unit", 0, 20)
    states = write_snapshots(folder, 10, 20)
    finished = finished_leg(unit, folder)
    assert (finished.steps, finished.final_loss, finished.commitment) == (20, 1 / 20, states[-1].commitment)
    assert [file.name for file in finished.files] == [
        "weights.safetensors",
        "expert.safetensors",
        "optimizer.safetensors",
        "chain.json",
    ]
    assert (folder.path / finished.files[1].path).read_bytes() == contents(20)["ema"]
    assert all(file_sha256(folder.path / file.path) == file.sha256 for file in finished.files)
    chain = parse_chain((folder.path / "chain.json").read_bytes())
    assert (chain.task, chain.start.step, chain.start.commitment) == (TASK, 0, NO_COMMITMENT)
    assert [(link.step, link.files.model_dump(), link.commitment) for link in chain.links] == [
        (state.step, state.files, state.commitment) for state in states
    ]


def test_a_leg_that_is_handed_in_early_ends_at_its_newest_snapshot_and_begins_at_its_head(tmp_path):
    earlier, _ = make_leg(tmp_path / "earlier", 0, 10)
    (before,) = write_snapshots(earlier, 10)
    folder, unit = make_leg(tmp_path / "unit", 10, 40, make_head(before), attempt=2)
    first, *states = write_snapshots(folder, 10, 20, 30)
    assert first == before
    (folder.snapshots / "pause-00000035").mkdir()
    finished = finished_leg(unit, folder)
    assert finished.steps == 30
    chain = parse_chain((folder.path / "chain.json").read_bytes())
    assert (chain.start.step, chain.start.commitment) == (10, before.commitment)
    assert [link.step for link in chain.links] == [20, 30]
    sealer = Sealer(Identity.generate(), "tiny-0123456789abcdef")
    unit = folder.advance(unit, "uploading", finished=finished)
    submission = make_submission(unit, folder, sealer, name="ada", repo="org/model")
    assert (submission.start_step, submission.steps) == (10, 30)
    assert [file.path.rpartition("/")[2] for file in submission.files] == [file.name for file in finished.files]
    assert submission.commitment == states[-1].commitment


def test_the_last_leg_hands_in_no_state_that_nobody_starts_from(tmp_path):
    folder, unit = make_leg(tmp_path / "unit", 0, 40)
    write_snapshots(folder, 20, 40)
    assert [file.name for file in finished_leg(unit, folder).files] == ["expert.safetensors", "chain.json"]


@pytest.mark.parametrize("damage", ["cut", "gone", "state"])
def test_a_damaged_newest_snapshot_is_not_handed_in(tmp_path, damage):
    folder, unit = make_leg(tmp_path / "unit", 0, 20)
    write_snapshots(folder, 10, 20)
    newest = scheduled_folder(folder.snapshots, 20)
    if damage == "cut":
        (newest / "weights.safetensors").write_bytes(b"half")
    else:
        (newest / {"gone": "ema.safetensors", "state": "state.json"}[damage]).unlink()
    assert finished_leg(unit, folder).steps == 10
    assert len(parse_chain((folder.path / "chain.json").read_bytes()).links) == 1


def test_a_trained_leg_without_a_whole_snapshot_is_given_back_instead_of_tried_for_ever(tmp_path):
    folder, unit = make_leg(tmp_path / "unit", 0, 20)
    write_snapshots(folder, 10, 20)
    assert trained_leg(unit, folder) == finished_leg(unit, folder)
    for step in (10, 20):
        (scheduled_folder(folder.snapshots, step) / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(TrainerError, match="expert-0 is trained, but no snapshot after step 0 is whole"):
        trained_leg(unit, folder)
    assert issubclass(TrainerError, _GIVE_UP)


def test_nothing_beyond_the_start_is_said_to_be_nothing(tmp_path):
    earlier, _ = make_leg(tmp_path / "earlier", 0, 10)
    (before,) = write_snapshots(earlier, 10)
    folder, unit = make_leg(tmp_path / "unit", 10, 20, make_head(before), attempt=2)
    write_snapshots(folder, 10)
    with pytest.raises(NothingToHandInError, match="no snapshot after step 10") as caught:
        finished_leg(unit, folder)
    assert "paris-node leave gives it back" in caught.value.next_step
    assert not (folder.path / "chain.json").exists()


def test_a_snapshot_that_does_not_follow_from_the_head_is_not_handed_in(tmp_path):
    folder, unit = make_leg(tmp_path / "unit", 0, 20)
    write_snapshots(folder, 10, 20, previous="f" * 64)
    with pytest.raises(NothingToHandInError):
        finished_leg(unit, folder)


def test_after_an_accepted_leg_the_state_stays_until_another_task_comes(tmp_path):
    home = Home(tmp_path)
    folder, unit = make_leg(tmp_path / "runs" / make_unit().run_id / "expert-0-1", 0, 20)
    write_snapshots(folder, 10, 20)
    unit = folder.advance(unit, "uploading", finished=finished_leg(unit, folder))
    unit = folder.advance(folder.advance(unit, "awaiting-verdict"), "done")
    free_accepted_unit(folder, unit)
    state = sorted(f"snapshots/step-00000020/{name}" for name in [*(f"{f}.safetensors" for f in FILES), "state.json"])
    assert names(folder) == state
    next_leg = unit.lease.model_copy(update={"attempt": 2, "start_step": 20, "to_step": 40})
    assert free_ended_units(home, unit.run_id, next_leg) == 0
    assert names(folder) == state
    assert free_ended_units(home, unit.run_id, next_leg.model_copy(update={"task_id": "expert-1"})) > 0
    assert names(folder) == []


def test_after_the_last_leg_nothing_stays(tmp_path):
    folder, unit = make_leg(tmp_path / "unit", 0, 40)
    write_snapshots(folder, 20, 40)
    free_accepted_unit(folder, folder.advance(unit, "uploading", finished=finished_leg(unit, folder)))
    assert names(folder) == []
