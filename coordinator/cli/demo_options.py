"""Options of `paris-coord demo`: a recipe, or the user's own pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paris.coordinator.errors import ConfigError

_MINUTES, _VOLUNTEERS = 10.0, 3
_LEAST_MINUTES, _MOST_MINUTES = 0.1, 7 * 24 * 60


@dataclass(frozen=True)
class DemoOptions:
    """As on the command line; None is not given."""

    quick: bool
    recipe: str | None
    data: str | None
    minutes: float | None
    device: str | None
    volunteers: int | None
    strangers: bool | None = None


def start_demo(out: Path, options: DemoOptions, *, overwrite: bool) -> None:
    """Run or continue a demo.

    Args:
        out: Its folder.
        options: What to run.
        overwrite: Replace an earlier demo in the folder.

    Raises:
        ConfigError: Options exclude each other, or the minutes are out of range.
        ParisError: As `run_demo` and `run_own_demo`.
    """
    if options.data is None:
        for name, value in (("--minutes", options.minutes), ("--device", options.device)):
            if value is not None:
                raise ConfigError(f"{name} {value} needs --data: a recipe has its own.", "Add --data, or leave it out.")
        from paris.coordinator.demo.run import run_demo

        recipe = options.recipe or ("emoji-quick" if options.quick else "emoji")
        run_demo(
            out,
            recipe=recipe,
            num_volunteers=options.volunteers or _VOLUNTEERS,
            strangers=recipe == "emoji" if options.strangers is None else options.strangers,
            overwrite=overwrite,
        )
        return
    if options.quick or options.recipe is not None:
        other = "--quick" if options.quick else f"--recipe {options.recipe}"
        raise ConfigError(f"--data chooses its own settings, {other} names others.", "Leave one of them out.")
    if options.strangers:
        raise ConfigError("--strangers and --data exclude each other.", "Leave one of them out.")
    from paris.coordinator.demo.choosing import Asked
    from paris.coordinator.demo.own_run import run_own_demo

    minutes = _MINUTES if options.minutes is None else options.minutes
    if not _LEAST_MINUTES <= minutes <= _MOST_MINUTES:  # nan is in no range
        raise ConfigError(
            f"--minutes {minutes:g} is out of range: {_LEAST_MINUTES} to {_MOST_MINUTES}, a week.",
            f"Give a number in the range; {_MINUTES:g} is usual.",
        )
    run_own_demo(out, Asked(options.data, minutes, options.volunteers, options.device or "auto"), overwrite=overwrite)
