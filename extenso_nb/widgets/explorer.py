"""The Explorer: map, form, results, orders in one widget; draw, search, look, select, estimate, order, load."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import ipywidgets

from extenso_nb.errors import InputError
from extenso_nb.models import Delivery, Order
from extenso_nb.results import SearchResult
from extenso_nb.widgets import actions, static
from extenso_nb.widgets.map import MapView
from extenso_nb.widgets.panels import Message, OrderBoard, ResultsView, SearchForm, SelectionLine
from extenso_nb.widgets.runner import Runner
from extenso_nb.widgets.state import ExplorerState

__all__ = ["Explorer", "SessionLike"]


class SessionLike(Protocol):
    """What an Explorer needs of a session."""

    def async_client(self) -> Any:
        """A new `AsyncClient`, which the Explorer uses on its own loop and closes."""

    def open(self, delivery: Delivery) -> Any:
        """A delivered product, as a DataTree or a list with one."""


class Explorer(ipywidgets.VBox):  # type: ignore[misc]
    """Search, look, select, estimate, order, follow and load, without leaving the cell.

    Nothing here blocks the kernel: requests run on a thread of the Explorer's own. What fails is said in the message
    line. Orders live in the gateway: a new Explorer lists them again and goes on following.

    Parameters
    ----------
    session
        What `connect()` gave. Or, without one:
    connect
        Makes a new `AsyncClient`; called once, in a thread.
    open
        Opens a delivered product; called in a thread.
    state
        To start from, `ExplorerState.from_dict(...)` say.
    resume
        Whether to list the orders of the account at once, and follow those that are open.
    tiles
        Whether online map tiles are laid over the land outline.
    """

    def __init__(
        self,
        session: SessionLike | None = None,
        *,
        connect: Callable[[], Any] | None = None,
        open: Callable[[Delivery], Any] | None = None,  # noqa: A002 - the verb of a session
        state: ExplorerState | None = None,
        resume: bool = True,
        tiles: bool = True,
    ) -> None:
        connect = connect or (session.async_client if session is not None else None)
        opener = open or (session.open if session is not None else None)
        if connect is None or opener is None:
            raise InputError(
                "An Explorer needs a session, or both `connect` and `open`.",
                hint="Use `extenso_nb.connect().explorer()`.",
            )
        self.state = ExplorerState() if state is None else state
        self.tree: Any = None
        self._connect, self._opener = connect, opener
        self._connecting: asyncio.Task[Any] | None = None
        self._runner = Runner()
        self._over = False
        with self.state.noted() as self._watches:
            self.map = MapView(self.state, tiles=tiles)
            self.form = SearchForm(self.state, search=self.search, cancel=self.cancel)
            self.results = ResultsView(self.state, more=self.load_more)
            self.selection = SelectionLine(self.state, estimate=self.estimate, order=self.order)
            self.board = OrderBoard(self.state, cancel=self.cancel_order, load=self.load)
            self.message = Message(self.state)
        column = ipywidgets.Layout(flex="1 1 400px", min_width="280px", margin="0 6px 0 0")
        middle = ipywidgets.Box(
            [ipywidgets.VBox([part], layout=column) for part in (self.map, self.results)],
            layout=ipywidgets.Layout(flex_flow="row wrap", width="100%", align_items="flex-start"),
        )
        super().__init__(
            [self.form, middle, self.selection, self.message, self.board],
            layout=ipywidgets.Layout(width="100%", overflow="hidden"),
        )
        self.add_class("extenso-explorer")
        if resume:
            self.resume()

    _over = True
    """True until there is something to close: an Explorer that could not be made is collected all the same."""

    # --- what it knows -------------------------------------------------------------------------------------------
    @property
    def result(self) -> SearchResult:
        """What the last search found, as far as it is shown."""
        state = self.state
        return SearchResult(
            state.products,
            total=state.total,
            collection=state.found_collection or state.collection,
            q=state.query,
            thumbnails=self._pictures,
        )

    @property
    def selected(self) -> SearchResult:
        """The products selected, in the order of selection."""
        found = [product for product in map(self.state.product, self.state.selected) if product is not None]
        return SearchResult(
            found,
            total=len(found),
            collection=self.state.found_collection or self.state.collection,
            q=self.state.query,
            thumbnails=self._pictures,
        )

    @property
    def orders(self) -> list[Order]:
        """The orders shown, newest first."""
        found = [Order.from_wire(entry["order"]) for entry in self.state.orders.values()]
        return sorted(found, key=lambda order: -order.id)

    def _pictures(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        uris = {key: self.state.thumbnails.get(key) for key in ids}
        return {key: base64.b64decode(uri.partition(",")[2]) for key, uri in uris.items() if uri}

    # --- what it does; each returns at once ----------------------------------------------------------------------
    def search(self) -> Future[Any] | None:
        """Search by the form. A search that runs is replaced."""
        self._runner.cancel("thumbnails")
        return self._runner.submit("search", lambda: self._found(actions.search))

    def load_more(self) -> Future[Any] | None:
        """Append the next page. Nothing happens while a search runs."""
        return self._runner.submit("search", lambda: self._found(actions.load_more), replace=False)

    def cancel(self) -> None:
        """Stop the search that runs; what was found before stays."""
        self.state.begin()
        self._runner.cancel("thumbnails")
        if self._runner.cancel("search"):
            self.state.say("info", "The search was cancelled.")

    def estimate(self) -> Future[Any] | None:
        """Estimate the selection."""
        return self._runner.submit("estimate", lambda: self._do(actions.estimate))

    def order(self) -> Future[Any] | None:
        """Order the selection and follow the order. Nothing happens while one is being placed."""
        return self._runner.submit("order", self._ordered, replace=False)

    def cancel_order(self, order_id: int) -> Future[Any] | None:
        """Cancel an order; what was delivered stays."""
        return self._runner.submit(
            f"cancel {order_id}", lambda: self._do(actions.cancel_order, order_id), replace=False
        )

    def load(self, delivery_id: str) -> Future[Any] | None:
        """Open a delivered product; it is then in `.tree`."""
        return self._runner.submit("open", lambda: self._loaded(delivery_id), replace=False)

    def resume(self) -> Future[Any] | None:
        """List the orders of the account and follow those that are open."""
        return self._runner.submit("resume", self._resumed, replace=False)

    # --- on the loop ---------------------------------------------------------------------------------------------
    async def _do(self, action: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        client = await self._connected()
        return None if client is None else await action(self.state, client, *arguments)

    async def _connected(self) -> actions.AsyncGateway | None:
        """The client, made on first use; None, with a message, when there is no gateway."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(asyncio.to_thread(self._connect))
        connecting = self._connecting
        with self.state.working("connect"):
            try:
                # Shielded: actions share it, and cancelling one of them must not take it from the others.
                return await asyncio.shield(connecting)
            except Exception as error:  # noqa: BLE001 - shown and logged; the next button tries again
                if self._connecting is connecting:
                    self._connecting = None
                self.state.fail("No connection to a gateway.", error)
                return None

    async def _found(self, action: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        await self._do(action)
        if any(product.id not in self.state.thumbnails for product in self.state.products):
            self._runner.submit("thumbnails", lambda: self._do(actions.thumbnails))

    async def _ordered(self) -> Any:
        placed = await self._do(actions.order)
        if placed is not None:
            self._follow(placed.id)
        return placed

    async def _resumed(self) -> None:
        for order_id in await self._do(actions.refresh_orders) or ():
            self._follow(order_id)

    def _follow(self, order_id: int) -> None:
        self._runner.submit(f"follow {order_id}", lambda: self._do(actions.follow, order_id), replace=False)

    async def _loaded(self, delivery_id: str) -> Any:
        tree = await actions.open_delivery(self.state, self._opener, delivery_id)
        if tree is not None:
            self.tree = tree
        return tree

    async def _goodbye(self) -> None:
        connecting = self._connecting
        if connecting is not None and connecting.done() and not connecting.cancelled() and not connecting.exception():
            await connecting.result().aclose()

    # --- showing and ending --------------------------------------------------------------------------------------
    def static(self) -> str:
        """The Explorer as it is now, as self-contained HTML without script."""
        return static.to_html(self.state)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live widget, and a static page for front ends and exports that have no widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["text/html"] = self.static()
        return bundle

    def __repr__(self) -> str:
        state = self.state
        found = f"{len(state.products)} of {state.total} products" if state.searched else "nothing searched yet"
        return f"<Explorer: {found}, {len(state.selected)} selected, {len(state.orders)} orders>"

    def close(self) -> None:
        """Stop all that runs here, and take the widget off the page. Orders go on in the gateway."""
        if not self._over:
            self._over = True
            self._runner.close(self._goodbye)
            for watch in self._watches:
                self.state.unobserve(*watch)
            for part in _parts(self):
                part.close()
        super().close()


def _parts(top: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    """All widgets below one: ipywidgets holds each until it is closed by itself, eighty of them for an Explorer."""
    found: dict[int, ipywidgets.Widget] = {}
    left = [top]
    while left:
        widget = left.pop()
        for name in widget.keys:
            value = getattr(widget, name)
            for item in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(item, ipywidgets.Widget) and item is not top and id(item) not in found:
                    found[id(item)] = item
                    left.append(item)
    return list(found.values())
