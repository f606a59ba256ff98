"""Planetary Computer over a catalogue, tokens and a storage that behave as documented."""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forty
import pytest
from far_stac import KEY, FarPlanetaryComputer, blob_folder, planetary_item
from faults import REASONS, each_fault_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_http import FAULTS, Reply, cut, redirect, status

from extenso_nb import products
from extenso_nb.errors import (
    DamagedProduct,
    ExtensoError,
    IncompleteTransfer,
    NoQuicklook,
    SourceUnavailable,
    UnknownProduct,
)
from extenso_nb.gateway.sources import Source, lacking, profile_of
from extenso_nb.gateway.sources import azure as azure_module
from extenso_nb.gateway.sources import tree as tree_module
from extenso_nb.gateway.sources.azure import blobs_in
from extenso_nb.gateway.sources.planetary_computer import (
    _SHELVES,
    _TERMS,
    PlanetaryComputer,
    folder_of,
    item_id,
)
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.gateway.sources.stac_query import Cql2, asking
from extenso_nb.models import Product
from extenso_nb.query import parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRETS = ("not-to-be-shown",)
S1 = "S1A_IW_GRDH_1SDV_20240601T055126_20240601T055151_054126_0694C4_5A1B"
S2 = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512"
S3 = "S3B_SL_2_LST____20240601T093012_20240601T093312_20240601T112345_0179_113_136_2160_LN2_O_NT_004"
S5P = "S5P_OFFL_L2__NO2____20240601T113245_20240601T131415_34378_03_020600_20240603T033512"
NETCDF = b"CDF\x01" + bytes(value * 7 % 251 for value in range(300_000))
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}


def as_there(product: Product) -> Product:
    """What the archive says of a product: not when it was taken in."""
    return forty.without(
        product,
        ingestion_date=product.begin_position,
        orbit_direction=None if product.collection == "S5P" else product.orbit_direction,
    )


def is_there(product: Product) -> bool:
    kinds = {"GRD", "S2MSI2A", "OL_2_LFR___", "SL_2_LST___", "SR_2_LAN___"}
    return product.collection == "S5P" or product.product_type in kinds


HELD = tuple(map(as_there, filter(is_there, forty.population())))


@pytest.fixture(scope="module")
def filled() -> Iterator[FarPlanetaryComputer]:
    with FarPlanetaryComputer() as bed:
        for product in HELD:
            bed.hold(product)
        yield bed


@pytest.fixture
def far() -> Iterator[FarPlanetaryComputer]:
    with FarPlanetaryComputer() as bed:
        yield bed


def a_product(name: str) -> Product:
    return product_of(products.parse(name), "far", footprint=SQUARE)


def whole(source: PlanetaryComputer, name: str, offset: int = 0) -> bytes:
    return b"".join(source.open(name).read(offset))


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def is_clean(error: ExtensoError) -> bool:
    return not any(secret in f"{error!r} {error} {error.details}" for secret in SECRETS)


# --- search ----------------------------------------------------------------------------------------------------------
def test_what_it_is_for() -> None:
    source = PlanetaryComputer()
    assert isinstance(source, Source)
    profile = profile_of(source)
    assert (profile.delivers, profile.archive, profile.cost, profile.account) == ({"S3", "S5P"}, True, 1, None)
    assert lacking(source) is None
    source.close()


@pytest.mark.parametrize(("collection", "q", "orderby"), list(forty.cases()))
def test_the_forty_queries(filled: FarPlanetaryComputer, collection: str, q: str, orderby: str) -> None:
    found = forty.all_found(filled.source, collection, q, orderby)
    if "ingestiondate" in q:
        assert isinstance(found, SourceUnavailable)
        assert "ingestiondate" in found.message
    else:
        assert found == forty.right(collection, q, orderby, held=HELD)


def prop(op: str, name: str, value: Any) -> dict[str, Any]:
    return {"op": op, "args": [{"property": name}, value]}


