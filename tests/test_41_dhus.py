"""A hub of SciHub's kind: recorded answers, the forty queries, the table of faults, and what else can go wrong."""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import far_dhus
import forty
import pytest
from far_dhus import LOGIN, FarDhus, uuid_of
from faults import REASONS, each_fault_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import product_id
from scripted_http import DATA, FAULTS, Reply, Request, cut, quota, range_ignored, status
from shapely.geometry import shape

from extenso_nb import products, query
from extenso_nb.errors import (
    IncompleteTransfer,
    InputError,
    InvalidRequest,
    NoQuicklook,
    ProductOffline,
    SourceUnavailable,
    UnknownProduct,
)
from extenso_nb.gateway.sources import Content, Source, dhus, dhus_entries, lacking, limits_of, profile_of
from extenso_nb.gateway.sources.dhus import GUEST, DhusSource
from extenso_nb.gateway.sources.dhus_query import LONGEST, encoded, put
from extenso_nb.models import Product

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECRET = re.compile(LOGIN["password"] + "|c29tZW9uZ", re.IGNORECASE)


@pytest.fixture(scope="module")
def shared() -> Iterator[FarDhus]:
    with FarDhus() as far:
        for product in forty.population():
            far.hold(product)
        yield far


@pytest.fixture
def far() -> Iterator[FarDhus]:
    with FarDhus(stall_seconds=1.0) as far:
        yield far


def held(far: FarDhus, number: int = 1, *, online: bool = True, **more: Any) -> str:
    """A product with bytes; its name."""
    name = product_id(number)
    product = next(item for item in forty.population() if item.collection == "S2")
    far.hold(product.model_copy(update={"id": name, "online": online}), DATA)
    for key, value in more.items():
        setattr(far.server.held[name], key, value)
    return name


def upto_the_cut(content: Content) -> bytes:
    got = b""
    with suppress(IncompleteTransfer):
        for block in content.read(0):
            got += block
    assert 0 < len(got) < len(DATA)
    return got


def many(count: int) -> list[Product]:
    """Products of one type, a minute apart."""
    first = next(item for item in forty.population() if item.collection == "S2")
    begin = datetime(2024, 6, 1, tzinfo=UTC)
    return [
        first.model_copy(
            update={"id": product_id(number), "begin_position": begin + timedelta(minutes=number),
                    "ingestion_date": begin + timedelta(minutes=number)}
        )
        for number in range(count)
    ]  # fmt: skip


# --- recorded answers ------------------------------------------------------------------------------------------------
def replayed(far: FarDhus, record: dict[str, Any], body: bytes) -> None:
    left = {"content-length", "content-encoding", "transfer-encoding"}
    headers = {key: value for key, value in record["headers"].items() if key not in left}
    far.answer = lambda _request: Reply(
        record["status"], body, {k: re.sub(r"[^ -~]", "?", v) for k, v in headers.items()}
    )


def outcome(far: FarDhus, record: dict[str, Any], body: bytes) -> str:
    """What the adapter makes of a recorded answer, in words; the same for all of a kind."""
    address, code = record["url"], record["status"]
    if "nominatim" in address or "/Nodes(" in address or "/Attributes(" in address or "/api/stub/version" in address:
        return f"{code} not asked by this adapter"
    if address.endswith("/Online/$value") or record["method"] == "HEAD":
        return f"{code} not asked by this adapter"
    replayed(far, record, body)
    name = product_id(1)
    remote = far.source._remote
    if "/search?" in address:
        if code == 200:
            try:
                page = dhus_entries.feed(body, "hub")
            except SourceUnavailable as error:
                with pytest.raises(SourceUnavailable, match="refuses the search"):
                    far.source.check()
                return f"200 search refused: {error.details['status']}"
            made = [dhus_entries.product(entry, "hub") for entry in page.entries]
            assert all(item is not None and item.footprint is not None and item.size > 0 for item in made)
            assert far.source.check() == (None if page.total == 10_000 else page.total)
            return f"200 page of {len(made)}"
        with pytest.raises(SourceUnavailable) as caught:
            far.source.check()
        said = "wants other credentials" if code == 401 else "413" if "413" in caught.value.message else "?"
        return f"{code} search: {said}"
    if "$format=json" in address:
        if code == 200:
            (one,) = dhus_entries.held(json.loads(body), "hub")
            assert one.size == one.product.size > 0
            assert len(one.checksums["MD5"]) == 32
            return f"200 OData, {'online' if one.product.online else 'offline'}"
        with pytest.raises(SourceUnavailable) as caught:
            far.source.find((name,))
        assert caught.value.details["status"] == code
        return (
            f"{code} OData: {'InvalidKeyException' if 'InvalidKeyException' in caught.value.message else 'credentials'}"
        )
    url = f"{far.server.url}/dhus/odata/v1/Products('x')/$value"
    if "Quicklook" in address:  # the picture itself is not among the recorded bodies
        one = dhus_entries.Held("x", next(iter(forty.population())))
        far.source._remember(one.product.id, one.uuid)
        replayed(far, record, b"\xff\xd8picture")
        assert far.source.quicklook(one.product.id) == b"\xff\xd8picture"
        return f"{code} quicklook"
    if code == 202:
        assert far.source._remote.knock(url, headers={}) == 202
        with pytest.raises(ProductOffline):
            list(remote.content("x.SAFE.zip", url).read(0))
        return "202 being brought back"
    assert remote.knock(url, headers={"range": "bytes=0-1"}) == code
    return f"{code} bytes"


