"""Reading over HTTP: every fault alone. What comes out is the product, or an error of ours that says why not."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import logging
import pickle
import re
import socket
import ssl
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Gateway, zipped
from scripted_http import (
    DATA,
    FAULTS,
    SIGNATURE,
    TITLE,
    Line,
    ScriptedHttp,
    ScriptedHttpSource,
    changed,
    chunked,
    cold,
    cut,
    drip,
    endless,
    gzipped,
    in_future,
    long_body,
    no_length,
    other_encoding,
    page,
    quota,
    range_ignored,
    raw,
    redirect,
    redirect_loop,
    short_body,
    silent,
    slow,
    stall,
    status,
    too_many,
    truncated,
    unauthorised,
    well,
    wrong_range,
)

from extenso_nb import checksums
from extenso_nb.errors import (
    ChecksumMismatch,
    DamagedProduct,
    ExtensoError,
    IncompleteTransfer,
    InputError,
    NoQuicklook,
    ProductOffline,
    SourceUnavailable,
    TransferError,
    UnknownProduct,
)
from extenso_nb.gateway.sources import Content, Source
from extenso_nb.gateway.sources.remote import Remote
from extenso_nb.gateway.sources.token import Token
from extenso_nb.query import parse

STALL = 0.5


@pytest.fixture
def server() -> Iterator[ScriptedHttp]:
    with ScriptedHttp() as running:
        yield running


@pytest.fixture
def source(server: ScriptedHttp) -> Iterator[ScriptedHttpSource]:
    with contextlib.closing(ScriptedHttpSource(server, "far", stall_seconds=STALL)) as ours:
        yield ours


@pytest.fixture
def play(server: ScriptedHttp, source: ScriptedHttpSource) -> Callable[..., Content]:
    """A product that is answered by these lines; its catalogue gives no size and no checksums unless asked to."""

    def held(*lines: Line, name: str = "product.zip", size: bool = False, data: bytes = DATA) -> Content:
        product = server.add(len(server.held), "none", *lines, data=data)
        url = f"{server.url}/bytes/{product}"
        return source.remote.content(name, url, size=len(data) if size else None)

    return held


def read(content: Content, offset: int = 0) -> bytes:
    return b"".join(content.read(offset))


def upto(content: Content, offset: int = 0) -> tuple[bytes, ExtensoError]:
    """What came before the error, and the error."""
    got = bytearray()
    blocks = content.read(offset)
    while True:
        try:
            got += next(blocks)
        except StopIteration:
            pytest.fail("no error was raised")
        except ExtensoError as error:
            return bytes(got), error


def is_clean(error: BaseException) -> bool:
    """Whether nothing in an error is httpx's, or secret; and whether it travels."""
    chain: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        item = queue.pop()
        if item is not None and item not in chain:
            chain.append(item)
            queue += [item.__cause__, item.__context__]
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.details) == (str(error), error.details)  # type: ignore[attr-defined]
    for item in chain:
        assert type(item).__module__.split(".")[0] not in {"httpx", "httpcore", "h11"}, repr(item)
        text = f"{item} {item!r} {getattr(item, 'details', '')}"
        assert "secret-token" not in text
        assert "not-to-be-shown" not in text
        assert "password" not in text
    json.dumps(error.details)  # type: ignore[attr-defined]
    return True


# --- the matrix ------------------------------------------------------------------------------------------------------
def is_right(content: Content, got: bytes) -> bool:
    """What the gateway asks of the bytes before they are stored."""
    if content.size is not None and len(got) != content.size:
        return False
    for name, announced in content.checksums.items():
        digest = checksums.hasher(name)
        digest.update(got)
        if digest.hexdigest() != announced:
            return False
    try:
        with zipfile.ZipFile(io.BytesIO(got)) as archive:
            return archive.testzip() is None
    except zipfile.BadZipFile:
        return False


def attempt(content: Content, resumes: int = 4) -> tuple[bytes, list[ExtensoError]]:
    """Read until it is whole, from the byte that was reached, as long as that can help."""
    got, problems = bytearray(), list[ExtensoError]()
    for _ in range(resumes + 1):
        try:
            for block in content.read(len(got)):
                got += block
            break
        except IncompleteTransfer as error:
            problems.append(error)
        except ExtensoError as error:
            problems.append(error)
            break
    return bytes(got), problems


@pytest.mark.parametrize("name", list(FAULTS))
def test_each_fault_passes_or_stays(server: ScriptedHttp, source: ScriptedHttpSource, name: str) -> None:
    fault = FAULTS[name]
    product = server.add(1, fault)
    good, problems = False, list[ExtensoError]()
    for _ in range(4):
        content = source.open(product)
        got, more = attempt(content)
        problems += more
        good = not (more and type(more[-1]) is not IncompleteTransfer) and is_right(content, got)
        if good:
            assert got == DATA
            break
    assert good is (fault.expects == "passes"), problems
    assert all(is_clean(error) for error in problems)
    assert all(error.details["source"] == "far" for error in problems)
    assert server.leaks == []
    held = server.held[product]
    assert not held.script, "the fault was not met"


def test_a_fault_that_passes_is_met_by_the_gateway(tmp_path: Path, source: ScriptedHttpSource) -> None:
    product = source.server.add(1, "redirect, then cut")
    gateway = Gateway(tmp_path, source)
    try:
        order, _ = gateway.service.create_order(gateway.account, [product])
        assert gateway.wait(order.id) == "delivered"
        (stored,) = [name for name in gateway.files() if name.endswith(".zip")]
        assert (gateway.storage.folder / stored).read_bytes() == DATA  # type: ignore[union-attr]
        assert source.server.leaks == []
    finally:
        gateway.stop()


