"""Rendered pages, each once for all who watch it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from paris.coordinator.page.queries import Query
from paris.coordinator.page.reading import Snapshot
from paris.coordinator.page.rendering import Renderer
from paris.coordinator.page.views import Site, View, context_of, shared_context

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
        self._kept: OrderedDict[tuple[int, int, str, Query], dict[str, str]] = OrderedDict()
        self._lock = threading.Lock()

    def page(self, view: View, query: Query, base: str) -> str:
        """A whole page.

        Args:
            view: Which.
            query: Its parameters.
            base: Scheme, host and port that it was asked for by, for addresses that must be whole.
        """
        context = context_of(view, self.site, self.site.reader.snapshot(), query)
        return self._renderer.page(view.template, {**context, "base": base})

    def plain(self, title: str, template: str, values: dict[str, Any]) -> str:
        """A page that shows no view of the run."""
        return self._renderer.page(template, {**shared_context(title, self.site), **values})

    def fragments(self, view: View, query: Query, snapshot: Snapshot) -> dict[str, str]:
        """The parts of a page that change with the state: ids of elements, and their HTML."""
        # Who is present, and whether the service is up, change with the time alone.
        key = (snapshot.number, int(self.site.now() // _FRESH_S), view.path, query)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            context = context_of(view, self.site, snapshot, query)
            found = self._kept[key] = self._renderer.fragments(view.template, {**context, "base": ""})
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return found
