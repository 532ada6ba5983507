"""A repo as it was published, in small: its own config files, CLIP, VAE; sampled by ours and by a plain loop."""

import json

import numpy as np
import pytest
import torch
from plain_paris import PlainExpert, PlainRouter, scramble
from safetensors.torch import save_file
from tiny_pretrained import write_clip, write_vae

from paris.experts import ModelConfig, ParisPipeline, RouterConfig

DIM, STEPS, SCALE = 16, 4, 7.5
SIZES = {"image_size": 8, "in_channels": 4, "patch_size": 2, "num_layers": 2, "num_heads": 2}
MODEL = ModelConfig(**SIZES, hidden_size=16, text_embed_dim=DIM, max_text_tokens=77)
ROUTER = RouterConfig(**SIZES, hidden_size=8, num_clusters=3)


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


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder, and the plain models whose weights are in it."""
    folder = tmp_path_factory.mktemp("published")
    write_clip(folder, DIM, 77)
    write_vae(folder)
    root = {
        "model_name": "Paris",
        "num_experts": 3,
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
    experts, router = [scramble(PlainExpert(MODEL), k) for k in range(3)], scramble(PlainRouter(ROUTER), 9)
    for k, expert in enumerate(experts):
        (folder / f"expert_{k}").mkdir()
        write_expert_config(folder / f"expert_{k}", k)
        save_file(expert.state_dict(), folder / f"expert_{k}" / "diffusion_pytorch_model.safetensors")
    (folder / "router").mkdir()
    (folder / "router" / "config.json").write_text(published_fields(model_type="router", hidden_size=8, num_clusters=3))
    save_file(router.state_dict(), folder / "router" / "pytorch_model.safetensors")
    return folder, experts, router


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


@pytest.mark.parametrize(("routing", "num_chosen"), [("top1", 1), ("top2", 2), ("full", 3)])
def test_a_published_repo_loads_and_draws_what_a_plain_loop_draws(published, routing, num_chosen):
    folder, experts, router = published
    pipeline = ParisPipeline.from_pretrained(folder, device="cpu")
    prompts, generators = ["cat", "a dog"], [torch.Generator().manual_seed(k) for k in range(2)]
    made = pipeline(prompts, STEPS, SCALE, generator=generators, routing=routing, output_type="np").images
    assert made.shape == (2, 16, 16, 3)
    for k, prompt in enumerate(prompts):
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(k))
        expected = plain_sample(folder, experts, router, prompt, noise, num_chosen)
        assert np.abs(made[k] - expected).max() < 2 / 255
        assert expected.std() > 0.01
