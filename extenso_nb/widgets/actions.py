"""What the Explorer does: state and client in, state out. Asynchronous, without widgets; every failure is a message."""

from __future__ import annotations

import asyncio
import functools
import io
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from extenso_nb import _html, retry
from extenso_nb.errors import (
    AccessError,
    EmptyOrder,
    ExtensoError,
    NoQuicklook,
    NotDelivered,
    NotFoundError,
    UnknownDelivery,
)
from extenso_nb.models import Delivery, Estimate, Order, Page, Product
from extenso_nb.widgets.state import ExplorerState, ended

__all__ = [
    "AsyncGateway",
    "cancel_order",
    "estimate",
    "follow",
    "load_more",
    "open_delivery",
    "order",
    "refresh_orders",
    "search",
    "thumbnails",
]

_AT_ONCE = 4
"""Thumbnails fetched at a time: enough to fill a screen in a second, few enough for a small gateway."""
_PIXELS = 160
"""Longer side of a thumbnail as it is kept: about what a card shows, in 6 kB at most for a real scene."""
_FLUSH = 0.3
"""Seconds before the first write of thumbnails; later ones come further apart, for each sends all to the browser."""


class AsyncGateway(Protocol):
    """What the actions ask of a client; `client.AsyncClient` has it."""

    async def search_page(
        self, collection: str, *, q: str = "*", start: int = 0, rows: int = 100, orderby: str | None = None
    ) -> Page[Product]:
        """One page of products."""

    async def thumbnail(self, product: Any) -> bytes:
        """JPEG or PNG."""

    async def estimate(self, products: Any) -> Estimate:
        """Size and fit of an order."""

    async def order(self, products: Any, *, idempotency_key: str | None = None) -> Order:
        """Place an order; the same key twice is the same order."""

    async def orders(self) -> list[Order]:
        """All orders."""

    async def status(self, order_or_delivery: Any) -> Any:
        """An order or delivery as it is now."""

    async def deliveries(self, order: Any = None) -> list[Delivery]:
        """Deliveries of an order."""

    async def cancel(self, order: Any) -> Order:
        """Stop an order."""

    async def aclose(self) -> None:
        """Give connections back."""


P = ParamSpec("P")
R = TypeVar("R")
Action = Callable[P, Coroutine[Any, Any, R]]


def _action(name: str, title: str) -> Callable[[Action[P, R]], Action[P, R | None]]:
    """Name an action in `state.busy` while it runs, and turn what it raises into `state.message`."""

    def decorate(function: Action[P, R]) -> Action[P, R | None]:
        @functools.wraps(function)
        async def run(*args: P.args, **kwargs: P.kwargs) -> R | None:
            state = args[0]
            assert isinstance(state, ExplorerState)
            with state.working(name):
                try:
                    return await function(*args, **kwargs)
                except Exception as error:  # noqa: BLE001 - nobody stands above a task to catch it; it is shown and logged
                    state.fail(title, error)
                    return None

        return run

    return decorate


# --- search ----------------------------------------------------------------------------------------------------------
@_action("search", "The search failed.")
async def search(state: ExplorerState, client: AsyncGateway) -> None:
    """Search by the form. The first page replaces what was found; a failure leaves it, with a message.

    The selection is kept as far as it was found again.
    """
    from extenso_nb import query

    generation = state.begin()
    collection, rows = state.collection, state.page_size
    q = query.build(**state.search_arguments())
    state.say("info", f"Searching {collection} ...")
    page = await client.search_page(collection, q=q, start=0, rows=rows)
    with state.lock:
        if generation != state.generation:
            return
        there = {product.id for product in page.data}
        state.select([key for key in state.selected if key in there])
        state.update(
            products=page.data,
            total=page.total_results,
            thumbnails={key: uri for key, uri in state.thumbnails.items() if key in there},
            hovered="",
            query=q,
            found_collection=collection,
            searched=True,
        )
    _say_found(state)


def _say_found(state: ExplorerState) -> None:
    if state.total == 0:
        state.say(
            "info", "Nothing matches.", "", "Widen the dates, the area or the cloud cover, or choose another mission."
        )
    else:
        shown = "all shown" if len(state.products) >= state.total else f"{len(state.products)} shown"
        state.say("success", f"{state.total} products found, {shown}.")


