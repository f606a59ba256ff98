"""A gateway in memory that tells the truth, a recording comm and browser events made here: the Explorer without a browser."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from extenso_nb import errors, models, retry
from extenso_nb.query import order, parse
from extenso_nb.widgets import actions
from extenso_nb.widgets.state import ExplorerState, strict

DAY = datetime(2024, 6, 1, 10, 56, 19, tzinfo=UTC)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
QUICK = retry.Retry(attempts=None, first=0.001, factor=1, longest=0.002, jitter=0)


def product(number: int, **changes: Any) -> models.Product:
    west = float(number % 10)
    ring = [[west, 40.0], [west + 0.912345678, 40.0], [west + 0.912345678, 41.0], [west, 41.0], [west, 40.0]]
    fields: dict[str, Any] = {
        "id": f"S2A_MSIL2A_20240601T105619_N0510_R094_T31TCJ_{number:06d}",
        "uuid": str(number),
        "collection": "S2",
        "platform": "Sentinel-2A",
        "instrument": "MSI",
        "product_type": "S2MSI2A",
        "processing_level": "L2A",
        "begin_position": DAY + timedelta(days=number),
        "end_position": DAY + timedelta(days=number, seconds=10),
        "ingestion_date": DAY + timedelta(days=number),
        "footprint": {"type": "Polygon", "coordinates": [ring]},
        "size": 1_000_000,
        "cloud_cover": float(number * 7 % 100),
        "links": {},
    }
    return models.Product.model_validate(fields | changes)


def jpeg(size: int = 300) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), "teal").save(buffer, "JPEG")
    return buffer.getvalue()


class Gateway:
    """The client's contract over products in memory. `fail` raises it in the verb named; `gate` holds a verb back."""

    def __init__(self, count: int = 12, **changes: Any) -> None:
        self.products = [product(number, **changes) for number in range(count)]
        self.fail: dict[str, list[Exception]] = {}
        self.gate: dict[str, asyncio.Event] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.placed: dict[int, list[models.Delivery]] = {}
        self.keys: dict[str, int] = {}
        self.cancelled: set[int] = set()
        self.buckets: list[models.BucketProperties | None] = []
        self.end = "delivered"
        self.at_once = self.most_at_once = 0
        self.closed = False

    async def _enter(self, verb: str, *detail: Any) -> None:
        self.calls.append((verb, *detail))
        await asyncio.sleep(0)  # as a real client, it lets others run
        if verb in self.gate:
            await self.gate[verb].wait()
        if self.fail.get(verb):
            raise self.fail[verb].pop(0)

    def count(self, verb: str) -> int:
        return sum(call[0] == verb for call in self.calls)

    async def search_page(
        self, collection: str, *, q: str = "*", start: int = 0, rows: int = 100, orderby: str | None = None
    ) -> models.Page[models.Product]:
        await self._enter("search_page", collection, q, start, rows)
        question = parse(q)
        found = [item for item in self.products if item.collection == collection and question.matches(item)]
        found = order(found, orderby) if orderby else found
        return models.Page[models.Product](
            items_per_page=rows,
            start_index=start,
            total_results=len(found),
            data=tuple(found[start : start + rows]),
            links={},
        )

    async def thumbnail(self, item: models.Product) -> bytes:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.002)  # long enough that those asked for at a time are under way together
            await self._enter("thumbnail", item.id)
        finally:
            self.at_once -= 1
        return jpeg()

    async def quicklook(self, item: models.Product) -> bytes:
        await self._enter("quicklook", item.id)
        return jpeg()

    async def me(self) -> models.Account:
        await self._enter("me")
        storage = {
            "quota": 10_000_000,
            "used": 100 * len(self.placed),
            "reserved": 0,
            "free": 10_000_000 - 100 * len(self.placed),
        }
        return models.Account.from_wire({"id": "a", "name": "anna", "storage": storage})

    async def estimate(self, products: Sequence[str]) -> models.Estimate:
        await self._enter("estimate", tuple(products))
        rows = [{"id": key, "size": 1_000_000, "online": True} for key in products]
        return self.estimate_of(rows)

    def estimate_of(self, rows: list[dict[str, Any]], free: int = 10_000_000) -> models.Estimate:
        total = sum(row.get("size") or 0 for row in rows)
        before = {"quota": 10_000_000, "used": 10_000_000 - free, "reserved": 0, "free": free}
        after = {**before, "reserved": total, "free": free - total}
        body = {"products": rows, "total": total, "storageBefore": before, "storageAfter": after, "fits": total <= free}
        return models.Estimate.from_wire(body)

    async def order(
        self,
        products: Sequence[str],
        *,
        bucket: models.BucketProperties | None = None,
        idempotency_key: str | None = None,
    ) -> models.Order:
        assert idempotency_key
        self.buckets.append(bucket)
        if idempotency_key not in self.keys:
            number = max(self.placed, default=0) + 1
            self.keys[idempotency_key] = number
            self.placed[number] = [self._delivery(number, at, key) for at, key in enumerate(products, 1)]
        await self._enter("order", tuple(products), idempotency_key)
        return self._order(self.keys[idempotency_key])

    def _delivery(self, number: int, at: int, key: str) -> models.Delivery:
        return models.Delivery(
            id=f"{number}-{at}",
            order_id=number,
            product_id=key,
            status="queued",
            size=100,
            created_at=DAY,
            updated_at=DAY,
            links={},
        )

    def _order(self, number: int) -> models.Order:
        rows = self.placed[number]
        states = [row.status for row in rows]
        done = states.count("delivered")
        if all(row.ended for row in rows):
            status = "delivered" if done == len(rows) else "partial" if done else states[0]
        else:
            status = "running"
        return models.Order(
            id=number,
            status=status,  # type: ignore[arg-type]
            created_at=DAY,
            updated_at=DAY,
            products=tuple(row.product_id for row in rows),
            size=100 * len(rows),
            delivered_size=100 * done,
            deliveries={state: states.count(state) for state in set(states)},
            links={},
        )

    async def status(self, number: int) -> models.Order:
        await self._enter("status", number)
        if number not in self.placed:
            raise errors.UnknownOrder(f"No order {number}.")
        steps = {"queued": "transferring", "transferring": self.end}
        if number not in self.cancelled:
            self.placed[number] = [
                row.model_copy(
                    update={"status": steps.get(row.status, row.status), "transferred": 50, "error": self._reason()}
                )
                for row in self.placed[number]
            ]
        return self._order(number)

    def _reason(self) -> str | None:
        return "the source lost it" if self.end == "failed" else None

    async def deliveries(self, number: int) -> list[models.Delivery]:
        await self._enter("deliveries", number)
        return self.placed[number]

    async def orders(self) -> list[models.Order]:
        await self._enter("orders")
        return [self._order(number) for number in self.placed]

    async def cancel(self, number: int) -> models.Order:
        await self._enter("cancel", number)
        self.cancelled.add(number)
        self.placed[number] = [row.model_copy(update={"status": "cancelled"}) for row in self.placed[number]]
        return self._order(number)

    async def delete(self, number: int) -> None:
        await self._enter("delete", number)
        if number not in self.placed:
            raise errors.UnknownOrder(f"No order {number}.")
        del self.placed[number]

    async def aclose(self) -> None:
        self.closed = True


