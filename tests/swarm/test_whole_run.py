"""A whole run by the commands that a person types, with the accidents that real runs have."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx2
import pytest
from attacks_on_the_hub import ON_THE_HUB
from attacks_on_the_run import ON_THE_RUN
from deadlines import DEADLINE_S
from recorded_network import off_loopback
from swarm import (
    TINY,
    all_gone,
    command,
    record_network,
    recorded,
    status,
    wait_until,
    warm_recipe,
)

from benchmarks.browser import Browser, find_chromium
from paris.coordinator.run.config import WARM_START_BOUNDS, load_config
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.reading import read_state

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder whose file `network` records the look-ups and connections of all processes of this module."""
    folder = tmp_path_factory.mktemp("whole-run")
    with pytest.MonkeyPatch.context() as patch:
        record_network(patch, folder / "network")
        yield folder


@pytest.fixture(scope="module")
def prepared(folder):
    """With a warm start, so that experts that began from one are fetched, trained, judged and released."""
    run, recipe = folder / "run", folder / "warm.toml"
    recipe.write_text(warm_recipe())
    for arguments in (("init", str(run), "--recipe", str(recipe)), ("prepare", str(run)), ("warm-start", str(run))):
        result = command("paris-coord", *arguments)
        assert result.returncode == 0, result.stderr
    return run


@pytest.fixture(scope="module")
def finished(folder, prepared, crew):
    """Everything until both experts are registered: a volunteer that waits for tasks and is killed and started again,
    another that is left alone, and a coordinator that is killed and started again."""
    run, serve = prepared, ("paris-coord", "serve", str(prepared), "--json")
    join = ("paris-node", "join", str(run / "run.json"), "--threads", "1", "--device", "cpu", "--json")
    ada_joins = (*join, "--home", str(folder / "ada"), "--name", "ada")
    coordinator = crew("coordinator", *serve)
    wait_until(run.joinpath("run.json").is_file, DEADLINE_S, "run.json")
    ada = crew("ada", *ada_joins)
    waited = wait_until(lambda: ada.event("waiting"), DEADLINE_S, "ada waits for a task")
    assert command("paris-coord", "publish-tasks", str(run)).returncode == 0
    ben = crew("ben", *join, "--home", str(folder / "ben"), "--name", "ben")
    wait_until(lambda: (ada.event("snapshot") or {}).get("step", 0) >= 30, DEADLINE_S, "ada's first snapshot")
    for process in (ada, coordinator):
        lost = process.tree()
        process.kill()
        wait_until(lambda lost=lost: all_gone(lost), DEADLINE_S, "trainer, daemon and Hub end with their parent")
    coordinator = crew("coordinator", *serve)
    ada = crew("ada", *ada_joins)
    wait_until(lambda: status(run)["complete"], DEADLINE_S, "both experts registered")
    wait_until(lambda: status(run)["router"]["phase"] == "done", DEADLINE_S, "the router trained")
    return {"run": run, "coordinator": coordinator, "ada": ada, "ben": ben, "waited": waited, "folder": folder}


def test_a_join_without_an_open_task_waits_and_says_so(finished):
    assert finished["waited"]["text"].startswith("The coordinator has published no task yet")


def test_a_killed_volunteer_and_a_restarted_coordinator_finish_the_run_with_one_attempt_each(finished):
    now = status(finished["run"])
    assert [task["state"] for task in now["tasks"]] == ["registered", "registered"]
    assert [task["attempt"] for task in now["tasks"]] == [1, 1]
    assert {task["volunteer"] for task in now["tasks"]} == {"ada", "ben"}
    assert all(s["verdict"]["accepted"] for s in now["submissions"])
    assert {rung["rung"] for s in now["submissions"] for rung in s["verdict"]["rungs"]} == {
        "envelope",
        "structure",
        "novelty",
        "skill",
    }


