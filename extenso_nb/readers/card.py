"""`.product` of an opened product: what it is at a glance, as one line and as a card in notebooks. Reads no pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import xarray as xr

from extenso_nb import _html
from extenso_nb.errors import ExtensoError, NoQuicklook

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

__all__ = ["ProductCard"]

_IMPORTANT = (
    ("type", ("product_type", "processing_level"), ", "),
    ("platform", ("platform", "instrument", "sensor_mode", "polarisation"), ", "),
    ("time", ("start_time", "stop_time"), " to "),
    ("orbit", ("orbit_number", "orbit_direction"), ", "),
    ("relative orbit", ("relative_orbit_number",), ""),
    ("tile", ("tile_id",), ""),
    ("timeliness", ("timeliness",), ""),
    ("processing", ("processing_baseline",), ""),
    ("cloud cover, %", ("cloud_cover",), ""),
    ("missing", ("missing_members",), ""),
)
"""Rows of the card, and the attributes that each is made of."""
_ROWS_MAX = 40
_WIDE, _HIGH = 232, 176  # of the drawing of the footprint, in pixels
_QUIET = 'fill="currentColor" fill-opacity="0.65" font-size="9" font-family="sans-serif"'
_FOLDED = "color:var(--jp-ui-font-color2,inherit);opacity:0.8;font-size:11px"


class ProductCard:
    """What an opened product is: `tree.product`, which a notebook shows as a card.

    The card has the preview of the product, its footprint, the most important attributes, and groups with their
    dimensions, variables and sizes. It takes all but the preview from what is open already; no lazy array is computed.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree.root

    def __repr__(self) -> str:
        facts = self._tree.attrs
        listed = list(self._groups())
        words = (
            _line(facts.get("product_type")),
            _line(facts.get("start_time") or facts.get("sensing_time")),
            _counted(len(listed), "group"),
            _counted(sum(len(group.data_vars) for _, group in listed), "variable"),
            _html.bytes_text(sum(map(_bytes, (group for _, group in listed)))),
        )
        return f"<{_line(facts.get('product_id')) or 'product'}: {', '.join(word for word in words if word)}>"

    def _repr_html_(self) -> str:
        facts = self._tree.attrs
        name = _line(facts.get("product_id")) or "Product"
        picture, note = self._picture(name)
        shown = (*self._facts(), ("preview", note)) if note else tuple(self._facts())
        parts = [picture, _map(_outline(self._tree), name), _html.card("Attributes", shown)]
        return _html.sheet(name, parts, note=_line(facts.get("source_uri"))) + self._table()

    def quicklook(self) -> bytes:
        """The product's own preview, JPEG or PNG; see `readers.describe.quicklook`.

        Raises
        ------
        NoQuicklook
            There is none; or the product lies at an address, from which no preview is fetched.
        ReaderError, DamagedProduct
            The product is no longer there, or damaged.
        """
        from extenso_nb.readers.describe import quicklook
        from extenso_nb.readers.opening import is_address

        source = self._tree.attrs.get("source_uri")
        if not isinstance(source, str) or not source:
            raise NoQuicklook("The tree does not say where the product lies.")
        if is_address(source):
            raise NoQuicklook("The preview is not fetched: the product lies at an address.")
        return quicklook(source)

    def _picture(self, name: str) -> tuple[str, str]:
        """The preview as HTML, and why there is none."""
        try:
            content = self.quicklook()
        except (ExtensoError, OSError) as error:
            reason = str(getattr(error, "message", error)).replace(name, "The product")
            return _html.image(None, alt=name, width=_HIGH, height=_HIGH), reason
        return _html.image(content, alt=name, width=_HIGH, height=_HIGH), ""

    def _facts(self) -> Iterator[tuple[str, Any]]:
        facts = self._tree.attrs
        for row, keys, between in _IMPORTANT:
            found = [_html.value_text(facts[key]) for key in keys if facts.get(key) is not None]
            words = [word for word in found if word]
            if words:
                yield row, between.join(words)

    def _groups(self) -> Iterator[tuple[str, xr.Dataset]]:
        for node in self._tree.subtree:
            if node.data_vars:
                yield node.path, node.to_dataset(inherit=False)

    def _table(self) -> str:
        listed = list(self._groups())
        rows = [
            (
                path,
                " × ".join(f"{dim} {size}" for dim, size in dataset.sizes.items()),
                _some(map(str, dataset.data_vars)),
                _html.bytes_text(_bytes(dataset)),
            )
            for path, dataset in listed[:_ROWS_MAX]
        ]
        total = _html.bytes_text(sum(_bytes(dataset) for _, dataset in listed))
        caption = f"{_counted(len(listed), 'group')}, {total} as arrays"
        more = len(listed) - len(rows)
        tail = f'<div style="{_FOLDED}">and {_counted(more, "group")} more</div>' if more else ""
        return _html.table(caption, ("group", "dimensions", "variables", "size"), rows) + tail


def _line(value: Any) -> str:
    """As one line without control characters."""
    text = "" if value is None else " ".join(str(value).split())
    return _html.value_text("".join(letter for letter in text if letter.isprintable()))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _some(names: Iterator[str], most: int = 12) -> str:
    listed = list(names)
    return " ".join(listed[:most]) + (f" ... ({len(listed)} in all)" if len(listed) > most else "")


def _bytes(dataset: xr.Dataset) -> int:
    """Of the arrays once they are read; known from shapes and types."""
    return sum(array.size * array.dtype.itemsize for array in dataset.data_vars.values())


