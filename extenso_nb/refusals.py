"""An answer of the API that is no success, as the error that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from extenso_nb.errors import (
    BucketRefused,
    ConflictError,
    DatabaseUnavailable,
    ExtensoError,
    Forbidden,
    GatewayFault,
    InvalidRequest,
    NotAuthenticated,
    RequestTooLarge,
    SourceUnavailable,
    TooManyRequests,
    UnknownRoute,
    table,
)

__all__ = ["from_response"]

_FALLBACK: dict[int, type[ExtensoError]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: Forbidden,
    404: UnknownRoute,
    405: InvalidRequest,
    409: ConflictError,
    413: RequestTooLarge,
    422: BucketRefused,
    429: TooManyRequests,
    502: SourceUnavailable,
    503: SourceUnavailable,
    504: SourceUnavailable,
}


def from_response(
    status: int, body: Mapping[str, Any] | None, *, request: str, retry_after: float | None = None
) -> ExtensoError:
    """The error that an answer of the API stands for.

    Parameters
    ----------
    status
        HTTP status.
    body
        The OneAtlas error body, or None when the answer was not one: a proxy's HTML page, say.
    request
        What was asked, for the message: `"GET /order/products/orders/7"`. Without secrets.
    retry_after
        Seconds of the `Retry-After` header.
    """
    waits: dict[str, Any] = {} if retry_after is None else {"retry_after": retry_after}
    fallback = _FALLBACK.get(status, GatewayFault)
    if not isinstance(body, Mapping) or "message" not in body:
        return fallback(
            f"{request} was answered with HTTP {status}, and not by an extenSO gateway.",
            hint="Check that the address is that of an extenSO gateway, and what stands between.",
            **(waits if fallback is TooManyRequests else {}),
        )
    code, details, hint = body.get("internalCode"), body.get("details"), body.get("hint")
    kind = table().get((status, code), fallback) if isinstance(code, int) else fallback
    # What comes over HTTP may have any keys; these two are arguments already.
    facts = {str(key): value for key, value in details.items()} if isinstance(details, Mapping) else {}
    facts = {key: value for key, value in facts.items() if key not in {"self", "message", "hint"}}
    error = kind(
        str(body["message"]),
        hint=str(hint) if hint else None,
        **facts | (waits if kind in {TooManyRequests, DatabaseUnavailable} else {}),
    )
    error.correlation_id = body.get("correlationId")
    return error
