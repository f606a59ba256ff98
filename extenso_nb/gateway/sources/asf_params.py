"""A query in the words of ASF's search: keywords that all have to hold, each with values of which one has to.

There is no OR between keywords and no NOT, so an OR is asked as what encloses its parts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from extenso_nb.gateway.sources.translate import Asked, Bounds, Clause
from extenso_nb.query import KEYWORDS, Field, Query

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

__all__ = ["LEVELS", "NEVER_TOLD", "NOTHING", "Params", "Words", "fits", "rectangle", "window"]

LEVELS = {
    "GRD_HD": ("GRD", "L1"),
    "GRD_HS": ("GRD", "L1"),
    "GRD_MD": ("GRD", "L1"),
    "GRD_MS": ("GRD", "L1"),
    "GRD_FD": ("GRD", "L1"),
    "SLC": ("SLC", "L1"),
    "RAW": ("RAW", "L0"),
    "OCN": ("OCN", "L2"),
}
"""`processingLevel` of what is a product -> product type and level. Beside these are METADATA_*, BURST and others."""
_PLATFORMS = tuple(f"Sentinel-1{unit}" for unit in "ABCD")
_BEAMS = ("IW", "EW", "WV", "S1", "S2", "S3", "S4", "S5", "S6")
_POLARISATIONS = {
    "VV": "VV",
    "HH": "HH",
    "VV+VH": "VV VH",
    "HH+HV": "HH HV",
    # One of the two of a dual acquisition.
    "Dual VV": "VV",
    "Dual VH": "VH",
    "Dual HH": "HH",
    "Dual HV": "HV",
}
_DIRECTIONS = ("ASCENDING", "DESCENDING")
_CLOSED = {"platform": frozenset(_PLATFORMS), "processingLevel": frozenset(LEVELS)}
"""Keywords that every product has a value of, with all values there are: what is not one of some is one of the others."""
NEVER_TOLD = frozenset({"ingestiondate", "timeliness", "uuid"}) | {
    name for name, keyword in KEYWORDS.items() if keyword.read is None and "S1" in keyword.missions
}
"""Keywords of which neither the entries nor the names tell anything."""
_CONSTANT: dict[str, dict[str, Any]] = {
    "platformname": {"collection": "S1"},
    "collection": {"collection": "S1"},
    "instrumentshortname": {"instrument": "SAR-C SAR"},
    "instrumentname": {"instrument": "SAR-C SAR"},
    "format": {"collection": "S1"},
    "online": {"online": True},
}
"""Keywords that have the same value for all products here."""
_NAMES = frozenset({"identifier", "title", "id", "filename"})
_LONGEST = timedelta(days=1)
"""No product is sensed for longer than this; an orbit takes 99 minutes."""
_ORBITS = 999_999
_OLDEST, _NEWEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

Window: TypeAlias = tuple[Any, Any]
"""From, to, both included; None is an open end."""
Area: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north in degrees; east is above 180 where it lies across the antimeridian."""


@dataclass(frozen=True)
class Params:
    """What is asked of the archive."""

    sets: Mapping[str, frozenset[Any]] = field(default_factory=dict)
    """Keyword -> values of which one has to be there; no values ask for nothing."""
    windows: Mapping[str, Window] = field(default_factory=dict)
    """`begin` and `end` of sensing (moments, UTC), `absoluteOrbit`."""
    area: Area | None = None
    """A rectangle that the footprint has to meet."""
    loose: bool = False
    """Whether it was widened, so that it could be said."""

    @property
    def nothing(self) -> bool:
        """Whether no product can be what is asked for."""
        return any(not values for values in self.sets.values()) or any(
            low is not None and high is not None and low > high for low, high in self.windows.values()
        )

    def span(self, of: str) -> Window:
        """From when to when the beginnings, or the ends, of sensing lie: `of` is `begin` or `end`."""
        begin, end = (self.windows.get(name, (None, None)) for name in ("begin", "end"))
        if of == "begin":
            since = None if end[0] is None else end[0] - _LONGEST
            return _latest(begin[0], since), _earliest(begin[1], end[1])
        until = None if begin[1] is None else begin[1] + _LONGEST
        return _latest(begin[0], end[0]), _earliest(end[1], until)

    def said(self) -> dict[str, str]:
        """The keywords as they are sent, without times and results."""
        levels = self.sets.get("processingLevel", frozenset(LEVELS))
        said = {"dataset": "SENTINEL-1", "processingLevel": _list(levels, LEVELS)}
        for name, words in (
            ("platform", _PLATFORMS),
            ("beamMode", _BEAMS),
            ("polarization", tuple(_POLARISATIONS)),
            ("flightDirection", _DIRECTIONS),
        ):
            if name in self.sets:
                said[name] = _list(self.sets[name], words)
        if "relativeOrbit" in self.sets:
            said["relativeOrbit"] = _runs(self.sets["relativeOrbit"])
        if "absoluteOrbit" in self.windows:
            low, high = self.windows["absoluteOrbit"]
            said["absoluteOrbit"] = _run(max(low or 1, 1), _ORBITS if high is None else high)
        if self.area is not None:
            said["intersectsWith"] = _wkt(self.area)
        return said


