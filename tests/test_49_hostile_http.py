"""Hostile HTTP: bodies that are too long, too slow, too deep or none at all; whatever comes, the answer is the API's own."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import BaseModel
from scripted import Gateway, ScriptedSource, product_id, served

from extenso_nb import errors, wire
from extenso_nb.gateway import bodies
from extenso_nb.models import Account

ORDER = wire.VERBS["create_order"].url()
ESTIMATE = wire.VERBS["estimate"].url()


@pytest.fixture(scope="module")
def source() -> ScriptedSource:
    source = ScriptedSource()
    source.add(1)
    return source


@pytest.fixture(scope="module")
def http_(gateway: Gateway) -> Iterator[httpx.Client]:
    with served(gateway) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        client.headers["Authorization"] = f"Bearer {gateway.access.login(gateway.key)}"
        yield client


@pytest.fixture(autouse=True)
def nothing_is_ordered(gateway: Gateway) -> Iterator[None]:
    yield
    assert gateway.store.orders(gateway.account, 0, 1)[0] == 0


def refused(answer: httpx.Response, *kinds: type[errors.ExtensoError]) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body.get("internalCode")) in {(kind.status, kind.code) for kind in kinds}, body
    assert {"correlationId", "hint", "internalCode", "message", "timestamp"} <= body.keys()
    assert body["correlationId"] == answer.headers["x-ads-correlation-id"]
    assert len(answer.content) < 20_000, "the answer is not as long as the attack"
    return body


def posted(http_: httpx.Client, content: bytes, kind: str = "application/json", path: str = ORDER) -> httpx.Response:
    return http_.post(path, content=content, headers={"Content-Type": kind} if kind else {})


# --- what a body is --------------------------------------------------------------------------------------------------
GOOD = json.dumps({"products": [product_id(1)]}).encode()
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n ",
    "half": GOOD[:-5],
    "more": GOOD + b"x",
    "two": GOOD + GOOD,
    "null": b"null",
    "a list": b'["x"]',
    "a text": b'"x"',
    "a number": b"1e400",
    "no number": b'{"products": NaN}',
    "infinity": b'{"products": [Infinity]}',
    "a huge number": b'{"products": ' + b"9" * 100_000 + b"}",
    "a huge number in a list": b'{"products": [' + b"9" * 4000 + b"]}",
    "numbers": b'{"products": [' + b",".join([b"1"] * 400_000) + b"]}",
    "deep lists": b'{"products": ' + b"[" * 400_000 + b"]" * 400_000 + b"}",
    "deep objects": b'{"a":' * 150_000 + b"1" + b"}" * 150_000,
    "rather deep": b'{"products": ' + b"[" * 900 + b"]" * 900 + b"}",
    "only brackets": b"[" * 900_000,
    "a name twice": b'{"products": ["' + product_id(1).encode() + b'"], "products": ["x"]}',
    "a name twice inside": b'{"products": ["x"], "bucketProperties": {"endpoint": "a", "endpoint": "b"}}',
    "not UTF-8": b'{"products": ["\xff\xfe"]}',
    "overlong": b'{"products": ["\xc0\xae"]}',
    "surrogates in UTF-8": b'{"products": ["\xed\xa0\x80"]}',
    "UTF-16": GOOD.decode().encode("utf-16"),
    "a mark of byte order": b"\xef\xbb\xbf" + GOOD,
    "half a character": b'{"products": ["\\ud800"]}',
    "half a character as a name": b'{"products": ["x"], "\\udfff": 1}',
    "many fields": json.dumps({"products": ["x"]} | {f"f{n}": 1 for n in range(60_000)}).encode(),
    "many fields inside": json.dumps(
        {"products": ["x"], "bucketProperties": {f"f{n}": 1 for n in range(60_000)}}
    ).encode(),
    "an empty name": b'{"products": ["x"], "": 1}',
    "a long name": b'{"products": ["x"], "' + b"n" * 500_000 + b'": 1}',
    "an empty product": b'{"products": [""]}',
    "a long product": b'{"products": ["' + b"S" * 500_000 + b'"]}',
    "a form": b"products=x",
    "a raw line break": b'{"products": ["\n"]}',
    "a raw NUL": b'{"products": ["\x00"]}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
}


@pytest.mark.parametrize("path", [ORDER, ESTIMATE])
@pytest.mark.parametrize("what", BROKEN)
def test_a_body_that_is_none_is_said_to_be_none(http_: httpx.Client, what: str, path: str) -> None:
    refused(posted(http_, BROKEN[what], path=path), errors.InvalidRequest)


def test_a_bad_body_costs_no_more_than_its_length(http_: httpx.Client) -> None:
    """A pydantic error for each of half a million items would be hundreds of megabytes."""
    tracemalloc.start()
    try:
        for what in ("numbers", "many fields", "many fields inside", "deep lists"):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            refused(posted(http_, BROKEN[what]), errors.InvalidRequest)
            peak = tracemalloc.get_traced_memory()[1] - before
            assert peak < 40 * 2**20, (what, peak)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [1_001, 100_000])
def test_lists_that_are_too_long(http_: httpx.Client, count: int) -> None:
    body = json.dumps({"products": [f"p{number}" for number in range(count)]}, separators=(",", ":")).encode()
    assert len(body) <= wire.MAX_BODY or count > 60_000
    body = body if len(body) <= wire.MAX_BODY else b'{"products":[' + b",".join([b'"p"'] * count) + b"]}"
    for path in (ORDER, ESTIMATE):
        refused(posted(http_, body, path=path), errors.RequestTooLarge)


def test_identifiers_that_are_none(http_: httpx.Client) -> None:
    odd = ["\x00", "a\x00b", "../../etc/passwd", "'; DROP TABLE orders; --", "\u202e", "💥", "%00", "S2A\n", "." * 255]
    estimate = posted(http_, json.dumps({"products": odd}).encode(), path=ESTIMATE).json()
    assert len(estimate["products"]) == len(odd)
    assert all(item["error"] for item in estimate["products"])
    refused(posted(http_, json.dumps({"products": odd}).encode()), errors.UnknownProduct)
    for text in ("%00", "a%00b", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%F0%9F%92%A5", "%FF", "a" * 5000, "%0A", "{}"):
        for name in ("quicklook", "thumbnail", "order", "cancel", "order_deliveries", "delete", "search"):
            verb = wire.VERBS[name]
            path = verb.template.replace("{" + verb.parameters[0] + "}", text)
            answer = http_.request(verb.method, httpx.URL(str(http_.base_url).rstrip("/") + path))
            kinds = (errors.UnknownRoute, errors.UnknownProduct, errors.UnknownOrder, errors.InvalidRequest)
            refused(answer, *kinds)
    for number in ("0", "-1", "1.0", "1e3", "٣", "9" * 400, str(2**31), str(2**63), "0x1", " 1", "1 "):
        refused(http_.get(f"{ORDER}/{number}"), errors.UnknownOrder)
    for delivery in ("1", "1-1-1", "-1", "1-", "9" * 400 + "-1", "1-99999", "a-b", "1-٣"):
        refused(http_.get(f"{ORDER}/1/deliveries/{delivery}"), errors.UnknownDelivery, errors.UnknownOrder)


# --- what it says it is ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/xml",
        "json",
        "/",
    ],
)
def test_a_wrong_content_type(http_: httpx.Client, kind: str) -> None:
    body = refused(posted(http_, GOOD, kind), errors.InvalidRequest)
    assert "application/json" in body["hint"]


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;x=y", ""])
def test_a_right_content_type_however_it_is_written(http_: httpx.Client, kind: str) -> None:
    assert posted(http_, GOOD, kind, ESTIMATE).status_code == 200


def test_the_token_request_is_a_form_and_nothing_else(http_: httpx.Client, gateway: Gateway) -> None:
    form = {"apikey": gateway.key, "grant_type": "api_key", "client_id": "IDP"}
    path = wire.TOKEN_PATH
    assert http_.post(path, data=form).status_code == 200
    many = "&".join(f"f{number}=1" for number in range(100_000))
    bad = [
        http_.post(path, json=form),
        http_.post(path, files={name: (None, value) for name, value in form.items()}),
        http_.post(path, data=form | {"scope": "openid"}),
        http_.post(path, data=form | {"apikey": ["a", "b"]}),
        http_.post(path, data=form | {"apikey": ""}),
        http_.post(path, data=form | {"apikey": "k" * 10_000}),
        http_.post(path, data=form | {"grant_type": "password"}),
        http_.post(path),
        *(
            http_.post(path, content=content, headers={"Content-Type": "application/x-www-form-urlencoded"})
            for content in (b"\xff\xfe", many.encode(), b"&&&&=", b"%", b"\x00", BROKEN["deep lists"])
        ),
    ]
    for answer in bad:
        refused(answer, errors.InvalidRequest)
        assert gateway.key not in answer.text
    wrong = http_.post(path, data=form | {"apikey": "exk_%00planted\u202e"})
    refused(wrong, errors.InvalidApiKey)
    assert "planted" not in wrong.text


# --- how it comes ----------------------------------------------------------------------------------------------------
def raw(http_: httpx.Client, data: bytes, *, ends: bool = False) -> bytes:
    """Everything that the gateway answers to bytes sent as they are; `ends` says afterwards that no more will come."""
    parts = urlsplit(str(http_.base_url))
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(data)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while block := connection.recv(65_536):
            received += block
    return received


def head(http_: httpx.Client, *lines: str, path: str = ORDER, method: str = "POST") -> bytes:
    given = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: {http_.headers['authorization']}"]
    return "\r\n".join([*given, "Connection: close", *lines, "", ""]).encode("latin-1")


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def json_of(answer: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return parsed


def test_a_body_that_says_it_is_too_long_is_not_read(http_: httpx.Client) -> None:
    answer = raw(http_, head(http_, "Content-Length: 1000000000000", "Expect: 100-continue"))
    assert (status_of(answer), json_of(answer)["internalCode"]) == (413, errors.RequestTooLarge.code)
    for length in (wire.MAX_BODY + 1, 5 * wire.MAX_BODY):
        answer = raw(http_, head(http_, f"Content-Length: {length}") + b"{" * length)
        assert (status_of(answer), json_of(answer)["internalCode"]) == (413, errors.RequestTooLarge.code)
    # One that never stops is not listened to for ever.
    assert posted(http_, b"[" * (20 * wire.MAX_BODY)).status_code == 413


def chunked(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        yield b"%x\r\n%b\r\n" % (len(block), block)
    yield b"0\r\n\r\n"


def test_a_body_without_a_length_is_bounded_all_the_same(http_: httpx.Client) -> None:
    lines = ("Transfer-Encoding: chunked", "Content-Type: application/json")
    good = b"".join(chunked(iter([GOOD[:7], GOOD[7:]])))
    answer = raw(http_, head(http_, *lines, path=ESTIMATE) + good)
    assert status_of(answer) == 200, "a body in pieces is a body"
    endless = b"".join(chunked(b"[" * 10_000 for _ in range(wire.MAX_BODY // 10_000 + 5)))
    answer = raw(http_, head(http_, *lines) + endless)
    assert (status_of(answer), json_of(answer)["internalCode"]) == (413, errors.RequestTooLarge.code)
    tiny = b"".join(chunked(b"[" for _ in range(20_000)))
    answer = raw(http_, head(http_, *lines) + tiny)
    assert status_of(answer) == 400
    assert health(http_)


def test_a_length_that_lies(http_: httpx.Client) -> None:
    kind = "Content-Type: application/json"
    shorter = raw(http_, head(http_, "Content-Length: 5000", kind) + GOOD, ends=True)  # and then nothing more comes
    assert status_of(shorter) in {0, 400}
    longer = raw(http_, head(http_, "Content-Length: 3", kind) + GOOD)
    assert (status_of(longer), json_of(longer)["internalCode"]) == (400, errors.InvalidRequest.code)
    for lines in (("Content-Length: -1",), ("Content-Length: 1", "Content-Length: 2"), ("Content-Length: a",)):
        assert status_of(raw(http_, head(http_, *lines))) == 400
    both = head(http_, "Content-Length: 5", "Transfer-Encoding: chunked", kind) + b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    assert status_of(raw(http_, both)) in {0, 400}
    assert health(http_)


def test_a_body_that_does_not_come_holds_nobody_up(http_: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 1.0)
    parts = urlsplit(str(http_.base_url))
    waiting = []
    try:
        for _ in range(60):  # more than there are threads
            connection = socket.create_connection((parts.hostname, parts.port), timeout=30)
            connection.sendall(head(http_, "Content-Length: 100", "Content-Type: application/json") + b"{")
            waiting.append(connection)
        begun = time.monotonic()
        assert health(http_)
        assert http_.get(wire.VERBS["me"].url()).status_code == 200
        assert time.monotonic() - begun < 10
        for connection in waiting:
            answer = connection.recv(65_536)
            assert status_of(answer) == 400, answer
            assert b"did not arrive" in answer or b"did not arrive" in connection.recv(65_536)
    finally:
        for connection in waiting:
            connection.close()


def test_who_hangs_up_is_no_fault(http_: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    parts = urlsplit(str(http_.base_url))
    for _ in range(5):
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.sendall(head(http_, "Content-Length: 100", "Content-Type: application/json") + b"{")
    assert health(http_)
    assert "correlation id" not in caplog.text


# --- headers and parameters ------------------------------------------------------------------------------------------
def health(http_: httpx.Client) -> bool:
    return http_.get(wire.VERBS["health"].url()).status_code == 200


def test_headers_that_are_too_long(http_: httpx.Client) -> None:
    me = wire.VERBS["me"].url()
    refused(http_.get(me, headers={"X-Long": "a" * 40_000}), errors.InvalidRequest)
    refused(http_.get(me, headers={f"X-{number}": "a" * 40 for number in range(900)}), errors.InvalidRequest)
    refused(http_.post(ORDER, content=GOOD, headers={"Idempotency-Key": "k" * 256}), errors.InvalidRequest)
    refused(http_.post(ORDER, content=GOOD, headers={"Idempotency-Key": ""}), errors.InvalidRequest)
    # Beyond what the HTTP server holds at once it answers by itself, before anything of ours is asked.
    answer = raw(http_, head(http_, "X-Long: " + "a" * 66_000, path=me, method="GET"))
    assert status_of(answer) in {0, 400}
    assert health(http_)


def test_many_query_parameters(http_: httpx.Client) -> None:
    path = wire.VERBS["search"].url(collection="S2")
    refused(http_.get(f"{path}?" + "&".join("a=1" for _ in range(10_000))), errors.InvalidRequest)
    refused(http_.get(f"{path}?" + "&".join(f"a{n}=" for n in range(7_000))), errors.InvalidRequest)
    refused(http_.get(f"{path}?" + "&".join("rows=1" for _ in range(7_000))), errors.InvalidRequest)
    refused(http_.get(f"{path}?" + "&" * 10_000 + "%00=%00"), errors.InvalidRequest)


@pytest.mark.parametrize(
    "q",
    [
        "(" * 5_000,
        "NOT " * 4_000,
        "a OR " * 4_000 + "a",
        '"' * 5_001,
        "a" * 30_000,
        "%00",
        "%FF%FE",
        "\\" * 999,
        "*" * 5_000,
        "cloudcoverpercentage:[* TO " + "9" * 5_000 + "]",
        "beginposition:[NOW-" + "9" * 400 + "DAYS TO NOW]",
    ],
)
def test_queries_that_are_none(http_: httpx.Client, q: str) -> None:
    answer = http_.get(wire.VERBS["search"].url(collection="S2"), params={"q": q})
    assert answer.status_code in {200, 400}, answer.text[:500]


def test_hosts_that_are_none(http_: httpx.Client, gateway: Gateway) -> None:
    for host in ("[", "[::1", "a b", "x/../y", "evil.example:99999999", "é", "", "@", "http://x"):
        lines = f"GET {wire.VERBS['me'].url()} HTTP/1.1\r\nHost: {host}\r\n"
        token = f"Authorization: {http_.headers['authorization']}\r\nConnection: close\r\n\r\n"
        assert status_of(raw(http_, (lines + token).encode())) in {200, 400}, host


def test_methods_that_are_none(http_: httpx.Client) -> None:
    for method in ("PUT", "PATCH", "TRACE", "OPTIONS", "HEAD", "FROB"):
        answer = http_.request(method, f"{ORDER}/7")
        assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET"), method
        if method != "HEAD":
            assert answer.json()["internalCode"] == errors.InvalidRequest.code
    assert http_.request("DELETE", ORDER).headers["allow"] == "GET, POST"
    connection = http.client.HTTPConnection(urlsplit(str(http_.base_url)).netloc)
    connection.putrequest("GET", "*")
    connection.endheaders()
    assert connection.getresponse().status in {400, 404}
    connection.close()


def test_what_is_no_http_at_all(http_: httpx.Client) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 50,
    ):
        assert status_of(raw(http_, data)) in {0, 400, 404, 505}
    assert health(http_)


# --- whose fault it is -----------------------------------------------------------------------------------------------
def test_a_model_that_our_own_data_does_not_fit_is_a_fault_of_ours(
    http_: httpx.Client, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Stored(BaseModel):
        size: int

    def broken(*_: object) -> Account:
        Stored.model_validate({"size": "planted"})
        raise AssertionError

    monkeypatch.setattr(gateway.service, "account", broken)
    body = refused(http_.get(wire.VERBS["me"].url()), errors.GatewayFault)
    assert "planted" not in json.dumps(body)
    assert body["correlationId"] in caplog.text


def test_an_error_of_the_gateways_own_disk_is_no_fault_of_the_request(
    http_: httpx.Client, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Account:
        raise errors.DataDirectoryReadOnly("The disk is full.")

    monkeypatch.setattr(gateway.service, "account", full)
    refused(http_.get(wire.VERBS["me"].url()), errors.GatewayFault)


def test_a_line_break_in_a_path_writes_no_line_into_the_log(
    http_: httpx.Client, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gateway.service, "quicklook", lambda *_: 1 / 0)
    http_.get(wire.VERBS["quicklook"].url(product_id="x%0AERROR planted"))
    answer = http_.get(wire.VERBS["quicklook"].template.replace("{product_id}", "x%0AERROR%20planted"))
    assert "\nERROR planted" not in caplog.text
    assert answer.status_code in {404, 500}


def test_many_at_once(http_: httpx.Client) -> None:
    """Attacks side by side: each gets its answer, and the gateway is there afterwards."""
    found: list[int] = []

    def attack(what: str) -> None:
        found.append(posted(http_, BROKEN[what]).status_code)

    threads = [threading.Thread(target=attack, args=(what,)) for what in list(BROKEN) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [400] * len(threads)
    assert health(http_)
