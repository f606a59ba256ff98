"""Every verb of the API, written once as steps; `Client` and `AsyncClient` both have them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extenso_nb import retry, wire
from extenso_nb.client import inputs
from extenso_nb.client.download import Downloads
from extenso_nb.client.drive import Sleep, Steps, verb
from extenso_nb.client.exchange import Exchange, fail, noun
from extenso_nb.client.thumbnails import Thumbnails
from extenso_nb.errors import (
    DeliveryFailed,
    GatewayFault,
    GatewayUnreachable,
    InputError,
    NotDelivered,
    OrderFinished,
    SourceUnavailable,
    WaitTimeout,
)
from extenso_nb.models import (
    DELIVERY_STATUSES,
    Account,
    BucketProperties,
    Delivery,
    DeliveryMetadata,
    Estimate,
    Health,
    Order,
    Page,
    Product,
    SignedUrl,
)
from extenso_nb.progress import Listener, Progress
from extenso_nb.progress import listener as listener_for

if TYPE_CHECKING:
    from extenso_nb.results import SearchResult

__all__ = ["Verbs"]

PATIENCE = 60.0
"""Seconds that `wait` puts up with a gateway that does not answer: one that is being restarted comes back."""

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF")


class Verbs(Downloads, Exchange):
    """The verbs. Orders may be given as object or id (17), deliveries as object or id ("17-2"), products as a search
    result, a GeoDataFrame with a column `id`, product objects, identifiers, or a sequence of these.

    Every verb raises NotAuthenticated or InvalidApiKey when it may not ask, GatewayUnreachable when nothing answers,
    TooManyRequests when it should slow down, and GatewayFault when the answer makes no sense.
    """  # noqa: D205

    # --- search ----------------------------------------------------------------------------------------------------
    @verb
    def search(
        self,
        /,
        collection: str,
        *,
        q: str | None = None,
        limit: int | None = 100,
        orderby: str | None = None,
        intersects: Any = None,
        bbox: Any = None,
        datetime: Any = None,
        cloud_cover: Any = None,
        product_type: Any = None,
        platform: Any = None,
        processing_level: Any = None,
        orbit_direction: Any = None,
        relative_orbit: Any = None,
        polarisation: Any = None,
        sensor_mode: Any = None,
        tile: Any = None,
        timeliness: Any = None,
        identifier: Any = None,
        **keywords: Any,
    ) -> Steps[SearchResult]:
        """Products of a collection that match all that is asked for.

        Parameters
        ----------
        collection
            S1, S2, S3 or S5P, in any of their spellings.
        q
            Query in the SciHub full-text language. It and the keyword arguments must both match.
        limit
            Products at most; None for all. They are fetched in pages of 100.
        orderby
            ``"<keyword> asc|desc"``; by default ingestion date, newest first.
        intersects, bbox, datetime, cloud_cover, product_type, platform, processing_level, orbit_direction, \
