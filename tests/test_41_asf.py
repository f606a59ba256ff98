"""ASF: what its search is asked and what comes of it, its bytes with all faults, its login."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import forty
import pytest
from far_asf import PASSWORD, FarAsf, as_told
from faults import each_fault_alone
from scripted_http import DATA, FAULTS, Reply

from extenso_nb import products, query
from extenso_nb.errors import (
    ExtensoError,
    IncompleteTransfer,
    InvalidRequest,
    NoQuicklook,
    SourceUnavailable,
    UnknownProduct,
)
from extenso_nb.gateway.sources import Content, Source, lacking
from extenso_nb.gateway.sources.asf import AsfSource
from extenso_nb.gateway.sources.asf_params import NEVER_TOLD
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.models import Product

BEGUN = datetime(2024, 6, 1, 5, 30, tzinfo=UTC)
LEVELS = "GRD_HD,GRD_HS,GRD_MD,GRD_MS,GRD_FD,SLC,RAW,OCN"


def named(number: int) -> str:
    """An IW_GRDH product a minute."""
    begin = BEGUN + timedelta(minutes=number)
    times = f"{begin:%Y%m%dT%H%M%S}_{begin + timedelta(seconds=25):%Y%m%dT%H%M%S}"
    return f"S1A_IW_GRDH_1SDV_{times}_{54_000 + number // 98 % 10**5:06d}_{0x69000 + number:06X}_{number & 0xFFFF:04X}"


def named_ocn(number: int) -> str:
    """Of a kind that is small: where a size is withheld, that of the kind counts."""
    return named(number).replace("GRDH_1", "OCN__2")


def held(number: int) -> Product:
    ring = [[10, 45], [12, 45], [12, 47], [10, 47], [10, 45]]
    footprint = {"type": "Polygon", "coordinates": [ring]}
    return product_of(products.parse(named(number)), "archive", footprint=footprint, size=10**9)


@pytest.fixture
def far() -> Iterator[FarAsf]:
    with FarAsf() as made:
        yield made


@pytest.fixture
def patient() -> Iterator[FarAsf]:
    """Waits for a server that has much to look through."""
    with FarAsf(stall_seconds=30) as made:
        yield made


@pytest.fixture(scope="module")
def full() -> Iterator[FarAsf]:
    with FarAsf() as made:
        for product in forty.population():
            if product.collection == "S1":
                made.hold(product)
        yield made


def read(source: Source, name: str, offset: int = 0) -> bytes:
    return b"".join(source.open(name).read(offset))


def collect(content: Content, got: bytearray) -> None:
    for block in content.read(0):
        got += block


def found(source: Source, q: str, orderby: str = "beginposition asc", *, start: int = 0, rows: int = 1000) -> list[str]:
    hits = source.search("S1", query.parse(q), start=start, rows=rows, orderby=orderby)
    return [product.id for product in hits.products]


# --- searches --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_forty_queries(full: FarAsf, collection: str, q: str, orderby: str) -> None:
    shown = tuple(as_told(product) for product in full.held.values())
    expected = forty.right(collection, q, orderby, held=shown)
    assert forty.all_found(full.source, collection, q, orderby) == expected
    assert bool(expected) == (collection == "S1")


SAID: list[tuple[str, dict[str, str]]] = [
    ("*", {}),
    ("platformserialidentifier:S1A", {"platform": "Sentinel-1A"}),
    ("NOT platformserialidentifier:S1A", {"platform": "Sentinel-1B,Sentinel-1C,Sentinel-1D"}),
    ("producttype:GRD AND polarisationmode:VH", {"processingLevel": "GRD_HD,GRD_HS,GRD_MD,GRD_MS,GRD_FD",
                                                 "polarization": "VV+VH,Dual VH"}),
    ("producttype:SLC OR producttype:OCN", {"processingLevel": "SLC,OCN"}),
    ("NOT producttype:SLC", {"processingLevel": LEVELS.replace(",SLC", "")}),
    ("processinglevel:L0", {"processingLevel": "RAW"}),
    ("sensoroperationalmode:SM AND orbitdirection:ascending", {"beamMode": "S1,S2,S3,S4,S5,S6",
                                                               "flightDirection": "ASCENDING"}),
    ("relativeorbitnumber:(15 OR 16 OR 20)", {"relativeOrbit": "15-16,20"}),
    ("relativeorbitnumber:{15 TO 18}", {"relativeOrbit": "16-17"}),
    ("orbitnumber:[54100 TO 54200] AND relativeorbitnumber:[170 TO *]", {"absoluteOrbit": "54100-54200",
                                                                         "relativeOrbit": "170-175"}),
    ('footprint:"Intersects(POLYGON((178 -20, -178 -20, -178 -15, 178 -15, 178 -20)))"',
     {"intersectsWith": "POLYGON((178 -20,182 -20,182 -15,178 -15,178 -20))"}),
    ('footprint:"Intersects(POLYGON((10 45, 12 46, 11 48, 10 45)))"',
     {"intersectsWith": "POLYGON((10 45,12 45,12 48,10 48,10 45))"}),
    ('footprint:"Contains(10.5, 8.5)"', {"intersectsWith": "POINT(8.5 10.5)"}),
    # Between keywords there is no OR: what encloses both is asked.
    ("(producttype:SLC AND relativeorbitnumber:5) OR (producttype:OCN AND relativeorbitnumber:7)",
     {"processingLevel": "SLC,OCN", "relativeOrbit": "5,7"}),
    ("producttype:SLC OR relativeorbitnumber:5", {}),
    ("identifier:S1A_IW_SLC__1SDV_202406*", {"platform": "Sentinel-1A", "beamMode": "IW", "processingLevel": "SLC",
                                             "start": "2024-05-31T00:00:00Z", "end": "2024-07-03T00:00:01Z"}),
    ("beginposition:[2024-06-01T00:00:00.500Z TO 2024-06-02T00:00:00Z]",
     {"start": "2024-06-01T00:00:00Z", "end": "2024-06-02T00:00:01Z"}),
    ("endposition:[2024-06-01T00:00:00Z TO 2024-06-02T00:00:00Z]",
     {"start": "2024-06-01T00:00:00Z", "end": "2024-06-02T00:00:01Z"}),
]  # fmt: skip


@pytest.mark.parametrize(("q", "said"), SAID)
def test_what_is_asked_is_as_documented(far: FarAsf, q: str, said: dict[str, str]) -> None:
    far.source.search("S1", query.parse(q), start=0, rows=10, orderby="beginposition asc")
    (asked,) = far.asked
    assert asked.pop("output") == "count"
    times = {name: asked.pop(name) for name in ("start", "end")}
    assert asked == {"dataset": "SENTINEL-1", "processingLevel": LEVELS} | {
        name: value for name, value in said.items() if name not in times
    }
    if q.startswith(("begin", "end")):
        assert times == {name: said[name] for name in times}
    if q.startswith("identifier"):
        assert times["start"] == "2024-06-01T00:00:00Z"
        assert times["end"] <= "2024-07-03"
    assert far.server.paths == [("GET", "/services/search/param")]


@pytest.mark.parametrize(
    "q",
    ["platformname:Sentinel-2", "cloudcoverpercentage:[0 TO 10]", "NOT platformname:Sentinel-1", "tileid:31TCJ",
     "online:false", "identifier:S2A*", "producttype:SLC AND producttype:OCN", "relativeorbitnumber:200",
     "orbitnumber:[9 TO 7]", "beginposition:[2030-01-01T00:00:00Z TO *]"],
)  # fmt: skip
def test_what_nothing_can_be_is_not_asked_for(far: FarAsf, q: str) -> None:
    assert found(far.source, q) == []
    assert far.asked == []


@pytest.mark.parametrize("keyword", sorted(NEVER_TOLD))
def test_what_is_never_told_is_no_empty_result(far: FarAsf, keyword: str) -> None:
    value = {"date": "[NOW-1DAY TO NOW]", "int": "5"}.get(query.KEYWORDS[keyword].kind, "x")
    with pytest.raises(SourceUnavailable, match=keyword) as caught:
        found(far.source, f"producttype:SLC AND NOT {keyword}:{value}")
    assert caught.value.details["cannot"]
    assert far.asked == []


@pytest.mark.parametrize(
    "orderby", ["beginposition asc", "beginposition desc", "endposition desc", "ingestiondate asc"]
)
def test_a_thousand_products_take_a_count_and_a_page(patient: FarAsf, orderby: str) -> None:
    for number in range(1000):
        patient.hold(held(number))
    hits = patient.source.search("S1", query.parse("producttype:GRD"), start=0, rows=1000, orderby=orderby)
    expected = [named(number) for number in range(1000)]
    assert [product.id for product in hits.products] == (expected if orderby.endswith("asc") else expected[::-1])
    assert hits.total == 1000
    assert [asked["output"] for asked in patient.asked] == ["count", "geojson"]


def test_a_first_page_does_not_take_the_whole_archive(patient: FarAsf) -> None:
    for number in range(1500):
        patient.hold(held(number))
    window = "beginposition:[2024-06-01T00:00:00Z TO 2024-06-03T00:00:00Z]"
    hits = patient.source.search("S1", query.parse(window), start=0, rows=50, orderby="beginposition desc")
    assert [product.id for product in hits.products] == [named(number) for number in range(1499, 1449, -1)]
    assert hits.total == 1500
    assert len(patient.asked) <= 8  # the last day is half empty
    before = len(patient.asked)
    again = patient.source.search("S1", query.parse(window), start=50, rows=50, orderby="beginposition desc")
    assert [product.id for product in again.products] == [named(number) for number in range(1449, 1399, -1)]
    assert len(patient.asked) <= before + 2


@pytest.mark.slow
@pytest.mark.parametrize("orderby", ["beginposition asc", "endposition desc", "size asc"])
def test_crowds_and_gaps_lose_and_double_nothing(patient: FarAsf, orderby: str) -> None:
    """Years with nothing, days with thousands, in an order of the server's own: a span that comes full is halved."""
    chance = random.Random(7)
    patient.order = lambda items: chance.sample(items, len(items))
    numbers = [*range(4500), *range(100_000, 100_050), 400_000, *range(500_000, 500_700)]
    for number in numbers:
        product = held(number)
        long = timedelta(minutes=chance.randrange(1, 40))  # over many borders
        patient.hold(product.model_copy(update={"end_position": product.begin_position + long}))
    shown = tuple(as_told(product) for product in patient.held.values())
    q = "beginposition:[2024-06-01T05:31:30Z TO *]"
    got = found(patient.source, q, orderby, rows=10_000)
    assert got == forty.right("S1", q, orderby, held=shown)
    assert len(got) == len(numbers) - 2
    assert len(patient.asked) < 60
    assert all(int(asked["maxResults"]) <= 2000 for asked in patient.asked if asked["output"] == "geojson")


