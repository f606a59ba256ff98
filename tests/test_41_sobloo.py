"""Sobloo: the recorded answer, the forty queries, the table of faults, and what else can go wrong."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import far_sobloo
import forty
import pytest
from far_sobloo import KEY, FarSobloo
from faults import REASONS, each_fault_alone
from scripted import product_id
from scripted_http import DATA, FAULTS, Reply, cut, status

from extenso_nb import products, query
from extenso_nb.errors import IncompleteTransfer, InputError, NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Source, lacking, limits_of, profile_of, sobloo
from extenso_nb.gateway.sources.record import named
from extenso_nb.gateway.sources.sobloo import SoblooSource
from extenso_nb.gateway.sources.translate import translate
from extenso_nb.models import Product

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared() -> Iterator[FarSobloo]:
    with FarSobloo() as far:
        for product in forty.population():
            far.hold(product)
        yield far


@pytest.fixture
def far() -> Iterator[FarSobloo]:
    with FarSobloo(stall_seconds=1.0) as far:
        yield far


def first_of(collection: str) -> Product:
    return next(item for item in forty.population() if item.collection == collection and item.online)


def many(count: int) -> list[Product]:
    """Products of one type, a minute apart."""
    begin, one = datetime(2024, 6, 1, tzinfo=UTC), first_of("S2")
    times = [begin + timedelta(minutes=number) for number in range(count)]
    return [
        one.model_copy(update={"id": product_id(number), "begin_position": time, "ingestion_date": time})
        for number, time in enumerate(times)
    ]


def held(far: FarSobloo, number: int = 1, *script: Any) -> str:
    name = product_id(number)
    far.hold(first_of("S2").model_copy(update={"id": name}), DATA)
    far.server.held[name].script = list(script)
    return name


def searches(far: FarSobloo) -> list[dict[str, str]]:
    return [dict(pairs) for pairs in far.asked]


# --- recorded answers ------------------------------------------------------------------------------------------------
def test_the_recorded_answer_is_read(shared_data: Path, far: FarSobloo) -> None:
    body = (shared_data / "catalog" / "sobloo" / "sobloo_search.json").read_bytes()
    far.answer = lambda _request: Reply(200, body)
    names = tuple(hit["data"]["identification"]["externalId"] for hit in json.loads(body)["hits"])
    found = far.source.find(names)
    assert list(found) == list(names)
    assert len(found) == 2
    one = found[names[0]]
    assert one.footprint is not None
    assert one.uuid == "48d9d4c0-8ee0-4283-8a08-ae69b424bc58"
    assert (one.size, one.size_estimated, one.online) == (255_000_000, True, True)
    assert one.begin_position == datetime(2020, 8, 8, 1, 3, 11, 24_000, tzinfo=UTC)
    assert one.ingestion_date == datetime(2020, 8, 8, 8, 16, 45, 191_000, tzinfo=UTC)
    assert (one.cloud_cover, one.orbit_number, one.orbit_direction, one.tile_id) == (
        42.6674,
        26783,
        "DESCENDING",
        "54PYV",
    )
    assert far.source.check() == 47
    hits = far.source.search("S2", query.parse("producttype:S2MSI1C"), start=0, rows=2, orderby="beginposition asc")
    assert (len(hits.products), hits.total) == (2, 47)


def test_services_that_ended_have_no_adapter_but_their_products_are_known(shared_data: Path) -> None:
    """ONDA and PEPS were reached by the original service's relatives; their recorded answers name products we know."""
    folder = shared_data / "catalog"
    onda = json.loads((folder / "eodag_provider_responses" / "onda_search.json").read_bytes())["value"]
    peps = json.loads((folder / "peps" / "peps_search.json").read_bytes())["features"]
    names = [item["name"] for item in onda] + [item["properties"]["productIdentifier"] for item in peps]
    known = [named(name.removesuffix(".zip")) for name in names]
    assert (len(onda), len(peps)) == (2, 2)
    assert all(one is not None and one.collection == "S2" for one in known)


