"""The Copernicus Data Space Ecosystem: what is asked of its catalogue, and what becomes of its answers."""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import forty
import pytest
from far_cdse import PICTURE, FarCdse, Filter, entry_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_http import Reply, Request

from extenso_nb import products, query
from extenso_nb.errors import (
    ExtensoError,
    InvalidRequest,
    NoQuicklook,
    ProductOffline,
    SourceUnavailable,
    UnknownProduct,
)
from extenso_nb.gateway.sources import Source, lacking, limits_of, profile_of
from extenso_nb.gateway.sources import cdse_pages as pages_module
from extenso_nb.gateway.sources.cdse import CdseSource
from extenso_nb.gateway.sources.cdse_entries import best, entries, read
from extenso_nb.gateway.sources.cdse_odata import OData, asked_for, sort_key
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.gateway.sources.translate import translate
from extenso_nb.models import Product

NOW = datetime(2026, 11, 26, 12, 30, 15, 123000, tzinfo=UTC)
S1 = "S1A_IW_GRDH_1SDV_20240601T055126_20240601T055151_054126_0694C4_5A1B"
S2 = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512"
S3 = "S3A_OL_1_EFR____20240601T093012_20240601T093312_20240601T112345_0179_113_136_2160_PS1_O_NR_004"
S5P = "S5P_OFFL_L2__NO2____20240601T113245_20240601T131415_34378_03_020600_20240603T033512"


@pytest.fixture
def far() -> Iterator[FarCdse]:
    with FarCdse(given={}) as bed:
        yield bed


@pytest.fixture(scope="module")
def archive() -> Iterator[FarCdse]:
    """The archive of the forty queries; nobody has an account."""
    with FarCdse(given={}) as bed:
        for product in forty.population():
            bed.server.show(product)
        yield bed


def made(name: str, **more: Any) -> Product:
    return product_of(products.parse(name), "cdse", **more)


def tiles(count: int, *, minutes: float = 0.0) -> list[Product]:
    """Products of Sentinel-2, `minutes` from one to the next; at 0 all of one moment."""
    first = datetime(2024, 6, 1, 10, 56, 19, tzinfo=UTC)
    found = []
    for number in range(count):
        begin = first + timedelta(minutes=minutes * number)
        made_at = datetime(2024, 7, 1, tzinfo=UTC) + timedelta(seconds=number)
        name = f"S2B_MSIL2A_{begin:%Y%m%dT%H%M%S}_N0510_R094_T31TCJ_{made_at:%Y%m%dT%H%M%S}"
        found.append(made(name, begin=begin, end=begin, ingestion=begin + timedelta(days=1), size=1000))
    return found


def ids_of(
    far: FarCdse, q: str = "*", *, collection: str = "S2", orderby: str = "beginposition asc", rows: int = 10_000
) -> list[str]:
    hits = far.source.search(collection, query.parse(q), start=0, rows=rows, orderby=orderby)
    assert rows == len(hits.products) or hits.total == len(hits.products)
    return [product.id for product in hits.products]


# --- the forty queries -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_forty_queries_find_what_they_mean(archive: FarCdse, collection: str, q: str, orderby: str) -> None:
    assert forty.all_found(archive.source, collection, q, orderby) == forty.right(collection, q, orderby)


def found_by_filter(collection: str, q: str, integers: str = "documented") -> tuple[set[str], bool]:
    """What the catalogue gives for a query, and whether that is said to be all that is meant."""
    asked = translate(query.parse(q), OData(collection, integers), datetime.now(UTC))  # type: ignore[arg-type]
    test = Filter(asked_for(collection, asked.expression), integers).test
    return {entry["Name"].rpartition(".")[0] for entry in shown() if test(entry)}, asked.exact


@cache
def shown() -> list[dict[str, Any]]:
    return [entry_of(product) for product in forty.population()]


@pytest.mark.parametrize("integers", ["documented", "mixed"])
@pytest.mark.parametrize(("collection", "q"), [(name, q) for name, all_ in forty.QUERIES.items() for q in all_])
def test_the_filters_alone_give_no_less_and_mostly_no_more(collection: str, q: str, integers: str) -> None:
    found, exact = found_by_filter(collection, q, integers)
    meant = set(forty.right(collection, q, "beginposition asc"))
    assert found >= meant
    assert exact is (found == meant) or not exact
    assert exact or "?" in q or "IsWithin" in q


