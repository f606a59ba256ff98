"""One example of each noun of the API, made of the models themselves, for the OpenAPI document and the Postman collection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from extenso_nb import wire
from extenso_nb.errors import ExtensoError
from extenso_nb.gateway.access import TOKEN_SECONDS
from extenso_nb.gateway.links import linked_delivery, linked_order, linked_product
from extenso_nb.models import (
    Account,
    Delivery,
    DeliveryMetadata,
    Estimate,
    Health,
    Noun,
    Order,
    Page,
    Product,
    ProductEstimate,
    SignedUrl,
    SourceHealth,
    Storage,
    TrailEntry,
)

__all__ = ["PRODUCT_ID", "bucket_body", "error_body", "page", "success"]

PRODUCT_ID = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512"
ORDER_ID = 17
_TAKEN = datetime(2024, 6, 1, 10, 56, 19, 24_000, tzinfo=UTC)
_ASKED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
_ARRIVED = datetime(2026, 11, 23, 9, 1, 30, tzinfo=UTC)
_SIZE = 1_082_345_678
_KEY = f"5f0c9a1e22b7/orders/{ORDER_ID}/{PRODUCT_ID}/{PRODUCT_ID}.SAFE.zip"
_SHA = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
_TRAIL = (
    TrailEntry(time=_ASKED, event="transfer begins", source="archive"),
    TrailEntry(time=_ARRIVED, event="delivered", source="archive", bytes=_SIZE),
)
_STORAGE = Storage(quota=10_000_000_000, used=_SIZE, reserved=0, free=10_000_000_000 - _SIZE)

_PRODUCT = linked_product(
    Product(
        id=PRODUCT_ID,
        uuid="6d1c5a0e-6a0f-5d0e-9a55-0d6f5f5a7c11",
        collection="S2",
        platform="Sentinel-2B",
        instrument="MSI",
        product_type="S2MSI2A",
        processing_level="Level-2A",
        begin_position=_TAKEN,
        end_position=_TAKEN,
        ingestion_date=datetime(2024, 6, 1, 15, 2, 11, tzinfo=UTC),
        footprint={"type": "Polygon", "coordinates": [[[1, 43], [2, 43], [2, 44], [1, 44], [1, 43]]]},
        size=_SIZE,
        sources=("archive",),
        cloud_cover=12.5,
        orbit_number=37792,
        relative_orbit_number=94,
        orbit_direction="DESCENDING",
        tile_id="31TCJ",
        processing_baseline="05.10",
        links={},
    )
)
_ORDER = linked_order(
    Order(
        id=ORDER_ID,
        status="running",
        created_at=_ASKED,
        updated_at=_ASKED,
        products=(PRODUCT_ID,),
        size=_SIZE,
        deliveries={"transferring": 1},
        links={},
    )
)
_DELIVERY = linked_delivery(
    Delivery(
        id=f"{ORDER_ID}-1",
        order_id=ORDER_ID,
        product_id=PRODUCT_ID,
        status="delivered",
        size=_SIZE,
        transferred=_SIZE,
        source="archive",
        key=_KEY,
        checksums={"sha256": _SHA},
        created_at=_ASKED,
        updated_at=_ARRIVED,
        trail=_TRAIL,
        links={},
    )
)

NounT = TypeVar("NounT", bound=Noun)


def page(kind: type[NounT], item: NounT, path: str) -> Page[NounT]:
    """A page that holds one item and is the whole list."""
    links = {"self": {"href": f"{path}?start=0&rows={wire.ROWS}", "method": "GET"}}
    body = {"itemsPerPage": wire.ROWS, "startIndex": 0, "totalResults": 1, "data": [item.to_wire()], "_links": links}
    return Page[kind].from_wire(body)  # type: ignore[valid-type]


def success() -> dict[str, Any]:
    """The body of success of each verb that answers with JSON, by the verb's name."""
    path = {name: verb.url(**_place(verb)) for name, verb in wire.VERBS.items()}
    after = _STORAGE.model_copy(update={"reserved": _SIZE, "free": _STORAGE.free - _SIZE})
    item = ProductEstimate(id=PRODUCT_ID, size=_SIZE, size_estimated=False, online=True, source="archive")
    ended = _ORDER.model_copy(update={"status": "cancelled", "deliveries": {"cancelled": 1}})
    files = f"https://extenso.example.org{wire.FILES_PATH}/{_KEY}?expires=1795600800&signature={_SHA}"
    nouns: dict[str, Noun] = {
        "search": page(Product, _PRODUCT, path["search"]),
        "estimate": Estimate(products=(item,), total=_SIZE, storage_before=_STORAGE, storage_after=after, fits=True),
        "create_order": _ORDER,
        "orders": page(Order, _ORDER, path["orders"]),
        "order": _ORDER,
        "cancel": ended,
        "deliveries": page(Delivery, _DELIVERY, path["deliveries"]),
        "order_deliveries": page(Delivery, _DELIVERY, path["order_deliveries"]),
        "delivery": _DELIVERY,
        "download_url": SignedUrl(url=files, expires_at=datetime(2026, 11, 25, 10, tzinfo=UTC)),
        "metadata": DeliveryMetadata(
            product=_PRODUCT,
            key=_KEY,
            size=_SIZE,
            checksums={"sha256": _SHA},
            source="archive",
            delivered_at=_ARRIVED,
            trail=_TRAIL,
        ),
        "me": Account(id="5f0c9a1e22b7", name="maria", storage=_STORAGE),
        "health": Health(
            status="ok", version="0.1.0", sources=(SourceHealth(name="archive", status="ok", products=30),)
        ),
    }
    bodies = {name: noun.to_wire() for name, noun in nouns.items()}
    bodies["search_ids"] = bodies["search"] | {"data": [PRODUCT_ID]}
    bodies["search_ids"]["_links"] = {"self": {"href": f"{path['search_ids']}?start=0&rows=10", "method": "GET"}}
    bodies["login"] = {
        "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl",
        "expires_in": TOKEN_SECONDS,
        "refresh_expires_in": 0,
        "token_type": "Bearer",
    }
    return bodies


def _place(verb: wire.Verb) -> dict[str, object]:
    places = {
        "collection": "S2",
        "product_id": PRODUCT_ID,
        "order_id": ORDER_ID,
        "delivery_id": f"{ORDER_ID}-1",
    }
    return {name: places[name] for name in verb.parameters}


def bucket_body() -> dict[str, str]:
    """The `bucketProperties` of an order."""
    return {"endpoint": "https://s3.example.org/my-bucket", "accessKey": "AKIAEXAMPLE", "secretKey": "example"}


def error_body(kind: type[ExtensoError]) -> dict[str, Any]:
    """The body of an error of the table."""
    meaning = (kind.__doc__ or kind.__name__).partition("\n")[0]
    return {
        "correlationId": "0c9b5f0e-3c1a-4b1e-9b5c-2f3f3a0f7d51",
        "hint": kind.default_hint,
        "internalCode": kind.code,
        "message": meaning,
        "timestamp": 1_795_597_200_000,
    }
