"""Draws one picture, and keeps its stages and the experts' weights at each step."""

from __future__ import annotations

import base64
import io
import time
import warnings
from typing import TYPE_CHECKING, Any

from paris.coordinator.trying.messages import About, Ask, Drawn, Stage

if TYPE_CHECKING:
    from paris.experts.release.model import ParisModel
    from paris.experts.sampling.sample import Step

_MOST_STAGES = 8


def about(model: ParisModel) -> About:
    """What the page says of a model."""
    settings = model.sampling
    return About(
        name=model.name,
        num_experts=len(model.experts.keys()),
        reads_text=model.text_encoder.config.reads_text,
        steps=settings.num_steps,
        guidance=settings.guidance.scale,
        routing=settings.routing.name,
    )


def draw_traced(model: ParisModel, ask: Ask) -> Drawn:
    """Draw a picture with its stages and its trace.

    Args:
        model: The model; its codec decodes at most eight stages.
        ask: What to draw.

    Raises:
        ExpertError: The prompt or a setting does not fit the model.
    """
    from paris.experts.pipeline.drawing import draw
    from paris.experts.sampling.trace import TraceRecorder

    settings = model.sampling.with_overrides(num_steps=ask.steps, guidance_scale=ask.guidance, routing=ask.routing)
    kept = _kept_steps(settings.num_steps)
    recorder, stages, started = TraceRecorder(), list[Stage](), time.monotonic()

    def on_step(step: Step) -> None:
        recorder(step)
        if step.number + 1 in kept:
            stages.append(Stage(step=step.number + 1, t=step.t, picture=_png(model.codec.decode(step.x)[0])))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pictures = draw(model, [ask.prompt], [ask.seed], settings, on_step=on_step)
    trace, picture = recorder.trace(), _png(pictures[0])
    last = Stage(step=settings.num_steps, t=0.0, picture=picture)
    return Drawn(
        picture=picture,
        stages=(*stages, last),
        experts=trace.experts,
        times=trace.times,
        weights=tuple(tuple(round(weight, 6) for weight in row[0]) for row in trace.weights.tolist()),
        seconds=round(time.monotonic() - started, 3),
        notes=tuple(str(warning.message)[:300] for warning in caught if issubclass(warning.category, UserWarning)),
    )


def _kept_steps(num_steps: int) -> set[int]:
    """After which steps the picture is kept, evenly; the last one is the picture itself."""
    count = min(_MOST_STAGES, num_steps)
    return {round(k * num_steps / count) for k in range(1, count)}


def _png(picture: Any) -> str:
    """A picture, uint8 `[H, W, 3]`, as PNG in base64."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()
