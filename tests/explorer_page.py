"""The Explorer as its user sees it: the one place that knows where things are on the page and what they are called."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from browser import Notebook
    from playwright.sync_api import Locator, Page

Point = tuple[float, float]
"""Longitude and latitude."""


class ExplorerPage:
    """Of a notebook, the Explorer in it. In the kernel it is called `explorer`."""

    def __init__(self, book: Notebook) -> None:
        self.book, self.page = book, book.page
        self.root = self.page.locator(".extenso-explorer").first

    # --- where things are ----------------------------------------------------------------------------------------
    def button(self, name: str | re.Pattern[str], *, within: Locator | None = None) -> Locator:
        """A button by its name; a text is the whole of it."""
        return (within or self.root).get_by_role("button", name=name, exact=isinstance(name, str))

    @property
    def map(self) -> Locator:
        """The map."""
        return self.root.locator(".leaflet-container")

    @property
    def results(self) -> Locator:
        """The list of products."""
        return self.root.get_by_role("listbox", name=re.compile("^Products"))

    @property
    def cards(self) -> Locator:
        """The products in it."""
        return self.results.get_by_role("option")

    def names(self) -> list[str]:
        """What a screen reader says of each product."""
        found: list[str] = self.cards.evaluate_all("cards => cards.map(card => card.getAttribute('aria-label'))")
        return found

    def pictures(self) -> int:
        """How many products have their picture."""
        loaded = "pictures => pictures.filter(img => img.complete && img.naturalWidth > 0).length"
        return int(self.cards.locator("img").evaluate_all(loaded))

    @property
    def message(self) -> Locator:
        """What was said last, good or bad."""
        return (
            self.root.locator(".extenso-message")
            .locator("[role=status], [role=alert]")
            .filter(has_text=re.compile(r"\S"))
        )

    @property
    def board(self) -> Locator:
        """The orders."""
        return self.root.get_by_role("region", name="Orders")

    @property
    def footprints(self) -> Locator:
        """The footprints on the map, and what else there is to click on it."""
        return self.map.locator(self.FOOTPRINTS)

    @property
    def chosen(self) -> Locator:
        """The products in the list that are selected."""
        return self.results.locator("[role=option][aria-selected=true]")

    @property
    def dead(self) -> Locator:
        """What says that the kernel does not answer."""
        return self.root.locator(".extenso-dead:visible")

    FOOTPRINTS = ".leaflet-overlay-pane path.leaflet-interactive"
    HIGHLIGHT = """root => [...root.querySelectorAll('.leaflet-overlay-pane path')].some(
        path => path.getAttribute('stroke-width') === '4' && path.getAttribute('d') !== 'M0 0')"""
    """Whether a footprint is shown as the one pointed at in the list."""
    HOVERED_CARD = "root => root.querySelector('.extenso-hovered') !== null"
    """Whether a card is shown as the one pointed at on the map."""

    def ready(self) -> ExplorerPage:
        """When map and form are on the page, with the tools to draw."""
        try:
            self.map.locator(".leaflet-overlay-pane, .leaflet-extenso-land-pane").first.wait_for(state="attached")
        except Exception as error:
            shown = "\n".join(self.page.locator(".jp-OutputArea-output").all_inner_texts())
            raise AssertionError(f"no map on the page, where the cells have shown\n{shown}") from error
        self.button("Search").wait_for()
        self.book.until(lambda: self.button("Rectangle").is_enabled(), "the tools to draw")
        # The browser tells the kernel what the map shows; until then the kernel cannot move it for sure.
        self.book.kernel.until("len(explorer.map.map.bounds) == 2")
        return self

    # --- the map -------------------------------------------------------------------------------------------------
    def look(self, longitude: float, latitude: float, zoom: int) -> None:
        """Move the map, by code, and wait until the browser is there."""
        self.book.kernel.run(f"explorer.map.map.center, explorer.map.map.zoom = ({latitude}, {longitude}), {zoom}")
        size = self._box()
        half = 360 / (256 * 2**zoom) * size["width"] / 2  # degrees of longitude in half of the map

        def there() -> bool:
            bounds = self.book.kernel.value("explorer.map.map.bounds")
            west, east = bounds[0][1], bounds[1][1]
            return abs(west - longitude + half) < half / 10 and abs(east - longitude - half) < half / 10

        self.book.until(there, f"the map at {longitude}, {latitude}, zoom {zoom}")
        # Leaflet glides there; what is clicked meanwhile is elsewhere.
        self.page.wait_for_function(
            "root => !root.querySelector('.leaflet-zoom-anim, .leaflet-pan-anim')", arg=self.root.element_handle()
        )

    def _box(self) -> dict[str, float]:
        self.map.scroll_into_view_if_needed()
        box = self.map.bounding_box()
        assert box is not None
        return dict(box)

    def at(self, point: Point) -> tuple[float, float]:
        """Where a place on Earth is on the page, in pixels. Measured anew each time: notebooks scroll by themselves."""
        box = self._box()
        (latitude, longitude), zoom = self.book.kernel.value("(explorer.map.map.center, explorer.map.map.zoom)")
        world = 256 * 2**zoom
        x = (point[0] - longitude) / 360 * world
        y = (_northing(latitude) - _northing(point[1])) * world
        inside = abs(x) < box["width"] / 2 and abs(y) < box["height"] / 2
        assert inside, f"{point} is off the map: a click there would hit something else"
        return box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y

    def _click(self, point: Point) -> None:
        x, y = self.at(point)
        self.page.mouse.move(x, y, steps=3)
        self.page.mouse.down()
        self.page.mouse.up()

    def draw_rectangle(self, corner: Point, opposite: Point) -> None:
        """With the mouse: click, move, click."""
        self.button("Rectangle").click()
        self._click(corner)
        self._click(opposite)

    def draw_polygon(self, corners: Sequence[Point]) -> None:
        """With the mouse: a click at each corner, and at the first again."""
        self.button("Polygon").click()
        for corner in (*corners, corners[0]):
            self._click(corner)

    def remove_shape(self, corner: Point, next_corner: Point) -> None:
        """With the mouse: the tool, then a click on the side between two corners."""
        self.button("Delete").click()
        (x1, y1), (x2, y2) = self.at(corner), self.at(next_corner)
        # The line is dashed, and its gaps are no part of it: a few places along it, one of them on a dash.
        for step in range(8):
            share = 0.4 + 3 * step / math.hypot(x2 - x1, y2 - y1)
            self.page.mouse.click(x1 + share * (x2 - x1), y1 + share * (y2 - y1))
        self.button("Delete").click()

    def area(self) -> dict[str, Any] | None:
        """The area as the kernel has it, GeoJSON."""
        found: dict[str, Any] | None = self.book.kernel.value("explorer.state.aoi")
        return found

    def wait_for_area(self) -> dict[str, Any]:
        """The area, when there is one."""
        found: dict[str, Any] = self.book.until(self.area, "an area in the kernel")
        return found

    # --- search, results -----------------------------------------------------------------------------------------
    def choose(self, mission: str) -> None:
        """A mission: S1, S2, S3, S5P."""
        self.root.get_by_role("radio", name=re.compile(f"^{mission} ")).click()

    def dates(self, first: str, last: str) -> None:
        """The first and the last day, 2024-06-01."""
        for name, day in (("From", first), ("To", last)):
            field = self.root.get_by_label(name, exact=True)
            field.fill(day)
            field.press("Tab")

    def search(self) -> None:
        """Press Search and wait for an answer, good or bad."""
        before = self.book.kernel.value("explorer.state.generation")
        self.button(re.compile("^Search")).click()
        self.book.kernel.until(f"explorer.state.generation > {before} and not explorer.desk._runner.running('search')")

    def card(self, number: int) -> Locator:
        """A product in the list, from 0."""
        return self.cards.nth(number)

    def select(self, number: int) -> None:
        """Click a card, and wait until it is shown as selected."""
        self.card(number).click()
        self.book.until(lambda: self.card(number).get_attribute("aria-selected") == "true", f"card {number} selected")

    def said(self, text: str | re.Pattern[str]) -> None:
        """Wait for a message with this text."""
        self.message.filter(has_text=text).first.wait_for()

    # --- orders --------------------------------------------------------------------------------------------------
    def estimate(self) -> None:
        """Press Estimate and wait for the answer."""
        self.button("Estimate").click()
        self.said(re.compile("fits|more than|cannot"))

    def order(self) -> int:
        """Press Order; the number of the order."""
        before = set(self.book.kernel.value("list(explorer.state.orders)"))
        self.button(re.compile(r"^Order \d+ products?$")).click()

        def new() -> list[str]:
            return sorted(set(self.book.kernel.value("list(explorer.state.orders)")) - before)

        return int(self.book.until(new, "a new order")[0])

    def order_first(self) -> int:
        """Select the first card, and order it; the number of the order."""
        self.select(0)
        return self.order()

    def row(self, number: int) -> Locator:
        """An order on the board."""
        return self.board.locator(".extenso-board-order").filter(
            has=self.page.get_by_role("button", name=f"Order {number}", exact=True)
        )

    def wait_delivered(self, number: int) -> None:
        """Wait until all of an order is shown as delivered."""
        bars = self.row(number).get_by_role("progressbar")
        self.book.until(
            lambda: bars.count() and all(bar.get_attribute("aria-valuenow") == "100" for bar in bars.all()),
            f"order {number} delivered on the board",
        )
        # The order ends a moment after its last delivery, and loses its button then.
        self.button(re.compile("^Cancel"), within=self.row(number)).wait_for(state="detached")

    def load(self, number: int) -> None:
        """Press Load of the first delivery of an order, and wait until it is open and drawn."""
        self.button(re.compile("^Load "), within=self.row(number)).first.click()
        self.wait_loaded()

    def wait_loaded(self) -> str:
        """Wait until a product is open and its picture drawn; its name in the notebook."""
        self.root.get_by_role("img", name=re.compile("^First picture")).wait_for()
        name: str = self.book.kernel.until("explorer.state.loaded.get('name')")
        return name

    # --- the keyboard --------------------------------------------------------------------------------------------
    def focused(self) -> str:
        """Role and name of what has the keyboard, as `button Search`; empty outside of the Explorer."""
        found: str = self.page.evaluate(
            """() => {
                const node = document.activeElement;
                if (!node || !node.closest('.extenso-explorer')) return '';
                const role = node.getAttribute('role') || {BUTTON: 'button', INPUT: 'input', SELECT: 'select'}[node.tagName];
                const words = node.getAttribute('aria-label') || node.textContent || node.labels?.[0]?.textContent || '';
                return (role || node.tagName.toLowerCase()) + ' ' + words.trim();
            }"""
        )
        return found

    def tab_to(self, wanted: str, *, back: bool = False) -> None:
        """Press Tab, or Shift+Tab, until the keyboard is at what `wanted` (the beginning of role and name) says."""
        passed: list[str] = []
        for _ in range(200):
            if self.focused().startswith(wanted):
                return
            passed.append(self.focused())
            self.page.keyboard.press("Shift+Tab" if back else "Tab")
        raise AssertionError(f"{wanted!r} is not reached by Tab; passed: {list(dict.fromkeys(passed))}")

    # --- the pointer ---------------------------------------------------------------------------------------------
    def footprint(self, product_id: str) -> Point:
        """A place inside the footprint of a product."""
        where = f"__import__('shapely').geometry.shape(explorer.state.product({product_id!r}).footprint).representative_point()"
        x, y = self.book.kernel.value(f"list(({where}).coords[0])")
        return x, y

    def time_until(self, script: str, x: float, y: float) -> float:
        """Move the pointer to a place on the page; milliseconds from its arrival until `script(root)` holds there."""
        return pointing(self.page, self.root, script, x, y)

    def hover_card(self, number: int) -> float:
        """Point at a card, from outside of the list; milliseconds until the map shows its footprint."""
        self.page.mouse.move(5, 5)
        self.book.kernel.until("explorer.state.hovered == ''")
        self.book.until(lambda: not self.root.evaluate(self.HIGHLIGHT), "no footprint shown any more")
        box = self.card(number).bounding_box()
        assert box is not None
        return self.time_until(self.HIGHLIGHT, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def hover_footprint(self, product_id: str) -> float:
        """Point at a footprint, from outside of the map; milliseconds until its card is shown as pointed at."""
        x, y = self.at(self.footprint(product_id))
        self.page.mouse.move(5, 5)
        self.book.kernel.run("explorer.state.hovered = ''")  # ipyleaflet does not tell when a footprint is left
        self.book.until(lambda: not self.root.evaluate(self.HOVERED_CARD), "no card shown any more")
        return self.time_until(self.HOVERED_CARD, x, y)

    # --- the look ------------------------------------------------------------------------------------------------
    def too_wide(self) -> list[str]:
        """What of the Explorer scrolls sideways, or is cut off at its right; empty where all is well."""
        found: list[str] = self.root.evaluate(
            """root => {
                const named = node => node.tagName.toLowerCase() + '.' + [...node.classList].join('.');
                const edge = root.getBoundingClientRect().right + 1, wrong = [];
                const scrolls = style => ['auto', 'scroll'].includes(style.overflowX);
                for (const node of [root, ...root.querySelectorAll('*')]) {
                    if (node.closest('.leaflet-container') && !node.matches('.leaflet-container')) continue;
                    const box = node.getBoundingClientRect();
                    if (!box.width || !box.height) continue;
                    if (box.right > edge) wrong.push('cut off: ' + named(node));
                    if (scrolls(getComputedStyle(node)) && node.scrollWidth > node.clientWidth + 1)
                        wrong.push('scrolls: ' + named(node));
                }
                for (let node = root.parentElement; node; node = node.parentElement)
                    if (node.scrollWidth > node.clientWidth + 1 && scrolls(getComputedStyle(node)))
                        wrong.push('scrolls, around it: ' + named(node));
                return wrong;
            }"""
        )
        return found


def _northing(latitude: float) -> float:
    """Web Mercator: a share of the world's width, north positive (OGC 17-083r4, annex D)."""
    return math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2)) / (2 * math.pi)


def pointing(page: Page, root: Locator, script: str, x: float, y: float) -> float:
    """Move the pointer to a place on the page; milliseconds from its arrival until `script(root)` holds there."""
    page.evaluate(
        """([root, script]) => {
            const holds = eval('(' + script + ')');
            window.tookMs = null;
            window.addEventListener('pointermove', () => {
                const begun = performance.now();
                const look = () => {
                    if (holds(root)) window.tookMs = performance.now() - begun;
                    else requestAnimationFrame(look);
                };
                look();
            }, {once: true, capture: true});
        }""",
        [root.element_handle(), script],
    )
    page.mouse.move(x, y)
    page.wait_for_function("() => window.tookMs !== null")
    return float(page.evaluate("() => window.tookMs"))
