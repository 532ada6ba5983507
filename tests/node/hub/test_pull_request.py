"""A submission as one pull request, and the verdict in its comments."""

from __future__ import annotations

import time

import pytest
from units import finish, make_unit

from paris.coordinator.hub import HubServer, add_user, admin_token
from paris.node.hub.client import Hub
from paris.node.hub.pull_request import make_submission, title_of, upload
from paris.node.machine.unit import UnitFolder
from paris.node.swarm.coordinator_records import verdict_on_hub
from paris.protocol.envelope import seal
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.work_records import Verdict

ME = "a" * 64


@pytest.fixture(scope="module")
def hub_server(tmp_path_factory):
    from huggingface_hub import HfApi

    folder = tmp_path_factory.mktemp("hub")
    with HubServer(folder) as server:
        add_user(folder, "ada", "a-token-of-ada-for-tests")
        HfApi(endpoint=server.url, token=admin_token(folder)).create_repo("org/model")
        server.admin = HfApi(endpoint=server.url, token=admin_token(folder))
        yield server


@pytest.fixture
def finished_unit(tmp_path, coordinator):
    folder = UnitFolder(tmp_path / "unit")
    run_id = make_run_id("tiny", coordinator.public_key)
    return finish(folder, make_unit().model_copy(update={"run_id": run_id}), b"weights" * 1000), folder


def test_uploading_twice_makes_one_pull_request(hub_server, finished_unit):
    unit, folder = finished_unit
    me = Identity.generate()
    hub = Hub(hub_server.url, "a-token-of-ada-for-tests")
    submission = make_submission(unit, folder, Sealer(me, unit.run_id), name="ada", repo="org/model")
    later = Sealer(me, unit.run_id, lambda: time.time() + 5)
    again = make_submission(unit, folder, later, name="ada", repo="org/model")
    assert submission == again
    first = upload(hub, unit, folder, submission, me.public_key)
    assert upload(hub, unit, folder, submission, me.public_key) == first
    titles = [d.title for d in hub_server.admin.get_repo_discussions("org/model")]
    assert titles.count(title_of(unit, "ada")) == 1
    assert len(first.commit) == 40


def test_a_pull_request_without_the_files_is_filled_not_doubled(hub_server, finished_unit):
    unit, folder = finished_unit
    unit = unit.model_copy(update={"lease": unit.lease.model_copy(update={"lease_id": "f" * 32})})
    me = Identity.generate()
    hub = Hub(hub_server.url, "a-token-of-ada-for-tests")
    submission = make_submission(unit, folder, Sealer(me, unit.run_id), name="ada", repo="org/model")
    empty = hub.api.create_discussion("org/model", title_of(unit, "ada"), pull_request=True)
    made = upload(hub, unit, folder, submission, me.public_key)
    assert made.number == empty.num
    assert upload(hub, unit, folder, submission, me.public_key) == made


def test_a_verdict_in_a_comment_counts_only_with_the_runs_signature(hub_server, coordinator):
    run_id = make_run_id("tiny", coordinator.public_key)
    verdict = Verdict(
        lease_id="e" * 32, task_id="expert-0", attempt=1, volunteer=ME, accepted=True, reason="Good.", rungs=()
    )
    hub = Hub(hub_server.url, "a-token-of-ada-for-tests")
    number = hub.api.create_discussion("org/model", "mine", pull_request=True).num
    seen = {"run_id": run_id, "coordinator": coordinator.public_key, "lease_id": verdict.lease_id}

    def comment(who: Identity) -> None:
        now = time.time()
        sealed = seal(verdict, who, run_id=run_id, sequence=1, issued_at=now, expires_at=now + 60)
        hub.api.comment_discussion("org/model", number, f"**Accepted**\n\nparis-verdict: {sealed.data.decode()}\n")

    comment(Identity.generate())
    assert verdict_on_hub(hub, "org/model", number, **seen) is None
    comment(coordinator)
    assert verdict_on_hub(hub, "org/model", number, **seen) == verdict
