"""Pure: the picture's side, and which pictures are left out."""

from __future__ import annotations

from typing import Any

from paris.coordinator.prepare.errors import PrepareConfigError
from paris.coordinator.proposal.findings import Pictures
from paris.coordinator.proposal.sizing import SIDES_PX, side_for
from paris.coordinator.proposal.wish_checks import require_multiple, side_step_px
from paris.coordinator.proposal.wishes import Reasons

_SMALL_SHARE = 0.5
_NEAR_BITS, _NEAR_SHARE = 6, 0.01
_LONG_ASPECT, _LONG_SHARE = 3.0, 0.1
_USUAL_MIN_SIDE_PX = 16


def choose_side(pictures: Pictures, wished: int | None, of_recipe: int | None, step_px: int, reasons: Reasons) -> int:
    """Side of the squares, px.

    Args:
        pictures: The sample.
        wished: By the organiser.
        of_recipe: By the recipe, if one was named.
        step_px: The side must be a multiple of it.
        reasons: Receives why.

    Raises:
        PrepareConfigError: No picture of the sample can be used, most are smaller, or it is no multiple.
    """
    if not pictures.sides:
        faults = ", ".join(f"{count} {fault}" for fault, count in pictures.faults.items())
        raise PrepareConfigError(f"None of {pictures.sampled} sampled pictures can be used: {faults}.", "Take others.")
    side, median = wished or of_recipe or side_for(pictures), pictures.side_at(0.5)
    if not side:
        raise PrepareConfigError(
            f"The pictures are too small: nine in ten should reach {SIDES_PX[-1]} px, the median is {median} px.",
            "Give --size 8 to use them as they are.",
        )
    require_multiple(side, step_px)
    below = pictures.share_below(side)
    if below > _SMALL_SHARE:
        raise PrepareConfigError(
            f"{below:.0%} of the sampled pictures have a side below {side} px; the median is {median} px.",
            _smaller(pictures, step_px),
        )
    why = "You asked for it" if wished else "The recipe's" if of_recipe else "The largest that nine in ten reach"
    more = "" if wished or of_recipe else _larger(pictures, side)
    reasons.add("data.image_size", side, f"{why}; the median shorter side is {median} px.{more}")
    return side


def _larger(pictures: Pictures, side: int) -> str:
    """What a larger side would leave out, if that is not most."""
    for other in SIDES_PX:
        below = pictures.share_below(other)
        if other > side and below <= _SMALL_SHARE:
            return f" --size {other} would leave out {below:.0%}."
    return ""


def _smaller(pictures: Pictures, step_px: int) -> str:
    if step_px < side_step_px(is_vae=True):
        fitting = side_for(pictures)
        return f"Give --size {fitting}." if fitting else "Take larger pictures."
    reached = pictures.side_at(0.1) // step_px * step_px
    return f"Give --size {reached}." if reached else "Take a recipe for smaller pictures, such as small-64."


def choose_filters(pictures: Pictures, side_px: int, reasons: Reasons) -> dict[str, Any]:
    """Fields of [data] that leave pictures out.

    Args:
        pictures: The sample.
        side_px: Side of the squares.
        reasons: Receives why.
    """
    data: dict[str, Any] = {"min_side_px": min(_USUAL_MIN_SIDE_PX, side_px)}
    below, long = pictures.share_below(side_px), pictures.share_longer(_LONG_ASPECT)
    if below:
        data["min_side_px"] = side_px
        reasons.add("data.min_side_px", side_px, f"{below:.0%} of the sampled pictures are smaller, and are left out.")
    if pictures.near_duplicates > _NEAR_SHARE * pictures.sampled:
        data["near_duplicate_bits"] = _NEAR_BITS
        found = f"{pictures.near_duplicates} of {pictures.sampled} sampled pictures are nearly another one."
        reasons.add("data.near_duplicate_bits", _NEAR_BITS, found)
    if 0 < long <= _LONG_SHARE:
        data["max_aspect"] = _LONG_ASPECT
        reasons.add("data.max_aspect", _LONG_ASPECT, f"{long:.1%} are longer; the square shows little of them.")
    return data


def kept_share(pictures: Pictures, data: dict[str, Any]) -> float:
    """Share of the sampled pictures that pass these fields of [data], as if the filters were independent."""
    if not pictures.sampled:
        return 0.0
    share = pictures.usable / pictures.sampled * (1 - pictures.share_below(data["min_side_px"]))
    if data.get("max_aspect") is not None:
        share *= 1 - pictures.share_longer(data["max_aspect"])
    if data.get("near_duplicate_bits") is not None:
        share *= 1 - pictures.near_duplicates / pictures.sampled
    return share
