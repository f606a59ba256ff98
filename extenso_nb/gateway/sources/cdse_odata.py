"""A query as `$filter` of the OData catalogue of the Copernicus Data Space Ecosystem (CDSE).

Words are not compared as words there, but as whole texts with regard to case. So a clause on words is tried here on all
values that its keyword can have in a collection, and the catalogue is asked for those that match.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from uuid import UUID

from extenso_nb.errors import QueryError
from extenso_nb.gateway.sources import cannot
from extenso_nb.gateway.sources.translate import Asked, Bounds, Clause, keywords_in
from extenso_nb.products import parse
from extenso_nb.query import KEYWORDS, Described, Field, Phrase, Query, Term

if TYPE_CHECKING:
    from shapely import Polygon
    from shapely.geometry.base import BaseGeometry

__all__ = ["COLLECTIONS", "EXTENSIONS", "IntegerForm", "OData", "asked_for", "quoted", "refuse", "sort_key", "stamp"]

COLLECTIONS = {"S1": "SENTINEL-1", "S2": "SENTINEL-2", "S3": "SENTINEL-3", "S5P": "SENTINEL-5P"}
EXTENSIONS = {"S1": ".SAFE", "S2": ".SAFE", "S3": ".SEN3", "S5P": ".nc"}
LONGEST = 4000
"""Characters of one expression at most: the whole of it goes into the URL, where a blank takes three."""
IntegerForm: TypeAlias = Literal["documented", "mixed"]
"""How an integer attribute is asked for: as documented, or by the form that worked in 2023 when that one did not."""
_UNTOLD = {"S2": {"timeliness", "orbitdirection"}, "S5P": {"orbitdirection", "relativeorbitnumber"}}
"""Keywords whose values no entry of a collection has, nor its name."""
_DATES = {
    "beginposition": "ContentDate/Start",
    "datatakesensingstart": "ContentDate/Start",
    "endposition": "ContentDate/End",
    "ingestiondate": "PublicationDate",
}
_FIGURES = {
    "orbitnumber": ("Integer", "orbitNumber"),
    "relativeorbitnumber": ("Integer", "relativeOrbitNumber"),
    "missiondatatakeid": ("Integer", "datatakeID"),
    "cloudcoverpercentage": ("Double", "cloudCover"),
}
_LARGEST = 2**31
"""What integers and cloud covers stay below; what is beyond is not asked for."""
_NAMES = frozenset({"identifier", "title", "id", "filename"})
_WORDS = {
    ("tileid", "S2"): "tileId",
    ("processingbaseline", "S2"): "processorVersion",
    ("s2datatakeid", "S2"): "productGroupId",
    ("producttype", "S3"): "productType",
    ("producttype", "S5P"): "productType",
}
"""Keywords of one word in capitals, of which there are too many to try all: their attribute."""
_IN_NAMES = {
    ("processorversion", "S5P"): (r"[0-9]{6}", "_{}_"),
    ("processingbaseline", "S3"): (r"[0-9A-Za-z]{3}", "_{}.SEN3"),
}
"""Keywords whose values are asked for by the name: their form, and what stands around them."""
_MOST_EXACT = 50
"""Characters of the beginning and the end of a name that cannot overlap: no name is shorter."""


# --- single expressions ----------------------------------------------------------------------------------------------
def quoted(text: str) -> str:
    """A text as a literal: in single quotes, those within doubled."""
    return "'" + text.replace("'", "''") + "'"


def stamp(moment: datetime) -> str:
    """A moment as a literal, to the microsecond where it has any: the catalogue's own have."""
    return (
        moment.astimezone(UTC).isoformat(timespec="microseconds" if moment.microsecond % 1000 else "milliseconds")[:-6]
        + "Z"
    )


def _string(name: str, *values: str) -> str:
    tests = " or ".join(f"att/OData.CSC.StringAttribute/Value eq {quoted(value)}" for value in values)
    tests = f"({tests})" if len(values) > 1 else tests
    return f"Attributes/OData.CSC.StringAttribute/any(att:att/Name eq {quoted(name)} and {tests})"


def _contains(text: str) -> str:
    return f"contains(Name,{quoted(text)})"


