"""The Copernicus Data Space Ecosystem: what is asked of its catalogue, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Iterator

import forty
import pytest
from far_cdse import FarCdse


@pytest.fixture
def far() -> Iterator[FarCdse]:
    with FarCdse() as bed:
        yield bed


@pytest.fixture(scope="module")
def archive() -> Iterator[FarCdse]:
    """The archive of the forty queries; nobody has an account."""
    with FarCdse(given={}) as bed:
        for product in forty.population():
            bed.server.show(product)
        yield bed


# --- the forty queries -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_forty_queries_find_what_they_mean(archive: FarCdse, collection: str, q: str, orderby: str) -> None:
    assert forty.all_found(archive.source, collection, q, orderby) == forty.right(collection, q, orderby)
