"""What catalogues and their answers could do to the gateway, and queries that they could be told narrower than meant."""

from __future__ import annotations

import itertools
import math
from contextlib import closing
from typing import Any

import forty
import pytest
from far_asf import FarAsf
from far_cdse import FarCdse
from scripted_http import DATA, Reply, Request, ScriptedHttp
from shapely import from_wkt
from shapely.geometry import Point, box

from extenso_nb import products
from extenso_nb.errors import NoQuicklook, SourceUnavailable
from extenso_nb.gateway.sources import cdse_odata
from extenso_nb.gateway.sources.cdse_entries import read
from extenso_nb.gateway.sources.cdse_odata import OData
from extenso_nb.gateway.sources.cdse_stac import CdseStac
from extenso_nb.gateway.sources.dhus_entries import feed
from extenso_nb.gateway.sources.earth_search import _open_url
from extenso_nb.gateway.sources.pictures import is_at, picture
from extenso_nb.gateway.sources.planetary_computer import PlanetaryComputer, _place
from extenso_nb.gateway.sources.record import number, product_of, whole
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.translate import translate
from extenso_nb.query import parse

S1 = "S1A_IW_GRDH_1SDV_20240601T054321_20240601T054346_054127_069518_ABCD"
S3 = "S3A_OL_1_EFR____20240601T004427_20240601T004727_20240602T074112_0179_077_334_4320_MAR_O_NT_003"
JPEG = b"\xff\xd8\xff\xe0jpeg"


# --- queries ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "q", ["NOT producttype:M*", "NOT producttype:S*", "NOT (producttype:R* OR cloudcoverpercentage:[0 TO 5])"]
)
def test_letters_of_a_type_that_stand_elsewhere_in_names_exclude_nothing(q: str) -> None:
    assert parse(q).matches(product_of(products.parse(S3), "x"))
    said = translate(parse(q), OData("S3"))
    assert said.expression is None or "contains(Name" not in said.expression
    assert not said.exact


def test_an_area_is_not_negated_for_it_may_be_drawn_otherwise_there() -> None:
    q = parse('NOT footprint:"Intersects(POLYGON((10 60, 40 60, 40 70, 10 70, 10 60)))" AND producttype:S2MSI1C')
    said = translate(q, OData("S2"))
    assert said.expression is not None
    assert "Intersects" not in said.expression
    assert not said.exact


def _sphere(lon: float, lat: float) -> tuple[float, float, float]:
    x, y = math.radians(lon), math.radians(lat)
    return math.cos(y) * math.cos(x), math.cos(y) * math.sin(x), math.sin(y)


def _covered(lon: float, lat: float, west: float, low: float, east: float, high: float) -> bool:
    """Whether a box whose edges are great circles has a place in it."""
    if not west <= lon <= east:
        return False

    def edge(latitude: float) -> float:
        a, b = _sphere(west, latitude), _sphere(east, latitude)
        normal = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
        x, y, _ = _sphere(lon, 0)
        return math.degrees(math.atan2(-(normal[0] * x + normal[1] * y), normal[2]))

    return edge(low) - 1e-9 <= lat <= edge(high) + 1e-9


@pytest.mark.parametrize(
    "bounds", [(-180, -90, 180, 90), (-100, -60, 100, 60), (-10, 30, 30, 70), (5, -75, 170, -40), (-179, 70, 179, 85)]
)
def test_boxes_cover_an_area_along_parallels_and_along_great_circles(bounds: tuple[float, float, float, float]) -> None:
    rings = [from_wkt(text) for text in cdse_odata._boxes(*bounds)]
    assert all(ring.bounds[2] - ring.bounds[0] <= 60.1 for ring in rings)
    west, south, east, north = bounds
    for step in range(41):
        for rise in range(11):
            lon, lat = west + (east - west) * step / 40, south + (north - south) * rise / 10
            flat = any(ring.intersects(Point(lon, lat)) for ring in rings)
            lat = min(max(lat, -89.99), 89.99)
            round_ = any(_covered(lon, lat, ring.bounds[0], *_lows(ring)) for ring in rings)
            assert flat, (lon, lat)
            assert round_, (lon, lat)


def _lows(ring: Any) -> tuple[float, float, float]:
    _, low, east, high = ring.bounds
    return max(low, -89.999), east, min(high, 89.999)


def test_a_detailed_area_goes_out_as_boxes_and_is_looked_through() -> None:
    circle = Point(10, 50).buffer(20, quad_segs=100)
    said = cdse_odata._area("Intersects", circle)
    assert said is not None
    assert not said.exact
    assert max(len(part) for part in str(said.expression).split("Intersects")) < 400
    plain = cdse_odata._area("Intersects", box(1, 43, 2, 44))
    assert plain is not None
    assert plain.exact


# --- pages -----------------------------------------------------------------------------------------------------------
def test_an_empty_page_of_many_is_an_error_and_not_the_end() -> None:
    with FarCdse() as far:
        answers = {"value": [], "@odata.count": 5000, "@odata.nextLink": "https://x.example"}
        far.server.site = lambda request: Reply.json(answers) if request.method == "GET" else None
        with pytest.raises(SourceUnavailable, match="empty page"):
            far.source.search("S2", parse("*"), start=0, rows=10, orderby="beginposition asc")