def found_state(gateway: Gateway, **values: Any) -> ExplorerState:
    """The state after a search."""
    state = ExplorerState(**values)
    asyncio.run(actions.search(state, gateway))
    return state


def box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


class RecordingComm:
    """A comm that keeps what would go to the browser."""

    sent: list[tuple[str, dict[str, Any]]] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, **options: Any) -> None:
        self.comm_id = f"comm-{id(self)}"
        self.kernel = True

    def send(self, data: dict[str, Any] | None = None, **options: Any) -> None:
        RecordingComm.sent.append((self.comm_id, data or {}))

    def on_msg(self, callback: Any) -> None: ...

    def on_close(self, callback: Any) -> None: ...

    def close(self, **options: Any) -> None: ...


def browser_sets(widget: Any, **state: Any) -> None:
    """What arrives when the browser changes traits. The only place that uses this private door of ipywidgets."""
    message = {"content": {"data": {"method": "update", "state": state, "buffer_paths": []}}, "buffers": []}
    widget._handle_msg(message)


def browser_sends(widget: Any, **content: Any) -> None:
    """What arrives when the browser sends an event: a click, a hover."""
    message = {"content": {"data": {"method": "custom", "content": content}}, "buffers": []}
    widget._handle_msg(message)


def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@contextmanager
def explorers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes Explorers over a gateway in memory, on a recording comm; callbacks raise what they raise."""
    import comm
    from ipywidgets.widgets.widget import CallbackDispatcher

    monkeypatch.setattr(comm, "create_comm", RecordingComm)
    RecordingComm.sent.clear()

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        results = [callback(*args, **kwargs) for callback in self.callbacks]
        return results[-1] if results else None

    monkeypatch.setattr(CallbackDispatcher, "__call__", call)
    from extenso_nb.widgets import Explorer

    made: list[Any] = []

    def explorer(gateway: Gateway | None = None, **options: Any) -> Any:
        gateway = gateway or Gateway()
        options.setdefault("connect", lambda: gateway)
        options.setdefault("open", lambda row: SimpleNamespace(name=row.product_id))
        made.append(Explorer(**options))
        return made[-1]

    with strict():
        yield explorer
        for one in made:
            one.close()