# --- the forty -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_forty(shared: FarSobloo, collection: str, q: str, orderby: str) -> None:
    assert forty.all_found(shared.source, collection, q, orderby) == forty.right(collection, q, orderby)
    assert all(int(asked["size"]) <= 1000 for asked in searches(shared))


def begin(*parts: str) -> list[tuple[str, str]]:
    return [("f", part) for part in parts]


JUNE = 1717200000000


@pytest.mark.parametrize(
    ("collection", "q", "said", "exact"),
    [
        ("S2", "*", begin(), True),
        ("S2", "producttype:s2msi1c", begin("identification.type:eq:S2MSI1C"), True),
        ("S2", "producttype:S2MSI2Ap", begin("identification.type:eq:S2MSI2Ap"), True),
        ("S1", "NOT producttype:SLC", begin("identification.type:ne:SLC"), True),
        ("S2", "cloudcoverpercentage:[0 TO 30]",
         begin("contentDescription.cloudCoverPercentage:gte:0.0", "contentDescription.cloudCoverPercentage:lte:30.0"), True),
        ("S2", "beginposition:[2024-06-01T00:00:00Z TO *] AND endposition:{* TO 2024-06-01T00:00:00.001Z}",
         begin(f"acquisition.beginViewingDate:gte:{JUNE}", f"acquisition.endViewingDate:lt:{JUNE + 1}"), True),
        ("S2", "ingestiondate:{NOW-1DAY TO NOW]",
         begin("state.insertionDate:gt:1795608000000", "state.insertionDate:lte:1795694400000"), True),
        ("S1", "platformserialidentifier:Sentinel-1A relativeorbitnumber:5",
         begin("acquisition.missionCode:eq:S1A", "orbit.relativeNumber:gte:5", "orbit.relativeNumber:lte:5"), True),
        ("S3", "timeliness:NT orbitdirection:ascending",
         begin("production.timeliness:eq:Non Time Critical", "orbit.direction:eq:ASCENDING"), True),
        ("S2", "tileid:31tcj processinglevel:L2A processingbaseline:05.10",
         begin("identification.tileId:eq:31TCJ", "production.levelCode:eq:Level-2A", "production.baseline:eq:05.10"), True),
        ("S1", 'footprint:"Intersects(1, 2)"', [("gintersect", "POINT (2 1)")], True),
        ("S1", 'footprint:"Contains(1, 2)"', [("gintersect", "POINT (2 1)")], False),
        ("S2", f"identifier:{product_id(1)}", begin(f"identification.externalId:eq:{product_id(1)}"), True),
        # Not to be said: wider than meant.
        ("S1", "producttype:SLC OR producttype:GRD", begin(), False),
        ("S1", "NOT orbitdirection:ASCENDING", begin(), False),
        ("S1", "polarisationmode:VV producttype:SLC", begin("identification.type:eq:SLC"), False),
        ("S1", "producttype:S*", begin(), False),
        ("S2", 'identifier:"a,b:c"', begin(), False),
        ("S1", 'producttype:"a,b"', begin(), False),
        ("S5P", "orbitnumber:5 producttype:L2__NO2___", begin("identification.type:eq:L2__NO2___"), False),
        ("S5P", "processingmode:OFFL", begin(), False),
        ("S3", "timeliness:Critical", begin(), False),
    ],
)  # fmt: skip
def test_what_is_asked(collection: str, q: str, said: list[tuple[str, str]], exact: bool) -> None:
    asked = translate(query.parse(q), sobloo._Filters(collection), NOW)
    assert (list(asked.expression or ()), asked.exact) == (said, exact)


def test_the_whole_of_a_request(shared: FarSobloo) -> None:
    shared.asked.clear()
    shared.source.search("S5P", query.parse("producttype:L2__NO2___"), start=0, rows=7, orderby="ingestiondate desc")
    assert shared.asked == [
        [
            ("f", "identification.collection:eq:Sentinel-5 Precursor"),
            ("f", "identification.type:eq:L2__NO2___"),
            ("size", "100"),
            ("from", "0"),
            ("sort", "-state.insertionDate"),
        ]
    ]


