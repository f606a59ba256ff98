"""Every route with every token but the right one: nothing is answered, and nothing of another account is seen."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest
from scripted import Gateway, ScriptedSource, product_id, served

from extenso_nb import errors, wire

OWN = {"login", "health", "search", "search_ids", "quicklook", "thumbnail", "estimate"}
"""Verbs that show nothing of any account but what an order would do to one's own storage."""
LISTS = {"orders", "deliveries"}
MINE = {"create_order", "me"}


@pytest.fixture(scope="module")
def source() -> ScriptedSource:
    source = ScriptedSource()
    for number in range(6):
        source.add(number)
    return source


@pytest.fixture(scope="module")
def http(gateway: Gateway) -> Iterator[httpx.Client]:
    with served(gateway) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


@dataclass
class Alice:
    """The account that has something to be seen."""

    account: str
    token: str
    order: int
    link: str
    secrets: tuple[str, ...]


@pytest.fixture(scope="module")
def alice(gateway: Gateway, http: httpx.Client) -> Alice:
    account = gateway.store.add_account("alice-planted", key="key-of-alice")
    token = gateway.access.login("key-of-alice")
    mine = {"Authorization": f"Bearer {token}"}
    products = [product_id(1), product_id(2)]
    made = http.post(
        wire.VERBS["create_order"].url(),
        json={"products": products},
        headers=mine | {"Idempotency-Key": "the same key"},
    )
    order = int(made.json()["id"])
    deadline = time.monotonic() + 60
    while not gateway.store.order(account, order).ended:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    place = {"order_id": order, "delivery_id": f"{order}-1"}
    link = http.get(wire.VERBS["download_url"].url(**place), headers=mine).json()["url"]
    delivery = gateway.store.delivery(account, order, f"{order}-1")
    assert delivery.checksums is not None
    secrets = (account, "alice-planted", "key-of-alice", *products, str(delivery.key), *delivery.checksums.values())
    return Alice(account, token, order, link, secrets)


def called(http: httpx.Client, name: str, order: int, headers: dict[str, str]) -> httpx.Response:
    verb = wire.VERBS[name]
    place = {"order_id": order, "delivery_id": f"{order}-1", "collection": "S2", "product_id": product_id(5)}
    body: dict[str, Any] = {"json": {"products": [product_id(4)]}} if verb.method == "POST" else {}
    return http.request(
        verb.method, verb.url(**{part: place[part] for part in verb.parameters}), headers=headers, **body
    )


def refused(answer: httpx.Response, kind: type[errors.ExtensoError]) -> None:
    assert (answer.status_code, answer.json()["internalCode"]) == (kind.status, kind.code), answer.text


def shows_nothing_of(alice: Alice, answer: httpx.Response) -> None:
    seen = answer.text + json.dumps(dict(answer.headers))
    assert not [secret for secret in alice.secrets if secret in seen]


# --- a good token of another account ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", wire.VERBS)
def test_another_account_sees_nothing(http: httpx.Client, gateway: Gateway, alice: Alice, name: str) -> None:
    verb = wire.VERBS[name]
    bob = gateway.store.add_account(f"bob-{name}", key=f"key-of-bob-{name}")
    token = {"Authorization": f"Bearer {gateway.access.login(f'key-of-bob-{name}')}"}
    # Hers alone: what others have ordered may be on its way.
    hers = f"{alice.account}/"
    before = gateway.store.order(alice.account, alice.order), [key for key in gateway.files() if key.startswith(hers)]
    answer = called(http, name, alice.order, token)
    if "order_id" in verb.parameters:
        refused(answer, errors.UnknownOrder)
        shows_nothing_of(alice, answer)
        # As if there were none: the same answer, but for its number and time.
        nothing = called(http, name, 2**31 - 1, token)
        same = {"internalCode", "hint"}
        assert {key: answer.json()[key] for key in same} == {key: nothing.json()[key] for key in same}
        assert answer.json()["message"].replace(str(alice.order), "N") == nothing.json()["message"].replace(
            str(2**31 - 1), "N"
        )
    elif name in LISTS:
        assert answer.json()["totalResults"] == 0
        shows_nothing_of(alice, answer)
        assert called(http, name, alice.order, {"Authorization": f"Bearer {alice.token}"}).json()["totalResults"] > 0
    elif name in MINE:
        shows_nothing_of(alice, answer)
        me = http.get(wire.VERBS["me"].url(), headers=token).json()
        assert me["id"] == bob
    else:
        assert name in OWN, "a new verb: say here what another account may see of it"
        if name not in {"search", "search_ids"}:  # all accounts share the catalogue
            shows_nothing_of(alice, answer)
    after = gateway.store.order(alice.account, alice.order), [key for key in gateway.files() if key.startswith(hers)]
    assert after == before or name == "create_order"


