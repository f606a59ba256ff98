"""A real HTTP server on loopback that plays a script of faults, a source over it, and the table of all faults.

Each request for the bytes of a product takes the next line of its script; when the script is done, it is answered well
(or by `always`, where the fault stays). Whatever is sent, is sent byte by byte as the line says: this is no framework.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from scripted import product_id, zipped

from extenso_nb import products
from extenso_nb.errors import NoQuicklook, UnknownProduct
from extenso_nb.gateway.sources import Content, Hits, Limits
from extenso_nb.gateway.sources.remote import Remote, Token
from extenso_nb.models import Product
from extenso_nb.query import Query, order

BLOCK = 32_768
DATA = zipped()
"""What a product is unless it is given: one for all servers, since a zip has the time of its making in it."""
SIGNATURE = "X-Signature=not-to-be-shown"
"""In the query of every signed URL of this server; must never be seen in a message, a trail or a log."""
TITLE = "Please sign in & accept"


@dataclass
class Held:
    """A product of the server."""

    id: str
    data: bytes
    script: list[Line] = field(default_factory=list)
    always: Line | None = None
    """What is played when the script is done; None for a good answer."""
    etag: str | None = None
    modified: str | None = "Sat, 01 Jun 2024 12:00:00 GMT"
    checksums: dict[str, str] | None = None
    """What the catalogue gives; None withholds them."""
    size: int | None = None
    """What the catalogue gives; None withholds it."""
    cold: int = 0
    """Requests (looks at the catalogue after a warm-up, or for bytes) until the product is online again."""
    warmed: int = 0
    picture: bytes | None = None


class Exchange:
    """One request for the bytes of a product, and the means to answer it."""

    def __init__(self, server: ScriptedHttp, held: Held, connection: socket.socket, request: Request) -> None:
        self.server, self.held, self.connection, self.request = server, held, connection, request
        self.farewell = True
        """Whether the end of the answer is said, or the connection just goes away."""
        found = request.headers.get("range", "")
        self.offset = int(found.removeprefix("bytes=").partition("-")[0]) if found.startswith("bytes=") else 0
        condition = request.headers.get("if-range")
        if condition and condition not in {held.etag, held.modified}:
            self.offset = 0

    def place(self, at: float) -> int:
        """A byte: as it is, or as a share of the product."""
        return int(at * len(self.held.data)) if isinstance(at, float) else at

    def head(self, status: int, **headers: object) -> None:
        """The first lines, and Connection: close."""
        lines = [f"HTTP/1.1 {status} Scripted", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
        self.send("\r\n".join([*lines, "", ""]).encode(), counted=False)

    def good_head(self, *, length: int | None = -1, **headers: object) -> int:
        """The head of a good answer; where its body begins."""
        size = len(self.held.data)
        headers = {
            "Content_Type": "application/zip",
            "ETag": self.held.etag,
            "Last_Modified": self.held.modified,
            "Accept_Ranges": "bytes",
            "Content_Length": size - self.offset if length == -1 else length,
        } | headers
        if self.offset:
            headers = {"Content_Range": f"bytes {self.offset}-{size - 1}/{size}"} | headers
        self.head(206 if self.offset else 200, **headers)
        return self.offset

    def body(self, start: int, end: int | None = None, data: bytes | None = None) -> None:
        """Bytes of the product, or of other data, from a place to another."""
        content = self.held.data if data is None else data
        end = len(content) if end is None else min(end, len(content))
        for place in range(start, end, BLOCK):
            self.send(content[place : min(place + BLOCK, end)])

    def send(self, block: bytes, *, counted: bool = True) -> None:
        view = memoryview(block)
        while view:
            sent = self.connection.send(view)
            view = view[sent:]
            if counted:
                self.server.note_sent(self.held.id, sent)

    def until_gone(self, seconds: float = 30.0) -> None:
        """Send nothing until the other end has hung up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.server.stopped.is_set():
            if select.select([self.connection], [], [], 0.02)[0]:
                return

    def gone(self) -> bool:
        return bool(select.select([self.connection], [], [], 0)[0])