# --- whole, and from a byte on ---------------------------------------------------------------------------------------
def test_whole_and_from_a_byte_on(server: ScriptedHttp, play: Callable[..., Content]) -> None:
    content = play()
    assert read(content) == DATA
    assert "range" not in server.seen[-1].headers
    assert read(content, 12_345) == DATA[12_345:]
    asked = server.seen[-1].headers
    assert (asked["range"], asked["accept-encoding"], asked["connection"]) == ("bytes=12345-", "identity", "close")
    assert asked["if-range"] == server.held[next(iter(server.held))].etag
    assert not content.remarks


def test_nothing_is_asked_before_the_first_block(server: ScriptedHttp, play: Callable[..., Content]) -> None:
    content = play()
    blocks = content.read(0)
    assert not server.seen
    assert next(blocks)
    assert len(server.seen) == 1


def test_a_resumed_transfer_sends_no_byte_twice(server: ScriptedHttp, play: Callable[..., Content]) -> None:
    content = play(cut(0.25), cut(0.5), cut(0.75), size=True)
    got, problems = attempt(content)
    assert got == DATA
    assert [type(error) for error in problems] == [IncompleteTransfer] * 3
    server.settle()
    assert sum(server.sent.values()) == len(DATA)


@settings(max_examples=60)
@given(
    offset=st.integers(0, len(DATA) - 1),
    line=st.sampled_from([well, range_ignored, no_length(), chunked(), gzipped, long_body, redirect, slow(0.01)]),
)
def test_from_any_byte_by_any_good_answer(shared: ScriptedHttpSource, offset: int, line: Line) -> None:
    product = shared.server.add(7, "none", line, data=DATA)
    content = shared.remote.content("product.zip", f"{shared.server.url}/bytes/{product}")
    assert read(content, offset) == DATA[offset:]


@pytest.fixture(scope="module")
def shared() -> Iterator[ScriptedHttpSource]:
    """One server for all examples of a property; a fixture of a function would be one for all as well."""
    with ScriptedHttp() as running, contextlib.closing(ScriptedHttpSource(running)) as ours:
        yield ours


@settings(max_examples=25)
@given(places=st.lists(st.integers(0, len(DATA)), max_size=6), resets=st.booleans())
def test_cut_anywhere_it_is_put_together_right(shared: ScriptedHttpSource, places: list[int], resets: bool) -> None:
    lines = [cut(place, reset=resets and index % 2 == 0) for index, place in enumerate(places)]
    product = shared.server.add(8, "none", *lines, data=DATA)
    content = shared.remote.content("product.zip", f"{shared.server.url}/bytes/{product}", size=len(DATA))
    got, _ = attempt(content, resumes=len(places) + 1)
    assert hashlib.sha256(got).digest() == hashlib.sha256(DATA).digest()


def test_an_ignored_range_is_read_over_and_told(play: Callable[..., Content]) -> None:
    content = play(range_ignored)
    assert read(content, 200_001) == DATA[200_001:]
    (remark,) = content.remarks
    assert "from its beginning" in remark
    assert "200 kB" in remark


def test_from_the_end_on_there_is_nothing(server: ScriptedHttp, play: Callable[..., Content]) -> None:
    assert read(play(size=True), len(DATA)) == b""
    assert not server.seen
    assert read(play(), len(DATA)) == b""  # 416, the size not known from the catalogue
    assert len(server.seen) == 1
    assert isinstance(upto(play(size=True), len(DATA) + 1)[1], ChecksumMismatch)
    assert isinstance(upto(play(), len(DATA) + 1)[1], ChecksumMismatch)  # 416: shorter than what was read
    content = play(cut(0.5), status(416))
    attempt(content, resumes=0)
    got, error = upto(content, 1000)
    assert (got, type(error)) == (b"", ChecksumMismatch)


def test_a_url_that_expires_is_asked_for_at_each_reading(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "none", cut(0.5))
    given_out: list[str] = []

    def signed() -> str:
        given_out.append(f"{server.url}/bytes/{product}?{SIGNATURE}&n={len(given_out)}")
        return given_out[-1]

    content = source.remote.content("product.zip", signed)
    got, (error,) = attempt(content)
    assert got == DATA
    assert [request.target.rpartition("=")[2] for request in server.seen] == ["0", "1"]
    assert is_clean(error)


@pytest.mark.parametrize("size", [0, -1, None])
def test_catalogues_that_do_not_know_the_size(source: ScriptedHttpSource, size: int | None) -> None:
    assert source.remote.content("product.zip", "http://127.0.0.1/", size=size).size is None


def test_checksums_are_normalised_and_those_not_known_are_told(source: ScriptedHttpSource) -> None:
    content = source.remote.content("p.zip", "http://127.0.0.1/", checksums={"SHA3-256": "AB" * 32, "CRC32": "1"})
    assert content.checksums == {"sha3-256": "ab" * 32}
    (remark,) = content.remarks
    assert "'CRC32'" in remark


# --- faults, one by one ----------------------------------------------------------------------------------------------
ENDS = int(0.6 * len(DATA))


