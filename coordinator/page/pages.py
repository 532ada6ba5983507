"""Rendered pages, each once for all who watch it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar, cast

from paris.coordinator.page.queries import Query
from paris.coordinator.page.reading import Snapshot
from paris.coordinator.page.rendering import Renderer
from paris.coordinator.page.views import Site, View, context_of, shared_context

R = TypeVar("R")
_KEPT = 64
_FRESH_S = 15


class Pages:
    """Renders pages and their fragments of the present state, and keeps those that were asked for last.

    Args:
        site: What they are made of.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self._renderer = Renderer()
        self._kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def page(self, view: View, query: Query, base: str) -> str:
        """A whole page.

        Args:
            view: Which.
            query: Its parameters.
            base: Scheme, host and port that it was asked for by, for addresses that must be whole.
        """
        snapshot = self.site.reader.snapshot()

        def render() -> str:
            context = context_of(view, self.site, snapshot, query)
            return self._renderer.page(view.template, {**context, "base": base})

        return self._once((snapshot.number, view.path, query, base), render)

    def plain(self, title: str, template: str, values: dict[str, Any]) -> str:
        """A page that shows no view of the run."""
        return self._renderer.page(template, {**shared_context(title, self.site), **values})

    def fragments(self, view: View, query: Query, snapshot: Snapshot) -> dict[str, str]:
        """The parts of a page that change with the state: ids of elements, and their HTML."""

        def render() -> dict[str, str]:
            context = context_of(view, self.site, snapshot, query)
            return self._renderer.fragments(view.template, {**context, "base": ""})

        return self._once((snapshot.number, view.path, query), render)

    def _once(self, what: tuple[Any, ...], render: Callable[[], R]) -> R:
        # Who is present, and whether the service is up, change with the time alone.
        key = (int(self.site.now() // _FRESH_S), *what)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast(R, self._kept[key])
            found = self._kept[key] = render()
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return found
