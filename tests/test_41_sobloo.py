"""Sobloo: the recorded answer, the forty queries, the table of faults, and what else can go wrong."""

from __future__ import annotations

import forty
import pytest
from far_sobloo import FarSobloo


@pytest.fixture(scope="module")
def shared() -> FarSobloo:
    with FarSobloo() as far:
        for product in forty.population():
            far.hold(product)
        yield far


@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_forty(shared: FarSobloo, collection: str, q: str, orderby: str) -> None:
    assert forty.all_found(shared.source, collection, q, orderby) == forty.right(collection, q, orderby)
