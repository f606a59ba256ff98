"""GeoJSON and WKT read into geometries; errors know the place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from shapely.geometry.base import BaseGeometry

from extenso_nb.aoi.build import Builder, box, shown, transformer
from extenso_nb.errors import AreaError

__all__ = ["NUMBER", "geojson_shapes", "json_shapes", "walk", "wkt_shapes"]

# Possessive, so that no text makes the search go back and forth over its digits.
NUMBER = r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?"
_POSITION = re.compile(rf"\s*+({NUMBER})\s++({NUMBER})(?:\s++{NUMBER}){{0,2}}\s*+(?=[,)])")


def json_shapes(text: str, name: str = "GeoJSON") -> Iterator[BaseGeometry]:
    """GeoJSON text, or a bbox as a JSON list."""
    try:
        body = json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise AreaError(
            f"{name} cannot be read at line {error.lineno}, column {error.colno}: {error.msg}.",
            hint="It is no JSON there.",
        ) from None
    except (ValueError, RecursionError) as error:
        raise AreaError(f"{name} cannot be read: {error}.") from None
    if isinstance(body, list):
        return iter([box(body)])
    return geojson_shapes(body, "", None)


def geojson_shapes(body: Any, place: str, crs: Any, *, close: bool = False) -> Iterator[BaseGeometry]:
    """The geometries of a GeoJSON object, with `place` its path in the input."""
    if not isinstance(body, Mapping):
        raise AreaError(f"{place or 'The GeoJSON'} is {type(body).__name__}, not an object.")
    crs = _crs_member(body) if "crs" in body and crs is None else crs
    builder = Builder(transformer(crs), close)
    for path, geometry in walk(body, place, 0):
        yield from builder.geometry(geometry, path)


def walk(body: Any, place: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The simple geometries of features and collections, with their places."""
    if not isinstance(body, Mapping):
        raise AreaError(f"{place or 'The GeoJSON'} is {type(body).__name__}, not an object.")
    if depth > 20:
        raise AreaError(f"{place} is nested too deeply.")
    kind, before = body.get("type"), f"{place}." if place else ""
    if kind == "Feature":
        if body.get("geometry") is not None:
            yield from walk(body["geometry"], f"{before}geometry", depth + 1)
        return
    member = {"FeatureCollection": "features", "GeometryCollection": "geometries"}.get(str(kind))
    if member is None:
        yield place or "geometry", body
        return
    items = body.get(member)
    if not isinstance(items, (list, tuple)):
        raise AreaError(f"{place or kind} has no list of {member}.")
    for number, item in enumerate(items):
        yield from walk(item, f"{before}{member}[{number}]", depth + 1)


def _crs_member(body: Mapping[str, Any]) -> Any:
    """The `crs` of old GeoJSON (2008); lon first whatever the CRS says of its axes."""
    member = body["crs"]
    if member is None:
        return None
    properties = member.get("properties") if isinstance(member, Mapping) else None
    named = properties.get("name") if isinstance(properties, Mapping) else None
    if not isinstance(named, str):
        raise AreaError(
            f"crs: {shown(str(member))} does not name a CRS.", hint="Give the area in lon/lat without `crs`."
        )
    return named


_DEPTHS = {
    "POINT": 0,
    "LINESTRING": 1,
    "LINEARRING": 1,
    "MULTIPOINT": 1,
    "POLYGON": 2,
    "MULTILINESTRING": 2,
    "MULTIPOLYGON": 3,
}
_NAMES = {
    "POINT": "Point",
    "LINESTRING": "LineString",
    "LINEARRING": "LineString",
    "MULTIPOINT": "MultiPoint",
    "POLYGON": "Polygon",
    "MULTILINESTRING": "MultiLineString",
    "MULTIPOLYGON": "MultiPolygon",
}
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>{NUMBER}|[-+]?(?:nan|inf(?:inity)?)\b)|(?P<word>[A-Za-z]+)|(?P<sign>[(),]))", re.IGNORECASE
)


class _Wkt:
    """Well-known text read into a GeoJSON geometry, so that both are checked alike and errors know the position."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at

    def peek(self) -> str:
        found = _TOKEN.match(self.text, self.at)
        return found.group().strip() if found else ""

    def take(self, what: str, *wanted: str) -> str:
        found = _TOKEN.match(self.text, self.at)
        token = found.group().strip() if found else ""
        right = token.upper() in wanted if wanted else bool(found and found.lastgroup == what)
        if found is None or not right:
            start = self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
            seen = repr(self.text[start : start + 12]) if start < len(self.text) else "the end"
            names = " or ".join(wanted) if wanted else f"a {what}"
            raise AreaError(f"The WKT cannot be read at character {start}: {names} is expected, not {seen}.")
        self.at = found.end()
        return token

    def geometry(self, depth: int = 0) -> dict[str, Any]:
        start = self.at
        kind = self.take("word").upper()
        if kind not in _DEPTHS and kind != "GEOMETRYCOLLECTION":
            bare = re.sub("(?:ZM|Z|M)$", "", kind)
            if bare not in _DEPTHS:
                raise AreaError(f"The WKT cannot be read at character {start}: {kind} is no geometry known here.")
            kind = bare
        if self.peek().upper() in ("Z", "M", "ZM"):
            self.take("word")
        if self.peek().upper() == "EMPTY":
            self.take("word")
            empty: list[Any] = []
            return {"type": _NAMES.get(kind, "GeometryCollection"), "coordinates": empty, "geometries": empty}
        if kind == "GEOMETRYCOLLECTION":
            if depth > 20:
                raise AreaError(f"The WKT is nested too deeply at character {start}.")
            return {"type": "GeometryCollection", "geometries": self.several(lambda: self.geometry(depth + 1))}
        return {"type": _NAMES[kind], "coordinates": self.nested(_DEPTHS[kind], kind)}

    def several(self, one: Any) -> list[Any]:
        self.take("sign", "(")
        found = [one()]
        while self.take("sign", ",", ")") == ",":
            found.append(one())
        return found

    def nested(self, depth: int, kind: str) -> Any:
        if depth == 0 and self.peek() != "(":
            return self.position()
        if depth == 0:
            self.take("sign", "(")
            position = self.position()
            self.take("sign", ")")
            return position
        # Only POINT and the members of MULTIPOINT have a position in brackets of its own.
        inner = self.position if depth == 1 and kind != "MULTIPOINT" else lambda: self.nested(depth - 1, kind)
        return self.several(inner)

    def position(self) -> list[float]:
        quick = _POSITION.match(self.text, self.at)
        if quick:
            self.at = quick.end()
            return [float(quick[1]), float(quick[2])]
        numbers = [float(self.take("number")), float(self.take("number"))]
        while len(numbers) < 4 and self.peek() not in (",", ")", ""):
            numbers.append(float(self.take("number")))
        return numbers


def wkt_shapes(text: str, *, close: bool = False) -> Iterator[BaseGeometry]:
    """WKT, with or without the `SRID=...;` of EWKT; with `close` open rings are closed."""
    prefix = re.match(r"\s*(?:SRID=([0-9]{1,9});)?", text.removeprefix("\ufeff"), re.IGNORECASE)
    assert prefix is not None
    reader = _Wkt(text.removeprefix("\ufeff"), prefix.end())
    body = reader.geometry()
    if reader.text[reader.at :].strip():
        rest = shown(reader.text[reader.at :].strip())
        raise AreaError(f"The WKT cannot be read at character {reader.at}: {rest} follows after its end.")
    return geojson_shapes(body, "", f"EPSG:{prefix[1]}" if prefix[1] else None, close=close)
