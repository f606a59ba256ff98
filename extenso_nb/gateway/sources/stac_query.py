"""A query as the body of a STAC search: which collections, when, where, and the rest in CQL2 or in the `query` extension.

A STAC collection often says by itself what SciHub's keywords ask for: `sentinel-5p-l2-no2-offl` holds one product type
of one processing mode. So a query is first decided for each collection as far as that goes; what remains is translated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Literal, TypeVar, cast

from extenso_nb.gateway.sources.translate import Asked, Bounds, Clause, Language, keywords_in, translate
from extenso_nb.query import KEYWORDS, All, And, Field, Node, Not, Or, Query, Spatial

__all__ = ["Asking", "Condition", "Cql2", "Extension", "Shelf", "Terms", "asking", "platforms", "unanswerable"]

T = TypeVar("T")

EDGE = timedelta(seconds=1)
"""By which times are asked for wider: some servers compare them as text, in which 10:00:00.5Z comes before 10:00:00Z."""

_BEGINS = frozenset({"beginposition", "datatakesensingstart"})
_TIMES = _BEGINS | {"endposition"}
_IDENTIFIERS = frozenset({"identifier", "title", "id", "filename"})
_INSTRUMENTS = {"OL": "OLCI", "SL": "SLSTR", "SR": "SRAL", "SY": "SYNERGY", "MW": "MWR"}
_EXTENSIONS = {"S1": ".SAFE", "S2": ".SAFE", "S3": ".SEN3", "S5P": ".nc"}


# --- collections -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Shelf:
    """A collection of a STAC catalogue, and what is the same for all that lies in it. None: it differs, or who knows."""

    id: str
    collection: str
    """S1, S2, S3 or S5P."""
    product_type: str | None = None
    processing_level: str | None = None
    timeliness: str | None = None
    """As `Product.timeliness`."""

    @property
    def instrument(self) -> str | None:
        """As `Product.instrument`."""
        if self.collection == "S3":
            return _INSTRUMENTS.get((self.product_type or "")[:2])
        return {"S1": "SAR-C SAR", "S2": "MSI", "S5P": "TROPOMI"}[self.collection]

    def decides(self, clause: Field) -> bool | None:
        """Whether a clause holds for all that lies here, or for nothing of it; None when that depends."""
        keyword = KEYWORDS.get(clause.name or "")
        if keyword is None:
            return None
        if self.collection not in keyword.missions:
            return False
        told = _DECIDING.get(keyword.name)
        if told is None or getattr(self, told) is None:
            return None
        return Query(clause).matches(cast("Any", SimpleNamespace(**{name: getattr(self, name) for name in _TOLD})))


_TOLD = ("collection", "product_type", "processing_level", "timeliness", "instrument")
_DECIDING = {
    "collection": "collection",
    "platformname": "collection",
    "producttype": "product_type",
    "processinglevel": "processing_level",
    "productlevel": "processing_level",
    "instrumentshortname": "instrument",
    "instrumentname": "instrument",
    "timeliness": "timeliness",
    "processingmode": "timeliness",
}


def _left(node: Node, shelf: Shelf) -> Node | bool:
    """What of a query is still to be asked in a collection; True for all of it, False for nothing."""
    match node:
        case All():
            return True
        case Field():
            decided = shelf.decides(node)
            return node if decided is None else decided
        case Not(part):
            left = _left(part, shelf)
            return not left if isinstance(left, bool) else Not(left)
        case And(parts) | Or(parts):
            joined = type(node)
            settles = isinstance(node, Or)  # what one part says for the whole
            open_: list[Node] = []
            for part in parts:
                left = _left(part, shelf)
                if isinstance(left, bool):
                    if left is settles:
                        return settles
                else:
                    open_.append(left)
            if len(open_) < 2:
                return open_[0] if open_ else not settles
            return joined(tuple(open_))


# --- words -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a property with a value."""

    property: str
    op: Literal["=", ">=", ">", "<=", "<", "in", "like", "has", "intersects"]
    value: Any
    always: bool = False
    """Whether every item has the property."""


