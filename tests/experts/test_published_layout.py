"""A repo as it was published, in small: its own config files, CLIP, VAE; sampled by ours and by a plain loop."""

import json
import shutil

import numpy as np
import pytest
import torch
from plain_paris import PlainExpert, PlainRouter, scramble
from safetensors.torch import load_file, save_file
from tiny_pretrained import write_clip, write_vae

from paris.experts import ModelConfig, ParisPipeline, RouterConfig
from paris.experts.errors import CheckpointError, CodecError, TextError
from paris.experts.frozen.text import PromptWarning
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings

DIM, STEPS, SCALE, EXPERTS = 16, 4, 7.5, 8
SIZES = {"image_size": 8, "in_channels": 4, "patch_size": 2, "num_layers": 2, "num_heads": 2}
MODEL = ModelConfig(**SIZES, hidden_size=16, text_embed_dim=DIM, max_text_tokens=77)
ROUTER = RouterConfig(**SIZES, hidden_size=8, num_clusters=EXPERTS)


def published_fields(**fields):
    return json.dumps(
        {
            "architecture": "dit",
            "num_layers": 2,
            "num_heads": 2,
            "patch_size": 2,
            "in_channels": 4,
            "use_dit_time_embed": True,
            **fields,
        }
    )


def write_expert_config(folder, k):
    fields = published_fields(
        model_type="dit_expert",
        expert_id=k,
        hidden_size=16,
        out_channels=4,
        mlp_ratio=4.0,
        use_text_conditioning=True,
        use_class_conditioning=False,
        num_classes=1000,
        text_embed_dim=DIM,
        use_adaln_single=True,
        cfg_dropout_prob=0.1,
    )
    (folder / "config.json").write_text(fields)
    index = {"_class_name": "DiTExpert", "_diffusers_version": "0.21.0", "expert_id": k}
    (folder / "model_index.json").write_text(json.dumps(index))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder, and the plain models whose weights are in it."""
    folder = tmp_path_factory.mktemp("published")
    write_clip(folder, DIM, 77)
    write_vae(folder)
    root = {
        "model_name": "Paris",
        "num_experts": EXPERTS,
        "experiment_name": "dit_xl2_multi_expert_pretrained_text",
        "dataset_name": "LAION-Aesthetic",
        "image_size": 8,
        "num_channels": 4,
        "expert_architecture": "dit",
        "router_architecture": "dit",
        "use_latents": True,
        "vae_name": "stabilityai/sd-vae-ft-mse",
        "text_encoder_name": "openai/clip-vit-large-patch14",
    }
    (folder / "config.json").write_text(json.dumps(root))
    index = {
        "_class_name": "DDMPipeline",
        "_diffusers_version": "0.21.0",
        "num_experts": EXPERTS,
        "expert_architecture": "dit",
        "router_architecture": "dit",
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    experts, router = [scramble(PlainExpert(MODEL), k) for k in range(EXPERTS)], scramble(PlainRouter(ROUTER), 9)
    for k, expert in enumerate(experts):
        (folder / f"expert_{k}").mkdir()
        write_expert_config(folder / f"expert_{k}", k)
        save_file(expert.state_dict(), folder / f"expert_{k}" / "diffusion_pytorch_model.safetensors")
    (folder / "router").mkdir()
    fields = published_fields(model_type="router", hidden_size=8, num_clusters=EXPERTS)
    (folder / "router" / "config.json").write_text(fields)
    save_file(router.state_dict(), folder / "router" / "pytorch_model.safetensors")
    return folder, experts, router


@pytest.fixture(scope="module")
def pipeline(published):
    loaded = ParisPipeline.from_pretrained(published[0], device="cpu")
    loaded.set_progress_bar_config(disable=True)
    return loaded


@torch.no_grad()
def plain_sample(folder, experts, router, prompt, noise, num_chosen):
    """One picture at a time, one expert at a time, with and without text apart, as the public port does it."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    text, null = [
        encoder(
            tokenizer([words], padding="max_length", max_length=77, return_tensors="pt").input_ids
        ).last_hidden_state
        for words in (prompt, "")
    ]
    every, x = torch.ones(1, 77, dtype=torch.bool), noise
    for step in range(STEPS):
        t = torch.tensor([1 - step / STEPS])
        best, index = router(x, t).softmax(1)[0].topk(num_chosen)
        velocity = 0
        for share, k in zip(best / best.sum(), index, strict=True):
            with_text, without = experts[k](x, t, text, every), experts[k](x, t, null, every)
            velocity = velocity + share * (without + SCALE * (with_text - without))
        x = x - velocity / STEPS
    return vae.decode(x / 0.18215).sample.clamp(-1, 1)[0].permute(1, 2, 0).numpy() / 2 + 0.5


