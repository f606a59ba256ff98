"""Download against a storage that fails in every way seen in the field; each test for `Client` and for `AsyncClient`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from extenso_nb import errors, wire
from extenso_nb.client import AsyncClient, Client
from extenso_nb.client.download import file_name
from extenso_nb.client.part import Expected, Part, is_right
from extenso_nb.models import Delivery
from extenso_nb.progress import Progress
from extenso_nb.retry import Retry

NAME = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512.SAFE.zip"
DATA = random.Random(7).randbytes(3_000_000)
QUICK = Retry(attempts=4, first=0.001, factor=1, longest=0.002)
NOW = "2024-06-01T10:00:00Z"
TOKEN = "token-91aa-do-not-show"
HTML = b"<!doctype html><title>Sign in</title>" + b" " * 400


class Storage:
    """A gateway with one order, and the storage its links lead to: `faults` are met one a GET, then all goes well."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.served = data
        """What the storage has; differs from `data` where it is damaged."""
        self.size: int = len(data)
        self.checksums: dict[str, str] | None = {"sha256": hashlib.sha256(data).hexdigest()}
        self.etag: str | None = '"v1"'
        self.faults: list[Callable[[Any], None]] = []
        self.always: Callable[[Any], None] | None = None
        self.gets: list[dict[str, str]] = []
        self.links: list[str] = []
        self.valid: set[str] = set()
        self.keys = {f"7-{n}": f"orders/7/P{n}/{NAME}" if n == 1 else f"orders/7/P{n}/P{n}.nc" for n in (1, 2, 3)}
        self.states = {"7-1": "delivered"}
        self.order_status = "delivered"
        self.pace = 0.0
        self.dead = False
        """Whether the gateway takes no requests any more, as after a kill -9."""
        self.lock = threading.Lock()
        storage = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                storage.route(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.files = Server(("localhost", 0), Handler)
        """The storage proper: another origin than the gateway."""
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
            for server in (self.server, self.files)
        ]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        for server in (self.server, self.files):
            server.shutdown()
            server.server_close()
        for thread in self.threads:
            thread.join()

    # --- the gateway -------------------------------------------------------------------------------------------------
    def delivery(self, key: str) -> dict[str, Any]:
        ids = {"id": key, "orderId": 7, "productId": "P" + key[-1], "status": self.states[key], "size": self.size}
        return ids | {"key": self.keys[key], "checksums": self.checksums, "createdAt": NOW, "updatedAt": NOW}

    def link(self, kind: str, key: str) -> str:
        with self.lock:
            signature = f"signature-{len(self.links)}-do-not-show"
            self.links.append(kind)
            self.valid.add(signature)
        return f"http://localhost:{self.files.server_port}/files/{key}?signature={signature}"

    def route(self, http: Any) -> None:
        parts = urlsplit(http.path)
        if parts.path.startswith("/files/"):
            with self.lock:
                self.gets.append({name.lower(): value for name, value in http.headers.items()})
                fault = self.faults.pop(0) if self.faults else self.always or good
            if parse_qs(parts.query).get("signature", [""])[0] not in self.valid:
                return plain(403)(http)
            return fault(http)
        if self.dead:
            http.close_connection = True
            return http.connection.shutdown(socket.SHUT_RDWR)
        assert http.headers["authorization"] == "Bearer " + TOKEN
        for name in ("order", "order_deliveries", "delivery", "download", "download_url", "metadata"):
            template = wire.VERBS[name].template
            found = re.fullmatch(template.replace("{order_id}", "7").replace("{delivery_id}", "(7-[0-9])"), parts.path)
            if found:
                return getattr(self, "on_" + name)(http, *found.groups())
        return say(http, 404, {"message": "no such thing", "internalCode": 1203})

    def on_order(self, http: Any) -> None:
        order = {"id": 7, "status": self.order_status, "createdAt": NOW, "updatedAt": NOW, "products": ["P1"]}
        say(http, 200, order)

    def on_order_deliveries(self, http: Any) -> None:
        items = [self.delivery(key) for key in self.states]
        say(http, 200, {"itemsPerPage": 100, "startIndex": 0, "totalResults": len(items), "data": items})

    def on_delivery(self, http: Any, key: str) -> None:
        say(http, 200, self.delivery(key))

    def on_download(self, http: Any, key: str) -> None:
        http.send_response(307)
        http.send_header("location", self.link("redirect", key))
        http.send_header("content-length", "0")
        http.end_headers()

    def on_download_url(self, http: Any, key: str) -> None:
        say(http, 200, {"url": self.link("url", key), "expiresAt": NOW})

    def on_metadata(self, http: Any, key: str) -> None:
        moments = dict.fromkeys(("beginPosition", "endPosition", "ingestionDate"), NOW)
        names = ("id", "uuid", "collection", "platform", "instrument", "productType", "processingLevel")
        checksums = {"sha256": hashlib.sha256(self.data).hexdigest()}
        beside = {"key": "k", "size": len(self.data), "checksums": checksums, "source": "s", "deliveredAt": NOW}
        say(http, 200, {"product": dict.fromkeys(names, "x") | moments, **beside})


