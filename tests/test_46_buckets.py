"""Deliveries into a real S3 server: into users' own buckets, whose keys nobody finds, and into a free storage that is one."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import logging
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from pydantic import SecretStr
from scripted import Gateway, ScriptedSource, cut_at, down, files_under, served, slow, wrong_byte
from seaweed import ACCESS, SECRET, bucket_of, free_port

from extenso_nb import errors, wire
from extenso_nb.client import Client
from extenso_nb.gateway.destinations import Destinations
from extenso_nb.gateway.store import Store
from extenso_nb.models import BucketProperties
from extenso_nb.storage import BucketStorage, FolderStorage, refuse_private


@pytest.fixture
def source() -> ScriptedSource:
    return ScriptedSource()


@pytest.fixture
def start(tmp_path: Path, source: ScriptedSource) -> Iterator[Callable[..., Gateway]]:
    running: list[Gateway] = []

    def begin(**more: Any) -> Gateway:
        for gateway in running:
            gateway.stop()
        running[:] = [Gateway(tmp_path / "data", source, **more)]
        return running[0]

    (tmp_path / "data").mkdir()
    yield begin
    for gateway in running:
        gateway.stop()


def mine(s3: str, prefix: str, **more: Any) -> BucketProperties:
    keys = {"access_key": SecretStr(ACCESS), "secret_key": SecretStr(SECRET)}
    return BucketProperties(endpoint=f"{s3}/deliveries", prefix=prefix, **(keys | more))


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def kept(folder: Path) -> bytes:
    found = []
    for path in files_under(folder):
        with contextlib.suppress(FileNotFoundError):  # SQLite takes its journals away while one looks
            found.append(path.read_bytes())
    return b"".join(found)


def test_into_the_users_own_bucket(
    s3: str, start: Callable[..., Gateway], source: ScriptedSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    names = [source.add(1, slow(0.05)), source.add(2, cut_at(100_000)), source.add(3, down, cut_at(0))]
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, names, bucket=mine(s3, "user/one"))
    sealed = gateway.store.destination(order.id)[1]
    assert sealed is not None
    assert gateway.wait(order.id) == "delivered"
    lying = dict(BucketStorage(bucket_of(s3, "deliveries", prefix="user/one")).list())
    expected = {f"orders/{order.id}/{name}/{name}.SAFE.zip": len(source.data[name]) for name in names}
    assert {key: size for key, size in lying.items() if not key.endswith("metadata.json")} == expected
    assert len(lying) == 6
    for position, name in enumerate(names, start=1):
        delivery = gateway.service.delivered(gateway.account, order.id, f"{order.id}-{position}")
        content = BucketStorage(bucket_of(s3, "deliveries", prefix="user/one")).read(str(delivery.key))
        assert content == source.data[name]
        assert (delivery.checksums or {})["sha256"] == hashlib.sha256(content).hexdigest()
        assert gateway.service.metadata(gateway.account, order.id, delivery.id).product.id == name
    shown = gateway.store.order(gateway.account, order.id)
    assert (shown.destination.kind, shown.destination.bucket, shown.destination.prefix) == (
        "bucket",
        "deliveries",
        "user/one",
    )
    storage = gateway.store.account(gateway.account).storage
    assert (storage.used, storage.reserved) == (0, 0), "what goes into one's own bucket costs no quota"
    assert gateway.files() == []
    # The keys: sealed while the order lasted, gone when it ended, never in clear anywhere.
    assert gateway.store.destination(order.id)[1] is None
    everything = kept(tmp_path) + caplog.text.encode() + repr(shown).encode() + shown.model_dump_json().encode()
    assert SECRET.encode() not in everything
    assert SECRET not in sealed


def test_a_restart_takes_a_bucket_order_up(s3: str, start: Callable[..., Gateway], source: ScriptedSource) -> None:
    names = [source.add(number, slow(0.1)) for number in range(4)]
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, names, bucket=mine(s3, "user/restart"))
    until(lambda: any(item.transferred for item in gateway.store.deliveries(gateway.account)[1]))
    gateway = start()
    assert gateway.wait(order.id) == "delivered"
    lying = BucketStorage(bucket_of(s3, "deliveries", prefix="user/restart"))
    for name in names:
        assert lying.read(f"orders/{order.id}/{name}/{name}.SAFE.zip") == source.data[name]


def test_wrong_bytes_do_not_stay_in_a_bucket(s3: str, start: Callable[..., Gateway], source: ScriptedSource) -> None:
    name = source.add(1, *[wrong_byte] * 9)
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name], bucket=mine(s3, "user/wrong"))
    assert gateway.wait(order.id) == "failed"
    assert "CRC" in (gateway.store.delivery(gateway.account, order.id, f"{order.id}-1").error or "")
    assert BucketStorage(bucket_of(s3, "deliveries", prefix="user/wrong")).list() == []


def test_what_another_gateway_delivered_into_the_bucket_stays(
    s3: str, start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    wrong, good = source.add(1, *[wrong_byte] * 9), source.add(2, slow(1.0))
    lying = BucketStorage(bucket_of(s3, "deliveries", prefix="user/shared"))
    earlier = f"orders/1/{wrong}/{wrong}.SAFE.zip"
    lying.put_bytes(earlier, b"from order 1 of a gateway before this one")
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [wrong, good], bucket=mine(s3, "user/shared"))
    assert gateway.wait(order.id) == "partial"
    assert lying.read(earlier) == b"from order 1 of a gateway before this one"


def test_a_cancelled_bucket_order_leaves_nothing_half_done(
    s3: str, start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    name = source.add(1, slow(0.2))
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name], bucket=mine(s3, "user/cancel"))
    until(lambda: gateway.store.delivery(gateway.account, order.id, f"{order.id}-1").transferred > 0)
    gateway.service.cancel(gateway.account, order.id)
    assert gateway.store.destination(order.id)[1] is None
    time.sleep(2)
    assert BucketStorage(bucket_of(s3, "deliveries", prefix="user/cancel")).list() == []


def test_a_bucket_is_probed_before_the_order_is_accepted(
    s3: str, start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    name = source.add(1)
    gateway = start()
    bad = [
        mine(s3, "p", secret_key=SecretStr("wrong")),
        mine(s3, "p", access_key=SecretStr("READER"), secret_key=SecretStr("reader")),
        mine(f"http://127.0.0.1:{free_port()}", "p"),
        BucketProperties(endpoint=s3, access_key=SecretStr(ACCESS), secret_key=SecretStr(SECRET)),
        mine(s3, "p", region="a\nb"),  # these two made the client of the bucket panic
        mine(s3, "p", access_key=SecretStr("a\nb")),
        mine(s3, "p", secret_key=SecretStr("")),
        mine("http://[::1", "p"),
        mine("https://host:99999", "p"),
        mine("https://127.0.0.1\\.example.com", "p"),
    ]
    for properties in bad:
        with pytest.raises(errors.BucketRefused) as caught:
            gateway.service.create_order(gateway.account, [name], bucket=properties)
        assert SECRET not in str(caught.value)
    assert gateway.store.orders(gateway.account, 0, 10) == (0, [])
    assert source.opened == []


def test_a_shared_gateway_delivers_into_no_private_network(s3: str, tmp_path: Path) -> None:
    store = Store("sqlite://")
    shared = Destinations(store, FolderStorage(tmp_path), b"s" * 32, private_buckets=False)
    with pytest.raises(errors.BucketRefused, match="private network"):
        shared.accept("somebody", mine(s3.replace("http:", "https:"), "p"))
    store.close()


def test_only_operators_may_name_private_networks_where_nobody_said(s3: str, tmp_path: Path) -> None:
    # Listening on loopback says nothing of who comes: a proxy stands in front of a gateway that others reach.
    store = Store("sqlite://")
    operator = store.add_account("owner", key="a", role="operator")
    user = store.add_account("maria", key="b")
    destinations = Destinations(store, FolderStorage(tmp_path), b"s" * 32, private_buckets=None)
    assert destinations.accept(operator, mine(s3, "p"))[0].kind == "bucket"
    with pytest.raises(errors.BucketRefused, match="private network"):
        destinations.accept(user, mine(s3, "p"))
    store.close()


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "fe80::1%lo",
    ],
)
def test_no_spelling_of_a_private_address_passes(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(errors.BucketRefused, match="private network"):
        refuse_private(bucket_of("https://bucket.example", "deliveries"))


def test_a_shared_gateway_takes_https_only(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    refuse_private(bucket_of("https://bucket.example", "deliveries"))
    with pytest.raises(errors.BucketRefused, match="https"):
        refuse_private(bucket_of("http://bucket.example", "deliveries"))


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server for S3 that notes headers, and names the access key in its refusal, as that of AWS does."""

    noted: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.noted.append(str(self.headers))
        body = f"<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>{ACCESS}</AWSAccessKeyId></Error>".encode()
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = do_GET


