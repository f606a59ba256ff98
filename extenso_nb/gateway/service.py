"""The rules: what an estimate, an order, a cancellation and a deletion mean. Knows nothing of HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from extenso_nb import query as query_language
from extenso_nb import wire
from extenso_nb.errors import (
    DuplicateProducts,
    EmptyOrder,
    InOwnBucket,
    InvalidRequest,
    NoIndex,
    NoQuicklook,
    NotDelivered,
    ProductIdError,
    RequestTooLarge,
    UnknownProduct,
)
from extenso_nb.gateway.catalogue import Catalogue
from extenso_nb.gateway.deliveries import Deliveries
from extenso_nb.gateway.destinations import Destinations
from extenso_nb.gateway.sources import Hits
from extenso_nb.gateway.store import NewDelivery, Store
from extenso_nb.models import (
    DELIVERY_STATUSES,
    Account,
    BucketProperties,
    Delivery,
    DeliveryMetadata,
    Estimate,
    Order,
    Product,
    ProductEstimate,
    Storage,
)
from extenso_nb.products import parse, strip

__all__ = ["Service", "window"]

_log = logging.getLogger(__name__)

THUMBNAIL_PIXELS = 256
THUMBNAIL_BYTES = 16_000
LARGEST_PICTURE = 25_000_000
"""Pixels of a quicklook that is made smaller. Some kB can unfold to half a gigabyte, once for each request."""
_KEPT_PICTURE = 500_000
"""Bytes of a quicklook that is kept beside its thumbnail, by which it is known again."""
DEFAULT_ORDER = "ingestiondate desc"


def window(start: int | None, rows: int | None) -> tuple[int, int]:
    """The window of a page. Raises InvalidRequest for a negative start, and rows outside 1..100."""
    first = 0 if start is None else start
    count = wire.ROWS if rows is None else rows
    if first < 0:
        raise InvalidRequest(f"start={first}: a page cannot begin before the first item.", hint="Give 0 or more.")
    if not 1 <= count <= wire.MAX_ROWS:
        raise InvalidRequest(
            f"rows={count}: a page has 1 to {wire.MAX_ROWS} items.", hint="Follow `_links.next` for more."
        )
    if first > 2**40:
        raise InvalidRequest(f"start={first} is beyond any result.", hint="Follow `_links.next` page by page.")
    return first, count


class Service:
    """The extenSO service over its parts."""

    def __init__(self, store: Store, destinations: Destinations, catalogue: Catalogue, deliveries: Deliveries) -> None:
        self.store = store
        self.destinations = destinations
        self.catalogue = catalogue
        self.deliveries = deliveries

    # --- search ------------------------------------------------------------------------------------------------------
    def search(self, collection: str, q: str | None, start: int, rows: int, orderby: str | None) -> Hits:
        """Products of a collection that match. Raises QueryError, InvalidRequest, SourceUnavailable."""
        parsed = query_language.parse(q or "*")
        ordered = orderby or DEFAULT_ORDER
        query_language.order([], ordered)  # a wrong field is an error even where nothing is found
        return self.catalogue.search(collection, parsed, start=start, rows=rows, orderby=ordered)

    def quicklook(self, product_id: str) -> bytes:
        """JPEG or PNG. Raises UnknownProduct, NoQuicklook."""
        return self.catalogue.quicklook(_identifier(product_id))

    def thumbnail(self, product_id: str) -> bytes:
        """JPEG of at most 256 x 256 pixels and 16 kB. Raises UnknownProduct, NoQuicklook."""
        picture = self.quicklook(product_id)
        return (_shrunk_before if len(picture) <= _KEPT_PICTURE else _shrunk)(picture, product_id)

    # --- orders ------------------------------------------------------------------------------------------------------
    def estimate(self, account: str, products: Sequence[str]) -> Estimate:
        """What an order would cost. An unknown product is an error of that product, not of the request."""
        wanted = _checked(products)
        found = self.catalogue.find(wanted)
        items = tuple(self._estimated(product_id, found.get(product_id)) for product_id in wanted)
        total = sum(item.size or 0 for item in items)
        before = self.store.account(account).storage
        after = Storage(
            quota=before.quota, used=before.used, reserved=before.reserved + total, free=before.free - total
        )
        return Estimate(
            products=items, total=total, storage_before=before, storage_after=after, fits=total <= before.free
        )

    def _estimated(self, product_id: str, product: Product | None) -> ProductEstimate:
        if product is None:
            return ProductEstimate(id=product_id, error=_unknown([product_id]).message)
        missing = self.catalogue.undeliverable(product)
        if missing is not None:
            return ProductEstimate(id=product_id, error=missing.message)
        return ProductEstimate(
            id=product_id,
            size=product.size,
            size_estimated=product.size_estimated,
            online=product.online,
            source=self.catalogue.likely(product),
        )

    def create_order(
        self,
        account: str,
        products: Sequence[str],
        *,
        bucket: BucketProperties | None = None,
        partial: bool = False,
        idempotency_key: str | None = None,
    ) -> tuple[Order, bool]:
        """Accept an order; it, and whether it is new rather than that of an earlier request with the same key.

        Raises EmptyOrder, DuplicateProducts, RequestTooLarge, UnknownProduct (with the list, unless `partial` and at
        least one product is known), CredentialsMissing, QuotaExceeded, BucketRefused, IdempotencyConflict;
        TooManyRequests while buckets of other orders are being probed.
        """
        wanted = _checked(products)
        # The keys are no part of what is the same: they may have been renewed between two tries.
        place = None if bucket is None else [bucket.endpoint, bucket.bucket, bucket.prefix]
        body_hash = hashlib.sha256(json.dumps([wanted, partial, place]).encode()).hexdigest()
        # Asked before the sources are: a repeated request must find its order also when a source is down by now.
        earlier = self.store.earlier_order(account, idempotency_key, body_hash)
        if earlier is not None:
            return earlier, False
        found = self.catalogue.find(wanted)
        unknown = [product_id for product_id in wanted if product_id not in found]
        if unknown and not (partial and found):
            raise _unknown(unknown)
        for product in found.values():
            if (missing := self.catalogue.undeliverable(product)) is not None:
                raise missing
        new = [
            NewDelivery(product_id, found[product_id].size, self.catalogue.likely(found[product_id]))
            for product_id in wanted
            if product_id in found
        ]
        accepted = None if bucket is None else self.destinations.accept(account, bucket)
        order, fresh = self.store.add_order(
            account, new, idempotency_key=idempotency_key, body_hash=body_hash, bucket=accepted
        )
        if fresh:
            self.deliveries.begin()
        return order, fresh

    def cancel(self, account: str, order_id: int) -> Order:
        """Cancel what has not been delivered. Raises UnknownOrder, OrderFinished."""
        order, _ = self.store.cancel_order(account, order_id)
        return order

    def delete(self, account: str, order_id: int) -> None:
        """Delete an order and its products. Raises UnknownOrder."""
        self.store.delete_order(account, order_id)
        try:
            self.deliveries.remove(account, order_id)
        except Exception:  # noqa: BLE001 - a storage may raise anything, and it is no fault of the request
            # The order is gone and its quota given back; what lies in a storage that is down is removed later.
            _log.warning("the objects of order %s could not be removed yet", order_id, exc_info=True)

    def list_deliveries(
        self, account: str, *, order_id: int | None, status: str | None, start: int, rows: int
    ) -> tuple[int, list[Delivery]]:
        """A page of deliveries. Raises UnknownOrder, InvalidRequest for an unknown status."""
        if status is not None and status not in DELIVERY_STATUSES:
            raise InvalidRequest(
                f"status={status!r} is not a status of a delivery.",
                hint=f"It is one of {', '.join(DELIVERY_STATUSES)}.",
            )
        return self.store.deliveries(account, order_id=order_id, status=status, start=start, rows=rows)

    # --- what was delivered ------------------------------------------------------------------------------------------
    def delivered(self, account: str, order_id: int, delivery_id: str) -> Delivery:
        """A delivery that has arrived. Raises UnknownOrder, UnknownDelivery, NotDelivered."""
        delivery = self.store.delivery(account, order_id, delivery_id)
        if delivery.status != "delivered" or delivery.key is None:
            why = f": {delivery.error}" if delivery.error else ""
            raise NotDelivered(f"Delivery {delivery_id} is {delivery.status}{why}.", status=delivery.status)
        return delivery

    def metadata(self, account: str, order_id: int, delivery_id: str) -> DeliveryMetadata:
        """What lies beside the product. Raises as `delivered`."""
        delivery = self.delivered(account, order_id, delivery_id)
        written = DeliveryMetadata.from_wire(self.store.metadata(delivery_id))
        return written.model_copy(update={"trail": delivery.trail})

    def stored(self, account: str, order_id: int, delivery_id: str) -> str:
        """Key of a delivered product in the free storage. Raises as `delivered`, and InOwnBucket."""
        delivery = self.delivered(account, order_id, delivery_id)
        destination, _ = self.store.destination(order_id)
        assert delivery.key is not None
        if destination.kind == "bucket":
            raise InOwnBucket(
                f"Delivery {delivery_id} lies in the bucket {destination.bucket} at {destination.endpoint}.",
                key=delivery.key,
                prefix=destination.prefix,
            )
        return delivery.key

    def index(self, account: str, order_id: int, delivery_id: str) -> bytes:
        """The index of a product in the free storage. Raises as `stored`, and NoIndex."""
        self.stored(account, order_id, delivery_id)
        key = self.metadata(account, order_id, delivery_id).index
        if key is not None:
            with contextlib.suppress(FileNotFoundError):
                return self.destinations.storage.read(key)
        raise NoIndex(
            f"Delivery {delivery_id} has no index: its product is none that is read by ranges, or it was removed."
        )

    def account(self, account: str) -> Account:
        """The account and its storage."""
        return self.store.account(account)


def _identifier(text: str) -> str:
    """The identifier without the extensions that users paste along. Raises UnknownProduct for what cannot be one."""
    try:
        return parse(strip(text)).id
    except ProductIdError as error:
        raise UnknownProduct(error.message, hint=error.hint, products=[text[:200]]) from error


def _checked(products: Sequence[str]) -> list[str]:
    if not products:
        raise EmptyOrder("The list of products is empty.")
    if len(products) > wire.MAX_PRODUCTS:
        raise RequestTooLarge(f"{len(products):,} products are more than the {wire.MAX_PRODUCTS:,} of one request.")
    wanted = [strip(product) for product in products]
    doubled = [product for product, count in Counter(wanted).items() if count > 1]
    if doubled:
        raise DuplicateProducts(f"{doubled[0]} is named {wanted.count(doubled[0])} times.", products=doubled[:20])
    return wanted


def _unknown(product_ids: list[str]) -> UnknownProduct:
    more = f" and {len(product_ids) - 3} more" if len(product_ids) > 3 else ""
    return UnknownProduct(f"No source holds {', '.join(product_ids[:3])}{more}.", products=product_ids)


def _shrunk(picture: bytes, product_id: str) -> bytes:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(picture)) as opened:
            if opened.width * opened.height > LARGEST_PICTURE:
                raise NoQuicklook(
                    f"The quicklook of {product_id} has {opened.width} x {opened.height} pixels: too many."
                )
            small = opened.convert("RGB")
            small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise NoQuicklook(f"The quicklook of {product_id} is not a picture that can be read.") from error
    for quality in (80, 65, 50, 35, 20, 10):
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= THUMBNAIL_BYTES:
            break
    return buffer.getvalue()


_shrunk_before = lru_cache(maxsize=256)(_shrunk)
