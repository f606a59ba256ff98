"""The client against a scripted far end on a real loopback socket; each test for `Client` and for `AsyncClient`."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import pickle
import socket
import threading
import time
import traceback
import typing
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb import errors, query, wire
from extenso_nb.client import AsyncClient, Client
from extenso_nb.client import exchange as exchange_module
from extenso_nb.client import verbs as verbs_module
from extenso_nb.client.auth import Credentials
from extenso_nb.client.drive import Exclusive, Reply, Send, Sleep, Unanswered, bare, verb
from extenso_nb.client.inputs import delivery_ids, order_id, product_ids
from extenso_nb.models import BucketProperties, Delivery, Order, Page, Product
from extenso_nb.progress import Progress
from extenso_nb.retry import POLL, Retry

KEY = "apikey-7f3c-do-not-show"
TOKEN = "token-91aa-do-not-show"
QUICK = Retry(attempts=4, first=0.001, factor=1, longest=0.002)
NOW = "2024-06-01T10:00:00Z"
S2 = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | None


class FarEnd:
    """A gateway of one page: `answers[method path]` is an answer, a list of them in turn, or a function."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.seen: list[SimpleNamespace] = []
        self.lock = threading.Lock()
        self.tokens = 0
        self.lasts: float = 3600
        self.answers["POST " + wire.TOKEN_PATH] = self.login
        far = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                parts = urlsplit(self.path)
                asked = SimpleNamespace(
                    method=self.command, path=parts.path, query=parse_qs(parts.query), headers=self.headers, body=body
                )
                with far.lock:
                    far.seen.append(asked)
                    found = far.answers.get(f"{asked.method} {parts.path}", (404, None))
                    if isinstance(found, list):
                        found = found.pop(0) if len(found) > 1 else found[0]
                result = found(asked) if callable(found) else found
                if result is None:  # take the request and say nothing
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, content, headers = (*result, {})[:3]
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                raw = b"" if content is None else raw
                self.send_response(status)
                kind = "application/json" if not isinstance(content, bytes) else "application/octet-stream"
                for name, value in {"content-type": kind, **headers}.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_DELETE = answer

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def login(self, asked: SimpleNamespace) -> Answer:
        form = dict(parse_qsl(asked.body.decode()))
        if form != {"apikey": KEY, "grant_type": "api_key", "client_id": "IDP"}:
            return error(403, errors.InvalidApiKey.code, "no such key")
        self.tokens += 1
        return 200, {"access_token": f"{TOKEN}-{self.tokens}", "expires_in": self.lasts, "token_type": "Bearer"}

    def on(self, name: str, answer: Any, **path: object) -> None:
        verb_ = wire.VERBS[name]
        self.answers[f"{verb_.method} {verb_.url(**path)}"] = answer

    def asked(self, name: str, **path: object) -> list[SimpleNamespace]:
        verb_ = wire.VERBS[name]
        return [item for item in self.seen if (item.method, item.path) == (verb_.method, verb_.url(**path))]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def error(status: int, code: int, message: str = "no", headers: dict[str, str] | None = None, **details: Any) -> Answer:
    body = {"correlationId": "c-1", "hint": "h", "internalCode": code, "message": message, "details": details}
    return status, body, headers or {}


def order(status: str = "running", number: int = 7, **more: Any) -> dict[str, Any]:
    return {"id": number, "status": status, "createdAt": NOW, "updatedAt": NOW, "products": [S2], "size": 10} | more


def delivery(status: str = "queued", n: int = 1, number: int = 7, **more: Any) -> dict[str, Any]:
    ids = {"id": f"{number}-{n}", "orderId": number, "productId": S2, "status": status, "size": 10}
    return ids | {"createdAt": NOW, "updatedAt": NOW} | more


def product(name: str) -> dict[str, Any]:
    moments = dict.fromkeys(("beginPosition", "endPosition", "ingestionDate"), NOW)
    return {
        "id": name,
        "uuid": name,
        "collection": "S2",
        "platform": "Sentinel-2B",
        "instrument": "MSI",
        "productType": "S2MSI2A",
        "processingLevel": "L2A",
    } | moments


def page(items: list[Any], start: int = 0, total: int | None = None) -> Answer:
    count = len(items) if total is None else total
    return 200, {"itemsPerPage": 100, "startIndex": start, "totalResults": count, "data": items}


ACCOUNT = {"id": "u", "name": "Ada", "storage": {"quota": 10, "used": 1, "reserved": 2, "free": 7}}
ESTIMATE = {
    "products": [{"id": S2, "size": 5}],
    "total": 5,
    "storageBefore": ACCOUNT["storage"],
    "storageAfter": ACCOUNT["storage"],
    "fits": True,
}


@pytest.fixture
def far() -> Iterator[FarEnd]:
    far = FarEnd()
    yield far
    far.close()


Body = Callable[[Any], Generator[Any, Any, Any]]