CLAUSES = {
    "S1": ["producttype:grd", "producttype:S*", "polarisationmode:VV", 'polarisationmode:"VV VH"', "platformname:sentinel-1",
           "polarisationmode:(V* OR HH)", "sensoroperationalmode:iw", "swathidentifier:IW1", "swathidentifier:EW*",
           "productclass:S", "platformserialidentifier:Sentinel-1B", "processinglevel:L1", "orbitdirection:asc*",
           "orbitnumber:{54100 TO 54300}", "relativeorbitnumber:[* TO 80]", "identifier:*_1SDV_*", "tileid:31TCJ",
           "missiondatatakeid:[430080 TO 430100]", "identifier:/S1A_IW.*/", "online:true", "format:SAFE", "collection:S2",
           "filename:*SAFE", "identifier:*SAFE", "identifier:S1*_A00?", "timeliness:Fast-24h", 'footprint:"Contains(9, 9)"'],
    "S2": ["producttype:s2msi1c", "processinglevel:(L1C OR 2a)", "processinglevel:Level-2*", "tileid:31*", "tileid:31tcj",
           "hv_order_tileid:TJ31C", "processingbaseline:05.10", "processingbaseline:[05.10 TO *]", "instrumentshortname:MSI",
           "platformserialidentifier:2A", "cloudcoverpercentage:{12.5 TO 70.25}",
           "cloudcoverpercentage:[* TO 1e1]", "s2datatakeid:GS2*", "filename:S2A*.SAFE", "identifier:S2A*4*", "online:false",
           "datatakesensingstart:[2024-06-01T00:00:00.001Z TO *]", 'footprint:"IsWithin(ENVELOPE(-20,40,70,20))"',
           "orbitnumber:99999999999"],
    "S3": ["producttype:ol_*", "producttype:SL_2_LST___", "timeliness:NT", 'timeliness:"Near Real Time"', "timeliness:Near*",
           "instrumentshortname:(OLCI OR SRAL)", "instrumentname:Ocean*", "processinglevel:1", "productlevel:L2", "mode:EO",
           "processingbaseline:004", "platformserialidentifier:S3*", "pduduration:180", "passdirection:ascending",
           "sensoroperationalmode:Earth", "cloudcoverpercentage:[* TO *]", "creationdate:[2024-06-01T00:00:00Z TO *]"],
    "S5P": ["producttype:L2__N*", "processingmode:offl", 'processingmode:"Near real time"', "timeliness:Offline",
            "processorversion:020600", "processorversion:02*", "platformname:Sentinel-5", "instrumentshortname:TROPOMI",
            "identifier:S5P_RPRO*", "processinglevel:L2", "format:netCDF", "orbitnumber:[34300 TO 34500]", "filename:*.nc",
            "beginposition:{2024-06-01T00:00:00Z TO 2024-06-10T00:00:00.5Z}"],
}  # fmt: skip


def combined() -> st.SearchStrategy[tuple[str, str]]:
    def of(collection: str) -> st.SearchStrategy[tuple[str, str]]:
        clause = st.sampled_from(CLAUSES[collection])
        more = st.recursive(
            clause,
            lambda inner: st.one_of(
                st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda part: f"({' '.join(part)})"),
                inner.map(lambda part: f"(* AND NOT {part})"),
            ),
            max_leaves=5,
        )
        return more.map(lambda q: (collection, q))

    return st.sampled_from(sorted(CLAUSES)).flatmap(of)


@pytest.mark.parametrize(("collection", "q"), [(name, q) for name, all_ in CLAUSES.items() for q in all_])
def test_each_clause_loses_nothing(collection: str, q: str) -> None:
    found, exact = found_by_filter(collection, q)
    meant = set(forty.right(collection, q, "beginposition asc"))
    assert found == meant if exact else found >= meant


@settings(max_examples=150, deadline=None)
@given(combined())
def test_no_query_is_told_narrower_than_it_is(case: tuple[str, str]) -> None:
    test_each_clause_loses_nothing(*case)


# --- what is sent ----------------------------------------------------------------------------------------------------
def text(name: str, value: str) -> str:
    inner = f"att/Name eq '{name}' and att/OData.CSC.StringAttribute/Value eq '{value}'"
    return f"Attributes/OData.CSC.StringAttribute/any(att:{inner})"