@pytest.fixture
def refusing() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_key_that_a_server_names_stays_out_of_trail_tables_and_log(
    refusing: str,
    start: Callable[..., Gateway],
    source: ScriptedSource,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = source.add(1)
    monkeypatch.setattr(BucketStorage, "probe", lambda self: None)  # the keys were good when the order was accepted
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name], bucket=mine(refusing, "p"))
    assert gateway.wait(order.id) == "failed"
    assert "InvalidAccessKeyId" in (gateway.store.delivery(gateway.account, order.id, f"{order.id}-1").error or "")
    assert ACCESS.encode() not in kept(tmp_path) + caplog.text.encode()


def test_nothing_of_the_environment_goes_to_a_users_bucket(refusing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "the-operators-token")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    Refusing.noted.clear()
    storage = BucketStorage(bucket_of(refusing, "deliveries"))
    with pytest.raises(errors.BucketRefused, match="InvalidAccessKeyId"):
        storage.probe()
    told = "".join(Refusing.noted) + storage.presign("key", seconds=5)
    assert "the-operators-token" not in told
    assert ACCESS in told


def test_keys_sealed_with_another_secret_are_not_guessed_at(
    s3: str, start: Callable[..., Gateway], source: ScriptedSource, tmp_path: Path
) -> None:
    name = source.add(1, slow(0.5))
    gateway = start()
    order, _ = gateway.service.create_order(gateway.account, [name], bucket=mine(s3, "p"))
    other = Destinations(gateway.store, FolderStorage(tmp_path / "other"), b"t" * 32, private_buckets=True)
    with pytest.raises(errors.BucketRefused, match="another secret"):
        other.of(gateway.account, order.id)
    gateway.service.cancel(gateway.account, order.id)