@_action("search", "Loading more failed.")
async def load_more(state: ExplorerState, client: AsyncGateway) -> None:
    """Append the next page of the search that is shown, whatever the form says by now."""
    if not state.searched or len(state.products) >= state.total:
        return
    generation = state.generation
    page = await client.search_page(
        state.found_collection, q=state.query, start=len(state.products), rows=state.page_size
    )
    with state.lock:
        if generation != state.generation:
            return
        known = {product.id for product in state.products}
        # New products may have come in between and shifted the pages: what is there already is not shown twice.
        fresh = tuple(product for product in page.data if product.id not in known)
        # An empty page means that the catalogue has shrunk; the total says so, or "load more" would never end.
        total = page.total_results if page.data else len(state.products)
        state.update(products=(*state.products, *fresh), total=total)
    _say_found(state)


# --- pictures --------------------------------------------------------------------------------------------------------
@_action("thumbnails", "Thumbnails could not be fetched.")
async def thumbnails(state: ExplorerState, client: AsyncGateway) -> None:
    """Fetch the pictures of products that have none yet, four at a time. Those without one get an empty text."""
    generation = state.generation
    missing = [product for product in state.products if product.id not in state.thumbnails]
    slots = asyncio.Semaphore(_AT_ONCE)
    ready: dict[str, str] = {}
    failures: list[Exception] = []

    async def one(product: Product) -> None:
        if "thumbnail" not in product.links and "quicklook" not in product.links and product.links:
            ready[product.id] = ""
            return
        async with slots:
            try:
                ready[product.id] = await asyncio.to_thread(_small, await client.thumbnail(product))
            except NoQuicklook:
                ready[product.id] = ""
            except (ExtensoError, OSError) as error:
                failures.append(error)

    async def flush() -> None:
        pause = _FLUSH
        while True:
            await asyncio.sleep(pause)
            put()
            pause = min(1.5 * pause, 3.0)

    def put() -> None:
        with state.lock:
            if ready and generation == state.generation:
                state.thumbnails = {**state.thumbnails, **ready}
                ready.clear()

    writer = asyncio.create_task(flush())
    try:
        await asyncio.gather(*(one(product) for product in missing))
    finally:
        writer.cancel()
        put()
    if failures and generation == state.generation:
        first = failures[0]
        detail, hint = (first.message, first.hint) if isinstance(first, ExtensoError) else (str(first), "")
        state.say("warning", f"{len(failures)} of {len(missing)} thumbnails could not be fetched.", detail, hint)