class Flavour:
    """Runs one test body with either client: the body yields what a verb gives, and is sent its result."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def run(self, body: Body, url: str, **settings: Any) -> Any:
        settings = {"api_key": KEY, "retry": QUICK, "timeout": 5.0, **settings}
        if self.kind == "async":
            return asyncio.run(self._async(body, url, settings))
        with Client(url, **settings) as client:
            return self._steps(body(client), lambda value: value)

    @staticmethod
    def _steps(steps: Generator[Any, Any, Any], get: Callable[[Any], Any]) -> Any:
        try:
            value = next(steps)
            while True:
                value = steps.send(get(value))
        except StopIteration as stop:
            return stop.value

    @staticmethod
    async def _async(body: Body, url: str, settings: dict[str, Any]) -> Any:
        async with AsyncClient(url, **settings) as client:
            steps = body(client)
            try:
                value = next(steps)
                while True:
                    value = steps.send(await value)
            except StopIteration as stop:
                return stop.value

    def one(self, call: Callable[[Any], Any], url: str, **settings: Any) -> Any:
        def body(client: Any) -> Generator[Any, Any, Any]:
            return (yield call(client))

        return self.run(body, url, **settings)


@pytest.fixture(params=["sync", "async"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    return Flavour(request.param)


# --- one API, two flavours -------------------------------------------------------------------------------------------
RENAMED = {
    "create_order": "order",
    "order": "status",
    "delivery": "status",
    "order_deliveries": "deliveries",
    "search": "search_page",
}


def test_each_verb_of_the_wire_has_a_method_in_both() -> None:
    for name in wire.VERBS:
        method = RENAMED.get(name, name)
        assert inspect.isfunction(getattr(Client, method))
        assert inspect.iscoroutinefunction(getattr(AsyncClient, method))
    assert inspect.isfunction(Client.search)
    assert inspect.isfunction(Client.wait)


def public_verbs() -> list[str]:
    return [name for name, value in vars(verbs_module.Verbs).items() if isinstance(value, verb)]


def test_signatures_names_and_docstrings_are_equal_and_those_of_the_steps() -> None:
    assert len(public_verbs()) == 20
    for name in public_verbs():
        plain, awaitable = getattr(Client, name), getattr(AsyncClient, name)
        steps = vars(verbs_module.Verbs)[name].steps
        assert inspect.signature(plain) == inspect.signature(awaitable)
        assert plain.__name__ == awaitable.__name__ == name
        assert plain.__doc__ == awaitable.__doc__ == steps.__doc__
        assert len(steps.__doc__) > 20
        assert list(inspect.signature(plain).parameters) == list(inspect.signature(steps).parameters)
        assert "Steps" not in str(inspect.signature(plain))
    assert inspect.signature(Client.wait).return_annotation == "Order"
    assert inspect.signature(Client.download).return_annotation == "list[Path]"
    assert typing.get_type_hints(Client.orders)["return"] == list[Order]


def test_help_shows_the_verbs_as_methods() -> None:
    import pydoc

    shown = pydoc.render_doc(Client, renderer=pydoc.plaintext)
    assert "download(" in shown
    assert "list[Path]" in shown
    assert "drive(" not in shown
    assert "A file appears under its name only when size and checksum are right" in shown
    assert "async wait(" in pydoc.render_doc(AsyncClient, renderer=pydoc.plaintext)


def test_public_signatures_name_no_httpx_type() -> None:
    for name in [*public_verbs(), "__init__", "close", "aclose"]:
        for kind in (Client, AsyncClient):
            method = getattr(kind, name, None)
            assert method is None or "httpx" not in str(inspect.signature(method))


@pytest.mark.slow
def test_mypy_understands_both_flavours(tmp_path: Any) -> None:
    api = pytest.importorskip("mypy.api")
    script = tmp_path / "user.py"
    script.write_text(
        "from pathlib import Path\n"
        "from extenso_nb.client import AsyncClient, Client\n"
        "from extenso_nb.models import Order\n"
        "def plain(c: Client) -> list[Path]:\n"
        "    done: Order = c.wait(7, timeout=3)\n"
        "    return c.download(done, 'x')\n"
        "async def other(c: AsyncClient) -> list[Path]:\n"
        "    done: Order = await c.wait(7, timeout=3)\n"
        "    return await c.download(done, 'x')\n"
        "def wrong(c: Client) -> None:\n"
        "    c.wait(7, patience=3)\n"
        "def forgot(c: AsyncClient) -> Order:\n"
        "    return c.wait(7)\n"
    )
    out, err, _ = api.run(
        ["--strict", "--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}", "--no-error-summary", str(script)]
    )
    places = [line.split(":")[1] for line in out.splitlines() if ": error:" in line]
    assert places == ["11", "13"], out + err


def test_every_verb_asks_what_the_wire_says(far: FarEnd, flavour: Flavour, tmp_path: Any) -> None:
    """Each verb against its own path, with the query parameters that the wire allows and no others."""
    d, o = {"order_id": 7, "delivery_id": "7-1"}, {"order_id": 7}
    metadata = {"product": product(S2), "key": "k", "size": 1, "checksums": {}, "source": "s", "deliveredAt": NOW}
    far.on("health", (200, {"status": "ok", "version": "1"}))
    far.on("me", (200, ACCOUNT))
    far.on("search", page([product(S2)]), collection="S2")
    far.on("search_ids", page([S2]), collection="S2")
    far.on("estimate", (200, ESTIMATE))
    far.on("create_order", (201, order("queued")))
    far.on("orders", page([order()]))
    far.on("order", (200, order()), **o)
    far.on("cancel", (200, order("cancelled")), **o)
    far.on("delete", (204, None), **o)
    far.on("deliveries", page([delivery()]))
    far.on("order_deliveries", page([delivery(), delivery("failed", 2)]), **o)
    far.on("delivery", (200, delivery()), **d)
    far.on("metadata", (200, metadata), **d)
    far.on("download_url", (200, {"url": far.url + "/files/x?sig=1", "expiresAt": NOW}), **d)
    far.on("index", (200, b"extenso-index 1"), **d)
    far.on("quicklook", (200, PNG), product_id=S2)
    far.on("thumbnail", (200, PNG), product_id=S2)

    def body(c: Any) -> Generator[Any, Any, None]:
        assert (yield c.health()).status == "ok"
        assert "authorization" not in far.asked("health")[0].headers
        assert (yield c.login()) is None
        assert (yield c.me()).storage.free == 7
        assert (yield c.search_page("s2", q="platformname:Sentinel-2")).data[0].id == S2
        assert (yield c.search_ids("Sentinel-2", q="*", limit=5)) == [S2]
        assert (yield c.estimate([S2 + ".SAFE"])).total == 5
        assert (yield c.order(S2)).id == 7
        assert [item.id for item in (yield c.orders())] == [7]
        assert (yield c.status(7)).status == "running"
        assert (yield c.status("7")).status == "running"
        assert (yield c.status("7-1")).status == "queued"
        assert (yield c.cancel(7)).status == "cancelled"
        assert (yield c.delete(7)) is None
        assert len((yield c.deliveries(status="queued"))) == 1
        assert [item.id for item in (yield c.deliveries(7))] == ["7-1", "7-2"]
        assert [item.id for item in (yield c.deliveries(7, status="failed"))] == ["7-2"]
        assert (yield c.metadata("7-1")).source == "s"
        assert (yield c.index("7-1")) == b"extenso-index 1"
        signed = yield c.download_url("7-1")
        assert signed.url.endswith("?sig=1")
        assert (yield c.quicklook(S2)) == PNG
        assert (yield c.thumbnail(Product.from_wire(product(S2)))) == PNG

    flavour.run(body, far.url)
    allowed = {
        (v.method, v.url(collection="S2", product_id=S2, **d) if v.parameters else v.url()): v
        for v in wire.VERBS.values()
    }
    asked = {(item.method, item.path) for item in far.seen}
    assert {allowed[place].name for place in asked} == set(wire.VERBS) - {"download"}  # that one: test_51
    for item in far.seen:
        verb_ = allowed[(item.method, item.path)]
        assert set(item.query) <= set(verb_.query)
        assert ("authorization" in item.headers) == verb_.token
    assert json.loads(far.asked("estimate")[0].body) == {"products": [S2]}
    assert far.asked("deliveries")[0].query["status"] == ["queued"]


def test_plain_client_works_inside_a_running_loop(far: FarEnd) -> None:
    far.on("me", (200, ACCOUNT))

    async def cell() -> str:
        with Client(far.url, api_key=KEY) as client:
            return client.me().name

    assert asyncio.run(cell()) == "Ada"


# --- token -----------------------------------------------------------------------------------------------------------
def test_token_is_bought_once_and_kept(far: FarEnd, flavour: Flavour) -> None:
    far.on("me", (200, ACCOUNT))

    def body(c: Any) -> Generator[Any, Any, None]:
        for _ in range(3):
            yield c.me()

    flavour.run(body, far.url)
    assert far.tokens == 1
    assert {item.headers["authorization"] for item in far.asked("me")} == {f"Bearer {TOKEN}-1"}


def test_token_is_renewed_a_minute_before_its_end(
    far: FarEnd, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    from extenso_nb.client import auth

    clock = [1000.0]
    monkeypatch.setattr(auth, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    far.on("me", (200, ACCOUNT))
    far.lasts = 600
    bought = []

    def body(c: Any) -> Generator[Any, Any, None]:
        for moment in (0, 539, 541, 600, 1100):
            clock[0] = 1000.0 + moment
            yield c.me()
            bought.append(far.tokens)

    flavour.run(body, far.url)
    assert bought == [1, 1, 2, 2, 3]


def test_short_tokens_are_not_renewed_at_each_request(far: FarEnd, flavour: Flavour) -> None:
    far.on("me", (200, ACCOUNT))
    far.lasts = 30

    def body(c: Any) -> Generator[Any, Any, None]:
        yield c.me()
        yield c.me()

    flavour.run(body, far.url)
    assert far.tokens == 1


def test_401_renews_once_and_then_raises(far: FarEnd, flavour: Flavour) -> None:
    refused = error(401, errors.NotAuthenticated.code, "old token")
    far.on("me", [refused, (200, ACCOUNT)])
    assert flavour.one(lambda c: c.me(), far.url).name == "Ada"
    assert [item.headers["authorization"][-1] for item in far.asked("me")] == ["1", "2"]
    far.on("me", refused)
    with pytest.raises(errors.NotAuthenticated, match="old token"):
        flavour.one(lambda c: c.me(), far.url)
    assert len(far.asked("me")) == 4


def test_given_token_is_used_and_not_renewed_without_a_key(far: FarEnd, flavour: Flavour) -> None:
    far.on("me", error(401, errors.NotAuthenticated.code))
    with pytest.raises(errors.NotAuthenticated):
        flavour.one(lambda c: c.me(), far.url, api_key=None, token="given")
    assert [item.headers["authorization"] for item in far.asked("me")] == ["Bearer given"]
    assert far.tokens == 0


def test_without_key_or_token_nothing_is_sent(far: FarEnd, flavour: Flavour) -> None:
    far.on("health", (200, {"status": "ok", "version": "1"}))
    with pytest.raises(errors.NotAuthenticated, match="neither API key nor token"):
        flavour.one(lambda c: c.me(), far.url, api_key="  ")
    assert far.seen == []
    assert flavour.one(lambda c: c.health(), far.url, api_key=None).version == "1"


def test_wrong_key(far: FarEnd, flavour: Flavour) -> None:
    with pytest.raises(errors.InvalidApiKey, match="no such key"):
        flavour.one(lambda c: c.me(), far.url, api_key="other")
    assert len(far.seen) == 1  # a refusal is no reason to ask again: accounts get locked that way
    far.answers["POST " + wire.TOKEN_PATH] = (401, b"<html>no</html>")
    with pytest.raises(errors.InvalidApiKey):
        flavour.one(lambda c: c.login(), far.url)


@pytest.mark.parametrize("answer", [{}, {"access_token": ""}, {"access_token": 5}, {"access_token": "a\r\nX: y"}, []])
def test_login_without_a_usable_token(far: FarEnd, flavour: Flavour, answer: Any) -> None:
    far.answers["POST " + wire.TOKEN_PATH] = (200, answer)
    with pytest.raises(errors.GatewayFault, match="login"):
        flavour.one(lambda c: c.me(), far.url)


def test_busy_token_endpoint_is_asked_again(far: FarEnd, flavour: Flavour) -> None:
    far.on("me", (200, ACCOUNT))
    far.answers["POST " + wire.TOKEN_PATH] = [(503, None), None, far.login]
    assert flavour.one(lambda c: c.me(), far.url).name == "Ada"
    far.answers["POST " + wire.TOKEN_PATH] = (503, None)
    with pytest.raises(errors.SourceUnavailable, match="openid-connect/token"):
        flavour.one(lambda c: c.me(), far.url)


def test_many_threads_buy_one_token(far: FarEnd) -> None:
    def slow(asked: SimpleNamespace) -> Answer:
        time.sleep(0.05)
        return far.login(asked)

    far.answers["POST " + wire.TOKEN_PATH] = slow
    far.on("me", (200, ACCOUNT))
    with Client(far.url, api_key=KEY) as client:
        threads = [threading.Thread(target=client.me) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert far.tokens == 1
    assert len(far.asked("me")) == 8


def test_many_tasks_buy_one_token(far: FarEnd) -> None:
    far.on("me", (200, ACCOUNT))

    async def main() -> None:
        async with AsyncClient(far.url, api_key=KEY) as client:
            await asyncio.gather(*(client.me() for _ in range(8)))

    asyncio.run(main())
    assert far.tokens == 1


def everything(raised: BaseException | None) -> str:
    """All that an exception shows, or could show: text, chain, the locals of its frames and what httpx's holds."""
    found = []
    while raised is not None:
        stack = traceback.TracebackException.from_exception(raised, capture_locals=True).stack
        found += [str(frame.locals) for frame in stack if "/tests/" not in frame.filename]
        request = getattr(raised, "_request", None)
        found += [repr(raised), str(raised), str(vars(raised)), str(list(getattr(request, "headers", {}).items()))]
        raised = raised.__cause__ or raised.__context__
    return "\n".join(found)


