"""`paris-coord distill` on two experts that were really trained, one of which predicts noise."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer.testing
from deadlines import DEADLINE_S
from PIL import Image
from released_run import SIZE, prepared_run, release

from paris.coordinator.cli.app import app
from paris.coordinator.errors import NotReadyError, RunDirError
from paris.coordinator.model_repo.card import release_card
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.model import State
from paris.coordinator.training.distill import DistillRequest, distill_run
from paris.experts.data.shards import Row, ShardFile, write_shard
from paris.experts.errors import LayoutError, ShardError, SnapshotError
from paris.experts.release.layout import read_layout

STEPS = 160


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    run = prepared_run(tmp_path_factory.mktemp("released"), snapshot_every=40)
    release(run)
    return run


@pytest.fixture
def run(released, tmp_path):
    """A copy that a test may damage."""
    return RunDir.open(Path(shutil.copytree(released.path, tmp_path / "run")))


def distil(run, out, **options):
    distill_run(run, DistillRequest(out=out, **options), lambda: False, as_json=True)


@pytest.fixture(scope="module")
def student(released, tmp_path_factory):
    """The model's folder, trained in one go."""
    out = tmp_path_factory.mktemp("student") / "model"
    distil(released, out, steps=STEPS)
    return out


def weights(model: Path) -> bytes:
    return (model / "expert_0" / "diffusion_pytorch_model.safetensors").read_bytes()


def test_the_student_is_nearly_as_good_as_each_expert_on_its_own_cluster(student):
    facts = json.loads((student / "distilled.json").read_text())
    assert (facts["steps"], facts["batch_size"], len(facts["teachers"])) == (STEPS, 4, 2)
    assert facts["heldout"]["student"] < 1.5 * facts["heldout"]["experts"]
    assert len(facts["heldout"]["clusters"]) == 2
    assert not (student / ".distilling").exists()


def test_its_folder_is_a_release_of_one_expert_with_card_and_defaults(student, released):
    layout, teachers = read_layout(student), read_layout(released.release)
    assert (layout.num_experts, layout.name, layout.prompt_router) == (1, "tiny-distilled", None)
    assert layout.sampling.routing.name == "top1"
    assert layout.sampling.num_steps == teachers.sampling.num_steps
    card = (student / "README.md").read_text()
    assert "- distilled" in card
    # The Hub would show a snippet by DiffusionPipeline, which does not know this pipeline.
    assert "library_name: paris-swarm" in card
    assert all(digest in card for digest in json.loads((student / "distilled.json").read_text())["teachers"])


def test_the_program_on_its_card_runs_beside_it(student):
    program = (student / "README.md").read_text().split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-c", program], cwd=student.parent, check=True, timeout=DEADLINE_S)
    with Image.open(student.parent / "sample.png") as picture:
        assert picture.size == (SIZE, SIZE)


def test_the_program_on_a_release_s_card_names_model_hub_and_prompt_whatever_they_hold(released):
    config = released.config
    prompt = 'a "red"\nheart \\'
    sampling = config.sampling.model_copy(update={"prompts": [prompt]})
    run = replace(released, config=config.model_copy(update={"sampling": sampling}))
    program = release_card(run, State(), "release-1", {}).split("```python\n")[1].split("```")[0]
    literals = {node.value for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Constant)}
    assert literals == {config.hub.model_repo, config.hub.endpoint, prompt, "sample.png", 0, "release-1"}


def test_pictures_are_drawn_from_it(student, tmp_path):
    out = tmp_path / "one.png"
    words = ("sample", "a red heart", "--model", student, "--out", out, "--seeds", 2, "--device", "cpu", "--json")
    done = typer.testing.CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["share_of_experts"] == [1.0]
    with Image.open(out) as grid:
        assert grid.size == (2 * SIZE * 16, SIZE * 16)


