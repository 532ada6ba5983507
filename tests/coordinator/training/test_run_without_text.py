"""A run whose experts read no text, from a folder of pictures to drawn ones, by the commands of the organiser."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer.testing
from PIL import Image

from paris.coordinator.children import Children
from paris.coordinator.cli.app import app
from paris.coordinator.run.config import dump_config, load_recipe, parse_config
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run_hub.connect import connect_hub
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.store import Store
from paris.coordinator.verify import VerificationBounds, VerificationCase
from paris.coordinator.verify.claims import training_loss
from paris.coordinator.verify.scoring import Scoring, SecretRows
from paris.experts.data.shards import ShardFile
from paris.experts.files import file_sha256
from paris.experts.models.model import initial_expert
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import FLOW_MATCHING
from paris.experts.weights.checkpoint import load_tensors, specs_of
from paris.node.trainer.task import make_training
from paris.protocol.hub_layout import expert_path
from paris.protocol.run_records import Registration
from paris.protocol.work_records import Lease

TINY = Path(__file__).parents[2] / "swarm" / "tiny.toml"
SIZE, CAPTIONED = 16, "a caption"


def pictures(folder: Path) -> Path:
    """Discs and stripes; one in four has a caption."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    for number in range(48):
        picture = np.full((32, 32, 3), 255, np.uint8)
        x, y = rng.integers(10, 22, 2)
        inside = (columns - x) ** 2 + (rows - y) ** 2 < 60 if number % 2 else (columns + x) % 8 < 4
        picture[inside] = (220, 30, 2 * number) if number % 2 else (2 * number, 60, 200)
        Image.fromarray(picture).save(folder / f"{number:02d}.png")
        if number % 4 == 0:
            (folder / f"{number:02d}.txt").write_text(CAPTIONED)
    return folder


def recipe(folder: Path, **tables: dict[str, object]) -> Path:
    """The swarm's tiny recipe on these pictures, without text unless `tables` says otherwise."""
    fields = load_recipe(str(TINY)).model_dump(mode="json", exclude_none=True)
    changes: dict[str, dict[str, object]] = {
        "text": {"kind": "none"},
        "model": {"preset": "dit-emoji-4", "overrides": {**fields["model"]["overrides"], "image_size": SIZE}},
        "tasks": {**fields["tasks"], "steps": 80},
        "data": {"image_size": SIZE, "heldout_rows": 6, "source": {"kind": "folder", "path": str(folder)}},
        "sampling": {"num_steps": 3, "routing": "ancestral"},
    }
    config = parse_config(dump_config(type(load_recipe(str(TINY))).model_validate({**fields, **changes, **tables})), "")
    path = folder.with_suffix(".toml")
    path.write_text(dump_config(config))
    return path


def paris_coord(*words: object, rc: int = 0):
    done = typer.testing.CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == rc, done.output or done.exception
    return done


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("silent")
    paris_coord("init", folder / "run", "--recipe", recipe(pictures(folder / "pictures")))
    paris_coord("prepare", folder / "run")
    paris_coord("publish-tasks", folder / "run")
    return RunDir.open(folder / "run")


@pytest.fixture(scope="module")
def trained(prepared):
    """The experts' weights, trained by the code of a node from what the run publishes."""
    spec = make_spec(prepared, [])
    paths = []
    for state in Store(prepared.state_file).load().tasks.values():
        task, cluster = state.task, state.task.cluster
        shards = sorted((prepared.data / "shards" / f"cluster-{cluster:03d}").iterdir())
        order = {
            **{name: getattr(spec, name) for name in ("seed", "training", "model", "text", "codec", "initial_weights")},
            **{name: getattr(task, name) for name in ("task_id", "steps", "batch_size", "objective")},
            "run_id": prepared.run_id,
            "shards": [{"path": str(path), "rows": ShardFile(path).num_rows} for path in shards],
            "work": str(prepared.path / task.task_id),
            "text_folder": str(prepared.path / "nothing"),
            "threads": 1,
        }
        finished = make_training(order, "cpu", lambda: False).run(lambda _: None, lambda: False)
        paths.append((finished.weights_path, finished.final_loss))
    return paths


@pytest.fixture(scope="module")
def released(prepared, trained):
    """The run after `train-router` and `release`, its experts registered on its own Hub."""
    children = Children(prepared.logs)
    try:
        hub = connect_hub(prepared, children)
        hub.ensure_repos()
        registered = {}
        store = Store(prepared.state_file)
        old = store.load()
        for (task_id, state), (path, _) in zip(old.tasks.items(), trained, strict=True):
            place = expert_path(state.task.cluster)
            hub.upload_file(place, path.read_bytes(), f"Register {task_id}")
            registration = Registration(
                **{"task_id": task_id, "cluster": state.task.cluster, "repo": hub.model_repo, "commit": hub.head()},
                **{"path": place, "sha256": file_sha256(path), "bytes": path.stat().st_size, "steps": state.task.steps},
                **{"volunteer": "a" * 64, "volunteer_name": "ada", "lease_id": "b" * 32},
            )
            registered[task_id] = state.registered(registration)
        store.save(old, replace(old, tasks=registered), [Event(EventKind.OPENED, "registered")], time.time())
        store.close()
    finally:
        children.stop()
    paris_coord("train-router", prepared.path)
    paris_coord("release", prepared.path)
    return prepared