def test_windows_are_cut_right_while_the_count_is_not_whole(patient: FarAsf) -> None:
    for number in range(700):
        product = held(number)
        patient.hold(product.model_copy(update={"end_position": product.begin_position + timedelta(minutes=30)}))
    q = f"beginposition:[{named(100)[17:21]}-06-01T07:00:00Z TO *]"
    names: list[str] = []
    for start in range(0, 700, 100):
        hits = patient.source.search("S1", query.parse(q), start=start, rows=100, orderby="beginposition asc")
        names += [product.id for product in hits.products]
        assert 610 <= hits.total <= 641
    assert names == [named(number) for number in range(90, 700)]
    assert hits.total == 610


def test_too_many_to_look_through_is_refused(far: FarAsf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far.source._walks, "most", 50)
    monkeypatch.setattr(far.source._walks, "largest", 20)
    for number in range(60):
        far.hold(held(number))
    with pytest.raises(InvalidRequest, match="60 products"):
        found(far.source, "producttype:GRD", "size desc")
    assert len(found(far.source, "producttype:GRD", rows=60)) == 60


@pytest.mark.parametrize(
    ("q", "count"),
    [
        ("endposition:[0001-01-01T00:00:00Z TO *]", 1), ("beginposition:[* TO 9999-12-31T23:59:59.999Z]", 1),
        ("beginposition:[0001-01-01T00:00:00Z TO 0001-01-02T00:00:00Z]", 0), ("endposition:[9999-12-31T23:59:59Z TO *]", 0),
        ("beginposition:[9999-12-31T23:59:59Z TO *] OR endposition:[* TO 0001-01-01T00:00:00Z]", 0),
        ("identifier:S1A_IW_GRDH_1SDV_9999*", 0), ("identifier:S1A_IW_GRDH_1SDV_0001*", 0),
        ("identifier:S1A_IW_GRDH_1SDV_2024061*", 0), ("identifier:S1A_IW_GRDH_1SDV_2024060*", 1),
        ("identifier:S1A_IW_GRDH_1SDV_20241301T*", 0), ("identifier:S1A_IW_GRDH_1SDV_20240601T053000_2*", 1),
        (f"identifier:{named(0)}", 1), (f"filename:{named(0)}.SAFE", 1), (f"identifier:{named(1)}", 0),
        ("identifier:*", 1), ("identifier:S*", 1), ("identifier:S1?_IW*", 1), ("identifier:S1Z*", 0),
        ("identifier:/S1A_IW_GRDH_.*/", 1), ("identifier:[S1A TO S1B]", 1), ('S1A_IW_GRDH AND "SAR-C"', 0),
        ('footprint:"Intersects(LINESTRING(11 40, 11 50))"', 1), ('footprint:"Intersects(LINESTRING(5 46, 15 46))"', 1),
        ('footprint:"Intersects(POLYGON((-180 -90, 180 -90, 180 90, -180 90, -180 -90)))"', 1),
        ('footprint:"Intersects(MULTIPOINT((11 46), (-150 3)))"', 1), ('footprint:"Contains(46, 11)"', 1),
        ('footprint:"Intersects(POLYGON((9 44, 13 44, 9 48, 9 44)))" AND footprint:"Intersects(46, 11)"', 1),
    ],
)  # fmt: skip
def test_odd_queries_are_right(far: FarAsf, q: str, count: int) -> None:
    far.hold(held(0))
    got = found(far.source, q)
    assert got == forty.right("S1", q, "beginposition asc", held=(as_told(held(0)),))
    assert len(got) == count, q


