"""Synthetic pictures, all different, of a few kinds; and tiny networks in place of large ones.

The networks are the real classes (Dinov2Model, AutoencoderKL), tiny and with random weights, so that the measured cost
is that of the surrounding code.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

_SIDE_PX = 32
_KINDS = ("disc", "ring", "bar", "cross", "corner", "checks", "slope", "frame")
_A_FOLDER = 1000


def make_pictures(folder: Path, count: int, seed: int = 0) -> None:
    """Write `count` PNG files of 32x32 pixels with captions in metadata.csv; existing ones are kept."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : _SIDE_PX * 1j, -1 : 1 : _SIDE_PX * 1j]
    for start in range(0, count, _A_FOLDER):
        part = folder / f"{start // _A_FOLDER:05d}"
        rows = [
            (f"{number:07d}.png", *_drawn(number, x, y, rng)) for number in range(start, min(start + _A_FOLDER, count))
        ]
        if (part / "metadata.csv").is_file():
            continue
        part.mkdir(parents=True, exist_ok=True)
        for name, pixels, _ in rows:
            Image.fromarray(pixels).save(part / name, compress_level=1)
        with (part / "metadata.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("file_name", "text"))
            writer.writerows((name, caption) for name, _, caption in rows)


def _drawn(number: int, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """One picture uint8 `[32, 32, 3]` and its caption; no two are alike, since the corner has the number."""
    kind = _KINDS[number % len(_KINDS)]
    u, v = x - rng.uniform(-0.3, 0.3), y - rng.uniform(-0.3, 0.3)
    radius = np.hypot(u, v)
    mask = {
        "disc": radius < 0.5,
        "ring": abs(radius - 0.5) < 0.15,
        "bar": abs(u) < 0.2,
        "cross": np.minimum(abs(u), abs(v)) < 0.15,
        "corner": (u > 0) & (v > 0),
        "checks": (np.floor(u * 4) + np.floor(v * 4)) % 2 == 0,
        "slope": u + v > 0,
        "frame": np.maximum(abs(u), abs(v)) > 0.6,
    }[kind]
    ground, ink = rng.integers(128, 256, 3), rng.integers(0, 128, 3)
    pixels = np.where(mask[..., None], ink, ground).astype(np.uint8)
    pixels[0, 0] = [number >> 16 & 255, number >> 8 & 255, number & 255]
    return pixels, f"a {kind} of shade {int(ink.sum()) // 32} on {int(ground.sum()) // 32}"


def make_networks(folder: Path) -> None:
    """Write a tiny DINOv2 (`dinov2/`: 64 features of 28x28 pixels) and a tiny VAE (`vae/`: half the side)."""
    import torch
    from diffusers import AutoencoderKL
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    vision = Dinov2Config(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)
    Dinov2Model(vision).eval().save_pretrained(folder / "dinov2")
    looks = {"crop_size": {"height": 28, "width": 28}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (folder / "dinov2" / "preprocessor_config.json").write_text(json.dumps(looks))
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    vae.eval().save_pretrained(folder / "vae")