def _any_of(parts: Iterable[str]) -> str:
    parts = list(dict.fromkeys(parts))
    return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"


def _nothing(collection: str) -> str:
    """What no product of a collection is, every search being one of a collection."""
    return f"Collection/Name ne {quoted(COLLECTIONS[collection])}"


# --- the values that a keyword can have ------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Option:
    """One value, as the fields of a product that has it, and the expression that asks for it."""

    product: Any
    expression: str


def _option(collection: str, expression: str, **fields: object) -> _Option:
    return _Option(SimpleNamespace(collection=collection, **fields), expression)


_UNITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MODES = ("IW", "EW", "WV", "SM", "EN", *(f"N{n}" for n in range(1, 7)), "RF", "AI", "GP", "HK")
_BEAMS = tuple(f"S{n}" for n in range(1, 7))
_S1_TYPES = {"GRD": "_GRD", "SLC": "_SLC_", "RAW": "_RAW_", "OCN": "_OCN_", "ETA": "_ETA_"}
_S1_NAME = parse("S1A_IW_GRDH_1SDV_20240601T055126_20240601T055151_054126_0694C4_5A1B")
_S1_TIMELINESS = ("NRT-10m", "NRT-1h", "NRT-3h", "Fast-24h", "Off-line", "Reprocessing")
_S3_TIMELINESS = {"NR": "Near Real Time", "ST": "Short Time Critical", "NT": "Non Time Critical"}
_S5P_MODES = {"NRTI": "Near real time", "OFFL": "Offline", "RPRO": "Reprocessing"}
_S3_INSTRUMENTS = {"OL": "OLCI", "SL": "SLSTR", "SR": "SRAL", "SY": "SYNERGY", "MW": "MWR"}
_POLARISATIONS = ("HH", "VV", "HV", "VH", "HH HV", "VV VH")


def _platforms(collection: str) -> list[_Option]:
    if collection == "S5P":
        return [_option("S5P", "startswith(Name,'S5P_')", platform="Sentinel-5P")]
    family = f"Sentinel-{collection[1]}"
    known = [
        _option(collection, f"startswith(Name,'{collection}{unit}_')", platform=f"{family}{unit}") for unit in _UNITS
    ]
    open_unit = _option(collection, f"startswith(Name,'{collection}__')", platform=family)
    return known + ([open_unit] if collection == "S3" else [])


def _instruments(collection: str) -> list[_Option]:
    if collection != "S3":
        name = {"S1": "SAR-C SAR", "S2": "MSI", "S5P": "TROPOMI"}[collection]
        return [_option(collection, f"Collection/Name eq {quoted(COLLECTIONS[collection])}", instrument=name)]
    return [_option("S3", _contains(f"_{code}_"), instrument=name) for code, name in _S3_INSTRUMENTS.items()]


def _types(collection: str) -> list[_Option]:
    """Of Sentinel-1 by the name: `GRD` as a type is an alias there, of which it is not told what it stands for."""
    if collection == "S1":
        found = [_option("S1", _contains(text), product_type=name) for name, text in _S1_TYPES.items()]
        return [*found, _option("S1", "contains(Name,'_SL1_')", product_type="SLC")]
    names = ("S2MSI1B", "S2MSI1C", "S2MSI2A", "S2MSI2Ap")
    return [_option("S2", _string("productType", name), product_type=name) for name in names]


def _levels(collection: str) -> list[_Option]:
    if collection == "S1":
        raw, ocean = _contains("_RAW_"), _contains("_OCN_")
        parts = {"L0": raw, "L1": f"(not {raw} and not {ocean})", "L2": ocean}
    elif collection == "S2":
        parts = {f"L{code}": _string("productType", f"S2MSI{code}") for code in ("1B", "1C")}
        parts["L2A"] = _string("productType", "S2MSI2A", "S2MSI2Ap")
    elif collection == "S3":
        parts = {f"L{n}": _any_of(_contains(f"_{code}_{n}_") for code in _S3_INSTRUMENTS) for n in "012"}
    else:
        parts = {level: _contains(f"_{level.ljust(3, '_')}_") for level in ("L0", "L1B", "L2")}
    return [_option(collection, text, processing_level=level) for level, text in parts.items()]


