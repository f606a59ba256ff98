"""Ordering: estimate, order, follow, cancel, retry, delete, open; actions as in `actions`."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from extenso_nb import _html, retry
from extenso_nb.errors import (
    AccessError,
    EmptyOrder,
    ExtensoError,
    InputError,
    NotDelivered,
    NotFoundError,
    UnknownDelivery,
)
from extenso_nb.models import BucketProperties, Delivery, Estimate, Order
from extenso_nb.results import short_id
from extenso_nb.widgets import failures
from extenso_nb.widgets.actions import AsyncGateway, action
from extenso_nb.widgets.state import ExplorerState, ended

__all__ = [
    "cancel_order",
    "delete_order",
    "estimate",
    "follow",
    "go_on",
    "open_delivery",
    "order",
    "place_of",
    "refresh_account",
    "refresh_orders",
    "retry_order",
    "wanted",
]

logger = logging.getLogger("extenso_nb.widgets")


@action("estimate", "The estimate failed.", again="estimate")
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
        bad = "\n".join(f"{key}: {reason}" for key, reason in list(answer.errors.items())[:3])
        more = f"\nand {len(answer.errors) - 3} more" if len(answer.errors) > 3 else ""
        state.say(
            "warning",
            f"{len(answer.errors)} of {count} cannot be ordered.",
            bad + more,
            "Take them out of the basket; `Remove those` there does it.",
        )
    elif state.destination["kind"] == "bucket":
        # What goes into a bucket of the user's own costs no quota, whatever the gateway's storage has left.
        where = state.destination.get("bucket") or state.destination.get("endpoint")
        state.say("success", f"{text}, into your bucket {where}. No quota is used.")
    elif not answer.fits:
        hint = "Select fewer, delete old orders, or deliver into a bucket of your own."
        state.say("warning", f"{text}: more than the {free} that are free.", "", hint)
    else:
        left = _html.bytes_text(answer.storage_after.free)
        state.say("success", f"{text}: fits. {left} of {_html.bytes_text(answer.storage_before.quota)} stay free.")


def _chosen(state: ExplorerState) -> list[str]:
    chosen = list(state.selected)
    if not chosen:
        raise _nothing_selected()
    return chosen


def _nothing_selected() -> EmptyOrder:
    return EmptyOrder("No product is selected.", hint="Select products in the list or on the map.")


class Wanted(NamedTuple):
    """What is ordered, and where it goes, as it was shown when the button was pressed."""

    products: tuple[str, ...]
    destination: Mapping[str, str]
    bucket: BucketProperties | None


def wanted(state: ExplorerState) -> Wanted:
    """The basket and its destination as they are now."""
    with state.lock:
        return Wanted(tuple(state.selected), dict(state.destination), state.bucket)


def place_of(bucket: BucketProperties) -> dict[str, str]:
    """A bucket as destination, without its keys."""
    shown = {"kind": "bucket", "endpoint": bucket.endpoint, "bucket": bucket.bucket, "prefix": bucket.prefix}
    return {key: value for key, value in shown.items() if value}


def _keys_of(what: Wanted) -> BucketProperties | None:
    """The bucket with its keys, None for the free storage. Raises InputError when those of another bucket are known."""
    place = what.destination
    if place["kind"] == "free":
        return None
    if what.bucket is None or place_of(what.bucket) != place:
        raise InputError(
            f"The keys of bucket {place.get('bucket') or place.get('endpoint')} are not known here.",
            hint="Enter them again under Destination; they are kept nowhere.",
        )
    return what.bucket


@action("order", "The order was not placed.", again="order")
async def order(state: ExplorerState, client: AsyncGateway, what: Wanted | None = None) -> Order:
    """Order what was wanted, by default the selection. It is then no longer selected: a second click cannot order twice."""
    what = what or wanted(state)
    if not what.products:
        raise _nothing_selected()
    bucket = _keys_of(what)
    attempt = state.attempt(what.products, what.destination)
    placed = await client.order(list(attempt.products), bucket=bucket, idempotency_key=attempt.key)
    with state.lock:
        state.placed(attempt, placed)
        state.select([key for key in state.selected if key not in what.products])
    count = len(placed.products)
    state.say(
        "success",
        f"Order {placed.id} is placed: {count} product{'s' * (count != 1)}.",
        "It goes on without this notebook.",
    )
    return placed


@action("orders", "Following the order failed.", again="resume")
async def follow(
    state: ExplorerState, client: AsyncGateway, order_id: int, *, poll: retry.Retry = retry.POLL
) -> Order | None:
    """Keep an order up to date until it has ended. A gateway that does not answer is asked again, with a message."""
    attempt, lost, said = 0, False, {}
    while True:
        attempt += 1
        try:
            now: Order = await client.status(order_id)
            rows = await client.deliveries(order_id)
        except (AccessError, NotFoundError):
            if state.dropped(order_id):
                return None
            raise
        except ExtensoError as error:
            if not lost:  # said once: again and again it would hide what else is said
                why = failures.cause(error)
                title = f"Order {order_id}: no news for now, asking again" + (f": {why}." if why else ".")
                state.say("warning", title, failures.detail(error), error.hint)
                said = dict(state.message)
            lost = True
        else:
            changed = _differs(state, now, rows)
            state.put_order(now, rows)
            if lost:
                lost, attempt = False, 0
                with state.lock:
                    if state.message == said:
                        state.say("info", f"Order {order_id}: the gateway answers again.")
            if now.ended and ended([row.to_wire() for row in rows]):
                await refresh_account(state, client)
                _say_ended(state, now, rows)
                return now
            attempt = 1 if changed else attempt
        # The wait grows while nothing changes, and is short again when something does.
        await asyncio.sleep(poll.wait(attempt) or poll.longest)


def _differs(state: ExplorerState, now: Order, rows: Sequence[Delivery]) -> bool:
    before = state.orders.get(str(now.id))
    return bool(before != {"order": now.to_wire(), "deliveries": [row.to_wire() for row in rows]})


def _say_ended(state: ExplorerState, now: Order, rows: Iterable[Delivery]) -> None:
    failed = [f"{row.product_id}: {row.error or 'no reason given'}" for row in rows if row.status == "failed"]
    reasons = "\n".join([*failed[:3], *([f"and {len(failed) - 3} more"] if len(failed) > 3 else [])])
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
        hint = "Retry orders those that failed once more; the trail of each is in the list of orders."
        state.say("error", title, reasons, hint, retry=f"retry_order {now.id}")


@action("orders", "The orders could not be listed.", again="resume")
async def refresh_orders(state: ExplorerState, client: AsyncGateway, *, limit: int = 8) -> list[int]:
    """List the newest orders of the account, as after a restart of the kernel. Returns those that are still open."""
    state.list_anew()
    newest = sorted(await client.orders(), key=lambda item: item.id, reverse=True)
    shown = [item for at, item in enumerate(newest) if at < limit or not item.ended]
    for item in reversed(shown):
        try:
            state.put_order(item, await client.deliveries(item.id))
        except NotFoundError:
            if not state.dropped(item.id):  # deleted here while the list was read
                raise
    await refresh_account(state, client)
    return [item.id for item in shown if not item.ended]


@action("cancel", "The order was not cancelled.", again="cancel_order")
async def cancel_order(state: ExplorerState, client: AsyncGateway, order_id: int) -> Order:
    """Cancel an order; what has been delivered stays."""
    now = await client.cancel(order_id)
    state.put_order(now)
    try:
        state.put_order(now, await client.deliveries(order_id))
    except ExtensoError as error:  # it is cancelled all the same
        logger.warning("The deliveries of order %s could not be read: %s", order_id, error)
    state.say("info", f"Order {order_id}: {now.status}. What was delivered stays.")
    return now


@action("retry", "The order was not placed anew.", again="retry_order")
async def retry_order(state: ExplorerState, client: AsyncGateway, order_id: int) -> Order:
    """Order once more what an order failed to deliver, to the same kind of place; a new order, which is followed."""
    rows = await client.deliveries(order_id)
    failed = [row.product_id for row in rows if row.status in {"failed", "cancelled"}]
    if not failed:
        raise EmptyOrder(f"Nothing of order {order_id} failed.", hint="There is nothing to try again.")
    since = _ordered_since(state, order_id)
    again = [key for key in failed if key not in since]
    if not again:
        raise EmptyOrder(
            f"What order {order_id} did not deliver was ordered again already.", hint="See the orders above it."
        )
    before = state.orders.get(str(order_id), {}).get("order", {}).get("destination", {})
    bucket = _bucket_again(state, order_id, before) if before.get("kind") == "bucket" else None
    attempt = state.attempt(again, {"retry": str(order_id), **(place_of(bucket) if bucket else {})})
    placed = await client.order(list(attempt.products), bucket=bucket, idempotency_key=attempt.key)
    state.placed(attempt, placed)
    state.say("success", f"Order {placed.id} tries again what order {order_id} did not deliver.")
    return placed


def _ordered_since(state: ExplorerState, order_id: int) -> set[str]:
    """Products that later orders have delivered, or still may."""
    found: set[str] = set()
    for key, entry in state.orders.items():
        if int(key) > order_id:
            lost = {row["productId"] for row in entry["deliveries"] if row["status"] in {"failed", "cancelled"}}
            found |= set(entry["order"]["products"]) - lost
    return found


def _bucket_again(state: ExplorerState, order_id: int, before: Mapping[str, str]) -> BucketProperties:
    """The bucket that an order went into, with its keys. Raises InputError where those are not known here."""
    from extenso_nb.storage import locate_bucket

    bucket, name = state.bucket, before.get("bucket")
    if bucket is not None:
        there = locate_bucket(bucket)
        if before.get("endpoint") in {there.endpoint, bucket.endpoint} and name in {there.name, bucket.bucket}:
            return bucket
    raise InputError(
        f"Order {order_id} went into the bucket {name}, whose keys are forgotten when an order ends.",
        hint="Choose that bucket as destination again, then retry.",
    )


@action("delete", "The order was not deleted.", again="delete_order")
async def delete_order(state: ExplorerState, client: AsyncGateway, order_id: int) -> None:
    """Delete an order with its products from the storage. The quota is given back."""
    await client.delete(order_id)
    state.drop_order(order_id)
    await refresh_account(state, client)
    state.say("info", f"Order {order_id} and its products are deleted.")


async def refresh_account(state: ExplorerState, client: AsyncGateway) -> None:
    """Show what is used of the quota. It comes along with other verbs, so its failure is logged and stops none."""
    try:
        account = await client.me()
    except ExtensoError as error:
        logger.warning("The account could not be read: %s", error)
    else:
        state.update(account=account.to_wire())


@action("open", "The product could not be opened.", again="load")
async def open_delivery(
    state: ExplorerState,
    open_product: Callable[[Delivery], Any],
    delivery_id: str,
    name: Callable[[str, Any], str] = lambda delivery_id, tree: "",
) -> Any:
    """Open a delivered product in a thread of its own, name it in the notebook, and draw it.

    Returns what `open_product` does (the first, of a list). A picture that fails leaves the product open.
    """
    row = state.delivery(delivery_id)
    if row is None:
        raise UnknownDelivery(f"No delivery {delivery_id!r} is listed here.")
    if row.status != "delivered":
        raise NotDelivered(f"Delivery {delivery_id} is {row.status}.", hint="Load it when it is delivered.")
    state.say("info", f"Opening {short_id(row.product_id)} ...")
    tree = await asyncio.to_thread(open_product, row)
    if isinstance(tree, (list, tuple)):
        tree = tree[0]
    called = name(delivery_id, tree)
    # The second way works for whoever has no name for the Explorer: `eo.explorer()` as the last line of a cell.
    another = f'eo.open("{delivery_id}")[0]'
    text = (
        f"It is `{called}` in this notebook."
        if called
        else f"It is the .tree of this Explorer; {another} opens it too."
    )
    loaded = {
        "delivery": delivery_id,
        "product": row.product_id,
        "name": called,
        "text": text,
        "code": go_on(tree, called or another),
        "picture": "",
        "note": "Drawing ...",
    }
    state.update(opened=delivery_id, loaded=loaded)
    state.say("success", f"{short_id(row.product_id)} is open.", "", text)
    picture, note = await asyncio.to_thread(_drawn, tree)
    with state.lock:
        if state.opened == delivery_id:
            state.update(loaded={**loaded, "picture": picture, "note": note})
    return tree


def go_on(tree: Any, name: str) -> str:
    """A line of code to go on with: the first array of an opened product, measurements before what describes them.

    Only what is in the tree is named; empty when there is no array in it.
    """
    groups = [(node.path.strip("/"), node) for node in getattr(tree, "subtree", ())]
    ranked = sorted(groups, key=lambda item: not item[0].startswith("measurements"))
    for path, node in ranked:
        arrays = [str(key) for key, array in node.data_vars.items() if array.ndim >= 2]
        if arrays:
            known = next((key for key in _KNOWN if key in arrays), arrays[0])
            return name + (f'["{path}"]' if path else "") + f'["{known}"]'
    return ""


_KNOWN = ("B04", "Oa08")
"""Arrays that people know, where a group has many."""


def _drawn(tree: Any) -> tuple[str, str]:
    """A first picture of an opened product as a data URI; or nothing, and why."""
    from extenso_nb import plot

    try:
        figure = plot.show(tree).get_figure(root=True)
        assert figure is not None
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80, bbox_inches="tight")
    except Exception as error:
        if not isinstance(error, ExtensoError):
            logger.exception("A product that was opened could not be drawn.")
        return "", f"No picture: {error.message if isinstance(error, ExtensoError) else error}"
    return _html.data_uri(buffer.getvalue()), ""
