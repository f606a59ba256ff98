"""The Explorer read by somebody who wants it to fail: races, late answers, stale baskets, files and states from elsewhere."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from desk_gateway import QUICK, Gateway, box, browser_sends, browser_sets, found_state, jpeg, product, until
from traitlets import TraitError

from extenso_nb import errors, models
from extenso_nb.widgets import actions, memory, ordering, pictures
from extenso_nb.widgets.area import uploaded
from extenso_nb.widgets.basket import Basket
from extenso_nb.widgets.desk import Desk
from extenso_nb.widgets.panel import Panel
from extenso_nb.widgets.results import ResultsView
from extenso_nb.widgets.state import ExplorerState

GHOST = "S2A_MSIL2A_of_another_search"


def bucket(name: str = "mine", **more: Any) -> models.BucketProperties:
    fields = {"endpoint": "https://s3.example.org", "bucket": name, "access_key": "AKIA", "secret_key": "s3cr3t"}
    return models.BucketProperties.model_validate(fields | more)


def searched(make: Any, gateway: Gateway, chosen: int = 0, **options: Any) -> Any:
    explorer = make(gateway, **options)
    explorer.search().result(5)
    until(lambda: not explorer.state.busy)
    explorer.state.select([item.id for item in explorer.state.products[:chosen]])
    return explorer


# --- the basket and the order ----------------------------------------------------------------------------------------
def test_what_nobody_sees_is_not_in_the_basket(make: Any) -> None:
    """A click on a card of the list before, or code that names what is not there, must not order it."""
    gateway = Gateway()
    explorer = searched(make, gateway, chosen=1)
    browser_sends(explorer.results, kind="select", ids=[GHOST], on=True)
    assert explorer.state.selected == [product(0).id] == explorer.results.selected
    assert [item["id"] for item in explorer.basket.items] == explorer.state.selected
    explorer.order().result(5)
    assert [call[1] for call in gateway.calls if call[0] == "order"] == [(product(0).id,)]


def test_a_click_that_an_order_overtakes_does_not_bring_back_what_was_ordered(make: Any) -> None:
    explorer = searched(make, Gateway(), chosen=2)
    explorer.order().result(5)
    # The click was made while the browser still showed two products in the basket.
    browser_sends(explorer.results, kind="select", ids=[product(4).id], on=True)
    assert explorer.state.selected == [product(4).id] == explorer.results.selected
    browser_sends(explorer.results, kind="select", ids=[product(0).id], on=False)
    assert explorer.state.selected == [product(4).id]


def test_a_selection_set_from_code_outlives_the_next_search_and_drops_the_estimate() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(0).id])
    asyncio.run(ordering.estimate(state, gateway))
    state.selected = [product(1).id, product(2).id, GHOST]
    assert state.estimate is None, "an estimate of one product is none of two"
    gateway.products = gateway.products[5:]
    asyncio.run(actions.search(state, gateway))
    assert [item.id for item in state.basket()] == state.selected == [product(1).id, product(2).id]


def test_an_order_is_of_what_was_in_the_basket_when_the_button_was_pressed(make: Any) -> None:
    gateway, gate = Gateway(), threading.Event()
    state = found_state(gateway)
    state.select([product(0).id])

    def connect() -> Gateway:
        gate.wait(5)
        return gateway

    explorer = make(gateway, connect=connect, state=state, resume=False)
    browser_sends(explorer.basket, kind="order")
    state.select([product(0).id, product(1).id])
    explorer.desk.use_bucket(bucket())
    gate.set()
    until(lambda: gateway.count("order"))
    until(lambda: "order" not in state.busy)
    assert [call[1] for call in gateway.calls if call[0] == "order"] == [(product(0).id,)]
    assert gateway.buckets == [None]
    assert state.selected == [product(1).id]


@pytest.mark.parametrize("others", [[1, 0], [0, 1]])
def test_the_same_basket_is_the_same_order_whatever_was_tried_in_between(others: list[int]) -> None:
    """The answer to the first was lost: it may have been placed, and must not be placed again."""
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(0).id, product(1).id])
    gateway.fail["order"] = [errors.GatewayUnreachable("lost"), errors.GatewayUnreachable("lost")]
    asyncio.run(ordering.order(state, gateway))
    state.select([product(5).id])
    asyncio.run(ordering.order(state, gateway))
    state.select([product(number).id for number in others])
    placed = asyncio.run(ordering.order(state, gateway))
    assert placed is not None
    assert placed.id == 1
    bodies = [call[1:] for call in gateway.calls if call[0] == "order"]
    assert bodies[0] == bodies[2], "the gateway refuses the same key with another body"
    state.select([product(number).id for number in others])
    placed = asyncio.run(ordering.order(state, gateway))
    assert placed is not None
    assert placed.id == 3, "after it was placed, it is a new order"


def test_an_order_that_is_placed_is_followed_even_if_the_waiting_is_stopped(make: Any) -> None:
    gateway = Gateway()
    explorer = searched(make, gateway, chosen=1)
    gateway.gate["me"] = asyncio.Event()
    explorer.order()
    until(lambda: explorer.state.orders)
    until(lambda: gateway.calls[-1][0] == "me" or gateway.count("status"))
    explorer.desk.stop("order")
    until(lambda: explorer.state.orders["1"]["order"]["status"] == "delivered")
    assert "Press Order again" not in explorer.state.message["hint"]


def test_an_order_goes_into_the_bucket_that_is_shown() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    desk = Desk(state=state, connect=lambda: gateway, open=lambda row: None)
    desk.use_bucket(bucket("mine"))
    state.destination = {"kind": "bucket", "endpoint": "https://s3.example.org", "bucket": "another"}
    state.select([product(0).id])
    assert asyncio.run(ordering.order(state, gateway)) is None
    assert gateway.buckets == []
    assert "another" in state.message["detail"]


def test_what_failed_in_one_bucket_is_not_sent_to_another() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    gateway.end = "failed"
    state.select([product(0).id])
    asyncio.run(ordering.order(state, gateway))
    asyncio.run(ordering.follow(state, gateway, 1, poll=QUICK))
    order = {**state.orders["1"]["order"]}
    order["destination"] = {"kind": "bucket", "endpoint": "https://s3.example.org", "bucket": "theirs"}
    state.orders = {"1": {**state.orders["1"], "order": order}}
    state.bucket = bucket("mine")
    assert asyncio.run(ordering.retry_order(state, gateway, 1)) is None
    assert gateway.buckets == [None]
    assert "theirs" in state.message["detail"]
    state.bucket = bucket("theirs")
    assert asyncio.run(ordering.retry_order(state, gateway, 1)) is not None


def test_a_retry_whose_answer_was_lost_is_the_same_order_and_what_is_on_order_is_not_ordered_again() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    gateway.end = "failed"
    state.select([product(0).id])
    asyncio.run(ordering.order(state, gateway))
    asyncio.run(ordering.follow(state, gateway, 1, poll=QUICK))
    gateway.fail["order"] = [errors.GatewayUnreachable("lost")]
    asyncio.run(ordering.retry_order(state, gateway, 1))
    placed = asyncio.run(ordering.retry_order(state, gateway, 1))
    assert placed is not None
    assert placed.id == 2
    assert len(gateway.placed) == 2
    assert asyncio.run(ordering.retry_order(state, gateway, 1)) is None, "its products are on order"
    assert len(gateway.placed) == 2
    assert state.message["level"] == "error"
    asyncio.run(ordering.follow(state, gateway, 2, poll=QUICK))
    placed = asyncio.run(ordering.retry_order(state, gateway, 1))
    assert placed is not None
    assert placed.id == 3, "that failed as well: it may be tried again"


def test_an_order_that_was_deleted_does_not_come_back_with_a_late_answer(make: Any) -> None:
    gateway = Gateway()
    explorer = searched(make, gateway, chosen=1)
    explorer.order()
    until(lambda: explorer.state.orders.get("1", {}).get("order", {}).get("status") == "delivered")
    until(lambda: not explorer.desk._runner.running("follow 1"))
    rows, status = list(gateway.placed[1]), gateway._order(1)

    async def deliveries(number: int) -> Any:
        gateway.calls.append(("deliveries", number))
        await asyncio.sleep(0.2)
        return rows

    async def orders() -> Any:
        return [status]

    gateway.deliveries, gateway.orders = deliveries, orders  # type: ignore[method-assign]
    before = gateway.count("deliveries")
    listing = explorer.resume()
    until(lambda: gateway.count("deliveries") > before)
    explorer.desk.delete_order(1).result(5)
    listing.result(5)
    assert explorer.state.orders == {}


def test_an_order_that_was_placed_or_cancelled_is_not_said_to_have_failed() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    gateway.end = "failed"
    state.select([product(0).id])
    asyncio.run(ordering.order(state, gateway))
    asyncio.run(ordering.follow(state, gateway, 1, poll=QUICK))
    rows = gateway.deliveries

    async def deliveries(number: int) -> Any:
        if number == 2:
            raise errors.GatewayUnreachable("gone")
        return await rows(number)

    gateway.deliveries = deliveries  # type: ignore[method-assign]
    assert asyncio.run(ordering.retry_order(state, gateway, 1)) is not None
    assert state.message["level"] == "success"
    assert "2" in state.orders
    asyncio.run(ordering.cancel_order(state, gateway, 2))
    assert "cancelled" in state.message["title"]
    assert state.message["level"] == "info"


@pytest.mark.parametrize("endpoint", ["https://AKIA:s3cr3t@s3.example.org", "AKIA:s3cr3t@s3.example.org/b"])
def test_keys_in_an_endpoint_reach_no_trait(endpoint: str) -> None:
    desk = Desk()
    with pytest.raises(errors.InputError) as caught:
        desk.use_bucket(bucket(endpoint=endpoint))
    with pytest.raises(TraitError) as refused:
        desk.state.destination = {"kind": "bucket", "endpoint": endpoint}
    assert desk.state.destination == {"kind": "free"}
    assert desk.state.bucket is None
    assert "s3cr3t" not in f"{caught.value} {caught.value.hint} {refused.value} {desk.state.to_dict()}"
    with pytest.raises(TraitError):
        desk.state.destination = {"kind": "bucket", "secret_key": "s3cr3t"}


# --- search ----------------------------------------------------------------------------------------------------------
def test_a_search_that_is_cancelled_while_it_is_made_says_nothing_more(make: Any) -> None:
    gateway = Gateway()
    explorer = make(gateway, resume=False)
    state, begun, gate = explorer.state, threading.Event(), threading.Event()
    gateway.gate["search_page"] = asyncio.Event()
    arguments = state.search_arguments

    def slow() -> Any:
        begun.set()
        gate.wait(5)
        return arguments()

    state.search_arguments = slow
    explorer.search()
    assert begun.wait(5)
    explorer.cancel()
    gate.set()
    until(lambda: not state.busy)
    assert (state.failed, state.message["title"]) == (False, "The search was cancelled.")


def test_a_search_that_is_cancelled_before_it_begins_did_not_fail(make: Any) -> None:
    gateway, gate = Gateway(), threading.Event()
    explorer = make(gateway, connect=lambda: gate.wait(5) and gateway, resume=False)
    explorer.search()
    until(lambda: "connect" in explorer.state.busy)
    explorer.cancel()
    gate.set()
    until(lambda: not explorer.state.busy)
    time.sleep(0.05)
    assert not explorer.state.failed
    assert explorer.state.message["title"] == "The search was cancelled."


def test_what_is_refused_changes_nothing_else(make: Any) -> None:
    state = ExplorerState(start="2024-01-01", stop="2024-02-01")
    with pytest.raises(TraitError):
        state.update(start="2024-03-01", stop="2024-02-31")
    assert (state.start, state.stop) == ("2024-01-01", "2024-02-01")
    explorer = searched(make, Gateway())
    browser_sends(explorer.timeline, kind="select", start="2024-06-01", stop="tomorrow")
    assert (explorer.state.start, explorer.state.stop) == ("", "")
    assert not explorer.desk._runner.running("search")
    assert explorer.state.message["level"] == "error"


def test_more_is_loaded_although_new_products_came_before_those_shown() -> None:
    gateway = Gateway(12)
    state = found_state(gateway, page_size=3)
    gateway.products = [product(number) for number in range(100, 103)] + gateway.products
    asyncio.run(actions.load_more(state, gateway))
    assert [item.uuid for item in state.products] == ["0", "1", "2", "3", "4", "5"], "the page was all known already"


def test_a_product_that_comes_twice_is_shown_once() -> None:
    gateway = Gateway(3)
    gateway.products = [*gateway.products, *gateway.products]
    assert len(found_state(gateway).products) == 3


def test_a_timeline_stands_although_the_gateway_orders_wrongly() -> None:
    gateway = Gateway(12)
    state = found_state(gateway, page_size=3)
    search = gateway.search_page

    async def wrong(collection: str, **options: Any) -> Any:
        order = options.pop("orderby", None)
        turned = {"beginposition asc": "beginposition desc", "beginposition desc": "beginposition asc"}.get(
            order, order
        )
        return await search(collection, orderby=turned, **options)

    gateway.search_page = wrong  # type: ignore[method-assign]
    asyncio.run(actions.timeline(state, gateway))
    assert state.timeline is not None
    assert sum(row["count"] for row in state.timeline["bins"]) == 12


def test_bars_that_are_not_all_say_so() -> None:
    """A source that does not sort gives edges that are none: the bars then do not hold all that was found."""
    gateway = Gateway(12)
    state = found_state(gateway, page_size=3)
    search = gateway.search_page

    async def unsorted(collection: str, **options: Any) -> Any:
        return await search(collection, **{**options, "orderby": None})

    gateway.search_page = unsorted  # type: ignore[method-assign]
    asyncio.run(actions.timeline(state, gateway))
    assert state.timeline is not None
    assert sum(row["count"] for row in state.timeline["bins"]) < state.total
    assert not state.timeline["complete"]


# --- pictures --------------------------------------------------------------------------------------------------------
def bomb() -> bytes:
    """A PNG of 70 bytes that says it has 30,000 times 30,000 pixels."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


