"""The Explorer without a browser: a recording comm, browser events made here, a gateway in memory that tells the truth."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from traitlets import TraitError

from extenso_nb import errors, models, retry
from extenso_nb.query import parse
from extenso_nb.widgets import actions
from extenso_nb.widgets.state import COLLECTIONS, PRODUCT_TYPES, ExplorerState, guard, strict

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
        self.end = "delivered"
        self.at_once = self.most_at_once = 0
        self.closed = False

    async def _enter(self, verb: str, *detail: Any) -> None:
        self.calls.append((verb, *detail))
        await asyncio.sleep(0)
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
            await asyncio.sleep(0.002)
            await self._enter("thumbnail", item.id)
        finally:
            self.at_once -= 1
        return jpeg()

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

    async def order(self, products: Sequence[str], *, idempotency_key: str | None = None) -> models.Order:
        assert idempotency_key
        if idempotency_key not in self.keys:
            number = len(self.placed) + 1
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

    async def aclose(self) -> None:
        self.closed = True


def found_state(gateway: Gateway, **values: Any) -> ExplorerState:
    state = ExplorerState(**values)
    asyncio.run(actions.search(state, gateway))
    return state


# --- state -----------------------------------------------------------------------------------------------------------
days = st.dates(min_value=DAY.date(), max_value=DAY.date() + timedelta(days=9000)).map(
    lambda day: day.isoformat()
) | st.just("")
texts = st.text(max_size=20)


@settings(max_examples=40)
@given(
    collection=st.sampled_from(sorted(COLLECTIONS)),
    product_type=texts,
    start=days,
    stop=days,
    cloud=st.floats(0, 100),
    numbers=st.lists(st.integers(0, 50), unique=True, max_size=5),
    selected=st.lists(texts, max_size=4),
    message=st.fixed_dictionaries(
        {"level": st.sampled_from(["", "info", "error"]), "title": texts, "detail": texts, "hint": texts}
    ),
    aoi=st.none() | st.just({"type": "Point", "coordinates": [1.5, 43.6]}),
)
def test_state_goes_to_json_and_back(numbers: list[int], **values: Any) -> None:
    state = ExplorerState(products=tuple(product(number) for number in numbers), total=len(numbers), **values)
    state.put_order(models.Order(id=7, status="queued", created_at=DAY, updated_at=DAY, products=("a",), links={}))
    saved = json.loads(json.dumps(state.to_dict()))
    again = ExplorerState.from_dict(saved)
    assert again.to_dict() == state.to_dict()
    assert again.products == state.products
    assert again.orders == state.orders


def test_state_of_a_newer_version_is_read() -> None:
    assert ExplorerState.from_dict({"collection": "S1", "hologram": True, "hovered": "x"}).collection == "S1"


@pytest.mark.parametrize(
    "bad",
    [
        {"collection": "S9"},
        {"start": "01.06.2024"},
        {"stop": "2024-02-30"},
        {"cloud": 101},
        {"page_size": 0},
        {"message": {"level": "loud"}},
    ],
)
def test_values_that_cannot_be_are_refused_and_the_old_ones_kept(bad: dict[str, Any]) -> None:
    state = ExplorerState()
    before = state.to_dict()
    with pytest.raises(TraitError):
        state.update(**bad)
    assert state.to_dict() == before


def test_selection_is_by_id_and_drops_an_estimate_of_another() -> None:
    state = ExplorerState(products=(product(1), product(2)), estimate={"total": 1})
    state.toggle("not there")
    assert (state.selected, state.estimate) == ([], {"total": 1})
    state.toggle(product(2).id)
    assert (state.selected, state.estimate) == ([product(2).id], None)
    state.select([product(1).id, product(1).id])
    assert state.selected == [product(1).id]
    state.toggle(product(1).id)
    assert state.selected == []


def test_form_becomes_search_arguments() -> None:
    state = ExplorerState(collection="S2", start="2024-06-01", stop="2024-06-30", cloud=20, product_type="S2MSI2A")
    assert state.search_arguments() == {
        "datetime": "2024-06-01T00:00:00.000Z/2024-06-30T23:59:59.999Z",
        "cloud_cover": (0, 20.0),
        "product_type": "S2MSI2A",
    }
    state.collection = "S1"
    assert "cloud_cover" not in state.search_arguments(), "radar has no cloud figure: asking for one would find nothing"
    state.update(start="2024-07-01")
    with pytest.raises(errors.InputError, match="after the last"):
        state.search_arguments()


def test_a_guard_shows_logs_and_in_tests_raises(caplog: pytest.LogCaptureFixture) -> None:
    state = ExplorerState()
    failing = guard(state, "That failed.", lambda: 1 / 0)
    failing()
    assert state.message["title"] == "That failed."
    assert "ZeroDivisionError" in state.message["detail"]
    assert "division by zero" in caplog.text
    with strict(), pytest.raises(ZeroDivisionError):
        failing()


def test_state_and_actions_run_without_any_widget_library() -> None:
    code = (
        "import sys, extenso_nb.widgets.actions, extenso_nb.widgets.runner\n"
        "bad = {'ipywidgets', 'ipyleaflet', 'anywidget', 'matplotlib', 'IPython', 'geopandas'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- search ----------------------------------------------------------------------------------------------------------
def test_search_finds_what_the_form_says() -> None:
    gateway = Gateway()
    state = found_state(gateway, cloud=30, start="2024-06-02", stop="2024-06-06", aoi=_box(0, 39, 3.5, 42))
    assert [item.uuid for item in state.products] == ["1", "2", "3"]
    assert all(item.cloud_cover <= 30 for item in state.products)
    assert state.total == 3
    assert state.message["level"] == "success"
    assert parse(state.query)


def _box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def test_nothing_found_and_failed_are_different_things() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    assert len(state.products) == 12
    gateway.fail["search_page"] = [errors.SourceUnavailable("The source is down.")]
    asyncio.run(actions.search(state, gateway))
    assert state.message == {
        "level": "error",
        "title": "The search failed.",
        "detail": "The source is down.",
        "hint": errors.SourceUnavailable.default_hint,
    }
    assert len(state.products) == 12, "a failure is never an empty result"
    state.update(collection="S5P")
    asyncio.run(actions.search(state, gateway))
    assert (state.products, state.total, state.searched) == ((), 0, True)
    assert state.message["title"] == "Nothing matches."


@pytest.mark.parametrize(
    "kind", sorted(errors.table().values(), key=lambda kind: kind.code), ids=lambda kind: kind.__name__
)
def test_every_answer_of_the_gateway_is_shown_as_itself(kind: type[errors.ExtensoError]) -> None:
    gateway = Gateway()
    gateway.fail["search_page"] = [kind(f"This is {kind.__name__}.")]
    state = found_state(gateway)
    assert state.message["level"] == "error"
    assert state.message["detail"] == f"This is {kind.__name__}."
    assert state.message["hint"] == kind.default_hint
    assert not state.searched
    assert state.busy == ()


def test_a_bad_form_is_not_sent() -> None:
    gateway = Gateway()
    state = found_state(gateway, start="2024-07-01", stop="2024-06-01")
    assert state.message["detail"].startswith("The first day")
    state = found_state(gateway, aoi_valid=False, aoi_text="its sides cross")
    assert "its sides cross" in state.message["detail"]
    assert gateway.calls == []


def test_an_older_search_that_answers_last_changes_nothing() -> None:
    async def run() -> None:
        slow, quick, state = Gateway(), Gateway(3), ExplorerState()
        slow.gate["search_page"] = asyncio.Event()
        old = asyncio.create_task(actions.search(state, slow))
        await asyncio.sleep(0.01)
        await actions.search(state, quick)
        assert state.total == 3
        slow.gate["search_page"].set()
        await old
        assert state.total == 3
        assert state.busy == ()

    asyncio.run(run())


def test_load_more_goes_on_with_the_search_that_is_shown() -> None:
    gateway = Gateway()
    state = found_state(gateway, page_size=5)
    state.update(collection="S1", cloud=1)
    state.select([state.products[0].id])
    asyncio.run(actions.load_more(state, gateway))
    assert len(state.products) == 10
    gateway.products.insert(0, product(99))  # comes in meanwhile, and shifts the pages
    asyncio.run(actions.load_more(state, gateway))
    ids = [item.id for item in state.products]
    assert len(ids) == len(set(ids)) == 12
    assert state.selected == [ids[0]]
    del gateway.products[1:]
    state.update(total=50)
    asyncio.run(actions.load_more(state, gateway))
    assert state.total == 12, "an empty page ends the list"


def test_a_new_search_keeps_the_selection_only_as_far_as_it_is_found_again() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(0).id, product(5).id])
    state.update(hovered=product(5).id, start="2024-06-03", thumbnails={product(0).id: "data:,"})
    asyncio.run(actions.search(state, gateway))
    assert state.selected == [product(5).id]
    assert (state.hovered, state.thumbnails) == ("", {})


# --- thumbnails ------------------------------------------------------------------------------------------------------
def test_thumbnails_are_small_and_few_at_a_time() -> None:
    gateway = Gateway()
    gateway.fail["thumbnail"] = [errors.NoQuicklook("none")]
    state = found_state(gateway)
    asyncio.run(actions.thumbnails(state, gateway))
    assert set(state.thumbnails) == {item.id for item in state.products}
    assert list(state.thumbnails.values()).count("") == 1
    pictures = [uri for uri in state.thumbnails.values() if uri]
    assert len(pictures) == 11
    assert all(uri.startswith("data:image/jpeg;base64,") and len(uri) < 8000 for uri in pictures)
    assert 1 < gateway.most_at_once <= 4
    asyncio.run(actions.thumbnails(state, gateway))
    assert gateway.count("thumbnail") == 12, "what is there is not fetched again"


def test_thumbnails_that_fail_are_counted_and_can_be_fetched_again() -> None:
    gateway = Gateway(3)
    gateway.fail["thumbnail"] = [errors.SourceUnavailable("Down."), errors.TooManyRequests("Slow down.")]
    state = found_state(gateway)
    asyncio.run(actions.thumbnails(state, gateway))
    assert state.message["title"] == "2 of 3 thumbnails could not be fetched."
    assert len(state.thumbnails) == 1
    asyncio.run(actions.thumbnails(state, gateway))
    assert len(state.thumbnails) == 3


def test_bytes_that_are_no_picture_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(2)
    monkeypatch.setattr(sys.modules[__name__], "jpeg", lambda: b"<html>502 Bad Gateway</html>")
    state = found_state(gateway)
    asyncio.run(actions.thumbnails(state, gateway))
    assert state.message["level"] == "warning"
    assert state.thumbnails == {}


# --- orders ----------------------------------------------------------------------------------------------------------
def test_estimate_says_fit_and_what_cannot_be_ordered() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    asyncio.run(actions.estimate(state, gateway))
    assert state.message["detail"] == "No product is selected."
    state.select([product(1).id, product(2).id])
    asyncio.run(actions.estimate(state, gateway))
    assert state.message["title"] == "2 products, 2 MB: fits. 8 MB of 10 MB stay free."
    assert state.estimated() is not None
    answer = gateway.estimate_of([{"id": "a", "size": 20_000_000}])
    actions._say_estimate(state, answer)
    assert "more than the 10 MB" in state.message["title"]
    actions._say_estimate(state, gateway.estimate_of([{"id": "a", "error": "unknown"}, {"id": "b", "size": 5}]))
    assert (state.message["title"], state.message["detail"]) == ("1 of 2 cannot be ordered.", "a: unknown")


def test_an_estimate_of_a_selection_that_has_changed_is_dropped() -> None:
    async def run() -> None:
        gateway, state = Gateway(), ExplorerState(products=(product(1), product(2)), selected=[product(1).id])
        gateway.gate["estimate"] = asyncio.Event()
        task = asyncio.create_task(actions.estimate(state, gateway))
        await asyncio.sleep(0.01)
        state.toggle(product(2).id)
        gateway.gate["estimate"].set()
        await task
        assert state.estimate is None

    asyncio.run(run())


def test_order_is_followed_to_its_end() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(1).id, product(2).id])
    placed = asyncio.run(actions.order(state, gateway))
    assert placed.id == 1
    assert state.selected == [], "a second click cannot order twice"
    asyncio.run(actions.order(state, gateway))
    assert state.message["detail"] == "No product is selected."
    assert gateway.count("order") == 1
    assert state.open_orders() == [1]
    ended = asyncio.run(actions.follow(state, gateway, 1, poll=QUICK))
    assert ended.status == "delivered"
    assert state.open_orders() == []
    assert state.ordered() == {product(1).id: "delivered, #1", product(2).id: "delivered, #1"}
    assert state.message["title"] == "Order 1 is delivered, 200 B."


def test_order_again_after_a_lost_answer_is_the_same_order() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(1).id])
    gateway.fail["order"] = [errors.GatewayUnreachable("The answer was lost.")]
    assert asyncio.run(actions.order(state, gateway)) is None
    assert state.selected == [product(1).id]
    assert state.message["detail"] == "The answer was lost."
    asyncio.run(actions.order(state, gateway))
    assert len(gateway.placed) == 1
    state.select([product(1).id])
    asyncio.run(actions.order(state, gateway))
    assert len(gateway.placed) == 2, "ordering once more on purpose is another order"


def test_following_survives_a_gateway_that_is_away() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(1).id])
    asyncio.run(actions.order(state, gateway))
    seen: list[str] = []
    state.observe(lambda change: seen.append(change["new"]["title"]), "message")
    gateway.fail["status"] = [errors.GatewayUnreachable("Gone."), errors.SourceUnavailable("Busy.")]
    gateway.fail["deliveries"] = [errors.GatewayFault("Oops.")]
    assert asyncio.run(actions.follow(state, gateway, 1, poll=QUICK)).status == "delivered"
    assert any("no news for now" in title for title in seen)
    assert any("answers again" in title for title in seen)
    assert "is delivered" in seen[-1]


def test_following_ends_when_asking_again_is_no_use() -> None:
    gateway, state = Gateway(), ExplorerState()
    assert asyncio.run(actions.follow(state, gateway, 77, poll=QUICK)) is None
    assert state.message["detail"] == "No order 77."
    gateway.fail["status"] = [errors.NotAuthenticated("The token is old.")]
    assert asyncio.run(actions.follow(state, gateway, 1, poll=QUICK)) is None
    assert state.message["detail"] == "The token is old."


def test_a_failed_delivery_gives_its_reason() -> None:
    gateway = Gateway()
    gateway.end = "failed"
    state = found_state(gateway)
    state.select([product(1).id])
    asyncio.run(actions.order(state, gateway))
    asyncio.run(actions.follow(state, gateway, 1, poll=QUICK))
    assert state.message["title"] == "Order 1 failed."
    assert "the source lost it" in state.message["detail"]
    assert state.ordered() == {}, "it may be ordered again"


def test_orders_are_listed_after_a_restart() -> None:
    gateway = Gateway()
    for number in range(10):
        asyncio.run(gateway.order([product(number).id], idempotency_key=str(number)))
        if number:
            asyncio.run(gateway.cancel(number + 1))
    state = ExplorerState()
    assert asyncio.run(actions.refresh_orders(state, gateway)) == [1]
    assert sorted(map(int, state.orders)) == [1, 3, 4, 5, 6, 7, 8, 9, 10], "the newest, and those still open"


def test_open_only_what_is_delivered_and_say_why_not() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(1).id])
    asyncio.run(actions.order(state, gateway))
    asyncio.run(actions.follow(state, gateway, 1, poll=QUICK))
    assert asyncio.run(actions.open_delivery(state, lambda row: [f"tree of {row.id}"], "1-1")) == "tree of 1-1"
    assert state.opened == "1-1"

    def broken(row: models.Delivery) -> Any:
        raise errors.DamagedProduct(f"{row.product_id} is cut short.")

    assert asyncio.run(actions.open_delivery(state, broken, "1-1")) is None
    assert "cut short" in state.message["detail"]
    asyncio.run(actions.open_delivery(state, broken, "9-9"))
    assert "9-9" in state.message["detail"]
    gateway.placed[2] = [gateway._delivery(2, 1, "x")]
    state.put_order(gateway._order(2), gateway.placed[2])
    asyncio.run(actions.open_delivery(state, broken, "2-1"))
    assert state.message["detail"] == "Delivery 2-1 is queued."


# --- widgets, without a browser --------------------------------------------------------------------------------------
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


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
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


def test_the_main_job_from_rectangle_to_tree(make: Any) -> None:
    gateway = Gateway()
    explorer = make(gateway)
    state = explorer.state
    browser_sets(explorer.map.draw, data=[{"type": "Feature", "properties": {}, "geometry": _box(0.2, 39, 2.5, 42)}])
    assert "km²" in explorer.form.area.value
    browser_sets(explorer.form.cloud, value=30.0)
    browser_sends(explorer.form.search, event="click")
    until(lambda: state.searched and len(state.thumbnails) == len(state.products))
    assert [item.uuid for item in state.products] == ["0", "1", "2"]
    assert [item["id"] for item in explorer.results.gallery.items] == explorer.result.ids
    assert explorer.results.gallery.caption == "3 of 3 S2 products"
    assert len(explorer.results.gallery.pictures) == 3
    browser_sends(explorer.map.footprints, event="click", id=product(1).id, properties={"id": product(1).id})
    browser_sets(explorer.results.gallery, selected=[product(1).id, product(2).id])
    assert explorer.selected.ids == [product(1).id, product(2).id]
    assert "2 selected" in explorer.selection.text.value
    browser_sends(explorer.selection.estimate, event="click")
    until(lambda: state.estimate is not None)
    assert "fits" in explorer.selection.text.value
    assert explorer.selection.order.description == "Order 2"
    browser_sends(explorer.selection.order, event="click")
    until(lambda: explorer.orders and explorer.orders[0].status == "delivered")
    until(lambda: all(row["ready"] for row in explorer.board.board.orders[0]["rows"]))
    assert explorer.results.gallery.items[1]["ordered"] == "delivered, #1"
    browser_sends(explorer.board.board, kind="open", delivery="1-2")
    until(lambda: explorer.tree is not None)
    assert explorer.tree.name == product(2).id
    assert explorer.board.board.orders[0]["rows"][1]["opened"]
    assert explorer.message.title == f"{product(2).id} is open."
    assert 'eo.open("1-2")[0]' in explorer.message.hint  # for those who have no name for the Explorer
    assert explorer.result.gdf["cloud_cover"].max() <= 30
    assert "data:image/jpeg" in explorer.result._repr_html_()


def test_drawing_editing_and_deleting_keep_the_area_in_step(make: Any) -> None:
    explorer = make()
    state, draw = explorer.state, explorer.map.draw

    def drawn(*geometries: dict[str, Any]) -> None:
        browser_sets(draw, data=[{"type": "Feature", "properties": {}, "geometry": shape} for shape in geometries])

    drawn(_box(0, 40, 1, 41))
    first = state.aoi
    assert first["type"] == "Polygon"
    drawn(_box(0, 40, 2, 41))
    assert state.aoi != first
    drawn(_box(0, 40, 2, 41), _box(5, 40, 6, 41))
    assert state.aoi["type"] == "MultiPolygon"
    assert len(draw.data) == 2, "what the user draws is not written over"
    drawn()
    assert (state.aoi, state.aoi_valid) == (None, True)


def test_an_area_set_from_code_is_drawn(make: Any) -> None:
    explorer = make()
    explorer.state.aoi = {
        "type": "MultiPolygon",
        "coordinates": [_box(0, 40, 1, 41)["coordinates"], _box(3, 40, 4, 41)["coordinates"]],
    }
    assert [shape["geometry"]["type"] for shape in explorer.map.draw.data] == ["Polygon", "Polygon"]
    assert explorer.state.aoi["type"] == "MultiPolygon"
    explorer.state.aoi = None
    assert explorer.map.draw.data == []


def test_a_shape_drawn_on_another_turn_of_the_map_comes_home(make: Any) -> None:
    explorer = make()
    browser_sets(explorer.map.draw, data=[{"type": "Feature", "properties": {}, "geometry": _box(360, 40, 361, 41)}])
    import shapely

    assert shapely.geometry.shape(explorer.state.aoi).bounds == pytest.approx((0, 40, 1, 41))
    browser_sets(explorer.map.draw, data=[{"type": "Feature", "properties": {}, "geometry": _box(179, -18, 182, -16)}])
    area = shapely.geometry.shape(explorer.state.aoi)
    assert area.area == pytest.approx(6.0, rel=0.01)
    assert area.contains(shapely.Point(-179, -17))
    assert area.contains(shapely.Point(179.5, -17))
    assert not area.contains(shapely.Point(0, -17))


def test_a_shape_that_is_no_area_stops_the_search_and_not_the_drawing(make: Any) -> None:
    gateway = Gateway()
    explorer = make(gateway, resume=False)
    bad = {"type": "Polygon", "coordinates": [[[0, 95], [1, 95], [1, 96], [0, 95]]]}
    browser_sets(explorer.map.draw, data=[{"type": "Feature", "properties": {}, "geometry": bad}])
    assert not explorer.state.aoi_valid
    assert "is no area" in explorer.form.area.value
    explorer.search().result(5)
    assert explorer.state.message["level"] == "error"
    assert gateway.count("search_page") == 0, "the whole Earth was not meant"
    assert len(explorer.map.draw.data) == 1


def test_pointing_goes_both_ways_and_ends(make: Any) -> None:
    explorer = make()
    explorer.search().result(5)
    until(lambda: explorer.results.gallery.items)
    browser_sends(explorer.map.footprints, event="mouseover", id=product(3).id, properties={"id": product(3).id})
    assert explorer.results.gallery.hovered == product(3).id
    assert explorer.map.pointed.locations == [], "the browser has highlighted it already"
    assert "21 % cloud" in explorer.map._label.value
    browser_sets(explorer.results.gallery, hovered=product(4).id)
    assert explorer.map.pointed.locations[0][0][0] == (40.0, 4.0)
    browser_sets(explorer.results.gallery, hovered="")
    assert explorer.map.pointed.locations == []
    assert explorer.map._label.value == ""


def test_footprints_are_one_light_layer_with_ids_and_colours(make: Any) -> None:
    gateway = Gateway(200)
    gateway.products[0] = product(0, footprint=None)
    explorer = make(gateway)
    explorer.state.page_size = 100
    explorer.search().result(5)
    explorer.load_more().result(5)
    features = explorer.map.footprints.data["features"]
    assert len(features) == 199
    assert len(json.dumps(features)) < 100_000
    assert all(feature["id"] == feature["properties"]["id"] for feature in features)
    assert features[0]["geometry"]["coordinates"][0][1][0] == round(features[0]["geometry"]["coordinates"][0][1][0], 4)
    assert len({feature["properties"]["style"]["fillColor"] for feature in features}) > 20
    explorer.state.select([product(7).id])
    chosen = [
        feature["id"]
        for feature in explorer.map.footprints.data["features"]
        if feature["properties"]["style"]["weight"] > 3
    ]
    assert chosen == [product(7).id]


def test_footprints_too_small_to_see_are_dots_until_one_is_near(make: Any) -> None:
    """All of the sample archive's Sentinel-2 on one map: scenes of 5 km were less than a pixel."""
    gateway = Gateway(2)
    gateway.products = [
        product(0, footprint=_box(1.36, 43.39, 1.44, 43.45)),
        product(1, footprint=_box(13, 68, 16, 69)),
    ]
    explorer = make(gateway)
    explorer.search().result(5)

    def weights() -> list[float]:
        features = explorer.map.footprints.data["features"]
        return [feature["properties"]["style"]["weight"] for feature in sorted(features, key=lambda one: one["id"])]

    assert explorer.map.map.zoom < 6
    assert weights()[0] > 4 > weights()[1]
    explorer.state.select([product(0).id])
    assert weights()[0] > 8
    explorer.map.map.zoom = 12
    assert max(weights()) < 4
    page = explorer.static()
    assert page.count("<circle") == 1


