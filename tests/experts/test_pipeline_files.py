"""A pipeline into a folder and out again, and folders that are refused."""

import json
import shutil

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import load_file, save_file
from tiny_models import tiny_expert
from tiny_pipeline import tiny_pipeline

from paris.experts import ParisPipeline
from paris.experts.errors import CheckpointError, LayoutError, SettingsError
from paris.experts.models.prompt_router import PromptRouter, PromptRouterConfig
from paris.experts.objectives.objectives import Objective, as_velocity
from paris.experts.pipeline.drawing import draw
from paris.experts.release.model import load_model
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings

SAMPLING = SamplingSettings(
    num_steps=3, guidance=Guidance(scale=2.0), routing=Routing.named("top2"), solver="ab2", time_shift=2.0
)


def make_pipeline(**change):
    torch.manual_seed(1)
    experts = [
        tiny_expert(0),
        as_velocity(tiny_expert(1), Objective(kind="epsilon", schedule="linear")),
        tiny_expert(2),
    ]
    prompts = PromptRouter(PromptRouterConfig(text_embed_dim=10, hidden_size=6, num_clusters=3)).eval()
    return tiny_pipeline(experts=experts, prompt_router=prompts, sampling=SAMPLING, **change)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    make_pipeline(name="Tiny", dataset_name="org/data").save_pretrained(folder)
    return folder


def load(folder, **change):
    pipeline = ParisPipeline.from_pretrained(folder, device="cpu", **change)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def latents_of(pipeline):
    return pipeline(["red dog", "blue"], generator=3, output_type="latent").images


def test_a_saved_pipeline_loads_back_equal_with_experts_of_different_objectives(saved):
    loaded = load(saved)
    assert torch.equal(latents_of(loaded), latents_of(make_pipeline()))
    assert loaded.sampling == SAMPLING
    assert (loaded.config.name, loaded.config.dataset_name, loaded.name_or_path) == ("Tiny", "org/data", str(saved))
    assert loaded.scheduler is None
    assert loaded.vae is None
    assert loaded.tokenizer is None


@pytest.mark.parametrize("resident", [1, 2])
def test_few_resident_experts_draw_the_same_and_are_saved_the_same(saved, tmp_path, resident):
    few = load(saved, max_resident_experts=resident)
    assert torch.equal(latents_of(few), latents_of(make_pipeline()))
    assert len(few.experts.resident) <= resident
    few.save_pretrained(tmp_path / "again")
    for path in sorted(saved.rglob("*")):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(saved)).read_bytes() == path.read_bytes(), path.name


def test_a_dtype_is_loaded_kept_when_saved_and_changed_in_place(saved, tmp_path):
    half = load(saved, torch_dtype=torch.bfloat16, max_resident_experts=2)
    assert half.dtype == torch.bfloat16
    made = latents_of(half)
    half.save_pretrained(tmp_path / "half")
    names = ["expert_2/diffusion_pytorch_model.safetensors", "router/pytorch_model.safetensors"]
    assert {tensor.dtype for name in names for tensor in load_file(tmp_path / "half" / name).values()} == {
        torch.bfloat16
    }
    assert torch.equal(latents_of(load(tmp_path / "half", dtype=torch.bfloat16)), made)
    assert (made - latents_of(half.to(torch.float32))).abs().max() > 0
    assert torch.equal(latents_of(half), latents_of(with_rounded_router(load(saved))))


def with_rounded_router(pipeline):
    """A router that was rounded and has come back; the experts of a bank come from their files again."""
    pipeline.router.to(torch.bfloat16).to(torch.float32)
    return pipeline


