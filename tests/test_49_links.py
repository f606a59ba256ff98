"""Signed links: they open one object until they expire, by range if need be, and no other object however they are turned."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from scripted import Gateway, ScriptedSource, served

from extenso_nb import wire
from extenso_nb.storage import FolderStorage

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def source() -> ScriptedSource:
    made = ScriptedSource()
    for number in range(2):
        made.add(number, data=None)
    return made


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, source: ScriptedSource) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "secret").write_text("planted")
    made = Gateway(folder, source)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def host(gateway: Gateway) -> Iterator[str]:
    with served(gateway) as url:
        yield urlsplit(url).netloc


@pytest.fixture(scope="module")
def keys(gateway: Gateway, source: ScriptedSource) -> tuple[str, str]:
    order, _ = gateway.service.create_order(gateway.account, list(source.data))
    assert gateway.wait(order.id) == "delivered"
    first, second = (gateway.service.stored(gateway.account, order.id, f"{order.id}-{n}") for n in (1, 2))
    return first, second


def ask(host: str, target: str, method: str = "GET", **headers: str) -> Answer:
    """The answer to a target sent as it stands: a client that tidied paths up would attack nothing."""
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def closed(answer: Answer, *statuses: int, target: str = "") -> None:
    status, headers, body = answer
    assert status in (statuses or (403,)), (target, status, body[:200])
    assert headers["content-type"] == "application/json"
    assert b"internalCode" in body
    assert b"planted" not in body


# --- what a link opens -----------------------------------------------------------------------------------------------
@pytest.fixture
def link(gateway: Gateway, keys: tuple[str, str]) -> str:
    return gateway.access.link(keys[0])[0]


def test_get_and_head(host: str, link: str, source: ScriptedSource) -> None:
    content = next(iter(source.data.values()))
    status, headers, body = ask(host, link)
    assert (status, body) == (200, content)
    assert headers["etag"].startswith('"')
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment")
    status, head, body = ask(host, link, "HEAD")
    assert (status, body, head["content-length"]) == (200, b"", str(len(content)))
    assert head["etag"] == headers["etag"]
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = ask(host, link, method)
        closed(answer, 405)
        assert answer[1]["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), ("bytes=100-", 100, None), ("bytes=-7", -7, None)],
)
def test_one_range(host: str, link: str, source: ScriptedSource, asked: str, start: int, end: int | None) -> None:
    content = next(iter(source.data.values()))
    status, headers, body = ask(host, link, Range=asked)
    assert (status, body) == (206, content[start:end])
    begin = start % len(content)
    assert headers["content-range"] == f"bytes {begin}-{begin + len(body) - 1}/{len(content)}"
    status, headers, body = ask(host, link, "HEAD", Range=asked)
    assert (status, body) == (206, b"")


def test_several_ranges_come_as_parts(host: str, link: str, source: ScriptedSource) -> None:
    content = next(iter(source.data.values()))
    status, headers, body = ask(host, link, Range="bytes=0-9, 100-109, -5")
    assert status == 206
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", headers["content-type"])
    assert boundary
    parts = [part for part in body.split(b"--" + boundary[1].encode()) if b"\r\n\r\n" in part]
    assert [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts] == [
        content[:10],
        content[100:110],
        content[-5:],
    ]


def test_if_range(host: str, link: str, source: ScriptedSource) -> None:
    content = next(iter(source.data.values()))
    _, headers, _ = ask(host, link, "HEAD")
    same = (headers["etag"], headers["last-modified"])
    for validator in same:
        assert ask(host, link, Range="bytes=5-9", If_Range=validator)[::2] == (206, content[5:10])
    for validator in ('"other"', f"W/{same[0]}", formatdate(0, usegmt=True), "nonsense"):
        assert ask(host, link, Range="bytes=5-9", If_Range=validator)[::2] == (200, content), validator


@pytest.mark.parametrize(
    "asked",
    [
        "items=0-1",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=9-5",
        "bytes=0-1;",
        "bytes=--5",
        "bytes=" + "9" * 5000,
        "bytes=0-1,,x",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 400, 2)),
    ],
)
def test_a_range_that_is_none_is_as_good_as_not_there(host: str, link: str, source: ScriptedSource, asked: str) -> None:
    status, _, body = ask(host, link, Range=asked)
    assert (status, body) == (200, next(iter(source.data.values())))


def test_a_range_beyond_the_end(host: str, link: str, source: ScriptedSource) -> None:
    size = len(next(iter(source.data.values())))
    for asked in (f"bytes={size}-", f"bytes={10**17}-{10**18 - 1}", "bytes=-0"):
        status, headers, _ = ask(host, link, Range=asked)
        assert (status, headers["content-range"]) == (416, f"bytes */{size}")


# --- and what it does not --------------------------------------------------------------------------------------------
def test_a_link_that_was_altered(host: str, link: str, keys: tuple[str, str]) -> None:
    path, _, query = link.partition("?")
    expires, _, signature = (part.partition("=")[2] or part for part in query.partition("&"))
    other = f"{wire.FILES_PATH}/{quote(keys[1])}"
    altered = [
        f"{other}?{query}",
        f"{path}?expires={int(expires) + 1}&signature={signature}",
        f"{path}?expires={'9' * 15}&signature={signature}",
        f"{path}?expires={'9' * 5000}&signature={signature}",
        f"{path}?expires=0{expires}&signature={signature}",
        f"{path}?expires=+{expires}&signature={signature}",
        f"{path}?expires=%20{expires}&signature={signature}",
        f"{path}?expires={expires}.0&signature={signature}",
        f"{path}?expires=-1&signature={signature}",
        f"{path}?expires=&signature={signature}",
        f"{path}?signature={signature}",
        f"{path}?expires={expires}",
        f"{path}?expires={expires}&signature=",
        f"{path}?expires={expires}&signature={signature[:-1]}",
        f"{path}?expires={expires}&signature={signature}0",
        f"{path}?expires={expires}&signature={signature.upper()}",
        f"{path}?expires={expires}&signature={'%C3%A9' * 32}",
        f"{path}?expires={expires}&signature={signature}&signature=0",
        f"{path}.part?{query}",
        f"{path}/?{query}",
        path,
    ]
    for letter in ("%00", "%0A", "%0D%0A", "%7F", "%E2%80%A8"):
        closed(ask(host, f"{path}{letter}?{query}"), 404)
    for target in altered:
        closed(ask(host, target), target=target)
    assert ask(host, link)[0] == 200


def test_other_spellings_of_a_path(host: str, link: str, gateway: Gateway, keys: tuple[str, str]) -> None:
    """Those that mean the same object open it; those that a careless server would lead elsewhere open nothing."""
    path, _, query = link.partition("?")
    content = ask(host, link)[2]
    account = gateway.account
    same = path.replace(account, "".join(f"%{ord(letter):02X}" for letter in account))
    assert ask(host, f"{same}?{query}")[::2] == (200, content)
    assert ask(host, f"{path.replace('/orders/', '%2Forders%2F')}?{query}")[::2] == (200, content)
    for turned in (
        path.replace("/orders/", "/orders//"),
        path.replace("/orders/", "/./orders/"),
        path.replace("/orders/", "/x/../orders/"),
        path.replace("/orders/", "/%2e%2e/" + account + "/orders/"),
        path.replace("/orders/", "%5Corders%5C"),
        path.replace("/orders/", "\\orders\\"),
        path.replace("/orders/", "/orders/%00"),
        path.replace("/orders/", "/orders/%0A"),
        path.replace("/orders/", "/%C0%AE%C0%AE/orders/"),
        path.replace("/orders/", "/%EF%BC%8Forders/"),
        path.replace("/orders/", "/%252e%252e/orders/"),
        path.replace(wire.FILES_PATH + "/", wire.FILES_PATH + "//"),
        f"{wire.FILES_PATH}/%2e%2e/secret",
        f"{wire.FILES_PATH}/../secret",
        f"{wire.FILES_PATH}//etc/passwd",
        f"{wire.FILES_PATH}/",
    ):
        closed(ask(host, f"{turned}?{query}"), 403, 404)
    for turned in (f"/{path}", f"/x/..{path}", f"{path}/../{keys[1].rpartition('/')[2]}"):
        closed(ask(host, f"{turned}?{query}"), 403, 404)


def test_a_signature_of_our_own_under_a_hostile_key_opens_nothing(host: str, gateway: Gateway) -> None:
    """If some day a key with dots came to be signed, the storage would still refuse it."""
    assert isinstance(gateway.storage, FolderStorage)
    passwd = "/etc/passwd"
    outside = ["../secret", "../gateway.db", "x/../../secret", passwd, f"/{passwd}", "..\\secret", ".", "..", "a//b"]
    account = gateway.account
    for key in [*outside, account, f"{account}/orders", "secret\x00", "\n", "a" * 300, "/".join(["d"] * 3000)[:3000]]:
        closed(ask(host, gateway.access.link(key)[0]), 403, 404)


def test_a_link_that_has_expired(host: str, gateway: Gateway, keys: tuple[str, str]) -> None:
    old = gateway.access.link(keys[0], seconds=-1)[0]
    answer = ask(host, old)
    closed(answer)
    assert b"expired" in answer[2]
    soon, until = gateway.access.link(keys[0], seconds=2)
    assert ask(host, soon)[0] == 200
    while time.time() <= until.timestamp():
        time.sleep(0.05)
    closed(ask(host, soon))


def test_a_symbolic_link_in_the_storage_is_not_followed(host: str, gateway: Gateway, keys: tuple[str, str]) -> None:
    assert isinstance(gateway.storage, FolderStorage)
    folder = gateway.storage.folder / gateway.account / "orders" / "99"
    folder.mkdir(parents=True)
    (folder / "out").symlink_to(gateway.storage.folder.parent / "secret")
    (folder / "in").symlink_to(gateway.storage.folder / keys[1])
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "up").symlink_to(gateway.storage.folder.parent, target_is_directory=True)
    (folder / "across").symlink_to((gateway.storage.folder / keys[1]).parent, target_is_directory=True)
    (folder / "gone").symlink_to(folder / "nothing")
    base = f"{gateway.account}/orders/99"
    for name in ("out", "in", "loop", "up/secret", f"across/{Path(keys[1]).name}", "gone", "."):
        closed(ask(host, gateway.access.link(f"{base}/{name}")[0]))