def test_the_kernel_is_free_while_a_search_hangs_and_cancel_ends_it(make: Any) -> None:
    gateway = Gateway()
    explorer = make(gateway)
    explorer.search().result(5)
    gateway.gate["search_page"] = asyncio.Event()
    start = time.perf_counter()
    browser_sends(explorer.form.search, event="click")
    assert time.perf_counter() - start < 0.5
    until(lambda: "search" in explorer.state.busy)
    assert explorer.form.search.description == "Searching ..."
    assert not explorer.form.cancel.disabled
    browser_sends(explorer.form.cancel, event="click")
    until(lambda: "search" not in explorer.state.busy)
    assert explorer.message.title == "The search was cancelled."
    assert len(explorer.state.products) == 12


def test_a_gateway_that_cannot_be_reached_is_said_and_tried_again(make: Any) -> None:
    gateway, tries = Gateway(), []

    def connect() -> Gateway:
        tries.append(threading.current_thread())
        if len(tries) == 1:
            raise errors.GatewayStartFailed("It ended at once.")
        return gateway

    explorer = make(gateway, connect=connect, resume=False)
    explorer.search().result(5)
    assert explorer.message.detail == "It ended at once."
    assert not explorer.state.searched
    explorer.search().result(5)
    assert explorer.state.searched
    assert threading.main_thread() not in tries


