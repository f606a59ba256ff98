"""STAC: recorded items of five catalogues, queries in CQL2, and CDSE's catalogue over a server that evaluates them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forty
import pytest
from far_stac import FarCdseStac, Refused, cdse_item, cql2
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_http import Reply

from extenso_nb import products
from extenso_nb.errors import InvalidRequest, NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.catalogue import Catalogue
from extenso_nb.gateway.sources.cdse_stac import CdseStac
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.gateway.sources.stac import CDSE_TERMS, cdse_shelf
from extenso_nb.gateway.sources.stac_items import archive_of, identity_of, product_from
from extenso_nb.gateway.sources.stac_query import Cql2, Shelf, asking
from extenso_nb.models import Product
from extenso_nb.query import parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)


# --- recorded answers ------------------------------------------------------------------------------------------------
RECORDED = {
    # folder: files, of them with items, items, products, with a size of their own, with a footprint
    "cdse_stac": (114, 8, 10, 10, 10, 10),
    "cdse_stac_collections": (1, 0, 0, 0, 0, 0),
    "cdse_stac_items": (89, 89, 89, 83, 54, 83),
    "earth_search_items": (1, 1, 1, 1, 0, 1),
    "earth_search_stac": (18, 7, 34, 2, 0, 2),
    "eopf_stac": (6, 4, 22, 22, 0, 22),
    "planetary_computer": (24, 9, 9, 9, 0, 9),
    "stactools_items": (16, 16, 16, 16, 0, 16),
}


def recorded(folder: Path) -> Iterator[Any]:
    for path in sorted(folder.rglob("*.json")):
        if path.name != "index.json":
            yield json.loads(path.read_text())


def items_of(answer: Any) -> list[dict[str, Any]]:
    kind = answer.get("type") if isinstance(answer, dict) else None
    return answer["features"] if kind == "FeatureCollection" else [answer] if kind == "Feature" else []


@pytest.mark.parametrize("folder", RECORDED)
def test_recorded_items_are_read(shared_data: Path, folder: str) -> None:
    answers = list(recorded(shared_data / "catalog" / folder))
    with_items = [
        answer
        for answer in answers
        if isinstance(answer, dict) and answer.get("type") in {"Feature", "FeatureCollection"}
    ]
    items = [item for answer in with_items for item in items_of(answer)]
    read = [(item, product_from(item, "here")) for item in items]
    found = [product for _, product in read if product is not None]
    sized = sum(not product.size_estimated for product in found)
    placed = sum(product.footprint is not None for product in found)
    assert (len(answers), len(with_items), len(items), len(found), sized, placed) == RECORDED[folder]


def test_a_recorded_search_of_earth_search_is_read(shared_data: Path) -> None:
    path = shared_data / "catalog/eodag_provider_responses/earth_search_search.json"
    (product,) = filter(None, (product_from(item, "here") for item in items_of(json.loads(path.read_text()))))
    assert product.id == "S2B_MSIL1C_20240206T131259_N0510_R081_T27VWK_20240206T133903"
    assert (product.orbit_number, product.tile_id, product.cloud_cover) == (36143, "27VWK", 9.93604802923519)


def test_an_item_of_cdse_says_all_of_its_product(shared_data: Path) -> None:
    answer = json.loads((shared_data / "catalog/cdse_stac/005_200.json").read_text())
    item = answer["features"][0]
    product = product_from(item, "cdse")
    assert product is not None
    assert product.to_wire() | {"footprint": None} == {
        "id": "S2B_MSIL2A_20200705T101559_N0500_R065_T32TNT_20230530T175912",
        "uuid": "8e7057cf-af5f-46de-868e-fe5a8faa2d9c",
        "collection": "S2",
        "platform": "Sentinel-2B",
        "instrument": "MSI",
        "productType": "S2MSI2A",
        "processingLevel": "L2A",
        "beginPosition": "2020-07-05T10:15:59.024Z",
        "endPosition": "2020-07-05T10:15:59.024Z",
        "ingestionDate": "2023-09-12T04:40:36.585Z",
        "footprint": None,
        "size": 1169979461,
        "sizeEstimated": False,
        "online": True,
        "sources": ["cdse"],
        "cloudCover": 31.64,
        "orbitNumber": 17394,
        "relativeOrbitNumber": 65,
        "orbitDirection": "DESCENDING",
        "tileId": "32TNT",
        "sensorMode": "INS-NOBS",
        "processingBaseline": "05.00",
        "_links": {},
    }
    assert archive_of(item).checksums == (("md5", "f3ad2c3da705b6c062a89423ffbac62d"),)


def test_a_part_of_a_product_is_not_the_product() -> None:
    whole = "S1A_IW_SLC__1SDV_20240601T055126_20240601T055151_054126_0694C4_5A1B"
    assets = {"VV": {"href": f"s3://eodata/Sentinel-1/SAR/{whole}.SAFE/measurement/x.tiff"}}
    assert identity_of({"id": "S1_SLC_20240601T055126_054126_IW1_VV_344551", "assets": assets}) is None
    found = identity_of({"id": whole.rpartition("_")[0], "assets": assets})
    assert found is not None
    assert found.id == whole


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../..", "'", "9999"])
)
NESTED = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=6), PLAIN, max_size=3)
ODD = NESTED | st.lists(NESTED, max_size=3) | st.dictionaries(st.text(max_size=6), NESTED, max_size=3)
FACTS = (
    "datetime", "start_datetime", "end_datetime", "published", "created", "eo:cloud_cover", "sat:absolute_orbit",
    "sat:relative_orbit", "sat:orbit_state", "sar:polarizations", "eopf:instrument_mode", "product:timeliness_category",
    "s2:product_uri", "s2:datatake_id",
)  # fmt: skip
NAMES = (
    "S1A_IW_GRDH_1SDV_20240601T055126_20240601T055151_054126_0694C4_5A1B",
    "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512",
    "S3A_OL_1_EFR____20240601T093012_20240601T093312_20240601T112345_0179_113_136_2160_PS1_O_NR_004",
)


@settings(max_examples=200)
@given(
    name=st.sampled_from(NAMES) | ODD,
    facts=ODD | st.dictionaries(st.sampled_from(FACTS), ODD, max_size=6),
    geometry=ODD,
    assets=ODD | st.dictionaries(st.sampled_from(["product", "Product", "x"]), ODD | st.fixed_dictionaries(
        {"href": ODD, "file:size": ODD, "file:checksum": ODD}), max_size=2),
)  # fmt: skip
def test_whatever_an_item_has_it_is_a_product_or_none(name: Any, facts: Any, geometry: Any, assets: Any) -> None:
    item = {"id": name, "properties": facts, "geometry": geometry, "assets": assets}
    product = product_from(item, "here")
    if isinstance(name, str) and name in NAMES:
        assert product is not None
        assert product.begin_position <= product.end_position
        assert product.size > 0
    else:
        assert product is None


KINDS = {
    "cdse_stac": {"landing page": 2, "collection": 103, "collections": 1, "item": 6, "items": 2},
    "earth_search_stac": {"landing page": 1, "collections": 7, "items": 7, "404": 1, "old": 2},
    "eopf_stac": {"landing page": 2, "items": 4},
}


def kind_of(answer: Any, status: int) -> str:
    if status != 200:
        return str(status)
    if not isinstance(answer, dict):
        return "old"
    if isinstance(answer.get("collections"), list):
        return "collections"
    kinds = {"Catalog": "landing page", "Collection": "collection", "Feature": "item", "FeatureCollection": "items"}
    return kinds.get(str(answer.get("type")), "old")  # v0 of Earth Search


@pytest.mark.parametrize("folder", KINDS)
def test_recorded_answers_are_taken_for_what_they_are(far: FarCdseStac, shared_data: Path, folder: str) -> None:
    """Each one in place of a landing page, of a list of collections and of a search: well where it is that."""
    below, kinds = shared_data / "catalog" / folder, Counter[str]()
    for entry in json.loads((below / "index.json").read_text()):
        body = (below / entry["file"]).read_bytes()
        reply = Reply(entry["status"], body)
        kind = kind_of(json.loads(body), entry["status"])
        kinds[kind] += 1
        far.server.site = lambda _, reply=reply: reply
        for call, fits in (
            (far.source.check, kind == "landing page"),
            (lambda: list(far.source._collections()), kind == "collections"),
            (lambda: next(far.source._walk({}, lambda: 10)), kind == "items"),
        ):
            if fits:
                call()
                continue
            with pytest.raises(SourceUnavailable) as caught:
                call()
            assert kind != "404" or caught.value.details["status"] == 404
    assert kinds == KINDS[folder]


# --- collections -----------------------------------------------------------------------------------------------------
def test_what_the_recorded_collections_say(shared_data: Path) -> None:
    """The items that CDSE's own examples have in them are of the type, level and timeliness that their names say."""
    seen = 0
    for folder in ("cdse_stac", "cdse_stac_items"):
        for answer in recorded(shared_data / "catalog" / folder):
            for item in items_of(answer):
                product, shelf = product_from(item, "x"), cdse_shelf(item["collection"])
                if product is None:
                    assert shelf is None
                    continue
                assert shelf is not None
                assert shelf.collection == product.collection
                assert shelf.product_type in {None, product.product_type}
                assert shelf.processing_level in {None, product.processing_level}
                assert shelf.timeliness in {None, product.timeliness}
                assert shelf.instrument == product.instrument
                seen += 1
    assert seen == 93


