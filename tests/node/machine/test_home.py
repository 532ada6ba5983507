"""Where a home keeps what, which of its units is the one to go on with, and what a unit says of its lease."""

from __future__ import annotations

import pytest
from legs import make_leg
from units import RUN, make_unit

from paris.node.machine.home import Home
from paris.node.machine.unit import Finished, FinishedFile, place_of
from paris.protocol.audit_order import AuditOrder

OTHER_RUN = "tiny-fedcba9876543210"
ADDRESS = "https://hub.example/org/data?token=secret"


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def test_homes_of_earlier_versions_are_found_again_since_the_names_stay(home, tmp_path):
    run = tmp_path / "runs" / RUN
    assert (home.identity, home.cache, home.log) == (
        tmp_path / "identity.key", tmp_path / "cache", tmp_path / "logs" / "node.log",
    )  # fmt: skip
    assert (home.run_folder(RUN), home.text_folder(RUN)) == (run, run / "text")
    assert (home.invite(RUN), home.want_work(RUN)) == (run / "invite", run / "want-work")
    folder = home.unit_folder(RUN, "expert-3", 2)
    assert folder.path == run / "expert-3-2"
    assert (folder.lease, folder.log) == (folder.path / "lease.json", folder.path / "trainer.log")
    assert (folder.work, folder.ahead) == (folder.path / "work", folder.path / "ahead")
    assert (folder.snapshots, folder.head) == (folder.work / "snapshots", folder.work / "head")
    home.pin(RUN, "a" * 64)
    assert (run / "coordinator.pub").read_text("ascii") == "a" * 64 + "\n"
    folder.save(make_unit())
    folder.set_unreported(True)
    assert sorted(path.name for path in folder.path.iterdir()) == ["give-back-unreported", "unit.json", "work"]


def join(home: Home, run_id: str) -> None:
    home.run_folder(run_id).mkdir(parents=True, exist_ok=True)
    (home.run_folder(run_id) / "run.json").write_text("{}")


def test_an_address_leads_to_the_joined_run_that_it_named_last_and_is_not_readable(home):
    home.note_address(ADDRESS, RUN)
    assert home.run_at(ADDRESS) is None, "the run was not joined"
    join(home, OTHER_RUN)
    join(home, RUN)
    assert home.run_ids() == [RUN, OTHER_RUN]
    assert (home.run_at(ADDRESS), home.run_at("org/data")) == (RUN, None)
    home.note_address("org/data", RUN)
    home.note_address(ADDRESS, OTHER_RUN)
    assert (home.run_at(ADDRESS), home.run_at("org/data")) == (OTHER_RUN, RUN)
    written = home.path / "addresses.json"
    assert "secret" not in written.read_text("utf-8")
    before = written.stat().st_ino
    home.note_address(ADDRESS, OTHER_RUN)
    assert written.stat().st_ino == before, "nothing new was said"


@pytest.mark.parametrize("content", ["[]", "{", "[" * 3000])
def test_damaged_addresses_are_as_none_and_are_replaced(home, content):
    join(home, RUN)
    (home.path / "addresses.json").write_text(content)
    assert home.run_at(ADDRESS) is None
    home.note_address(ADDRESS, RUN)
    assert home.run_at(ADDRESS) == RUN


def test_the_oldest_unfinished_unit_is_gone_on_with(home):
    for task_id, since in (("expert-0", 30.0), ("expert-1", 10.0), ("expert-2", 20.0)):
        unit = make_unit(task_id).model_copy(update={"history": (("leased", since), ("fetching", 99.0))})
        home.unit_folder(RUN, task_id, 1).save(unit)
    unknown = make_unit("expert-3", state="done").model_copy(update={"history": ()})
    home.unit_folder(RUN, "expert-3", 1).save(unknown)
    (home.run_folder(RUN) / "expert-4-1").mkdir()
    order = [unit.task.task_id for _, unit in home.units(RUN)]
    assert order == ["expert-3", "expert-1", "expert-2", "expert-0"]
    assert home.unfinished(RUN)[1].task.task_id == "expert-1"


def test_a_unit_names_its_task_and_attempt_and_an_audit_names_what_it_audits(tmp_path):
    unit = make_unit(attempt=3)
    assert (unit.label, unit.is_leg, unit.start_step, unit.end_step) == ("expert-0-3", False, 0, unit.task.steps)
    _, leg = make_leg(tmp_path / "leg", 10, 20)
    assert (leg.is_leg, leg.start_step, leg.end_step) == (True, 10, 20)
    audit = leg.model_copy(update={"lease": leg.lease.model_copy(update={"audit": AuditOrder(nonce="0" * 64)})})
    assert (place_of(audit.lease), audit.label) == ("audit-expert-0", "audit-expert-0-1")


def test_a_lease_that_was_given_up_is_remembered_until_the_coordinator_knows(home):
    folder = home.unit_folder(RUN, "expert-0", 1)
    folder.save(make_unit())
    assert not folder.is_unreported
    folder.set_unreported(True)
    assert home.unit_folder(RUN, "expert-0", 1).is_unreported
    folder.set_unreported(False)
    folder.set_unreported(False)
    assert not folder.is_unreported


def test_a_state_is_entered_once_however_often_the_unit_is_saved_in_it(home):
    folder = home.unit_folder(RUN, "expert-0", 1)
    unit = folder.save(make_unit())
    again = folder.advance(unit, "leased", repo="org/data")
    assert (again.history, again.repo) == (unit.history, "org/data")
    assert [state for state, _ in folder.advance(again, "dropped").history] == ["leased", "dropped"]


def test_the_bytes_to_upload_are_those_of_all_files():
    files = tuple(
        FinishedFile(name=name, path=name, sha256="0" * 64, bytes=count) for name, count in (("a", 3), ("b", 4))
    )
    assert Finished(steps=1, final_loss=1.0, commitment="c" * 64, files=files).num_bytes == 7
