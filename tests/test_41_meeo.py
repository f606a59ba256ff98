"""MEEO's buckets: Sentinel-5P as single files, Sentinel-3 as trees with either spelling of their folders, every fault."""

from __future__ import annotations

import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from far_meeo import NETCDF, S3, S5P, FarMeeo, place_of, s3_id, s5p_id
from far_objects import PICTURE, below, tree_files, unzipped
from faults import REASONS, each_fault_alone
from real import differing, members, told
from scripted import Gateway
from scripted_http import FAULTS, Reply, status

import extenso_nb as ex
from extenso_nb import errors, products, query
from extenso_nb.gateway.sources import Source, lacking, profile_of, tree
from extenso_nb.gateway.sources.meeo import MeeoSource
from extenso_nb.gateway.sources.record import product_of

ONE, TREE = s5p_id(1), s3_id(1)
BOTH = pytest.mark.parametrize("name", [ONE, TREE])


@pytest.fixture
def far() -> Iterator[FarMeeo]:
    with FarMeeo() as bed:
        yield bed


def whole(source: Source, name: str, offset: int = 0) -> bytes:
    return b"".join(source.open(name).read(offset))


# --- found by name ---------------------------------------------------------------------------------------------------
def test_what_it_is_for(far: FarMeeo) -> None:
    profile = profile_of(far.source)
    assert (profile.searches, profile.delivers) == (frozenset(), {"S3", "S5P"})
    assert (profile.cost, profile.archive, profile.account, lacking(far.source)) == (1, True, None, None)
    assert isinstance(far.source, Source)
    with pytest.raises(errors.SourceUnavailable, match="a search") as raised:
        far.source.search("S5P", query.parse("*"), start=0, rows=1, orderby="beginposition asc")
    assert raised.value.details["cannot"] is True
    assert far.server.paths == []


@pytest.mark.parametrize(
    ("name", "prefixes"),
    [
        (
            "S5P_OFFL_L2__CO_____20200303T013547_20200303T031717_12367_01_010302_20200306T032410",
            ["https://meeo-s5p.s3.amazonaws.com/ OFFL/L2__CO____/2020/03/03/"
             "S5P_OFFL_L2__CO_____20200303T013547_20200303T031717_12367_01_010302_20200306T032410.nc"],
        ),
        (
            "S5P_NRTI_L2__AER_AI_20210827T235935_20210828T000435_20056_02_020200_20210828T021525",
            ["https://meeo-s5p.s3.amazonaws.com/ NRTI/L2__AER_AI/2021/08/27/"
             "S5P_NRTI_L2__AER_AI_20210827T235935_20210828T000435_20056_02_020200_20210828T021525.nc"],
        ),
        (
            "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002",
            ["https://meeo-s3.s3.amazonaws.com/ NRT/S3A/OL_1_EFR___/2021/10/21/"
             "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.SEN3/",
             "https://meeo-s3.s3.amazonaws.com/ NRT/S3A/OL_1_EFR____/2021/10/21/"
             "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.SEN3/"],
        ),
        ("S5P_TEST_L2__CO_____20200303T013547_20200303T031717_12367_01_010302_20200306T032410", []),
        ("S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T130000", []),
    ],
)  # fmt: skip
def test_default_addresses_are_those_of_the_archive(
    monkeypatch: pytest.MonkeyPatch, name: str, prefixes: list[str]
) -> None:
    asked: list[str] = []
    source = MeeoSource()

    def get_bytes(url: str, **_: Any) -> bytes:
        parts = urllib.parse.urlsplit(url)
        asked.append(f"https://{parts.netloc}{parts.path} {urllib.parse.parse_qs(parts.query)['prefix'][0]}")
        return b"<ListBucketResult/>"

    monkeypatch.setattr(source._remote, "get_bytes", get_bytes)
    assert source.find((name,)) == {}
    assert asked == prefixes
    source.close()


@BOTH
def test_found_and_described_from_the_name_by_one_request(far: FarMeeo, name: str) -> None:
    far.server.add(name)
    product = far.source.find((name,))[name]
    assert len(far.server.paths) == 1
    assert (product.id, product.online, product.sources, product.size_estimated) == (name, True, ("meeo",), False)
    assert product.begin_position == products.parse(name).start
    assert product.size == len(whole(far.source, name))


def test_many_are_looked_for_side_by_side_and_those_not_held_are_left_out(far: FarMeeo) -> None:
    far.server.latency = 0.05
    names = [s5p_id(number) for number in range(40)] + [s3_id(number) for number in range(10)]
    for name in names[::2]:
        far.server.add(name)
    assert list(far.source.find((*names, "x", f"{ONE}.nc"))) == names[::2]


