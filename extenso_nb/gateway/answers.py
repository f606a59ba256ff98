"""What goes out whatever happens: errors as bodies of the API, and a guard around the whole that lets no exception pass."""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from extenso_nb import wire
from extenso_nb.errors import (
    DatabaseUnavailable,
    ExtensoError,
    GatewayFault,
    InputError,
    InvalidRequest,
    NotAuthenticated,
    SourceUnavailable,
    TooManyRequests,
    UnknownRoute,
)

__all__ = ["Guard", "of_error", "of_http"]

_log = logging.getLogger(__name__)

LONGEST_HEADERS = 32_000
"""Bytes of all headers of a request."""
SOURCE_SECONDS = 2
"""`Retry-After` of a source that does not answer: short, because somebody may look at the screen meanwhile."""


class Guard:
    """What holds for all requests: counted, numbered, headers of bounded size, and no exception goes out as it is."""

    def __init__(self, app: ASGIApp, *, on_request: Callable[[], None] | None) -> None:
        self._app = app
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._on_request is not None:
            self._on_request()
        number = scope.setdefault("state", {})["correlation_id"] = str(uuid.uuid4())
        begun = False

        async def complete(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers["X-Ads-Correlation-Id"] = number
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope)
        try:
            if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEADERS:
                error = InvalidRequest(f"The headers are longer than {LONGEST_HEADERS:,} bytes.")
                await _answer(request, error)(scope, receive, complete)
            elif not scope["path"].isprintable():
                # Also because starlette takes a path with a line break at its end for the one without.
                await _answer(request, UnknownRoute("A path has no control characters."))(scope, receive, complete)
            else:
                await self._app(scope, receive, complete)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - the last stop: whatever it is becomes a 500 with a number to ask for
            answer = await run_in_threadpool(_fault, request, error)
            if not begun:
                await answer(scope, receive, complete)


def _fault(request: Request, error: Exception) -> JSONResponse:
    # %r: a path may hold line breaks, and write lines of its own into the log.
    number, path = request.state.correlation_id, request.url.path[:200]
    _log.error("%s %r failed, correlation id %s", request.method, path, number, exc_info=error)
    return _answer(request, GatewayFault(f"The gateway failed while answering {request.method} {path}."))


def _answer(request: Request, error: ExtensoError) -> JSONResponse:
    error.correlation_id = str(request.state.correlation_id)
    body = {
        "correlationId": error.correlation_id,
        "hint": error.hint,
        "internalCode": error.code,
        "message": error.message,
        "timestamp": int(time.time() * 1000),
    }
    if details := {name: value for name, value in error.details.items() if value is not None}:
        body["details"] = details
    headers = {}
    if isinstance(error, (TooManyRequests, DatabaseUnavailable)):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    elif isinstance(error, SourceUnavailable):
        headers["Retry-After"] = str(SOURCE_SECONDS)
    elif isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    assert error.status is not None
    return JSONResponse(body, status_code=error.status, headers=headers)


def of_error(request: Request, error: Exception) -> JSONResponse:
    """The answer that one of our errors is."""
    assert isinstance(error, ExtensoError)
    if error.status is not None:
        return _answer(request, error)
    if isinstance(error, InputError):
        return _answer(request, InvalidRequest(error.message, hint=error.hint))
    return _fault(request, error)  # a disk that is full, say: nothing that who asks could change


def of_http(request: Request, error: Exception) -> JSONResponse:
    """The answer to a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    if error.status_code == 404:
        return _answer(request, UnknownRoute(f"{request.method} {path} is not part of the API."))
    answer = _answer(request, InvalidRequest(f"{path} does not take {request.method}."))
    answer.status_code = error.status_code
    # Each verb is a route of its own, and starlette names the methods of the first one only.
    answer.headers["Allow"] = ", ".join(_methods(request))
    return answer


def _methods(request: Request) -> list[str]:
    fitting = [verb.method for verb in wire.VERBS.values() if verb.fits(request.url.path)]
    if request.url.path.startswith(wire.FILES_PATH + "/"):
        fitting = ["GET", "HEAD"]
    return sorted(set(fitting)) or ["GET"]
