"""How much of an area footprints cover, each and together, in per cent of its size on the ellipsoid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from extenso_nb.aoi import sphere

__all__ = ["coverage", "joint_coverage"]


def coverage(area: dict[str, Any], footprints: Iterable[dict[str, Any] | None]) -> list[float | None]:
    """Per cent of an area (GeoJSON) that each footprint (GeoJSON, valid, cut at the antimeridian) covers, 0 to 100.

    None where there is no footprint, and for an area without size (a point or line), of which a share says nothing.
    """
    whole = shapely.geometry.shape(area)
    size = sphere.km2(whole)
    shapely.prepare(whole)
    return [
        None if item is None or size == 0 else _share(whole, size, shapely.geometry.shape(item)) for item in footprints
    ]


def joint_coverage(area: dict[str, Any], footprints: Iterable[dict[str, Any] | None]) -> float | None:
    """Per cent of an area that footprints cover together; None as for `coverage`, and when no footprint is given."""
    shapes = [shapely.geometry.shape(item) for item in footprints if item is not None]
    return coverage(area, [shapely.geometry.mapping(shapely.union_all(shapes))])[0] if shapes else None


def _share(whole: BaseGeometry, size: float, shape: BaseGeometry) -> float:
    if whole.within(shape):
        return 100.0
    if not whole.intersects(shape):
        return 0.0
    return min(100.0, 100 * sphere.km2(whole.intersection(shape)) / size)
