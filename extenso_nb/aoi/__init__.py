"""Areas: anything with a shape -> one valid geometry in lon/lat, cut at the antimeridian, with its area on the ellipsoid.

Edges are straight in longitude and latitude, as GeoJSON (RFC 7946, 3.1.1) has them. A step of more than 180° of
longitude goes the short way round, across the antimeridian; only a bbox may be wider. A ring that goes round a
pole holds that pole.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from extenso_nb import _html
from extenso_nb.aoi import sphere
from extenso_nb.aoi.build import box, plain, shown
from extenso_nb.aoi.files import SUFFIXES, content_shapes, file_shapes, frame_shapes, upload_shapes
from extenso_nb.aoi.text import TWO_NUMBERS, bare, bbox_numbers, geojson_shapes, json_shapes, wkt_shapes
from extenso_nb.errors import AreaError

__all__ = ["SUFFIXES", "Area", "area", "valid_footprint"]


@dataclass(frozen=True)
class Area:
    """One area on Earth. Make it with `area`."""

    geometry: BaseGeometry
    """Valid, in lon/lat (WGS84) within ±180 and ±90, cut at the antimeridian."""

    @cached_property
    def km2(self) -> float:
        """Area on the WGS84 ellipsoid in km²; 0 for points and lines."""
        return sphere.km2(self.geometry)

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees; west is greater than east when it crosses the antimeridian."""
        return sphere.bounds(self.geometry)

    @property
    def extent(self) -> str:
        """Its bounds with words, so that one sees how four numbers were read: "1.2° E to 1.6° E, 43.3° N to 43.7° N"."""
        west, south, east, north = self.bounds
        lon = [f"{abs(value):.6g}° {'W' if value < 0 else 'E'}" for value in (west, east)]
        lat = [f"{abs(value):.6g}° {'S' if value < 0 else 'N'}" for value in (south, north)]
        return f"{lon[0]} to {lon[1]}, {lat[0]} to {lat[1]}"

    @property
    def wkt(self) -> str:
        """Well-known text, at full precision."""
        return str(self.geometry.wkt)

    @property
    def geojson(self) -> dict[str, Any]:
        """A GeoJSON geometry."""
        body: dict[str, Any] = json.loads(shapely.to_geojson(self.geometry))
        return body

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        return self.geojson

    @property
    def vertices(self) -> int:
        """Number of vertices, the closing ones included."""
        return int(shapely.get_num_coordinates(self.geometry))

    def __repr__(self) -> str:
        west, south, east, north = (f"{value:.4g}" for value in self.bounds)
        size = f"{self.km2:,.0f}" if self.km2 >= 100 else f"{self.km2:.3g}"
        return f"<Area {self.geometry.geom_type}: {size} km², {west} to {east} E, {south} to {north} N, {self.vertices} vertices>"

    def _repr_html_(self) -> str:
        rows = [("kind", self.geometry.geom_type), ("km²", f"{self.km2:,.1f}"), ("vertices", self.vertices)]
        return _html.card(
            "Area", [*rows, ("west, south, east, north", tuple(round(value, 5) for value in self.bounds))]
        )


def area(value: Any, *, name: str | None = None, files: bool = True) -> Area:
    """The area that `value` describes.

    Parameters
    ----------
    value
        A bbox (west, south, east, north; west > east crosses the antimeridian), as text with or without brackets,
        commas or semicolons; two corners with N, S, E and W, in any order; WKT, also that of a query of SciHub or OData;
        GeoJSON as text, dict or file;
        a shapely geometry or anything with `__geo_interface__`; a GeoDataFrame or GeoSeries in any CRS; the path of a
        file (see SUFFIXES); the `bytes` of one, with `name`; or several given together, {file name: bytes}, such as the
        parts of a shapefile. Features and collections are united; beside polygons, points and lines are left out. A
        closed track of GPX is a polygon, an open one a line: no hull is drawn. Z is dropped.
    name
        File name of `bytes`; its suffix says what they are.
    files
        Whether text may be a path. Say False for text that comes from elsewhere.

    Raises
    ------
    AreaError
        Naming the problem and the place in the input.
    """
    if isinstance(value, Area):
        return value
    return Area(sphere.united(list(_value_shapes(value, name, files))))


def valid_footprint(geometry: Any) -> BaseGeometry:
    """A catalogue's footprint (GeoJSON, shapely or WKT), repaired: valid, closed, cut at the antimeridian.

    Raises AreaError when there is nothing to repair it from.
    """
    if isinstance(geometry, Area):
        return geometry.geometry
    if isinstance(geometry, str):
        return sphere.united(list(wkt_shapes(geometry, close=True)))
    if (ready := plain(geometry)) is not None:
        return ready
    body = geometry if isinstance(geometry, Mapping) else getattr(geometry, "__geo_interface__", None)
    return sphere.united(list(geojson_shapes(body, "footprint", None, close=True)))


def _value_shapes(value: Any, name: str | None, files: bool) -> Iterator[BaseGeometry]:
    if isinstance(value, (str, os.PathLike)):
        return _text_shapes(value, files) if isinstance(value, str) else file_shapes(Path(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return content_shapes(bytes(value), name or "", name or "the bytes")
    if all(hasattr(value, member) for member in ("to_crs", "geometry", "total_bounds")):
        return frame_shapes(value)
    if isinstance(value, Mapping):
        return _mapping_shapes(value)
    if hasattr(value, "__geo_interface__"):
        return geojson_shapes(value.__geo_interface__, "", getattr(value, "crs", None))
    if isinstance(value, (Sequence, np.ndarray)):
        return iter([box(list(value))])
    raise AreaError(f"{type(value).__name__} is not an area.")


def _mapping_shapes(value: Mapping[Any, Any]) -> Iterator[BaseGeometry]:
    if value and all(isinstance(item, (bytes, bytearray, memoryview)) for item in value.values()):
        return upload_shapes({str(file): bytes(content) for file, content in value.items()})
    return geojson_shapes(value, "", None)


_WKT_START = re.compile(
    r"SRID\s*=|[A-Z]+\s*(?:ZM?|M)?\s*\(|(?:MULTI)?(?:POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION)\b", re.IGNORECASE
)


def _text_shapes(text: str, files: bool) -> Iterator[BaseGeometry]:
    """Text is a bbox by its four numbers, JSON by its first character, WKT by its first word; else a path."""
    plain = bare(text)
    if not plain:
        raise AreaError("The area is empty text.")
    numbers = bbox_numbers(plain)
    if numbers:
        return iter([box(numbers)])
    if plain[0] in "{[":
        return json_shapes(plain)
    path_like = plain.lower().endswith(SUFFIXES)
    if _WKT_START.match(plain[:100]) and not path_like:
        return wkt_shapes(plain)
    if files and len(plain) < 4096 and plain.isprintable():
        path = Path(plain).expanduser()
        if path.is_file():
            return file_shapes(path)
    if not files:
        what, hint = "is neither WKT nor GeoJSON", "Give WKT, GeoJSON or west,south,east,north."
    elif path_like:
        what, hint = "is a file that is not there", None
    else:
        what, hint = "is neither WKT, GeoJSON, a bbox nor a file that is there", None
    if TWO_NUMBERS.fullmatch(plain):
        hint = "It is a point: give four numbers (west, south, east, north), or look it up as a place."
    raise AreaError(f"{shown(text.strip())} {what}.", hint=hint)
