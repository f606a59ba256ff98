"""Geometry in queries: ``Intersects(...)``, WKT, ENVELOPE and the pair ``lat, lon``; and how a footprint lies to it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from extenso_nb.query._tree import Relation, Spatial

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

__all__ = ["geometry", "holds", "spatial"]

_RELATIONS: dict[str, Relation] = {
    "intersects": "Intersects",
    "contains": "Contains",
    "iswithin": "IsWithin",
}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_PAIR = re.compile(rf"\s*({_NUMBER})\s*,\s*({_NUMBER})\s*", re.ASCII)
_ENVELOPE = re.compile(
    rf"ENVELOPE\s*\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)",
    re.ASCII | re.IGNORECASE,
)
_WKT = re.compile(r"[A-Za-z0-9 \t\r\n,.()+-]*", re.ASCII)
_MAX_NESTING = 20


def spatial(text: str) -> Spatial:
    """Parse the text of a footprint clause; raises ValueError that says what is wrong."""
    head, _, rest = text.strip().partition("(")
    relation = _RELATIONS.get(head.strip().lower())
    if relation is None or not rest.endswith(")"):
        raise ValueError(
            f'expected "Intersects(...)", "Contains(...)" or "IsWithin(...)" with WKT or "lat, lon", found {text[:40]!r}'
        )
    inner = rest[:-1].strip()
    geometry(inner)
    return Spatial(relation, inner)


def _in_range(west: float, south: float, east: float, north: float, text: str) -> None:
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise ValueError(f"longitude outside -180 to 180 in {text[:40]!r}; WKT has longitude first")
    if not (-90 <= south <= north <= 90):
        raise ValueError(f"latitude outside -90 to 90, or the wrong way round, in {text[:40]!r}")


def _envelope(values: tuple[float, ...], text: str) -> BaseGeometry:
    """ENVELOPE(west, east, north, south); west > east crosses the antimeridian."""
    from shapely import MultiPolygon, box

    west, east, north, south = values
    _in_range(west, south, east, north, text)
    if west <= east:
        return box(west, south, east, north)
    return MultiPolygon([box(west, south, 180, north), box(-180, south, east, north)])


def _wkt(text: str) -> BaseGeometry:
    import shapely

    if not _WKT.fullmatch(text) or _nesting(text) > _MAX_NESTING:
        raise ValueError(f"not WKT: {text[:40]!r}")
    try:
        shape = shapely.force_2d(shapely.from_wkt(text))
    except shapely.errors.ShapelyError as error:
        raise ValueError(f"not WKT: {text[:40]!r} ({str(error).splitlines()[0][:80]})") from None
    if shape is None or shape.is_empty:
        raise ValueError(f"an empty geometry: {text[:40]!r}")
    _in_range(*shape.bounds, text)
    return _repaired(shape)


def _nesting(text: str) -> int:
    deepest = depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    return deepest


def _repaired(shape: BaseGeometry) -> BaseGeometry:
    """As the hub read it: a ring that jumps by more than half the globe crosses the antimeridian."""
    if shape.geom_type == "GeometryCollection":
        from shapely import GeometryCollection

        return GeometryCollection([_repaired(part) for part in _parts(shape)])
    if shape.geom_type not in {"Polygon", "MultiPolygon"} or (shape.is_valid and not _jumps(shape)):
        return shape
    from extenso_nb import aoi

    try:
        repaired: BaseGeometry = aoi.valid_footprint(shape)
    except ValueError as error:
        raise ValueError(f"no area: {str(error).splitlines()[0]}") from None
    return repaired


def _jumps(shape: BaseGeometry) -> bool:
    import numpy as np
    import shapely

    rings = shapely.get_rings(shape)
    return any(bool(np.any(np.abs(np.diff(shapely.get_coordinates(ring)[:, 0])) > 180)) for ring in rings)


@lru_cache(maxsize=256)
def geometry(text: str) -> BaseGeometry:
    """The geometry (lon/lat) that `text` means; raises ValueError that says what is wrong."""
    pair = _PAIR.fullmatch(text)
    if pair:
        from shapely import Point

        lat, lon = float(pair[1]), float(pair[2])
        if not (-90 <= lat <= 90 and -180 <= lon <= 180):
            raise ValueError(f"{text!r} is not `latitude, longitude`; latitude comes first in a bare pair")
        return Point(lon, lat)
    envelope = _ENVELOPE.fullmatch(text)
    if envelope:
        return _envelope(tuple(float(value) for value in envelope.groups()), text)
    return _wkt(text)


def _parts(shape: BaseGeometry) -> list[BaseGeometry]:
    parts = getattr(shape, "geoms", None)
    return [shape] if parts is None else [piece for part in parts for piece in _parts(part)]


def holds(value: Spatial, footprint: dict[str, Any]) -> bool:
    """Whether the footprint (GeoJSON) lies to the geometry as the clause says."""
    from shapely import union_all
    from shapely.geometry import shape

    product, asked = shape(footprint), geometry(value.geometry)
    if product.geom_type == "GeometryCollection":  # GEOS answers `covers` wrongly for these
        product = union_all([part for part in _parts(product) if part.geom_type == "Polygon"] or _parts(product))
    match value.relation:
        case "Intersects":
            return any(product.intersects(part) for part in _parts(asked))
        case "Contains":
            # Boundaries count, and each part may lie in another part of the footprint.
            return all(product.covers(part) for part in _parts(asked))
        case "IsWithin":
            areas = [part for part in _parts(asked) if part.geom_type == "Polygon"] or _parts(asked)
            return bool(product.covered_by(union_all(areas)))