@pytest.mark.parametrize(
    ("line", "size", "kind", "says", "came"),
    [
        pytest.param(cut(0.6), False, IncompleteTransfer, "broke off", ENDS, id="cut"),
        pytest.param(
            cut(0.6, reset=True), True, IncompleteTransfer, "broke off: the connection was cut", None, id="rst"
        ),
        pytest.param(cut(0), False, IncompleteTransfer, "received 0 bytes", 0, id="cut at once"),
        pytest.param(raw(b""), False, IncompleteTransfer, "Server disconnected", 0, id="no head"),
        pytest.param(short_body, False, IncompleteTransfer, "broke off", len(DATA), id="more announced"),
        pytest.param(short_body, True, ChecksumMismatch, "offers 301,280 bytes", 0, id="more than the catalogue"),
        pytest.param(truncated(), True, IncompleteTransfer, "offers 210,196 bytes", 0, id="less than the catalogue"),
        pytest.param(
            no_length(0.6), True, IncompleteTransfer, "ended .* after 180,168 of 300,280", ENDS, id="no length"
        ),
        pytest.param(no_length(0), False, IncompleteTransfer, "sent nothing", 0, id="nothing"),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), False, IncompleteTransfer, "nothing", 0, id="0"
        ),
        pytest.param(no_length(3), False, IncompleteTransfer, "after 3 bytes", 0, id="three bytes"),
        pytest.param(chunked(0.6), False, IncompleteTransfer, "incomplete chunked read", ENDS, id="chunks"),
        pytest.param(chunked(extra=b"more"), True, ChecksumMismatch, "more than the 300,280", None, id="too long"),
        pytest.param(stall(0.6), True, IncompleteTransfer, "no byte came within", ENDS, id="stall"),
        pytest.param(silent, True, SourceUnavailable, "did not answer: no byte came within", 0, id="silent"),
        pytest.param(drip, True, IncompleteTransfer, "sends too slowly", None, id="drip"),
        pytest.param(page(), True, DamagedProduct, f'a page came .*: "{TITLE}"', 0, id="page"),
        pytest.param(page("application/zip"), False, DamagedProduct, f'a page came .*: "{TITLE}"', 0, id="page as zip"),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\n\r\n{'error': 1}"), False, DamagedProduct, "is none: it begins", 0, id="json"
        ),
        pytest.param(other_encoding, True, SourceUnavailable, "an encoding that was not asked for: 'br'", 0, id="br"),
        pytest.param(wrong_range(), True, IncompleteTransfer, "another range than asked for", 0, id="unasked range"),
        pytest.param(status(404), True, UnknownProduct, "HTTP 404", 0, id="404"),
        pytest.param(status(410), True, UnknownProduct, "HTTP 410", 0, id="410"),
        pytest.param(status(204), True, SourceUnavailable, "HTTP 204", 0, id="204"),
        pytest.param(status(304), True, SourceUnavailable, "HTTP 304", 0, id="304"),
        pytest.param(status(302), True, SourceUnavailable, "HTTP 302", 0, id="302 to nowhere"),
        pytest.param(status(500, "<html><title>Oops</title>"), True, SourceUnavailable, "HTTP 500: Oops", 0, id="500"),
        pytest.param(
            status(400, '{"detail": [{"msg": "bad id"}]}'), True, SourceUnavailable, "400: bad id", 0, id="400"
        ),
        pytest.param(quota, True, SourceUnavailable, "refuses .HTTP 403.: User offline products", 0, id="quota"),
        pytest.param(status(403), True, SourceUnavailable, "refuses .HTTP 403..$", 0, id="403"),
        pytest.param(too_many(), True, SourceUnavailable, "429: Max session number 4 exceeded", 0, id="429"),
        pytest.param(cold(), True, ProductOffline, "product.zip in cold storage", 0, id="202"),
        pytest.param(redirect_loop, True, SourceUnavailable, "redirects in a circle", 0, id="circle"),
        pytest.param(raw(b"220 ftp ready\r\n\r\n"), True, IncompleteTransfer, "no right HTTP", 0, id="ftp"),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000), True, IncompleteTransfer, "HTTP", 0, id="heads"
        ),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
            *(True, IncompleteTransfer, "no right HTTP", 0),
            id="two lengths",
        ),
        pytest.param(
            raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip at all"),
            *(True, IncompleteTransfer, "no right gzip", 0),
            id="no gzip",
        ),
    ],
)
def test_each_fault_alone(
    play: Callable[..., Content], line: Line, size: bool, kind: type[ExtensoError], says: str, came: int | None
) -> None:
    content = play(line, line, size=size)
    began = time.monotonic()
    got, error = upto(content)
    assert type(error) is kind
    assert re.search(says, error.message), error.message
    assert is_clean(error)
    assert got == DATA[: len(got)], "a wrong byte was handed on"
    if came is not None:
        assert len(got) == came
    assert time.monotonic() - began < 20


def test_who_keeps_the_error_does_not_keep_the_connection(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "none", stall(0.5), data=DATA)
    content = source.remote.content("p.zip", f"{server.url}/bytes/{product}", size=len(DATA) - 1)
    _, error = upto(content)
    assert isinstance(error, ChecksumMismatch)
    assert error.__traceback__ is not None  # and with it all that was alive where it was raised
    end = time.monotonic() + 5
    while server.connections and time.monotonic() < end:
        time.sleep(0.01)
    assert server.connections == 0


def test_gzip_that_ends_too_early_is_no_whole_product(play: Callable[..., Content]) -> None:
    def half(x: Any) -> None:
        packed = gzip.compress(x.held.data)
        x.head(200, Content_Type="application/zip", Content_Encoding="gzip")  # no length: nothing else tells the end
        x.send(packed[: len(packed) - 20])

    got, error = upto(play(half))
    assert type(error) is IncompleteTransfer
    assert "within its gzip" in error.message
    assert got == DATA[: len(got)]


def test_after_what_was_too_much_the_next_answer_is_its_own(play: Callable[..., Content]) -> None:
    content = play(long_body, long_body, size=True)
    for _ in range(3):
        assert read(content) == DATA


