"""Card and tags of the model repo on a real Hub: there from the first minute, and changed only with the state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from deadlines import DEADLINE_S
from hub_gate import DATA, MODELS, OWNER_TOKEN, Gate, run_hub, running_hub, wait_until
from huggingface_hub import ModelCard
from tick_world import PEOPLE, relay

from paris.coordinator.children import Children
from paris.coordinator.errors import RunDirError
from paris.coordinator.model_repo.card import progress_card
from paris.coordinator.model_repo.keeping import ModelRepo
from paris.coordinator.model_repo.released import Released, read_released, write_released
from paris.coordinator.model_repo.tags import release_tag, tags_of
from paris.coordinator.release.assemble import publish_release
from paris.coordinator.run.create import create_run
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.service.startup import make_executor
from paris.coordinator.state.model import State
from paris.protocol.run_records import Registration
from paris.protocol.sealer import Sealer
from paris.protocol.work_records import Rung

PATH = "expert_0/diffusion_pytorch_model.safetensors"

SKILL = Rung(rung="skill", passed=True, figure=0.4321, bound=0.1)


@pytest.fixture
def server(tmp_path):
    with running_hub(tmp_path / "hub") as server:
        run_hub(server.url).ensure_repos()
        yield server


@pytest.fixture
def run(tmp_path):
    return create_run(tmp_path / "run", recipe="emoji")


@pytest.fixture
def hub(server):
    return run_hub(server.url)


def card_on(hub) -> ModelCard:
    with TemporaryDirectory() as folder:
        return ModelCard.load(hub.download("README.md", Path(folder), "main"))


def registered(state: State, commit: str, digit: str = "a") -> State:
    """The state with its one expert registered."""
    leg = next(iter(state.submissions.values()))
    registration = Registration(
        task_id="expert-0", cluster=0, repo=MODELS, commit=commit, path=PATH, sha256=digit * 64, bytes=1, steps=1000,
        volunteer=leg.signer, volunteer_name="v0", lease_id=leg.submission.lease_id,
    )  # fmt: skip
    return State(
        tasks={"expert-0": state.tasks["expert-0"].registered(registration)},
        leases=state.leases,
        submissions=state.submissions,
    )


def heads_at(state: State, commit: str) -> State:
    """The state with its kept heads at a commit that the Hub has."""
    legs = {
        lease_id: known.model_copy(update={"head": known.head and known.head.model_copy(update={"commit": commit})})
        for lease_id, known in state.submissions.items()
    }
    task = state.tasks["expert-0"]
    head = task.task.head.model_copy(update={"commit": commit})
    moved = task.model_copy(update={"task": task.task.model_copy(update={"head": head})})
    return State(tasks={"expert-0": moved}, leases=state.leases, submissions=legs)


def test_a_run_without_any_work_has_a_card_that_says_how_to_join(run, hub):
    ModelRepo(run, hub).update(State())
    card = card_on(hub)
    assert "paris-node join paris/emoji" in card.text
    assert "0 of 4 experts are registered" in card.text
    info = hub.api.model_info(MODELS)
    assert {"paris", f"run:{run.run_id}", "license:cc-by-4.0", f"dataset:{run.config.hub.data_repo}"} <= set(info.tags)
    assert (info.library_name, info.pipeline_tag) == ("paris-swarm", "text-to-image")


def test_a_licence_that_the_hub_does_not_know_is_named_beside_other(run):
    table = run.config.run.model_copy(update={"licence": "House Licence 2"})
    card = ModelCard(progress_card(replace(run, config=run.config.model_copy(update={"run": table})), State(), None))
    assert (card.data.license, card.data.license_name) == ("other", "house-licence-2")


def test_nothing_is_committed_while_nothing_changes_and_neither_after_a_restart(run, hub, server):
    state = heads_at(relay(3), hub.head())
    repo = ModelRepo(run, hub)
    repo.update(state)
    head, refs = hub.head(), hub.tags()
    with Gate(server.port) as gate:
        for again in (repo, ModelRepo(run, run_hub(gate.url))):
            again.update(state)
            assert again.shows(state) == repo.shows(state)
        assert not any("upload" in path or "/commit/" in path for _, path in gate.seen)
    assert (hub.head(), hub.tags()) == (head, refs)
    table = [line for line in card_on(hub).text.splitlines() if "600 of 1,000" in line]
    assert "`expert-0/step-00000600`" in table[0]
    assert f"`v0` (`{PEOPLE[0].public_key[:12]}`)" in table[0]
    assert "/discussions/" in table[0]


def test_tags_follow_the_states_that_are_kept_and_leave_other_tags_alone(run, hub):
    first = hub.head()
    hub.set_tag("mine", first, replaces=False)
    hub.set_tag("expert-0/step-00000999", first, replaces=False)
    repo, state = ModelRepo(run, hub), heads_at(relay(2), first)
    repo.update(state)
    assert hub.tags() == {"mine": first, "expert-0/step-00000200": first, "expert-0/step-00000400": first}
    done = registered(state, hub.head())
    assert repo.shows(done) != repo.shows(state)
    repo.update(done)
    assert hub.tags()["expert-0/step-00001000"] == done.tasks["expert-0"].registration.commit
    again = registered(state, first, "b")
    repo.update(again)
    assert hub.tags()["expert-0/step-00001000"] == first


def test_a_new_leg_changes_the_tags_at_once_and_the_card_by_tenths_of_the_run(run, hub):
    repo, state = ModelRepo(run, hub), heads_at(relay(2), hub.head())
    repo.update(state)
    head = hub.head()
    task = state.tasks["expert-0"]
    further = task.task.head.model_copy(update={"step": 410})
    moved = task.model_copy(update={"task": task.task.model_copy(update={"head": further})})
    next_state = State(tasks={"expert-0": moved}, leases=state.leases, submissions=state.submissions)
    assert repo.shows(next_state) != repo.shows(state)
    repo.update(next_state)
    assert hub.head() == head
    assert "expert-0/step-00000410" in hub.tags()


def test_measured_values_are_the_model_index(run, hub):
    state = registered(heads_at(relay(2), hub.head()), hub.head())
    done = state.submissions[state.tasks["expert-0"].registration.lease_id]
    rungs = (Rung(rung="novelty", passed=True, figure=0.1, bound=0.9), SKILL)
    judged = done.model_copy(update={"verdict": done.verdict.model_copy(update={"rungs": rungs})})
    measured = {**state.submissions, done.submission.lease_id: judged}
    ModelRepo(run, hub).update(State(tasks=state.tasks, leases=state.leases, submissions=measured))
    results = card_on(hub).data.eval_results
    assert [(r.metric_type, r.metric_value, r.dataset_config) for r in results] == [
        ("skill", SKILL.figure, "cluster-000")
    ]
    assert hub.api.model_info(MODELS).card_data.eval_results == results
    assert ": novelty, skill |" in card_on(hub).text


def test_the_card_of_a_release_stays_until_other_experts_are_registered(run, hub):
    state = registered(heads_at(relay(2), hub.head()), hub.head())
    repo = ModelRepo(run, hub)
    repo.update(state)
    run.release.mkdir()
    (run.release / "README.md").write_text("---\nlicense: mit\n---\nthe release\n")
    before = repo.shows(state)
    write_released(run, Released(tag="release-0123456789ab", experts=("a" * 64,)))
    hub.set_tag("release-0123456789ab", hub.head(), replaces=False)
    assert repo.shows(state) != before
    for one in (repo, ModelRepo(run, hub)):
        one.update(state)
        assert card_on(hub).text.strip() == "the release"
    ModelRepo(run, hub).update(registered(state, hub.head(), "b"))
    assert "The last release, of earlier experts, is [`release-0123456789ab`]" in card_on(hub).text


class KilledHub(RunHub):
    """The program ends before, or after, the upload of the release."""

    uploads = False

    def upload_release(self, folder: Path, leave_out: list[str], tags: Sequence[str]) -> None:
        if self.uploads:
            super().upload_release(folder, leave_out, tags)
        raise KeyboardInterrupt


@pytest.mark.parametrize("uploads", [False, True])
def test_the_card_stays_when_a_release_is_killed_at_its_upload(run, hub, server, monkeypatch, uploads):
    state = registered(heads_at(relay(2), hub.head()), hub.head())
    ModelRepo(run, hub).update(state)
    before = card_on(hub).text
    run.release.mkdir()
    (run.release / "README.md").write_text("---\nlicense: mit\n---\nthe release\n")
    monkeypatch.setattr(KilledHub, "uploads", uploads)
    released = Released(tag="release-0123456789ab", experts=("a" * 64,))
    with pytest.raises(KeyboardInterrupt):
        publish_release(run, KilledHub(server.url, OWNER_TOKEN, MODELS, DATA), released, [], [released.tag])
    ModelRepo(run, hub).update(state)
    assert card_on(hub).text.strip() == ("the release" if uploads else before.strip())
    ModelRepo(run, hub).update(registered(state, hub.head(), "b"))
    assert (released.tag in card_on(hub).text) == uploads


def test_a_damaged_record_of_the_release_is_named(run):
    assert read_released(run) is None
    for damaged in ("{", '{"version": 2, "tag": "release-1", "experts": []}'):
        run.released.write_text(damaged)
        with pytest.raises(RunDirError, match=r"released\.json.*Release again"):
            read_released(run)


def test_a_hub_that_refuses_is_a_line_in_the_log_and_tried_again_later(run, server):
    problems, clock = [], [0.0]
    with Gate(server.port) as gate:
        hub, children = run_hub(gate.url), Children(run.logs)
        executor = make_executor(run, None, hub, Sealer(run.identity, run.run_id), children, problems.append)
        executor._clock = lambda: clock[0]
        gate.instead = lambda method, path: 403 if "/commit/" in path else None
        executor.show(State())
        wait_until(lambda: executor.results() == [] and problems, DEADLINE_S, "the Hub has refused")
        assert "answered 403" in problems[0].text
        executor.show(State())
        assert not executor._in_flight, "it waits"
        gate.instead, clock[0] = lambda method, path: None, 3.0
        executor.show(State())
        wait_until(lambda: executor.results() == [] and not executor._in_flight, DEADLINE_S, "the card is there")
        asked = len(gate.seen)
        executor.show(State())
        executor.stop()
        assert (len(gate.seen), len(problems)) == (asked, 1)
    assert "0 of 4" in card_on(run_hub(server.url)).text


def test_the_same_files_have_the_same_tag_whatever_their_card_says(tmp_path):
    (tmp_path / "router").mkdir()
    for name in ("config.json", "README.md", "router/config.json"):
        (tmp_path / name).write_text("{}")
    tag = release_tag(tmp_path, {})
    (tmp_path / "README.md").write_text("other")
    (tmp_path / "samples.png").write_bytes(b"picture")
    assert release_tag(tmp_path, {}) == tag
    assert release_tag(tmp_path, {"config.json": "0" * 64}) != tag
    (tmp_path / "router" / "config.json").write_text("[]")
    assert release_tag(tmp_path, {}) != tag


def test_a_run_of_lanes_has_the_tags_of_its_experts_own_tasks():
    state = relay(2)
    assert set(tags_of(state)) == {"expert-0/step-00000200", "expert-0/step-00000400"}
    lane = State(
        tasks=state.tasks,
        submissions={
            lease_id: known.model_copy(
                update={"submission": known.submission.model_copy(update={"task_id": "expert-0.1"})}
            )
            for lease_id, known in state.submissions.items()
        },
    )
    assert set(tags_of(lane)) == {"expert-0/step-00000400"}
