"""Cards and comments: metadata as rows, Markdown as HTML that can do no harm.

The HTML has no tag, attribute or address of a stranger's own: raw HTML is text, links lead where `Links.target` lets
them, pictures are the repository's own. What would take the parser long is shown as text, what nests too deep is left
out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from paris.coordinator.hub.pages.links import Links, heading_id
from paris.protocol.printable import on_one_line, printable

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

MAX_MARKDOWN_CHARS = 192 * 1024
"""Of a text that is rendered; the rest is shown as it is."""
_MAX_INLINE_CHARS = 4 * 1024
"""Of one paragraph or cell: the parser's time grows with the square of its length."""
_MAX_NESTING = 20
_MAX_ROWS = 60
_MAX_VALUE_CHARS = 400
_CACHED_TEXTS = 32


def metadata_rows(card: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of a card's metadata as texts, bounded; the tags are shown elsewhere."""
    rows = [(str(name), _value(value)) for name, value in card.items() if name != "tags"]
    return rows[:_MAX_ROWS]


def _value(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    plain = all(isinstance(item, str | int | float) or item is None for item in values)
    text = ", ".join(map(str, values)) if plain else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}..."


@lru_cache(maxsize=_CACHED_TEXTS)
def markdown(text: str, links: Links) -> Markup:
    """A text in Markdown as HTML.

    Args:
        text: Of a stranger.
        links: Where its relative links and pictures are.
    """
    text = printable(text)
    shown, rest = text[:MAX_MARKDOWN_CHARS], text[MAX_MARKDOWN_CHARS:]
    html = Markup(_parser().render(shown, {"links": links}))
    return html + Markup("<pre>{}</pre>").format(rest) if rest else html


def markdown_line(text: str, links: Links) -> Markup:
    """The first line of a text in Markdown as HTML without paragraphs."""
    line = on_one_line(text.lstrip().partition("\n")[0][:_MAX_VALUE_CHARS])
    return Markup(_parser().renderInline(line, {"links": links}))


@cache
def _parser() -> MarkdownIt:
    # Imported for the first page, as the templates' engine.
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    parser.core.ruler.before("inline", "long_blocks", _leave_long_blocks)
    parser.core.ruler.push("house", _make_harmless)
    return parser


def _leave_long_blocks(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and len(token.content) > _MAX_INLINE_CHARS:
            token.type, token.children = "text", None


def _make_harmless(state: StateCore) -> None:
    links: Links = state.env["links"]
    for index, token in enumerate(state.tokens):
        if token.type == "heading_open":
            # The page's own heading is the first, and sections of the page come second.
            token.attrs["id"] = heading_id(state.tokens[index + 1].content)
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
        elif token.type == "heading_close":
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
        elif token.type in ("th_open", "td_open"):
            _describe_cell(token)
        elif token.type == "fence":
            token.info = ""
        elif token.children is not None:
            token.children = list(_harmless(token.children, links))


def _describe_cell(token: Token) -> None:
    """Let the style sheet align a cell, since the page's policy allows no style of an element's own."""
    if "right" in str(token.attrs.pop("style", "")):
        token.attrs["class"] = "number"
    if token.type == "th_open":
        token.attrs["scope"] = "col"


def _harmless(tokens: list[Token], links: Links) -> Iterator[Token]:
    open_links: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            target = links.target(str(token.attrs.get("href", "")))
            open_links.append(target is not None)
            token.attrs = {"href": target or "", "rel": "nofollow noopener"}
            if target is None:
                continue
        elif token.type == "link_close" and not open_links.pop():
            continue
        elif token.type == "image":
            yield _picture(token, links, is_linked=any(open_links))
            continue
        yield token


def _picture(token: Token, links: Links, *, is_linked: bool) -> Token:
    """A picture of the repository, or in place of any other a link to it."""
    address = str(token.attrs.get("src", ""))
    source = links.picture(address)
    if source is not None:
        token.attrs = {"src": source, "alt": "", "loading": "lazy"}
        return token
    shown = token.copy(type="html_inline", tag="", children=None)
    name = escape(token.content or "picture")
    target = None if is_linked else links.target(address)
    shown.content = str(Markup('<a href="{}" rel="nofollow noopener">{}</a>').format(target, name) if target else name)
    return shown
