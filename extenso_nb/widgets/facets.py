"""Facets: by which fields the products found can be told apart, with how many of them each value would show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from extenso_nb.models import Product
from extenso_nb.widgets.offers import PRODUCT_TYPES

__all__ = ["FACETS", "facet_value", "fails", "offered"]

FACETS: dict[str, str] = {
    "platform": "Satellite",
    "product_type": "Type",
    "sensor_mode": "Mode",
    "polarisation": "Polarisation",
    "timeliness": "Timeliness",
    "orbit_direction": "Pass",
    "relative_orbit_number": "Orbit",
    "tile_id": "Tile",
    "online": "Storage",
}
"""Fields of a product that may tell products apart, and their labels."""

_TYPES = {value: label.partition(":")[0] for types in PRODUCT_TYPES.values() for value, label in types}


def facet_value(product: Product, name: str) -> str:
    """The value of a facet (a field of the product) as text; empty where the product has none."""
    value = getattr(product, name)
    return "" if value is None else str(value)


def fails(product: Product, chosen: Mapping[str, Sequence[str]]) -> list[str]:
    """The facets by which a product is left out. Several values of one are alternatives; a facet without values is none."""
    return [name for name, values in chosen.items() if values and facet_value(product, name) not in values]


def offered(products: Sequence[Product], chosen: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The facets that have more than one value among products, and those chosen.

    The count of a value is how many products it shows together with what is chosen of the *other* facets. Values stand in
    the order of their number among all products, so that they keep their place whatever is chosen.
    """
    left = [(product, fails(product, chosen)) for product in products]
    rows = []
    for name, label in FACETS.items():
        on = list(chosen.get(name, ()))
        among = Counter(facet_value(product, name) for product in products)
        if len(among) < 2 and not on:
            continue
        counts = Counter(facet_value(product, name) for product, failed in left if failed in ([], [name]))
        values = sorted({*among, *on}, key=lambda value: (-among[value], _natural(value)))
        shown = [
            {"value": value, "text": _text(name, value), "count": counts[value], "on": value in on} for value in values
        ]
        rows.append({"name": name, "label": label, "values": shown})
    return rows


def _natural(value: str) -> tuple[int, str]:
    return (int(value) if value.isdecimal() else 0, value)


def _text(name: str, value: str) -> str:
    if not value:
        return "none"
    if name == "online":
        return "online" if value == "True" else "cold"
    if name == "orbit_direction":
        return value.capitalize()
    if name == "platform":
        return value.replace("Sentinel-", "S")
    return _TYPES.get(value, value) if name == "product_type" else value