def _polarisations(_collection: str) -> list[_Option]:
    return [
        _option("S1", _string("polarisationChannels", *_joined(text)), polarisation=text) for text in _POLARISATIONS
    ]


def _joined(text: str) -> list[str]:
    first, _, second = text.partition(" ")
    return [f"{first}&{second}", f"{second}&{first}"] if second else [first]


def _modes(collection: str) -> list[_Option]:
    if collection == "S3":
        return [_option("S3", "Collection/Name eq 'SENTINEL-3'", sensor_mode=None)]
    if collection == "S2":
        names = ("INS-NOBS", "INS-EOBS", "INS-VIC", "INS-RAW", "DASC", "ABSR")
        return [_option("S2", _string("operationalMode", name), sensor_mode=name) for name in names]
    found = {mode: _string("operationalMode", mode) for mode in _MODES}
    found["SM"] = _string("operationalMode", "SM", *_BEAMS)
    return [_option("S1", text, sensor_mode=mode) for mode, text in found.items()]


def _swaths(_collection: str) -> list[_Option]:
    """Beams by mode and type, as the names have them."""
    modes = [mode for mode in _MODES if mode != "SM"] + list(_BEAMS)
    return [
        _option("S1", _contains(f"_{mode}{text}"), id=_S1_NAME.patch(mode=mode, kind=kind).id, product_type=kind)
        for mode in modes
        for kind, text in _S1_TYPES.items()
        if kind != "RAW"
    ]


def _timeliness(collection: str) -> list[_Option]:
    if collection == "S1":
        return [_option("S1", _string("timeliness", name), timeliness=name) for name in _S1_TIMELINESS]
    if collection == "S3":
        return [_option("S3", _string("timeliness", code), timeliness=name) for code, name in _S3_TIMELINESS.items()]
    told = {code: _any_of([_string("processingMode", code), f"startswith(Name,'S5P_{code}_')"]) for code in _S5P_MODES}
    return [_option("S5P", told[code], timeliness=name) for code, name in _S5P_MODES.items()]


def _directions(collection: str) -> list[_Option]:
    names = ("ASCENDING", "DESCENDING")
    return [_option(collection, _string("orbitDirection", name), orbit_direction=name) for name in names]


def _classes(_collection: str) -> list[_Option]:
    return [
        _option("S1", _string("productClass", letter), id=_S1_NAME.patch(product_class=letter).id) for letter in "SANCX"
    ]


def _constant(collection: str) -> list[_Option]:
    """For keywords that have one value for a whole collection."""
    return [_option(collection, f"Collection/Name eq {quoted(COLLECTIONS[collection])}")]


def _online(collection: str) -> list[_Option]:
    return [_option(collection, f"Online eq {str(state).lower()}", online=state) for state in (True, False)]


_OPTIONS = {
    "platformname": _constant,
    "collection": _constant,
    "format": _constant,
    "mode": _constant,
    "platformserialidentifier": _platforms,
    "platformidentifier": _platforms,
    "instrumentshortname": _instruments,
    "instrumentname": _instruments,
    "producttype": _types,
    "processinglevel": _levels,
    "productlevel": _levels,
    "polarisationmode": _polarisations,
    "sensoroperationalmode": _modes,
    "swathidentifier": _swaths,
    "timeliness": _timeliness,
    "processingmode": _timeliness,
    "orbitdirection": _directions,
    "passdirection": _directions,
    "relpassdirection": _directions,
    "productclass": _classes,
    "online": _online,
}
_OPEN = frozenset({("sensoroperationalmode", "S2"), ("timeliness", "S1")})
"""Where an entry may have a value that is not among the options."""


@cache
def _options(keyword: str, collection: str) -> tuple[_Option, ...]:
    return tuple(_OPTIONS[keyword](collection))