def test_secrets_show_nowhere(far: FarEnd, flavour: Flavour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    far.on("me", [error(401, 1100), (200, ACCOUNT)])
    far.on("orders", (500, b"<html>"))
    shown = []

    def body(c: Any) -> Generator[Any, Any, None]:
        yield c.me()
        shown.extend([repr(c), str(c), repr(c._credentials), str(vars(c)), str(c._credentials.form)])
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(c)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(c._credentials)
        try:
            yield c.orders()
        except errors.GatewayFault as raised:
            shown.append(everything(raised))

    if flavour.kind == "sync":
        flavour.run(body, far.url)
    else:
        with pytest.raises(errors.GatewayFault) as caught:
            flavour.run(body, far.url)
        shown.append(everything(caught.value))
    with pytest.raises(errors.GatewayUnreachable) as gone:
        flavour.one(lambda c: c.me(), "http://127.0.0.1:9", token=TOKEN)
    shown.append(everything(gone.value))
    shown += [repr(Send("GET", "http://x?s=" + KEY, {"authorization": TOKEN}, KEY.encode())), caplog.text]
    assert caplog.records
    for text in shown:
        assert KEY not in text
        assert TOKEN not in text


def test_no_redirect_is_followed_with_a_token(far: FarEnd, flavour: Flavour) -> None:
    other = FarEnd()
    try:
        far.on("me", (307, None, {"location": other.url + "/api/v1/services/user-storage/me?x=1"}))
        with pytest.raises(errors.GatewayFault, match=r"redirect to http://127\.0\.0\.1:.*not followed"):
            flavour.one(lambda c: c.me(), far.url)
        far.answers["POST " + wire.TOKEN_PATH] = (308, None, {"location": other.url + wire.TOKEN_PATH})
        with pytest.raises(errors.GatewayFault, match="redirect"):
            flavour.one(lambda c: c.login(), far.url)
        assert other.seen == []
    finally:
        other.close()


def test_no_proxy_of_the_environment_sees_the_local_gateway(
    far: FarEnd, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    far.on("me", (200, ACCOUNT))
    assert flavour.one(lambda c: c.me(), far.url).name == "Ada"


# --- tries -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_statuses_that_are_tried_again(far: FarEnd, flavour: Flavour, status: int) -> None:
    far.on("me", [(status, None), (status, b"<html>"), (200, ACCOUNT)])
    assert flavour.one(lambda c: c.me(), far.url).name == "Ada"
    assert len(far.asked("me")) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500, 501])
