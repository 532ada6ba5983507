"""`paris-coord sample`: pictures from a release, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def sample_to_file(
    prompts: list[str],
    *,
    model: str,
    out: Path,
    seeds: list[int],
    steps: int | None,
    guidance: float | None,
    routing: str | None,
    endpoint: str | None,
) -> None:
    """Draw a grid, a row a prompt and a column a seed.

    Args:
        prompts: What to draw.
        model: A release folder, or `org/repo` on a Hub.
        out: The PNG to write.
        seeds: One a column.
        steps, guidance, routing: None takes the release's own settings.
        endpoint: The Hub, for `org/repo`.

    Raises:
        ExpertError: The model is not there or not whole, or a setting is unknown; nothing is written.
    """
    from paris.experts.pipeline import ParisPipeline

    pipeline = ParisPipeline.from_pretrained(model, endpoint=endpoint)
    rows = [prompt for prompt in prompts for _ in seeds]
    made = pipeline(
        rows,
        generator=seeds * len(prompts),
        num_inference_steps=steps,
        guidance_scale=guidance,
        routing=routing,
        output_type="pil",
    )
    _grid(list(made.images), columns=len(seeds)).save(out, format="PNG")


def _grid(images: list[Any], columns: int) -> Any:
    from PIL import Image

    width, height = images[0].size
    scale = max(1, 128 // width)
    sheet = Image.new("RGB", (columns * width * scale, len(images) // columns * height * scale), "white")
    for number, image in enumerate(images):
        place = (number % columns * width * scale, number // columns * height * scale)
        sheet.paste(image.resize((width * scale, height * scale), Image.Resampling.NEAREST), place)
    return sheet
