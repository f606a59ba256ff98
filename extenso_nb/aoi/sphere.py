"""Rings and lines of lon/lat on the round Earth: unwrapped, cut at the antimeridian, closed over a pole, measured."""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from extenso_nb.errors import AreaError

__all__ = ["LON_FIRST", "Coordinates", "bounds", "cut", "enclosed", "km2", "short_way", "united", "unwrapped"]

Coordinates = NDArray[np.float64]
LON_FIRST = "Coordinates are in degrees, lon first, then lat."


def short_way(steps: Coordinates) -> Coordinates:
    """Steps of longitude the short way round; those of up to 180° as they are."""
    return np.where(np.abs(steps) > 180, steps - 360 * np.round(steps / 360), steps)


def unwrapped(lon: Coordinates) -> Coordinates:
    """Longitudes without jumps, each the short way from the one before."""
    found: Coordinates = lon[0] + np.concatenate([[0.0], np.cumsum(short_way(np.diff(lon)))])
    return found


def enclosed(ring: Coordinates, place: str) -> BaseGeometry:
    """What a closed ring of lon/lat encloses, within ±180."""
    lon, lat = ring[:, 0], ring[:, 1]
    steps = np.diff(lon)
    whole = np.isclose(np.abs(steps), 360, rtol=0, atol=1e-9)
    along_pole = whole & (np.abs(lat[:-1]) == 90) & (np.abs(lat[1:]) == 90)
    if np.abs(lon).max() <= 180 and not (np.abs(steps[~along_pole]) > 180).any():
        return _polygons(shapely.Polygon(ring))
    turns = np.where(along_pole, steps, short_way(steps))
    unwrapped = lon[0] + np.concatenate([[0.0], np.cumsum(turns)])
    rounds = round((unwrapped[-1] - unwrapped[0]) / 360)
    if abs(rounds) > 1:
        raise AreaError(f"{place} goes {abs(rounds)} times round the Earth.", hint=LON_FIRST)
    flat = np.column_stack([unwrapped, lat])
    if rounds == 0:
        found = cut(shapely.Polygon(flat))
        # Edges of 360° along a parallel: a belt round the Earth, which the short way would make nothing of.
        return found if found.area > 0 or not whole.any() else cut(shapely.Polygon(ring))
    if (whole & ~along_pole).any():
        return cut(shapely.Polygon(ring))
    return _cap(flat, turns)


def _cap(ring: Coordinates, turns: Coordinates) -> BaseGeometry:
    """What an unwrapped ring once round a pole encloses: the side with that pole on which less of the Earth lies."""
    if ring[-1, 0] < ring[0, 0]:
        ring, turns = ring[::-1], -turns[::-1]
    height = np.sin(np.radians(ring[:, 1]))
    pole = math.copysign(90.0, float(np.sum((height[1:] + height[:-1]) * turns)))
    # Begin where it crosses the antimeridian, so that there is no other seam.
    seam = 360 * math.ceil((ring[0, 0] - 180) / 360) + 180
    at = int(np.flatnonzero((ring[:-1, 0] <= seam) & (ring[1:, 0] >= seam))[0])
    (left, low), (right, high) = ring[at], ring[at + 1]
    lat = low if left == right else low + (high - low) * (seam - left) / (right - left)
    after = ring[1 : at + 1] + np.array([360.0, 0.0])
    path = np.vstack(
        [[seam, lat], ring[at + 1 :], after, [seam + 360, lat], [seam + 360, pole], [seam, pole], [seam, lat]]
    )
    return cut(shapely.Polygon(path - np.array([seam + 180.0, 0.0])))


def cut(shape: BaseGeometry) -> BaseGeometry:
    """Cut at every odd multiple of 180°, and put together within ±180."""
    shape = shape if shape.geom_type == "LineString" else _polygons(shape)
    if shape.is_empty:
        return shape
    west, _, east, _ = shape.bounds
    if west >= -180 and east <= 180:
        return shape
    pieces = []
    for turn in range(math.floor((west + 180) / 360), math.ceil((east - 180) / 360) + 1):
        window = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        pieces.append(_shifted(shape.intersection(window), -360.0 * turn))
    found = shapely.union_all([piece for piece in pieces if not piece.is_empty])
    return found if shape.geom_type == "LineString" else _polygons(found)


def _shifted(shape: BaseGeometry, by: float) -> BaseGeometry:
    # 190.1 - 360 is -169.90000000000000568: twelve digits are a tenth of a micrometre, and clean.
    return shapely.transform(
        shape, lambda xy: np.column_stack([np.clip(np.round(xy[:, 0] + by, 12), -180, 180), xy[:, 1]])
    )


def _polygons(shape: BaseGeometry) -> BaseGeometry:
    """The same, valid, without the slivers, lines and points that repairing and cutting leave behind."""
    valid = shape if shape.is_valid else shapely.make_valid(shape)
    if valid.geom_type == "Polygon":
        return valid
    parts = [part for part in shapely.get_parts(valid, return_index=False) if part.area > 1e-12]
    polygons = [
        piece for part in parts for piece in (shapely.get_parts(part) if part.geom_type == "MultiPolygon" else [part])
    ]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)


def united(shapes: list[BaseGeometry]) -> BaseGeometry:
    """The union of the shapes of the highest dimension among them. Raises AreaError when there is none."""
    if not shapes:
        raise AreaError("The area is empty: it has no geometry.")
    highest = max(shapely.get_dimensions(shape) for shape in shapes)
    kept = [shape for shape in shapes if shapely.get_dimensions(shape) == highest]
    return kept[0] if len(kept) == 1 else shapely.union_all(kept)


_A, _F = 6_378_137.0, 1 / 298.257223563
_E = math.sqrt(_F * (2 - _F))
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def km2(shape: BaseGeometry) -> float:
    """Area on the WGS84 ellipsoid between edges that are straight in lon/lat, to some 1e-10 of it.

    The area from the equator to a latitude, per radian of longitude, is known in closed form (Snyder 1987, Map
    Projections: A Working Manual, eq. 3-12 times a²/2); its integral along each edge is taken by Gauss-Legendre.
    """
    total = 0.0
    for part in shapely.get_parts(shape):
        if part.geom_type == "Polygon":
            holes = sum(_ring_km2(hole) for hole in part.interiors)
            total += _ring_km2(part.exterior) - holes
    return max(total, 0.0)


def _ring_km2(ring: BaseGeometry) -> float:
    xy = np.radians(shapely.get_coordinates(ring))
    low, rise = xy[:-1, 1, None], np.diff(xy[:, 1])[:, None]
    sine = np.sin(low + rise * (_NODES + 1) / 2)
    below = (1 - _E**2) * _A**2 / 2 * (sine / (1 - (_E * sine) ** 2) + np.arctanh(_E * sine) / _E)
    return abs(float(np.sum(np.diff(xy[:, 0]) * (below @ _WEIGHTS) / 2))) / 1e6


def bounds(shape: BaseGeometry) -> tuple[float, float, float, float]:
    """West, south, east, north; west > east for what crosses the antimeridian."""
    west, south, east, north = (float(value) for value in shape.bounds)
    if west > -180 or east < 180:
        return west, south, east, north
    # It touches the antimeridian from both sides: the widest gap in longitude is what lies outside.
    spans = sorted((part.bounds[0], part.bounds[2]) for part in shapely.get_parts(shape))
    gap, reach = (0.0, -180.0, 180.0), -180.0
    for left, right in spans:
        if left - reach > gap[0]:
            gap = (left - reach, left, reach)
        reach = max(reach, right)
    return gap[1], south, gap[2], north
