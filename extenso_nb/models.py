"""The API's nouns: Product, Estimate, Order, Delivery, Account ... Frozen; snake_case here, camelCase on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, NoReturn, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, SecretStr
from pydantic.alias_generators import to_camel

from extenso_nb import _html

__all__ = [
    "DELIVERY_ENDED",
    "DELIVERY_STATUSES",
    "ORDER_ENDED",
    "Account",
    "BucketProperties",
    "Delivery",
    "DeliveryMetadata",
    "DeliveryStatus",
    "Destination",
    "Estimate",
    "Health",
    "Link",
    "Order",
    "OrderStatus",
    "Page",
    "Product",
    "ProductEstimate",
    "SignedUrl",
    "SourceHealth",
    "Storage",
    "TrailEntry",
]


def _as_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _iso(value: datetime) -> str:
    text = value.astimezone(UTC).isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    return text.replace("+00:00", "Z")


Moment = Annotated[datetime, AfterValidator(_as_utc), PlainSerializer(_iso, when_used="json")]
"""A time in UTC; ISO 8601 with Z on the wire."""

OrderStatus = Literal["queued", "running", "delivered", "partial", "failed", "cancelled"]
DeliveryStatus = Literal["queued", "warming", "transferring", "verifying", "delivered", "failed", "cancelled"]
DELIVERY_STATUSES: tuple[DeliveryStatus, ...] = (
    "queued",
    "warming",
    "transferring",
    "verifying",
    "delivered",
    "failed",
    "cancelled",
)
DELIVERY_ENDED: frozenset[DeliveryStatus] = frozenset({"delivered", "failed", "cancelled"})
"""Statuses that nothing follows."""
ORDER_ENDED: frozenset[OrderStatus] = frozenset({"delivered", "partial", "failed", "cancelled"})


_BYTES = {"size", "delivered_size", "transferred", "total", "quota", "used", "reserved", "free"}


class Noun(BaseModel):
    """What all nouns share: frozen, camelCase on the wire, tolerant of fields that a newer gateway adds."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")

    def to_wire(self) -> dict[str, Any]:
        """The JSON object of the API; fields that are None are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_wire(cls, body: Any) -> Self:
        """From the JSON object of the API."""
        return cls.model_validate(body)

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        values = [(name, getattr(self, name)) for name in type(self).model_fields if name != "links"]
        rows = [
            (name.replace("_", " "), _html.bytes_text(value) if name in _BYTES else value)
            for name, value in values
            if value not in (None, {}, ())
        ]
        return _html.card(type(self).__name__, rows)


class Link(Noun):
    """A link, in the style of OneAtlas."""

    href: str
    method: str = "GET"


Links = Annotated[dict[str, Link], Field(default_factory=dict, alias="_links")]


class Product(Noun):
    """A product as a catalogue describes it. `size` is in bytes, of the object that a delivery would be."""

    id: str
    """Identifier without extension."""
    uuid: str
    collection: str
    """S1, S2, S3 or S5P."""
    platform: str
    """`Sentinel-2A`."""
    instrument: str
    """`SAR-C SAR`, MSI, OLCI, SLSTR, SRAL, SYNERGY or TROPOMI."""
    product_type: str
    processing_level: str
    begin_position: Moment
    end_position: Moment
    ingestion_date: Moment
    footprint: dict[str, Any] | None = None
    """GeoJSON geometry, valid, lon/lat, cut at the antimeridian; None where the product has none of its own."""
    size: int = 0
    size_estimated: bool = False
    """Whether `size` is typical of the type rather than that of the product."""
    online: bool = True
    sources: tuple[str, ...] = ()
    cloud_cover: float | None = None
    """Per cent."""
    orbit_number: int | None = None
    relative_orbit_number: int | None = None
    orbit_direction: str | None = None
    """ASCENDING or DESCENDING."""
    tile_id: str | None = None
    polarisation: str | None = None
    """`VV VH`."""
    sensor_mode: str | None = None
    timeliness: str | None = None
    processing_baseline: str | None = None
    links: Links

    def __repr__(self) -> str:
        cloud = "" if self.cloud_cover is None else f", {self.cloud_cover:.0f} % cloud"
        state = "online" if self.online else "cold"
        return f"<Product {self.id}: {_html.bytes_text(self.size)}{cloud}, {state}>"


class ProductEstimate(Noun):
    """One product of an estimate: its size, or why it cannot be ordered."""

    id: str
    size: int | None = None
    size_estimated: bool | None = None
    online: bool | None = None
    source: str | None = None
    error: str | None = None


class Storage(Noun):
    """The free storage of an account, in bytes. ``free = quota - used - reserved``."""

    quota: int
    used: int
    reserved: int
    free: int

    def __repr__(self) -> str:
        return (
            f"<Storage {_html.bytes_text(self.free)} free of {_html.bytes_text(self.quota)}"
            f" ({_html.bytes_text(self.used)} used, {_html.bytes_text(self.reserved)} reserved)>"
        )


class Estimate(Noun):
    """What an order would cost in storage, before it is placed."""

    products: tuple[ProductEstimate, ...]
    total: int
    """Bytes of all products that can be ordered."""
    storage_before: Storage
    storage_after: Storage
    fits: bool

    @property
    def errors(self) -> dict[str, str]:
        """Why products cannot be ordered: identifier -> reason."""
        return {item.id: item.error for item in self.products if item.error}

    def __repr__(self) -> str:
        verdict = "fits" if self.fits else "does not fit"
        bad = f", {len(self.errors)} cannot be ordered" if self.errors else ""
        return (
            f"<Estimate {len(self.products)} products, {_html.bytes_text(self.total)}: {verdict}"
            f" into {_html.bytes_text(self.storage_before.free)} free{bad}>"
        )

    def _repr_html_(self) -> str:
        rows = [
            (
                item.id,
                _html.bytes_text(item.size) + (" (typical)" if item.size_estimated else "") if item.size else "",
                item.error or ("online" if item.online else "cold: hours to days"),
            )
            for item in self.products
        ]
        return _html.table(repr(self)[1:-1], ("product", "size", "state"), rows)


class Destination(Noun):
    """Where an order goes: the free storage, or a bucket of the user's."""

    kind: Literal["free", "bucket"] = "free"
    endpoint: str | None = None
    bucket: str | None = None
    prefix: str | None = None

    def __repr__(self) -> str:
        if self.kind == "free":
            return "free storage"
        return f"bucket {self.bucket or ''} at {self.endpoint}"