@dataclass(frozen=True, slots=True)
class Terms:
    """In which properties a catalogue tells, for one mission, what the keywords ask for."""

    numbers: Mapping[str, str] = field(default_factory=dict)
    """Keyword -> property."""
    words: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = field(default_factory=dict)
    """Keyword -> property, and its values by the text asked for (lower case)."""
    patterns: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    """Keyword -> property, expression that the text must match in full, and what stands before it in the property."""
    times: Mapping[str, str] = field(default_factory=dict)
    """Keyword -> property."""
    polarisations: str | None = None
    identifier: Callable[[str], Condition | None] | None = None
    """The condition for a product's identifier."""
    agree: int = 0
    """Letters at the beginning in which identifiers of items are those of products."""
    untold: frozenset[str] = frozenset()
    """Keywords that items do not tell, and names neither; or by which the archive cannot be searched."""
    sorts: Mapping[str, str] = field(default_factory=dict)
    """Keyword -> property for `sortby`, where that is the same order."""


def platforms(mission: str) -> dict[str, tuple[str, ...]]:
    """Text asked for -> values of the property `platform`, in all the ways in which catalogues write it."""
    found: dict[str, tuple[str, ...]] = {}
    for letter in "abcd":
        name = f"sentinel-{mission[1]}{letter}"
        found[name] = found[f"s{mission[1]}{letter}"] = (name, name.capitalize()[:-1] + letter.upper(), name.upper())
    return found


def unanswerable(query: Query, collection: str, terms: Terms) -> str | None:
    """A keyword of the query that nothing in the archive could answer; None when there is none."""
    for name in sorted(keywords_in(query)):
        keyword = KEYWORDS[name]
        if collection in keyword.missions and (keyword.read is None or name in terms.untold):
            return name
    return None


def _conditions(clause: Clause, terms: Terms, collection: str) -> tuple[tuple[Condition, ...], bool] | None:
    """What a clause means in the properties of the catalogue, and whether that is all; None where nothing is known."""
    name = clause.keyword.name
    if name in _IDENTIFIERS:
        return _identified(clause, terms, collection)
    if (bounds := clause.bounds) is not None:
        if name in terms.times:
            return _timed(terms.times[name], bounds), False
        if name in terms.numbers:
            return _within(terms.numbers[name], bounds), True
    if name == "footprint" and clause.shape is not None:
        relation, shape = clause.shape
        # IsWithin and Contains each imply that they meet.
        return (Condition("geometry", "intersects", _geojson(shape), always=True),), relation == "Intersects"
    return _worded(terms, name, (clause.text or "").strip().lower())


def _worded(terms: Terms, name: str, text: str) -> tuple[tuple[Condition, ...], bool] | None:
    """As `_conditions`, for what is asked for by a word."""
    if name in terms.words:
        told, values = terms.words[name]
        found = values.get(text)
        if found is not None:
            return (Condition(told, "=", found[0]) if len(found) == 1 else Condition(told, "in", list(found)),), True
    elif name in terms.patterns:
        told, form, prefix = terms.patterns[name]
        if re.fullmatch(form, text.upper()):
            return (Condition(told, "=", prefix + text.upper()),), True
    elif name == "polarisationmode" and terms.polarisations:
        channels = text.upper().split()
        if channels and set(channels) <= {"VV", "VH", "HH", "HV"}:
            exact = channels in ([channels[0]], ["VV", "VH"], ["HH", "HV"])
            return tuple(Condition(terms.polarisations, "has", channel) for channel in channels), exact
    return None


def _timed(told: str, bounds: Bounds) -> tuple[Condition, ...]:
    found = []
    if isinstance(bounds.low, datetime):
        found.append(Condition(told, ">=", _moved(bounds.low, -EDGE)))
    if isinstance(bounds.high, datetime):
        found.append(Condition(told, "<=", _moved(bounds.high, EDGE)))
    return tuple(found)


