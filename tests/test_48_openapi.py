"""The OpenAPI document: valid, complete, true of real answers, and what schemathesis finds when it attacks with it."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
import requests
import schemathesis
from drawn import real
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as openapi_checks
from scripted import Gateway, ScriptedSource, cut_at, product_id, served

from extenso_nb import errors, wire
from extenso_nb._version import __version__
from extenso_nb.gateway.openapi import document, errors_of

DOCUMENT = document(__version__)
KNOWN = [product_id(number) for number in range(12)]


class Pictured(ScriptedSource):
    """A source with a picture of each product but the first, which is the one without."""

    def quicklook(self, product_id: str) -> bytes:
        if product_id == KNOWN[0] or product_id not in self.data:
            return super().quicklook(product_id)
        buffer = io.BytesIO()
        Image.radial_gradient("L").convert("RGB").save(buffer, "PNG")
        return buffer.getvalue()


@pytest.fixture(scope="module")
def source() -> ScriptedSource:
    source = Pictured()
    for number in range(12):
        source.add(number, data={1: real(), 11: b"PK" + bytes(2000)}.get(number))  # the last one is damaged
    return source


@pytest.fixture(scope="module")
def url(gateway: Gateway) -> Iterator[str]:
    with served(gateway) as address:
        yield address


@pytest.fixture(scope="module")
def http(gateway: Gateway, url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False) as client:
        client.headers["Authorization"] = f"Bearer {gateway.access.login(gateway.key)}"
        yield client


@pytest.fixture(scope="module")
def orders(gateway: Gateway, http: httpx.Client) -> list[int]:
    """One order that was delivered, one of which a part was, one that failed."""
    made = []
    for products in (KNOWN[1:3], [KNOWN[3], KNOWN[11]], [KNOWN[11]]):
        made.append(http.post(wire.VERBS["create_order"].url(), json={"products": products}).json()["id"])
    assert [gateway.wait(number) for number in made] == ["delivered", "partial", "failed"]
    return made


# --- the document ----------------------------------------------------------------------------------------------------
def strict(schema: dict[str, Any]) -> jsonschema.protocols.Validator:
    """A validator that takes no field which the document does not name."""
    components = copy.deepcopy(DOCUMENT["components"])
    for found in components["schemas"].values():
        if "properties" in found:
            found["additionalProperties"] = False
    whole = {**schema, "components": components}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())


def operation(name: str) -> dict[str, Any]:
    verb = wire.VERBS[name]
    found: dict[str, Any] = DOCUMENT["paths"][verb.template][verb.method.lower()]
    return found


def test_the_document_is_valid_and_served_as_it_is(http: httpx.Client) -> None:
    validate(DOCUMENT)
    answer = http.get(wire.OPENAPI_PATH, headers={"Authorization": ""})
    assert answer.json() == json.loads(json.dumps(DOCUMENT))


@pytest.mark.parametrize("name", wire.VERBS)
def test_every_verb_is_described_whole(name: str) -> None:
    verb, found = wire.VERBS[name], operation(name)
    named = {(item["in"], item["name"]) for item in found.get("parameters", []) if item["in"] != "header"}
    assert named == {("path", part) for part in verb.parameters} | {("query", part) for part in verb.query}
    assert all("example" in item and item["description"] for item in found.get("parameters", []))
    for item in found.get("parameters", []):
        strict(item["schema"]).validate(item["example"])
    assert (found.get("security") == []) is not verb.token
    assert found["tags"]
    assert found["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    if verb.method == "POST":
        (content,) = found["requestBody"]["content"].values()
        for shown in content["examples"].values():
            strict(content["schema"]).validate(shown["value"])
    answers = found["responses"]
    kinds = errors_of(name)
    assert set(answers) - {"304"} == {str(verb.status)} | {str(kind.status) for kind in kinds}
    for status, answer in answers.items():
        assert "X-Ads-Correlation-Id" in answer["headers"]
        for content in answer.get("content", {}).values():
            if status == str(verb.status) and content:
                strict(content["schema"]).validate(content["example"])
            for shown in content.get("examples", {}).values():
                strict(content["schema"]).validate(shown["value"])
    shown_errors = {key for answer in answers.values() for key in _json_of(answer).get("examples", {})}
    assert shown_errors == {kind.__name__ for kind in kinds}
    assert ("Retry-After" in answers["429"]["headers"], "WWW-Authenticate" in str(answers)) == (True, verb.token)


def _json_of(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = answer.get("content", {}).get("application/json", {})
    return found


def test_every_error_of_the_api_belongs_to_a_verb() -> None:
    elsewhere = {
        errors.Forbidden,  # signed links only
        errors.AreaError,  # within `q` it is a QueryError with a position
        errors.ProductIdError,  # an identifier that is none is an unknown product
    }
    given_by = {kind for name in wire.VERBS for kind in errors_of(name)}
    assert given_by == set(errors.table().values()) - elsewhere


# --- real answers ----------------------------------------------------------------------------------------------------
def conforms(name: str, answer: httpx.Response) -> None:
    """An answer is one that the document tells of: status, headers, type, and a body without anything more."""
    told = operation(name)["responses"][str(answer.status_code)]
    for header, found in told["headers"].items():
        shape = DOCUMENT["components"]["headers"][header]["schema"]
        assert found["$ref"].endswith(header)
        strict(shape).validate(answer.headers[header])
    kind = answer.headers.get("content-type", "")
    if "content" not in told:
        assert answer.content == b""
        return
    assert kind in told["content"]
    if kind == "application/json":
        strict(told["content"][kind]["schema"]).validate(answer.json())


def test_real_answers_of_every_verb_are_as_described(
    http: httpx.Client, gateway: Gateway, orders: list[int], subtests: pytest.Subtests
) -> None:
    place = {"order_id": orders[0], "delivery_id": f"{orders[0]}-1", "collection": "S2", "product_id": KNOWN[2]}
    waiting = gateway.store.orders(gateway.account, 0, 1)[1][0].id
    source = gateway.catalogue.sources["scripted"]
    assert isinstance(source, Pictured)
    source.script[KNOWN[9]] = [cut_at(0)] * 9  # keeps an order open until it is cancelled
    more: dict[str, dict[str, Any]] = {
        "login": {"data": {"apikey": gateway.key, "grant_type": "api_key", "client_id": "IDP"}},
        "estimate": {"json": {"products": [KNOWN[1], "S2_unknown"]}},
        "create_order": {"json": {"products": [KNOWN[9]]}},
    }
    made = 0
    for name, verb in wire.VERBS.items():
        with subtests.test(name):
            if name in {"cancel", "delete"}:
                place["order_id"] = made if name == "cancel" else waiting
            else:
                place["order_id"] = orders[0]
            path = verb.url(**{part: place[part] for part in verb.parameters})
            answer = http.request(verb.method, path, **more.get(name, {}))
            assert answer.status_code == verb.status, answer.text
            conforms(name, answer)
            if name == "create_order":
                made = answer.json()["id"]


def test_answers_that_have_a_tag_are_not_sent_twice(http: httpx.Client, orders: list[int]) -> None:
    place = {"order_id": orders[0], "delivery_id": f"{orders[0]}-1", "collection": "S2", "product_id": KNOWN[2]}
    tagged = [name for name in wire.VERBS if "304" in operation(name)["responses"]]
    assert tagged == ["quicklook", "thumbnail", "search", "search_ids", "metadata", "index"]
    for name in tagged:
        path = wire.VERBS[name].url(**{part: place[part] for part in wire.VERBS[name].parameters})
        first = http.get(path)
        tag = first.headers["etag"]
        assert tag.startswith('"'), "a strong one"
        for held in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            again = http.get(path, headers={"If-None-Match": held})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            conforms(name, again)
        assert http.get(path, headers={"If-None-Match": '"other"'}).content == first.content
    assert http.get(path.replace("/index", "")).headers["cache-control"] == "no-store"
    pages = {http.get(wire.VERBS["search"].url(collection="S2"), params={"rows": n}).headers["etag"] for n in (1, 2)}
    assert len(pages) == 2


# --- schemathesis ----------------------------------------------------------------------------------------------------
CHECKS = [
    not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.response_headers_conformance,
]
ORDERED = sorted(wire.VERBS, key=lambda name: wire.VERBS[name].method == "DELETE")  # what takes away comes last
ATTACKS = [
    (name, mode)
    for name in ORDERED
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE
    or operation(name).keys() & {"parameters", "requestBody"}  # else nothing to spoil
]


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis does; hypothesis seeds it
@pytest.mark.parametrize(("name", "mode"), ATTACKS, ids=lambda value: getattr(value, "value", value))
def test_schemathesis_finds_nothing(
    name: str, mode: GenerationMode, gateway: Gateway, url: str, orders: list[int]
) -> None:
    verb = wire.VERBS[name]
    attacked = schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT))[verb.template][verb.method]
    token = {"Authorization": f"Bearer {gateway.access.login(gateway.key)}"}
    # Of what is made up next to nothing exists, so every other case is turned towards what does.
    first, second = orders[:2]
    places = [
        {"collection": collection, "product_id": product, "order_id": order, "delivery_id": f"{order}-{part}"}
        for collection, product, order, part in (
            ("S2", KNOWN[2], first, 1),
            ("s2", KNOWN[0], first, 2),
            ("Sentinel-2", KNOWN[11], second, 1),
            ("S5", KNOWN[3], second, 2),
        )
    ]
    there = st.one_of(st.none(), st.sampled_from(places))
    products = st.one_of(st.none(), st.lists(st.sampled_from(KNOWN), min_size=1, max_size=3, unique=True))
    seen: set[int] = set()

    @settings(max_examples=25, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=attacked.as_strategy(generation_mode=mode), place=there, real=products)
    def attack(case: schemathesis.Case, place: dict[str, Any] | None, real: list[str] | None) -> None:
        as_made = not (place and verb.parameters)
        if not as_made:
            case.path_parameters = {part: place[part] for part in verb.parameters}
        if isinstance(case.body, dict) and real and "products" in case.body:
            case.body["products"] = real
            case.body.pop("bucketProperties", None)  # would be looked for in the network
            as_made = False
        elif isinstance(case.body, dict) and isinstance(case.body.get("bucketProperties"), dict):
            case.body["bucketProperties"]["endpoint"] = "http://127.0.0.1:9/bucket"
            as_made = False
        answer = case.call(base_url=url, session=session, headers=token if verb.token else None)
        seen.add(answer.status_code)
        refuses = [openapi_checks.negative_data_rejection] * (as_made and answer.status_code != 413)  # 413 is new to it
        case.validate_response(answer, checks=CHECKS + refuses)
        assert answer.status_code < 500
        if mode is GenerationMode.POSITIVE and answer.status_code == 400:
            # A query that nobody can parse is text all the same; the schema cannot say more.
            assert answer.json()["internalCode"] == errors.QueryError.code, answer.text

    with requests.Session() as session:
        session.trust_env = False
        attack()
    if mode is GenerationMode.POSITIVE and name not in {"login", "cancel"}:
        assert verb.status in seen, f"only {seen}: the attack never got through the door"
