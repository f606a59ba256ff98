"""The API over HTTP: every verb of `wire`, its answers and its errors, and what a foreign token sees."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import jwt
import pytest
from fastapi.routing import APIRoute
from scripted import Gateway, ScriptedSource, product_id, served, slow

from extenso_nb import errors, wire
from extenso_nb.gateway.app import create_app
from extenso_nb.gateway.serve import _bound
from extenso_nb.models import Account, Delivery, DeliveryMetadata, Estimate, Health, Order, Page, Product, SignedUrl
from extenso_nb.refusals import from_response


@pytest.fixture(scope="module")
def source() -> ScriptedSource:
    source = ScriptedSource()
    for number in range(30):
        source.add(number)
    return source


@pytest.fixture(scope="module")
def http(gateway: Gateway) -> Iterator[httpx.Client]:
    with served(gateway) as url, httpx.Client(base_url=url, trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {gateway.access.login(gateway.key)}"
        yield client


@pytest.fixture(scope="module")
def delivered(gateway: Gateway, http: httpx.Client) -> Order:
    answer = http.post(wire.VERBS["create_order"].url(), json={"products": [product_id(1), product_id(2)]})
    order = Order.from_wire(answer.json())
    gateway.wait(order.id)
    return order


def asked(http: httpx.Client, name: str, *, json: Any = None, params: Any = None, **path: object) -> httpx.Response:
    verb = wire.VERBS[name]
    return http.request(verb.method, verb.url(**path), json=json, params=params)


def refused(answer: httpx.Response, kind: type[errors.ExtensoError]) -> errors.ExtensoError:
    """The error of an answer, after looking that its body is the one of the API."""
    body = answer.json()
    assert {"correlationId", "hint", "internalCode", "message", "timestamp"} <= body.keys(), body
    error = from_response(answer.status_code, body, request="test")
    assert type(error) is kind, (answer.status_code, body)
    assert error.hint
    return error


def test_every_verb_is_routed_and_no_other(http: httpx.Client, gateway: Gateway) -> None:
    routed = {
        (method, route.path.removesuffix("/"))
        for route in create_app(gateway.service, gateway.access).routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    beside = {("GET", wire.OPENAPI_PATH)} | {(method, wire.FILES_PATH + "/{key:path}") for method in ("GET", "HEAD")}
    assert routed == {(verb.method, verb.template) for verb in wire.VERBS.values()} | beside
    described = {
        (method.upper(), path) for path, item in http.get(wire.OPENAPI_PATH).json()["paths"].items() for method in item
    }
    assert described == routed - beside


@pytest.mark.parametrize("name", sorted(name for name, verb in wire.VERBS.items() if verb.token))
@pytest.mark.parametrize("authorization", ["", "Bearer x", "Basic b3duZXI6", "unsigned", "foreign secret", "expired"])
def test_no_verb_answers_without_a_good_token(
    http: httpx.Client, gateway: Gateway, name: str, authorization: str
) -> None:
    verb = wire.VERBS[name]
    claims = {"sub": gateway.account, "exp": int(time.time()) + 60, "iss": "extenso_nb"}
    if authorization == "unsigned":
        authorization = "Bearer " + jwt.encode(claims, "", algorithm="none")
    elif authorization == "foreign secret":
        authorization = "Bearer " + jwt.encode(claims, "another secret" * 3, algorithm="HS256")
    elif authorization == "expired":
        key = gateway.access._token_key
        authorization = "Bearer " + jwt.encode(claims | {"exp": 1}, key, algorithm="HS256")
    url = verb.url(**dict.fromkeys(verb.parameters, "1"))
    body = {"products": ["x"]} if verb.method == "POST" else None
    answer = http.request(verb.method, url, json=body, headers={"Authorization": authorization})
    refused(answer, errors.NotAuthenticated)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_for_an_api_key(http: httpx.Client, gateway: Gateway) -> None:
    form = {"apikey": gateway.key, "grant_type": "api_key", "client_id": "IDP"}
    answer = http.post(wire.TOKEN_PATH, data=form, headers={"Authorization": ""})
    body = answer.json()
    assert (answer.status_code, body["expires_in"], body["token_type"]) == (200, 3600, "Bearer")
    assert answer.headers["cache-control"] == "no-store"
    with_it = http.get(wire.VERBS["me"].url(), headers={"Authorization": f"Bearer {body['access_token']}"})
    assert Account.from_wire(with_it.json()).name == "owner"
    wrong = http.post(wire.TOKEN_PATH, data=form | {"apikey": "wrong"})
    error = refused(wrong, errors.InvalidApiKey)
    assert "wrong" not in str(error).lower().replace("wrongly", "")
    refused(http.post(wire.TOKEN_PATH, data=form | {"grant_type": "password"}), errors.InvalidRequest)
    refused(http.post(wire.TOKEN_PATH, content=b"{}"), errors.InvalidRequest)


def test_search_pages_through_all(http: httpx.Client) -> None:
    first = asked(http, "search", collection="s2", params={"q": "producttype:S2MSI2A", "rows": 12})
    page = Page[Product].from_wire(first.json())
    assert (page.total_results, page.items_per_page, len(page.data)) == (30, 12, 12)
    seen = [product.id for product in page.data]
    while "next" in page.links:
        page = Page[Product].from_wire(http.get(page.links["next"].href).json())
        seen += [product.id for product in page.data]
    assert sorted(seen) == sorted(set(seen)) == sorted(product_id(number) for number in range(30))
    assert page.links["previous"].href
    ids = asked(http, "search_ids", collection="Sentinel-2", params={"rows": 100}).json()["data"]
    assert sorted(ids) == sorted(seen)
    assert http.get(wire.VERBS["search"].url(collection="S2") + "/?q=*").status_code == 200
    assert asked(http, "search", collection="S1").json()["totalResults"] == 0


def test_a_bad_query_is_an_error_with_a_position(http: httpx.Client) -> None:
    error = refused(asked(http, "search", collection="S2", params={"q": "producttype:GRD AND ("}), errors.QueryError)
    assert isinstance(error, errors.QueryError)
    assert error.position >= 20
    error = refused(asked(http, "search", collection="S2", params={"q": "prodcttype:GRD"}), errors.QueryError)
    assert isinstance(error, errors.QueryError)
    assert error.suggestion == "producttype"
    refused(asked(http, "search", collection="S2", params={"orderby": "nonsense asc"}), errors.QueryError)


@pytest.mark.parametrize(
    "params",
    [
        {"rows": "101"},
        {"rows": "0"},
        {"rows": "x"},
        {"start": "-1"},
        {"start": "9" * 30},
        {"row": "1"},
        [("rows", "1"), ("rows", "2")],
    ],
)
def test_bad_parameters_are_refused(http: httpx.Client, params: Any) -> None:
    refused(asked(http, "search", collection="S2", params=params), errors.InvalidRequest)
    refused(asked(http, "orders", params=params), errors.InvalidRequest)


def test_a_failing_source_is_not_an_empty_result(http: httpx.Client, source: ScriptedSource) -> None:
    source.broken = True
    try:
        assert asked(http, "search", collection="S2").headers["retry-after"] == "2"
        refused(asked(http, "search", collection="S2"), errors.SourceUnavailable)
        refused(asked(http, "estimate", json={"products": [product_id(1)]}), errors.SourceUnavailable)
        refused(asked(http, "create_order", json={"products": [product_id(1)]}), errors.SourceUnavailable)
        health = Health.from_wire(asked(http, "health").json())
        assert health.status == "degraded"
        assert "does not answer" in health.sources[0].status
    finally:
        source.broken = False
    assert Health.from_wire(asked(http, "health").json()).status == "ok"


def test_estimate_lists_what_is_wrong_with_each_product(http: httpx.Client, source: ScriptedSource) -> None:
    estimate = Estimate.from_wire(asked(http, "estimate", json={"products": [product_id(3), "S2_nothing"]}).json())
    assert estimate.total == len(source.data[product_id(3)])
    assert list(estimate.errors) == ["S2_nothing"]
    assert estimate.fits
    assert estimate.storage_after.free == estimate.storage_before.free - estimate.total


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"products": []}, errors.EmptyOrder),
        ({}, errors.InvalidRequest),
        ({"products": "S2"}, errors.InvalidRequest),
        ({"products": [1]}, errors.InvalidRequest),
        ({"products": ["a"], "more": 1}, errors.InvalidRequest),
        ({"products": [product_id(1), product_id(2), product_id(1)]}, errors.DuplicateProducts),
        ({"products": [product_id(1), product_id(1) + ".SAFE.zip"]}, errors.DuplicateProducts),
        ({"products": [f"p{number}" for number in range(1001)]}, errors.RequestTooLarge),
        ({"products": [product_id(1), "S2_unknown"]}, errors.UnknownProduct),
        ({"products": ["x" * 1_100_000]}, errors.RequestTooLarge),
    ],
)
def test_bad_orders_are_refused_and_change_nothing(
    http: httpx.Client, body: Any, kind: type[errors.ExtensoError]
) -> None:
    before = asked(http, "me").json()["storage"], asked(http, "orders").json()["totalResults"]
    refused(asked(http, "create_order", json=body), kind)
    assert before == (asked(http, "me").json()["storage"], asked(http, "orders").json()["totalResults"])


def test_an_order_over_quota_is_refused(http: httpx.Client, gateway: Gateway, source: ScriptedSource) -> None:
    small = gateway.store.add_account("small", key="small", quota=1000)
    token = {"Authorization": f"Bearer {gateway.access.login('small')}"}
    answer = http.post(wire.VERBS["create_order"].url(), json={"products": [product_id(1)]}, headers=token)
    error = refused(answer, errors.QuotaExceeded)
    assert error.details["free"] == 1000
    estimate = http.post(wire.VERBS["estimate"].url(), json={"products": [product_id(1)]}, headers=token).json()
    assert estimate["fits"] is False
    assert gateway.store.orders(small, 0, 10)[0] == 0


def test_partial_orders_what_is_known(http: httpx.Client, gateway: Gateway) -> None:
    body = {"products": [product_id(4), "S2_unknown"]}
    answer = asked(http, "create_order", json=body, params={"partial": "true"})
    assert Order.from_wire(answer.json()).products == (product_id(4),)
    refused(asked(http, "create_order", json={"products": ["S2_x"]}, params={"partial": "true"}), errors.UnknownProduct)
    refused(asked(http, "create_order", json=body, params={"partial": "maybe"}), errors.InvalidRequest)


def test_an_order_repeated_with_its_key_is_one_order(http: httpx.Client, source: ScriptedSource) -> None:
    url, body = wire.VERBS["create_order"].url(), {"products": [product_id(5)]}
    first = http.post(url, json=body, headers={"Idempotency-Key": "k1"})
    source.broken = True  # a repetition finds its order without asking any source
    try:
        again = http.post(url, json=body, headers={"Idempotency-Key": "k1"})
    finally:
        source.broken = False
    assert first.status_code == again.status_code == 201
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == wire.VERBS["order"].url(order_id=first.json()["id"])
    other = http.post(url, json={"products": [product_id(6)]}, headers={"Idempotency-Key": "k1"})
    refused(other, errors.IdempotencyConflict)


def test_buckets_are_refused_without_a_word_of_their_keys(http: httpx.Client) -> None:
    bucket = {"endpoint": "http://127.0.0.1:9/bucket", "accessKey": "AKPLANTED", "secretKey": "SKPLANTED"}
    answer = asked(http, "create_order", json={"products": [product_id(1)], "bucketProperties": bucket})
    refused(answer, errors.BucketRefused)
    wrong = bucket | {"secretKey": ["SKPLANTED"], "colour": "SKPLANTED"}
    refused(asked(http, "create_order", json={"products": ["x"], "bucketProperties": wrong}), errors.InvalidRequest)
    assert "PLANTED" not in answer.text


def test_orders_and_deliveries(http: httpx.Client, delivered: Order) -> None:
    order = Order.from_wire(asked(http, "order", order_id=delivered.id).json())
    assert order.status == "delivered"
    assert order.deliveries == {"delivered": 2}
    assert order.size == order.delivered_size > 0
    page = Page[Delivery].from_wire(asked(http, "order_deliveries", order_id=order.id).json())
    assert [item.id for item in page.data] == [f"{order.id}-1", f"{order.id}-2"]
    one = Delivery.from_wire(asked(http, "delivery", order_id=order.id, delivery_id=f"{order.id}-1").json())
    assert one == page.data[0]
    every = Page[Delivery].from_wire(asked(http, "deliveries", params={"status": "delivered", "rows": 100}).json())
    assert {item.status for item in every.data} == {"delivered"}
    assert one in every.data
    refused(asked(http, "deliveries", params={"status": "lost"}), errors.InvalidRequest)
    refused(asked(http, "cancel", order_id=order.id), errors.OrderFinished)
    refused(asked(http, "order", order_id=10**14), errors.UnknownOrder)
    refused(asked(http, "order", order_id="7;drop"), errors.UnknownOrder)
    refused(asked(http, "delivery", order_id=order.id, delivery_id="9-9"), errors.UnknownDelivery)


def test_download_by_link(http: httpx.Client, delivered: Order, source: ScriptedSource) -> None:
    place = {"order_id": delivered.id, "delivery_id": f"{delivered.id}-1"}
    answer = asked(http, "download", **place)
    assert answer.status_code == 307
    url = SignedUrl.from_wire(asked(http, "download_url", **place).json()).url
    for link in (answer.headers["location"], url):
        got = http.get(link, headers={"Authorization": ""})
        assert got.content == source.data[product_id(1)]
    part = http.get(url, headers={"Authorization": "", "Range": "bytes=1000-1999"})
    assert (part.status_code, part.headers["content-range"].split("/")[0]) == (206, "bytes 1000-1999")
    assert part.content == source.data[product_id(1)][1000:2000]
    assert http.head(url).headers["accept-ranges"] == "bytes"
    for host in ("[", "[::1", "a b"):  # it would become part of the URL
        path = wire.VERBS["download_url"].url(**place)
        assert http.get(path, headers={"Host": host}).status_code in {200, 400}
    metadata = DeliveryMetadata.from_wire(asked(http, "metadata", **place).json())
    assert metadata.checksums["sha256"] == hashlib.sha256(got.content).hexdigest()


def test_altered_links_lead_nowhere(http: httpx.Client, delivered: Order, gateway: Gateway) -> None:
    place = {"order_id": delivered.id, "delivery_id": f"{delivered.id}-1"}
    url = asked(http, "download_url", **place).json()["url"]
    other = url.replace(product_id(1), product_id(2))
    later = url.replace("expires=", "expires=9")
    up = url.replace("/orders/", "/orders/%2e%2e/%2e%2e/", 1)
    for altered in (other, later, up, url[:-1] + ("0" if url[-1] != "0" else "1"), url.split("?")[0]):
        refused(http.get(altered), errors.Forbidden)
    path, _ = gateway.access.link(f"{gateway.account}/../../etc/passwd")
    refused(http.get(path.replace("..", "%2e%2e")), errors.Forbidden)
    path, _ = gateway.access.link("x", seconds=-5)
    assert "expired" in refused(http.get(path), errors.Forbidden).message


def test_what_has_not_arrived_cannot_be_downloaded(
    http: httpx.Client, gateway: Gateway, source: ScriptedSource
) -> None:
    name = source.add(40, slow(0.3))
    order = asked(http, "create_order", json={"products": [name]}).json()
    place = {"order_id": order["id"], "delivery_id": f"{order['id']}-1"}
    for verb in ("download", "download_url", "metadata"):
        refused(asked(http, verb, **place), errors.NotDelivered)
    cancelled = Order.from_wire(asked(http, "cancel", order_id=order["id"]).json())
    assert cancelled.status == "cancelled"


def test_delete_gives_the_storage_back(http: httpx.Client, gateway: Gateway) -> None:
    before = asked(http, "me").json()["storage"]
    order = asked(http, "create_order", json={"products": [product_id(7)]}).json()
    gateway.wait(order["id"])
    url = asked(http, "download_url", order_id=order["id"], delivery_id=f"{order['id']}-1").json()["url"]
    assert asked(http, "me").json()["storage"]["used"] > before["used"]
    assert asked(http, "delete", order_id=order["id"]).status_code == 204
    assert asked(http, "me").json()["storage"]["used"] == before["used"]
    refused(asked(http, "order", order_id=order["id"]), errors.UnknownOrder)
    refused(asked(http, "delete", order_id=order["id"]), errors.UnknownOrder)
    assert "deleted" in refused(http.get(url), errors.Forbidden).message


def test_a_foreign_account_sees_nothing(http: httpx.Client, gateway: Gateway, delivered: Order) -> None:
    gateway.store.add_account("stranger", key="stranger")
    token = {"Authorization": f"Bearer {gateway.access.login('stranger')}"}
    for name, verb in wire.VERBS.items():
        if "order_id" not in verb.parameters:
            continue
        places = {"order_id": delivered.id, "delivery_id": f"{delivered.id}-1"}
        url = verb.url(**{part: places[part] for part in verb.parameters})
        answer = http.request(verb.method, url, headers=token)
        refused(answer, errors.UnknownOrder)
        assert product_id(1) not in answer.text, name
    assert http.get(wire.VERBS["orders"].url(), headers=token).json()["totalResults"] == 0
    assert http.get(wire.VERBS["deliveries"].url(), headers=token).json()["totalResults"] == 0
    assert http.get(wire.VERBS["me"].url(), headers=token).json()["storage"]["used"] == 0


def test_unknown_paths_and_methods(http: httpx.Client) -> None:
    refused(http.get(wire.BASE_PATH + "/nothing"), errors.UnknownRoute)
    answer = http.put(wire.VERBS["orders"].url())
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    refused(asked(http, "search", collection="S9"), errors.InvalidRequest)
    refused(asked(http, "quicklook", product_id="S2_nothing"), errors.UnknownProduct)
    refused(asked(http, "quicklook", product_id=product_id(1)), errors.NoQuicklook)


def test_what_nobody_foresaw_is_a_fault_with_a_number(
    http: httpx.Client, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(gateway.service, "account", explode)
    answer = asked(http, "me")
    error = refused(answer, errors.GatewayFault)
    assert "secret detail" not in answer.text
    assert error.correlation_id in caplog.text


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY only where the listening socket names its protocol; without it each answer takes 40 ms."""

    async def accepted(listening: socket.socket) -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(look, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            option = await asyncio.wait_for(found, 30)
            writer.close()
            await writer.wait_closed()
            return option

    with _bound("127.0.0.1", 0) as listening:
        assert asyncio.run(accepted(listening)) == 1


@pytest.mark.parametrize("name", ["search", "health"])
def test_a_silent_source_holds_up_nothing_that_does_not_need_it(
    name: str, gateway: Gateway, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def silent(*_: Any, **__: Any) -> Any:
        released.wait(60)
        raise errors.SourceUnavailable("The source does not answer.")

    monkeypatch.setattr(source, "search", silent)
    monkeypatch.setattr(source, "check", silent)
    token = {"Authorization": f"Bearer {gateway.access.login(gateway.key)}"}
    verb = wire.VERBS[name]
    with served(gateway) as url:
        path = url + verb.url(**({"collection": "S2"} if verb.parameters else {}))
        ask = partial(httpx.get, path, headers=token, timeout=90, trust_env=False)
        threads = [threading.Thread(target=ask) for _ in range(60)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)  # by now all of them are there
        try:
            me = httpx.get(url + wire.VERBS["me"].url(), headers=token, timeout=5, trust_env=False)
        finally:
            released.set()
            for thread in threads:
                thread.join(90)
    assert me.status_code == 200