# --- how a storage answers, well and badly ---------------------------------------------------------------------------
def say(http: Any, status: int, body: Any) -> None:
    raw = json.dumps(body).encode()
    http.send_response(status)
    http.send_header("content-type", "application/json")
    http.send_header("content-length", str(len(raw)))
    http.end_headers()
    http.wfile.write(raw)


STORAGES: dict[int, Storage] = {}


def storage_of(http: Any) -> Storage:
    return STORAGES[http.server.server_port]


def asked_from(http: Any) -> int:
    """Start of the range asked for, as a good server sees it: 0 when If-Range does not hold."""
    found = re.fullmatch(r"bytes=(\d+)-", http.headers.get("range", ""))
    etag = http.headers.get("if-range")
    return int(found[1]) if found and etag in (None, storage_of(http).etag) else 0


def head(http: Any, status: int, start: int, length: int | None, **more: str) -> None:
    storage = storage_of(http)
    http.send_response(status)
    if storage.etag:
        http.send_header("etag", storage.etag)
    if status == 206:
        http.send_header("content-range", f"bytes {start}-{len(storage.served) - 1}/{len(storage.served)}")
    headers = {"content-type": "application/zip"} | {name.replace("_", "-"): value for name, value in more.items()}
    for name, value in headers.items():
        http.send_header(name, value)
    if length is None:
        http.send_header("connection", "close")
        http.close_connection = True
    else:
        http.send_header("content-length", str(length))
    http.end_headers()


def pour(http: Any, data: bytes) -> None:
    storage = storage_of(http)
    for at in range(0, len(data), 65_536):
        http.wfile.write(data[at : at + 65_536])
        time.sleep(storage.pace)


def good(http: Any) -> None:
    start = asked_from(http)
    data = storage_of(http).served
    if start >= len(data) > 0 and start:
        http.send_response(416)
        http.send_header("content-range", f"bytes */{len(data)}")
        http.send_header("content-length", "0")
        http.end_headers()
        return
    head(http, 206 if start else 200, start, len(data) - start)
    pour(http, data[start:])


def no_ranges(http: Any) -> None:
    head(http, 200, 0, len(storage_of(http).served))
    pour(http, storage_of(http).served)


def cut(share: float, *, ranges: bool = True) -> Callable[[Any], None]:
    """Announces all, sends up to a share of the whole, drops the connection."""

    def fault(http: Any) -> None:
        start = asked_from(http) if ranges else 0
        data = storage_of(http).served
        head(http, 206 if start else 200, start, len(data) - start)
        pour(http, data[start : max(start, int(len(data) * share))])
        http.wfile.flush()
        http.close_connection = True
        http.connection.shutdown(socket.SHUT_RDWR)

    return fault


def short(share: float) -> Callable[[Any], None]:
    """No length announced, and less than all sent: to HTTP this looks complete."""

    def fault(http: Any) -> None:
        start = asked_from(http)
        data = storage_of(http).served
        head(http, 206 if start else 200, start, None)
        pour(http, data[start : max(start, int(len(data) * share))])

    return fault


