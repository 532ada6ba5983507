"""Builds the documents as a site: `python docs/build_site.py` writes build/docs/site; `make docs` calls it.

Two documents are too long for a page of a browser: the site has a page for each of their sections. Links are changed
accordingly. What a link leads to outside of docs/ is not in the site, so that such links become text.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

DOCS = Path(__file__).resolve().parent
BUILD = DOCS.parent / "build"
DIVIDED = {"organisers.md": 2, "protocol.md": 3}
"""Documents with a page for each heading down to this level."""
_COPIED = {".md", ".png", ".svg", ".json", ".yml", ".ipynb"}
_FENCED = re.compile(r"(^```[^\n]*\n.*?^```)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+)\s+(.+?)\s*$", re.MULTILINE)
_LINK = re.compile(r'(!?)\[([^\]]*)\]\(([^)\s]+)(\s+"[^"]*")?\)')


@dataclass
class Page:
    """A page of the site.

    Args:
        path: In the site's folder, such as "organisers/legs.md".
        source: Its document in docs/.
        title: The heading it begins with.
        text: Markdown, with the links of the document.
    """

    path: str
    source: str
    title: str
    text: str
    anchors: set[str] = field(default_factory=set)


def anchor_of(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def pages_of(source: str, text: str) -> list[Page]:
    """The pages of a document; the first has what stands before the first section."""
    level = DIVIDED.get(source, 0)
    inside = [range(*found.span()) for found in _FENCED.finditer(text)]
    headings = [found for found in _HEADING.finditer(text) if not any(found.start() in span for span in inside)]
    starts = [found for found in headings[1:] if len(found[1]) <= level]
    ends = [found.start() for found in starts] + [len(text)]
    folder, first = source.removesuffix(".md"), headings[0][2]
    pages = [Page(f"{folder}/README.md" if level else source, source, first, text[: ends[0]])]
    for found, end in zip(starts, ends[1:], strict=True):
        body = f"# {found[2]}" + text[found.end() : end]
        pages.append(Page(f"{folder}/{anchor_of(found[2])}.md", source, found[2], body))
    bounds = [0, *ends]
    for page, begin, end in zip(pages, bounds, bounds[1:], strict=False):
        page.anchors = {anchor_of(found[2]) for found in headings if begin <= found.start() < end}
    if level:
        pages[0].text += "".join(f"\n- [{page.title}](#{anchor_of(page.title)})" for page in pages[1:]) + "\n"
    return pages


def all_pages() -> list[Page]:
    """Every page of the site, with the links of the documents."""
    documents = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    return [page for source in documents for page in pages_of(source, (DOCS / source).read_text("utf-8"))]


def with_links_of_the_site(page: Page, pages: list[Page]) -> str:
    """The page's text, its links leading to the pages of the site."""
    places = {(other.source, anchor): other for other in pages for anchor in other.anchors}
    firsts = {other.source: other for other in reversed(pages)}

    def changed(found: re.Match[str]) -> str:
        picture, label, link, title = found[1], found[2], found[3], found[4] or ""
        if re.match(r"[a-z]+:", link):
            return found[0]
        file, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), file)) if file else page.source
        if target.startswith("../"):
            return label
        to = places.get((target, anchor)) or firsts.get(target)
        where = posixpath.relpath(to.path if to else target, posixpath.dirname(page.path) or ".")
        # The heading that a page begins with is its top.
        inner = f"#{anchor}" if anchor and (to is None or anchor != anchor_of(to.title)) else ""
        return f"{picture}[{label}]({where}{inner}{title})"

    parts = _FENCED.split(page.text)
    return "".join(part if part.startswith("```") else _LINK.sub(changed, part) for part in parts)


def with_parts(nav: list[Any], pages: list[Page]) -> list[Any]:
    """The navigation of docs/site.toml, a divided document followed by its parts."""
    shown: list[Any] = []
    for item in nav:
        (title, target), *_ = item.items()
        if isinstance(target, str) and target in DIVIDED:
            parts: list[Any] = [page for page in pages if page.source == target]
            target = [parts[0].path, *({page.title: page.path} for page in parts[1:])]
        shown.append({title: target})
    return shown


def stage(folder: Path) -> Path:
    """Write what the site is made of.

    Args:
        folder: Emptied first.

    Returns:
        The settings for zensical.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(DOCS.rglob("*")):
        if path.suffix in _COPIED - {".md"}:
            copy = folder / "docs" / path.relative_to(DOCS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    pages = all_pages()
    for page in pages:
        file = folder / "docs" / page.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(with_links_of_the_site(page, pages), "utf-8")
    settings = tomllib.loads((DOCS / "site.toml").read_text("utf-8"))
    project = settings["project"]
    settings["project"] = {"docs_dir": "docs", "site_dir": "site", **project, "nav": with_parts(project["nav"], pages)}
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