relative_orbit, polarisation, sensor_mode, tile, timeliness, identifier, **keywords
            As `extenso_nb.query.build` takes them: an area (degrees), times, a range of cloud cover (per cent) ...

        Returns
        -------
        SearchResult
            A sequence of Product; `.gdf` is a GeoDataFrame, `.total` how many match in all.

        Raises
        ------
        QueryError
            `q` cannot be parsed, or names an unknown keyword.
        InputError, AreaError
            An argument cannot be used.
        SourceUnavailable
            No source answers; this is not "nothing found".
        """
        named = _named(locals())
        collection = _collection(collection)
        q = _query(collection, q, named)
        products, total, notes = yield from self._pages(Product, "search", collection, q, limit, orderby)
        return self._result(products, total, notes, collection, q)

    @verb
    def search_ids(
        self,
        /,
        collection: str,
        *,
        q: str | None = None,
        limit: int | None = 100,
        orderby: str | None = None,
        intersects: Any = None,
        bbox: Any = None,
        datetime: Any = None,
        cloud_cover: Any = None,
        product_type: Any = None,
        platform: Any = None,
        processing_level: Any = None,
        orbit_direction: Any = None,
        relative_orbit: Any = None,
        polarisation: Any = None,
        sensor_mode: Any = None,
        tile: Any = None,
        timeliness: Any = None,
        identifier: Any = None,
        **keywords: Any,
    ) -> Steps[list[str]]:
        """Identifiers of the products that `search` with the same arguments would find."""
        named = _named(locals())
        collection = _collection(collection)
        q = _query(collection, q, named)
        found, _, _ = yield from self._pages(str, "search_ids", collection, q, limit, orderby)
        return found

    @verb
    def search_page(
        self, collection: str, *, q: str = "*", start: int = 0, rows: int = 100, orderby: str | None = None
    ) -> Steps[Page[Product]]:
        """One page of a search, as the API gives it.

        Parameters
        ----------
        start
            How many products to leave out, from 0.
        rows
            Products of the page, 1 to 100.
        """
        window = {"q": q, "start": start, "rows": rows, "orderby": orderby}
        return (yield from self._get(Page[Product], "search", window, collection=_collection(collection)))

    @verb
    def quicklook(self, product: Any) -> Steps[bytes]:
        """The quicklook of a product: JPEG or PNG. Raises NoQuicklook where there is none, UnknownProduct."""
        return (yield from self._picture("quicklook", inputs.product_id(product)))

    @verb
    def thumbnail(self, product: Any) -> Steps[bytes]:
        """A picture of at most 256 px and 16 kB. Raises NoQuicklook where there is none, UnknownProduct."""
        return (yield from self._picture("thumbnail", inputs.product_id(product)))

    # --- orders ----------------------------------------------------------------------------------------------------
    @verb
    def estimate(self, products: Any) -> Steps[Estimate]:
        """Bytes that an order would need, per product and in all, against what is free. Nothing is changed.

        Raises
        ------
        EmptyOrder, DuplicateProducts, RequestTooLarge
            No products, one twice, or more than 1,000. An unknown product is no error here: `Estimate.errors` has it.
        """
        body = {"products": inputs.product_ids(products)}
        reply = yield from self._ask(wire.VERBS["estimate"], {}, body=body)
        return noun(Estimate, "estimate", reply)

    @verb
    def order(
        self,
        products: Any,
        *,
        bucket: BucketProperties | None = None,
        partial: bool = False,
        idempotency_key: str | None = None,
    ) -> Steps[Order]:
        """Place an order. From here on it goes on by itself; `order.id` is all one needs to come back to it.

        Parameters
        ----------
        bucket
            The user's own bucket; by default the free storage.
        partial
            Leave out products that no source holds, instead of refusing the order.
        idempotency_key
            A text of one's own that names this order: ordering again with it gives the same order. By default a
            fresh one, so that a lost answer never makes two orders.

        Raises
        ------
        EmptyOrder, DuplicateProducts, RequestTooLarge
            No products, one twice, or more than 1,000.
        UnknownProduct
            No source holds some of them, and not `partial`; `details["products"]` lists them.
        QuotaExceeded
            It does not fit into the free storage.
        BucketRefused
            The bucket did not pass the probe.
        IdempotencyConflict
            The key was used before, for another order.
        """
        body: dict[str, Any] = {"products": inputs.product_ids(products)}
        if bucket is not None:
            body["bucketProperties"] = _bucket(bucket).to_wire()
        key = inputs.idempotency_key(idempotency_key)
        query = {"partial": "true"} if partial else None
        reply = yield from self._ask(wire.VERBS["create_order"], {}, query=query, body=body, key=key)
        return noun(Order, "create_order", reply)

    @verb
    def orders(self) -> Steps[list[Order]]:
        """All orders of the account, in the order in which the gateway lists them."""
        return (yield from self._all(Order, "orders"))

    @verb
    def status(self, order_or_delivery: Order | Delivery | int | str) -> Steps[Order | Delivery]:
        """The order, or delivery, as it is now. Raises UnknownOrder, UnknownDelivery."""
        if inputs.is_delivery(order_or_delivery):
            return (yield from self._delivery(order_or_delivery))
        return (yield from self._order(inputs.order_id(order_or_delivery)))  # type: ignore[arg-type]

    @verb
    def deliveries(self, order: Order | int | str | None = None, *, status: str | None = None) -> Steps[list[Delivery]]:
        """Deliveries of an order, or of all orders; with `status` only those in that state. Raises UnknownOrder."""
        if status is not None and status not in DELIVERY_STATUSES:
            raise InputError(f"No such status: {status!r}.", hint=f"One of {', '.join(DELIVERY_STATUSES)}.")
        if order is None:
            return (yield from self._all(Delivery, "deliveries", {"status": status}))
        found = yield from self._all(Delivery, "order_deliveries", order_id=inputs.order_id(order))
        return [item for item in found if status in (None, item.status)]

    @verb
    def wait(
        self,
        order: Order | int | str,
        *,
        timeout: float | None = None,
        progress: Listener | bool | None = None,
        check: bool = True,
        poll: retry.Retry = retry.POLL,
    ) -> Steps[Order]:
        """Wait until an order has ended. Interrupting stops the waiting, not the order.

        Parameters
        ----------
        timeout
            Seconds at most; None for no end, 0 for one look.
        progress
            A listener for `Progress` events of each delivery; True or None for one that fits, False for none.
        check
            Whether a failed delivery is an error.
        poll
            How often to look. A gateway that does not answer is put up with for a minute: it may be restarting.

        Raises
        ------
        DeliveryFailed
            Some deliveries failed; `details["deliveries"]` has product, reason and trail of each.
        WaitTimeout
            The time was over; the order goes on.
        UnknownOrder
            There is no such order (any more).
        """
        return (yield from self._wait(inputs.order_id(order), timeout, listener_for(progress), check, poll))

    @verb
    def cancel(self, order: Order | int | str) -> Steps[Order]:
        """Cancel what has not been delivered; delivered products stay. Raises OrderFinished, UnknownOrder."""
        path = {"order_id": inputs.order_id(order)}
        cancel = wire.VERBS["cancel"]
        reply = yield from self._exchange(cancel, path)
        if 200 <= reply.status < 300:
            return noun(Order, "cancel", reply)
        try:
            fail(cancel, path, reply)
        except OrderFinished:
            # When an earlier try was carried out and its answer lost, this try finds the order cancelled already.
            if not reply.ambiguous:
                raise
            fresh = yield from self._order(path["order_id"])
            if fresh.status != "cancelled":
                raise
            return fresh

    @verb
    def delete(self, order: Order | int | str) -> Steps[None]:
        """Delete an order and all its products from the storage; the quota is given back. Raises UnknownOrder."""
        path = {"order_id": inputs.order_id(order)}
        reply = yield from self._exchange(wire.VERBS["delete"], path)
        done = 200 <= reply.status < 300
        if not done and not (reply.status == 404 and reply.ambiguous):  # the lost try had done it
            fail(wire.VERBS["delete"], path, reply)

    # --- products delivered ----------------------------------------------------------------------------------------
    @verb
    def download(
        self,
        order_or_delivery: Order | Delivery | int | str,
        directory: str | PathLike[str] = ".",
        *,
        progress: Listener | bool | None = None,
    ) -> Steps[list[Path]]:
        """Fetch a delivery, or all delivered products of an order that has ended, into a directory.

        A file appears under its name only when size and checksum are right; until then it is `<name>.part`, from
        which an interrupted download goes on, in this process or a later one. A right file that is there already is
        not fetched again. Two downloads of the same file at once take turns.

        Parameters
        ----------
        directory
            Made when it is not there.
        progress
            A listener for `Progress` events of each file; True or None for one that fits, False for none.

        Returns
        -------
        list of Path
            One file a delivery, `<directory>/<archive name>`.

        Raises
        ------
        NotDelivered
            The delivery has not arrived, or the order has not ended or delivered nothing.
        ChecksumMismatch
            The bytes were wrong twice.
        TransferError
            The transfer broke off too often, or the disk is full; what came is kept as `.part`. Of several files
            that failed all are listed in `details["failures"]`, those that arrived in `details["paths"]`.
        """
        target, listen = Path(directory), listener_for(progress)
        if inputs.is_delivery(order_or_delivery):
            wanted = [(yield from self._delivery(order_or_delivery))]
        else:
            wanted = yield from self._arrived(inputs.order_id(order_or_delivery))  # type: ignore[arg-type]
        return (yield from self._download_all(wanted, target, listen))

    @verb
    def download_url(self, delivery: Delivery | str) -> Steps[SignedUrl]:
        """A URL of the product that needs no header, answers Range, and expires. Raises NotDelivered."""
        order_id, delivery_id = inputs.delivery_ids(delivery)
        return (yield from self._get(SignedUrl, "download_url", order_id=order_id, delivery_id=delivery_id))

    @verb
    def metadata(self, delivery: Delivery | str) -> Steps[DeliveryMetadata]:
        """What lies beside a delivered product: product, size in bytes, checksums, trail. Raises NotDelivered."""
        order_id, delivery_id = inputs.delivery_ids(delivery)
        return (yield from self._get(DeliveryMetadata, "metadata", order_id=order_id, delivery_id=delivery_id))

    @verb
    def index(self, delivery: Delivery | str) -> Steps[bytes]:
        """The index of a delivered product, for `open_product(address, index=...)`. Raises NotDelivered, NoIndex."""
        order_id, delivery_id = inputs.delivery_ids(delivery)
        place = {"order_id": order_id, "delivery_id": delivery_id}
        return (yield from self._ask(wire.VERBS["index"], place, accept="application/octet-stream")).content

    # --- account and gateway ---------------------------------------------------------------------------------------
    @verb
    def login(self) -> Steps[None]:
        """Get a new token with the API key now. Not needed: the other verbs do. Raises InvalidApiKey."""
        yield from self._login()

    @verb
    def me(self) -> Steps[Account]:
        """The account, and its storage in bytes."""
        return (yield from self._get(Account, "me"))

    @verb
    def health(self) -> Steps[Health]:
        """Whether the gateway and its sources answer; needs no token."""
        return (yield from self._get(Health, "health"))

    # --- steps that several verbs share ----------------------------------------------------------------------------
    def _order(self, order_id: int) -> Steps[Order]:
        return (yield from self._get(Order, "order", order_id=order_id))

    def _delivery(self, delivery: Any) -> Steps[Delivery]:
        order_id, delivery_id = inputs.delivery_ids(delivery)
        return (yield from self._get(Delivery, "delivery", order_id=order_id, delivery_id=delivery_id))

    def _arrived(self, order_id: int) -> Steps[list[Delivery]]:
        order = yield from self._order(order_id)
        if not order.ended:
            raise NotDelivered(f"Order {order_id} is {order.status}: it has not ended.")
        found = yield from self._all(Delivery, "order_deliveries", order_id=order_id)
        delivered = [item for item in found if item.status == "delivered"]
        if not delivered:
            raise NotDelivered(
                f"Order {order_id} is {order.status}: nothing of it was delivered.", hint="See `deliveries(order)`."
            )
        return delivered

    def _pages(
        self, kind: Any, name: str, collection: str, q: str, limit: int | None, orderby: str | None
    ) -> Steps[tuple[list[Any], int, tuple[str, ...]]]:
        """Items of a search up to the limit, each once although pages may shift meanwhile; how many match; and notes."""
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise InputError(f"limit must be 1 or more, or None for all; got {limit!r}.")
        found: dict[str, Any] = {}
        start, total, notes = 0, None, dict[str, None]()
        while limit is None or len(found) < limit:
            rows = wire.MAX_ROWS if limit is None else min(wire.MAX_ROWS, limit - len(found))
            window = {"q": q, "start": start, "rows": rows, "orderby": orderby}
            page = yield from self._get(Page[kind], name, window, collection=collection)
            if start == 0 and page.total_results > 0 and not page.data:
                raise GatewayFault(f"{name} was answered with none of {page.total_results} products.")
            # A catalogue that does not say how many there are says so, and counts on as it goes.
            total = page.total_results if total is None or page.notes else total
            notes |= dict.fromkeys(page.notes or ())
            for item in page.data:
                found.setdefault(item if isinstance(item, str) else item.id, item)
            start += len(page.data)
            if not page.data or start >= page.total_results:
                break
        return list(found.values())[:limit], total or 0, tuple(notes)

    def _picture(self, name: str, product_id: str) -> Steps[bytes]:
        reply = yield from self._ask(wire.VERBS[name], {"product_id": product_id}, accept="image/*")
        if not reply.content.startswith(_PICTURES):
            kind = reply.headers.get("content-type", "no content type")
            raise GatewayFault(f"The {name} of {product_id} came as {kind}, which is no picture.")
        return reply.content

    def _wait(
        self, order_id: int, timeout: float | None, listen: Listener, check: bool, poll: retry.Retry
    ) -> Steps[Order]:
        began = answered = time.monotonic()
        shown: dict[str, Progress] = {}
        looks, state = 0, "not answering"
        while True:
            looks += 1
            try:
                order = yield from self._order(order_id)
                # After the order: when that has ended, these are as they will stay.
                deliveries = yield from self._all(Delivery, "order_deliveries", order_id=order_id)
            except (GatewayUnreachable, SourceUnavailable):
                if time.monotonic() - answered > PATIENCE:
                    raise
            else:
                answered, state = time.monotonic(), order.status
                _tell(deliveries, shown, listen)
                if order.ended:
                    return _checked(order, deliveries) if check else order
            pause = poll.wait(looks)
            left = None if timeout is None else timeout - (time.monotonic() - began)
            if pause is None or (left is not None and left <= 0):
                spent = time.monotonic() - began
                raise WaitTimeout(f"Order {order_id} is {state} after {spent:.0f} s of waiting.", order=order_id)
            yield Sleep(pause if left is None else min(pause, left))

    def _result(
        self, products: Sequence[Product], total: int, notes: tuple[str, ...], collection: str, q: str
    ) -> SearchResult:
        from extenso_nb.results import SearchResult

        thumbnails = Thumbnails(partial(self._picture, "thumbnail"), self._timeout)
        return SearchResult(products, total=total, collection=collection, q=q, notes=notes, thumbnails=thumbnails)


# --- pieces ----------------------------------------------------------------------------------------------------------
_NOT_KEYWORDS = frozenset({"self", "collection", "q", "limit", "orderby", "keywords"})


def _named(arguments: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a search that were given."""
    named = {name: value for name, value in arguments.items() if name not in _NOT_KEYWORDS}
    return {name: value for name, value in (named | arguments["keywords"]).items() if value is not None}


