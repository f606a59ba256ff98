"""The OpenAPI document of the service, built from `wire`, the models and the table of errors, so that it cannot drift."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, SecretStr, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from extenso_nb import errors, models, wire
from extenso_nb.gateway import examples
from extenso_nb.models import (
    DELIVERY_STATUSES,
    Account,
    BucketProperties,
    Delivery,
    DeliveryMetadata,
    Estimate,
    Health,
    Noun,
    Order,
    Page,
    Product,
    SignedUrl,
)

__all__ = ["LARGEST_ORDER", "LARGEST_START", "Error", "LoginForm", "OrderBody", "ProductsBody", "document", "errors_of"]

LARGEST_ORDER = 2**31 - 1
"""No number of an order is larger: it is an INTEGER of the tables."""
LARGEST_START = 2**40
_KEY_LENGTH = 255


# --- bodies that only this end knows ---------------------------------------------------------------------------------
class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ProductsBody(_Body):
    """The products that an estimate is asked for."""

    # How many there are is told by `service`, with errors of their own (EmptyOrder, RequestTooLarge ...).
    products: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=255)]],
        FailFast(),  # one error, not one for each of half a million items
        Field(json_schema_extra={"minItems": 1, "maxItems": wire.MAX_PRODUCTS, "uniqueItems": True}),
    ]


class OrderBody(ProductsBody):
    """An order: its products and, when it shall not go into the free storage, a bucket."""

    bucketProperties: BucketProperties | None = None  # noqa: N815 - the API's own spelling


class LoginForm(_Body):
    """The token request, in the One Atlas form."""

    apikey: Annotated[SecretStr, Field(min_length=1, max_length=1000)]
    grant_type: Literal["api_key"]
    client_id: Literal["IDP"]


class Token(BaseModel):
    """A token and the seconds for which it is good; there is none to refresh it with."""

    access_token: str
    expires_in: int
    refresh_expires_in: int
    token_type: Literal["Bearer"]


class Error(BaseModel):
    """What every error says."""

    correlationId: str  # noqa: N815 - the API's own spelling
    hint: str
    internalCode: int  # noqa: N815 - the API's own spelling
    message: str
    timestamp: int
    details: dict[str, Any] = {}


# --- what each verb takes and gives ----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Facts:
    """What `wire` does not say of a verb."""

    answer: type[BaseModel] | Literal["pictures", "none", "redirect", "bytes"]
    fails: tuple[type[errors.ExtensoError], ...] = ()
    """Besides what all verbs share."""
    body: type[BaseModel] | None = None
    tagged: bool = False
    """Whether the answer has an ETag."""


_NO_ORDER = (errors.UnknownOrder,)
_NO_DELIVERY = (errors.UnknownOrder, errors.UnknownDelivery)
_NO_LIST = (errors.EmptyOrder, errors.DuplicateProducts, errors.SourceUnavailable)
_SEARCHED = (errors.QueryError, errors.SourceUnavailable)
_SHOWN = (errors.UnknownProduct, errors.NoQuicklook, errors.SourceUnavailable)
_STORED = (*_NO_DELIVERY, errors.NotDelivered)

_FACTS: dict[str, _Facts] = {
    "login": _Facts(Token, (errors.InvalidApiKey,), LoginForm),
    "quicklook": _Facts("pictures", _SHOWN, tagged=True),
    "thumbnail": _Facts("pictures", _SHOWN, tagged=True),
    "search": _Facts(Page[Product], _SEARCHED, tagged=True),
    "search_ids": _Facts(Page[str], _SEARCHED, tagged=True),
    "estimate": _Facts(Estimate, _NO_LIST, ProductsBody),
    "create_order": _Facts(
        Order,
        (
            *_NO_LIST,
            errors.UnknownProduct,
            errors.CredentialsMissing,
            errors.QuotaExceeded,
            errors.IdempotencyConflict,
            errors.BucketRefused,
        ),
        OrderBody,
    ),
    "orders": _Facts(Page[Order]),
    "order": _Facts(Order, _NO_ORDER),
    "cancel": _Facts(Order, (*_NO_ORDER, errors.OrderFinished)),
    "deliveries": _Facts(Page[Delivery]),
    "order_deliveries": _Facts(Page[Delivery], _NO_ORDER),
    "delivery": _Facts(Delivery, _NO_DELIVERY),
    "delete": _Facts("none", _NO_ORDER),
    "download": _Facts("redirect", (*_STORED, errors.InOwnBucket)),
    "download_url": _Facts(SignedUrl, (*_STORED, errors.InOwnBucket)),
    "metadata": _Facts(DeliveryMetadata, _STORED, tagged=True),
    "index": _Facts("bytes", (*_STORED, errors.InOwnBucket, errors.NoIndex), tagged=True),
    "me": _Facts(Account),
    "health": _Facts(Health),
}

_TAGS = {"extended-search": "Search", "order": "Order", "user-storage": "User storage", "health": "Service"}


def errors_of(name: str) -> tuple[type[errors.ExtensoError], ...]:
    """All errors that a verb can answer with, by status and code."""
    verb, facts = wire.VERBS[name], _FACTS[name]
    kinds = {*facts.fails, errors.InvalidRequest, errors.TooManyRequests, errors.GatewayFault}
    if verb.token:
        kinds.add(errors.NotAuthenticated)
    if name != "health":
        kinds.add(errors.DatabaseUnavailable)
    if facts.body is not None:
        kinds.add(errors.RequestTooLarge)
    if verb.parameters:
        kinds.add(errors.UnknownRoute)  # a parameter with a slash in it is another path
    return tuple(sorted(kinds, key=lambda kind: (kind.status or 0, kind.code)))


# --- parameters ------------------------------------------------------------------------------------------------------
_PATH: dict[str, tuple[dict[str, Any], Any, str]] = {
    "collection": (
        {"type": "string", "pattern": r"^([Ss]|[Ss]entinel-)([1-3]|5[Pp]?)$"},
        "S2",
        "S1, S2, S3 or S5P; small letters, `S5` and `Sentinel-2` are understood.",
    ),
    "product_id": (
        {"type": "string", "minLength": 1, "maxLength": 255},
        examples.PRODUCT_ID,
        "Identifier of a product, without extension.",
    ),
    "order_id": (
        {"type": "integer", "format": "int32", "minimum": 1, "maximum": LARGEST_ORDER},
        examples.ORDER_ID,
        "Number of an order.",
    ),
    "delivery_id": (
        {"type": "string", "pattern": r"^[0-9]{1,10}-[0-9]{1,4}$"},
        f"{examples.ORDER_ID}-1",
        "Identifier of a delivery: the order's number and a place in it.",
    ),
}
_QUERY: dict[str, tuple[dict[str, Any], Any, str]] = {
    "q": (
        {"type": "string"},
        "cloudcoverpercentage:[0 TO 20]",
        "Query in the full-text language of the Copernicus hubs, see docs/query.md; everything when it is left out.",
    ),
    "start": (
        {"type": "integer", "minimum": 0, "maximum": LARGEST_START, "default": 0},
        0,
        "Offset of the first item of the page.",
    ),
    "rows": (
        {"type": "integer", "minimum": 1, "maximum": wire.MAX_ROWS, "default": wire.ROWS},
        wire.ROWS,
        "Items of a page at most.",
    ),
    "orderby": (
        {"type": "string", "default": "ingestiondate desc"},
        "beginposition asc",
        "Keyword and `asc` or `desc`; several with commas between them.",
    ),
    "status": ({"type": "string", "enum": list(DELIVERY_STATUSES)}, "delivered", "Deliveries in this status only."),
    "partial": (
        {"type": "boolean", "default": False},
        False,
        "Order the others when some products are unknown, instead of refusing the order.",
    ),
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "ETags of what the client holds; 304 when it is still the same.",
    "schema": {"type": "string"},
    "example": '"d41d8cd98f00b204e9800998ecf8427e"',
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes it safe to send the order again: the same key and body give the same order.",
    "schema": {"type": "string", "minLength": 1, "maxLength": _KEY_LENGTH},
    "example": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
}


def _parameters(verb: wire.Verb) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for place, names, table in (("path", verb.parameters, _PATH), ("query", verb.query, _QUERY)):
        for name in names:
            schema, example, text = table[name]
            made = {"name": name, "in": place, "required": place == "path", "description": text, "schema": schema}
            found.append(made | {"example": example})
    if _FACTS[verb.name].tagged:
        found.append(_IF_NONE_MATCH)
    if verb.name == "create_order":
        found.append(_IDEMPOTENCY_KEY)
    return found


# --- bodies ----------------------------------------------------------------------------------------------------------
def _request_body(facts: _Facts) -> dict[str, Any] | None:
    if facts.body is None:
        return None
    schema = {"$ref": f"#/components/schemas/{facts.body.__name__}"}
    products = {"products": [examples.PRODUCT_ID]}
    if facts.body is LoginForm:
        shown: dict[str, Any] = {"api key": {"apikey": "exk_...", "grant_type": "api_key", "client_id": "IDP"}}
        kind = "application/x-www-form-urlencoded"
    else:
        kind, shown = "application/json", {"free storage": products}
        if facts.body is OrderBody:
            shown["own bucket"] = products | {"bucketProperties": examples.bucket_body()}
    content = {"schema": schema, "examples": {name: {"value": value} for name, value in shown.items()}}
    return {"required": True, "content": {kind: content}}


def _header(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/headers/{name}"}


def _success(verb: wire.Verb, facts: _Facts, body: Any) -> dict[str, Any]:
    headers = {"X-Ads-Correlation-Id": _header("X-Ads-Correlation-Id")}
    if verb.status in {201, 307}:
        headers["Location"] = _header("Location")
    if facts.tagged:
        headers["ETag"] = _header("ETag")
    answer: dict[str, Any] = {"description": verb.summary, "headers": headers}
    if facts.answer == "pictures":
        answer["content"] = {"image/jpeg": {}, "image/png": {}}
    elif facts.answer == "bytes":
        answer["content"] = {"application/octet-stream": {}}
    elif facts.answer == "redirect":
        answer["description"] = (
            "Go to the signed URL in `Location`. It needs no header, answers Range and If-Range, and expires after an"
            " hour. The token must not be sent to it when it is another host."
        )
    elif not isinstance(facts.answer, str):
        schema = {"$ref": f"#/components/schemas/{_schema_name(facts.answer)}"}
        answer["content"] = {"application/json": {"schema": schema, "example": body}}
    return answer


def _failures(kinds: Sequence[type[errors.ExtensoError]]) -> dict[str, Any]:
    by_status: dict[int, list[type[errors.ExtensoError]]] = {}
    for kind in kinds:
        assert kind.status is not None
        by_status.setdefault(kind.status, []).append(kind)
    return {str(status): _failure(status, same) for status, same in by_status.items()}


def _failure(status: int, kinds: Sequence[type[errors.ExtensoError]]) -> dict[str, Any]:
    headers = {"X-Ads-Correlation-Id": _header("X-Ads-Correlation-Id")}
    if status in {429, 503}:
        headers["Retry-After"] = _header("Retry-After")
    if status == 401:
        headers["WWW-Authenticate"] = _header("WWW-Authenticate")
    codes = {"type": "object", "properties": {"internalCode": {"enum": [kind.code for kind in kinds]}}}
    shown = {kind.__name__: {"summary": _first_line(kind), "value": examples.error_body(kind)} for kind in kinds}
    content = {"schema": {"allOf": [{"$ref": "#/components/schemas/Error"}, codes]}, "examples": shown}
    return {
        "description": ", ".join(kind.__name__ for kind in kinds),
        "headers": headers,
        "content": {"application/json": content},
    }


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


# --- schemas ---------------------------------------------------------------------------------------------------------
def _schema_name(kind: type[BaseModel]) -> str:
    return kind.__name__.replace("[", "_").replace("]", "_")


def _schemas() -> dict[str, Any]:
    answers: set[type[BaseModel]] = {facts.answer for facts in _FACTS.values() if not isinstance(facts.answer, str)}
    bodies = {facts.body for facts in _FACTS.values() if facts.body is not None}
    kinds: list[type[BaseModel]] = sorted({*answers, *bodies, Error}, key=_schema_name)
    _, made = models_json_schema([(kind, "validation") for kind in kinds], ref_template="#/components/schemas/{model}")
    found: dict[str, Any] = made["$defs"]
    for kind in _nouns(Noun):
        if (schema := found.get(_schema_name(kind))) is not None and kind is not BucketProperties:
            _as_answered(kind, schema)
    for name, schema in found.items():
        texts = _field_texts().get(name.partition("_")[0], {})
        for field, inner in schema.get("properties", {}).items():
            inner.pop("title", None)
            if text := texts.get(field):
                inner["description"] = text
    return dict(sorted(found.items()))


def _nouns(kind: type[Noun]) -> list[type[Noun]]:
    below = kind.__subclasses__()
    return [*below, *(deeper for child in below for deeper in _nouns(child))]


def _as_answered(kind: type[Noun], schema: dict[str, Any]) -> None:
    """What `to_wire` writes: no null, and whatever has another default is always there."""
    always = []
    for name, field in kind.model_fields.items():
        wire_name = field.alias or name
        inner = schema["properties"][wire_name]
        inner.pop("default", None)
        if field.is_required() or field.default_factory is not None or field.default is not None:
            always.append(wire_name)
        some = [option for option in inner.get("anyOf", ()) if option != {"type": "null"}]
        if len(some) == 1:
            del inner["anyOf"]
            inner.update(some[0])
    schema["required"] = always


@cache
def _field_texts() -> dict[str, dict[str, str]]:
    """The text under each field of the models: class -> name on the wire -> text."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(models)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        texts = found.setdefault(node.name, {})
        for field, text in zip(node.body, node.body[1:], strict=False):
            said = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and text.value.value
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(said, str):
                texts[to_camel(field.target.id)] = inspect.cleandoc(said)
    return found