def test_details_say_when_to_ask_again(play: Callable[..., Content]) -> None:
    content = play(
        status(503, Retry_After=7), too_many("12"), status(503, Retry_After=in_future(100)), cold(30), cold(None)
    )
    found = [upto(content)[1] for _ in range(5)]
    assert [error.details.get("status") for error in found] == [503, 429, 503, None, None]
    assert [error.details.get("retry_after") for error in found][:2] == [7, 12]
    assert 90 < found[2].details["retry_after"] <= 100
    assert found[3].details["retry_after"] == 30
    assert "retry_after" not in found[4].details
    assert isinstance(found[3], TransferError)


@pytest.mark.parametrize(
    ("name", "data", "good"),
    [
        ("a.nc", b"\x89HDF\r\n\x1a\n" + b"x" * 100, True),
        ("a.nc", b"CDF\x02" + b"x" * 100, True),
        ("a.NC", b"CDF\x05" + b"x" * 100, True),
        ("a.nc", DATA, False),
        ("a.nc", b"\n\n <HTML>" + b"x" * 100, False),
        ("a.zip", b"PK\x05\x06" + b"\0" * 18, False),
        ("a.jp2", b"anything", True),
        ("a.jp2", b"\xef\xbb\xbf <!doctype html>", False),
    ],
)
def test_the_first_bytes_are_those_of_the_kind(
    play: Callable[..., Content], name: str, data: bytes, good: bool
) -> None:
    content = play(name=name, data=data)
    if good:
        assert read(content) == data
    else:
        assert isinstance(upto(content)[1], DamagedProduct)


def test_a_product_that_is_called_a_page_is_one_by_its_bytes(play: Callable[..., Content]) -> None:
    def mislabelled(x: Any) -> None:
        x.body(x.good_head(Content_Type="text/html"))

    assert read(play(mislabelled)) == DATA


def test_bytes_that_come_one_by_one_are_looked_at_all_the_same(play: Callable[..., Content]) -> None:
    def sprinkled(x: Any) -> None:
        x.good_head()
        for place in range(3):
            x.body(place, place + 1)
            time.sleep(0.02)
        x.body(3)

    assert read(play(sprinkled)) == DATA


