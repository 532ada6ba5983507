"""The pictures of a release's card: samples of some of the run's prompts, and which expert drew them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paris.coordinator.release.sample import ModelSource, SampleRequest, draw_grid, plot_grid_routing, save_grid
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import example_prompt

if TYPE_CHECKING:
    from paris.experts.release.model import ParisModel

_SAMPLES, _ROUTING = "samples.png", "routing.png"
_MOST_PROMPTS, _MOST_SEEDS = 4, 4


def draw_pictures(run: RunDir, model: ParisModel) -> dict[str, str]:
    """Draw from a release with its own settings, and write the pictures into its folder.

    Args:
        run: The run; at most four prompts and four seeds of its `[sampling]` are drawn.
        model: Its release.

    Returns:
        File to what it shows, in Markdown.

    Raises:
        MissingModuleError: matplotlib is not installed.
        DiskFullError: No space; the file is as it was.
    """
    table = run.config.sampling
    prompts = (table.prompts[:_MOST_PROMPTS] or [example_prompt(run)]) if run.config.reads_text else []
    request = SampleRequest(ModelSource(str(run.release)), prompts, table.seeds[:_MOST_SEEDS])
    drawing = draw_grid(model, request, model.sampling, show_progress=True)
    plot_grid_routing(request, drawing, run.release / _ROUTING)
    save_grid(drawing.pictures, len(request.seeds), run.release / _SAMPLES)
    seeds = f"seeds {', '.join(map(str, request.seeds))}"
    rows = ", ".join(f"`{prompt.replace('`', chr(39))}`" for prompt in prompts)
    return {
        _SAMPLES: f"Rows: {rows}. Columns: {seeds}." if prompts else f"Pictures of {seeds}.",
        _ROUTING: "Which expert drew how much of each of them, from noise (left) to picture (right).",
    }


def remove_pictures(run: RunDir) -> dict[str, str]:
    """Remove the pictures of an earlier release, which another model drew; returns none."""
    for name in (_SAMPLES, _ROUTING):
        (run.release / name).unlink(missing_ok=True)
    return {}
