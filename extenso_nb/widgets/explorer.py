"""The Explorer: map, form, results, basket, orders in one widget; draw, search, look, select, estimate, order, load."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from concurrent.futures import Future
from typing import Any

import ipywidgets

from extenso_nb.errors import InputError
from extenso_nb.models import BucketProperties, Delivery, Order
from extenso_nb.results import SearchResult
from extenso_nb.widgets import static
from extenso_nb.widgets.area import AreaPicker
from extenso_nb.widgets.basket import Basket
from extenso_nb.widgets.board import OrderBoard
from extenso_nb.widgets.desk import Desk, SessionLike
from extenso_nb.widgets.form import SearchForm
from extenso_nb.widgets.header import Header
from extenso_nb.widgets.loaded import Loaded
from extenso_nb.widgets.message import Message
from extenso_nb.widgets.panel import parts_of
from extenso_nb.widgets.results import ResultsView
from extenso_nb.widgets.state import ExplorerState
from extenso_nb.widgets.timeline import Timeline

__all__ = ["Explorer"]

logger = logging.getLogger("extenso_nb.widgets")


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
        Whether online map tiles are laid over the land outline. By default only where the gateway is elsewhere: with
        the one of this machine nothing then leaves it.
    namespace
        Where products that are loaded get their names; by default the notebook's variables.
    """

    def __init__(
        self,
        session: SessionLike | None = None,
        *,
        connect: Callable[[], Any] | None = None,
        open: Callable[[Delivery], Any] | None = None,  # noqa: A002 - the verb of a session
        state: ExplorerState | None = None,
        resume: bool = True,
        tiles: bool | None = None,
        namespace: MutableMapping[str, Any] | None = None,
    ) -> None:
        if session is None and (connect is None or open is None):
            raise InputError(
                "An Explorer needs a session, or both `connect` and `open`.",
                hint="Use `extenso_nb.connect().explorer()`.",
            )
        self.desk = Desk(session, connect=connect, open=open, state=state, namespace=namespace)
        self._over = False
        self.state = self.desk.state
        tiles = not self.desk.local if tiles is None else tiles
        self.header = Header(self.desk)
        self.area = AreaPicker(self.desk, tiles=tiles)
        self.map = self.area.map
        self.form = SearchForm(self.desk)
        self.timeline = Timeline(self.desk)
        self.message = Message(self.desk)
        self.results = ResultsView(self.desk)
        self.basket = Basket(self.desk)
        self.board = OrderBoard(self.desk)
        self.loaded = Loaded(self.desk)
        middle = ipywidgets.Box([self.area, self.results])
        middle.add_class("extenso-middle")
        super().__init__(
            [self.header, self.form, self.timeline, self.message, middle, self.basket, self.board, self.loaded]
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
        return self.desk.result

    @property
    def selected(self) -> SearchResult:
        """The basket, in the order of selection; it may hold products of several searches."""
        return self.desk.selected

    @property
    def orders(self) -> list[Order]:
        """The orders shown, newest first."""
        return self.desk.orders

    @property
    def tree(self) -> Any:
        """The product loaded last, as a DataTree; None before."""
        return self.desk.tree

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait until what was asked for has come, pictures too; whether it has, in so many seconds. Orders go on."""
        return self.desk.wait(timeout)

    # --- what it does; each returns at once ----------------------------------------------------------------------
    def search(self) -> Future[Any] | None:
        """Search by the form. A search that runs is replaced."""
        return self.desk.search()

    def load_more(self) -> Future[Any] | None:
        """Append the next page. Nothing happens while a search runs."""
        return self.desk.load_more()

    def cancel(self) -> None:
        """Stop the search that runs; what was found before stays."""
        self.desk.cancel()

    def estimate(self) -> Future[Any] | None:
        """Estimate the basket."""
        return self.desk.estimate()

    def order(self, *, bucket: BucketProperties | None = None) -> Future[Any] | None:
        """Order the basket, into a bucket of the user's own if one is given, and follow the order."""
        if bucket is not None:
            self.desk.use_bucket(bucket)
        return self.desk.order()

    def cancel_order(self, order_id: int) -> Future[Any] | None:
        """Cancel an order; what was delivered stays."""
        return self.desk.cancel_order(order_id)

    def retry_order(self, order_id: int) -> Future[Any] | None:
        """Order once more what an order failed to deliver."""
        return self.desk.retry_order(order_id)

    def load(self, delivery_id: str) -> Future[Any] | None:
        """Open a delivered product; it is then in `tree`, and in the notebook under `state.variable`."""
        return self.desk.load(delivery_id)

    def resume(self) -> Future[Any] | None:
        """List the orders of the account and follow those that are open."""
        return self.desk.resume()

    # --- showing and ending --------------------------------------------------------------------------------------
    def static(self) -> static.Page:
        """The Explorer as it is now, as HTML without script: text, which a cell shows as the page that it is."""
        return static.to_html(self.state)

    def code(self, kind: str = "python") -> str:
        """The search of the form, then the order of what is selected, as text that runs: `python`, `cli` or `curl`."""
        return self.desk.code(kind)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live widget, and a static page for front ends and exports that have no widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        try:
            bundle["text/html"] = str(self.static())
        except Exception:  # the widget itself is there, and must be shown whatever its copy on paper says
            logger.exception("The page without script could not be made.")
            bundle["text/html"] = "The page without script could not be made; the log of the kernel says why."
        return bundle

    def __repr__(self) -> str:
        state = self.state
        found = f"{len(state.products)} of {state.total} products" if state.searched else "nothing searched yet"
        return f"<Explorer: {found}, {len(state.selected)} selected, {len(state.orders)} orders>"

    def close(self) -> None:
        """Stop all that runs here, and take the widget off the page. Orders go on in the gateway."""
        if not self._over:
            self._over = True
            self.desk.close()
            for part in parts_of(self):
                part.close()
        super().close()