def test_over_http_with_a_client(
    s3: str, start: Callable[..., Gateway], source: ScriptedSource, tmp_path: Path
) -> None:
    name = source.add(1)
    gateway = start()
    with served(gateway) as url, Client(url, api_key=gateway.key) as eo:
        order = eo.wait(eo.order([name], bucket=mine(s3, "user/http")), progress=False)
        assert order.destination.kind == "bucket"
        delivery = eo.deliveries(order)[0]
        for ask in (lambda: eo.download_url(delivery), lambda: eo.download(order, tmp_path, progress=False)):
            with pytest.raises(errors.InOwnBucket, match="deliveries") as caught:
                ask()
            assert caught.value.details["key"] == delivery.key
        assert eo.metadata(delivery).size == len(source.data[name])
        eo.delete(order)
        assert eo.orders() == []
    # A bucket of the user's keeps what it has: the gateway has no keys to it any more.
    assert BucketStorage(bucket_of(s3, "deliveries", prefix="user/http")).exists(str(delivery.key))


def test_the_free_storage_may_be_a_bucket(
    s3: str, start: Callable[..., Gateway], source: ScriptedSource, tmp_path: Path
) -> None:
    names = [source.add(1), source.add(2, cut_at(200_000))]
    gateway = start(storage=BucketStorage(bucket_of(s3, "deliveries", prefix="free-of-buckets")))
    with served(gateway) as url, Client(url, api_key=gateway.key) as eo:
        order = eo.wait(eo.order(names), progress=False)
        assert eo.me().storage.used == sum(len(source.data[name]) for name in names)
        signed = eo.download_url(eo.deliveries(order)[0])
        assert signed.url.startswith(s3), "straight from the bucket, not through the gateway"
        with urllib.request.urlopen(urllib.request.Request(signed.url, headers={"Range": "bytes=5-14"})) as part:
            assert part.read() == source.data[names[0]][5:15]
        paths = eo.download(order, tmp_path / "here", progress=False)
        assert [path.read_bytes() for path in paths] == [source.data[name] for name in names]
        token = {"Authorization": f"Bearer {gateway.access.login(gateway.key)}"}
        verb = wire.VERBS["download"].url(order_id=order.id, delivery_id=f"{order.id}-1")
        answer = httpx.get(url + verb, headers=token, follow_redirects=False, trust_env=False)
        assert (answer.status_code, answer.headers["location"].startswith(s3)) == (307, True)
        link, _ = gateway.access.link(f"{gateway.account}/orders/{order.id}/{names[0]}/{names[0]}.SAFE.zip")
        assert httpx.get(url + link, trust_env=False).status_code == 403, "the gateway serves no files of its own now"
        eo.delete(order)
        assert eo.me().storage.used == 0
    assert gateway.files() == []


