"""Pretrained parts of a few kilobytes, as transformers and diffusers save them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_clip(folder: Path, dim: int, max_tokens: int) -> None:
    """A CLIP text encoder of two layers and its tokenizer of single letters: text_encoder/ and tokenizer/."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    source = folder / "letters"
    source.mkdir()
    (source / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (source / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(source).save_pretrained(folder / "tokenizer")
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=dim,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=max_tokens,
        projection_dim=dim,
        bos_token_id=0,
        eos_token_id=1,
    )
    CLIPTextModel(config).eval().save_pretrained(folder / "text_encoder")


def write_vae(folder: Path) -> None:
    """A VAE of two small stages, 2x smaller latents of four channels: vae/."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )
    vae.eval().save_pretrained(folder / "vae")


def write_dinov2(folder: Path) -> None:
    """A DINOv2 of one layer, 24 features, that looks at 28x28 pixels: dinov2/."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    Dinov2Model(config).eval().save_pretrained(folder / "dinov2")
    looks = {"crop_size": {"height": 28, "width": 28}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "dinov2" / "preprocessor_config.json").write_text(json.dumps(looks))
