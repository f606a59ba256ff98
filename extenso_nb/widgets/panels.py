"""The panels beside the map: search form, gallery of results, selection line, board of orders, message line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
from traitlets import Bool, Dict, List, Unicode

from extenso_nb import _html
from extenso_nb.models import Delivery, Order, Product
from extenso_nb.plot import cloud_colour
from extenso_nb.results import short_name
from extenso_nb.widgets.state import CLOUDY, COLLECTIONS, PRODUCT_TYPES, ExplorerState, guard

__all__ = ["Board", "Gallery", "Message", "OrderBoard", "ResultsView", "SearchForm", "SelectionLine"]

_ASSETS = Path(__file__).parent / "assets"
_Callback = Callable[[], object]


# --- what runs in the browser ----------------------------------------------------------------------------------------
class Gallery(anywidget.AnyWidget):
    """Cards of products. Sends `{"kind": "more"}`; `selected` and `hovered` go both ways."""

    _esm = _ASSETS / "gallery.js"
    _css = _ASSETS / "gallery.css"
    items = List(Dict()).tag(sync=True)
    pictures = Dict().tag(sync=True)
    selected = List(Unicode()).tag(sync=True)
    hovered = Unicode("").tag(sync=True)
    caption = Unicode("").tag(sync=True)
    empty = Unicode("").tag(sync=True)
    more = Unicode("").tag(sync=True)
    busy = Bool(False).tag(sync=True)


class Board(anywidget.AnyWidget):
    """Orders and their deliveries. Sends `{"kind": "cancel", "order": 7}` and `{"kind": "open", "delivery": "7-1"}`."""

    _esm = _ASSETS / "board.js"
    _css = _ASSETS / "board.css"
    orders = List(Dict()).tag(sync=True)


class Message(anywidget.AnyWidget):
    """The message line of a state."""

    _esm = _ASSETS / "message.js"
    _css = _ASSETS / "message.css"
    level = Unicode("").tag(sync=True)
    title = Unicode("").tag(sync=True)
    detail = Unicode("").tag(sync=True)
    hint = Unicode("").tag(sync=True)

    def __init__(self, state: ExplorerState) -> None:
        super().__init__(**state.message)
        state.observe(self._show, "message")

    def _show(self, change: Any) -> None:
        with self.hold_sync():
            for name, value in change["new"].items():
                setattr(self, name, value)


def _watch(state: ExplorerState, show: _Callback, *names: str) -> None:
    """Call `show` now, and whenever one of the traits changes."""

    def changed(_: Any) -> None:
        show()

    state.observe(guard(state, "A panel could not be drawn.", changed), list(names))
    show()


def _button(text: str, tip: str, state: ExplorerState, title: str, press: _Callback, *, style: str = "") -> Any:
    """A button with a text of its own (icons need a CDN in some front ends)."""
    button = ipywidgets.Button(
        description=text, tooltip=tip, button_style=style, layout=ipywidgets.Layout(width="auto", min_width="90px")
    )

    def pressed(_: Any) -> None:
        press()

    button.on_click(guard(state, title, pressed))
    return button


# --- the form --------------------------------------------------------------------------------------------------------
class SearchForm(ipywidgets.VBox):  # type: ignore[misc]
    """What to look for. Follows the state, and writes to it; `search` and `cancel` are called by its buttons."""

    def __init__(self, state: ExplorerState, *, search: _Callback, cancel: _Callback) -> None:
        self._state = state
        self.mission = ipywidgets.ToggleButtons(
            options=[(f"{key} {what}", key) for key, what in COLLECTIONS.items()],
            tooltips=[f"Sentinel-{key[1:]}: {what}" for key, what in COLLECTIONS.items()],
            style={"button_width": "auto"},
        )
        self.product_type = ipywidgets.Dropdown(
            description="Type", options=_types(state.collection), layout=_wide("230px"), style=_narrow("40px")
        )
        self.start = ipywidgets.DatePicker(description="From", layout=_wide("190px"), style=_narrow("40px"))
        self.stop = ipywidgets.DatePicker(description="to", layout=_wide("170px"), style=_narrow("20px"))
        # Without a least width the track of a slider shrinks to nothing in a row that wraps.
        self.cloud = ipywidgets.FloatSlider(
            description="Cloud up to %",
            min=0,
            max=100,
            step=1,
            readout_format=".0f",
            continuous_update=False,
            layout=ipywidgets.Layout(width="320px", min_width="220px"),
            style=_narrow("105px"),
        )
        self.area = ipywidgets.HTML()
        self.search = _button("Search", "Search the catalogue", state, "The search failed.", search, style="primary")
        self.cancel = _button("Cancel", "Stop the search", state, "Cancelling failed.", cancel)
        self._bind(self.mission, "collection")
        self._bind(self.product_type, "product_type")
        self._bind(self.cloud, "cloud")
        self._bind(self.start, "start", to_state=_from_date, to_widget=_to_date)
        self._bind(self.stop, "stop", to_state=_from_date, to_widget=_to_date)
        _watch(state, self._show_area, "aoi", "aoi_text", "aoi_valid")
        _watch(state, self._show_busy, "busy")
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center", width="100%")
        super().__init__(
            [
                ipywidgets.Box([self.mission, self.product_type], layout=row),
                ipywidgets.Box([self.start, self.stop, self.cloud, self.search, self.cancel], layout=row),
                self.area,
            ]
        )

    def _bind(
        self,
        widget: Any,
        name: str,
        *,
        to_state: Callable[[Any], Any] = lambda value: value,
        to_widget: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        """Keep a widget's value and a trait of the state the same, in both directions."""
        state = self._state

        def typed(change: Any) -> None:
            state.update(**{name: to_state(change["new"])})

        def show() -> None:
            if name in {"collection", "product_type"}:
                self._offer_types()
            if widget.value != to_widget(getattr(state, name)):
                widget.value = to_widget(getattr(state, name))
            if name == "collection":
                self.cloud.disabled = state.collection not in CLOUDY

        _watch(state, show, name)
        widget.observe(guard(state, "This value cannot be used.", typed), "value")

    def _offer_types(self) -> None:
        """The product types of the mission; one that belongs to another mission is dropped, an unlisted one is kept."""
        state = self._state
        others = {value for key, kinds in PRODUCT_TYPES.items() if key != state.collection for value, _ in kinds}
        if state.product_type in others:
            state.product_type = ""
        options = _types(state.collection)
        if state.product_type not in [value for _, value in options]:
            options.append((state.product_type, state.product_type))
        if list(self.product_type.options) != options:
            self.product_type.options = options
            self.product_type.value = state.product_type

    def _show_area(self) -> None:
        state = self._state
        if not state.aoi_valid:
            text = f"<b>The shape drawn is no area:</b> {escape(state.aoi_text)}"
        elif state.aoi is None:
            text = "<b>Area:</b> the whole Earth. Draw a rectangle or a polygon on the map to narrow it."
        else:
            text = f"<b>Area:</b> {escape(state.aoi_text or 'as drawn')}"
        self.area.value = f'<span style="line-height:1.4">{text}</span>'

    def _show_busy(self) -> None:
        searching = "search" in self._state.busy
        self.cancel.disabled = not searching
        self.search.description = "Searching ..." if searching else "Search"