S5P_ONE = ["sentinel-5p-l2-netcdf"]
ASKED: list[tuple[str, str, list[str], Any, bool]] = [
    ("S5P", "producttype:L2__NO2___", S5P_ONE, prop("=", "product:type", "L2__NO2___"), True),
    ("S5P", "processingmode:Offline", S5P_ONE, prop("=", "s5p:processing_mode", "OFFL"), True),
    ("S5P", "processinglevel:L2", S5P_ONE, None, True),
    ("S3", "producttype:SL_2_LST___", ["sentinel-3-slstr-lst-l2-netcdf"], None, True),
    (
        "S3",
        'producttype:SL_2_LST___ AND timeliness:"Non Time Critical"',
        ["sentinel-3-slstr-lst-l2-netcdf"],
        prop("=", "s3:processing_timeliness", "NT"),
        True,
    ),
    (
        "S3",
        "instrumentshortname:SRAL",
        ["sentinel-3-sral-lan-l2-netcdf", "sentinel-3-sral-wat-l2-netcdf"],
        None,
        True,
    ),
    ("S2", "tileid:31TCJ", ["sentinel-2-l2a"], prop("=", "s2:mgrs_tile", "31TCJ"), True),
    ("S2", f"identifier:{S2}", ["sentinel-2-l2a"], prop("=", "id", S2.replace("_N0510", "")), False),
    ("S2", f"filename:{S2}.SAFE", ["sentinel-2-l2a"], prop("=", "id", S2.replace("_N0510", "")), False),
    # Identifiers of items are those of products only at their beginning.
    ("S2", "identifier:S2B_MSIL2A_20240601*N0510*", ["sentinel-2-l2a"], prop("like", "id", "S2B_MSIL2A_20240601%"), False),
    ("S2", f"identifier:{S2[:35]}*", ["sentinel-2-l2a"], prop("like", "id", f"{S2[:27]}%"), False),
    ("S5P", "identifier:S5P_OFFL*", S5P_ONE, prop("like", "id", "S5P_%"), False),
    ("S1", "filename:*_1SDV_*", ["sentinel-1-grd"], None, False),
    ("S1", "NOT identifier:S1A*", ["sentinel-1-grd"], None, False),
]  # fmt: skip


@pytest.mark.parametrize(("collection", "q", "collections", "said", "exact"), ASKED)
def test_what_is_asked(collection: str, q: str, collections: list[str], said: Any, exact: bool) -> None:
    shelves = [shelf for shelf in _SHELVES if shelf.collection == collection]
    asked = asking(parse(q), shelves, _TERMS[collection], Cql2, NOW)
    assert asked is not None
    assert (asked.body["collections"], asked.body.get("filter"), asked.exact) == (collections, said, exact)


@pytest.mark.parametrize("q", ["ingestiondate:[NOW-1DAY TO *]", "uuid:x", 'NOT size:"1 GB"'])
def test_what_it_cannot_be_asked_for(filled: FarPlanetaryComputer, q: str) -> None:
    with pytest.raises(SourceUnavailable) as caught:
        filled.source.search("S1", parse(q), start=0, rows=1, orderby="beginposition asc")
    assert caught.value.details["cannot"]


def test_the_newest_first_is_a_page_and_no_more(filled: FarPlanetaryComputer) -> None:
    before = len(filled.server.bodies)
    hits = filled.source.search("S5P", parse("*"), start=0, rows=10, orderby="ingestiondate desc")
    assert len(hits.products) == 10
    assert len(filled.server.bodies) == before + 1
    assert filled.server.bodies[-1]["sortby"][0] == {"field": "start_datetime", "direction": "desc"}


# --- by identifier ---------------------------------------------------------------------------------------------------
def test_identifiers_of_items_are_as_recorded(shared_data: Path) -> None:
    import json

    seen = set()
    folders = ("planetary_computer/s5p_items", "planetary_computer", "stactools_items")
    for folder in folders:
        for path in (shared_data / "catalog" / folder).glob("S*.json"):
            item = json.loads(path.read_text())
            text = json.dumps(item["assets"])
            for word in {part for entry in text.split('"') for part in entry.split("/") if len(part) > 50}:
                try:
                    identity = products.parse(products.strip(word))
                except ExtensoError:
                    continue
                assert item_id(identity) == item["id"]
                seen.add(item["id"])
                if "blob.core" in text:
                    folder_ = folder_of(identity)
                    assert folder_ is not None
                    assert folder_ in text
    assert len(seen) == 25


