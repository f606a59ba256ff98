"""The timeline: how many products were found when, and the days chosen by dragging over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, cast

from traitlets import Bool, Int, List, Unicode

from extenso_nb.errors import InputError
from extenso_nb.widgets.panel import Panel, Source, script, style

__all__ = ["Timeline", "span_text", "ticks"]

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_MOST_TICKS = 13

Bin = Mapping[str, Any]
"""One of `state.timeline`: first day, last day, count."""


class Timeline(Panel):
    """What was found over time, as bars; days chosen on it are searched at once.

    While a choice of days made here is what is shown, the bars stay those that it was made on, so that it can be moved,
    widened and taken back; any other search brings bars of its own.
    """

    _esm = script("timeline")
    _css = style("timeline")
    bars: Any = List(help='{"start", "stop", "count", "text", "first", "last", "tick"}, one a bar.').tag(sync=True)
    band = List(Unicode(), help="First and last day of the form, either may be empty; none where both are.").tag(
        sync=True
    )
    marked = Unicode("", help="The day of the product under the pointer, or empty.").tag(sync=True)
    hint = Unicode("", help="What is said where there are no bars.").tag(sync=True)
    slim = Bool(True, help="Whether nothing has been searched yet: then it is one line.").tag(sync=True)
    counting = Bool(False).tag(sync=True)
    total = Int(0, help="Products in all bars.").tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        self._before: dict[str, Any] | None = None
        """The search that days were first chosen on, its bars, and all days that were chosen on them."""
        self._chosen: tuple[str, str] | None = None
        self._back = ("", "")
        super().__init__(source)
        self.watch(self._show, "timeline", "busy", "searched", "failed", "found_form", "found_aoi", "start", "stop")
        self.watch(self._mark, "hovered")
        self.answer("select", lambda content: self.select(str(content.get("start")), str(content.get("stop"))))
        self.answer("clear", lambda _: self.clear())

    def select(self, start: str, stop: str) -> None:
        """Search the days from start to stop, both included. Raises TraitError for what is no day."""
        state = self.state
        if start > stop:
            raise InputError(f"The first day, {start}, is after the last, {stop}.", hint="Swap the two days.")
        if self._before is None and state.timeline is not None:
            self._before = {"search": self._searched(), "bins": state.timeline["bins"], "days": {self._found_days()}}
        if self._chosen != (state.start, state.stop):
            self._back = (state.start, state.stop)
        state.update(start=start, stop=stop)
        self._chosen = (state.start, state.stop)
        if self._before is not None:
            self._before["days"].add(self._chosen)
        self.desk.search()

    def clear(self) -> None:
        """Search the days that the form had before the first choice made here; any, where they were set elsewhere."""
        start, stop = self._back if self._chosen == (self.state.start, self.state.stop) else ("", "")
        self._chosen, self._back = None, ("", "")
        self.state.update(start=start, stop=stop)
        self.desk.search()

    # --- from the state ------------------------------------------------------------------------------------------
    def _searched(self) -> dict[str, Any]:
        """What was searched, days left out."""
        state = self.state
        rest = {name: value for name, value in state.found_form.items() if name not in {"start", "stop", "sort"}}
        return {**rest, "aoi": state.found_aoi}

    def _found_days(self) -> tuple[str, str]:
        return self.state.found_form.get("start", ""), self.state.found_form.get("stop", "")

    def _bins(self) -> Sequence[Bin] | None:
        """The bars that a choice was made on, as long as it is what is shown, or being searched; else those counted."""
        state, before = self.state, self._before
        if before is not None:
            if self._searched() == before["search"] and self._found_days() in before["days"]:
                return cast("Sequence[Bin]", before["bins"])
            self._before = None
        return None if state.timeline is None else state.timeline["bins"]

    def _show(self) -> None:
        state = self.state
        bins = self._bins()
        counting = bool({"search", "timeline"} & set(state.busy))
        with self.hold_sync():
            marks = ticks(bins or ())
            self.bars = [_bar(row, tick) for row, tick in zip(bins or (), marks, strict=True)]
            self.total = sum(row["count"] for row in bins or ())
            self.band = [state.start, state.stop] if state.start or state.stop else []
            self.counting = counting
            self.slim = not state.searched
            self.hint = self._hint(bins)
        self._mark()

    def _hint(self, bins: Sequence[Bin] | None) -> str:
        if not self.state.searched:
            return "Search, and see here when the products were taken."
        if bins is None:
            return "Counting by date ..." if self.counting else "The products could not be counted by date."
        return "" if bins else "Nothing was found in these days."

    def _mark(self) -> None:
        product = self.state.product(self.state.hovered) if self.state.hovered else None
        self.marked = "" if product is None else product.begin_position.date().isoformat()


def _bar(row: Bin, tick: str) -> dict[str, Any]:
    first, last = date.fromisoformat(row["start"]), date.fromisoformat(row["stop"])
    products = "1 product" if row["count"] == 1 else f"{row['count']:,} products"
    return {
        **row,
        "text": f"{products}, {span_text(first, last)}",
        "first": _day_text(first),
        "last": _day_text(last),
        "tick": tick,
    }


def _day_text(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def span_text(first: date, last: date) -> str:
    """The days from first to last in words: 3 to 9 June 2024, June 2024, 2024, 28 May to 3 June 2024."""
    after = last + timedelta(days=1)
    if first.day == first.month == after.day == after.month == 1:
        ends = [str(first.year), str(last.year)]
    elif first.day == after.day == 1:
        ends = [f"{_MONTHS[day.month - 1]} {day.year}" for day in (first, last)]
    else:
        ends = [_day_text(first), _day_text(last)]
    if ends[0] == ends[1]:
        return ends[1]
    # What both ends say is said once, at the second: the year, and the month.
    begin, end = ends[0].split(), ends[1].split()
    while len(begin) > 1 and begin[-1] == end[-1]:
        begin.pop()
        end.pop()
    return f"{' '.join(begin)} to {ends[1]}"


def ticks(bins: Sequence[Bin]) -> list[str]:
    """What is written below each bar: the month or the year that begins in it, or nothing. Months where they are few."""
    months, years = [], []
    for at, row in enumerate(bins):
        first, last = date.fromisoformat(row["start"]), date.fromisoformat(row["stop"])
        turns = (first.year, first.month) != (last.year, last.month) or first.day == 1
        new_year = first.year != last.year or (first.day == 1 and first.month == 1)
        begun = last if first.day != 1 else first
        months.append("" if not turns or not at else str(begun.year) if new_year else _MONTHS[begun.month - 1][:3])
        years.append(str(begun.year) if new_year and at else "")
    return months if sum(map(bool, months)) <= _MOST_TICKS else years
