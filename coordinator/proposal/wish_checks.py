"""Wishes that no pictures can meet: refused before a survey, which may take long."""

from __future__ import annotations

import re

from paris.coordinator.errors import ConfigError
from paris.coordinator.prepare.errors import PrepareConfigError
from paris.coordinator.proposal.bases import recipe_base
from paris.coordinator.proposal.wishes import Wishes
from paris.protocol.limits import MAX_CLUSTERS

_PIXEL_STEP_PX = 4
"""A patch of the pixel models."""
_LATENT_STEP_PX = 32
"""A VAE's eight pixels for each latent, times a patch of two, and room for one more halving."""
_MIN_SIDE_PX = 8
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def require_possible(wishes: Wishes) -> None:
    """Check what needs no look at the pictures.

    Args:
        wishes: What was asked for.

    Raises:
        ConfigError: An unknown recipe, an invalid name, K or side, or options that exclude each other.
        PrepareConfigError: A side that is no multiple of the model's step.
    """
    require_one_text(wishes)
    if wishes.name is not None:
        require_name(wishes.name)
    if wishes.experts is not None and not 1 <= wishes.experts <= MAX_CLUSTERS:
        raise ConfigError(f"--experts is {wishes.experts}.", f"Give 1 to {MAX_CLUSTERS}.")
    if wishes.size is not None and wishes.size < _MIN_SIDE_PX:
        raise ConfigError(f"--size is {wishes.size}.", f"Give {_MIN_SIDE_PX} px or more.")
    recipe = None if wishes.recipe is None else recipe_base(wishes.recipe)
    if wishes.size is not None:
        require_multiple(wishes.size, side_step_px(is_vae=recipe is not None and recipe["codec"]["kind"] == "vae"))


def side_step_px(*, is_vae: bool) -> int:
    """What the side of the pictures must be a multiple of, px."""
    return _LATENT_STEP_PX if is_vae else _PIXEL_STEP_PX


def require_multiple(side_px: int, step_px: int) -> None:
    """Check a side.

    Raises:
        PrepareConfigError: It is no multiple of the step.
    """
    if side_px % step_px:
        low = side_px // step_px * step_px
        near = f"{low} or {low + step_px}" if low >= _MIN_SIDE_PX else f"{max(_MIN_SIDE_PX, step_px)}"
        raise PrepareConfigError(f"The size {side_px} is no multiple of {step_px}.", f"Give --size {near}.")


def require_name(name: str) -> None:
    """Check the name of a run.

    Raises:
        ConfigError: It is invalid.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"Invalid run name {name!r}.", "Use up to 40 lower-case letters, digits and inner hyphens.")


def require_one_text(wishes: Wishes) -> None:
    """Check that captions are not both written and left out.

    Raises:
        ConfigError: They are.
    """
    if wishes.captions == "none" and wishes.captioner is not None:
        raise ConfigError("--captions none and --captioner exclude each other.", "Give one of them.")