# --- lookup ----------------------------------------------------------------------------------------------------------
def test_lookup_in_bulk_takes_few_requests(patient: FarAsf) -> None:
    for number in range(250):
        patient.hold(held(number))
    wanted = tuple(named(number) for number in range(0, 500, 2))
    assert set(patient.source.find(wanted)) == {named(number) for number in range(0, 250, 2)}
    assert len(patient.asked) == 3
    assert patient.server.paths == [("POST", "/services/search/param")] * 3
    assert all(set(asked) == {"granule_list", "output"} for asked in patient.asked)


def test_a_product_is_told_whole(far: FarAsf) -> None:
    name = "S1A_IW_SLC__1SDV_20240601T053000_20240601T053025_054100_069000_A000"
    ring = [[178, -20], [-179, -20], [-179, -18], [178, -18], [178, -20]]
    far.hold(product_of(products.parse(name), "archive", footprint={"type": "Polygon", "coordinates": [ring]},
                        size=4_000_000_001, orbit_direction="DESCENDING"))  # fmt: skip
    (product,) = far.source.find((name,)).values()
    assert (product.size, product.size_estimated, product.online, product.sources) == (
        4_000_000_001,
        False,
        True,
        ("asf",),
    )
    assert (product.orbit_direction, product.relative_orbit_number, product.orbit_number) == ("DESCENDING", 128, 54100)
    assert product.begin_position == datetime(2024, 6, 1, 5, 30, tzinfo=UTC)
    assert product.footprint is not None
    assert product.footprint["type"] == "MultiPolygon"