def test_every_recorded_collection_is_known(shared_data: Path) -> None:
    answer = json.loads((shared_data / "catalog/cdse_stac/011_200.json").read_text())
    names = [entry["id"] for entry in answer["collections"]]
    shelves = {name: cdse_shelf(name) for name in names}
    assert [name for name, shelf in shelves.items() if shelf is None] == [
        "sentinel-1-global-mosaics",
        "sentinel-2-global-mosaics",
    ]
    assert all(shelf.product_type for shelf in shelves.values() if shelf is not None)
    assert len(names) == 118
    assert cdse_shelf("landsat-c2-l2") is None
    assert cdse_shelf("sentinel-1-slc-burst") is None
    assert cdse_shelf("sentinel-3-new-thing") == Shelf("sentinel-3-new-thing", "S3")


# --- the body of a search --------------------------------------------------------------------------------------------
def prop(op: str, name: str, value: Any) -> dict[str, Any]:
    return {"op": op, "args": [{"property": name}, value]}


def opposite(op: str, name: str, value: Any) -> dict[str, Any]:
    return {
        "op": "or",
        "args": [{"op": "not", "args": [prop(op, name, value)]}, {"op": "isNull", "args": [{"property": name}]}],
    }


SHELVES = {
    "S1": ("sentinel-1-grd", "sentinel-1-slc", "sentinel-1-ocn"),
    "S2": ("sentinel-2-l1c", "sentinel-2-l2a"),
    "S3": ("sentinel-3-olci-1-efr-nrt", "sentinel-3-olci-1-efr-ntc", "sentinel-3-sl-2-lst-ntc"),
    "S5P": ("sentinel-5p-l2-no2-nrti", "sentinel-5p-l2-no2-offl", "sentinel-5p-l2-co-offl"),
}
SQUARE = {"type": "Polygon", "coordinates": (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)),)}
WKT = "POLYGON((0 0, 1 0, 1 1, 0 1, 0 0))"
NO2 = ["sentinel-5p-l2-no2-nrti", "sentinel-5p-l2-no2-offl"]
ASKED: list[tuple[str, str, dict[str, Any], bool]] = [
    ("S2", "*", {"collections": list(SHELVES["S2"])}, True),
    ("S2", "producttype:S2MSI2A", {"collections": ["sentinel-2-l2a"]}, True),
    ("S2", "NOT processinglevel:Level-2A", {"collections": ["sentinel-2-l1c"]}, True),
    ("S5P", "producttype:L2__NO2___", {"collections": NO2}, True),
    ("S5P", 'producttype:L2__NO2___ AND processingmode:"Offline"', {"collections": NO2[1:]}, True),
    ("S3", "timeliness:NT AND instrumentshortname:OLCI", {"collections": ["sentinel-3-olci-1-efr-ntc"]}, True),
    (
        "S2",
        "beginposition:[2024-06-01T00:00:00Z TO 2024-06-02T00:00:00Z]",
        {"collections": list(SHELVES["S2"]), "datetime": "2024-05-31T23:59:59.000Z/2024-06-02T00:00:01.000Z"},
        True,
    ),
    (
        "S1",
        "producttype:OCN AND endposition:[2024-06-01T00:00:00Z TO *]",
        {"collections": ["sentinel-1-ocn"], "datetime": "2024-05-31T23:59:59.000Z/.."},
        True,
    ),
    (
        "S2",
        f'footprint:"Intersects({WKT})" AND tileid:31tcj',
        {
            "collections": list(SHELVES["S2"]),
            "intersects": SQUARE,
            "filter-lang": "cql2-json",
            "filter": prop("=", "grid:code", "MGRS-31TCJ"),
        },
        True,
    ),
    ("S2", f'footprint:"IsWithin({WKT})"', {"collections": list(SHELVES["S2"]), "intersects": SQUARE}, False),
    (
        "S2",
        "cloudcoverpercentage:[10 TO 30}",
        {
            "collections": list(SHELVES["S2"]),
            "filter-lang": "cql2-json",
            "filter": {
                "op": "and",
                "args": [prop(">=", "eo:cloud_cover", 10.0), prop("<", "eo:cloud_cover", 30.0)],
            },
        },
        True,
    ),
    (
        "S1",
        "producttype:GRD AND NOT polarisationmode:VH",
        {
            "collections": ["sentinel-1-grd"],
            "filter-lang": "cql2-json",
            "filter": opposite("a_contains", "sar:polarizations", ["VH"]),
        },
        True,
    ),
    (
        "S1",
        "producttype:SLC OR orbitnumber:54100",
        {
            "collections": sorted(SHELVES["S1"]),
            "filter-lang": "cql2-json",
            "filter": {
                "op": "or",
                "args": [
                    {
                        "op": "and",
                        "args": [
                            prop("in", "collection", ["sentinel-1-grd", "sentinel-1-ocn"]),
                            prop("=", "sat:absolute_orbit", 54100),
                        ],
                    },
                    prop("in", "collection", ["sentinel-1-slc"]),
                ],
            },
        },
        True,
    ),
    (
        "S1",
        "producttype:SLC AND filename:S1A_IW*.SAFE",
        {
            "collections": ["sentinel-1-slc"],
            "filter-lang": "cql2-json",
            "filter": prop("like", "id", "S1A_IW%"),
        },
        False,
    ),
    (
        "S1",
        'producttype:SLC AND identifier:"x\' OR 1=1"',
        {
            "collections": ["sentinel-1-slc"],
            "filter-lang": "cql2-json",
            "filter": prop("=", "id", "x' OR 1=1"),
        },
        True,
    ),
    (
        "S2",
        "producttype:S2MSI2A AND ingestiondate:[2024-06-01T00:00:00Z TO *]",
        {
            "collections": ["sentinel-2-l2a"],
            "filter-lang": "cql2-json",
            "filter": prop(">=", "published", {"timestamp": "2024-05-31T23:59:59.000Z"}),
        },
        True,
    ),
    ("S2", "producttype:S2MSI2A AND hv_order_tileid:TC31J", {"collections": ["sentinel-2-l2a"]}, False),
]


