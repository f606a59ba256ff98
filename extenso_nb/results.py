"""A search result: a sequence of products that is also a GeoDataFrame and a contact sheet of thumbnails."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from html import escape
from typing import TYPE_CHECKING, Any, overload

from extenso_nb import _html, products
from extenso_nb.errors import ProductIdError
from extenso_nb.models import Product

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

__all__ = ["SearchResult", "short_id", "short_name"]

Thumbnails = Callable[[Sequence[str]], Mapping[str, bytes]]

_CARDS = 24
"""Cards of a contact sheet: what one screen shows, and about 0.5 MB of pictures in a saved notebook."""
_TIME = "datetime64[us, UTC]"
_COLUMNS: dict[str, str] = {
    "id": "string",
    "collection": "string",
    "platform": "string",
    "instrument": "string",
    "product_type": "string",
    "processing_level": "string",
    "begin_position": _TIME,
    "end_position": _TIME,
    "ingestion_date": _TIME,
    "cloud_cover": "float64",
    "size": "int64",
    "size_estimated": "bool",
    "online": "bool",
    "orbit_number": "Int64",
    "relative_orbit_number": "Int64",
    "orbit_direction": "string",
    "tile_id": "string",
    "polarisation": "string",
    "sensor_mode": "string",
    "timeliness": "string",
    "processing_baseline": "string",
    "uuid": "string",
}
"""Columns of `gdf` that are fields of a product, and their types. `sources`, `thumbnail` and `geometry` follow them."""


class SearchResult(Sequence[Product]):
    """Products found, in the order of the search.

    Parameters
    ----------
    products
        What was fetched.
    total
        How many the gateway found; more than `len(self)` when the search had a limit.
    collection
        S1, S2, S3 or S5P.
    q
        The query that was sent.
    notes
        What to know of how they were found: a catalogue that did not answer, and which one did in its place.
    thumbnails
        Fetches pictures: identifiers -> identifier: JPEG or PNG. Those without a picture are left out. Called only when
        a contact sheet is drawn, and once for each product.
    """

    def __init__(
        self,
        products: Iterable[Product],
        *,
        total: int,
        collection: str,
        q: str,
        notes: Sequence[str] = (),
        thumbnails: Thumbnails | None = None,
    ) -> None:
        self._products = tuple(products)
        self.total = total
        self.collection = collection
        self.q = q
        self.notes = tuple(notes)
        self._fetch = thumbnails
        self._pictures: dict[str, bytes | None] = {}

    # --- a sequence ---------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self._products)

    @overload
    def __getitem__(self, index: int) -> Product: ...

    @overload
    def __getitem__(self, index: slice) -> SearchResult: ...

    def __getitem__(self, index: int | slice) -> Product | SearchResult:
        if not isinstance(index, slice):
            return self._products[index]
        part = SearchResult(
            self._products[index],
            total=self.total,
            collection=self.collection,
            q=self.q,
            notes=self.notes,
            thumbnails=self._fetch,
        )
        part._pictures = self._pictures  # one cache: a picture seen in the whole is not fetched again for a part
        return part

    @property
    def ids(self) -> list[str]:
        """Identifiers, in the order of the result."""
        return [product.id for product in self._products]

    @property
    def size(self) -> int:
        """Bytes of all products in the result; those whose size is estimated count with their estimate."""
        return sum(product.size for product in self._products)

    # --- a table ------------------------------------------------------------------------------------------------
    @cached_property
    def gdf(self) -> GeoDataFrame:
        """The products as a GeoDataFrame in EPSG:4326, one row a product, index 0..n-1.

        Times are UTC with a time zone, sizes in bytes, cloud cover in per cent (NaN where there is none), texts of the
        nullable `string` type. Columns, types and CRS are the same for an empty result. A product without footprint has
        the geometry None. Built on first use and then kept: what is changed in it stays changed.
        """
        import geopandas
        import pandas as pd

        data: dict[str, Any] = {}
        for name, kind in _COLUMNS.items():
            values = [getattr(product, name) for product in self._products]
            if kind == _TIME:
                moments = pd.to_datetime(pd.Series(values, dtype="object"), utc=True)
                data[name] = moments.astype(_TIME)  # type: ignore[call-overload]
            else:
                data[name] = pd.array(values, dtype=kind)  # type: ignore[call-overload]
        data["sources"] = pd.array([", ".join(product.sources) for product in self._products], dtype="string")
        links = [product.links.get("thumbnail") for product in self._products]
        data["thumbnail"] = pd.array([link.href if link else None for link in links], dtype="string")
        return geopandas.GeoDataFrame(data, geometry=self._geometries(), crs="EPSG:4326")

    def _geometries(self) -> Any:
        """Footprints as an array of shapely geometries, parsed in one call."""
        import numpy as np
        import shapely

        shapes = np.full(len(self), None, dtype=object)
        given = {at: product.footprint for at, product in enumerate(self._products) if product.footprint}
        rings = {at: ring for at, footprint in given.items() if (ring := _only_ring(footprint)) is not None}
        if rings:  # most are: these take a quarter of the time that their text takes
            corners = np.array([place for ring in rings.values() for place in ring], dtype=np.float64)
            owners = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings.values()])
            shapes[list(rings)] = shapely.polygons(shapely.linearrings(corners, indices=owners))
        others = [at for at in given if at not in rings]
        if others:
            texts = np.array([json.dumps(given[at]) for at in others], dtype=object)
            shapes[others] = shapely.from_geojson(texts, on_invalid="ignore")
        lost = [self._products[at].id for at in others if shapes[at] is None]
        if lost:
            warnings.warn(
                f"{len(lost)} footprints are not GeoJSON geometries and are None in .gdf: {_html.value_text(lost)}",
                UserWarning,
                stacklevel=4,
            )
        return shapes

    # --- GeoJSON ------------------------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """A GeoJSON FeatureCollection; the properties of a feature are the API's fields in camelCase."""
        return {
            "type": "FeatureCollection",
            "numberMatched": self.total,
            "numberReturned": len(self),
            "features": [_feature(product) for product in self._products],
        }

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        return self.to_dict()

    # --- pictures and words -------------------------------------------------------------------------------------
    def thumbnails(self, limit: int | None = None) -> dict[str, bytes]:
        """Thumbnails of the first `limit` products (None: of all): identifier -> JPEG or PNG; others are left out.

        Raises what fetching raises: GatewayUnreachable, SourceUnavailable and the like.
        """
        ids = self.ids[:limit]
        missing = [key for key in ids if key not in self._pictures]
        if missing and self._fetch is not None:
            fetched = self._fetch(missing)
            self._pictures.update({key: fetched.get(key) for key in missing})
        found = ((key, self._pictures.get(key)) for key in ids)
        return {key: picture for key, picture in found if picture}

    def __repr__(self) -> str:
        query = self.q if len(self.q) <= 80 else self.q[:77] + "..."
        noted = f"; {' '.join(self.notes)}" if self.notes else ""
        return f"<SearchResult {len(self)} of {self.total} {self.collection} products, q={query!r}{noted}>"

    def _repr_html_(self) -> str:
        """A contact sheet of at most 24 cards: escaped, without script, pictures inline."""
        shown = self._products[:_CARDS]
        note = [f"{len(shown)} of {len(self)} shown"] if len(self) > len(shown) else []
        try:
            pictures = self.thumbnails(_CARDS)
        except Exception as error:  # noqa: BLE001 - a repr must not fail; the reason is said below the cards
            pictures = {}
            note.append(f"Thumbnails could not be fetched: {str(error) or type(error).__name__}")
        if not self._products:
            note.append(
                "Nothing matches. Widen the dates, the area or the cloud cover."
                if not self.total
                else "No products on this page."
            )
        note += self.notes
        caption = f"{len(self)} of {self.total} {self.collection} products"
        if self._products:
            caption += f", {_html.bytes_text(self.size)}"
        return _html.sheet(
            caption, [_card(product, pictures.get(product.id)) for product in shown], note=" · ".join(note)
        )


