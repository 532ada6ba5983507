"""`paris-coord clusters`: show or copy the clusters page that `prepare` wrote, or print it as JSON."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from paris.coordinator.console import print_json, say
from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.experts.files import copy_whole


def show_clusters(run: RunDir, out: Path | None, *, open_page: bool, as_json: bool) -> None:
    """Print the path of the clusters page.

    Args:
        run: A prepared run.
        out: Copy the page to this file first; None makes no copy.
        open_page: Open the page in the browser.
        as_json: Print the page's content as JSON on stdout.

    Raises:
        RunDirError: The data is not prepared, or the page is missing.
        DiskFullError: No space for the copy; an earlier `out` is left unchanged.
    """
    run.require_prepared()
    page = run.data / "clusters.html"
    if not page.is_file():
        raise RunDirError(f"{page} is missing.", f"Delete {run.data} and run: paris-coord prepare {run.path}")
    if out is not None:
        copy_whole(page, out)
        page = out.resolve()
    if as_json:
        print_json(
            read_object(run.data / "clusters.json", f"Delete {run.data} and run: paris-coord prepare {run.path}")
        )
    if open_page:
        webbrowser.open(page.as_uri())
    say(f"Clusters: {page}")