def test_open_orders_are_followed_by_a_new_explorer(make: Any) -> None:
    gateway = Gateway()
    asyncio.run(gateway.order([product(1).id], idempotency_key="a"))
    explorer = make(gateway)
    until(lambda: explorer.orders and explorer.orders[0].status == "delivered")
    assert gateway.count("order") == 1


def test_cancel_from_the_board(make: Any) -> None:
    gateway = Gateway()
    gateway.end = "transferring"
    asyncio.run(gateway.order([product(1).id], idempotency_key="a"))
    explorer = make(gateway)
    until(lambda: explorer.board.board.orders and explorer.board.board.orders[0]["rows"][0]["status"] == "transferring")
    assert explorer.board.board.orders[0]["rows"][0]["fraction"] == 0.5
    browser_sends(explorer.board.board, kind="cancel", order=1)
    until(lambda: explorer.orders[0].status == "cancelled")
    assert not explorer.board.board.orders[0]["open"]


def test_the_form_and_the_state_follow_each_other(make: Any) -> None:
    explorer = make(resume=False)
    form, state = explorer.form, explorer.state
    state.update(collection="S1", product_type="SLC", start="2024-06-01", cloud=12)
    assert (form.mission.value, form.product_type.value, form.start.value.isoformat(), form.cloud.value) == (
        "S1",
        "SLC",
        "2024-06-01",
        12,
    )
    assert form.cloud.disabled
    state.collection = "S5P"
    assert state.product_type == "", "a type of another mission would find nothing"
    assert [value for _, value in form.product_type.options] == ["", *(value for value, _ in PRODUCT_TYPES["S5P"])]
    state.product_type = "L2__NP_BD3"
    assert form.product_type.value == "L2__NP_BD3", "a type that is not listed may be set from code"
    form.stop.value = DAY.date()
    assert state.stop == "2024-06-01"
    form.stop.value = None
    assert state.stop == ""


