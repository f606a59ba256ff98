"""The map: an offline land outline below tiles, the area drawn, footprints, quicklooks (ipyleaflet lives here)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipyleaflet
import ipywidgets
from traitlets import Bool, Dict, Instance, List, Unicode

from extenso_nb.models import Product
from extenso_nb.plot import cloud_colour
from extenso_nb.results import short_name
from extenso_nb.widgets.desk import desk_of
from extenso_nb.widgets.panel import Panel, Source, parts_of, script, style
from extenso_nb.widgets.shapes import (
    AREA_STYLE,
    CHOSEN,
    beyond,
    collection,
    describe,
    features,
    id_of,
    land_locations,
    locations,
    parse_drawing,
    same,
    specks,
    view_of,
)
from extenso_nb.widgets.state import guard

__all__ = ["MapView", "Overlay", "Swipe"]

_HOVER = {"weight": 4, "fillOpacity": 0.75}


class MapView(ipywidgets.VBox):  # type: ignore[misc]
    """The map of an Explorer. It watches the state, and writes to it: the area, what is pointed at, what is selected.

    Parameters
    ----------
    source
        A session, the desk of an Explorer, or nothing.
    height
        CSS height of the map.
    tiles
        Whether online tiles are laid over the outline. Without network they simply stay away.
    """

    _owns_desk = False

    def __init__(self, source: Source = None, *, height: str = "430px", tiles: bool = False) -> None:
        self.desk = desk_of(source)
        self._owns_desk = self.desk is not source
        self._state = self.desk.state
        self._hover_from_map = self._showing = False
        self._watched: list[tuple[Any, list[str]]] = []
        self._small: frozenset[str] = frozenset()
        self.draped: dict[str, Any] = {}
        """The quicklooks that lie on the map: identifier -> ImageOverlay."""
        self._make_layers(height, tiles)
        self.overlay, self.swipe = Overlay(self.desk, target=self.map), Swipe(self.desk, target=self.map)
        self._connect()
        super().__init__(
            [self.map, self.swipe, self.overlay], layout=ipywidgets.Layout(width="100%", min_width="280px")
        )
        self.add_class("extenso-map")
        self._show_area()
        self._show_products()
        self._show_chosen()
        self._show_pointed()
        self._lay_again()
        self._show_drapes()

    def _make_layers(self, height: str, tiles: bool) -> None:
        ground = ipyleaflet.Polygon(
            locations=land_locations(),
            pane="extenso-land",
            pm_ignore=True,
            color="#a9a79e",
            weight=1,
            fill_color="#f4f1e8",
            fill_opacity=1.0,
            name="land",
        )
        layers: list[Any] = [ground]
        if tiles:
            layers.append(ipyleaflet.basemap_to_tiles(ipyleaflet.basemaps.OpenStreetMap.Mapnik))
        self.footprints = ipyleaflet.GeoJSON(data=collection(()), hover_style=_HOVER, pm_ignore=True, name="footprints")
        self.chosen = ipyleaflet.GeoJSON(data=collection(()), pm_ignore=True, name="selected")
        self.pointed = ipyleaflet.Polygon(
            locations=[], color=CHOSEN, weight=4, fill=False, pm_ignore=True, name="pointed at"
        )
        # The drawing tool has a shape across the antimeridian once; seen from the other side it would be missing.
        self.other_side = ipyleaflet.Polygon(
            locations=[], color="#c2410c", weight=2, fill=False, dash_array="6 4", pm_ignore=True, name="area"
        )
        self.map = ipyleaflet.Map(
            center=(25.0, 8.0),
            zoom=2,
            min_zoom=1,
            world_copy_jump=True,
            scroll_wheel_zoom=True,
            panes={"extenso-land": {"zIndex": 150}, "extenso-drape": {"zIndex": 350}},
            layers=(*layers, self.footprints, self.chosen, self.pointed, self.other_side),
            layout=ipywidgets.Layout(height=height, width="100%"),
        )
        # Its toolbar has five links without a name, and pictures for words: the area bar has the words.
        self.draw = ipyleaflet.GeomanDrawControl(
            position="topleft",
            hide_controls=True,
            rectangle=AREA_STYLE,
            polygon=AREA_STYLE,
            polyline={},
            circle={},
            circlemarker={},
            marker={},
            cut=False,
            rotate=False,
        )
        self.map.add(self.draw)

    def _connect(self) -> None:
        state = self._state
        self.draw.observe(guard(state, "The drawing could not be used.", self._drawn), "data")
        for layer in (self.footprints, self.chosen):
            layer.on_click(guard(state, "Selecting on the map failed.", self._clicked))
            layer.on_hover(guard(state, "Pointing on the map failed.", self._pointed_at))
        self.map.observe(guard(state, "The map could not be drawn.", self._zoomed), "zoom")
        self.overlay.answer("results", lambda _: self.zoom_to_results())
        self._watch(self._show_area, "aoi")
        self._watch(self._show_products, "products", "facets", "least_coverage")
        self._watch(self._show_chosen, "selected", "kept", "products", "facets", "least_coverage")
        self._watch(self._show_pointed, "hovered")
        self._watch(self._show_drapes, "drapes", "draped", "opacity", "opacities")
        self._observe(guard(state, "The map could not be moved.", self._zoom_after_search), ["products"])

    def _watch(self, show: Any, *names: str) -> None:
        def changed(_: Any) -> None:
            with self._state.lock:
                show()

        self._observe(guard(self._state, "The map could not be drawn.", changed), list(names))

    def _observe(self, handler: Any, names: list[str]) -> None:
        self._watched.append((handler, names))
        self._state.observe(handler, names)

    # --- from the browser ----------------------------------------------------------------------------------------
    def _drawn(self, change: Any) -> None:
        """Take the whole list of shapes, never single events: edits and deletions then cannot be missed."""
        if self._showing:
            return
        geometry, text, valid = parse_drawing(change["new"])
        if geometry is not None and same(geometry, self._state.aoi):
            geometry = self._state.aoi  # an edit that changed nothing: results stay those of this area
        self._state.update(aoi=geometry, aoi_text=text, aoi_valid=valid)
        self._show_other_side()

    def _clicked(self, **event: Any) -> None:
        self._state.toggle(id_of(event))

    def _pointed_at(self, **event: Any) -> None:
        self._hover_from_map = True
        try:
            self._state.update(hovered=id_of(event))
        finally:
            self._hover_from_map = False

    # --- to the browser ------------------------------------------------------------------------------------------
    def _show_area(self) -> None:
        geometry = self._state.aoi
        drawn = parse_drawing(self.draw.data)[0]
        if drawn == geometry or (geometry and drawn and same(drawn, geometry)):
            return  # it came from the map: writing it back would end the edit that goes on
        with self._said():
            self.draw.data = [] if geometry is None else features(geometry)
        self._state.update(aoi_text=describe(geometry), aoi_valid=True)
        self._show_other_side()

    def _show_other_side(self) -> None:
        again = beyond(self._state.aoi, self.draw.data)
        if again != self.other_side.locations:
            self.other_side.locations = again

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Within it, what is drawn comes from the state and is no drawing of the user's."""
        self._showing = True
        try:
            yield
        finally:
            self._showing = False

    def _show_products(self) -> None:
        visible = self._state.visible()
        self.overlay.found = bool(visible)
        self.overlay.legend = legend(visible)
        self._small = self._tiny()
        self.footprints.data = collection(visible, small=self._small)
        if not any(product.id == self._state.hovered for product in visible):
            self.pointed.locations = []

    def _show_chosen(self) -> None:
        """The basket in a layer of its own: selecting one of a thousand sends one footprint."""
        there = {product.id for product in self._state.visible()}
        basket = self._state.basket()
        self.chosen.data = collection(basket, small=specks(basket, self.map.zoom), under=there)

    def _tiny(self) -> frozenset[str]:
        return specks(self._state.visible(), self.map.zoom)

    def _zoomed(self, _: Any) -> None:
        """Draw again only when other footprints than before are too small to be seen."""
        if self._tiny() != self._small:
            self._show_products()
        self._show_chosen()

    def _show_pointed(self) -> None:
        product = self._state.product(self._state.hovered)
        self.overlay.label = "" if product is None else label(product)
        # Over the map the browser has highlighted the footprint by itself; an outline on top would catch the pointer.
        from_list = product is not None and not self._hover_from_map
        self.pointed.locations = locations(product.footprint) if product and from_list else []

    def _show_drapes(self) -> None:
        state = self._state
        wanted = {key: state.drapes[key] for key in state.draped if key in state.drapes}
        for key in [key for key, layer in self.draped.items() if wanted.get(key, {}).get("url") != layer.url]:
            self.map.remove(self.draped.pop(key))
        for key, laid in wanted.items():
            opacity = state.opacities.get(key, state.opacity)
            if key in self.draped:
                self.draped[key].opacity = opacity
                continue
            self.draped[key] = ipyleaflet.ImageOverlay(
                url=laid["url"], bounds=laid["bounds"], opacity=opacity, pane="extenso-drape", pm_ignore=True, name=key
            )
            self.map.add(self.draped[key])

        self._see_through(bool(wanted))

    def _see_through(self, on: bool) -> None:
        """While quicklooks lie on the map, footprints are outlines: their colour would cover the pictures."""
        if on != bool(self.footprints.style):
            self.footprints.style = {"fillOpacity": 0.0} if on else {}
            self.footprints.hover_style = {"weight": 4} if on else _HOVER
            if not on:  # the browser keeps a style until it draws anew
                self._show_products()

    def _lay_again(self) -> None:
        """Fetch the quicklooks that lay on the map of a state that was saved; pictures are not saved."""
        state = self._state
        missing = [key for key in state.draped if key not in state.drapes and state.product(key) is not None]
        if missing:
            state.update(draped=[key for key in state.draped if key in state.drapes], swiping=False)
            for key in missing:
                self.desk.drape(key)

    # --- moving --------------------------------------------------------------------------------------------------
    def _zoom_after_search(self, change: Any) -> None:
        """Go to what a new search found. With an area drawn only where the footprints would be specks."""
        old, new = change["old"], change["new"]
        if old and new[: len(old)] == old:
            return  # more of the same search: the view is the user's
        view = self._view()
        if view is not None and (self._state.aoi is None or view[1] - self.map.zoom >= 2):
            self.map.center, self.map.zoom = view

    def zoom_to_results(self) -> None:
        """Centre the map on all footprints. Not with `fit_bounds`: that waits for a browser, without end if none comes."""
        self._go(self._view())

    def zoom_to_area(self) -> None:
        """Centre the map on the area."""
        self._go(view_of([self._state.aoi], **self.overlay.pixels()))

    def _go(self, view: tuple[tuple[float, float], int] | None) -> None:
        if view is not None:
            self.map.center, self.map.zoom = view

    def _view(self) -> tuple[tuple[float, float], int] | None:
        shapes = [self._state.aoi, *(product.footprint for product in self._state.visible())]
        return view_of(shapes, **self.overlay.pixels())

    def close(self) -> None:
        """Take it off the page; a desk of its own ends with it."""
        if self._owns_desk:
            self.desk.close()
        for watch in self._watched:
            self._state.unobserve(*watch)
        self._watched = []
        for part in parts_of(self):
            part.close()
        super().close()


