"""Draws pictures as an expert learns, from the average of its weights, with captions and noise that stay the same.

The weights stay as they are, to the last bit: the average is read in place, and the noise comes from generators of its
own (`tests/node/trainer/test_drawing.py`).
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from paris.experts.errors import ExpertError
from paris.experts.frozen.codec import CodecConfig, PixelCodec
from paris.experts.frozen.text import TextEncoder
from paris.experts.models.model import DiTExpert
from paris.experts.objectives.objectives import as_velocity
from paris.experts.sampling.experts import Ensemble, ExpertMap
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.sample import sample
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.training.batches import Batches
from paris.experts.training.config import TrainingTask
from paris.experts.training.state import TrainState
from paris.node.machine.drawings import NUM_PICTURES, NUM_STEPS, Drawings, DrawingsIndex

_logger = logging.getLogger(__name__)
_COLUMNS = 4
_MOST_PX = 128
_REACH = 3.0
"""Latents have about unit variance: values beyond this are drawn as the extreme colour."""
_SETTINGS = SamplingSettings(num_steps=NUM_STEPS, solver="ab2", guidance=Guidance(), routing=Routing.named("top1"))


class Drawer:
    """Draws after every so many steps. What goes wrong is noted in the index; it never ends the training.

    Args:
        drawings: Takes the grids.
        every_steps: At least 1.
        task: What is trained.
    """

    def __init__(self, drawings: Drawings, every_steps: int, task: TrainingTask) -> None:
        self._drawings, self._every_steps, self._task = drawings, every_steps, task

    def __call__(self, batches: Batches, step: int) -> Callable[[TrainState], None]:
        """Choose the captions, those of earlier drawings of this task or of the next batch, and encode them.

        Args:
            batches: Of the training.
            step: Steps done.

        Returns:
            What is called after each step.
        """
        known = self._drawings.index()
        captions = known.captions if known else ()
        if batches.encoder.config.reads_text and len(captions) != NUM_PICTURES:
            distinct = list(dict.fromkeys(batches.captions(step)))
            captions = tuple(distinct[place % len(distinct)] for place in range(NUM_PICTURES))
        self._index = DrawingsIndex(captions=captions, is_latent=self._task.codec.kind != "pixels")
        try:
            self._drawings.begin(self._index, step)
            prompts = _encoded(batches.encoder, captions)
        except (ExpertError, OSError) as error:
            self._give_up(error)
            return lambda state: None
        return lambda state: self._draw(state, prompts)

    def _draw(self, state: TrainState, prompts: Prompts) -> None:
        if state.step % self._every_steps or self._index.problem:
            return
        try:
            x = drawn(state, self._task, prompts)
            self._drawings.save(state.step, as_png(pictures(x, is_latent=self._index.is_latent)))
        except (ExpertError, MemoryError, OSError, RuntimeError) as error:  # RuntimeError: torch's for full memory
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        _logger.warning("Nothing more is drawn: %s", error, exc_info=True)
        self._index = self._index.model_copy(update={"problem": f"{type(error).__name__}: {error}"[:300]})
        try:
            self._drawings.write_index(self._index)
        except OSError as full:
            _logger.warning("The drawings' index cannot be written: %s", full)


def drawn(state: TrainState, task: TrainingTask, prompts: Prompts) -> Tensor:
    """What the average of the weights makes of the prompts, float32 `[B, C, H, W]`; seeds are 0 to B - 1."""
    with torch.device("meta"):  # takes no memory, and draws no random number
        network = DiTExpert(task.model)
    network.load_state_dict(state.ema.average, assign=True)
    model = as_velocity(network, task.training.objective)
    here = Prompts(prompts.states.to(state.device), None if prompts.mask is None else prompts.mask.to(state.device))
    return sample(Ensemble(ExpertMap([model])), here, range(len(here)), _SETTINGS)


def pictures(x: Tensor, *, is_latent: bool) -> np.ndarray:
    """Pictures uint8 `[B, H, W, 3]` of a model's output `[B, C, H, W]`; of latents three channels as colours.

    The decoder of a run's latents is no part of what a volunteer downloads.
    """
    if is_latent:
        x = x[:, [channel % x.shape[1] for channel in range(3)]] / _REACH
    return PixelCodec(CodecConfig()).decode(x)


def as_png(tiles: np.ndarray) -> bytes:
    """Pictures uint8 `[B, H, W, 3]` as a grid; large ones are made smaller."""
    side = min(tiles.shape[1], _MOST_PX)
    rows = -(-len(tiles) // _COLUMNS)
    grid = Image.new("RGB", (_COLUMNS * side, rows * side))
    for place, tile in enumerate(tiles):
        picture = Image.fromarray(tile)
        if picture.height != side:
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
        grid.paste(picture, (place % _COLUMNS * side, place // _COLUMNS * side))
    data = io.BytesIO()
    grid.save(data, "PNG")
    return data.getvalue()


def _encoded(encoder: TextEncoder, captions: tuple[str, ...]) -> Prompts:
    if not captions:
        return Prompts(torch.zeros(NUM_PICTURES, 0, 0))
    states, mask = encoder.encode(list(captions))
    return Prompts(states, mask)
