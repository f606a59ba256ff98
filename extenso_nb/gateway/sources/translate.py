"""A query as an expression of another catalogue's language: as much of it as that can say, and whether that is all.

What cannot be said is left out where that widens the search, so that no product is lost; the products that come are then
looked at one by one (`walking`). Nothing is ever said that would narrow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from extenso_nb.query import (
    KEYWORDS,
    All,
    And,
    Field,
    Keyword,
    Node,
    Not,
    Or,
    Phrase,
    Query,
    Range,
    Spatial,
    Term,
    Value,
    Wildcard,
    geometry,
    moment,
)

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

__all__ = ["Asked", "Bounds", "Clause", "Language", "keywords_in", "translate"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """What a catalogue is asked."""

    expression: T | None
    """None asks for everything."""
    exact: bool
    """Whether what comes is what the query means; else it is more than that."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """From `low` to `high`: numbers, moments (UTC) or texts, by the kind of the keyword. None is an open end."""

    low: datetime | float | str | None
    high: datetime | float | str | None
    low_inclusive: bool = True
    high_inclusive: bool = True


@dataclass(frozen=True)
class Clause:
    """One clause on a keyword, its value in the types of that keyword."""

    keyword: Keyword
    value: Value
    now: datetime
    """What NOW stands for, UTC."""

    @property
    def text(self) -> str | None:
        """The word or phrase asked for; None for anything else."""
        return self.value.text if isinstance(self.value, Term | Phrase) else None

    @property
    def pattern(self) -> str | None:
        r"""The pattern of a wildcard, ``\*``, ``\?`` and ``\\`` standing for themselves; None for anything else."""
        return self.value.pattern if isinstance(self.value, Wildcard) else None

    @cached_property
    def bounds(self) -> Bounds | None:
        """A range; one value is the range from it to itself. None for patterns, shapes and words of a text keyword."""
        value = self.value
        if isinstance(value, Range):
            low, high = (None if bound is None else self._typed(bound) for bound in (value.low, value.high))
            return Bounds(low, high, value.low_inclusive, value.high_inclusive)
        if self.text is None or self.keyword.kind in {"text", "string"}:
            return None
        this = self._typed(self.text)
        return Bounds(this, this)

    @cached_property
    def shape(self) -> tuple[str, BaseGeometry] | None:
        """Relation (Intersects, Contains, IsWithin) and geometry, lon/lat, cut at the antimeridian."""
        value = self.value
        return (value.relation, geometry(value.geometry)) if isinstance(value, Spatial) else None

    def _typed(self, text: str) -> datetime | float | str:
        match self.keyword.kind:
            case "date":
                return moment(text).at(self.now)
            case "int":
                return int(text)
            case "double":
                return float(text)
            case _:
                return text


class Language(Protocol[T]):
    """What a catalogue can be asked for, clause by clause."""

    def clause(self, clause: Clause) -> Asked[T] | None:
        """One clause, exactly or wider; None where nothing of it can be said."""

    def every(self, parts: Sequence[T]) -> T | None:
        """All of two or more; None where the language cannot have them together."""

    def some(self, parts: Sequence[T]) -> T | None:
        """Any of two or more; None where the language has no such thing."""

    def negated(self, part: T) -> T | None:
        """What `part` does not ask for, products without a value included; None where it cannot be said."""


def translate(query: Query, language: Language[T], now: datetime | None = None) -> Asked[T]:
    """As much of a query as a language can say. `now` is what NOW stands for; the present when None."""
    return _translated(query.tree, language, (now or datetime.now(UTC)).astimezone(UTC))


def keywords_in(query: Query) -> frozenset[str]:
    """The keywords that a query has clauses on."""
    return frozenset(_names(query.tree))


def _names(node: Node) -> set[str]:
    match node:
        case Field(name, _):
            return set() if name is None else {name}
        case And(parts) | Or(parts):
            return set().union(*map(_names, parts))
        case Not(part):
            return _names(part)
        case _:
            return set()


def _translated(node: Node, language: Language[T], now: datetime) -> Asked[T]:
    match node:
        case All():
            return Asked(None, exact=True)
        case Field(None, _):
            return Asked(None, exact=False)
        case Field(name, value):
            said = language.clause(Clause(KEYWORDS[str(name)], value, now))
            return Asked(None, exact=False) if said is None else said
        case Not(part):
            return _negated(_translated(part, language, now), language)
        case And(parts):
            return _together([_translated(part, language, now) for part in parts], language)
        case Or(parts):
            return _either([_translated(part, language, now) for part in parts], language)


def _negated(said: Asked[T], language: Language[T]) -> Asked[T]:
    # What is wider than meant would, negated, be narrower than meant.
    if said.expression is None or not said.exact:
        return Asked(None, exact=False)
    negated = language.negated(said.expression)
    return Asked(negated, exact=negated is not None)


def _together(parts: Sequence[Asked[T]], language: Language[T]) -> Asked[T]:
    exact = all(part.exact for part in parts)
    said = [part.expression for part in parts if part.expression is not None]
    if len(said) < 2:
        return Asked(said[0] if said else None, exact)
    whole = language.every(said)
    return Asked(said[0], exact=False) if whole is None else Asked(whole, exact)


def _either(parts: Sequence[Asked[T]], language: Language[T]) -> Asked[T]:
    said = [part.expression for part in parts if part.expression is not None]
    if len(said) < len(parts):
        return Asked(None, exact=any(part.expression is None and part.exact for part in parts))
    whole = language.some(said)
    return Asked(whole, exact=whole is not None and all(part.exact for part in parts))