def test_a_delivery_is_not_found_through_an_order_of_ones_own(
    http: httpx.Client, gateway: Gateway, alice: Alice
) -> None:
    gateway.store.add_account("carol", key="key-of-carol")
    token = {"Authorization": f"Bearer {gateway.access.login('key-of-carol')}"}
    body = {"products": [product_id(3)]}
    # The key of another account's request is no key of this one's.
    headers = token | {"Idempotency-Key": "the same key"}
    mine = http.post(wire.VERBS["create_order"].url(), json=body, headers=headers)
    assert mine.status_code == 201
    assert mine.json()["id"] != alice.order
    for name in ("delivery", "download", "download_url", "metadata", "index"):
        path = wire.VERBS[name].url(order_id=mine.json()["id"], delivery_id=f"{alice.order}-1")
        answer = http.get(path, headers=token)
        refused(answer, errors.UnknownDelivery)
        shows_nothing_of(alice, answer)


# --- tokens that are none --------------------------------------------------------------------------------------------
def nested_token() -> str:
    """A token whose header is JSON that no parser can recurse through."""
    return base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("=") + ".e30.c2ln"


@pytest.fixture(scope="module")
def bad_tokens(gateway: Gateway, alice: Alice) -> dict[str, str]:
    now = int(time.time())
    key = gateway.access._token_key
    claims: dict[str, Any] = {"sub": alice.account, "iat": now, "exp": now + 600, "iss": "extenso_nb"}
    assert jwt.decode(alice.token, key, algorithms=["HS256"])["sub"] == alice.account, "what follows could be right"
    head, body, signature = alice.token.split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims | {"sub": gateway.account}).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    nameless = base64.urlsafe_b64encode(b'{"typ":"JWT"}').decode().rstrip("=")
    link_key = gateway.access._link_key
    gone = gateway.store.add_account("mallory", key="key-of-mallory")
    gone_token = gateway.access.login("key-of-mallory")
    gateway.store.revoke(gone)
    signed = alice.link.rpartition("signature=")[2]
    return {
        "nothing": "",
        "no token": "Bearer",
        "another scheme": f"Basic {alice.token}",
        "the API key": "Bearer key-of-alice",
        "expired": "Bearer " + jwt.encode(claims | {"exp": now - 1}, key, algorithm="HS256"),
        "not yet": "Bearer " + jwt.encode(claims | {"nbf": now + 600}, key, algorithm="HS256"),
        "without an end": "Bearer " + jwt.encode({"sub": alice.account, "iss": "extenso_nb"}, key, algorithm="HS256"),
        "without an account": "Bearer " + jwt.encode({"exp": now + 60, "iss": "extenso_nb"}, key, algorithm="HS256"),
        "of no account": "Bearer " + jwt.encode(claims | {"sub": "nobody"}, key, algorithm="HS256"),
        "of an odd account": "Bearer " + jwt.encode(claims | {"sub": "' OR 1=1 --"}, key, algorithm="HS256"),
        "of a revoked account": f"Bearer {gone_token}",
        "of another issuer": "Bearer " + jwt.encode(claims | {"iss": "else"}, key, algorithm="HS256"),
        "alg none": "Bearer " + jwt.encode(claims, "", algorithm="none"),
        "alg none, old signature": f"Bearer {none}.{body}.{signature}",
        "alg none, no signature": f"Bearer {none}.{body}.",
        "alg left out": f"Bearer {nameless}.{body}.{signature}",
        "another algorithm": "Bearer " + jwt.encode(claims, key * 2, algorithm="HS512"),
        "another key": "Bearer " + jwt.encode(claims, b"another secret" * 3, algorithm="HS256"),
        "the key of links": "Bearer " + jwt.encode(claims, link_key, algorithm="HS256"),
        "another account pasted in": f"Bearer {head}.{other}.{signature}",
        "cut short": f"Bearer {alice.token[:-4]}",
        "two in one": f"Bearer {alice.token} {alice.token}",
        "a signature of a link": f"Bearer {signed}",
        "a link": f"Bearer {alice.link}",
        "signed as a link is": f"Bearer {head}.{body}." + hmac.digest(link_key, body.encode(), "sha256").hex(),
        "nested": f"Bearer {nested_token()}",
        "long": "Bearer " + "a" * 20_000,
        "other letters": "Bearer \xe9\xff.\xe9.\xe9",
    }


