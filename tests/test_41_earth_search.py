"""Earth Search over a server that evaluates the query extension, looks at one time of each item, and counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import forty
import pytest
from far_stac import EarthServer, FarEarthSearch, earth_search_items
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_http import Reply

from extenso_nb.errors import NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Source, lacking, profile_of
from extenso_nb.gateway.sources.earth_search import _SHELVES, _TERMS, EarthSearch
from extenso_nb.gateway.sources.stac_query import Extension, asking
from extenso_nb.models import Product
from extenso_nb.query import parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def as_there(product: Product) -> Product:
    """What the archive says of a product: of a tile of Sentinel-2 not when its datatake was, but for its name."""
    if product.collection == "S1":
        return product
    begin = product.begin_position.replace(microsecond=0)
    return forty.without(product, begin_position=begin, end_position=begin, orbit_direction=None)


HELD = tuple(
    as_there(product) for product in forty.population() if product.collection == "S2" or product.product_type == "GRD"
)


@pytest.fixture(scope="module")
def filled() -> Iterator[FarEarthSearch]:
    with FarEarthSearch() as bed:
        for product in HELD:
            bed.hold(product)
        yield bed


@pytest.fixture
def far() -> Iterator[FarEarthSearch]:
    with FarEarthSearch() as bed:
        yield bed


def test_what_it_is_for(far: FarEarthSearch) -> None:
    assert isinstance(far.source, Source)
    profile = profile_of(far.source)
    assert (profile.searches, profile.delivers, profile.archive) == ({"S1", "S2"}, frozenset(), True)
    assert lacking(far.source) is None
    assert far.server.paths == []


@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_the_forty_queries(filled: FarEarthSearch, collection: str, q: str, orderby: str) -> None:
    found = forty.all_found(filled.source, collection, q, orderby)
    if collection in {"S3", "S5P"}:
        assert isinstance(found, SourceUnavailable)
        assert collection in found.message
    else:
        assert found == forty.right(collection, q, orderby, held=HELD)


def test_products_in_two_collections_are_one(filled: FarEarthSearch) -> None:
    twice = sum(len(earth_search_items(product, timedelta(0))) == 2 for product in HELD)
    assert twice > 3
    hits = filled.source.search("S2", parse("*"), start=0, rows=500, orderby="ingestiondate desc")
    assert hits.total == len(hits.products) == sum(product.collection == "S2" for product in HELD)


S2_ALL = ["sentinel-2-c1-l2a", "sentinel-2-l1c", "sentinel-2-l2a"]
ASKED: list[tuple[str, str, dict[str, Any], bool]] = [
    ("S2", "*", {"collections": S2_ALL}, True),
    ("S2", "producttype:S2MSI1C", {"collections": ["sentinel-2-l1c"]}, True),
    (
        "S2",
        "beginposition:[2024-06-01T00:00:00Z TO 2024-06-02T00:00:00Z]",
        {"collections": S2_ALL, "datetime": "2024-05-31T23:59:59.000Z/2024-06-02T02:00:01.000Z"},
        True,
    ),
    (
        "S2",
        "endposition:[2024-06-01T00:00:00Z TO *]",
        {"collections": S2_ALL, "datetime": "2024-05-31T21:59:59.000Z/.."},
        True,
    ),
    (
        "S2",
        "cloudcoverpercentage:[0 TO 30] AND tileid:31TCJ",
        {
            "collections": S2_ALL,
            "query": {"eo:cloud_cover": {"gte": 0.0, "lte": 30.0}, "grid:code": {"eq": "MGRS-31TCJ"}},
        },
        True,
    ),
    (
        "S2",
        "tileid:31TCJ OR tileid:32TNT",
        {"collections": S2_ALL, "query": {"grid:code": {"in": ["MGRS-31TCJ", "MGRS-32TNT"]}}},
        True,
    ),
    ("S2", "tileid:31TCJ OR cloudcoverpercentage:[0 TO 5]", {"collections": S2_ALL}, False),
    ("S2", "NOT tileid:31TCJ", {"collections": S2_ALL, "query": {"grid:code": {"neq": "MGRS-31TCJ"}}}, True),
    ("S2", "NOT cloudcoverpercentage:[60 TO 100]", {"collections": S2_ALL}, False),
    # Different rests in different collections are more than one search can say.
    ("S2", "producttype:S2MSI1C OR tileid:31TCJ", {"collections": S2_ALL}, False),
    ("S1", "polarisationmode:VV", {"collections": ["sentinel-1-grd"], "query": {"sar:polarizations": {"in": ["VV"]}}}, True),
    (
        "S1",
        'polarisationmode:"VV VH"',
        {"collections": ["sentinel-1-grd"], "query": {"sar:polarizations": {"in": ["VV"]}}},
        False,
    ),
    (
        "S1",
        "ingestiondate:[2024-06-01T00:00:00Z TO *] AND relativeorbitnumber:44",
        {
            "collections": ["sentinel-1-grd"],
            "query": {"created": {"gte": "2024-05-31T23:59:59.000Z"}, "sat:relative_orbit": {"eq": 44}},
        },
        True,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("collection", "q", "body", "exact"), ASKED)
def test_what_is_asked(collection: str, q: str, body: dict[str, Any], exact: bool) -> None:
    shelves = [shelf for shelf in _SHELVES if shelf.collection == collection]
    asked = asking(parse(q), shelves, _TERMS[collection], Extension, NOW, slack=timedelta(hours=2))
    assert asked is not None
    assert (asked.body, asked.exact) == (body, exact)


@pytest.mark.parametrize(
    ("collection", "q"),
    [("S2", "orbitdirection:DESCENDING"), ("S1", "uuid:x"), ("S2", 'size:"1 GB"'), ("S2", "NOT timeliness:x")],
)
def test_what_it_cannot_be_asked_for(filled: FarEarthSearch, collection: str, q: str) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        filled.source.search(collection, parse(q), start=0, rows=1, orderby="beginposition asc")
    assert caught.value.details["cannot"]


def test_find_in_bulk(filled: FarEarthSearch) -> None:
    names = tuple(product.id for product in HELD)
    before = len(filled.server.bodies)
    found = filled.source.find((*names, "nothing", forty.population()[2].id))
    assert set(found) == set(names)
    bodies = filled.server.bodies[before:]
    assert len(bodies) == 2
    assert all("fields" in body for body in bodies)
    other = names[0][:-4] + "FFFF"  # another processing of the same data is another product
    assert filled.source.find((other,)) == {}


def test_a_thousand_products_take_their_pages(far: FarEarthSearch) -> None:
    chosen = next(product for product in HELD if product.product_type == "S2MSI1C")
    orbit = "N0510_R051_T31TCJ_20240730T"
    ids = [
        f"S2A_MSIL1C_202406{at // 48 + 1:02d}T{at // 2 % 24:02d}{at % 2}000_{orbit}{at // 60:02d}{at % 60:02d}00"
        for at in range(1000)
    ]
    for at, name in enumerate(ids):
        item = earth_search_items(chosen, timedelta(0))[0]
        created = (chosen.ingestion_date + timedelta(seconds=at)).isoformat()
        facts = {"s2:product_uri": f"{name}.SAFE", "created": created, "grid:code": "MGRS-31TCJ"}
        item |= {"id": f"item-{at}", "properties": item["properties"] | facts}
        far.server.put(item)
    hits = far.source.search("S2", parse("tileid:31TCJ"), start=0, rows=1000, orderby="ingestiondate asc")
    assert hits.total == 1000
    assert [product.id for product in hits.products] == ids
    assert len(far.server.bodies) == 4
    assert all(body["limit"] <= EarthServer.largest for body in far.server.bodies)


# --- what it gives ---------------------------------------------------------------------------------------------------
PICTURE = b"\xff\xd8\xff a picture"


def with_thumbnail(far: FarEarthSearch, **entry: Any) -> str:
    product = next(product for product in HELD if product.product_type == "S2MSI2A")
    (item, *_) = earth_search_items(product, timedelta(0))
    item["assets"]["thumbnail"] = {"href": f"{far.server.url}/bytes/thumb", "type": "image/jpeg"} | entry
    far.server.put(item)
    return product.id


def test_a_picture_needs_an_address_that_is_open(far: FarEarthSearch) -> None:
    name = with_thumbnail(far, href="s3://sentinel-s2-l1c/preview.jpg")
    with pytest.raises(NoQuicklook):
        far.source.quicklook(name)
    name = with_thumbnail(far, type="image/tiff; application=geotiff")
    with pytest.raises(NoQuicklook):
        far.source.quicklook(name)
    name = with_thumbnail(far, href=None)
    with pytest.raises(NoQuicklook):
        far.source.quicklook(name)
    with pytest.raises(UnknownProduct):
        far.source.quicklook("S2A_MSIL1C_20240601T105619_N0510_R094_T31TCJ_20240601T134512")


def test_a_picture(far: FarEarthSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    name = with_thumbnail(far, href="https://e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com/x/L2A_PVI.jpg")
    asked: list[str] = []

    def get_bytes(url: str, **_: Any) -> bytes:
        asked.append(url)
        return PICTURE

    monkeypatch.setattr(far.source._remote, "get_bytes", get_bytes)
    assert far.source.quicklook(name) == PICTURE
    assert asked == ["https://e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com/x/L2A_PVI.jpg"]


def test_assets_of_a_recorded_item(far: FarEarthSearch, shared_data: Path) -> None:
    (path,) = (shared_data / "catalog/earth_search_items").glob("*.json")
    item = json.loads(
        path.read_text().replace("s3://deafrica-sentinel-2-l2a-c1-dev", "s3://e84-earth-search-sentinel-data")
    )
    item["collection"] = "sentinel-2-c1-l2a"
    item["assets"]["paid"] = {"href": "s3://sentinel-s2-l1c/B04.jp2"}
    item["assets"]["odd"] = None
    far.server.put(item)
    found = far.source.assets("S2B_MSIL2A_20240710T071619_N0510_R006_T37MGP_20240710T103747")
    below = "https://e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com/sentinel-2-c1-l2a/37/M/GP/2024/7"
    assert found["red"] == f"{below}/S2B_T37MGP_20240710T073012_L2A/B04.tif"
    assert len(found) == 23
    assert {"paid", "odd"} & set(found) == set()


def test_it_delivers_nothing_and_says_so(far: FarEarthSearch) -> None:
    with pytest.raises(SourceUnavailable, match="GeoTIFF") as caught:
        far.source.open(HELD[0].id)
    assert caught.value.details["cannot"]
    assert far.source.warm_up(HELD[0].id) is None  # type: ignore[func-returns-value]
    assert far.server.paths == []


def test_check_and_a_catalogue_that_is_down(far: FarEarthSearch) -> None:
    assert far.source.check() is None  # type: ignore[func-returns-value]
    far.server.answer = lambda _: Reply.json({"code": "NotFound", "description": "Not Found"}, 404)
    with pytest.raises(SourceUnavailable, match="404"):
        far.source.find((HELD[0].id,))
    far.server.close()
    for call in (
        far.source.check,
        lambda: far.source.find((HELD[0].id,)),
        lambda: far.source.quicklook(HELD[0].id),
        lambda: far.source.search("S2", parse("*"), start=0, rows=5, orderby="beginposition asc"),
    ):
        with pytest.raises(SourceUnavailable):
            call()


def test_default_address() -> None:
    source = EarthSearch()
    assert source._catalogue._url == "https://earth-search.aws.element84.com/v1"
    source.close()


WORDS = ("producttype:S2MSI2A", "tileid:31TCJ", "tileid:32TNT", "cloudcoverpercentage:[10 TO 60}", "processingbaseline:05.10",
         "platformserialidentifier:S2A", "identifier:S2A_MSIL2A*", "relativeorbitnumber:51", "processinglevel:L1C",
         "endposition:[2024-06-01T00:00:00Z TO *]", "beginposition:[* TO 2024-06-10T00:00:00Z]",
         "ingestiondate:[2024-06-05T00:00:00Z TO 2024-06-12T00:00:00Z]",
         'footprint:"Intersects(POLYGON((0 -40, 60 -40, 60 60, 0 60, 0 -40)))"')  # fmt: skip


def trees() -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(WORDS),
        lambda inner: (
            st.builds("NOT ({})".format, inner)
            | st.builds("({} AND {})".format, inner, inner)
            | st.builds("({} OR {})".format, inner, inner)
        ),
        max_leaves=6,
    )


@settings(max_examples=100, deadline=None)
@given(q=trees())
def test_whatever_is_asked_is_right(filled: FarEarthSearch, q: str) -> None:
    found = forty.all_found(filled.source, "S2", q, "ingestiondate desc", rows=100)
    assert found == forty.right("S2", q, "ingestiondate desc", held=HELD)
