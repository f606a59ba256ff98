"""The Copernicus Data Space Ecosystem: bytes, by its zips and out of its bucket, and the tokens that they want."""

from __future__ import annotations

import hashlib
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from far_cdse import FarCdse
from faults import SCHEDULE, each_fault_alone
from scripted import Gateway, product_id
from scripted_http import DATA, SIGNATURE, Exchange, Line, Reply, cut, range_ignored, status, too_many
from seaweed import _make_bucket, bucket_of

from extenso_nb import products
from extenso_nb.errors import (
    DamagedProduct,
    ExtensoError,
    IncompleteTransfer,
    ProductOffline,
    SourceUnavailable,
    UnknownProduct,
)
from extenso_nb.gateway.sources import Content, cdse_login
from extenso_nb.gateway.sources.cdse_login import one_time_code
from extenso_nb.gateway.sources.record import product_of
from extenso_nb.gateway.sources.sample import SampleSource
from extenso_nb.query import parse
from extenso_nb.readers import open_product
from extenso_nb.storage import BucketStorage

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
S3_ID = "S3A_OL_1_EFR____20240601T093012_20240601T093312_20240601T112345_0179_113_136_2160_PS1_O_NR_004"
S5P_ID = "S5P_OFFL_L2__NO2____20240601T113245_20240601T131415_34378_03_020600_20240603T033512"


@pytest.fixture
def far() -> Iterator[FarCdse]:
    with FarCdse() as bed:
        yield bed
        assert bed.server.leaks == []


def whole(content: Content, offset: int = 0) -> bytes:
    return b"".join(content.read(offset))


def resumed(content: Content, most: int = 5) -> tuple[bytes, list[ExtensoError]]:
    got, problems = bytearray(), list[ExtensoError]()
    for _ in range(most):
        try:
            for block in content.read(len(got)):
                got += block
            break
        except IncompleteTransfer as error:
            problems.append(error)
    return bytes(got), problems


# --- every fault -----------------------------------------------------------------------------------------------------
def test_every_fault_passes_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: FarCdse) -> None:
    each_fault_alone(tmp_path, monkeypatch, far.server, far.source)
    assert far.server.logins == 1  # however often a token was refused


# --- zips ------------------------------------------------------------------------------------------------------------
def test_a_zip_as_it_is_documented(far: FarCdse) -> None:
    name = far.server.add(1)
    content = far.source.open(name)
    assert (content.name, content.size) == (f"{name}.SAFE.zip", len(DATA))
    assert content.checksums["md5"] == hashlib.md5(DATA).hexdigest()
    assert far.server.forms == []  # nobody logs in before the first byte is wanted
    assert whole(content) == DATA
    uuid = far.server.entries[0]["Id"]
    assert far.server.paths[-1] == ("GET", f"/download/odata/v1/Products({uuid})/$value")
    assert far.server.forms == [
        {"client_id": "cdse-public", "grant_type": "password", "username": "someone", "password": "right"}
    ]


@pytest.mark.parametrize("size", [0, -1, None])
def test_a_zip_of_which_nothing_is_known(far: FarCdse, size: int | None) -> None:
    name = far.server.add(1)
    far.server.held[name].size, far.server.held[name].checksums = size, None
    content = far.source.open(name)
    assert (content.size, content.checksums) == (None, {})
    assert whole(content) == DATA


def elsewhere(path: str, host: str = "") -> Line:
    """A 301 to another service of CDSE, or to somebody else."""

    def play(x: Exchange) -> None:
        uuid = next(item["Id"] for item in x.server.entries if item["Name"].startswith(x.held.id))  # type: ignore[attr-defined]
        x.head(301, Location=f"{host or x.server.url}/{path.format(uuid)}?{SIGNATURE}", Content_Length=0)

    return play


def test_the_token_goes_along_to_trusted_hosts_only(far: FarCdse) -> None:
    own = far.server.add(1, "none", elsewhere("zipper/odata/v1/Products({})/$value"))
    assert whole(far.source.open(own)) == DATA
    assert "authorization" in far.server.seen[-1].headers
    other = far.server.other_url
    foreign = far.server.add(2, "none", elsewhere("zipper/odata/v1/Products({})/$value", other))
    with pytest.raises(SourceUnavailable, match="not sent there"):
        whole(far.source.open(foreign))
    assert "authorization" not in far.server.seen[-1].headers
    far.source._remote._trusted |= {"localhost"}
    trusted = far.server.add(3, "none", elsewhere("zipper/odata/v1/Products({})/$value", other))
    assert whole(far.source.open(trusted)) == DATA
    assert "authorization" in far.server.seen[-1].headers
    assert len(far.server.leaks) == 1
    far.server.leaks.clear()  # that one was meant to be


