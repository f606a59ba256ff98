"""Every error that extenso_nb raises, and the one table of errors and HTTP statuses.

::

    ExtensoError                        anything that this package raises on purpose
     ├─ InputError (ValueError)         what was passed in cannot be used; nothing was sent or changed
     │   ├─ ProductIdError              not the identifier of a Sentinel product
     │   ├─ AreaError                   not an area on Earth: the place in the input is named
     │   ├─ QueryError                  `q` cannot be parsed: position and suggestion
     │   ├─ InvalidRequest              a parameter or body of the API is wrong
     │   ├─ EmptyOrder                  an order without products
     │   ├─ DuplicateProducts           an order naming a product twice
     │   └─ RequestTooLarge             more products or bytes than one request takes
     ├─ AccessError (PermissionError)   the gateway knows not, or allows not, who asks
     │   ├─ NotAuthenticated            no token, or one that is wrong or old
     │   ├─ InvalidApiKey               the token endpoint refused the API key
     │   └─ Forbidden                   known, but not allowed (an altered or expired link); a foreign order is unknown
     ├─ NotFoundError (LookupError)     the thing named is not there; never raised for "the source failed"
     │   ├─ UnknownRoute                no such path in the API
     │   ├─ UnknownProduct              no source holds the product
     │   ├─ UnknownAccount              no such account of this gateway (`extenso admin` only)
     │   ├─ UnknownOrder
     │   ├─ UnknownDelivery
     │   ├─ NoQuicklook                 the product has no picture (all of S5P, some of S1 and S3)
     │   └─ NoIndex                     the delivered product is none that is read by ranges
     ├─ ConflictError                   right in itself, but not now
     │   ├─ QuotaExceeded               the order does not fit into the free storage
     │   ├─ OrderFinished               cancelling what has already ended
     │   ├─ NotDelivered                downloading or opening what has not arrived
     │   ├─ CredentialsMissing          no source can deliver it before it has credentials
     │   ├─ InOwnBucket                 downloading what was delivered into the user's own bucket
     │   └─ IdempotencyConflict         the same key with another order
     ├─ BucketRefused                   the user's bucket did not pass the probe
     ├─ TooManyRequests                 slow down; `retry_after` seconds
     ├─ SourceUnavailable               no source answers; asking later can help
     ├─ GatewayFault                    the gateway failed in a way that it does not know
     ├─ TransferError                   bytes did not arrive as promised
     │   ├─ IncompleteTransfer          fewer (or more) bytes than announced
     │   ├─ ChecksumMismatch            all bytes, but not the right ones
     │   ├─ DamagedProduct              a zip or file that is cut short or no product at all
     │   └─ ProductOffline              the source has it in cold storage and is bringing it back
     ├─ DeliveryFailed                  a delivery ended `failed`; carries the trail
     ├─ WaitTimeout (TimeoutError)      waiting stopped; the order goes on
     ├─ GatewayError                    the local gateway or the way to one
     │   ├─ GatewayUnreachable          nothing answers at the address
     │   ├─ GatewayStartFailed          the embedded gateway ended while starting; carries its last lines
     │   ├─ PortInUse                   another program listens there
     │   ├─ DataDirectoryReadOnly       the data directory cannot be written
     │   ├─ DataDirectoryInUse          another gateway holds this data directory
     │   ├─ DatabaseRefused             the database is of a newer version, or belongs to a gateway with another secret
     │   └─ DatabaseUnavailable         the database does not answer; asking later can help
     └─ ReaderError                     a product that cannot be opened
         ├─ UnsupportedProduct          of a kind that no reader here knows
         ├─ IncompleteProduct           a member that opening needs is missing or empty
         └─ UnknownBand                 no such band; carries those there are

Each error has a `message` (what failed, on which input) and a `hint` (the next step); `str(error)` shows both.
Nothing here is ever turned into an empty result.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AccessError",
    "AreaError",
    "BucketRefused",
    "ChecksumMismatch",
    "ConflictError",
    "CredentialsMissing",
    "DamagedProduct",
    "DataDirectoryInUse",
    "DataDirectoryReadOnly",
    "DatabaseRefused",
    "DatabaseUnavailable",
    "DeliveryFailed",
    "DuplicateProducts",
    "EmptyOrder",
    "ExtensoError",
    "Forbidden",
    "GatewayError",
    "GatewayFault",
    "GatewayStartFailed",
    "GatewayUnreachable",
    "IdempotencyConflict",
    "InOwnBucket",
    "IncompleteProduct",
    "IncompleteTransfer",
    "InputError",
    "InvalidApiKey",
    "InvalidRequest",
    "NoIndex",
    "NoQuicklook",
    "NotAuthenticated",
    "NotDelivered",
    "NotFoundError",
    "OrderFinished",
    "PortInUse",
    "ProductIdError",
    "ProductOffline",
    "QueryError",
    "QuotaExceeded",
    "ReaderError",
    "RequestTooLarge",
    "SourceUnavailable",
    "TooManyRequests",
    "TransferError",
    "UnknownAccount",
    "UnknownBand",
    "UnknownDelivery",
    "UnknownOrder",
    "UnknownProduct",
    "UnknownRoute",
    "UnsupportedProduct",
    "WaitTimeout",
    "table",
]


class ExtensoError(Exception):
    """Anything that this package raises on purpose.

    Parameters
    ----------
    message
        What failed, on which input; one sentence.
    hint
        The next step; one sentence. Each class has one of its own for when none is given.
    details
        Facts for programs: JSON values only, never a secret. They travel with the error over HTTP.
    """

    status: ClassVar[int | None] = None
    """HTTP status when the gateway answers with it; None for errors that never cross HTTP."""
    code: ClassVar[int] = 1
    """`internalCode` of the API; unique to the class among those with a status."""
    exit_status: ClassVar[int] = 1
    """Exit status of the command line."""
    default_hint: ClassVar[str] = "Run `extenso doctor` to check the installation."

    def __init__(self, message: str, *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or type(self).default_hint
        self.details: dict[str, Any] = details
        self.correlation_id: str | None = None

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own would lose the keyword arguments; workers send errors back pickled.
        return _rebuild, (type(self), self.message, self.hint, self.details, self.correlation_id)


def _rebuild(
    kind: type[ExtensoError], message: str, hint: str, details: dict[str, Any], told: str | None
) -> ExtensoError:
    error = kind(message, hint=hint, **details)
    error.correlation_id = told
    return error


# --- what was passed in ----------------------------------------------------------------------------------------------
class InputError(ExtensoError, ValueError):
    """What was passed in cannot be used; nothing was sent or changed."""

    exit_status = 2
    default_hint = "Correct the input and call again; nothing was changed."


class ProductIdError(InputError):
    """Not the identifier of a Sentinel-1, -2, -3 or -5P product."""

    status, code = 400, 1003
    default_hint = "Give an identifier such as S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512."


class AreaError(InputError):
    """Not an area on Earth; the message names the problem and the place in the input."""

    status, code = 400, 1002
    default_hint = "Give a bbox (west, south, east, north), WKT, GeoJSON, a shapely geometry, a GeoDataFrame or a file."


class QueryError(InputError):
    """A query that cannot be parsed, or names a keyword that does not exist.

    `position` is the offset in `query` (characters, from 0), `suggestion` a replacement where one is near.
    """

    status, code = 400, 1001
    default_hint = "Look at the position marked; the keywords are listed in docs/query.md."

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        query: str = "",
        position: int = 0,
        suggestion: str | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, hint=hint, query=query, position=position, suggestion=suggestion, **details)
        self.query = query
        self.position = position
        self.suggestion = suggestion

    def __str__(self) -> str:
        shown = isinstance(self.query, str) and isinstance(self.position, int) and 0 < len(self.query) <= 400
        if not shown or "\n" in self.query:
            return super().__str__()
        return f"{self.message}\n  {self.query}\n  {' ' * self.position}^\n  -> {self.hint}"


class InvalidRequest(InputError):
    """A parameter or the body of an API call is wrong."""

    status, code = 400, 1000
    default_hint = "See docs/service.md for the parameters of this call."


class EmptyOrder(InputError):
    """An order, or an estimate, without products."""

    status, code = 400, 1004
    default_hint = "Search first and pass the products found, or their identifiers."


class DuplicateProducts(InputError):
    """An order that names the same product twice."""

    status, code = 400, 1005
    default_hint = "Name each product once."


class RequestTooLarge(InputError):
    """More products (1,000) or bytes than one request takes."""

    status, code = 413, 1006
    default_hint = "Split the order into several of at most 1,000 products."


# --- who asks --------------------------------------------------------------------------------------------------------
class AccessError(ExtensoError, PermissionError):
    """The gateway does not know, or does not allow, who asks."""

    exit_status = 3
    default_hint = "Check the API key (argument api_key, or EXTENSO_API_KEY)."
    __str__ = ExtensoError.__str__


class NotAuthenticated(AccessError):
    """No token, or one that is wrong or old. The client renews an old one by itself, once."""

    status, code = 401, 1100
    default_hint = "Get a token with an API key at the token endpoint and send it as `Authorization: Bearer`."


class InvalidApiKey(AccessError):
    """The token endpoint refused the API key."""

    status, code = 403, 1101
    default_hint = "Check the API key (argument api_key, or EXTENSO_API_KEY), or ask the operator for a new one."


class Forbidden(AccessError):
    """Known, but not allowed: a link that was altered, has expired, or whose product was deleted."""

    status, code = 403, 1102
    default_hint = "Ask for a new link with `download_url`."


# --- what is named ---------------------------------------------------------------------------------------------------
class NotFoundError(ExtensoError, LookupError):
    """The thing named is not there. Never raised because a source failed."""

    exit_status = 4
    default_hint = "Check the identifier."


class UnknownRoute(NotFoundError):
    """No such path in the API."""

    status, code = 404, 1200
    default_hint = "The paths are listed in docs/service.md; the base path is /api/v1/services."


class UnknownProduct(NotFoundError):
    """No source of this gateway holds the product. `details["products"]` lists all that are unknown."""

    status, code = 404, 1201
    default_hint = "Search for it by `identifier:` to see what is there, or order the others with partial=True."


class UnknownAccount(NotFoundError):
    """No such account of this gateway; the API never says it, only `extenso admin` does."""

    default_hint = "List the accounts with `extenso admin list`."


class UnknownOrder(NotFoundError):
    """No such order of this account."""

    status, code = 404, 1202
    default_hint = "List the orders with `orders()`."


class UnknownDelivery(NotFoundError):
    """No such delivery in this order."""

    status, code = 404, 1203
    default_hint = "List the deliveries of the order with `deliveries(order)`."


class NoQuicklook(NotFoundError):
    """The product has no picture: all of Sentinel-5P, some of Sentinel-1 and -3."""

    status, code = 404, 1204
    default_hint = "Use the footprint; after delivery `plot` draws a map of the data."


class NoIndex(NotFoundError):
    """The delivered product has no index: it is none that is read by ranges."""

    status, code = 404, 1205
    default_hint = "Open it without an index, or download it."


# --- not now ---------------------------------------------------------------------------------------------------------
class ConflictError(ExtensoError):
    """Right in itself, but not in this state."""

    exit_status = 5
    default_hint = "Look at the status of the order first."


class QuotaExceeded(ConflictError):
    """The order does not fit into the free storage; `details` has `needed`, `free` and `quota` in bytes."""

    status, code = 409, 1300
    default_hint = "Delete delivered orders (`delete(order)`), order fewer products, or deliver into your own bucket."


class OrderFinished(ConflictError):
    """Cancelling an order that has already ended."""

    status, code = 409, 1301
    default_hint = "To give its storage back, delete the order."


class NotDelivered(ConflictError):
    """Downloading or opening a delivery that has not arrived."""

    status, code = 409, 1302
    default_hint = "Wait for the order with `wait(order)`."


class IdempotencyConflict(ConflictError):
    """The same Idempotency-Key was used before with another order."""

    status, code = 409, 1303
    default_hint = "Use a new key for a new order."


class InOwnBucket(ConflictError):
    """The product lies in the user's own bucket, of which the gateway keeps no keys."""

    status, code = 409, 1304
    default_hint = "Read it from the bucket with your own keys; `delivery.key` says where it lies."


