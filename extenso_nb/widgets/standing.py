"""A desk for products that are there already: those of a search result, or of a GeoDataFrame."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from extenso_nb.errors import InputError, NoQuicklook
from extenso_nb.models import Product
from extenso_nb.results import SearchResult
from extenso_nb.widgets.desk import Desk
from extenso_nb.widgets.offers import COLLECTIONS
from extenso_nb.widgets.state import ExplorerState

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

__all__ = ["desk", "result_of", "state_of"]


def desk(source: Any) -> Desk | None:
    """A desk that shows a SearchResult or a GeoDataFrame; None where the source is neither."""
    result = result_of(source)
    return None if result is None else Desk(connect=lambda: _Pictures(result), state=state_of(result))


def result_of(source: Any) -> SearchResult | None:
    """The source as a search result; None where it is none.

    Raises InputError for a table without the columns of `SearchResult.gdf`, or with rows that are no products.
    """
    if isinstance(source, SearchResult):
        return source
    if all(hasattr(source, name) for name in ("to_crs", "columns", "geometry")):
        return _from_table(source)
    return None


def state_of(source: Any) -> ExplorerState:
    """The state after the search that gave a result. Raises InputError for what is neither result nor table of one."""
    result = result_of(source)
    if result is None:
        raise InputError(
            f"{type(source).__name__} is no search result.", hint="Give what `search` returned, or rows of its `gdf`."
        )
    known = result.collection in COLLECTIONS
    state = ExplorerState(collection=result.collection) if known else ExplorerState()
    state.q = "" if result.q == "*" else result.q
    state.update(
        searched=True,
        query=result.q,
        found_collection=result.collection,
        found_form=state.search_form(),
        total=max(result.total, len(result)),
        products=tuple({product.id: product for product in result}.values()),
    )
    return state


class _Pictures:
    """Fetches the pictures of a result as the result itself does: in threads, one picture only once."""

    def __init__(self, result: SearchResult) -> None:
        self._places = {product.id: at for at, product in enumerate(result)}
        self._result = result

    async def thumbnail(self, product: Product) -> bytes:
        """JPEG or PNG. Raises NoQuicklook where the result has no picture of it."""
        at = self._places[product.id]
        found = await asyncio.to_thread(self._result[at : at + 1].thumbnails)
        if product.id not in found:
            raise NoQuicklook(f"There is no picture of {product.id}.")
        return found[product.id]

    async def quicklook(self, product: Product) -> bytes:
        """The thumbnail: a result has nothing larger."""
        return await self.thumbnail(product)

    async def aclose(self) -> None:
        """Nothing is held open."""


def _from_table(table: GeoDataFrame) -> SearchResult:
    needed = [name for name, field in Product.model_fields.items() if field.is_required()]
    lacking = [name for name in needed if name not in table.columns]
    if lacking:
        raise InputError(
            f"The table has no column {', '.join(lacking)}.",
            hint="Give a GeoDataFrame with the columns of `SearchResult.gdf`; rows may be left out and put in another order.",
        )
    if table.crs is not None and table.crs.to_epsg() != 4326:
        table = table.to_crs(4326)
    rows = table.drop(columns=table.geometry.name).to_dict("records")
    products = [_product(row, shape) for row, shape in zip(rows, table.geometry, strict=True)]
    missions = {product.collection for product in products}
    return SearchResult(
        products, total=len(products), collection=missions.pop() if len(missions) == 1 else "", q="", thumbnails=None
    )


def _product(row: Mapping[str, Any], shape: Any) -> Product:
    import pandas as pd

    fields = {name: row[name] for name in Product.model_fields if name in row}
    fields = {name: value for name, value in fields.items() if name != "sources" and not pd.isna(value)}
    sources = row.get("sources")
    fields["sources"] = tuple(sources.split(", ")) if isinstance(sources, str) and sources else ()
    fields["footprint"] = None if shape is None else _geojson(shape)
    try:
        return Product.model_validate({**fields, "links": {}})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"The row of {row.get('id')!r} is no product: {where}: {first['msg']}.",
            hint="Give rows as `SearchResult.gdf` has them.",
        ) from error


def _geojson(shape: Any) -> dict[str, Any]:
    """Lists throughout, as JSON has them."""
    import shapely

    body: dict[str, Any] = json.loads(shapely.to_geojson(shape))
    return body