def flipped(http: Any) -> None:
    """All bytes, one of them wrong."""
    start = asked_from(http)
    data = bytearray(storage_of(http).served)
    data[len(data) // 2] ^= 1
    head(http, 206 if start else 200, start, len(data) - start)
    pour(http, bytes(data[start:]))


def plain(status: int, **headers: str) -> Callable[[Any], None]:
    def fault(http: Any) -> None:
        http.send_response(status)
        for name, value in headers.items():
            http.send_header(name.replace("_", "-"), value)
        http.send_header("content-length", "2")
        http.end_headers()
        http.wfile.write(b"no")

    return fault


def expired(http: Any) -> None:
    """The link of this request, and all older ones, hold no longer."""
    storage_of(http).valid.clear()
    plain(403)(http)


def page(http: Any) -> None:
    head(http, 200, 0, len(HTML), content_type="text/html; charset=utf-8")
    http.wfile.write(HTML)


def page_in_disguise(http: Any) -> None:
    """A page without type or length, as a captive portal sends it."""
    head(http, 200, 0, None, content_type="application/octet-stream")
    http.wfile.write(HTML)


def too_much(http: Any) -> None:
    head(http, 200, 0, None)
    pour(http, storage_of(http).served + b"more")


def wrong_range(http: Any) -> None:
    """A 206 that starts elsewhere than asked for: appended blindly it makes a wrong file of the right size."""
    start = asked_from(http)
    data = storage_of(http).served
    if not start:
        return cut(0.5)(http)
    http.send_response(206)
    http.send_header("content-range", f"bytes 0-{len(data) - start - 1}/{len(data)}")
    http.send_header("content-length", str(len(data) - start))
    http.end_headers()
    return pour(http, data[: len(data) - start])


def range_without_place(http: Any) -> None:
    start = asked_from(http)
    if not start:
        return cut(0.5)(http)
    http.send_response(206)
    http.send_header("content-length", str(len(storage_of(http).served) - start))
    http.end_headers()
    return pour(http, storage_of(http).served[start:])


def refuse_range(http: Any) -> None:
    if http.headers.get("range"):
        return plain(416)(http)
    return cut(0.5)(http)


def offsite(http: Any) -> None:
    """The storage redirects once more (S3 does, to another region)."""
    http.send_response(307)
    http.send_header("location", http.path + "&region=2")
    http.send_header("content-length", "0")
    http.end_headers()


# --- the two flavours ------------------------------------------------------------------------------------------------
@pytest.fixture
def storage() -> Iterator[Storage]:
    storage = Storage()
    STORAGES[storage.server.server_port] = STORAGES[storage.files.server_port] = storage
    yield storage
    storage.close()


@pytest.fixture(params=["sync", "async"])
def download(request: pytest.FixtureRequest, storage: Storage, tmp_path: Path) -> Callable[..., list[Path]]:
    def sync(what: Any = "7-1", directory: Any = tmp_path / "out", **settings: Any) -> list[Path]:
        progress = settings.pop("progress", False)
        with Client(storage.url, **{"token": TOKEN, "retry": QUICK, "timeout": 5.0} | settings) as client:
            return client.download(what, directory, progress=progress)

    async def awaited(what: Any, directory: Any, settings: dict[str, Any]) -> list[Path]:
        progress = settings.pop("progress", False)
        async with AsyncClient(storage.url, **{"token": TOKEN, "retry": QUICK, "timeout": 5.0} | settings) as client:
            return await client.download(what, directory, progress=progress)

    def other(what: Any = "7-1", directory: Any = tmp_path / "out", **settings: Any) -> list[Path]:
        return asyncio.run(awaited(what, directory, settings))

    return sync if request.param == "sync" else other


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


Download = Callable[..., list[Path]]


# --- all goes well ---------------------------------------------------------------------------------------------------
def test_download(storage: Storage, download: Download, out: Path) -> None:
    events: list[Progress] = []
    assert download(progress=events.append) == [out / NAME]
    assert (out / NAME).read_bytes() == DATA
    assert names(out) == [NAME]
    assert storage.links == ["redirect"]
    assert [e.state for e in events[:-1]] == ["downloading"] * (len(events) - 1)
    assert [e.done for e in events] == sorted(e.done for e in events)
    assert (events[-1].state, events[-1].done, events[-1].total) == ("done", len(DATA), len(DATA))
    assert {(e.key, e.label) for e in events} == {("7-1", NAME)}


def test_the_token_never_reaches_the_storage(
    storage: Storage, download: Download, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    storage.faults = [offsite, expired, cut(0.3)]
    download()
    assert len(storage.gets) >= 4
    for headers in storage.gets:
        assert "authorization" not in headers
        assert TOKEN not in str(headers)
    assert "HTTP Request" in caplog.text
    assert "signature" not in caplog.text
    assert TOKEN not in caplog.text


def test_a_right_file_is_not_fetched_again(storage: Storage, download: Download, out: Path) -> None:
    download()
    stamp = (out / NAME).stat()
    assert download() == [out / NAME]
    assert len(storage.gets) == 1
    assert (out / NAME).stat().st_mtime_ns == stamp.st_mtime_ns


@pytest.mark.parametrize("there", [b"", DATA[:1000], DATA[:-1] + b"\0", DATA + b"x", HTML])
def test_a_wrong_file_of_that_name_is_replaced(download: Download, out: Path, there: bytes) -> None:
    out.mkdir()
    (out / NAME).write_bytes(there)
    download()
    assert (out / NAME).read_bytes() == DATA


def test_checksums_of_other_kinds_and_from_metadata(storage: Storage, download: Download, out: Path) -> None:
    for checksums in (
        {"MD5": hashlib.md5(DATA).hexdigest().upper()},
        {"sha3-256": hashlib.sha3_256(DATA).hexdigest()},
        {"BLAKE3": blake3(DATA).hexdigest()},
    ):
        storage.checksums = checksums
        download()
        assert (out / NAME).read_bytes() == DATA
        (out / NAME).unlink()
    storage.checksums = {"crc32": "00"}  # not one that is known here: the metadata has another
    storage.faults = [flipped]
    download()
    assert (out / NAME).read_bytes() == DATA
    storage.checksums = {"sha256": "0" * 64, "md5": hashlib.md5(DATA).hexdigest()}  # the better of two decides
    with pytest.raises(errors.ChecksumMismatch):
        download()
    assert (out / NAME).read_bytes() == DATA


# --- the matrix of reference/peers.md 0b -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("faults", "gets"),
    [
        pytest.param([cut(0.6)], 2, id="cut once"),
        pytest.param([cut(0.6, ranges=False), no_ranges], 2, id="cut, no ranges"),
        pytest.param([cut(share / 20) for share in range(1, 20)], 20, id="cut at every twentieth"),
        pytest.param([cut(0)], 2, id="cut before the first byte"),
        pytest.param([flipped], 2, id="bad byte"),
        pytest.param([cut(0.3), flipped], 3, id="bad byte after a cut"),
        pytest.param([short(0.6)], 2, id="short body without a length"),
        pytest.param([short(0)], 2, id="empty body without a length"),
        pytest.param([plain(503)] * 2, 3, id="503 x2"),
        pytest.param([plain(500), plain(502), plain(504)], 4, id="5xx"),
        pytest.param([plain(429, retry_after="0")], 2, id="429"),
        pytest.param([plain(401)], 2, id="401 once"),
        pytest.param([expired], 2, id="link expired"),
        pytest.param([cut(0.5), expired], 3, id="link expired midway"),
        pytest.param([plain(404)], 2, id="404 once"),
        pytest.param([page], 2, id="page in place of a zip"),
        pytest.param([page_in_disguise], 3, id="page in disguise"),
        pytest.param([cut(0.5), page], 3, id="page midway"),
        pytest.param([too_much], 2, id="more than announced"),
        pytest.param([wrong_range, wrong_range], 3, id="206 of another range"),
        pytest.param([range_without_place, range_without_place], 3, id="206 without Content-Range"),
        pytest.param([refuse_range, refuse_range], 3, id="416 midway"),
        pytest.param([offsite], 2, id="redirect of the storage"),
    ],
)
def test_faults_that_are_overcome(
    storage: Storage, download: Download, out: Path, faults: list[Any], gets: int
) -> None:
    storage.faults = list(faults)
    assert download() == [out / NAME]
    assert (out / NAME).read_bytes() == DATA
    assert names(out) == [NAME]
    assert len(storage.gets) == gets


@pytest.mark.parametrize(
    ("always", "kind", "kept"),
    [
        pytest.param(cut(0.6), errors.IncompleteTransfer, True, id="cut"),
        pytest.param(cut(0.6, ranges=False), errors.IncompleteTransfer, True, id="cut, no ranges"),
        pytest.param(flipped, errors.ChecksumMismatch, False, id="bad byte"),
        pytest.param(short(0.6), errors.IncompleteTransfer, True, id="short body"),
        pytest.param(plain(503), errors.TransferError, False, id="503"),
        pytest.param(plain(429), errors.TooManyRequests, False, id="429"),
        pytest.param(plain(401), errors.Forbidden, False, id="401"),
        pytest.param(expired, errors.Forbidden, False, id="expired"),
        pytest.param(plain(404), errors.NotFoundError, False, id="offline"),
        pytest.param(plain(418), errors.GatewayFault, False, id="418"),
        pytest.param(page, errors.DamagedProduct, False, id="page"),
        pytest.param(page_in_disguise, errors.IncompleteTransfer, True, id="page in disguise"),
        pytest.param(too_much, errors.IncompleteTransfer, False, id="more than announced"),
        pytest.param(offsite, errors.TransferError, False, id="redirects without end"),
    ],
)
def test_faults_that_stay_never_give_a_file(
    storage: Storage, download: Download, out: Path, always: Any, kind: type[errors.ExtensoError], kept: bool
) -> None:
    """None of these ends in a file; and when the storage is well again, the second call gives the right one."""
    storage.always = always
    with pytest.raises(kind) as caught:
        download()
    assert caught.value.hint
    assert "signature" not in str(caught.value)
    assert names(out) == ([NAME + ".part"] if kept else [])
    assert len(storage.gets) < 12
    storage.always = None
    download()
    assert (out / NAME).read_bytes() == DATA
    assert names(out) == [NAME]


def test_retry_after_of_the_storage(storage: Storage, download: Download, tmp_path: Path) -> None:
    storage.faults = [plain(429, retry_after="0.4")]
    began = time.monotonic()
    download()
    assert time.monotonic() - began >= 0.4
    storage.always = plain(503, retry_after="3600")
    with pytest.raises(errors.TooManyRequests) as caught:
        download(directory=tmp_path / "elsewhere")
    assert caught.value.retry_after == 3600
    assert names(tmp_path / "elsewhere") == []


# --- going on --------------------------------------------------------------------------------------------------------
def test_goes_on_with_range_and_if_range(storage: Storage, download: Download) -> None:
    storage.faults = [cut(0.6)]
    download()
    first, second = storage.gets
    assert "range" not in first
    start = int(second["range"].removeprefix("bytes=").removesuffix("-"))
    assert 0.5 * len(DATA) < start <= 0.6 * len(DATA)
    assert second["if-range"] == '"v1"'


def test_weak_etags_are_not_used_for_ranges(storage: Storage, download: Download, out: Path) -> None:
    storage.etag = 'W/"v1"'
    storage.faults = [cut(0.6)]
    download()
    assert (out / NAME).read_bytes() == DATA
    assert "range" in storage.gets[1]
    assert "if-range" not in storage.gets[1]


def test_goes_on_in_a_later_call(storage: Storage, download: Download, out: Path) -> None:
    storage.always = cut(0.6)
    with pytest.raises(errors.IncompleteTransfer, match="broke off"):
        download()
    part = (out / (NAME + ".part")).stat().st_size
    assert part == int(0.6 * len(DATA))
    storage.always, storage.gets = None, []
    download()
    assert [headers.get("range") for headers in storage.gets] == [f"bytes={part}-"]
    assert (out / NAME).read_bytes() == DATA


@pytest.mark.parametrize(
    "part", [DATA[:1_000_000], DATA, DATA[:-1], b"\0" * 1_000_000, b"\0" * len(DATA), DATA + b"xx", b"", HTML]
)
def test_whatever_lies_there_as_part_the_file_is_right(download: Download, out: Path, part: bytes) -> None:
    out.mkdir()
    (out / (NAME + ".part")).write_bytes(part)
    download()
    assert (out / NAME).read_bytes() == DATA
    assert names(out) == [NAME]


def test_a_complete_part_is_only_verified(storage: Storage, download: Download, out: Path) -> None:
    out.mkdir()
    (out / (NAME + ".part")).write_bytes(DATA)
    download()
    assert storage.gets == []
    assert storage.links == []


def test_an_object_that_changes_midway_is_not_patched_together(storage: Storage, download: Download, out: Path) -> None:
    old = bytes(byte ^ 255 for byte in DATA[: len(DATA)])
    storage.served, storage.etag = old, '"v0"'

    def change(http: Any) -> None:
        cut(0.5)(http)
        storage.served, storage.etag = DATA, '"v1"'

    storage.faults = [change]
    download()
    assert (out / NAME).read_bytes() == DATA
    assert len(storage.gets) == 2  # If-Range did not hold: all came anew, at once


def test_without_any_checksum_only_whole_transfers_count(storage: Storage, download: Download, out: Path) -> None:
    """Neither checksum nor ETag: pieces of two requests are never joined, and a file that is there is not trusted."""
    storage.checksums, storage.etag = None, None
    storage.on_metadata = lambda http, key: say(http, 404, {"message": "none", "internalCode": 1203})  # type: ignore[method-assign]
    with pytest.raises(errors.UnknownDelivery):
        download()

    def bare(http: Any, key: str) -> None:
        moments = dict.fromkeys(("beginPosition", "endPosition", "ingestionDate"), NOW)
        fields = ("id", "uuid", "collection", "platform", "instrument", "productType", "processingLevel")
        beside = {"key": "k", "size": len(DATA), "checksums": {}, "source": "s", "deliveredAt": NOW}
        say(http, 200, {"product": dict.fromkeys(fields, "x") | moments, **beside})

    storage.on_metadata = bare  # type: ignore[method-assign]
    out.mkdir()
    (out / (NAME + ".part")).write_bytes(b"\0" * 1000)
    storage.faults = [cut(0.5)]
    download()
    assert (out / NAME).read_bytes() == DATA
    assert [headers.get("range") for headers in storage.gets] == [None, None]
    (out / NAME).write_bytes(b"\0" * len(DATA))
    download()
    assert (out / NAME).read_bytes() == DATA


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), max_size=6), st.integers(0, 200_000))
def test_any_cuts_over_any_rest_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, shares: list[float], left: int
) -> None:
    data = DATA[:200_000]
    storage = Storage(data)
    STORAGES[storage.server.server_port] = STORAGES[storage.files.server_port] = storage
    out = tmp_path_factory.mktemp("cuts")
    (out / (NAME + ".part")).write_bytes(data[:left])
    storage.faults = [cut(share) if index % 2 else short(share) for index, share in enumerate(shares)]
    try:
        with Client(storage.url, token=TOKEN, retry=QUICK.patch(attempts=8)) as client:
            assert client.download("7-1", out, progress=False) == [out / NAME]
    finally:
        storage.close()
    assert (out / NAME).read_bytes() == data
    assert names(out) == [NAME]