class CredentialsMissing(ConflictError):
    """No source of the gateway can deliver the product before it is given credentials."""

    status, code = 409, 1305
    default_hint = "Run that command where the gateway runs, then order again; searching needs no credentials."


class BucketRefused(ExtensoError):
    """The user's bucket did not pass the probe; the order was not accepted."""

    status, code, exit_status = 422, 1400, 5
    default_hint = "Check endpoint, bucket and keys; the keys need the right to list, put and delete."


class TooManyRequests(ExtensoError):
    """Too fast; `retry_after` says how many seconds to wait."""

    status, code, exit_status = 429, 1500, 6
    default_hint = "Wait for the seconds given and ask again."

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float = 1.0, **details: Any) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after, **details)
        self.retry_after = retry_after


class SourceUnavailable(ExtensoError):
    """No source answers. This is not "nothing found"; asking later can help."""

    status, code, exit_status = 503, 1600, 6
    default_hint = "Try again later; `extenso doctor` shows which source fails."


class GatewayFault(ExtensoError):
    """The gateway failed in a way that it does not know; its log has the correlation id."""

    status, code, exit_status = 500, 1700, 7
    default_hint = "Look for the correlation id in the gateway's log, and report it."


# --- bytes -----------------------------------------------------------------------------------------------------------
class TransferError(ExtensoError):
    """Bytes did not arrive as promised. What did arrive is kept beside the target as `.part`."""

    exit_status = 8
    default_hint = "Call again: the transfer goes on where it stopped."