ORBIT = "Attributes/OData.CSC.IntegerAttribute/any(att:att/Name eq '{}' and att/OData.CSC.IntegerAttribute/Value {})"
CLOUD = (
    "Attributes/OData.CSC.DoubleAttribute/any(att:att/Name eq 'cloudCover' and att/OData.CSC.DoubleAttribute/Value {})"
)
BOTH = (
    "Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'polarisationChannels' and "
    "(att/OData.CSC.StringAttribute/Value eq 'VV&VH' or att/OData.CSC.StringAttribute/Value eq 'VH&VV'))"
)
SENT = [
    ("S1", "*", None),
    ("S2", "platformname:Sentinel-2", "Collection/Name eq 'SENTINEL-2'"),
    ("S2", "platformname:Sentinel-3", "Collection/Name ne 'SENTINEL-2'"),
    ("S1", "producttype:GRD", "contains(Name,'_GRD')"),
    ("S2", "producttype:s2msi1c", text("productType", "S2MSI1C")),
    ("S3", "producttype:OL_1_EFR___", text("productType", "OL_1_EFR___")),
    ("S5P", "producttype:L2__NO2___", text("productType", "L2__NO2___")),
    ("S1", 'polarisationmode:"VV VH"', BOTH),
    ("S1", "polarisationmode:HH AND polarisationmode:VV", None),
    ("S1", "sensoroperationalmode:EW", text("operationalMode", "EW")),
    ("S1", "relativeorbitnumber:88", ORBIT.format("relativeOrbitNumber", "eq 88")),
    ("S1", "orbitnumber:[* TO 54100}", ORBIT.format("orbitNumber", "lt 54100")),
    ("S1", "missiondatatakeid:431300", ORBIT.format("datatakeID", "eq 431300")),
    ("S1", "timeliness:fast-24h", text("timeliness", "Fast-24h")),
    ("S3", 'timeliness:"Short Time Critical"', text("timeliness", "ST")),
    ("S5P", "processingmode:Offline", f"({text('processingMode', 'OFFL')} or startswith(Name,'S5P_OFFL_'))"),
    ("S2", "tileid:31tcj", text("tileId", "31TCJ")),
    ("S2", "processingbaseline:05.11", text("processorVersion", "05.11")),
    ("S2", "cloudcoverpercentage:[0 TO 12.3456789]",
     CLOUD.format("ge 0 and att/OData.CSC.DoubleAttribute/Value le 12.3456789")),
    ("S2", "cloudcoverpercentage:{1e-7 TO *]", CLOUD.format("gt 0.0000001")),
    ("S2", "beginposition:[2024-06-01T00:00:00Z TO 2024-06-02T00:00:00.5Z]",
     "(ContentDate/Start ge 2024-06-01T00:00:00.000Z and ContentDate/Start lt 2024-06-02T00:00:00.501Z)"),
    ("S2", "endposition:{NOW-1DAY/DAY TO *]", "ContentDate/End ge 2026-11-25T00:00:00.001Z"),
    ("S2", "ingestiondate:[* TO NOW}", "PublicationDate lt 2026-11-26T12:30:15.123Z"),
    ("S2", "online:true", "Online eq true"),
    ("S2", f"identifier:{S2}", f"Name eq '{S2}.SAFE'"),
    ("S2", f"filename:{S2}.SAFE", f"Name eq '{S2}.SAFE'"),
    ("S3", "identifier:S3A_OL_1_EFR_*", "startswith(Name,'S3A_OL_1_EFR_')"),
    ("S2", "filename:*_T31TCJ_*", "contains(Name,'_T31TCJ_')"),
    ("S5P", "identifier:*_033512", None),
    ("S2", "identifier:*034512", "endswith(Name,'034512.SAFE')"),
    ("S1", "filename:S1?_IW*0694C4*", "(startswith(Name,'S1') and contains(Name,'_IW') and contains(Name,'0694C4'))"),
    ("S2", "uuid:05edf2bb-d103-49f1-a677-9e474138d84f", "Id eq 05edf2bb-d103-49f1-a677-9e474138d84f"),
    ("S2", 'footprint:"Intersects(41.9, 12.5)"', "OData.CSC.Intersects(area=geography'SRID=4326;POINT(12.5 41.9)')"),
    ("S2", 'footprint:"IsWithin(POLYGON((1 43, 2 43, 2 44, 1 43)))"',
     "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((1 43,2 43,2 44,1 43))')"),
    ("S2", 'footprint:"Intersects(ENVELOPE(0, 7, 2, 1))"',
     "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((7 1,7 2,4.666666666666666 2,2.333333333333333 2,0 2,0 1,"
     "2.3333333333333335 1,4.666666666666667 1,7 1))')"),
    ("S2", "NOT tileid:31TCJ", f"not ({text('tileId', '31TCJ')})"),
    ("S2", "tileid:31TCJ OR word", None),
    ("S2", "tileid:31TCJ AND word", text("tileId", "31TCJ")),
    ("S2", "tileid:\"31'TCJ\"", None),
    ("S2", "identifier:it's", "Name eq 'it''s.SAFE'"),
]  # fmt: skip


@pytest.mark.parametrize(("collection", "q", "expression"), SENT)
def test_what_is_asked(collection: str, q: str, expression: str | None) -> None:
    said = translate(query.parse(q), OData(collection), NOW).expression
    if q in {"polarisationmode:HH AND polarisationmode:VV", "identifier:*_033512"}:
        assert said is not None
        Filter(said)
    else:
        assert said == expression


def test_the_parameters_of_a_search(far: FarCdse) -> None:
    for product in tiles(30, minutes=1):
        far.server.show(product)
    far.source.search("S2", query.parse("tileid:31TCJ"), start=0, rows=10, orderby="ingestiondate desc")
    assert far.server.queries == [
        {
            "what": "Products",
            "$filter": f"Collection/Name eq 'SENTINEL-2' and {text('tileId', '31TCJ')}",
            "$orderby": "PublicationDate desc",
            "$top": "100",
            "$expand": "Attributes",
            "$count": "True",
        }
    ]
    assert far.server.forms == []  # nobody logs in to search
    far.source.search("S2", query.parse("cloudcoverpercentage:[0 TO 50]"), start=0, rows=10, orderby="size asc")
    assert far.server.queries[-1]["$orderby"] == "ContentDate/Start asc"
    assert far.server.queries[-1]["$top"] == "1000"


@pytest.mark.parametrize(
    ("orderby", "key"),
    [
        ("beginposition asc", ("ContentDate/Start", "asc")),
        ("EndPosition desc", ("ContentDate/End", "desc")),
        ("ingestiondate", ("PublicationDate", "asc")),
        ("beginposition desc, size asc", ("ContentDate/Start", "desc")),
        ("size asc", None),
        ("", ("PublicationDate", "desc")),
    ],
)
def test_what_it_can_sort_by(orderby: str, key: tuple[str, str] | None) -> None:
    assert sort_key(orderby) == key


