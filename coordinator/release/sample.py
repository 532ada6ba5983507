"""`paris-coord sample`: draw a grid of pictures from a release, and plot which expert drew what."""

from __future__ import annotations

import shlex
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.console import print_json, progress_bar, say
from paris.coordinator.hub_errors import hub_errors, use_hub_client
from paris.coordinator.run.prepared_data import example_prompt
from paris.protocol.hub_layout import PUBLIC_ENDPOINT

if TYPE_CHECKING:
    from paris.coordinator.run.directory import RunDir
    from paris.experts.release.model import ParisModel
    from paris.experts.sampling.settings import SamplingSettings
    from paris.experts.sampling.trace import RoutingTrace

_MAX_PLOT_COLUMNS = 6
_MIN_CELL_PX = 128
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True)
class ModelSource:
    """A release, and how to load it."""

    model: str
    """A release folder, or `org/repo` on a Hub."""
    endpoint: str | None = None
    """Of the Hub; only for `org/repo`, as is `revision`."""
    revision: str | None = None
    device: str | None = None
    max_resident_experts: int | None = None


@dataclass(frozen=True)
class SamplingOverrides:
    """Settings that replace the release's sampling defaults; None keeps a default."""

    num_steps: int | None = None
    guidance_scale: float | None = None
    routing: str | None = None
    max_experts: int | None = None
    routing_threshold: float | None = None
    solver: str | None = None


@dataclass(frozen=True)
class SampleRequest:
    """A grid of pictures: a row for each prompt, a column for each seed; one row if the model reads no text."""

    source: ModelSource
    prompts: list[str]
    """Empty for a model without text."""
    seeds: list[int]
    negative: str | None = None
    """Negative prompt of all pictures; None is the null prompt."""
    overrides: SamplingOverrides = SamplingOverrides()


@dataclass(frozen=True)
class Drawing:
    """Pictures, uint8 `[prompts * seeds, H, W, 3]`, and how they were drawn."""

    pictures: Any
    settings: SamplingSettings
    trace: RoutingTrace
    seconds: float


def sample_command(run: RunDir, model: Path) -> str:
    """The command that draws pictures from a model of the run, with one of the run's prompts if it reads text."""
    prompt = example_prompt(run)
    return shlex.join(["paris-coord", "sample", *([prompt] if prompt else []), "--model", str(model)])


def sample_to_file(
    request: SampleRequest, out: Path, *, routing_plot: Path | None, trace: Path | None = None, as_json: bool
) -> None:
    """Draw a grid and write it to a file.

    Args:
        request: What to draw, from which model.
        out: The picture file; the suffix selects the format.
        routing_plot: File of the routing plot; None draws none.
        trace: File of the experts' weights at each step, `RoutingTrace.to_json`; None writes none.
        as_json: Print a summary as one JSON object on stdout, and no progress bar.

    Raises:
        ExpertError: The model is missing or damaged, prompts do not fit it, or a setting or file suffix is unknown;
            nothing is written.
    """
    from paris.experts.errors import SamplingError
    from paris.experts.files import write_whole
    from paris.experts.release.model import load_model, local_folder
    from paris.experts.sampling.trace import check_plot

    if out.suffix.lower() not in _FORMATS:
        raise SamplingError(f"Unknown picture format of {out.name!r}.", f"Use one of {', '.join(_FORMATS)}.")
    if routing_plot is not None:
        check_plot(routing_plot)
    source = request.source
    use_hub_client()
    with hub_errors(source.endpoint or PUBLIC_ENDPOINT):
        folder = local_folder(source.model, source.revision, source.endpoint)
    model = load_model(folder, device=source.device, max_resident_experts=source.max_resident_experts)
    if not request.prompts and model.text_encoder.config.reads_text:
        raise SamplingError("There is no prompt.", "Give one or more texts; the null prompt is ''.")
    settings = model.sampling.with_overrides(**asdict(request.overrides))
    drawing = draw_grid(model, request, settings, show_progress=not as_json)
    save_grid(drawing.pictures, len(request.seeds), out)
    if routing_plot is not None:
        plot_grid_routing(request, drawing, routing_plot)
    if trace is not None:
        write_whole(trace, drawing.trace.to_json().encode())
    if as_json:
        files = {"out": str(out), "routing_plot": _text(routing_plot), "trace": _text(trace)}
        print_json({**files, **_summary(request, drawing)})
    else:
        _say_summary(drawing.trace, [path for path in (out, routing_plot, trace) if path is not None])