def test_an_explorer_starts_from_a_saved_state(make: Any) -> None:
    first = make()
    first.search().result(5)
    first.state.select([product(2).id])
    again = make(state=ExplorerState.from_dict(json.loads(json.dumps(first.state.to_dict()))))
    assert again.selected.ids == [product(2).id]
    assert len(again.results.gallery.items) == 12
    assert again.results.gallery.selected == [product(2).id]
    assert len(again.map.footprints.data["features"]) == 12


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_names_stay_text(make: Any) -> None:
    gateway = Gateway(2, id=HOSTILE, platform=HOSTILE, product_type=HOSTILE)
    explorer = make(gateway)
    explorer.search().result(5)
    explorer.state.update(hovered=HOSTILE, selected=[HOSTILE])
    explorer.state.update(aoi_text=HOSTILE, aoi_valid=False)
    for text in (explorer.static(), explorer.map._label.value, explorer.form.area.value, explorer.selection.text.value):
        seen = Tags(text)
        assert not seen.tags & {"script", "img"}
        assert not [name for name in seen.names if name.startswith("on")]
    assert HOSTILE in Tags(explorer.static()).text
    assert HOSTILE in Tags(explorer.form.area.value).text


def test_static_page_stands_alone(make: Any) -> None:
    explorer = make(resume=False)
    assert "nothing was searched yet" in explorer.static()
    explorer.search().result(5)
    explorer.state.update(aoi=_box(0, 40, 3, 41))
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    page = bundle["text/html"]
    assert {"svg", "path", "table"} <= Tags(page).tags
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert product(11).id in page
    assert "12 of 12 S2 products" in page