class BucketProperties(Noun):
    """The user's own bucket. With the three published fields alone the bucket is read from the endpoint."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid", hide_input_in_errors=True
    )

    endpoint: str
    access_key: SecretStr
    secret_key: SecretStr
    bucket: str | None = None
    region: str | None = None
    prefix: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] | None = None

    def to_wire(self) -> dict[str, Any]:
        """The JSON object, keys in clear: only ever for the body of an order."""
        body = super().to_wire()
        body["accessKey"] = self.access_key.get_secret_value()
        body["secretKey"] = self.secret_key.get_secret_value()
        return body

    def __reduce__(self) -> NoReturn:
        raise TypeError("BucketProperties holds keys and is not pickled; pass it to `order` directly.")

    def __repr__(self) -> str:
        return f"<BucketProperties {self.endpoint}, keys hidden>"


class Order(Noun):
    """An order. Its `id` is all that one needs to come back to it."""

    id: int
    status: OrderStatus
    created_at: Moment
    updated_at: Moment
    products: tuple[str, ...]
    size: int = 0
    """Bytes expected in all."""
    delivered_size: int = 0
    destination: Destination = Destination()
    deliveries: dict[str, int] = Field(default_factory=dict)
    """Number of deliveries by status."""
    links: Links

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ORDER_ENDED

    def __repr__(self) -> str:
        done = self.deliveries.get("delivered", 0)
        return (
            f"<Order {self.id}: {self.status}, {done} of {len(self.products)} delivered,"
            f" {_html.bytes_text(self.delivered_size)} of {_html.bytes_text(self.size)}>"
        )


class TrailEntry(Noun):
    """One thing that happened to a delivery."""

    time: Moment
    event: str
    """What happened, in words."""
    source: str | None = None
    bytes: int | None = None
    """Bytes transferred so far."""

    def __repr__(self) -> str:
        return f"{_iso(self.time)} {self.source or '-'}: {self.event}"


class Delivery(Noun):
    """One product of an order, on its way into the storage."""

    id: str
    order_id: int
    product_id: str
    status: DeliveryStatus
    size: int = 0
    transferred: int = 0
    """Bytes so far."""
    source: str | None = None
    key: str | None = None
    """Key in the storage, when delivered."""
    checksums: dict[str, str] | None = None
    created_at: Moment
    updated_at: Moment
    next_attempt_at: Moment | None = None
    trail: tuple[TrailEntry, ...] = ()
    error: str | None = None
    links: Links

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in DELIVERY_ENDED

    def __repr__(self) -> str:
        return (
            f"<Delivery {self.id} {self.product_id}: {self.status},"
            f" {_html.bytes_text(self.transferred)} of {_html.bytes_text(self.size)}>"
        )


class DeliveryMetadata(Noun):
    """What lies beside a delivered product as `metadata.json`."""

    product: Product
    key: str
    size: int
    checksums: dict[str, str]
    source: str
    delivered_at: Moment
    trail: tuple[TrailEntry, ...] = ()
    index: str | None = None
    """Key of the index, where one was written."""


class SignedUrl(Noun):
    """A URL that needs no header, answers Range, and expires. Its repr hides the signature."""

    url: str
    expires_at: Moment

    def __repr__(self) -> str:
        return f"<SignedUrl {self.url.split('?')[0]}, until {_iso(self.expires_at)}>"

    def _repr_html_(self) -> str:
        return _html.card("SignedUrl", [("url", self.url.split("?")[0]), ("until", self.expires_at)])


class Account(Noun):
    """Who asks, and how much storage is left."""

    id: str
    name: str
    role: Literal["user", "operator"] = "user"
    storage: Storage

    def __repr__(self) -> str:
        return f"<Account {self.name}: {repr(self.storage)[9:-1]}>"


class SourceHealth(Noun):
    """One source of a gateway."""

    name: str
    status: str
    """`ok`, or what is wrong."""
    products: int | None = None
    lacks: str | None = None
    """What it lacks before it can deliver, and the command that gives it: credentials."""
    rests_until: Moment | None = None
    """When it is tried again, after it failed several times in a row."""


class Health(Noun):
    """Whether a gateway answers."""

    status: Literal["ok", "degraded"]
    version: str
    sources: tuple[SourceHealth, ...] = ()


T = TypeVar("T")


class Page(Noun, Generic[T]):
    """One page of a list."""

    items_per_page: int
    start_index: int
    total_results: int
    data: tuple[T, ...]
    notes: tuple[str, ...] | None = None
    """Of a search: what to know of how it was found, a catalogue that did not answer, say."""
    links: Links

    def __repr__(self) -> str:
        first = self.start_index + 1 if self.data else self.start_index
        return f"<Page {first} to {self.start_index + len(self.data)} of {self.total_results}>"
