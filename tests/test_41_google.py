"""Google's bucket of Sentinel-2: keys from names, listings in pages, trees delivered whole, and every fault on the way."""

from __future__ import annotations

import base64
import json
import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from far_google import BUCKET, FarGoogle, folder_of
from far_objects import PICTURE, below, tree_files, unzipped
from faults import REASONS, each_fault_alone
from real import differing, members, told
from scripted import Gateway, product_id
from scripted_http import DATA, Reply, status

from extenso_nb import errors, products, query
from extenso_nb.gateway.sources import Source, lacking, profile_of, tree
from extenso_nb.gateway.sources.google import GoogleSource
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.gateway.sources.sample import SampleSource

L1C = "S2A_MSIL1C_20230216T044851_N0509_R076_T01CCV_20230216T000000"
L2A = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T130000"
OLD = "S2A_OPER_PRD_MSIL1C_PDMC_20151219T220449_R139_V20151219T145832_20151219T145832"


@pytest.fixture
def far() -> Iterator[FarGoogle]:
    with FarGoogle() as bed:
        yield bed


def whole(source: Source, name: str, offset: int = 0) -> bytes:
    return b"".join(source.open(name).read(offset))


# --- found by name ---------------------------------------------------------------------------------------------------
def test_what_it_is_for(far: FarGoogle) -> None:
    profile = profile_of(far.source)
    assert (profile.searches, profile.delivers) == (frozenset(), {"S2"})
    assert (profile.cost, profile.archive, profile.account, lacking(far.source)) == (1, True, None, None)
    assert isinstance(far.source, Source)
    with pytest.raises(errors.SourceUnavailable, match="a search") as raised:
        far.source.search("S2", query.parse("*"), start=0, rows=1, orderby="beginposition asc")
    assert raised.value.details["cannot"] is True
    assert far.server.paths == []


def test_default_addresses_are_those_of_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    source = GoogleSource()

    def get_json(url: str, **_: Any) -> dict[str, Any]:
        asked.append(url)
        return {"items": [{"name": f"{folder_of(L2A)}/manifest.safe", "size": "4"}]}

    monkeypatch.setattr(source._remote, "get_json", get_json)
    assert source.find((L2A,))[L2A].id == L2A
    (url,) = asked
    parts = urllib.parse.urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == (
        "https://storage.googleapis.com/storage/v1/b/gcp-public-data-sentinel-2/o"
    )
    assert urllib.parse.parse_qs(parts.query)["prefix"] == [
        "L2/tiles/31/T/CJ/S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T130000.SAFE/"
    ]
    assert source._store.url_of("a b/c#d?e") == (
        "https://storage.googleapis.com/gcp-public-data-sentinel-2/a%20b/c%23d%3Fe"
    )
    source.close()


@pytest.mark.parametrize("name", [L1C, L2A])
def test_found_and_described_from_the_name_by_one_request(far: FarGoogle, name: str) -> None:
    far.server.add(name)
    found = far.source.find((name,))
    identity = products.parse(name)
    assert [path for _, path in far.server.paths] == [f"/storage/v1/b/{BUCKET}/o"]
    assert far.server.listed == [
        {"prefix": f"{folder_of(name)}/", "maxResults": "1000", "fields": "nextPageToken,items(name,size,md5Hash)"}
    ]
    product = found[name]
    assert (product.id, product.online, product.sources) == (name, True, ("google",))
    assert (product.tile_id, product.begin_position) == (identity.tile_id, identity.start)
    assert (product.size, product.size_estimated) == (len(whole(far.source, name)), False)


def test_many_are_looked_for_side_by_side_and_those_not_held_are_left_out(far: FarGoogle) -> None:
    far.server.latency = 0.05
    names = [product_id(number) for number in range(40)]
    for name in names[::2]:
        far.server.add(name)
    found = far.source.find((*names, OLD, "S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739_005DD8_3768", "x"))
    assert list(found) == names[::2]
    assert len(far.server.listed) == 40, "what has no place there is not asked for"


def test_a_listing_of_many_pages(far: FarGoogle) -> None:
    far.server.page = 2
    far.server.add(L2A)
    assert far.source.find((L2A,))[L2A].size == len(whole(far.source, L2A))
    assert len(far.server.listed) == 2 * 3, "six files"


def test_a_product_whose_name_goes_on_is_another_one(far: FarGoogle) -> None:
    far.server.put(BUCKET, {f"{folder_of(L2A)}x/manifest.safe": b"<x/>", f"{folder_of(L2A)}_$folder$": b""})
    assert far.source.find((L2A,)) == {}
    for ask in (far.source.open, far.source.quicklook):
        with pytest.raises(errors.UnknownProduct):
            ask(L2A)


INJECTIONS = [
    "",
    "../x",
    f"{L2A}/../y",
    f"{L2A}&prefix=",
    f"{L2A}#",
    f"{L2A}%2F",
    f"{L2A}.SAFE",
    L2A.lower(),
    "x" * 9000,
]


