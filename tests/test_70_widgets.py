"""The Explorer without a browser: its state, its actions, and the whole of it over a gateway in memory."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import desk_gateway
import pytest
from desk_gateway import DAY, QUICK, Gateway, box, found_state, product, until
from hypothesis import given, settings
from hypothesis import strategies as st
from traitlets import TraitError

from extenso_nb import errors, models
from extenso_nb.query import parse
from extenso_nb.widgets import actions, ordering, pictures
from extenso_nb.widgets.offers import COLLECTIONS
from extenso_nb.widgets.state import ExplorerState, guard, strict

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
        "datetime": "2024-06-01/2024-06-30",
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
    state = found_state(gateway, cloud=30, start="2024-06-02", stop="2024-06-06", aoi=box(0, 39, 3.5, 42))
    assert [item.uuid for item in state.products] == ["1", "2", "3"]
    assert all(item.cloud_cover <= 30 for item in state.products)
    assert state.total == 3
    assert state.message["level"] == "success"
    assert parse(state.query)


def test_nothing_found_and_failed_are_different_things() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    assert len(state.products) == 12
    gateway.fail["search_page"] = [errors.SourceUnavailable("The source is down.")]
    asyncio.run(actions.search(state, gateway))
    assert state.message == {
        "level": "error",
        "title": "The search failed: no source answers.",
        "detail": "The source is down.",
        "hint": errors.SourceUnavailable.default_hint,
        "retry": "search",
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


def test_a_new_search_keeps_the_basket_and_forgets_what_looked_at_the_old_results() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(0).id, product(5).id])
    state.update(hovered=product(5).id, start="2024-06-03", thumbnails={product(0).id: "data:,"})
    state.update(detailed=product(5).id, draped=[product(5).id], facets={"platform": ["Sentinel-2A"]})
    asyncio.run(actions.search(state, gateway))
    assert state.selected == [product(0).id, product(5).id], "a basket is filled by several searches"
    assert [item.id for item in state.basket()] == state.selected
    assert state.product(product(0).id) == product(0), "not found any more, and still known"
    assert (state.hovered, state.detailed, state.draped, state.facets, state.thumbnails) == ("", "", [], {}, {})


def test_a_failed_search_leaves_the_old_results_and_says_so() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    assert not state.failed
    assert not state.outdated()
    state.update(cloud=10)
    assert state.outdated()
    gateway.fail["search_page"] = [errors.SourceUnavailable("The source is down.")]
    asyncio.run(actions.search(state, gateway))
    assert state.failed
    assert len(state.products) == 12
    asyncio.run(actions.search(state, gateway))
    assert not state.failed
    assert not state.outdated()


# --- timeline --------------------------------------------------------------------------------------------------------
def test_the_timeline_counts_all_that_was_found_not_what_is_shown() -> None:
    gateway = Gateway(60)
    state = found_state(gateway, page_size=5)
    asyncio.run(actions.timeline(state, gateway))
    bins = state.timeline["bins"]
    assert sum(item["count"] for item in bins) == state.total == 60
    assert (bins[0]["start"], bins[-1]["stop"]) == ("2024-06-01", "2024-07-30")
    assert len(bins) <= actions.BINS
    assert gateway.count("search_page") == 1 + 2 + len(bins)
    whole = found_state(gateway, page_size=100)
    before = gateway.count("search_page")
    asyncio.run(actions.timeline(whole, gateway))
    assert whole.timeline["bins"] == bins
    assert gateway.count("search_page") == before, "what is there is not asked for"


def test_a_timeline_of_an_overtaken_search_is_dropped() -> None:
    async def run() -> None:
        gateway, state = Gateway(60), ExplorerState(page_size=5)
        await actions.search(state, gateway)
        gateway.gate["search_page"] = asyncio.Event()
        counting = asyncio.create_task(actions.timeline(state, gateway))
        await asyncio.sleep(0.01)
        state.begin()
        gateway.gate["search_page"].set()
        await counting
        assert state.timeline is None

    asyncio.run(run())


@pytest.mark.parametrize(
    ("first", "last", "bars", "second"),
    [
        ("2024-06-01", "2024-06-01", 1, None),
        ("2024-06-01", "2024-06-24", 24, "2024-06-02"),
        ("2024-06-01", "2024-06-30", 15, "2024-06-03"),  # pairs of days
        ("2024-05-04", "2024-06-28", 9, "2024-05-06"),  # weeks, from Monday
        ("2024-01-05", "2024-12-20", 24, "2024-01-16"),  # halves of months
        ("2023-06-10", "2024-06-08", 13, "2023-07-01"),  # months
        ("2020-02-10", "2023-06-08", 14, "2020-04-01"),  # quarters
        ("2015-06-23", "2024-06-08", 10, "2016-01-01"),  # years
        ("1972-07-23", "2024-06-08", 18, "1975-01-01"),  # several years
    ],
)
def test_spans_are_of_the_calendar_and_cover_every_day_once(
    first: str, last: str, bars: int, second: str | None
) -> None:
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    found = actions.spans(begin, end)
    assert len(found) == bars
    assert second is None or found[1][0] == date.fromisoformat(second)
    covered = [start + timedelta(days=at) for start, stop in found for at in range((stop - start).days + 1)]
    assert covered == [begin + timedelta(days=at) for at in range((end - begin).days + 1)]


# --- thumbnails ------------------------------------------------------------------------------------------------------
def test_thumbnails_are_small_and_few_at_a_time() -> None:
    gateway = Gateway()
    gateway.fail["thumbnail"] = [errors.NoQuicklook("none")]
    state = found_state(gateway)
    asyncio.run(pictures.thumbnails(state, gateway))
    assert set(state.thumbnails) == {item.id for item in state.products}
    assert list(state.thumbnails.values()).count("") == 1
    uris = [uri for uri in state.thumbnails.values() if uri]
    assert len(uris) == 11
    assert all(uri.startswith("data:image/jpeg;base64,") and len(uri) < 8000 for uri in uris)
    assert 1 < gateway.most_at_once <= 4
    asyncio.run(pictures.thumbnails(state, gateway))
    assert gateway.count("thumbnail") == 12, "what is there is not fetched again"


def test_thumbnails_that_fail_are_counted_and_can_be_fetched_again() -> None:
    gateway = Gateway(3)
    gateway.fail["thumbnail"] = [errors.SourceUnavailable("Down."), errors.TooManyRequests("Slow down.")]
    state = found_state(gateway)
    asyncio.run(pictures.thumbnails(state, gateway))
    assert state.message["title"] == "2 of 3 thumbnails could not be fetched."
    assert len(state.thumbnails) == 1
    asyncio.run(pictures.thumbnails(state, gateway))
    assert len(state.thumbnails) == 3


def test_bytes_that_are_no_picture_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(2)
    monkeypatch.setattr(desk_gateway, "jpeg", lambda: b"<html>502 Bad Gateway</html>")
    state = found_state(gateway)
    asyncio.run(pictures.thumbnails(state, gateway))
    assert state.message["level"] == "warning"
    assert state.thumbnails == {}


# --- orders ----------------------------------------------------------------------------------------------------------
def test_estimate_says_fit_and_what_cannot_be_ordered() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    asyncio.run(ordering.estimate(state, gateway))
    assert state.message["detail"] == "No product is selected."
    state.select([product(1).id, product(2).id])
    asyncio.run(ordering.estimate(state, gateway))
    assert state.message["title"] == "2 products, 2 MB: fits. 8 MB of 10 MB stay free."
    assert state.estimated() is not None
    answer = gateway.estimate_of([{"id": "a", "size": 20_000_000}])
    ordering._say_estimate(state, answer)
    assert "more than the 10 MB" in state.message["title"]
    ordering._say_estimate(state, gateway.estimate_of([{"id": "a", "error": "unknown"}, {"id": "b", "size": 5}]))
    assert (state.message["title"], state.message["detail"]) == ("1 of 2 cannot be ordered.", "a: unknown")


def test_an_estimate_of_a_selection_that_has_changed_is_dropped() -> None:
    async def run() -> None:
        gateway, state = Gateway(), ExplorerState(products=(product(1), product(2)), selected=[product(1).id])
        gateway.gate["estimate"] = asyncio.Event()
        task = asyncio.create_task(ordering.estimate(state, gateway))
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
    placed = asyncio.run(ordering.order(state, gateway))
    assert placed.id == 1
    assert state.selected == [], "a second click cannot order twice"
    asyncio.run(ordering.order(state, gateway))
    assert state.message["detail"] == "No product is selected."
    assert gateway.count("order") == 1
    assert state.open_orders() == [1]
    ended = asyncio.run(ordering.follow(state, gateway, 1, poll=QUICK))
    assert ended.status == "delivered"
    assert state.open_orders() == []
    assert state.ordered() == {product(1).id: "delivered, #1", product(2).id: "delivered, #1"}
    assert state.message["title"] == "Order 1 is delivered, 200 B."


def test_order_again_after_a_lost_answer_is_the_same_order() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(1).id])
    gateway.fail["order"] = [errors.GatewayUnreachable("The answer was lost.")]
    assert asyncio.run(ordering.order(state, gateway)) is None
    assert state.selected == [product(1).id]
    assert state.message["detail"] == "The answer was lost."
    asyncio.run(ordering.order(state, gateway))
    assert len(gateway.placed) == 1
    state.select([product(1).id])
    asyncio.run(ordering.order(state, gateway))
    assert len(gateway.placed) == 2, "ordering once more on purpose is another order"


def test_following_survives_a_gateway_that_is_away() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(1).id])
    asyncio.run(ordering.order(state, gateway))
    seen: list[str] = []
    state.observe(lambda change: seen.append(change["new"]["title"]), "message")
    gateway.fail["status"] = [errors.GatewayUnreachable("Gone."), errors.SourceUnavailable("Busy.")]
    gateway.fail["deliveries"] = [errors.GatewayFault("Oops.")]
    assert asyncio.run(ordering.follow(state, gateway, 1, poll=QUICK)).status == "delivered"
    assert any("no news for now" in title for title in seen)
    assert any("answers again" in title for title in seen)
    assert "is delivered" in seen[-1]


def test_following_ends_when_asking_again_is_no_use() -> None:
    gateway, state = Gateway(), ExplorerState()
    assert asyncio.run(ordering.follow(state, gateway, 77, poll=QUICK)) is None
    assert state.message["detail"] == "No order 77."
    gateway.fail["status"] = [errors.NotAuthenticated("The token is old.")]
    assert asyncio.run(ordering.follow(state, gateway, 1, poll=QUICK)) is None
    assert state.message["detail"] == "The token is old."


def test_a_failed_delivery_gives_its_reason() -> None:
    gateway = Gateway()
    gateway.end = "failed"
    state = found_state(gateway)
    state.select([product(1).id])
    asyncio.run(ordering.order(state, gateway))
    asyncio.run(ordering.follow(state, gateway, 1, poll=QUICK))
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
    assert asyncio.run(ordering.refresh_orders(state, gateway)) == [1]
    assert sorted(map(int, state.orders)) == [1, 3, 4, 5, 6, 7, 8, 9, 10], "the newest, and those still open"


def test_open_only_what_is_delivered_and_say_why_not() -> None:
    gateway = Gateway()
    state = found_state(gateway)
    state.select([product(1).id])
    asyncio.run(ordering.order(state, gateway))
    asyncio.run(ordering.follow(state, gateway, 1, poll=QUICK))
    assert asyncio.run(ordering.open_delivery(state, lambda row: [f"tree of {row.id}"], "1-1")) == "tree of 1-1"
    assert state.opened == "1-1"

    def broken(row: models.Delivery) -> Any:
        raise errors.DamagedProduct(f"{row.product_id} is cut short.")

    assert asyncio.run(ordering.open_delivery(state, broken, "1-1")) is None
    assert "cut short" in state.message["detail"]
    asyncio.run(ordering.open_delivery(state, broken, "9-9"))
    assert "9-9" in state.message["detail"]
    gateway.placed[2] = [gateway._delivery(2, 1, "x")]
    state.put_order(gateway._order(2), gateway.placed[2])
    asyncio.run(ordering.open_delivery(state, broken, "2-1"))
    assert state.message["detail"] == "Delivery 2-1 is queued."


# --- widgets, without a browser --------------------------------------------------------------------------------------
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


def test_an_explorer_starts_from_a_saved_state(make: Any) -> None:
    first = make()
    first.search().result(5)
    first.state.select([product(2).id])
    again = make(state=ExplorerState.from_dict(json.loads(json.dumps(first.state.to_dict()))))
    assert again.selected.ids == [product(2).id]
    assert len(again.results.items) == 12
    assert again.results.selected == [product(2).id]
    assert len(again.map.footprints.data["features"]) == 12


def test_closing_ends_the_thread_and_the_client(make: Any) -> None:
    gateway = Gateway()
    gateway.end = "transferring"  # an order that never ends
    asyncio.run(gateway.order([product(1).id], idempotency_key="a"))
    explorer = make(gateway)
    until(lambda: explorer.orders)
    thread = explorer.desk._runner._thread
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


def test_no_widget_does_what_notebooks_regret() -> None:
    folder = Path(actions.__file__).parent
    # What is exported prints: it is a program of the user's.
    python = "\n".join(path.read_text("utf-8") for path in folder.glob("*.py") if path.stem != "export")
    for bad in (r"\beval\(", r"\bprint\(", r"\bOutput\(", r"\.fit_bounds\(", r"\bicon="):
        assert not re.search(bad, python), bad
    browser = "\n".join(path.read_text("utf-8") for path in (folder / "assets").iterdir())
    for bad in ("innerHTML", "http:", "https:", "@import", "eval(", "insertAdjacentHTML"):
        assert bad not in browser, bad
    parts = sorted(path.stem for path in (folder / "assets").glob("*.js") if path.stem != "dom")
    assert browser.count("export default") == len(parts)