def test_statuses_that_are_not(far: FarEnd, flavour: Flavour, status: int) -> None:
    far.on("me", (status, None))
    with pytest.raises(errors.ExtensoError):
        flavour.one(lambda c: c.me(), far.url)
    assert len(far.asked("me")) == 1


def test_tries_end(far: FarEnd, flavour: Flavour) -> None:
    far.on("me", error(503, errors.SourceUnavailable.code, "all sources fail"))
    with pytest.raises(errors.SourceUnavailable, match="all sources fail"):
        flavour.one(lambda c: c.me(), far.url)
    assert len(far.asked("me")) == QUICK.attempts


def test_lost_answers_are_asked_for_again(far: FarEnd, flavour: Flavour) -> None:
    far.on("me", [None, None, (200, ACCOUNT)])
    assert flavour.one(lambda c: c.me(), far.url).name == "Ada"


def test_timeouts_are_tried_again(far: FarEnd, flavour: Flavour) -> None:
    calls = []

    def slow(_: Any) -> Answer:
        calls.append(1)
        if len(calls) == 1:
            time.sleep(0.6)
        return 200, ACCOUNT

    far.on("health", slow)
    far.on("health", lambda a: (slow(a), (200, {"status": "ok", "version": "1"}))[1])
    assert flavour.one(lambda c: c.health(), far.url, timeout=0.2).version == "1"
    assert len(calls) == 2


def test_retry_after_is_obeyed(far: FarEnd, flavour: Flavour) -> None:
    far.on("health", [(429, None, {"retry-after": "0.4"}), (200, {"status": "ok", "version": "1"})])
    began = time.monotonic()
    flavour.one(lambda c: c.health(), far.url)
    assert 0.4 <= time.monotonic() - began < 2


def test_long_retry_after_is_an_error_at_once(far: FarEnd, flavour: Flavour) -> None:
    far.on("me", error(429, errors.TooManyRequests.code, "slow down", {"retry-after": "3600"}))
    with pytest.raises(errors.TooManyRequests, match="slow down") as caught:
        flavour.one(lambda c: c.me(), far.url)
    assert caught.value.retry_after == 3600
    assert len(far.asked("me")) == 1


@pytest.mark.parametrize("value", ["nan", "inf", "soon", "-5", ""])
def test_senseless_retry_after_is_left_out(far: FarEnd, flavour: Flavour, value: str) -> None:
    far.on("me", [(429, None, {"retry-after": value}), (200, ACCOUNT)])
    assert flavour.one(lambda c: c.me(), far.url).name == "Ada"


def test_order_carries_one_key_through_all_tries(far: FarEnd, flavour: Flavour) -> None:
    far.on("create_order", [None, (503, None), (201, order("queued"))])

    def body(c: Any) -> Generator[Any, Any, None]:
        yield c.order(S2)
        yield c.order(S2)
        yield c.order(S2, idempotency_key="mine", partial=True)

    flavour.run(body, far.url)
    keys = [item.headers["idempotency-key"] for item in far.asked("create_order")]
    assert keys[0] == keys[1] == keys[2]
    assert len({keys[0], keys[3], keys[4]}) == 3
    assert keys[4] == "mine"
    assert [item.query for item in far.asked("create_order")][3:] == [{}, {"partial": ["true"]}]


@pytest.mark.parametrize("key", ["", "a b", "a\r\nb", "ü", "x" * 256])
def test_keys_that_no_header_carries(far: FarEnd, flavour: Flavour, key: str) -> None:
    with pytest.raises(errors.InputError, match="idempotency_key"):
        flavour.one(lambda c: c.order(S2, idempotency_key=key), far.url)
    assert far.seen == []


def test_delete_whose_answer_was_lost_counts_as_done(far: FarEnd, flavour: Flavour) -> None:
    gone = error(404, errors.UnknownOrder.code, "no order 7")
    far.on("delete", [None, gone], order_id=7)
    assert flavour.one(lambda c: c.delete(7), far.url) is None
    with pytest.raises(errors.UnknownOrder, match="no order 7"):  # this time nothing was lost: it was not there
        flavour.one(lambda c: c.delete(7), far.url)
    far.on("delete", [(503, None), gone], order_id=7)  # a 503 says that nothing was done
    with pytest.raises(errors.UnknownOrder):
        flavour.one(lambda c: c.delete(7), far.url)


