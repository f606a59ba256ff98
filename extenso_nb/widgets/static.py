"""The Explorer as a page without script, for exported notebooks: an SVG map and a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from extenso_nb import _html
from extenso_nb.models import Product
from extenso_nb.plot import cloud_colour, land
from extenso_nb.widgets.state import ExplorerState

__all__ = ["to_html", "to_svg"]

_ROWS = 50
_SPECK = 4
"""Footprints of fewer pixels get a circle around them, or nobody would see them."""


def to_html(state: ExplorerState) -> str:
    """A self-contained fragment: map, products and orders as they are now; all text escaped."""
    if not state.searched:
        title, rows = "extenso explorer: nothing was searched yet", []
    else:
        title = f"{len(state.products)} of {state.total} {state.found_collection} products"
        rows = [_row(product, state) for product in state.products[:_ROWS]]
    parts = [to_svg(state)]
    if rows:
        parts.append(_html.table(title, ("product", "time (UTC)", "cloud", "size", "state"), rows))
    else:
        parts.append(f"<div>{escape(title)}</div>")
    if len(state.products) > _ROWS:
        parts.append(f"<div>{_ROWS} of {len(state.products)} shown.</div>")
    orders = [_order_row(entry) for entry in state.orders.values()]
    if orders:
        parts.append(_html.table("Orders", ("order", "state", "products"), orders))
    return f'<div class="extenso-static">{"".join(parts)}</div>'


def _row(product: Product, state: ExplorerState) -> Sequence[str]:
    cloud = "" if product.cloud_cover is None else f"{product.cloud_cover:.0f} %"
    words = ["online" if product.online else "cold"]
    words += ["selected"] if product.id in state.selected else []
    words += [state.ordered()[product.id]] if product.id in state.ordered() else []
    size = ("~" if product.size_estimated else "") + _html.bytes_text(product.size)
    return product.id, f"{product.begin_position:%Y-%m-%d %H:%M}", cloud, size, ", ".join(words)


def _order_row(entry: dict[str, Any]) -> Sequence[str]:
    order = entry["order"]
    return f"#{order['id']}", order["status"], ", ".join(order["products"][:3])


def to_svg(state: ExplorerState, *, width: int = 640) -> str:
    """Land, footprints and area in plate carrée, around what there is; the whole Earth when there is nothing."""
    import shapely

    shapes = [(product, _shape(product.footprint)) for product in state.products if product.footprint]
    aoi = _shape(state.aoi)
    west, south, east, north = _frame([shape for _, shape in shapes] + ([aoi] if aoi is not None else []))
    ground = shapely.clip_by_rect(land(), west, south, east, north)
    height = round(width * (north - south) / (east - west))
    corner, scale = (west, north), width / (east - west)
    paths = [_path(ground, corner, scale, 'fill="#f4f1e8" stroke="#a9a79e" stroke-width="0.7"')]
    for product, shape in sorted(shapes, key=lambda pair: -pair[1].area):
        chosen = product.id in state.selected
        stroke = 'stroke="#d9480f" stroke-width="2.5"' if chosen else 'stroke="#1b2a38" stroke-width="0.8"'
        style = f'fill="{cloud_colour(product.cloud_cover)}" fill-opacity="0.5" {stroke}'
        paths.append(_path(shape, corner, scale, style, product.id))
        x0, y0, x1, y1 = shape.bounds
        if max(x1 - x0, y1 - y0) * scale < _SPECK:
            x, y = ((x0 + x1) / 2 - west) * scale, (north - (y0 + y1) / 2) * scale
            paths.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_SPECK}" {style}/>')
    if aoi is not None:
        dashes = 'fill="none" stroke="#c2410c" stroke-width="1.5" stroke-dasharray="6 4"'
        paths.append(_path(aoi, corner, scale, dashes, "area of interest"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="Map of {len(shapes)} footprints" '
        f'viewBox="0 0 {width} {height}" style="max-width:{width}px;width:100%;background:#dfe8ee;border-radius:6px">'
        f"{''.join(paths)}</svg>"
    )


def _shape(geometry: dict[str, Any] | None) -> Any:
    import shapely

    return None if geometry is None else shapely.geometry.shape(geometry)


def _frame(shapes: Sequence[Any]) -> tuple[float, float, float, float]:
    """West, south, east, north with a margin, never flatter or steeper than 5 to 2."""
    bounds = [shape.bounds for shape in shapes if not shape.is_empty]
    if not bounds:
        return -180.0, -60.0, 180.0, 84.0
    west, south = min(box[0] for box in bounds), min(box[1] for box in bounds)
    east, north = max(box[2] for box in bounds), max(box[3] for box in bounds)
    wide, high = max(east - west, 0.5) * 1.3, max(north - south, 0.5) * 1.3
    wide, high = max(wide, high), max(high, max(wide, high) * 0.4)
    x, y = (west + east) / 2, (south + north) / 2
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


def _path(shape: Any, corner: tuple[float, float], scale: float, style: str, title: str = "") -> str:
    rings = "".join(_ring(ring, *corner, scale) for ring in _rings(shape))
    name = f"<title>{escape(title)}</title>" if title else ""
    return f'<path d="{rings}" fill-rule="evenodd" {style}>{name}</path>'


def _rings(shape: Any) -> Iterable[Any]:
    for part in getattr(shape, "geoms", [shape]):
        if part.geom_type == "Polygon" and not part.is_empty:
            yield part.exterior
            yield from part.interiors


def _ring(ring: Any, west: float, north: float, scale: float) -> str:
    points = " ".join(f"{(x - west) * scale:.1f},{(north - y) * scale:.1f}" for x, y, *_ in ring.coords[:-1])
    return f"M{points}Z"
