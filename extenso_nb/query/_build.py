"""`build`: Python arguments, named as in STAC, to the text of a query."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date as Date  # noqa: N812 - `datetime` is the name of an argument here
from numbers import Real
from typing import TYPE_CHECKING, Any

from extenso_nb.errors import InputError, QueryError
from extenso_nb.query import _dates
from extenso_nb.query._keywords import KEYWORDS, Keyword, nearest
from extenso_nb.query._parse import MAX_CLAUSES, MAX_LENGTH, parse_tree
from extenso_nb.query._tree import All, And, Field, Node, Or, Phrase, Range, Spatial, wildcard, write

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

__all__ = ["build", "combine"]

_PLATFORM = re.compile(
    r"(?:sentinel|s)[ _-]?(?:([1-3])[ _-]?([a-d])?|5[ _-]?(?:p|precursor)?)", re.IGNORECASE | re.ASCII
)
_TILE = re.compile(r"T?([0-9*?]{1,2}[A-Za-z*?]{1,3})", re.ASCII)
_LEVELS = {"L1C": "Level-1C", "L2A": "Level-2A"}
_TYPES = {"L1C": "S2MSI1C", "L2A": "S2MSI2A"}
"""What everybody calls the products of Sentinel-2, `SearchResult` included -> their `producttype`."""
_DIRECTIONS = {"ASC": "ASCENDING", "ASCENDING": "ASCENDING", "DESC": "DESCENDING", "DESCENDING": "DESCENDING"}
_POLARISATIONS = ("HH", "HV", "VH", "VV")
_WILD = {"identifier", "title", "id", "filename", "tileid", "uuid"}
"""Keywords whose values in Python may have wildcards; elsewhere ``*`` and ``?`` are plain characters."""


# --- pieces ----------------------------------------------------------------------------------------------------------
def _any_of(parts: Sequence[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def _all_of(parts: Sequence[Node]) -> Node:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _several(name: str, value: Any) -> list[Any]:
    """One value or a list of alternatives, as a list that has something in it."""
    found = [value] if isinstance(value, (str, bytes)) or not isinstance(value, Iterable) else list(value)
    if not found:
        raise InputError(f"{name}: an empty list matches nothing.", hint="Leave the argument out, or give a value.")
    if len(found) > MAX_CLAUSES:
        raise InputError(
            f"{name}: {len(found):,} values; a query takes {MAX_CLAUSES:,} clauses.", hint="Search in several parts."
        )
    return found


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{name}: expected text, got {value!r}.", hint="Give text, or a list of texts.")
    return value


def _texts(keyword: str, name: str, value: Any, change: Callable[[str], str] = str) -> Node:
    """Clauses for one text or any of several; quoted, or with wildcards where the keyword has them."""
    found: list[Node] = []
    for item in _several(name, value):
        text = _text(name, change(_text(name, item)))
        found.append(
            Field(keyword, wildcard(text) if keyword in _WILD and ("*" in text or "?" in text) else Phrase(text))
        )
    return _any_of(found)


def _number(name: str, value: Any, *, whole: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(number := float(value)):
        raise InputError(
            f"{name}: expected a number, got {value!r}.", hint="Give a number, or a pair (lowest, highest)."
        )
    if abs(number) >= 1e15:
        raise InputError(f"{name}: {value!r} is out of range.", hint="Give a smaller number.")
    if not whole:
        return number
    if not number.is_integer():
        raise InputError(f"{name}: expected a whole number, got {value!r}.", hint="Give a whole number.")
    return int(number)


def _number_text(value: float) -> str:
    """A number, as exact as it is."""
    text = repr(value).removesuffix(".0")
    return "0" if text == "-0" else text


def _numbers(keyword: str, name: str, value: Any, *, whole: bool, least: float, most: float) -> Node:
    """One number, a list of alternatives, or a tuple (lowest, highest) with None for an open end."""
    if isinstance(value, tuple):
        return Field(keyword, _number_range(name, value, whole=whole, least=least, most=most))
    items = [_limited(name, _number(name, item, whole=whole), least, most) for item in _several(name, value)]
    # A plain minus would negate the clause inside a group; quotes are right everywhere.
    return _any_of([Field(keyword, Phrase(_number_text(item))) for item in items])


def _limited(name: str, value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise InputError(
            f"{name}: {_number_text(value)} is not within {least:g} to {most:g}.",
            hint="Give a value within these limits.",
        )
    return value


def _number_range(name: str, value: tuple[Any, ...], *, whole: bool, least: float, most: float) -> Range:
    if len(value) != 2:
        raise InputError(f"{name}: a range has two ends, got {value!r}.", hint="Give a pair (lowest, highest).")
    ends = [None if end is None else _limited(name, _number(name, end, whole=whole), least, most) for end in value]
    low, high = ends
    if low is None and high is None:
        raise InputError(f"{name}: {value!r} is open on both sides and limits nothing.", hint="Give one end at least.")
    if low is not None and high is not None and high < low:
        raise InputError(f"{name}: the range {value!r} runs backwards.", hint="Swap the two.")
    return Range(None if low is None else _number_text(low), None if high is None else _number_text(high))


# --- arguments -------------------------------------------------------------------------------------------------------
def _sensing(value: Any) -> Node:
    """Sensed at least partly within the interval: begins before its end, ends at or after its start."""
    when = _dates.interval(value)
    parts: list[Node] = []
    if when.end is not None:
        parts.append(Field("beginposition", Range(None, _dates.write_moment(when.end), high_inclusive=when.closed)))
    if when.start is not None:
        parts.append(Field("endposition", Range(_dates.write_moment(when.start), None)))
    return _all_of(parts)


def _date(keyword: str, value: Any) -> Node:
    when = _dates.interval(value)
    low, high = (None if end is None else _dates.write_moment(end) for end in (when.start, when.end))
    return Field(keyword, Range(low, high, high_inclusive=when.closed or high is None))


def _cloud(value: Any) -> Node:
    if not isinstance(value, (tuple, list)):
        value = (0, value)
    return _numbers("cloudcoverpercentage", "cloud_cover", tuple(value), whole=False, least=0, most=100)


def _platform(value: Any) -> Node:
    found: list[Node] = []
    for item in _several("platform", value):
        known = _PLATFORM.fullmatch(_text("platform", item).strip())
        if not known:
            raise InputError(
                f"platform: {item!r} is not known.", hint='Give "Sentinel-2", "Sentinel-2A", "S2A" or "S5P".'
            )
        number, unit = known.groups()
        if number is None:
            found.append(Field("platformname", Phrase("Sentinel-5 Precursor")))
        elif unit:
            found.append(Field("platformserialidentifier", Phrase(f"Sentinel-{number}{unit.upper()}")))
        else:
            found.append(Field("platformname", Phrase(f"Sentinel-{number}")))
    return _any_of(found)


def _level(text: str) -> str:
    return _LEVELS.get(text.strip().upper(), text)


def _type(text: str) -> str:
    return _TYPES.get(text.strip().upper(), text)


def _direction(value: Any) -> Node:
    def known(text: str) -> str:
        direction = _DIRECTIONS.get(text.strip().upper())
        if direction is None:
            raise InputError(f"orbit_direction: {text!r} is not known.", hint='Give "ascending" or "descending".')
        return direction

    return _texts("orbitdirection", "orbit_direction", value, known)


def _polarisation(value: Any) -> Node:
    """All channels named, in any order: older products have ``VH VV``."""
    items = [value] if isinstance(value, str) else _several("polarisation", value)
    channels = [
        channel for item in items for channel in re.split(r"[ +/&,]+", _text("polarisation", item).strip().upper())
    ]
    for channel in channels:
        if channel not in _POLARISATIONS:
            raise InputError(f"polarisation: {channel!r} is not known.", hint='Give "VV", "VV VH", ["HH", "HV"] ...')
    return _all_of([Field("polarisationmode", Phrase(channel)) for channel in dict.fromkeys(channels)])


def _tile(text: str) -> str:
    found = _TILE.fullmatch(text.strip())
    if not found:
        raise InputError(f"tile: {text!r} is no MGRS tile.", hint='Give "31TCJ", "T31TCJ" or a part with *: "31T*".')
    return found[1].upper()


def _identifier(text: str) -> str:
    from extenso_nb import products

    return products.strip(text.strip())


# --- area ------------------------------------------------------------------------------------------------------------
def _area(value: Any) -> Node:
    import shapely

    from extenso_nb import aoi

    exact: BaseGeometry = aoi.area(value).geometry
    rounded = shapely.set_precision(shapely.force_2d(exact), 1e-6)  # 6 decimals: 0.1 m
    if rounded.is_empty:  # smaller than that
        rounded = shapely.set_precision(shapely.point_on_surface(exact), 1e-6)
    text = shapely.to_wkt(rounded, rounding_precision=6, trim=True)
    count = int(shapely.get_num_coordinates(rounded))
    if len(text) > MAX_LENGTH - 200:
        raise InputError(
            f"intersects: the area has {count:,} vertices, which do not fit into a query of {MAX_LENGTH:,} characters.",
            hint="Simplify it to about 400: area.geometry.simplify(0.01), or take its convex_hull or bounds.",
            vertices=count,
        )
    return Field("footprint", Spatial("Intersects", text))


def _box(value: Any) -> Node:
    corners = tuple(value) if isinstance(value, Iterable) else ()
    if isinstance(value, str) or len(corners) != 4:
        raise InputError(f"bbox: expected four numbers, got {value!r}.", hint="Give (west, south, east, north).")
    return _area(corners)


# --- any keyword -----------------------------------------------------------------------------------------------------
def _other(name: str, value: Any) -> Node:
    keyword = KEYWORDS.get(name.lower())
    if keyword is None:
        near = nearest(name)
        raise QueryError(
            f"Unknown keyword {name[:40]!r}.",
            hint=f"Did you mean {near}?" if near else None,
            query=name[:100],
            suggestion=near,
        )
    match keyword.kind:
        case "date":
            return _date(keyword.name, value)
        case "spatial":
            return _area(value)
        case "int" | "double":
            return _numbers(keyword.name, name, value, whole=keyword.kind == "int", least=-1e15, most=1e15)
        case _:
            return _words(keyword, name, value)


def _words(keyword: Keyword, name: str, value: Any) -> Node:
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, tuple) and len(value) == 2:
        low, high = (None if end is None else _text(name, end) for end in value)
        return Field(keyword.name, Range(low, high))
    return _texts(keyword.name, name, value)


def build(
    *,
    intersects: Any = None,
    bbox: Sequence[float] | None = None,
    datetime: str | Date | Sequence[str | Date | None] | None = None,
    cloud_cover: float | Sequence[float | None] | None = None,
    product_type: str | Sequence[str] | None = None,
    platform: str | Sequence[str] | None = None,
    processing_level: str | Sequence[str] | None = None,
    orbit_direction: str | Sequence[str] | None = None,
    relative_orbit: int | Sequence[int] | tuple[int | None, int | None] | None = None,
    polarisation: str | Sequence[str] | None = None,
    sensor_mode: str | Sequence[str] | None = None,
    tile: str | Sequence[str] | None = None,
    timeliness: str | Sequence[str] | None = None,
    identifier: str | Sequence[str] | None = None,
    **keywords: Any,
) -> str:
    """The text of `q` for Python arguments; what is None is left out, ``"*"`` when all is.

    A list means any of its values; a tuple of two numbers or dates means from one to the other, None an open end.

    Parameters
    ----------
    intersects
        Anything that `extenso_nb.aoi.area` takes; products whose footprint meets it.
    bbox
        ``(west, south, east, north)`` in degrees; west > east crosses the antimeridian. Not together with `intersects`.
    datetime
        ``"2024"``, ``"2024-06"``, ``"2024-06-01"``, ``"2024-06-01T10:30:00Z"``, ``"a/b"``, ``"a/.."``, ``"../b"``, a
        date, or a pair; products sensed at least partly in it. Calendar units end with themselves; a time as end is
        not part of the interval. Naive times are UTC.
    cloud_cover
        Highest percentage, or ``(lowest, highest)``.
    product_type, processing_level, sensor_mode, timeliness
        In the words of the mission: ``GRD``, ``S2MSI2A`` (or ``L2A``), ``L1C`` ...
    platform
        ``Sentinel-2``, ``Sentinel-2A``, ``S2A``, ``S5P``.
    orbit_direction
        ``ascending`` or ``descending``.
    relative_orbit
        A number, a list of numbers, or a tuple (first, last).
    polarisation
        Channels that the product must all have: ``VV``, ``"VV VH"``.
    tile
        MGRS tile, ``31TCJ`` or ``31T*``.
    identifier
        Product identifier, with or without extension, or a pattern with ``*`` and ``?``.
    **keywords
        Any keyword of the language, by its name. Text is taken literally, but for wildcards in filename, title, id
        and uuid.

    Raises
    ------
    InputError
        A value that makes no sense: a cloud cover of 150, an end before the start.
    AreaError
        Not an area.
    QueryError
        An unknown keyword, or a query that has grown too long.
    """
    if intersects is not None and bbox is not None:
        raise InputError("intersects and bbox were both given.", hint="Give one of the two.")
    arguments: list[tuple[Any, Callable[[Any], Node]]] = [
        (identifier, lambda value: _texts("identifier", "identifier", value, _identifier)),
        (platform, _platform),
        (product_type, lambda value: _texts("producttype", "product_type", value, _type)),
        (processing_level, lambda value: _texts("processinglevel", "processing_level", value, _level)),
        (datetime, _sensing),
        (cloud_cover, _cloud),
        (tile, lambda value: _texts("tileid", "tile", value, _tile)),
        (orbit_direction, _direction),
        (
            relative_orbit,
            lambda value: _numbers("relativeorbitnumber", "relative_orbit", value, whole=True, least=1, most=385),
        ),
        (polarisation, _polarisation),
        (sensor_mode, lambda value: _texts("sensoroperationalmode", "sensor_mode", value)),
        (timeliness, lambda value: _texts("timeliness", "timeliness", value)),
        (intersects, _area),
        (bbox, _box),
    ]
    found = [clause(value) for value, clause in arguments if value is not None]
    found += [_other(name, value) for name, value in keywords.items() if value is not None]
    parts = [part for node in found for part in (node.parts if isinstance(node, And) else (node,))]
    text = write(_all_of(parts) if parts else All())
    parse_tree(text)  # the limits of a query: length and number of clauses
    return text


def combine(*queries: str | None) -> str:
    """The query that holds where all of these hold; those that are empty or ``*`` hold everywhere.

    Raises QueryError for one that cannot be parsed by itself: ``a) OR (b`` is nothing, but between the parentheses of a
    conjunction it would be something else.
    """
    parts = [text for query in queries if (text := (query or "").strip()) not in ("", "*")]
    if len(parts) > 1:
        for part in parts:
            parse_tree(part)
    return " AND ".join(f"({part})" for part in parts) if len(parts) > 1 else parts[0] if parts else "*"