def _small(content: bytes) -> str:
    """A picture as a data URI of at most 160 px, JPEG. Raises OSError for what is no picture."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        image.draft("RGB", (_PIXELS, _PIXELS))
        picture = image.convert("RGB")
    picture.thumbnail((_PIXELS, _PIXELS))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=75)
    return _html.data_uri(buffer.getvalue())


# --- orders ----------------------------------------------------------------------------------------------------------
@_action("estimate", "The estimate failed.")
async def estimate(state: ExplorerState, client: AsyncGateway) -> Estimate:
    """Estimate the selection. An answer for a selection that has changed meanwhile is dropped."""
    chosen = _chosen(state)
    answer = await client.estimate(chosen)
    with state.lock:
        if chosen == state.selected:
            state.estimate = answer.to_wire()
            _say_estimate(state, answer)
    return answer


def _say_estimate(state: ExplorerState, answer: Estimate) -> None:
    count = len(answer.products)
    text = f"{count} product{'s' * (count != 1)}, {_html.bytes_text(answer.total)}"
    free = _html.bytes_text(answer.storage_before.free)
    if answer.errors:
        bad = "; ".join(f"{key}: {reason}" for key, reason in list(answer.errors.items())[:3])
        state.say(
            "warning", f"{len(answer.errors)} of {count} cannot be ordered.", bad, "Take them out of the selection."
        )
    elif not answer.fits:
        state.say("warning", f"{text}: more than the {free} that are free.", "", "Select fewer, or delete old orders.")
    else:
        left = _html.bytes_text(answer.storage_after.free)
        state.say("success", f"{text}: fits. {left} of {_html.bytes_text(answer.storage_before.quota)} stay free.")


def _chosen(state: ExplorerState) -> list[str]:
    chosen = list(state.selected)
    if not chosen:
        raise EmptyOrder("No product is selected.", hint="Select products in the list or on the map.")
    return chosen


@_action("order", "The order was not placed.")
async def order(state: ExplorerState, client: AsyncGateway) -> Order:
    """Order the selection. When it is placed the selection is empty: a second click cannot order twice."""
    chosen = _chosen(state)
    placed = await client.order(chosen, idempotency_key=state.order_key(chosen))
    with state.lock:
        state.order_key(())
        state.put_order(placed)
        state.select([key for key in state.selected if key not in chosen])
    count = len(placed.products)
    state.say(
        "success",
        f"Order {placed.id} is placed: {count} product{'s' * (count != 1)}.",
        "It goes on without this notebook.",
    )
    return placed


@_action("orders", "Following the order failed.")
async def follow(
    state: ExplorerState, client: AsyncGateway, order_id: int, *, poll: retry.Retry = retry.POLL
) -> Order | None:
    """Keep an order up to date until it has ended. A gateway that does not answer is asked again, with a message."""
    attempt, lost = 0, False
    while True:
        attempt += 1
        try:
            now: Order = await client.status(order_id)
            rows = await client.deliveries(order_id)
        except (AccessError, NotFoundError):
            raise
        except ExtensoError as error:
            lost = True
            state.say("warning", f"Order {order_id}: no news for now, asking again.", error.message, error.hint)
        else:
            changed = _differs(state, now, rows)
            state.put_order(now, rows)
            if lost:
                lost, attempt = False, 0
                state.say("info", f"Order {order_id}: the gateway answers again.")
            if now.ended and ended([row.to_wire() for row in rows]):
                _say_ended(state, now, rows)
                return now
            attempt = 1 if changed else attempt
        # The wait grows while nothing changes, and is short again when something does.
        await asyncio.sleep(poll.wait(attempt) or poll.longest)


def _differs(state: ExplorerState, now: Order, rows: Sequence[Delivery]) -> bool:
    before = state.orders.get(str(now.id))
    return bool(before != {"order": now.to_wire(), "deliveries": [row.to_wire() for row in rows]})


def _say_ended(state: ExplorerState, now: Order, rows: Iterable[Delivery]) -> None:
    reasons = "; ".join(f"{row.product_id}: {row.error or 'no reason given'}" for row in rows if row.status == "failed")
    if now.status == "delivered":
        state.say(
            "success",
            f"Order {now.id} is delivered, {_html.bytes_text(now.delivered_size)}.",
            "",
            "Press Load to open one.",
        )
    elif now.status == "cancelled":
        state.say("info", f"Order {now.id} is cancelled.")
    else:
        title = f"Order {now.id} {'failed' if now.status == 'failed' else 'was delivered in part'}."
        state.say("error", title, reasons, "Select those that failed and order them again.")


@_action("orders", "The orders could not be listed.")
async def refresh_orders(state: ExplorerState, client: AsyncGateway, *, limit: int = 8) -> list[int]:
    """List the newest orders of the account, as after a restart of the kernel. Returns those that are still open."""
    newest = sorted(await client.orders(), key=lambda item: item.id, reverse=True)
    shown = [item for at, item in enumerate(newest) if at < limit or not item.ended]
    for item in reversed(shown):
        state.put_order(item, await client.deliveries(item.id))
    return [item.id for item in shown if not item.ended]


@_action("cancel", "The order was not cancelled.")
async def cancel_order(state: ExplorerState, client: AsyncGateway, order_id: int) -> Order:
    """Cancel an order; what has been delivered stays."""
    now = await client.cancel(order_id)
    state.put_order(now, await client.deliveries(order_id))
    state.say("info", f"Order {order_id}: {now.status}. What was delivered stays.")
    return now


@_action("open", "The product could not be opened.")
async def open_delivery(state: ExplorerState, open_product: Callable[[Delivery], Any], delivery_id: str) -> Any:
    """Open a delivered product in a thread of its own; returns what `open_product` does (the first, of a list)."""
    row = state.delivery(delivery_id)
    if row is None:
        raise UnknownDelivery(f"No delivery {delivery_id!r} is listed here.")
    if row.status != "delivered":
        raise NotDelivered(f"Delivery {delivery_id} is {row.status}.")
    state.say("info", f"Opening {row.product_id} ...")
    tree = await asyncio.to_thread(open_product, row)
    if isinstance(tree, (list, tuple)):
        tree = tree[0]
    state.update(opened=delivery_id)
    # The second way works for whoever has no name for the Explorer: `eo.explorer()` as the last line of a cell.
    hint = f'It is the .tree of this Explorer; eo.open("{delivery_id}")[0] opens it as well.'
    state.say("success", f"{row.product_id} is open.", "", hint)
    return tree