def test_experts_from_a_common_start_are_judged_by_its_bounds(finished):
    rungs = [rung for s in status(finished["run"])["submissions"] for rung in s["verdict"]["rungs"]]
    skill = [rung for rung in rungs if rung["rung"] == "skill"]
    assert len(skill) == 2
    assert {rung["bound"] for rung in skill} == {WARM_START_BOUNDS["min_gain"]}
    assert not (finished["run"] / "warm-start").exists()


def test_volunteers_end_by_themselves_when_the_run_is_complete(finished):
    for name in ("ada", "ben"):
        assert finished[name].popen.wait(DEADLINE_S) == 0
        assert finished[name].event("done")


def test_volunteers_spoke_with_the_coordinator_directly(finished):
    for name in ("ada", "ben"):
        log = (finished["folder"] / name / "logs" / "node.log").read_text("utf-8")
        assert "Records go to the coordinator by: line." in log


def test_the_trainer_opened_no_network_socket(finished):
    told = finished["ben"].event("traffic")
    assert (told["trainer_sockets"], told["trainer_refused"]) == (0, 0)


def test_a_second_coordinator_on_one_run_is_refused(finished):
    result = command("paris-coord", "serve", str(finished["run"]))
    assert result.returncode == 61
    assert "already serves" in result.stderr
    assert "Traceback" not in result.stderr


def test_registered_experts_are_distilled_before_any_release(finished):
    run, out = finished["run"], finished["folder"] / "student"
    result = command("paris-coord", "distill", str(run), "--out", str(out), "--steps", "3", "--json")
    assert result.returncode == 0, result.stderr
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert told[-1]["event"] == "distilled"
    assert [digest[:12] for digest in told[-1]["teachers"]] == [task["sha256"][:12] for task in status(run)["tasks"]]


def released_tag(run) -> str:
    """The tag that the release's card names."""
    card = (run / "release" / "README.md").read_text("utf-8")
    return card.split('revision="')[1].split('"')[0]


def test_a_release_is_made_loaded_and_sampled_from(finished):
    run, out = finished["run"], finished["folder"] / "heart.png"
    released = command("paris-coord", "release", str(run), "--tag", "v1")
    assert released.returncode == 0, released.stderr
    card = (run / "release" / "README.md").read_text("utf-8")
    assert "trained on all clusters for 40 steps" in card
    assert "license: cc-by-4.0" in card
    assert "](samples.png)" in card
    assert released_tag(run).startswith("release-")
    sampled = command("paris-coord", "sample", "a red heart", "--model", str(run / "release"), "--out", str(out))
    assert sampled.returncode == 0, sampled.stderr
    assert out.read_bytes().startswith(b"\x89PNG")


def is_answered(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=DEADLINE_S).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.long
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed on this machine")
def test_a_release_is_ordered_in_a_browser_and_made_although_the_coordinator_is_killed(finished, crew):
    run = finished["run"]
    url = f"{load_config(run).hub.endpoint}/run"
    token = (run / "keys" / "page.token").read_text("utf-8").strip()
    with Browser(DEADLINE_S) as browser:
        browser.resize(1200, 800)
        browser.open(url)
        browser.wait_for("document.getElementById('release')?.href")
        browser.open(browser.value("document.getElementById('release').href"))
        browser.value("document.getElementById('token').focus()")
        browser.type(token)
        browser.press("Enter")
        browser.wait_for("document.querySelector('[role=status].reason')?.textContent.startsWith('Ordered.')")
        wait_until(lambda: read_state(RunDir.open(run)).release.note, DEADLINE_S, "the release has begun")
        lost = finished["coordinator"].tree()
        finished["coordinator"].kill()
        wait_until(lambda: all_gone(lost), DEADLINE_S, "the release ends with the coordinator")
        assert read_state(RunDir.open(run)).release.phase == "making"
        finished["coordinator"] = crew("coordinator", "paris-coord", "serve", str(run), "--json")
        wait_until(lambda: is_answered(url), DEADLINE_S, "the page is back")
        browser.open(url)
        browser.wait_for("document.getElementById('released')?.textContent.startsWith('release-')")
        made = browser.value("document.getElementById('released').textContent")
        assert made == released_tag(run)
        browser.open(browser.value("document.getElementById('released').href"))
        browser.wait_for("document.body.textContent.includes('expert_0')")
        assert browser.problems == []
    assert f"The model is released as {made}." in (run / "logs" / "coordinator.log").read_text("utf-8")