@pytest.mark.parametrize(("routing", "num_chosen"), [("top1", 1), ("top2", 2), ("full", EXPERTS)])
def test_a_published_repo_loads_and_draws_what_a_plain_loop_draws(published, pipeline, routing, num_chosen):
    folder, experts, router = published
    prompts, generators = ["cat", "a dog"], [torch.Generator().manual_seed(k) for k in range(2)]
    made = pipeline(prompts, STEPS, SCALE, generator=generators, routing=routing, output_type="np").images
    assert made.shape == (2, 16, 16, 3)
    for k, prompt in enumerate(prompts):
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(k))
        expected = plain_sample(folder, experts, router, prompt, noise, num_chosen)
        assert np.abs(made[k] - expected).max() < 2 / 255
        assert expected.std() > 0.01


def test_the_published_way_of_sampling_is_the_default_where_the_repo_says_nothing(pipeline):
    assert pipeline.sampling == SamplingSettings(
        num_steps=50, guidance=Guidance(scale=7.5), routing=Routing.named("top2"), solver="euler"
    )
    assert type(pipeline.vae).__name__ == "AutoencoderKL"
    assert pipeline.tokenizer.model_max_length >= 77


def test_it_is_saved_with_clip_and_vae_and_loads_back_equal_with_few_experts_resident(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "saved")
    few = ParisPipeline.from_pretrained(tmp_path / "saved", device="cpu", max_resident_experts=2)
    few.set_progress_bar_config(disable=True)
    settings = {"generator": 1, "output_type": "np", "routing": "full"}
    made, again = (pipe("a cat", STEPS, SCALE, **settings).images for pipe in (pipeline, few))
    assert np.array_equal(made, again)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == sorted(
        [f"expert_{k}" for k in range(EXPERTS)]
        + ["config.json", "model_index.json", "router", "text_encoder", "tokenizer", "vae"]
    )


def test_slices_and_tiles_of_the_vae_are_honoured(pipeline):
    settings = {"generator": 1, "num_images_per_prompt": 2}
    whole = pipeline("cat", 2, **settings, output_type="np").images
    pipeline.enable_vae_slicing()
    assert np.array_equal(pipeline("cat", 2, **settings, output_type="np").images, whole)
    pipeline.disable_vae_slicing()
    pipeline.enable_vae_tiling()
    pipeline.vae.tile_latent_min_size, pipeline.vae.tile_sample_min_size = 4, 8
    tiled = pipeline("cat", 2, **settings, output_type="np").images
    pipeline.disable_vae_tiling()
    assert tiled.shape == whole.shape
    assert not np.array_equal(tiled, whole)


def test_a_prompt_longer_than_the_window_is_cut_with_a_warning(pipeline):
    with pytest.warns(PromptWarning, match="1 prompts have more than 77 tokens"):
        long = pipeline("cat " * 40, 1, generator=1, output_type="latent").images
    assert torch.isfinite(long).all()


@pytest.mark.parametrize(
    ("part", "error", "message"),
    [
        ("vae/diffusion_pytorch_model.safetensors", CodecError, "lacks 'decoder.conv_in.bias'"),
        ("text_encoder/model.safetensors", TextError, "lacks '.*embeddings"),
        ("router/pytorch_model.safetensors", CheckpointError, "router: pytorch_model.safetensors lacks 'cls_token'"),
        ("expert_5/diffusion_pytorch_model.safetensors", CheckpointError, "expert_5: .* lacks 'final_layer"),
    ],
)
def test_a_part_without_one_of_its_weights_is_refused_by_name(published, tmp_path, part, error, message):
    folder = tmp_path / "model"
    shutil.copytree(published[0], folder)
    weights = load_file(folder / part)
    del weights[
        min(
            name
            for name in weights
            if any(word in name for word in ("decoder.conv_in", "embeddings", "cls_token", "final_layer"))
        )
    ]
    save_file(weights, folder / part, metadata={"format": "pt"})
    with pytest.raises(error, match=message):
        ParisPipeline.from_pretrained(folder, device="cpu")
