"""The Explorer in JupyterLab, in a real browser, over the sample archive: by mouse, by keyboard, watched throughout."""

from __future__ import annotations

import re

import pytest
from axe import violations
from browser import Browse
from frontends import FrontEnd
from shapely.geometry import shape

TOULOUSE = (1.45, 43.6)
BOX = (0.0, 42.5, 4.5, 45.0)
"""Holds the scenes of Toulouse: west, south, east, north."""


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


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(theme: str, lab: FrontEnd, browse: Browse) -> None:
    book = browse(lab)
    explorer = book.explorer.ready()
    if theme == "dark":
        book.dark()
    found: dict[str, list[str]] = {}

    def look(state: str) -> None:
        found[state] = violations(book.page, ".extenso-explorer")

    look("nothing searched yet")
    book.kernel.run("explorer.state.q = 'producttype:(GRD'")
    explorer.button(re.compile("^Search")).click()
    explorer.said("The search was not sent")
    look("an error")
    explorer.button("Reset").click()
    book.kernel.until("explorer.state.q == ''")
    explorer.search()
    explorer.card(2).wait_for()
    explorer.select(0)
    explorer.estimate()
    if explorer.button("More conditions").count():  # the error has opened them
        explorer.button("More conditions").click()
    explorer.button("Filter").click()
    look("found, selected, estimated")
    for name in ("Code", "Keys", "Paste", "My bucket..."):
        explorer.button(name).click()
        look(name)
        book.page.keyboard.press("Escape")
    explorer.root.get_by_role("radio", name="Table").click()
    look("the table")
    explorer.root.get_by_role("radio", name="Gallery").click()
    explorer.button("Free storage").click()
    number = explorer.order()
    look("an order")
    explorer.wait_delivered(number)
    explorer.load(number)
    look("delivered and loaded")
    book.kernel.run("explorer.desk.show_details(explorer.result.ids[1]).result(30)")
    book.kernel.run("[explorer.desk.drape(key).result(30) for key in explorer.result.ids[:2]]")
    explorer.button("Compare").click()
    explorer.button("End comparison").wait_for()
    look("details, quicklooks compared")
    assert not any(found.values()), "\n".join(f"{state}: {line}" for state, lines in found.items() for line in lines)
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
