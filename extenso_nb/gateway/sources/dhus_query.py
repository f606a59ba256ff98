"""A query in the words of a hub: the house's own language is the hub's, but not all of its keywords, values and rules.

Lucene's parser reads `a AND b OR c` as `a AND b`, and finds nothing for `(NOT a)` within other clauses. So whatever is
compound stands in brackets here, and what is negated beside the platform, which all products of a collection have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Literal, TypeAlias, cast
from urllib.parse import quote

import shapely

from extenso_nb.gateway.sources import cannot
from extenso_nb.gateway.sources.translate import Asked, Clause, keywords_in, translate
from extenso_nb.query import (
    KEYWORDS,
    All,
    And,
    Described,
    Field,
    Node,
    Not,
    Or,
    Phrase,
    Query,
    Range,
    Regex,
    Spatial,
    Term,
    Value,
    Wildcard,
)

__all__ = ["LONGEST", "Put", "encoded", "put"]

LONGEST = 3_800
"""Characters of an encoded query; hubs refuse those of 3,918 and take those of 3,894, both recorded."""

PLATFORMS = {"S1": "Sentinel-1", "S2": "Sentinel-2", "S3": "Sentinel-3", "S5P": "Sentinel-5"}
"""What all products of a collection have in `platformname`: `Sentinel-5 Precursor` is found by its first words."""

_DATES = frozenset({"beginposition", "endposition", "ingestiondate"})
_ALL = _DATES | {"identifier", "filename", "uuid", "producttype", "orbitnumber", "instrumentshortname"}
_COMMON = _ALL | {"relativeorbitnumber", "orbitdirection", "sensoroperationalmode", "instrumentname"}
SAME: dict[str, frozenset[str]] = {
    "S1": _COMMON | {"missiondatatakeid", "productclass", "timeliness"},
    "S2": _COMMON | {"cloudcoverpercentage", "processingbaseline", "processinglevel"},
    "S3": _COMMON | {"cloudcoverpercentage", "processinglevel", "productlevel", "timeliness"},
    "S5P": _ALL | {"processingmode", "processinglevel", "processorversion"},
}
"""Keywords by whose values in the hub we go, or which equal what the name says in all recorded answers."""

_LAST = {"lastorbitnumber", "lastrelativeorbitnumber"}
BEYOND: dict[str, frozenset[str]] = {
    "S1": frozenset(
        {"acquisitiontype", "status", "processed", "productconsolidation", "slicenumber", "gmlfootprint", *_LAST}
        | {"instrumentconfigurationid"}
    ),
    "S2": frozenset(
        {"datastripidentifier", "granuleidentifier", "level1cpdiidentifier", "gmlfootprint"}
        | {f"{what}percentage" for what in ("vegetation", "notvegetated", "water", "unclassified", "snowice")}
        | {f"{what}probacloudspercentage" for what in ("medium", "high")}
    ),
    "S3": frozenset(
        {"passnumber", "relpassnumber", "lastorbitdirection", "lastpassnumber", "lastpassdirection", "relorbitdir"}
        | {"lastrelorbitdirection", "lastrelpassnumber", "lastrelpassdirection", "leapsecond", "leapsecondoccurrence"}
        | {"ecmwf", "processingname", "onlinequalitycheck", "procfacilityname", "procfacilityorg", "gmlfootprint"}
        | {"pdualongtrackcoord", *_LAST}
        | {f"{what}percentage" for what in ("land", "opensea", "closedsea", "continentalice", "lrm", "sar")}
    ),
    "S5P": frozenset({"gmlfootprint"}),
}
"""Keywords that the hub has and our products do not: there the hub alone decides."""

UNTOLD: dict[str, frozenset[str]] = {
    collection: frozenset({"online"}) | ({"orbitdirection", "relativeorbitnumber"} if collection == "S5P" else set())
    for collection in PLATFORMS
}
"""Keywords that the entries of a search do not have, and that the hub cannot be asked for."""

_CONSTANT = frozenset({"platformname", "collection", "format"})
"""Keywords that are the same for all products of a collection."""
_S3_TIMELINESS = {"nr": "Near Real Time", "st": "Short Time Critical", "nt": "Non Time Critical"}
_S5P_MODES = {"nrti": "Near real time", "offl": "Offline", "rpro": "Reprocessing"}
_WORDS = re.compile(r"\w+(?:\.\w+)*")
_POLARISATIONS = ("VV VH", "HH HV")

Said = Asked[Node]
Relation: TypeAlias = Literal["Intersects", "Contains", "IsWithin"]


class Put(Query):
    """A query as it is put to a hub: its text stays, but each product is held only to what we know of products."""

    _local: Query

    def matches(self, product: Described, *, now: datetime | None = None) -> bool:
        """Whether a product is one that the query asks for, as far as is known here."""
        return self._local.matches(product, now=now)

    @classmethod
    def of(cls, query: Query, local: Query) -> Put:
        """The whole query, and the part of it that products are held to here."""
        made = cls(query.tree)
        object.__setattr__(made, "_local", local)
        return made


def put(source: str, collection: str, query: Query, now: datetime) -> tuple[str, bool, Put]:
    """The text for a hub, whether it means all of the query, and the query to hold products to.

    Raises SourceUnavailable (`cannot`) for keywords that neither the hub nor its entries have, and for those that only
    the hub has, where it cannot be asked for all that stands beside them.
    """
    asked_for = keywords_in(query)
    of_mission = {name for name in asked_for if collection in KEYWORDS[name].missions}
    beyond = of_mission & BEYOND[collection]
    silent = {name for name in of_mission - beyond if KEYWORDS[name].read is None} | (of_mission & UNTOLD[collection])
    if silent:
        raise cannot(source, ", ".join(sorted(silent)))
    parts = _flat(query.tree)
    trusted = [part for part in parts if keywords_in(Query(part)) & beyond]
    kept = [part for part in parts if not keywords_in(Query(part)) & beyond]
    language = _Hub(collection)
    said = translate(Query(_all(parts)), language, now)
    for part in trusted:
        if not translate(Query(part), language, now).exact:
            raise cannot(source, f"{', '.join(sorted(beyond))} together with what else stands beside it")
    text, exact = _fitting(collection, said, language, _all(parts), now, must=trusted, source=source)
    return text, exact, Put.of(query, Query(_all(kept)))


def encoded(text: str) -> str:
    """A query as hubs read it in a URL: in Latin-1."""
    return quote(text.encode("latin-1"), safe="")


def _fitting(
    collection: str, said: Said, language: _Hub, tree: Node, now: datetime, *, must: Sequence[Node], source: str
) -> tuple[str, bool]:
    """The text, as much of it as a hub takes: areas become boxes, and then whole clauses are left out."""
    anchor = language.anchor
    text = _written(collection, said.expression, anchor)
    if len(encoded(text)) <= LONGEST:
        return text, said.exact
    boxed = translate(Query(tree), _Hub(collection, boxes=True), now).expression
    trusted = {one for part in must for one in _flat(translate(Query(part), language, now).expression)}
    parts = list(dict.fromkeys([*_flat(boxed), *trusted]))
    while len(encoded(text := _written(collection, _all(parts), anchor))) > LONGEST:
        loose = [part for part in parts if part not in trusted]
        if not loose:
            raise cannot(source, "so long a query")
        parts.remove(max(loose, key=lambda part: len(encoded(_write(part, anchor)))))
    return text, False


def _flat(node: Node | None) -> tuple[Node, ...]:
    """The clauses that all hold."""
    if isinstance(node, And):
        return tuple(one for part in node.parts for one in _flat(part))
    return () if node is None else (node,)


def _all(parts: Sequence[Node]) -> Node:
    parts = [part for part in parts if not isinstance(part, All)]
    return And(tuple(parts)) if len(parts) > 1 else parts[0] if parts else All()


# --- clause by clause ------------------------------------------------------------------------------------------------
class _Hub:
    """What hubs can be asked for, as a tree of the same language; the `Language` of `translate`."""

    def __init__(self, collection: str, *, boxes: bool = False) -> None:
        self._collection, self._boxes = collection, boxes
        self.anchor = Field("platformname", Phrase(PLATFORMS[collection]))

    def clause(self, clause: Clause) -> Said | None:
        """One clause in the hub's words."""
        name = clause.keyword.name
        if self._collection not in clause.keyword.missions:
            return Asked(Not(self.anchor), exact=True)  # no product of this collection has a value for it
        if not _latin(clause.value):
            return None
        if name in _CONSTANT:
            return self._constant(clause)
        if (special := _SPECIAL.get(name)) is not None:
            return special(self, clause)
        if name in SAME[self._collection] or name in BEYOND[self._collection]:
            return self._same(name, clause)
        return None

    def every(self, parts: Sequence[Node]) -> Node:
        """All of them, side by side."""
        flat = [one for part in parts for one in (part.parts if isinstance(part, And) else (part,))]
        return And(tuple(flat))

    def some(self, parts: Sequence[Node]) -> Node:
        """Any of them."""
        return Or(tuple(parts))

    def negated(self, part: Node) -> Node | None:
        """Products without a value included, as Lucene has it; no areas: hubs look at those on a grid, a little wider."""
        return None if "footprint" in keywords_in(Query(part)) else Not(part)

    # -- values --------------------------------------------------------------------------------------------------
    def _same(self, name: str, clause: Clause) -> Said | None:
        value = clause.value
        match clause.keyword.kind:
            case "date":
                return _dated(name, clause)
            case "int" | "double":
                return Asked(Field(name, value), exact=True)
            case "string":
                return None if isinstance(value, Range) else Asked(Field(name, value), exact=True)
            case _:
                text = clause.text
                return None if text is None or not _WORDS.search(text) else Asked(Field(name, _word(text)), exact=True)

    def _constant(self, clause: Clause) -> Said:
        some = cast(Described, SimpleNamespace(collection=self._collection))
        if Query(Field(clause.keyword.name, clause.value)).matches(some):
            return Asked(self.anchor, exact=True)
        return Asked(Not(self.anchor), exact=True)

    def name(self, clause: Clause) -> Said | None:
        """`id` and `title` are the hub's `identifier`."""
        return self._same("identifier", clause)

    def day(self, clause: Clause) -> Said | None:
        """Of the product, as it is asked here; hubs have the start of the whole datatake."""
        return self._same("beginposition", clause)

    def direction(self, clause: Clause) -> Said | None:
        """Of the pass: the same as that of the orbit."""
        return self._same("orbitdirection", clause)

    def shape(self, clause: Clause) -> Said | None:
        """An area, cut at the antimeridian."""
        if clause.shape is None:
            return None
        relation, area = cast("Relation", clause.shape[0]), clause.shape[1]
        exact = not self._boxes
        if self._boxes:
            area = shapely.box(*area.bounds)
        if relation != "Intersects" and (self._boxes or area.geom_type == "MultiPolygon"):
            # Of an area in parts hubs may ask each alone; and a product within an area is not always within its box.
            relation, exact = "Intersects", False
        wkt = shapely.to_wkt(area, rounding_precision=-1, trim=True)
        return Asked(Field("footprint", Spatial(relation, wkt)), exact=exact)

    def unit(self, clause: Clause) -> Said | None:
        """One satellite: by its name, which only Sentinel-2 has as a keyword of its own; S2A for Sentinel-2A."""
        found = re.fullmatch(r"(?:SENTINEL-|S)([1235])([A-Z])?(P)?", (clause.text or "").upper())
        if found is None:
            return None
        mission, letter, fifth = found.groups()
        if self._collection == "S5P":
            return self._constantly(mission == "5" and fifth is not None)
        if letter is None or f"S{mission}" != self._collection:
            return None
        if self._collection == "S2":
            return Asked(Field("platformserialidentifier", Phrase(f"Sentinel-{mission}{letter}")), exact=True)
        return Asked(Field("filename", Wildcard(f"S{mission}{letter}_*")), exact=True)

    def _constantly(self, holds: bool) -> Said:
        return Asked(self.anchor if holds else Not(self.anchor), exact=True)

    def level(self, clause: Clause) -> Said | None:
        """L1C is Level-1C of Sentinel-2, and L1 is 1 of Sentinel-3; Sentinel-1 has no such keyword."""
        text = (clause.text or "").upper()
        if self._collection == "S1":
            digit = re.fullmatch(r"L([0-2])", text)
            return Asked(Field("filename", Wildcard(f"S1?_??_????_{digit[1]}*")), exact=True) if digit else None
        short = re.fullmatch(r"L([0-9][A-Z]?)", text)
        if self._collection == "S2" and short:
            return Asked(Field("processinglevel", Phrase(f"Level-{short[1]}")), exact=True)
        if self._collection == "S3" and short:
            return Asked(Field("processinglevel", Term(short[1])), exact=True)
        return self._same("processinglevel", clause)

    def timely(self, clause: Clause) -> Said | None:
        """NT is Non Time Critical; Sentinel-5P has it as processingmode."""
        if self._collection == "S5P":
            return self.mode(clause)
        if self._collection == "S2":
            return None
        full = _S3_TIMELINESS.get((clause.text or "").lower()) if self._collection == "S3" else None
        return self._same("timeliness", clause) if full is None else Asked(Field("timeliness", Phrase(full)), True)

    def mode(self, clause: Clause) -> Said | None:
        """OFFL is Offline."""
        full = _S5P_MODES.get((clause.text or "").lower())
        field = "processingmode"
        return self._same(field, clause) if full is None else Asked(Field(field, _word(full)), exact=True)

    def polarisation(self, clause: Clause) -> Said | None:
        """Older products have `VH VV`, where the name says `VV VH` of all."""
        words = (clause.text or "").upper().split()
        if not words or not set(words) <= {"VV", "VH", "HH", "HV"}:
            return None
        fields = [Field("polarisationmode", Term(word)) for word in words]
        exact = len(words) == 1 or " ".join(words) in _POLARISATIONS
        return Asked(fields[0] if len(fields) == 1 else And(tuple(fields)), exact=exact)

    def tile(self, clause: Clause) -> Said | None:
        """A tile stands in the name; later products do not have the keyword."""
        text = (clause.text or "").upper()
        if clause.keyword.name == "hv_order_tileid" and len(text) == 5:
            text = f"{text[2:4]}{text[0]}{text[4]}{text[1]}"
        if not re.fullmatch(r"[0-9]{2}[A-Z]{3}", text):
            return None
        named = Field("filename", Wildcard(f"*_T{text}_*"))
        return Asked(Or((Field("tileid", Term(text)), named)), exact=True)