def test_cancel_whose_answer_was_lost_counts_as_done(far: FarEnd, flavour: Flavour) -> None:
    finished = error(409, errors.OrderFinished.code, "has ended")
    far.on("order", (200, order("cancelled")), order_id=7)
    far.on("cancel", [None, finished], order_id=7)
    assert flavour.one(lambda c: c.cancel(7), far.url).status == "cancelled"
    with pytest.raises(errors.OrderFinished):
        flavour.one(lambda c: c.cancel(7), far.url)
    far.on("order", (200, order("delivered")), order_id=7)
    far.on("cancel", [None, finished], order_id=7)
    with pytest.raises(errors.OrderFinished):  # it ended by itself meanwhile: that is no cancelling
        flavour.one(lambda c: c.cancel(7), far.url)


def test_unreachable_names_the_address_and_nothing_else(flavour: Flavour) -> None:
    with pytest.raises(errors.GatewayUnreachable, match=r"me: the gateway at http://127.0.0.1:9 .* \(4 tries\)"):
        flavour.one(lambda c: c.me(), "http://127.0.0.1:9/", token="x")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://a",
        "http://",
        "http://u:pw-secret@a",
        "http://a?k=pw-secret",
        "http://a:99999",
        "http://[",
        "http://a#f",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(errors.InputError) as caught:
        Client(url)
    assert "pw-secret" not in str(caught.value)


def test_addresses_in_several_spellings(far: FarEnd, flavour: Flavour) -> None:
    far.on("health", (200, {"status": "ok", "version": "1"}))
    for tail in ("", "/", wire.BASE_PATH, wire.BASE_PATH + "/"):
        assert flavour.one(lambda c: c.health(), far.url + tail).version == "1"


@given(st.text(max_size=60))
def test_bare_never_fails_and_never_shows_a_query(text: str) -> None:
    shown = bare("http://user:pw@host/a?" + text.replace("#", ""))
    assert shown == "http://host/a" or not shown.startswith("http://user")
    bare(text)


# --- a gateway that moved --------------------------------------------------------------------------------------------
def test_a_gateway_that_moved_is_asked_for_once(far: FarEnd, flavour: Flavour) -> None:
    far.on("me", (200, ACCOUNT))
    far.on("create_order", (201, order("queued")))
    asked = []

    def find() -> tuple[str, str | None]:
        asked.append(1)
        return far.url, KEY

    def body(c: Any) -> Generator[Any, Any, None]:
        assert (yield c.me()).name == "Ada"
        assert c.url == far.url
        assert (yield c.order(S2)).id == 7
        yield c.me()

    flavour.run(body, "http://127.0.0.1:9", api_key="old key", on_unreachable=find)
    assert asked == [1]


def test_a_gateway_that_dies_while_answering(far: FarEnd, flavour: Flavour) -> None:
    second = FarEnd()
    try:
        second.on("create_order", (201, order("queued")))
        far.on("create_order", None)
        found = flavour.one(lambda c: c.order(S2), far.url, on_unreachable=lambda: (second.url, None))
        assert found.id == 7
        keys = {item.headers["idempotency-key"] for item in [*far.asked("create_order"), *second.asked("create_order")]}
        assert len(keys) == 1
        assert second.tokens == 1  # the old gateway's token is worth nothing there
    finally:
        second.close()


def test_a_gateway_that_cannot_be_found(flavour: Flavour) -> None:
    calls = []

    def same() -> tuple[str, None]:
        calls.append(1)
        return "http://127.0.0.1:9", None

    with pytest.raises(errors.GatewayUnreachable):
        flavour.one(lambda c: c.me(), "http://127.0.0.1:9", on_unreachable=same)
    assert calls == [1]

    def fails() -> tuple[str, None]:
        raise errors.GatewayStartFailed("ended at once")

    with pytest.raises(errors.GatewayStartFailed, match="ended at once"):
        flavour.one(lambda c: c.me(), "http://127.0.0.1:9", on_unreachable=fails)


def test_slow_is_not_gone(far: FarEnd, flavour: Flavour) -> None:
    def slow(_: Any) -> Answer:
        time.sleep(0.3)
        return 200, {"status": "ok", "version": "1"}

    far.on("health", slow)

    def find() -> tuple[str, None]:
        raise AssertionError("asked although the gateway is there")

    with pytest.raises(errors.GatewayUnreachable, match="no answer within the timeout"):
        flavour.one(lambda c: c.health(), far.url, timeout=0.05, on_unreachable=find, retry=QUICK.patch(attempts=2))


def test_threads_ask_once_for_a_gateway_that_moved(far: FarEnd) -> None:
    far.on("me", (200, ACCOUNT))
    asked = []

    def find() -> tuple[str, str]:
        asked.append(1)
        time.sleep(0.05)
        return far.url, KEY

    names = []
    with Client("http://127.0.0.1:9", token="x", on_unreachable=find, retry=QUICK) as client:
        threads = [threading.Thread(target=lambda: names.append(client.me().name)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert names == ["Ada"] * 6
    assert asked == [1]


# --- answers that make no sense --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            (200, b"<html>login</html>", {"content-type": "text/html; charset=x"}),
            "me was answered with 18 bytes of text/html",
        ),
        ((200, b""), "me was answered with 0 bytes"),
        ((200, b"[" * 100_000), "not JSON"),
        ((200, {"id": "u"}), r"me was answered with JSON of another shape: name: .*\(and 1 more\)"),
        ((200, []), "me was answered with JSON of another shape: the whole answer"),
        ((500, b"<html>"), "HTTP 500"),
        (error(500, 1700, "it broke"), "it broke"),
        ((500, {"message": "m", "internalCode": "abc", "details": 5}), "^m\n"),
        ((500, {"message": "m", "internalCode": 1700, "details": {"message": 1, "hint": 2}}), "^m\n"),
        ((500, {"message": 5}), "HTTP 500"),
    ],
)
def test_answers_that_make_no_sense(far: FarEnd, flavour: Flavour, answer: Answer, says: str) -> None:
    far.on("me", answer)
    with pytest.raises(errors.GatewayFault, match=says):
        flavour.one(lambda c: c.me(), far.url)


