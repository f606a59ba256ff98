"""The routes of the gateway, laid out from `wire`. They read requests and write answers, and decide nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial, wraps
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from extenso_nb import wire
from extenso_nb._version import __version__
from extenso_nb.errors import (
    ExtensoError,
    Forbidden,
    InvalidRequest,
    NotAuthenticated,
    UnknownDelivery,
    UnknownOrder,
)
from extenso_nb.gateway.access import LINK_SECONDS, TOKEN_SECONDS, Access
from extenso_nb.gateway.answers import Guard, of_error, of_http
from extenso_nb.gateway.bodies import login_form, order_body, products_body, told
from extenso_nb.gateway.links import linked_delivery, linked_order, linked_product
from extenso_nb.gateway.openapi import LARGEST_ORDER, LoginForm, OrderBody, ProductsBody, Token, document
from extenso_nb.gateway.rate import Rate, address_key
from extenso_nb.gateway.service import Service, window
from extenso_nb.gateway.sources import Hits
from extenso_nb.models import Noun, SignedUrl
from extenso_nb.products import collection as collection_of
from extenso_nb.storage import BucketStorage, FolderStorage

__all__ = ["create_app"]

_WAITING = (
    (24, ("search", "search_ids", "quicklook", "thumbnail", "estimate", "create_order")),
    (4, ("health",)),  # which anybody may ask for
)
"""Threads for verbs that wait for sources, or for a bucket. The others have the 40 of the server to themselves."""


def create_app(
    service: Service,
    access: Access,
    *,
    on_request: Callable[[], None] | None = None,
    rate: float | None = None,
) -> FastAPI:
    """The gateway as an ASGI application.

    Parameters
    ----------
    on_request
        Called at each request; the embedded gateway counts its idle time with it.
    rate
        Requests per second that one account may make in the long run, and one address without a good token; None for
        no limit. Links to stored objects are not counted.
    """
    app = FastAPI(
        title="extenSO", version=__version__, redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.service, app.state.access = service, access
    # Apart, so that a flood from many addresses pushes no account out of what is remembered.
    app.state.rates = None if rate is None else {"account": Rate(rate), "address": Rate(rate)}
    app.add_exception_handler(ExtensoError, of_error)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_middleware(Guard, on_request=on_request)
    endpoints: dict[str, Callable[..., Any]] = dict(_ENDPOINTS)
    for threads, names in _WAITING:
        limiter = CapacityLimiter(threads)
        endpoints |= {name: _apart(_ENDPOINTS[name], limiter) for name in names}
    for name, endpoint in endpoints.items():
        verb = wire.VERBS[name]
        options: dict[str, Any] = {
            "methods": [verb.method],
            "status_code": verb.status,
            # Who asks comes first: a stranger learns nothing of what would be wrong with the rest.
            "dependencies": [Depends(_account if verb.token else _stranger), Depends(_only(verb))],
            "response_model": None,
        }
        app.add_api_route(verb.template, endpoint, name=name, **options)
        # The guide writes `/S2/?q=`; both spellings are one route.
        app.add_api_route(verb.template + "/", endpoint, name=name + "/", **options)
    app.add_api_route(wire.FILES_PATH + "/{key:path}", _file, methods=["GET", "HEAD"], response_model=None)
    app.add_api_route(
        wire.OPENAPI_PATH, _openapi, methods=["GET"], dependencies=[Depends(_stranger)], response_model=None
    )
    return app


# --- what all routes share -------------------------------------------------------------------------------------------
def _apart(endpoint: Callable[..., Response], limiter: CapacityLimiter) -> Callable[..., Awaitable[Response]]:
    """The endpoint in threads of its own: one that waits for a source that is silent must not hold those of the others."""

    @wraps(endpoint)
    async def waiting(**arguments: Any) -> Response:
        return await to_thread.run_sync(partial(endpoint, **arguments), limiter=limiter)

    return waiting


def _only(verb: wire.Verb) -> Callable[[Request], Awaitable[None]]:
    """Refuses query parameters that the verb does not take, and takes each only once."""

    async def check(request: Request) -> None:
        for name in request.query_params:
            if name not in verb.query:
                allowed = ", ".join(verb.query) or "none"
                raise InvalidRequest(f"Unknown query parameter {name!r}.", hint=f"This call takes: {allowed}.")
            if len(request.query_params.getlist(name)) > 1:
                raise InvalidRequest(f"The query parameter {name!r} is given twice.", hint="Give it once.")

    return check


# What only looks at the request is a coroutine: a function would be sent through the threads, each by itself.
async def _service(request: Request) -> Service:
    return request.app.state.service  # type: ignore[no-any-return]


def _access(request: Request) -> Access:
    return request.app.state.access  # type: ignore[no-any-return]


def _account(request: Request) -> str:
    try:
        account = _access(request).account(request.headers.get("authorization"))
    except NotAuthenticated:
        _stranger(request)
        raise
    if request.app.state.rates is not None:
        request.app.state.rates["account"].take(account)
    return account


def _stranger(request: Request) -> None:
    """Counts a request that has no good token by where it comes from."""
    if request.app.state.rates is not None:
        request.app.state.rates["address"].take(address_key(request.client.host if request.client else None))


async def _order_number(order_id: str) -> int:
    if not (order_id.isascii() and order_id.isdigit() and len(order_id) <= 10 and int(order_id) <= LARGEST_ORDER):
        raise UnknownOrder(f"{order_id[:40]!r} is not the number of an order.")
    return int(order_id)


async def _delivery_name(delivery_id: str) -> str:
    if not re.fullmatch(r"[0-9]{1,10}-[0-9]{1,4}", delivery_id):
        raise UnknownDelivery(f"{delivery_id[:40]!r} is not the identifier of a delivery.")
    return delivery_id


Services = Annotated[Service, Depends(_service)]
AccountId = Annotated[str, Depends(_account)]
OrderNumber = Annotated[int, Depends(_order_number)]
DeliveryName = Annotated[str, Depends(_delivery_name)]


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 15):
        raise InvalidRequest(f"{name}={text[:40]!r} is not a whole number.", hint=f"Give {name} as 0, 1, 2 ...")
    return int(text)


async def _window(request: Request) -> tuple[int, int]:
    return window(_number(request, "start"), _number(request, "rows"))


Window = Annotated[tuple[int, int], Depends(_window)]


def _page(
    request: Request, place: tuple[int, int], total: int, data: Sequence[Any], notes: Sequence[str] = ()
) -> JSONResponse:
    start, rows = place
    links = {"self": _page_link(request, start, rows)}
    if start + rows < total:
        links["next"] = _page_link(request, start + rows, rows)
    if start > 0:
        links["previous"] = _page_link(request, max(start - rows, 0), rows)
    body = {
        "itemsPerPage": rows,
        "startIndex": start,
        "totalResults": total,
        "data": [item.to_wire() if isinstance(item, Noun) else item for item in data],
        "_links": links,
    }
    if notes:
        body["notes"] = list(notes)
    return JSONResponse(body)


def _page_link(request: Request, start: int, rows: int) -> dict[str, str]:
    rest = {name: value for name, value in request.query_params.items() if name not in {"start", "rows"}}
    return {"href": f"{request.url.path}?{urlencode({**rest, 'start': start, 'rows': rows})}", "method": "GET"}


def _noun(noun: Noun, *, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(noun.to_wire(), status_code=status, headers=headers)


def _tagged(request: Request, answer: Response, *, keep: str = "private, no-cache") -> Response:
    """An answer with a strong ETag, or 304 when the client holds just that. `keep` is its Cache-Control."""
    tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": keep}
    held = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if tag in held or held == ["*"]:
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer


def _unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return of_error(request, told(error.errors()))


# --- the verbs -------------------------------------------------------------------------------------------------------
def _login(request: Request, form: Annotated[LoginForm, Depends(login_form)]) -> JSONResponse:
    token = Token(
        access_token=_access(request).login(form.apikey.get_secret_value()),
        expires_in=TOKEN_SECONDS,
        refresh_expires_in=0,
        token_type="Bearer",  # noqa: S106 - the word of RFC 6750, no secret
    )
    return JSONResponse(token.model_dump())


def _search(request: Request, collection: str, service: Services, account: AccountId, place: Window) -> Response:
    hits = _hits(request, collection, service, place)
    found = [linked_product(product) for product in hits.products]
    return _tagged(request, _page(request, place, hits.total, found, hits.notes))


def _search_ids(request: Request, collection: str, service: Services, account: AccountId, place: Window) -> Response:
    hits = _hits(request, collection, service, place)
    return _tagged(request, _page(request, place, hits.total, [product.id for product in hits.products], hits.notes))


def _hits(request: Request, collection: str, service: Service, place: tuple[int, int]) -> Hits:
    asked = request.query_params
    return service.search(collection_of(collection), asked.get("q"), *place, asked.get("orderby"))


def _quicklook(product_id: str, service: Services, account: AccountId, request: Request) -> Response:
    return _picture(request, service.quicklook(product_id))


def _thumbnail(product_id: str, service: Services, account: AccountId, request: Request) -> Response:
    return _picture(request, service.thumbnail(product_id))


def _picture(request: Request, content: bytes) -> Response:
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return _tagged(request, Response(content, media_type=kind), keep="private, max-age=86400")


def _estimate(
    body: Annotated[ProductsBody, Depends(products_body)], service: Services, account: AccountId
) -> JSONResponse:
    return _noun(service.estimate(account, body.products))


def _create_order(
    request: Request,
    body: Annotated[OrderBody, Depends(order_body)],
    service: Services,
    account: AccountId,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> JSONResponse:
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= 255:
        raise InvalidRequest("The Idempotency-Key is longer than 255 characters, or empty.", hint="Use a UUID.")
    partial = request.query_params.get("partial", "false").lower()
    if partial not in {"true", "false"}:
        raise InvalidRequest(
            f"partial={partial[:40]!r} is neither true nor false.", hint="Give partial=true or leave it."
        )
    order, _ = service.create_order(
        account,
        body.products,
        bucket=body.bucketProperties,
        partial=partial == "true",
        idempotency_key=idempotency_key,
    )
    location = wire.VERBS["order"].url(order_id=order.id)
    return _noun(linked_order(order), status=201, headers={"Location": location})


def _orders(request: Request, service: Services, account: AccountId, place: Window) -> JSONResponse:
    total, orders = service.store.orders(account, *place)
    return _page(request, place, total, [linked_order(order) for order in orders])


def _order(order_id: OrderNumber, service: Services, account: AccountId) -> JSONResponse:
    return _noun(linked_order(service.store.order(account, order_id)))


def _cancel(order_id: OrderNumber, service: Services, account: AccountId) -> JSONResponse:
    return _noun(linked_order(service.cancel(account, order_id)))


def _all_deliveries(request: Request, service: Services, account: AccountId, place: Window) -> JSONResponse:
    status = request.query_params.get("status")
    return _delivery_page(request, service, account, place, order_id=None, status=status)


def _order_deliveries(
    request: Request, order_id: OrderNumber, service: Services, account: AccountId, place: Window
) -> JSONResponse:
    return _delivery_page(request, service, account, place, order_id=order_id, status=None)


def _delivery_page(
    request: Request,
    service: Service,
    account: str,
    place: tuple[int, int],
    *,
    order_id: int | None,
    status: str | None,
) -> JSONResponse:
    start, rows = place
    total, found = service.list_deliveries(account, order_id=order_id, status=status, start=start, rows=rows)
    return _page(request, place, total, [linked_delivery(delivery) for delivery in found])


def _delivery(order_id: OrderNumber, delivery_id: DeliveryName, service: Services, account: AccountId) -> JSONResponse:
    return _noun(linked_delivery(service.store.delivery(account, order_id, delivery_id)))


def _delete(order_id: OrderNumber, service: Services, account: AccountId) -> Response:
    service.delete(account, order_id)
    return Response(status_code=204)


def _signed(request: Request, order_id: int, delivery_id: str, service: Service, account: str) -> SignedUrl:
    key = service.stored(account, order_id, delivery_id)
    storage = service.destinations.storage
    if isinstance(storage, BucketStorage):
        until = datetime.now(UTC) + timedelta(seconds=LINK_SECONDS)
        return SignedUrl(url=storage.presign(key, seconds=LINK_SECONDS), expires_at=until)
    path, expires = _access(request).link(key)
    try:
        base = str(request.base_url).rstrip("/")
    except ValueError:
        raise InvalidRequest("The Host of the request is not a name.", hint="Send the gateway's name.") from None
    return SignedUrl(url=base + path, expires_at=expires)


def _download(
    request: Request, order_id: OrderNumber, delivery_id: DeliveryName, service: Services, account: AccountId
) -> RedirectResponse:
    signed = _signed(request, order_id, delivery_id, service, account)
    return RedirectResponse(signed.url, status_code=307)


def _download_url(
    request: Request, order_id: OrderNumber, delivery_id: DeliveryName, service: Services, account: AccountId
) -> JSONResponse:
    return _noun(_signed(request, order_id, delivery_id, service, account))


def _metadata(
    request: Request, order_id: OrderNumber, delivery_id: DeliveryName, service: Services, account: AccountId
) -> Response:
    return _tagged(request, _noun(service.metadata(account, order_id, delivery_id)))


def _index(
    request: Request, order_id: OrderNumber, delivery_id: DeliveryName, service: Services, account: AccountId
) -> Response:
    content = service.index(account, order_id, delivery_id)
    return _tagged(request, Response(content, media_type="application/octet-stream"))


def _me(service: Services, account: AccountId) -> JSONResponse:
    return _noun(service.account(account))


def _health(service: Services) -> JSONResponse:
    return _noun(service.catalogue.health(__version__))


@cache
def _described() -> bytes:
    """The OpenAPI document, made once: it takes some 50 ms, and anybody may ask for it."""
    return json.dumps(document(__version__)).encode()


def _openapi() -> Response:
    return Response(_described(), media_type="application/json", headers={"Cache-Control": "public, max-age=300"})


def _file(request: Request, key: str, service: Services) -> FileResponse:
    """A stored object by a signed link; answers Range, If-Range and HEAD."""
    asked = request.query_params
    _access(request).check_link(key, asked.get("expires"), asked.get("signature"))
    storage = service.destinations.storage
    path = _stored_file(storage, key) if isinstance(storage, FolderStorage) else None
    if path is None:
        raise Forbidden("The product of this link has been deleted.")
    _drop_unreadable_range(request)
    return FileResponse(
        path,
        media_type="application/octet-stream",
        filename=path.name,
        headers={"Cache-Control": "private, no-cache"},
    )


def _stored_file(storage: FolderStorage, key: str) -> Path | None:
    try:
        path = storage.path(key)
    except (InvalidRequest, OSError, RuntimeError):  # of a loop of links, before Python 3.13
        return None
    # A symbolic link in the storage, to wherever it leads, is none of our doing: another name for another file.
    return path if path == storage.folder.resolve() / key else None


def _drop_unreadable_range(request: Request) -> None:
    """A Range of another unit, or one that is none, is as good as not there (RFC 9110, 14.2); starlette answers 400."""
    asked = request.headers.get("range")
    if asked is not None and not _readable_range(asked.strip().lower()):
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]


def _readable_range(text: str) -> bool:
    parts = re.findall(r"(?:^bytes=|,)\s*(\d{0,18})-(\d{0,18})\s*(?=,|$)", text)
    whole = len(parts) == text.count(",") + 1
    return whole and all((first or last) and int(first or 0) <= int(last or 10**18) for first, last in parts)


_ENDPOINTS: dict[str, Callable[..., Response]] = {
    "login": _login,
    "quicklook": _quicklook,
    "thumbnail": _thumbnail,
    "search": _search,
    "search_ids": _search_ids,
    "estimate": _estimate,
    "create_order": _create_order,
    "orders": _orders,
    "order": _order,
    "cancel": _cancel,
    "deliveries": _all_deliveries,
    "order_deliveries": _order_deliveries,
    "delivery": _delivery,
    "delete": _delete,
    "download": _download,
    "download_url": _download_url,
    "metadata": _metadata,
    "index": _index,
    "me": _me,
    "health": _health,
}