@pytest.mark.parametrize(
    ("collection", "q"),
    [
        ("S2", "orbitdirection:DESCENDING"),
        ("S2", "NOT timeliness:x"),
        ("S5P", "relativeorbitnumber:5 OR orbitnumber:7"),
        ("S5P", "orbitdirection:ASCENDING"),
        ("S1", "slicenumber:3"),
        ("S2", "generationdate:[NOW-1DAY TO NOW]"),
        ("S2", "vegetationpercentage:[0 TO 5]"),
        ("S3", "landpercentage:[0 TO 5]"),
    ],
)
def test_what_no_entry_tells_is_no_empty_result(far: FarCdse, collection: str, q: str) -> None:
    with pytest.raises(SourceUnavailable, match="cannot be asked for") as caught:
        far.source.search(collection, query.parse(q), start=0, rows=10, orderby="beginposition asc")
    assert caught.value.details["cannot"]
    assert far.server.paths == []


def test_a_keyword_of_another_mission_finds_nothing(archive: FarCdse) -> None:
    assert ids_of(archive, "cloudcoverpercentage:[0 TO 100]", collection="S1") == []
    assert len(ids_of(archive, "NOT cloudcoverpercentage:[0 TO 100]", collection="S1")) == forty.EACH


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_no_text_gets_out_of_its_quotes(word: str) -> None:
    asked = query.Query(query.Field("filename", query.Phrase(word)))
    said = translate(asked, OData("S2"), NOW).expression
    assert said is not None
    test = Filter(said).test
    assert test({"Name": word})
    assert not test({"Name": word + "x"})


@pytest.mark.parametrize(
    "word", ["x' or Name ne '", "a&$top=1", "a#b", "a%27b", "a+b c", "é", "') or (1 eq 1", "a/../b"]
)
def test_no_text_gets_out_of_its_parameter(far: FarCdse, word: str) -> None:
    far.server.show(made(S2))
    asked = query.Query(query.Field("filename", query.Phrase(word)))
    hits = far.source.search("S2", asked, start=0, rows=10, orderby="beginposition asc")
    assert hits.total == 0
    doubled = word.replace("'", "''")
    assert far.server.queries[0]["$filter"] == f"Collection/Name eq 'SENTINEL-2' and Name eq '{doubled}'"
    assert far.server.queries[0]["$top"] == "100"


def test_a_query_too_long_for_a_url_is_asked_wider_and_answered_right(far: FarCdse) -> None:
    known = tiles(40, minutes=1)
    for product in known:
        far.server.show(product)
    names = [product.id for product in known[:20]] + [
        S2.replace("T31TCJ", f"T31T{a}{b}") for a in "ABCDEF" for b in "ABCDEFGH"
    ]
    q = " OR ".join(f"identifier:{name}" for name in names)
    assert ids_of(far, q) == [product.id for product in known[:20]]
    ring = ", ".join(f"{x} {43 + (n % 2)}" for n, x in enumerate(range(-80, 80)))
    q = f'footprint:"Intersects(POLYGON(({ring}, 79 60, -80 60, -80 43)))"'
    assert translate(query.parse(q), OData("S2"), NOW).expression is not None
    assert ids_of(far, q) == []
    assert ids_of(far, f"identifier:{'x' * 3000}") == []
    assert ids_of(far, f"identifier:{'x*' * 1000}") == []
    assert ids_of(far, f"tileid:(31TCJ OR {' OR '.join(f'31T{a}{b}' for a in 'ABCDEFGH' for b in 'ABCDEFGH')})") != []


# --- integers --------------------------------------------------------------------------------------------------------
def test_integers_are_asked_for_in_the_other_form_where_the_documented_one_is_refused(far: FarCdse) -> None:
    far.server.integers = "mixed"
    for product in forty.population():
        far.server.show(product)
    q = "relativeorbitnumber:51 OR relativeorbitnumber:94"
    assert ids_of(far, q) == forty.right("S2", q, "beginposition asc")
    assert len(far.server.queries) == 2
    assert "StringAttribute/any(att:att/Name eq 'relativeOrbitNumber'" in far.server.queries[1]["$filter"]
    q = "orbitnumber:[46750 TO 46800]"
    assert ids_of(far, q) == forty.right("S2", q, "beginposition asc")
    assert len(far.server.queries) == 3  # remembered


def test_a_filter_that_is_refused_for_another_reason_is_told(far: FarCdse) -> None:
    far.server.site = lambda request: Reply.json({"detail": {"message": "Invalid field: x"}}, 400)
    for q in ("orbitnumber:1", "tileid:31TCJ"):
        with pytest.raises(SourceUnavailable, match="400: Invalid field: x"):
            ids_of(far, q)
    assert far.source._integers == "documented"
    assert len(far.server.paths) == 3


# --- pages -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("orderby", ["beginposition asc", "ingestiondate desc", "size asc"])
def test_a_thousand_products_are_few_requests(far: FarCdse, orderby: str) -> None:
    known = tiles(1000, minutes=1)
    for product in known:
        far.server.show(product)
    assert sorted(ids_of(far, orderby=orderby, rows=1000)) == sorted(product.id for product in known)
    assert len(far.server.queries) <= 2