HOSTILE_PICTURES = [
    b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    b"<html><script>alert(1)</script></html>",
    b"",
    bomb(),
    b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
    jpeg()[:200],
]


@pytest.mark.parametrize("content", HOSTILE_PICTURES)
def test_a_picture_that_is_none_spoils_no_other(content: bytes) -> None:
    gateway = Gateway(4)
    state = found_state(gateway)
    good = gateway.thumbnail

    async def thumbnail(item: models.Product) -> bytes:
        return content if item.uuid == "0" else await good(item)

    async def quicklook(item: models.Product) -> bytes:
        return content

    gateway.thumbnail, gateway.quicklook = thumbnail, quicklook  # type: ignore[method-assign]
    asyncio.run(pictures.thumbnails(state, gateway))
    assert sum(uri.startswith("data:image/jpeg;") for uri in state.thumbnails.values()) == 3
    assert state.message["title"] == "1 of 4 thumbnails could not be fetched."
    state.detailed = product(0).id
    asyncio.run(pictures.details(state, gateway, product(0).id))
    assert state.details["picture"] == ""
    assert "could not be fetched" in state.details["note"]
    asyncio.run(pictures.drape(state, gateway, product(0).id))
    assert state.drapes == {}
    assert state.message["level"] == "error"
    assert "fault of extenso_nb" not in state.message["hint"]


