"""Pictures of a node's own page: a node trains on a served run of emoji, and Chromium opens the page that it serves.

    python -m benchmarks.own_page docs/pictures --step 600 --only own-page

Nothing is made for the picture: preparation, training and drawings are those of the commands.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.attacks_seed import TESTS
from benchmarks.browser import Browser
from benchmarks.page_pictures import shrink

sys.path += [str(TESTS / "swarm"), str(TESTS / "protocol")]

from swarm import Process, command, wait_until

_PATIENCE_S = 3600.0
_EVERY_STEPS = 40
_RECIPE = 'extends = "emoji"\n[tasks]\ndeadline_s = 86400\ngrace_s = 7200\n'
"""A machine that does other things, too, keeps its lease."""
_IS_LIVE = "document.readyState === 'complete' && document.getElementById('connection')?.textContent === 'live'"
_ARE_LOADED = "[...document.images].every((it) => it.loading === 'lazy' || it.naturalWidth > 0)"


class _Picture(NamedTuple):
    name: str
    width_px: int = 1000
    height_px: int = 1250
    dark: bool = False


_PICTURES = (
    _Picture("own-page"),
    _Picture("own-page-dark", dark=True),
    _Picture("own-page-phone", 400, 1600, dark=True),
)


def main() -> None:
    """Serve, join, wait, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--step", type=int, default=600, help="take them after so many steps (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these pictures alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _photograph(Path(folder), arguments.folder, arguments.step, arguments.only)


def _photograph(work: Path, out: Path, step: int, only: list[str]) -> None:
    run, home, recipe = work / "run", work / "home", work / "recipe.toml"
    recipe.write_text(_RECIPE, "utf-8")
    for words in (("init", str(run), "--recipe", str(recipe)), ("prepare", str(run)), ("publish-tasks", str(run))):
        done = command("paris-coord", *words, timeout_s=_PATIENCE_S)
        if done.returncode:
            raise RuntimeError(done.stderr)
    serve = Process(work, "coordinator", "paris-coord", "serve", str(run), "--json")
    try:
        wait_until((run / "run.json").is_file, _PATIENCE_S, "run.json")
        home.mkdir()
        (home / "config.toml").write_text(f'name = "ada"\npage_port = 0\ndraw_every_steps = {_EVERY_STEPS}\n', "utf-8")
        words = ("join", str(run / "run.json"), "--home", str(home), "--device", "cpu", "--threads", "1", "--page")
        node = Process(work, "ada", "paris-node", *words, "--json")
        try:
            wait_until(lambda: (told := node.event("training")) and told["step"] >= step, _PATIENCE_S, f"step {step}")
            _take_pictures((home / "page-address").read_text("ascii").strip(), out, only)
        finally:
            node.stop()
    finally:
        serve.stop()


def _take_pictures(address: str, out: Path, only: list[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with Browser() as browser:
        browser.send("Page.navigate", url=address)
        browser.wait_for(f"location.search === '' && {_IS_LIVE}")
        for picture in _PICTURES:
            if only and picture.name not in only:
                continue
            browser.resize(picture.width_px, picture.height_px, phone=picture.width_px < 500)
            browser.set_dark(picture.dark)
            browser.wait_for(_ARE_LOADED)
            browser.screenshot(out / f"{picture.name}.png")
            shrink(out / f"{picture.name}.png")
        if browser.problems:
            raise RuntimeError(f"The browser found problems: {browser.problems}")


if __name__ == "__main__":
    main()