def _within(told: str, bounds: Bounds) -> tuple[Condition, ...]:
    if bounds.low is not None and bounds.low == bounds.high and bounds.low_inclusive and bounds.high_inclusive:
        return (Condition(told, "=", bounds.low),)
    low = () if bounds.low is None else (Condition(told, ">=" if bounds.low_inclusive else ">", bounds.low),)
    high = () if bounds.high is None else (Condition(told, "<=" if bounds.high_inclusive else "<", bounds.high),)
    return low + high


def _identified(clause: Clause, terms: Terms, collection: str) -> tuple[tuple[Condition, ...], bool] | None:
    ending = _EXTENSIONS[collection] if clause.keyword.name == "filename" else ""
    if clause.text is not None:
        text = clause.text.removesuffix(ending) if ending else clause.text
        if terms.identifier is None or (ending and text == clause.text):
            return None
        found = terms.identifier(text)
        return None if found is None else ((found,), found.value == text and found.property == "id")
    if clause.pattern is None or not terms.agree:
        return None
    pattern = clause.pattern
    if ending and pattern.endswith(ending):
        pattern = pattern.removesuffix(ending)
    elif ending:
        # The rest may lie in the extension, which items do not have: only what cannot is asked for.
        pattern = pattern[: pattern.rfind("_") + 1] + "*"
    like, exact = _like(pattern, terms.agree)
    return None if like.strip("%") == "" else ((Condition("id", "like", like, always=True),), exact)


def _like(pattern: str, agree: int) -> tuple[str, bool]:
    """A pattern for LIKE, and whether it is as narrow. `_` stands for any letter in it: escaping is not sure to be known."""
    found, exact, length = "", True, 0
    place = 0
    while place < len(pattern):
        letter = pattern[place]
        if length >= agree:
            return found + "%", False
        if letter == "\\" and place + 1 < len(pattern):
            place += 1
            letter = pattern[place] if pattern[place] not in "%_\\" else "_"
            exact = exact and letter != "_"
            found += letter
        elif letter == "*":
            if place + 1 < len(pattern) and agree < 1000:
                return found + "%", False  # what follows may lie where identifiers differ
            found += "%"
        elif letter in "?_%\\":
            exact = exact and letter == "?"
            found += "_"
        else:
            found += letter
        length += 1
        place += 1
    return found, exact and agree >= 1000


def _geojson(shape: Any) -> dict[str, Any]:
    import shapely.geometry

    found: dict[str, Any] = shapely.geometry.mapping(shape)
    return found


