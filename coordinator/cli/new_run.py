"""The commands before `prepare`: `init`, `check-config`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from paris.coordinator.cli.data_options import (
    AttributionOption,
    AuthorOption,
    CaptionerOption,
    CaptionsOption,
    DataOption,
    ExpertsOption,
    HostOption,
    HubOption,
    HubPortOption,
    ImageColumnOption,
    IncludeOption,
    LicenceOption,
    MaxRowsOption,
    NameOption,
    RecipeOption,
    RevisionOption,
    SizeOption,
    SplitOption,
    StepsOption,
    YesOption,
)
from paris.coordinator.cli.options import JsonOption, RunArgument
from paris.coordinator.console import say
from paris.coordinator.errors import ConfigError


def init(
    run: RunArgument,
    data: DataOption = None,
    recipe: RecipeOption = None,
    name: NameOption = None,
    hub: HubOption = None,
    host: HostOption = None,
    hub_port: HubPortOption = 0,
    size: SizeOption = None,
    experts: ExpertsOption = None,
    steps: StepsOption = None,
    max_rows: MaxRowsOption = None,
    captions: CaptionsOption = None,
    captioner: CaptionerOption = None,
    licence: LicenceOption = None,
    author: AuthorOption = None,
    attribution: AttributionOption = None,
    include: IncludeOption = None,
    split: SplitOption = None,
    revision: RevisionOption = None,
    image_column: ImageColumnOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a run directory: settings in run.toml, a new signing key, free ports."""
    known: dict[str, object] = {"--captions": captions, "--include": include, "--split": split, "--revision": revision}
    known |= {"--image-column": image_column, "--yes": yes or None, "--json": as_json or None}
    wished: dict[str, object] = {
        "--size": size,
        "--experts": experts,
        "--steps": steps,
        "--max-rows": max_rows,
        "--captioner": captioner,
    }
    wished |= {"--licence": licence, "--author": author, "--attribution": attribution}
    if data is None:
        _require_none({**wished, **known})
        _init_from_recipe(run, recipe or "emoji", name, hub, host, hub_port)
        return

    from paris.coordinator.cli.proposing import NewRun, init_with_data
    from paris.coordinator.proposal.asking import caption_wish
    from paris.coordinator.proposal.detecting import Hints
    from paris.coordinator.proposal.wishes import Wishes

    kind, column = (None, None) if captions is None else caption_wish(captions)
    values = {option[2:].replace("-", "_"): value for option, value in wished.items()}
    wishes = Wishes(name=name, recipe=recipe, captions=kind, **values)  # type: ignore[arg-type]
    hints = Hints(tuple(include or ()), split, revision, column, image_column)
    init_with_data(NewRun(run, data, hub, host, hub_port), wishes, hints, yes=yes, as_json=as_json)


def _require_none(given: Mapping[str, object]) -> None:
    """Refuse options that mean nothing without --data."""
    alone = [option for option, value in given.items() if value is not None]
    if alone:
        raise ConfigError(f"{alone[0]} needs --data.", "Give --data SOURCE, or edit run.toml.")


def _init_from_recipe(
    run: Path, recipe: str, name: str | None, hub: str | None, host: str | None, hub_port: int
) -> None:
    from paris.coordinator.run.create import create_run

    made = create_run(run, recipe=recipe, name=name, hub_endpoint=hub, host=host, hub_port=hub_port)
    run_argument = shlex.quote(str(run))
    say(f"Created run {made.run_id} in {run}. Settings: {run / 'run.toml'}. Next: paris-coord prepare {run_argument}")


def check_config(run: RunArgument, as_json: JsonOption = False) -> None:
    """Explain each setting of run.toml that is off: by itself, with the others, or with the pictures."""
    from paris.coordinator.cli.checking import print_check

    print_check(run, as_json=as_json)
