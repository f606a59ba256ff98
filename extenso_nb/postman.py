"""The API as a Postman collection (v2.1) and environment, made from `wire` and the OpenAPI document."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from extenso_nb import wire
from extenso_nb._version import __version__
from extenso_nb.errors import InputError
from extenso_nb.gateway.openapi import document

__all__ = ["COLLECTION", "ENVIRONMENT", "collection", "environment", "write"]

COLLECTION = "extenSO.postman_collection.json"
ENVIRONMENT = "extenSO.postman_environment.json"
_SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_NAMESPACE = uuid.UUID("6ad3c3f2-7f1b-4e3c-9d55-31a1f1c6c0de")


class _Request(NamedTuple):
    """A request of the collection."""

    name: str
    """As the guide of extenSO v3 names it; ours for what came later."""
    verb: str
    example: str = ""
    """Which of the body's examples."""
    keeps: tuple[tuple[str, str], ...] = ()
    """What later requests need of the answer: variable and where it stands."""


_FOLDERS: dict[str, tuple[_Request, ...]] = {
    "Login": (_Request("One Atlas authenticate", "login", "api key", (("token", "access_token"),)),),
    "Search": (
        _Request("Search Metadata", "search", keeps=(("productId", "data[0].id"),)),
        _Request("Search Ids", "search_ids", keeps=(("productId", "data[0]"),)),
        _Request("Quicklook", "quicklook"),
        _Request("Thumbnail", "thumbnail"),
    ),
    "Order": (
        _Request("Estimate", "estimate", "free storage"),
        _Request("Create order", "create_order", "free storage", (("orderId", "id"),)),
        _Request("Create order in your own bucket", "create_order", "own bucket", (("orderId", "id"),)),
        _Request("All orders", "orders"),
        _Request("One order", "order"),
        _Request("All deliveries", "deliveries"),
        _Request("Deliveries of an order", "order_deliveries", keeps=(("deliveryId", "data[0].id"),)),
        _Request("One delivery", "delivery"),
        _Request("Cancel", "cancel"),
    ),
    "User storage": (
        _Request("Download", "download"),
        _Request("Download url", "download_url"),
        _Request("Delivery metadata", "metadata"),
        _Request("Delivery index", "index"),
        _Request("Me", "me"),
        _Request("Delete", "delete"),
    ),
    "Service": (_Request("Health", "health"),),
}
_VARIABLES = {"collection": "collection", "product_id": "productId", "order_id": "orderId", "delivery_id": "deliveryId"}
_ALWAYS = {"q", "start", "rows"}
"""Query parameters that are switched on; the others are there to be."""