RECORDED = {
    "200 page": 58,
    "200 search refused: 400": 10,
    "401 search: wants other credentials": 1,
    "500 search: 413": 1,
    "200 OData, online": 12,
    "200 OData, offline": 10,
    "401 OData: credentials": 1,
    "404 OData: InvalidKeyException": 3,
    "200 bytes": 5,
    "206 bytes": 3,
    "202 being brought back": 1,
    "200 quicklook": 3,
    # HEAD, single files within products, single properties, the version, and a geocoder.
    "200 not asked by this adapter": 20,
    "401 not asked by this adapter": 2,
    "404 not asked by this adapter": 2,
}
"""What the 132 recorded answers of SciHub are read as; the pages have 644 products."""


def test_every_recorded_answer_is_read(shared_data: Path) -> None:
    folder = shared_data / "catalog" / "dhus_scihub"
    seen: Counter[str] = Counter()
    count = 0
    for record in json.loads((folder / "index.json").read_text()):
        body = (folder / record["file"]).read_bytes() if record["file"] else b""
        with FarDhus() as one:
            words = outcome(one, record, body)
        count += int(words.rpartition(" ")[2]) if " page of " in words else 0
        seen[re.sub(r"page of .*", "page", words)] += 1
    assert count == 644
    assert seen == RECORDED
    assert seen.total() == 132


# --- the forty -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_forty(shared: FarDhus, collection: str, q: str, orderby: str) -> None:
    assert forty.all_found(shared.source, collection, q, orderby) == forty.right(collection, q, orderby)
    assert all(int(asked["rows"]) <= 100 and asked["format"] == "json" for asked in shared.asked)


@pytest.mark.parametrize("speaks", ["atom", "stub"])
def test_forty_in_the_other_forms(speaks: str) -> None:
    with FarDhus(speaks=speaks) as far:
        for product in forty.population():
            far.hold(product)
        for collection, q, orderby in forty.cases():
            found = forty.all_found(far.source, collection, q, orderby)
            right = forty.right(collection, q, orderby)
            assert found == right, (collection, q)


P1, P2, P3, P5 = (f'platformname:"{name}"' for name in ("Sentinel-1", "Sentinel-2", "Sentinel-3", "Sentinel-5"))


@pytest.mark.parametrize(
    ("collection", "q", "said", "exact"),
    [
        ("S2", "*", P2, True),
        ("S2", "platformname:Sentinel-2 AND cloudcoverpercentage:[0 TO 30]", f"{P2} AND cloudcoverpercentage:[0 TO 30]", True),
        ("S2", "platformserialidentifier:S2A", f'{P2} AND platformserialidentifier:"Sentinel-2A"', True),
        ("S1", "platformserialidentifier:Sentinel-1A", f"{P1} AND filename:S1A_*", True),
        ("S2", "processinglevel:L1C", f'{P2} AND processinglevel:"Level-1C"', True),
        ("S3", "processinglevel:L2 timeliness:ST", f'{P3} AND processinglevel:2 AND timeliness:"Short Time Critical"', True),
        ("S1", "processinglevel:L1", f"{P1} AND filename:S1?_??_????_1*", True),
        ("S5P", "processingmode:NRTI", f'{P5} AND processingmode:"Near real time"', True),
        ("S2", "tileid:31tcj", f"{P2} AND (tileid:31TCJ OR filename:*_T31TCJ_*)", True),
        ("S2", "hv_order_tileid:TJ31C", f"{P2} AND (tileid:31TCJ OR filename:*_T31TCJ_*)", True),
        ("S1", 'polarisationmode:"VV VH"', f"{P1} AND polarisationmode:VV AND polarisationmode:VH", True),
        ("S1", "ingestiondate:[NOW-1DAY TO NOW]",
         f"{P1} AND ingestiondate:[2026-11-25T12:00:00.000Z TO 2026-11-26T12:00:00.000Z]", True),
        # Brackets wherever Lucene has no precedence, and never only a negation.
        ("S1", "producttype:SLC AND orbitnumber:1 OR producttype:GRD",
         f"{P1} AND ((producttype:SLC AND orbitnumber:1) OR producttype:GRD)", True),
        ("S1", "producttype:GRD OR NOT orbitnumber:1", f"{P1} AND (producttype:GRD OR ({P1} AND NOT orbitnumber:1))", True),
        ("S1", "NOT (NOT producttype:GRD)", f"{P1} AND NOT ({P1} AND NOT producttype:GRD)", True),
        # Wider than meant: never narrower.
        ("S1", "producttype:S* AND orbitnumber:1", f"{P1} AND orbitnumber:1", False),
        ("S1", "word AND orbitnumber:1", f"{P1} AND orbitnumber:1", False),
        ("S1", "size:/.+KB/ OR orbitnumber:1", P1, False),
        ("S2", "tileid:31TC?", P2, False),
        ("S2", 'NOT footprint:"Intersects(1, 2)"', P2, False),
        ("S2", 'footprint:"IsWithin(POLYGON((178 0,-178 0,-178 5,178 5,178 0)))" producttype:S2MSI1C',
         f'{P2} AND footprint:"Intersects(MULTIPOLYGON (((-178 0, -180 0, -180 5, -178 5, -178 0)),'
         ' ((178 5, 180 5, 180 0, 178 0, 178 5))))" AND producttype:S2MSI1C', False),
        # What has no value in a collection is found in none of its products.
        ("S1", "cloudcoverpercentage:[0 TO 10]", f"{P1} AND NOT {P1}", True),
        ("S1", "platformname:Sentinel-2", f"{P1} AND NOT {P1}", True),
        ("S1", "producttype:GRD OR collection:S1", f"{P1} AND (producttype:GRD OR {P1})", True),
        ("S2", "identifier:日本", P2, False),
    ],
)  # fmt: skip
def test_what_is_asked(collection: str, q: str, said: str, exact: bool) -> None:
    text, whole, _ = put("hub", collection, query.parse(q), NOW)
    assert (text, whole) == (said, exact)