def command(run: RunDir, out: Path) -> subprocess.Popen:
    words = ("distill", run.path, "--out", out, "--steps", STEPS, "--json")
    return subprocess.Popen(
        [sys.executable, "-m", "paris.coordinator.cli.app", *map(str, words)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_killed_command_resumes_to_the_same_model(released, student, tmp_path):
    with command(released, tmp_path / "model") as killed:
        for line in killed.stdout:
            if json.loads(line)["step"] > 40:
                break
        killed.kill()
        assert killed.wait(DEADLINE_S) == -9
    assert not (tmp_path / "model" / "distilled.json").exists()
    with command(released, tmp_path / "model") as resumed:
        events = [json.loads(line) for line in resumed.communicate(timeout=DEADLINE_S)[0].splitlines()]
    assert resumed.returncode == 0
    assert events[0]["step"] >= 40
    assert events[-1]["event"] == "distilled"
    assert weights(tmp_path / "model") == weights(student)


def test_a_finished_student_is_not_trained_again(student, released, capsys):
    before = (student / "distilled.json").stat().st_mtime_ns
    distil(released, student, steps=STEPS)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in events] == ["distilled"]
    assert (student / "distilled.json").stat().st_mtime_ns == before


def test_a_folder_with_another_model_is_left_unchanged(student, released):
    with pytest.raises(RunDirError, match="other experts or with other settings"):
        distil(released, student, steps=STEPS + 1)
    with pytest.raises(RunDirError, match="not distilled here"):
        distil(released, released.release, steps=STEPS)
    assert not (released.release / ".distilling").exists()


def test_snapshots_of_other_settings_are_left_unchanged(released, tmp_path, capsys):
    stops = iter([False] * 3 + [True])
    request = DistillRequest(out=tmp_path, steps=STEPS, max_resident_experts=1)
    distill_run(released, request, lambda: next(stops), as_json=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["event"] == "stopped"
    assert [path.name for path in (tmp_path / ".distilling" / "snapshots").iterdir()] == ["pause-00000004"]
    with pytest.raises(SnapshotError, match="other settings"):
        distil(released, tmp_path, steps=STEPS, batch_size=2)


def test_without_release_and_registrations_the_tasks_are_named(run, tmp_path):
    shutil.rmtree(run.release)
    with pytest.raises(NotReadyError, match="Not registered yet: any task"):
        distil(run, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_missing_shard_is_named(run, tmp_path):
    (run.data / "shards/cluster-001/shard-00000.parquet").unlink()
    with pytest.raises(NotReadyError, match=r"1 of 3 shards are missing, such as .*cluster-001/shard-00000"):
        distil(run, tmp_path / "model")


def test_a_shard_with_other_rows_than_its_manifest_says_is_refused(run, tmp_path):
    shutil.copy(
        run.data / "shards/cluster-000/shard-00001.parquet", run.data / "shards/cluster-000/shard-00000.parquet"
    )
    with pytest.raises(ShardError, match="has 18 rows, the manifest says 30"):
        distil(run, tmp_path / "model")


def test_shards_of_another_shape_are_refused(run, tmp_path):
    path = run.data / "shards/cluster-000/shard-00000.parquet"
    shard = ShardFile(path)
    rows = [
        Row(str(i), shard.latents[i][:, :4, :4].copy(), shard.captions[i], "", "", "", "", "")
        for i in range(shard.num_rows)
    ]
    write_shard(path, rows, (3, 4, 4), "uint8")
    with pytest.raises(ShardError, match=r"rows of shape \[3, 4, 4\], the model reads \[3, 8, 8\]"):
        distil(run, tmp_path / "model")


def test_a_release_of_another_number_of_experts_is_refused(run, student, tmp_path):
    shutil.rmtree(run.release)
    shutil.copytree(student, run.release)
    with pytest.raises(LayoutError, match=r"has 1 experts, run.toml says 2"):
        distil(run, tmp_path / "model")


def test_a_run_that_is_not_prepared_says_so(run, tmp_path):
    (run.data / "prepared.json").unlink()
    with pytest.raises(RunDirError, match="no prepared data"):
        distil(run, tmp_path / "model")
