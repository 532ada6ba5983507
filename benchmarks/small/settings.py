"""What one folder of this benchmark is made of: all that decides the result.

settings.json of the folder holds it, so that a second start with other settings is refused, not mixed in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from benchmarks.small.datasets import Dataset, dataset
from benchmarks.small.pictures import SmallDataError
from paris.experts.files import write_whole
from paris.experts.frozen.text import TextConfig
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.settings import Settings
from paris.experts.training.router_training import RouterTrainingConfig

_TEXT_WIDTH = 32
_TEXT_TOKENS = {"digits": 4, "fashion": 4, "emoji": 12}
LEARNING = {"warmup_steps": 100, "final_learning_rate": 0.02, "grad_clip": 1.0}


class SmallSettings(Settings):
    """Decides the result, with the versions of what computes it."""

    dataset: Literal["digits", "fashion", "emoji"] = "digits"
    experts: Annotated[int, Field(ge=1, le=32)] = 4
    """K of the arms that do not say their own. Each expert sees its own cluster alone."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of clustering, training and sampling; the split and the judging classifier are the same for all."""
    batch_size: Annotated[int, Field(ge=1)] = 64
    """Rows that all experts see together in one step. Each sees a K-th: the batch is split, the steps are not."""
    steps: Annotated[int, Field(ge=1)] = 3900
    """Optimizer steps of every expert."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 6e-3
    """Of the monolith, at its highest."""
    rate_exponent: Annotated[float, Field(ge=0, le=1)] = 0.0
    """A smaller batch learns at the monolith's rate times its share of the batch to this power: 0, at the same; 0.5,
    by the square root, as Adam's noise asks for (Malladi et al., arXiv 2205.10330)."""
    channels: Literal[1, 3] = 3
    """That models see; 1 for gray pictures alone, whose three channels would be three different noises on one."""
    time_sampling: Literal["uniform", "logit-normal"] = "logit-normal"
    """Three equal channels show a picture three times under as many noises, so that easy times are more than seem:
    uniform times left half-trained experts at twice the distance."""
    router_steps: Annotated[int, Field(ge=1)] = 1200
    prompt_router_steps: Annotated[int, Field(ge=1)] = 200
    router_samples: Annotated[int, Field(ge=1)] = 1000
    """Rows that each expert draws on average for a router that sees no data."""
    router_heldout: Annotated[int, Field(ge=10, le=1000)] = 250
    """About how many held-out rows the router is judged on, each at ten noise levels."""
    classifier_epochs: Annotated[int, Field(ge=1)] | None = None
    """Of the judge and of the scout; None: the data set's."""
    hidden_size: Annotated[int, Field(ge=16)] = 96
    num_layers: Annotated[int, Field(ge=1)] = 4
    router_hidden_size: Annotated[int, Field(ge=16)] = 64
    router_layers: Annotated[int, Field(ge=1)] = 3
    samples: Annotated[int, Field(ge=10)] = 1000
    """Pictures that each figure is taken of."""

    @model_validator(mode="after")
    def _batch_splits(self) -> Self:
        if self.batch_size % self.experts:
            raise ValueError(f"a batch of {self.batch_size} cannot be split evenly over {self.experts} experts")
        return self

    @property
    def data(self) -> Dataset:
        """The data set."""
        return dataset(self.dataset)

    @property
    def epochs(self) -> int:
        """Of the classifiers."""
        return self.classifier_epochs or self.data.classifier_epochs

    @property
    def model(self) -> ModelConfig:
        """The shape of an expert, and of the monolith."""
        return ModelConfig(
            **self._picture,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            num_heads=4,
            text_embed_dim=_TEXT_WIDTH,
            max_text_tokens=self.text.max_tokens,
        )

    def router(self, num_clusters: int, *, sees_prompt: bool = False) -> RouterConfig:
        """The shape of a router."""
        size = {"hidden_size": self.router_hidden_size, "num_layers": self.router_layers, "num_heads": 4}
        text = {"text_embed_dim": _TEXT_WIDTH} if sees_prompt else {}
        return RouterConfig(**self._picture, **size, **text, num_clusters=num_clusters)

    @property
    def text(self) -> TextConfig:
        """Each word a vector."""
        return TextConfig(kind="vocabulary", dim=_TEXT_WIDTH, max_tokens=_TEXT_TOKENS[self.dataset])

    @property
    def router_training(self) -> RouterTrainingConfig:
        """How a router is trained."""
        rate = {"learning_rate": 1.5e-3, "ema_decay": 0.995}
        return RouterTrainingConfig(steps=self.router_steps, batch_size=64, **rate, **LEARNING)

    @property
    def _picture(self) -> dict[str, int]:
        return {"image_size": self.data.side_px, "in_channels": self.channels, "patch_size": self.data.patch_size}


QUICK = {"steps": 150, "router_steps": 100, "prompt_router_steps": 30, "classifier_epochs": 2, "samples": 200}
"""Enough to see that every stage works; the pictures are blurs."""


def keep_settings(folder: Path, settings: SmallSettings) -> None:
    """Write them where nothing is, and see that they are the same where something is.

    Raises:
        SmallDataError: The folder was begun with other settings; nothing is changed.
    """
    path = folder / "settings.json"
    if not path.exists():
        write_whole(path, json.dumps(settings.to_settings(), indent=1).encode())
    elif (found := read_settings(folder)) != settings:
        theirs, ours = found.to_settings(), settings.to_settings()
        different = ", ".join(f"{name} {theirs[name]}, not {ours[name]}" for name in ours if theirs[name] != ours[name])
        raise SmallDataError(f"{folder} was begun with {different}.", "Give another folder, or the same settings.")


def read_settings(folder: Path) -> SmallSettings:
    """What a folder was made with.

    Raises:
        SmallDataError: It is not a folder of this benchmark.
        SettingsError: Its settings are of another version.
    """
    try:
        values = json.loads((folder / "settings.json").read_bytes())
    except (OSError, ValueError) as error:
        command = f"Run python -m benchmarks.small.train --out {folder}."
        raise SmallDataError(f"{folder} has no readable settings.json.", command) from error
    return SmallSettings.from_settings(values)
