"""`paris-coord browse`: what is on a Hub, in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paris.coordinator.cli.options import JsonOption, expanded
from paris.coordinator.console import print_json
from paris.coordinator.errors import ConfigError
from paris.protocol.streams import require_stdout

if TYPE_CHECKING:
    from paris.coordinator.run_hub.browsing import HubReader

_URL = ("http://", "https://")


def browse(
    where: Annotated[str, typer.Argument(metavar="RUN|ENDPOINT", help="The run directory, or a Hub's URL.")],
    repo: Annotated[
        str | None, typer.Argument(metavar="[REPO]", help="org/name, or datasets/org/name.", show_default=False)
    ] = None,
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="A file or folder in it.", show_default=False)
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag, commit, or refs/pr/N of a pull request.", show_default="main")
    ] = None,
    pull_request: Annotated[
        int | None, typer.Option(metavar="N", help="Show this pull request or discussion.", min=1)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is on a Hub: repositories, cards, files, headers of weights, pull requests."""
    from paris.coordinator.run_hub import browsing_tables as tables

    require_stdout()
    reader = _reader(where)
    if repo is None:
        if path or revision or pull_request:
            raise ConfigError("Of which repository?", "Name it after the run: org/name.")
        rows = reader.repos()
        print_json({"repos": rows}) if as_json else tables.print_repos(rows)
    elif pull_request is not None:
        pull = reader.pull_request(repo, pull_request)
        print_json(pull) if as_json else tables.print_pull_request(pull)
    elif path is not None:
        found = reader.path(repo, path, revision)
        print_json(found) if as_json else tables.print_path(found)
    else:
        whole = reader.repo(repo, revision)
        print_json(whole) if as_json else tables.print_repo(whole)


def _reader(where: str) -> HubReader:
    """The Hub at a URL, without a token; or a run's, with the organiser's."""
    from paris.coordinator.run.directory import RunDir
    from paris.coordinator.run_hub.browsing import HubReader
    from paris.coordinator.run_hub.connect import saved_token

    if where.startswith(_URL):
        return HubReader(where.rstrip("/"))
    run = RunDir.open(expanded(Path(where)) or Path())
    hub = run.config.hub
    return HubReader(hub.endpoint, saved_token(run), (hub.model_repo, f"datasets/{hub.data_repo}"))