@pytest.mark.parametrize(
    "orderby", ["beginposition asc", "beginposition desc", "ingestiondate desc", "endposition asc"]
)
@pytest.mark.parametrize("ties", [1, 7, 30])
def test_beyond_what_it_skips(far: FarCdse, monkeypatch: pytest.MonkeyPatch, orderby: str, ties: int) -> None:
    """Slices end anywhere among products of one moment; none is lost, none comes twice, all are in order."""
    monkeypatch.setattr(pages_module, "SKIP_MOST", 40)
    monkeypatch.setattr(pages_module, "TOP_MOST", 20)
    far.server.skip_most, far.server.top_most = 40, 20
    far.source._walks.largest = 20
    known = []
    for number, product in enumerate(tiles(330)):
        moment = datetime(2024, 6, 1, 10, 56, 19, 24_017, tzinfo=UTC) + timedelta(microseconds=number // ties * 500)
        known.append(
            product.model_copy(update={"begin_position": moment, "end_position": moment, "ingestion_date": moment})
        )
        far.server.show(known[-1])
    assert ids_of(far, orderby=orderby) == [product.id for product in query.order(known, orderby)]
    assert all(int(asked.get("$skip", 0)) <= 40 for asked in far.server.queries)
    assert any(" and ContentDate" in asked["$filter"] or " and Pub" in asked["$filter"] for asked in far.server.queries)


@pytest.mark.parametrize("counted", [True, False])
def test_a_catalogue_whose_pages_are_shorter_than_asked_for(far: FarCdse, *, counted: bool) -> None:
    known = tiles(250, minutes=1)
    for product in known:
        far.server.show(product)
    site = far.server.site

    def cut_short(request: Request) -> Reply | None:
        reply = site(request)  # type: ignore[misc]
        body = json.loads(reply.body) if reply is not None else {}
        body["value"] = body["value"][:30]
        if counted:  # that others follow is said by the count alone
            body.pop("@odata.nextLink", None)
        else:
            del body["@odata.count"]
            body |= {"@odata.nextLink": "x"} if body["value"] else {}
        return Reply.json(body)

    far.server.site = cut_short
    if not counted:
        far.server.site = lambda request: cut_short(request) if "count" in request.target else site(request)  # type: ignore[misc]
    assert ids_of(far) == [product.id for product in known]


def test_more_of_one_moment_than_can_be_walked_is_no_shorter_answer(
    far: FarCdse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "SKIP_MOST", 40)
    far.server.skip_most = 40
    for product in tiles(1500):
        far.server.show(product)
    with pytest.raises(SourceUnavailable, match="where to go on"):
        ids_of(far)


def test_its_real_limits(far: FarCdse) -> None:
    for product in tiles(11_100, minutes=0.001):
        far.server.show(product)
    assert len(ids_of(far, rows=12_000)) == 11_100
    assert max(int(asked.get("$skip", 0)) for asked in far.server.queries) <= 10_000


def test_too_many_to_look_through(far: FarCdse) -> None:
    far.source._walks.most, far.source._walks.largest = 50, 20
    for product in tiles(60, minutes=1):
        far.server.show(product)
    with pytest.raises(InvalidRequest, match="60 products would have to be looked through"):
        ids_of(far, "identifier:S2B*T??TCJ*")


def test_what_is_no_product_is_left_out_and_not_counted(far: FarCdse) -> None:
    known = tiles(30, minutes=1)
    for number, product in enumerate(known):
        far.server.show(product)
        far.server.show(product, Name=f"S2B_OPER_AUX_UT1UTC_PDMC_{number}.SAFE", Id=str(uuid.uuid4()))
        far.server.show(product, Name=f"{product.id}.SAFE.zip", Id=str(uuid.uuid4()))
    hits = far.source.search("S2", query.parse("*"), start=0, rows=10, orderby="beginposition asc")
    assert [product.id for product in hits.products] == [product.id for product in known[:10]]
    assert hits.total == 30


def test_what_is_no_product_does_not_take_a_request_for_each_hundred(far: FarCdse) -> None:
    known = tiles(10, minutes=1)
    for number in range(3000):
        early = {"ContentDate": {"Start": "2015-01-01T00:00:00Z", "End": "2015-01-01T00:00:00Z"}}
        far.server.show(known[0], Name=f"S2B_OPER_AUX_UT1UTC_PDMC_{number}.SAFE", Id=str(uuid.uuid4()), **early)
    for product in known:
        far.server.show(product)
    assert ids_of(far, rows=10) == [product.id for product in known]
    assert len(far.server.queries) <= 5


def test_auxiliary_data_of_sentinel_1_are_not_asked_for(far: FarCdse) -> None:
    far.server.show(made(S1), Name="S1A_AUX_INS_V20140406T133000_G20211028T132414.SAFE")
    far.server.show(made(S1), Name="S1A_OPER_AUX_POEORB_OPOD_20210301T170632.EOF")
    far.server.show(made(S1))
    assert ids_of(far, collection="S1") == [S1]
    assert far.server.queries[0]["$filter"] == "Collection/Name eq 'SENTINEL-1' and not contains(Name,'_AUX_')"
    test = Filter(far.server.queries[0]["$filter"]).test
    assert [test(entry) for entry in far.server.entries] == [False, False, True]


def test_after_the_end_of_time_there_is_nothing(far: FarCdse) -> None:
    for product in tiles(3, minutes=1):
        far.server.show(product)
    assert ids_of(far, "beginposition:{9999-12-31T23:59:59.999Z TO *]") == []
    assert "Collection/Name ne" in far.server.queries[-1]["$filter"]
    assert len(ids_of(far, "beginposition:[* TO 9999-12-31T23:59:59.999Z]")) == 3


def test_twins_and_duplicates(far: FarCdse) -> None:
    cog = f"{S1}_COG"
    product = made(S1, size=1000)
    offline = far.server.show(product, Online=False, ModificationDate="2025-01-01T00:00:00Z", ContentLength=1)
    old = far.server.show(product, Id=str(uuid.uuid4()), ModificationDate="2023-01-01T00:00:00Z", ContentLength=2)
    new = far.server.show(product, Id=str(uuid.uuid4()), ModificationDate="2024-01-01T00:00:00Z", ContentLength=3)
    far.server.show(made(cog, begin=product.begin_position), ContentLength=4)
    for hits in (
        far.source.search("S1", query.parse("producttype:GRD"), start=0, rows=10, orderby="beginposition asc").products,
        far.source.find((S1, cog)).values(),
    ):
        assert {hit.id: (hit.size, hit.online) for hit in hits} == {S1: (3, True), cog: (4, True)}
    assert far.source.find((S1,))[S1].uuid == new["Id"] != old["Id"] != offline["Id"]


# --- recorded answers ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("file", "count", "kept"),
    [
        ("cdse_odata/odata_page_1.json", 10, 0),  # auxiliary files
        ("cdse_odata/odata_page_2.json", 10, 0),
        ("eodag_provider_responses/cop_dataspace_search.json", 2, 2),
        ("cdse_odata/attributes.json", None, 0),
        ("cdse_odata/openid-configuration.json", None, 0),
        # The OpenSearch API ("resto"), gone since March 2026: not read, and no empty page.
        ("cdse_resto/01_Sentinel2.json", None, 0),
        ("cdse_resto/02_Sentinel2.json", None, 0),
        ("cdse_resto/03_Sentinel2.json", None, 0),
        ("cdse_resto/04_Sentinel2.json", None, 0),
        ("cdse_resto/05_Sentinel2.json", None, 0),
        ("cdse_resto/06_Sentinel2.json", None, 0),
        ("cdse_resto/07_Sentinel2.json", None, 0),
        ("creodias_resto/result_page.json", None, 0),
        ("creodias_resto/collections.json", None, 0),
    ],
)
def test_recorded_answers(shared_data: Path, file: str, count: int | None, kept: int) -> None:
    answer = json.loads((shared_data / "catalog" / file).read_text())
    if count is None:
        with pytest.raises(SourceUnavailable, match="no page of its catalogue"):
            entries(answer, "cdse")
        return
    raw, _ = entries(answer, "cdse")
    assert len(raw) == count
    found = [entry.product("cdse") for item in raw if (entry := read(item, "cdse")) is not None]
    assert len(found) == kept


