"""What the node says and what it makes of what it hears."""

from __future__ import annotations

import hashlib
import threading
import time
from itertools import pairwise

import pytest
from test_node_unit import RUN, make_unit

from paris.coordinator.hub import HubServer, add_user, admin_token
from paris.node.errors import HubRefusedError, TaskTooBigError, TransientHubError, WrongHashError
from paris.node.fetching.shared_files import fetch_shared_files
from paris.node.hub.client import Hub
from paris.node.hub.pull_request import make_submission, title_of, upload
from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware, detect, require_fit
from paris.node.machine.unit import Finished, UnitFolder
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.coordinator_records import find_my_lease, is_complete, reason_to_stop, verdict_on_hub
from paris.node.work.data import _WINDOW_SHARDS
from paris.node.work.verdict import verdict_in_words
from paris.protocol.envelope import seal
from paris.protocol.records import Heartbeat, Lease, Rung, Verdict
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

ME = "a" * 64


class Ears:
    """Stands where the DHT is and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list = []
        self.answers = True
        self.news = threading.Condition()

    def publish(self, envelope) -> bool:
        with self.news:
            self.heard.append(envelope)
            self.news.notify_all()
        return self.answers

    def wait(self, count: int) -> list:
        with self.news:
            assert self.news.wait_for(lambda: len(self.heard) >= count, timeout=10)
            return list(self.heard)


def heartbeat(step: int, state: str = "training") -> Heartbeat:
    return Heartbeat(lease_id="0" * 32, task_id="expert-0", attempt=1, state=state, step=step)


def sealed_leases(*leases: Lease, coordinator: Identity) -> list:
    run_id = make_run_id("tiny", coordinator.public_key)
    now = time.time()
    return [
        seal(lease, coordinator, run_id=run_id, sequence=i, issued_at=now, expires_at=now + 60)
        for i, lease in enumerate(leases, 1)
    ]


def lease(attempt: int, state: str = "granted", volunteer: str = ME) -> Lease:
    return Lease(
        lease_id=f"{attempt:032x}",
        task_id="expert-0",
        attempt=attempt,
        volunteer=volunteer,
        granted_at=float(attempt),
        expires_at=1e9,
        state=state,
        reason="too late." if state == "revoked" else "",
    )


def test_a_republished_record_has_a_greater_sequence_and_a_later_expiry_and_outlives_four_periods():
    ears = Ears()
    announcer = Announcer(ears, Sealer(Identity.generate(), RUN), every_s=0.01)
    announcer.start()
    announcer.publish(heartbeat(1))
    ears.wait(3)
    announcer.publish(heartbeat(2), now=False)
    heard = ears.wait(len(ears.heard) + 2)
    announcer.stop()
    for earlier, later in pairwise(heard):
        assert later.sequence > earlier.sequence
        assert later.expires_at > earlier.expires_at
    assert heard[-1].payload.step == 2
    assert heard[0].expires_at - heard[0].issued_at >= 4 * 0.01


def test_a_dead_dht_stops_nothing_and_a_last_record_is_published_once():
    ears = Ears()
    ears.answers = False
    announcer = Announcer(ears, Sealer(Identity.generate(), RUN), every_s=3600)
    announcer.start()
    announcer.publish(heartbeat(1))
    ears.wait(1)
    assert announcer.last_accepted_at is None
    ears.answers = True
    assert announcer.publish_once(heartbeat(5, "failed"))
    assert announcer.last_accepted_at is not None
    announcer.stop()
    assert [envelope.payload.step for envelope in ears.heard] == [1, 5]


def test_my_lease_is_the_latest_that_is_granted_to_me_and_not_done_with(coordinator):
    other = "b" * 64
    leases = sealed_leases(lease(1), lease(2), lease(3, "revoked"), lease(4, volunteer=other), coordinator=coordinator)
    assert find_my_lease(leases, ME, set()).attempt == 2
    assert find_my_lease(leases, ME, {lease(2).lease_id}).attempt == 1
    assert find_my_lease(leases, "c" * 64, set()) is None


def test_only_a_record_that_says_so_takes_a_lease_back(coordinator):
    assert reason_to_stop([], lease(1)) is None
    assert reason_to_stop(sealed_leases(lease(1), lease(2, "revoked"), coordinator=coordinator), lease(1)) is None
    assert reason_to_stop(sealed_leases(lease(1, "revoked"), coordinator=coordinator), lease(1)) == "too late."


def test_a_run_is_complete_when_every_expert_is_registered(coordinator):
    def tasks(*states: str) -> list:
        records = [make_unit(f"expert-{i}").task.model_copy(update={"state": state}) for i, state in enumerate(states)]
        return sealed_leases(*records, coordinator=coordinator)

    assert not is_complete([], 1)
    assert not is_complete(tasks("registered"), 2)
    assert not is_complete(tasks("registered", "submitted"), 2)
    assert is_complete(tasks("registered", "registered"), 2)


def test_a_task_that_does_not_fit_says_what_is_missing():
    machine = Hardware("cpu", "small CPU", memory_bytes=2**30, disk_bytes=2**30)
    require_fit(make_unit().task, machine)
    for field, word in (("min_memory_bytes", "memory"), ("min_disk_bytes", "free disk")):
        task = make_unit().task.model_copy(update={field: 4 * 2**30})
        with pytest.raises(TaskTooBigError, match=rf"needs 4\.0 GiB of {word}.*has 1\.0 GiB"):
            require_fit(task, machine)


def test_the_volunteers_limits_are_what_is_declared(tmp_path):
    config = NodeConfig(device="cpu", memory_limit_bytes=2**30, cache_limit_bytes=2**21)
    hardware = detect(config, tmp_path / "not" / "yet")
    assert (hardware.device, hardware.memory_bytes, hardware.disk_bytes) == ("cpu", 2**30, 2**21)


def test_the_window_that_the_agent_assumes_is_the_trainers():
    from paris.experts.training.config import TrainingConfig

    assert TrainingConfig.model_fields["window_shards"].default == _WINDOW_SHARDS


def test_a_rejection_names_rung_figure_and_bound():
    rungs = (
        Rung(rung="structure", passed=True, figure=0.0, bound=0.0),
        Rung(rung="skill", passed=False, figure=1.25, bound=1.0, note="on held-out rows"),
    )
    verdict = Verdict(
        lease_id="0" * 32,
        task_id="expert-2",
        attempt=1,
        volunteer=ME,
        accepted=False,
        reason="Too little.",
        rungs=rungs,
    )
    expected = "expert-2: rejected at rung skill (1.25, the bound is 1). Too little. on held-out rows"
    assert verdict_in_words(verdict) == expected


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
    data = b"weights" * 1000
    finished = Finished(
        steps=10, final_loss=0.5, commitment="c" * 64, sha256=hashlib.sha256(data).hexdigest(), bytes=7000
    )
    run_id = make_run_id("tiny", coordinator.public_key)
    unit = folder.save(make_unit(state="uploading", finished=finished).model_copy(update={"run_id": run_id}))
    (folder.work / "expert.safetensors").write_bytes(data)
    return unit, folder


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


def test_the_vocabulary_is_fetched_once_and_a_wrong_one_refused(file_hub, downloader, make_spec, tmp_path):
    wanted = file_hub.add("vocab.json", b'["cat"]')
    text = {"kind": "vocabulary", "dim": 8, "max_tokens": 4, "path": "vocab.json", "sha256": wanted.sha256}
    spec = make_spec(text=text).payload
    for _ in range(2):
        fetch_shared_files(downloader, spec, "1" * 40, tmp_path / "text")
    assert (tmp_path / "text" / "vocab.json").read_bytes() == b'["cat"]'
    assert len(file_hub.requests) == 1
    file_hub.files["vocab.json"] = b'["dog"]'
    with pytest.raises(WrongHashError, match=r"vocab\.json of org/data"):
        fetch_shared_files(downloader, spec, "1" * 40, tmp_path / "other")
    file_hub.faults["vocab.json"] = [503]
    with pytest.raises(TransientHubError):
        fetch_shared_files(downloader, spec, "1" * 40, tmp_path / "other")


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a//b", ".ssh/id", "a/../b"])
def test_a_run_never_names_a_path_outside_its_folder(file_hub, downloader, make_spec, tmp_path, path):
    spec = make_spec(text={"kind": "vocabulary", "path": path}).payload
    with pytest.raises(HubRefusedError, match="not a plain relative path"):
        fetch_shared_files(downloader, spec, "1" * 40, tmp_path / "text")
    assert file_hub.requests == []
