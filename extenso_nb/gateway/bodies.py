"""Bodies of requests: bounded in length and time, read as what they say they are, and one of our models in the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from extenso_nb import wire
from extenso_nb.errors import InvalidRequest, RequestTooLarge
from extenso_nb.gateway.openapi import LoginForm, OrderBody, ProductsBody

__all__ = ["BODY_SECONDS", "login_form", "order_body", "products_body", "told"]

BODY_SECONDS = 60.0
"""Within which a body must have arrived."""
_DROPPED = 8 * wire.MAX_BODY
_MOST_FIELDS = 20
"""Of an object; each one too many would be an error of its own, and a list of them costs far more than the body."""

Body = TypeVar("Body", bound=BaseModel)


async def _body(request: Request) -> bytes:
    """The whole body, of bounded length and within bounded time, whatever it says of its length itself."""
    length = request.headers.get("content-length", "")
    said_too_long = length.isdigit() and int(length) > wire.MAX_BODY
    received = bytearray()
    dropped = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            # Who waits for `100 Continue` has sent nothing yet, and need not.
            if not (said_too_long and "expect" in request.headers):
                async for block in request.stream():
                    # A little of what is too long is read and dropped: a client that sends it all before it listens
                    # would otherwise find the connection reset in place of the answer.
                    if said_too_long or len(received) > wire.MAX_BODY:
                        dropped += len(block)
                    else:
                        received += block
                    if dropped > _DROPPED:
                        break
    except TimeoutError:
        if not said_too_long:
            raise InvalidRequest(f"The body did not arrive within {BODY_SECONDS:.0f} s.") from None
    if said_too_long or len(received) > wire.MAX_BODY:
        raise RequestTooLarge(f"The body is longer than {wire.MAX_BODY:,} bytes.")
    return bytes(received)


def _typed(request: Request, kind: str) -> None:
    said = request.headers.get("content-type", kind).partition(";")[0].strip().lower()
    if said != kind:
        raise InvalidRequest(f"The body is {said[:80]!r}, not {kind}.", hint=f"Send it as Content-Type: {kind}.")


async def _json_body(request: Request, kind: type[Body]) -> Body:
    _typed(request, "application/json")
    raw = await _body(request)
    return await run_in_threadpool(lambda: _checked(kind, _json(raw)))


def _json(raw: bytes) -> Any:
    """A JSON text as it is meant to be: no NaN, and no name twice, of which one would be lost in silence."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name is given twice in one object")
        return found

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    try:
        value = json.loads(raw.decode(), object_pairs_hook=once, parse_constant=refuse)
        if b"\\u" in raw:  # half of a pair of surrogates is no text, and could be neither stored nor sent back
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidRequest("The body holds half a character (a lone surrogate).", hint="Send UTF-8.") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not UTF-8: see byte {error.start}.", hint="Send UTF-8.") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidRequest(f"The body is not JSON: {reason}.", hint="Send one JSON object.") from None
    return value


def _checked(kind: type[Body], value: Any) -> Body:
    """A body as one of our models. An error of pydantic's from anywhere else is a fault of the gateway's."""
    inside = value.values() if isinstance(value, dict) else ()
    if any(isinstance(part, dict) and len(part) > _MOST_FIELDS for part in (value, *inside)):
        raise InvalidRequest("The body has more fields than any body of the API.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise told(error.errors(include_input=False, include_url=False, include_context=False)) from None


async def products_body(request: Request) -> ProductsBody:
    """The body of an estimate. Raises InvalidRequest, RequestTooLarge."""
    return await _json_body(request, ProductsBody)


async def order_body(request: Request) -> OrderBody:
    """The body of an order. Raises InvalidRequest, RequestTooLarge."""
    return await _json_body(request, OrderBody)


async def login_form(request: Request) -> LoginForm:
    """The form of a token request. Raises InvalidRequest, RequestTooLarge."""
    _typed(request, "application/x-www-form-urlencoded")
    raw = await _body(request)
    try:
        fields = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=20)
        if len({name for name, _ in fields}) < len(fields):
            raise ValueError("a field is given twice")
        return LoginForm.model_validate(dict(fields))
    except ValueError:  # pydantic's is one, too, and may show the key
        raise InvalidRequest(
            "The token request is not in the One Atlas form.",
            hint="Send the form fields apikey, grant_type=api_key and client_id=IDP.",
        ) from None


def told(problems: Sequence[Any]) -> InvalidRequest:
    """Where a body is wrong, without the values: they may be keys of a bucket."""
    places = [
        f"{'.'.join(str(part)[:80] for part in problem['loc'] if part != 'body') or 'body'}: {problem['msg']}"
        for problem in problems[:5]
    ]
    return InvalidRequest(f"The request is not as it should be: {'; '.join(places)}.")