@pytest.mark.parametrize(("collection", "q", "body", "exact"), ASKED)
def test_what_is_asked(collection: str, q: str, body: dict[str, Any], exact: bool) -> None:
    shelves = [shelf for shelf in map(cdse_shelf, SHELVES[collection]) if shelf is not None]
    asked = asking(parse(q), shelves, CDSE_TERMS[collection], Cql2, NOW)
    assert asked is not None
    assert (asked.body, asked.exact) == (body, exact)
    json.dumps(asked.body)


@pytest.mark.parametrize("q", ["producttype:RAW", "tileid:31TCJ", "producttype:GRD AND producttype:SLC"])
def test_what_no_collection_can_hold_is_not_asked(q: str) -> None:
    shelves = [shelf for shelf in map(cdse_shelf, SHELVES["S1"]) if shelf is not None]
    assert asking(parse(q), shelves, CDSE_TERMS["S1"], Cql2, NOW) is None


def test_the_bed_knows_what_it_does_not_know() -> None:
    item = {"id": "a", "collection": "c", "geometry": None, "properties": {"eo:cloud_cover": 5}}
    assert cql2(item, prop("<", "eo:cloud_cover", 10)) is True
    assert cql2(item, prop("=", "sat:orbit_state", "x")) is None
    assert cql2(item, {"op": "not", "args": [prop("=", "sat:orbit_state", "x")]}) is None
    assert cql2(item, opposite("=", "sat:orbit_state", "x")) is True
    with pytest.raises(Refused):
        cql2(item, prop("=", "eo:cloud_cover", "5"))


