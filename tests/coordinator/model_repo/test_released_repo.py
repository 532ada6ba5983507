"""A release on a Hub loads by its tag, and the program on its card runs as it is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from deadlines import DEADLINE_S
from hub_gate import MODELS, run_hub, running_hub
from huggingface_hub import ModelCard
from PIL import Image
from released_run import SIZE, prepared_run, release

from paris.coordinator.model_repo.card import release_card
from paris.coordinator.model_repo.tags import release_tag
from paris.coordinator.release.pictures import draw_pictures, remove_pictures
from paris.coordinator.state.model import State
from paris.experts.files import write_whole
from paris.experts.pipeline.drawing import draw
from paris.experts.release.model import load_model, local_folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub")) as server:
        run_hub(server.url).ensure_repos()
        yield server


@pytest.fixture(scope="module")
def released(tmp_path_factory, server):
    """A run whose release is on the Hub, with its tag."""
    made = prepared_run(tmp_path_factory.mktemp("released"))
    hub_table = made.config.hub.model_copy(update={"endpoint": server.url, "model_repo": MODELS})
    run = replace(made, config=made.config.model_copy(update={"hub": hub_table}))
    release(run)
    tag = release_tag(run.release, {})
    pictures = draw_pictures(run, load_model(run.release, device="cpu"))
    write_whole(run.release / "README.md", release_card(run, State(), tag, pictures).encode())
    for _ in range(2):  # the second time everything is there
        run_hub(server.url).upload_release(run.release, [], [tag, "v1"])
    return run, tag


def test_tags_name_the_commit_of_the_release(server, released):
    _, tag = released
    hub = run_hub(server.url)
    assert hub.tags() == {tag: hub.head(), "v1": hub.head()}
    assert [commit.title for commit in hub.api.list_repo_commits(MODELS)].count("Release") == 1


def test_a_release_is_loaded_by_its_tag_whatever_main_has(server, released, tmp_path):
    run, tag = released
    run_hub(server.url).upload_file("config.json", b"{}", "main goes on")
    folder = local_folder(MODELS, tag, server.url, cache_dir=tmp_path)
    pictures = [draw(load_model(place, device="cpu"), ["a red heart"], [3]) for place in (folder, run.release)]
    assert np.array_equal(*pictures)


def test_the_card_shows_what_the_model_drew(released):
    run, _ = released
    text = ModelCard.load(run.release / "README.md").text
    for name in ("samples.png", "routing.png"):
        assert f"]({name})" in text
        with Image.open(run.release / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5, "it is not blank"
    table = run.config.sampling
    with Image.open(run.release / "samples.png") as grid:
        rows, columns = min(4, len(table.prompts)), min(4, len(table.seeds))
        assert grid.size == (columns * SIZE * 16, rows * SIZE * 16)


def test_pictures_of_an_earlier_release_go_with_it(tmp_path):
    run = prepared_run(tmp_path)
    for name in ("samples.png", "routing.png", "own.png"):
        write_whole(run.release / name, b"picture")
    assert remove_pictures(run) == {}
    assert [path.name for path in run.release.iterdir()] == ["own.png"]


@pytest.mark.long
def test_the_program_on_the_card_runs_as_it_is_printed(released, tmp_path):
    run, _ = released
    program = ModelCard.load(run.release / "README.md").text.split("```python\n")[1].split("```")[0]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, timeout=DEADLINE_S)
    with Image.open(tmp_path / "sample.png") as picture:
        assert picture.size == (SIZE, SIZE)
