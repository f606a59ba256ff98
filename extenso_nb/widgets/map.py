"""The map: an offline land outline below tiles, the area drawn, and the footprints found (ipyleaflet lives here)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

import ipyleaflet
import ipywidgets

from extenso_nb.errors import AreaError
from extenso_nb.models import Product
from extenso_nb.plot import cloud_colour, land
from extenso_nb.results import short_name
from extenso_nb.widgets.state import ExplorerState, guard

__all__ = ["MapView", "parse_drawing", "view_of"]

_DIGITS = 4
"""Decimals of footprints sent to the browser: 11 m, less than a pixel at any zoom that shows a whole footprint."""
_MERCATOR = 85.05
_EDGE, _CHOSEN = "#1b2a38", "#d9480f"
# Without fill: a filled area on top of the footprints would take their clicks.
_AREA_STYLE = {"pathOptions": {"color": "#c2410c", "weight": 2, "fill": False, "dashArray": "6 4"}}


class MapView(ipywidgets.VBox):  # type: ignore[misc]
    """The map of an Explorer. It watches the state, and writes to it: the area, what is pointed at, what is selected.

    Parameters
    ----------
    state
        The Explorer's state.
    height
        CSS height of the map.
    tiles
        Whether online tiles are laid over the outline. Without network they simply stay away.
    """

    def __init__(self, state: ExplorerState, *, height: str = "430px", tiles: bool = True) -> None:
        self._state = state
        self._hover_from_map = False
        self._small: frozenset[str] = frozenset()
        ground = ipyleaflet.Polygon(
            locations=_land_locations(),
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
        self.footprints = ipyleaflet.GeoJSON(
            data=_collection(()), hover_style={"weight": 4, "fillOpacity": 0.75}, pm_ignore=True, name="footprints"
        )
        self.pointed = ipyleaflet.Polygon(
            locations=[], color=_CHOSEN, weight=4, fill=False, pm_ignore=True, name="pointed at"
        )
        self.map = ipyleaflet.Map(
            center=(25.0, 8.0),
            zoom=2,
            min_zoom=1,
            world_copy_jump=True,
            scroll_wheel_zoom=True,
            panes={"extenso-land": {"zIndex": 150}},
            layers=(*layers, self.footprints, self.pointed),
            layout=ipywidgets.Layout(height=height, width="100%"),
        )
        self.draw = ipyleaflet.GeomanDrawControl(
            position="topleft",
            rectangle=_AREA_STYLE,
            polygon=_AREA_STYLE,
            polyline={},
            circle={},
            circlemarker={},
            marker={},
            cut=False,
            rotate=False,
        )
        self._label = ipywidgets.HTML()
        self._legend = ipywidgets.HTML(legend())
        self.map.add(self.draw)
        self.map.add(ipyleaflet.WidgetControl(widget=self._label, position="topright", transparent_bg=True))
        self.map.add(ipyleaflet.WidgetControl(widget=self._legend, position="bottomright", transparent_bg=True))
        self.zoom = ipywidgets.Button(
            description="Zoom to results",
            layout=ipywidgets.Layout(width="auto"),
            tooltip="Centre the map on what was found",
        )
        self.map.add(ipyleaflet.WidgetControl(widget=self.zoom, position="bottomleft", transparent_bg=True))
        self._connect()
        # The map is as wide as its box, and has a margin: without this the box scrolls by 4 px.
        super().__init__([self.map], layout=ipywidgets.Layout(width="100%", min_width="280px", overflow="hidden"))
        self._show_area()
        self._show_products()
        self._show_pointed()

    def _connect(self) -> None:
        state = self._state
        self.draw.observe(guard(state, "The drawing could not be used.", self._drawn), "data")
        self.zoom.on_click(guard(state, "The map could not be moved.", lambda _: self.zoom_to_results()))
        self.footprints.on_click(guard(state, "Selecting on the map failed.", self._clicked))
        self.footprints.on_hover(guard(state, "Pointing on the map failed.", self._pointed_at))
        self._watch(self._show_area, "aoi")
        self._watch(self._show_products, "products", "selected")
        self.map.observe(guard(state, "The map could not be drawn.", self._zoomed), "zoom")
        self._watch(self._show_pointed, "hovered")
        state.observe(guard(state, "The map could not be moved.", self._zoom_after_search), "products")

    def _watch(self, show: Callable[[], None], *names: str) -> None:
        def changed(_: Any) -> None:
            show()

        self._state.observe(guard(self._state, "The map could not be drawn.", changed), list(names))

    # --- from the browser ----------------------------------------------------------------------------------------
    def _drawn(self, change: Any) -> None:
        """Take the whole list of shapes, never single events: edits and deletions then cannot be missed."""
        geometry, text, valid = parse_drawing(change["new"])
        self._state.update(aoi=geometry, aoi_text=text, aoi_valid=valid)

    def _clicked(self, **event: Any) -> None:
        self._state.toggle(_id_of(event))

    def _pointed_at(self, **event: Any) -> None:
        self._hover_from_map = True
        try:
            self._state.update(hovered=_id_of(event))
        finally:
            self._hover_from_map = False

    # --- to the browser ------------------------------------------------------------------------------------------
    def _show_area(self) -> None:
        geometry = self._state.aoi
        if parse_drawing(self.draw.data)[0] == geometry:
            return  # it came from the map: writing it back would end the edit that goes on
        feature = {"type": "Feature", "properties": {"style": _AREA_STYLE["pathOptions"]}, "geometry": geometry}
        self.draw.data = [] if geometry is None else _single(feature)

    def _show_products(self) -> None:
        self.zoom.disabled = not self._state.products
        self._small = _specks(self._state.products, self.map.zoom)
        self.footprints.data = _collection(self._state.products, frozenset(self._state.selected), self._small)
        if not any(product.id == self._state.hovered for product in self._state.products):
            self.pointed.locations = []

    def _zoomed(self, _: Any) -> None:
        """Draw again only when other footprints than before are too small to be seen."""
        if _specks(self._state.products, self.map.zoom) != self._small:
            self._show_products()

    def _show_pointed(self) -> None:
        product = self._state.product(self._state.hovered)
        self._label.value = "" if product is None else label(product)
        # Over the map the browser has highlighted the footprint by itself; an outline on top would catch the pointer.
        from_list = product is not None and not self._hover_from_map
        self.pointed.locations = _locations(product.footprint) if product and from_list else []

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
        view = self._view()
        if view is not None:
            self.map.center, self.map.zoom = view

    def _view(self) -> tuple[tuple[float, float], int] | None:
        return view_of([self._state.aoi, *(product.footprint for product in self._state.products)])


def legend() -> str:
    """The colours of the footprints with their numbers."""
    cells = "".join(
        f'<span style="display:inline-block;text-align:center;margin-right:3px"><span style="display:block;width:26px;'
        f'height:9px;background:{cloud_colour(step)};border:1px solid {_EDGE}"></span>{step}</span>'
        for step in (0, 25, 50, 75, 100)
    )
    none = (
        f'<span style="display:inline-block;text-align:center;margin-left:6px"><span style="display:block;width:26px;'
        f'height:9px;background:{cloud_colour(None)};border:1px solid {_EDGE};margin:auto"></span>no figure</span>'
    )
    return (
        '<div style="background:rgba(255,255,255,.92);color:#1b2a38;padding:2px 8px 3px;border-radius:4px;'
        f'font:11px/1.35 system-ui,sans-serif">cloud, %<br>{cells}{none}</div>'
    )


def label(product: Product) -> str:
    """One line about the product pointed at."""
    cloud = "" if product.cloud_cover is None else f", {product.cloud_cover:.0f} % cloud"
    text = f"{short_name(product)} {product.begin_position:%Y-%m-%d %H:%M}{cloud}"
    return (
        '<div style="background:rgba(255,255,255,.92);color:#1b2a38;padding:3px 8px;border-radius:4px;'
        f'font:12px/1.4 system-ui,sans-serif" title="{escape(product.id)}">{escape(text)}</div>'
    )


# --- geometry --------------------------------------------------------------------------------------------------------
def parse_drawing(shapes: Sequence[dict[str, Any]]) -> tuple[dict[str, Any] | None, str, bool]:
    """The shapes drawn as one area: GeoJSON geometry or None, its size or what is wrong in words, whether it is right.

    Several shapes become one multipolygon. Longitudes beyond the antimeridian (Leaflet's map has no end) come back into
    -180..180.
    """
    from extenso_nb.aoi import area

    geometries = [shape["geometry"] for shape in shapes if shape.get("geometry")]
    if not geometries:
        return None, "", True
    try:
        import shapely

        parts = [shapely.make_valid(_homed(shapely.geometry.shape(geometry))) for geometry in geometries]
        found = area(shapely.union_all(parts) if len(parts) > 1 else parts[0])
    except AreaError as error:
        return None, error.message, False
    except (ValueError, TypeError, KeyError, shapely.errors.ShapelyError) as error:
        return None, f"The shape cannot be read ({error}).", False
    return found.geojson, f"{found.km2:,.0f} km²".replace(",", "\u202f"), True


def _homed(shape: Any) -> Any:
    """The shape moved by whole turns so that its middle lies within -180..180."""
    from shapely import affinity

    west, _, east, _ = shape.bounds
    turns = math.floor(((west + east) / 2 + 180) / 360)
    return affinity.translate(shape, xoff=-360.0 * turns) if turns else shape


def _single(feature: dict[str, Any]) -> list[dict[str, Any]]:
    """One feature for each polygon: the drawing tool edits single ones."""
    geometry = feature["geometry"]
    if geometry["type"] != "MultiPolygon":
        return [feature]
    return [{**feature, "geometry": {"type": "Polygon", "coordinates": rings}} for rings in geometry["coordinates"]]


def _id_of(event: dict[str, Any]) -> str:
    properties = event.get("properties") or {}
    return str(properties.get("id") or event.get("id") or "")


def _specks(products: Iterable[Product], zoom: float) -> frozenset[str]:
    """Products whose footprint is less than 4 pixels wide and high at this zoom: scenes of 5 km on a map of Europe."""
    least = 4 * 360 / (256 * 2**zoom)
    small = set()
    for product in products:
        points = list(_points((product.footprint or {}).get("coordinates", ())))
        xs, ys = [x for x, _ in points], [y for _, y in points]
        if points and max(max(xs) - min(xs), max(ys) - min(ys)) < least:
            small.add(product.id)
    return frozenset(small)


def _collection(
    products: Iterable[Product], selected: frozenset[str] = frozenset(), small: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Footprints as one FeatureCollection, large ones first, so that small ones stay on top and can be clicked."""
    features = [
        {
            "type": "Feature",
            "id": product.id,
            "geometry": {**product.footprint, "coordinates": _rounded(product.footprint["coordinates"])},
            "properties": {
                "id": product.id,
                "style": _style(product, chosen=product.id in selected, small=product.id in small),
            },
        }
        for product in products
        if product.footprint is not None and "coordinates" in product.footprint
    ]
    features.sort(key=_extent, reverse=True)
    return {"type": "FeatureCollection", "features": features}


def _style(product: Product, *, chosen: bool, small: bool) -> dict[str, Any]:
    return {
        "color": _CHOSEN if chosen else _EDGE,
        # Of what is too small to be seen the outline is a dot that can be seen and clicked.
        "weight": (3.5 if chosen else 1) + (6 if small else 0),
        "fillColor": cloud_colour(product.cloud_cover),
        "fillOpacity": 0.55 if chosen else 0.45,
    }


def _extent(feature: dict[str, Any]) -> float:
    points = list(_points(feature["geometry"]["coordinates"]))
    if not points:
        return 0.0
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return (max(xs) - min(xs)) * (max(ys) - min(ys))


def _points(coordinates: Any) -> Iterable[tuple[float, float]]:
    if coordinates and isinstance(coordinates[0], (int, float)):
        yield float(coordinates[0]), float(coordinates[1])
        return
    for item in coordinates:
        yield from _points(item)


def _rounded(coordinates: Any) -> Any:
    if isinstance(coordinates, (int, float)):
        return round(coordinates, _DIGITS)
    return [_rounded(item) for item in coordinates]


def _locations(footprint: dict[str, Any] | None) -> list[Any]:
    """Rings in Leaflet's order: latitude, longitude."""
    if not footprint or footprint.get("type") not in {"Polygon", "MultiPolygon"}:
        return []
    polygons = footprint["coordinates"] if footprint["type"] == "MultiPolygon" else [footprint["coordinates"]]
    return [[[(point[1], point[0]) for point in ring] for ring in rings] for rings in polygons]


def _land_locations() -> list[Any]:
    """The land in Leaflet's order, cut where Mercator ends."""
    return [
        [[(min(max(y, -_MERCATOR), _MERCATOR), x) for x, y in ring.coords] for ring in (part.exterior, *part.interiors)]
        for part in land().geoms
    ]


def view_of(
    footprints: Iterable[dict[str, Any] | None], *, width: float = 560, height: float = 400
) -> tuple[tuple[float, float], int] | None:
    """Centre (lat, lon) and zoom level at which all footprints fit into a map of so many pixels; None for none.

    Web Mercator: the world is ``256 * 2**zoom`` pixels wide (OGC 17-083r4, annex D).
    """
    points = [
        point for shape in footprints if shape and "coordinates" in shape for point in _points(shape["coordinates"])
    ]
    if not points:
        return None
    xs = [x / 360 for x, _ in points]
    ys = [_mercator(y) for _, y in points]
    wide, high = max(max(xs) - min(xs), 1e-9), max(max(ys) - min(ys), 1e-9)
    zoom = math.floor(math.log2(min(width / 256 / wide, height / 256 / high)))
    middle = (max(ys) + min(ys)) / 2
    latitude = math.degrees(2 * math.atan(math.exp(2 * math.pi * middle)) - math.pi / 2)
    return (round(latitude, 5), round((max(xs) + min(xs)) / 2 * 360, 5)), min(max(zoom, 1), 12)


def _mercator(latitude: float) -> float:
    """The northing of Web Mercator, as a share of the world's width."""
    angle = math.radians(min(max(latitude, -_MERCATOR), _MERCATOR))
    return math.log(math.tan(math.pi / 4 + angle / 2)) / (2 * math.pi)