# --- changed while it is read ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("obeys", [True, False])
@pytest.mark.parametrize("by", ["etag", "weak etag", "date"])
def test_two_versions_are_never_mixed(server: ScriptedHttp, play: Callable[..., Content], by: str, obeys: bool) -> None:
    content = play(cut(0.5), changed(obeys=obeys))
    (held,) = server.held.values()
    if by == "date":
        held.etag = None
        held.script[1] = changed(obeys=obeys, ETag=None)
    elif by == "weak etag":
        held.etag = 'W/"1"'
        held.script[1] = changed(obeys=obeys, ETag='W/"2"')
    got, problems = attempt(content)
    assert [type(error) for error in problems] == [IncompleteTransfer, ChecksumMismatch]
    assert got == DATA[: len(DATA) // 2]
    condition = server.seen[1].headers.get("if-range")
    assert condition == {"etag": held.etag, "weak etag": None, "date": held.modified}[by]
    # A reading that begins anew is one of the object as it is now, which is another one.
    held.etag, held.modified = '"third"', "Sun, 02 Jun 2024 12:00:00 GMT"
    assert isinstance(upto(content)[1], ChecksumMismatch)


def test_another_length_is_another_object(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "none", cut(0.5), data=DATA)
    held = server.held[product]
    held.etag = held.modified = None
    sums = {"md5": hashlib.md5(DATA).hexdigest()}
    content = source.remote.content("p.zip", f"{server.url}/bytes/{product}", checksums=sums)
    got, _ = attempt(content, resumes=0)
    held.data += b"more"
    came, error = upto(content, len(got))
    assert (came, type(error)) == (b"", ChecksumMismatch)
    assert "changed" in error.message


@pytest.mark.parametrize("by", [-100, 100])
def test_a_range_that_is_not_the_one_asked_for_is_not_used(play: Callable[..., Content], by: int) -> None:
    content = play(cut(0.5), wrong_range(by), size=True)
    got, _ = attempt(content, resumes=0)
    came, error = upto(content, len(got))
    assert (came, type(error)) == (b"", IncompleteTransfer)
    assert "another range" in error.message
    assert got + read(content, len(got)) == DATA


@pytest.mark.parametrize("summed", [False, True])
def test_without_anything_to_compare_nothing_is_put_together(
    server: ScriptedHttp, source: ScriptedHttpSource, summed: bool
) -> None:
    product = server.add(1, "none", cut(0.5), data=DATA)
    server.held[product].etag = server.held[product].modified = None
    sums = {"md5": hashlib.md5(DATA).hexdigest()} if summed else {}
    content = source.remote.content("p.zip", f"{server.url}/bytes/{product}", size=len(DATA), checksums=sums)
    got, problems = attempt(content)
    if summed:
        assert got == DATA  # the checksum of the whole will tell
    else:
        assert isinstance(problems[-1], ChecksumMismatch)
        assert "nothing by which to tell" in problems[-1].message
        assert read(content) == DATA  # begun anew


def test_a_length_once_given_holds_for_later_answers_without_one(play: Callable[..., Content]) -> None:
    content = play(cut(0.5), no_length(0.8))
    got, problems = attempt(content)
    assert [type(error) for error in problems] == [IncompleteTransfer] * 2
    assert got == DATA


def test_a_date_alone_does_not_matter_where_there_is_a_tag(server: ScriptedHttp, play: Callable[..., Content]) -> None:
    content = play(cut(0.5))
    got, _ = attempt(content, resumes=0)
    next(iter(server.held.values())).modified = in_future(0)
    assert got + read(content, len(got)) == DATA


# --- time ------------------------------------------------------------------------------------------------------------
def test_a_slow_reader_is_no_slow_source(server: ScriptedHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extenso_nb.gateway.sources.remote.PACE_WINDOW", 1)
    data = zipped(b"x" * 4_000_000)
    product = server.add(1, data=data)
    with Remote("far", stall_seconds=0.5, slowest=1_000_000) as remote:
        got = bytearray()
        for block in remote.content("p.zip", f"{server.url}/bytes/{product}").read(0):
            if len(got) < 10 * len(block):
                time.sleep(0.15)  # longer in all than the window in which a million bytes a second are due
            got += block
    assert got == data


def test_fast_enough_is_fast_enough(server: ScriptedHttp) -> None:
    product = server.add(1, "none", slow(3.0, pieces=40), data=DATA)
    with Remote("far", stall_seconds=0.5, slowest=1000) as remote:
        assert read(remote.content("p.zip", f"{server.url}/bytes/{product}")) == DATA


@pytest.mark.parametrize("piece", [b"\r\nHTTP/1.1 102 Processing\r\n", b"x-again: 1\r\n"], ids=["102", "headers"])
def test_an_answer_that_never_begins_is_given_up(
    server: ScriptedHttp, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    monkeypatch.setattr("extenso_nb.gateway.sources.remote.PACE_WINDOW", 1)
    product = server.add(1, "none", *[endless(piece)] * 2)
    with Remote("far", stall_seconds=1) as remote:
        for call in (
            lambda: read(remote.content("p.zip", f"{server.url}/bytes/{product}?{SIGNATURE}")),
            lambda: remote.get_json(f"{server.url}/bytes/{product}"),
        ):
            began = time.monotonic()
            with pytest.raises(SourceUnavailable, match="did not end within 1 s") as caught:
                call()
            assert time.monotonic() - began < 10
            assert is_clean(caught.value)


@pytest.mark.parametrize("where", ["first block", "never begun", "in the middle of a stall"])
def test_abandoning_lets_go_at_once(server: ScriptedHttp, source: ScriptedHttpSource, where: str) -> None:
    product = server.add(1, "none", *([stall(0.5)] if "stall" in where else []), data=zipped(bytes(50_000_000)))
    blocks = source.remote.content("p.zip", f"{server.url}/bytes/{product}").read(0)
    if where != "never begun":
        next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    end = time.monotonic() + 5
    while server.connections and time.monotonic() < end:
        time.sleep(0.01)
    assert server.connections == 0
    assert server.sent[product] < 25_000_000


# --- credentials -----------------------------------------------------------------------------------------------------
def test_a_refused_token_is_renewed_once_by_all(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    together, first = threading.Barrier(8), threading.local()

    class Gathered(Token):
        def header(self) -> str:
            value = super().header()
            if not hasattr(first, "seen"):
                first.seen = value
                together.wait(10)  # all hold the same token, before the first of them is refused
            return value

    server.wants_token = True
    token = Gathered(source._fetch)
    names = [server.add(number, data=DATA) for number in range(8)]
    with Remote("far", authorise=token) as remote, ThreadPoolExecutor(8) as pool:
        Token.header(token)
        server.expire_token()
        contents = [remote.content("p.zip", f"{server.url}/bytes/{name}") for name in names]
        assert all(got == DATA for got in pool.map(read, contents))
    assert server.tokens == 2
    assert all(server.requests[name] == 2 for name in names)


def test_a_second_refusal_says_what_to_do(server: ScriptedHttp) -> None:
    product = server.add(1, "401 always")
    token = Token(lambda: ("secret-token", None))
    with Remote("far", authorise=token, credentials_hint="Run `extenso doctor`.") as remote:
        _, error = upto(remote.content("p.zip", f"{server.url}/bytes/{product}"))
    assert type(error) is SourceUnavailable
    assert "the credentials were refused" in error.message
    assert "Token is expired" in error.message
    assert error.hint == "Run `extenso doctor`."
    assert server.requests[product] == 2
    assert is_clean(error)


def test_a_source_without_credentials_says_so(server: ScriptedHttp) -> None:
    product = server.add(1, "401 always")
    with Remote("far") as remote:
        _, error = upto(remote.content("p.zip", f"{server.url}/bytes/{product}"))
    assert "none are set" in error.message
    assert server.requests[product] == 1


def test_another_host_that_wants_credentials_gets_none(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "none", redirect, status(401))
    _, error = upto(source.remote.content("p.zip", f"{server.url}/bytes/{product}"))
    assert "are not sent there" in error.message
    assert server.requests[product] == 2
    assert server.tokens == 1
    assert server.leaks == []


def test_a_wrong_password_is_asked_once_and_never_shown(server: ScriptedHttp) -> None:
    with contextlib.closing(ScriptedHttpSource(server, "far", password="wrong-password")) as source:
        product = server.add(1)
        errors = []
        for _ in range(5):
            with pytest.raises(SourceUnavailable, match=r"refused by .*/token: Invalid user credentials") as caught:
                source.open(product)
            errors.append(caught.value)
    assert server.paths.count(("POST", "/token")) == 1
    assert len({id(error) for error in errors}) == 5  # each its own, or threads would write into one traceback
    assert all(is_clean(error) for error in errors)


def test_a_token_is_renewed_before_its_end() -> None:
    given_out: list[float] = []

    def fetch() -> tuple[str, float]:
        given_out.append(time.monotonic())
        return f"t{len(given_out)}", 60.2

    token = Token(fetch, spare=60.0, scheme="Bearer")
    first = token.header()
    assert (first, token.header()) == ("Bearer t1", "Bearer t1")
    assert "t1" not in repr(token)
    short = Token(fetch, spare=600.0)
    assert short.header() == short.header()  # it lives shorter than what is spared: still used for half its life
    token.renew("Bearer t0")  # an old one, which another thread has renewed
    assert token.header() == "Bearer t1"
    token.renew("Bearer t1")
    assert token.header() == "Bearer t3"


def test_a_token_at_its_end_is_fetched_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("extenso_nb.gateway.sources.token.time.monotonic", lambda: now[0])
    count = iter(range(10))
    token = Token(lambda: (f"t{next(count)}", 600.0), spare=60.0)
    seen = []
    for moment in (1000, 1539, 1541, 2080, 2082):
        now[0] = float(moment)
        seen.append(token.header())
    assert seen == ["Bearer t0", "Bearer t0", "Bearer t1", "Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(
    "answer", [{}, [], None, {"access_token": None}, {"access_token": "a\nb"}, {"access_token": ""}]
)
def test_an_answer_without_a_token_is_a_source_that_fails(answer: Any) -> None:
    token = Token(lambda: (answer["access_token"], 600.0))
    with pytest.raises(SourceUnavailable, match="none in it that can be used") as caught:
        token.header()
    assert is_clean(caught.value)


def test_no_token_endpoint_does_not_mean_no_product(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    token = Token(lambda: source.remote.post_json(f"{server.url}/nowhere", authorised=False))
    with Remote("far", authorise=token) as remote, pytest.raises(SourceUnavailable, match="HTTP 404"):
        remote.get_json(server.url)


def test_a_failed_renewal_is_tried_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    now, answers = [0.0], iter([SourceUnavailable("down"), ("t", None)])
    monkeypatch.setattr("extenso_nb.gateway.sources.token.time.monotonic", lambda: now[0])

    def fetch() -> tuple[str, float | None]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    token = Token(fetch, pause=10)
    for _ in range(3):
        with pytest.raises(SourceUnavailable, match="down"):
            token.header()
    now[0] = 10.5
    assert token.header() == "Bearer t"


def test_what_a_source_says_is_shown_without_our_token(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    def echo(x: Any) -> None:
        said = f"bad {x.request.headers['authorization']} at https://a.b/c?X-Signature=not-to-be-shown \x1b[31m\n\nred"
        status(403, said + "x" * 5000, Content_Type="text/plain")(x)

    product = server.add(1, "none", echo)
    _, error = upto(source.remote.content("p.zip", f"{server.url}/bytes/{product}"))
    assert "bad Bearer ... at https://a.b/c [31m red" in error.message
    assert len(error.message) < 400
    assert is_clean(error)


# --- redirects -------------------------------------------------------------------------------------------------------
def test_the_token_stays_with_its_host(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "redirect to another host")
    content = source.remote.content("p.zip", f"{server.url}/bytes/{product}")
    assert read(content) == DATA
    assert [("authorization" in request.headers) for request in server.seen] == [True, False]
    assert server.leaks == []


def test_a_url_of_another_service_is_asked_without_the_token(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1)
    server.held[product].picture = b"\xff\xd8picture"
    away = f"{server.other_url}/away/{product}"
    assert read(source.remote.content("p.zip", away, authorised=False)) == DATA
    assert source.remote.get_bytes(away, authorised=False) == DATA
    assert source.remote.get_bytes(f"{server.other_url}/quicklook/{product}", authorised=False).endswith(b"picture")
    assert source.remote.get_json(f"{server.other_url}/catalogue", authorised=False)
    assert server.leaks == []
    assert server.tokens == 0


@pytest.mark.parametrize("named", ["localhost", "LOCALHOST", "port"])
def test_the_token_goes_along_to_a_trusted_host(server: ScriptedHttp, named: str) -> None:
    product = server.add(1, "redirect to another host")
    trusted = f"localhost:{server.port}" if named == "port" else named
    with contextlib.closing(ScriptedHttpSource(server, trusted_hosts=(trusted,))) as source:
        assert read(source.remote.content("p.zip", f"{server.url}/bytes/{product}")) == DATA
    assert server.leaks == [f"/away/{product}"]


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("ftp://localhost/x", "what is no http"),
        ("file:///etc/passwd", "what is no http"),
        ("http://[::1", "what is no"),
        ("http://user:pw@localhost/", "what is no http"),
        ("http://", "in a circle"),
        ("http:///x", "HTTP 404"),
        ("http://localhost:notaport/", "what is no"),
        ("\\\\localhost\\x", "HTTP 404"),
    ],
)
def test_redirects_to_nowhere_are_refused(
    server: ScriptedHttp, play: Callable[..., Content], location: str, says: str
) -> None:
    _, error = upto(play(status(302, Location=location)))
    assert isinstance(error, SourceUnavailable | IncompleteTransfer | UnknownProduct)
    assert says in error.message
    assert "pw" not in error.message
    assert server.leaks == []


def test_five_redirects_are_followed_and_no_more(server: ScriptedHttp, play: Callable[..., Content]) -> None:
    def hop(x: Any) -> None:
        count = int(x.request.target.partition("n=")[2] or 0) + 1
        x.head(307, Location=f"?{SIGNATURE}&n={count}", Content_Length=0)

    assert read(play(*[hop] * 5)) == DATA
    _, error = upto(play(*[hop] * 6))
    assert "sixth" in error.message
    assert is_clean(error)


def test_signed_urls_are_in_no_log(
    server: ScriptedHttp, source: ScriptedHttpSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    product = server.add(1, "redirect, then cut")
    content = source.remote.content("p.zip", f"{server.url}/bytes/{product}?{SIGNATURE}")
    got, (error,) = attempt(content)
    assert got == DATA
    assert is_clean(error)
    written = "\n".join(record.getMessage() for record in caplog.records)
    assert f"/away/{product}" in written, "nothing was logged: this proves nothing"
    assert "receive_response_headers.complete" in written
    assert "not-to-be-shown" not in written
    assert "secret-token" not in written
    for thing in (content, source.remote, source.token):
        assert "not-to-be-shown" not in repr(thing)
        assert "secret-token" not in repr(thing)


# --- TLS -------------------------------------------------------------------------------------------------------------
@pytest.fixture
def secure(tmp_path: Path, server: ScriptedHttp) -> Iterator[str]:
    """The address of a server with a certificate of its own making, which redirects everything to plain http."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = tmp_path / "server.pem", tmp_path / "server.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as connection:
                    target = connection.recv(65_536).split(b" ")[1].decode()
                    if target.startswith("/down"):
                        answer = f"HTTP/1.1 302 Found\r\nLocation: {server.url}/bytes{target[5:]}\r\n\r\n".encode()
                    else:  # half a body, and no farewell of TLS
                        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:100_000]
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://localhost:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_https_never_becomes_http(
    server: ScriptedHttp, secure: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    product = server.add(1)
    with Remote("far", authorise=Token(lambda: ("secret-token", None)), trusted_hosts=("127.0.0.1",)) as remote:
        _, error = upto(remote.content("p.zip", f"{secure}/down/{product}"))
        assert "from https to http" in error.message
        assert server.seen == []
        got, error = upto(remote.content("p.zip", f"{secure}/half"))
        assert (got, type(error)) == (DATA[:100_000], IncompleteTransfer)
        assert is_clean(error)


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: str) -> None:
    with Remote("far") as remote:
        _, error = upto(remote.content("p.zip", f"{secure}/half"))
    assert type(error) is SourceUnavailable
    assert "certificate verify failed" in error.message
    assert is_clean(error)


# --- nobody there ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("refused", "refused"),
        ("ftp://127.0.0.1/x", "no http"),
        ("no url at all", "no http"),
        ("http://[::1", ""),
        ("http://127.0.0.1:99999/", ""),
        ("http://" + "a" * 80 + ".invalid\x00/", ""),
        ("", ""),
    ],
)
def test_where_nobody_is(url: str, says: str) -> None:
    if url == "refused":
        with socket.create_server(("127.0.0.1", 0)) as free:
            url = f"http://127.0.0.1:{free.getsockname()[1]}/?{SIGNATURE}"
    with Remote("far", connect_seconds=2) as remote:
        for call in (lambda: read(remote.content("p.zip", url)), lambda: remote.get_json(url)):
            with pytest.raises(SourceUnavailable) as caught:
                call()
            assert says in caught.value.message.lower()
            assert is_clean(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "nonsense://user:password@proxy"),
        ("ALL_PROXY", "http://user:password@[::1"),
        ("SSL_CERT_FILE", "/nowhere/at/all.pem"),
    ],
)
def test_an_environment_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="environment") as caught:
        Remote("far")
    assert name in caught.value.hint
    assert is_clean(caught.value)


def test_no_proxy_is_asked_for_what_is_on_this_machine(server: ScriptedHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free.getsockname()[1]}")
    product = server.add(1, "redirect to another host")
    with Remote("far") as remote:
        assert read(remote.content("p.zip", f"{server.url}/bytes/{product}")) == DATA
        _, error = upto(remote.content("p.zip", "http://example.invalid/"))
        assert "refused" in error.message  # by the proxy, who is asked for everything else


def test_a_closed_source_says_so(server: ScriptedHttp) -> None:
    product = server.add(1, data=zipped(bytes(20_000_000)))
    remote = Remote("far")
    content = remote.content("p.zip", f"{server.url}/bytes/{product}")
    blocks = content.read(0)
    next(blocks)
    remote.close()
    with pytest.raises(ExtensoError) as caught:
        for _ in blocks:
            pass
    assert is_clean(caught.value)
    with pytest.raises(SourceUnavailable, match="closed"):
        next(content.read(0))
    with pytest.raises(SourceUnavailable, match="closed"):
        remote.get_json(server.url)


def answers() -> st.SearchStrategy[bytes]:
    """Bytes, mostly in the shape of an answer, with headers that do not fit together."""
    names = (b"Content-Length", b"Content-Range", b"Content-Encoding", b"Transfer-Encoding", b"Location", b"ETag")
    more = (b"Retry-After", b"Content-Type", b"Set-Cookie", b"Last-Modified", b"Cause-Message")
    numbers = (b"5", b"-1", b"0", b"99999999999999999999", b"bytes 5-9/10", b"bytes */0", b"inf")
    words = (b"gzip", b"chunked", b"\xff", b"http://localhost:1/", b"/", b'W/"x"', b'"x"', b"text/html", b"a=b")
    line = st.tuples(st.sampled_from(names + more), st.sampled_from(numbers + words)).map(b": ".join)
    code = st.sampled_from([100, 101, 199, 200, 203, 206, 301, 302, 401, 403, 416, 429, 500, 503, 999])
    bodies = (b"PK\x03\x04 and more", b'{"detail": [[[]]]}', b"5\r\nPK\x03\x04x\r\n0\r\n\r\n")
    body = st.binary(max_size=20) | st.sampled_from(bodies)
    shaped = st.builds(
        lambda status, lines, body: b"\r\n".join([b"HTTP/1.1 %d X" % status, *lines, b"", body]),
        code,
        st.lists(line, max_size=4),
        body,
    )
    return st.binary(max_size=60) | shaped


@settings(max_examples=150)
@given(head=answers(), offset=st.sampled_from([0, 5]))
def test_whatever_is_answered_only_our_errors_come_out(shared: ScriptedHttpSource, head: bytes, offset: int) -> None:
    server = shared.server
    product = server.add(9, "none", *[raw(head)] * 3, data=DATA)
    content = shared.remote.content("p.zip", f"{server.url}/bytes/{product}")
    problems = list[ExtensoError]()
    for call in (
        lambda: read(content, offset),
        lambda: shared.remote.get_bytes(f"{server.url}/bytes/{product}"),
        lambda: shared.remote.post_json(f"{server.url}/bytes/{product}", body={}),
    ):
        try:
            call()
        except ExtensoError as error:
            problems.append(error)
    assert all(is_clean(error) for error in problems)


# --- catalogues and pictures -----------------------------------------------------------------------------------------
def test_the_source_speaks_the_protocol(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    assert isinstance(source, Source)
    names = [server.add(number) for number in range(3)]
    server.held[names[0]].picture = b"\xff\xd8picture"
    hits = source.search("S2", parse("*"), start=1, rows=1, orderby="beginposition asc")
    assert (hits.total, len(hits.products)) == (3, 1)
    assert list(source.find((names[2], "nothing"))) == [names[2]]
    assert source.find((names[2],))[names[2]].size == len(DATA)
    assert source.check() == 3
    assert source.quicklook(names[0]) == b"\xff\xd8picture"
    with pytest.raises(NoQuicklook):
        source.quicklook(names[1])
    with pytest.raises(UnknownProduct):
        source.open("nothing")
    server.broken = True
    for call in (source.check, lambda: source.find((names[0],)), lambda: source.open(names[0])):
        with pytest.raises(SourceUnavailable, match="503: The catalogue is down"):
            call()


def test_a_cold_product_comes_back_when_it_is_asked_for(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "cold in the catalogue")
    for _ in range(3):
        assert not source.find((product,))[product].online
    source.warm_up(product)
    assert server.held[product].warmed == 1
    assert [source.find((product,))[product].online for _ in range(3)] == [False, True, True]
    assert read(source.open(product)) == DATA


def test_a_limit_of_connections_is_kept_by_the_server(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    server.limit = 2
    first, second, third = (server.add(number, "none", stall(0.5)) for number in range(3))
    held = [source.remote.content("p.zip", f"{server.url}/bytes/{name}").read(0) for name in (first, second)]
    for blocks in held:
        next(blocks)
    _, error = upto(source.remote.content("p.zip", f"{server.url}/bytes/{third}"))
    assert error.details["status"] == 429
    for blocks in held:
        blocks.close()  # type: ignore[attr-defined]
    assert server.most_open == 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (status(200, "no json"), "answers without JSON"),
        (page(), f'without JSON, but with a page: "{re.escape(TITLE)}"'),
        (status(200, "[" * 100_000), "answers without JSON"),
        (status(200, "\udcff".encode("utf-8", "surrogatepass").decode("latin-1")), "answers without JSON"),
        (status(503, "<html><head><title>Down &amp; out</title>"), "HTTP 503: Down & out"),
        (status(200, '"' + "x" * 2000 + '"'), "more than 1 kB"),
        (cut(0.5), "broke off|more than"),
        (silent, "no byte came"),
        (redirect_loop, "in a circle"),
    ],
)
def test_catalogues_that_fail_are_unavailable(
    server: ScriptedHttp, source: ScriptedHttpSource, line: Line, says: str
) -> None:
    limit = 1000 if "more than" in says else 10**7
    product = server.add(1, "none", line, line)
    with pytest.raises(SourceUnavailable, match=says) as caught:
        source.remote.get_json(f"{server.url}/bytes/{product}", limit=limit)
    assert is_clean(caught.value)


def test_a_page_is_no_picture(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "none", page("image/jpeg"))
    with pytest.raises(SourceUnavailable, match=f"with a page: .{re.escape(TITLE)}"):
        source.remote.get_bytes(f"{server.url}/bytes/{product}")


def test_compressed_json_is_read_and_a_bomb_is_not(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "none", gzipped, data=b'{"a": [1, 2]}')
    assert source.remote.get_json(f"{server.url}/bytes/{product}") == {"a": [1, 2]}
    product = server.add(2, "none", gzipped, data=bytes(50_000_000))
    with pytest.raises(SourceUnavailable, match="more than 1 MB"):
        source.remote.get_bytes(f"{server.url}/bytes/{product}", limit=1_000_000)


def test_what_is_posted_goes_to_no_other_host(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "none", redirect)
    with pytest.raises(SourceUnavailable, match="to another host") as caught:
        source.remote.post_json(f"{server.url}/bytes/{product}", form={"password": "x"})
    assert is_clean(caught.value)
    assert [path for _, path in server.paths if path.startswith("/away")] == []


def test_an_answer_to_a_post_may_be_empty(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1)
    assert source.remote.post_json(f"{server.url}/warm-up/{product}") is None
    with pytest.raises(UnknownProduct):
        source.remote.post_json(f"{server.url}/warm-up/nothing")


def test_unauthorised_requests_for_json_are_renewed_too(server: ScriptedHttp, source: ScriptedHttpSource) -> None:
    product = server.add(1, "none", unauthorised, data=b"[1]")
    assert source.remote.get_json(f"{server.url}/bytes/{product}") == [1]
    assert server.tokens == 2