# --- the language ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class OData:
    """The language of `$filter` in one collection: the `Language` of `translate`."""

    collection: str
    integers: IntegerForm = "documented"

    def clause(self, clause: Clause) -> Asked[str] | None:
        """One clause, exactly or wider; None where nothing of it can be said."""
        said = self._clause(clause)
        return None if said is None or len(said.expression or "") > LONGEST else said

    def _clause(self, clause: Clause) -> Asked[str] | None:
        name = clause.keyword.name
        if self.collection not in clause.keyword.missions:
            return Asked(_nothing(self.collection), exact=True)
        if name in _DATES:
            return self._dated(_DATES[name], clause.bounds)
        if name in _FIGURES:
            return self._compared(*_FIGURES[name], clause.bounds)
        if name == "footprint":
            return None if clause.shape is None else _area(*clause.shape)
        return self._name(clause) if name in _NAMES else self._words(clause)

    def every(self, parts: Sequence[str]) -> str | None:
        """All of two or more; None where that is too long for a URL."""
        return _bracketed(" and ", parts)

    def some(self, parts: Sequence[str]) -> str | None:
        """Any of two or more; None where that is too long for a URL."""
        return _bracketed(" or ", parts)

    def negated(self, part: str) -> str | None:
        """What `part` does not ask for. Not of an area: what the catalogue takes to meet it may be more than meets it here."""
        if _MEETS in part:
            return None
        return f"not {part}" if part.startswith("(") else f"not ({part})"

    # -- by kind -----------------------------------------------------------------------------------------------------
    def _dated(self, field: str, bounds: Bounds | None) -> Asked[str] | None:
        """Dates are compared to the millisecond here, and those of the catalogue have microseconds."""
        if bounds is None:
            return None
        low, high = cast("datetime | None", bounds.low), cast("datetime | None", bounds.high)
        tests = []
        if low is not None:
            start = low if bounds.low_inclusive else _later(low)
            tests.append(f"{field} ge {stamp(start)}" if start is not None else _nothing(self.collection))
        if high is not None and (end := _later(high) if bounds.high_inclusive else high) is not None:
            tests.append(f"{field} lt {stamp(end)}")
        return Asked(_all_of(tests) if tests else None, exact=True)

    def _compared(self, kind: str, name: str, bounds: Bounds | None) -> Asked[str] | None:
        if bounds is None or (bounds.low is None and bounds.high is None):
            return None
        low, high = cast("float | None", bounds.low), cast("float | None", bounds.high)
        if not all(-_LARGEST < end < _LARGEST for end in (low, high) if end is not None):
            return None
        value = f"att/OData.CSC.{kind}Attribute/Value"
        tests = [f"att/Name eq {quoted(name)}"]
        if low is not None and low == high and bounds.low_inclusive and bounds.high_inclusive:
            tests.append(f"{value} eq {_figure(low)}")
        else:
            words = ("ge" if bounds.low_inclusive else "gt", "le" if bounds.high_inclusive else "lt")
            ends = zip(words, (low, high), strict=True)
            tests += [f"{value} {word} {_figure(end)}" for word, end in ends if end is not None]
        outer = "String" if kind == "Integer" and self.integers == "mixed" else kind
        return Asked(f"Attributes/OData.CSC.{outer}Attribute/any(att:{' and '.join(tests)})", exact=True)

    def _uuid(self, text: str | None) -> Asked[str] | None:
        if text is None:
            return None
        try:
            known = str(UUID(text)) == text
        except ValueError:
            known = False
        return Asked(f"Id eq {text}" if known else _nothing(self.collection), exact=True)

    def _words(self, clause: Clause) -> Asked[str] | None:
        name = clause.keyword.name
        if name == "uuid":
            return self._uuid(clause.text)
        if (attribute := _WORDS.get((name, self.collection))) is not None:
            return _one_word(attribute, clause.text) or self._beginning(name, clause.pattern)
        if name == "hv_order_tileid" and clause.text is not None and len(clause.text) == 5:
            letters = clause.text
            return _one_word("tileId", f"{letters[2:4]}{letters[0]}{letters[4]}{letters[1]}")
        if (form := _IN_NAMES.get((name, self.collection))) is not None:
            return self._in_name(clause.text, *form)
        return self._of_options(clause) if name in _OPTIONS else None

    def _beginning(self, name: str, pattern: str | None) -> Asked[str] | None:
        """A tile or type of which the beginning is given: `31*`. They stand in the name, after what is nowhere else."""
        before = {"tileid": "_T", "producttype": "_"}.get(name)
        if before is None or pattern is None or not re.fullmatch(r"\w+\*", pattern):
            return None
        # The letters of a type may stand in other places of a name as well: `_M` in `_MAR_`.
        return Asked(_contains(before + pattern[:-1].upper()), exact=name == "tileid")

    def _in_name(self, text: str | None, form: str, where: str) -> Asked[str] | None:
        if text is None or not re.fullmatch(form, text):
            return None
        return Asked(_contains(where.format(text.upper())), exact=True)

    def _of_options(self, clause: Clause) -> Asked[str] | None:
        key = (clause.keyword.name, self.collection)
        test = Query(Field(key[0], clause.value))
        try:
            matching = [
                item for item in _options(*key) if test.matches(cast("Described", item.product), now=clause.now)
            ]
        except QueryError:
            return None
        if key in _OPEN and (not matching or not isinstance(clause.value, Term | Phrase)):
            return None
        if not matching:
            return Asked(_nothing(self.collection), exact=True)
        return Asked(_any_of(item.expression for item in matching), exact=True)

    # -- names -------------------------------------------------------------------------------------------------------
    def _name(self, clause: Clause) -> Asked[str] | None:
        extension, is_file = EXTENSIONS[self.collection], clause.keyword.name == "filename"
        if clause.text is not None:
            return Asked(f"Name eq {quoted(clause.text + ('' if is_file else extension))}", exact=True)
        if clause.pattern is None:
            return None
        pieces = _pieces(clause.pattern)
        if len(pieces) < 2:
            return None
        if is_file and pieces[-1].endswith(extension):
            pieces[-1] = pieces[-1].removesuffix(extension)  # every file has it
            whole = True
        else:
            whole = not is_file
        return self._pattern(pieces, extension if whole else "", any_one="?" in _without_escapes(clause.pattern))

    def _pattern(self, pieces: list[str], extension: str, *, any_one: bool) -> Asked[str] | None:
        """Pieces of a name between its wildcards; `extension` follows the last of them."""
        first, *between, last = pieces
        between = [piece for piece in between if piece]
        tests = [f"startswith(Name,{quoted(first)})"] if first else []
        tests += [_contains(piece) for piece in between]
        tests += [f"endswith(Name,{quoted(last + extension)})"] if last else []
        if not tests:
            return Asked(None, exact=not any_one)
        # Pieces may stand in another order, or overlap; and what is looked for in a name may be in its extension.
        apart = not between or not (first or last or len(between) > 1)
        blurred = any("." in piece or piece in EXTENSIONS[self.collection] for piece in [first, *between] if piece)
        exact = apart and not any_one and not (blurred and extension) and len(first) + len(last) <= _MOST_EXACT
        return Asked(_all_of(tests), exact=exact)


