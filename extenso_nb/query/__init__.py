"""The `q=` language of the extended search, both ways: built from Python arguments, parsed to a tree, evaluated.

The language is that of SciHub's full-text search (Solr's standard parser over a fixed set of keywords); docs/query.md
describes it. `parse` reads it, ``str(query)`` writes it, ``query.matches(product)`` decides, `build` makes it from
arguments named as in STAC, and `order` sorts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from extenso_nb.query import _match
from extenso_nb.query._build import build, combine
from extenso_nb.query._dates import moment
from extenso_nb.query._keywords import KEYWORDS, Described, Keyword
from extenso_nb.query._match import order
from extenso_nb.query._parse import MAX_CLAUSES, MAX_DEPTH, MAX_LENGTH, parse_tree
from extenso_nb.query._spatial import geometry
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
    write,
)

__all__ = [
    "KEYWORDS",
    "MAX_CLAUSES",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "All",
    "And",
    "Described",
    "Field",
    "Keyword",
    "Node",
    "Not",
    "Or",
    "Phrase",
    "Query",
    "Range",
    "Regex",
    "Spatial",
    "Term",
    "Value",
    "Wildcard",
    "build",
    "combine",
    "geometry",
    "moment",
    "order",
    "parse",
]


@dataclass(frozen=True)
class Query:
    """A query, parsed. ``str(query)`` is its canonical text, and ``parse(str(query)) == query``."""

    tree: Node

    def __str__(self) -> str:
        return write(self.tree)

    def __repr__(self) -> str:
        return f"<Query {self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # The compiled test is made of closures; it stays behind and is made again where it is needed.
        return Query, (self.tree,)

    @cached_property
    def _test(self) -> _match.Predicate:
        return _match.predicate(self.tree)

    def matches(self, product: Described, *, now: datetime | None = None) -> bool:
        """Whether `product` is one that the query asks for.

        Parameters
        ----------
        product
            A :class:`extenso_nb.models.Product`, or anything with its attributes.
        now
            What NOW stands for; the present when None.

        Notes
        -----
        A clause on a keyword that the product has no value for does not match, and so its NOT does.
        """
        return _match.matches(self._test, product, now)


def parse(text: str) -> Query:
    """Parse the text of `q`; empty text and ``*`` ask for everything.

    Raises
    ------
    QueryError
        With the position of the first fault, what was expected there, and the nearest keyword for an unknown one.
    """
    return Query(parse_tree(text))