# --- the memory of the last search -----------------------------------------------------------------------------------
def test_the_size_that_is_remembered_is_that_of_the_area_searched(make: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_path", lambda: tmp_path / "searches.json")
    gateway = Gateway()
    explorer = make(gateway, resume=False)
    explorer.state.gateway = "here"
    explorer.state.aoi = box(0, 40, 1, 41)
    text = explorer.state.aoi_text
    gateway.gate["search_page"] = asyncio.Event()
    explorer.search()
    until(lambda: gateway.count("search_page"))
    explorer.state.aoi = box(0, 40, 5, 45)
    explorer.desk._runner._loop.call_soon_threadsafe(gateway.gate["search_page"].set)
    until(lambda: explorer.state.searched and not explorer.state.busy)
    until(explorer.desk.remembered)
    assert explorer.desk.remembered()["aoi"] == box(0, 40, 1, 41)
    explorer.desk.restore().result(5)
    assert (explorer.state.aoi, explorer.state.aoi_text) == (box(0, 40, 1, 41), text)


def test_two_gateways_that_are_remembered_at_once_are_both_remembered(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_path", lambda: tmp_path / "searches.json")
    read = memory._read

    def slow(path: Path) -> Any:
        found = read(path)
        time.sleep(0.02)
        return found

    monkeypatch.setattr(memory, "_read", slow)
    form = dict.fromkeys(memory.FIELDS, "")
    names = [f"gateway {number}" for number in range(6)]
    threads = [threading.Thread(target=memory.remember, args=(name, form)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads((tmp_path / "searches.json").read_text())) == names
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".json"] == ["searches.json"]


# --- uploads ---------------------------------------------------------------------------------------------------------
def geojson(*bounds: float) -> bytes:
    return json.dumps(box(*bounds)).encode()


def upload(explorer: Any, **files: bytes) -> None:
    content = {"kind": "upload", "names": [name.replace("_", ".") for name in files]}
    buffers = [memoryview(body) for body in files.values()]
    message = {"content": {"data": {"method": "custom", "content": content}}, "buffers": buffers}
    explorer.area.bar._handle_msg(message)


@pytest.mark.parametrize("then", ["upload", "paste", "draw"])
def test_a_file_that_takes_long_to_read_does_not_replace_a_later_area(make: Any, monkeypatch: Any, then: str) -> None:
    from extenso_nb.widgets import area as module

    explorer, gate = make(resume=False), threading.Event()
    read, begun = module.uploaded, threading.Event()

    def slow(files: Any) -> Any:
        if "slow.geojson" in files:
            begun.set()
            gate.wait(5)
        return read(files)

    monkeypatch.setattr(module, "uploaded", slow)
    upload(explorer, slow_geojson=geojson(0, 0, 1, 1))
    assert begun.wait(5)
    if then == "upload":
        upload(explorer, fast_geojson=geojson(10, 10, 11, 11))
    elif then == "paste":
        browser_sends(explorer.area.bar, kind="paste", text="10,10,11,11")
    else:
        feature = {"type": "Feature", "properties": {}, "geometry": box(10, 10, 11, 11)}
        browser_sets(explorer.map.draw, data=[feature])
    until(lambda: explorer.state.aoi is not None)
    later = explorer.state.aoi
    gate.set()
    until(lambda: threading.active_count() and not explorer.desk._runner.running("area"))
    time.sleep(0.3)
    assert explorer.state.aoi == later
    assert later["coordinates"][0][0][0] >= 10


def test_all_that_lies_beside_a_shapefile_may_be_given(shared_data: Path) -> None:
    import shapely

    from extenso_nb import aoi

    made = _shapefile({"a": (0, 0, 1, 1), "b": (4, 4, 5, 5)})
    found = uploaded({**made, "a.sbn": b"x", "a.shp.xml": b"<x/>"})
    assert found.geometry.equals(shapely.union_all([shapely.box(0, 0, 1, 1), shapely.box(4, 4, 5, 5)]))
    with pytest.raises(errors.AreaError):
        uploaded({})
    with pytest.raises(errors.AreaError):
        uploaded({"a.shx": made["a.shx"]})
    assert aoi.area(made).km2 > 0


def _shapefile(boxes: dict[str, Any]) -> dict[str, bytes]:
    import tempfile

    import geopandas
    import shapely

    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, bounds in boxes.items():
            geopandas.GeoDataFrame(geometry=[shapely.box(*bounds)], crs=4326).to_file(Path(folder) / f"{name}.shp")
        for path in Path(folder).iterdir():
            files[path.name] = path.read_bytes()
    return files


# --- views -----------------------------------------------------------------------------------------------------------
def test_a_view_that_is_drawn_by_two_threads_ends_with_the_newest(make: Any) -> None:
    make(resume=False)
    state, held, gate = ExplorerState(), threading.Event(), threading.Event()

    class View(Panel):
        _esm = "export default {};"
        shown = ""

        def show(self) -> None:
            text = self.state.q
            if text == "old":
                held.set()
                gate.wait(1)
            self.shown = text

    view = View(Desk(state=state))
    view.watch(view.show, "q")
    thread = threading.Thread(target=lambda: setattr(state, "q", "old"))
    thread.start()
    assert held.wait(5)
    other = threading.Thread(target=lambda: setattr(state, "q", "new"))
    other.start()
    other.join(0.2)
    gate.set()
    thread.join()
    other.join()
    assert view.shown == "new" == state.q


def test_a_part_that_is_closed_looks_no_longer_and_leaves_no_widget(make: Any) -> None:
    from ipywidgets.widgets import widget

    from extenso_nb.widgets import AreaPicker, OrderBoard, SearchForm

    explorer = make(resume=False)
    before, watched = set(widget._instances), _watchers(explorer.state)
    for kind in (Basket, ResultsView, OrderBoard, SearchForm, AreaPicker):
        kind(explorer.desk).close()
        assert _watchers(explorer.state) == watched, kind
        assert set(widget._instances) == before, kind
    for kind in (Basket, ResultsView, OrderBoard, SearchForm, AreaPicker):
        kind().close()
        assert set(widget._instances) == before, kind
    explorer.state.collection = "S1"


def _watchers(state: ExplorerState) -> int:
    return sum(len(found) for kinds in state._trait_notifiers.values() for found in kinds.values())


# --- names in the notebook -------------------------------------------------------------------------------------------
def test_a_name_of_the_user_or_of_python_is_never_taken(make: Any) -> None:
    gateway, names = Gateway(), {"ex": "the package", "eo": "the session"}
    explorer = searched(make, gateway, chosen=1, namespace=names)
    explorer.order()
    until(lambda: explorer.state.orders.get("1", {}).get("order", {}).get("status") == "delivered")
    for wanted in ("ex", "eo", "print"):
        explorer.state.variable = wanted
        explorer.load("1-1").result(5)
        assert explorer.state.loaded["name"] == f"{wanted}_2"
    assert (names["ex"], names["eo"]) == ("the package", "the session")
    assert "print" not in names
    explorer.state.variable = "scene"
    explorer.load("1-1").result(5)
    names["scene"] = "what I made of it"
    explorer.load("1-1").result(5)
    assert names["scene"] == "what I made of it"
    assert explorer.state.loaded["name"] == "scene_2" == explorer.desk.named["1-1"]


def test_the_code_shown_is_for_the_gateway_of_the_explorer(make: Any) -> None:
    explorer = make(resume=False)
    explorer.desk.url = "https://anna:hunter2@far.example.org"
    explorer.header.showing = "code"
    for text in explorer.header.code.values():
        assert "https://far.example.org" in text
        assert "hunter2" not in text
    explorer.state.update(aoi_valid=False, aoi_text="crosses itself")
    assert explorer.header.code == {}
    assert "no area" in explorer.header.code_note


# --- messages --------------------------------------------------------------------------------------------------------
def test_following_does_not_hide_an_error() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(0).id])
    asyncio.run(ordering.order(state, gateway))
    gateway.fail["status"] = [errors.GatewayUnreachable("away") for _ in range(3)]
    shown: list[str] = []
    state.observe(lambda change: shown.append(change["new"]["title"]), "message")

    async def run() -> None:
        following = asyncio.create_task(ordering.follow(state, gateway, 1, poll=QUICK))
        while gateway.count("status") < 2:
            await asyncio.sleep(0)
        state.fail("The search failed.", errors.QueryError("No such field."))
        while gateway.count("deliveries") < 1:
            await asyncio.sleep(0)
        assert state.message["title"].startswith("The search failed"), shown
        await following

    asyncio.run(run())
    assert sum("no news" in title for title in shown) == 1