def test_latin_letters_are_sent_as_hubs_read_them() -> None:
    text, _, _ = put("hub", "S2", query.parse('identifier:"õäöüÿ(&%"'), NOW)
    assert "%F5%E4%F6%FC%FF%28%26%25" in encoded(text)


TRAPS = {
    "S1": (
        "producttype:SLC AND orbitdirection:ASCENDING OR producttype:OCN",
        "producttype:GRD OR NOT polarisationmode:VV",
        "NOT (NOT producttype:GRD OR NOT orbitdirection:ASCENDING)",
        "NOT NOT NOT producttype:GRD",
        "(NOT producttype:GRD) OR (NOT orbitdirection:ASCENDING AND NOT polarisationmode:HH)",
        'polarisationmode:"VH VV" OR producttype:OCN',
        "swathidentifier:IW1 AND producttype:SLC",
        "producttype:G* OR orbitnumber:[54100 TO 54110]",
        'NOT footprint:"Intersects(POLYGON((178 -20, -178 -20, -178 -15, 178 -15, 178 -20)))"',
        "size:/.+ MB/ AND producttype:SLC",
    ),
    "S2": (
        "processinglevel:1C OR processinglevel:L2A AND cloudcoverpercentage:[0 TO 20]",
        'footprint:"IsWithin(POLYGON((170 -60, -170 -60, -170 60, 170 60, 170 -60)))"',
        "S2B AND NOT tileid:31TCJ",
        "hv_order_tileid:TJ31C",
    ),
    "S3": ("timeliness:Critical AND NOT timeliness:ST", "pduduration:180 AND instrumentshortname:OLCI"),
}


@pytest.mark.parametrize(("collection", "q"), [(name, q) for name, all_ in TRAPS.items() for q in all_])
def test_what_lucene_reads_otherwise_is_still_right(shared: FarDhus, collection: str, q: str) -> None:
    found = forty.all_found(shared.source, collection, q, "beginposition asc")
    # Sizes are told to two decimals; everything else as it is.
    assert found == forty.right(collection, q, "beginposition asc")
    assert "SyntaxError" not in str(shared.asked[-1])


@pytest.mark.parametrize(
    "orderby", ["identifier desc", "cloudcoverpercentage asc", "beginposition desc, identifier asc", ""]
)
def test_orders_that_hubs_do_not_have_are_made_here(shared: FarDhus, orderby: str) -> None:
    assert forty.all_found(shared.source, "S2", "*", orderby) == forty.right("S2", "*", orderby)


def test_only_the_hub_decides_on_what_only_it_knows(shared: FarDhus) -> None:
    found = forty.all_found(shared.source, "S1", "slicenumber:3 AND producttype:(GRD OR SLC)", "beginposition asc")
    right = forty.right("S1", "producttype:(GRD OR SLC)", "beginposition asc")
    assert found == [name for name in right if shared.shown[name]["slicenumber"] == "3"]
    assert 0 < len(found) < len(right)