_HEADERS = {
    "X-Ads-Correlation-Id": ("The number under which the gateway's log knows this request.", {"type": "string"}),
    "Location": ("Where what was made, or asked for, lies.", {"type": "string", "format": "uri-reference"}),
    "ETag": ("Changes when the answer changes; for If-None-Match.", {"type": "string"}),
    "Retry-After": ("Seconds to wait before asking again.", {"type": "string", "pattern": "^[0-9]+$"}),
    "WWW-Authenticate": ("How to show who asks.", {"type": "string", "const": "Bearer"}),
}


# --- the whole -------------------------------------------------------------------------------------------------------
def _operation(verb: wire.Verb, body: Any) -> dict[str, Any]:
    facts = _FACTS[verb.name]
    made: dict[str, Any] = {
        "operationId": verb.name,
        "summary": verb.summary,
        "tags": [_TAGS.get(verb.path.split("/")[1], "Login")],
    }
    if parameters := _parameters(verb):
        made["parameters"] = parameters
    if request_body := _request_body(facts):
        made["requestBody"] = request_body
    if not verb.token:
        made["security"] = []
    made["responses"] = {str(verb.status): _success(verb, facts, body)}
    if facts.tagged:
        made["responses"]["304"] = {
            "description": "What the client holds is still the same.",
            "headers": {name: _header(name) for name in ("ETag", "X-Ads-Correlation-Id")},
        }
    made["responses"] |= _failures(errors_of(verb.name))
    return made


def document(version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the service."""
    bodies = examples.success()
    paths: dict[str, dict[str, Any]] = {}
    for verb in wire.VERBS.values():
        paths.setdefault(verb.template, {})[verb.method.lower()] = _operation(verb, bodies.get(verb.name))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "extenSO",
            "version": version,
            "summary": "Search, order and deliver Copernicus Sentinel products.",
            "description": "JSON throughout, times ISO 8601 UTC, sizes in bytes. Fields without a value are left out."
            " Unknown query parameters are refused. A trailing slash is optional.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": name} for name in ("Login", *_TAGS.values())],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "headers": {
                name: {"description": text, "required": True, "schema": schema}
                for name, (text, schema) in _HEADERS.items()
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": f"A token of POST {wire.TOKEN_PATH} for the form fields apikey,"
                    " grant_type=api_key and client_id=IDP.",
                }
            },
        },
    }