def test_closing_ends_the_thread_and_the_client(make: Any) -> None:
    gateway = Gateway()
    gateway.end = "transferring"  # an order that never ends
    asyncio.run(gateway.order([product(1).id], idempotency_key="a"))
    explorer = make(gateway)
    until(lambda: explorer.orders)
    thread = explorer._runner._thread
    explorer.close()
    assert not thread.is_alive()
    assert gateway.closed
    with pytest.raises(RuntimeError, match="closed"):
        explorer.search()
    explorer.close()


def test_a_closed_explorer_leaves_nothing_behind(make: Any) -> None:
    """Of 82 widgets one was closed, and all went on drawing when the state was used by the next Explorer."""
    from ipywidgets.widgets import widget

    def watchers(state: ExplorerState) -> int:
        return sum(len(rest) for kinds in state._trait_notifiers.values() for rest in kinds.values())

    state = ExplorerState()
    before, alone = len(widget._instances), watchers(state)
    first, second = make(state=state), make(state=state)
    assert watchers(state) > alone
    first.close()
    state.say("info", "still here")
    assert second.message.title == "still here"
    assert first.message.title == ""
    second.close()
    assert (len(widget._instances), watchers(state)) == (before, alone)


def test_an_explorer_needs_a_session(make: Any) -> None:
    from extenso_nb.widgets import Explorer

    with pytest.raises(errors.InputError, match="needs a session"):
        Explorer()
    session = SimpleNamespace(async_client=Gateway, open=lambda row: row)
    explorer = Explorer(session, resume=False)
    explorer.search().result(5)
    assert explorer.state.total == 12
    explorer.close()


def test_view_of_footprints_fits_into_the_map() -> None:
    from extenso_nb.widgets.map import view_of

    assert view_of([None, {}]) is None
    (lat, lon), zoom = view_of([_box(1, 43, 2, 44)])
    assert (lon, zoom) == (1.5, 9 - 1)
    assert 43.4 < lat < 43.6
    assert view_of([_box(-180, -85, 180, 85)])[1] == 1
    assert view_of([{"type": "Point", "coordinates": [1, 43]}])[1] == 12


def test_no_widget_does_what_notebooks_regret() -> None:
    folder = Path(actions.__file__).parent
    python = "\n".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    for bad in (r"\beval\(", r"\bprint\(", r"\bOutput\(", r"\.fit_bounds\(", r"\bicon="):
        assert not re.search(bad, python), bad
    browser = "\n".join(path.read_text("utf-8") for path in (folder / "assets").iterdir())
    for bad in ("innerHTML", "http:", "https:", "@import", "eval(", "insertAdjacentHTML"):
        assert bad not in browser, bad
    assert browser.count("export default") == 3