def test_shape_errors_show_no_values(far: FarEnd, flavour: Flavour) -> None:
    far.on("me", (200, ACCOUNT | {"storage": "secret-looking-value"}))
    with pytest.raises(errors.GatewayFault) as caught:
        flavour.one(lambda c: c.me(), far.url)
    assert "storage: " in str(caught.value)
    assert "secret-looking-value" not in str(caught.value)


def test_an_endless_answer_is_not_read_to_its_end(far: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(far.url, token="x") as client:
        far.on("me", (200, b" " * 300_000))
        steps = client._exchange(wire.VERBS["me"], {})
        effect = next(steps)
        reply = client._drive(iter_send(effect, 1000))
        assert (len(reply.content), reply.whole) == (1000, False)
        monkeypatch.setattr(exchange_module, "Send", lambda *a: Send(*a[:4], 1000))
        with pytest.raises(errors.GatewayFault, match="more than 1000 bytes"):
            client.me()
        steps.close()


def iter_send(effect: Send, limit: int) -> Generator[Send, Reply, Reply]:
    return (yield Send(effect.method, effect.url, effect.headers, effect.content, limit))


@pytest.mark.parametrize(("place", "kind"), list(errors.table().items()))
def test_every_error_of_the_api_arrives_as_itself(
    far: FarEnd, place: tuple[int, int], kind: type[errors.ExtensoError]
) -> None:
    far.on("me", error(*place, "what failed"))
    once = QUICK.patch(attempts=1)
    with Client(far.url, token="x", retry=once) as client, pytest.raises(kind, match="what failed") as caught:
        client.me()
    assert type(caught.value) is kind
    assert caught.value.correlation_id == "c-1"
    assert caught.value.hint == "h"


def test_a_page_is_no_picture(far: FarEnd, flavour: Flavour) -> None:
    far.on("quicklook", (200, b"<html>"), product_id=S2)
    with pytest.raises(errors.GatewayFault, match="no picture"):
        flavour.one(lambda c: c.quicklook(S2), far.url)


# --- inputs ----------------------------------------------------------------------------------------------------------
class Index:
    def __index__(self) -> int:
        return 17


def test_orders_and_deliveries_in_all_spellings() -> None:
    assert [order_id(x) for x in (17, "17", Index(), Order.from_wire(order(number=17)))] == [17] * 4
    assert delivery_ids("17-2") == (17, "17-2")
    assert delivery_ids(Delivery.from_wire(delivery(n=2, number=17))) == (17, "17-2")
    for wrong in (True, None, 1.5, "17-2", "", "abc", "../7"):
        with pytest.raises(errors.InputError, match="Not an order"):
            order_id(wrong)  # type: ignore[arg-type]
    for wrong in (17, "17", "17-", "17-2/../../me", "a-b", None):
        with pytest.raises(errors.InputError, match="Not a delivery"):
            delivery_ids(wrong)  # type: ignore[arg-type]


def test_products_in_all_spellings() -> None:
    import geopandas

    from extenso_nb import products
    from extenso_nb.results import SearchResult

    item = Product.from_wire(product(S2))
    frame = geopandas.GeoDataFrame({"id": [S2], "geometry": [None]}, crs=4326)
    result = SearchResult([item], total=1, collection="S2", q="*")
    for form in (S2, S2 + ".SAFE", [S2], (item,), item, {"id": S2}, frame, frame["id"], frame.iloc[0], result, result.gdf,
                 products.parse(S2), iter([item]), [result]):  # fmt: skip
        assert product_ids(form) == [S2]


@pytest.mark.parametrize("given_", [None, 5, b"abc", [None], {"uuid": "x"}, "", [""], [[[[S2]]]]])
def test_things_that_are_no_products(given_: Any) -> None:
    with pytest.raises(errors.InputError):
        product_ids(given_)


def test_orders_that_are_refused_before_sending(far: FarEnd, flavour: Flavour) -> None:
    import pandas as pd

    for call, kind in [
        (lambda c: c.order([]), errors.EmptyOrder),
        (lambda c: c.estimate(()), errors.EmptyOrder),
        (lambda c: c.order([S2, S2 + ".SAFE"]), errors.DuplicateProducts),
        (lambda c: c.order([f"S{i}" for i in range(1001)]), errors.RequestTooLarge),
        (lambda c: c.order(pd.DataFrame({"name": [S2]})), errors.InputError),
        (lambda c: c.order(S2, bucket={"endpoint": "x"}), errors.InputError),
        (lambda c: c.quicklook([S2, "other"]), errors.InputError),
        (lambda c: c.deliveries(status="done"), errors.InputError),
        (lambda c: c.search("S9"), errors.InputError),
        (lambda c: c.search("S2", limit=0), errors.InputError),
    ]:
        with pytest.raises(kind):
            flavour.one(call, far.url)
    assert far.seen == []


def test_bucket_keys_go_into_the_body_and_nowhere_else(far: FarEnd, flavour: Flavour) -> None:
    far.on("create_order", error(422, errors.BucketRefused.code, "bucket refused"))
    bucket = BucketProperties(endpoint="https://b.host", access_key="AK-secret", secret_key="SK-secret")  # type: ignore[arg-type]
    with pytest.raises(errors.BucketRefused) as caught:
        flavour.one(lambda c: c.order(S2, bucket=bucket), far.url)
    assert json.loads(far.asked("create_order")[0].body)["bucketProperties"]["secretKey"] == "SK-secret"
    assert "SK-secret" not in str(caught.value) + repr(caught.value)


def test_a_closed_client_says_so(far: FarEnd) -> None:
    client = Client(far.url, token="x")
    client.close()
    with pytest.raises(errors.InputError, match="closed"):
        client.me()


# --- pages -----------------------------------------------------------------------------------------------------------
class Catalogue:
    """A catalogue of `count` products into which `shift` new ones arrive after each page."""

    def __init__(self, count: int, shift: int = 0, most: int = 100) -> None:
        self.names = [f"P{i:04d}" for i in range(count)]
        self.shift, self.most = shift, most

    def __call__(self, asked: SimpleNamespace) -> Answer:
        start, rows = int(asked.query["start"][0]), int(asked.query["rows"][0])
        assert 1 <= rows <= 100
        names = self.names[start : start + min(rows, self.most)]
        answer = page([product(name) for name in names], start, len(self.names))
        self.names = [f"new{len(self.names)}-{i}" for i in range(self.shift)] + self.names
        return answer


def test_search_pages_until_the_limit(far: FarEnd, flavour: Flavour) -> None:
    far.on("search", Catalogue(250), collection="S2")
    for limit, expected in ((100, 100), (230, 230), (None, 250), (1000, 250), (1, 1)):
        found = flavour.one(lambda c, limit=limit: c.search("S2", limit=limit, orderby="size asc"), far.url)
        assert [item.id for item in found] == [f"P{i:04d}" for i in range(expected)]
        assert found.total == 250
    assert {item.query["orderby"][0] for item in far.asked("search", collection="S2")} == {"size asc"}


def test_pages_that_shift_give_each_product_once(far: FarEnd, flavour: Flavour) -> None:
    far.on("search", Catalogue(250, shift=3), collection="S2")
    found = flavour.one(lambda c: c.search("S2", limit=None), far.url)
    assert [item.id for item in found] == [f"P{i:04d}" for i in range(250)]
    assert found.total == 250  # of the first page


def test_pages_shorter_than_asked_for_lose_nothing(far: FarEnd, flavour: Flavour) -> None:
    far.on("search", Catalogue(90, most=20), collection="S2")
    assert len(flavour.one(lambda c: c.search("S2", limit=70), far.url)) == 70


def test_nothing_found_is_not_a_failure_and_a_failure_is_not_nothing_found(far: FarEnd, flavour: Flavour) -> None:
    far.on("search", page([]), collection="S2")
    assert len(flavour.one(lambda c: c.search("S2"), far.url)) == 0
    far.on("search", page([], total=5), collection="S2")
    with pytest.raises(errors.GatewayFault, match="none of 5"):
        flavour.one(lambda c: c.search("S2"), far.url)
    far.on("search", error(503, errors.SourceUnavailable.code), collection="S2")
    with pytest.raises(errors.SourceUnavailable):
        flavour.one(lambda c: c.search("S2"), far.url)


def test_orders_page_and_are_listed_once(far: FarEnd, flavour: Flavour) -> None:
    numbers = list(range(130, 0, -1))

    def pages(asked: SimpleNamespace) -> Answer:
        start, rows = int(asked.query["start"][0]), int(asked.query["rows"][0])
        answer = page([order(number=n) for n in numbers[start : start + rows]], start, len(numbers))
        numbers.insert(0, numbers[0] + 1)
        return answer

    far.on("orders", pages)
    assert [item.id for item in flavour.one(lambda c: c.orders(), far.url)] == list(range(130, 0, -1))


def test_q_and_keywords_are_both_asked_for(far: FarEnd, flavour: Flavour) -> None:
    far.on("search_ids", page([]), collection="S2")
    built = query.build(cloud_cover=(0, 20), platform="Sentinel-2B")

    def body(c: Any) -> Generator[Any, Any, None]:
        own = "producttype:S2MSI2A OR producttype:S2MSI1C"
        yield c.search_ids("S2")
        yield c.search_ids("S2", q=own)
        yield c.search_ids("S2", cloud_cover=(0, 20), platform="Sentinel-2B")
        yield c.search_ids("S2", q=own, cloud_cover=(0, 20), platform="Sentinel-2B")
        yield c.search_ids("S2", q=" * ", cloud_cover=(0, 20), platform="Sentinel-2B")

    flavour.run(body, far.url)
    sent = [item.query["q"][0] for item in far.asked("search_ids", collection="S2")]
    own = "producttype:S2MSI2A OR producttype:S2MSI1C"
    assert sent == ["*", own, built, f"({own}) AND ({built})", built]
    for text in sent:
        query.parse(text)
    # Between the parentheses this would ask for something else than either part says.
    with pytest.raises(errors.QueryError):
        flavour.one(lambda c: c.search("S2", q="platformname:a) OR (platformname:b", cloud_cover=(0, 1)), far.url)
    with pytest.raises(errors.InputError):
        flavour.one(lambda c: c.search("S2", clowd_cover=(0, 1)), far.url)


# --- thumbnails ------------------------------------------------------------------------------------------------------
def test_thumbnails_come_when_shown_six_at_a_time(far: FarEnd, flavour: Flavour) -> None:
    names = [f"P{i:04d}" for i in range(14)]
    far.on("search", page([product(name) for name in names]), collection="S2")
    running, most, lock = [0], [0], threading.Lock()

    def picture(asked: SimpleNamespace) -> Answer:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.03)
        with lock:
            running[0] -= 1
        return 200, PNG

    for name in names:
        far.on("thumbnail", picture, product_id=name)
    far.on("thumbnail", error(404, errors.NoQuicklook.code), product_id="P0003")
    found = flavour.one(lambda c: c.search("S2"), far.url)
    assert far.asked("thumbnail", product_id="P0000") == []
    html = found._repr_html_()  # the client is closed by now
    assert html.count("data:image/png") == 13
    assert 2 <= most[0] <= 6
    # One result is shown in a loop that runs, as in a notebook.
    assert asyncio.run(shown_in_a_loop(far)).count("data:image/png") == 13