class Words:
    """The language of ASF's search."""

    def clause(self, clause: Clause) -> Asked[Params] | None:
        """One clause."""
        name = clause.keyword.name
        if "S1" not in clause.keyword.missions:
            return Asked(NOTHING, exact=True)
        if name in _CONSTANT:
            return Asked(Params() if fits(clause, **_CONSTANT[name]) else NOTHING, exact=True)
        if name in _NAMES:
            return _by_name(clause)
        if name == "footprint":
            return _by_area(clause)
        if clause.bounds is not None and name in {"beginposition", "endposition", "orbitnumber", "relativeorbitnumber"}:
            return Asked(_by_bounds(name, clause.bounds), exact=True)
        chosen = _by_value(clause)
        return None if chosen is None else Asked(Params({chosen[0]: chosen[1]}), exact=True)

    def every(self, parts: Sequence[Params]) -> Params:
        """All of them."""
        return reduce(_both, parts)

    def some(self, parts: Sequence[Params]) -> Params:
        """What encloses them all; just these where they differ in the values of one keyword."""
        real = [part for part in parts if not part.nothing]
        return reduce(_hull, real) if real else NOTHING

    def negated(self, part: Params) -> Params | None:
        """The other values, of a keyword that every product has one of."""
        if part.loose:
            return None
        if part.nothing:
            return Params()
        if part == Params():
            return NOTHING
        if part.area is not None or part.windows or len(part.sets) != 1:
            return None
        ((name, values),) = part.sets.items()
        return Params({name: _CLOSED[name] - values}) if name in _CLOSED else None


NOTHING = Params({"platform": frozenset()})


# --- clauses ---------------------------------------------------------------------------------------------------------
def fits(clause: Clause, **fields: Any) -> bool:
    """Whether a product with these fields is what a clause asks for, by the query language itself."""
    product = SimpleNamespace(**{"id": "", "collection": "S1", "sensor_mode": None, **fields})
    return Query(Field(clause.keyword.name, clause.value)).matches(cast("Any", product), now=clause.now)


def _by_value(clause: Clause) -> tuple[str, frozenset[str]] | None:
    """Keyword and values, of a clause on what has few values; None for all others."""
    match clause.keyword.name:
        case "platformserialidentifier" | "platformidentifier":
            return "platform", frozenset(word for word in _PLATFORMS if fits(clause, platform=word))
        case "producttype" | "processinglevel":
            return "processingLevel", frozenset(
                word
                for word, (kind, level) in LEVELS.items()
                if fits(clause, product_type=kind, processing_level=level)
            )
        case "polarisationmode":
            held = (word for word, text in _POLARISATIONS.items() if fits(clause, polarisation=text))
            return _known("polarization", held)
        case "sensoroperationalmode":
            return _known("beamMode", (word for word in _BEAMS if fits(clause, sensor_mode=word)))
        case "orbitdirection":
            found = frozenset(word for word in _DIRECTIONS if fits(clause, orbit_direction=word))
            return ("flightDirection", found) if len(found) < len(_DIRECTIONS) else None
        case _:
            return None


def _known(name: str, words: Iterable[str]) -> tuple[str, frozenset[str]] | None:
    """None where no value is known: a product may have others than these."""
    found = frozenset(words)
    return (name, found) if found else None


def window(bounds: Bounds) -> Window:
    """From when to when: years in which there are products, so that a day more or less is a moment, too."""
    low, high = cast("tuple[datetime | None, datetime | None]", (bounds.low, bounds.high))
    return None if low is None else max(low, _OLDEST), None if high is None else min(high, _NEWEST)


def _by_bounds(name: str, bounds: Bounds) -> Params:
    low, high = cast("tuple[Any, Any]", (bounds.low, bounds.high))
    if name in {"beginposition", "endposition"}:
        return Params(windows={name.removesuffix("position"): window(bounds)})
    low = None if low is None else math.floor(low) + 1 if not bounds.low_inclusive else math.ceil(low)
    high = None if high is None else math.ceil(high) - 1 if not bounds.high_inclusive else math.floor(high)
    if name == "orbitnumber":
        return Params(windows={"absoluteOrbit": (low, high)})
    first, last = max(1 if low is None else low, 1), min(175 if high is None else high, 175)
    return Params({"relativeOrbit": frozenset(range(first, last + 1))})


def _by_area(clause: Clause) -> Asked[Params] | None:
    if clause.shape is None:
        return None
    relation, shape = clause.shape
    area = rectangle(shape)
    return Asked(Params(area=area), exact=relation == "Intersects" and _is_rectangle(shape, area))