def collection() -> dict[str, Any]:
    """The collection: a folder for each part of the API, a request for each verb."""
    paths = document(__version__)["paths"]
    folders = [
        {"name": folder, "item": [_item(request, paths) for request in requests]}
        for folder, requests in _FOLDERS.items()
    ]
    text = (
        "Import this collection and its environment, put your API key into `apikey` of the environment, and send"
        " *One Atlas authenticate*: its token is kept for an hour and used by all other requests. *Search*, *Create"
        " order* and *Deliveries of an order* keep the product, the order and the delivery for those that follow."
    )
    return {
        "info": {
            "_postman_id": str(uuid.uuid5(_NAMESPACE, "collection")),
            "name": "extenSO",
            "description": text,
            "version": __version__,
            "schema": _SCHEMA,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "item": folders,
    }


def _item(request: _Request, paths: dict[str, Any]) -> dict[str, Any]:
    verb = wire.VERBS[request.verb]
    operation = paths[verb.template][verb.method.lower()]
    made: dict[str, Any] = {
        "method": verb.method,
        "header": _headers(operation),
        "url": _url(verb, operation),
        "description": operation["summary"],
    }
    if not verb.token:
        made["auth"] = {"type": "noauth"}
    if "requestBody" in operation:
        made["body"] = _body(operation["requestBody"]["content"], request.example)
    item: dict[str, Any] = {"name": request.name, "request": made, "response": []}
    lines = [f'pm.test("success", () => pm.response.to.have.status({_seen_status(verb)}));']
    lines += [f'pm.environment.set("{name}", pm.response.json().{place});' for name, place in request.keeps]
    item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": lines}}]
    return item


def _seen_status(verb: wire.Verb) -> int:
    # Postman follows a redirect by itself, and sees what it leads to.
    return 200 if verb.status == 307 else verb.status


def _headers(operation: dict[str, Any]) -> list[dict[str, Any]]:
    headers: list[dict[str, Any]] = [
        {"key": part["name"], "value": part["example"], "description": part["description"], "disabled": True}
        for part in operation.get("parameters", ())
        if part["in"] == "header"
    ]
    if "application/json" in operation.get("requestBody", {}).get("content", {}):
        headers.insert(0, {"key": "Content-Type", "value": "application/json"})
    return headers


def _url(verb: wire.Verb, operation: dict[str, Any]) -> dict[str, Any]:
    filled = verb.template.format(**{name: f"{{{{{_VARIABLES[name]}}}}}" for name in verb.parameters})
    query = [
        {
            "key": part["name"],
            "value": str(part["example"]).lower() if isinstance(part["example"], bool) else str(part["example"]),
            "description": part["description"],
            "disabled": part["name"] not in _ALWAYS,
        }
        for part in operation.get("parameters", ())
        if part["in"] == "query"
    ]
    shown = "&".join(f"{part['key']}={part['value']}" for part in query if not part["disabled"])
    url: dict[str, Any] = {
        "raw": "{{url}}" + filled + (f"?{shown}" if shown else ""),
        "host": ["{{url}}"],
        "path": filled.strip("/").split("/"),
    }
    if query:
        url["query"] = query
    return url


def _body(content: dict[str, Any], example: str) -> dict[str, Any]:
    ((kind, told),) = content.items()
    value = told["examples"][example]["value"]
    if kind == "application/x-www-form-urlencoded":
        variables = value | {"apikey": "{{apikey}}"}
        fields = [{"key": name, "value": text, "type": "text"} for name, text in variables.items()]
        return {"mode": "urlencoded", "urlencoded": fields}
    filled = value | {"products": ["{{productId}}"]}
    if "bucketProperties" in value:
        filled["bucketProperties"] = {name: f"{{{{{name}}}}}" for name in value["bucketProperties"]}
    return {"mode": "raw", "raw": json.dumps(filled, indent=2), "options": {"raw": {"language": "json"}}}


def environment(url: str) -> dict[str, Any]:
    """The environment: the gateway's address, room for the key, and what the requests keep. No key is ever in it."""
    values = {
        "url": url.rstrip("/"),
        "apikey": "",
        "token": "",
        "collection": "S2",
        "productId": "",
        "orderId": "",
        "deliveryId": "",
        "endpoint": "",
        "accessKey": "",
        "secretKey": "",
    }
    secret = {"apikey", "token", "accessKey", "secretKey"}
    return {
        "id": str(uuid.uuid5(_NAMESPACE, "environment")),
        "name": "extenSO",
        "values": [
            {"key": name, "value": value, "type": "secret" if name in secret else "default", "enabled": True}
            for name, value in values.items()
        ],
        "_postman_variable_scope": "environment",
    }


def write(folder: Path, url: str) -> list[Path]:
    """Write both files; where they are. Raises InputError for what is no address, or no folder that can be written."""
    if not url.startswith(("http://", "https://")):
        raise InputError(
            f"{url!r} is not the address of a gateway.", hint="Give one such as https://extenso.example.org."
        )
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((COLLECTION, collection()), (ENVIRONMENT, environment(url))):
            (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            written.append(folder / name)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror or error}.", hint="Name another folder with --out."
        ) from error
    return written