def _moved(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return moment


def _stamp(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


# --- the two languages -----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Both:
    """An expression of CQL2 and its opposite, in which items without the property are included."""

    yes: dict[str, Any]
    no: dict[str, Any]


class Cql2:
    """CQL2-JSON, as pgstac has it."""

    def __init__(self, terms: Terms, collection: str) -> None:
        self._terms, self._collection = terms, collection

    def clause(self, clause: Clause) -> Asked[_Both] | None:
        """As `Language` says."""
        found = _conditions(clause, self._terms, self._collection)
        if found is None or not found[0]:
            return None
        said, exact = [self._one(condition) for condition in found[0]], found[1]
        return Asked(said[0] if len(said) == 1 else self.every(said), exact)

    def every(self, parts: Sequence[_Both]) -> _Both:
        """As `Language` says."""
        return _Both(_joined("and", [part.yes for part in parts]), _joined("or", [part.no for part in parts]))

    def some(self, parts: Sequence[_Both]) -> _Both:
        """As `Language` says."""
        return _Both(_joined("or", [part.yes for part in parts]), _joined("and", [part.no for part in parts]))

    def negated(self, part: _Both) -> _Both:
        """As `Language` says."""
        return _Both(part.no, part.yes)

    @staticmethod
    def _one(condition: Condition) -> _Both:
        told = {"property": condition.property}
        value = condition.value
        if isinstance(value, datetime):
            value = {"timestamp": _stamp(value)}
        op = {"has": "a_contains", "intersects": "s_intersects"}.get(condition.op, condition.op)
        yes = {"op": op, "args": [told, [value] if op == "a_contains" else value]}
        no: dict[str, Any] = {"op": "not", "args": [yes]}
        if not condition.always:
            no = _joined("or", [no, {"op": "isNull", "args": [told]}])
        return _Both(yes, no)

    def within(self, shelves: Sequence[str]) -> _Both:
        """What lies in these collections."""
        return self._one(Condition("collection", "in", list(shelves), always=True))


def _joined(op: str, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"op": op, "args": list(parts)}


_Comparisons = dict[str, dict[str, Any]]


class Extension:
    """The `query` extension: comparisons of properties, of which all must hold."""

    _OPS: Mapping[str, str] = {"=": "eq", ">=": "gte", ">": "gt", "<=": "lte", "<": "lt", "in": "in"}

    def __init__(self, terms: Terms, collection: str) -> None:
        self._terms, self._collection = terms, collection

    def clause(self, clause: Clause) -> Asked[_Comparisons] | None:
        """As `Language` says."""
        found = _conditions(clause, self._terms, self._collection)
        if found is None:
            return None
        said: _Comparisons | None = {}
        exact = found[1]
        for condition in found[0]:
            one = self._one(condition)
            both = None if one is None or said is None else self.every([said, one])
            said, exact = (said, False) if both is None else (both, exact)
        return Asked(said, exact) if said else None

    def _one(self, condition: Condition) -> _Comparisons | None:
        value = _stamp(condition.value) if isinstance(condition.value, datetime) else condition.value
        if condition.op == "has":
            return {condition.property: {"in": [value]}}
        op = self._OPS.get(condition.op)
        return None if op is None else {condition.property: {op: value}}

    def every(self, parts: Sequence[_Comparisons]) -> _Comparisons | None:
        """As `Language` says."""
        whole: _Comparisons = {}
        for part in parts:
            for told, comparisons in part.items():
                known = whole.setdefault(told, {})
                if set(known) & set(comparisons):
                    return None
                known.update(comparisons)
        return whole

    def some(self, parts: Sequence[_Comparisons]) -> _Comparisons | None:
        """As `Language` says."""
        told, values = set(), []
        for part in parts:
            for name, comparisons in part.items():
                told.add(name)
                if len(part) > 1 or len(comparisons) > 1 or not set(comparisons) <= {"eq", "in"}:
                    return None
                values += comparisons.get("in", [comparisons.get("eq")])
        return {told.pop(): {"in": values}} if len(told) == 1 else None

    def negated(self, part: _Comparisons) -> _Comparisons | None:
        """As `Language` says."""
        ((told, comparisons), *more) = part.items()
        if more or set(comparisons) != {"eq"}:
            return None
        return {told: {"neq": comparisons["eq"]}}


# --- the whole -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Asking:
    """A search."""

    body: dict[str, Any]
    """For POST /search, without limit and order."""
    exact: bool
    """Whether it is all that the query means, but for a second or so at the ends of its times."""


def asking(
    query: Query,
    shelves: Sequence[Shelf],
    terms: Terms,
    language: type[Cql2] | type[Extension],
    now: datetime,
    *,
    slack: timedelta = timedelta(0),
) -> Asking | None:
    """A query as a search; None where no collection can hold what it asks for.

    Parameters
    ----------
    shelves
        The collections of one mission.
    slack
        How far `datetime` of an item may be from the time that the keywords mean, before or after.
    """
    parts = query.tree.parts if isinstance(query.tree, And) else (query.tree,)
    times = [part for part in parts if isinstance(part, Field) and part.name in _TIMES]
    interval = _interval([Clause(KEYWORDS[str(part.name)], part.value, now) for part in times], slack)
    shapes = [part for part in parts if isinstance(part, Field) and isinstance(part.value, Spatial)]
    taken = times + shapes[:1]
    taken_in = [part for part in parts if isinstance(part, Field) and part.name == "ingestiondate"]
    rest = tuple(part for part in parts if part not in taken and part not in taken_in)
    groups: dict[Node | bool, list[Shelf]] = {}
    for shelf in shelves:
        left = _left(And((All(), *rest)), shelf)
        if left is not False:
            groups.setdefault(left, []).append(shelf)
    if not groups:
        return None
    collection = shelves[0].collection
    ids = sorted(shelf.id for group in groups.values() for shelf in group)
    body: dict[str, Any] = {"collections": ids} | ({"datetime": interval} if interval else {})
    exact = True
    if shapes:
        relation, shape = Clause(KEYWORDS["footprint"], shapes[0].value, now).shape or ("", None)
        body["intersects"] = _geojson(shape)
        exact = relation == "Intersects"
    if language is Cql2:
        said, all_ = _in_cql2(Cql2(terms, collection), groups, taken_in, now)
        body |= {} if said is None else {"filter-lang": "cql2-json", "filter": said.yes}
    else:
        compared, all_ = _in_extension(Extension(terms, collection), groups, taken_in, now)
        body |= {} if compared is None else {"query": compared}
    return Asking(body, exact and all_)


def _in_cql2(
    language: Cql2, groups: Mapping[Node | bool, list[Shelf]], more: Sequence[Field], now: datetime
) -> tuple[_Both | None, bool]:
    said, exact = list[_Both | None](), True
    for left, shelves in groups.items():
        asked: Asked[_Both] = Asked(None, exact=True)
        if not isinstance(left, bool):
            asked = translate(Query(left), language, now)
        exact = exact and asked.exact
        if len(groups) == 1:
            said.append(asked.expression)
        else:
            here = language.within(sorted(shelf.id for shelf in shelves))
            said.append(here if asked.expression is None else language.every([here, asked.expression]))
    parts = [part for part in said if part is not None]
    if len(parts) > 1:
        parts = [language.some(parts)]
    parts += _moments(language, more, now)
    return (language.every(parts) if parts else None), exact


def _in_extension(
    language: Extension, groups: Mapping[Node | bool, list[Shelf]], more: Sequence[Field], now: datetime
) -> tuple[_Comparisons | None, bool]:
    everything: Asked[_Comparisons] = Asked(None, exact=True)
    asked = [everything if isinstance(left, bool) else translate(Query(left), language, now) for left in groups]
    same = all(one.expression == asked[0].expression for one in asked)
    exact = same and all(one.exact for one in asked)
    whole = asked[0].expression if same else None
    for part in _moments(language, more, now):
        both = part if whole is None else language.every([whole, part])
        whole, exact = (whole, False) if both is None else (both, exact)
    return whole, exact


def _moments(language: Language[T], fields: Sequence[Field], now: datetime) -> list[T]:
    asked = [language.clause(Clause(KEYWORDS[str(part.name)], part.value, now)) for part in fields]
    return [one.expression for one in asked if one is not None and one.expression is not None]


def _interval(clauses: Sequence[Clause], slack: timedelta) -> str | None:
    """The `datetime` of a search: an item is found when its time, from start to end, meets it."""
    low: datetime | None = None
    high: datetime | None = None
    for clause in clauses:
        bounds = clause.bounds
        if bounds is None:
            continue
        begins = clause.keyword.name in _BEGINS
        if isinstance(bounds.low, datetime):
            # What begins after this ends after it, too.
            from_ = _moved(bounds.low, -EDGE if begins else -EDGE - slack)
            low = from_ if low is None else max(low, from_)
        if isinstance(bounds.high, datetime):
            upto = _moved(bounds.high, EDGE + slack)
            high = upto if high is None else min(high, upto)
    if low is None and high is None:
        return None
    if low is not None and high is not None and low > high:
        # Begins before the one and ends after the other: it meets all between them.
        low = high
    return f"{'..' if low is None else _stamp(low)}/{'..' if high is None else _stamp(high)}"