# --- the gateway and its links ---------------------------------------------------------------------------------------
def test_a_link_that_was_refused_is_asked_for_anew(storage: Storage, download: Download) -> None:
    storage.faults = [cut(0.4), expired]
    download()
    assert storage.links == ["redirect", "redirect", "url"]
    assert storage.gets[-1]["range"].startswith("bytes=1")


def test_a_gateway_that_moves_midway(storage: Storage, download: Download, out: Path) -> None:
    second = Storage()
    STORAGES[second.server.server_port] = STORAGES[second.files.server_port] = second

    def die(http: Any) -> None:
        storage.dead = True
        cut(0.5)(http)

    storage.faults = [die]
    try:
        slow = Retry(attempts=6, first=0.05, factor=1, longest=0.05)
        download(on_unreachable=lambda: (second.url, None), retry=slow)
    finally:
        second.close()
    assert (out / NAME).read_bytes() == DATA
    assert second.gets[-1]["range"] == f"bytes={int(0.5 * len(DATA))}-"


@pytest.mark.parametrize("where", ["ftp://x/y", "file:///etc/passwd", "http://[", "javascript:1"])
def test_links_that_are_none(storage: Storage, download: Download, out: Path, where: str) -> None:
    storage.link = lambda kind, key: where  # type: ignore[method-assign]
    with pytest.raises((errors.GatewayFault, errors.GatewayUnreachable), match=r"no http|no URL"):
        download()
    assert names(out) == []
    assert storage.gets == []


