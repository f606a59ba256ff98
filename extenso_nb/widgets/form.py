"""The search form: mission, type, days, cloud, the conditions of each mission, a query, and how the list is ordered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from traitlets import Bool, Dict, Int, TraitError

from extenso_nb import query
from extenso_nb.errors import ExtensoError, InputError, QueryError
from extenso_nb.widgets.offers import (
    CLOUDLESS,
    COLLECTIONS,
    FILTERS,
    PAGE_SIZES,
    PRESETS,
    PRODUCT_TYPES,
    belongs,
    check,
    preset,
    sorts,
)
from extenso_nb.widgets.panel import Panel, Source, script, style
from extenso_nb.widgets.state import ExplorerState

__all__ = ["SearchForm"]

FIELDS = ("collection", "product_type", "start", "stop", "cloud", "q", "sort", "page_size")
"""Traits of the state that the form edits; `filters` besides, each condition by its own name."""
_FILTERS = {item.name for items in FILTERS.values() for item in items}
_BLANK: dict[str, Any] = {
    name: ExplorerState.class_traits()[name].default() for name in (*FIELDS[1:], "filters")
}  # fmt: skip


class SearchForm(Panel):
    """What to look for, two-way with the state.

    What is typed and cannot be stays in its field, with the reason beside it; the state keeps its old value, and nothing
    is searched until it is corrected.

    Used alone it fills in a search: ``eo.search(**form.arguments)``.
    """

    _esm = script("form")
    _css = style("form")
    offers = Dict(help="What can be chosen for the mission that is.").tag(sync=True)
    values = Dict(help="The state's, by field; `filters` is a dictionary.").tag(sync=True)
    drafts = Dict(help="Field -> what was typed into it and refused.").tag(sync=True)
    faults = Dict(help='Field -> {"text", "hint", "at", "suggestion"}: what is wrong with it.').tag(sync=True)
    preset = Int(-1, help="Days of the preset that the dates are; 0 for any time, -1 for none.").tag(sync=True)
    count = Int(0, help="Conditions set in the part that can be folded.").tag(sync=True)
    more = Bool(False, help="Whether that part is open.").tag(sync=True)
    searching = Bool(False).tag(sync=True)
    again = Bool(False, help="Whether the results shown answer another form.").tag(sync=True)
    last = Bool(False, help="Whether a search of an earlier kernel can be taken up.").tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        self._refused: dict[str, tuple[str, dict[str, Any]]] = {}
        self._filters: dict[str, str] = {}
        super().__init__(source)
        self._filters = dict(self.state.filters)
        for name in FIELDS:
            self.watch(partial(self._forget, name), name)
        self.watch(self._mission_changed, "collection")
        self.watch(self._filters_changed, "filters")
        self.watch(self._show, *FIELDS, "filters", "busy", "searched", "found_form", "found_aoi", "aoi")
        self.watch(self._show_last, "gateway", "searched")
        self.more = self.count > 0
        self.answer("edit", self._edit)
        self.answer("preset", self._preset)
        self.answer("reset", lambda _: self.reset())
        self.answer("search", lambda _: self.search())
        self.answer("cancel", lambda _: self.desk.cancel())
        self.answer("restore", lambda _: self.desk.restore())

    # --- for code ------------------------------------------------------------------------------------------------
    @property
    def arguments(self) -> dict[str, Any]:
        """The form as keyword arguments of `search`: ``eo.search(**form.arguments)`` finds what the button finds.

        Raises InputError for a form that cannot be searched: a field with a fault, days that run backwards.
        """
        self._raise_fault()
        state = self.state
        arguments = {"collection": state.collection, **state.search_arguments(), "limit": state.page_size}
        if state.q.strip():
            arguments["q"] = state.q
        if state.sort:
            arguments["orderby"] = state.sort
        return arguments

    def search(self) -> None:
        """Search, as the button does; with a fault in a field say so instead."""
        try:
            self._raise_fault()
        except InputError as error:
            self.state.fail("The search was not sent.", error)
            name = next(iter(self.faults))
            self.more = self.more or name == "q" or name in _FILTERS
            self.send({"kind": "refused", "name": name})
            return
        self.desk.search()

    def reset(self) -> None:
        """Take all conditions back; the mission and the area stay."""
        self._refused.clear()
        self.state.update(**{name: dict(value) if isinstance(value, dict) else value for name, value in _BLANK.items()})
        self._show()

    def _raise_fault(self) -> None:
        for fault in self.faults.values():
            raise InputError(fault["text"], hint=fault["hint"])

    # --- from the browser ----------------------------------------------------------------------------------------
    def _edit(self, content: Mapping[str, Any]) -> None:
        name, typed = str(content.get("name")), content.get("value")
        if name not in FIELDS and name not in _FILTERS:
            raise InputError(f"The form has no field {name!r}.")
        try:
            changes = self._read(name, typed)
            self._refused.pop(name, None)
            self.state.update(**changes)
        except (ExtensoError, TraitError) as error:
            self._refused[name] = ("" if typed is None else str(typed), _fault(error))
        self._show()
        self.send({"kind": "heard", "name": name, "value": typed})

    def _read(self, name: str, typed: Any) -> dict[str, Any]:
        """What was typed as a change of the state. Raises ExtensoError for what cannot be, as the state TraitError."""
        if name in _FILTERS:
            text = str(typed).strip()
            check(self.state.collection, name, text)
            return {"filters": {**self.state.filters, name: text}}
        if name in {"cloud", "page_size"}:
            try:
                return {name: float(typed) if name == "cloud" else int(typed)}
            except (TypeError, ValueError) as error:
                raise InputError(f"{typed!r} is no number.", hint="Write digits only.") from error
        if name == "q":
            query.parse(str(typed))
        return {name: str(typed)}

    def _preset(self, content: Mapping[str, Any]) -> None:
        days = int(content.get("days", 0))
        start, stop = preset(days, _today()) if days > 0 else ("", "")
        for name in ("start", "stop"):
            self._refused.pop(name, None)
        self.state.update(start=start, stop=stop)
        self._show()

    # --- from the state ------------------------------------------------------------------------------------------
    def _forget(self, name: str) -> None:
        """A value that was set elsewhere takes the place of what was refused."""
        self._refused.pop(name, None)

    def _mission_changed(self) -> None:
        if not belongs(self.state.product_type, self.state.collection):
            self.state.update(product_type="")

    def _filters_changed(self) -> None:
        old, new = self._filters, dict(self.state.filters)
        self._filters = new
        for name in _FILTERS:
            if old.get(name) != new.get(name):
                self._refused.pop(name, None)

    def _show(self) -> None:
        state = self.state
        here = {*FIELDS, *(item.name for item in FILTERS[state.collection])}
        refused = {name: entry for name, entry in self._refused.items() if name in here}
        with self.hold_sync():
            self.offers = _offers(state)
            self.values = {**{name: getattr(state, name) for name in FIELDS}, "filters": dict(state.filters)}
            self.drafts = {name: text for name, (text, _) in refused.items()}
            self.faults = _faults(state, refused)
            self.preset = _preset_of(state.start, state.stop)
            folded = [item.name for item in FILTERS[state.collection]]
            self.count = sum(bool(state.filters.get(name) or self.drafts.get(name)) for name in folded)
            self.count += bool(state.q.strip() or self.drafts.get("q"))
            self.searching = "search" in state.busy
            self.again = state.outdated()

    def _show_last(self) -> None:
        """Apart from `_show`: a file is read, which is not for each letter that is typed."""
        self.last = not self.state.searched and self.desk.remembered() is not None


def _today() -> date:
    """The day by which the archives count."""
    return datetime.now(UTC).date()


def _preset_of(start: str, stop: str) -> int:
    if not start and not stop:
        return 0
    return next((days for _, days in PRESETS if preset(days, _today()) == (start, stop)), -1)


def _offers(state: ExplorerState) -> dict[str, Any]:
    mission = state.collection
    return {
        "missions": [list(item) for item in COLLECTIONS.items()],
        "types": [["", "Any"], *map(list, PRODUCT_TYPES[mission])],
        "cloudless": CLOUDLESS.get(mission, ""),
        "filters": [
            {
                "name": item.name,
                "label": item.label,
                "values": [["", "Any"], *map(list, item.values)] if item.values else [],
                "example": item.example,
            }
            for item in FILTERS[mission]
        ],
        "sorts": [list(item) for item in sorts(mission)],
        "sizes": [[str(size), str(size)] for size in PAGE_SIZES],
        "presets": [*([days, label] for label, days in PRESETS), [0, "Any time"]],
    }


def _faults(state: ExplorerState, refused: Mapping[str, tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What is wrong, by field, in the order of the form: what was typed and refused, and what code has set."""
    found = {name: fault for name, (_, fault) in refused.items()}
    if not {"start", "stop"} & set(found) and state.start and state.stop and state.start > state.stop:
        found["stop"] = _fault(InputError("This is before the first day.", hint="Swap the two days."))
    for item in FILTERS[state.collection]:
        if item.name not in found:
            try:
                check(state.collection, item.name, state.filters.get(item.name, ""))
            except ExtensoError as error:
                found[item.name] = _fault(error)
    if "q" not in found:
        try:
            query.parse(state.q)
        except QueryError as error:
            found["q"] = _fault(error)
    order = (*FIELDS[:5], *(item.name for item in FILTERS[state.collection]), *FIELDS[5:])
    return {name: found[name] for name in order if name in found}


def _fault(error: ExtensoError | TraitError) -> dict[str, Any]:
    if isinstance(error, QueryError):
        at, better = error.position, error.suggestion or ""
        return {"text": error.message, "hint": error.hint, "at": at, "suggestion": better}
    if isinstance(error, ExtensoError):
        return {"text": error.message, "hint": error.hint, "at": -1, "suggestion": ""}
    return {"text": str(error), "hint": "", "at": -1, "suggestion": ""}