# --- the catalogue ---------------------------------------------------------------------------------------------------
def as_cdse(product: Product) -> Product:
    """As CDSE's STAC has it: ground range products of Sentinel-1 only as COG."""
    if product.product_type != "GRD":
        return product
    return forty.without(product, id=f"{product.id}_COG")


HELD = tuple(map(as_cdse, forty.population()))


@pytest.fixture(scope="module")
def filled() -> Iterator[FarCdseStac]:
    with FarCdseStac() as bed:
        for product in HELD:
            bed.hold(product)
        mosaic = cdse_item(HELD[1]) | {"id": "Sentinel-2_mosaic_2024_Q1_17RLM_0_0", "assets": {}}
        bed.server.put(mosaic)
        yield bed


@pytest.fixture
def far() -> Iterator[FarCdseStac]:
    with FarCdseStac() as bed:
        yield bed


@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_the_forty_queries(filled: FarCdseStac, collection: str, q: str, orderby: str) -> None:
    found = forty.all_found(filled.source, collection, q, orderby)
    assert found == forty.right(collection, q, orderby, held=HELD)


@pytest.mark.parametrize("q", ["uuid:x", "slicenumber:4", "NOT gmlfootprint:x"])
def test_what_it_cannot_be_asked_for(filled: FarCdseStac, q: str) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        filled.source.search("S1", parse(q), start=0, rows=1, orderby="beginposition asc")
    assert caught.value.details["cannot"]