def _grid_rows(request: SampleRequest) -> tuple[list[str], list[int]]:
    """Prompt and seed of each picture; the prompts of a model without text are empty."""
    prompts = request.prompts or [""]
    return [prompt for prompt in prompts for _ in request.seeds], request.seeds * len(prompts)


def draw_grid(model: ParisModel, request: SampleRequest, settings: SamplingSettings, *, show_progress: bool) -> Drawing:
    """Draw the pictures of a request.

    Args:
        model: Of the request's source.
        request: What to draw.
        settings: How; the request's overrides are not looked at.
        show_progress: Whether a bar counts the steps on stderr.

    Raises:
        ExpertError: The prompts do not fit the model.
    """
    from paris.experts.pipeline.drawing import draw
    from paris.experts.sampling.trace import TraceRecorder

    prompts, seeds = _grid_rows(request)
    recorder, started = TraceRecorder(), time.monotonic()
    with _warnings_as_notes(), progress_bar("steps", settings.num_steps, shown=show_progress) as show_step:

        def on_step(step: Any) -> None:
            recorder(step)
            show_step(step.number + 1)

        pictures = draw(model, prompts, seeds, settings, negative=request.negative, on_step=on_step)
    return Drawing(pictures, settings, recorder.trace(), time.monotonic() - started)


def plot_grid_routing(request: SampleRequest, drawing: Drawing, path: Path) -> None:
    """Plot which expert drew what; errors as of `plot_routing`."""
    from paris.experts.sampling.trace import plot_routing

    titles = [f"{prompt}, seed {seed}".lstrip(", ") for prompt, seed in zip(*_grid_rows(request), strict=True)]
    columns = min(len(request.seeds), _MAX_PLOT_COLUMNS)
    plot_routing(drawing.trace, path, titles=titles, pictures=list(drawing.pictures), columns=columns)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _say_summary(trace: RoutingTrace, files: list[Path]) -> None:
    shares = zip(trace.experts, trace.summary().share, strict=True)
    used = ", ".join(f"{expert}: {share:.0%}" for expert, share in shares if share)
    say(f"Wrote {' and '.join(map(str, files))}. Experts' shares: {used}.")


def _summary(request: SampleRequest, drawing: Drawing) -> dict[str, Any]:
    settings, trace = drawing.settings, drawing.trace.summary()
    return {
        "model": request.source.model,
        "prompts": request.prompts,
        "seeds": request.seeds,
        "steps": settings.num_steps,
        "solver": settings.solver,
        "guidance": settings.guidance.to_settings(),
        "routing": settings.routing.to_settings(),
        "seconds": round(drawing.seconds, 3),
        "share_of_experts": [round(share, 4) for share in trace.share],
        "experts_per_picture": round(trace.experts_per_picture, 3),
    }


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Print warnings, such as that of a truncated prompt, as one line on stderr."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(f"Note: {message}")
        yield


def save_grid(pictures: Any, columns: int, out: Path) -> None:
    """Write pictures, uint8 `[N, H, W, 3]`, as one file of so many columns."""
    from PIL import Image

    from paris.experts.files import whole_file

    images = [Image.fromarray(picture) for picture in pictures]
    width, height = images[0].size
    scale = max(1, _MIN_CELL_PX // width)
    sheet = Image.new("RGB", (columns * width * scale, len(images) // columns * height * scale), "white")
    for number, image in enumerate(images):
        corner = (number % columns * width * scale, number // columns * height * scale)
        sheet.paste(image.resize((width * scale, height * scale), Image.Resampling.NEAREST), corner)
    with whole_file(out) as partial:
        sheet.save(partial, format=_FORMATS[out.suffix.lower()])
