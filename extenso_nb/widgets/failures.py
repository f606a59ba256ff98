"""What to call each class of failure where a user reads it, and which of them pass when one asks again."""

from __future__ import annotations

from extenso_nb import errors

__all__ = ["cause", "detail", "passes", "title"]

_CAUSES: dict[type[errors.ExtensoError], str] = {
    errors.AreaError: "the area is none",
    errors.QueryError: "the query cannot be read",
    errors.RequestTooLarge: "it is too much at once",
    errors.NotAuthenticated: "the gateway does not know who asks",
    errors.InvalidApiKey: "the API key is refused",
    errors.Forbidden: "this account is not allowed to",
    errors.UnknownProduct: "no source holds the product",
    errors.UnknownOrder: "there is no such order",
    errors.UnknownDelivery: "there is no such delivery",
    errors.QuotaExceeded: "it does not fit into the storage",
    errors.OrderFinished: "the order has ended",
    errors.NotDelivered: "it has not arrived",
    errors.CredentialsMissing: "the gateway has no credentials for it",
    errors.InOwnBucket: "it lies in a bucket of your own",
    errors.BucketRefused: "the bucket cannot be used",
    errors.TooManyRequests: "too many requests",
    errors.SourceUnavailable: "no source answers",
    errors.GatewayFault: "the gateway has a fault",
    errors.GatewayUnreachable: "the gateway does not answer",
    errors.GatewayStartFailed: "the gateway of this machine did not start",
    errors.DatabaseUnavailable: "the gateway's database does not answer",
    errors.ProductOffline: "the product is in cold storage",
    errors.TransferError: "the bytes did not arrive whole",
    errors.ReaderError: "the product cannot be read",
}
_PASSING = (
    errors.GatewayError,
    errors.GatewayFault,
    errors.SourceUnavailable,
    errors.TooManyRequests,
    errors.TransferError,
)


def cause(error: BaseException) -> str:
    """The class of a failure in a few words; empty for one that its own message says best."""
    found = next((_CAUSES[kind] for kind in type(error).__mro__ if kind in _CAUSES), "")
    if isinstance(error, errors.TooManyRequests):
        found += f", wait {max(1, round(error.retry_after))} s"
    return found


def title(failed: str, error: BaseException) -> str:
    """``The search failed.`` and its cause in one sentence."""
    words = cause(error)
    return f"{failed.rstrip('.')}: {words}." if words else failed


def detail(error: errors.ExtensoError) -> str:
    """What the error says, with the number under which the gateway's log has it."""
    told = error.correlation_id
    return f"{error.message} (correlation id {told})" if told else error.message


def passes(error: BaseException) -> bool:
    """Whether asking once more, with nothing changed, may help."""
    return isinstance(error, _PASSING)