# --- what is delivered -----------------------------------------------------------------------------------------------
def test_an_order_gives_all_its_files(storage: Storage, download: Download, out: Path) -> None:
    storage.states = {"7-1": "delivered", "7-2": "delivered", "7-3": "failed"}
    storage.order_status = "partial"
    assert download(7) == [out / NAME, out / "P2.nc"]
    assert names(out) == ["P2.nc", NAME]
    assert (out / "P2.nc").read_bytes() == DATA


def test_one_bad_file_of_several_is_named_and_the_others_arrive(
    storage: Storage, download: Download, out: Path
) -> None:
    storage.states = dict.fromkeys(("7-1", "7-2", "7-3"), "delivered")
    storage.faults = [flipped, flipped]
    with pytest.raises(errors.TransferError, match=r"2 of 3 files were downloaded; 7-1: .*checksum") as caught:
        download(7)
    assert list(caught.value.details["failures"]) == ["7-1"]
    assert caught.value.details["paths"] == [str(out / "P2.nc"), str(out / "P3.nc")]
    assert names(out) == ["P2.nc", "P3.nc"]


@pytest.mark.parametrize("status", ["queued", "transferring", "failed", "cancelled"])
def test_what_is_not_delivered_is_an_error(storage: Storage, download: Download, out: Path, status: str) -> None:
    storage.states = {"7-1": status}
    with pytest.raises(errors.NotDelivered, match=f"7-1 .* is {status}"):
        download()
    with pytest.raises(errors.NotDelivered, match="nothing of it was delivered"):
        download(7)
    storage.order_status = "running"
    storage.states = {"7-1": "delivered", "7-2": status}
    with pytest.raises(errors.NotDelivered, match="Order 7 is running"):
        download(7)
    assert names(out) == []