def test_the_hosts_that_are_trusted_by_default() -> None:
    from extenso_nb.gateway.sources.cdse import CdseSource

    source = CdseSource()
    zippers = {"download.dataspace.copernicus.eu", "zipper.dataspace.copernicus.eu"}
    assert source._remote._trusted == zippers
    source.close()


def test_an_ignored_range_is_read_over(far: FarCdse) -> None:
    name = far.server.add(1, "none", cut(0.6), range_ignored)
    content = far.source.open(name)
    assert resumed(content)[0] == DATA
    assert "from its beginning" in content.remarks[0]


def test_a_token_that_dies_in_mid_transfer(far: FarCdse) -> None:
    def dies(x: Exchange) -> None:
        x.server.expire_token()
        cut(0.5)(x)

    name = far.server.add(1, "none", dies)
    got, problems = resumed(far.source.open(name))
    assert got == DATA
    assert len(problems) == 1
    assert [form["grant_type"] for form in far.server.forms] == ["password", "refresh_token"]


@pytest.mark.parametrize(
    ("code", "body", "says"),
    [
        (401, '{"detail": "DAT-ZIP-604: token not found"}', "DAT-ZIP-604"),
        (401, '{"code": "DAT-ZIP-609", "detail": "DAT-ZIP-609: audience"}', "DAT-ZIP-609"),
        (401, '{"detail": {"message": "DAT-ZIP-109: Token is expired"}}', "DAT-ZIP-109"),
        (422, '{"detail": "DAT-ZIP-111: bad uuid"}', "422: DAT-ZIP-111"),
        (400, '{"detail": "DAT-ZIP-104: malformed path"}', "400: DAT-ZIP-104"),
        (429, '{"detail": {"message": "Max session number 4 exceeded."}}', "Max session number 4 exceeded"),
    ],
)
def test_refusals_are_told(far: FarCdse, code: int, body: str, says: str) -> None:
    name = far.server.add(1, "none", *[status(code, body)] * 3)
    with pytest.raises(SourceUnavailable, match=says) as caught:
        whole(far.source.open(name))
    assert caught.value.details["status"] == code
    assert code != 401 or "extenso login cdse" in caught.value.hint
    assert "secret" not in f"{caught.value} {caught.value.hint} {caught.value.details}"


def test_the_limit_of_sessions_passes(far: FarCdse) -> None:
    name = far.server.add(1, "none", too_many(0.1))
    content = far.source.open(name)
    with pytest.raises(SourceUnavailable) as caught:
        whole(content)
    assert caught.value.details["retry_after"] == pytest.approx(0.1)
    assert whole(content) == DATA


# --- tokens ----------------------------------------------------------------------------------------------------------
def test_one_login_for_all(far: FarCdse) -> None:
    names = [far.server.add(number) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda name: whole(far.source.open(name)) == DATA, names))
    assert len(far.server.forms) == 1


def test_a_session_is_gone_on_with_and_not_opened_twice(far: FarCdse) -> None:
    far.server.lives = 0  # each token has run out when the next is wanted
    for number in range(6):
        assert whole(far.source.open(far.server.add(number))) == DATA
    kinds = [form["grant_type"] for form in far.server.forms]
    assert kinds == ["password"] + ["refresh_token"] * (len(kinds) - 1)
    assert len(kinds) >= 6
    assert len(far.server.sessions) == 1
    assert all("password" not in form for form in far.server.forms[1:])


def test_a_session_that_is_over_is_followed_by_another(far: FarCdse) -> None:
    assert whole(far.source.open(far.server.add(1))) == DATA
    far.server.sessions.clear()
    far.server.expire_token()
    assert whole(far.source.open(far.server.add(2))) == DATA
    assert [form["grant_type"] for form in far.server.forms] == ["password", "refresh_token", "password"]