def refuse(name: str, collection: str, query: Query) -> None:
    """Raise SourceUnavailable (`cannot`) where a query has a clause on what no entry of a collection tells."""
    for keyword in sorted(keywords_in(query)):
        known = KEYWORDS[keyword]
        if collection in known.missions and (known.read is None or keyword in _UNTOLD.get(collection, ())):
            raise cannot(name, f"{keyword} in {collection}")


def asked_for(collection: str, expression: str | None) -> str:
    """The whole filter: an expression, in a collection."""
    inside = f"Collection/Name eq {quoted(COLLECTIONS[collection])}"
    if collection == "S1":  # among whose entries the earliest are thousands of these
        inside += " and not contains(Name,'_AUX_')"
    return inside if expression is None else f"{inside} and {expression}"


def sort_key(orderby: str) -> tuple[str, str] | None:
    """Field and direction of the catalogue for an order by the same; None where it cannot sort so.

    By the first key alone: products that are equal in that are put in order here.
    """
    words = orderby.partition(",")[0].split() or ["ingestiondate", "desc"]
    field = _DATES.get(words[0].lower())
    return None if field is None else (field, words[1].lower() if len(words) > 1 else "asc")


# --- parts of expressions --------------------------------------------------------------------------------------------
def _all_of(tests: Sequence[str]) -> str:
    return tests[0] if len(tests) == 1 else f"({' and '.join(tests)})"


