"""The products found: pictures or table, facets, details of one, and what is selected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets import Dict, Float, List, TraitError, Unicode

from extenso_nb import _html
from extenso_nb.models import Product
from extenso_nb.plot import cloud_colour
from extenso_nb.results import short_name
from extenso_nb.widgets import standing
from extenso_nb.widgets.facets import offered
from extenso_nb.widgets.offers import CLOUDY, FILTERS
from extenso_nb.widgets.panel import Panel, Source, script, style
from extenso_nb.widgets.state import ExplorerState, guard

__all__ = ["ResultsView", "card"]

_PICTURES = 100
"""Thumbnails in one message to the browser: half a megabyte at most."""


class ResultsView(Panel):
    """The products found, as pictures or as a table, with facets and the details of one.

    Parameters
    ----------
    source
        A session, the desk of an Explorer; or a `SearchResult`, or a GeoDataFrame with the columns of its `gdf`, which is
        then shown as it is, without any search.
    """

    _esm = script("results")
    _css = style("results")
    items = List(Dict()).tag(sync=True)
    hidden = List(Unicode()).tag(sync=True)
    ordered = Dict().tag(sync=True)
    facets = List(Dict()).tag(sync=True)
    words = Dict().tag(sync=True)
    sheet = Dict().tag(sync=True)
    selected = List(Unicode()).tag(sync=True)
    hovered = Unicode("").tag(sync=True)
    draped = List(Unicode()).tag(sync=True)
    view = Unicode("gallery").tag(sync=True)
    least_coverage = Float(0.0).tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        own = standing.desk(source)
        # What is shown as it is has nobody who could be asked for more.
        self._standing, self._sent = own is not None, frozenset[str]()
        super().__init__(source if own is None else own)
        self._owns_desk = self._owns_desk or own is not None
        self._alone = self._owns_desk
        self._show_all()
        self._listen()
        missing = any(product.id not in self.state.thumbnails for product in self.state.products)
        if missing and "thumbnails" not in self.state.busy:
            self.desk.fetch_thumbnails()
        if self.state.detailed and not self.state.details:
            self.desk.show_details(self.state.detailed)

    def _show_all(self) -> None:
        # The area too: a search that finds the same products in another area changes no product.
        self.watch(self._show_items, "products", "found_aoi")
        self.watch(self._show_hidden, "products", "found_aoi", "facets", "least_coverage")
        self.watch(self._show_ordered, "products", "orders")
        self.watch(self._show_pictures, "thumbnails")
        self.watch(
            self._show_words, "products", "total", "searched", "failed", "busy", "page_size", "message", "found_collection",
            "found_form", "found_aoi", "facets", "least_coverage", "aoi", *self.state.search_form(),
        )  # fmt: skip
        self.watch(self._show_sheet, "detailed", "details")
        self.watch(self._show_selected, "selected")
        for name in ("hovered", "draped", "view", "least_coverage"):
            self._mirror(name)

    def _mirror(self, name: str) -> None:
        """The trait of the state, both ways."""

        def show() -> None:
            setattr(self, name, getattr(self.state, name))

        def take(change: Any) -> None:
            try:
                self.state.update(**{name: change["new"]})
            except TraitError:
                show()  # the browser must not go on showing what was refused
                raise

        self.watch(show, name)
        self.observe(guard(self.state, f"{name.replace('_', ' ').capitalize()} was not changed.", take), name)

    def _listen(self) -> None:
        state, desk = self.state, self.desk
        self.answer("more", lambda _: desk.load_more())
        self.answer("pictures", lambda _: self._send_pictures(state.thumbnails))
        self.answer("details", lambda content: desk.show_details(str(content["id"])))
        self.answer("drape", lambda content: desk.drape(str(content["id"])))
        self.answer("select", self._select)
        self.answer("facet", self._facet)
        self.answer("show_all", lambda _: state.update(facets={}, least_coverage=0.0))

    def _select(self, content: Mapping[str, Any]) -> None:
        """Put products into the basket, or take them out. Whatever came of it, the browser is told that it was heard."""
        try:
            self.state.pick([str(key) for key in content["ids"]], on=bool(content["on"]))
        finally:
            self.send({"kind": "heard"})

    def _facet(self, content: Mapping[str, Any]) -> None:
        """Choose a value of a facet, or drop it."""
        name, value = str(content["name"]), str(content["value"])
        with self.state.lock:
            on = self.state.facets.get(name, [])
            values = [other for other in on if other != value] if value in on else [*on, value]
            self.state.update(facets={**self.state.facets, name: values})

    # --- to the browser ------------------------------------------------------------------------------------------
    def _show_selected(self) -> None:
        self.selected = self.state.selected

    def _show_items(self) -> None:
        shares = self.state.coverage()
        self.items = [card(product, shares.get(product.id)) for product in self.state.products]
        # The browser keeps the pictures of what it lists, and no others.
        self._sent = self._sent.intersection(product.id for product in self.state.products)
        self._show_pictures()

    def _show_hidden(self) -> None:
        state = self.state
        shown = {product.id for product in state.visible()}
        with self.hold_sync():
            self.hidden = [product.id for product in state.products if product.id not in shown]
            self.facets = offered(state.covering(), state.facets)

    def _show_ordered(self) -> None:
        ordered = self.state.ordered()
        self.ordered = {product.id: ordered[product.id] for product in self.state.products if product.id in ordered}

    def _show_pictures(self) -> None:
        """Send the pictures that came since the last time: not a trait, which would go to the browser as a whole each time.

        A view that is new in a page asks for all of them.
        """
        pictures = self.state.thumbnails
        new = {key: uri for key, uri in pictures.items() if key not in self._sent}
        self._sent = frozenset(pictures)
        self._send_pictures(new)

    def _send_pictures(self, pictures: Mapping[str, str]) -> None:
        rows = list(pictures.items())
        for at in range(0, len(rows), _PICTURES):
            self.send({"kind": "pictures", "pictures": dict(rows[at : at + _PICTURES])})

    def _show_words(self) -> None:
        state = self.state
        shown, searching = len(state.products), "search" in state.busy
        rest = 0 if self._standing else state.total - shown
        hidden = shown - len(state.visible())
        earlier = shown > 0 and not searching and not self._standing and (state.failed or state.outdated())
        message = state.message
        self.words = {
            "caption": _caption(state),
            "earlier": "" if not earlier else "earlier search",
            "why": "The last search failed; these are the products of the one before."
            if state.failed
            else "The form or the area has changed since; press Search.",
            "hidden": f"{hidden} hidden" if hidden else "",
            "more": f"Load {min(rest, state.page_size)} more" if state.searched and rest > 0 else "",
            "busy": searching,
            "fetching": "thumbnails" in state.busy,
            "area": state.found_aoi is not None,
            "empty": {} if shown > hidden else _empty(state, hidden, searching, self._alone),
            # An Explorer has a line for what fails; a part alone has none.
            "trouble": "\n".join(filter(None, (message["title"], message["detail"], message["hint"])))
            if self._alone and message["level"] in {"warning", "error"}
            else "",
        }

    def _show_sheet(self) -> None:
        state = self.state
        product = state.product(state.detailed) if state.detailed else None
        if product is None:
            self.sheet = {}
            return
        there = state.details if state.details.get("id") == product.id else {}
        self.sheet = {
            "id": product.id,
            "name": short_name(product),
            "time": f"{product.begin_position:%Y-%m-%d %H:%M}",
            "picture": there.get("picture", ""),
            "note": there.get("note", ""),
            "facts": [[str(label), str(text)] for label, text in there.get("facts", ())],
        }


def card(product: Product, share: float | None) -> dict[str, Any]:
    """What is shown of a product, of whose area `share` per cent are covered; texts, and numbers to sort by."""
    cloud = product.cloud_cover
    return {
        "id": product.id,
        "name": short_name(product),
        "time": f"{product.begin_position:%Y-%m-%d %H:%M}",
        "moment": product.begin_position.timestamp(),
        "cloud": "" if cloud is None else f"{cloud:.0f} %",
        "cloudy": cloud,
        "colour": cloud_colour(cloud),
        "cover": _share_text(share),
        "covered": share,
        "size": ("~" if product.size_estimated else "") + _html.bytes_text(product.size),
        "bytes": product.size,
        "storage": "online" if product.online else "cold",
    }


def _share_text(share: float | None) -> str:
    """A share in per cent. Nearly all is not all, and nearly nothing is not nothing."""
    if share is None:
        return ""
    if 0 < share < 0.5:
        return "<1 %"
    return ">99 %" if 99.5 <= share < 100 else f"{share:.0f} %"


def _caption(state: ExplorerState) -> str:
    if not state.searched:
        return ""
    number = f"{len(state.products)} of {state.total}" if state.total else "No"
    return " ".join(filter(None, (number, state.found_collection, "products")))


# --- when there is nothing to show -----------------------------------------------------------------------------------
def _empty(state: ExplorerState, hidden: int, searching: bool, alone: bool) -> dict[str, Any]:
    """What stands in place of the products: a title, lines, and the name of the button if there is one."""
    if hidden:
        return _notice(f"All {hidden} products loaded are hidden by the filters.", button="Show all")
    if searching:
        return _notice(f"Searching {state.collection} ...")
    if state.failed:
        reason = "" if alone else "The message line has the reason, and what to do."
        return _notice("The search failed; nothing is shown.", reason)
    if state.searched:
        return _nothing(state)
    if alone:
        return _notice("Nothing was searched yet.", "Give what a search returned: ResultsView(eo.search(...)).")
    return _notice(
        "Nothing was searched yet.",
        "1. Draw an area on the map, or name a place; without one the whole Earth is searched.",
        "2. Choose a mission and days.",
        "3. Press Search.",
    )


def _notice(title: str, *lines: str, button: str = "") -> dict[str, Any]:
    return {"title": title, "lines": [line for line in lines if line], "button": button}


def _nothing(state: ExplorerState) -> dict[str, Any]:
    """Which conditions were set, and which of them to widen first."""
    form = state.found_form
    name = form.get("collection", state.found_collection)
    conditions, widen = [], []
    if state.found_aoi is not None:
        conditions.append("in the area")
        widen.append("enlarge or remove the area")
    if form.get("start") or form.get("stop"):
        first = f"from {form['start']}" if form.get("start") else ""
        last = f"until {form['stop']}" if form.get("stop") else ""
        conditions.append(" ".join(filter(None, (first, last))))
        widen.insert(0, "take more days")
    if name in CLOUDY and form.get("cloud", 100) < 100:
        conditions.append(f"at most {form['cloud']:g} % cloud")
        widen.insert(0, "allow more cloud")
    if form.get("product_type"):
        conditions.append(f"type {form['product_type']}")
        widen.append("take any type")
    filters = form.get("filters") or {}
    conditions += [
        f"{item.label.lower()} {filters[item.name]}" for item in FILTERS.get(name, ()) if filters.get(item.name)
    ]
    if form.get("q"):
        conditions.append(f"the query {form['q']}")
    if len(conditions) > len(widen):
        widen.append("drop the other filters")
    if not conditions:
        return _notice(f"Nothing matches: the gateway has no {name} products.", "Choose another mission.")
    advice = ", or ".join(widen)
    return _notice(
        "Nothing matches.",
        f"Asked for: {', '.join((name, *conditions))}.",
        f"{advice[0].upper()}{advice[1:]}; then search again.",
    )
