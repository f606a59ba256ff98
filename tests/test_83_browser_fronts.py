"""The whole way in JupyterLab, Notebook 7 and Voila, in a real browser: from an area to a plot, by mouse and by keyboard."""

from __future__ import annotations

import re

import pytest
from browser import Browse
from explorer_page import ExplorerPage
from frontends import FrontEnd
from shapely.geometry import box, shape

TOULOUSE = (1.45, 43.6)
BOX = (0.0, 42.5, 4.5, 45.0)
"""Holds the scenes of Toulouse: west, south, east, north."""
FRONTS = ["lab", "notebook7", "voila"]


def opened(explorer: ExplorerPage, chosen: list[str]) -> None:
    """What was loaded is one of those chosen, drawn, and a variable of the notebook."""
    name, kernel = explorer.wait_loaded(), explorer.book.kernel
    assert name == "scene"
    assert kernel.value("scene is explorer.tree")
    assert kernel.value("explorer.tree.attrs['product_id']") in chosen
    width = explorer.root.get_by_role("img", name=re.compile("^First picture")).evaluate("img => img.naturalWidth")
    assert width > 200


@pytest.mark.slow
@pytest.mark.parametrize("name", FRONTS)
def test_from_an_area_to_a_plot_by_mouse(name: str, request: pytest.FixtureRequest, browse: Browse) -> None:
    front: FrontEnd = request.getfixturevalue(name)
    book = browse(front)
    explorer = book.explorer.ready()
    explorer.look(*TOULOUSE, 6)
    explorer.draw_rectangle((BOX[0], BOX[1]), (BOX[2], BOX[3]))
    area = shape(explorer.wait_for_area())
    # Within a pixel or two of the corners that were clicked: 360 degrees are 2^14 pixels.
    assert area.bounds == pytest.approx(BOX, abs=0.05)
    assert area.symmetric_difference(box(*area.bounds)).area < 0.001
    explorer.choose("S2")
    explorer.dates("2024-05-01", "2024-06-30")
    explorer.search()
    total = book.kernel.value("explorer.state.total")
    explorer.said(re.compile(rf"^{total} products found"))
    assert explorer.cards.count() == total > 5
    # Pointing in the list shows the footprint, pointing on the map the card.
    explorer.hover_card(0)
    first = book.kernel.until("explorer.state.hovered")
    explorer.hover_footprint(first)
    explorer.select(0)
    explorer.select(1)
    chosen = book.kernel.until("len(explorer.state.selected) == 2 and explorer.state.selected")
    assert chosen[0] == first
    explorer.estimate()
    number = explorer.order()
    explorer.wait_delivered(number)
    explorer.load(number)
    opened(explorer, chosen)
    assert book.kernel.value("explorer.state.selected") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FRONTS)
def test_from_an_area_to_a_plot_by_keyboard_alone(name: str, request: pytest.FixtureRequest, browse: Browse) -> None:
    front: FrontEnd = request.getfixturevalue(name)
    book = browse(front)
    explorer, keys, kernel = book.explorer.ready(), book.page.keyboard, book.kernel
    explorer.tab_to("button Paste")
    keys.press("Enter")
    explorer.tab_to("TEXTAREA".lower())
    keys.type("0, 42.5, 4.5, 45")
    explorer.tab_to("button Use it")
    keys.press("Enter")
    assert shape(explorer.wait_for_area()).bounds == BOX
    explorer.tab_to("radio S2", back=True)
    keys.press("ArrowLeft")
    kernel.until("explorer.state.collection == 'S1'")
    keys.press("ArrowRight")
    kernel.until("explorer.state.collection == 'S2'")
    explorer.tab_to("button Search")
    keys.press("Enter")
    kernel.until("explorer.state.searched")
    explorer.card(1).wait_for()
    explorer.tab_to("option ")
    keys.press("Space")
    keys.press("ArrowRight")
    book.until(lambda: kernel.value("explorer.state.hovered") == kernel.value("explorer.result.ids[1]"), "pointed at")
    keys.press("Space")
    chosen = kernel.until("len(explorer.state.selected) == 2 and explorer.state.selected")
    assert chosen == kernel.value("explorer.result.ids[:2]")
    keys.press("m")
    kernel.until("explorer.state.drapes")
    keys.press("Enter")
    kernel.until(f"explorer.state.detailed == {chosen[1]!r}")
    explorer.button("Next").wait_for()
    keys.press("Escape")
    kernel.until("explorer.state.detailed == ''")
    explorer.tab_to("button Estimate")
    keys.press("Enter")
    explorer.said(re.compile("fits"))
    before = set(kernel.value("list(explorer.state.orders)"))
    explorer.tab_to("button Order 2 products")
    keys.press("Enter")
    number = int(
        book.until(lambda: sorted(set(kernel.value("list(explorer.state.orders)")) - before), "a new order")[0]
    )
    explorer.wait_delivered(number)
    explorer.tab_to("button Load ")
    keys.press("Enter")
    opened(explorer, kernel.value("explorer.result.ids"))


@pytest.mark.parametrize("name", ["notebook7", "voila"])
def test_nothing_scrolls_sideways_on_a_narrow_screen(name: str, request: pytest.FixtureRequest, browse: Browse) -> None:
    book = browse(request.getfixturevalue(name), width=480, height=1000)
    explorer = book.explorer.ready()
    explorer.search()
    explorer.card(2).wait_for()
    explorer.select(0)
    explorer.estimate()
    assert explorer.too_wide() == []