Line = Callable[[Exchange], None]


# --- lines -----------------------------------------------------------------------------------------------------------
def well(x: Exchange) -> None:
    if x.offset >= len(x.held.data):
        x.head(416, Content_Range=f"bytes */{len(x.held.data)}", Content_Length=0)
    else:
        x.body(x.good_head())


def cut(at: float = 0.6, *, reset: bool = False) -> Line:
    """The connection ends at a byte, although more was announced."""

    def play(x: Exchange) -> None:
        x.body(x.good_head(), x.place(at))
        if reset:
            x.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            x.farewell = False

    return play


def wrong_byte(at: float = 0.5) -> Line:
    def play(x: Exchange) -> None:
        place = x.place(at)
        data = x.held.data[:place] + bytes([x.held.data[place] ^ 1]) + x.held.data[place + 1 :]
        x.body(x.good_head(), data=data)

    return play


def short_body(x: Exchange) -> None:
    """All bytes, but more were announced."""
    start = x.good_head(length=len(x.held.data) - x.offset + 1000)
    x.body(start)


def long_body(x: Exchange) -> None:
    """All bytes, as announced, and then what looks like the beginning of another answer."""
    x.body(x.good_head())
    x.send(b"HTTP/1.1 200 Forged\r\nContent-Length: 6\r\n\r\nforged" + b"x" * 100, counted=False)


def no_length(upto: float = 1.0) -> Line:
    """No Content-Length: the end of the connection is the end of the body. Without Range, as it is with such servers."""

    def play(x: Exchange) -> None:
        x.offset = 0
        x.good_head(length=None)
        x.body(0, x.place(upto))

    return play


def chunked(upto: float = 1.0, extra: bytes = b"") -> Line:
    """No Content-Length, in chunks; without the last one when it is cut."""

    def play(x: Exchange) -> None:
        x.offset = 0
        x.good_head(length=None, Transfer_Encoding="chunked")
        end = x.place(upto)
        content = x.held.data + extra if upto == 1.0 else x.held.data[:end]
        for place in range(0, len(content), BLOCK):
            block = content[place : place + BLOCK]
            x.send(f"{len(block):x}\r\n".encode(), counted=False)
            x.send(block)
            x.send(b"\r\n", counted=False)
        if upto == 1.0:
            x.send(b"0\r\n\r\n", counted=False)

    return play


def status(code: int, body: str = "", **headers: object) -> Line:
    def play(x: Exchange) -> None:
        text = body.encode()
        x.head(code, **{"Content_Type": "application/json", "Content_Length": len(text)} | headers)
        x.send(text, counted=False)

    return play