async def shown_in_a_loop(far: FarEnd) -> str:
    async with AsyncClient(far.url, api_key=KEY) as client:
        return (await client.search("S2"))._repr_html_()


def test_thumbnail_failures_other_than_no_picture_are_raised(far: FarEnd) -> None:
    from extenso_nb.client.thumbnails import Thumbnails

    far.on("thumbnail", (200, PNG), product_id="a")
    far.on("thumbnail", error(404, errors.UnknownProduct.code), product_id="b")
    with Client(far.url, api_key=KEY, retry=QUICK) as client:
        fetch = Thumbnails(lambda name: client._picture("thumbnail", name), 5.0)
        assert fetch([]) == {}
        assert fetch(["a", "b"]) == {"a": PNG}
        far.on("thumbnail", error(500, errors.GatewayFault.code, "it broke"), product_id="b")
        with pytest.raises(errors.GatewayFault, match="it broke"):
            fetch(["a", "b"])
        copy = pickle.dumps(fetch)
        assert KEY.encode() not in copy
        assert pickle.loads(copy)(["a"]) == {}


# --- wait ------------------------------------------------------------------------------------------------------------
FAST = POLL.patch(first=0.001, longest=0.005)


def script(far: FarEnd, orders: list[Any], deliveries: list[Any]) -> None:
    far.on("order", orders, order_id=7)
    far.on("order_deliveries", deliveries, order_id=7)