def _only_ring(footprint: Mapping[str, Any]) -> Sequence[Sequence[float]] | None:
    """The ring of a polygon that has one, closed, of finite lon/lat; None for every other geometry, and what is none."""
    rings = footprint.get("coordinates") if footprint.get("type") == "Polygon" else None
    if not isinstance(rings, (list, tuple)) or len(rings) != 1:
        return None
    ring = rings[0]
    try:
        values = [value for place in ring for value in place]
        is_ring = len(ring) >= 4 and ring[0] == ring[-1] and set(map(len, ring)) == {2}
    except TypeError:
        return None
    is_number = (
        set(map(type, values)) <= {float, int} and max(map(abs, values)) < 1e6 and not any(map(math.isnan, values))
    )
    return ring if is_ring and is_number else None


def _feature(product: Product) -> dict[str, Any]:
    fields = product.to_wire()
    footprint = fields.pop("footprint", None)
    fields.pop("_links", None)
    return {"type": "Feature", "id": product.id, "geometry": footprint, "properties": fields}


def short_name(product: Product) -> str:
    """What to call a product where space is short: `S2A L2A 31TCJ`, `S1A GRD`, `S5P L2__NO2___`."""
    return _short(product.platform, product.product_type, product.tile_id)


@lru_cache(maxsize=4096)
def short_id(product_id: str) -> str:
    """What to call a product of which only the identifier is known: `S2A L2A 31TCJ 2024-06-01`."""
    try:
        product = products.parse(product_id)
    except ProductIdError:
        return product_id if len(product_id) <= 40 else product_id[:37] + "..."
    return f"{_short(product.platform, product.product_type, product.tile_id)} {product.start:%Y-%m-%d}"


def _short(platform: str, kind: str, tile: str | None) -> str:
    if kind.startswith("S2MSI"):
        kind = "L" + kind.removeprefix("S2MSI")  # everybody calls S2MSI2A L2A
    return " ".join(part for part in (platform.replace("Sentinel-", "S"), kind, tile) if part)


def _card(product: Product, picture: bytes | None) -> str:
    """One card: picture, name, time, cloud, size and identifier. All text is escaped."""
    size = ("~" if product.size_estimated else "") + _html.bytes_text(product.size)
    lines = (
        ("font-weight:600", short_name(product)),
        ("", f"{product.begin_position:%Y-%m-%d %H:%M}"),
        ("", f"{size} · {'online' if product.online else 'cold'}"),
        ("", "" if product.cloud_cover is None else f"{product.cloud_cover:.0f} % cloud"),
        ("font-size:10px;line-height:1.25;opacity:.75;overflow-wrap:anywhere", product.id),
    )
    text = "".join(f'<div style="{style}">{escape(line)}</div>' for style, line in lines if line)
    side = 130 if picture else 128  # the placeholder has a border of one pixel
    return (
        f'<div style="width:148px;padding:8px;border:1px solid var(--jp-border-color2,rgba(128,128,128,.4));'
        f'border-radius:6px;box-sizing:border-box;font-size:12px" title="{escape(product.id)}">'
        f"{_html.image(picture, alt='Thumbnail of ' + product.id, width=side, height=side)}"
        f'<div style="margin-top:6px">{text}</div></div>'
    )