def test_one_name_for_two_deliveries_is_refused(storage: Storage, download: Download, out: Path) -> None:
    storage.states = dict.fromkeys(("7-1", "7-2"), "delivered")
    storage.keys["7-2"] = "elsewhere/" + NAME
    with pytest.raises(errors.GatewayFault, match="same file name"):
        download(7)
    assert names(out) == []


def with_key(key: str) -> Delivery:
    ids = {"id": "7-1", "order_id": 7, "product_id": "P", "status": "delivered", "key": key}
    return Delivery.model_validate(ids | {"created_at": NOW, "updated_at": NOW})


@pytest.mark.parametrize(
    "key", ["", "a/", "..", "a/..", "a\\..", ".", "a/\0", "a/b\nc", "C:", "a/C:x", "a/" + "x" * 300]
)
def test_keys_that_lead_elsewhere(key: str) -> None:
    with pytest.raises(errors.GatewayFault, match="no file name"):
        file_name(with_key(key))


@given(st.text(max_size=80))
def test_no_key_leaves_the_directory(key: str) -> None:
    try:
        name = file_name(with_key(key))
    except errors.GatewayFault:
        return
    place = Path("/some/directory") / name
    assert place.parent == Path("/some/directory")
    assert os.path.normpath(place) == str(place)