def legend(products: Sequence[Product]) -> list[list[str]]:
    """What the colours of these footprints say, as colour and text; nothing where there are none."""
    clouds = [product.cloud_cover for product in products]
    steps = [[cloud_colour(step), str(step)] for step in (0, 25, 50, 75, 100)]
    known = steps if any(cloud is not None for cloud in clouds) else []
    return [*known, *([[cloud_colour(None), "no cloud figure"]] if None in clouds else [])]


class Overlay(Panel):
    """What lies over the map: the product pointed at, the legend, and what is to be done about quicklooks."""

    _esm = script("map")
    _css = style("map")
    target = Instance(ipywidgets.Widget).tag(sync=True, **ipywidgets.widget_serialization)
    label = Unicode("").tag(sync=True)
    found = Bool(False, help="Whether there is something to zoom to.").tag(sync=True)
    legend: Any = List(help="[[colour, text], ...]").tag(sync=True)
    drapes: Any = List(help='[{"id", "name", "opacity"}]').tag(sync=True)
    swiping = Bool(False).tag(sync=True)
    size: Any = Dict(help="Pixels of the map: width, height; empty before it is shown.").tag(sync=True)

    def __init__(self, source: Source = None, **traits: Any) -> None:
        super().__init__(source, **traits)
        self.watch(self._show, "drapes", "draped", "opacity", "opacities", "swiping")
        self.answer("left", lambda _: self.state.update(hovered=""))
        self.answer("remove", lambda content: self._remove(str(content.get("id", ""))))
        self.answer("opacity", self._set_opacity)
        self.answer("compare", lambda _: self._compare())

    def pixels(self) -> dict[str, float]:
        """Width and height for `view_of`; nothing before a browser has shown the map."""
        width, height = self.size.get("width", 0), self.size.get("height", 0)
        return {"width": 0.9 * width, "height": 0.9 * height} if width > 80 and height > 80 else {}

    def _show(self) -> None:
        self.drapes = [
            {"id": key, "name": drape_name(self.state.product(key), key), "opacity": _opacity(self.state, key)}
            for key in self.state.draped
            if key in self.state.drapes
        ]
        self.swiping = self.state.swiping and len(self.drapes) == 2

    def _remove(self, product_id: str) -> None:
        if product_id in self.state.draped:
            self.desk.drape(product_id)

    def _set_opacity(self, content: Any) -> None:
        product_id, value = str(content.get("id", "")), float(content.get("value", 1.0))
        if product_id in self.state.draped:
            kept = {key: old for key, old in self.state.opacities.items() if key in self.state.draped}
            self.state.update(opacities={**kept, product_id: min(max(value, 0.0), 1.0)})

    def _compare(self) -> None:
        self.state.update(swiping=not self.state.swiping and len(self.drapes) == 2)