def test_items_of_the_bed_are_as_asked_for() -> None:
    for product in HELD:
        identity = products.parse(product.id)
        assert planetary_item(product, [])["id"] == item_id(identity)
        folder = folder_of(identity)
        assert folder is not None
        container = "/".join(blob_folder(product).split("/")[:2])
        assert f"{container}/{folder}".startswith(blob_folder(product) + "/")


def test_find_in_bulk(filled: FarPlanetaryComputer) -> None:
    names = tuple(product.id for product in HELD)
    before = len(filled.server.bodies)
    absent = next(product.id for product in forty.population() if not is_there(product))
    found = filled.source.find((*names, absent, "nothing", names[0][:-4] + "FFFF"))
    assert set(found) == set(names)
    assert len(filled.server.bodies) - before <= -(-(len(names) + 2) // 100)


def test_a_few_are_found_in_the_storage_when_the_catalogue_is_down(far: FarPlanetaryComputer) -> None:
    far.hold(a_product(S5P), NETCDF)
    far.hold(a_product(S3), tree(S3))
    far.server.down = True
    found = far.source.find((S5P, S3, S2))
    assert {name: product.size for name, product in found.items()} == {
        S5P: len(NETCDF),
        S3: sum(map(len, tree(S3).values())),
    }
    many = tuple(S5P.replace("T113245", f"T1132{number}") for number in range(10, 40))
    with pytest.raises(SourceUnavailable, match="503"):
        far.source.find(many)
    far.server.site = lambda _: Reply(503)
    with pytest.raises(SourceUnavailable):
        far.source.find((S5P,))


# --- bytes -----------------------------------------------------------------------------------------------------------
def manifest(files: dict[str, bytes]) -> bytes:
    objects = "".join(
        f'<dataObject ID="a{number}"><byteStream size="{len(data)}"><fileLocation href="./{name}"/>'
        f'<checksum checksumName="MD5">{hashlib.md5(data).hexdigest()}</checksum></byteStream></dataObject>'
        for number, (name, data) in enumerate(files.items())
    )
    return f"<XFDU><dataObjectSection>{objects}</dataObjectSection></XFDU>".encode()


def tree(name: str) -> dict[str, bytes]:
    """The files of a product, below its folder."""
    if name.startswith("S3"):
        files = {f"{part}_in.nc": b"CDF\x01" + part.encode() * 3000 for part in ("LST", "flags", "geodetic", "time")}
        return {"xfdumanifest.xml": manifest(files)} | files
    if name.startswith("S2"):
        files = {"MTD_MSIL2A.xml": b"<x/>", "GRANULE/L2A/IMG_DATA/R10m/T31TCJ_B02_10m.jp2": b"\0\0\0\x0cjP  " * 900}
        return {"manifest.safe": manifest(files)} | files
    stem = "s1a-iw-grd-{}-20240601t055126-20240601t055151-054126-0694c4-00{}"
    files = {}
    for number, pol in enumerate(("vv", "vh"), 1):
        one = stem.format(pol, number)
        files |= {
            f"annotation/{one}.xml": b"<product/>" + pol.encode(),
            f"annotation/calibration/calibration-{one}.xml": b"<calibration/>" + pol.encode(),
            f"measurement/{one}.tiff": b"II*\0" + pol.encode() * 4000,
        }
    return {"manifest.safe": manifest(files)} | files


def shortened(files: dict[str, bytes]) -> dict[str, bytes]:
    """As the archive names the files of Sentinel-1."""
    found = {}
    for name, data in files.items():
        folder, _, last = name.rpartition("/")
        parts, ending = last.rpartition(".")[0].split("-"), last.rpartition(".")[2]
        if len(parts) > 8:
            kept = [parts[0]] if parts[0] in {"calibration", "noise"} else []
            place = parts.index("s1a")
            last = "-".join([*kept, parts[place + 1], parts[place + 3]]) + f".{ending}"
        found[f"{folder}/{last}" if folder else last] = data
    return found


def in_zip(name: str) -> dict[str, bytes]:
    root = name + (".SEN3" if name.startswith("S3") else ".SAFE")
    return {f"{root}/{file}": data for file, data in tree(name).items()}


@pytest.mark.parametrize("name", [S1, S2, S3])
def test_trees_are_delivered_as_zips(far: FarPlanetaryComputer, name: str) -> None:
    files = shortened(tree(name)) if name == S1 else tree(name)
    assert name != S1 or "annotation/calibration/calibration-iw-vh.xml" in files
    far.hold(a_product(name), files)
    content = far.source.open(name)
    data = b"".join(content.read(0))
    assert content.size == len(data)
    assert unzipped(data) == in_zip(name)
    assert b"".join(far.source.open(name).read(len(data) // 2)) == data[len(data) // 2 :]
    assert far.server.sas == 1
    assert "not-to-be-shown" not in repr(content)


def test_one_file_is_delivered_as_it_is(far: FarPlanetaryComputer) -> None:
    far.hold(a_product(S5P), NETCDF)
    content = far.source.open(S5P)
    assert (content.name, content.size) == (f"{S5P}.nc", len(NETCDF))
    assert content.checksums == {"md5": hashlib.md5(NETCDF).hexdigest()}
    assert b"".join(content.read(0)) == NETCDF
    assert b"".join(content.read(12_345)) == NETCDF[12_345:]


@pytest.mark.parametrize("name", [S1, S2])
def test_a_tree_that_is_not_that_of_its_manifest_is_refused_before_it_is_read(
    far: FarPlanetaryComputer, name: str
) -> None:
    files = {file.replace(".jp2", ".tif"): data for file, data in tree(name).items()}
    files = {file: data + b"cloud-optimised" if file.endswith(".tiff") else data for file, data in files.items()}
    far.hold(a_product(name), files)
    with pytest.raises(SourceUnavailable, match="form of its own") as caught:
        far.source.open(name)
    assert caught.value.details["cannot"]
    assert set(far.server.requests) == {f"{blob_folder(a_product(name))}/manifest.safe"}


def test_what_lies_elsewhere_is_found_by_its_item(far: FarPlanetaryComputer) -> None:
    product = a_product(S3)
    item = planetary_item(product, list(tree(S3)))
    for entry in item["assets"].values():
        entry["href"] = entry["href"].replace("/SLSTR/", "/moved/")
    far.server.put(item)
    for name, data in tree(S3).items():
        far.server.add(f"{blob_folder(product).replace('/SLSTR/', '/moved/')}/{name}", data=data)
    assert unzipped(whole(far.source, S3)) == in_zip(S3)


@pytest.mark.parametrize("name", [S1, S2, S3, S5P, "nothing", f"{S5P}.nc", "../../x", "a'b\"c", S1 + "_COG"])
def test_what_is_not_there_is_unknown(far: FarPlanetaryComputer, name: str) -> None:
    with pytest.raises(UnknownProduct) as caught:
        far.source.open(name)
    assert is_clean(caught.value)


def test_a_tree_without_manifest_is_no_product(far: FarPlanetaryComputer) -> None:
    far.hold(a_product(S3), {"LST_in.nc": b"CDF\x01"})
    with pytest.raises(DamagedProduct, match="xfdumanifest"):
        far.source.open(S3)


# --- tokens ----------------------------------------------------------------------------------------------------------
def test_a_token_is_kept_and_renewed_before_it_ends(far: FarPlanetaryComputer, monkeypatch: pytest.MonkeyPatch) -> None:
    far.hold(a_product(S5P), NETCDF)
    for _ in range(3):
        assert whole(far.source, S5P) == NETCDF
    assert far.server.sas == 1
    clock = [azure_module.time.monotonic()]
    monkeypatch.setattr(azure_module.time, "monotonic", lambda: clock[0])
    clock[0] += 3600 - 60 - 30
    whole(far.source, S5P)
    assert far.server.sas == 1
    clock[0] += 31
    whole(far.source, S5P)
    assert far.server.sas == 2


def test_a_token_that_dies_in_mid_transfer_is_renewed(far: FarPlanetaryComputer) -> None:
    far.hold(a_product(S5P), NETCDF)
    content = far.source.open(S5P)
    key = f"{blob_folder(a_product(S5P))}/{S5P}.nc"
    far.server.held[key].script = [cut(0.4)]
    got = bytearray()

    def read_on() -> None:
        for block in content.read(len(got)):
            got.extend(block)

    with pytest.raises(IncompleteTransfer) as caught:
        read_on()
    assert 0 < len(got) < len(NETCDF)
    assert is_clean(caught.value)
    far.server.good.clear()  # called back, long before its time
    read_on()
    assert bytes(got) == NETCDF
    assert far.server.sas == 2


def test_a_token_that_dies_between_the_files_of_a_tree(
    far: FarPlanetaryComputer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_module, "SMALL", 100)  # each file when its turn comes
    far.hold(a_product(S3), tree(S3))
    blocks = far.source.open(S3).read(0)
    got = bytearray()
    while len(got) < 3000:
        got += next(blocks)
    far.server.good.clear()
    for block in blocks:
        got += block
    assert unzipped(bytes(got)) == in_zip(S3)
    assert far.server.sas == 2


def test_a_token_that_is_refused_always_is_asked_for_twice(far: FarPlanetaryComputer) -> None:
    far.hold(a_product(S5P), NETCDF)
    content = far.source.open(S5P)
    key = f"{blob_folder(a_product(S5P))}/{S5P}.nc"
    far.server.held[key].always = status(403, '{"detail": "AuthenticationFailed"}')
    with pytest.raises(SourceUnavailable, match="gives tokens and refuses them") as caught:
        b"".join(content.read(0))
    assert is_clean(caught.value)
    assert far.server.sas == 2


def test_a_key_is_sent_for_tokens_and_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FarPlanetaryComputer(lambda: {"subscription_key": KEY}) as far:
        far.hold(a_product(S5P), NETCDF)
        assert whole(far.source, S5P) == NETCDF
        assert far.server.keys == [KEY]
        assert KEY not in repr(far.source)
    written = "\n".join(record.getMessage() for record in caplog.records)
    assert "/sas/token/sentinel5euwest" in written, "nothing was logged: this proves nothing"
    assert KEY not in written
    assert "not-to-be-shown" not in written


TOKENS = {
    "null": Reply(200, b"null"),
    "empty": Reply.json({}),
    "no end": Reply.json({"token": "sig=x"}),
    "odd end": Reply.json({"token": "sig=x", "msft:expiry": "soon"}),
    "a list": Reply.json({"token": ["x"], "msft:expiry": "2030-01-01T00:00:00Z"}),
    "lines": Reply.json({"token": "a\r\nHost: b", "msft:expiry": "2030-01-01T00:00:00Z"}),
    "a fragment": Reply.json({"token": "a#b", "msft:expiry": "2030-01-01T00:00:00Z"}),
    "404": Reply.json({"detail": "no such account"}, 404),
    "429": Reply.json({"detail": "Rate limit is exceeded."}, 429, Retry_After="3"),
    "a page": Reply(200, b"<html><title>Sign in</title>"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_no_token_is_no_missing_product(far: FarPlanetaryComputer, name: str) -> None:
    far.hold(a_product(S5P), NETCDF)
    right = far.server.reply
    far.server.site = lambda request: TOKENS[name] if request.path.startswith("/sas") else right(request)
    with pytest.raises(SourceUnavailable) as caught:
        far.source.open(S5P)
    assert name != "429" or caught.value.details["retry_after"] == 3


# --- listings --------------------------------------------------------------------------------------------------------
def test_a_listing_as_documented() -> None:
    text = b"""\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://x.blob.core.windows.net/" ContainerName="y"><Prefix>a/</Prefix><Blobs>
<Blob><Name>a/b &amp; c.nc</Name><Properties><Creation-Time>Mon, 03 Jun 2024 04:00:00 GMT</Creation-Time>
<Content-Length>7</Content-Length><Content-CRC64 /><Content-MD5>sQqNsWTgdUEFt6mb5y4/5Q==</Content-MD5></Properties></Blob>
<Blob><Name>a/d.nc</Name><Properties><Content-Length>0</Content-Length><Content-MD5 /></Properties></Blob>
</Blobs><NextMarker>2!92!abc</NextMarker></EnumerationResults>"""
    found, marker = blobs_in(text)
    assert [(blob.key, blob.size, blob.md5) for blob in found] == [
        ("a/b & c.nc", 7, "b10a8db164e0754105b7a99be72e3fe5"),
        ("a/d.nc", 0, None),
    ]
    assert marker == "2!92!abc"


def test_a_listing_of_many_pages(far: FarPlanetaryComputer) -> None:
    far.server.page = 1
    far.hold(a_product(S3), tree(S3))
    assert unzipped(whole(far.source, S3)) == in_zip(S3)
    assert far.server.listings == len(tree(S3))


XML = "<EnumerationResults><Blobs>{}</Blobs>{}</EnumerationResults>"
LISTINGS = {
    "no XML": b"{}",
    "another": b"<ListBucketResult/>",
    "a DTD": b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><EnumerationResults>&a;</EnumerationResults>",
    "UTF-16": XML.format("", "").encode("utf-16"),
    "no name": XML.format("<Blob><Properties><Content-Length>1</Content-Length></Properties></Blob>", "").encode(),
    "no size": XML.format("<Blob><Name>x</Name></Blob>", "").encode(),
    "a size of -1": XML.format(
        "<Blob><Name>x</Name><Properties><Content-Length>-1</Content-Length></Properties></Blob>", ""
    ).encode(),
    "a circle": XML.format("", "<NextMarker>x</NextMarker>").encode(),
    "cut": XML.encode()[:30],
    "a page": b"<html><head><title>Sign in</title></head></html>",
}


@pytest.mark.parametrize("name", LISTINGS)
def test_an_odd_listing_is_no_missing_product(far: FarPlanetaryComputer, name: str) -> None:
    far.hold(a_product(S5P), NETCDF)
    right = far.server.reply
    answer = Reply(200, LISTINGS[name], {"Content-Type": "application/xml"})
    far.server.site = lambda request: answer if "comp=list" in request.target else right(request)
    with pytest.raises(SourceUnavailable) as caught:
        far.source.open(S5P)
    assert is_clean(caught.value)


def test_a_catalogue_cannot_lead_the_token_elsewhere(far: FarPlanetaryComputer) -> None:
    item = planetary_item(a_product(S3), list(tree(S3)))
    for entry in item["assets"].values():
        entry["href"] = entry["href"].replace("sentinel3euwest", "evil")
    for host in ("evil.example", "sentinel3euwest.blob.core.windows.net.evil.example", "127.0.0.1"):
        item["assets"]["thumbnail"] = {"href": f"https://{host}/sentinel-3/{S3}.SEN3/x.png", "type": "image/png"}
        far.server.put(item)
        with pytest.raises(UnknownProduct):
            far.source.open(S3)
        with pytest.raises(NoQuicklook):
            far.source.quicklook(S3)
    assert {path.split("/")[1] for _, path in far.server.paths} <= {"stac", "sas", "sentinel3euwest"}


# --- pictures, and the rest ------------------------------------------------------------------------------------------
def test_quicklooks(far: FarPlanetaryComputer) -> None:
    far.hold(a_product(S1), shortened(tree(S1)) | {"preview/quick-look.png": b"\x89PNG\r\n\x1a\n radar"})
    assert far.source.quicklook(S1) == b"\x89PNG\r\n\x1a\n radar"
    far.hold(a_product(S2))
    assert far.source.quicklook(S2).startswith(b"\x89PNG\r\n\x1a\npreview of " + S2.replace("_N0510", "").encode())
    far.hold(a_product(S5P), NETCDF)
    with pytest.raises(NoQuicklook):
        far.source.quicklook(S5P)
    with pytest.raises(UnknownProduct):
        far.source.quicklook(S3)
    del far.server.held[f"{blob_folder(a_product(S1))}/preview/quick-look.png"]
    with pytest.raises(NoQuicklook, match="lost"):
        far.source.quicklook(S1)


def test_a_source_that_is_down(far: FarPlanetaryComputer) -> None:
    far.hold(a_product(S5P), NETCDF)
    assert far.source.check() is None  # type: ignore[func-returns-value]
    assert far.source.warm_up(S5P) is None  # type: ignore[func-returns-value]
    far.server.close()
    for call in (
        far.source.check,
        lambda: far.source.find((S5P,)),
        lambda: far.source.open(S5P),
        lambda: far.source.quicklook(S5P),
        lambda: far.source.search("S5P", parse("*"), start=0, rows=5, orderby="beginposition asc"),
    ):
        with pytest.raises(SourceUnavailable):
            call()


def test_a_redirect_to_another_host_takes_no_token_along(far: FarPlanetaryComputer) -> None:
    far.hold(a_product(S5P), NETCDF)
    key = f"{blob_folder(a_product(S5P))}/{S5P}.nc"
    far.server.held[key].script = [redirect]
    assert whole(far.source, S5P) == NETCDF
    assert far.server.leaks == []


NOT_HERE = {
    # Without a checksum a changed byte of a netCDF file is not to be seen: it is no zip, whose members have CRCs.
    "wrong byte, checksums withheld",
    "wrong byte always, checksums withheld",
    # Nothing is ever cold here.
    "cold in the catalogue",
}
SIZED = "announced|catalogue|bytes|ended|closed|broke off"
"""A listing always has the size, so that is what a short file is found out by."""
ITS_REASONS = REASONS | {
    "no length, truncated always, nothing known": SIZED,
    "truncated zip always, nothing known": SIZED,
}


def named(number: int) -> str:
    begin, made = f"20240601T{number // 60:02d}{number % 60:02d}00", "03_020600_20240603T032410"
    return f"S5P_NRTI_L2__NO2____{begin}_20240602T031717_{34000 + number}_{made}"


@pytest.mark.timeout(600)
def test_each_fault_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: FarPlanetaryComputer) -> None:
    faults = {name: fault for name, fault in FAULTS.items() if name not in NOT_HERE}
    each_fault_alone(
        tmp_path, monkeypatch, far.server, far.source, faults=faults, reasons=ITS_REASONS, name=named, data=NETCDF
    )


def test_default_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    source, asked = PlanetaryComputer(), list[str]()

    def get_json(url: str, **_: Any) -> Any:
        asked.append(url)
        return {"token": "sig=x", "msft:expiry": "2999-01-01T00:00:00Z"}

    def get_bytes(url: str, **_: Any) -> bytes:
        asked.append(url)
        name = folder_of(products.parse(S5P))
        size = "<Properties><Content-Length>4</Content-Length></Properties>"
        return XML.format(f"<Blob><Name>{name}</Name>{size}</Blob>", "<NextMarker/>").encode()

    monkeypatch.setattr(source._remote, "get_json", get_json)
    monkeypatch.setattr(source._remote, "get_bytes", get_bytes)
    source.open(S5P)
    day = "TROPOMI%2FL2__NO2___%2F2024%2F06%2F01"
    assert asked == [
        "https://planetarycomputer.microsoft.com/api/sas/v1/token/sentinel5euwest/sentinel-5p",
        "https://sentinel5euwest.blob.core.windows.net/sentinel-5p?restype=container&comp=list"
        f"&prefix={day}%2F{S5P}%2F{S5P}.nc&maxresults=5000&sig=x",
    ]
    source.close()


WORDS = {
    "S5P": ("producttype:L2__NO2___", "processingmode:Offline", "processingmode:NRTI", "orbitnumber:[34300 TO 34400]",
            "identifier:S5P_OFFL_L2__N*", "identifier:S5?_*", "processorversion:020601", "processinglevel:L2",
            "beginposition:[2024-06-01T00:00:00Z TO *]", "filename:*_2024*.nc", "timeliness:Offline"),
    "S2": ("tileid:31TCJ", "identifier:*_N0510_*", "identifier:S2A_MSIL2A_202406*", "identifier:S2?_MSIL2A_2024060?T*",
           "relativeorbitnumber:51", "cloudcoverpercentage:{20 TO 60]", "orbitdirection:descending", "filename:S2A*",
           "processingbaseline:05.11", "endposition:[* TO 2024-06-10T00:00:00Z]", "filename:*_T3?TCJ_*"),
}  # fmt: skip


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


@pytest.mark.parametrize("collection", WORDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_is_asked_is_right(filled: FarPlanetaryComputer, collection: str, data: st.DataObject) -> None:
    q = data.draw(trees(WORDS[collection]))
    found = forty.all_found(filled.source, collection, q, "beginposition asc", rows=100)
    assert found == forty.right(collection, q, "beginposition asc", held=HELD)