_SPECIAL: dict[str, Callable[[_Hub, Clause], Said | None]] = {
    "id": _Hub.name,
    "title": _Hub.name,
    "datatakesensingstart": _Hub.day,
    "passdirection": _Hub.direction,
    "relpassdirection": _Hub.direction,
    "footprint": _Hub.shape,
    "platformserialidentifier": _Hub.unit,
    "processinglevel": _Hub.level,
    "timeliness": _Hub.timely,
    "processingmode": _Hub.mode,
    "polarisationmode": _Hub.polarisation,
    "tileid": _Hub.tile,
    "hv_order_tileid": _Hub.tile,
}


def _dated(name: str, clause: Clause) -> Said | None:
    """A range of moments, NOW being that of the search: it is another one with each page."""
    bounds = clause.bounds
    if bounds is None:
        return None
    low, high = (bound if isinstance(bound, datetime) else None for bound in (bounds.low, bounds.high))
    texts = [None if bound is None else _stamp(bound) for bound in (low, high)]
    return Asked(Field(name, Range(texts[0], texts[1], bounds.low_inclusive, bounds.high_inclusive)), exact=True)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _word(text: str) -> Value:
    return Term(text) if re.fullmatch(r"\w+", text) and text not in {"AND", "OR", "NOT"} else Phrase(text)


