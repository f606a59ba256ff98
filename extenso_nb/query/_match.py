"""A tree evaluated against a product, and products put in order."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

from extenso_nb.errors import QueryError
from extenso_nb.query import _dates, _spatial
from extenso_nb.query._keywords import KEYWORDS, Described, Keyword, nearest
from extenso_nb.query._parse import checked
from extenso_nb.query._pattern import program, wildcard_test
from extenso_nb.query._tree import (
    All,
    And,
    Field,
    Node,
    Not,
    Or,
    Phrase,
    Range,
    Regex,
    Spatial,
    Term,
    Value,
    Wildcard,
)

__all__ = ["Predicate", "order", "predicate"]

P = TypeVar("P", bound=Described)

# Words as the hub's index cut them: letters, digits and `_`; a dot inside (02.14) does not cut, a hyphen does.
_WORD = re.compile(r"\w+(?:\.\w+)*")
_WORDS = tuple(keyword for keyword in KEYWORDS.values() if keyword.kind in {"text", "string"})


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()))


@dataclass(frozen=True, slots=True)
class _Text:
    """A value of a text keyword: as given, in lower case, its words one after another, and all of these at once."""

    given: str
    lower: str
    words: tuple[str, ...]
    forms: frozenset[str]


@lru_cache(maxsize=8192)
def _text(given: str) -> _Text:
    lower, words = given.lower(), _words(given)
    return _Text(given, lower, words, frozenset((lower, *words)))


class _Seen:
    """A product as the clauses of one query look at it: each value is read, cut into words or made a shape once."""

    __slots__ = ("_all", "_shapes", "_texts", "_values", "product")

    def __init__(self, product: Described) -> None:
        self.product = product
        self._values: dict[str, tuple[Any, ...]] = {}
        self._texts: dict[str, tuple[_Text, ...]] = {}
        self._shapes: dict[str, tuple[Any, ...]] = {}
        self._all: tuple[tuple[_Text, ...], frozenset[str]] | None = None

    def values(self, keyword: Keyword) -> tuple[Any, ...]:
        found = self._values.get(keyword.name)
        if found is None:
            found = self._values[keyword.name] = keyword.values(self.product)
        return found

    def texts(self, keyword: Keyword) -> tuple[_Text, ...]:
        found = self._texts.get(keyword.name)
        if found is None:
            found = self._texts[keyword.name] = tuple(_text(value) for value in self.values(keyword))
        return found

    def shapes(self, keyword: Keyword) -> tuple[Any, ...]:
        found = self._shapes.get(keyword.name)
        if found is None:
            found = self._shapes[keyword.name] = tuple(_spatial.footprint(value) for value in self.values(keyword))
        return found

    def everything(self) -> tuple[tuple[_Text, ...], frozenset[str]]:
        """All texts of the product, each once, and all their forms: what a clause without a keyword looks through."""
        if self._all is None:
            texts = tuple({text.given: text for keyword in _WORDS for text in self.texts(keyword)}.values())
            self._all = texts, frozenset().union(*(text.forms for text in texts))
        return self._all


Predicate: TypeAlias = Callable[[_Seen, datetime], bool]


def _run_in(asked: tuple[str, ...], text: _Text) -> bool:
    """Whether the words asked for stand one after another; none at all stand nowhere."""
    size, words = len(asked), text.words
    return 0 < size <= len(words) and any(words[at : at + size] == asked for at in range(len(words) - size + 1))


def _between(value: Range) -> Callable[[Any, Any, Any], bool]:
    above = operator.ge if value.low_inclusive else operator.gt
    below = operator.le if value.high_inclusive else operator.lt

    def test(this: Any, low: Any, high: Any) -> bool:
        return (low is None or bool(above(this, low))) and (high is None or bool(below(this, high)))

    return test


# --- by kind ---------------------------------------------------------------------------------------------------------
def _text_test(value: Value) -> Callable[[_Text], bool]:
    match value:
        case Term(text) | Phrase(text):
            asked = _words(text)
            if len(asked) == 1:
                (word,) = asked
                return lambda given: word in given.words
            return lambda given: _run_in(asked, given)
        case Wildcard(pattern):
            fits = wildcard_test(pattern.lower())
            return lambda given: any(map(fits, given.forms))
        case Regex(pattern):
            matches = program(pattern).matches
            return lambda given: any(
                matches(form, ignore_case=True) for form in (given.given, *given.forms) if form != given.lower
            )
        case Range(low, high):
            test = _between(value)
            first, last = (None if bound is None else bound.lower() for bound in (low, high))
            return lambda given: any(test(form, first, last) for form in given.forms)
        case _:
            raise TypeError(f"no text: {value!r}")


def _string_test(value: Value) -> Callable[[str], bool]:
    match value:
        case Term(text) | Phrase(text):
            return lambda given: given == text
        case Wildcard(pattern):
            return wildcard_test(pattern)
        case Regex(pattern):
            matches = program(pattern).matches
            return lambda given: matches(given, ignore_case=False)
        case Range(low, high):
            test = _between(value)
            return lambda given: test(given, low, high)
        case _:
            raise TypeError(f"no string: {value!r}")


def _number_test(value: Value, number: Callable[[str], float]) -> Callable[[float], bool]:
    match value:
        case Term(text) | Phrase(text):
            asked = number(text)
            return lambda given: given == asked
        case Range(low, high):
            test = _between(value)
            first, last = (None if bound is None else number(bound) for bound in (low, high))
            return lambda given: test(given, first, last)
        case _:
            raise TypeError(f"no number: {value!r}")


def _date_predicate(keyword: Keyword, value: Value) -> Predicate:
    match value:
        case Term(text) | Phrase(text):
            low: _dates.DateMath | None = _dates.moment(text)
            high = low
            test = _between(Range())
        case Range():
            low, high = (None if bound is None else _dates.moment(bound) for bound in (value.low, value.high))
            test = _between(value)
        case _:
            raise TypeError(f"no date: {value!r}")
    known: tuple[datetime | None, datetime | None, datetime | None] = (None, None, None)

    def holds(product: _Seen, now: datetime) -> bool:
        nonlocal known
        told, first, last = known
        if told != now:  # many products are looked at with one NOW
            first, last = (None if bound is None else bound.at(now) for bound in (low, high))
            known = now, first, last
        # The catalogue's dates have milliseconds.
        given = (date.replace(microsecond=date.microsecond // 1000 * 1000) for date in product.values(keyword))
        return any(test(date, first, last) for date in given)

    return holds


def _spatial_predicate(keyword: Keyword, value: Value) -> Predicate:
    if isinstance(value, Spatial):
        holds = _spatial.test(value)
        return lambda product, _now: any(map(holds, product.shapes(keyword)))
    return lambda product, _now: bool(product.values(keyword))


def _free_predicate(value: Value) -> Predicate:
    checked(None, value)
    test = _text_test(value)
    asked = _words(value.text) if isinstance(value, (Term, Phrase)) else ()

    def holds(product: _Seen, _now: datetime) -> bool:
        texts, forms = product.everything()
        return forms.issuperset(asked) and any(map(test, texts))

    return holds


def _field_predicate(field: Field) -> Predicate:
    if field.name is None:
        return _free_predicate(field.value)
    keyword = _known(field.name)
    value = checked(keyword, field.value)
    match keyword.kind:
        case "date":
            return _date_predicate(keyword, value)
        case "spatial":
            return _spatial_predicate(keyword, value)
        case "text":
            fits = _text_test(value)
            return lambda product, _now: any(map(fits, product.texts(keyword)))
        case "string":
            holds: Callable[[Any], bool] = _string_test(value)
        case "int":
            holds = _number_test(value, int)
        case "double":
            holds = _number_test(value, float)
    return lambda product, _now: any(map(holds, product.values(keyword)))


def predicate(node: Node) -> Predicate:
    """What the tree asks, as a function of a product and the time that NOW stands for."""
    match node:
        case All():
            return lambda _product, _now: True
        case And(parts):
            tests = [predicate(part) for part in parts]
            return lambda product, now: all(test(product, now) for test in tests)
        case Or(parts):
            tests = [predicate(part) for part in parts]
            return lambda product, now: any(test(product, now) for test in tests)
        case Not(part):
            test = predicate(part)
            return lambda product, now: not test(product, now)
        case Field():
            return _field_predicate(node)


# --- order -----------------------------------------------------------------------------------------------------------
def _known(name: str, query: str = "", position: int = 0) -> Keyword:
    keyword = KEYWORDS.get(name.lower())
    if keyword is None:
        near = nearest(name)
        raise QueryError(
            f"Unknown keyword {name[:40]!r}.",
            hint=f"Did you mean {near}?" if near else None,
            query=query,
            position=position,
            suggestion=near,
        )
    return keyword


def _sort_value(keyword: Keyword, product: Described) -> Any:
    """What to sort by, or None; sizes by bytes, text without regard to case."""
    values: tuple[Any, ...] = (product.size or None,) if keyword.name == "size" else keyword.values(product)
    value = values[0] if values else None
    return value.lower() if keyword.kind == "text" and isinstance(value, str) else value


def _sort_keys(orderby: str) -> list[tuple[Keyword, bool]]:
    keys, at = [], 0
    for part in orderby.split(","):
        words = part.split()
        position = at + len(part) - len(part.lstrip())
        if not 1 <= len(words) <= 2 or words[-1].lower() not in {"asc", "desc", words[0].lower()}:
            raise QueryError(
                f"Not an order: {part.strip()[:40]!r}.",
                hint='Write "<keyword> asc" or "<keyword> desc", several with commas.',
                query=orderby,
                position=min(position, len(orderby)),
            )
        keyword = _known(words[0], orderby, position)
        if keyword.kind == "spatial":
            raise QueryError("Products have no order by footprint.", query=orderby, position=position)
        keys.append((keyword, words[-1].lower() == "desc"))
        at += len(part) + 1
    return keys


def order(products: Iterable[P], orderby: str | None = None) -> list[P]:
    """Products in the order asked for.

    Parameters
    ----------
    products
        Any number of products.
    orderby
        ``"<keyword> asc|desc"``, several with commas; ``asc`` may be left out. None or empty: ``ingestiondate desc``.
        Products without a value come last, either way; equal ones are in the order of their identifiers. `size`
        sorts by bytes.

    Raises
    ------
    QueryError
        Unknown keyword, or not an order.
    """
    found = sorted(products, key=lambda product: product.id)
    # Sorting is stable: the last key first.
    for keyword, descending in reversed(_sort_keys(orderby if orderby and orderby.strip() else "ingestiondate desc")):
        known, without = [], []
        for product in found:
            value = _sort_value(keyword, product)
            known.append((value, product)) if value is not None else without.append(product)
        known.sort(key=operator.itemgetter(0), reverse=descending)
        found = [product for _, product in known] + without
    return found


def matches(test: Predicate, product: Described, now: datetime | None) -> bool:
    """Whether `product` passes; NOW is `now` (naive means UTC), or the present."""
    if now is None:
        now = datetime.now(UTC)
    return test(_Seen(product), now.replace(tzinfo=UTC) if now.tzinfo is None else now)
