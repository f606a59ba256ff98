"""The orders and their deliveries: progress, trail, cancel, retry, load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets import Dict, List

from extenso_nb import _html
from extenso_nb.models import Delivery, Order
from extenso_nb.widgets.panel import Panel, Source, script, style

__all__ = ["OrderBoard"]


class OrderBoard(Panel):
    """The orders, newest first."""

    _esm = script("board")
    _css = style("board")
    orders = List(Dict()).tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        super().__init__(source)
        self.watch(self._show, "orders", "opened")
        self.answer("cancel", lambda content: self.desk.cancel_order(int(content["order"])))
        self.answer("open", lambda content: self.desk.load(str(content["delivery"])))

    def _show(self) -> None:
        newest = sorted(self.state.orders.items(), key=lambda item: -int(item[0]))
        self.orders = [order_row(entry, self.state.opened) for _, entry in newest]


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
