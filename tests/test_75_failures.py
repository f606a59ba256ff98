"""Every class of failure has words of its own: over a gateway in memory, and over a real one on loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import scripted
from desk_gateway import Gateway, RecordingComm, browser_sends, found_state, product, until

from extenso_nb import errors
from extenso_nb.client import AsyncClient
from extenso_nb.retry import Retry
from extenso_nb.widgets import actions, attending, failures, ordering
from extenso_nb.widgets.desk import Desk
from extenso_nb.widgets.state import ExplorerState

CLASSES: list[tuple[errors.ExtensoError, str, bool]] = [
    (errors.GatewayUnreachable("Nothing at x."), "the gateway does not answer", True),
    (errors.NotAuthenticated("Old."), "the gateway does not know who asks", False),
    (errors.InvalidApiKey("No such key."), "the API key is refused", False),
    (errors.Forbidden("Not you."), "this account is not allowed to", False),
    (errors.QuotaExceeded("10 bytes needed."), "it does not fit into the storage", False),
    (errors.TooManyRequests("Slow.", retry_after=12), "too many requests, wait 12 s", True),
    (errors.GatewayFault("Oops."), "the gateway has a fault", True),
    (errors.SourceUnavailable("Hub down."), "no source answers", True),
    (errors.DatabaseUnavailable("No database."), "the gateway's database does not answer", True),
    (errors.AreaError("Sides cross."), "the area is none", False),
    (errors.QueryError("No such keyword."), "the query cannot be read", False),
    (errors.BucketRefused("No such bucket."), "the bucket cannot be used", False),
    (errors.UnknownOrder("No order 7."), "there is no such order", False),
]


# --- in memory -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("error", "words", "again"), CLASSES, ids=lambda value: type(value).__name__)
def test_each_class_has_its_own_title_detail_and_hint(error: errors.ExtensoError, words: str, again: bool) -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(1).id])
    gateway.fail["search_page"], gateway.fail["order"] = [error], [error]
    asyncio.run(actions.search(state, gateway))
    assert state.message["title"] == f"The search failed: {words}."
    assert state.message["detail"] == error.message
    assert state.message["hint"] == error.hint
    assert state.message.get("retry", "") == ("search" if again else "")
    assert state.failed
    assert len(state.products) == 12, "a failure is never an empty result"
    asyncio.run(ordering.order(state, gateway))
    assert state.message["title"] == f"The order was not placed: {words}."
    assert state.selected == [product(1).id], "the basket is kept"


def test_no_two_classes_of_the_api_read_the_same() -> None:
    kinds = [type(error) for error, _, _ in CLASSES]
    titles = {failures.title("It failed.", error) for error, _, _ in CLASSES}
    hints = {kind.default_hint for kind in kinds}
    assert (len(titles), len(hints)) == (len(kinds), len(kinds))


def test_a_fault_is_shown_with_the_number_that_the_log_has() -> None:
    gateway, error = Gateway(), errors.GatewayFault("Oops.")
    error.correlation_id = "c-17"
    gateway.fail["search_page"] = [error]
    assert "c-17" in found_state(gateway).message["detail"]


def test_nothing_found_is_no_failure() -> None:
    state = found_state(Gateway(), collection="S5P")
    assert (state.message["level"], state.message["title"]) == ("info", "Nothing matches.")
    assert state.message["hint"]
    assert (state.searched, state.failed) == (True, False)


def test_a_bad_area_is_not_sent() -> None:
    gateway = Gateway()
    state = found_state(gateway, aoi_valid=False, aoi_text="its sides cross")
    assert state.message["title"] == "The search failed: the area is none."
    assert "its sides cross" in state.message["detail"]
    assert gateway.calls == []


# --- over a real gateway ---------------------------------------------------------------------------------------------
class Slow(scripted.ScriptedSource):
    """Answers searches when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()

    def _answer(self) -> None:
        assert self.go.wait(30)
        super()._answer()


@pytest.fixture(scope="module")
def source() -> Slow:
    made = Slow()
    for number in range(1, 4):
        made.add(number)
    made.add(9, *[scripted.down] * 9)
    return made


