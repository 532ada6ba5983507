"""`paris-coord clusters`: the page that `prepare` made of the clusters, shown, copied, or as JSON."""

from __future__ import annotations

import json
import shutil
import webbrowser
from pathlib import Path

from paris.coordinator.console import print_json, say
from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.experts.files import whole_file


def show_clusters(run: RunDir, out: Path | None, *, open_page: bool, as_json: bool) -> None:
    """Say where the page is, and show it if asked to.

    Args:
        run: A prepared run.
        out: Where to put a copy; None leaves the page among the run's data.
        open_page: Show it in the browser.
        as_json: Print what the page says on stdout.

    Raises:
        RunDirError: Nothing was prepared yet, or the page is gone.
        DiskFullError: No room for the copy; what was at `out` stays.
    """
    run.require_prepared()
    page = run.data / "clusters.html"
    if not page.is_file():
        raise RunDirError(f"{page} is missing.", f"Delete {run.data} and run: paris-coord prepare {run.path}")
    if out is not None:
        with whole_file(out) as partial:
            shutil.copyfile(page, partial)
        page = out.resolve()
    if as_json:
        print_json(json.loads((run.data / "clusters.json").read_bytes()))
    if open_page:
        webbrowser.open(page.as_uri())
    say(f"The clusters: {page}")
