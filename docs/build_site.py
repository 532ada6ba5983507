"""Builds the documents as a site: `python docs/build_site.py` writes build/docs/site; `make docs` calls it.

What a link leads to outside of docs/ is not in the site, so that such links become text.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import tomli_w

DOCS = Path(__file__).resolve().parent
BUILD = DOCS.parent / "build"
_COPIED = {".png", ".svg", ".json", ".yml", ".ipynb"}
_FENCED = re.compile(r"(^```[^\n]*\n.*?^```)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r'!?\[([^\]]*)\]\(([^)\s]+)(?:\s+"[^"]*")?\)')


def documents() -> list[str]:
    """Every page of the site, by its path in docs/."""
    return sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def without_links_out(document: str) -> str:
    """A document's text, where links to files outside of docs/ are only their words."""

    def changed(found: re.Match[str]) -> str:
        words, link = found[1], found[2]
        is_out = posixpath.normpath(posixpath.join(posixpath.dirname(document), link)).startswith("../")
        return words if is_out and not re.match(r"[a-z]+:", link) else found[0]

    parts = _FENCED.split((DOCS / document).read_text("utf-8"))
    return "".join(part if part.startswith("```") else _LINK.sub(changed, part) for part in parts)


def stage(folder: Path) -> Path:
    """Write what the site is made of.

    Args:
        folder: Emptied first.

    Returns:
        The settings for zensical.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(DOCS.rglob("*")):
        copy = folder / "docs" / path.relative_to(DOCS)
        if path.suffix == ".md" or path.suffix in _COPIED:
            copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            copy.write_text(without_links_out(path.relative_to(DOCS).as_posix()), "utf-8")
        elif path.suffix in _COPIED:
            shutil.copyfile(path, copy)
    settings = tomllib.loads((DOCS / "site.toml").read_text("utf-8"))
    settings["project"] |= {"docs_dir": "docs", "site_dir": "site"}
    config = folder / "zensical.toml"
    config.write_text(tomli_w.dumps(settings), "utf-8")
    return config


def build(folder: Path) -> Path:
    """Build the site in a folder; a warning is an error.

    Returns:
        The site, of which index.html is the first page.

    Raises:
        subprocess.CalledProcessError: zensical found something wrong, and has printed it.
    """
    config = stage(folder)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "-f", str(config)], check=True, cwd=folder)
    return folder / "site"


if __name__ == "__main__":
    print(build(BUILD / "docs") / "index.html")
