"""The search form and the timeline without a browser: two-way with the state, faults that lose nothing, days by bars."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from desk_gateway import Gateway, RecordingComm, browser_sends, browser_sets, product, until
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb import errors, query
from extenso_nb.widgets import actions, offers
from extenso_nb.widgets.offers import COLLECTIONS, FILTERS, PRODUCT_TYPES
from extenso_nb.widgets.timeline import span_text, ticks


@pytest.fixture
def explorer(make: Any) -> Any:
    return make(resume=False)


@pytest.fixture
def form(explorer: Any) -> Any:
    return explorer.form


@pytest.fixture
def state(explorer: Any) -> Any:
    return explorer.state


@pytest.fixture
def timeline(explorer: Any) -> Any:
    return explorer.timeline


def types(form: Any, name: str, value: Any) -> None:
    browser_sends(form, kind="edit", name=name, value=value)


def heard(form: Any) -> list[Any]:
    sent = [
        data["content"] for key, data in RecordingComm.sent if key == form.comm.comm_id and data["method"] == "custom"
    ]
    return [(content["name"], content["value"]) for content in sent if content["kind"] == "heard"]


# --- two-way ---------------------------------------------------------------------------------------------------------
def test_the_form_follows_the_state(form: Any, state: Any) -> None:
    state.update(collection="S1", product_type="SLC", start="2024-06-01", cloud=12, filters={"relative_orbit": "94"})
    assert form.values["collection"] == "S1"
    assert form.values["product_type"] == "SLC"
    assert (form.values["start"], form.values["cloud"]) == ("2024-06-01", 12)
    assert form.values["filters"] == {"relative_orbit": "94"}
    assert form.offers["cloudless"], "radar has no cloud figure, and the form says why"
    assert "cloudcoverpercentage asc" not in dict(form.offers["sorts"])
    assert [item["name"] for item in form.offers["filters"]] == [item.name for item in FILTERS["S1"]]
    state.collection = "S5P"
    assert state.product_type == "", "a type of another mission would find nothing"
    assert [value for value, _ in form.offers["types"]] == ["", *(value for value, _ in PRODUCT_TYPES["S5P"])]
    state.product_type = "L2__NP_BD3"
    assert form.values["product_type"] == "L2__NP_BD3", "a type that is not listed may be set from code"
    state.collection = "S2"
    assert state.product_type == "L2__NP_BD3"


def test_a_type_set_before_its_mission_stays(form: Any, state: Any) -> None:
    state.product_type = "GRD"
    state.collection = "S1"
    assert state.product_type == form.values["product_type"] == "GRD"


def test_every_field_reaches_the_state(form: Any, state: Any) -> None:
    typed: dict[str, Any] = {
        "collection": "S1",
        "product_type": "GRD",
        "start": "2024-06-01",
        "stop": "2024-06-30",
        "cloud": "30",
        "q": "filename:S1A* ",
        "sort": "beginposition desc",
        "page_size": "25",
        "relative_orbit": "94",
        "polarisation": "VV VH",
    }
    for name, value in typed.items():
        types(form, name, value)
    assert state.filters == {"relative_orbit": "94", "polarisation": "VV VH"}
    assert (state.cloud, state.page_size, state.q) == (30.0, 25, "filename:S1A* "), "a blank is on its way to a word"
    assert all(
        str(getattr(state, name)) == str(typed[name]) for name in ("collection", "product_type", "start", "stop")
    )
    assert heard(form) == list(typed.items()), "the browser waits for each before it writes over a field"
    assert (form.faults, form.drafts, form.count) == ({}, {}, 3)
    types(form, "relative_orbit", " ")
    assert state.filters == {"polarisation": "VV VH"}


def test_presets_end_today(form: Any, state: Any) -> None:
    assert form.preset == 0
    browser_sends(form, kind="preset", days=7)
    today = datetime.now(UTC).date()
    assert (state.start, state.stop) == ((today - timedelta(days=6)).isoformat(), today.isoformat())
    assert form.preset == 7
    state.start = "2020-01-01"
    assert form.preset == -1
    browser_sends(form, kind="preset", days=0)
    assert (state.start, state.stop, form.preset) == ("", "", 0)


def test_reset_takes_back_conditions_and_drafts_but_neither_mission_nor_area(form: Any, state: Any) -> None:
    area = {"type": "Point", "coordinates": [1.5, 43.6]}
    fresh = type(state)(collection="S3", aoi=area)
    state.update(
        collection="S3", aoi=area, product_type="OL_1_EFR___", start="2024-01-01", cloud=5, q="a", sort="size asc"
    )
    state.update(filters={"platform": "S3A"}, page_size=7)
    types(form, "relative_orbit", "x")
    types(form, "stop", "nonsense")
    browser_sends(form, kind="reset")
    assert {**state.to_dict(), "aoi_text": ""} == fresh.to_dict()
    assert (form.drafts, form.faults, form.count) == ({}, {}, 0)
    state.filters = {"platform": "S3B"}
    browser_sends(form, kind="reset")
    assert state.filters == {}, "the defaults are nobody's to change"


# --- values that cannot be -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "bad", "why"),
    [
        ("collection", "S9", "must be one of"),
        ("start", "2024-02-30", "2024-02-30"),
        ("stop", "01.06.2024", "must be a day"),
        ("cloud", "130", "0..100"),
        ("cloud", "lots", "no number"),
        ("cloud", None, "no number"),
        ("cloud", "nan", "0..100"),
        ("page_size", "1000", "1..100"),
        ("page_size", "2.5", "no number"),
        ("sort", "prettiest first", "sort"),
        ("q", "platformname:(", "cannot be read"),
        ("relative_orbit", "12a", "no whole number"),
        ("relative_orbit", "144", "1 to 143"),
        ("relative_orbit", "0", "1 to 143"),
        ("relative_orbit", "-3", "no whole number"),
        ("relative_orbit", "²", "no whole number"),
        ("relative_orbit", "9" * 5000, "not within"),
        ("tile", "Toulouse", "no MGRS tile"),
        ("orbit_direction", "SIDEWAYS", "not known"),
    ],
)
def test_a_bad_value_stays_in_its_field_with_the_reason_and_the_state_keeps_its_own(
    form: Any, state: Any, name: str, bad: Any, why: str
) -> None:
    state.update(start="2024-06-01", cloud=20, q="a", filters={"relative_orbit": "94", "tile": "31TCJ"})
    before = state.to_dict()
    types(form, name, bad)
    assert state.to_dict() == before
    assert form.drafts == {name: "" if bad is None else bad}
    assert list(form.faults) == [name]
    assert why in form.faults[name]["text"]
    assert heard(form) == [(name, bad)]
    with pytest.raises(errors.InputError, match=re.escape(form.faults[name]["text"])):
        _ = form.arguments


def test_a_fault_is_not_searched_and_its_fold_is_opened(explorer: Any, form: Any, state: Any) -> None:
    types(form, "relative_orbit", "12a")
    assert not form.more
    browser_sends(form, kind="search")
    assert state.message["title"] == "The search was not sent."
    assert "'12a' is no whole number" in state.message["detail"]
    assert form.more
    assert state.busy == ()
    assert not state.searched
    assert RecordingComm.sent[-1][1]["content"] == {"kind": "refused", "name": "relative_orbit"}
    types(form, "relative_orbit", "94")
    browser_sends(form, kind="search")
    until(lambda: state.searched)


def test_code_that_sets_a_field_takes_the_place_of_what_was_refused(form: Any, state: Any) -> None:
    types(form, "relative_orbit", "x")
    types(form, "start", "soon")
    types(form, "q", "(")
    state.update(start="2024-06-01", filters={"tile": "31TCJ"})
    assert set(form.drafts) == {"relative_orbit", "q"}, "what code has not set is not lost"
    state.update(filters={"relative_orbit": "94"}, q="b")
    assert (form.drafts, form.faults) == ({}, {})


def test_a_draft_outlives_another_mission(form: Any, state: Any) -> None:
    types(form, "relative_orbit", "x")
    state.collection = "S5P"
    assert form.faults == {}, "there is no such field now"
    _ = form.arguments
    state.collection = "S2"
    assert form.drafts == {"relative_orbit": "x"}


def test_what_code_has_set_wrong_is_marked_too(form: Any, state: Any) -> None:
    state.update(collection="S3", filters={"relative_orbit": "300"})
    assert form.faults == {}
    state.update(collection="S1", q="a AND")
    assert set(form.faults) == {"relative_orbit", "q"}
    state.update(filters={}, q="", start="2024-06-02", stop="2024-06-01")
    assert list(form.faults) == ["stop"]
    state.stop = ""
    assert form.faults == {}


def test_the_fault_of_a_query_has_its_place_and_a_better_word(form: Any) -> None:
    types(form, "q", "a AND clodcoverpercentage:[0 TO 5]")
    assert form.faults["q"]["at"] == 6
    assert form.faults["q"]["suggestion"] == "cloudcoverpercentage"
    types(form, "q", "a AND cloudcoverpercentage:[0 TO 5]")
    assert form.faults == {}


def test_a_field_that_there_is_not_is_a_fault_of_the_sender(form: Any, state: Any) -> None:
    types(form, "aoi_valid", False)
    assert "no field 'aoi_valid'" in state.message["detail"]
    assert state.aoi_valid


# --- arguments, and alone --------------------------------------------------------------------------------------------
def test_arguments_ask_for_what_the_button_finds(explorer: Any, form: Any, state: Any) -> None:
    state.update(
        cloud=60, start="2024-06-02", stop="2024-06-09", q="filename:*T31TCJ*", sort="beginposition asc", page_size=3
    )
    arguments = form.arguments
    assert arguments == {
        "collection": "S2",
        "datetime": "2024-06-02/2024-06-09",
        "cloud_cover": (0, 60.0),
        "limit": 3,
        "q": "filename:*T31TCJ*",
        "orderby": "beginposition asc",
    }
    explorer.search().result(5)
    rest = {name: value for name, value in arguments.items() if name not in {"collection", "limit", "q", "orderby"}}
    asked = query.combine(arguments["q"], query.build(**rest))
    assert asked == state.query
    state.update(start="2025-01-01")
    with pytest.raises(errors.InputError, match="before the first day"):
        _ = form.arguments


def test_the_form_alone_has_arguments_and_says_that_it_has_no_gateway(make: Any) -> None:
    from extenso_nb.widgets import SearchForm

    form = SearchForm()
    types(form, "collection", "S1")
    types(form, "orbit_direction", "ASCENDING")
    assert form.arguments == {"collection": "S1", "orbit_direction": "ASCENDING", "limit": 50}
    browser_sends(form, kind="search")
    until(lambda: form.state.message["level"] == "error")
    assert "without a gateway" in form.state.message["detail"]
    form.close()


def test_the_button_says_that_the_form_has_moved_on(explorer: Any, form: Any, state: Any) -> None:
    explorer.search().result(5)
    assert (form.again, form.searching) == (False, False)
    types(form, "cloud", "50")
    assert form.again
    types(form, "cloud", "100")
    assert not form.again
    state.aoi = {"type": "Point", "coordinates": [1.5, 43.6]}
    assert form.again


def test_cancel_is_there_while_a_search_runs(make: Any) -> None:
    gateway = Gateway()
    gateway.gate["search_page"] = asyncio.Event()
    explorer = make(gateway, resume=False)
    browser_sends(explorer.form, kind="search")
    until(lambda: gateway.count("search_page"))
    assert explorer.form.searching
    browser_sends(explorer.form, kind="cancel")
    until(lambda: not explorer.form.searching)
    assert explorer.state.message["title"] == "The search was cancelled."


def test_the_fold_starts_open_where_something_is_set_in_it(make: Any) -> None:
    from extenso_nb.widgets import ExplorerState

    assert not make(state=ExplorerState(), resume=False).form.more
    form = make(state=ExplorerState(q="a", filters={"tile": "31TCJ"}), resume=False).form
    assert (form.more, form.count) == (True, 2)
    browser_sets(form, more=False)
    assert not form.more
    form.state.cloud = 50
    assert not form.more, "it is the user's to fold"


def test_what_the_form_offers_is_what_the_language_takes() -> None:
    for mission in COLLECTIONS:
        for item in FILTERS[mission]:
            for value, _ in item.values:
                offers.check(mission, item.name, value)
            if item.example:
                offers.check(mission, item.name, item.example)
        for sort, _ in offers.sorts(mission):
            query.order([], sort)
    with pytest.raises(errors.InputError, match="no condition 'tile'"):
        offers.check("S1", "tile", "31TCJ")


# --- timeline --------------------------------------------------------------------------------------------------------
def searched(explorer: Any) -> None:
    """Search, and count by date."""
    explorer.search().result(5)
    until(lambda: explorer.state.timeline is not None and not explorer.state.busy)


def test_before_a_search_a_line_then_bars_in_words(explorer: Any, timeline: Any, state: Any) -> None:
    assert timeline.slim
    assert timeline.hint
    assert timeline.bars == []
    searched(explorer)
    assert (timeline.slim, timeline.hint, timeline.total) == (False, "", 12)
    assert [bar["text"] for bar in timeline.bars[:2]] == ["1 product, 1 June 2024", "1 product, 2 June 2024"]
    assert timeline.band == []
    state.hovered = product(3).id
    assert timeline.marked == "2024-06-04"
    state.hovered = "gone"
    assert timeline.marked == ""
    state.start = "2024-06-03"
    assert timeline.band == ["2024-06-03", ""]


def test_counting_that_fails_and_nothing_found_read_differently(make: Any) -> None:
    class CountsNothing(Gateway):
        down = True

        async def search_page(self, collection: str, *, rows: int = 100, **options: Any) -> Any:
            if rows == 1 and self.down:
                raise errors.SourceUnavailable("Down.")
            return await super().search_page(collection, rows=rows, **options)

    gateway = CountsNothing()
    explorer = make(gateway, resume=False)
    timeline = explorer.timeline
    explorer.state.update(page_size=5)
    explorer.search().result(5)
    until(
        lambda: (
            explorer.state.message["title"].startswith("The timeline could not be counted") and not explorer.state.busy
        )
    )
    assert timeline.hint == "The products could not be counted by date."
    gateway.down = False
    explorer.state.collection = "S5P"
    searched(explorer)
    assert timeline.hint == "Nothing was found in these days."


def test_days_chosen_on_the_bars_are_searched_and_the_bars_stay(explorer: Any, timeline: Any, state: Any) -> None:
    state.update(start="2024-06-02")
    searched(explorer)
    bars = timeline.bars
    assert len(bars) == 11

    def choose(start: str, stop: str) -> None:
        browser_sends(timeline, kind="select", start=start, stop=stop)
        assert timeline.bars == bars, "nor may they flicker while it is searched"
        until(lambda: state.found_form["stop"] == stop and state.timeline is not None and not state.busy)

    choose("2024-06-04", "2024-06-06")
    assert (state.total, len(state.timeline["bins"]), timeline.band) == (3, 3, ["2024-06-04", "2024-06-06"])
    assert timeline.bars == bars
    choose("2024-06-04", "2024-06-09")
    assert (state.total, timeline.bars) == (6, bars)
    browser_sends(timeline, kind="clear")
    assert (state.start, state.stop) == ("2024-06-02", ""), "as before the first choice"
    until(lambda: state.total == 11 and state.timeline is not None and not state.busy)
    assert timeline.bars == bars


def test_any_other_search_brings_bars_of_its_own(explorer: Any, timeline: Any, state: Any) -> None:
    searched(explorer)
    browser_sends(timeline, kind="select", start="2024-06-04", stop="2024-06-06")
    until(lambda: state.total == 3 and state.timeline is not None and not state.busy)
    assert len(timeline.bars) == 12
    state.update(cloud=30)
    assert len(timeline.bars) == 12, "it is not searched yet"
    searched(explorer)
    assert [bar["start"] for bar in timeline.bars] == [row["start"] for row in state.timeline["bins"]]
    assert timeline.total == state.total < 3
    state.update(start="2024-06-01", stop="2024-06-02")
    browser_sends(timeline, kind="clear")
    assert (state.start, state.stop) == ("", ""), "days that the form has set are not brought back"


def test_a_choice_that_fails_leaves_the_bars(make: Any) -> None:
    gateway = Gateway()
    explorer = make(gateway, resume=False)
    timeline = explorer.timeline
    searched(explorer)
    gateway.fail["search_page"] = [errors.SourceUnavailable("Down.")]
    browser_sends(timeline, kind="select", start="2024-06-04", stop="2024-06-06")
    until(lambda: explorer.state.failed and not explorer.state.busy)
    assert len(timeline.bars) == 12
    assert timeline.band == ["2024-06-04", "2024-06-06"], "what was asked for, and can be asked again"
    browser_sends(timeline, kind="select", start="2024-06-06", stop="2024-06-04")
    assert "after the last" in explorer.state.message["detail"]
    browser_sends(timeline, kind="select", start="None", stop="soon")
    assert "None" in explorer.state.message["detail"]
    assert timeline.band == ["2024-06-04", "2024-06-06"]


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("2024-06-03", "2024-06-03", "3 June 2024"),
        ("2024-06-03", "2024-06-09", "3 to 9 June 2024"),
        ("2024-05-28", "2024-06-03", "28 May to 3 June 2024"),
        ("2023-12-28", "2024-01-03", "28 December 2023 to 3 January 2024"),
        ("2024-02-01", "2024-02-29", "February 2024"),
        ("2024-02-01", "2024-02-28", "1 to 28 February 2024"),
        ("2024-04-01", "2024-06-30", "April to June 2024"),
        ("2023-12-01", "2024-02-29", "December 2023 to February 2024"),
        ("2024-01-01", "2024-12-31", "2024"),
        ("2020-01-01", "2024-12-31", "2020 to 2024"),
    ],
)
def test_days_in_words(first: str, last: str, text: str) -> None:
    assert span_text(date.fromisoformat(first), date.fromisoformat(last)) == text


def rows(first: str, last: str) -> list[dict[str, Any]]:
    found = actions.spans(date.fromisoformat(first), date.fromisoformat(last))
    return [{"start": start.isoformat(), "stop": stop.isoformat(), "count": 1} for start, stop in found]


def test_months_or_years_are_written_where_they_begin() -> None:
    assert [(at, tick) for at, tick in enumerate(ticks(rows("2024-06-20", "2024-07-03"))) if tick] == [(11, "Jul")]
    assert [tick for tick in ticks(rows("2024-05-04", "2024-06-28")) if tick] == ["Jun"]
    assert [tick for tick in ticks(rows("2023-11-05", "2024-03-10")) if tick] == ["Dec", "2024", "Feb", "Mar"]
    assert [tick for tick in ticks(rows("2023-01-01", "2024-12-31")) if tick] == ["2024"]
    assert [tick for tick in ticks(rows("2016-03-01", "2021-03-01")) if tick] == [
        "2017",
        "2018",
        "2019",
        "2020",
        "2021",
    ]


@given(first=st.dates(date(1972, 1, 1), date(2090, 1, 1)), days=st.integers(1, 30_000), most=st.integers(1, 40))
def test_spans_are_few_and_cover_every_day_once(first: date, days: int, most: int) -> None:
    last = first + timedelta(days=days - 1)
    found = actions.spans(first, last, most)
    assert 1 <= len(found) <= most
    assert (found[0][0], found[-1][1]) == (first, last)
    assert all(start <= stop for start, stop in found)
    assert all(after[0] - before[1] == timedelta(days=1) for before, after in pairwise(found))
    assert len(ticks([{"start": a.isoformat(), "stop": b.isoformat(), "count": 0} for a, b in found])) == len(found)