def in_future(seconds: float) -> str:
    """A date for Retry-After."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def unauthorised(x: Exchange) -> None:
    """The token that was good is not any more."""
    x.server.expire_token()
    status(401, '{"code": "DAT-ZIP-109", "detail": "Token is expired"}')(x)


def quota(x: Exchange) -> None:
    said = "User offline products retrieval quota exceeded (20 fetches max)"
    status(403, f"<html><title>Forbidden</title>{said}</html>", cause_message=said, Content_Type="text/html")(x)


def cold(after: float | None = 0.2) -> Line:
    return status(202, Retry_After=after)


def stall(at: float = 0.5) -> Line:
    """Nothing more comes from a byte on, and the connection stays."""

    def play(x: Exchange) -> None:
        x.body(x.good_head(), x.place(at))
        x.until_gone()

    return play


def silent(x: Exchange) -> None:
    """No answer at all."""
    x.until_gone()


def slow(seconds: float = 0.3, pieces: int = 6) -> Line:
    """All of it, slowly, but fast enough."""

    def play(x: Exchange) -> None:
        start = x.good_head()
        step = max((len(x.held.data) - start) // pieces, 1)
        for place in range(start, len(x.held.data), step):
            x.body(place, place + step)
            x.server.stopped.wait(seconds / pieces)

    return play


def drip(x: Exchange) -> None:
    """A byte every now and then, so that no single wait is too long; until the other end has had enough."""
    place = x.good_head()
    end = time.monotonic() + 30
    while time.monotonic() < end and place < len(x.held.data) and not x.gone() and not x.server.stopped.is_set():
        x.body(place, place + 1)
        place += 1
        x.server.stopped.wait(0.02)


def endless(piece: bytes) -> Line:
    """The head of an answer that does not end; until the other end has had enough."""

    def play(x: Exchange) -> None:
        x.send(b"HTTP/1.1 102 Processing\r\n", counted=False)
        end = time.monotonic() + 30
        while time.monotonic() < end and not x.gone() and not x.server.stopped.is_set():
            x.send(piece, counted=False)
            x.server.stopped.wait(0.05)

    return play


def redirect(x: Exchange) -> None:
    """To a signed URL at another host, as object stores have them."""
    x.head(302, Location=f"{x.server.other_url}/away/{x.held.id}?{SIGNATURE}", Content_Length=0)


def redirect_loop(x: Exchange) -> None:
    x.head(302, Location=f"{x.server.url}/bytes/{x.held.id}?{SIGNATURE}", Content_Length=0)


def range_ignored(x: Exchange) -> None:
    x.offset = 0
    well(x)


def truncated(share: float = 0.7) -> Line:
    """A zip that is cut short, with the length that it has."""

    def play(x: Exchange) -> None:
        data = x.held.data[: x.place(share)]
        headers = {} if not x.offset else {"Content_Range": f"bytes {x.offset}-{len(data) - 1}/{len(data)}"}
        x.body(x.good_head(length=len(data) - x.offset, **headers), data=data)

    return play


def page(kind: str = "text/html; charset=utf-8") -> Line:
    """A page in place of the product, with status 200."""

    def play(x: Exchange) -> None:
        text = f"<!DOCTYPE html>\n<html><head><title>\n {escape(TITLE)} </title></head><body>{'x' * 5000}</body></html>".encode()
        x.head(200, Content_Type=kind, Content_Length=len(text))
        x.send(text)

    return play


def changed(*, obeys: bool = True, **headers: object) -> Line:
    """Another object of the same size; `obeys` If-Range and sends it whole, or sends the part that was asked for."""

    def play(x: Exchange) -> None:
        data = x.held.data[:4] + x.held.data[4:].translate(bytes(255 - value for value in range(256)))
        if obeys:
            x.offset = 0
        x.body(x.good_head(**{"ETag": '"another"', "Last_Modified": in_future(0)} | headers), data=data)

    return play


def wrong_range(by: int = -100) -> Line:
    """Bytes from another place than asked for; they say so."""

    def play(x: Exchange) -> None:
        size = len(x.held.data)
        start = max(x.offset + by, 1)
        x.head(206, Content_Range=f"bytes {start}-{size - 1}/{size}", Content_Length=size - start, ETag=x.held.etag)
        x.body(start)

    return play


def gzipped(x: Exchange) -> None:
    """Compressed on the way, although nobody asked for it. Without Range."""
    data = gzip.compress(x.held.data, 1)
    x.head(200, Content_Type="application/zip", Content_Encoding="gzip", Content_Length=len(data), ETag=x.held.etag)
    x.send(data)


def other_encoding(x: Exchange) -> None:
    x.head(200, Content_Type="application/zip", Content_Encoding="br", Content_Length=len(x.held.data))
    x.body(0)


def raw(answer: bytes, *, then_wait: bool = False) -> Line:
    """Any bytes at all."""

    def play(x: Exchange) -> None:
        x.send(answer, counted=False)
        if then_wait:
            x.until_gone()

    return play


def too_many(after: object = 0.2) -> Line:
    return status(429, '{"detail": {"message": "Max session number 4 exceeded."}}', Retry_After=after)


# --- the table -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Fault:
    """What goes wrong with a product at one source. Give it to `ScriptedHttp.add`."""

    script: tuple[Line, ...] = ()
    always: Line | None = None
    expects: Literal["passes", "stays"] = "passes"
    """Whether the source can deliver the product by itself in the end, when asked often enough."""
    checksums: bool = True
    """Whether the catalogue gives checksums."""
    size: bool = True
    """Whether the catalogue gives the size."""
    lies: tuple[str, ...] = ()
    """What the catalogue gives wrong: "checksums", "size"."""
    cold: int = 0
    """As `Held.cold`: the catalogue says that it is offline."""


def _stays(line: Line, **more: Any) -> Fault:
    return Fault(always=line, expects="stays", **more)


FAULTS: dict[str, Fault] = {
    "none": Fault(),
    # connections
    "cut once": Fault((cut(0.6),)),
    "cut thrice": Fault((cut(0.3), cut(0.6), cut(0.9))),
    "cut by reset": Fault((cut(0.6, reset=True),)),
    "cut before the first byte": Fault((cut(0),)),
    "cut always at the same byte": _stays(cut(0.6)),
    "announces more than it sends": Fault((short_body,)),
    "announces more than it sends, size withheld": Fault((short_body,), size=False),
    "sends more than it announces": Fault((long_body,)),
    "stall": Fault((stall(0.5),)),
    "no answer": Fault((silent,)),
    "no answer but 102": Fault((endless(b"\r\nHTTP/1.1 102 Processing\r\n"),)),
    "slow": Fault((slow(0.3),)),
    "drip": Fault((drip,)),
    # lengths
    "no length, whole": Fault((no_length(),)),
    "no length, truncated": Fault((no_length(0.6),)),
    "no length, truncated, size withheld": Fault((no_length(0.6),), size=False),
    "no length, truncated, nothing known": Fault((no_length(0.6),), size=False, checksums=False),
    "no length, truncated always, nothing known": _stays(no_length(0.6), size=False, checksums=False),
    "chunked, whole": Fault((chunked(),)),
    "chunked, truncated": Fault((chunked(0.6),), size=False),
    "chunked, too long": Fault((chunked(extra=b"more"),)),
    # wrong bytes
    "wrong byte": Fault((wrong_byte(0.5),)),
    "wrong byte, checksums withheld": Fault((wrong_byte(0.5),), checksums=False),
    "wrong byte always": _stays(wrong_byte(0.5)),
    "wrong byte always, checksums withheld": _stays(wrong_byte(0.5), checksums=False),
    "lying checksum": Fault(expects="stays", lies=("checksums",)),
    "lying size": Fault(expects="stays", lies=("size",)),
    "truncated zip": Fault((truncated(),)),
    "truncated zip, nothing known": Fault((truncated(),), size=False, checksums=False),
    "truncated zip always": _stays(truncated()),
    "truncated zip always, nothing known": _stays(truncated(), size=False, checksums=False),
    "page in place of a zip": Fault((page(),)),
    "page that says it is a zip": Fault((page("application/zip"),)),
    "page always": _stays(page()),
    "page always, nothing known": _stays(page("application/zip"), size=False, checksums=False),
    "gzip that nobody asked for": Fault((gzipped,)),
    "encoding that nobody knows": Fault((other_encoding,)),
    # resuming
    "range ignored": Fault((cut(0.6), range_ignored)),
    "wrong range": Fault((cut(0.6), wrong_range())),
    "changed on resume": Fault((cut(0.6), changed())),
    "changed on resume, If-Range ignored": Fault((cut(0.6), changed(obeys=False))),
    # refusals
    "503 twice": Fault((status(503), status(503))),
    "503 with Retry-After": Fault((status(503, Retry_After=0.2),)),
    "503 always": _stays(status(503)),
    "429 with Retry-After": Fault((too_many(),)),
    "401 once": Fault((unauthorised,)),
    "401 always": _stays(unauthorised),
    "403 quota": Fault((quota,)),
    "403 quota always": _stays(quota),
    "404": Fault((status(404),)),
    "404 always": _stays(status(404)),
    "410 always": _stays(status(410)),
    "400 always": _stays(status(400, '{"detail": [{"msg": "bad id", "loc": ["path"]}]}')),
    "500 once": Fault((status(500),)),
    # cold
    "cold, found out late": Fault((cold(), cold())),
    "cold in the catalogue": Fault(cold=2),
    # redirects
    "redirect to another host": Fault((redirect,)),
    "redirect, then cut": Fault((redirect, cut(0.6), redirect)),
    "redirect loop": Fault((redirect_loop,) * 2),
    "redirect loop always": _stays(redirect_loop),
}


# --- the server ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


@dataclass(frozen=True)
class Reply:
    """What a `site` answers."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @classmethod
    def json(cls, body: object, status: int = 200, **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps(body).encode(), {"Content-Type": "application/json"} | given)


