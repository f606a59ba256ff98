"""The Explorer in JupyterLab, in a real browser, over the sample archive: by mouse, by keyboard, watched throughout."""

from __future__ import annotations

import re

import pytest
from axe import violations
from browser import Browse
from frontends import FrontEnd
from shapely.geometry import box, shape

TOULOUSE = (1.45, 43.6)
BOX = (0.0, 42.5, 4.5, 45.0)
"""Holds the scenes of Toulouse: west, south, east, north."""

HOVER_MS, KERNEL_MB = 150, 250
UPDATES = """
import copy, threading, time
sent = {{}}
def _tell():
    for step in range(50):
        entry = copy.deepcopy(explorer.state.orders["{order}"])
        row = entry["deliveries"][0]
        row.update(status="transferring", transferred=round(row["size"] * 0.02 * step))
        sent[2 * step] = time.time()
        explorer.state.orders = {{**explorer.state.orders, "{order}": entry}}
        time.sleep(0.1)
threading.Thread(target=_tell, daemon=True).start()
"""
BUSY = """
begun = time.time()
while time.time() < begun + 5:
    sum(range(1000))
ended = time.time()
"""


def test_what_the_watch_is_for(lab: FrontEnd, browse: Browse) -> None:
    book = browse(lab, "6 * 7")
    book.page.get_by_text("42", exact=True).wait_for()
    assert book.kernel.value("6 * 7") == 42
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        book.kernel.run("1 / 0")
    with pytest.raises(AssertionError, match="did not answer"):
        book.kernel.run("import time; time.sleep(1)", seconds=0.2)
    assert book.watch.requests
    assert book.watch.complaints == []
    for elsewhere in ("http://example.org/a", "http://93.184.215.14/b"):
        failed = book.page.evaluate(
            "url => fetch(url, {mode: 'no-cors'}).then(() => '', error => String(error))", elsewhere
        )
        assert "Failed to fetch" in failed
    book.page.evaluate("() => { new WebSocket('ws://example.org/c'); setTimeout(() => { throw new Error('thrown') }) }")
    book.page.evaluate("() => { console.error('written') }")
    book.until(lambda: len(book.watch.complaints) >= 8, "all complaints")
    assert book.watch.elsewhere() == ["http://example.org/a", "http://93.184.215.14/b", "ws://example.org/c"]
    with pytest.raises(AssertionError, match="complained"):
        book.watch.check()
    said = "\n".join(book.watch.take())
    assert "page error: thrown" in said or "thrown" in said
    assert "console: written" in said
    assert said.count("ERR_NAME_NOT_RESOLVED") >= 2


@pytest.mark.slow
def test_from_a_rectangle_to_a_tree_by_mouse(lab: FrontEnd, browse: Browse) -> None:
    book = browse(lab)
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
    explorer.card(0).hover()
    first = book.kernel.until("explorer.state.hovered")
    book.until(lambda: explorer.root.evaluate(explorer.HIGHLIGHT), "the footprint is shown")
    x, y = explorer.at(explorer.footprint(first))
    book.page.mouse.move(x + 3, y, steps=4)
    book.until(lambda: explorer.root.evaluate(explorer.HOVERED_CARD), "a card is shown")
    explorer.select(0)
    explorer.select(1)
    chosen = book.kernel.until("len(explorer.state.selected) == 2 and explorer.state.selected")
    assert chosen[0] == first
    explorer.estimate()
    number = explorer.order()
    explorer.wait_delivered(number)
    explorer.load(number)
    assert book.kernel.value("explorer.tree.attrs['product_id']") in chosen
    assert book.kernel.value("explorer.state.selected") == []


def test_a_polygon_and_its_removal(lab: FrontEnd, browse: Browse) -> None:
    book = browse(lab)
    explorer = book.explorer.ready()
    explorer.look(*TOULOUSE, 6)
    corners = [(-1.0, 42.0), (4.0, 41.5), (5.0, 45.0), (1.0, 46.0)]
    explorer.draw_polygon(corners)
    ring = shape(explorer.wait_for_area()).exterior.coords
    for corner in corners:
        assert min(abs(corner[0] - x) + abs(corner[1] - y) for x, y in ring) < 0.06
    assert len(ring) == 5
    explorer.remove_shape(corners[0], corners[1])
    book.until(lambda: explorer.area() is None, "the area is gone")


def test_by_keyboard_alone(lab: FrontEnd, browse: Browse) -> None:
    book = browse(lab)
    explorer = book.explorer.ready()
    explorer.button("Search").focus()
    book.page.keyboard.press("Enter")
    book.kernel.until("explorer.state.searched")
    explorer.card(1).wait_for()
    explorer.card(0).focus()
    book.page.keyboard.press("Space")
    book.page.keyboard.press("ArrowRight")
    book.page.keyboard.press("Enter")
    chosen = book.kernel.until("len(explorer.state.selected) == 2 and explorer.state.selected")
    assert chosen == book.kernel.value("[product.id for product in explorer.state.products[:2]]")
    explorer.button("Estimate").press("Enter")
    explorer.said("fits")
    assert book.kernel.value("explorer.state.estimate['fits']")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(theme: str, lab: FrontEnd, browse: Browse) -> None:
    book = browse(lab)
    explorer = book.explorer.ready()
    if theme == "dark":
        book.dark()
    explorer.search()
    explorer.card(2).wait_for()
    explorer.select(0)
    explorer.estimate()
    explorer.wait_delivered(explorer.order())
    found = violations(book.page, ".extenso-explorer")
    assert found == [], "\n".join(found)
    # That it can find something: a button without a name, where there was none.
    explorer.root.evaluate("root => root.append(document.createElement('button'))")
    assert any(line.startswith("button-name") for line in violations(book.page, ".extenso-explorer"))


def test_nothing_scrolls_sideways_on_a_narrow_screen(lab: FrontEnd, browse: Browse) -> None:
    book = browse(lab)
    book.narrow(480)
    explorer = book.explorer.ready()
    assert book.page.locator("body[data-jp-theme-light='true']").count() == 1, "a theme has leaked from another test"
    explorer.search()
    explorer.card(2).wait_for()
    assert explorer.too_wide() == []


@pytest.mark.slow
def test_the_kernel_stays_free_and_the_page_moves(lab: FrontEnd, browse: Browse) -> None:
    """Progress that arrives while a cell computes, the time of a hover there and back, the memory of the kernel."""
    book = browse(lab)
    explorer = book.explorer.ready()
    explorer.search()
    explorer.card(5).wait_for()
    explorer.select(0)
    number = explorer.order()
    explorer.wait_delivered(number)
    # The best, so that a busy machine is not taken for a slow Explorer.
    there = min(explorer.hover_card(at) for at in (1, 2, 4, 5))
    assert there < HOVER_MS
    explorer.count_progress()
    book.kernel.run(UPDATES.format(order=number))
    book.kernel.result(book.kernel.start(BUSY))
    sent, begun, ended = book.kernel.value("(sent, begun, ended)")
    seen = explorer.progress_seen()
    during = {int(value) for value, at in sent.items() if begun <= at <= ended - 0.25}
    arrived = {value for value in during if seen.get(value, ended) < ended}
    assert len(during) > 20
    assert len(arrived) >= 0.8 * len(during), f"{len(arrived)} of {len(during)} while the cell was busy"
    assert book.kernel.resident() < KERNEL_MB
