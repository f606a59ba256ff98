"""Short ways for footprints that need nothing: they give what the long ways give, and take nothing else."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb import aoi
from extenso_nb.aoi.build import Builder, plain
from extenso_nb.errors import AreaError
from extenso_nb.gateway.sources.record import _footprint
from extenso_nb.models import Product
from extenso_nb.results import SearchResult, _only_ring

SQUARE = [[10, 45], [12, 45], [12, 47], [10, 47], [10, 45]]
places = st.tuples(
    st.one_of(st.floats(-200, 200), st.integers(-190, 190), st.sampled_from([180.0, -180.0, 0.0, -0.0, math.nan])),
    st.one_of(st.floats(-91, 91), st.integers(-90, 90), st.sampled_from([90.0, -90.0, math.inf])),
).map(list)
shapes = st.one_of(
    st.lists(places, max_size=8),
    st.lists(places, min_size=3, max_size=8).map(lambda ring: [*ring, ring[0]]),
    st.tuples(st.floats(-179, 170), st.floats(-89, 80), st.floats(0.1, 9)).map(
        lambda box: [list(place) for place in shapely.box(*box[:2], box[0] + box[2], box[1] + box[2]).exterior.coords]
    ),
)


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def the_long_way(body: dict[str, Any]) -> Any:
    try:
        return aoi.sphere.united(list(Builder(None, close=True).geometry(body, "footprint")))
    except AreaError:
        return None


@given(shapes)
def test_the_short_way_of_a_footprint_gives_the_same(ring: list[list[float]]) -> None:
    body = polygon(ring)
    found, expected = plain(body), the_long_way(body)
    if found is not None:
        assert found.geom_type == expected.geom_type
        assert np.array_equal(shapely.get_coordinates(found), shapely.get_coordinates(expected))
    told = None if expected is None else shapely.geometry.mapping(expected)
    assert _footprint(body) == told
    assert type(_footprint(body)) is type(told)


@pytest.mark.parametrize(
    "body",
    [
        None, [], "POLYGON", {}, {"type": "Polygon"}, polygon(), polygon(SQUARE, SQUARE), polygon(SQUARE[:-1]),
        {"type": "MultiPolygon", "coordinates": [[SQUARE]]}, {**polygon(SQUARE), "crs": None}, polygon(None), polygon([]),
        polygon([["10", "45"], ["12", "45"], ["12", "47"], ["10", "45"]]), polygon([[True, 1], [3, 1], [3, 4], [True, 1]]),
        polygon([[*place, 5] for place in SQUARE]), polygon([[10, 45], [12, 45], [12, 47, 1], [10, 45]]),
        polygon([[1, 1], [3, 3], [3, 1], [1, 3], [1, 1]]), polygon([[1, 1], [2, 2], [3, 3], [1, 1]]),
        polygon([[179, 1], [-179, 1], [-179, 2], [179, 2], [179, 1]]), polygon([[1e400, 1], *SQUARE[1:-1], [1e400, 1]]),
        polygon([[10**400, 1], [3, 1], [3, 4], [10**400, 1]]), polygon([[1, 91], [3, 91], [3, 92], [1, 91]]),
    ],
)  # fmt: skip
def test_all_else_goes_the_long_way(body: Any) -> None:
    assert plain(body) is None


def test_what_needs_nothing_goes_the_short_way() -> None:
    assert plain(polygon(SQUARE)) is not None
    assert plain(polygon([[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]])) is None  # 360 at one step
    assert plain(polygon([(float(x), float(y)) for x, y in SQUARE])) is not None


# --- tables ----------------------------------------------------------------------------------------------------------
def product(number: int, footprint: Any) -> Product:
    moment = "2024-06-01T00:00:00Z"
    return Product.model_validate(
        {"id": f"p{number}", "uuid": "u", "collection": "S1", "platform": "Sentinel-1A", "instrument": "SAR-C SAR",
         "product_type": "GRD", "processing_level": "L1", "begin_position": moment, "end_position": moment,
         "ingestion_date": moment, "footprint": footprint}
    )  # fmt: skip


def by_text(footprints: list[Any]) -> list[Any]:
    import json

    texts = [None if item is None else json.dumps(item) for item in footprints]
    return [None if text is None else shapely.from_geojson(text, on_invalid="ignore") for text in texts]


@given(st.lists(st.one_of(st.none(), shapes.map(polygon)), max_size=6))
def test_the_short_way_of_a_table_gives_the_same(footprints: list[Any]) -> None:
    footprints = [item if item is None or item["coordinates"][0] else None for item in footprints]
    found = SearchResult([product(at, item) for at, item in enumerate(footprints)], total=9, collection="S1", q="")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        table = found.gdf
    for shape, expected in zip(table.geometry, by_text(footprints), strict=True):
        if expected is None:
            assert shape is None
        else:
            assert shape.geom_type == expected.geom_type
            assert np.array_equal(shapely.get_coordinates(shape), shapely.get_coordinates(expected), equal_nan=True)


def test_shapes_of_all_kinds_stay_at_their_products() -> None:
    hole = [[10.5, 45.5], [11, 45.5], [11, 46], [10.5, 45.5]]
    footprints = [
        polygon(SQUARE), None, {"type": "MultiPolygon", "coordinates": [[SQUARE]]}, polygon(SQUARE, hole),
        {"type": "Polygon", "coordinates": [[["x"]]]}, polygon([[20, 5], [21, 5], [21, 6], [20, 5]]),
    ]  # fmt: skip
    found = SearchResult([product(at, item) for at, item in enumerate(footprints)], total=6, collection="S1", q="")
    with pytest.warns(UserWarning, match="1 footprints are not GeoJSON geometries"):
        kinds = [shape and (shape.geom_type, shape.area) for shape in found.gdf.geometry]
    assert kinds == [("Polygon", 4), None, ("MultiPolygon", 4), ("Polygon", 3.875), None, ("Polygon", 0.5)]


@pytest.mark.parametrize(
    "ring", [[[1, 2]] * 3, [[1, 2], [3, 4], [5, 6], [7, 8]], [1, 2, 3, 1], [[1, 2, 3]] * 4, None, "x"]
)
def test_what_is_no_ring_goes_the_long_way(ring: Any) -> None:
    assert _only_ring(polygon(ring)) is None
