"""The site of the documents: every link leads somewhere, nothing is loaded from elsewhere, search works by itself."""

from __future__ import annotations

import importlib.util
import re
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from documents import ROOT, anchors, links

from benchmarks.browser import Browser, find_chromium

SCRIPT = ROOT / "docs" / "build_site.py"
_spec = importlib.util.spec_from_file_location("build_site", SCRIPT)
build_site = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build_site)

needs_zensical = pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="zensical is not installed: make docs"
)


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build_site.stage(folder)
    return folder / "docs"


def test_links_of_the_pages_lead_to_pages_of_the_site(staged):
    pages = sorted(staged.rglob("*.md"))
    assert len(pages) > 100, "documents, and a page an error"
    broken = []
    for page in pages:
        for link in links(page):
            target, _, anchor = link.partition("#")
            file = (page.parent / target).resolve() if target else page
            if re.match(r"[a-z]+:", link):
                continue
            if not file.is_relative_to(staged) or not file.is_file() or (anchor and anchor not in anchors(file)):
                broken.append(f"{page.relative_to(staged)}: {link}")
    assert broken == []


def test_every_document_is_in_the_navigation_and_none_is_too_long_for_a_browser():
    nav = build_site.tomllib.loads((ROOT / "docs" / "site.toml").read_text("utf-8"))["project"]["nav"]
    shown = set(re.findall(r"[\w/-]+\.md", str(nav)))
    assert {page for page in set(build_site.documents()) ^ shown if not page.startswith("errors/")} == set()
    assert "errors/README.md" in shown, "it leads to the pages of errors"
    parts = [*(ROOT / "docs" / "organisers").iterdir(), *(ROOT / "docs" / "protocol").iterdir()]
    assert {page.name for page in parts if len(page.read_text("utf-8").splitlines()) > 400} == set()


class Html(HTMLParser):
    """Ids of a page, where its links lead, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.ids |= {named["id"]} if named.get("id") else set()
        self.links += [named["href"]] if tag == "a" and named.get("href") else []
        self.loaded += [named[name] for name in ("src", "href") if tag != "a" and named.get(name)]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return build_site.build(tmp_path_factory.mktemp("built"))


@needs_zensical
def test_built_pages_load_nothing_from_elsewhere_and_their_anchors_exist(built):
    pages = {path: Html(path.read_text("utf-8")) for path in built.rglob("*.html")}
    assert len(pages) > 100
    assert {link for page in pages.values() for link in page.loaded if re.match(r"[a-z]+:|//", link)} == set()
    broken = []
    for path, page in pages.items():
        for link in page.links if path.name != "404.html" else []:
            target, _, anchor = link.partition("#")
            file = (path.parent / target).resolve() if target else path
            file = file / "index.html" if file.is_dir() else file
            known = file.is_relative_to(built) and file.is_file() and (not anchor or anchor in pages[file].ids)
            if not known and not re.match(r"[a-z]+:", link):
                broken.append(f"{path.relative_to(built)}: {link}")
    assert broken == []


@needs_zensical
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed on this machine")
def test_search_finds_an_error_without_a_request_to_elsewhere(built):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(built)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with Browser(DEADLINE_S) as browser:
            browser.resize(1200, 800)
            browser.open(f"{url}/")
            browser.wait_for("document.querySelector('img[src*=checkpoint]').naturalWidth > 0")
            browser.value("document.querySelector('.md-search__button').click()")
            browser.wait_for("document.activeElement.shadowRoot?.activeElement?.tagName === 'INPUT'")
            browser.type("no-peers")
            browser.wait_for(
                "document.activeElement.shadowRoot.textContent.includes('None of the initial peers answered')"
            )
            assert browser.problems == []
            assert {asked for asked in browser.requests if not asked.startswith((url, "data:", "blob:"))} == set()
    finally:
        server.shutdown()
        server.server_close()