class Swipe(Panel):
    """Two quicklooks compared: the first left of a line, the second right of it."""

    _esm = script("swipe")
    _css = style("swipe")
    target = Instance(ipywidgets.Widget).tag(sync=True, **ipywidgets.widget_serialization)
    pair: Any = List(help='[{"name", "mark": the last characters of its picture}], left and right; else empty.').tag(
        sync=True
    )

    def __init__(self, source: Source = None, **traits: Any) -> None:
        super().__init__(source, **traits)
        self.watch(self._show, "drapes", "draped", "swiping")
        self.answer("end", lambda _: self.state.update(swiping=False))

    def _show(self) -> None:
        there = [key for key in self.state.draped if key in self.state.drapes]
        on = self.state.swiping and len(there) == 2
        self.pair = [
            {
                "name": drape_name(self.state.product(key), key),
                "mark": self.state.drapes[key]["url"][-_MARK:],
                "length": len(self.state.drapes[key]["url"]),
            }
            for key in (there if on else ())
        ]


_MARK = 60


def _opacity(state: Any, product_id: str) -> float:
    return float(state.opacities.get(product_id, state.opacity))


def drape_name(product: Product | None, product_id: str) -> str:
    """What a quicklook on the map is called: mission, day and tile or time."""
    if product is None:
        return product_id
    return f"{short_name(product)} {product.begin_position:%Y-%m-%d}"


def label(product: Product) -> str:
    """One line about the product pointed at."""
    cloud = "" if product.cloud_cover is None else f", {product.cloud_cover:.0f} % cloud"
    return f"{short_name(product)} {product.begin_position:%Y-%m-%d %H:%M}{cloud}"