def test_a_recorded_product(shared_data: Path) -> None:
    file = shared_data / "catalog/eodag_provider_responses/cop_dataspace_search.json"
    raw, _ = entries(json.loads(file.read_text()), "cdse")
    entry = read(raw[0], "cdse")
    assert entry is not None
    product = entry.product("cdse")
    facts = product.model_dump(exclude={"footprint", "links", "begin_position", "end_position", "ingestion_date"})
    assert facts == {
        "id": "S2A_MSIL1C_20200808T010311_N0500_R045_T54PXA_20230413T212505",
        "uuid": "05edf2bb-d103-49f1-a677-9e474138d84f",
        "collection": "S2",
        "platform": "Sentinel-2A",
        "instrument": "MSI",
        "product_type": "S2MSI1C",
        "processing_level": "L1C",
        "size": 224_105_657,
        "size_estimated": False,
        "online": True,
        "sources": ("cdse",),
        "cloud_cover": 95.136736479015,
        "orbit_number": 26_783,
        "relative_orbit_number": 45,
        "orbit_direction": None,
        "tile_id": "54PXA",
        "polarisation": None,
        "sensor_mode": "INS-NOBS",
        "timeliness": None,
        "processing_baseline": "05.00",
    }
    assert product.begin_position == datetime(2020, 8, 8, 1, 3, 11, 24_000, tzinfo=UTC)
    assert product.ingestion_date == datetime(2023, 8, 23, 9, 26, 23, 105_134, tzinfo=UTC)
    assert product.footprint is not None
    assert [name for name, _ in entry.checksums] == ["MD5", "BLAKE3"]
    assert entry.quicklook == "385d0a62-ec57-413b-a8b8-12c0e79848f6"
    assert entry.key == f"Sentinel-2/MSI/L1C_N0500/2020/08/08/{product.id}.SAFE"


def test_recorded_entries_pass_the_filters_that_are_made_for_them(shared_data: Path) -> None:
    """The names and kinds of attributes are those of the real catalogue."""
    file = shared_data / "catalog/eodag_provider_responses/cop_dataspace_search.json"
    raw = json.loads(file.read_text())["value"][0] | {"Collection": "SENTINEL-2"}
    for q in ("producttype:S2MSI1C", "tileid:54PXA", "cloudcoverpercentage:[95 TO 96]", "relativeorbitnumber:45",
              "orbitnumber:26783", "processingbaseline:05.00", "sensoroperationalmode:INS-NOBS", "processinglevel:L1C",
              "s2datatakeid:GS2A_20200808T010311_026783_N05.00", 'beginposition:"2020-08-08T01:03:11.024Z"',
              'footprint:"Contains(13.6, 142.7)"', "ingestiondate:[* TO NOW]", f"uuid:{raw['Id']}"):  # fmt: skip
        said = translate(query.parse(q), OData("S2"), NOW)
        assert said.expression is not None
        assert Filter(asked_for("S2", said.expression)).test(raw), q