@pytest.mark.parametrize(
    "q",
    [
        'footprint:"Intersects(POLYGON((2 40,3 40,3 48,2 48,2 40)))" footprint:"Intersects(POLYGON((2 44,3 44,3 50,2 44)))"',
        'footprint:"Intersects(2, 2)" OR NOT producttype:S2MSI1C',
        "NOT producttype:S2MSI1C AND NOT producttype:S2MSI2A",
        'online:false OR footprint:"IsWithin(POLYGON((-180 -90,180 -90,180 0,-180 0,-180 -90)))"',
    ],
)
def test_what_is_beyond_the_service_is_done_here(shared: FarSobloo, q: str) -> None:
    shared.asked.clear()
    assert forty.all_found(shared.source, "S2", q, "beginposition asc") == forty.right("S2", q, "beginposition asc")
    assert all(sum(name == "gintersect" for name, _ in pairs) <= 1 for pairs in shared.asked)


def test_a_long_area_is_a_box(shared: FarSobloo) -> None:
    ring = [(10 + 0.099123456 * index, 40 + (index % 2) * 5.123456789) for index in range(300)]
    points = ", ".join(f"{x:.9f} {y:.9f}" for x, y in [*ring, (40, 0), (10, 0), ring[0]])
    q = f'footprint:"Intersects(POLYGON(({points})))"'
    shared.asked.clear()
    assert forty.all_found(shared.source, "S2", q, "beginposition asc") == forty.right("S2", q, "beginposition asc")
    assert {len(dict(pairs)["gintersect"]) < 200 for pairs in shared.asked} == {True}


@pytest.mark.parametrize(
    ("collection", "q", "keyword"),
    [
        ("S1", "slicenumber:3", "slicenumber"),
        ("S2", "vegetationpercentage:[0 TO 5]", "vegetationpercentage"),
        ("S5P", "orbitdirection:ASCENDING", "orbitdirection"),
    ],
)
def test_what_nobody_can_tell_is_an_error(shared: FarSobloo, collection: str, q: str, keyword: str) -> None:
    error = forty.all_found(shared.source, collection, q, "beginposition asc")
    assert isinstance(error, SourceUnavailable)
    assert keyword in error.message


# --- pages -----------------------------------------------------------------------------------------------------------
def test_a_thousand_products_are_one_request(far: FarSobloo) -> None:
    for product in many(1000):
        far.hold(product)
    hits = far.source.search("S2", query.parse("producttype:*"), start=0, rows=1000, orderby="beginposition asc")
    assert len(hits.products) == hits.total == 1000
    assert len(far.asked) <= 2
    far.asked.clear()
    hits = far.source.search("S2", query.parse("*"), start=0, rows=1000, orderby="beginposition asc")
    assert (len(hits.products), len(far.asked)) == (1000, 1)


@pytest.mark.parametrize("orderby", ["beginposition asc", "ingestiondate desc"])
def test_beyond_the_window(far: FarSobloo, monkeypatch: pytest.MonkeyPatch, orderby: str) -> None:
    monkeypatch.setattr(sobloo, "WINDOW", 150)
    monkeypatch.setattr(far_sobloo, "WINDOW", 150)
    made = many(400)
    for product in made:
        far.hold(product)
    for q in ("*", "processinglevel:2A"):
        found = forty.all_found(far.source, "S2", q, orderby, rows=60)
        assert found == [
            item.id for item in query.order([item for item in made if query.parse(q).matches(item)], orderby)
        ]


# --- single products -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("lists", "requests"), [(True, 3), (False, 3 + 45)])
def test_many_are_found_whatever_a_comma_means(far: FarSobloo, lists: bool, requests: int) -> None:
    far.lists = lists
    made = many(45)
    for product in made[:44]:
        far.hold(product)
    wanted = [item.id for item in made] + ["a,b", "x:eq:y", "", made[0].id + ".SAFE"]
    assert set(far.source.find(tuple(wanted))) == {item.id for item in made[:44]}
    assert len(far.asked) == requests
    assert far.source.find(("a,b",)) == {}
    with pytest.raises(UnknownProduct):
        far.source.open("../secret")


