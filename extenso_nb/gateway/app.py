"""The routes of the gateway, laid out from `wire`. They read requests and write answers, and decide nothing."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Form, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from extenso_nb import wire
from extenso_nb._version import __version__
from extenso_nb.errors import (
    DatabaseUnavailable,
    ExtensoError,
    Forbidden,
    GatewayFault,
    InvalidRequest,
    RequestTooLarge,
    TooManyRequests,
    UnknownOrder,
    UnknownRoute,
)
from extenso_nb.gateway.access import LINK_SECONDS, TOKEN_SECONDS, Access
from extenso_nb.gateway.service import Service, window
from extenso_nb.models import BucketProperties, Delivery, Link, Noun, Order, Product, SignedUrl
from extenso_nb.products import collection as collection_of
from extenso_nb.storage import BucketStorage, FolderStorage

__all__ = ["create_app"]

_log = logging.getLogger(__name__)


class _Products(BaseModel):
    """The body of an estimate."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    products: list[str]


class _OrderBody(_Products):
    """The body of an order."""

    bucketProperties: BucketProperties | None = None  # noqa: N815 - the API's own spelling


def create_app(service: Service, access: Access, *, on_request: Callable[[], None] | None = None) -> FastAPI:
    """The gateway as an ASGI application.

    Parameters
    ----------
    on_request
        Called at each request; the embedded gateway counts its idle time with it.
    """
    app = FastAPI(
        title="extenSO",
        version=__version__,
        summary="Search, order and deliver Copernicus Sentinel products.",
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=wire.BASE_PATH + "/openapi.json",
    )
    app.state.service, app.state.access = service, access
    _add_errors(app)
    app.middleware("http")(_guard(on_request))
    for name, endpoint in _ENDPOINTS.items():
        verb = wire.VERBS[name]
        needs = [Depends(_only(verb))]
        options: dict[str, Any] = {
            "methods": [verb.method],
            "status_code": verb.status,
            "summary": verb.summary,
            "dependencies": needs,
            "response_model": None,
        }
        app.add_api_route(verb.template, endpoint, name=name, operation_id=name, **options)
        # The guide writes `/S2/?q=`; both spellings are one route.
        app.add_api_route(verb.template + "/", endpoint, name=name + "/", include_in_schema=False, **options)
    app.add_api_route(
        wire.FILES_PATH + "/{key:path}", _file, methods=["GET", "HEAD"], include_in_schema=False, response_model=None
    )
    return app


# --- what all routes share -------------------------------------------------------------------------------------------
def _only(verb: wire.Verb) -> Callable[[Request], None]:
    """Refuses query parameters that the verb does not take, and takes each only once."""

    def check(request: Request) -> None:
        for name in request.query_params:
            if name not in verb.query:
                allowed = ", ".join(verb.query) or "none"
                raise InvalidRequest(f"Unknown query parameter {name!r}.", hint=f"This call takes: {allowed}.")
            if len(request.query_params.getlist(name)) > 1:
                raise InvalidRequest(f"The query parameter {name!r} is given twice.", hint="Give it once.")

    return check


def _service(request: Request) -> Service:
    return request.app.state.service  # type: ignore[no-any-return]


def _access(request: Request) -> Access:
    return request.app.state.access  # type: ignore[no-any-return]


def _account(request: Request) -> str:
    return _access(request).account(request.headers.get("authorization"))


def _order_number(order_id: str) -> int:
    if not (order_id.isascii() and order_id.isdigit() and len(order_id) <= 15):
        raise UnknownOrder(f"{order_id[:40]!r} is not the number of an order.")
    return int(order_id)


Services = Annotated[Service, Depends(_service)]
AccountId = Annotated[str, Depends(_account)]
OrderNumber = Annotated[int, Depends(_order_number)]


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 15):
        raise InvalidRequest(f"{name}={text[:40]!r} is not a whole number.", hint=f"Give {name} as 0, 1, 2 ...")
    return int(text)


def _window(request: Request) -> tuple[int, int]:
    return window(_number(request, "start"), _number(request, "rows"))


Window = Annotated[tuple[int, int], Depends(_window)]


def _page(request: Request, place: tuple[int, int], total: int, data: Sequence[Any]) -> JSONResponse:
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
    return JSONResponse(body)