class ScriptedHttp:
    """The server. Use it in `with`, or `close` it."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.requests: Counter[str] = Counter()
        """Requests for the bytes of each product."""
        self.sent: Counter[str] = Counter()
        """Bytes of each product that were taken by the connection."""
        self.paths: list[tuple[str, str]] = []
        """Method and path of every request, in order."""
        self.seen: list[Request] = []
        """Every request for bytes, in order."""
        self.leaks: list[str] = []
        """Paths of requests to the other host that had an Authorization header."""
        self.most_open = 0
        """Requests for bytes that were answered at the same time, at most."""
        self.connections = 0
        """Connections that are open now."""
        self.limit: int | None = None
        """Requests for bytes at the same time, beyond which the answer is 429."""
        self.abandoned = 0
        """Answers that the other end did not take to their end."""
        self.broken = False
        """Whether the catalogue answers 503."""
        self.wants_token = False
        """Whether bytes are given only to those who send the token."""
        self.tokens = 0
        """Tokens given out so far; the last one is good."""
        self.site: Callable[[Request], Reply | None] | None = None
        """What else the server answers: its catalogue, its tokens, in the words of an archive. None: not found."""
        self.bytes_at: Callable[[Request], str | None] | None = None
        """Which held product (or file of one) a request asks for the bytes of, beside those at /bytes/<id>."""
        self.stopped = threading.Event()
        self._open = 0
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.other_url = f"http://localhost:{self.port}"
        """Another host, as far as HTTP is concerned."""
        self._spawn(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for connection in self._sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "the scripted server does not end"

    # -- what is held ------------------------------------------------------------------------------------------------
    def add(self, number: int | str, fault: Fault | str = "none", *script: Line, data: bytes | None = None) -> str:
        """Hold a product, with a fault (or the name of one) or lines of one's own. Gives its identifier."""
        fault = FAULTS[fault] if isinstance(fault, str) else fault
        name = number if isinstance(number, str) else product_id(number)
        content = DATA if data is None else data
        digests = {"MD5": hashlib.md5(content).hexdigest(), "SHA3-256": hashlib.sha3_256(content).hexdigest()}
        if "checksums" in fault.lies:
            digests = {algorithm: digest[::-1] for algorithm, digest in digests.items()}
        self.held[name] = Held(
            name,
            content,
            list(script or fault.script),
            fault.always,
            etag=f'"{hashlib.md5(content).hexdigest()}"',
            checksums=digests if fault.checksums else None,
            size=len(content) + (7 if "size" in fault.lies else 0) if fault.size else None,
            cold=fault.cold,
        )
        return name

    def note_sent(self, name: str, count: int) -> None:
        with self._lock:
            self.sent[name] += count

    def settle(self) -> None:
        """Wait until nothing is answered any more; the counts are then those of all that was sent."""
        end = time.monotonic() + 10
        while self._open and time.monotonic() < end:
            time.sleep(0.002)

    def give_token(self) -> str:
        """A new token; those before it are good no more."""
        with self._lock:
            self.tokens += 1
            self._good = self.tokens
        return self.token

    def expire_token(self) -> None:
        """The token that was given out last is good no more."""
        with self._lock:
            self._good = -1

    _good = -1

    @property
    def token(self) -> str:
        return f"secret-token-{self._good}"

    # -- connections -------------------------------------------------------------------------------------------------
    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="scripted-http", daemon=True)
        with self._lock:
            self._threads = [known for known in self._threads if known.is_alive() or known.ident is None]
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets.add(connection)
                self.connections += 1
            self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while (request := _read(stream)) is not None:
                    if not self._answer(connection, request):
                        return
        except (ConnectionError, TimeoutError):
            with self._lock:
                self.abandoned += 1
        except (OSError, ValueError):
            if not self.stopped.is_set():
                raise
        finally:
            with self._lock:
                self._sockets.discard(connection)
                self.connections -= 1

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        """Whether the connection goes on."""
        with self._lock:
            self.paths.append((request.method, request.path))
            if request.headers.get("host", "").startswith("localhost") and "authorization" in request.headers:
                self.leaks.append(request.path)
        kind, _, name = request.path.lstrip("/").partition("/")
        if kind in {"bytes", "away"} and name in self.held:
            self._play(connection, request, self.held[name], signed=kind == "away")
            return False
        if self.bytes_at is not None and (asked := self.bytes_at(request)) is not None:
            self._play(connection, request, self.held[asked], signed=False)
            return False
        if self.site is not None and (reply := self.site(request)) is not None:
            lines = [f"{key}: {value}" for key, value in reply.headers.items()]
            head = "\r\n".join(
                [f"HTTP/1.1 {reply.status} Scripted", *lines, f"Content-Length: {len(reply.body)}", "", ""]
            )
            connection.sendall(head.encode() + reply.body)
            return True
        code, body, content_type = self._small(kind, name, request)
        head = f"HTTP/1.1 {code} Scripted\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return True

    def _play(self, connection: socket.socket, request: Request, held: Held, *, signed: bool) -> None:
        with self._lock:
            self.requests[held.id] += 1
            self.seen.append(request)
            self._open += 1
            self.most_open = max(self.most_open, self._open)
            over = self.limit is not None and self._open > self.limit
            known = request.headers.get("authorization") == f"Bearer {self.token}" and self._good > 0
            if signed:
                known = SIGNATURE in request.target
            if over:
                line = too_many()
            elif not known and self.wants_token:
                line = status(401, '{"detail": "Token is expired"}')
            elif held.cold:
                held.cold -= 1
                line = cold()
            else:
                line = held.script.pop(0) if held.script else held.always or well
        try:
            exchange = Exchange(self, held, connection, request)
            line(exchange)
            if exchange.farewell:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
        finally:
            with self._lock:
                self._open -= 1

    # -- everything but bytes ----------------------------------------------------------------------------------------
    def _small(self, kind: str, name: str, request: Request) -> tuple[int, bytes, str]:
        query = parse_qs(urlsplit(request.target).query)
        match request.method, kind:
            case "POST", "token":
                if b"password=right" not in request.body:
                    said = {"error": "invalid_grant", "error_description": "Invalid user credentials"}
                    return _json(401, said)
                return _json(200, {"access_token": self.give_token(), "expires_in": 600})
            case _ if self.broken:
                return _json(503, {"detail": "The catalogue is down."})
            case "POST", "warm-up" if name in self.held:
                self.held[name].warmed += 1
                return 202, b"", "application/json"
            case "GET", "catalogue":
                wanted = query["ids"][0].split(",") if "ids" in query else list(self.held)
                return _json(200, {"products": [self._entry(self.held[key]) for key in wanted if key in self.held]})
            case "GET", "quicklook" if name in self.held and (picture := self.held[name].picture):
                return 200, picture, "image/jpeg"
        return _json(404, {"detail": f"{name or kind} is not here."})

    def _entry(self, held: Held) -> dict[str, Any]:
        with self._lock:
            if held.cold and held.warmed:
                held.cold -= 1
            sums = [{"Algorithm": name, "Value": value} for name, value in (held.checksums or {}).items()]
            return {
                "Name": held.id,
                "ContentLength": held.size or 0,
                "Online": not held.cold,
                "Checksum": sums,
                "DownloadLink": f"{self.url}/bytes/{held.id}",
            }