def _latin(value: Value) -> bool:
    """Whether a hub can read it: the database has no other letters, nor have the products."""
    texts = [value.low, value.high] if isinstance(value, Range) else []
    for kind, name in ((Term, "text"), (Phrase, "text"), (Wildcard, "pattern"), (Regex, "pattern")):
        if isinstance(value, kind):
            texts.append(getattr(value, name))
    try:
        "".join(text or "" for text in texts).encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


# --- as text ---------------------------------------------------------------------------------------------------------
def _written(collection: str, node: Node | None, anchor: Node) -> str:
    parts = [part for part in _flat(node) if part != anchor and not isinstance(part, All)]
    return " AND ".join([str(Query(anchor)), *(_part(part, anchor) for part in parts)])


def _part(node: Node, anchor: Node) -> str:
    """As one of several clauses that are joined by AND, the first of which is not negated."""
    match node:
        case Not(part):
            return f"NOT {_closed(part, anchor)}"
        case And() | Or():
            return f"({_write(node, anchor)})"
        case _:
            return str(Query(node))


def _closed(node: Node, anchor: Node) -> str:
    """Standing for itself: in brackets unless it is one clause."""
    return f"({_write(node, anchor)})" if isinstance(node, And | Or | Not) else str(Query(node))


def _write(node: Node, anchor: Node) -> str:
    match node:
        case Not():
            return f"{Query(anchor)} AND {_part(node, anchor)}"
        case And(parts):
            first = () if any(not isinstance(part, Not) for part in parts) else (anchor,)
            ordered = sorted(parts, key=lambda part: isinstance(part, Not))
            return " AND ".join(_part(part, anchor) for part in (*first, *ordered))
        case Or(parts):
            return " OR ".join(_closed(part, anchor) for part in parts)
        case _:
            return str(Query(node))