def test_an_order_is_deleted_also_while_the_free_storage_is_down(
    s3: str, start: Callable[..., Gateway], source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = source.add(1)
    gateway = start(storage=BucketStorage(bucket_of(s3, "deliveries", prefix="down")))
    order, _ = gateway.service.create_order(gateway.account, [name])
    assert gateway.wait(order.id) == "delivered"

    def refuse(prefix: str) -> int:
        raise errors.BucketRefused("The bucket does not answer.")

    with monkeypatch.context() as broken:
        broken.setattr(gateway.storage, "delete_below", refuse)
        gateway.service.delete(gateway.account, order.id)
    assert gateway.store.account(gateway.account).storage.used == 0
    assert gateway.files()
    gateway.deliveries.begin()
    until(lambda: gateway.files() == [])


def test_silent_servers_hold_up_no_other_requests(start: Callable[..., Gateway], source: ScriptedSource) -> None:
    name = source.add(1)
    gateway = start()
    user = gateway.store.add_account("maria", key="key-of-maria")
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent, served(gateway) as url:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/deliveries"
        keys = {"endpoint": endpoint, "accessKey": "a", "secretKey": "b"}
        body = {"products": [name], "bucketProperties": keys}
        token = {"Authorization": f"Bearer {gateway.access.login('key-of-maria')}"}
        seen: list[int] = []

        def order() -> None:
            path = url + wire.VERBS["create_order"].url()
            seen.append(httpx.post(path, json=body, headers=token, timeout=60, trust_env=False).status_code)

        threads = [threading.Thread(target=order) for _ in range(60)]
        for thread in threads:
            thread.start()
        until(lambda: len(seen) >= 58, 8)
        mine_ = {"Authorization": f"Bearer {gateway.access.login(gateway.key)}"}
        begun = time.monotonic()
        assert httpx.get(url + wire.VERBS["me"].url(), headers=mine_, timeout=60, trust_env=False).status_code == 200
        assert time.monotonic() - begun < 5
        assert seen == [429] * 58
        for thread in threads:
            thread.join(60)
        assert sorted(seen) == [422, 422] + [429] * 58
    with pytest.raises(errors.BucketRefused, match="listed"):  # and the next one is probed again
        gateway.service.create_order(user, [name], bucket=mine(f"http://127.0.0.1:{free_port()}", "p"))


def test_a_server_that_never_answers_holds_nobody_for_long(
    start: Callable[..., Gateway], source: ScriptedSource
) -> None:
    name = source.add(1)
    gateway = start()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(errors.BucketRefused, match="listed"):
            gateway.service.create_order(
                gateway.account, [name], bucket=mine(f"http://127.0.0.1:{silent.getsockname()[1]}", "p")
            )
    assert time.monotonic() - begun < 40