def test_pages_that_never_end_are_given_up() -> None:
    numbers = itertools.count()

    def endless(request: Request) -> Reply:
        if request.path.endswith("/collections"):
            return Reply.json({"collections": [{"id": "sentinel-1-grd"}]})
        link = {"rel": "next", "href": f"https://x.example/search?token=t{next(numbers)}"}
        return Reply.json({"features": [], "links": [link]})

    with ScriptedHttp() as server, closing(CdseStac(url=f"{server.url}/stac", stall_seconds=5)) as source:
        server.site = endless
        for ask in (
            lambda: source.find((S1,)),
            lambda: source.search("S1", parse("*"), start=0, rows=1, orderby="beginposition asc"),
        ):
            with pytest.raises(SourceUnavailable, match="circle, or nowhere"):
                ask()
        assert next(numbers) < 100


def test_listings_that_never_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count()
    with closing(PlanetaryComputer()) as source:
        monkeypatch.setattr(source, "_listed", lambda *_: ([], f"m{next(numbers)}"))
        with pytest.raises(SourceUnavailable, match="do not end"):
            source._files(products.parse(S1), "GRD/")
    assert next(numbers) < 1000


# --- where passwords go ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["form", "basic"])
def test_a_password_is_not_sent_on_to_a_host_that_is_trusted_with_a_token(how: str) -> None:
    seen: list[Request] = []

    def note(request: Request) -> Reply:
        seen.append(request)
        return Reply.json({"access_token": "token"})

    with ScriptedHttp() as identity, ScriptedHttp() as download:
        download.site = note
        identity.site = lambda _request: Reply(307, b"", {"Location": f"{download.url}/token"})
        trusted = [f"127.0.0.1:{download.port}", "127.0.0.1"]
        secret: dict[str, Any] = {"form": {"password": "PW"}} if how == "form" else {"basic": ("u", "PW")}
        with Remote("far", trusted_hosts=trusted) as remote, pytest.raises(SourceUnavailable, match="another host"):
            remote.post_json(f"{identity.url}/token", authorised=False, **secret)
    assert seen == []


def test_a_trusted_host_is_trusted_at_its_usual_port() -> None:
    with Remote("far", trusted_hosts=("data.example.org",)) as remote:
        home = ("https", "far.example.org", 443)
        assert remote._may_know("https://data.example.org/x", home)
        assert not remote._may_know("https://data.example.org:8443/x", home)


# --- where catalogues lead -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/latest/meta-data", "https://169.254.169.254/x", "https://asf.alaska.edu.example.org/x.jpg",
     "https://evil-asf.alaska.edu/x", "https://user@datapool.asf.alaska.edu/x", "file:///etc/passwd", "https://[x", "", None, 7],
)  # fmt: skip
def test_a_picture_is_fetched_from_hosts_of_the_archive_only(url: object) -> None:
    known = {"asf.alaska.edu"} if url != "https://evil-asf.alaska.edu/x" else {"datapool.asf.alaska.edu"}
    assert not is_at(url, known)
    with Remote("far") as remote, pytest.raises(NoQuicklook, match="hosts of its own"):
        picture(remote, url, S1, known)
    assert is_at("https://datapool.asf.alaska.edu/BROWSE/x.jpg", {"asf.alaska.edu"})


def test_what_is_no_picture_is_not_shown_as_one() -> None:
    with ScriptedHttp() as server, Remote("far") as remote:
        server.site = lambda _request: Reply(200, b"AWS_SECRET=abc", {"Content-Type": "image/jpeg"})
        with pytest.raises(SourceUnavailable, match="no JPEG or PNG"):
            picture(remote, f"{server.url}/x.jpg", S1, {f"127.0.0.1:{server.port}"})
        server.site = lambda _request: Reply(200, JPEG, {"Content-Type": "image/jpeg"})
        assert picture(remote, f"{server.url}/x.jpg", S1, {f"127.0.0.1:{server.port}"}) == JPEG


def test_a_product_is_not_fetched_from_a_host_that_is_not_the_archives() -> None:
    with FarAsf() as far, ScriptedHttp() as inside:
        made = next(product for product in forty.population() if product.collection == "S1")
        far.hold(made, DATA)
        answer = far._site

        def led_astray(request: Request) -> Reply | None:
            reply = answer(request)
            if reply is None or not request.path.endswith("/param"):
                return reply
            body = reply.body.replace(far.server.url.encode(), inside.url.encode())
            return Reply(reply.status, body, reply.headers)

        far.server.site = led_astray
        with pytest.raises(SourceUnavailable, match="no host of its own"):
            b"".join(far.source.open(made.id).read(0))
        assert inside.paths == []


# --- what answers are made of ----------------------------------------------------------------------------------------
def test_urls_that_are_none_are_no_surprise() -> None:
    assert _open_url("https://[x") is None
    assert _place("https://[x") is None


def test_numbers_beyond_all_bounds_are_none() -> None:
    assert number(10**400) is None
    assert whole(10**400) is None
    assert whole("9" * 401) is None


@pytest.mark.parametrize("encoding", ["foo", "gb2312", "utf-7"])
def test_a_feed_in_an_encoding_that_nobody_reads_is_a_failure_of_the_source(encoding: str) -> None:
    with pytest.raises(SourceUnavailable):
        feed(f'<?xml version="1.0" encoding="{encoding}"?><feed/>'.encode(), "hub")


def test_one_odd_attribute_does_not_hide_a_product() -> None:
    entry = {
        "Id": "05edf2bb-d103-49f1-a677-9e474138d84f",
        "Name": "S2A_MSIL1C_20200808T010311_N0500_R045_T54PXA_20230413T212505.SAFE",
        "ContentLength": 10**400,
        "Attributes": [{"Name": ["a"], "Value": 1}, {"Name": "cloudCover", "Value": 95.5}],
    }
    found = read(entry, "cdse")
    assert found is not None
    product = found.product("cdse")
    assert product.cloud_cover == 95.5
    assert product.size_estimated