def _by_name(clause: Clause) -> Asked[Params] | None:
    """What the beginning of a name says of all names that begin so."""
    text = clause.text if clause.text is not None else clause.pattern
    if text is None:
        return None
    head = re.split(r"[*?\\]", text, maxsplit=1)[0] if clause.text is None else text
    if head[:2] != "S1"[: len(head)]:
        return Asked(NOTHING, exact=True)
    sets = {
        "platform": frozenset(word for word in _PLATFORMS if word[-1] == head[2:3]),
        "beamMode": frozenset({head[4:6]} & set(_BEAMS)),
        "processingLevel": frozenset(word for word, (kind, _) in LEVELS.items() if kind == head[7:10]),
    }
    sets = {name: values for name, values in sets.items() if values}
    begin = _moments(head[17:32])
    return Asked(Params(sets, {} if begin is None else {"begin": begin}), exact=False)


def _moments(digits: str) -> Window | None:
    """First and last second of what the beginning of `YYYYMMDDTHHMMSS` leaves open: a year, a month, a day, nothing."""
    first = None
    for length, form in ((15, "%Y%m%dT%H%M%S"), (8, "%Y%m%d"), (6, "%Y%m"), (4, "%Y")):
        try:
            first = datetime.strptime(digits[:length], form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if len(digits) >= length and _OLDEST <= first < _NEWEST:
            days = {8: 1, 6: 31, 4: 366}.get(length)
            return first, first + (timedelta(seconds=1) if days is None else timedelta(days=days))
    return None


# --- areas -----------------------------------------------------------------------------------------------------------
def rectangle(shape: BaseGeometry) -> Area:
    """The narrowest rectangle around a shape that is cut at the antimeridian.

    Edges of other polygons are great circles for the archive, and would leave out some of what lies between its corners.
    """
    west, south, east, north = shape.bounds
    parts = sorted((part.bounds[0], part.bounds[2]) for part in getattr(shape, "geoms", [shape]))
    gaps, reach = [(parts[0][0] + 360 - max(end for _, end in parts), west, east)], parts[0][1]
    for start, end in parts[1:]:
        gaps.append((start - reach, start, reach + 360))
        reach = max(reach, end)
    _, west, east = max(gaps, key=lambda gap: gap[0])
    if east - west == 0 and north - south == 0:
        return west, south, east, north
    # A line has no area.
    wide, high = 1e-4 * (east == west), 1e-4 * (north == south)
    return west - wide, max(south - high, -90), east + wide, min(north + high, 90)


def _is_rectangle(shape: BaseGeometry, area: Area) -> bool:
    west, south, east, north = area
    return abs(shape.area - (east - west) * (north - south)) <= 1e-9


def _wkt(area: Area) -> str:
    west, south, east, north = (f"{value:.12f}".rstrip("0").rstrip(".") for value in area)
    if area[0] == area[2] and area[1] == area[3]:
        return f"POINT({west} {south})"
    return f"POLYGON(({west} {south},{east} {south},{east} {north},{west} {north},{west} {south}))"


# --- parts together --------------------------------------------------------------------------------------------------
def _both(one: Params, other: Params) -> Params:
    sets = {**one.sets, **other.sets}
    sets |= {name: one.sets[name] & other.sets[name] for name in one.sets.keys() & other.sets.keys()}
    windows = {**one.windows, **other.windows}
    for name in one.windows.keys() & other.windows.keys():
        (low, high), (since, until) = one.windows[name], other.windows[name]
        windows[name] = _latest(low, since), _earliest(high, until)
    areas = [area for area in (one.area, other.area) if area is not None]
    smallest = min(areas, key=lambda area: (area[2] - area[0]) * (area[3] - area[1]), default=None)
    return Params(sets, windows, smallest, one.loose or other.loose or len(set(areas)) > 1)


def _hull(one: Params, other: Params) -> Params:
    names = one.sets.keys() | other.sets.keys()
    sets = {name: one.sets[name] | other.sets[name] for name in one.sets.keys() & other.sets.keys()}
    windows = {}
    for name in one.windows.keys() & other.windows.keys():
        (low, high), (since, until) = one.windows[name], other.windows[name]
        windows[name] = (
            None if low is None or since is None else min(low, since),
            None if high is None or until is None else max(high, until),
        )
    differing = [name for name in names if one.sets.get(name) != other.sets.get(name)]
    same = (one.windows, one.area) == (other.windows, other.area)
    alone = len(differing) <= 1 and all(name in sets for name in differing)
    either = replace(one, sets=sets, windows=windows, area=one.area if one.area == other.area else None)
    return replace(either, loose=one.loose or other.loose or not (same and alone))


def _latest(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)


def _earliest(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else min(one, other)


# --- texts -----------------------------------------------------------------------------------------------------------
def _list(values: Iterable[str], order: Iterable[str]) -> str:
    """Values with commas, in a set order, so that the same search is always asked in the same words."""
    chosen = frozenset(values)
    return ",".join(word for word in order if word in chosen)


def _runs(numbers: Iterable[int]) -> str:
    """``1,5-7`` for 1, 5, 6 and 7."""
    runs: list[tuple[int, int]] = []
    for value in sorted(numbers):
        if runs and value == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], value
        else:
            runs.append((value, value))
    return ",".join(_run(*run) for run in runs)


def _run(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"
