"""Searching, and what all actions are: state and client in, state out; asynchronous, without widgets; failures are messages."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, ParamSpec, Protocol, TypeVar

from extenso_nb.models import Account, BucketProperties, Delivery, Estimate, Order, Page, Product
from extenso_nb.widgets.footprints import mended
from extenso_nb.widgets.state import ExplorerState

__all__ = ["AsyncGateway", "action", "load_more", "said_again", "search", "timeline"]

BINS = 24
"""Bars of the timeline at most: days, weeks, months or years, as the search spans; each is a request."""
_COUNTS_AT_ONCE = 4


class AsyncGateway(Protocol):
    """What the actions ask of a client; `client.AsyncClient` has it."""

    async def search_page(
        self, collection: str, *, q: str = "*", start: int = 0, rows: int = 100, orderby: str | None = None
    ) -> Page[Product]:
        """One page of products."""

    async def thumbnail(self, product: Any) -> bytes:
        """JPEG or PNG."""

    async def quicklook(self, product: Any) -> bytes:
        """JPEG or PNG."""

    async def me(self) -> Account:
        """The account, with its storage."""

    async def estimate(self, products: Any) -> Estimate:
        """Size and fit of an order."""

    async def order(
        self, products: Any, *, bucket: BucketProperties | None = None, idempotency_key: str | None = None
    ) -> Order:
        """Place an order; the same key twice is the same order."""

    async def orders(self) -> list[Order]:
        """All orders."""

    async def status(self, order_or_delivery: Any) -> Any:
        """An order or delivery as it is now."""

    async def deliveries(self, order: Any = None) -> list[Delivery]:
        """Deliveries of an order."""

    async def cancel(self, order: Any) -> Order:
        """Stop an order."""

    async def delete(self, order: Any) -> None:
        """Delete an order and its products."""

    async def aclose(self) -> None:
        """Give connections back."""


P = ParamSpec("P")
R = TypeVar("R")
Action = Callable[P, Coroutine[Any, Any, R]]


def action(name: str, title: str, *, again: str = "") -> Callable[[Action[P, R]], Action[P, R | None]]:
    """Name an action in `state.busy` while it runs, and turn what it raises into `state.message`.

    `again` is the verb of the desk that carries the action out, for the message to offer; its argument, an order say, is
    that of the action after state and client.
    """

    def decorate(function: Action[P, R]) -> Action[P, R | None]:
        @functools.wraps(function)
        async def run(*args: P.args, **kwargs: P.kwargs) -> R | None:
            state = args[0]
            assert isinstance(state, ExplorerState)
            with state.working(name):
                try:
                    return await function(*args, **kwargs)
                except Exception as error:  # noqa: BLE001 - nobody stands above a task to catch it; it is shown and logged
                    state.fail(title, error, retry=said_again(run, args[2:]))
                    return None

        run.again = again  # type: ignore[attr-defined]
        return run

    return decorate


def said_again(function: Callable[..., Any], arguments: Sequence[Any]) -> str:
    """The command that carries an action out once more: `cancel_order 41`. Empty where there is none."""
    verb = getattr(function, "again", "")
    plain = [str(item) for item in arguments[:1] if isinstance(item, (int, str))]
    return " ".join([verb, *plain]) if verb else ""


# --- search ----------------------------------------------------------------------------------------------------------
@action("search", "The search failed.", again="search")
async def search(state: ExplorerState, client: AsyncGateway, *, generation: int = 0) -> None:
    """Search by the form. The first page replaces what was found; a failure leaves it, with a message.

    The basket is kept, whatever is found. `generation` is what `state.begin` gave when the search was asked for: nothing
    happens when another was begun since, or this one cancelled.
    """
    from extenso_nb import query

    with state.lock:
        generation = generation or state.begin()
        if generation != state.generation:
            return
        state.update(failed=True)  # until there is an answer
        form, aoi, rows = state.search_form(), state.aoi, state.page_size
    q = query.combine(state.q, query.build(**state.search_arguments()))
    with state.lock:
        if generation != state.generation:
            return
        state.say("info", f"Searching {form['collection']} ...")
    page = await client.search_page(form["collection"], q=q, start=0, rows=rows, orderby=form["sort"] or None)
    products = mended(page.data)
    with state.lock:
        if generation != state.generation:
            return
        there = {product.id for product in products}
        state.clear_results()
        state.update(
            found_aoi=aoi,
            found_form=form,
            found_collection=form["collection"],
            found_sort=form["sort"],
            query=q,
            total=page.total_results,
            searched=True,
            failed=False,
            thumbnails={key: uri for key, uri in state.thumbnails.items() if key in there},
            products=products,
        )
    _say_found(state, page.notes or ())


def _say_found(state: ExplorerState, notes: Sequence[str] = ()) -> None:
    if state.total == 0:
        state.say(
            "info",
            "Nothing matches.",
            " ".join(notes),
            "Widen the dates, the area or the cloud cover, or choose another mission.",
        )
    else:
        shown = "all shown" if len(state.products) >= state.total else f"{len(state.products)} shown"
        state.say("success", f"{state.total} products found, {shown}.", " ".join(notes))


@action("search", "Loading more failed.", again="load_more")
async def load_more(state: ExplorerState, client: AsyncGateway) -> None:
    """Append the next page of the search that is shown, whatever the form says by now."""
    if not state.searched or len(state.products) >= state.total:
        return
    generation, start = state.generation, len(state.products)
    known = {product.id for product in state.products}
    while True:
        page = await client.search_page(
            state.found_collection, q=state.query, start=start, rows=state.page_size, orderby=state.found_sort or None
        )
        # New products may have come in between and shifted the pages: what is there already is not shown twice, and
        # a page of nothing else is passed over.
        fresh = mended(product for product in page.data if product.id not in known)
        start += len(page.data)
        if fresh or not page.data:
            break
    with state.lock:
        if generation != state.generation:
            return
        # An empty page means that the catalogue has shrunk; the total says so, or "load more" would never end.
        total = page.total_results if page.data else len(state.products)
        state.update(products=(*state.products, *fresh), total=total)
    _say_found(state, page.notes or ())


# --- timeline --------------------------------------------------------------------------------------------------------
@action("timeline", "The timeline could not be counted.")
async def timeline(state: ExplorerState, client: AsyncGateway) -> None:
    """Count what was found by day, week, month or year.

    When all products are there they are counted here. Otherwise the gateway is asked, once for each bar and twice for
    the days on which the pictures begin and end; products whose time spans two bars stand in the one of their beginning.
    """
    generation, total = state.generation, state.total
    if len(state.products) >= total:
        days = [product.begin_position.date() for product in state.products]
        bins = (
            [(first, last, sum(first <= day <= last for day in days)) for first, last in spans(min(days), max(days))]
            if days
            else []
        )
    else:
        bins = await _counted(state, client)
    with state.lock:
        if generation == state.generation:
            rows = [{"start": a.isoformat(), "stop": b.isoformat(), "count": count} for a, b, count in bins]
            state.timeline = {"bins": rows, "complete": sum(row["count"] for row in rows) >= total}


async def _counted(state: ExplorerState, client: AsyncGateway) -> list[tuple[date, date, int]]:
    from extenso_nb import query

    collection, q = state.found_collection, state.query
    slots = asyncio.Semaphore(_COUNTS_AT_ONCE)

    async def edge(direction: str) -> date:
        page = await client.search_page(collection, q=q, rows=1, orderby=f"beginposition {direction}")
        return page.data[0].begin_position.date() if page.data else datetime.now(UTC).date()

    async def count(first: date, last: date) -> tuple[date, date, int]:
        async with slots:
            within = f"beginposition:[{first}T00:00:00.000Z TO {last}T23:59:59.999Z]"
            page = await client.search_page(collection, q=query.combine(q, within), rows=1)
        return first, last, page.total_results

    first, last = sorted(await asyncio.gather(edge("asc"), edge("desc")))
    return list(await asyncio.gather(*(count(a, b) for a, b in spans(first, last))))


def spans(first: date, last: date, most: int = BINS) -> list[tuple[date, date]]:
    """The days from first to last, cut where the calendar is: each part as its first and last day, `most` at the most.

    Parts are days, pairs of days, weeks from Monday, halves of months, months, quarters, or years: the shortest of which
    there are few enough. Those at the ends may be cut short.
    """
    days = [first + timedelta(days=at) for at in range((last - first).days + 1)]
    for part in _PARTS:
        starts = [day for at, day in enumerate(days) if not at or part(day, first) != part(days[at - 1], first)]
        if len(starts) <= most:
            break
    else:
        years = -(-(last.year - first.year + 1) // most)
        starts = [first, *(date(year, 1, 1) for year in range(first.year + years, last.year + 1, years))]
    return list(zip(starts, [*(day - timedelta(days=1) for day in starts[1:]), last], strict=True))


_PARTS: tuple[Callable[[date, date], object], ...] = (
    lambda day, _: day,
    lambda day, first: (day - first).days // 2,
    lambda day, _: day.isocalendar()[:2],
    lambda day, _: (day.year, day.month, day.day > 15),
    lambda day, _: (day.year, day.month),
    lambda day, _: (day.year, (day.month - 1) // 3),
    lambda day, _: day.year,
)
"""What a day belongs to; days with the same answer are one bar of the timeline."""