# --- single entries --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("length", [0, -1, None, "", "x", {}, True])
def test_sizes_that_the_catalogue_does_not_know(length: Any) -> None:
    entry = read(entry_of(made(S2)) | {"ContentLength": length}, "cdse")
    assert entry is not None
    product = entry.product("cdse")
    assert (product.size, product.size_estimated) == (products.parse(S2).typical_size, True)
    assert entry.size is None


@pytest.mark.parametrize("name", [S1, S2, S3, S5P])
@pytest.mark.parametrize(
    "value", [None, [], {}, "", "x", 5, [None, 5, {}, {"Name": None}, {"Name": "cloudCover"}], -3.5]
)
def test_an_entry_with_anything_in_it_is_a_product_by_its_name(name: str, value: Any) -> None:
    whole = entry_of(made(name))
    for field in set(whole) - {"Name", "Id"}:
        entry = read(whole | {field: value}, "cdse")
        assert entry is not None
        assert entry.product("cdse").id == name
        assert isinstance(entry.checksums, list)
        assert entry.key is None or entry.key.endswith(products.parse(name).extension)
        assert entry.quicklook is None
        assert len(best([entry, entry])) == 1


@pytest.mark.parametrize("cover", [-1, 101, float("nan"), "many", None])
def test_a_cloud_cover_that_is_none(cover: Any) -> None:
    told = [{"Name": "cloudCover", "Value": cover}, {"Name": "orbitDirection", "Value": "ascending"}]
    entry = read(entry_of(made(S2)) | {"Attributes": told}, "cdse")
    assert entry is not None
    assert entry.product("cdse").cloud_cover is None
    assert entry.product("cdse").orbit_direction == "ASCENDING"


def test_a_footprint_as_text() -> None:
    wkt = "geography'SRID=4326;POLYGON ((1 43, 2 43, 2 44, 1 43))'"
    entry = read(entry_of(made(S2)) | {"GeoFootprint": None, "Footprint": wkt}, "cdse")
    assert entry is not None
    assert (entry.product("cdse").footprint or {})["type"] == "Polygon"


# --- by name ---------------------------------------------------------------------------------------------------------
def test_many_are_found_in_few_requests(far: FarCdse) -> None:
    known = tiles(490, minutes=1)
    for product in known:
        far.server.show(product)
    names = tuple(product.id for product in known)
    missing = (S1, S3, S5P, "nonsense", "it's", f"{names[0]}.SAFE", "S2B_MSIL2A_20240601T105619_N0510")
    assert list(far.source.find(names + missing)) == list(names)
    assert far.server.forms == []
    assert len(far.server.paths) <= 12


@pytest.mark.parametrize("trouble", ["cut", "refused", "gone", "empty"])
def test_a_list_that_is_not_answered_whole_is_asked_for_by_a_filter(far: FarCdse, trouble: str) -> None:
    known = tiles(65, minutes=1)
    for product in known:
        far.server.show(product)
    far.server.takes_lists = trouble != "refused"
    far.server.list_page = {"cut": 20, "empty": 0}.get(trouble)
    if trouble == "gone":
        site = far.server.site
        far.server.site = lambda request: None if "FilterList" in request.path else site(request)  # type: ignore[misc]
    names = tuple(product.id for product in known)
    assert list(far.source.find(names)) == list(names)


def test_names_have_their_extension(far: FarCdse) -> None:
    for name in (S1, S2, S3, S5P):
        far.server.show(made(name))
    bodies = []
    site = far.server.site
    far.server.site = lambda request: (bodies.append(request.body), site(request))[1]  # type: ignore[func-returns-value,misc]
    assert list(far.source.find((S5P, S3, S2, S1))) == [S5P, S3, S2, S1]
    asked = [item["Name"] for item in json.loads(bodies[0])["FilterProducts"]]
    assert asked == [f"{S5P}.nc", f"{S3}.SEN3", f"{S2}.SAFE", f"{S1}.SAFE"]


def test_a_deleted_product_is_told_from_one_that_never_was(far: FarCdse) -> None:
    date = {"DeletionDate": "2024-08-01T10:00:00.000Z", "DeletionCause": "Duplicated product"}
    far.server.deleted.append({"Id": str(uuid.uuid4()), "Name": f"{S2}.SAFE"} | date)
    with pytest.raises(UnknownProduct, match=rf"deleted {S2} on 2024-08-01 \(Duplicated product\)"):
        far.source.open(S2)
    with pytest.raises(UnknownProduct, match=f"does not hold {S3}"):
        far.source.open(S3)
    assert far.source.find((S2,)) == {}
    for odd in ("it's/../x", "", "S2B'", "\x00"):
        with pytest.raises(UnknownProduct):
            far.source.open(odd)


def test_offline_products_are_polled_and_not_ordered(far: FarCdse) -> None:
    entry = far.server.show(made(S1, online=False))
    assert not far.source.find((S1,))[S1].online
    asked = len(far.server.paths)
    far.source.warm_up(S1)
    assert len(far.server.paths) == asked
    with pytest.raises(ProductOffline, match="Data Workspace"):
        far.source.open(S1)
    entry["Online"] = True
    assert far.source.find((S1,))[S1].online
    assert far.source.open(S1).name == f"{S1}.SAFE.zip"


