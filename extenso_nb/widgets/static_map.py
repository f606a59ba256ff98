"""The map of the static page: land, footprints, quicklooks and area as SVG, in the projection of the live map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape
from typing import Any, NamedTuple

import numpy as np
import shapely

from extenso_nb.plot import cloud_colour, land
from extenso_nb.widgets.state import ExplorerState

__all__ = ["to_svg"]

_SPECK = 4
"""Footprints of fewer pixels get a circle around them, or nobody would see them."""
_DETAIL = 0.4
"""Pixels by which outlines may be simplified."""
_POLE = 85.05
"""Latitude at which the maps of the web end."""
_DRAPE_BYTES = 600_000
"""Quicklooks of more, as data URIs, are left out of the page."""
_INK, _QUIET, _CHOSEN, _AREA = "#1b2a38", "#57606a", "#d9480f", "#b93d0b"
_STEPS = (90, 60, 30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


class _Frame(NamedTuple):
    """What of the Earth is shown: edges in degrees of longitude and of northing, and pixels a degree."""

    west: float
    south: float
    east: float
    north: float
    scale: float

    def x(self, degrees: float) -> float:
        return (degrees - self.west) * self.scale

    def y(self, northing: float) -> float:
        return (self.north - northing) * self.scale


def to_svg(state: ExplorerState, *, width: int = 560) -> str:
    """What is on the live map, around what there is; the whole Earth when there is nothing. All text is escaped."""
    visible = state.visible()
    shapes = [(product, _shape(product.footprint)) for product in visible if product.footprint]
    shapes = [(product, shape) for product, shape in shapes if not shape.is_empty]
    aoi = _shape(state.aoi)
    aoi = None if aoi is None or aoi.is_empty else aoi
    shapes, aoi, turned = _turned(shapes, aoi)
    frame = _frame([shape for _, shape in shapes] + ([aoi] if aoi is not None else []), width)
    height = round((frame.north - frame.south) * frame.scale)
    parts = [_ground(frame), *_grid(frame, height), *_drapes(state, frame, turned=turned)]
    # Small ones on top of large ones, and those selected on top of all.
    for product, shape in sorted(shapes, key=lambda pair: (pair[0].id in state.selected, -pair[1].area)):
        parts += _footprint(
            frame, product, shape, chosen=product.id in state.selected, draped=product.id in state.drapes
        )
    if aoi is not None:
        dashes = f'fill="none" stroke="{_AREA}" stroke-width="2" stroke-dasharray="6 4"'
        west, south, east, north = aoi.bounds
        x, y = frame.x((west + east) / 2), frame.y((south + north) / 2)
        small = max(east - west, north - south) * frame.scale < _SPECK
        ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{2 * _SPECK}" {dashes}/>' if small else ""
        parts += [_path(frame, aoi, dashes, "area of interest"), ring]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="Map of {len(shapes)} footprints" '
        f'viewBox="0 0 {width} {height}" '
        f'style="display:block;width:100%;height:auto;background:#dfe8ee;border-radius:6px">{"".join(parts)}</svg>'
    )


# --- what is drawn ---------------------------------------------------------------------------------------------------
@cache
def _earth() -> Any:
    """The land from 180 W to 540 E, projected: twice, for what lies across the antimeridian."""
    once = shapely.transform(land(), _project)
    return shapely.MultiPolygon([*once.geoms, *_further(once).geoms])


def _ground(frame: _Frame) -> str:
    ground = shapely.clip_by_rect(_earth(), frame.west, frame.south, frame.east, frame.north)
    return _path(frame, ground, 'fill="#f4f1e8" stroke="#a9a79e" stroke-width="0.7"')


def _grid(frame: _Frame, height: int) -> Iterator[str]:
    """Meridians and parallels with their degrees: of a few kilometres of land the outline says nothing."""
    line = 'stroke="#1b2a38" stroke-opacity="0.14" stroke-width="0.6"'
    words = f'font-family="system-ui,sans-serif" font-size="9" fill="{_QUIET}"'
    width = (frame.east - frame.west) * frame.scale
    step = next((step for step in _STEPS if (frame.east - frame.west) / step >= 3), _STEPS[-1])
    for at in np.arange(np.ceil(frame.west / step), np.floor(frame.east / step) + 1) * step:
        x, named = frame.x(at), (at + 180) % 360 - 180
        yield f'<path d="M{x:.1f} 0V{height}" {line}/>'
        if x < width - 30:
            yield f'<text x="{x + 3:.1f}" y="{height - 4}" {words}>{_degrees(named, "E", "W")}</text>'
    south, north = (_latitude(edge) for edge in (frame.south, frame.north))
    step = next((step for step in _STEPS if (north - south) / step >= 2), _STEPS[-1])
    for at in np.arange(np.ceil(south / step), np.floor(north / step) + 1) * step:
        y = frame.y(_northing(at))
        yield f'<path d="M0 {y:.1f}H{width:.0f}" {line}/>'
        if y > 12:
            yield f'<text x="3" y="{y - 3:.1f}" {words}>{_degrees(at, "N", "S")}</text>'


def _degrees(value: float, above: str, below: str) -> str:
    value = round(float(value), 2)
    return f"{abs(value):g}°{'' if value == 0 else ' ' + (above if value > 0 else below)}"


def _footprint(frame: _Frame, product: Any, shape: Any, *, chosen: bool, draped: bool) -> Iterator[str]:
    stroke = f'stroke="{_CHOSEN}" stroke-width="2.5"' if chosen else f'stroke="{_INK}" stroke-width="0.8"'
    fill = 0.0 if draped else 0.5  # what lies below is the quicklook
    style = f'fill="{cloud_colour(product.cloud_cover)}" fill-opacity="{fill}" {stroke}'
    yield _path(frame, shape, style, product.id)
    west, south, east, north = shape.bounds
    if max(east - west, north - south) * frame.scale < _SPECK:
        x, y = frame.x((west + east) / 2), frame.y((south + north) / 2)
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_SPECK}" {style}/>'


def _drapes(state: ExplorerState, frame: _Frame, *, turned: bool) -> Iterator[str]:
    for key in state.draped:
        drape = state.drapes.get(key)
        if not drape or not str(drape["url"]).startswith("data:image/") or len(drape["url"]) > _DRAPE_BYTES:
            continue
        (south, west), (north, east) = drape["bounds"]
        shift = 360 if turned and east <= 0 else 0
        x0, x1 = frame.x(west + shift), frame.x(east + shift)
        y0, y1 = frame.y(_northing(north)), frame.y(_northing(south))
        yield (
            f'<image href="{escape(drape["url"])}" x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" '
            f'height="{y1 - y0:.1f}" preserveAspectRatio="none" opacity="{state.opacity:.2f}"/>'
        )


# --- geometry --------------------------------------------------------------------------------------------------------
def _northing(latitude: float) -> float:
    """Of Web Mercator (OGC 17-083r4, annex D), in degrees, so that a square degree at the equator is a square."""
    angle = np.radians(np.clip(latitude, -_POLE, _POLE))
    return float(np.degrees(np.log(np.tan(np.pi / 4 + angle / 2))))


def _latitude(northing: float) -> float:
    return float(np.degrees(2 * np.arctan(np.exp(np.radians(northing))) - np.pi / 2))


def _project(points: Any) -> Any:
    angles = np.radians(np.clip(points[:, 1], -_POLE, _POLE))
    return np.column_stack([points[:, 0], np.degrees(np.log(np.tan(np.pi / 4 + angles / 2)))])


def _shape(geometry: dict[str, Any] | None) -> Any:
    return None if geometry is None else shapely.transform(shapely.geometry.shape(geometry), _project)


def _turned(shapes: list[tuple[Any, Any]], aoi: Any) -> tuple[list[tuple[Any, Any]], Any, bool]:
    """Everything with longitudes of 0 to 360 where that keeps together what the antimeridian cuts; and whether it is so."""

    def span(geometries: Iterable[Any]) -> float:
        edges = [shape.bounds for shape in geometries if not shape.is_empty]
        return max(edge[2] for edge in edges) - min(edge[0] for edge in edges) if edges else 0.0

    plain = [shape for _, shape in shapes] + ([] if aoi is None else [aoi])
    moved = [_eastward(shape) for shape in plain]
    if span(moved) >= span(plain):
        return shapes, aoi, False
    products = [product for product, _ in shapes]
    return list(zip(products, moved, strict=False)), None if aoi is None else moved[-1], True


def _further(shape: Any) -> Any:
    """One turn further east."""
    return shapely.transform(shape, lambda points: points + np.array((360.0, 0.0)))


def _eastward(shape: Any) -> Any:
    """Parts that lie west of Greenwich, one turn further."""
    parts = [
        _further(part) if part.bounds[2] <= 0 else part
        for part in getattr(shape, "geoms", [shape])
        if not part.is_empty
    ]
    return shapely.union_all(parts) if len(parts) > 1 else parts[0] if parts else shape


def _frame(shapes: Sequence[Any], width: int) -> _Frame:
    """Around the shapes with a margin, never flatter or steeper than 2 to 1."""
    bounds = [shape.bounds for shape in shapes if not shape.is_empty]
    if not bounds:
        edges = (-180.0, _northing(-58), 180.0, _northing(80))
    else:
        west, south = min(box[0] for box in bounds), min(box[1] for box in bounds)
        east, north = max(box[2] for box in bounds), max(box[3] for box in bounds)
        wide, high = max(east - west, 0.2) * 1.25, max(north - south, 0.2) * 1.25
        wide, high = max(wide, high * 0.9), max(high, wide * 0.5)
        x, y = (west + east) / 2, (south + north) / 2
        edges = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    return _Frame(*edges, scale=width / (edges[2] - edges[0]))


def _path(frame: _Frame, shape: Any, style: str, title: str = "") -> str:
    # Swaths have hundreds of vertices, of which most are less than a pixel apart.
    rings = "".join(_ring(ring, frame) for ring in _rings(shapely.simplify(shape, _DETAIL / frame.scale)))
    name = f"<title>{escape(title)}</title>" if title else ""
    return f'<path d="{rings}" fill-rule="evenodd" {style}>{name}</path>' if rings else ""


def _rings(shape: Any) -> Iterable[Any]:
    for part in getattr(shape, "geoms", [shape]):
        if part.geom_type == "Polygon" and not part.is_empty:
            yield part.exterior
            yield from part.interiors


def _ring(ring: Any, frame: _Frame) -> str:
    points = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y, *_ in ring.coords[:-1])
    return f"M{points}Z"
