"""A page as a screen reader and a browser's policy see it: elements, their attributes, texts."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr"}
_TAGS = """
    html head title style body a p div span header main nav section ul ol li dl dt dd h1 h2 h3 h4 h5 h6 table caption
    thead tbody tr th td code pre strong em b s ins del time details summary blockquote
"""
ALLOWED = VOID | set(_TAGS.split())
_NAMES = """
    lang charset name content rel href class tabindex aria-label aria-current aria-labelledby id scope src alt loading
    datetime open download start
"""
ATTRIBUTES = set(_NAMES.split())


class Page(HTMLParser):
    """Parses a page; every end tag must close the element that was opened last."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(body.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self) -> list[str]:
        """Where its links lead, in order."""
        return [attributes["href"] for attributes in self.all("a")]

    def problems(self) -> list[str]:
        """What a page of the Hub must not have."""
        found = [f"<{tag}>" for tag, _ in self.elements if tag not in ALLOWED]
        found += [f"{tag} {name}" for tag, attributes in self.elements for name in attributes if name not in ATTRIBUTES]
        found += [
            f"img {a}" for a in self.all("img") if "alt" not in a or not a["src"].startswith(("/", "data:image/"))
        ]
        found += [f"th {a}" for a in self.all("th") if a.get("scope") not in ("col", "row")]
        found += [
            href for href in self.links() if ":" in href.split("/")[0] and not href.startswith(("http", "mailto:"))
        ]
        for tag in ("h1", "main", "title"):
            if len(self.all(tag)) != 1:
                found.append(f"{len(self.all(tag))} of {tag}")
        return found