def test_find_in_bulk(filled: FarCdseStac) -> None:
    names = [product.id for product in HELD]
    before = len(filled.server.bodies)
    found = filled.source.find((*names, names[0], "nothing", names[0].replace("_2024", "_2023")))
    assert {name: product.size for name, product in found.items()} == {product.id: product.size for product in HELD}
    assert not any(product.size_estimated for product in found.values())
    assert len(filled.server.bodies) - before == 3
    assert all(len(body["ids"]) <= 100 for body in filled.server.bodies[before:])


def test_collections_are_read_once_and_all_of_them(filled: FarCdseStac) -> None:
    filled.source.search("S3", parse("*"), start=0, rows=1, orderby="beginposition asc")
    listed = [path for _, path in filled.server.paths if path == "/stac/collections"]
    assert 1 < len(listed) == -(-(len(filled.server.collections) + 2) // 3)


def many(count: int) -> list[Product]:
    footprint = forty.population()[1].footprint
    times = [f"{at // 3600:02d}{at // 60 % 60:02d}{at % 60:02d}" for at in range(count)]
    names = [f"S2A_MSIL2A_20240601T{time}_N0510_R051_T31TCJ_20240601T235959" for time in times]
    return [product_of(products.parse(name), "x", footprint=footprint, size=1) for name in names]


def test_a_thousand_products_take_the_pages_and_the_list_of_collections(far: FarCdseStac) -> None:
    for product in many(1000):
        far.hold(product)
    hits = far.source.search("S2", parse("tileid:31TCJ"), start=0, rows=1000, orderby="beginposition asc")
    assert len(hits.products) == 1000
    assert [product.id for product in hits.products] == [product.id for product in many(1000)]
    assert len(far.server.bodies) == 4
    assert {body["limit"] for body in far.server.bodies} == {250}
    assert len(far.server.paths) == 4 + 2
    assert (hits.total, hits.notes) == (1000, ())


def test_a_page_is_as_small_as_what_is_looked_at(far: FarCdseStac) -> None:
    for product in many(150):
        far.hold(product)
    hits = far.source.search("S2", parse("*"), start=0, rows=20, orderby="beginposition desc")
    assert (len(hits.products), len(far.server.bodies), far.server.bodies[0]["limit"]) == (20, 1, 100)
    assert hits.total > 20
    assert "does not say how many" in hits.notes[0]


def test_too_many_to_look_through_is_said(far: FarCdseStac) -> None:
    far.source._walks.most = 100
    for product in many(300):
        far.hold(product)
    with pytest.raises(InvalidRequest, match="looked through"):
        far.source.search("S2", parse("hv_order_tileid:TC31K"), start=0, rows=20, orderby="beginposition desc")


# --- what goes wrong -------------------------------------------------------------------------------------------------
ITEM = cdse_item(HELD[1])
HOSTILE: dict[str, Reply] = {
    "null": Reply(200, b"null"),
    "a list": Reply(200, b"[]"),
    "no features": Reply.json({"type": "FeatureCollection"}),
    "features null": Reply.json({"features": None}),
    "a feature null": Reply.json({"features": [None]}),
    "a feature a text": Reply.json({"features": ["x"]}),
    "no JSON": Reply(200, b"{"),
    "a page": Reply(200, b"<!DOCTYPE html><title>Sign in</title>" + b"x" * 10_000_000, {"Content-Type": "text/html"}),
    "deep": Reply(200, b"[" * 100_000),
    "503": Reply.json({"detail": "down"}, 503),
    "404": Reply.json({"code": "NotFoundError"}, 404),
    "429": Reply.json({"detail": "Too many requests"}, 429, Retry_After="5"),
    "400": Reply.json({"code": "RequestValidationError", "description": "no such thing"}, 400),
    "next nowhere": Reply.json({"features": [], "links": [{"rel": "next", "href": None}]}),
    "next without token": Reply.json({"features": [], "links": [{"rel": "next", "href": "http://127.0.0.1:1/?x=1"}]}),
    "a circle": Reply.json({"features": [], "links": [{"rel": "next", "body": {"token": "a"}}]}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_are_no_empty_result(far: FarCdseStac, name: str) -> None:
    far.hold(HELD[1])
    far.server.answer = lambda _: HOSTILE[name]
    calls = (
        lambda: far.source.search(HELD[1].collection, parse("*"), start=0, rows=5, orderby="beginposition asc"),
        lambda: far.source.find((HELD[1].id,)),
    )
    for call in calls:
        with pytest.raises(SourceUnavailable) as caught:
            call()
        assert caught.value.details["source"] == "cdse"
        assert not caught.value.details.get("cannot")


@pytest.mark.parametrize("links", [None, 5, [None], [{"rel": "next"}, 4], [{"rel": None}], {}])
def test_odd_links_and_counts(far: FarCdseStac, links: Any) -> None:
    far.server.put(ITEM)
    odd = {"features": [ITEM], "links": links, "numberMatched": "many", "context": {"matched": -4}}
    far.server.answer = lambda _: Reply.json(odd)
    if links == [{"rel": "next"}, 4]:
        with pytest.raises(SourceUnavailable, match="nowhere"):
            far.source.find((HELD[1].id,))
        return
    assert list(far.source.find((HELD[1].id,))) == [HELD[1].id]
    hits = far.source.search(HELD[1].collection, parse("*"), start=0, rows=5, orderby="beginposition asc")
    assert (hits.total, [product.id for product in hits.products]) == (1, [HELD[1].id])


def test_a_link_is_never_followed_elsewhere(far: FarCdseStac) -> None:
    for product in many(300):
        far.hold(product)
    href = f"{far.server.other_url}/steal?token=next:S2"
    answered: list[int] = []

    def answer(body: dict[str, Any]) -> Reply | None:
        if body.get("token") == "next:S2":
            return Reply.json({"features": []})
        answered.append(1)
        return Reply.json({"features": [ITEM], "links": [{"rel": "next", "method": "GET", "href": href}]})

    far.server.answer = answer
    far.source.find((HELD[1].id,))
    assert {path for _, path in far.server.paths} == {"/stac/search"}
    assert answered == [1]


def test_a_catalogue_that_is_down(far: FarCdseStac) -> None:
    far.server.close()
    for call in (
        far.source.check,
        lambda: far.source.find((HELD[1].id,)),
        lambda: far.source.search("S2", parse("*"), start=0, rows=5, orderby="beginposition asc"),
    ):
        with pytest.raises(SourceUnavailable):
            call()


def test_check(far: FarCdseStac) -> None:
    far.source.check()
    far.server.down = True
    with pytest.raises(SourceUnavailable, match="503"):
        far.source.check()


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, b"null"),
        Reply.json({"collections": None}),
        Reply.json({"collections": []}),
        Reply.json({"collections": [None, {"id": 5}, {"id": "landsat-c2-l2"}]}),
        Reply.json({"collections": [{"id": "x"}], "links": [{"rel": "next", "href": "?n=1"}]}),
        Reply.json({"detail": "Not Found"}, 404),
    ],
)
def test_a_catalogue_without_collections_is_not_empty(far: FarCdseStac, answer: Reply) -> None:
    right = far.server.reply
    far.server.site = lambda request: answer if request.path.endswith("/collections") else right(request)
    with pytest.raises(SourceUnavailable):
        far.source.search("S2", parse("*"), start=0, rows=5, orderby="beginposition asc")
    far.server.site = right
    far.hold(HELD[1])
    collection = HELD[1].collection
    assert far.source.search(collection, parse("*"), start=0, rows=5, orderby="beginposition asc").total == 1


