"""Coordinates -> geometry: checked with their place in the input, brought to lon/lat, valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from extenso_nb.aoi.sphere import LON_FIRST, Coordinates, cut, enclosed, short_way, unwrapped
from extenso_nb.errors import AreaError

__all__ = ["Builder", "box", "is_number", "plain", "shown", "transformer"]


def shown(text: str) -> str:
    """Text quoted for a message, cut where it is long."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def is_number(value: Any) -> bool:
    """Whether it is a number, of Python or numpy; True and False are none."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def box(values: list[Any]) -> BaseGeometry:
    """West, south, east, north (or with minimum and maximum height in between) as one box, or two at the antimeridian."""
    if len(values) not in (4, 6) or not all(is_number(value) for value in values):
        raise AreaError(f"A bbox has four numbers (west, south, east, north), not {shown(str(values))}.")
    half = len(values) // 2
    west, south, east, north = (float(values[at]) for at in (0, 1, half, half + 1))
    # Not where both orders are possible: that a box was meant the other way round can only be told then.
    turned = abs(west) <= 90 and abs(east) <= 90 and west < east and abs(south) <= 180 and abs(north) <= 180
    other = f"If these are south, west, north, east: the order is {south:g},{west:g},{north:g},{east:g}."
    for word, number, limit in (("west", west, 360), ("south", south, 90), ("east", east, 360), ("north", north, 90)):
        if not abs(number) <= limit:
            raise AreaError(
                f"The {word} of the bbox is {number:g}, beyond ±{limit}.", hint=other if turned else LON_FIRST
            )
    if south >= north:
        raise AreaError(
            f"The bbox has its south ({south:g}) not below its north ({north:g}).",
            hint="A bbox is west, south, east, north; for a place give a point: 'POINT (lon lat)'.",
        )
    if west == east:
        raise AreaError(f"The bbox has no width: west and east are both {west:g}.")
    if east - west > 360:
        raise AreaError(f"The bbox is {east - west:g}° wide, more than the Earth.", hint=LON_FIRST)
    if west > east:
        # (170, ..., -170, ...) crosses the antimeridian; (190, ..., -190, ...) cannot be meant.
        if west - east > 360:
            raise AreaError(f"The bbox goes from {west:g} east to {east:g}, more than once round the Earth.")
        east += 360
    return cut(shapely.box(west, south, east, north))


def plain(body: Any) -> BaseGeometry | None:
    """The polygon of a GeoJSON geometry that needs nothing: one ring, closed, valid, in range, not over the antimeridian.

    None for all others, which the `Builder` makes, or refuses. Most footprints are so, and it takes a tenth of the time.
    """
    items = body.get("coordinates") if type(body) is dict and body.get("type") == "Polygon" else None
    if not isinstance(items, list) or len(items) != 1 or "crs" in body:
        return None
    try:
        if not {type(value) for place in items[0] for value in place} <= {float, int}:
            return None
        ring = np.array(items[0], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if ring.ndim != 2 or ring.shape[0] < 4 or ring.shape[1] != 2 or items[0][0] != items[0][-1]:
        return None
    (west, south), (east, north) = ring.min(axis=0), ring.max(axis=0)
    within = west >= -180 and east <= 180 and south >= -90 and north <= 90  # False if any is NaN
    if not within or (east - west > 180 and np.abs(np.diff(ring[:, 0])).max() > 180):
        return None
    made = shapely.Polygon(ring)
    return made if shapely.is_valid(made) else None


def transformer(crs: Any) -> Any:
    """From `crs` to lon/lat, lon first; None when it is that already, or when there is none."""
    if crs is None:
        return None
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    try:
        known = CRS.from_user_input(crs)
        wgs84 = CRS.from_epsg(4326)
        if known.equals(wgs84, ignore_axis_order=True):
            return None
        return Transformer.from_crs(known, wgs84, always_xy=True)
    except (ProjError, TypeError, ValueError) as error:
        raise AreaError(f"crs: {shown(str(crs))} is not known: {error}.", hint="Give the area in lon/lat.") from None


class Builder:
    """Checks coordinates, brings them to lon/lat, and makes valid geometries of them."""

    def __init__(self, transformer: Any, close: bool = False) -> None:
        self.transformer, self.close = transformer, close

    def geometry(self, body: Mapping[str, Any], place: str) -> Iterator[BaseGeometry]:
        """The parts of a GeoJSON geometry that is no collection; none when it is empty."""
        kind, items = body.get("type"), body.get("coordinates")
        makers = {"Point": self.point, "LineString": self.line, "LinearRing": self.line, "Polygon": self.polygon}
        single = str(kind).removeprefix("Multi")
        if single not in makers:
            raise AreaError(f"{place} has the type {shown(str(kind))}, which is no geometry.")
        if not isinstance(items, (list, tuple)):
            raise AreaError(f"{place} ({kind}) has no coordinates.")
        if not items:
            return
        if kind == single:
            yield makers[single](items, place)
            return
        for number, item in enumerate(items):
            if isinstance(item, (list, tuple)) and not item:
                continue
            yield makers[single](item, f"{place}, {single.lower()} {number}")

    def point(self, item: Any, place: str) -> BaseGeometry:
        """A point within ±180."""
        lon, lat = self.lonlat([item], place, edges=False)[0]
        return shapely.Point(lon - 360 * round(lon / 360) if abs(lon) > 180 else lon, lat)

    def line(self, items: Any, place: str) -> BaseGeometry:
        """A line, cut at the antimeridian."""
        lonlat = self.lonlat(items, place)
        if len(lonlat) < 2:
            raise AreaError(f"{place} has one vertex; a line needs two.")
        lon, lat = unwrapped(lonlat[:, 0]), lonlat[:, 1]
        return cut(shapely.LineString(np.column_stack([lon, lat])))

    def polygon(self, items: Any, place: str) -> BaseGeometry:
        """What the first ring encloses, without what the others do."""
        if not isinstance(items, (list, tuple)):
            raise AreaError(f"{place} is {shown(str(items))}, not a list of rings.")
        rings: list[Any] = [self.ring(item, f"{place}, ring {number}") for number, item in enumerate(items)]
        if all(ring.geom_type == "Polygon" for ring in rings):
            whole = shapely.Polygon(rings[0].exterior, [ring.exterior for ring in rings[1:]])
            if whole.is_valid:
                return whole
        # Repaired ring by ring, so that a hole stays a hole.
        left: BaseGeometry = rings[0].difference(shapely.union_all(rings[1:])) if len(rings) > 1 else rings[0]
        if left.area == 0:
            raise AreaError(
                f"{place} has no area.", hint="Its ring folds back onto itself, or its holes leave nothing."
            )
        return left

    def ring(self, items: Any, place: str) -> BaseGeometry:
        """What a ring encloses; valid, cut at the antimeridian."""
        vertices = self.positions(items, place)
        if len(vertices) and not np.array_equal(vertices[0], vertices[-1]):
            if not self.close:
                first, last = (f"({x:g} {y:g})" for x, y in vertices[[0, -1]])
                raise AreaError(
                    f"{place} is open: it begins at {first} and ends at {last}.",
                    hint="Repeat the first vertex at the end.",
                )
            vertices = np.vstack([vertices, vertices[:1]])
        if len(vertices) < 4:
            raise AreaError(f"{place} has {len(vertices)} vertices; a ring needs four, the last as the first.")
        found = enclosed(self.transformed(vertices, place), place)
        if found.area == 0:
            raise AreaError(f"{place} has no area.", hint="Its vertices lie on one line.")
        return found

    def lonlat(self, items: Any, place: str, edges: bool = True) -> Coordinates:
        """Positions in lon/lat (n, 2); with `edges`, those between them are followed."""
        return self.transformed(self.positions(items, place), place, edges)

    def positions(self, items: Any, place: str) -> Coordinates:
        """Coordinates as numbers (n, 2), Z dropped."""
        if not isinstance(items, (list, tuple)):
            raise AreaError(f"{place} is {shown(str(items))}, not a list of positions.")
        for number, item in enumerate(items):
            if not isinstance(item, (list, tuple)) or len(item) < 2 or not (is_number(item[0]) and is_number(item[1])):
                raise AreaError(f"{place}, vertex {number} is {shown(str(item))}, not two numbers.", hint=LON_FIRST)
        try:
            found = np.array([(item[0], item[1]) for item in items], dtype=np.float64).reshape(-1, 2)
        except OverflowError:
            raise AreaError(f"{place} has a number that is too large.") from None
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if bad.size:
            x, y = found[bad[0]]
            raise AreaError(f"{place}, vertex {bad[0]} is ({x:g} {y:g}), which is nowhere.", hint=LON_FIRST)
        return found

    def transformed(self, vertices: Coordinates, place: str, edges: bool = True) -> Coordinates:
        """To lon/lat, with vertices added where straight edges of a projection are curved; within range."""
        found = vertices
        if self.transformer is not None:
            found = self.projected(vertices, edges)
            bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
            if bad.size:
                raise AreaError(f"{place} has vertices outside of what its CRS covers.", hint="Check the CRS.")
        for column, word, limit in ((1, "latitude", 90), (0, "longitude", 360)):
            bad = np.flatnonzero(np.abs(found[:, column]) > limit + 1e-9)
            if bad.size:
                value = found[bad[0], column]
                raise AreaError(f"{place}, vertex {bad[0]}: {word} {value:g} is beyond ±{limit}.", hint=LON_FIRST)
        return np.clip(found, (-360.0, -90.0), (360.0, 90.0))

    def projected(self, vertices: Coordinates, edges: bool) -> Coordinates:
        """To lon/lat; an edge is halved until it strays less than 1e-4 degrees (10 m, a pixel) from a straight one."""

        def to_lonlat(xy: Coordinates) -> Coordinates:
            return np.column_stack(self.transformer.transform(xy[:, 0], xy[:, 1]))

        lonlat = to_lonlat(vertices)
        for _ in range(12 if edges else 0):
            middles = (vertices[:-1] + vertices[1:]) / 2
            true = to_lonlat(middles)
            step = lonlat[1:] - lonlat[:-1]
            straight = lonlat[:-1] + np.column_stack([short_way(step[:, 0]), step[:, 1]]) / 2
            off = true - straight
            error = np.hypot(short_way(off[:, 0]) * np.cos(np.radians(true[:, 1])), off[:, 1])
            at = np.flatnonzero(error > 1e-4)
            if not at.size:
                break
            vertices = np.insert(vertices, at + 1, middles[at], axis=0)
            lonlat = np.insert(lonlat, at + 1, true[at], axis=0)
        return lonlat
