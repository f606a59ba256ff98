"""Geometry in queries: ``Intersects(...)``, WKT, ENVELOPE and the pair ``lat, lon``; and how a footprint lies to it.

What crosses itself is repaired and put together, which takes time in the square of the crossings; so these are counted
before, and what has too many is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from extenso_nb.query._tree import Relation, Spatial

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

__all__ = ["footprint", "geometry", "spatial", "test"]

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
_MAX_CROSSINGS = 100
"""How often the rings of a geometry may cross themselves or the antimeridian."""
_MAX_MEETINGS = 100_000
"""How many pairs of edges, by their extents, may meet in what is put together."""


def spatial(text: str) -> Spatial:
    """Parse the text of a footprint clause; raises ValueError that says what is wrong."""
    head, _, rest = text.strip().partition("(")
    relation = _RELATIONS.get(head.strip().lower())
    if relation is None or not rest.endswith(")"):
        raise ValueError(
            f'expected "Intersects(...)", "Contains(...)" or "IsWithin(...)" with WKT or "lat, lon", found {text[:40]!r}'
        )
    inner = rest[:-1].strip()
    shape = geometry(inner)
    if relation == "IsWithin":
        _united(_parts(shape))
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
    import numpy as np
    import shapely

    if not _WKT.fullmatch(text) or _nesting(text) > _MAX_NESTING:
        raise ValueError(f"not WKT: {text[:40]!r}")
    try:
        with np.errstate(all="ignore"):  # a number too large becomes infinite, and lies outside
            shape = shapely.force_2d(shapely.from_wkt(text))
    except (shapely.errors.ShapelyError, NotImplementedError) as error:  # the latter for curves
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


# --- what is not valid -----------------------------------------------------------------------------------------------
def _repaired(shape: BaseGeometry) -> BaseGeometry:
    """As the hub read it: a ring that jumps by more than half the globe crosses the antimeridian."""
    import numpy as np
    import shapely

    parts = _parts(shape)
    wide = [part for part in parts if part.geom_type == "Polygon" and part.bounds[2] - part.bounds[0] > 180]
    jumps = {id(part): found for part in wide if (found := _jumps(part))}
    bad = [
        bool(flag) or id(part) in jumps for flag, part in zip(~shapely.is_valid(np.array(parts)), parts, strict=True)
    ]
    bad = [flag and part.geom_type == "Polygon" for flag, part in zip(bad, parts, strict=True)]
    if not any(bad):
        return shape if shape.geom_type != "MultiPolygon" or shape.is_valid else _united(parts)
    crossings = sum(jumps.values()) + sum(
        1 + _crossings(part, _MAX_CROSSINGS) for flag, part in zip(bad, parts, strict=True) if flag
    )
    if crossings > _MAX_CROSSINGS:
        raise ValueError(
            f"the geometry crosses itself or the antimeridian more than {_MAX_CROSSINGS} times; simplify it"
        )
    whole = [_valid(part) if flag else part for flag, part in zip(bad, parts, strict=True)]
    if len(whole) == 1:
        return whole[0]
    return shapely.GeometryCollection(whole) if shape.geom_type == "GeometryCollection" else _united(_flat(whole))


def _valid(shape: BaseGeometry) -> BaseGeometry:
    from extenso_nb import aoi

    try:
        repaired: BaseGeometry = aoi.valid_footprint(shape)
    except ValueError as error:
        raise ValueError(f"no area: {str(error).splitlines()[0]}") from None
    return repaired


def _jumps(shape: BaseGeometry) -> int:
    """How often the rings jump by more than half the globe."""
    import numpy as np
    import shapely

    rings = shapely.get_rings(shape)
    return sum(int(np.sum(np.abs(np.diff(shapely.get_coordinates(ring)[:, 0])) > 180)) for ring in rings)


def _edges(shapes: Sequence[BaseGeometry]) -> Any:
    """The edges of lines and rings, (n, 2 points, 2)."""
    import numpy as np
    import shapely

    pieces = np.array([part for part in shapes if part.geom_type != "Point"])
    lines = [*shapely.get_rings(pieces), *pieces[shapely.get_dimensions(pieces) == 1]]
    xy, of_line = shapely.get_coordinates(lines, return_index=True)
    inside = of_line[1:] == of_line[:-1]
    return np.stack([xy[:-1][inside], xy[1:][inside]], axis=1)


def _meeting(edges: Any, most: int) -> Any:
    """Pairs of edges whose extents meet, (n, 2); somewhat more than `most` of them when there are more."""
    import numpy as np
    import shapely

    boxes = shapely.box(*edges.min(axis=1).T, *edges.max(axis=1).T)
    tree, found, count = shapely.STRtree(boxes), [], 0
    for at in range(0, len(boxes), 64):
        pairs = tree.query(boxes[at : at + 64]) + np.array([[at], [0]])
        found.append(pairs[:, pairs[0] < pairs[1]])
        count += found[-1].shape[1]
        if count > most:
            break
    return np.concatenate(found, axis=1)


def _crossings(shape: BaseGeometry, most: int) -> int:
    """How many pairs of edges cross or touch, their common corners left out; above `most` it may be any number."""
    edges = _edges([shape])
    first, second = _meeting(edges, 100 * most)
    if len(first) > 100 * most:
        return len(first)
    (a, b), (c, d) = edges[first].swapaxes(0, 1), edges[second].swapaxes(0, 1)
    apart = ((a != c) & (b != c) & (a != d) & (b != d)).any(axis=1) & (first + 1 != second)
    crossed = (_side(a, b, c) * _side(a, b, d) <= 0) & (_side(c, d, a) * _side(c, d, b) <= 0)
    return int((apart & crossed).sum())


def _side(start: Any, end: Any, point: Any) -> Any:
    """Positive where `point` lies to the left of the way from `start` to `end`."""
    import numpy as np

    (x, y), (u, v) = (end - start).T, (point - start).T
    return np.sign(x * v - y * u)


def _united(parts: Sequence[BaseGeometry]) -> BaseGeometry:
    """The union of the polygons among the parts, or of all of them where there are none."""
    import shapely

    kept = [part for part in parts if part.geom_type == "Polygon"] or list(parts)
    if len(kept) == 1:
        return kept[0]
    if any(part.geom_type != "Point" for part in kept):
        edges = _edges(kept)
        if _meeting(edges, _MAX_MEETINGS).shape[1] > _MAX_MEETINGS:
            raise ValueError("the parts of the geometry overlap too often; unite them, or simplify it")
    united: BaseGeometry = shapely.union_all(kept)
    return united


@lru_cache(maxsize=64)
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
    return ([] if shape.is_empty else [shape]) if parts is None else _flat(parts)


def _flat(shapes: Iterable[BaseGeometry]) -> list[BaseGeometry]:
    return [piece for shape in shapes for piece in _parts(shape)]


# --- how a footprint lies to it --------------------------------------------------------------------------------------
def footprint(body: dict[str, Any]) -> BaseGeometry:
    """The footprint of a product from its GeoJSON."""
    from shapely import union_all
    from shapely.geometry import shape

    product = shape(body)
    if product.geom_type == "GeometryCollection":  # GEOS answers `covers` wrongly for these
        product = union_all([part for part in _parts(product) if part.geom_type == "Polygon"] or _parts(product))
    return product


def test(value: Spatial) -> Callable[[BaseGeometry], bool]:
    """A function that says whether a product's footprint lies to the geometry as the clause says."""
    import numpy as np
    import shapely

    asked = geometry(value.geometry)
    parts = np.array(_parts(asked))
    match value.relation:
        case "Intersects":
            whole = parts if asked.geom_type == "GeometryCollection" else asked
            return lambda product: bool(np.any(shapely.intersects(product, whole)))
        case "Contains":
            # Boundaries count, and each part may lie in another part of the footprint.
            return lambda product: bool(np.all(shapely.covers(product, parts)))
        case "IsWithin":
            united = _united(list(parts))
            return lambda product: bool(shapely.covered_by(product, united))