def test_a_list_of_collections_without_end_is_given_up(far: FarCdseStac) -> None:
    pages = iter(range(1000))

    def site(request: Any) -> Reply:
        link = {"rel": "next", "href": f"?offset={next(pages)}"}
        return Reply.json({"collections": [{"id": "sentinel-2-l2a"}], "links": [link]})

    far.server.site = site
    with pytest.raises(SourceUnavailable, match="more than 100 pages"):
        far.source.search("S2", parse("*"), start=0, rows=5, orderby="beginposition asc")


WORDS = ("producttype:GRD", "producttype:SLC", "polarisationmode:VV", "orbitdirection:ASCENDING", "orbitnumber:[54100 TO 54200]",
         "platformserialidentifier:S1A", "identifier:S1A_IW*", "sensoroperationalmode:EW", "relativeorbitnumber:[20 TO 90]",
         "endposition:[2024-06-01T00:00:00Z TO *]", "beginposition:[* TO 2024-06-10T00:00:00Z]", "swathidentifier:IW1",
         'footprint:"Intersects(POLYGON((0 -40, 60 -40, 60 40, 0 40, 0 -40)))"', "producttype:G*", "timeliness:x",
         'footprint:"IsWithin(POLYGON((0 -40, 60 -40, 60 40, 0 40, 0 -40)))"')  # fmt: skip