@pytest.mark.parametrize(
    ("collection", "q", "keyword"),
    [
        ("S2", "online:true", "online"),
        ("S2", "producttype:S2MSI1C OR NOT online:false", "online"),
        ("S5P", "orbitdirection:ASCENDING", "orbitdirection"),
        ("S5P", "relativeorbitnumber:5", "relativeorbitnumber"),
        ("S1", "generationdate:[* TO NOW]", "generationdate"),
        ("S2", "lastorbitnumber:5", "lastorbitnumber"),
        ("S1", "slicenumber:3 OR size:1*", "slicenumber"),
    ],
)
def test_what_nobody_can_tell_is_an_error(shared: FarDhus, collection: str, q: str, keyword: str) -> None:
    before = len(shared.asked)
    error = forty.all_found(shared.source, collection, q, "beginposition asc")
    assert isinstance(error, SourceUnavailable)
    assert keyword in error.message
    assert len(shared.asked) == before


def test_a_query_that_is_too_long_is_asked_for_wider(shared: FarDhus) -> None:
    ring = [(10 + 30 * (index / 400), 40 + (index % 2) * 5.123456789) for index in range(400)]
    points = ", ".join(f"{x} {y}" for x, y in [*ring, (40, 0), (10, 0), ring[0]])
    area = f'footprint:"Intersects(POLYGON(({points})))" AND producttype:S2MSI2A'
    others = [f"{zone:02d}{letters}" for zone in range(1, 60) for letters in ("TQQ", "SAA")]
    tiles = "tileid:(" + " OR ".join(["31TCJ", *others]) + ")"
    for q in (area, tiles):
        assert forty.all_found(shared.source, "S2", q, "beginposition asc") == forty.right("S2", q, "beginposition asc")
        text, exact, _ = put("hub", "S2", query.parse(q), NOW)
        assert len(encoded(text)) <= LONGEST
        assert not exact
    assert "POLYGON ((" in put("hub", "S2", query.parse(area), NOW)[0]


def test_what_only_the_hub_decides_is_never_left_out_for_length(shared: FarDhus) -> None:
    words = " OR ".join(f"orbitnumber:{number}" for number in range(54_000, 54_400))
    q = f"(slicenumber:3 AND producttype:(GRD OR SLC)) AND ({words})"
    found = forty.all_found(shared.source, "S1", q, "beginposition asc")
    right = forty.right("S1", f"producttype:(GRD OR SLC) AND ({words})", "beginposition asc")
    assert found == [name for name in right if shared.shown[name]["slicenumber"] == "3"]
    assert 0 < len(found) < len(right)
    text, exact, _ = put("hub", "S1", query.parse(q), NOW)
    assert (text, exact) == (f"{P1} AND slicenumber:3 AND (producttype:GRD OR producttype:SLC)", False)
    area = "POLYGON((" + ", ".join(f"{x / 37} {x % 2}" for x in range(200)) + ", 0 9, 0 0))"
    both = query.And((query.parse("slicenumber:3").tree, query.parse(f'footprint:"Intersects({area})"').tree))
    text, exact, _ = put("hub", "S1", query.Query(query.And((both, query.parse("orbitnumber:5").tree))), NOW)
    east = 199 / 37
    box = f"POLYGON (({east} 0, {east} 9, 0 9, 0 0, {east} 0))"
    assert text == f'{P1} AND slicenumber:3 AND footprint:"Intersects({box})" AND orbitnumber:5'
    assert not exact
    with pytest.raises(SourceUnavailable, match="cannot be asked for so long a query"):
        put("hub", "S1", query.parse(" OR ".join(f"slicenumber:{number}" for number in range(400))), NOW)


def test_what_is_between_quotes_stays_there() -> None:
    text, _, _ = put("hub", "S1", query.parse(r'identifier:"x\" OR platformname:\"Sentinel-2"'), NOW)
    assert text == rf'{P1} AND identifier:"x\" OR platformname:\"Sentinel-2"'
    test = far_dhus.lucene(text)
    assert not test({"platformname": "Sentinel-2", "identifier": "y"})
    assert test({"platformname": "Sentinel-1", "identifier": 'x" OR platformname:"Sentinel-2'})


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), min_size=1, max_size=30))
def test_no_text_gets_out_of_its_clause(text: str) -> None:
    asked = query.Query(query.Field("identifier", query.Phrase(text)))
    for one in (asked, query.Query(query.Field("identifier", query.Term(text)))):
        said, exact, _ = put("hub", "S1", one, NOW)
        test = far_dhus.lucene(said)
        assert exact
        assert test({"platformname": "Sentinel-1", "identifier": text})
        assert not test({"platformname": "Sentinel-1", "identifier": f"{text}x"})


