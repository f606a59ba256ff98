"""The area of interest: a bar of words above the map. Draw, edit, view, place, file or text; all end in one area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
from traitlets import Bool, Dict, Instance, Int, Unicode

from extenso_nb import _html, aoi
from extenso_nb.errors import AreaError
from extenso_nb.widgets.desk import desk_of
from extenso_nb.widgets.map import MapView
from extenso_nb.widgets.panel import Panel, Source, parts_of, script, style

__all__ = ["MAX_UPLOAD", "AreaBar", "AreaPicker", "uploaded"]

MAX_UPLOAD = 20_000_000
"""Bytes of an upload: it goes through the notebook's own connection, which larger messages break."""
_LIMIT = 8


class AreaBar(Panel):
    """Words that draw, edit and remove the area, and other ways to say it."""

    _esm = script("area")
    _css = style("area")
    target = Instance(ipywidgets.Widget).tag(sync=True, **ipywidgets.widget_serialization)
    echo = Unicode("", help="Size of the area, or what is wrong with it.").tag(sync=True)
    valid = Bool(True).tag(sync=True)
    drawn = Bool(False, help="Whether there is an area.").tag(sync=True)
    places: Any = Dict(help='{"text": what was asked for, "items": [{"label", "kind"}]}').tag(sync=True)
    problem: Any = Dict(help='{"at": "paste", "upload" or "place", "text"}; empty for none.').tag(sync=True)
    accepted = Int(0, help="Counts areas taken from text: the box then closes.").tag(sync=True)
    suffixes = Unicode(",".join((*aoi.SUFFIXES, ".shx", ".dbf", ".prj", ".cpg"))).tag(sync=True)
    most = Int(MAX_UPLOAD).tag(sync=True)

    def __init__(self, source: Source, view: MapView) -> None:
        super().__init__(source, target=view.map)
        self._view = view
        self._reading = 0
        self._found: tuple[str, list[Any]] = ("", [])
        self.watch(self._show, "aoi", "aoi_text", "aoi_valid")
        self.answer("view", self._use_view)
        self.answer("clear", lambda _: self._clear())
        self.answer("find", lambda content: self._find(str(content.get("text", ""))))
        self.answer("place", lambda content: self._go(str(content.get("text", "")), int(content.get("at", 0))))
        self.answer("paste", lambda content: self._paste(str(content.get("text", ""))))
        self.answer_bytes("upload", self._upload)

    def _show(self) -> None:
        state = self.state
        with self.hold_sync():
            self.valid, self.drawn = state.aoi_valid, state.aoi is not None or not state.aoi_valid
            self.echo = state.aoi_text or ("Whole Earth" if state.aoi is None else "")

    def _set(self, area: aoi.Area) -> None:
        self.problem = {}
        self.state.update(aoi=area.geojson, aoi_valid=True)
        self._view.zoom_to_area()

    def _clear(self) -> None:
        self.problem = {}
        if self._view.draw.data:
            self._view.draw.data = []  # also a shape that is no area, which the state does not know
        self.state.update(aoi=None, aoi_text="", aoi_valid=True)

    def _use_view(self, content: Mapping[str, Any]) -> None:
        west, south, east, north = (float(content[name]) for name in ("west", "south", "east", "north"))
        if east - west >= 360:
            self._clear()
            return
        turns = 360 * ((west + 180) // 360)
        west, east = west - turns, east - turns
        bounds = [
            round(value, 5) for value in (west, max(south, -90), east - 360 if east > 180 else east, min(north, 90))
        ]
        self.problem = {}
        self.state.update(aoi=aoi.area(bounds).geojson, aoi_valid=True)

    # --- places --------------------------------------------------------------------------------------------------
    def _find(self, text: str) -> None:
        from extenso_nb.aoi import places

        self._found = (text, places.find(text, _LIMIT))
        items = [{"label": place.label, "kind": place.kind} for place in self._found[1]]
        self.places = {"text": text, "items": items}

    def _go(self, text: str, at: int) -> None:
        if self._found[0] != text:
            self._find(text)
        if not 0 <= at < len(self._found[1]):
            self.problem = {"at": "place", "text": f"No place is called {text!r}."}
            return
        self._set(self._found[1][at].area)

    # --- text and files ------------------------------------------------------------------------------------------
    def _paste(self, text: str) -> None:
        try:
            self._set(aoi.area(text, files=False))
        except AreaError as error:
            self.problem = {"at": "paste", "text": _both(error)}
            return
        self.accepted += 1

    def _upload(self, content: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """Read the files aside: what reads them takes a second to be imported, and large ones to be read."""
        names = [str(name) for name in content.get("names", ())]
        files = dict(zip(names, (bytes(buffer) for buffer in buffers), strict=True))
        self.problem, self.echo = {}, f"Reading {', '.join(names)} ..."
        self._reading += 1
        number, before = self._reading, self.state.aoi
        self.desk.aside("area", lambda: self._take(files, number, before))

    def _take(self, files: Mapping[str, bytes], number: int, before: Any) -> None:
        """Read files, and use them unless others were chosen, or an area was drawn, since."""
        problem: AreaError | None = None
        try:
            found = uploaded(files)
        except AreaError as error:
            problem = error
        with self.state.lock:
            if number != self._reading:
                return
            if problem is not None:
                self.problem = {"at": "upload", "text": _both(problem)}
                self.state.fail("The file was not used as area.", problem)
            elif self.state.aoi is not before:
                why = "Another area was chosen while it was read."
                self.state.say("warning", "The file was not used as area.", why, "Choose the file again to use it.")
            else:
                self._set(found)
            self._show()


def _both(error: AreaError) -> str:
    return f"{error.message} {error.hint}".strip()


def uploaded(files: Mapping[str, bytes]) -> aoi.Area:
    """The area of one file, of the parts of a shapefile, or of several files together.

    Raises AreaError.
    """
    if not files:
        raise AreaError("No file came.", hint="Choose a file again.")
    total = sum(len(content) for content in files.values())
    if total > MAX_UPLOAD:
        raise AreaError(
            f"That is {_html.bytes_text(total)}; an upload may have {_html.bytes_text(MAX_UPLOAD)}.",
            hint="Simplify it, or read it in a cell: `explorer.state.aoi = extenso_nb.aoi.area(path).geojson`.",
        )
    return aoi.area(dict(files))


class AreaPicker(ipywidgets.VBox):  # type: ignore[misc]
    """The area bar and the map below it; also alone: what was chosen is in `area`.

    Parameters
    ----------
    source
        A session, the desk of an Explorer, or nothing.
    height, tiles
        As of `MapView`.
    """

    _owns_desk = False

    def __init__(self, source: Source = None, *, height: str = "430px", tiles: bool = False) -> None:
        self.desk = desk_of(source)
        self._owns_desk = self.desk is not source
        self.map = MapView(self.desk, height=height, tiles=tiles)
        self.bar = AreaBar(self.desk, self.map)
        super().__init__([self.bar, self.map], layout=ipywidgets.Layout(width="100%", min_width="280px"))
        self.add_class("extenso-area-picker")

    @property
    def area(self) -> aoi.Area | None:
        """The area as it is on the map; None for the whole Earth."""
        geometry = self.desk.state.aoi
        return None if geometry is None else aoi.area(geometry)

    def close(self) -> None:
        """Take it off the page; a desk of its own ends with it."""
        if self._owns_desk:
            self.desk.close()
        for part in parts_of(self):
            part.close()
        super().close()