def test_a_release_is_sampled_from_over_the_hub_too(finished):
    run, out = finished["run"], finished["folder"] / "bus.png"
    endpoint = load_config(run).hub.endpoint
    cache = {"HF_HOME": str(finished["folder"] / "hf")}
    remote = ("--model", "paris/tiny", "--endpoint", endpoint, "--revision", released_tag(run), "--seeds", "1")
    sampled = command("paris-coord", "sample", "a bus", *remote, "--out", str(out), env=cache)
    assert sampled.returncode == 0, sampled.stderr
    local = finished["folder"] / "local.png"
    command("paris-coord", "sample", "a bus", "--model", str(run / "release"), "--seeds", "1", "--out", str(local))
    assert out.read_bytes() == local.read_bytes()


def test_the_router_is_trained_again_by_the_running_service_on_what_the_experts_draw(finished):
    asked = ("--from-samples", "--samples-per-expert", "8")
    result = command("paris-coord", "train-router", str(finished["run"]), *asked)
    assert result.returncode == 0, result.stderr
    assert "The running service trains the router." in result.stderr
    report = json.loads((finished["run"] / "router" / "report.json").read_text("utf-8"))
    assert (report["trained_on"], report["judged_on"]) == ("samples", "data")
    assert status(finished["run"])["router"]["from_samples"] is True


def test_the_report_measures_what_it_says(finished):
    out = finished["folder"] / "report"
    result = command("paris-coord", "report", str(finished["run"]), "--out", str(out))
    assert result.returncode == 0, result.stderr
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert (report["recognition"]["kind"], report["recognition"]["num_captions"]) == ("own", 16)
    assert report["recognition"]["chance"] == pytest.approx(1 / 16)
    assert len(report["router"]["accuracy_by_noise"]) == 10
    assert set(report["curves"]) == {"expert-0", "expert-1"}
    pictures = ("samples.png", "nearest.png", "training.png", "clusters.png")
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert "| expert-0 |" in (out / "report.md").read_text("utf-8")


def test_no_command_looks_up_or_connects_to_anything_but_its_run(finished):
    folder, run = finished["folder"], str(finished["run"])
    home, spec = ("--home", str(folder / "ada")), str(finished["run"] / "run.json")
    for arguments in (
        ("paris-coord", "recipes"),
        ("paris-coord", "clusters", run),
        ("paris-coord", "dropped", run),
        ("paris-node", "identity", "show", *home),
        ("paris-node", "status", *home),
        ("paris-node", "doctor", spec, *home),
        ("paris-node", "leave", spec, *home),
    ):
        result = command(*arguments)
        assert result.returncode == 0, (arguments, result.stderr)
    assert off_loopback(recorded(folder / "network")) == []


def test_attacks_on_the_served_run_get_as_far_as_the_catalogue_says(finished):
    player = TINY.with_name("attacks") / "attacks_on_the_run.py"
    attacks = {attack.name: attack for attack in (*ON_THE_RUN, *ON_THE_HUB)}
    arguments = [sys.executable, "-W", "ignore", str(player), str(finished["run"] / "run.json"), *attacks]
    played = subprocess.run(arguments, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert played.returncode == 0, played.stderr
    outcomes = [json.loads(line) for line in played.stdout.splitlines()]
    got = {outcome["attack"]: outcome["refused_by"] for outcome in outcomes}
    assert got == {name: attack.caught_by or "" for name, attack in attacks.items()}