def test_a_session_that_has_run_out_is_not_asked_for_a_token(far: FarCdse, monkeypatch: pytest.MonkeyPatch) -> None:
    assert whole(far.source.open(far.server.add(1))) == DATA
    session = far.source._login._exchange._session  # type: ignore[attr-defined]
    assert 3500 < session.until - time.monotonic() <= 3590
    monkeypatch.setattr(far.source._login._exchange, "_session", replace(session, until=time.monotonic()))
    far.server.expire_token()
    assert whole(far.source.open(far.server.add(2))) == DATA
    assert [form["grant_type"] for form in far.server.forms] == ["password", "password"]


def test_identity_down_is_no_second_login(far: FarCdse) -> None:
    assert whole(far.source.open(far.server.add(1))) == DATA
    far.server.expire_token()
    site, down = far.server.site, threading.Event()
    down.set()
    far.server.site = lambda request: (  # type: ignore[assignment]
        Reply.json({}, 503) if down.is_set() and request.path == "/token" else site(request)  # type: ignore[misc]
    )
    name = far.server.add(2)
    with pytest.raises(SourceUnavailable, match="503"):
        whole(far.source.open(name))
    down.clear()
    far.source._remote.authorise._failed = None  # type: ignore[union-attr]
    assert whole(far.source.open(name)) == DATA
    assert [form["grant_type"] for form in far.server.forms] == ["password", "refresh_token"]


def test_a_wrong_password_is_tried_once(far: FarCdse) -> None:
    far.given = {"username": "someone", "password": "wrong"}
    for number in range(3):
        with pytest.raises(SourceUnavailable, match=r"refused the credentials: .*Invalid user credentials") as caught:
            whole(far.source.open(far.server.add(number)))
        assert "extenso login cdse" in caught.value.hint
        assert "wrong" not in f"{caught.value} {caught.value.details}"
    assert len(far.server.forms) == 1
    assert "refused" in (far.source.lacks() or "")
    far.given = {"username": "someone", "password": "right"}  # somebody ran `extenso login`
    assert far.source.lacks() is None
    far.source._remote.authorise._failed = None  # type: ignore[union-attr]
    assert whole(far.source.open(far.server.add(9))) == DATA


def test_a_login_can_be_checked_before_it_is_kept(far: FarCdse) -> None:
    assert far.source.check_login() is None
    assert far.server.logins == 1
    far.given = {"s3_access_key": "key", "s3_secret_key": "secret"}
    assert "first delivery" in str(far.source.check_login())


def test_a_wrong_password_is_found_by_checking(far: FarCdse) -> None:
    far.given = {"username": "someone", "password": "wrong"}
    with pytest.raises(SourceUnavailable, match="Invalid user credentials") as caught:
        far.source.check_login()
    assert caught.value.details["status"] == 401


def test_another_account_is_another_session(far: FarCdse) -> None:
    assert whole(far.source.open(far.server.add(1))) == DATA
    far.given = {"username": "another", "password": "right"}
    far.server.expire_token()
    assert whole(far.source.open(far.server.add(2))) == DATA
    assert [form.get("username") for form in far.server.forms] == ["someone", "another"]


def test_without_credentials_it_is_said_which_command_gives_them(far: FarCdse) -> None:
    far.given = {}
    with pytest.raises(SourceUnavailable, match="no credentials") as caught:
        whole(far.source.open(far.server.add(1)))
    assert "extenso login cdse" in caught.value.hint
    assert far.server.forms == []