def _bracketed(word: str, parts: Sequence[str]) -> str | None:
    whole = f"({word.join(parts)})"
    return whole if len(whole) <= LONGEST else None


def _later(moment: datetime) -> datetime | None:
    """A millisecond later; None at the end of the calendar."""
    try:
        return moment + timedelta(milliseconds=1)
    except OverflowError:
        return None


def _figure(value: float) -> str:
    """A number as it is, without an exponent."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _one_word(attribute: str, text: str | None) -> Asked[str] | None:
    if text is None or not re.fullmatch(r"\w+(?:\.\w+)*", text):
        return None
    return Asked(_string(attribute, text.upper()), exact=True)


def _without_escapes(pattern: str) -> str:
    return re.sub(r"\\.", "", pattern, flags=re.DOTALL)


def _pieces(pattern: str) -> list[str]:
    """What stands between the wildcards of a pattern; the first or last is empty where it begins or ends with one."""
    pieces, chars = [""], iter(pattern)
    for char in chars:
        if char in "*?":
            pieces.append("")
        else:
            pieces[-1] += next(chars, "\\") if char == "\\" else char
    return pieces


# --- areas -----------------------------------------------------------------------------------------------------------
_CORNERS = 200
"""Of a polygon at most."""
_MEETS = "OData.CSC.Intersects"
_EDGE = 3.0
"""Degrees of an edge at most. The catalogue may draw it along a great circle, which leaves a long parallel by far."""


def _area(relation: str, shape: BaseGeometry) -> Asked[str] | None:
    """Products that meet an area: for what covers it, or lies within it, that is wider."""
    parts = list(getattr(shape, "geoms", [shape]))
    exact = relation == "Intersects" or (relation == "Contains" and shape.geom_type == "Point")
    literals: list[str] = []
    for part in parts:
        if part.is_empty:
            return None
        said, whole = _literals(part)
        literals += said
        exact = exact and whole
    text = _met(literals)
    if len(text) > LONGEST:
        text, exact = _met(_boxes(*shape.bounds)), False
    return Asked(text, exact)


def _met(literals: Iterable[str]) -> str:
    return _any_of(f"{_MEETS}(area=geography'SRID=4326;{literal}')" for literal in literals)


def _literals(part: BaseGeometry) -> tuple[list[str], bool]:
    """WKT that covers a part, and whether it is no more: what is no point or simple polygon is covered by boxes."""
    if part.geom_type == "Point":
        x, y = part.coords[0][:2]
        return [f"POINT({_figure(float(x))} {_figure(float(y))})"], True
    if part.geom_type == "Polygon":
        area = cast("Polygon", part)
        short = area.segmentize(_EDGE)
        if len(short.exterior.coords) <= _CORNERS:
            return [_ring(short.exterior.coords)], not area.interiors
    return list(_boxes(*part.bounds)), False


_WIDTH = 60.0
"""Degrees of a box at most, from west to east."""


def _boxes(west: float, south: float, east: float, north: float) -> Iterator[str]:
    """Boxes that cover one, whether their edges are drawn along parallels or along great circles.

    A great circle between two places of one latitude lies nearer to the pole than their parallel, half way by
    atan(tan(latitude) / cos(half the width)). An edge that would cut something off is moved as far towards the equator.
    """
    west, south, east, north = west - 1e-4, south - 1e-4, east + 1e-4, north + 1e-4
    count = max(1, math.ceil((east - west) / _WIDTH))
    width = (east - west) / count

    def moved(latitude: float) -> float:
        steep = math.radians(min(max(latitude, -90.0), 90.0))
        return math.degrees(math.atan(math.tan(steep) * math.cos(math.radians(width / 2))))

    low = moved(south) if south > 0 else max(south, -90.0)
    high = moved(north) if north < 0 else min(north, 90.0)
    for number in range(count):
        left, right = max(west + number * width, -180.0), min(west + (number + 1) * width, 180.0)
        yield _ring([(left, low), (right, low), (right, high), (left, high), (left, low)])


def _ring(ring: Iterable[Sequence[float]]) -> str:
    corners = ",".join(f"{_figure(float(x))} {_figure(float(y))}" for x, y, *_ in ring)
    return f"POLYGON(({corners}))"