# --- pictures, and the rest of the protocol --------------------------------------------------------------------------
def test_pictures(far: FarCdse) -> None:
    picture = {"Type": "QUICKLOOK", "Id": str(uuid.uuid4()), "DownloadLink": "http://127.0.0.1:1/elsewhere"}
    far.server.show(made(S2), Assets=[picture])
    far.server.show(made(S5P))
    assert far.source.quicklook(S2) == PICTURE  # from the catalogue itself, wherever the link leads
    assert far.server.forms == []
    for gone in ([], [picture | {"Id": "../../x"}], [picture | {"Type": "OTHER"}], None, [None]):
        far.server.entries[0]["Assets"] = gone
        with pytest.raises(NoQuicklook):
            far.source.quicklook(S2)
    with pytest.raises(NoQuicklook):
        far.source.quicklook(S5P)
    with pytest.raises(UnknownProduct):
        far.source.quicklook(S1)


def test_the_protocol(far: FarCdse) -> None:
    assert isinstance(far.source, Source)
    assert far.source.check() is None
    assert (limits_of(far.source).transfers, limits_of(far.source).warm_ups) == (4, None)
    profile = profile_of(far.source)
    assert dataclasses.astuple(profile) == (profile.searches, profile.delivers, True, 3, "cdse")
    assert profile.searches == profile.delivers == {"S1", "S2", "S3", "S5P"}
    assert "extenso login cdse" in (lacking(far.source) or "")
    far.given = {"username": "someone", "password": "right"}
    assert lacking(far.source) is None
    far.given = {"s3_access_key": "A", "s3_secret_key": "B"}
    assert lacking(far.source) is None
    far.given = {"s3_access_key": "A", "username": "x"}
    assert "extenso login cdse" in (lacking(far.source) or "")


def test_nothing_is_asked_before_the_first_call() -> None:
    source = CdseSource()
    assert repr(source) == "<CdseSource cdse: https://catalogue.dataspace.copernicus.eu/odata/v1>"
    source.close()


# --- a catalogue that fails ------------------------------------------------------------------------------------------
def each_call(source: CdseSource) -> Iterator[ExtensoError]:
    for call in (
        lambda: source.search("S2", query.parse("*"), start=0, rows=10, orderby="beginposition asc"),
        lambda: source.find((S2,)),
        lambda: source.open(S2),
        lambda: source.quicklook(S2),
        source.check,
    ):
        with pytest.raises(SourceUnavailable) as caught:
            call()
        yield caught.value


PAGE = b"<html><head><title>Sign in</title></head>" + b"x" * 10_000_000


@pytest.mark.parametrize(
    "reply",
    [
        Reply(503, b""),
        Reply(404, b'{"detail": "Not Found"}'),
        Reply(202, b""),
        Reply(429, b'{"detail": "Too Many Requests"}'),
        Reply(422, b'{"detail": [{"msg": "no"}]}'),
        Reply(200, b""),
        Reply(200, PAGE, {"Content-Type": "text/html"}),
        Reply(200, b"null"),
        Reply(200, b"[]"),
        Reply(200, b'{"value": null}'),
        Reply(200, b'{"value": {}}'),
        Reply(200, b'{"value": [null]}'),
        Reply(200, b'{"value": [[]]}'),
        Reply(200, b'{"value": [{"Name": "x"}]}'),
        Reply(200, b'{"value": [{"Name": 5, "Id": "x"}]}'),
        Reply(200, b'{"error": "x"}'),
        Reply.json({"value": [entry_of(made(S2)) | {"Id": "../../secrets"}]}),
    ],
    ids=lambda reply: f"{reply.status}-{reply.body[:25]!r}",
)
def test_a_catalogue_that_fails_is_no_empty_result(far: FarCdse, reply: Reply) -> None:
    far.server.site = lambda request: reply
    if reply.body.startswith(b'{"value": [{"@odata'):
        with pytest.raises(SourceUnavailable, match="no UUID"):
            ids_of(far)
        with pytest.raises(SourceUnavailable, match="no UUID"):
            far.source.open(S2)
        return
    assert len(list(each_call(far.source))) == 5


@pytest.mark.parametrize("value", [None, {}, {"Start": None}, {"Start": "yesterday"}, "x"])
def test_a_page_without_the_dates_it_is_sorted_by(far: FarCdse, value: Any) -> None:
    answer = Reply.json({"value": [entry_of(made(S2)) | {"ContentDate": value}]})
    far.server.site = lambda request: answer
    with pytest.raises(SourceUnavailable, match="without ContentDate/Start"):
        ids_of(far)


def test_a_catalogue_that_is_down_is_told_at_once() -> None:
    bed = FarCdse(given={})
    bed.server.close()
    began = time.monotonic()
    for error in each_call(bed.source):
        assert error.details["source"] == "cdse"
    assert time.monotonic() - began < 5
    bed.source.close()


def test_a_search_goes_on_after_a_failure(far: FarCdse) -> None:
    for product in tiles(5, minutes=1):
        far.server.show(product)
    far.server.broken = True
    with pytest.raises(SourceUnavailable, match="The catalogue is down"):
        ids_of(far)
    far.server.broken = False
    assert len(ids_of(far)) == 5
