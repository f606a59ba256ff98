"""GeoJSON and WKT read into geometries; errors know the place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from shapely.geometry.base import BaseGeometry

from extenso_nb.aoi.build import Builder, box, shown, transformer
from extenso_nb.errors import AreaError

__all__ = ["TWO_NUMBERS", "bare", "bbox_numbers", "geojson_shapes", "json_shapes", "walk", "wkt_shapes"]

# Possessive, so that no text makes the search go back and forth over its digits.
NUMBER = r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?"
_POSITION = re.compile(rf"\s*+({NUMBER})\s++({NUMBER})(?:\s++{NUMBER}){{0,2}}\s*+(?=[,)])")
_BETWEEN = r"(?:\s*+[,;]\s*+|\s++)"
_FOUR = re.compile(rf"{NUMBER}(?:{_BETWEEN}{NUMBER}){{3}}")
TWO_NUMBERS = re.compile(rf"{NUMBER}{_BETWEEN}{NUMBER}")
_LETTERED = re.compile(rf"(?:([NSEW])\s*+({NUMBER})|({NUMBER})\s*+°?\s*+([NSEW]))", re.IGNORECASE)
_BBOX_WORD = re.compile(r"(?:bbox|box2d|box)\s*+[=:]?\s*+(?=[-+.0-9(\[])", re.IGNORECASE)
# As people copy it from a query: of SciHub, and of OData.
_QUERY = re.compile(
    r"""(?:footprint\s*+:\s*+)?"?\s*+Intersects\s*+\((?P<q>.+)\)\s*+"?|(?:OData\.CSC\.Intersects\s*+\(\s*+area\s*+=\s*+)?geography'(?P<odata>[^']+)'\s*+\)?""",
    re.IGNORECASE | re.DOTALL,
)


def bare(text: str) -> str:
    """Text without what comes along when it is copied: spaces, quotes, a byte-order mark, the query around it."""
    plain = text.removeprefix("\ufeff").strip()
    if len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "\"'`":
        plain = plain[1:-1].strip()
    query = _QUERY.fullmatch(plain)
    return (query["q"] or query["odata"]).strip() if query else plain


def bbox_numbers(text: str) -> list[Any] | None:
    """West, south, east, north, when text is four numbers, however they are parted and bracketed; else None.

    Four bare numbers are read in this order; that they are meant as south, west, north, east cannot be told. With
    letters ("43.3N 1.2E, 43.7N 1.6E") they are two corners in any order; the box goes the short way from one to the other.
    """
    if len(text) > 400:
        return None
    word = _BBOX_WORD.match(text)
    plain = text[word.end() if word else 0 :].replace("\u2212", "-").strip("()[]; \t\r\n")
    if _FOUR.fullmatch(plain):
        return [float(number) for number in re.findall(NUMBER, plain)]
    corners = re.sub(r"\)\s*[,;]?\s*\(", " ", plain)
    found = list(_LETTERED.finditer(corners))
    if len(found) != 4 or _LETTERED.sub("", corners).strip(" ,;\t\r\n"):
        return None
    angles: dict[str, list[float]] = {"lon": [], "lat": []}
    for item in found:
        letter, number = (item[1] or item[4]).upper(), float(item[2] or item[3])
        angles["lon" if letter in "EW" else "lat"].append(-number if letter in "SW" else number)
    if len(angles["lon"]) != 2 or re.search("[-+]", plain):
        return None
    west, east = angles["lon"]
    if (east - west) % 360 > 180:
        west, east = east, west
    return [west, min(angles["lat"]), east, max(angles["lat"])]


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

    def __init__(self, text: str, at: int, name: str) -> None:
        self.text, self.at, self.name = text, at, name

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
            raise AreaError(f"{self.name} cannot be read at character {start}: {names} is expected, not {seen}.")
        self.at = found.end()
        return token

    def geometry(self, depth: int = 0) -> dict[str, Any]:
        start = self.at
        kind = self.take("word").upper()
        if kind not in _DEPTHS and kind != "GEOMETRYCOLLECTION":
            bare = re.sub("(?:ZM|Z|M)$", "", kind)
            if bare not in _DEPTHS:
                raise AreaError(f"{self.name} cannot be read at character {start}: {kind} is no geometry known here.")
            kind = bare
        if self.peek().upper() in ("Z", "M", "ZM"):
            self.take("word")
        if self.peek().upper() == "EMPTY":
            self.take("word")
            empty: list[Any] = []
            return {"type": _NAMES.get(kind, "GeometryCollection"), "coordinates": empty, "geometries": empty}
        if kind == "GEOMETRYCOLLECTION":
            if depth > 20:
                raise AreaError(f"{self.name} is nested too deeply at character {start}.")
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


def wkt_shapes(text: str, name: str = "The WKT", *, close: bool = False) -> Iterator[BaseGeometry]:
    """WKT, with or without the `SRID=...;` of EWKT; with `close` open rings are closed."""
    prefix = re.match(r"\s*(?:SRID\s*=\s*([0-9]{1,9})\s*;)?", text.removeprefix("\ufeff"), re.IGNORECASE)
    assert prefix is not None
    reader = _Wkt(text.removeprefix("\ufeff"), prefix.end(), name)
    body = reader.geometry()
    if reader.text[reader.at :].strip():
        rest = shown(reader.text[reader.at :].strip())
        raise AreaError(f"{name} cannot be read at character {reader.at}: {rest} follows after its end.")
    return geojson_shapes(body, "", f"EPSG:{prefix[1]}" if prefix[1] else None, close=close)
