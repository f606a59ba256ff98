"""What a map is told: shapes drawn -> an area, an area and footprints -> shapes; across the antimeridian both ways."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from extenso_nb.errors import AreaError
from extenso_nb.models import Product
from extenso_nb.plot import cloud_colour, land
from extenso_nb.widgets.drape import joined

__all__ = [
    "AREA_STYLE",
    "CHOSEN",
    "beyond",
    "collection",
    "describe",
    "drawable",
    "features",
    "id_of",
    "land_locations",
    "locations",
    "parse_drawing",
    "same",
    "specks",
    "view_of",
]

_DIGITS = 4
"""Decimals of footprints sent to the browser: 11 m, less than a pixel at any zoom that shows a whole footprint."""
_MERCATOR = 85.05
_EDGE, CHOSEN = "#1b2a38", "#d9480f"
# Without fill: a filled area on top of the footprints would take their clicks.
AREA_STYLE = {"pathOptions": {"color": "#c2410c", "weight": 2, "fill": False, "dashArray": "6 4"}}


def parse_drawing(shapes: Sequence[dict[str, Any]]) -> tuple[dict[str, Any] | None, str, bool]:
    """The shapes drawn as one area: GeoJSON geometry or None, its size or what is wrong in words, whether it is right.

    Several shapes become one multipolygon. Longitudes beyond the antimeridian (Leaflet's map has no end) come back into
    -180..180.
    """
    from extenso_nb.aoi import area

    geometries = [shape["geometry"] for shape in shapes if shape.get("geometry")]
    if not geometries:
        return None, "", True
    try:
        import shapely

        parts = [shapely.make_valid(_homed(shapely.geometry.shape(geometry))) for geometry in geometries]
        found = area(shapely.union_all(parts) if len(parts) > 1 else parts[0])
    except AreaError as error:
        return None, error.message, False
    except (ValueError, TypeError, KeyError, shapely.errors.ShapelyError) as error:
        return None, f"The shape cannot be read ({error}).", False
    return found.geojson, _described(found), True


def describe(geometry: dict[str, Any] | None) -> str:
    """Size, vertices and number of shapes of an area, for the eye; empty for none."""
    from extenso_nb.aoi import Area

    if geometry is None:
        return ""
    import shapely

    return _described(Area(shapely.geometry.shape(geometry)))


def _described(area: Any) -> str:
    import shapely

    whole = joined(area.geojson)  # as it is drawn: in one piece across the antimeridian
    shapes, corners = len(shapely.get_parts(whole)), 0
    for part in shapely.get_parts(whole):
        corners += shapely.get_num_coordinates(part) - (1 + len(part.interiors) if part.geom_type == "Polygon" else 0)
    size = f"{area.km2:,.{0 if area.km2 >= 100 else 2}f} km²".replace(",", "\u202f")
    return f"{size}, {corners} vertices" + (f", {shapes} shapes" if shapes > 1 else "")


def same(one: dict[str, Any], other: dict[str, Any] | None) -> bool:
    """Whether two areas are the same, whatever vertex they begin with."""
    import shapely

    return other is not None and bool(
        shapely.equals(shapely.geometry.shape(one).normalize(), shapely.geometry.shape(other).normalize())
    )


def _homed(shape: Any) -> Any:
    """The shape moved by whole turns so that its middle lies within -180..180."""
    from shapely import affinity

    west, _, east, _ = shape.bounds
    turns = math.floor(((west + east) / 2 + 180) / 360)
    return affinity.translate(shape, xoff=-360.0 * turns) if turns else shape


def features(geometry: dict[str, Any]) -> list[dict[str, Any]]:
    """One feature for each polygon: the drawing tool edits single ones. One piece across the antimeridian, not two."""
    import shapely

    parts = [part for part in shapely.get_parts(joined(geometry)) if not part.is_empty]
    properties = {"style": AREA_STYLE["pathOptions"], "type": "polygon"}
    return [
        {"type": "Feature", "properties": properties, "geometry": _plain(shapely.geometry.mapping(part))}
        for part in parts
    ]


def _plain(value: Any) -> Any:
    """Lists for tuples, as JSON gives them back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def beyond(geometry: dict[str, Any] | None, shapes: Sequence[dict[str, Any]]) -> list[Any]:
    """Rings, in Leaflet's order, of the shapes drawn across the antimeridian once more, on its other side."""
    if geometry is None:
        return []
    found = []
    for shape in shapes:
        body = shape.get("geometry") or {}
        if body.get("type") != "Polygon":
            continue
        xs = [x for x, _ in _points(body["coordinates"])]
        found += [
            [[(y, x - 2 * edge) for x, y in _points(ring)] for ring in body["coordinates"]]
            for edge in (180, -180)
            if min(xs) < edge < max(xs)
        ]
    return found


def id_of(event: dict[str, Any]) -> str:
    """The identifier of the product that an event of a footprint is about; empty for none."""
    properties = event.get("properties") or {}
    return str(properties.get("id") or event.get("id") or "")


def specks(products: Iterable[Product], zoom: float) -> frozenset[str]:
    """Products whose footprint is less than 4 pixels wide and high at this zoom: scenes of 5 km on a map of Europe."""
    least = 4 * 360 / (256 * 2**zoom)
    small = set()
    for product in products:
        points = list(_points((product.footprint or {}).get("coordinates", ())))
        xs, ys = [x for x, _ in points], [y for _, y in points]
        if points and max(max(xs) - min(xs), max(ys) - min(ys)) < least:
            small.add(product.id)
    return frozenset(small)


def collection(
    products: Iterable[Product], small: frozenset[str] = frozenset(), under: Iterable[str] | None = None
) -> dict[str, Any]:
    """Footprints as one FeatureCollection, large ones first, so that small ones stay on top and can be clicked.

    With `under` they are those of the basket: only an outline, which takes no clicks where the footprint itself lies below.
    """
    below = None if under is None else set(under)
    found = [
        {
            "type": "Feature",
            "id": product.id,
            "geometry": {**shape, "coordinates": _rounded(shape["coordinates"])},
            "properties": {"id": product.id, "style": _style(product, small=product.id in small, below=below)},
        }
        for product in products
        if (shape := _both_sides(drawable(product.footprint))) is not None
    ]
    found.sort(key=_extent, reverse=True)
    return {"type": "FeatureCollection", "features": found}


def drawable(footprint: dict[str, Any] | None) -> dict[str, Any] | None:
    """A footprint without a step of more than half the Earth, which would be a line across the map; None for none."""
    if not footprint or "coordinates" not in footprint:
        return None
    rings = list(_rings(footprint["coordinates"]))
    if not any(abs(b[0] - a[0]) > 180 for ring in rings for a, b in itertools.pairwise(ring) if abs(a[1]) < 90):
        return footprint
    from extenso_nb.aoi import valid_footprint

    try:
        found: dict[str, Any] = valid_footprint(footprint).__geo_interface__
    except AreaError:
        return None
    return found


def _both_sides(footprint: dict[str, Any] | None) -> dict[str, Any] | None:
    """What crosses the antimeridian in one piece on either side of it, without the seam."""
    import shapely

    if not footprint or footprint.get("type") != "MultiPolygon":
        return footprint
    whole = joined(footprint)
    if whole.bounds[2] <= 180:
        return footprint
    again = shapely.transform(whole, lambda xy: xy - np.array([360.0, 0.0]))
    body: dict[str, Any] = shapely.geometry.mapping(
        shapely.MultiPolygon([*shapely.get_parts(whole), *shapely.get_parts(again)])
    )
    return body


def _rings(coordinates: Any) -> Iterable[Any]:
    if coordinates and coordinates[0] and isinstance(coordinates[0][0], (int, float)):
        yield coordinates
        return
    for item in coordinates:
        if not isinstance(item, (int, float)):
            yield from _rings(item)


def _style(product: Product, *, small: bool, below: set[str] | None) -> dict[str, Any]:
    # Of what is too small to be seen the outline is a dot that can be seen and clicked.
    dot = 6 if small else 0
    if below is None:
        return {
            "color": _EDGE,
            "weight": 1 + dot,
            "fillColor": cloud_colour(product.cloud_cover),
            "fillOpacity": 0.45,
        }
    alone = product.id not in below
    return {"color": CHOSEN, "weight": 3.5 + dot, "fill": alone, "fillOpacity": 0.15, "interactive": alone}


def _extent(feature: dict[str, Any]) -> float:
    points = list(_points(feature["geometry"]["coordinates"]))
    if not points:
        return 0.0
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return (max(xs) - min(xs)) * (max(ys) - min(ys))


def _points(coordinates: Any) -> Iterable[tuple[float, float]]:
    if coordinates and isinstance(coordinates[0], (int, float)):
        yield float(coordinates[0]), float(coordinates[1])
        return
    for item in coordinates:
        yield from _points(item)


def _rounded(coordinates: Any) -> Any:
    if isinstance(coordinates, (int, float)):
        return round(coordinates, _DIGITS)
    return [_rounded(item) for item in coordinates]


def locations(footprint: dict[str, Any] | None) -> list[Any]:
    """Rings in Leaflet's order: latitude, longitude."""
    footprint = _both_sides(drawable(footprint))
    if not footprint or footprint.get("type") not in {"Polygon", "MultiPolygon"}:
        return []
    polygons = footprint["coordinates"] if footprint["type"] == "MultiPolygon" else [footprint["coordinates"]]
    return [[[(point[1], point[0]) for point in ring] for ring in rings] for rings in polygons]


def _turned(xy: Any, by: float) -> Any:
    return xy + np.array([by, 0.0])


def land_locations() -> list[Any]:
    """The land in Leaflet's order, cut where Mercator ends; a quarter of it again beyond the antimeridian on both sides."""
    import shapely

    whole = land()
    parts = list(whole.geoms)
    for box, turn in (((90, -90, 180, 90), -360.0), ((-180, -90, -90, 90), 360.0)):
        again = shapely.intersection(whole, shapely.box(*box))
        moved = shapely.transform(again, partial(_turned, by=turn))
        parts += [part for part in shapely.get_parts(moved) if part.geom_type == "Polygon"]
    return [
        [[(min(max(y, -_MERCATOR), _MERCATOR), x) for x, y in ring.coords] for ring in (part.exterior, *part.interiors)]
        for part in parts
    ]


def view_of(
    footprints: Iterable[dict[str, Any] | None], *, width: float = 560, height: float = 400
) -> tuple[tuple[float, float], int] | None:
    """Centre (lat, lon) and zoom level at which all footprints fit into a map of so many pixels; None for none.

    Web Mercator: the world is ``256 * 2**zoom`` pixels wide (OGC 17-083r4, annex D).
    """
    spans, lats = [], []
    for shape in footprints:
        points = (
            list(_points(joined(shape).__geo_interface__["coordinates"])) if shape and "coordinates" in shape else []
        )
        if points:
            spans.append((min(x for x, _ in points), max(x for x, _ in points)))
            lats += [y for _, y in points]
    if not spans:
        return None
    west, east = _around(spans)
    ys = [_mercator(min(lats)), _mercator(max(lats))]
    wide, high = max((east - west) / 360, 1e-9), max(ys[1] - ys[0], 1e-9)
    zoom = math.floor(math.log2(min(width / 256 / wide, height / 256 / high)))
    latitude = math.degrees(2 * math.atan(math.exp(math.pi * (ys[0] + ys[1]))) - math.pi / 2)
    longitude = ((west + east) / 2 + 180) % 360 - 180
    return (round(latitude, 5), round(longitude, 5)), min(max(zoom, 1), 12)


def _around(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """West and east of all spans of longitude, across the antimeridian where that is shorter."""
    turned = sorted(((west + 180) % 360 - 180, east - west) for west, east in spans)
    reach, best, first = turned[0][0], -math.inf, turned[0][0]
    for west, width in turned:
        if west - reach > best and west > reach:
            best, first = west - reach, west
        reach = max(reach, west + width)
    outer = turned[0][0] + 360 - reach  # the gap across the antimeridian
    if outer >= best:
        return turned[0][0], reach
    return first, first + 360 - best


def _mercator(latitude: float) -> float:
    """The northing of Web Mercator, as a share of the world's width."""
    angle = math.radians(min(max(latitude, -_MERCATOR), _MERCATOR))
    return math.log(math.tan(math.pi / 4 + angle / 2)) / (2 * math.pi)
