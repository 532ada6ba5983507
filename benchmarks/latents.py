"""Bytes of a row and loss of precision, by storage format of latents.

    python -m benchmarks.latents [--vae FOLDER --pictures FOLDER] [--rows 1024] [--steps 400] [--out FILE]

Without --vae a small AutoencoderKL is trained first on Twemoji pictures of 64 pixels, so that its latents have the
distribution and correlation of a trained VAE's; sides four times smaller, four channels. --vae and --pictures measure
another VAE and pictures, such as sd-vae-ft-mse and photographs of 256 pixels.

Each format is written as a Parquet file of all latents. Loss: squared error over the latents' variance, and the mean
PSNR between pictures decoded from stored and from float32 latents. The VAE's own PSNR (decoded against original) is
reported for comparison: a much smaller loss is invisible. Writes benchmarks/results/latents.json.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.record import as_table, write_result

_SIDE_PX = 64
_DECODED = 64


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vae", type=Path, help="an AutoencoderKL's folder")
    parser.add_argument("--pictures", type=Path, help="a folder of pictures of one size")
    parser.add_argument("--rows", type=int, default=1024, help="pictures at most")
    parser.add_argument("--steps", type=int, default=400, help="training steps of the small VAE")
    parser.add_argument("--out", type=Path, help="the file to write")
    options = parser.parse_args()
    pictures = folder_pictures(options.pictures) if options.pictures else twemoji_pictures()
    pictures = pictures[: options.rows]
    vae = loaded_vae(options.vae) if options.vae else trained_vae(pictures, options.steps)
    latents = encoded(vae, pictures)
    rows = [measured(name, way, latents, vae) for name, way in WAYS.items()]
    own = psnr(decoded(vae, latents[:_DECODED]), unit(pictures[:_DECODED]))
    shape = list(latents.shape[1:])
    headings = ("way", "row_bytes", "bits_a_value", "relative_error", "psnr_db", "read_us")
    print(as_table(headings, [[str(row[name]) for name in headings] for row in rows]))
    print(f"latents {shape}; the VAE's own PSNR {own:.1f} dB")
    which = "given" if options.vae else f"small, {options.steps} steps on Twemoji"
    facts = {"latent_shape": shape, "num_rows": len(latents), "vae": which, "vae_psnr_db": round(own, 2)}
    print(write_result("latents", rows, out=options.out, **facts))
    return 0


def measured(
    name: str, way: Callable[[np.ndarray], tuple[pa.Table, dict[str, Any], np.ndarray]], latents: np.ndarray, vae: Any
) -> dict[str, Any]:
    """Bytes, loss and reading time of one way."""
    table, options, back = way(latents)
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", use_dictionary=False, **options)
    begun = time.perf_counter()
    pq.read_table(pa.BufferReader(file.getvalue()))
    read_s = time.perf_counter() - begun
    row_bytes = file.tell() / len(latents)
    error = float(((back - latents) ** 2).mean() / latents.var())
    seen = psnr(decoded(vae, back[:_DECODED]), decoded(vae, latents[:_DECODED]))
    return {
        "way": name,
        "row_bytes": round(row_bytes),
        "bits_a_value": round(8 * row_bytes / latents[0].size, 2),
        "row_bytes_at_256_px": round(row_bytes / latents[0].size * 4 * 32 * 32),
        "relative_error": float(f"{error:.2e}"),
        "psnr_db": round(seen, 1),
        "read_us": round(1e6 * read_s / len(latents), 1),
    }


def _binary(stored: np.ndarray) -> pa.Array:
    rows = [row.tobytes() for row in stored]
    return pa.array(rows, pa.binary(len(rows[0])))


def float16_binary(latents: np.ndarray) -> tuple[pa.Table, dict[str, Any], np.ndarray]:
    """As shards have it: a row's float16 values as one fixed-size binary."""
    stored = latents.astype("<f2")
    return pa.table({"latent": _binary(stored)}), {}, stored.astype(np.float32)


def float16_shuffled(latents: np.ndarray) -> tuple[pa.Table, dict[str, Any], np.ndarray]:
    """The high bytes in one column, the low bytes in another."""
    stored = latents.astype("<f2")
    halves = stored.reshape(len(stored), -1).view(np.uint8).reshape(len(stored), -1, 2)
    columns = {"high": _binary(halves[..., 1]), "low": _binary(halves[..., 0])}
    return pa.table(columns), {}, stored.astype(np.float32)


