"""The state that a leg starts from: fetched, resumed, checked, or linked from the leg before."""

from __future__ import annotations

import pytest
from file_hub import FileHub
from legs import contents, make_head, make_leg, write_snapshots

from paris.experts.training.commitments import FILES, scheduled_folder
from paris.node.errors import HubRefusedError, LeaseLostError, WrongHashError
from paris.node.work.head import fetch_head, has_start, head_of
from paris.protocol.errors import RecordError


@pytest.fixture
def earlier(tmp_path):
    """Folder and snapshot of the leg before."""
    folder, _ = make_leg(tmp_path / "earlier", 0, 10)
    (state,) = write_snapshots(folder, 10)
    return folder, state


@pytest.fixture
def leg(tmp_path, earlier):
    return make_leg(tmp_path / "unit", 10, 20, make_head(earlier[1]), attempt=2)


def serve(hub: FileHub, step: int = 10) -> None:
    for name, data in contents(step).items():
        hub.add(f"states/expert-0/step-{step:08d}/{name}.safetensors", data)


def there(folder) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.head.iterdir()}


def fetch(leg, downloader, ended=(), on_piece=lambda: None) -> int:
    folder, unit = leg
    return fetch_head(unit, folder, "org/model", downloader, ended, on_piece)


def test_the_three_files_are_fetched_and_verified(file_hub, downloader, leg):
    serve(file_hub)
    assert fetch(leg, downloader) == sum(map(len, contents(10).values()))
    assert there(leg[0]) == contents(10)
    assert fetch(leg, downloader) == 0
    assert len(file_hub.requests) == len(FILES)


def test_an_interrupted_download_goes_on_where_it_stopped(file_hub, downloader, leg, earlier):
    serve(file_hub)
    downloader.cache.part(earlier[1].files["ema"]).write_bytes(contents(10)["ema"][:100])
    assert fetch(leg, downloader) == sum(map(len, contents(10).values())) - 100
    assert there(leg[0]) == contents(10)
    assert ("states/expert-0/step-00000010/ema.safetensors", "bytes=100-") in file_hub.requests


def test_files_of_other_content_are_refused(file_hub, downloader, leg):
    serve(file_hub)
    file_hub.faults["states/expert-0/step-00000010/weights.safetensors"] = ["wrong", "wrong"]
    with pytest.raises(WrongHashError, match=r"weights\.safetensors of org/model"):
        fetch(leg, downloader)
    file_hub.files.clear()
    with pytest.raises(HubRefusedError):
        fetch(leg, downloader)


def test_who_trained_the_leg_before_fetches_nothing(file_hub, downloader, leg, earlier):
    assert fetch(leg, downloader, [earlier[0]]) == 0
    assert there(leg[0]) == contents(10)
    assert file_hub.requests == []
    kept = scheduled_folder(earlier[0].snapshots, 10) / "ema.safetensors"
    assert kept.samefile(leg[0].head / "ema.safetensors")


def test_a_kept_file_of_other_content_is_fetched_instead(file_hub, downloader, leg, earlier):
    serve(file_hub)
    kept = scheduled_folder(earlier[0].snapshots, 10) / "ema.safetensors"
    kept.write_bytes(bytes(kept.stat().st_size))
    assert fetch(leg, downloader, [earlier[0]]) == len(contents(10)["ema"])
    assert there(leg[0]) == contents(10)


def test_once_training_has_begun_nothing_is_fetched(file_hub, downloader, leg):
    write_snapshots(leg[0], 10)
    assert fetch(leg, downloader) == 0
    assert not leg[0].head.exists()
    assert file_hub.requests == []


def test_a_lease_that_is_lost_ends_the_download(file_hub, downloader, leg):
    serve(file_hub)

    def lost() -> None:
        raise LeaseLostError("too late.")

    with pytest.raises(LeaseLostError):
        fetch(leg, downloader, on_piece=lost)
    assert not leg[0].head.exists()


def test_a_head_that_names_other_files_is_refused(downloader, leg):
    folder, unit = leg
    twice = unit.task.head.files[0]
    head = unit.task.head.model_copy(update={"files": (twice, twice, unit.task.head.files[1])})
    unit = unit.model_copy(update={"task": unit.task.model_copy(update={"head": head})})
    with pytest.raises(RecordError, match="names states/expert-0"):
        fetch((folder, unit), downloader)


def test_a_lease_waits_for_the_record_of_its_start(tmp_path, leg):
    unit = leg[1]
    without = unit.task.model_copy(update={"head": None})
    older = unit.task.model_copy(update={"head": unit.task.head.model_copy(update={"step": 5})})
    assert has_start(unit.task, unit.lease)
    assert not has_start(without, unit.lease)
    assert not has_start(older, unit.lease)
    lease_after_a_withdrawn_head = unit.lease.model_copy(update={"attempt": unit.task.attempt + 1})
    assert not has_start(unit.task, lease_after_a_withdrawn_head)
    assert has_start(unit.task.model_copy(update={"attempt": unit.task.attempt + 1}), unit.lease), "a newer record"
    from_zero = unit.lease.model_copy(update={"start_step": 0})
    assert has_start(without, from_zero)
    assert head_of(unit.model_copy(update={"lease": from_zero})) is None
    assert has_start(without, unit.lease.model_copy(update={"start_step": None, "to_step": None}))
