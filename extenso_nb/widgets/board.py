"""The orders and their deliveries: progress, trail, cancel, retry, delete, load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets import Bool, Dict, List, TraitError, Unicode

from extenso_nb import _html
from extenso_nb.models import Destination, Order
from extenso_nb.results import short_id
from extenso_nb.widgets.basket import alone
from extenso_nb.widgets.panel import Panel, Source, script, style
from extenso_nb.widgets.state import guard

__all__ = ["OrderBoard"]

WORDS = {
    "queued": "queued",
    "warming": "warming up",
    "transferring": "transferring",
    "verifying": "verifying",
    "delivered": "delivered",
    "failed": "failed",
    "cancelled": "cancelled",
    "running": "running",
    "partial": "delivered in part",
}


class OrderBoard(Panel):
    """The orders, newest first. Alone it lists those of the account, and follows the ones that are open.

    What changes several times a second, bytes and shares, goes to the browser apart from what seldom does: fifty
    deliveries in each of eight orders are 100 kB, those that move a few hundred bytes.
    """

    _esm = script("board")
    _css = style("board")
    orders = List(Dict()).tag(sync=True)
    live = Dict().tag(sync=True)
    trails = Dict().tag(sync=True)
    variable = Unicode("").tag(sync=True)
    variable_wrong = Unicode("").tag(sync=True)
    loading = Bool(False).tag(sync=True)
    single = Bool(False).tag(sync=True)
    note = Unicode("").tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        self._drawn: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {}
        self._told: set[str] = set()
        super().__init__(source)
        self.single = self._owns_desk
        self.watch(self._show, "orders", "opened", "loaded")
        self.watch(self._show_variable, "variable")
        self.watch(self._show_busy, "busy")
        if self._owns_desk:
            self.watch(self._show_note, "message")
        self.observe(guard(self.state, "The name was not taken.", self._called), "variable")
        self.answer("cancel", lambda content: self.desk.cancel_order(int(content["order"])))
        self.answer("retry", lambda content: self.desk.retry_order(int(content["order"])))
        self.answer("delete", lambda content: self.desk.delete_order(int(content["order"])))
        self.answer("load", lambda content: self.desk.load(str(content["delivery"])))
        self.answer("trail", self._tell)
        if self._owns_desk:
            self.desk.resume()

    # --- what it shows -------------------------------------------------------------------------------------------
    def _show(self) -> None:
        with self.state.lock:
            entries, named, opened = self.state.orders, self.desk.named, self.state.opened
        drawn: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {}
        for key, entry in entries.items():
            before = self._drawn.get(key)
            # An entry is replaced when its order changes: the others need not be drawn again.
            drawn[key] = before if before is not None and before[0] is entry else (entry, *order_row(entry))
        self._drawn = drawn
        newest = sorted(drawn, key=int, reverse=True)
        live: dict[str, Any] = {}
        for key in newest:
            live |= drawn[key][2]
        with self.hold_sync():
            self.orders = [_with_names(drawn[key][1], named, opened) for key in newest]
            self.live = live
            self._show_trails()

    def _show_trails(self) -> None:
        """The trails that somebody looks at."""
        self.trails = {
            row["id"]: [[step["time"], step.get("source", ""), step["event"]] for step in row.get("trail", ())]
            for entry in self.state.orders.values()
            for row in entry["deliveries"]
            if row["id"] in self._told
        }

    def _show_variable(self) -> None:
        self.variable, self.variable_wrong = self.state.variable, ""

    def _show_busy(self) -> None:
        self.loading = "open" in self.state.busy

    def _show_note(self) -> None:
        self.note = alone(self.state)

    # --- what is done to it --------------------------------------------------------------------------------------
    def _called(self, change: Any) -> None:
        """Take a name. One that is none stays in the field, is marked, and the last one goes on to be used."""
        try:
            self.state.variable = change["new"]
        except TraitError:
            self.variable_wrong = f"No name of Python; {self.state.variable} is used."
        else:
            self.variable_wrong = ""

    def _tell(self, content: Mapping[str, Any]) -> None:
        delivery = str(content["delivery"])
        (self._told.add if content.get("open") else self._told.discard)(delivery)
        self._show_trails()


def order_row(entry: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the board shows of an order and its deliveries: what seldom changes, and what moves."""
    order, rows = Order.from_wire(entry["order"]), entry["deliveries"]
    moving = {row["id"]: _moving(row) for row in rows if row["status"] in {"transferring", "verifying"}}
    done = sum(_bytes(row) for row in rows) if rows else order.delivered_size
    whole = max(order.size, sum(row.get("size", 0) for row in rows))
    share = 1.0 if order.status == "delivered" else min(done / whole, 1.0) if whole else 0.0
    failed = sum(row["status"] in {"failed", "cancelled"} for row in rows)
    number = order.deliveries.get("delivered", 0)
    static = {
        "id": order.id,
        "title": f"Order {order.id}",
        "status": order.status,
        "word": WORDS[order.status],
        "count": f"{number} of {len(order.products)} delivered",
        "where": _where(order.destination),
        "created": entry["order"]["createdAt"],
        "open": not order.ended,
        "retry": order.ended and failed > 0,
        "rows": [_delivery_row(row, loads=order.destination.kind == "free") for row in rows],
    }
    size = f"{_html.bytes_text(done)} of {_html.bytes_text(whole)}" if done < whole else _html.bytes_text(whole)
    return static, moving | {str(order.id): {"share": round(share, 3), "text": size}}


def _where(destination: Destination) -> str:
    return "free storage" if destination.kind == "free" else f"bucket {destination.bucket or destination.endpoint}"


def _bytes(row: Mapping[str, Any]) -> int:
    return int(row.get("size", 0) if row["status"] == "delivered" else row.get("transferred", 0))


def _moving(row: Mapping[str, Any]) -> dict[str, Any]:
    size, done = row.get("size", 0), row.get("transferred", 0)
    share = min(done / size, 1.0) if size else 0.0
    return {"share": round(share, 3), "text": f"{_html.bytes_text(done)} of {_html.bytes_text(size)}"}


def _delivery_row(row: Mapping[str, Any], *, loads: bool) -> dict[str, Any]:
    """A delivery as it is drawn; its trail and what moves are sent apart."""
    status = row["status"]
    return {
        "id": row["id"],
        "product": row["productId"],
        "short": short_id(row["productId"]),
        "status": status,
        "word": WORDS[status],
        "share": 1.0 if status == "delivered" else 0.0,
        "size": _html.bytes_text(row["size"]) if row.get("size") else "",
        "source": row.get("source") or "",
        "error": row.get("error") or "",
        "next": (row.get("nextAttemptAt") or "") if status in {"queued", "warming"} else "",
        "steps": len(row.get("trail", ())),
        "ready": status == "delivered" and loads,
    }


def _with_names(order: dict[str, Any], named: Mapping[str, str], opened: str) -> dict[str, Any]:
    """The order with what its deliveries are called in the notebook."""
    rows = [
        {**row, "name": named.get(row["id"], ""), "loaded": row["id"] in named or row["id"] == opened}
        for row in order["rows"]
    ]
    return {**order, "rows": rows}
