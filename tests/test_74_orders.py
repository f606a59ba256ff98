"""Basket, orders, what was loaded, head and message line, without a browser."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from desk_gateway import (
    DAY,
    QUICK,
    Gateway,
    RecordingComm,
    box,
    browser_sends,
    browser_sets,
    found_state,
    product,
    until,
)
from traitlets import TraitError

from extenso_nb import errors, models
from extenso_nb.results import short_id
from extenso_nb.widgets import ordering
from extenso_nb.widgets.basket import facts, quota
from extenso_nb.widgets.board import order_row
from extenso_nb.widgets.state import ExplorerState

ACCESS, SECRET = "AKIA-only-for-you", "s3cr3t-only-for-you"


def searched(make: Any, gateway: Gateway | None = None, chosen: int = 0, **options: Any) -> Any:
    """An Explorer after a search, with so many products in its basket."""
    explorer = make(gateway, **options)
    explorer.search().result(5)
    until(lambda: not explorer.state.busy)
    explorer.state.select([item.id for item in explorer.state.products[:chosen]])
    return explorer


# --- basket ----------------------------------------------------------------------------------------------------------
def test_the_basket_shows_what_is_selected_and_drops_one(make: Any) -> None:
    explorer = searched(make, chosen=3)
    basket = explorer.basket
    assert [item["name"] for item in basket.items] == ["S2A L2A"] * 3
    assert [item["day"] for item in basket.items] == ["2024-06-01", "2024-06-02", "2024-06-03"]
    assert basket.facts == ["3 products", "3 MB"]
    browser_sends(basket, kind="remove", id=basket.items[1]["id"])
    assert explorer.state.selected == [product(0).id, product(2).id]
    browser_sets(basket, hovered=product(2).id)
    assert explorer.state.hovered == product(2).id
    explorer.state.hovered = ""
    assert basket.hovered == ""
    browser_sends(basket, kind="clear")
    assert (explorer.state.selected, basket.items, basket.facts) == ([], [], [])


def test_the_facts_of_a_basket_are_those_of_its_products() -> None:
    state = ExplorerState(products=(product(1), product(2, online=False, size_estimated=True)), aoi=box(1, 40, 3, 41))
    state.select([product(1).id, product(2).id])
    assert facts(state, state.basket()) == ["2 products", "~2 MB", "1 cold: hours to days", "covers 91 % of the area"]
    state.aoi = box(1, 40, 1.5, 41)
    assert facts(state, state.basket())[-1] == "covers 100 % of the area"
    state.aoi = box(100, 40, 101, 41)
    assert facts(state, state.basket())[-1] == "covers 0 % of the area"
    state.update(aoi=box(1, 40, 1.9127, 41))
    assert facts(state, state.basket())[-1] == "covers over 99 % of the area", "100 % is only said of the whole"
    state.update(aoi=None)
    assert facts(state, state.basket()) == ["2 products", "~2 MB", "1 cold: hours to days"]


def test_the_quota_is_of_the_account_and_then_of_the_estimate(make: Any) -> None:
    gateway = Gateway()
    explorer = searched(make, gateway, chosen=2)
    until(lambda: explorer.state.account)
    assert explorer.basket.quota["words"] == "0 B used, ~2 MB this order, ~8 MB stay free of 10 MB"
    gateway.products = []
    browser_sends(explorer.basket, kind="estimate")
    until(lambda: explorer.state.estimate)
    now = explorer.basket.quota
    assert now["words"] == "0 B used, 2 MB this order, 8 MB stay free of 10 MB"
    assert (now["used"], now["order"], now["over"]) == (0, 0.2, False)
    body = gateway.estimate_of([{"id": product(0).id, "size": 12_000_000}], free=4_000_000).to_wire()
    explorer.state.update(estimate=body)
    now = explorer.basket.quota
    assert now["words"] == "6 MB used, 12 MB this order, 8 MB too much of 10 MB"
    assert now["over"]
    assert now["used"] + now["order"] == pytest.approx(1, abs=1e-3), "the bar never runs over its own end"


def test_without_an_account_there_is_no_bar() -> None:
    assert quota(ExplorerState()) == {}


def test_products_that_the_estimate_refuses_are_named_and_removed_at_once(make: Any) -> None:
    explorer = searched(make, Gateway(), chosen=3)
    bad = [{"id": product(0).id, "error": "No source holds it."}, {"id": product(2).id, "error": "Too large."}]
    answer = explorer.desk.state.estimate = (
        Gateway().estimate_of([*bad, {"id": product(1).id, "size": 5, "online": False}]).to_wire()
    )
    assert answer
    assert [(row["id"], row["reason"]) for row in explorer.basket.refused] == [
        (product(0).id, "No source holds it."),
        (product(2).id, "Too large."),
    ]
    assert "1 cold: hours to days" in explorer.basket.facts
    browser_sends(explorer.basket, kind="remove_refused")
    assert explorer.state.selected == [product(1).id]
    assert explorer.basket.refused == []


def test_order_from_the_basket_empties_it_and_is_followed(make: Any) -> None:
    gateway = Gateway()
    explorer = searched(make, gateway, chosen=2)
    browser_sends(explorer.basket, kind="order")
    until(lambda: explorer.board.orders and explorer.board.orders[0]["status"] == "delivered")
    assert explorer.basket.items == []
    assert gateway.buckets == [None]


# --- a bucket of one's own -------------------------------------------------------------------------------------------
def fill_in(basket: Any, **changes: str) -> None:
    given = {
        "endpoint": "s3.example.org",
        "bucket": "mine",
        "prefix": "in/",
        "access_key": ACCESS,
        "secret_key": SECRET,
    }
    browser_sends(basket, kind="bucket", **(given | changes))


def test_the_keys_of_a_bucket_go_into_the_order_and_nowhere_else(
    make: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = Gateway()
    explorer = searched(make, gateway, chosen=2)
    state, basket = explorer.state, explorer.basket
    fill_in(basket)
    assert state.destination == {"kind": "bucket", "endpoint": "s3.example.org", "bucket": "mine", "prefix": "in/"}
    assert basket.destination["ready"]
    assert basket.quota["words"] == "Goes into your own bucket: no quota is used."
    browser_sends(basket, kind="estimate")
    until(lambda: state.estimate)
    browser_sends(basket, kind="order")
    until(lambda: state.orders and not state.open_orders() and not state.busy)
    sent = gateway.buckets[0]
    assert sent is not None
    assert (sent.access_key.get_secret_value(), sent.secret_key.get_secret_value()) == (ACCESS, SECRET)
    # Failing ways too: what is refused must not be repeated in the refusal.
    for bad in ({"endpoint": ""}, {"endpoint": f"https://{ACCESS}:{SECRET}@s3.example.org"}):
        fill_in(basket, **bad)
        assert state.message["level"] == "error"
    gateway.fail["estimate"] = [RuntimeError("unforeseen")]
    state.select([product(4).id])
    browser_sends(basket, kind="estimate")
    until(lambda: "unforeseen" in state.message["detail"])
    parts = [explorer, explorer.desk, state, state.bucket, *explorer.children]
    places = {
        "comm": json.dumps(RecordingComm.sent, default=repr),
        "traits": repr([part.get_state() for part in explorer.children if hasattr(part, "get_state")]),
        "state": repr(state.trait_values()),
        "to_dict": json.dumps(state.to_dict()),
        "repr": repr(parts),
        "log": caplog.text + repr([record.__dict__ for record in caplog.records]),
        "output": "".join(capfd.readouterr()),
        "page": explorer.static(),
    }
    for place, text in places.items():
        assert SECRET not in text, place
        assert ACCESS not in text, place
    assert len(places["comm"]) > 1000, "there was something to look through"


def test_a_form_without_keys_changes_nothing(make: Any) -> None:
    explorer = searched(make, chosen=1)
    fill_in(explorer.basket, secret_key=" ")
    assert explorer.state.destination == {"kind": "free"}
    assert "a secret key" in explorer.message.detail
    fill_in(explorer.basket, bucket="", prefix="")
    assert explorer.state.destination == {"kind": "bucket", "endpoint": "s3.example.org"}
    browser_sends(explorer.basket, kind="free")
    assert explorer.state.destination == {"kind": "free"}
    assert explorer.state.bucket is None


def test_a_bucket_of_a_saved_state_asks_for_its_keys_again(make: Any) -> None:
    first = searched(make, chosen=1)
    fill_in(first.basket)
    again = make(state=ExplorerState.from_dict(json.loads(json.dumps(first.state.to_dict()))))
    assert (again.basket.destination["kind"], again.basket.destination["ready"]) == ("bucket", False)
    again.order().result(5)
    assert "keys of bucket mine are not known" in again.message.detail
    fill_in(again.basket)
    assert again.basket.destination["ready"]


def test_an_own_bucket_never_does_not_fit() -> None:
    gateway, state = Gateway(), ExplorerState()
    answer = gateway.estimate_of([{"id": "a", "size": 20_000_000}])
    ordering._say_estimate(state, answer)
    assert "more than the 10 MB" in state.message["title"]
    state.destination = {"kind": "bucket", "endpoint": "s3.example.org", "bucket": "mine"}
    ordering._say_estimate(state, answer)
    assert state.message["title"] == "1 product, 20 MB, into your bucket mine. No quota is used."
    assert state.message["level"] == "success"


# --- orders ----------------------------------------------------------------------------------------------------------
def entry(number: int = 7, **changes: Any) -> dict[str, Any]:
    """An order with one delivery, as on the wire."""
    name = "S2B_MSIL2A_20240601T105619_N0510_R094_T31TCJ_20240601T134512"
    row = {
        "id": f"{number}-1", "orderId": number, "productId": name, "status": "transferring", "size": 200,
        "transferred": 50, "createdAt": DAY.isoformat(), "updatedAt": DAY.isoformat(), **changes,
    }  # fmt: skip
    delivery = models.Delivery.from_wire(row)
    ended = delivery.ended
    order = models.Order(
        id=number,
        status=delivery.status if ended else "running",  # type: ignore[arg-type]
        created_at=DAY,
        updated_at=DAY,
        products=(name,),
        size=200,
        deliveries={delivery.status: 1},
        links={},
    )
    return {"order": order.to_wire(), "deliveries": [delivery.to_wire()]}


def test_a_delivery_is_told_in_words_and_its_bytes_apart() -> None:
    order, live = order_row(entry())
    assert (order["title"], order["word"], order["open"], order["retry"]) == ("Order 7", "running", True, False)
    row = order["rows"][0]
    assert (row["short"], row["word"]) == ("S2B L2A 31TCJ 2024-06-01", "transferring")
    assert live["7-1"] == {"share": 0.25, "text": "50 B of 200 B"}
    assert live["7"] == {"share": 0.25, "text": "50 B of 200 B"}
    later, moved = order_row(entry(transferred=150))
    assert later == order, "what moves is in `live` only"
    assert moved["7-1"]["share"] == 0.75
    row = order_row(entry(status="warming", transferred=0, nextAttemptAt=DAY.isoformat()))[0]["rows"][0]
    assert (row["word"], row["next"]) == ("warming up", "2024-06-01T10:56:19Z")
    order, live = order_row(entry(status="failed", error="the source lost it"))
    assert (order["retry"], order["open"], order["rows"][0]["error"]) == (True, False, "the source lost it")
    assert order["rows"][0]["ready"] is False
    order, live = order_row(entry(status="delivered", transferred=200))
    assert order["rows"][0]["ready"]
    assert live == {"7": {"share": 1.0, "text": "200 B"}}
    assert short_id("no product at all") == "no product at all"


def test_a_board_is_sent_only_what_changed(make: Any) -> None:
    """Fifty deliveries in each of eight orders, progress several times a second."""
    explorer = make(resume=False)
    names = [product(number).id for number in range(50)]
    rows = [Gateway()._delivery(1, at, key).to_wire() for at, key in enumerate(names)]
    orders = {}
    for number in range(1, 9):
        one = entry(number)
        one["deliveries"] = [
            {**row, "id": f"{number}-{at}", "orderId": number, "trail": [{"time": row["createdAt"], "event": "x" * 40}]}
            for at, row in enumerate(rows)
        ]
        one["deliveries"][0] |= {"status": "transferring", "transferred": 1}
        orders[str(number)] = one
    explorer.state.orders = orders
    assert [order["id"] for order in explorer.board.orders] == [8, 7, 6, 5, 4, 3, 2, 1]
    RecordingComm.sent.clear()
    moved = {
        **orders["3"],
        "deliveries": [{**orders["3"]["deliveries"][0], "transferred": 70}, *orders["3"]["deliveries"][1:]],
    }
    explorer.state.orders = {**orders, "3": moved}
    mine = [data["state"] for comm, data in RecordingComm.sent if comm == explorer.board.comm.comm_id]
    assert [set(state) for state in mine] == [{"live"}]
    assert len(json.dumps(mine)) < 2000
    assert mine[0]["live"]["3-0"]["share"] == 0.7


def test_a_trail_is_sent_to_who_looks_at_it(make: Any) -> None:
    explorer = make(resume=False)
    trail = [{"time": DAY.isoformat(), "event": "transfer begins", "source": "hub"}]
    explorer.state.orders = {"7": entry(trail=trail)}
    assert explorer.board.trails == {}
    browser_sends(explorer.board, kind="trail", delivery="7-1", open=True)
    assert explorer.board.trails == {"7-1": [["2024-06-01T10:56:19Z", "hub", "transfer begins"]]}
    explorer.state.orders = {"7": entry(trail=[*trail, {"time": DAY.isoformat(), "event": "again"}])}
    assert [step[2] for step in explorer.board.trails["7-1"]] == ["transfer begins", "again"]
    browser_sends(explorer.board, kind="trail", delivery="7-1", open=False)
    assert explorer.board.trails == {}


def test_cancel_retry_and_delete_from_the_board(make: Any) -> None:
    gateway = Gateway()
    gateway.end = "transferring"  # it never arrives
    explorer = searched(make, gateway, chosen=2)
    explorer.order().result(5)
    until(lambda: explorer.board.orders and explorer.board.orders[0]["rows"])
    browser_sends(explorer.board, kind="cancel", order=1)
    until(lambda: explorer.board.orders[0]["status"] == "cancelled")
    until(lambda: explorer.board.orders[0]["retry"])  # told by its deliveries, which are heard of a moment later
    gateway.end = "delivered"
    browser_sends(explorer.board, kind="retry", order=1)
    until(lambda: [order["status"] for order in explorer.board.orders] == ["delivered", "cancelled"])
    assert gateway.placed[2][0].product_id == gateway.placed[1][0].product_id
    used = explorer.state.account["storage"]["used"]
    browser_sends(explorer.board, kind="delete", order=1)
    until(lambda: [order["id"] for order in explorer.board.orders] == [2])
    until(lambda: explorer.state.account["storage"]["used"] < used)
    assert explorer.header.storage["words"] == "100 B of 10 MB used"


def test_the_board_alone_lists_follows_and_says_what_is_wrong(make: Any) -> None:
    from extenso_nb.widgets import OrderBoard

    gateway = Gateway()
    asyncio.run(gateway.order([product(1).id], idempotency_key="a"))
    board = OrderBoard(SimpleNamespace(async_client=lambda: gateway, open=lambda row: row, where="the test"))
    until(lambda: board.orders and board.orders[0]["status"] == "delivered")
    assert board.single
    until(lambda: "is delivered" in board.note)
    board.close()
    assert gateway.closed
    alone = OrderBoard()
    until(lambda: "made without a gateway" in alone.note)
    alone.close()
    explorer = make(gateway, resume=False)
    assert (explorer.board.single, explorer.board.note) == (False, "")


def test_load_names_what_was_loaded(make: Any) -> None:
    notebook: dict[str, Any] = {"scene": "mine"}
    gateway = Gateway()
    explorer = searched(make, gateway, chosen=2, namespace=notebook)
    explorer.order().result(5)
    until(lambda: explorer.board.orders and explorer.board.orders[0]["status"] == "delivered")
    browser_sends(explorer.board, kind="load", delivery="1-1")
    until(lambda: explorer.tree is not None and not explorer.state.busy)
    rows = explorer.board.orders[0]["rows"]
    assert (rows[0]["name"], rows[0]["loaded"], rows[1]["loaded"]) == ("scene_2", True, False)
    assert notebook["scene"] == "mine"
    assert explorer.loaded.name == "scene_2"
    assert explorer.loaded.note.startswith("No picture"), "what cannot be drawn says why"
    browser_sets(explorer.board, variable="other")
    browser_sends(explorer.board, kind="load", delivery="1-1")
    until(lambda: explorer.loaded.name == "other")
    until(lambda: notebook["other"] is explorer.tree)
    browser_sends(explorer.loaded, kind="close")
    assert explorer.loaded.product == ""


@pytest.mark.parametrize("bad", ["1st", "", "two words", "class", "a.b", "a;import os"])
def test_a_name_that_is_none_is_marked_and_kept(make: Any, bad: str) -> None:
    explorer = make(resume=False)
    browser_sets(explorer.board, variable="mine")
    assert (explorer.state.variable, explorer.board.variable_wrong) == ("mine", "")
    browser_sets(explorer.board, variable=bad)
    assert explorer.board.variable == bad, "what was typed is kept"
    assert "mine is used" in explorer.board.variable_wrong
    assert explorer.state.variable == "mine"
    browser_sets(explorer.board, variable="better")
    assert (explorer.state.variable, explorer.board.variable_wrong) == ("better", "")


def test_the_line_to_go_on_with_is_true() -> None:
    import numpy as np
    import xarray as xr

    array = xr.DataArray(np.zeros((2, 2)), dims=("y", "x"))
    line = xr.DataArray(np.zeros(2), dims=("y",))
    groups = {
        "/": xr.Dataset(),
        "conditions/geometry": xr.Dataset({"angle": array}),
        "measurements/r10m": xr.Dataset({"B02": array, "B04": array}),
    }
    scene = xr.DataTree.from_dict(groups)
    text = ordering.go_on(scene, "scene")
    assert text == 'scene["measurements/r10m"]["B04"]'
    assert eval(text, {"scene": scene}).shape == (2, 2)
    flat = xr.DataTree.from_dict({"/": xr.Dataset({"height": line, "no2": array})})
    text = ordering.go_on(flat, "x")
    assert text == 'x["no2"]'
    assert eval(text, {"x": flat}).shape == (2, 2)
    assert ordering.go_on(xr.DataTree(), "x") == ""


# --- head ------------------------------------------------------------------------------------------------------------
def test_the_head_says_which_gateway_and_whether_it_answers(make: Any) -> None:
    gateway = Gateway()
    session = SimpleNamespace(async_client=lambda: gateway, open=lambda row: row, where="gate.example.org")
    explorer = make(gateway, session=session, connect=None, open=None)
    until(lambda: explorer.header.reached == "connected")
    assert explorer.header.gateway == "gate.example.org"
    until(lambda: explorer.header.storage)
    assert explorer.header.storage == {"words": "0 B of 10 MB used", "share": 0.0, "name": "anna"}
    gateway.fail["search_page"] = [errors.GatewayUnreachable("Gone.")]
    explorer.search().result(5)
    assert explorer.header.reached == "not reached"
    gateway.fail["search_page"] = [errors.SourceUnavailable("The source is down.")]
    explorer.search().result(5)
    assert explorer.header.reached == "connected", "a gateway that answers with an error answers"


def test_code_is_written_while_somebody_looks_at_it(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    explorer = make(resume=False)
    code = explorer.desk.code
    monkeypatch.setattr(explorer.desk, "code", lambda kind: (written.append(kind), code(kind))[1])
    explorer.state.collection = "S1"
    assert written == []
    browser_sets(explorer.header, showing="code")
    assert list(explorer.header.code) == ["Python", "Shell", "curl"]
    assert 'eo.search("S1"' in explorer.header.code["Python"]
    explorer.state.collection = "S3"
    assert "extenso search S3" in explorer.header.code["Shell"]
    explorer.state.update(start="2024-07-01", stop="2024-06-01")
    assert explorer.header.code == {}
    assert "after the last" in explorer.header.code_note
    browser_sets(explorer.header, showing="")
    before = len(written)
    explorer.state.update(start="")
    assert len(written) == before
    with pytest.raises(TraitError):
        explorer.header.showing = "everything"


def test_every_key_is_explained(make: Any) -> None:
    explorer = make(resume=False)
    assert {row["keys"] for row in explorer.header.keys_help} == {"Tab", "Arrows", "Space", "Enter", "M", "Escape"}


# --- message line ----------------------------------------------------------------------------------------------------
def test_retry_is_offered_where_it_helps_and_does_what_failed(make: Any) -> None:
    gateway = Gateway()
    explorer = searched(make, gateway, chosen=1)
    gateway.fail["estimate"] = [errors.SourceUnavailable("Down.")]
    explorer.estimate().result(5)
    assert explorer.message.retry == "estimate"
    browser_sends(explorer.message, kind="retry", command="order")
    assert gateway.count("order") == 0, "only what the message offers"
    browser_sends(explorer.message, kind="retry", command="estimate")
    until(lambda: explorer.state.estimate)
    assert explorer.message.retry == ""
    gateway.fail["estimate"] = [errors.NotAuthenticated("The token is old.")]
    explorer.estimate().result(5)
    assert explorer.message.retry == "", "the same key would be refused again"
    gateway.fail["deliveries"] = [errors.GatewayFault("Oops.")]
    explorer.retry_order(5).result(5)
    assert explorer.message.retry == "retry_order 5"
    with pytest.raises(errors.InputError):
        explorer.desk.again("close")
    with pytest.raises(TraitError):
        explorer.state.say("error", "x", retry="close")


def test_the_kernel_is_free_while_a_button_works(make: Any) -> None:
    gateway = Gateway()
    explorer = searched(make, gateway, chosen=1)
    gateway.gate["estimate"] = asyncio.Event()
    browser_sends(explorer.basket, kind="estimate")
    until(lambda: explorer.basket.estimating)
    explorer.state.update(cloud=50)  # this thread goes on
    loop = explorer.desk._runner._loop
    loop.call_soon_threadsafe(gateway.gate["estimate"].set)
    until(lambda: explorer.state.estimate and not explorer.basket.estimating)
    assert threading.current_thread() is threading.main_thread()


def test_following_an_order_draws_the_board_each_time(make: Any) -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(1).id])
    asyncio.run(ordering.order(state, gateway))
    explorer = make(gateway, state=state, resume=False)
    seen: list[str] = []
    explorer.board.observe(lambda change: seen.append(change["new"][0]["word"]), "orders")
    asyncio.run(ordering.follow(state, gateway, 1, poll=QUICK))
    assert seen[-1] == "delivered"
    assert explorer.board.live["1"]["share"] == 1.0
