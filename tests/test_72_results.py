"""The results without a browser: what the list is sent, facets, details, and results shown without any search."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import desk_gateway
import geopandas
import pytest
from desk_gateway import (
    DAY,
    HOSTILE,
    Gateway,
    RecordingComm,
    box,
    browser_sends,
    browser_sets,
    found_state,
    jpeg,
    product,
    until,
)
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from extenso_nb import errors
from extenso_nb.results import SearchResult
from extenso_nb.widgets import facets, standing
from extenso_nb.widgets.state import ExplorerState


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Any:
    with desk_gateway.explorers(monkeypatch) as explorer:
        yield explorer


def pictures_sent(view: Any) -> list[str]:
    """Identifiers of the thumbnails that went to the browser, in order; twice where twice."""
    contents = [data.get("content", {}) for comm, data in RecordingComm.sent if comm == view.comm.comm_id]
    return [key for content in contents if content.get("kind") == "pictures" for key in content["pictures"]]


def updates(view: Any, name: str) -> int:
    """How often a trait of a view went to the browser."""
    sent = [data.get("state", {}) for comm, data in RecordingComm.sent if comm == view.comm.comm_id]
    return sum(name in state for state in sent)


def mixed(count: int = 24) -> Gateway:
    gateway = Gateway(0)
    gateway.products = [
        product(
            number,
            platform=f"Sentinel-2{'AB'[number % 2]}",
            relative_orbit_number=[8, 94, 137][number % 3],
            orbit_direction="DESCENDING",
            online=number % 4 != 0,
        )
        for number in range(count)
    ]
    return gateway


# --- what a card says ------------------------------------------------------------------------------------------------
def test_a_card_says_what_is_known_and_no_more() -> None:
    from extenso_nb.widgets.results import card

    item = product(
        3, size=812_000_000, size_estimated=True, online=False, tile_id="31TCJ", cloud_cover=None, begin_position=DAY
    )
    shown = card(item, None)
    assert (shown["name"], shown["time"], shown["cloud"]) == ("S2A L2A 31TCJ", "2024-06-01 10:56", "")
    assert (shown["size"], shown["storage"], shown["cover"]) == ("~812 MB", "cold", "")
    assert (shown["cloudy"], shown["covered"]) == (None, None)
    assert shown["moment"] == DAY.timestamp()
    json.dumps(shown)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.2, "<1 %"), (55.4, "55 %"), (99.6, ">99 %"), (100.0, "100 %"), (None, "")],
)
def test_nearly_all_is_not_all(share: float | None, text: str) -> None:
    from extenso_nb.widgets.results import card

    assert card(product(1), share)["cover"] == text


# --- facets ----------------------------------------------------------------------------------------------------------
def test_only_fields_that_tell_products_apart_are_offered() -> None:
    rows = {row["name"]: row for row in facets.offered(mixed().products, {})}
    assert list(rows) == ["platform", "relative_orbit_number", "online"]
    assert [(one["text"], one["count"]) for one in rows["online"]["values"]] == [("online", 18), ("cold", 6)]
    assert [one["text"] for one in rows["relative_orbit_number"]["values"]] == ["8", "94", "137"]
    assert [one["text"] for one in rows["platform"]["values"]] == ["S2A", "S2B"]
    assert facets.offered([], {}) == []


def test_a_facet_that_is_chosen_stays_though_it_tells_nothing_apart() -> None:
    rows = facets.offered([product(1)], {"tile_id": ["31TCJ"]})
    assert [(row["name"], [(one["text"], one["count"], one["on"]) for one in row["values"]]) for row in rows] == [
        ("tile_id", [("none", 1, False), ("31TCJ", 0, True)])
    ]


values = st.sampled_from(["Sentinel-2A", "Sentinel-2B", "Sentinel-2C"])
orbits = st.sampled_from(["8", "94", ""])


@given(
    rows=st.lists(st.tuples(values, st.sampled_from([8, 94, None])), max_size=30),
    chosen=st.fixed_dictionaries(
        {"platform": st.lists(values, unique=True), "relative_orbit_number": st.lists(orbits, unique=True)}
    ),
)
def test_a_count_is_what_the_value_would_show(rows: list[tuple[str, int | None]], chosen: dict[str, list[str]]) -> None:
    """Against the plain definition: choose this value alone in its facet, the others as they are, and count."""
    products = [product(at, platform=a, relative_orbit_number=b) for at, (a, b) in enumerate(rows)]
    state = ExplorerState(products=tuple(products), facets=chosen)
    for row in facets.offered(products, chosen):
        for one in row["values"]:
            alone = ExplorerState(products=tuple(products), facets={**chosen, row["name"]: [one["value"]]})
            assert one["count"] == len(alone.visible())
            assert one["on"] == (one["value"] in chosen.get(row["name"], []))
    expected = Counter(
        item.id
        for item in products
        if (not chosen["platform"] or item.platform in chosen["platform"])
        and (
            not chosen["relative_orbit_number"]
            or ("" if item.relative_orbit_number is None else str(item.relative_orbit_number))
            in chosen["relative_orbit_number"]
        )
    )
    assert Counter(item.id for item in state.visible()) == expected


def test_choosing_a_facet_hides_and_says_how_many(make: Any) -> None:
    explorer = make(mixed(), resume=False)
    explorer.search().result(5)
    view = explorer.results
    made = updates(view, "items")
    browser_sends(view, kind="facet", name="platform", value="Sentinel-2A")
    assert explorer.state.facets == {"platform": ["Sentinel-2A"]}
    assert view.words["hidden"] == "12 hidden"
    assert len(view.hidden) == 12
    browser_sends(view, kind="facet", name="relative_orbit_number", value="8")
    assert view.words["hidden"] == "20 hidden"
    browser_sends(view, kind="facet", name="platform", value="Sentinel-2B")
    assert view.words["hidden"] == "16 hidden", "two satellites are alternatives"
    browser_sends(view, kind="facet", name="platform", value="Sentinel-2A")
    browser_sends(view, kind="facet", name="platform", value="Sentinel-2B")
    assert explorer.state.facets == {"relative_orbit_number": ["8"]}
    browser_sends(view, kind="show_all")
    assert (explorer.state.facets, view.hidden, view.words["hidden"]) == ({}, [], "")
    assert updates(view, "items") == made, "filtering sends no card again"


def test_a_facet_of_no_field_is_refused() -> None:
    state = ExplorerState(products=(product(1),))
    with pytest.raises(TraitError, match="colour"):
        state.facets = {"colour": ["red"]}
    assert len(state.visible()) == 1


def test_what_covers_too_little_is_hidden_and_only_with_an_area(make: Any) -> None:
    gateway = Gateway(2)
    gateway.products = [product(0, footprint=box(0, 40, 1, 41)), product(1, footprint=box(0.5, 40, 1, 41))]
    explorer = make(gateway, resume=False)
    view = explorer.results
    explorer.search().result(5)
    assert view.words["area"] is False
    browser_sets(view, least_coverage=80.0)
    assert view.hidden == [], "without an area nothing covers too little"
    explorer.state.aoi = box(0, 40, 1, 41)
    explorer.search().result(5)
    assert [item["cover"] for item in view.items] == ["100 %", "50 %"]
    assert view.words["area"] is True
    assert view.hidden == [product(1).id]
    browser_sets(view, least_coverage=40.0)
    assert view.hidden == []


def test_a_coverage_that_cannot_be_is_refused_and_taken_back(make: Any) -> None:
    explorer = make(resume=False)
    browser_sets(explorer.results, least_coverage=400.0)
    assert explorer.state.message["level"] == "error"
    assert (explorer.state.least_coverage, explorer.results.least_coverage) == (0.0, 0.0)


def test_coverage_is_measured_once_for_each_product(monkeypatch: pytest.MonkeyPatch) -> None:
    from extenso_nb.aoi import coverage as module

    measured: list[int] = []
    real = module.coverage

    def counted(area: Any, shapes: Any) -> Any:
        shapes = list(shapes)
        measured.append(len(shapes))
        return real(area, shapes)

    monkeypatch.setattr(module, "coverage", counted)
    gateway = Gateway(8)
    state = found_state(gateway, page_size=5, aoi=box(0, 40, 9, 41))
    first = state.coverage()
    assert len(first) == 5
    state.least_coverage = 5
    state.visible()
    from extenso_nb.widgets import actions

    asyncio.run(actions.load_more(state, gateway))
    again = state.coverage()
    assert list(again)[:5] == list(first)
    assert measured == [5, 3]
    state.aoi = box(0, 40, 3, 41)
    asyncio.run(actions.search(state, gateway))
    assert state.coverage()[product(0).id] != first[product(0).id], "another area is measured anew"
    state.found_aoi = None
    assert state.coverage() == {}


# --- the list --------------------------------------------------------------------------------------------------------
def test_the_list_shows_what_was_found(make: Any) -> None:
    explorer = make(resume=False)
    view, state = explorer.results, explorer.state
    assert view.items == []
    state.cloud = 30.0
    explorer.search().result(5)
    assert [item["id"] for item in view.items] == explorer.result.ids
    assert view.words["caption"] == f"{len(view.items)} of {len(view.items)} S2 products"
    assert view.words["empty"] == {}
    until(lambda: len(pictures_sent(view)) == len(view.items))


def test_selecting_goes_both_ways_and_keeps_what_other_searches_found(make: Any) -> None:
    explorer = make(resume=False)
    explorer.search().result(5)
    view = explorer.results
    browser_sends(view, kind="select", ids=[product(1).id, product(2).id], on=True)
    assert explorer.selected.ids == [product(1).id, product(2).id]
    explorer.state.toggle(product(1).id)
    assert view.selected == [product(2).id]
    explorer.state.update(cloud=0.5)
    explorer.search().result(5)
    assert view.selected == [product(2).id]
    assert explorer.selected.ids == [product(2).id]


def test_pointing_goes_both_ways(make: Any) -> None:
    explorer = make(resume=False)
    explorer.search().result(5)
    explorer.state.update(hovered=product(3).id)
    assert explorer.results.hovered == product(3).id
    browser_sets(explorer.results, hovered=product(4).id)
    assert explorer.state.hovered == product(4).id
    browser_sets(explorer.results, hovered="")
    assert explorer.state.hovered == ""


def test_pointing_and_selecting_send_no_card_again(make: Any) -> None:
    explorer = make(resume=False)
    explorer.search().result(5)
    view = explorer.results
    until(lambda: len(pictures_sent(view)) == 12)
    made = {name: updates(view, name) for name in ("items", "facets", "hidden", "ordered")}
    explorer.state.update(hovered=product(3).id)
    explorer.state.toggle(product(3).id)
    explorer.state.update(view="table")
    assert {name: updates(view, name) for name in made} == made
    assert len(pictures_sent(view)) == 12


def test_each_thumbnail_is_sent_once_and_all_to_a_new_page(make: Any) -> None:
    gateway = Gateway(12)
    explorer = make(gateway, resume=False)
    explorer.state.page_size = 6
    view = explorer.results
    explorer.search().result(5)
    until(lambda: len(explorer.state.thumbnails) == 6)
    explorer.load_more().result(5)
    until(lambda: len(explorer.state.thumbnails) == 12)
    assert Counter(pictures_sent(view)) == Counter(explorer.result.ids)
    RecordingComm.sent.clear()
    browser_sends(view, kind="pictures")
    assert sorted(pictures_sent(view)) == sorted(explorer.result.ids)
    assert "pictures" not in view.get_state(), "a saved notebook has no second copy of them"


def test_thumbnails_dropped_by_one_search_are_sent_again_by_the_next(make: Any) -> None:
    """The browser keeps the pictures of what it lists. A kernel that remembers more never sends those it lacks."""
    explorer = make(Gateway(3), resume=False)
    view, all_three = explorer.results, tuple(product(number) for number in range(3))
    explorer.state.update(searched=True, products=all_three, thumbnails={item.id: "data:," for item in all_three})
    assert len(pictures_sent(view)) == 3
    explorer.state.update(products=all_three[:1])
    explorer.state.update(products=all_three)
    assert Counter(pictures_sent(view)) == {all_three[0].id: 1, all_three[1].id: 2, all_three[2].id: 2}


def test_pictures_that_were_not_fetched_are_told_from_those_on_their_way(make: Any) -> None:
    gateway = Gateway(2)
    gateway.gate["thumbnail"] = asyncio.Event()
    gateway.fail["thumbnail"] = [errors.SourceUnavailable("Away.")] * 2
    explorer = make(gateway, resume=False)
    view = explorer.results
    explorer.search().result(5)
    until(lambda: view.words["fetching"])
    explorer.desk._runner._loop.call_soon_threadsafe(gateway.gate["thumbnail"].set)
    until(lambda: not view.words["fetching"])
    assert pictures_sent(view) == []
    assert explorer.state.message["level"] == "warning"


def test_many_thumbnails_come_in_several_messages(make: Any) -> None:
    explorer = make(resume=False)
    many = tuple(product(number) for number in range(250))
    explorer.state.update(searched=True, products=many, thumbnails={item.id: "data:," for item in many})
    contents = [data.get("content", {}) for _, data in RecordingComm.sent]
    sizes = [len(content["pictures"]) for content in contents if content.get("kind") == "pictures"]
    assert sizes == [100, 100, 50]


def test_what_is_ordered_is_said_on_its_card(make: Any) -> None:
    gateway = Gateway()
    explorer = make(gateway, resume=False)
    explorer.search().result(5)
    view = explorer.results
    made = updates(view, "items")
    explorer.state.select([product(1).id])
    explorer.order().result(5)
    until(lambda: view.ordered.get(product(1).id) == "delivered, #1")
    assert list(view.ordered) == [product(1).id]
    assert updates(view, "items") == made


def test_load_more_appends(make: Any) -> None:
    explorer = make(Gateway(12), resume=False)
    explorer.state.page_size = 5
    explorer.search().result(5)
    view = explorer.results
    first = list(view.items)
    assert (view.words["caption"], view.words["more"]) == ("5 of 12 S2 products", "Load 5 more")
    browser_sends(view, kind="more")
    until(lambda: len(view.items) == 10)
    assert view.items[:5] == first
    until(lambda: not explorer.desk._runner.running("search"))
    assert view.words["more"] == "Load 2 more"
    browser_sends(view, kind="more")
    until(lambda: len(view.items) == 12)
    assert view.words["more"] == ""


# --- when there is nothing -------------------------------------------------------------------------------------------
def test_before_a_search_it_says_how_to_begin(make: Any) -> None:
    words = make(resume=False).results.words
    assert words["empty"]["title"] == "Nothing was searched yet."
    assert any("Press Search" in line for line in words["empty"]["lines"])
    assert words["caption"] == ""


def test_nothing_found_names_the_conditions_and_what_to_widen(make: Any) -> None:
    explorer = make(resume=False)
    explorer.state.update(start="2030-01-01", cloud=20, aoi=box(0, 40, 1, 41), filters={"tile": "31TCJ"})
    explorer.search().result(5)
    empty = explorer.results.words["empty"]
    assert empty["title"] == "Nothing matches."
    assert empty["lines"] == [
        "Asked for: S2, in the area, from 2030-01-01, at most 20 % cloud, tile 31TCJ.",
        "Allow more cloud, or take more days, or enlarge or remove the area, or drop the other filters; then search again.",
    ]
    explorer.state.update(cloud=90)
    assert "20 %" in explorer.results.words["empty"]["lines"][0], "what was asked, not what stands there now"


def test_an_empty_mission_is_not_blamed_on_conditions(make: Any) -> None:
    explorer = make(resume=False)
    explorer.state.collection = "S1"
    explorer.search().result(5)
    assert explorer.results.words["empty"]["title"] == "Nothing matches: the gateway has no S1 products."
    assert explorer.results.words["caption"] == "No S1 products"


@pytest.mark.parametrize("before", [0, 3])
def test_a_failed_search_is_never_nothing_found(make: Any, before: int) -> None:
    gateway = Gateway(before)
    explorer = make(gateway, resume=False)
    words = lambda: explorer.results.words  # noqa: E731 - they are replaced
    if before:
        explorer.search().result(5)
        assert words()["earlier"] == ""
    gateway.fail["search_page"] = [errors.SourceUnavailable("The catalogue does not answer.")]
    explorer.search().result(5)
    if before:
        assert (words()["earlier"], words()["empty"]) == ("earlier search", {})
        assert "failed" in words()["why"]
    else:
        assert words()["empty"]["title"] == "The search failed; nothing is shown."
        assert words()["caption"] == ""


def test_a_search_that_fails_after_nothing_was_found_failed(make: Any) -> None:
    gateway = Gateway(0)
    explorer = make(gateway, resume=False)
    explorer.search().result(5)
    gateway.fail["search_page"] = [errors.SourceUnavailable("The catalogue does not answer.")]
    explorer.search().result(5)
    assert explorer.results.words["empty"]["title"] == "The search failed; nothing is shown."


def test_a_form_that_moved_on_makes_the_results_those_of_an_earlier_search(make: Any) -> None:
    explorer = make(resume=False)
    explorer.search().result(5)
    explorer.state.cloud = 50
    assert explorer.results.words["earlier"] == "earlier search"
    assert "changed" in explorer.results.words["why"]
    explorer.state.cloud = 100
    assert explorer.results.words["earlier"] == ""


def test_searching_and_a_cancelled_search_are_said_as_what_they_are(make: Any) -> None:
    gateway = Gateway()
    gateway.gate["search_page"] = asyncio.Event()
    explorer = make(gateway, resume=False)
    explorer.search()
    until(lambda: explorer.results.words["busy"])
    assert explorer.results.words["empty"]["title"] == "Searching S2 ..."
    explorer.cancel()
    until(lambda: not explorer.results.words["busy"])
    assert explorer.results.words["empty"]["title"] == "Nothing was searched yet.", "it did not fail"


def test_when_all_are_hidden_a_button_shows_them(make: Any) -> None:
    explorer = make(mixed(4), resume=False)
    explorer.search().result(5)
    explorer.state.facets = {"platform": ["Sentinel-2C"]}
    assert explorer.results.words["empty"] == {
        "title": "All 4 products loaded are hidden by the filters.",
        "lines": [],
        "button": "Show all",
    }


# --- details ---------------------------------------------------------------------------------------------------------
def test_details_come_with_facts_and_quicklook_and_go(make: Any) -> None:
    explorer = make(resume=False)
    explorer.search().result(5)
    view = explorer.results
    assert view.sheet == {}
    browser_sends(view, kind="details", id=product(2).id)
    until(lambda: view.sheet.get("picture"))
    assert (view.sheet["id"], view.sheet["name"]) == (product(2).id, "S2A L2A")
    assert ["Satellite", "Sentinel-2A"] in view.sheet["facts"]
    browser_sends(view, kind="details", id="")
    assert (view.sheet, explorer.state.detailed) == ({}, "")


def test_details_that_arrive_late_are_not_shown_under_another_product(make: Any) -> None:
    gateway = Gateway()
    explorer = make(gateway, resume=False)
    explorer.search().result(5)
    explorer.state.update(detailed=product(1).id, details={"id": product(2).id, "picture": "data:,", "facts": []})
    assert (explorer.results.sheet["id"], explorer.results.sheet["picture"]) == (product(1).id, "")


def test_a_new_search_closes_the_details(make: Any) -> None:
    explorer = make(resume=False)
    explorer.search().result(5)
    explorer.desk.show_details(product(2).id).result(5)
    explorer.search().result(5)
    assert explorer.results.sheet == {}


def test_a_state_that_was_kept_gets_its_pictures_and_details_back(make: Any) -> None:
    first = make(resume=False)
    first.search().result(5)
    first.desk.show_details(product(2).id).result(5)
    first.state.update(view="table")
    again = make(state=ExplorerState.from_dict(json.loads(json.dumps(first.state.to_dict()))), resume=False)
    assert len(again.results.items) == 12
    assert again.results.view == "table"
    until(lambda: len(pictures_sent(again.results)) == 12)
    until(lambda: again.results.sheet.get("picture"))


# --- alone -----------------------------------------------------------------------------------------------------------
def result(count: int = 3, **options: Any) -> SearchResult:
    asked: list[str] = options.pop("asked", [])

    def fetch(ids: Any) -> dict[str, bytes]:
        asked.extend(ids)
        return {key: jpeg() for key in ids if not key.endswith("1")}

    options.setdefault("thumbnails", fetch)
    products = [product(number) for number in range(count)]
    return SearchResult(products, total=128, collection="S2", q="*", **options)


def test_a_search_result_is_shown_without_a_search(make: Any) -> None:
    from extenso_nb.widgets import ResultsView

    asked: list[str] = []
    found = result(asked=asked)
    view = ResultsView(found)
    try:
        assert [item["id"] for item in view.items] == found.ids
        assert view.words["caption"] == "3 of 128 S2 products"
        assert (view.words["more"], view.words["earlier"]) == ("", ""), "there is nobody to ask for more"
        until(lambda: len(pictures_sent(view)) == 3)
        assert sorted(asked) == sorted(found.ids)
        assert view.state.thumbnails[product(1).id] == ""
        assert view.desk.result.ids == found.ids
        browser_sends(view, kind="details", id=product(2).id)
        until(lambda: view.sheet.get("picture"))
        assert len(asked) == 3, "the result keeps its pictures"
        browser_sends(view, kind="details", id=product(1).id)
        until(lambda: "no picture" in view.sheet.get("note", ""))
    finally:
        view.close()


def test_pictures_of_a_result_that_cannot_be_fetched_are_said(make: Any) -> None:
    from extenso_nb.widgets import ResultsView

    def broken(ids: Any) -> Any:
        raise errors.SourceUnavailable("The gateway is away.")

    view = ResultsView(result(thumbnails=broken))
    try:
        until(lambda: view.words["trouble"])
        assert "The gateway is away." in view.words["trouble"]
        assert len(view.items) == 3
    finally:
        view.close()


def test_a_table_is_shown_as_it_is(make: Any) -> None:
    from extenso_nb.widgets import ResultsView

    gateway = mixed(6)
    gateway.products[0] = product(0, footprint=None, cloud_cover=None, sources=("a", "b"))
    table = SearchResult(gateway.products, total=6, collection="S2", q="").gdf
    view = ResultsView(table[::-1].to_crs(3857))
    try:
        shown = list(view.state.products)
        assert [item.uuid for item in shown] == ["5", "4", "3", "2", "1", "0"]
        assert (shown[-1].footprint, shown[-1].cloud_cover, shown[-1].sources) == (None, None, ("a", "b"))
        for again, before in zip(shown, gateway.products[::-1], strict=True):
            assert again.model_copy(update={"footprint": None}) == before.model_copy(update={"footprint": None})
        assert view.words["caption"] == "6 of 6 S2 products"
        until(lambda: len(view.state.thumbnails) == 6)
        assert set(view.state.thumbnails.values()) == {""}
    finally:
        view.close()


def test_footprints_of_a_table_are_those_of_the_products() -> None:
    found = result()
    again = standing.result_of(found.gdf)
    assert again is not None
    assert [item.footprint for item in again] == [item.footprint for item in found]


def test_a_table_of_something_else_is_refused_with_what_it_lacks() -> None:
    with pytest.raises(errors.InputError, match="no column id") as caught:
        standing.desk(geopandas.GeoDataFrame({"name": ["x"]}, geometry=[None]))
    assert "SearchResult.gdf" in caught.value.hint
    table = result().gdf
    table["size"] = table["size"].astype(object)
    table.loc[1, "size"] = "huge"
    with pytest.raises(errors.InputError, match=r"000001' is no product: size"):
        standing.desk(table)


def test_an_empty_result_and_an_empty_table_show_nothing_and_fail_nowhere(make: Any) -> None:
    from extenso_nb.widgets import ResultsView

    empty = SearchResult([], total=0, collection="S3", q="*")
    for source in (empty, empty.gdf):
        view = ResultsView(source)
        assert view.items == []
        assert view.words["empty"]["title"].startswith("Nothing matches")
        assert view.words["trouble"] == ""
        view.close()


def test_an_explorer_goes_on_from_a_result(make: Any) -> None:
    gateway = Gateway(12)
    page = asyncio.run(gateway.search_page("S2", q="cloudcoverpercentage:[0 TO 60]", rows=4))
    found = SearchResult(page.data, total=page.total_results, collection="S2", q="cloudcoverpercentage:[0 TO 60]")
    explorer = make(gateway, state=standing.state_of(found), resume=False)
    view = explorer.results
    assert (view.words["caption"], view.words["earlier"]) == (f"4 of {found.total} S2 products", "")
    browser_sends(view, kind="more")
    until(lambda: len(view.items) == found.total)
    explorer.search().result(5)
    assert len(view.items) == found.total, "the form holds the query of the result"
    with pytest.raises(errors.InputError, match="list is no search result"):
        standing.state_of([product(1)])


def test_alone_it_says_that_there_is_no_gateway(make: Any) -> None:
    from extenso_nb.widgets import ResultsView

    view = ResultsView()
    assert view.words["empty"]["title"] == "Nothing was searched yet."
    view.desk.search().result(5)
    assert "without a gateway" in view.words["trouble"]
    assert view.words["empty"]["title"] != "Nothing matches."
    view.close()
    with pytest.raises(RuntimeError, match="closed"):
        view.desk.search()


def test_alone_with_a_session_it_searches(make: Any) -> None:
    from extenso_nb.widgets import ResultsView

    gateway = Gateway(3)
    view = ResultsView(SimpleNamespace(async_client=lambda: gateway, open=lambda row: row))
    view.desk.search().result(5)
    assert len(view.items) == 3
    view.close()
    until(lambda: gateway.closed)


def test_hostile_names_are_sent_as_text_and_set_as_text(make: Any) -> None:
    gateway = Gateway(2, id=HOSTILE, platform=HOSTILE, product_type=HOSTILE)
    explorer = make(gateway, resume=False)
    explorer.search().result(5)
    view = explorer.results
    assert {item["id"] for item in view.items} == {HOSTILE}
    browser_sends(view, kind="details", id=HOSTILE)
    until(lambda: view.sheet.get("facts"))
    assert ["Type", HOSTILE] in view.sheet["facts"]
    source = (Path(standing.__file__).parent / "assets" / "results.js").read_text("utf-8")
    assert "innerHTML" not in source
    assert "textContent" in source


def test_a_part_that_is_closed_leaves_nothing_behind(make: Any) -> None:
    from ipywidgets.widgets import widget

    from extenso_nb.widgets import ResultsView

    before = len(widget._instances)
    view = ResultsView(result())
    until(lambda: len(view.state.thumbnails) == 3)
    thread = view.desk._runner._thread
    view.close()
    assert len(widget._instances) == before
    assert not thread.is_alive()


def test_a_thousand_products_are_quick_in_the_kernel(make: Any) -> None:
    import time

    from extenso_nb.widgets import ResultsView

    view = ResultsView(ExplorerState())
    many = tuple(product(number, begin_position=DAY + timedelta(hours=number)) for number in range(1000))
    # The time of this thread: that of the clock is what other programs leave.
    begun = time.thread_time()
    view.state.update(searched=True, total=1000, found_aoi=box(0, 40, 9, 41), found_collection="S2", products=many)
    view.state.select([item.id for item in many])
    view.state.least_coverage = 5
    assert time.thread_time() - begun < 3
    assert len(view.items) == 1000
    # What goes to the browser, pictures apart.
    assert len(json.dumps(view.items)) < 500_000
    view.close()