def _types(collection: str) -> list[tuple[str, str]]:
    return [("any", ""), *((text, value) for value, text in PRODUCT_TYPES[collection])]


def _wide(width: str) -> Any:
    return ipywidgets.Layout(width=width)


def _narrow(width: str) -> dict[str, str]:
    return {"description_width": width}


def _from_date(value: date | None) -> str:
    return "" if value is None else value.isoformat()


def _to_date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


# --- results ---------------------------------------------------------------------------------------------------------
class ResultsView(ipywidgets.VBox):  # type: ignore[misc]
    """The products found, as a gallery; `more` is called by its button."""

    def __init__(self, state: ExplorerState, *, more: _Callback) -> None:
        self._state = state
        self._more = more
        self.gallery = Gallery()
        _watch(state, self._show_items, "products", "orders")
        _watch(state, self._show_words, "products", "total", "searched", "busy", "page_size", "found_collection")
        self._mirror("thumbnails", "pictures")
        self._mirror("selected", "selected")
        self._mirror("hovered", "hovered")
        self.gallery.observe(guard(state, "Selecting failed.", self._selected), "selected")
        self.gallery.observe(guard(state, "Pointing failed.", self._hovered), "hovered")
        self.gallery.on_msg(guard(state, "Loading more failed.", self._message))
        super().__init__([self.gallery], layout=ipywidgets.Layout(width="100%", min_width="280px"))

    def _mirror(self, source: str, target: str) -> None:
        def show() -> None:
            setattr(self.gallery, target, getattr(self._state, source))

        _watch(self._state, show, source)

    def _selected(self, change: Any) -> None:
        self._state.select(change["new"])

    def _hovered(self, change: Any) -> None:
        self._state.update(hovered=change["new"])

    def _message(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        if content.get("kind") == "more":
            self._more()

    def _show_items(self) -> None:
        ordered = self._state.ordered()
        self.gallery.items = [card(product, ordered.get(product.id, "")) for product in self._state.products]

    def _show_words(self) -> None:
        state, gallery = self._state, self.gallery
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


class SelectionLine(ipywidgets.Box):  # type: ignore[misc]
    """How much is selected, and the buttons that estimate and order it."""

    def __init__(self, state: ExplorerState, *, estimate: _Callback, order: _Callback) -> None:
        self._state = state
        self.text = ipywidgets.HTML()
        self.estimate = _button("Estimate", "Bytes, and whether they fit", state, "The estimate failed.", estimate)
        self.order = _button(
            "Order", "Order what is selected", state, "The order was not placed.", order, style="success"
        )
        _watch(state, self._show, "selected", "estimate", "busy", "products")
        super().__init__(
            [self.text, self.estimate, self.order],
            layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center", width="100%"),
        )

    def _show(self) -> None:
        state = self._state
        count = len(state.selected)
        found = [product for product in map(state.product, state.selected) if product is not None]
        cold = sum(not product.online for product in found)
        text = f"<b>{count} selected</b>"
        if count:
            text += f", {_html.bytes_text(sum(product.size for product in found))}"
        if cold:
            text += f", {cold} cold: hours to days"
        answer = state.estimated()
        if answer is not None:
            verdict = "fits" if answer.fits else "does not fit"
            text += f"; estimate {_html.bytes_text(answer.total)}: {verdict} into {_html.bytes_text(answer.storage_before.free)}"
        self.text.value = f'<span style="margin-right:12px">{text}</span>'
        self.estimate.disabled = count == 0 or "estimate" in state.busy
        self.order.disabled = count == 0 or "order" in state.busy
        self.order.description = f"Order {count}" if count else "Order"


# --- orders ----------------------------------------------------------------------------------------------------------
class OrderBoard(ipywidgets.VBox):  # type: ignore[misc]
    """The orders, newest first; `cancel` gets an order id, `load` a delivery id."""

    def __init__(self, state: ExplorerState, *, cancel: Callable[[int], object], load: Callable[[str], object]) -> None:
        self._state = state
        self._cancel, self._load = cancel, load
        self.board = Board()
        self.board.on_msg(guard(state, "The button had no effect.", self._message))
        _watch(state, self._show, "orders", "opened")
        super().__init__([self.board], layout=ipywidgets.Layout(width="100%"))

    def _message(self, _: Any, content: Mapping[str, Any], __: Any) -> None:
        if content.get("kind") == "cancel":
            self._cancel(int(content["order"]))
        elif content.get("kind") == "open":
            self._load(str(content["delivery"]))

    def _show(self) -> None:
        newest = sorted(self._state.orders.items(), key=lambda item: -int(item[0]))
        self.board.orders = [order_row(entry, self._state.opened) for _, entry in newest]


def order_row(entry: Mapping[str, Any], opened: str) -> dict[str, Any]:
    """What the board shows of an order; all text."""
    order = Order.from_wire(entry["order"])
    done = order.deliveries.get("delivered", 0)
    size = f"{_html.bytes_text(order.delivered_size)} of {_html.bytes_text(order.size)}"
    return {
        "id": order.id,
        "title": f"Order {order.id}",
        "text": f"{order.status}, {done} of {len(order.products)} delivered, {size}",
        "open": not order.ended,
        "rows": [_delivery_row(Delivery.from_wire(row), opened) for row in entry["deliveries"]],
    }


def _delivery_row(row: Delivery, opened: str) -> dict[str, Any]:
    fraction = 1.0 if row.status == "delivered" else min(row.transferred / row.size, 1.0) if row.size else 0.0
    text = f"{_html.bytes_text(row.transferred)} of {_html.bytes_text(row.size)}" if row.transferred else ""
    note = row.error or ""
    if row.next_attempt_at is not None and not row.ended:
        last = row.trail[-1].event + "; " if row.trail else ""
        note = note or f"{last}next attempt {row.next_attempt_at:%H:%M:%S} UTC"
    return {
        "id": row.id,
        "product": row.product_id,
        "status": row.status,
        "fraction": round(fraction, 3),
        "text": text,
        "note": note,
        "ready": row.status == "delivered",
        "opened": row.id == opened,
    }