@pytest.mark.parametrize("end", ["", "_"])
def test_either_spelling_of_the_type_is_found_and_remembered(end: str) -> None:
    with FarMeeo(end) as far:
        names = [s3_id(number) for number in range(6)]
        for name in names[:3]:
            far.server.add(name)
        assert far.source.find((names[0],))
        assert len(far.server.listed) == 1 + len(end)
        assert list(far.source.find((*names[1:],))) == names[1:3]
        assert len(far.server.listed) == 1 + len(end) + 5, "one each from then on"
        other = names[0].replace("OL_1_EFR", "SL_1_RBT")
        assert far.source.find((other,)) == {}
        first, second = (asked["prefix"].split("/")[2] for asked in far.server.listed[-2:])
        assert (first, second) == (f"SL_1_RBT___{end}", f"SL_1_RBT___{'' if end else '_'}")


def test_a_file_whose_name_goes_on_is_another_one(far: FarMeeo) -> None:
    far.server.put(S5P, {f"{place_of(ONE)}.md5": b"x"})
    far.server.put(S3, {f"{place_of(TREE)}.zip": b"x"})
    assert far.source.find((ONE, TREE)) == {}
    for name in (ONE, TREE):
        for ask in (far.source.open, far.source.quicklook):
            with pytest.raises(errors.UnknownProduct):
                ask(name)


@pytest.mark.parametrize("name", ["", "../x", f"{ONE}/../y", f"{ONE}&prefix=", f"{TREE}#", f"{TREE}%2F", TREE.lower()])
def test_what_is_no_identifier_is_never_sent(far: FarMeeo, name: str) -> None:
    assert far.source.find((name,)) == {}
    with pytest.raises(errors.UnknownProduct):
        far.source.open(name)
    assert far.server.paths == []


def test_pages(far: FarMeeo) -> None:
    far.server.page = 2
    far.server.add(TREE)
    assert far.source.find((TREE,))[TREE].size == len(whole(far.source, TREE))
    assert len(far.server.listed) == 2 * 3, "six files"


# --- delivered -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("parts", [False, True])
def test_the_file_of_sentinel_5p_comes_as_it_is(far: FarMeeo, parts: bool) -> None:
    far.hold(product_of(products.parse(ONE), "meeo"))
    far.server.whole = {place_of(ONE)} if parts else set()
    content = far.source.open(ONE)
    assert (content.name, content.size) == (f"{ONE}.nc", len(NETCDF))
    assert set(content.checksums) == (set() if parts else {"md5"}), "an ETag of parts is no MD5"
    assert b"".join(content.read(0)) == NETCDF
    assert b"".join(content.read(1234)) == NETCDF[1234:]


def test_the_tree_of_sentinel_3_comes_as_one_stored_zip(far: FarMeeo) -> None:
    far.server.add(TREE)
    content = far.source.open(TREE)
    data = b"".join(content.read(0))
    assert (content.name, content.size) == (f"{TREE}.SEN3.zip", len(data))
    assert unzipped(data) == below(f"{TREE}.SEN3", tree_files(TREE))
    assert next(iter(unzipped(data))) == f"{TREE}.SEN3/xfdumanifest.xml"
    assert whole(far.source, TREE, 5000) == data[5000:]


def test_real_products_are_delivered_checked_and_opened(tmp_path: Path, shared_data: Path) -> None:
    paths = [
        next((shared_data / "s5p").glob("S5P_OFFL_L2__CO_*.nc")),
        next((shared_data / "s3_olci").glob("S3B_OL_1_EFR_*.SEN3.zip")),
    ]
    names = [path.name.partition(".")[0] for path in paths]
    with FarMeeo(stall_seconds=20) as far:
        for name, path in zip(names, paths, strict=True):
            content = members(path) if name.startswith("S3") else path.read_bytes()
            far.hold(product_of(products.parse(name), "meeo"), content)
        gateway = Gateway(tmp_path, far.source)
        try:
            order, _ = gateway.service.create_order(gateway.account, names)
            gateway.wait(order.id)
            _, items = gateway.store.deliveries(gateway.account, order_id=order.id)
            assert [item.status for item in items] == ["delivered"] * 2, [item.trail for item in items]
            delivered = {item.product_id: gateway.storage.folder / str(item.key) for item in items}  # type: ignore[union-attr]
        finally:
            gateway.stop()
        for name, path in zip(names, paths, strict=True):
            assert members(delivered[name]) == members(path)
            assert differing(told(ex.open_product(path)), told(ex.open_product(delivered[name]))) == []


FILE_REASONS = {
    "no length, truncated always, nothing known": "ended .* after",  # a listing always gives the size
    "truncated zip always, nothing known": "its catalogue has",
    "401 always": "wants credentials, and none are set",
}
# netCDF has nothing in it by which a wrong byte could be told where the store gives no MD5.
FILE_FAULTS = {name: fault for name, fault in FAULTS.items() if not name.endswith("checksums withheld")}


