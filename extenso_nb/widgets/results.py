"""The products found: pictures or table, facets, details of one, and what is selected."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Dict, List, Unicode

from extenso_nb import _html
from extenso_nb.models import Product
from extenso_nb.plot import cloud_colour
from extenso_nb.results import short_name
from extenso_nb.widgets.panel import Panel, Source, script, style
from extenso_nb.widgets.state import guard

__all__ = ["ResultsView"]


class ResultsView(Panel):
    """The products found."""

    _esm = script("gallery")
    _css = style("gallery")
    items = List(Dict()).tag(sync=True)
    pictures = Dict().tag(sync=True)
    selected = List(Unicode()).tag(sync=True)
    hovered = Unicode("").tag(sync=True)
    caption = Unicode("").tag(sync=True)
    empty = Unicode("").tag(sync=True)
    more = Unicode("").tag(sync=True)
    busy = Bool(False).tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        super().__init__(source)
        self.watch(self._show_items, "products", "orders")
        self.watch(self._show_words, "products", "total", "searched", "busy", "page_size", "found_collection")
        self._mirror("thumbnails", "pictures")
        self._mirror("selected", "selected")
        self._mirror("hovered", "hovered")
        self.observe(guard(self.state, "Selecting failed.", self._selected), "selected")
        self.observe(guard(self.state, "Pointing failed.", self._hovered), "hovered")
        self.answer("more", lambda _: self.desk.load_more())

    def _mirror(self, source: str, target: str) -> None:
        def show() -> None:
            setattr(self, target, getattr(self.state, source))

        self.watch(show, source)

    def _selected(self, change: Any) -> None:
        self.state.select(change["new"])

    def _hovered(self, change: Any) -> None:
        self.state.update(hovered=change["new"])

    def _show_items(self) -> None:
        ordered = self.state.ordered()
        self.items = [card(product, ordered.get(product.id, "")) for product in self.state.products]

    def _show_words(self) -> None:
        state, gallery = self.state, self
        shown, searching = len(state.products), "search" in state.busy
        rest = state.total - shown
        with gallery.hold_sync():
            gallery.busy = searching
            gallery.caption = f"{shown} of {state.total} {state.found_collection} products" if state.searched else ""
            gallery.more = f"Load {min(rest, state.page_size)} more" if state.searched and rest > 0 else ""
            if shown:
                gallery.empty = ""
            elif searching:
                gallery.empty = "Searching ..."
            elif state.searched:
                gallery.empty = "Nothing matches.\nWiden the dates, the area or the cloud cover."
            else:
                gallery.empty = "Draw a rectangle on the map, choose a mission, press Search."


def card(product: Product, ordered: str) -> dict[str, Any]:
    """What the gallery shows of a product; all text, set as text by the browser."""
    cloud = "" if product.cloud_cover is None else f"{product.cloud_cover:.0f} % cloud"
    return {
        "id": product.id,
        "kind": short_name(product),
        "time": f"{product.begin_position:%Y-%m-%d %H:%M}",
        "cloud": cloud,
        "colour": cloud_colour(product.cloud_cover),
        "size": ("~" if product.size_estimated else "") + _html.bytes_text(product.size),
        "online": product.online,
        "state": "online" if product.online else "cold",
        "ordered": ordered,
    }
