"""The desk behind the views: state, loop and client of an Explorer, and a verb for each button. No widget is imported."""

from __future__ import annotations

import asyncio
import base64
import builtins
from collections.abc import Callable, Coroutine, Mapping, MutableMapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, cast

from traitlets import TraitError

from extenso_nb.errors import AccessError, InputError
from extenso_nb.models import BucketProperties, Delivery, Order, Product
from extenso_nb.results import SearchResult
from extenso_nb.widgets import actions, export, memory, ordering, pictures
from extenso_nb.widgets.attending import Attended, Attention
from extenso_nb.widgets.runner import Runner
from extenso_nb.widgets.state import AGAIN, FREE, ExplorerState

__all__ = ["Desk", "SessionLike", "desk_of"]


class SessionLike(Protocol):
    """What an Explorer needs of a session."""

    def async_client(self) -> Any:
        """A new `AsyncClient`, which the desk uses on its own loop and closes."""

    def open(self, delivery: Delivery) -> Any:
        """A delivered product, as a DataTree or a list with one."""


class Desk:
    """Carries out what the views ask for. Every verb returns at once; what fails is in `state.message`.

    Parameters
    ----------
    session
        What `connect()` gave. Or, without one:
    connect
        Makes a new `AsyncClient`; called once, in a thread.
    open
        Opens a delivered product; called in a thread.
    state
        To start from.
    namespace
        Where `load` puts what it opened, under `state.variable`; by default the notebook's.
    """

    def __init__(
        self,
        session: SessionLike | None = None,
        *,
        connect: Callable[[], Any] | None = None,
        open: Callable[[Delivery], Any] | None = None,  # noqa: A002 - the verb of a session
        state: ExplorerState | None = None,
        namespace: MutableMapping[str, Any] | None = None,
    ) -> None:
        self.state = ExplorerState() if state is None else state
        self.tree: Any = None
        self.local = bool(getattr(session, "local", False))
        """Whether the gateway is this machine's own: nothing then needs a network."""
        self.url = str(getattr(session, "url", ""))
        """Of the gateway; empty where it is not known."""
        self.state.gateway = "" if session is None else str(getattr(session, "where", "a gateway"))
        self._connect = connect or (session.async_client if session is not None else _no_gateway)
        self._opener = open or (session.open if session is not None else _no_gateway)
        self._namespace = _notebook() if namespace is None else namespace
        self._named: dict[str, tuple[str, str, int]] = {}
        """Of a delivery that is loaded: the name wanted, the one taken, and which object was put there."""
        self._attention = Attention(self.state)
        self._connecting: asyncio.Task[Any] | None = None
        self._runner = Runner()
        self._over = False

    # --- what it knows -------------------------------------------------------------------------------------------
    @property
    def result(self) -> SearchResult:
        """What the last search found, as far as it is shown."""
        return self._results(self.state.products, self.state.total)

    @property
    def selected(self) -> SearchResult:
        """The basket, in the order of selection; it may hold products of several searches."""
        found = self.state.basket()
        return self._results(found, len(found))

    def code(self, kind: str = "python") -> str:
        """The search of the form, then the order of what is selected, as text that runs: `python`, `cli` or `curl`.

        Raises InputError, AreaError or QueryError for a form that cannot be searched, and for a kind that is none.
        """
        return export.text(self.state, kind, url=self.url, local=self.local)

    def _results(self, products: Sequence[Product], total: int) -> SearchResult:
        state = self.state
        collection = state.found_collection or state.collection
        return SearchResult(products, total=total, collection=collection, q=state.query, thumbnails=self._pictures)

    @property
    def orders(self) -> list[Order]:
        """The orders shown, newest first."""
        found = [Order.from_wire(entry["order"]) for entry in self.state.orders.values()]
        return sorted(found, key=lambda order: -order.id)

    @property
    def named(self) -> dict[str, str]:
        """Deliveries that are loaded: identifier -> what it is called in the notebook."""
        return {key: name for key, (_, name, _) in self._named.items()}

    def _pictures(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        uris = {key: self.state.thumbnails.get(key) for key in ids}
        return {key: base64.b64decode(uri.partition(",")[2]) for key, uri in uris.items() if uri}

    def wait(self, timeout: float = 60.0) -> bool:
        """Wait until searches, pictures and what else was asked for have come; whether they have, in so many seconds.

        For cells that go on with what was found, and for notebooks that are run by a program. Orders that are followed are
        not waited for.
        """
        return self._runner.settle(timeout, leave="follow ")

    # --- search --------------------------------------------------------------------------------------------------
    def search(self) -> Future[Any] | None:
        """Search by the form. A search that runs is replaced."""
        for running in ("thumbnails", "timeline"):
            self._runner.cancel(running)
        # Begun here, not on the loop: who cancels right after must come later.
        generation = self.state.begin()
        return self._runner.submit("search", lambda: self._found(actions.search, generation=generation))

    def load_more(self) -> Future[Any] | None:
        """Append the next page. Nothing happens while a search runs."""
        return self._runner.submit("search", lambda: self._found(actions.load_more), replace=False)

    def cancel(self) -> None:
        """Stop the search that runs; what was found before stays."""
        self.state.begin()
        for running in ("thumbnails", "timeline"):
            self._runner.cancel(running)
        if self._runner.cancel("search"):
            self.state.update(failed=False)  # it did not fail; `outdated` tells whether what is shown answers the form
            self.state.say("info", "The search was cancelled.")

    def remembered(self) -> dict[str, Any] | None:
        """The form of the last search with this gateway, of an earlier kernel too; None when there is none."""
        return memory.recall(self.state.gateway) if self.state.gateway else None

    def restore(self) -> Future[Any] | None:
        """Fill the form as at the last search with this gateway, and search again."""
        form = self.remembered()
        if form is None:
            return None
        try:
            ExplorerState.from_dict(form)  # all or nothing: what cannot be must not leave half a form
            self.state.update(**form)
        except TraitError as error:
            self.state.fail("The last search cannot be taken up.", error)
            return None
        return self.search()

    def fetch_thumbnails(self) -> Future[Any] | None:
        """Fetch the thumbnails that are missing. Nothing happens while that goes on."""
        return self._runner.submit("thumbnails", lambda: self._do(pictures.thumbnails), replace=False)

    def show_details(self, product_id: str) -> Future[Any] | None:
        """Show the facts and the quicklook of a product; an empty identifier goes back to the list."""
        self.state.update(detailed=product_id, details={})
        if not product_id:
            self._runner.cancel("details")
            return None
        return self._runner.submit("details", lambda: self._do(pictures.details, product_id))

    def drape(self, product_id: str) -> Future[Any] | None:
        """Lay the quicklook of a product on the map, or take it off. Two at most: a third replaces the older."""
        state = self.state
        with state.lock:
            if product_id in state.draped:
                left = [key for key in state.draped if key != product_id]
                drapes = {key: value for key, value in state.drapes.items() if key in left}
                state.update(draped=left, drapes=drapes, swiping=False)
                return None
        return self._runner.submit(f"drape {product_id}", lambda: self._do(pictures.drape, product_id))

    def aside(self, name: str, work: Callable[[], Any]) -> Future[Any] | None:
        """Do something slow of the kernel's own, reading a file say, in a thread; what it raises is in `state.message`."""

        async def run() -> None:
            with self.state.working(name):
                try:
                    await asyncio.to_thread(work)
                except Exception as error:  # noqa: BLE001 - nobody stands above a task to catch it; it is shown and logged
                    self.state.fail("The area was not changed.", error)

        return self._runner.submit(name, run)

    # --- whatever it is ------------------------------------------------------------------------------------------
    def again(self, command: str) -> Future[Any] | None:
        """Carry out what a message offers as `retry`: a verb of the desk, and its argument."""
        verb, _, argument = command.partition(" ")
        if verb not in AGAIN:
            raise InputError(f"{command!r} is nothing that can be done again.")
        given = [int(argument) if argument.isdigit() and verb.endswith("_order") else argument] if argument else []
        done: Future[Any] | None = getattr(self, verb)(*given)
        return done

    def stop(self, key: str) -> None:
        """Stop waiting for what a message offers as `stop`. What the gateway has begun it may go on with."""
        if key == "search":
            self.cancel()
        elif self._runner.cancel(key):
            same = "Press Order again to learn whether it was placed: it is the same order." if key == "order" else ""
            self.state.say(
                "info", f"Stopped waiting ({key}).", "The gateway may have carried it out all the same.", same
            )

    # --- orders --------------------------------------------------------------------------------------------------
    def estimate(self) -> Future[Any] | None:
        """Estimate the basket."""
        return self._runner.submit("estimate", lambda: self._do(ordering.estimate))

    def order(self) -> Future[Any] | None:
        """Order the basket and follow the order. Nothing happens while one is being placed."""
        what = ordering.wanted(self.state)  # what is changed until it is sent was not looked at when this was asked for
        return self._runner.submit("order", lambda: self._ordered(ordering.order, what), replace=False)

    def use_bucket(self, bucket: BucketProperties | None) -> None:
        """Where the next orders go: a bucket of the user's own, or with None the free storage."""
        place = FREE if bucket is None else ordering.place_of(bucket)
        if "@" in place.get("endpoint", ""):
            raise InputError("The endpoint has keys in it.", hint="Give it without; keys have fields of their own.")
        self.state.bucket = bucket
        self.state.update(destination=place, estimate=None)

    def cancel_order(self, order_id: int) -> Future[Any] | None:
        """Cancel an order; what was delivered stays."""
        return self._runner.submit(
            f"cancel {order_id}", lambda: self._do(ordering.cancel_order, order_id), replace=False
        )

    def retry_order(self, order_id: int) -> Future[Any] | None:
        """Order once more what an order failed to deliver, and follow the new order."""
        return self._runner.submit(
            f"retry {order_id}", lambda: self._ordered(ordering.retry_order, order_id), replace=False
        )

    def delete_order(self, order_id: int) -> Future[Any] | None:
        """Delete an order that has ended, with its products; the quota is given back."""
        return self._runner.submit(
            f"delete {order_id}", lambda: self._do(ordering.delete_order, order_id), replace=False
        )

    def load(self, delivery_id: str) -> Future[Any] | None:
        """Open a delivered product; it is then in `tree`, and in the notebook under `state.variable`."""
        return self._runner.submit("open", lambda: self._loaded(delivery_id), replace=False)

    def resume(self) -> Future[Any] | None:
        """List the orders of the account and follow those that are open."""
        return self._runner.submit("resume", self._resumed, replace=False)

    # --- on the loop ---------------------------------------------------------------------------------------------
    async def _do(self, action: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, **named: Any) -> Any:
        client = await self._connected(actions.said_again(action, arguments))
        if client is None:
            # As after an answer that is an error: what is shown is not what was asked for.
            self.state.failed = self.state.failed or action is actions.search
            return None
        return await action(self.state, client, *arguments, **named)

    async def _connected(self, again: str) -> actions.AsyncGateway | None:
        """The client, made on first use; None, with a message that offers `again`, when there is no gateway."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(asyncio.to_thread(self._connect))
        connecting = self._connecting
        with self.state.working("connect"):
            try:
                with self._attention.on("connecting"):
                    # Shielded: actions share it, and cancelling one of them must not take it from the others.
                    client = await asyncio.shield(connecting)
            except Exception as error:  # noqa: BLE001 - shown and logged; the next button tries again
                if self._connecting is connecting:
                    self._connecting = None
                self.state.update(reached="not reached")
                self.state.fail("No connection to a gateway.", error, retry=again)
                return None
        return cast("actions.AsyncGateway", Attended(client, self.state, self._attention))

    async def _found(self, action: Callable[..., Coroutine[Any, Any, Any]], **named: Any) -> None:
        state = self.state
        await self._do(action, **named)
        if state.gateway and state.searched and not state.failed:
            with state.lock:
                form = {**state.found_form, "aoi": state.found_aoi, "page_size": state.page_size}
                if state.aoi is state.found_aoi:
                    form["aoi_text"] = state.aoi_text  # else it is the size of another area
            memory.remember(state.gateway, form)
        if any(product.id not in state.thumbnails for product in state.products):
            self._runner.submit("thumbnails", lambda: self._do(pictures.thumbnails))
        if state.searched and state.timeline is None:
            self._runner.submit("timeline", lambda: self._do(actions.timeline))

    async def _ordered(self, action: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        placed = await self._do(action, *arguments)
        if placed is not None:
            self._follow(placed.id)
            self._runner.submit("account", lambda: self._do(ordering.refresh_account))
        return placed

    async def _resumed(self) -> None:
        for order_id in await self._do(ordering.refresh_orders) or ():
            self._follow(order_id)

    def _follow(self, order_id: int) -> None:
        self._runner.submit(f"follow {order_id}", lambda: self._do(ordering.follow, order_id), replace=False)

    async def _loaded(self, delivery_id: str) -> Any:
        tree = await ordering.open_delivery(self.state, self._opener, delivery_id, self._name)
        if tree is not None:
            self.tree = tree
        return tree

    def _name(self, delivery_id: str, tree: Any) -> str:
        """Put a tree into the notebook; its name there. What the user has under that name is never written over."""
        if self._namespace is None:
            return ""
        wanted, number = self.state.variable, 1
        before, name, put = self._named.get(delivery_id, ("", "", 0))
        ours = before == wanted and (name not in self._namespace or id(self._namespace[name]) == put)
        if not ours:
            name = wanted
            while name in self._namespace or hasattr(builtins, name):
                number += 1
                name = f"{wanted}_{number}"
        self._named[delivery_id] = (wanted, name, id(tree))
        self._namespace[name] = tree
        return name

    async def _goodbye(self) -> None:
        connecting = self._connecting
        if connecting is not None and connecting.done() and not connecting.cancelled() and not connecting.exception():
            await connecting.result().aclose()

    def close(self) -> None:
        """Stop all that runs here. Orders go on in the gateway."""
        if not self._over:
            self._over = True
            self._runner.close(self._goodbye)


def desk_of(source: Any) -> Desk:
    """The desk given, or a new one for a session; without either, one that can search nothing and says so."""
    if isinstance(source, Desk):
        return source
    if isinstance(source, ExplorerState):
        return Desk(state=source)
    if source is not None and not (hasattr(source, "async_client") and hasattr(source, "open")):
        raise InputError(
            f"{type(source).__name__} is no session.", hint="Give what `extenso_nb.connect()` returns, or nothing."
        )
    return Desk(source)


def _no_gateway(*_: Any) -> Any:
    raise AccessError("This part was made without a gateway.", hint="Give it a session: `extenso_nb.connect()`.")


def _notebook() -> MutableMapping[str, Any] | None:
    """The variables of the notebook whose cell makes the desk; None outside of one."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return None if shell is None else shell.user_ns