@pytest.mark.parametrize(
    "name",
    ["", "x", "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T130000", f"{named(0)},{named(1)}",
     f"{named(0)}&output=count", f"{named(0)}/../x", f"{named(0)}'", f"{named(0)}\n", f"*{named(0)[1:]}", "A" * 10_000],
)  # fmt: skip
def test_what_is_no_name_is_never_sent(far: FarAsf, name: str) -> None:
    far.hold(held(0))
    assert far.source.find((name,)) == {}
    for ask in (far.source.open, far.source.quicklook):
        with pytest.raises(UnknownProduct):
            ask(name)
    assert far.asked == []


@pytest.mark.parametrize("extension", [".SAFE", ".zip", ".SAFE.zip"])
def test_what_was_asked_for_is_the_key_of_what_is_found(far: FarAsf, extension: str) -> None:
    far.hold(held(0))
    assert far.source.find((named(0) + extension,))[named(0) + extension].id == named(0)


# --- bytes -----------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_each_fault_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: FarAsf) -> None:
    each_fault_alone(tmp_path, monkeypatch, far.server, far.source, faults=FAULTS, name=named_ocn)
    assert len(far.logins) >= 2  # the fault "401" ends tokens


def test_bytes_from_any_place(far: FarAsf) -> None:
    far.hold(held(0), DATA)
    content = far.source.open(named(0))
    assert content.name == f"{named(0)}.SAFE.zip"
    assert content.size == len(DATA)
    assert set(content.checksums) == {"md5"}
    assert b"".join(content.read(0)) == DATA
    assert b"".join(content.read(1000)) == DATA[1000:]
    assert far.logins == ["someone:right horse"]