# --- pages -----------------------------------------------------------------------------------------------------------
def test_a_thousand_products_are_ten_requests(far: FarDhus) -> None:
    for product in many(1000):
        far.hold(product)
    hits = far.source.search("S2", query.parse("producttype:*"), start=0, rows=1000, orderby="ingestiondate desc")
    assert len(hits.products) == hits.total == 1000
    assert [(int(asked["start"]), int(asked["rows"])) for asked in far.asked] == [(100 * n, 100) for n in range(10)]
    far.asked.clear()
    hits = far.source.search("S2", query.parse("*"), start=0, rows=10, orderby="ingestiondate desc")
    assert (len(hits.products), hits.total, len(far.asked)) == (10, 1000, 1)


@pytest.mark.parametrize("orderby", ["ingestiondate asc", "ingestiondate desc"])
def test_beyond_what_a_hub_counts(far: FarDhus, monkeypatch: pytest.MonkeyPatch, orderby: str) -> None:
    monkeypatch.setattr(dhus, "WINDOW", 150)
    monkeypatch.setattr(far_dhus, "CAP", 150)
    made = many(400)
    for product in made:
        far.hold(product)
    first = far.source.search("S2", query.parse("*"), start=0, rows=10, orderby=orderby)
    assert first.total > 10
    assert "does not say how many" in first.notes[0]
    found = forty.all_found(far.source, "S2", "*", orderby, rows=60)
    assert found == [item.id for item in query.order(made, orderby)]
    assert all(int(asked["start"]) + int(asked["rows"]) <= 150 for asked in far.asked)
    assert far.source.check() is None
    before = len(far.asked)
    with pytest.raises(InvalidRequest, match="150 products or more"):
        far.source.search("S2", query.parse("size:1*"), start=0, rows=10, orderby=orderby)
    assert len(far.asked) == before + 1


def test_more_products_of_one_moment_than_a_hub_shows(far: FarDhus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dhus, "WINDOW", 50)
    monkeypatch.setattr(far_dhus, "CAP", 50)
    for product in many(120):
        far.hold(product.model_copy(update={"ingestion_date": NOW}))
    with pytest.raises(SourceUnavailable, match="no more than 50 products of one moment"):
        far.source.search("S2", query.parse("*"), start=90, rows=10, orderby="ingestiondate asc")


@pytest.mark.parametrize("total", ["150", "10000"])
def test_pages_that_end_before_they_should_are_an_error(far: FarDhus, total: str) -> None:
    far.answer = lambda _request: Reply.json({"feed": {"opensearch:totalResults": total}})
    with pytest.raises(SourceUnavailable, match="shows none of the others"):
        far.source.search("S2", query.parse("*"), start=0, rows=10, orderby="ingestiondate desc")
    for product in many(150):
        far.hold(product)
    far.answer = lambda request: (
        Reply.json({"feed": {"opensearch:totalResults": total}}) if "start=100" in request.target else None
    )
    assert (
        len(far.source.search("S2", query.parse("*"), start=0, rows=100, orderby="beginposition asc").products) == 100
    )
    with pytest.raises(SourceUnavailable, match="more than 100 products, and shows none of the others"):
        far.source.search("S2", query.parse("*"), start=100, rows=10, orderby="beginposition asc")


def test_what_is_no_product_is_left_out_of_a_page(far: FarDhus) -> None:
    for product in many(3):
        far.hold(product)
    names = iter(["S1A_OPER_AUX_POEORB_OPOD_20210317T121539_V20210224T225942_20210226T005942", ""])
    name = next(names)
    far.shown[name] = {**far.shown[product_id(0)], "identifier": name, "uuid": "aux"}
    assert forty.all_found(far.source, "S2", "*", "ingestiondate asc") == [product_id(number) for number in range(3)]


# --- single products -------------------------------------------------------------------------------------------------
def test_many_are_found_in_few_requests(far: FarDhus) -> None:
    made = many(45)
    for product in made[:44]:
        far.hold(product)
    far.offline.add(made[3].id)
    wanted = [item.id for item in made] + ["x' or Name eq 'y", "../../x", made[0].id + ".SAFE", ""]
    found = far.source.find(tuple(wanted))
    assert set(found) == {item.id for item in made[:44]}
    assert sum(path == "/dhus/odata/v1/Products" for _, path in far.server.paths) == 3
    assert [name for name, item in found.items() if not item.online] == [made[3].id]
    one = found[made[1].id]
    assert (one.size, one.size_estimated, one.begin_position) == (made[1].size, False, made[1].begin_position)
    assert one.footprint is not None
    assert far.source.find(("x' or Name eq 'y",)) == {}
    with pytest.raises(UnknownProduct):
        far.source.open("x')/$value?")


def test_each_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: FarDhus) -> None:
    # A password that was refused is not sent again, to whatever product: those two are tested below.
    faults = {name: fault for name, fault in FAULTS.items() if not name.startswith("401")}
    each_fault_alone(tmp_path, monkeypatch, far.server, far.source, faults=faults, reasons=REASONS)


