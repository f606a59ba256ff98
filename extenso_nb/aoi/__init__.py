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
from extenso_nb.aoi.build import box, shown
from extenso_nb.aoi.files import SUFFIXES, content_shapes, file_shapes, frame_shapes
from extenso_nb.aoi.text import NUMBER, geojson_shapes, json_shapes, wkt_shapes
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
        A bbox (west, south, east, north; west > east crosses the antimeridian); WKT; GeoJSON as text, dict or file;
        a shapely geometry or anything with `__geo_interface__`; a GeoDataFrame or GeoSeries in any CRS; the path of a
        file (see SUFFIXES); or the `bytes` of one, with `name`. Features and collections are united; beside polygons,
        points and lines are left out. Z is dropped.
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
        return geojson_shapes(value, "", None)
    if hasattr(value, "__geo_interface__"):
        return geojson_shapes(value.__geo_interface__, "", getattr(value, "crs", None))
    if isinstance(value, (Sequence, np.ndarray)):
        return iter([box(list(value))])
    raise AreaError(f"{type(value).__name__} is not an area.")


_WKT_START = re.compile(
    r"SRID=|[A-Z]+\s*(?:ZM?|M)?\s*\(|(?:MULTI)?(?:POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION)\b", re.IGNORECASE
)
_FOUR = re.compile(rf"{NUMBER}(?:(?:\s*+[,;]\s*+|\s++){NUMBER}){{3}}")


def _text_shapes(text: str, files: bool) -> Iterator[BaseGeometry]:
    """Text is JSON by its first character, WKT by its first word, a bbox by its four numbers; else a path."""
    plain = text.removeprefix("\ufeff").strip()
    if not plain:
        raise AreaError("The area is empty text.")
    if plain[0] in "{[":
        return json_shapes(text)
    if _FOUR.fullmatch(plain):
        return iter([box([float(number) for number in re.findall(NUMBER, plain)])])
    path_like = plain.lower().endswith(SUFFIXES)
    if _WKT_START.match(plain[:100]) and not path_like:
        return wkt_shapes(text)
    if not files:
        raise AreaError(
            f"{shown(text)} is neither WKT nor GeoJSON.", hint="Give WKT, GeoJSON or west,south,east,north."
        )
    if len(plain) < 4096 and plain.isprintable():
        path = Path(text.strip()).expanduser()
        if path.is_file():
            return file_shapes(path)
    what = "is a file that is not there" if path_like else "is neither WKT, GeoJSON, a bbox nor a file that is there"
    raise AreaError(f"{shown(text)} {what}.")