@pytest.mark.parametrize("name", INJECTIONS)
def test_what_is_no_identifier_is_never_sent(far: FarGoogle, name: str) -> None:
    assert far.source.find((name,)) == {}
    if name != f"{L2A}.SAFE":  # `open` is generous, as all that takes a name
        with pytest.raises(errors.UnknownProduct):
            far.source.open(name)
        assert far.server.paths == []


# --- delivered -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [L1C, L2A])
def test_the_tree_comes_as_one_stored_zip(far: FarGoogle, name: str) -> None:
    far.server.add(name)
    far.server.put(BUCKET, {f"{folder_of(name)}/HTML_$folder$": b"", f"{folder_of(name)}/AUX_DATA/": b""})
    content = far.source.open(name)
    data = b"".join(content.read(0))
    assert (content.name, content.size) == (f"{name}.SAFE.zip", len(data))
    assert unzipped(data) == below(f"{name}.SAFE", tree_files(name))
    for offset in (1, 1000, len(data) // 2, len(data) - 1, len(data)):
        assert b"".join(content.read(offset)) == data[offset:]
        assert whole(far.source, name, offset) == data[offset:], "another process, which knows no CRC yet"


def test_a_product_of_the_sample_archive_is_delivered_checked_and_opened(tmp_path: Path, sample_cache: Path) -> None:
    import extenso_nb as ex

    sample = SampleSource(sample_cache)
    path = min(sample.path.glob("S2?_MSIL2A*"), key=lambda one: one.stat().st_size)
    name = path.name.partition(".")[0]
    files = members(path)
    with FarGoogle(stall_seconds=20) as far:
        far.hold(product_of(products.parse(name), "google"), files)
        gateway = Gateway(tmp_path, far.source)
        try:
            order, _ = gateway.service.create_order(gateway.account, [name])
            gateway.wait(order.id)
            _, (item,) = gateway.store.deliveries(gateway.account, order_id=order.id)
            assert item.status == "delivered", item.trail
            assert item.key is not None
            assert "manifest" not in str(item.trail)
            data = gateway.storage.read(item.key)
        finally:
            gateway.stop()
    assert unzipped(data) == below(f"{name}.SAFE", files)
    (tmp_path / f"{name}.SAFE.zip").write_bytes(data)
    straight, delivered = ex.open_product(path), ex.open_product(tmp_path / f"{name}.SAFE.zip")
    assert differing(told(straight), told(delivered)) == []


def test_a_tree_without_its_manifest_says_so(far: FarGoogle) -> None:
    files = tree_files(L2A)
    del files["manifest.safe"]
    far.hold(product_of(products.parse(L2A), "google"), files)
    assert far.source.find((L2A,))[L2A].size_estimated
    with pytest.raises(errors.DamagedProduct, match=r"its manifest\.safe is missing among 5 files"):
        far.source.open(L2A)


# In place of the reasons of a single file:
TREE_REASONS = {
    "no length, truncated always, nothing known": "ended IMG_DATA/B02.jp2 after",  # a listing always gives the size
    "truncated zip always, nothing known": "its catalogue has",
    "wrong byte always, checksums withheld": "own manifest",  # the zip is made here, so its CRCs are of what came
    "401 always": "wants credentials, and none are set",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("large", [True, False], ids=["streamed", "ahead"])
def test_each_fault_alone_in_a_file_of_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    if large:
        monkeypatch.setattr(tree, "SMALL", 100_000)

    def right(name: str, data: bytes) -> bool:
        return unzipped(data) == below(f"{name}.SAFE", tree_files(name))

    with FarGoogle() as far:
        each_fault_alone(
            tmp_path, monkeypatch, far.server, far.source, reasons=REASONS | TREE_REASONS, right=right, data=DATA
        )


# --- pictures, and what goes wrong ------------------------------------------------------------------------------------
def test_quicklook(far: FarGoogle) -> None:
    far.server.add(L2A)
    assert far.source.quicklook(L2A) == PICTURE
    far.hold(product_of(products.parse(L1C), "google"), tree_files(L1C, picture=False))
    with pytest.raises(errors.NoQuicklook):
        far.source.quicklook(L1C)
    far.server.put(BUCKET, {f"{folder_of(L1C)}/{L1C}-ql.jpg": b"II*\0 is TIFF"})
    with pytest.raises(errors.SourceUnavailable, match="no JPEG or PNG"):
        far.source.quicklook(L1C)


def test_check_and_warm_up(far: FarGoogle) -> None:
    assert far.source.check() is None
    assert far.source.warm_up(L2A) is None  # type: ignore[func-returns-value]
    far.server.broken = True
    with pytest.raises(errors.SourceUnavailable, match="503"):
        far.source.check()


def items(*given: Any) -> Reply:
    return Reply.json({"items": list(given)})


PREFIX = f"{folder_of(L2A)}/"
MD5 = base64.b64encode(bytes(16)).decode()
HOSTILE = {
    "a page": Reply(200, b"<!DOCTYPE html><title>Sign in</title>" + b"x" * 10_000_000, {"Content-Type": "text/html"}),
    "no JSON": Reply(200, b"{"),
    "deep JSON": Reply(200, b"[" * 100_000),
    "null": Reply(200, b"null"),
    "a list": Reply(200, b"[]"),
    "items null": Reply(200, b'{"items": null}'),
    "items a text": Reply(200, b'{"items": "x"}'),
    "item null": items(None),
    "no name": items({"size": "4"}),
    "name null": items({"name": None, "size": "4"}),
    "no size": items({"name": f"{PREFIX}a"}),
    "size negative": items({"name": f"{PREFIX}a", "size": "-4"}),
    "size a float": items({"name": f"{PREFIX}a", "size": 1.5}),
    "size too long": items({"name": f"{PREFIX}a", "size": "9" * 40}),
    "another place": items({"name": "tiles/other/manifest.safe", "size": "4"}),
    "token of another kind": Reply.json({"items": [], "nextPageToken": 5}),
    "no bucket": Reply.json({"error": {"message": "The specified bucket does not exist."}}, 404),
    "refused": Reply.json({"error": {"message": "does not have storage.objects.list access"}}, 403),
    "too many": Reply.json({"error": {"message": "rateLimitExceeded"}}, 429, Retry_After="7"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_listing_that_is_none_is_a_failure_and_not_nothing(far: FarGoogle, kind: str) -> None:
    far.server.add(L2A)
    for ask in (lambda: far.source.find((L2A,)), lambda: far.source.open(L2A), lambda: far.source.quicklook(L2A)):
        far.server.refusals = [HOSTILE[kind]]
        with pytest.raises(errors.SourceUnavailable) as raised:
            ask()
        assert raised.value.details["source"] == "google"
        assert len(str(raised.value)) < 1000
    if kind == "too many":
        assert raised.value.details["retry_after"] == 7


def test_pages_in_a_circle_end(far: FarGoogle) -> None:
    again = Reply.json({"items": [{"name": f"{PREFIX}a", "size": "1"}], "nextPageToken": "same"})
    far.server.refusals = [again] * 50
    with pytest.raises(errors.SourceUnavailable, match="circle"):
        far.source.find((L2A,))
    assert len(far.server.refusals) == 48


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "a/../../b", "a\\b", "a\nb", "a//b", "./a", "a\0b", "MANIFEST.SAFE"]
)
def test_names_that_lead_out_or_come_twice_are_refused(far: FarGoogle, name: str) -> None:
    far.hold(product_of(products.parse(L2A), "google"), tree_files(L2A) | {name: b"evil"})
    with pytest.raises(errors.DamagedProduct):
        far.source.open(L2A)


@pytest.mark.parametrize("digest", ["!!", "AAAA", base64.b64encode(bytes(20)).decode()])
def test_a_checksum_that_is_none_is_told(far: FarGoogle, digest: str) -> None:
    far.server.refusals = [items({"name": f"{PREFIX}manifest.safe", "size": "4", "md5Hash": digest})]
    far.server.put(BUCKET, {f"{PREFIX}manifest.safe": b"<x/>"})
    content = far.source.open(L2A)
    assert "is not compared" in " ".join(content.remarks)
    assert unzipped(b"".join(content.read(0))) == {f"{L2A}.SAFE/manifest.safe": b"<x/>"}


def test_one_that_fails_makes_all_fail(far: FarGoogle) -> None:
    for number in range(10):
        far.server.add(number)
    far.server.refusals = [Reply.json({"error": {"message": "Backend Error"}}, 503)]
    with pytest.raises(errors.SourceUnavailable, match="503"):
        far.source.find(tuple(product_id(number) for number in range(10)))


def test_a_source_that_is_down_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    source = GoogleSource(objects=url, listing=f"{url}/o")
    for ask in (lambda: source.find((L2A,)), lambda: source.open(L2A), source.check):
        with pytest.raises(errors.SourceUnavailable):
            ask()
    source.close()


def test_objects_moved_to_another_host(far: FarGoogle) -> None:
    far.server.add(
        L2A, "none", status(301, Location=f"{far.server.other_url}/{BUCKET}/{folder_of(L2A)}/IMG_DATA/B02.jp2")
    )
    assert unzipped(whole(far.source, L2A)) == below(f"{L2A}.SAFE", tree_files(L2A))


def test_the_bed_gives_listings_as_the_api_does(far: FarGoogle) -> None:
    far.server.add(L2A)
    answer = json.dumps(far.source._remote.get_json(f"{far.server.url}/storage/v1/b/{BUCKET}/o?prefix=none"))
    assert answer == "{}"