class IncompleteTransfer(TransferError):
    """Fewer, or more, bytes than announced."""


class ChecksumMismatch(TransferError):
    """All bytes, but not the right ones."""

    default_hint = "Call again: the transfer starts anew."


class DamagedProduct(TransferError):
    """A zip or file that is cut short, or is no product at all."""

    default_hint = "Fetch the product again; the file is not used."


class ProductOffline(TransferError):
    """The source is bringing the product back from cold storage; `retry_after` of `details`: seconds to wait, if known."""

    default_hint = "Ask again later: bringing it back takes minutes to days."


class DeliveryFailed(ExtensoError):
    """A delivery ended `failed`; `details["deliveries"]` has product, reason and trail of each."""

    exit_status = 8
    default_hint = "Read the trail in error.details['deliveries']; order the product again when the cause is gone."


class WaitTimeout(ExtensoError, TimeoutError):
    """Waiting stopped; the order goes on."""

    exit_status = 9
    default_hint = "Call `wait(order)` again; nothing is lost."
    __str__ = ExtensoError.__str__


# --- the way to a gateway --------------------------------------------------------------------------------------------
class GatewayError(ExtensoError):
    """The local gateway, or the way to one."""

    exit_status = 10


class GatewayUnreachable(GatewayError):
    """Nothing answers at the address."""

    exit_status = 11
    default_hint = "Check the address (argument url, or EXTENSO_URL) and that the gateway runs."