# --- the disk --------------------------------------------------------------------------------------------------------
def test_a_disk_that_is_too_small_is_seen_before(storage: Storage, download: Download, out: Path) -> None:
    storage.size = 10**18
    with pytest.raises(errors.TransferError, match=r"cannot be written to .* to come, .* free") as caught:
        download()
    assert "Make room" in caught.value.hint
    assert storage.gets == []
    assert names(out) == []


def test_a_disk_that_fills_up_keeps_what_came(storage: Storage, download: Download, out: Path) -> None:
    """The kernel's own refusal: a limit of the file size stands in for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(errors.TransferError, match="File too large") as caught:
            download()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert "1 MB are kept in" in caught.value.hint
    assert (out / (NAME + ".part")).read_bytes() == DATA[:1_000_000]
    download()
    assert (out / NAME).read_bytes() == DATA
    assert storage.gets[-1]["range"] == "bytes=1000000-"


def test_directories_that_cannot_be_written(storage: Storage, download: Download, tmp_path: Path, out: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.TransferError, match="cannot be written to"):
        download(directory=tmp_path / "file")
    (out / NAME).mkdir(parents=True)
    with pytest.raises(errors.TransferError, match=r"cannot be written to .* is a directory"):
        download()
    (out / NAME).rmdir()
    (tmp_path / "victim").write_text("precious")
    (out / (NAME + ".part")).symlink_to(tmp_path / "victim")
    with pytest.raises(errors.TransferError, match="cannot be written to"):
        download()
    assert (tmp_path / "victim").read_text() == "precious"
    assert storage.gets == []


# --- two at once, and interruptions ----------------------------------------------------------------------------------
def test_two_at_once_take_turns(storage: Storage, download: Download, out: Path) -> None:
    storage.pace = 0.005
    events: list[Progress] = []
    got: list[list[Path]] = []
    threads = [threading.Thread(target=lambda: got.append(download(progress=events.append))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [[out / NAME]] * 3
    assert (out / NAME).read_bytes() == DATA
    assert names(out) == [NAME]
    assert len(storage.gets) == 1
    assert any(e.state == "queued" and "another download" in e.note for e in events)


def test_the_turn_comes_when_the_other_fails(storage: Storage, download: Download, out: Path) -> None:
    held = Part.claim(out / NAME, Expected.of(len(DATA), storage.checksums))
    assert held is not None
    held.load()
    held.write(DATA[:1_000_000])
    threading.Timer(0.3, held.close).start()
    download()
    assert (out / NAME).read_bytes() == DATA
    assert storage.gets[0]["range"] == "bytes=1000000-"


SCRIPT = """
import sys
from extenso_nb.client import Client
def tell(event):
    if event.done > 1_000_000:
        print("far enough", flush=True)