def test_a_token_that_dies_in_mid_transfer_is_renewed(far: FarAsf) -> None:
    from scripted_http import cut, unauthorised

    far.server.add(named(0), "none", cut(0.5), unauthorised)
    content, got = far.source.open(named(0)), bytearray()
    with pytest.raises(IncompleteTransfer):
        collect(content, got)
    assert 0 < len(got) < len(DATA)
    got += b"".join(content.read(len(got)))
    assert bytes(got) == DATA
    assert far.server.tokens == 2
    assert far.server.leaks == []


def test_a_redirect_to_another_host_takes_no_token_along(far: FarAsf) -> None:
    from scripted_http import redirect

    far.server.add(named(0), "none", redirect)
    assert read(far.source, named(0)) == DATA
    assert far.server.leaks == []


@pytest.mark.parametrize("where", ["{other}/SLC/SA/{name}.zip", "ftp://x/y", None, 7, {}])
def test_a_token_goes_to_no_address_but_those_of_the_archive(far: FarAsf, where: Any) -> None:
    far.hold(held(0), DATA)
    item = far._around(held(0))[0]
    url = where.format(other=far.server.other_url, name=named(0)) if isinstance(where, str) else where
    said = {"geometry": item["geometry"], "properties": item["properties"] | {"url": url}}
    far.answers = [Reply.json({"features": [said]})]
    with pytest.raises(SourceUnavailable):
        read(far.source, named(0))
    assert far.server.leaks == []
    assert far.logins == []


def test_a_licence_that_was_not_accepted_is_told(far: FarAsf) -> None:
    from scripted_http import status

    far.server.add(named(0), "none", status(403, '{"message": "You must accept the EULA"}'))
    with pytest.raises(SourceUnavailable, match="EULA") as caught:
        read(far.source, named(0))
    assert "Accept the licence" in caught.value.hint


# --- login -----------------------------------------------------------------------------------------------------------
def test_without_credentials_all_but_bytes_are_there() -> None:
    with FarAsf(lambda: None) as far:
        far.hold(held(0), DATA)
        assert found(far.source, "*") == [named(0)]
        assert "extenso login earthdata" in (lacking(far.source) or "")
        with pytest.raises(SourceUnavailable, match="no credentials") as caught:
            read(far.source, named(0))
        assert "extenso login earthdata" in caught.value.hint
        assert caught.value.details["login"] == "earthdata"
        assert far.logins == []