def float16_split(latents: np.ndarray) -> tuple[pa.Table, dict[str, Any], np.ndarray]:
    """A list of float16 in Parquet's own BYTE_STREAM_SPLIT encoding."""
    stored = latents.astype("<f2")
    values = pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1), pa.float16()), stored[0].size)
    options = {"column_encoding": {"latent.list.element": "BYTE_STREAM_SPLIT"}}
    return pa.table({"latent": values}), options, stored.astype(np.float32)


def int8_steps(reach: float) -> Callable[[np.ndarray], tuple[pa.Table, dict[str, Any], np.ndarray]]:
    """Even steps up to `reach` standard deviations, as the codec's `store = "int8"` has it."""

    def way(latents: np.ndarray) -> tuple[pa.Table, dict[str, Any], np.ndarray]:
        step = reach * float(latents.std()) / 127
        stored = np.clip(np.round(latents / step), -127, 127).astype(np.int8)
        return pa.table({"latent": _binary(stored)}), {}, stored.astype(np.float32) * step

    return way


WAYS: dict[str, Callable[[np.ndarray], tuple[pa.Table, dict[str, Any], np.ndarray]]] = {
    "float16": float16_binary,
    "float16, two columns of bytes": float16_shuffled,
    "float16, BYTE_STREAM_SPLIT": float16_split,
    "int8, reach 4": int8_steps(4),
    "int8, reach 6": int8_steps(6),
    "int8, reach 8": int8_steps(8),
}


def twemoji_pictures() -> np.ndarray:
    """All base forms on white, uint8 `[N, 3, 64, 64]`, in an order of their own."""
    from paris.coordinator.prepare.compute.pictures import PictureLimits, decode_picture
    from paris.coordinator.prepare.sources.settings import TwemojiSource
    from paris.coordinator.prepare.sources.twemoji import read_twemoji

    limits = PictureLimits(min_side_px=1, max_image_pixels=10**7)
    items = read_twemoji(TwemojiSource(names="all"))
    paths = [Path(item.location.removeprefix("file://")) for item in items]
    order = np.random.default_rng(0).permutation(len(paths))
    return np.stack([decode_picture(paths[i].read_bytes(), _SIDE_PX, limits) for i in order])


def folder_pictures(folder: Path) -> np.ndarray:
    """All pictures of a folder, uint8 `[N, 3, H, W]`."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return np.stack([np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path in files])


def loaded_vae(folder: Path) -> Any:
    """A VAE from its folder."""
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()


def trained_vae(pictures: np.ndarray, steps: int) -> Any:
    """A small VAE trained as sd-vae is but for the adversary: squared error and a light pull to the normal."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=_SIDE_PX,
    )
    optimizer = torch.optim.AdamW(vae.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        x = unit(pictures[torch.randint(len(pictures), (16,), generator=generator).numpy()])
        posterior = vae.encode(x).latent_dist
        loss = F.mse_loss(vae.decode(posterior.sample(generator)).sample, x) + 1e-6 * posterior.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step} loss {loss.item():.4f}", file=sys.stderr)
    return vae.eval()


def unit(pictures: np.ndarray) -> torch.Tensor:
    """uint8 to [-1, 1]."""
    return torch.from_numpy(pictures).float().div_(127.5).sub_(1.0)


@torch.no_grad()
def encoded(vae: Any, pictures: np.ndarray) -> np.ndarray:
    """Means of the posterior, float32 `[N, C, H, W]`."""
    parts = [vae.encode(unit(pictures[i : i + 16])).latent_dist.mean for i in range(0, len(pictures), 16)]
    return np.asarray(torch.cat(parts).numpy())


@torch.no_grad()
def decoded(vae: Any, latents: np.ndarray) -> torch.Tensor:
    """Pictures in [-1, 1]."""
    return torch.cat([vae.decode(part).sample for part in torch.from_numpy(latents).split(16)]).clamp_(-1, 1)


def psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    """Mean over the pictures of the peak signal-to-noise ratio, dB; the peak is 2, from -1 to 1."""
    error = (one - other).pow(2).flatten(1).mean(dim=1).clamp_min(1e-12)
    return float((10 * torch.log10(4 / error)).mean())


if __name__ == "__main__":
    sys.exit(main())
