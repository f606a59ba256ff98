"""The API on one page: each verb with its method and path. The client calls it, the gateway routes it, a test walks it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from extenso_nb.errors import InputError

__all__ = [
    "BASE_PATH",
    "FILES_PATH",
    "MAX_BODY",
    "MAX_PRODUCTS",
    "MAX_ROWS",
    "OPENAPI_PATH",
    "ROWS",
    "TOKEN_PATH",
    "VERBS",
    "Verb",
]

BASE_PATH = "/api/v1/services"
TOKEN_PATH = "/auth/realms/IDP/protocol/openid-connect/token"
OPENAPI_PATH = BASE_PATH + "/openapi.json"
"""Where the gateway describes itself; needs no token, and is not a verb of the API."""
FILES_PATH = "/files"
"""Where the gateway serves the bytes of a folder storage, by signed links only; not a verb of the API."""

ROWS = 10
"""Items of a page when `rows` is not given."""
MAX_ROWS = 100
MAX_PRODUCTS = 1000
"""Products of one order or estimate."""
MAX_BODY = 1_000_000
"""Bytes of a request body."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One operation of the API."""

    name: str
    """As the client calls it."""
    method: str
    path: str
    """Template below the base path, with `{snake_case}` parameters."""
    summary: str
    status: int = 200
    """HTTP status of success."""
    query: tuple[str, ...] = ()
    """Query parameters that it takes; others are refused."""
    base: str = BASE_PATH
    token: bool = True
    """Whether it needs a Bearer token."""

    @property
    def template(self) -> str:
        """The whole path as a template."""
        return self.base + self.path

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path parameters, in order."""
        return tuple(part.split("}")[0] for part in self.path.split("{")[1:])

    def fits(self, path: str) -> bool:
        """Whether a path is one of this verb's; a trailing slash is optional."""
        mine, given = self.template.split("/"), path.removesuffix("/").split("/")
        return len(mine) == len(given) and all(
            part == there or (part.startswith("{") and there != "") for part, there in zip(mine, given, strict=True)
        )

    @property
    def repeatable(self) -> bool:
        """Whether doing it twice is doing it once, so that it may be retried without a key."""
        return self.method in {"GET", "HEAD", "DELETE"} or self.name in {"login", "estimate"}

    def url(self, **parameters: object) -> str:
        """The path with its parameters filled in, each percent-encoded as one segment.

        Raises InputError for what is no segment: empty, `.` or `..` would lead to another path.
        """
        filled = {name: quote(str(value), safe="") for name, value in parameters.items()}
        for name, text in filled.items():
            if text in {"", ".", ".."}:
                raise InputError(f"{text!r} is no {name.replace('_', ' ')}.")
        return self.base + self.path.format(**filled)


_PAGE = ("start", "rows")
_SEARCH = ("q", "start", "rows", "orderby")
_ORDERS = "/order/products/orders"
_STORED = "/user-storage/products/orders/{order_id}"
_DELIVERY = _STORED + "/deliveries/{delivery_id}"

_ALL = (
    Verb("login", "POST", TOKEN_PATH, "A token for an API key, in the One Atlas form.", base="", token=False),
    Verb("quicklook", "GET", "/extended-search/products/quicklook/{product_id}", "The quicklook of a product."),
    Verb("thumbnail", "GET", "/extended-search/products/thumbnail/{product_id}", "A small picture of a product."),
    Verb("search", "GET", "/extended-search/products/{collection}", "Products that match `q`.", query=_SEARCH),
    Verb("search_ids", "GET", "/extended-search/products/{collection}/ids", "Their identifiers.", query=_SEARCH),
    Verb("estimate", "POST", "/order/products/estimate", "Size of an order against what is free."),
    Verb("create_order", "POST", _ORDERS, "Place an order.", status=201, query=("partial",)),
    Verb("orders", "GET", _ORDERS, "All orders of the account.", query=_PAGE),
    Verb("order", "GET", _ORDERS + "/{order_id}", "One order."),
    Verb("cancel", "DELETE", _ORDERS + "/{order_id}", "Cancel what has not been delivered."),
    Verb("deliveries", "GET", "/order/products/deliveries", "Deliveries of all orders.", query=(*_PAGE, "status")),
    Verb("order_deliveries", "GET", _ORDERS + "/{order_id}/deliveries", "Deliveries of an order.", query=_PAGE),
    Verb("delivery", "GET", _ORDERS + "/{order_id}/deliveries/{delivery_id}", "One delivery."),
    Verb("delete", "DELETE", _STORED, "Delete an order and its products; quota is given back.", status=204),
    Verb("download", "GET", _DELIVERY + "/download", "Redirect to a signed URL of the product.", status=307),
    Verb("download_url", "GET", _DELIVERY + "/download-url", "That URL and when it expires."),
    Verb("metadata", "GET", _DELIVERY + "/metadata", "Metadata of a delivered product."),
    Verb("index", "GET", _DELIVERY + "/index", "Its index: the bytes that opening it by ranges needs."),
    Verb("me", "GET", "/user-storage/me", "Account and storage."),
    Verb("health", "GET", "/health", "Whether the gateway and its sources answer.", token=False),
)

VERBS: dict[str, Verb] = {verb.name: verb for verb in _ALL}
