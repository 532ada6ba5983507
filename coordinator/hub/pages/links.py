"""Addresses of pages and files, and where the links of a card lead."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from paris.coordinator.hub.context import Call
from paris.coordinator.hub.names import PICTURES
from paris.coordinator.hub.repositories.repos import Repo

_OUTSIDE = ("http", "https", "mailto")
_NOT_IN_IDS = re.compile(r"[^\w-]")
_ID = "card-"


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of one repository's pages, as paths: they hold behind a proxy with any name.

    Args:
        root: Path below which the Hub is mounted, empty or with a leading slash.
        web_path: Of the repository.
        revision: Branch, tag, full ref or commit whose files are meant.
        folder: Of the text whose relative links are meant; empty for the root.
    """

    root: str
    web_path: str
    revision: str = "main"
    folder: str = ""

    def page(self, *parts: str) -> str:
        """The repository's page, or a page below it; the parts are quoted, except for their slashes."""
        return "/".join([f"{self.root}/{self.web_path}", *map(quote, parts)])

    def at(self, what: str, path: str = "", revision: str | None = None) -> str:
        """A page of the revision.

        Args:
            what: `tree`, `blob`, `resolve` or `commits`.
            path: Of the folder or file; empty for the root.
            revision: Another one; None for this one's.
        """
        place = f"{self.page()}/{what}/{quote(revision or self.revision, safe='')}"
        return f"{place}/{quote(path)}" if path else place

    def target(self, address: str) -> str | None:
        """Where a link in a card or comment leads: another site, a page of this Hub, or a file of the repository.

        Returns:
            None where the link is to be left out.
        """
        try:
            scheme, host, path, _, fragment = urlsplit(address)
        except ValueError:
            return None
        if scheme:
            return address if scheme.lower() in _OUTSIDE else None
        if host:
            return None
        if not path:
            return f"#{heading_id(unquote(fragment))}" if fragment else None
        if path.startswith("/"):
            return f"{self.root}{quote(unquote(path))}"
        inside = self._inside(path)
        return self.at("blob", inside) if inside else None

    def picture(self, address: str) -> str | None:
        """Where a picture of a card is loaded from; None where it is none of the repository's files."""
        try:
            scheme, host, path, _, _ = urlsplit(address)
        except ValueError:
            return None
        inside = None if scheme or host or path.startswith("/") else self._inside(path)
        return self.at("resolve", inside) if inside and media_type(inside) else None

    def _inside(self, path: str) -> str | None:
        """A relative path as one of the repository; None for one that leads out of it."""
        plain = posixpath.normpath(posixpath.join(self.folder, unquote(path)))
        return None if plain in ("", ".") or plain.startswith(("../", "/")) or plain == ".." else plain


def links_to(call: Call, repo: Repo, revision: str = "main") -> Links:
    """Addresses of a repository's pages for the user of a request."""
    return Links(call.request.scope.get("root_path", ""), repo.web_path, revision)


def media_type(path: str) -> str | None:
    """The media type of a picture that is shown, by the ending of its name; None for any other file."""
    return PICTURES.get(path.rpartition(".")[2].lower())


def heading_id(title: str) -> str:
    """The id of a heading, from its text, as links within cards name it."""
    return _ID + _NOT_IN_IDS.sub("", title.strip().lower().replace(" ", "-"))
