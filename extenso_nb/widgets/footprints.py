"""Footprints as gateways give them, mended: one that cannot be measured or drawn would take the whole list with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from extenso_nb.models import Product

__all__ = ["mended"]


def mended(products: Iterable[Product]) -> tuple[Product, ...]:
    """The products, each once, with footprints that are valid; without one where there is nothing to mend it from."""
    found = {product.id: product for product in products}
    return tuple(
        product if _sound(product.footprint) else product.model_copy(update={"footprint": _mended(product.footprint)})
        for product in found.values()
    )


def _sound(footprint: dict[str, Any] | None) -> bool:
    import shapely

    if footprint is None:
        return True
    try:
        shape = shapely.geometry.shape(footprint)
    except Exception:  # noqa: BLE001 - shapely raises whatever it trips over first
        return False
    return shape.geom_type in _KINDS and not shape.is_empty and bool(shape.is_valid) and shape.bounds == shape.bounds


_KINDS = frozenset({"Polygon", "MultiPolygon", "LineString", "MultiLineString"})


def _mended(footprint: Any) -> dict[str, Any] | None:
    import shapely

    from extenso_nb import aoi
    from extenso_nb.errors import AreaError

    try:
        shape = aoi.valid_footprint(footprint)
    except (AreaError, shapely.errors.ShapelyError):
        return None
    body: dict[str, Any] = json.loads(shapely.to_geojson(shape))
    return body if _sound(body) else None