@pytest.mark.parametrize("collection", ["S1", "S2", "S3", "S5P"])
def test_products_of_each_mission_arrive(far: FarDhus, collection: str) -> None:
    product = next(item for item in forty.population() if item.collection == collection and item.online)
    netcdf = b"\x89HDF\r\n\x1a\n" + b"data" * 1000
    far.hold(product, {"data.nc": netcdf})
    content = far.source.open(product.id)
    body = b"".join(content.read(0))
    assert (content.name, content.size) == (products.parse(product.id).archive_name, len(body))
    assert content.checksums == {"md5": hashlib.md5(body).hexdigest()}
    if collection == "S5P":
        assert body == netcdf
    else:
        (name,) = zipfile.ZipFile(io.BytesIO(body)).namelist()
        assert name == f"{product.id}{products.parse(product.id).extension}/data.nc"


def test_a_password_that_changes_in_mid_transfer(far: FarDhus) -> None:
    name = held(far)
    far.server.held[name].script = [cut(0.5)]
    given = dict(LOGIN)
    with closing(DhusSource(f"{far.server.url}/dhus", lambda: given, stall_seconds=0.5)) as source:
        content = source.open(name)
        got = upto_the_cut(content)
        far.login["password"] = "another"
        for _ in range(3):
            with pytest.raises(SourceUnavailable, match="refused the credentials") as caught:
                list(content.read(len(got)))
            assert caught.value.hint == "Run `extenso login dhus` where the gateway runs."
            assert caught.value.details["login"] == "dhus"
        assert far.refused.total() == 1
        assert "refused" in str(lacking(source))
        given["password"] = "another"
        assert lacking(source) is None
        assert got + b"".join(content.read(len(got))) == DATA


def test_a_wrong_password_is_asked_once(far: FarDhus) -> None:
    far.login["password"] = "another"
    calls = (
        lambda: far.source.search("S2", query.parse("*"), start=0, rows=10, orderby=""),
        lambda: far.source.find((product_id(1),)),
        far.source.check,
        lambda: far.source.quicklook(product_id(1)),
    )
    for call in calls:
        with pytest.raises(SourceUnavailable, match="refused the credentials") as caught:
            call()
        assert not SECRET.search(f"{caught.value}{caught.value.details}{far.source!r}")
    assert far.refused.total() == 1


def test_without_credentials_nothing_is_sent(far: FarDhus) -> None:
    with closing(DhusSource(f"{far.server.url}/dhus")) as source:
        assert "extenso login dhus" in str(lacking(source))
        with pytest.raises(SourceUnavailable, match="no credentials are set"):
            source.check()
    with closing(DhusSource(f"{far.server.url}/dhus", lambda: {"username": "someone"})) as source:
        assert "password" in str(lacking(source))
        with pytest.raises(SourceUnavailable, match="with password"):
            source.check()
    assert far.server.paths == []


def test_the_guest_of_the_hub_of_sentinel_5p(far: FarDhus) -> None:
    far.login = dict(GUEST)
    with closing(DhusSource(f"{far.server.url}/dhus/", lambda: GUEST, name="s5p")) as source:
        assert source.check() == 0
        assert source.name == "s5p"


def test_a_redirect_to_another_host_goes_without_the_password(far: FarDhus) -> None:
    name = held(far)
    away = f"{far.server.other_url}/away/{name}?X-Signature=not-to-be-shown"
    far.server.held[name].script = [status(301, Location=away)]
    assert b"".join(far.source.open(name).read(0)) == DATA
    assert ("GET", f"/away/{name}") in far.server.paths
    assert far.server.leaks == []


def test_a_hub_that_is_down_is_unavailable_at_once() -> None:
    with FarDhus() as far:
        url = f"{far.server.url}/dhus"
    with closing(DhusSource(url, lambda: dict(LOGIN))) as source:
        for call in (
            lambda: source.search("S2", query.parse("*"), start=0, rows=10, orderby=""),
            lambda: source.find((product_id(1),)),
            lambda: source.open(product_id(1)),
            lambda: source.quicklook(product_id(1)),
            lambda: source.warm_up(product_id(1)),
            source.check,
        ):
            with pytest.raises(SourceUnavailable, match="refused"):
                call()


# --- the cold archive ------------------------------------------------------------------------------------------------
def test_a_cold_product_is_asked_for_as_clients_of_hubs_do(far: FarDhus) -> None:
    name = held(far, online=False, script=[status(202)])
    assert not far.source.find((name,))[name].online
    far.source.warm_up(name)
    assert far.server.seen[-1].headers["range"] == "bytes=0-1"
    far.offline.clear()
    far.source.warm_up(name)  # nothing happens
    assert far.server.requests[name] == 1
    with pytest.raises(UnknownProduct):
        far.source.warm_up(product_id(77))


