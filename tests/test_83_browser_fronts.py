"""The same Explorer in Notebook 7 and Voila, in a real browser: from a rectangle to a tree."""

from __future__ import annotations

import pytest
from browser import Browse
from frontends import FrontEnd
from shapely.geometry import shape

BOX = (0.0, 42.5, 4.5, 45.0)
"""Holds the scenes of Toulouse: west, south, east, north."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["notebook7", "voila"])
def test_from_a_rectangle_to_a_tree(name: str, request: pytest.FixtureRequest, browse: Browse) -> None:
    front: FrontEnd = request.getfixturevalue(name)
    book = browse(front)
    explorer = book.explorer.ready()
    explorer.look(1.45, 43.6, 6)
    explorer.draw_rectangle((BOX[0], BOX[1]), (BOX[2], BOX[3]))
    assert shape(explorer.wait_for_area()).bounds == pytest.approx(BOX, abs=0.05)
    explorer.search()
    total = book.kernel.value("explorer.state.total")
    assert explorer.cards.count() == total > 5
    explorer.hover_card(1)
    explorer.select(0)
    explorer.estimate()
    number = explorer.order()
    explorer.wait_delivered(number)
    explorer.load(number)
    assert book.kernel.value("explorer.tree.attrs['product_id']") in book.kernel.value("explorer.result.ids")


@pytest.mark.parametrize("name", ["notebook7", "voila"])
def test_nothing_scrolls_sideways_on_a_narrow_screen(name: str, request: pytest.FixtureRequest, browse: Browse) -> None:
    book = browse(request.getfixturevalue(name), width=480, height=1000)
    explorer = book.explorer.ready()
    explorer.search()
    explorer.card(2).wait_for()
    assert explorer.too_wide() == []
