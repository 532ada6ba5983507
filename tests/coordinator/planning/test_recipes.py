"""The recipes for real work: their cost, and the whole way of their data with the real classes at tiny sizes."""

from __future__ import annotations

import io
import json
import logging
import socket
from pathlib import Path

import httpx2
import pytest
import tiny_pretrained

from paris.coordinator.cli.preparing import PrepareOptions, prepare_run
from paris.coordinator.errors import ConfigError
from paris.coordinator.planning import tables
from paris.coordinator.planning.build import make_plan
from paris.coordinator.planning.facts import facts_before, facts_of_run
from paris.coordinator.planning.recipes import recipe_rows
from paris.coordinator.planning.tables import print_recipes
from paris.coordinator.prepare.config import prepare_config
from paris.coordinator.prepare.errors import PretrainedError, SourceMissingError
from paris.coordinator.prepare.pretrained import _fetched, fetch_text_encoder, fetch_vae
from paris.coordinator.run.config import dump_config, load_recipe
from paris.coordinator.run.create import create_run
from paris.coordinator.run.description import make_spec
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.extending import recipe_names
from paris.coordinator.run.prepared_data import load_manifests, model_config
from paris.coordinator.run.shapes import router_shape
from paris.coordinator.service.tasks import open_tasks
from paris.experts.files import write_whole
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.router_training import RouterTrainingConfig

NAMES = ("red heart", "blue heart", "taxi", "bus", "tractor", "police car", "winking face", "nerd face")
TINY_LATENTS = """
[model]
overrides = {{ image_size = 8, patch_size = 2, hidden_size = 32, num_layers = 2, num_heads = 2 }}
[router]
overrides = {{ patch_size = 2, hidden_size = 32, num_layers = 1, num_heads = 2 }}
[pretrained]
vae = {vae}
text_encoder = {text_encoder}
[text]
dim = 16
max_tokens = 12
[compute]
device = "cpu"
[data]
image_size = 16
embedder = {dinov2}
view_px = 28
min_side_px = 16
heldout_rows = 1
source = {{ kind = "twemoji", names = {names}, heldout_names = [] }}
"""
TINY_PIXELS = """
[model]
overrides = {{ image_size = 16, hidden_size = 32, num_layers = 2, num_heads = 2 }}
[router]
overrides = {{ hidden_size = 32, num_layers = 1, num_heads = 2 }}
train_after = 2
[data]
image_size = 16
min_side_px = 16
heldout_rows = 1
source = {{ kind = "twemoji", names = {names}, heldout_names = [] }}
"""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    tiny_pretrained.write_vae(folder)
    tiny_pretrained.write_clip(folder, dim=16, max_tokens=12)
    for file in (folder / "tokenizer").iterdir():  # as on the Hub: beside the encoder
        file.rename(folder / "text_encoder" / file.name)
    tiny_pretrained.write_dinov2(folder)
    return folder


def tiny_run(folder: Path, name: str, networks: Path) -> RunDir:
    """A run of a recipe with everything of it but the sizes."""
    text = TINY_PIXELS if name == "small-64" else TINY_LATENTS
    paths = {each: json.dumps(str(networks / each)) for each in ("vae", "text_encoder", "dinov2")}
    head = f'extends = "{name}"\n[run]\nnum_experts = 2\n[tasks]\nsteps = 3\nmin_rows = 1\n[training]\nbatch_size = 2\n'
    (folder / "tiny.toml").write_text(head + text.format(**paths, names=json.dumps(NAMES)))
    return create_run(folder / "run", recipe=str(folder / "tiny.toml"))


def train(run: RunDir, work: Path) -> float:
    """All steps of the first expert, from the prepared shards, as a volunteer takes them."""
    spec, manifest = make_spec(run, []), load_manifests(run)[0]
    task = TrainingTask(
        run_id=run.run_id,
        seed=spec.seed,
        task_id="expert-0",
        model=model_config(run),
        training=TrainingConfig.from_settings(spec.training),
        text=TextConfig.from_settings(spec.text),
        codec=CodecConfig.from_settings(spec.codec),
        shard_rows=tuple(shard.rows for shard in manifest.shards),
    )
    paths = [run.data / shard.path for shard in manifest.shards]
    finished = ExpertTraining(task, work, paths.__getitem__, run.data).run(lambda _: None, lambda: False)
    assert finished.is_complete
    return finished.final_loss


