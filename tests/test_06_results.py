"""A search result is a sequence, a GeoDataFrame and a contact sheet, and stays so with hostile or missing values."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from extenso_nb import errors
from extenso_nb.models import Product
from extenso_nb.results import SearchResult, short_name

START = datetime(2024, 6, 1, 10, 56, 19, 24000, tzinfo=UTC)
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&amp;"


def product(number: int = 0, **changes: Any) -> Product:
    west = (number % 300) - 150.0
    ring = [[west, 0.0], [west + 1, 0.0], [west + 1, 1.0], [west, 1.0], [west, 0.0]]
    fields: dict[str, Any] = {
        "id": f"S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_{number:06d}",
        "uuid": f"u{number}",
        "collection": "S2",
        "platform": "Sentinel-2B",
        "instrument": "MSI",
        "product_type": "S2MSI2A",
        "processing_level": "L2A",
        "begin_position": START + timedelta(hours=number),
        "end_position": START + timedelta(hours=number, seconds=10),
        "ingestion_date": START + timedelta(days=1),
        "footprint": {"type": "Polygon", "coordinates": [ring]},
        "size": 1000 + number,
        "cloud_cover": float(number % 101),
        "sources": ("folder", "sample"),
        "_links": {"thumbnail": {"href": f"/t/{number}"}},
    }
    return Product.model_validate(fields | changes)


def result(*products: Product, total: int | None = None, thumbnails: Any = None) -> SearchResult:
    count = len(products) if total is None else total
    return SearchResult(
        products, total=count, collection="S2", q="cloudcoverpercentage:[0 TO 20]", thumbnails=thumbnails
    )


def picture(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "JPEG")
    return buffer.getvalue()


class Tags(HTMLParser):
    """Collects the tags and attributes that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_is_a_sequence_of_products() -> None:
    found = result(product(1), product(2), product(3), total=9)
    assert len(found) == 3
    assert found[0].id.endswith("000001")
    assert found[-1] == product(3)
    assert product(2) in found
    assert [item.size for item in found] == [1001, 1002, 1003]
    assert found.size == 3006
    part = found[1:]
    assert isinstance(part, SearchResult)
    assert part.ids == found.ids[1:]
    assert part.total == 9
    assert repr(found) == "<SearchResult 3 of 9 S2 products, q='cloudcoverpercentage:[0 TO 20]'>"
    with pytest.raises(IndexError):
        found[3]


def test_gdf_has_the_values_of_the_products() -> None:
    found = result(product(1), product(2, cloud_cover=None, tile_id="31TCJ", orbit_number=37760))
    frame = found.gdf
    assert frame.crs.to_epsg() == 4326
    assert list(frame["id"]) == found.ids
    assert frame["begin_position"][0] == START + timedelta(hours=1)
    assert str(frame["begin_position"].dtype) == "datetime64[us, UTC]"
    assert frame["cloud_cover"][0] == 1.0
    assert frame["cloud_cover"].isna().tolist() == [False, True]
    assert frame["orbit_number"].isna().tolist() == [True, False]
    assert frame["orbit_number"][1] == 37760
    assert frame["tile_id"].isna().tolist() == [True, False]
    assert frame["sources"][0] == "folder, sample"
    assert frame["thumbnail"].tolist() == ["/t/1", "/t/2"]
    assert frame.geometry[0].bounds == (-149.0, 0.0, -148.0, 1.0)
    assert found.gdf is frame


def test_an_empty_gdf_has_the_same_columns_types_and_crs() -> None:
    empty, full = result().gdf, result(product()).gdf
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
    assert empty.dtypes.astype(str).to_dict() == full.dtypes.astype(str).to_dict()
    assert empty.crs == full.crs
    assert empty.geometry.name == "geometry"
    assert empty[empty["cloud_cover"] < 20].empty


def test_products_without_footprint_stay_in_the_table() -> None:
    frame = result(product(1), product(2, footprint=None)).gdf
    assert frame.geometry.isna().tolist() == [False, True]
    only = result(product(2, footprint=None)).gdf
    assert only.geometry[0] is None
    assert only.crs.to_epsg() == 4326


def test_a_broken_footprint_is_named_and_loses_nothing_else() -> None:
    broken = product(2, footprint={"type": "Polygon", "coordinates": [[[0, 0], [1]]]})
    with pytest.warns(UserWarning, match=broken.id):
        frame = result(product(1), broken, product(3)).gdf
    assert frame.geometry.isna().tolist() == [False, True, False]


def test_the_table_can_be_written_and_read_back(tmp_path: Any) -> None:
    import geopandas

    result(product(1), product(2, footprint=None)).gdf.to_file(tmp_path / "scenes.gpkg")
    back = geopandas.read_file(tmp_path / "scenes.gpkg")
    assert back["size"].tolist() == [1001, 1002]
    assert back.geometry[0].equals(shapely.box(-149, 0, -148, 1))