class GatewayStartFailed(GatewayError):
    """The embedded gateway ended while starting; the message carries its last lines."""

    exit_status = 12
    default_hint = "Read the log named above; `extenso doctor` checks the installation."


class PortInUse(GatewayError):
    """Another program listens on the port."""

    exit_status = 13
    default_hint = "Choose another port with --port, or 0 for any free one."


class DataDirectoryReadOnly(GatewayError):
    """The data directory cannot be written."""

    exit_status = 14
    default_hint = "Choose another with --data-dir or EXTENSO_DATA_DIR, or change its permissions."


class DataDirectoryInUse(GatewayError):
    """Another gateway holds this data directory; `details` has its address and process id where known."""

    exit_status = 15
    default_hint = "Connect to the one that runs, stop it, or choose another directory with --data-dir."


class DatabaseRefused(GatewayError):
    """The database is not one that this process may use: newer tables, another secret, another storage."""

    exit_status = 17
    default_hint = "Give all processes of a gateway the same version, secret and storage."


class DatabaseUnavailable(GatewayError):
    """The gateway's database does not answer; `retry_after` says how many seconds to wait. Deliveries go on after."""

    status, code, exit_status = 503, 1601, 18
    default_hint = "Ask again in some seconds; where you run the gateway, see whether its database does."

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float = 5.0, **details: Any) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after, **details)
        self.retry_after = retry_after


# --- reading ---------------------------------------------------------------------------------------------------------
class ReaderError(ExtensoError):
    """A product that cannot be opened."""

    exit_status = 16
    default_hint = "Check the path, and that the product is complete."


class UnsupportedProduct(ReaderError):
    """A product of a kind that no reader here knows."""

    default_hint = "The kinds that open are listed in docs/products.md."


class IncompleteProduct(ReaderError):
    """A member that opening needs is missing or empty."""

    default_hint = "Fetch the product again; this copy is not complete."


class UnknownBand(ReaderError, KeyError):
    """No such band; `details["bands"]` lists those there are."""

    default_hint = "Use one of the bands listed."
    __str__ = ExtensoError.__str__


# --- the table -------------------------------------------------------------------------------------------------------
def _descendants(kind: type[ExtensoError]) -> list[type[ExtensoError]]:
    return [each for child in kind.__subclasses__() for each in (child, *_descendants(child))]


def table() -> dict[tuple[int, int], type[ExtensoError]]:
    """The one table of the API's errors: (HTTP status, internalCode) -> class."""
    return {(kind.status, kind.code): kind for kind in _descendants(ExtensoError) if kind.status is not None}