# --- the footprint ---------------------------------------------------------------------------------------------------
_SWATH = "METADATA/EOP_METADATA/om:featureOfInterest/eop:multiExtentOf/gml:surfaceMembers/gml:exterior"


def _outline(tree: xr.DataTree) -> str | None:
    """WKT of the footprint that the attributes give: those of the product, or of its group of metadata (Sentinel-5P)."""
    found = tree.attrs.get("footprint")
    if isinstance(found, str):
        return found
    try:
        words = str(tree[_SWATH].attrs.get("gml:posList", "")).split()
        numbers = [float(word) for word in words]
    except (KeyError, ValueError):
        return None
    pairs = list(zip(numbers[1::2], numbers[0::2], strict=False))
    return f"POLYGON (({', '.join(f'{lon!r} {lat!r}' for lon, lat in [*pairs, pairs[0]])}))" if len(pairs) > 3 else None


def _map(outline: Any, name: str) -> str:
    """The footprint on a graticule, as inline SVG; a quiet box where the product gives none."""
    shape = _geometry(outline)
    if shape is None:
        return _frame(f'<text x="{_WIDE / 2}" y="{_HIGH / 2}" text-anchor="middle" {_QUIET}>no footprint</text>', name)
    west, south, east, north = shape.bounds
    flat = max(math.cos(math.radians((south + north) / 2)), 0.1)
    scale = min((_WIDE - 40) / max((east - west) * flat, 0.02), (_HIGH - 40) / max(north - south, 0.02))
    x0, y0 = (west + east) / 2, (south + north) / 2

    def x(longitude: float) -> float:
        return round(_WIDE / 2 + (longitude - x0) * flat * scale, 1)

    def y(latitude: float) -> float:
        return round(_HIGH / 2 - (latitude - y0) * scale, 1)

    half_x, half_y = _WIDE / 2 / scale / flat, _HIGH / 2 / scale
    lines = []
    for value in _steps(x0 - half_x, x0 + half_x):
        at = x(value)
        lines.append(
            _rule(at, 0, at, _HIGH) + (_words(at, _HIGH - 4, _east(value), "middle") if 16 < at < _WIDE - 16 else "")
        )
    for value in _steps(max(y0 - half_y, -90.0), min(y0 + half_y, 90.0)):
        at = y(value)
        text = f"{abs(value):g}°{'S' if value < 0 else 'N' if value else ''}"
        lines.append(_rule(0, at, _WIDE, at) + (_words(3, at - 2, text, "start") if 12 < at < _HIGH - 14 else ""))
    path = "".join(_path(part, x, y) for part in getattr(shape, "geoms", [shape]))
    drawn = (
        f'<path d="{path}" fill="#3182bd" fill-opacity="0.35" stroke="#08519c" stroke-width="1.5" fill-rule="evenodd"/>'
    )
    return _frame("".join(lines) + drawn, name)


def _geometry(outline: Any) -> BaseGeometry | None:
    """The outline that WKT in lon/lat gives; what goes over the antimeridian in one piece, on longitudes beyond 180."""
    import shapely

    if not isinstance(outline, str) or len(outline) > 200_000:
        return None
    shape = shapely.from_wkt(outline, on_invalid="ignore")
    if shape is None or shape.is_empty or not all(map(math.isfinite, shape.bounds)):
        return None
    west, south, east, north = shape.bounds
    if max(abs(west), abs(east)) > 540 or south < -90.001 or north > 90.001:
        return None
    if east - west > 180.0:
        turned = shapely.transform(shape, _beyond)
        shape = turned if turned.bounds[2] - turned.bounds[0] < east - west else shape
    return shape


def _beyond(places: Any) -> Any:
    moved = places.copy()
    moved[:, 0] %= 360.0
    return moved


def _path(part: Any, x: Any, y: Any) -> str:
    if part.geom_type == "Polygon":
        rings = [part.exterior, *part.interiors]
        return "".join(f"M{'L'.join(f'{x(a)} {y(b)}' for a, b, *_ in ring.coords)}Z" for ring in rings)
    return f"M{'L'.join(f'{x(a)} {y(b)}' for a, b, *_ in part.coords)}" if hasattr(part, "coords") else ""


def _steps(low: float, high: float) -> list[float]:
    """Three to six round numbers between."""
    width = high - low
    power = 10.0 ** math.floor(math.log10(width))
    candidates = [30.0, 45.0, 60.0, 90.0] if width > 90 else [power * step for step in (0.1, 0.2, 0.5, 1.0, 2.0)]
    step = next((step for step in candidates if width / step <= 5), candidates[-1])
    first = math.ceil(low / step)
    return [round((first + at) * step, 10) for at in range(math.floor(high / step) - first + 1)]


def _east(longitude: float) -> str:
    value = round((longitude + 180.0) % 360.0 - 180.0, 10)
    return f"{abs(value):g}°{'W' if value < 0 else 'E' if value else ''}"


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    ends = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
    return f'<line {ends} stroke="currentColor" stroke-opacity="0.25" stroke-width="0.7"/>'


def _words(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" {_QUIET}>{escape(text)}</text>'


def _frame(content: str, name: str) -> str:
    style = "border:1px solid var(--jp-border-color2,#d1d9e0);border-radius:6px;overflow:hidden;align-self:flex-start"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{_HIGH}" viewBox="0 0 {_WIDE} {_HIGH}" '
        f'role="img" aria-label="footprint of {escape(name)}" style="{style}">{content}</svg>'
    )


_register: Any = xr.register_datatree_accessor
_register("product")(ProductCard)