def test_of_two_hits_the_one_that_can_be_had_is_taken_and_deleted_ones_are_not(far: FarSobloo) -> None:
    one = far_sobloo.hit_of(first_of("S2"))
    name = one["data"]["identification"]["externalId"]
    cold = json.loads(json.dumps(one))
    cold["data"]["state"]["services"]["download"] = "external"
    gone = json.loads(json.dumps(one))
    gone["data"]["visibility"]["deleted"] = True
    for hits, online in (([cold, one, cold], [True]), ([cold], [False]), ([gone], []), ([], [])):
        far.answer = lambda _request, hits=hits: Reply.json({"totalnb": len(hits), "hits": hits})  # type: ignore[misc]
        assert [item.online for item in far.source.find((name,)).values()] == online


# Neither sizes nor checksums are in its catalogue, so it cannot lie about them, nor are products brought back from
# elsewhere; and a key that was refused is not sent again, to whatever product (below).
NOT_HERE = {"lying checksum", "lying size", "cold in the catalogue", "401 once", "401 always"}
OTHER_REASONS = {
    "truncated zip always": "not a whole zip|cut|ends",
    "cut always at the same byte": "ended after|closed|were announced|broke off|came|not a whole zip",
}


def test_each_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: FarSobloo) -> None:
    faults = {name: fault for name, fault in FAULTS.items() if name not in NOT_HERE}
    reasons = dict(REASONS) | OTHER_REASONS
    each_fault_alone(tmp_path, monkeypatch, far.server, far.source, faults=faults, reasons=reasons)


@pytest.mark.parametrize("collection", ["S1", "S2", "S3", "S5P"])
def test_products_of_each_mission_arrive(far: FarSobloo, collection: str) -> None:
    product = first_of(collection)
    netcdf = b"\x89HDF\r\n\x1a\n" + b"data" * 1000
    far.hold(product, {"data.nc": netcdf})
    content = far.source.open(product.id)
    body = b"".join(content.read(0))
    assert content.name == products.parse(product.id).archive_name
    if collection == "S5P":
        assert body == netcdf
    else:
        (name,) = zipfile.ZipFile(io.BytesIO(body)).namelist()
        assert name == f"{product.id}{products.parse(product.id).extension}/data.nc"


def test_a_key_that_ends_in_mid_transfer(far: FarSobloo) -> None:
    name = held(far, 1, cut(0.5))
    content, got = far.source.open(name), b""
    with suppress(IncompleteTransfer):
        for block in content.read(0):
            got += block
    assert 0 < len(got) < len(DATA)
    far.key = "another"
    for _ in range(3):
        with pytest.raises(SourceUnavailable, match="refused the credentials") as caught:
            list(content.read(len(got)))
        assert KEY["apikey"] not in f"{caught.value}{caught.value.details}{far.source!r}"
        assert caught.value.hint == "Run `extenso login sobloo` where the gateway runs."
    assert far.refused.total() == 1
    assert "refused" in str(lacking(far.source))
    assert list(far.source.find((name,))) == [name]  # searching is open


def test_without_a_key_everything_is_open_but_downloads(far: FarSobloo) -> None:
    name = held(far)
    far.pictures[name] = b"\xff\xd8picture"
    with closing(SoblooSource(url=far.server.url)) as source:
        assert "extenso login sobloo" in str(lacking(source))
        assert source.check() == 1
        assert source.quicklook(name) == b"\xff\xd8picture"
        with pytest.raises(SourceUnavailable, match="no credentials are set"):
            list(source.open(name).read(0))
    for given in ({"username": "x"}, {"apikey": ""}, {"apikey": "a\r\nX-Evil: 1"}):
        with (
            closing(SoblooSource(lambda given=given: given, url=far.server.url)) as source,  # type: ignore[misc]
            pytest.raises(SourceUnavailable, match="wants credentials with"),
        ):
            list(source.open(name).read(0))
    assert far.server.seen == []


def test_a_redirect_to_another_host_goes_without_the_key(far: FarSobloo) -> None:
    name = held(far, 1)
    away = f"{far.server.other_url}/away/{name}?X-Signature=not-to-be-shown"
    far.server.held[name].script = [status(301, Location=away)]
    assert b"".join(far.source.open(name).read(0)) == DATA
    assert far.server.leaks == []