_CLOUDLESS = {"S1", "S5P"}
"""Collections of which the catalogues have no cloud figure."""


def _collection(text: str) -> str:
    from extenso_nb import products

    return products.collection(text)


def _query(collection: str, q: str | None, named: dict[str, Any]) -> str:
    """The text of `q`, and'ed with the keyword arguments."""
    if "cloud_cover" in named and collection in _CLOUDLESS:
        # It would match nothing, and that would look like an answer.
        raise InputError(f"{collection} products have no cloud figure.", hint="Leave cloud_cover out.")
    from extenso_nb import query

    return query.combine(q, query.build(**named) if named else None)


def _bucket(bucket: BucketProperties) -> BucketProperties:
    if not isinstance(bucket, BucketProperties):
        raise InputError(
            "bucket must be a BucketProperties.", hint="BucketProperties(endpoint=, access_key=, secret_key=)"
        )
    return bucket


def _tell(deliveries: Sequence[Delivery], shown: dict[str, Progress], listen: Listener) -> None:
    for item in deliveries:
        note = item.error or ""
        if not note and item.next_attempt_at is not None and not item.ended:
            note = f"next attempt at {item.next_attempt_at:%H:%M:%S} UTC"
        event = Progress(item.id, item.product_id, item.status, item.transferred, item.size, note)
        if shown.get(item.id) != event:
            shown[item.id] = event
            listen(event)


def _checked(order: Order, deliveries: Sequence[Delivery]) -> Order:
    failed = [item for item in deliveries if item.status == "failed"]
    if not failed:
        return order
    first = failed[0]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    raise DeliveryFailed(
        f"{len(failed)} of {len(deliveries)} deliveries of order {order.id} failed:"
        f" {first.product_id}: {first.error or 'no reason given'}{more}.",
        order=order.id,
        deliveries=[
            {"id": item.id, "product": item.product_id, "error": item.error, "trail": [e.to_wire() for e in item.trail]}
            for item in failed
        ],
    )