def _page_link(request: Request, start: int, rows: int) -> dict[str, str]:
    rest = {name: value for name, value in request.query_params.items() if name not in {"start", "rows"}}
    return {"href": f"{request.url.path}?{urlencode({**rest, 'start': start, 'rows': rows})}", "method": "GET"}


def _noun(noun: Noun, *, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(noun.to_wire(), status_code=status, headers=headers)


def _link(name: str, **parameters: object) -> Link:
    verb = wire.VERBS[name]
    return Link(href=verb.url(**parameters), method=verb.method)


def _linked_product(product: Product) -> Product:
    if product.collection == "S5P":
        return product
    links = {name: _link(name, product_id=product.id) for name in ("quicklook", "thumbnail")}
    return product.model_copy(update={"links": links})


def _linked_order(order: Order) -> Order:
    links = {"self": _link("order", order_id=order.id), "deliveries": _link("order_deliveries", order_id=order.id)}
    return order.model_copy(update={"links": links})


def _linked_delivery(delivery: Delivery) -> Delivery:
    place = {"order_id": delivery.order_id, "delivery_id": delivery.id}
    names = ("download", "download_url", "metadata") if delivery.status == "delivered" else ()
    links = {"self": _link("delivery", **place)} | {name: _link(name, **place) for name in names}
    return delivery.model_copy(update={"links": links})


# --- the verbs -------------------------------------------------------------------------------------------------------
def _login(
    request: Request,
    apikey: Annotated[str, Form()] = "",
    grant_type: Annotated[str, Form()] = "",
    client_id: Annotated[str, Form()] = "",
) -> JSONResponse:
    if grant_type != "api_key" or client_id != "IDP" or not apikey:
        raise InvalidRequest(
            "The token request is not in the One Atlas form.",
            hint="Send the form fields apikey, grant_type=api_key and client_id=IDP.",
        )
    token = _access(request).login(apikey)
    body = {"access_token": token, "expires_in": TOKEN_SECONDS, "refresh_expires_in": 0, "token_type": "Bearer"}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


def _search(request: Request, collection: str, service: Services, account: AccountId, place: Window) -> JSONResponse:
    total, products = _hits(request, collection, service, place)
    return _page(request, place, total, [_linked_product(product) for product in products])


def _search_ids(
    request: Request, collection: str, service: Services, account: AccountId, place: Window
) -> JSONResponse:
    total, products = _hits(request, collection, service, place)
    return _page(request, place, total, [product.id for product in products])


def _hits(
    request: Request, collection: str, service: Service, place: tuple[int, int]
) -> tuple[int, tuple[Product, ...]]:
    asked = request.query_params
    hits = service.search(collection_of(collection), asked.get("q"), *place, asked.get("orderby"))
    return hits.total, hits.products


def _quicklook(product_id: str, service: Services, account: AccountId, request: Request) -> Response:
    return _picture(request, service.quicklook(product_id))


def _thumbnail(product_id: str, service: Services, account: AccountId, request: Request) -> Response:
    return _picture(request, service.thumbnail(product_id))


def _picture(request: Request, content: bytes) -> Response:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=86400"}
    if tag in [part.strip() for part in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return Response(content, media_type=kind, headers=headers)


def _estimate(body: _Products, service: Services, account: AccountId) -> JSONResponse:
    return _noun(service.estimate(account, body.products))


def _create_order(
    request: Request,
    body: _OrderBody,
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
    return _noun(_linked_order(order), status=201, headers={"Location": location})


def _orders(request: Request, service: Services, account: AccountId, place: Window) -> JSONResponse:
    total, orders = service.store.orders(account, *place)
    return _page(request, place, total, [_linked_order(order) for order in orders])


def _order(order_id: OrderNumber, service: Services, account: AccountId) -> JSONResponse:
    return _noun(_linked_order(service.store.order(account, order_id)))


def _cancel(order_id: OrderNumber, service: Services, account: AccountId) -> JSONResponse:
    return _noun(_linked_order(service.cancel(account, order_id)))


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
    return _page(request, place, total, [_linked_delivery(delivery) for delivery in found])


def _delivery(order_id: OrderNumber, delivery_id: str, service: Services, account: AccountId) -> JSONResponse:
    return _noun(_linked_delivery(service.store.delivery(account, order_id, delivery_id)))


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
    return SignedUrl(url=str(request.base_url).rstrip("/") + path, expires_at=expires)


def _download(
    request: Request, order_id: OrderNumber, delivery_id: str, service: Services, account: AccountId
) -> RedirectResponse:
    signed = _signed(request, order_id, delivery_id, service, account)
    return RedirectResponse(signed.url, status_code=307, headers={"Cache-Control": "no-store"})


def _download_url(
    request: Request, order_id: OrderNumber, delivery_id: str, service: Services, account: AccountId
) -> JSONResponse:
    return _noun(_signed(request, order_id, delivery_id, service, account), headers={"Cache-Control": "no-store"})


def _metadata(order_id: OrderNumber, delivery_id: str, service: Services, account: AccountId) -> JSONResponse:
    return _noun(service.metadata(account, order_id, delivery_id))


def _me(service: Services, account: AccountId) -> JSONResponse:
    return _noun(service.account(account))


def _health(service: Services) -> JSONResponse:
    return _noun(service.catalogue.health(__version__))


def _file(request: Request, key: str, service: Services) -> FileResponse:
    """A stored object by a signed link; answers Range, If-Range and HEAD."""
    asked = request.query_params
    _access(request).check_link(key, asked.get("expires"), asked.get("signature"))
    storage = service.destinations.storage
    try:
        path = storage.path(key) if isinstance(storage, FolderStorage) else None
    except (FileNotFoundError, InvalidRequest):
        path = None
    if path is None:
        raise Forbidden("The product of this link has been deleted.")
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


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
    "me": _me,
    "health": _health,
}


# --- errors ----------------------------------------------------------------------------------------------------------
def _guard(
    on_request: Callable[[], None] | None,
) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Counts requests, and turns away bodies that are too long before they are read."""

    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if on_request is not None:
            on_request()
        length = request.headers.get("content-length", "0")
        chunked = "chunked" in request.headers.get("transfer-encoding", "").lower()
        if chunked or not length.isdigit() or int(length) > wire.MAX_BODY:
            error = RequestTooLarge(f"The body is longer than {wire.MAX_BODY:,} bytes, or does not say how long it is.")
            return _answer(error)
        try:
            return await call_next(request)
        except Exception as error:  # noqa: BLE001 - the last stop: whatever it is becomes a 500 with a number to ask for
            return await run_in_threadpool(_fault, request, error)

    return guard


def _fault(request: Request, error: Exception) -> JSONResponse:
    fault = GatewayFault(f"The gateway failed while answering {request.method} {request.url.path}.")
    answer = _answer(fault)
    _log.error(
        "%s %s failed, correlation id %s", request.method, request.url.path, fault.correlation_id, exc_info=error
    )
    return answer


def _answer(error: ExtensoError) -> JSONResponse:
    error.correlation_id = error.correlation_id or str(uuid.uuid4())
    kind = error if error.status is not None else InvalidRequest(error.message, hint=error.hint)
    body = {
        "correlationId": error.correlation_id,
        "hint": kind.hint,
        "internalCode": kind.code,
        "message": kind.message,
        "timestamp": int(time.time() * 1000),
    }
    if error.details:
        body["details"] = {name: value for name, value in error.details.items() if value is not None}
    headers = {"X-Ads-Correlation-Id": error.correlation_id}
    if isinstance(error, (TooManyRequests, DatabaseUnavailable)):
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if kind.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status_code=kind.status or 400, headers=headers)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ExtensoError)
    def _ours(request: Request, error: ExtensoError) -> JSONResponse:
        return _answer(error)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(_told(error.errors()))

    @app.exception_handler(ValidationError)
    def _unreadable(request: Request, error: ValidationError) -> JSONResponse:
        return _answer(_told(error.errors(include_input=False, include_url=False)))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return _answer(UnknownRoute(f"{request.method} {request.url.path[:200]} is not part of the API."))
        if error.status_code == 405:
            answer = _answer(InvalidRequest(f"{request.url.path[:200]} does not take {request.method}."))
            answer.status_code = 405
            answer.headers.update(dict(error.headers or {}))
            return answer
        return _answer(InvalidRequest(f"The request cannot be read: {error.detail}."))


def _told(problems: Sequence[Any]) -> InvalidRequest:
    """Where a body is wrong, without the values: they may be keys of a bucket."""
    places = [
        f"{'.'.join(str(part) for part in problem['loc'] if part != 'body') or 'body'}: {problem['msg']}"
        for problem in problems[:5]
    ]
    return InvalidRequest(f"The request is not as it should be: {'; '.join(places)}.")