def _json(code: int, body: object) -> tuple[int, bytes, str]:
    return code, json.dumps(body).encode(), "application/json"


def _read(stream: Any) -> Request | None:
    first = stream.readline(65_536)
    if not first:
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := stream.readline(65_536).strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(method, target, headers, stream.read(int(headers.get("content-length", 0))))


# --- the source ------------------------------------------------------------------------------------------------------
class ScriptedHttpSource:
    """The protocol of sources over a scripted server, by `Remote` as the real ones."""

    def __init__(
        self,
        server: ScriptedHttp,
        name: str = "scripted-http",
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        password: str = "right",
        stall_seconds: float = 0.5,
        trusted_hosts: tuple[str, ...] = (),
    ) -> None:
        self.server, self.name, self.limits = server, name, limits
        self.warmed: list[str] = []
        self.opened: list[str] = []
        self._password = password
        self.token = Token(self._fetch)
        self.remote = Remote(
            name,
            authorise=self.token,
            trusted_hosts=trusted_hosts,
            connect_seconds=5,
            stall_seconds=stall_seconds,
        )

    def close(self) -> None:
        self.remote.close()

    def _fetch(self) -> tuple[str, float]:
        form = {"grant_type": "password", "username": "someone", "password": self._password}
        answer = self.remote.post_json(f"{self.server.url}/token", form=form, authorised=False)
        return answer["access_token"], answer["expires_in"]

    def _entries(self, product_ids: tuple[str, ...] | None = None) -> dict[str, dict[str, Any]]:
        query = "" if product_ids is None else f"?ids={','.join(product_ids)}"
        found = self.remote.get_json(f"{self.server.url}/catalogue{query}")["products"]
        return {item["Name"]: item for item in found}

    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        held = [self._product(item) for item in self._entries().values()]
        found = order([item for item in held if item.collection == collection and query.matches(item)], orderby)
        return Hits(len(found), tuple(found[start : start + rows]))

    def find(self, product_ids: tuple[str, ...]) -> dict[str, Product]:
        return {name: self._product(item) for name, item in self._entries(product_ids).items()}

    def _product(self, item: dict[str, Any]) -> Product:
        moment = datetime(2024, 6, 1, 10, 56, 19, tzinfo=UTC)
        return Product(
            id=item["Name"],
            uuid=item["Name"][-6:],
            collection=products.parse(item["Name"]).collection,
            platform="Sentinel-2B",
            instrument="MSI",
            product_type="S2MSI2A",
            processing_level="L2A",
            begin_position=moment,
            end_position=moment,
            ingestion_date=moment,
            size=item["ContentLength"] or 1_000_000,
            size_estimated=not item["ContentLength"],
            online=item["Online"],
            sources=(self.name,),
        )

    def warm_up(self, product_id: str) -> None:
        self.warmed.append(product_id)
        self.remote.post_json(f"{self.server.url}/warm-up/{product_id}")

    def open(self, product_id: str) -> Content:
        self.opened.append(product_id)
        item = self._entries((product_id,)).get(product_id)
        if item is None:
            raise UnknownProduct(f"{product_id} is not here.")
        return self.remote.content(
            f"{product_id}.SAFE.zip",
            item["DownloadLink"],
            size=item["ContentLength"],
            checksums=[(entry["Algorithm"], entry["Value"]) for entry in item["Checksum"]],
        )

    def quicklook(self, product_id: str) -> bytes:
        try:
            return self.remote.get_bytes(f"{self.server.url}/quicklook/{product_id}")
        except UnknownProduct:
            raise NoQuicklook(f"{product_id} has no picture.") from None

    def check(self) -> int:
        return len(self._entries())


@contextlib.contextmanager
def scripted_http(name: str = "scripted-http", **settings: Any) -> Iterator[ScriptedHttpSource]:
    """A source over a server of its own."""
    with ScriptedHttp() as server, contextlib.closing(ScriptedHttpSource(server, name, **settings)) as source:
        yield source