@pytest.mark.timeout(600)
def test_each_fault_alone_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FarMeeo() as far:
        each_fault_alone(
            tmp_path,
            monkeypatch,
            far.server,
            far.source,
            faults=FILE_FAULTS,
            reasons=REASONS | FILE_REASONS,
            name=s5p_id,
            data=NETCDF,
        )


@pytest.mark.timeout(600)
def test_each_fault_alone_in_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SMALL", 100_000)
    reasons = {"wrong byte always, checksums withheld": "own manifest"}  # the CRCs of the zip are of what came

    def right(name: str, data: bytes) -> bool:
        return unzipped(data) == below(f"{name}.SEN3", tree_files(name))

    with FarMeeo() as far:
        each_fault_alone(
            tmp_path,
            monkeypatch,
            far.server,
            far.source,
            reasons=REASONS | FILE_REASONS | reasons,
            name=s3_id,
            right=right,
        )


# --- pictures, and what goes wrong ------------------------------------------------------------------------------------
def test_quicklook(far: FarMeeo) -> None:
    for name in (ONE, TREE):
        far.server.add(name)
    assert far.source.quicklook(TREE) == PICTURE
    with pytest.raises(errors.NoQuicklook):
        far.source.quicklook(ONE)


def test_check_and_warm_up(far: FarMeeo) -> None:
    assert far.source.check() is None
    assert far.source.warm_up(TREE) is None  # type: ignore[func-returns-value]
    assert len(far.server.listed) == 2, "both buckets"
    far.server.refusals = [Reply.json({}, 503)]
    with pytest.raises(errors.SourceUnavailable, match="503"):
        far.source.check()


def xml(body: str, code: int = 200) -> Reply:
    return Reply(code, body.encode(), {"Content-Type": "application/xml"})


def listed(body: str) -> Reply:
    return xml(f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{body}</ListBucketResult>')


HOSTILE = {
    "a page": Reply(200, b"<!DOCTYPE html><title>Sign in</title>" + b"x" * 10_000_000, {"Content-Type": "text/html"}),
    "empty": xml(""),
    "no XML": xml("{}"),
    "cut short": xml("<ListBucketResult><Contents>"),
    "UTF-16": Reply(200, "<ListBucketResult/>".encode("utf-16"), {"Content-Type": "application/xml"}),
    "no such encoding": xml('<?xml version="1.0" encoding="klingon"?><ListBucketResult/>'),
    "bomb": xml(
        '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><ListBucketResult><Name>&b;</Name></ListBucketResult>'
    ),
    "an error with 200": xml("<Error><Code>InternalError</Code></Error>"),
    "no key": listed("<Contents><Size>4</Size></Contents>"),
    "no size": listed("<Contents><Key>a</Key></Contents>"),
    "negative": listed("<Contents><Key>a</Key><Size>-4</Size></Contents>"),
    "another place": listed("<Contents><Key>other</Key><Size>4</Size></Contents>"),
    "more, but not where": listed("<IsTruncated>true</IsTruncated>"),
    "no bucket": xml("<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>", 404),
    "refused": xml("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", 403),
    "slow down": xml("<Error><Code>SlowDown</Code></Error>", 503),
    "elsewhere": xml("<Error><Code>PermanentRedirect</Code></Error>", 301),
}


@BOTH
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_listing_that_is_none_is_a_failure_and_not_nothing(far: FarMeeo, kind: str, name: str) -> None:
    far.server.add(name)
    for ask in (lambda: far.source.find((name,)), lambda: far.source.open(name)):
        far.server.refusals = [HOSTILE[kind]]
        with pytest.raises(errors.SourceUnavailable) as raised:
            ask()
        assert raised.value.details["source"] == "meeo"
        assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/../../b", "a\\b", "a//b", "./a", "XFDUmanifest.xml"])
def test_names_that_lead_out_or_come_twice_are_refused(far: FarMeeo, name: str) -> None:
    far.hold(product_of(products.parse(TREE), "meeo"), tree_files(TREE) | {name: b"evil"})
    with pytest.raises(errors.DamagedProduct):
        far.source.open(TREE)


def test_a_source_that_is_down_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    source = MeeoSource(s5p=url, s3=url)
    for ask in (lambda: source.find((ONE,)), lambda: source.open(TREE), source.check):
        with pytest.raises(errors.SourceUnavailable):
            ask()
    source.close()


@BOTH
def test_objects_moved_to_another_host(far: FarMeeo, name: str) -> None:
    bucket, key = (S5P, place_of(name)) if name == ONE else (S3, f"{place_of(name)}/measurement.dat")
    far.server.add(name, "none", status(301, Location=f"{far.server.other_url}/{bucket}/{key}"))
    data = whole(far.source, name)
    assert data == NETCDF if name == ONE else unzipped(data) == below(f"{TREE}.SEN3", tree_files(TREE))
