"""A hub of SciHub's kind: recorded answers, the forty queries, the table of faults, and what else can go wrong."""

from __future__ import annotations

import forty
import pytest
from far_dhus import FarDhus


@pytest.fixture(scope="module")
def shared() -> FarDhus:
    with FarDhus() as far:
        for product in forty.population():
            far.hold(product)
        yield far


@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_forty(shared: FarDhus, collection: str, q: str, orderby: str) -> None:
    assert forty.all_found(shared.source, collection, q, orderby) == forty.right(collection, q, orderby)
