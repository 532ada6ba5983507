"""What one folder of this benchmark is made of: all that decides the result.

settings.json of the folder holds it, so that a second start with other settings is refused, not mixed in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from benchmarks.digits.data import SIZE, DigitsError
from paris.experts.files import write_whole
from paris.experts.frozen.text import TextConfig
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.settings import Settings
from paris.experts.training.config import TrainingConfig
from paris.experts.training.router_training import RouterTrainingConfig

_PICTURE = {"image_size": SIZE, "in_channels": 3, "patch_size": 4}
_TEXT_WIDTH, _TEXT_TOKENS = 32, 4
_LEARNING = {"warmup_steps": 100, "final_learning_rate": 0.02, "grad_clip": 1.0}


class DigitsSettings(Settings):
    """Decides the result, with the versions of what computes it."""

    experts: Annotated[int, Field(ge=1, le=32)] = 4
    """K. Each sees its own cluster alone."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of everything random."""
    clusters_by: Literal["features", "pixels"] = "features"
    """What is clustered: the classifier's features (clusters of digits), or pixels (of shape and slant)."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Rows that all experts see together in one step. Each sees a K-th: the batch is split, the steps are not."""
    steps: Annotated[int, Field(ge=1)] = 3900
    """Optimizer steps of every expert, and of the monolith."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 6e-3
    """Of experts and monolith, at its highest."""
    time_sampling: Literal["uniform", "logit-normal"] = "logit-normal"
    """Three equal channels show a picture three times under as many noises, so that easy times are more than seem:
    uniform times left half-trained experts at twice the distance."""
    router_steps: Annotated[int, Field(ge=1)] = 1200
    prompt_router_steps: Annotated[int, Field(ge=1)] = 200
    router_heldout: Annotated[int, Field(ge=10, le=1000)] = 250
    """About how many held-out rows the router is judged on, each at ten noise levels."""
    classifier_epochs: Annotated[int, Field(ge=1)] = 16
    hidden_size: Annotated[int, Field(ge=16)] = 96
    num_layers: Annotated[int, Field(ge=1)] = 4
    samples: Annotated[int, Field(ge=10)] = 500
    """Pictures that each figure is taken of."""

    @model_validator(mode="after")
    def _batch_splits(self) -> Self:
        if self.batch_size % self.experts:
            raise ValueError(f"a batch of {self.batch_size} cannot be split evenly over {self.experts} experts")
        return self

    @property
    def model(self) -> ModelConfig:
        """The shape of an expert, and of the monolith."""
        return ModelConfig(
            **_PICTURE,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            num_heads=4,
            text_embed_dim=_TEXT_WIDTH,
            max_text_tokens=_TEXT_TOKENS,
        )

    @property
    def router(self) -> RouterConfig:
        """The shape of the router."""
        return RouterConfig(**_PICTURE, hidden_size=64, num_layers=3, num_heads=4, num_clusters=self.experts)

    @property
    def text(self) -> TextConfig:
        """The ten names, each a vector; a prompt is mostly one word."""
        return TextConfig(kind="vocabulary", dim=_TEXT_WIDTH, max_tokens=_TEXT_TOKENS)

    def training(self, *, is_monolith: bool) -> TrainingConfig:
        """How one expert, or the monolith, is trained."""
        rows = self.batch_size if is_monolith else self.batch_size // self.experts
        return TrainingConfig(
            steps=self.steps,
            batch_size=rows,
            learning_rate=self.learning_rate,
            weight_decay=0.01,
            ema_decay=0.999,
            time_sampling=self.time_sampling,
            snapshot_every=500,
            **_LEARNING,
        )

    @property
    def router_training(self) -> RouterTrainingConfig:
        """How the router is trained."""
        steps, rate = self.router_steps, 1.5e-3
        return RouterTrainingConfig(steps=steps, batch_size=64, learning_rate=rate, ema_decay=0.995, **_LEARNING)


QUICK = {"steps": 150, "router_steps": 100, "prompt_router_steps": 30, "classifier_epochs": 4, "samples": 100}
"""Enough to see that every stage works; the digits are blurs."""


def keep_settings(folder: Path, settings: DigitsSettings) -> None:
    """Write them where nothing is, and see that they are the same where something is.

    Raises:
        DigitsError: The folder was begun with other settings; nothing is changed.
    """
    path = folder / "settings.json"
    if path.exists() and (found := read_settings(folder)) != settings:
        theirs, ours = found.to_settings(), settings.to_settings()
        different = ", ".join(f"{name} {theirs[name]}, not {ours[name]}" for name in ours if theirs[name] != ours[name])
        raise DigitsError(f"{folder} was begun with {different}.", "Give another folder, or the same settings.")
    write_whole(path, json.dumps(settings.to_settings(), indent=1).encode())


def read_settings(folder: Path) -> DigitsSettings:
    """What a folder was made with.

    Raises:
        DigitsError: It is not a folder of this benchmark.
        SettingsError: Its settings are of another version.
    """
    try:
        values = json.loads((folder / "settings.json").read_bytes())
    except (OSError, ValueError) as error:
        command = f"Run python -m benchmarks.digits.train --out {folder}."
        raise DigitsError(f"{folder} has no readable settings.json.", command) from error
    return DigitsSettings.from_settings(values)
