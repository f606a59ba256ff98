"""Generous in, one type inside: what callers may give for products, orders and deliveries, as identifiers."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from extenso_nb import wire
from extenso_nb.errors import DuplicateProducts, EmptyOrder, InputError, RequestTooLarge
from extenso_nb.models import Delivery, Order

__all__ = ["delivery_ids", "idempotency_key", "is_delivery", "order_id", "product_id", "product_ids"]

_DELIVERY_ID = re.compile(r"([0-9]{1,18})-[0-9A-Za-z]{1,18}")
_KEY = re.compile(r"[!-~]{1,255}")


def order_id(order: Order | int | str) -> int:
    """The id of an order given as object or id."""
    if isinstance(order, Order):
        return order.id
    if isinstance(order, str) and re.fullmatch(r"[0-9]{1,18}", order.strip()):
        return int(order)
    if not isinstance(order, bool):
        try:
            return operator.index(order)  # type: ignore[arg-type] # numpy's integers have it, too
        except TypeError:
            pass
    raise InputError(f"Not an order: {_shown(order)}.", hint="Give an Order or its id, such as 17.")


def is_delivery(given: object) -> bool:
    """Whether a delivery was given, rather than an order."""
    return isinstance(given, Delivery) or (isinstance(given, str) and "-" in given)


def delivery_ids(delivery: Delivery | str) -> tuple[int, str]:
    """Order id and delivery id of a delivery given as object or id; the id alone leads to its order."""
    if isinstance(delivery, Delivery):
        return delivery.order_id, delivery.id
    found = _DELIVERY_ID.fullmatch(delivery.strip()) if isinstance(delivery, str) else None
    if found is None:
        raise InputError(f"Not a delivery: {_shown(delivery)}.", hint='Give a Delivery or its id, such as "17-2".')
    return int(found[1]), found[0]


def product_id(product: Any) -> str:
    """The identifier of one product given as object, row of a frame, mapping or text."""
    found = list(_ids(product))
    if len(found) != 1:
        raise InputError(f"One product is needed, {len(found)} were given.", hint="Pick one of them.")
    return found[0]


def product_ids(products: Any) -> list[str]:
    """The identifiers of one or more products, in order.

    Raises
    ------
    EmptyOrder, DuplicateProducts, RequestTooLarge
        None, one of them twice, or more than 1,000. Nothing was sent.
    """
    found = list(_ids(products))
    if not found:
        raise EmptyOrder("No products were given.")
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
        raise DuplicateProducts(f"Given more than once: {twice[0]}{more}.", products=twice)
    if len(found) > wire.MAX_PRODUCTS:
        raise RequestTooLarge(f"{len(found)} products were given; one request takes {wire.MAX_PRODUCTS}.")
    return found


def idempotency_key(given: str | None) -> str:
    """The key as given, or a fresh one."""
    if given is None:
        return str(uuid4())
    if not isinstance(given, str) or not _KEY.fullmatch(given):
        raise InputError("idempotency_key must be 1 to 255 printable ASCII characters without spaces.")
    return given


def _ids(given: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(given, str):
        yield _stripped(given)
    elif isinstance(getattr(given, "id", None), str):  # Product, ProductId, a row of a frame
        yield _stripped(given.id)
    elif isinstance(given, Mapping):
        yield _of_mapping(given)
    elif hasattr(given, "columns"):  # a GeoDataFrame; pandas is not imported to find out
        if "id" not in given.columns:
            raise InputError("The frame has no column `id`.", hint="Give the frame of a search result, or its ids.")
        yield from _ids(list(given["id"]), depth + 1)
    elif isinstance(given, Iterable) and not isinstance(given, bytes) and depth < 3:
        for item in given:
            yield from _ids(item, depth + 1)
    else:
        raise InputError(
            f"Not a product: {_shown(given)}.",
            hint="Give a search result, a GeoDataFrame with a column `id`, products, or identifiers.",
        )


def _of_mapping(given: Mapping[Any, Any]) -> str:
    if not isinstance(given.get("id"), str):
        raise InputError("A mapping was given for a product, but it has no text under `id`.")
    return _stripped(given["id"])


def _stripped(text: str) -> str:
    from extenso_nb import products

    name = products.strip(text.strip())
    if not name:
        raise InputError(f"Not a product identifier: {_shown(text)}.")
    return name


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