def test_a_wrong_password_is_tried_once() -> None:
    given = {"username": "someone", "password": "wrong-password"}
    with FarAsf(lambda: given) as far:
        far.hold(held(0), DATA)
        for _ in range(3):
            with pytest.raises(SourceUnavailable, match="refused the credentials") as caught:
                read(far.source, named(0))
            assert "wrong-password" not in f"{caught.value!r} {caught.value} {caught.value.details}"
        assert far.logins == ["someone:wrong-password"]
        assert "refused" in (lacking(far.source) or "")
        given = dict(PASSWORD)
        assert lacking(far.source) is None
        far.source._remote.authorise._failed = None  # type: ignore[union-attr] # as it is after its pause
        assert read(far.source, named(0)) == DATA


def test_a_login_can_be_checked_before_it_is_kept() -> None:
    given: dict[str, str] = dict(PASSWORD)
    with FarAsf(lambda: given) as far:
        assert far.source.check_login() is None
        assert len(far.logins) == 1
        given = {"token": "one's own"}
        assert "first delivery" in str(far.source.check_login())
    given = {"username": "someone", "password": "wrong"}
    with FarAsf(lambda: given) as far, pytest.raises(SourceUnavailable, match="refused") as caught:
        far.source.check_login()
    assert caught.value.details["status"] == 401


def test_a_token_of_the_users_own_is_used_as_it_is() -> None:
    given: dict[str, str] = {}
    with FarAsf(lambda: given) as far:
        far.hold(held(0), DATA)
        given["token"] = far.server.give_token()
        assert read(far.source, named(0)) == DATA
        far.server.expire_token()
        with pytest.raises(SourceUnavailable, match="credentials were refused") as caught:
            read(far.source, named(0))
        assert "EULA" in caught.value.hint
        assert "secret-token" not in str(caught.value)
        assert far.logins == []


@pytest.mark.parametrize("given", [{}, {"username": "x"}, {"password": "y"}, {"token": ""}])
def test_half_of_the_credentials_is_said_to_be_missing(given: dict[str, str]) -> None:
    with FarAsf(lambda: given) as far:
        far.hold(held(0), DATA)
        with pytest.raises(SourceUnavailable, match="wants a token, or a username and a password"):
            read(far.source, named(0))
        assert far.logins == []


def test_a_password_goes_nowhere_else(far: FarAsf) -> None:
    site = far.server.site
    assert site is not None
    for status in (301, 302, 303, 307, 308):
        moved = Reply(status, b"", {"Location": f"{far.server.other_url}/api/users/find_or_create_token"})
        far.server.site = lambda request, moved=moved: moved if "token" in request.path else site(request)  # type: ignore[misc]
        source = AsfSource(lambda: PASSWORD, api=far.server.url, login=far.server.url,
                           downloads=(f"127.0.0.1:{far.server.port}",))  # fmt: skip
        far.hold(held(0), DATA)
        with pytest.raises(SourceUnavailable):
            read(source, named(0))
        source.close()
    assert far.server.leaks == []


# --- pictures, answers that are none ---------------------------------------------------------------------------------
def test_quicklooks(far: FarAsf) -> None:
    far.hold(held(0), DATA)
    far.server.held[named(0)].picture = b"\xff\xd8\xff\xe0jpeg"
    assert far.source.quicklook(named(0)) == b"\xff\xd8\xff\xe0jpeg"
    assert far.logins == []
    far.hold(held(1), DATA)
    far.hold(held(2))  # its address leads nowhere
    for number in (1, 2):
        with pytest.raises(NoQuicklook):
            far.source.quicklook(named(number))
    with pytest.raises(UnknownProduct):
        far.source.quicklook(named(3))


