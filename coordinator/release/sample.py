"""`paris-coord sample`: pictures from a release, as one file, and which expert drew them as another."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.console import print_json, progress_bar, say

if TYPE_CHECKING:
    from paris.experts.sampling.trace import RoutingTrace

_PANELS_BESIDE = 6
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True)
class SampleRequest:
    """What is drawn; None takes the release's own setting."""

    prompts: list[str]
    seeds: list[int]
    """One a column."""
    model: str
    """A release folder, or `org/repo` on a Hub."""
    endpoint: str | None = None
    revision: str | None = None
    device: str | None = None
    max_resident_experts: int | None = None
    negative: str | None = None
    steps: int | None = None
    guidance: float | None = None
    routing: str | None = None
    max_experts: int | None = None
    routing_threshold: float | None = None
    solver: str | None = None


def sample_to_file(request: SampleRequest, out: Path, *, routing_plot: Path | None, as_json: bool) -> None:
    """Draw a grid, a row a prompt and a column a seed.

    Args:
        request: What to draw, and from which model.
        out: The picture to write; its suffix says the format.
        routing_plot: Where to draw which expert drew what; None for nowhere.
        as_json: Print what was done as one JSON object on stdout, and no progress bar.

    Raises:
        ExpertError: The model is not there or not whole, a setting is unknown, or a file has no known suffix; nothing
            is written.
    """
    from paris.experts.errors import SamplingError
    from paris.experts.pipeline.drawing import draw
    from paris.experts.pipeline.rules import rules_of
    from paris.experts.release.parts import load_parts, local_folder
    from paris.experts.sampling.routing_plot import check_plot, plot_routing
    from paris.experts.sampling.trace import TraceRecorder

    if out.suffix.lower() not in _FORMATS:
        raise SamplingError(f"A picture cannot be written as {out.name!r}.", f"Choose one of {', '.join(_FORMATS)}.")
    if routing_plot is not None:
        check_plot(routing_plot)
    folder = local_folder(request.model, request.revision, request.endpoint)
    parts = load_parts(folder, device=request.device, max_resident_experts=request.max_resident_experts)
    rules = rules_of(
        parts.layout.sampling,
        num_steps=request.steps,
        guidance_scale=request.guidance,
        routing=request.routing,
        max_experts=request.max_experts,
        routing_threshold=request.routing_threshold,
        solver=request.solver,
    )
    rows = [prompt for prompt in request.prompts for _ in request.seeds]
    seeds = request.seeds * len(request.prompts)
    recorder, begun = TraceRecorder(), time.monotonic()
    with _warnings_as_notes(), progress_bar("steps", rules.num_steps, shown=not as_json) as show:

        def note(step: Any) -> None:
            recorder(step)
            show(step.number + 1)

        pictures = draw(parts, rows, seeds, rules, negative=request.negative, on_step=note)
    seconds, trace = time.monotonic() - begun, recorder.trace()
    _save_grid(pictures, len(request.seeds), out)
    if routing_plot is not None:
        titles = [f"{prompt}, seed {seed}" for prompt, seed in zip(rows, seeds, strict=True)]
        columns = min(len(request.seeds), _PANELS_BESIDE)
        plot_routing(trace, routing_plot, titles=titles, pictures=list(pictures), columns=columns)
    _report(request, out, routing_plot, rules, trace, seconds, as_json)


def _report(
    request: SampleRequest,
    out: Path,
    routing_plot: Path | None,
    rules: Any,
    trace: RoutingTrace,
    seconds: float,
    as_json: bool,
) -> None:
    summary = trace.summary()
    if not as_json:
        used = ", ".join(f"{k}: {share:.0%}" for k, share in zip(trace.experts, summary.share, strict=True) if share)
        say(f"Wrote {out}{f' and {routing_plot}' if routing_plot else ''}. Experts' shares: {used}.")
        return
    print_json(
        {
            "out": str(out),
            "routing_plot": str(routing_plot) if routing_plot else None,
            "model": request.model,
            "prompts": request.prompts,
            "seeds": request.seeds,
            "steps": rules.num_steps,
            "solver": rules.solver,
            "guidance": rules.guidance.to_settings(),
            "routing": rules.routing.to_settings(),
            "seconds": round(seconds, 3),
            "share_of_experts": [round(share, 4) for share in summary.share],
            "experts_per_picture": round(summary.experts_per_picture, 3),
        }
    )


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Say warnings, such as that of a prompt that was cut, as a line for a person."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(f"Note: {message}")
        yield


def _save_grid(pictures: Any, columns: int, out: Path) -> None:
    from PIL import Image

    from paris.experts.files import whole_file

    images = [Image.fromarray(picture) for picture in pictures]
    width, height = images[0].size
    scale = max(1, 128 // width)
    sheet = Image.new("RGB", (columns * width * scale, len(images) // columns * height * scale), "white")
    for number, image in enumerate(images):
        place = (number % columns * width * scale, number // columns * height * scale)
        sheet.paste(image.resize((width * scale, height * scale), Image.Resampling.NEAREST), place)
    with whole_file(out) as partial:
        sheet.save(partial, format=_FORMATS[out.suffix.lower()])