def test_ten_thousand_products_make_a_table_quickly() -> None:
    found = result(*(product(number) for number in range(10_000)))
    start = time.perf_counter()
    frame = found.gdf
    seconds = time.perf_counter() - start
    assert len(frame) == 10_000
    assert frame.geometry.notna().all()
    print(f"10,000 products: {seconds:.2f} s")
    assert seconds < 8, f"{seconds:.2f} s"


def test_geojson_round_trip() -> None:
    found = result(product(1), product(2, footprint=None), total=5)
    body = json.loads(json.dumps(found.to_dict()))
    assert (body["numberMatched"], body["numberReturned"]) == (5, 2)
    first, second = body["features"]
    assert first["id"] == found[0].id
    assert first["properties"]["beginPosition"] == "2024-06-01T11:56:19.024Z"
    assert first["properties"]["cloudCover"] == 1.0
    assert "footprint" not in first["properties"]
    assert second["geometry"] is None
    assert shapely.geometry.shape(found.__geo_interface__["features"][0]["geometry"]).area == 1.0


# --- contact sheet ---------------------------------------------------------------------------------------------------
def test_contact_sheet_shows_24_of_all() -> None:
    asked: list[list[str]] = []

    def fetch(ids: Sequence[str]) -> dict[str, bytes]:
        asked.append(list(ids))
        return {key: picture() for key in ids[::2]}

    found = result(*(product(number) for number in range(30)), total=123, thumbnails=fetch)
    tags = Tags(found._repr_html_())
    images = [attrs for tag, attrs in tags.seen if tag == "img"]
    assert len(images) == 12
    assert all((attrs["src"] or "").startswith("data:image/jpeg;base64,") for attrs in images)
    assert all((attrs["alt"] or "").startswith("Thumbnail of S2B") for attrs in images)
    assert "30 of 123 S2 products" in tags.text
    assert "24 of 30 shown" in tags.text
    assert tags.text.count("no picture") == 12
    found._repr_html_()
    assert found[:3].thumbnails() != {}
    assert asked == [found.ids[:24]], "pictures are fetched once, those that are not there included"


def test_a_result_has_no_script_no_link_and_no_hostile_markup() -> None:
    nasty = product(
        1, id=HOSTILE, platform=HOSTILE, product_type=HOSTILE, tile_id=HOSTILE, footprint=None, processing_level=HOSTILE
    )
    found = SearchResult(
        [nasty], total=1, collection=HOSTILE, q=HOSTILE, thumbnails=lambda ids: dict.fromkeys(ids, picture())
    )
    tags = Tags(found._repr_html_())
    assert {tag for tag, _ in tags.seen} == {"div", "img"}
    assert not [name for _, attrs in tags.seen for name in attrs if name.startswith("on")]
    assert HOSTILE in tags.text
    assert sum(tag == "img" for tag, _ in tags.seen) == 1


@given(st.text(), st.text())
def test_any_text_is_shown_as_it_is(name: str, query: str) -> None:
    found = SearchResult([product(1, id=name, footprint=None)], total=1, collection="S2", q=query)
    tags = Tags(found._repr_html_())
    assert {tag for tag, _ in tags.seen} == {"div"}
    assert repr(found).startswith("<SearchResult 1 of 1 S2 products")


def test_thumbnails_that_fail_do_not_hide_the_result() -> None:
    def fail(ids: Sequence[str]) -> dict[str, bytes]:
        raise errors.GatewayUnreachable(f"No answer from <b>gateway</b> for {len(ids)} thumbnails.")

    found = result(product(1), thumbnails=fail)
    tags = Tags(found._repr_html_())
    assert "No answer from <b>gateway</b> for 1 thumbnails." in tags.text
    assert product(1).id in tags.text
    with pytest.raises(errors.GatewayUnreachable):
        found.thumbnails()


def test_an_empty_result_says_what_to_do() -> None:
    text = Tags(result()._repr_html_()).text
    assert "0 of 0 S2 products" in text
    assert "Widen the dates" in text
    assert "Nothing matches" not in Tags(result(total=12)._repr_html_()).text


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"tile_id": "31TCJ"}, "S2B L2A 31TCJ"),
        ({"collection": "S1", "platform": "Sentinel-1C", "product_type": "GRD"}, "S1C GRD"),
        ({"platform": "Sentinel-5P", "product_type": "L2__NO2___"}, "S5P L2__NO2___"),
        ({"platform": "Sentinel-3", "product_type": ""}, "S3"),
    ],
)
def test_short_names(changes: dict[str, Any], name: str) -> None:
    assert short_name(product(1, **changes)) == name