def test_a_knock_leaves_the_body_unread(far: FarDhus) -> None:
    name = held(far, online=False, script=[range_ignored])
    far.source.warm_up(name)  # it came back meanwhile, and the hub sends all of it
    far.server.settle()
    assert far.server.requests[name] == 1
    content = far.source.open(name)
    assert b"".join(content.read(0)) == DATA


@pytest.mark.parametrize(
    ("line", "says", "code"),
    [
        (quota, "quota exceeded", 403),
        (status(503, "Maximum number of running order reached"), "503", 503),
        (status(403, "", cause_message='Maximum number of 2 concurrent flows achieved by the user "someone"'),
         "Maximum number of 2 concurrent flows", 403),
        (status(500), "500", 500),
    ],
)  # fmt: skip
def test_what_the_archive_refuses_is_said(far: FarDhus, line: Any, says: str, code: int) -> None:
    name = held(far, online=False, script=[line, line])
    with pytest.raises(SourceUnavailable, match=says) as caught:
        far.source.warm_up(name)
    assert caught.value.details["status"] == code
    with pytest.raises(SourceUnavailable, match=says):
        list(far.source.open(name).read(0))


def test_a_product_that_was_taken_for_online_is_offline(far: FarDhus) -> None:
    name = held(far, script=[status(202)])
    with pytest.raises(ProductOffline):
        list(far.source.open(name).read(0))


def test_what_it_allows(far: FarDhus) -> None:
    limits, profile = limits_of(far.source), profile_of(far.source)
    assert (limits.transfers, limits.warm_ups) == (2, (20, 43_200))
    assert (profile.archive, profile.cost, profile.account) == (True, 2, "dhus")
    assert isinstance(far.source, Source)


# --- pictures --------------------------------------------------------------------------------------------------------
def test_quicklooks(far: FarDhus) -> None:
    name, other = held(far, 1), held(far, 2)
    far.pictures[name] = b"\xff\xd8picture"
    far.source.search("S2", query.parse("*"), start=0, rows=10, orderby="ingestiondate desc")
    before = len(far.server.paths)
    assert far.source.quicklook(name) == b"\xff\xd8picture"
    assert len(far.server.paths) == before + 1
    with pytest.raises(NoQuicklook):
        far.source.quicklook(other)
    with pytest.raises(UnknownProduct):
        far.source.quicklook(product_id(77))


# --- hostile answers -------------------------------------------------------------------------------------------------
def entry(**more: Any) -> dict[str, Any]:
    return {"title": product_id(1), "id": uuid_of(product_id(1)), **more}


@pytest.mark.parametrize(
    "body",
    [
        b"null", b"[]", b"{}", b'{"feed": null}', b'{"feed": []}', b'{"feed": {"entry": 5}}', b"[" * 100_000, b"", b"\x00",
        b"<feed>", b"<a/>", b"<!DOCTYPE html><html><title>Sign in</title>" + b"x" * 10_000_000,
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
        b'<feed xmlns="http://www.w3.org/2005/Atom"><error><code>400</code><message>undefined field</message></error></feed>',
        *(
            json.dumps({"feed": {"opensearch:totalResults": "1", "entry": given}}).encode()
            for given in ([None], "x", {"title": None}, entry(str="x"), entry(str=[None]), entry(date={"name": None}))
        ),
        b'{"feed": {"error": "no"}}', b'{"feed": {"error": null}}',
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)  # fmt: skip
def test_what_is_no_page_is_an_error(far: FarDhus, body: bytes) -> None:
    far.answer = lambda _request: Reply(200, body)
    with pytest.raises(SourceUnavailable) as caught:
        far.source.search("S2", query.parse("*"), start=0, rows=10, orderby="ingestiondate desc")
    assert len(caught.value.message) < 400
    with pytest.raises(SourceUnavailable):
        far.source.check()


@pytest.mark.parametrize(
    "values",
    [
        {"beginposition": "soon", "size": "much", "footprint": "POLYGON((", "orbitnumber": "NaN"},
        {"cloudcoverpercentage": "1e999", "orbitdirection": "sideways", "size": "9" * 400 + " TB"},
        {"footprint": "", "gmlfootprint": "<gml:outerBoundaryIs><gml:coordinates>1,2 x,y</gml:coordinates>"},
    ],
)
def test_odd_values_are_left_out(values: dict[str, str]) -> None:
    one = dhus_entries.product(dhus_entries.Entry(product_id(1), "", values), "hub")
    assert one is not None
    assert one.size > 0
    assert one.footprint is None
    assert one.cloud_cover is None
    assert one.orbit_direction is None


def ring(kind: str, pairs: str) -> str:
    return (
        f"<gml:{kind}BoundaryIs>\n <gml:LinearRing>\n <gml:coordinates>{pairs}</gml:coordinates>"
        f" </gml:LinearRing>\n </gml:{kind}BoundaryIs>"
    )


def test_a_hole_stays_a_hole_and_latitude_comes_first() -> None:
    outer, inner = "0,10 0,14 4,14 4,10 0,10", "1,11 1,12 2,12 2,11 1,11"
    gml = (
        "<gml:Polygon>"
        + ring("outer", outer)
        + ring("inner", inner)
        + ring("outer", "10,0 10,1 11,1 10,0")
        + "</gml:Polygon>"
    )
    one = dhus_entries.product(dhus_entries.Entry(product_id(1), "", {"gmlfootprint": gml}), "hub")
    assert one is not None
    area = shape(one.footprint)
    assert area.bounds == (0, 0, 14, 11)
    assert area.area == 16 - 1 + 0.5


def test_no_footprint_takes_long() -> None:
    began = time.monotonic()
    for text in ("<outerBoundaryIs>" * 60_000, "<a:outerBoundaryIs" * 60_000, "<outerBoundaryIs><coordinates" * 40_000):
        one = dhus_entries.product(dhus_entries.Entry(product_id(1), "", {"gmlfootprint": text}), "hub")
        assert one is not None
        assert one.footprint is None
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"d": None}, {"d": [5]}, {"d": {"results": "x"}}, {"d": {"results": [{"Name": 1, "Id": "x"}]}},
        {"d": {"results": [{"Name": product_id(1), "Id": "x')/evil"}]}}, {"d": {"results": [{"Id": "x"}]}},
    ],
)  # fmt: skip
def test_what_is_no_odata_is_an_error(far: FarDhus, body: object) -> None:
    far.answer = lambda _request: Reply.json(body)
    for call in (far.source.find, lambda names: far.source.open(names[0])):
        with pytest.raises(SourceUnavailable):
            call((product_id(1),))