def trees(words: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.recursive(
        st.sampled_from(words),
        lambda inner: (
            st.builds("NOT ({})".format, inner)
            | st.builds("({} AND {})".format, inner, inner)
            | st.builds("({} OR {})".format, inner, inner)
        ),
        max_leaves=6,
    )


@settings(max_examples=120, deadline=None)
@given(q=trees(WORDS))
def test_whatever_is_asked_is_right(filled: FarCdseStac, q: str) -> None:
    found = forty.all_found(filled.source, "S1", q, "beginposition asc", rows=100)
    assert found == forty.right("S1", q, "beginposition asc", held=HELD)


def test_no_login_is_asked_for_a_search(far: FarCdseStac) -> None:
    class Never:
        def header(self) -> str:
            raise AssertionError("a login for a catalogue that is open to all")

        def renew(self, old: str) -> None: ...

    far.remote.authorise = Never()
    far.hold(HELD[1])
    far.source.check()
    assert list(far.source.find((HELD[1].id,))) == [HELD[1].id]
    assert far.source.search("S2", parse("*"), start=0, rows=5, orderby="beginposition asc").total == 1


def test_all_pages_are_of_one_size(far: FarCdseStac) -> None:
    for product in many(230):
        far.hold(product)
    for start in range(0, 230, 20):
        far.source.search("S2", parse("*"), start=start, rows=20, orderby="beginposition desc")
    assert [body["limit"] for body in far.server.bodies] == [100, 100, 100]


# --- as a source -----------------------------------------------------------------------------------------------------
def test_as_a_source_it_is_searched_and_delivers_nothing() -> None:
    with FarCdseStac() as bed, closing(CdseStac(url=f"{bed.server.url}/stac", stall_seconds=0.5)) as source:
        held = [product for product in forty.population() if product.collection == "S2"]
        for product in held:
            bed.hold(product)
        name = held[0].id
        hits = source.search("S2", parse(f"identifier:{name}"), start=0, rows=10, orderby="beginposition asc")
        assert [product.sources for product in hits.products] == [("cdse_stac",)]
        assert list(source.find((name,))) == [name]
        assert source.check() is None
        with pytest.raises(SourceUnavailable, match="is a catalogue") as caught:
            source.open(name)
        assert "`cdse`" in caught.value.hint
        with pytest.raises(NoQuicklook):
            source.quicklook(name)
        with pytest.raises(UnknownProduct):
            source.quicklook("S2C" + name[3:])
        assert Catalogue([source]).undeliverable(held[0]) is not None