with Client(sys.argv[1], token=sys.argv[2]) as client:
    client.download("7-1", sys.argv[3], progress=tell)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_leaves_a_part_and_no_lock(storage: Storage, download: Download, out: Path, how: int) -> None:
    storage.pace = 0.01
    command = [sys.executable, "-c", SCRIPT, storage.url, TOKEN, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"far enough\n"
        process.send_signal(how)
        process.wait(10)
    assert names(out) == [NAME + ".part"]
    assert 1_000_000 < (out / (NAME + ".part")).stat().st_size < len(DATA)
    storage.pace = 0
    download()
    assert (out / NAME).read_bytes() == DATA
    assert int(storage.gets[-1]["range"].removeprefix("bytes=").removesuffix("-")) > 1_000_000


def test_cancelling_a_task_leaves_a_part_and_no_lock(storage: Storage, out: Path) -> None:
    storage.pace = 0.01

    async def main() -> None:
        async with AsyncClient(storage.url, token=TOKEN) as client:
            task = asyncio.create_task(client.download("7-1", out, progress=False))
            part = out / (NAME + ".part")
            while not part.exists() or not part.stat().st_size:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert names(out) == [NAME + ".part"]
            storage.pace = 0
            await client.download("7-1", out, progress=False)

    asyncio.run(main())
    assert (out / NAME).read_bytes() == DATA
    assert "range" in storage.gets[-1]


def test_a_loop_is_not_held_up_by_a_download(storage: Storage, out: Path) -> None:
    storage.pace = 0.01
    longest = [0.0]

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest[0] = max(longest[0], time.monotonic() - before)

    async def main() -> None:
        async with AsyncClient(storage.url, token=TOKEN) as client:
            ticking = asyncio.create_task(tick())
            await client.download("7-1", out, progress=False)
            ticking.cancel()

    asyncio.run(main())
    assert longest[0] < 0.5


# --- the part file by itself -----------------------------------------------------------------------------------------
def test_a_part_is_one_processes_alone(tmp_path: Path) -> None:
    expected = Expected.of(3, {"sha256": hashlib.sha256(b"abc").hexdigest()})
    first = Part.claim(tmp_path / "x", expected)
    assert first is not None
    assert Part.claim(tmp_path / "x", expected) is None
    first.load()
    first.write(b"ab")
    assert not first.is_right()
    with pytest.raises(errors.IncompleteTransfer):
        first.write(b"cd")
    first.write(b"c")
    assert first.is_right()
    assert not is_right(tmp_path / "x", expected)
    first.publish()
    assert is_right(tmp_path / "x", expected)
    first.close()
    again = Part.claim(tmp_path / "x", expected)
    assert again is not None
    again.close()
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"abc"


def test_expected_takes_the_best_checksum() -> None:
    assert Expected.of(0, None) == Expected(None)
    assert Expected.of(5, {"crc32": "1", "sha256": ""}) == Expected(5)
    assert Expected.of(5, {"md5": "AA", "SHA256": " BB "}) == Expected(5, "sha256", "bb")