@pytest.fixture(scope="module")
def address(gateway: scripted.Gateway) -> Iterator[str]:
    with scripted.served(gateway) as url:
        yield url


@pytest.fixture
def desk(address: str, gateway: scripted.Gateway) -> Iterator[Callable[..., Desk]]:
    """Makes desks over clients that try once."""
    made: list[Desk] = []

    def desk(url: str = address, **settings: Any) -> Desk:
        given = settings or {"api_key": gateway.key}
        connect = lambda: AsyncClient(url, retry=Retry(attempts=1), **given)  # noqa: E731 - one line says it
        made.append(Desk(connect=connect, open=lambda row: row, state=ExplorerState(), namespace={}))
        made[-1].state.gateway = "the test's gateway"
        return made[-1]

    yield desk
    for one in made:
        one.close()


def message_of(desk: Desk) -> tuple[str, str]:
    assert desk.state.message["level"] == "error"
    assert desk.state.message["detail"]
    assert desk.state.message["hint"]
    return desk.state.message["title"], desk.state.reached


def found(desk: Desk) -> Desk:
    done = desk.search()
    assert done is not None
    done.result(30)
    return desk


def test_no_network(desk: Callable[..., Desk]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        nobody = found(desk(f"http://127.0.0.1:{taken.getsockname()[1]}", api_key="k"))
    assert message_of(nobody) == ("The search failed: the gateway does not answer.", "not reached")
    assert nobody.state.message["retry"] == "search"
    assert not nobody.state.searched


def test_401_and_403(desk: Callable[..., Desk]) -> None:
    assert message_of(found(desk(token="no token of ours"))) == (
        "The search failed: the gateway does not know who asks.",
        "connected",
    )
    assert message_of(found(desk(api_key="no key of ours"))) == (
        "The search failed: the API key is refused.",
        "connected",
    )


def test_409_quota(desk: Callable[..., Desk], gateway: scripted.Gateway) -> None:
    gateway.store.add_account("small", key="key-of-the-small", quota=1000)
    small = found(desk(api_key="key-of-the-small"))
    small.state.select([scripted.product_id(1)])
    small.order().result(30)  # type: ignore[union-attr]
    assert message_of(small)[0] == "The order was not placed: it does not fit into the storage."
    assert "1,000 are free" in small.state.message["detail"]
    assert small.state.selected == [scripted.product_id(1)]
    small.estimate().result(30)  # type: ignore[union-attr]
    assert "more than the 1 kB that are free" in small.state.message["title"]


def test_429(desk: Callable[..., Desk], gateway: scripted.Gateway) -> None:
    seen: list[dict[str, str]] = []
    with scripted.served(gateway, rate=0.1) as url:
        hasty = desk(url, api_key=gateway.key)
        # The timeline and the pictures of an earlier search are refused too, and say so: the search is looked for.
        hasty.state.observe(lambda change: seen.append(change["new"]), "message")
        for _ in range(200):
            found(hasty)
            refused = [message for message in seen if message["title"].startswith("The search failed")]
            if refused:
                break
    assert refused[0]["title"].startswith("The search failed: too many requests, wait ")
    assert refused[0]["retry"] == "search"
    assert hasty.state.reached == "connected"


def test_500(desk: Callable[..., Desk], gateway: scripted.Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault that nobody foresaw")

    monkeypatch.setattr(gateway.service, "search", broken)
    failed = found(desk())
    assert message_of(failed) == ("The search failed: the gateway has a fault.", "connected")
    assert "correlation id" in failed.state.message["detail"]
    assert "nobody foresaw" not in str(failed.state.message)


def test_no_source_answers(desk: Callable[..., Desk], source: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "broken", True)
    assert message_of(found(desk()))[0] == "The search failed: no source answers."


def test_slow_says_who_is_waited_for_and_can_be_cancelled(
    desk: Callable[..., Desk], source: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attending.SLOW == 5.0
    monkeypatch.setattr(attending, "SLOW", 0.2)
    slow = desk()
    source.go.clear()
    try:
        first = slow.search()
        until(lambda: slow.state.message["title"] == "Still waiting for the test's gateway to answer: search.")
        assert slow.state.message["stop"] == "search"
        slow.stop("search")
        assert slow.state.message["title"] == "The search was cancelled."
        until(lambda: not slow.state.busy)
        assert first is not None
        assert first.cancelled()
        again = slow.search()
        until(lambda: slow.state.message["title"].startswith("Still waiting"))
    finally:
        source.go.set()
    assert again is not None
    again.result(30)
    until(lambda: slow.state.message["title"] == "4 products found, all shown.")
    assert "stop" not in slow.state.message


def test_a_delivery_that_fails_says_why_and_is_tried_again(
    desk: Callable[..., Desk], gateway: scripted.Gateway
) -> None:
    failing = found(desk())
    failing.state.select([scripted.product_id(9)])
    failing.order().result(30)  # type: ignore[union-attr]
    until(lambda: failing.state.message["level"] == "error", 60)
    placed = failing.orders[0]
    assert placed.status == "failed"
    assert failing.state.message["title"] == f"Order {placed.id} failed."
    assert "The source answered 503." in failing.state.message["detail"]
    assert scripted.product_id(9) in failing.state.message["detail"]
    assert failing.state.message["retry"] == f"retry_order {placed.id}"
    failing.again(failing.state.message["retry"])
    until(lambda: len(failing.orders) == 2, 30)
    assert failing.orders[0].products == placed.products
    gateway.wait(failing.orders[0].id)  # it fails again: its script has more failures than there are attempts


# --- waiting, in memory ----------------------------------------------------------------------------------------------
def test_waiting_is_said_and_taken_back(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "SLOW", 0.05)
    gateway = Gateway()
    explorer = make(gateway, resume=False)
    explorer.search().result(5)
    until(lambda: not explorer.state.busy)
    explorer.state.select([product(1).id])
    gateway.gate["order"] = asyncio.Event()
    explorer.order()
    until(lambda: explorer.message.stop == "order")
    assert explorer.message.title == "Still waiting for the gateway to answer: order."
    assert explorer.message.level == "warning"
    browser_sends(explorer.message, kind="stop", command="order")
    until(lambda: "order" not in explorer.state.busy)
    assert "it is the same order" in explorer.message.hint
    gateway.gate.pop("order")
    explorer.order().result(5)
    assert len(gateway.placed) == 1, "what was cancelled was placed, and is not placed twice"
    assert RecordingComm.sent


def test_a_gateway_that_starts_slowly_is_said(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "SLOW", 0.05)
    gateway, let = Gateway(), threading.Event()

    def connect() -> Gateway:
        assert let.wait(10)
        return gateway

    explorer = make(gateway, connect=connect, resume=False)
    done = explorer.search()
    until(lambda: "answer: connecting" in explorer.message.title)
    let.set()
    done.result(5)
    assert explorer.state.searched
    assert "products found" in explorer.message.title


def test_two_waits_leave_what_was_said_before(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "SLOW", 0.05)
    state = ExplorerState(gateway="here")
    state.say("info", "said before")
    attention = attending.Attention(state)
    seen: list[str] = []
    state.observe(lambda change: seen.append(change["new"]["title"]), "message")

    async def wait(what: str, seconds: float) -> None:
        with attention.on(what):
            await asyncio.sleep(seconds)

    async def both() -> None:
        await asyncio.gather(wait("a", 0.3), wait("b", 0.6), wait("quick", 0.001))

    asyncio.run(both())
    assert state.message["title"] == "said before"
    assert not any("quick" in title for title in seen)
    assert seen[-2].endswith("answer: b.")


def test_what_is_said_while_one_waits_is_not_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "SLOW", 0.02)
    state = ExplorerState()
    attention = attending.Attention(state)

    async def wait() -> None:
        with attention.on("a"):
            await asyncio.sleep(0.1)
            assert state.message["level"] == "warning"
            state.say("error", "something else")

    asyncio.run(wait())
    assert state.message["title"] == "something else"
