"""An area picker as its user sees it, and what Leaflet has on the screen: its shapes, and where on the page a place is."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely
from pyproj import Geod
from shapely import affinity
from shapely.geometry.polygon import orient

if TYPE_CHECKING:
    from browser import Notebook
    from playwright.sync_api import Locator

Point = tuple[float, float]
"""Longitude and latitude."""
WORLD = shapely.box(-180, -90, 180, 90)

# Leaflet gives nobody its maps; but it is on the page, and a map that is told of a movement of the mouse calls by name what
# can be listened in to.
FIND_MAP = """box => {
    const type = window.L.Map.prototype, before = type._fireDOMEvent;
    let found = null;
    type._fireDOMEvent = function () { found = this; };
    box.dispatchEvent(new MouseEvent('mousemove', {bubbles: false}));
    type._fireDOMEvent = before;
    return found;
}"""
_SHAPES = """(map, again) => {
    const shapes = [];
    map.eachLayer(layer => {
        if (!(layer instanceof window.L.Polygon) || !layer._path || !layer._path.isConnected) return;
        // An area is drawn dashed: once by the drawing tool; what of it lies beyond the antimeridian by the map.
        if (layer.options.dashArray !== '6 4' || Boolean(layer.options.pmIgnore) !== again) return;
        if (!layer.isEmpty()) shapes.push(layer.toGeoJSON(15).geometry);
    });
    return shapes;
}"""


class AreaPage:
    """Of a notebook, one area picker.

    Parameters
    ----------
    book
        The notebook.
    root
        What the picker is in.
    picker
        What it is called in the kernel.
    """

    def __init__(self, book: Notebook, root: Locator, picker: str) -> None:
        self.book, self.page, self.root, self.picker = book, book.page, root, picker
        self.bar = root.get_by_role("region", name="Area of interest")
        self.box = root.locator(".leaflet-container")
        self._map: Any = None

    def ready(self) -> AreaPage:
        """When the map is there, and the bar has found it."""
        self.word("Rectangle").wait_for()
        self.book.until(self.word("Rectangle").is_enabled, "the bar with its map")
        self.book.kernel.until(f"len({self.picker}.map.map.bounds) == 2")
        self._map = self.box.evaluate_handle(FIND_MAP)
        assert self._map.evaluate("map => map !== null"), "Leaflet's map was not found"
        return self

    def word(self, name: str) -> Locator:
        """A button of the bar."""
        return self.bar.get_by_role("button", name=name, exact=True)

    @property
    def echo(self) -> str:
        """What the bar says of the area."""
        return self.bar.locator(".extenso-echo").inner_text()

    @property
    def field(self) -> Locator:
        """The text that is pasted."""
        return self.bar.get_by_role("group", name="Area as text").get_by_role("textbox")

    # --- what is where -------------------------------------------------------------------------------------------
    def shown(self) -> Any:
        """The shapes drawn on the map, as Leaflet has them on the screen, whole turns taken off: a shapely geometry."""
        return shapely.union_all([homed(shape) for shape in self.shapes()])

    def shapes(self, *, again: bool = False) -> list[Any]:
        """The shapes that can be edited, as Leaflet has them; or what is drawn `again` beyond the antimeridian."""
        return [shapely.geometry.shape(one) for one in self._map.evaluate(_SHAPES, again)]

    def known(self) -> Any:
        """The area in the kernel, a shapely geometry; empty for none."""
        geometry = self.book.kernel.value(f"{self.picker}.desk.state.aoi")
        return shapely.geometry.shape(geometry) if geometry else shapely.Polygon()

    def look(self, longitude: float, latitude: float, zoom: int) -> None:
        """Move the map and wait until it stands still there."""
        there = """(map, [x, y, zoom]) => {
            const {lng, lat} = map.getCenter();
            return map.getZoom() === zoom && Math.hypot(lng - x, lat - y) < 0.01;
        }"""
        if self._map.evaluate(there, [longitude, latitude, zoom]):
            return
        self._map.evaluate(
            "(map, to) => map.setView([to[1], to[0]], to[2], {animate: false})", [longitude, latitude, zoom]
        )
        wanted = f"{self.picker}.map.map.zoom == {zoom} and abs({self.picker}.map.map.center[1] - ({longitude})) < 0.1"
        self.book.kernel.until(wanted)
        self.at((longitude, latitude))

    def at(self, point: Point) -> tuple[float, float]:
        """Where a place is on the page, in pixels; as Leaflet has it, with the longitude as given."""
        self.box.scroll_into_view_if_needed()
        box = self.box.bounding_box()
        assert box is not None
        x, y = self._map.evaluate(
            "(map, [x, y]) => { const p = map.latLngToContainerPoint([y, x]); return [p.x, p.y]; }", list(point)
        )
        inside = 0 < x < box["width"] and 0 < y < box["height"]
        assert inside, f"{point} is off the map"
        return box["x"] + x, box["y"] + y

    def pixel(self) -> float:
        """Degrees of longitude in a pixel of the map; there are fewer of latitude."""
        return 360 / (256 * 2 ** float(self._map.evaluate("map => map.getZoom()")))

    def view(self) -> Any:
        """What the map shows: a box, with longitudes as Leaflet counts them."""
        return shapely.box(
            *self._map.evaluate(
                "map => { const b = map.getBounds(); return [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()]; }"
            )
        )

    def mirrored(self) -> None:
        """That a shape across the antimeridian is seen from its other side as well, in the same place on Earth."""

        def both() -> bool:
            again = self.shapes(again=True)
            return bool(again) and apart(shapely.union_all([homed(shape) for shape in again]), self.known()) <= 1e-6

        self.book.until(both, "the same shape on the other side")

    # --- drawing -------------------------------------------------------------------------------------------------
    def click(self, point: Point) -> None:
        """With the mouse, at a place on the map."""
        self.page.mouse.move(*self.at(point), steps=3)
        self.page.mouse.down()
        self.page.mouse.up()

    def press(self, name: str) -> None:
        """A word of the bar, and wait until it is shown as pressed, or as not."""
        before = self.word(name).get_attribute("aria-pressed")
        self.word(name).click()
        self.book.until(lambda: self.word(name).get_attribute("aria-pressed") != before, f"{name} pressed")

    def rectangle(self, corner: Point, opposite: Point) -> None:
        """Draw one."""
        self.press("Rectangle")
        self.click(corner)
        self.click(opposite)

    def polygon(self, corners: Sequence[Point]) -> None:
        """Draw one."""
        self.press("Polygon")
        for corner in (*corners, corners[0]):
            self.click(corner)

    def drag(self, start: Point, end: Point) -> None:
        """With the mouse, from a place on the map to another."""
        self.page.mouse.move(*self.at(start), steps=3)
        self.page.mouse.down()
        self.page.mouse.move(*self.at(end), steps=6)
        self.page.mouse.up()

    def delete(self, corner: Point, next_corner: Point) -> None:
        """With the word, and clicks along the side between two corners: it is dashed, and its gaps are no part of it."""
        self.press("Delete")
        before = len(self.shapes())
        (x1, y1), (x2, y2) = self.at(corner), self.at(next_corner)
        for step in range(12):
            share = 0.4 + 2 * step / max(abs(x2 - x1), abs(y2 - y1))
            self.page.mouse.click(x1 + share * (x2 - x1), y1 + share * (y2 - y1))
            if len(self.shapes()) < before:
                break
        self.press("Delete")

    # --- text, files, places -------------------------------------------------------------------------------------
    def paste(self, text: str) -> None:
        """Open the field, fill it, press Use it."""
        if not self.field.is_visible():
            self.word("Paste").click()
        self.field.fill(text)
        self.word("Use it").click()

    def choose(self, files: Sequence[Path]) -> None:
        """By Upload and the browser's own file chooser."""
        with self.page.expect_file_chooser() as chooser:
            self.word("Upload").click()
        chooser.value.set_files([str(file) for file in files])

    def drop(self, files: Sequence[Path]) -> None:
        """Let files fall on the bar."""
        contents = [[file.name, base64.b64encode(file.read_bytes()).decode()] for file in files]
        carried = self.page.evaluate_handle(
            """contents => {
                const carried = new DataTransfer();
                for (const [name, text] of contents)
                    carried.items.add(new File([Uint8Array.from(atob(text), one => one.charCodeAt(0))], name));
                return carried;
            }""",
            contents,
        )
        for event in ("dragenter", "dragover", "drop"):
            self.bar.dispatch_event(event, {"dataTransfer": carried})

    def clear(self) -> None:
        """Whatever is open or drawn: away with it."""
        self.page.keyboard.press("Escape")
        if self.field.is_visible():
            self.word("Close").click()
        if self.word("Clear").is_enabled():
            self.word("Clear").click()
        self.book.until(
            lambda: self.echo == "Whole Earth" and self.shown().is_empty and self.known().is_empty, "no area"
        )

    # --- the same on the screen and in the kernel ----------------------------------------------------------------
    def agreed(self, wanted: Any, within: float = 1e-6) -> Any:
        """The area, once it is the one wanted to `within` degrees; on the screen to 1e-6, and said with its size."""
        wanted = homed(wanted)
        self.book.until(lambda: apart(self.known(), wanted) <= within, f"in the kernel {wanted}")
        area = self.known()
        self.book.until(lambda: apart(self.shown(), area) <= 1e-6, f"on the screen {area}")
        km2 = sum(_km2(part) for part in shapely.get_parts(area))

        def says() -> bool:
            said = re.match(r"([\d.\u202f]+) km²", self.echo)
            return said is not None and abs(float(said[1].replace("\u202f", "")) - km2) < 0.01 * km2

        self.book.until(says, f"{km2:.2f} km² in the bar")
        return area


def homed(geometry: Any) -> Any:
    """A geometry with longitudes beyond the antimeridian, cut there and brought back into -180..180."""
    whole = shapely.make_valid(geometry)
    parts = [shapely.intersection(affinity.translate(whole, xoff=360 * turns), WORLD) for turns in range(-3, 4)]
    return shapely.union_all([part for part in parts if part.area > 0])


def _km2(polygon: Any) -> float:
    return float(Geod(ellps="WGS84").geometry_area_perimeter(orient(polygon))[0]) / 1e6


def apart(one: Any, other: Any) -> float:
    """How far the outlines of two areas are from each other at most, degrees; infinite where one is empty."""
    if one.is_empty or other.is_empty:
        return float("inf")
    # Vertices that lie on a straight line are on no outline: a side may be cut where the other is not.
    return float(shapely.hausdorff_distance(one.boundary, other.boundary, densify=0.05))
