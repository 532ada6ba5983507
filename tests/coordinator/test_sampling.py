"""`paris-coord sample` on a small untrained model."""

import json

import numpy as np
import pytest
import typer.testing
from PIL import Image
from tiny_release import write_tiny_release

from paris.coordinator.cli.app import app
from paris.coordinator.release.sample import ModelSource, SampleRequest, sample_to_file
from paris.experts.errors import ExpertError, SamplingError
from paris.experts.sampling.trace import RoutingTrace


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_tiny_release(tmp_path_factory.mktemp("sampling")))


def run(*words):
    return typer.testing.CliRunner().invoke(app, ["sample", *map(str, words)])


def test_a_grid_a_plot_and_one_line_of_json_come_out(model, tmp_path):
    out, plot = tmp_path / "grid.png", tmp_path / "routing.svg"
    trace = tmp_path / "trace.json"
    files = ("--routing-plot", plot, "--trace", trace)
    options = ("--seeds", 2, "--seed", 5, "--steps", 3, "--guidance", 1.5, "--solver", "ab2", "--routing", "full")
    bounded = ("--max-experts", 2, "--negative", "red", "--max-resident-experts", 1, "--device", "cpu")
    done = run("red heart", "heart", "--model", model, "--out", out, *files, "--json", *options, *bounded)
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert (summary["seeds"], summary["steps"], summary["solver"]) == ([5, 6], 3, "ab2")
    assert (summary["guidance"]["scale"], summary["routing"]["max_experts"]) == (1.5, 2)
    assert summary["experts_per_picture"] == 2.0
    assert sum(summary["share_of_experts"]) == pytest.approx(1, abs=1e-3)
    with Image.open(out) as grid:
        assert grid.size == (256, 256)
    assert "red heart, seed 6" in plot.read_text()
    traced = RoutingTrace.from_json(trace.read_text())
    assert (len(traced.times), list(traced.weights.shape), summary["trace"]) == (3, [3, 4, 3], str(trace))
    assert [round(share, 4) for share in traced.summary().share] == summary["share_of_experts"]


def test_without_json_messages_and_prompt_warnings_are_on_stderr(model, tmp_path):
    done = run("red dragon", "--model", model, "--out", tmp_path / "one.jpg", "--seeds", 1)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "Note: 1 words are not in the vocabulary and left out: dragon." in done.stderr
    assert "Wrote" in done.stderr
    assert "Experts' shares: 0: " in done.stderr


def test_a_picture_depends_on_its_prompt_and_seed_alone(model, tmp_path):
    both, one = tmp_path / "both.png", tmp_path / "one.png"
    for prompts, seeds, out in ((["heart", "red"], [1, 2], both), (["red"], [2], one)):
        request = SampleRequest(ModelSource(model, device="cpu"), prompts, seeds)
        sample_to_file(request, out, routing_plot=None, as_json=True)
    corner = np.asarray(Image.open(both))[128:, 128:]
    assert np.abs(corner.astype(int) - np.asarray(Image.open(one))).max() <= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--routing", "best"), "Unknown routing 'best'"),
        (("--solver", "rk4"), "Unknown solver 'rk4'"),
        (("--out", "grid.gif"), "'grid.gif'"),
        (("--routing-plot", "plot.txt"), "'plot.txt'"),
    ],
)
def test_an_unknown_setting_is_named_and_nothing_is_written(model, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    done = run("red", "--model", model, *words)
    assert isinstance(done.exception, SamplingError)
    assert message in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ExpertError, match=r"no folder \./nowhere"):
        sample_to_file(
            SampleRequest(ModelSource("./nowhere"), ["red"], [0]), tmp_path / "x.png", routing_plot=None, as_json=True
        )