@pytest.mark.parametrize("name", [name for name, verb in wire.VERBS.items() if verb.token])
def test_no_verb_takes_a_token_that_is_none(
    http: httpx.Client,
    gateway: Gateway,
    alice: Alice,
    bad_tokens: dict[str, str],
    name: str,
    subtests: pytest.Subtests,
) -> None:
    before = gateway.store.order(alice.account, alice.order), gateway.store.orders(alice.account, 0, 1)[0]
    for what, authorization in bad_tokens.items():
        with subtests.test(what):
            headers = {"Authorization": authorization.encode("latin-1")}  # type: ignore[dict-item]
            answer = called(http, name, alice.order, headers)  # type: ignore[arg-type]
            refused(answer, errors.NotAuthenticated)
            assert answer.headers["www-authenticate"] == "Bearer"
            shows_nothing_of(alice, answer)
            assert alice.token not in answer.text
    assert before == (gateway.store.order(alice.account, alice.order), gateway.store.orders(alice.account, 0, 1)[0])


def test_who_has_no_token_is_told_nothing_else(http: httpx.Client) -> None:
    """Neither whether a parameter is wrong, nor whether a body is, which is not even read."""
    refused(http.get(wire.VERBS["search"].url(collection="S9"), params={"nonsense": "1"}), errors.NotAuthenticated)
    answer = http.post(wire.VERBS["create_order"].url(), content=b"{" * 500_000)
    refused(answer, errors.NotAuthenticated)


# --- a token is no link, and a link no token -------------------------------------------------------------------------
def test_a_token_does_not_open_the_files(http: httpx.Client, gateway: Gateway, alice: Alice) -> None:
    path, _, query = alice.link.partition("?")
    expires = query.partition("&")[0]
    token = {"Authorization": f"Bearer {alice.token}"}
    refused(http.get(path, headers=token), errors.Forbidden)
    refused(http.get(f"{path}?{expires}", headers=token), errors.Forbidden)
    for signature in (alice.token, alice.token.rpartition(".")[2], ""):
        refused(http.get(f"{path}?{expires}&signature={signature}", headers=token), errors.Forbidden)
    key, moment = path.partition(wire.FILES_PATH + "/")[2], expires.partition("=")[2]
    made = hmac.new(gateway.access._token_key, f"{moment}\n{key}".encode(), hashlib.sha256).hexdigest()
    refused(http.get(f"{path}?{expires}&signature={made}"), errors.Forbidden)
    assert http.get(alice.link).status_code == 200, "and the link alone does"


def test_a_link_to_another_account_cannot_be_made_of_ones_own(http: httpx.Client, alice: Alice) -> None:
    other = alice.link.replace(alice.account, "0" * len(alice.account))
    answer = http.get(other)
    refused(answer, errors.Forbidden)
    shows_nothing_of(alice, answer)