def test_wait_tells_each_change_and_stops_at_the_end(far: FarEnd, flavour: Flavour) -> None:
    moving = delivery("transferring", transferred=4)
    cold = delivery("warming", 2, nextAttemptAt="2024-06-01T12:30:00Z")
    script(
        far,
        [(200, order("queued")), (200, order()), (200, order()), (200, order("delivered"))],
        [
            page([delivery(), delivery(n=2)]),
            page([moving, cold]),
            page([moving, cold]),
            page([delivery("delivered", transferred=10), delivery("delivered", 2, transferred=10)]),
        ],
    )
    events: list[Progress] = []
    done = flavour.one(lambda c: c.wait(7, progress=events.append, poll=FAST), far.url)
    assert done.status == "delivered"
    assert [(e.key, e.state, e.done) for e in events] == [
        ("7-1", "queued", 0),
        ("7-2", "queued", 0),
        ("7-1", "transferring", 4),
        ("7-2", "warming", 0),
        ("7-1", "delivered", 10),
        ("7-2", "delivered", 10),
    ]
    assert events[3].note == "next attempt at 12:30:00 UTC"
    assert len(far.asked("order", order_id=7)) == 4


def test_wait_raises_for_failed_deliveries_unless_told_not_to(far: FarEnd, flavour: Flavour) -> None:
    trail = [{"time": NOW, "event": "no bytes", "source": "folder"}]
    failed = delivery("failed", 2, error="checksum wrong", trail=trail)
    script(far, [(200, order("partial"))], [page([delivery("delivered"), failed])])
    with pytest.raises(errors.DeliveryFailed, match=r"1 of 2 deliveries of order 7 failed.*checksum wrong") as caught:
        flavour.one(lambda c: c.wait(7, progress=False), far.url)
    assert caught.value.details["deliveries"][0]["trail"][0]["event"] == "no bytes"
    pickle.loads(pickle.dumps(caught.value))
    assert flavour.one(lambda c: c.wait(7, progress=False, check=False), far.url).status == "partial"
    script(far, [(200, order("cancelled"))], [page([delivery("cancelled")])])
    assert flavour.one(lambda c: c.wait("7", progress=False), far.url).status == "cancelled"


def test_wait_stops_after_its_time(far: FarEnd, flavour: Flavour) -> None:
    script(far, [(200, order())], [page([delivery()])])
    began = time.monotonic()
    with pytest.raises(errors.WaitTimeout, match="Order 7 is running"):
        flavour.one(lambda c: c.wait(7, progress=False, timeout=0.2), far.url)
    assert time.monotonic() - began < 2
    looks = len(far.asked("order", order_id=7))
    with pytest.raises(TimeoutError):
        flavour.one(lambda c: c.wait(7, progress=False, timeout=0), far.url)
    assert len(far.asked("order", order_id=7)) == looks + 1
    with pytest.raises(errors.WaitTimeout):
        flavour.one(lambda c: c.wait(7, progress=False, poll=FAST.patch(attempts=3)), far.url)


def test_wait_survives_a_restart_of_the_gateway(far: FarEnd, flavour: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    once = QUICK.patch(attempts=1)
    bad = [None, (503, b"<html>"), None]
    script(far, [(200, order()), *bad, (200, order("delivered"))], [page([delivery()])])
    done = flavour.one(lambda c: c.wait(7, progress=False, poll=FAST), far.url, retry=once)
    assert done.status == "delivered"
    monkeypatch.setattr(verbs_module, "PATIENCE", 0.05)
    script(far, [None], [page([])])
    with pytest.raises(errors.GatewayUnreachable):
        flavour.one(lambda c: c.wait(7, progress=False, poll=FAST), far.url, retry=once)


def test_wait_does_not_put_up_with_other_errors(far: FarEnd, flavour: Flavour) -> None:
    script(far, [error(404, errors.UnknownOrder.code)], [page([])])
    with pytest.raises(errors.UnknownOrder):
        flavour.one(lambda c: c.wait(7, progress=False), far.url)
    assert len(far.asked("order", order_id=7)) == 1


def test_interrupting_wait_leaves_the_order_alone(far: FarEnd) -> None:
    script(far, [(200, order())], [page([delivery()])])

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with Client(far.url, api_key=KEY) as client:
        with pytest.raises(KeyboardInterrupt):
            client.wait(7, progress=interrupt)
        assert client.status(7).id == 7
    assert {item.method for item in far.seen} == {"GET", "POST"}  # POST is the login


def test_cancelling_wait_ends_the_task(far: FarEnd) -> None:
    script(far, [(200, order())], [page([delivery()])])

    async def main() -> None:
        async with AsyncClient(far.url, api_key=KEY) as client:
            task = asyncio.create_task(client.wait(7, progress=False, poll=FAST))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.status(7)).id == 7

    asyncio.run(main())


# --- steps by hand ---------------------------------------------------------------------------------------------------
def test_steps_by_hand() -> None:
    """The logic without I/O: what is asked for after a lost answer, a 401, and an answer."""
    client = Client("http://far.example", api_key=KEY, retry=Retry(attempts=2, first=3, jitter=0))
    steps = client._exchange(wire.VERBS["me"], {})
    bought = next(steps)
    assert isinstance(bought, Exclusive)
    inner = bought.steps()
    asked = next(inner)
    assert isinstance(asked, Send)
    assert (asked.method, asked.url) == ("POST", "http://far.example" + wire.TOKEN_PATH)
    with pytest.raises(StopIteration) as token:
        inner.send(Reply(200, {}, b'{"access_token": "t1", "expires_in": 3600}'))
    sent = steps.send(token.value.value)
    assert sent.headers["authorization"] == "Bearer t1"
    assert steps.throw(Unanswered("lost", gone=False, ambiguous=True)) == Sleep(3)
    assert steps.send(None).headers["authorization"] == "Bearer t1"
    with pytest.raises(StopIteration) as end:
        steps.send(Reply(404, {}))
    assert (end.value.value.status, end.value.value.ambiguous) == (404, True)
    client.close()


def test_credentials_strip_and_refuse() -> None:
    held = Credentials(" key\n", None)
    assert held.form() == b"apikey=key&grant_type=api_key&client_id=IDP"
    assert "key" in repr(held)
    assert Credentials("a&b=c", None).form().startswith(b"apikey=a%26b%3Dc&")
    for wrong in ("a\nb", "schlüssel"):
        with pytest.raises(errors.InputError) as caught:
            Credentials(wrong, None)
        assert wrong not in str(caught.value)


def test_page_of_products_is_typed(far: FarEnd) -> None:
    far.on("search", page([product(S2)]), collection="S2")
    with Client(far.url, api_key=KEY) as client:
        found = client.search_page("S2", start=0, rows=1)
    assert isinstance(found, Page)
    assert isinstance(found.data[0], Product)
