"""The forty queries themselves: each tells products apart, and a query is told another language without loss."""

from __future__ import annotations

from collections.abc import Sequence

import forty
import pytest

from extenso_nb import query
from extenso_nb.gateway.sources.translate import Asked, Clause, translate


@pytest.mark.parametrize(("collection", "q"), [(name, q) for name, all_ in forty.QUERIES.items() for q in all_])
def test_each_query_finds_some_and_not_all(collection: str, q: str) -> None:
    assert 0 < len(forty.right(collection, q, "beginposition asc")) < forty.EACH


class Words:
    """A language of sets of product types: `exact` for those, wider for cloud, nothing for the rest."""

    def clause(self, clause: Clause) -> Asked[str] | None:
        if clause.keyword.name == "producttype":
            return Asked(str(clause.text), exact=True)
        return Asked("cloudy", exact=False) if clause.keyword.name == "cloudcoverpercentage" else None

    def every(self, parts: Sequence[str]) -> str:
        return f"({' & '.join(parts)})"

    def some(self, parts: Sequence[str]) -> str:
        return f"({' | '.join(parts)})"

    def negated(self, part: str) -> str:
        return f"!{part}"


@pytest.mark.parametrize(
    ("q", "said", "exact"),
    [
        ("*", None, True),
        ("producttype:A", "A", True),
        ("producttype:A producttype:B", "(A & B)", True),
        ("producttype:A OR producttype:B", "(A | B)", True),
        ("producttype:A AND tileid:31TCJ", "A", False),
        ("producttype:A OR tileid:31TCJ", None, False),
        ("producttype:A OR *", None, True),
        ("producttype:A AND *", "A", True),
        ("NOT producttype:A", "!A", True),
        # What is wider than meant may not be negated: it would be narrower than meant.
        ("NOT cloudcoverpercentage:[0 TO 10]", None, False),
        ("NOT (producttype:A AND tileid:31TCJ)", None, False),
        ("NOT *", None, False),
        ("producttype:A AND NOT tileid:31TCJ", "A", False),
        ("cloudcoverpercentage:[0 TO 10] OR producttype:A", "(cloudy | A)", False),
        ("word AND producttype:A", "A", False),
    ],
)
def test_a_query_is_never_told_narrower_than_it_is(q: str, said: str | None, exact: bool) -> None:
    assert translate(query.parse(q), Words()) == Asked(said, exact)