# --- states from elsewhere -------------------------------------------------------------------------------------------
HOSTILE_STATES: list[dict[str, Any]] = [
    {"orders": {"x": {"order": {}, "deliveries": []}}},
    {"orders": {"1": {}}},
    {"orders": {"1": []}},
    {"aoi": {"type": "Polygon", "coordinates": "no"}},
    {"found_aoi": {"type": "Sphere"}},
    {"kept": {"a": {"id": "a"}}, "selected": ["a"]},
    {"kept": {"a": 1}},
    {"estimate": {"total": "much"}},
    {"destination": {}},
    {"destination": {"kind": "bucket", "endpoint": "https://a:b@host"}},
    {"destination": {"kind": "free", "secretKey": "s3cr3t"}},
    {"opacities": {"a": "thick"}},
    {"kept": {"another": product(1).to_wire()}, "selected": ["another"]},
    {"products": [1]},
    {"filters": 3},
    {"page_size": 10**9},
]


@pytest.mark.parametrize("values", HOSTILE_STATES, ids=[json.dumps(item)[:40] for item in HOSTILE_STATES])
def test_a_state_that_cannot_be_is_refused_when_it_is_read(values: dict[str, Any]) -> None:
    from pydantic import ValidationError

    good = ExplorerState(products=(product(1),), aoi=box(0, 0, 1, 1)).to_dict()
    assert ExplorerState.from_dict(good).to_dict() == good
    with pytest.raises((TraitError, ValidationError)) as caught:
        ExplorerState.from_dict({**good, **values})
    assert "s3cr3t" not in str(caught.value)


