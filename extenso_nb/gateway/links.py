"""The `_links` of the API's nouns: where to go on from a product, an order, a delivery."""

from __future__ import annotations

from extenso_nb import wire
from extenso_nb.models import Delivery, Link, Order, Product

__all__ = ["linked_delivery", "linked_order", "linked_product"]


def _link(name: str, **parameters: object) -> Link:
    verb = wire.VERBS[name]
    return Link(href=verb.url(**parameters), method=verb.method)


def linked_product(product: Product) -> Product:
    """With the way to its pictures; Sentinel-5P has none."""
    if product.collection == "S5P":
        return product
    links = {name: _link(name, product_id=product.id) for name in ("quicklook", "thumbnail")}
    return product.model_copy(update={"links": links})


def linked_order(order: Order) -> Order:
    """With the way to itself and to its deliveries."""
    links = {"self": _link("order", order_id=order.id), "deliveries": _link("order_deliveries", order_id=order.id)}
    return order.model_copy(update={"links": links})


def linked_delivery(delivery: Delivery) -> Delivery:
    """With the way to itself and, when it has arrived, to its bytes and metadata."""
    place = {"order_id": delivery.order_id, "delivery_id": delivery.id}
    names = ("download", "download_url", "metadata") if delivery.status == "delivered" else ()
    links = {"self": _link("delivery", **place)} | {name: _link(name, **place) for name in names}
    return delivery.model_copy(update={"links": links})