@pytest.mark.parametrize("name", ["paris-256", "small-64", pytest.param("dit-b-256", marks=pytest.mark.long)])
def test_a_recipe_prepares_opens_tasks_and_trains(name: str, networks: Path, tmp_path: Path) -> None:
    run = tiny_run(tmp_path, name, networks)
    prepare_run(run, PrepareOptions(), as_json=False)
    assert open_tasks(run).num_tasks == 2
    assert 0 < train(run, tmp_path / "work") < 10
    plan = make_plan(facts_of_run(run))
    assert plan.is_prepared
    assert sum(plan.rows) == 6
    if name != "small-64":
        assert (run.data / "vae" / "config.json").is_file()
        assert facts_of_run(run).text.assumption == ""  # read from the encoder's own folder


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_complete(name: str) -> None:
    config = load_recipe(name)
    assert config.about is not None
    assert config.about.what
    assert config.about.pictures
    prepare_config({**config.data, "num_clusters": config.run.num_experts})
    TrainingConfig.from_settings({**config.expert_training, "steps": config.tasks.steps})
    table = config.router
    RouterTrainingConfig.from_settings({"steps": table.steps, "batch_size": table.batch_size, **table.training})
    assert router_shape(config, reads_prompt=False).num_clusters == config.run.num_experts
    plan = make_plan(facts_before(config, config.about.pictures))
    assert [problem for problem in plan.problems if problem.refuses] == []
    able = [card for card in plan.cards if card.expert_s is not None]
    assert config.tasks.deadline_s > 1.5 * max(card.expert_s for card in able)


def test_the_table_shows_them_by_cost() -> None:
    rows = recipe_rows()
    assert [row.name for row in rows] == ["emoji-quick", "emoji", "fashion", "small-64", "dit-b-256", "paris-256"]
    paris = rows[-1]
    assert (paris.num_experts, paris.image_size, paris.expert_parameters) == (8, 256, 605_970_448)
    small = rows[3]
    assert 2 * 3600 < small.cpu_s < 6 * 3600  # an afternoon
    assert "of a CPU" in small.cost
    assert "of a CPU" not in paris.cost


def test_the_papers_recipe_takes_the_days_that_the_paper_names() -> None:
    config = load_recipe("paris-256")
    plan = make_plan(facts_before(config, config.about.pictures))
    a40 = next(card for card in plan.cards if card.name == "A40")
    assert a40.experts_s / 86400 == pytest.approx(120, rel=0.02)


def test_networks_are_fetched_once_and_whole(networks: Path, tmp_path: Path) -> None:
    assert fetch_vae(str(networks / "vae"), tmp_path / "vae")
    assert not fetch_vae("nobody/nothing", tmp_path / "vae")
    (networks / "half").mkdir(exist_ok=True)
    (networks / "half" / "config.json").write_bytes((networks / "vae" / "config.json").read_bytes())
    with pytest.raises(PretrainedError, match="half cannot be fetched"):
        fetch_vae(str(networks / "half"), tmp_path / "other")
    with pytest.raises(PretrainedError, match="cannot be fetched"):
        fetch_text_encoder(str(networks / "vae"), "CLIPTextModel", tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vae"]


def test_a_hub_that_does_not_answer_is_named_as_such(tmp_path: Path) -> None:
    client = logging.getLogger("huggingface_hub.utils._http")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without a listener, it refuses

        def save(part: Path) -> None:
            try:
                httpx2.get(f"http://127.0.0.1:{taken.getsockname()[1]}", trust_env=False)
            except httpx2.HTTPError as error:  # as the libraries do
                assert not client.isEnabledFor(logging.WARNING)  # "Retrying in 8s [Retry 5/5]."
                raise OSError("a/b does not appear to have a file named config.json.") from error

        with pytest.raises(
            PretrainedError, match=r"a/b cannot be fetched: the Hub does not answer \(.*refused"
        ) as told:
            _fetched("a/b", tmp_path / "vae", save)
    assert "Check the network" in told.value.next_step
    assert client.isEnabledFor(logging.WARNING)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_source_is_told_before_any_network_is_fetched(networks: Path, tmp_path: Path) -> None:
    run = tiny_run(tmp_path, "paris-256", networks)
    data = {
        **run.config.data,
        "source": {"kind": "folder", "path": str(tmp_path / "gone"), "name": "x", "licence": "cc0"},
    }
    write_whole(run.path / "run.toml", dump_config(run.config.model_copy(update={"data": data})).encode())
    with pytest.raises(SourceMissingError, match="gone"):
        prepare_run(RunDir.open(run.path), PrepareOptions(), as_json=False)
    assert not (run.data / "vae").exists()


def test_the_table_has_every_word_of_a_recipe() -> None:
    out = io.StringIO()
    rows = recipe_rows()
    print_recipes(rows, out)
    cells = [line.split("\u2502")[2].strip() for line in out.getvalue().splitlines() if line.startswith("\u2502")]
    shown = "".join("".join(cells).split())
    for row in rows:
        assert "".join(row.what.split()) in shown


def test_a_terminal_of_80_columns_shows_recipes_in_whole_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_FILE_WIDTH", 80)
    out, rows = io.StringIO(), recipe_rows()
    print_recipes(rows, out)
    shown = out.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    for row in rows:
        assert f"{row.pictures:,} pictures of {row.image_size} px" in words
        assert all(" ".join(text.split()) in words for text in (row.what, row.hardware, row.cost))


def test_unknown_networks_are_refused_in_run_toml(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "paris-256"\n[pretrained]\nunet = "a/b"\n')
    with pytest.raises(ConfigError, match=r"pretrained\.unet"):
        load_recipe(str(tmp_path / "mine.toml"))