def test_rows_are_taken_with_and_without_a_caption(prepared):
    record = json.loads((prepared.data / "prepared.json").read_text())
    assert record["dropped"] == {}
    assert (record["text"], record["config"]["captions"]) == ({}, False)
    captions = [
        caption for path in (prepared.data / "shards").rglob("*.parquet") for caption in ShardFile(path).captions
    ]
    captions += [caption for path in prepared.heldout_files for caption in ShardFile(path).captions]
    assert sorted(captions) == [""] * 36 + [CAPTIONED] * 12
    assert not (prepared.data / "vocab.json").exists()
    assert "36 pictures in 2 clusters" in (prepared.data / "README.md").read_text()


def test_a_run_with_text_still_drops_the_rows_without_a_caption(prepared, tmp_path):
    folder = prepared.path.with_name("pictures")
    text = {"text": {"kind": "vocabulary", "dim": 8, "max_tokens": 4}, "run": {"name": "told", "num_experts": 1}}
    toml = recipe(folder, **text, router={"preset": "router-emoji-4", "steps": 1})
    paris_coord("init", tmp_path / "run", "--recipe", toml)
    done = paris_coord("prepare", tmp_path / "run")
    assert "Left out: 36 no caption" in done.stderr


def test_the_published_run_names_no_text(prepared):
    spec = make_spec(prepared, [])
    assert spec.text == {"kind": "none"}
    assert (spec.model["text_embed_dim"], spec.model["max_text_tokens"]) == (0, 0)
    assert spec.training["caption_dropout"] == 0.0


def test_the_verification_measures_skill_on_rows_without_captions(prepared, trained):
    spec, tasks = make_spec(prepared, []), list(Store(prepared.state_file).load().tasks.values())
    config, task = ModelConfig.from_settings(spec.model), tasks[0].task
    lease = Lease(
        **{"lease_id": "c" * 32, "task_id": task.task_id, "attempt": 1, "volunteer": "a" * 64},
        **{"granted_at": 1.0, "expires_at": 2.0},
    )
    case = VerificationCase(
        **{"run_id": prepared.run_id, "coordinator": prepared.identity.public_key, "run": spec, "task": task},
        **{"lease": lease, "submission": "", "received_at": 1.5, "hub_endpoint": "", "work_dir": prepared.verify},
        heldout=tuple(prepared.heldout_files),
        shards=tuple(sorted((prepared.data / "shards" / "cluster-000").iterdir())),
        **{"text_folder": prepared.data, "seed": 1, "bounds": VerificationBounds(heldout_draws=2, claim_rows=32)},
    )
    scoring, start = Scoring(SecretRows.of(case), config), initial_expert(config, spec.seed).state_dict()
    own, other = (load_tensors(path, specs_of(start)) for path, _ in trained)
    before, after, foreign = (
        float(scoring.losses(weights, [0], FLOW_MATCHING)[0].mean()) for weights in (start, own, other)
    )
    assert after < 0.7 * before
    assert after < foreign
    assert math.isclose(training_loss(case, scoring, own, task.steps), trained[0][1], rel_tol=0.3)
    assert scoring.shuffled_losses(own, 0, FLOW_MATCHING) is None


def test_the_release_has_no_text_encoder_and_no_prompt_router(released):
    assert not (released.router / "prompt_router.json").exists()
    root = json.loads((released.release / "config.json").read_text())
    assert (root["text"]["kind"], root["prompt_router"]) == ("none", None)
    card = (released.release / "README.md").read_text()
    assert "pipeline_tag: unconditional-image-generation" in card
    assert "take no prompt" in card
    assert 'pipeline().images[0].save("sample.png")' in card


def test_sampling_takes_no_prompt(released, tmp_path):
    model = ("--model", released.release, "--out", tmp_path / "grid.png", "--device", "cpu")
    done = paris_coord("sample", *model, "--seeds", 6, "--json", "--routing-plot", tmp_path / "plot.svg")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (6 * 128, 128)
    summary = json.loads(done.stdout)
    assert (summary["prompts"], summary["guidance"]["scale"]) == ([], 1.0)
    assert "<!-- seed 5 -->" in (tmp_path / "plot.svg").read_text()
    (tmp_path / "grid.png").unlink()
    for words, problem in (
        (("a disc",), "prompt is 'a disc', but this model was trained without captions"),
        (("--negative", "grey"), "negative_prompt is 'grey'"),
        (("--guidance", 2), "guidance_scale is 2.0, but this model reads no text"),
    ):
        done = typer.testing.CliRunner().invoke(app, list(map(str, ("sample", *words, *model))))
        assert problem in str(done.exception)
        assert not (tmp_path / "grid.png").exists()


def test_a_router_learns_from_samples_and_a_student_from_the_experts(released, tmp_path):
    paris_coord("train-router", released.path, "--from-samples", "--samples-per-expert", 8)
    assert json.loads((released.router / "report.json").read_text())["trained_on"] == "samples"
    done = paris_coord("distill", released.path, "--out", tmp_path / "student", "--steps", 2, "--batch-size", 4)
    assert f"Next: paris-coord sample --model {tmp_path / 'student'}" in done.stderr
    paris_coord("sample", "--model", tmp_path / "student", "--out", tmp_path / "one.png", "--seeds", 1)


def test_its_report_needs_no_prompt(released, tmp_path):
    paris_coord("report", released.path, "--out", tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["router"]["num_clusters"] == 2
    assert report["recognition"]["kind"] == "none"
    assert report["nearest"]["num_samples"] == report["nearest"]["num_rows"]
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