def test_odata_may_be_one_alone_or_twice_or_another(far: FarDhus) -> None:
    one = {"Id": "a", "Name": product_id(1), "ContentLength": "5", "Online": False, "IngestionDate": "/Date(5)/"}
    two = one | {"Id": "b", "Online": True, "Checksum": {"Algorithm": "MD5", "Value": "x"}}
    three = one | {"Id": "c", "Name": product_id(2)}
    far.answer = lambda _request: Reply.json({"d": one})
    assert not far.source.find((product_id(1),))[product_id(1)].online
    far.answer = lambda _request: Reply.json({"d": [one, two, one, three]})
    found = far.source.find((product_id(1),))
    assert list(found) == [product_id(1)]
    assert found[product_id(1)].uuid == "b"


def test_an_address_that_is_no_hub(far: FarDhus) -> None:
    far.answer = lambda _request: Reply(404, b"PAGE NOT FOUND", {"Content-Type": "text/html"})
    with pytest.raises(SourceUnavailable, match="is no hub"):
        far.source.check()
    with pytest.raises(SourceUnavailable, match="404"):
        far.source.find((product_id(1),))
    far.answer = None
    assert far.source.check() == 0


@pytest.mark.parametrize(
    "url", ["", "host/dhus", "ftp://host", "https://", "https://host/?q=1", "https://a:b@host/dhus"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InputError) as caught:
        DhusSource(url)
    assert "a:b" not in str(caught.value)


# --- other recorded forms --------------------------------------------------------------------------------------------
def test_the_atom_form_and_the_stub_are_read(shared_data: Path) -> None:
    catalog = shared_data / "catalog"
    page = dhus_entries.feed((catalog / "dhus_atom" / "page1.xml").read_bytes(), "hub")
    atom = [dhus_entries.product(item, "hub") for item in page.entries]
    (one,) = dhus_entries.held(json.loads((catalog / "dhus_atom" / "full.json").read_bytes()), "hub")
    second = dhus_entries.stub((catalog / "dhus_s5phub" / "products.json").read_bytes(), "hub")
    stubs = [dhus_entries.product(item, "hub") for item in second.entries]
    assert (page.total, len(atom), len(stubs), second.total) == (4, 2, 4, 8)
    assert all(item is not None and item.footprint is not None for item in [*atom, *stubs])
    assert {item.collection for item in stubs if item} == {"S5P"}
    assert one.checksums == {"MD5": "8C9AEF8702D58CA4D4A8289B1B3E071F"}
    assert (one.size, one.product.begin_position.year, one.product.online) == (1032588375, 2020, True)
    assert atom[1] is not None
    assert atom[1].id == one.product.id


def test_a_request_never_has_other_than_what_is_meant(shared: FarDhus) -> None:
    def asked(request: Request) -> None:
        assert request.headers["authorization"].startswith("Basic ")

    shared.answer = asked  # type: ignore[assignment]
    try:
        assert shared.source.check() == len(forty.population())
    finally:
        shared.answer = None