def test_a_scheduler_is_saved_loaded_and_left_out_again(tmp_path):
    folder = tmp_path / "model"
    scheduled = make_pipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=2.5))
    scheduled.save_pretrained(folder)
    loaded = load(folder)
    assert loaded.scheduler.shift == 2.5
    assert json.loads((folder / "model_index.json").read_text())["scheduler"][1] == "FlowMatchEulerDiscreteScheduler"
    assert torch.equal(latents_of(loaded), latents_of(scheduled))
    loaded.scheduler = None
    loaded.save_pretrained(folder)
    assert load(folder).scheduler is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"_class_name": "AutoencoderKL"}, "'AutoencoderKL', which is no scheduler"),
        ({"_class_name": "os.system"}, "'os.system', which is no scheduler"),
        ({"_class_name": "DDIMScheduler"}, "DDIMScheduler as configured is no flow-match scheduler"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "time_shift_type": "sideways"}, "time_shift_type"),
    ],
)
def test_a_scheduler_file_from_anybody_names_no_other_class(saved, tmp_path, fields, message):
    shutil.copytree(saved, tmp_path / "model")
    (tmp_path / "model" / "scheduler").mkdir()
    (tmp_path / "model" / "scheduler" / "scheduler_config.json").write_text(json.dumps(fields))
    with pytest.raises(LayoutError, match=message):
        load(tmp_path / "model")


def spoil_expert(folder, value):
    path = folder / "expert_1" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["text_proj.bias"][3] = value
    save_file(weights, path)


def split_expert(folder):
    path = folder / "expert_1" / "diffusion_pytorch_model.safetensors"
    weights = list(load_file(path).items())
    for part, tensors in ((1, weights[:5]), (2, weights[5:])):
        save_file(dict(tensors), path.with_name(f"diffusion_pytorch_model-{part:05d}-of-00002.safetensors"))
    path.with_name(path.name + ".index.json").write_text(json.dumps({"metadata": {}, "weight_map": {}}))
    path.unlink()


def set_field(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda f: spoil_expert(f, float("nan")), CheckpointError, "expert_1.*'text_proj.bias'.*not finite"),
        (split_expert, LayoutError, "safetensors.index.json splits the weights over several files.*Join them"),
        (lambda f: shutil.rmtree(f / "expert_1"), LayoutError, "lacks expert_1"),
        (lambda f: set_field(f / "router" / "config.json", num_clusters=4), LayoutError, "knows 4 experts.* has 3"),
        (
            lambda f: set_field(f / "config.json", num_experts=2),
            LayoutError,
            "num_experts 2, but also a folder expert_2",
        ),
        (lambda f: set_field(f / "config.json", image_size=16), CheckpointError, "'pos_embed' is"),
        (lambda f: set_field(f / "config.json", sampling={"routing": "best"}), LayoutError, "'best'"),
        (
            lambda f: set_field(f / "expert_0" / "config.json", architecture="unet"),
            LayoutError,
            "architecture is 'unet'",
        ),
        (lambda f: (f / "vocab.json").unlink(), Exception, "vocab.json cannot be read"),
    ],
)
def test_a_folder_with_a_fault_is_refused_by_name(saved, tmp_path, spoil, error, message):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    spoil(folder)
    with pytest.raises(error, match=message):
        load(folder)


def test_a_fault_of_an_expert_that_is_not_yet_resident_is_named_when_it_comes(saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    spoil_expert(folder, float("inf"))
    pipeline = load(folder, max_resident_experts=1)
    with pytest.raises(CheckpointError, match=r"expert_1.*not finite"):
        pipeline("red", routing="full", output_type="latent")


def test_no_resident_expert_is_refused(saved):
    with pytest.raises(SettingsError, match="max_resident_experts is 0"):
        load(saved, max_resident_experts=0)


def test_a_folder_with_more_experts_is_not_written_over(saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    (folder / "expert_3").mkdir()
    with pytest.raises(LayoutError, match="holds more than 3 experts"):
        make_pipeline().save_pretrained(folder)
    assert (folder / "config.json").is_file()


def test_a_model_draws_without_a_pipeline_what_the_pipeline_draws(saved):
    model, steps = load_model(saved, device="cpu"), []
    made = draw(model, ["red dog", "blue"], [3, 4], on_step=steps.append)
    pictures = load(saved)(["red dog", "blue"], generator=3, output_type="np").images
    assert (made == (pictures * 255).round()).all()
    assert len(steps) == SAMPLING.num_steps
    settings = model.sampling.with_overrides(num_steps=1, routing="top1")
    assert draw(model, ["red"], [3], settings).shape == (1, 8, 8, 3)