def test_what_is_elsewhere_cannot_be_brought(far: FarSobloo) -> None:
    name = held(far)
    far.source.warm_up(name)
    far.hold(first_of("S2").model_copy(update={"id": name, "online": False}))
    assert not far.source.find((name,))[name].online
    with pytest.raises(SourceUnavailable, match="only in an archive elsewhere"):
        far.source.warm_up(name)
    with pytest.raises(UnknownProduct):
        far.source.warm_up(product_id(77))


def test_quicklooks(far: FarSobloo) -> None:
    name, s5p = held(far), first_of("S5P")
    far.hold(s5p)
    for missing in (name, s5p.id):
        with pytest.raises(NoQuicklook):
            far.source.quicklook(missing)
    with pytest.raises(UnknownProduct):
        far.source.quicklook(product_id(77))


def test_a_service_that_is_down_is_unavailable_at_once() -> None:
    with FarSobloo() as far:
        url = far.server.url
    with closing(SoblooSource(lambda: dict(KEY), url=url)) as source:
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


def test_what_it_allows(far: FarSobloo) -> None:
    assert limits_of(far.source).warm_ups is None
    profile = profile_of(far.source)
    assert (profile.archive, profile.cost, profile.account) == (True, 2, "sobloo")
    assert isinstance(far.source, Source)
    for url in ("", "sobloo.eu", "ftp://sobloo.eu", "https://a:b@sobloo.eu"):
        with pytest.raises(InputError):
            SoblooSource(url=url)


# --- hostile answers -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"totalnb": None, "hits": []}, {"totalnb": 1, "hits": "x"}, {"totalnb": 1, "hits": [None]},
        {"totalnb": 1, "hits": [{"data": []}]}, {"hits": []}, {"totalnb": "many", "hits": []}, {"totalnb": 1, "hits": None},
        {"status": 400, "message": "Bad request"},
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(far: FarSobloo, body: object) -> None:
    far.answer = lambda _request: Reply.json(body)
    for call in (
        far.source.check,
        lambda: far.source.find((product_id(1),)),
        lambda: far.source.search("S2", query.parse("*"), start=0, rows=10, orderby=""),
    ):
        with pytest.raises(SourceUnavailable):
            call()


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply.json({"status": 400, "message": "Bad request"}, 400), "Bad request"),
        (Reply.json({"status": 500, "message": "Arlas Server Error"}, 500), "Arlas Server Error"),
        (Reply(404, b"gone"), "404"),
        (Reply(200, b"<!DOCTYPE html><html><title>Sobloo has ended</title>" + b"x" * 10**7), "Sobloo has ended"),
    ],
)
def test_refusals(far: FarSobloo, reply: Reply, says: str) -> None:
    far.answer = lambda _request: reply
    for call in (far.source.check, lambda: far.source.find((product_id(1),))):
        with pytest.raises(SourceUnavailable, match=says):
            call()


@pytest.mark.parametrize(
    "odd",
    [
        {"uid": "../../evil"},
        {"uid": None, "archive": None, "orbit": [], "state": 5, "acquisition": None, "contentDescription": "x"},
        {
            "archive": {"size": -1},
            "orbit": {"number": "x", "direction": 5},
            "acquisition": {"beginViewingDate": "soon"},
        },
        {"archive": {"size": 1e300}, "contentDescription": {"cloudCoverPercentage": 1e9}, "visibility": None},
    ],
)
def test_odd_values_are_left_out(far: FarSobloo, odd: dict[str, Any]) -> None:
    name = first_of("S2").id
    hit = {"md": {"geometry": {"type": "Polygon"}}, "data": {"identification": {"externalId": name}} | odd}
    other = {"data": {"identification": {"externalId": "S1A_AUX"}}}
    far.answer = lambda _request: Reply.json({"totalnb": 2, "hits": [other, hit]})
    (one,) = far.source.find((name,)).values()
    assert one.size > 0
    assert (one.footprint, one.cloud_cover, one.orbit_direction, one.online) == (None, None, None, False)
    with pytest.raises(SourceUnavailable, match="no key"):
        far.source.open(name)