@pytest.mark.parametrize(
    ("now", "code"),  # RFC 6238, appendix B, SHA1: the last six digits
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_one_time_codes(now: float, code: str) -> None:
    assert one_time_code(SECRET, now) == code
    assert one_time_code("gezd gnbv gy3t qojq gezd gnbv gy3t qojq", now) == code


@pytest.mark.parametrize(
    ("given", "code"), [("123456", "123456"), (" 000001 ", "000001"), ("1234567", None), ("", None)]
)
def test_codes_that_are_given(given: str, code: str | None) -> None:
    assert one_time_code(given, 0) == code


@pytest.mark.parametrize("totp", [SECRET, "081804"])
def test_a_second_factor(far: FarCdse, monkeypatch: pytest.MonkeyPatch, totp: str) -> None:
    monkeypatch.setattr(cdse_login.time, "time", lambda: 1111111109.0)
    far.server.totp = "081804"
    far.given["totp"] = totp
    assert whole(far.source.open(far.server.add(1))) == DATA
    assert far.server.forms[0]["totp"] == "081804"


def test_a_second_factor_that_is_none(far: FarCdse) -> None:
    far.given["totp"] = "no secret!"
    with pytest.raises(SourceUnavailable, match="neither a code of six digits nor a secret") as caught:
        whole(far.source.open(far.server.add(1)))
    assert "no secret" not in str(caught.value)
    assert far.server.forms == []


@pytest.mark.parametrize("answer", [b"null", b"[]", b"{}", b'{"access_token": 5}', b'{"access_token": ""}', b"<html>"])
def test_answers_that_are_no_token(far: FarCdse, answer: bytes) -> None:
    site = far.server.site
    far.server.site = lambda request: Reply(200, answer) if request.path == "/token" else site(request)  # type: ignore[misc]
    with pytest.raises(SourceUnavailable):
        whole(far.source.open(far.server.add(1)))


# --- the bucket ------------------------------------------------------------------------------------------------------
KEYS = {"s3_access_key": "AKIAPLANTEDACCESS", "s3_secret_key": "planted-secret-key"}
TREE = {
    "manifest.safe": b"<xml/>",
    "MTD_MSIL2A.xml": b"<metadata/>" * 100,
    "GRANULE/L2A_T31TCJ/IMG_DATA/R10m/B02.jp2": bytes(range(256)) * 40_000,
    "HTML/empty.html": b"",
}


@pytest.fixture
def eodata(s3: str) -> BucketStorage:
    storage = BucketStorage(bucket_of(s3, "eodata"))
    _make_bucket(s3, "eodata")
    return storage


def stored(far: FarCdse, eodata: BucketStorage, name: str, tree: dict[str, bytes]) -> None:
    """A product in the catalogue and its files in the bucket; beside it lies another whose name begins the same."""
    identity = products.parse(name)
    entry = far.server.show(product_of(identity, "cdse", size=10**6))
    key = entry["S3Path"].removeprefix("/eodata/")
    for path, content in tree.items():
        eodata.put_bytes(f"{key}/{path}" if path else key, content)
    eodata.put_bytes(f"{key}_other/manifest.safe", b"not this")


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        return {info.filename: archive.read(info) for info in archive.infolist()}


@pytest.fixture
def second(s3: str, eodata: BucketStorage) -> Iterator[FarCdse]:
    with FarCdse(given=dict(KEYS), s3=s3) as bed:
        yield bed


def test_a_product_out_of_the_bucket(second: FarCdse, eodata: BucketStorage) -> None:
    name = product_id(1)
    stored(second, eodata, name, TREE)
    content = second.source.open(name)
    assert content.name == f"{name}.SAFE.zip"
    data = whole(content)
    assert len(data) == content.size
    assert unzipped(data) == {f"{name}.SAFE/{path}": text for path, text in TREE.items()}
    for offset in (1, 700, 5_000_000, len(data) - 1, len(data)):
        assert whole(content, offset) == data[offset:]
    assert any("bucket eodata" in remark for remark in content.remarks)
    assert second.server.forms == []
    assert second.source.lacks() is None


def test_sentinel_3_and_5p_out_of_the_bucket(second: FarCdse, eodata: BucketStorage) -> None:
    tree = {"xfdumanifest.xml": b"<xml/>", "Oa01_radiance.nc": b"\x89HDF" + bytes(10_000)}
    stored(second, eodata, S3_ID, tree)
    content = second.source.open(S3_ID)
    assert content.name == f"{S3_ID}.SEN3.zip"
    assert unzipped(whole(content)) == {f"{S3_ID}.SEN3/{path}": text for path, text in tree.items()}
    netcdf = b"\x89HDF" + bytes(range(256)) * 30_000
    stored(second, eodata, S5P_ID, {"": netcdf})
    content = second.source.open(S5P_ID)
    assert (content.name, content.size) == (f"{S5P_ID}.nc", len(netcdf))
    assert whole(content) == netcdf
    assert whole(content, 5_000_001) == netcdf[5_000_001:]


def test_a_netcdf_in_a_folder_of_its_name(second: FarCdse, eodata: BucketStorage) -> None:
    name = S5P_ID.replace("033512", "033513")
    stored(second, eodata, name, {f"{name}.nc": b"\x89HDF more", f"{name}.cdl": b"netcdf"})
    assert whole(second.source.open(name)) == b"\x89HDF more"


def test_what_is_not_in_the_bucket(second: FarCdse, eodata: BucketStorage) -> None:
    name = product_id(2)
    entry = second.server.show(product_of(products.parse(name), "cdse"))
    with pytest.raises(UnknownProduct, match="nothing lies below"):
        second.source.open(name)
    for path in (None, "", "/eodata/", "/elsewhere/x", 5):
        entry["S3Path"] = path
        with pytest.raises(UnknownProduct, match="does not say where"):
            second.source.open(name)
    other = S5P_ID.replace("033512", "033514")
    second.server.show(product_of(products.parse(other), "cdse"))
    with pytest.raises(UnknownProduct, match="nothing lies at"):
        second.source.open(other)
    third = product_id(3)
    stored(second, eodata, third, {"readme.txt": b"no manifest"})
    with pytest.raises(DamagedProduct, match="manifest"):
        second.source.open(third)


@pytest.mark.parametrize(
    "path",
    [
        "/eodata/a/../../b",
        "/eodata//x",
        "/eodata/./x",
        "/eodata/a%2fb?x=y",
        "/eodata/é\\x",
        "/eodata/a\x00b",
        "/eodata/" + "a" * 3000,
    ],
)
@pytest.mark.parametrize("name", [product_id(3), S5P_ID])
def test_paths_that_are_none(second: FarCdse, name: str, path: str) -> None:
    second.server.show(product_of(products.parse(name), "cdse"), S3Path=path)
    with pytest.raises((UnknownProduct, SourceUnavailable)):
        second.source.open(name)


def test_an_object_that_goes_while_it_is_read(second: FarCdse, eodata: BucketStorage) -> None:
    name = product_id(4)
    stored(second, eodata, name, TREE)
    content = second.source.open(name)
    key = second.server.entries[-1]["S3Path"].removeprefix("/eodata/")
    eodata.delete(f"{key}/GRANULE/L2A_T31TCJ/IMG_DATA/R10m/B02.jp2")
    with pytest.raises(UnknownProduct, match="no more in its bucket"):
        whole(content)


@pytest.mark.parametrize(
    "keys", [("AKIAPLANTEDACCESS", "not the key"), ("NOBODY", "planted-secret-key"), ("A\nB", "x")]
)
def test_keys_that_are_refused(second: FarCdse, eodata: BucketStorage, keys: tuple[str, str]) -> None:
    name = product_id(5)
    stored(second, eodata, name, TREE)
    second.given = {"s3_access_key": keys[0], "s3_secret_key": keys[1]}
    with pytest.raises(SourceUnavailable) as caught:
        second.source.open(name)
    told = f"{caught.value} {caught.value.details}"
    assert "extenso login cdse" in caught.value.hint
    assert keys[1] == "x" or keys[1] not in told


def test_the_bucket_is_the_second_road_where_the_first_fails(second: FarCdse, eodata: BucketStorage) -> None:
    second.given |= {"username": "someone", "password": "right"}
    name = product_id(6)
    stored(second, eodata, name, TREE)
    second.server.add(name, "none", status(503, '{"detail": "zipper down"}'))
    content = second.source.open(name)
    with pytest.raises(SourceUnavailable, match="zipper down"):
        whole(content)
    content = second.source.open(name)
    assert unzipped(whole(content))[f"{name}.SAFE/manifest.safe"] == TREE["manifest.safe"]
    assert "zipper down" in content.remarks[0]
    other = product_id(7)
    stored(second, eodata, other, TREE)
    second.server.add(other)
    assert whole(second.source.open(other)) == DATA  # what failed with one product says nothing of others


def test_the_first_road_is_tried_again_where_the_second_fails(second: FarCdse) -> None:
    second.given |= {"username": "someone", "password": "right"}
    name = second.server.add(8, "none", status(503))
    with pytest.raises(SourceUnavailable, match="503"):
        whole(second.source.open(name))
    with pytest.raises(UnknownProduct, match="nothing lies below"):
        second.source.open(name)
    assert whole(second.source.open(name)) == DATA


def test_a_cold_answer_is_no_failure_of_the_road(second: FarCdse) -> None:
    second.given |= {"username": "someone", "password": "right"}
    name = second.server.add(9, "none", status(202))
    with pytest.raises(ProductOffline):
        whole(second.source.open(name))
    assert whole(second.source.open(name)) == DATA


def test_a_refused_password_leaves_the_bucket(second: FarCdse, eodata: BucketStorage) -> None:
    second.given |= {"username": "someone", "password": "wrong"}
    name = product_id(10)
    stored(second, eodata, name, TREE)
    with pytest.raises(SourceUnavailable, match="refused the credentials"):
        whole(second.source.open(name))
    content = second.source.open(name)
    assert "no password" in content.remarks[0]
    assert f"{name}.SAFE/manifest.safe" in unzipped(whole(content))
    assert second.server.logins == 1


@pytest.mark.parametrize("trouble", ["zipper down", "that did not do"])
def test_a_delivery_by_the_second_road(tmp_path: Path, second: FarCdse, eodata: BucketStorage, trouble: str) -> None:
    """The zipper fails all day, or its zips are not those of the catalogue's checksums: the bucket has the product."""
    second.given |= {"username": "someone", "password": "right"}
    name = product_id(11 if trouble == "zipper down" else 13)
    tree = {"manifest.safe": b"<xml/>", "measurement/a.tiff": bytes(3_000_000)}
    stored(second, eodata, name, tree)
    second.server.add(name, "none" if trouble == "zipper down" else "lying checksum")
    if trouble == "zipper down":
        second.server.held[name].always = status(503, '{"detail": "zipper down"}')
    gateway = Gateway(tmp_path, second.source, schedule=SCHEDULE)
    try:
        order, _ = gateway.service.create_order(gateway.account, [name])
        assert gateway.wait(order.id) == "delivered"
        _, (delivery,) = gateway.store.deliveries(gateway.account, order_id=order.id, rows=10)
        assert any(trouble in entry.event for entry in delivery.trail)
        assert any("bucket eodata" in entry.event for entry in delivery.trail)
        assert delivery.key is not None
        wanted = {f"{name}.SAFE/{path}": text for path, text in tree.items()}
        assert unzipped(gateway.storage.read(delivery.key)) == wanted
    finally:
        gateway.stop()


@pytest.mark.parametrize("road", ["zip", "bucket"])
def test_products_of_all_missions_are_delivered_and_open(
    tmp_path: Path, sample_cache: Path, second: FarCdse, eodata: BucketStorage, road: str
) -> None:
    sample = SampleSource(sample_cache)
    chosen = []
    for collection in ("S1", "S2", "S3", "S5P"):
        hits = sample.search(collection, parse("*"), start=0, rows=100, orderby="size asc")
        product = hits.products[0]
        chosen.append(product.id)
        data = whole(sample.open(product.id))
        if road == "zip":
            second.hold(product, data)
            continue
        root = f"{product.id}{products.parse(product.id).extension}/"
        files = {"": data} if collection == "S5P" else {
            name.removeprefix(root): text for name, text in unzipped(data).items()
        }  # fmt: skip
        stored(second, eodata, product.id, files)
    second.given = {"username": "someone", "password": "right"} if road == "zip" else dict(KEYS)
    gateway = Gateway(tmp_path, second.source)
    try:
        order, _ = gateway.service.create_order(gateway.account, chosen)
        assert gateway.wait(order.id, 300) == "delivered"
        _, deliveries = gateway.store.deliveries(gateway.account, order_id=order.id, rows=10)
        for delivery in deliveries:
            assert delivery.source == "cdse"
            with open_product(gateway.storage.folder / str(delivery.key)) as tree:  # type: ignore[union-attr]
                assert len(tree.children) + len(tree.data_vars) > 0
    finally:
        gateway.stop()


def test_nothing_secret_is_shown(second: FarCdse) -> None:
    second.given |= {"username": "someone", "password": "right"}
    assert whole(second.source.open(second.server.add(12))) == DATA
    parts = (second.source, second.source._login, second.source._login._exchange, second.source._remote)
    told = " ".join(map(repr, [*parts, second.source._login._exchange._session]))  # type: ignore[attr-defined]
    assert not any(word in told for word in ("right", "secret", "planted", "AKIA"))