def test_days_are_those_of_the_calendar_at_its_edges() -> None:
    for first, last in ((date(2024, 2, 28), date(2024, 3, 1)), (date(2023, 12, 31), date(2024, 1, 1))):
        parts = actions.spans(first, last)
        assert parts[0][0] == first
        assert parts[-1][1] == last
        assert all((after[0] - before[1]).days == 1 for before, after in itertools.pairwise(parts))


FOOTPRINTS: list[Any] = [
    {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]},
    {"type": "Polygon", "coordinates": []},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
    {"type": "Polygon", "coordinates": [[["a", "b"], [1, 1], [2, 2], ["a", "b"]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [1e9, 0], [1, float("nan")], [0, 0]]]},
    {"type": "MultiPolygon", "coordinates": [box(0, 0, 2, 2)["coordinates"], box(1, 1, 3, 3)["coordinates"]]},
    {"type": "Point", "coordinates": [1, 1]},
    {"type": "GeometryCollection", "geometries": []},
    {"type": "Sphere"},
    {},
]


@pytest.mark.parametrize("footprint", FOOTPRINTS, ids=str)
def test_a_footprint_that_is_none_hides_no_other_product(make: Any, footprint: Any) -> None:
    gateway = Gateway(4)
    page = gateway.search_page
    gateway.products[3] = product(3, footprint=footprint)

    async def search_page(collection: str, *, q: str = "*", **options: Any) -> Any:
        return await page(collection, **options)

    gateway.search_page = search_page  # type: ignore[method-assign]
    explorer = make(gateway, resume=False)
    explorer.state.aoi = box(0, 40, 2, 41)
    explorer.search().result(5)
    until(lambda: not explorer.state.busy)
    assert [item["id"] for item in explorer.results.items] == [product(number).id for number in range(4)]
    assert explorer.results.items[0]["cover"] not in {"", "0 %"}
    assert explorer.state.message["title"] == "4 products found, all shown."
    explorer.state.select([product(3).id])
    explorer.state.hovered = product(3).id
    explorer.map.zoom_to_results()
    assert explorer.basket.facts[0] == "1 product"
    assert str(explorer.static())
    assert ExplorerState.from_dict(explorer.state.to_dict()).coverage() == explorer.state.coverage()