def page(items: Any) -> Reply:
    return Reply.json({"type": "FeatureCollection", "features": items})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Reply(200, b"<html><title>Sign in</title>" + b"x" * 10_000_000, {"Content-Type": "text/html"}), "Sign in"),
        (Reply(200, b"", {}), "JSON|features"),
        (Reply(200, b"[" * 100_000, {}), "JSON"),
        (Reply.json([]), "features"),
        (Reply.json(None), "features"),
        (Reply.json({"features": None}), "features"),
        (Reply.json({"features": {}}), "features"),
        (page([None]), "properties"),
        (page([{"properties": None}]), "properties"),
        (page([{}]), "properties"),
        (Reply.json({"error": {"type": "ERROR", "report": "ValueError('Invalid date')"}}, 400), "Invalid date"),
        (Reply.json({"error": {"report": "Rate limited, please reduce"}}, 429, Retry_After="7"), "Rate limited"),
        (Reply(502, b"<html><title>Bad Gateway</title></html>", {"Content-Type": "text/html"}), "Bad Gateway"),
    ],
)
def test_an_answer_that_is_none_is_an_error(far: FarAsf, answer: Reply, said: str) -> None:
    far.answers = [Reply(200, b"5", {}), answer]
    with pytest.raises(SourceUnavailable, match=said):
        found(far.source, "*")
    far.answers = [answer]
    with pytest.raises(SourceUnavailable, match=said):
        far.source.find((named(0),))


@pytest.mark.parametrize("count", [b"", b"many", b"-1", b"[]", b"1.5", b"null", b"NaN"])
def test_a_count_that_is_none_is_an_error(far: FarAsf, count: bytes) -> None:
    far.answers = [Reply(200, count, {})]
    with pytest.raises(SourceUnavailable):
        found(far.source, "*")


def test_entries_that_are_no_products_are_left_out(far: FarAsf) -> None:
    far.hold(held(0))
    item = far._around(held(0))[0]
    good = {"geometry": item["geometry"], "properties": item["properties"]}
    odd: list[Any] = [None, 7, [], {}, "", "S1_GUNW", "S1A_OPER_AUX_POEORB_OPOD_20210302T151356", named(0) + "x"]
    others: list[dict[str, Any]] = [good | {"properties": good["properties"] | {"sceneName": value}} for value in odd]
    others += [good | {"properties": good["properties"] | {"processingLevel": value}}
               for value in ("METADATA_GRD_HD", "BURST", None, 5, "GUNW_STD")]  # fmt: skip
    far.answers = [Reply(200, b"9", {}), page([*others, good])]
    assert found(far.source, "*") == [named(0)]


@pytest.mark.parametrize("value", [None, "", "x", -1, 1e400, True, [], {}, ["x"], "NaN"])
def test_a_value_that_is_none_costs_that_value_only(far: FarAsf, value: Any) -> None:
    far.hold(held(0))
    item = far._around(held(0))[0]
    keys = ("startTime", "stopTime", "bytes", "md5sum", "browse", "flightDirection", "orbit", "pathNumber")
    far.answers = [page([{"geometry": value, "properties": item["properties"] | dict.fromkeys(keys, value)}])]
    (product,) = far.source.find((named(0),)).values()
    assert product.begin_position == BEGUN
    assert product.size > 0
    assert product.footprint is None


def test_when_it_is_down_it_says_so(far: FarAsf) -> None:
    far.source.check()
    far.server.broken = True
    for ask in (far.source.check, lambda: found(far.source, "*"), lambda: far.source.find((named(0),)),
                lambda: far.source.open(named(0)), lambda: far.source.quicklook(named(0))):  # fmt: skip
        with pytest.raises(SourceUnavailable, match=r"50[23]"):
            ask()
    far.server.close()
    for ask in (far.source.check, lambda: found(far.source, "*"), lambda: far.source.find((named(0),))):
        with pytest.raises(SourceUnavailable, match="refused"):
            ask()


def test_it_is_a_source() -> None:
    source = AsfSource(lambda: {"token": "secret-token"})
    assert isinstance(source, Source)
    assert "secret-token" not in repr(source) + repr(vars(source))
    assert (source.profile.searches, source.profile.delivers) == (frozenset({"S1"}), frozenset({"S1"}))
    assert source.search("S2", query.parse("*"), start=0, rows=10, orderby="").total == 0
    source.warm_up(named(0))
    source.close()


def test_errors_are_ours(far: FarAsf) -> None:
    with pytest.raises(ExtensoError):
        far.source.open(named(0))
