"""The Explorer read by somebody who wants it to fail: races, late answers, stale baskets, files and states from elsewhere."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

import ipywidgets
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
    browser_sets(explorer.results, selected=[product(0).id, GHOST])
    assert explorer.state.selected == [product(0).id] == explorer.results.selected
    assert [item["id"] for item in explorer.basket.items] == explorer.state.selected
    explorer.order().result(5)
    assert [call[1] for call in gateway.calls if call[0] == "order"] == [(product(0).id,)]


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
    assert placed is not None and placed.id == 1
    bodies = [call[1:] for call in gateway.calls if call[0] == "order"]
    assert bodies[0] == bodies[2], "the gateway refuses the same key with another body"
    state.select([product(number).id for number in others])
    placed = asyncio.run(ordering.order(state, gateway))
    assert placed is not None and placed.id == 3, "after it was placed, it is a new order"


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
    assert gateway.buckets == [] and "another" in state.message["detail"]


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
    assert gateway.buckets == [None] and "theirs" in state.message["detail"]
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
    assert placed is not None and placed.id == 2 and len(gateway.placed) == 2
    assert asyncio.run(ordering.retry_order(state, gateway, 1)) is None, "its products are on order"
    assert len(gateway.placed) == 2 and state.message["level"] == "error"
    asyncio.run(ordering.follow(state, gateway, 2, poll=QUICK))
    placed = asyncio.run(ordering.retry_order(state, gateway, 1))
    assert placed is not None and placed.id == 3, "that failed as well: it may be tried again"


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
