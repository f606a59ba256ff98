"""The search form: mission, type, days, cloud and the conditions of each mission."""

from __future__ import annotations

from traitlets import Bool, Dict

from extenso_nb.widgets.panel import Panel, Source, script, style

__all__ = ["SearchForm"]


class SearchForm(Panel):
    """What to look for."""

    _esm = script("form")
    _css = style("form")
    values = Dict().tag(sync=True)
    busy = Bool(False).tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        super().__init__(source)
        self.watch(self._show, "collection", "busy")
        self.answer("search", lambda _: self.desk.search())
        self.answer("cancel", lambda _: self.desk.cancel())

    def _show(self) -> None:
        self.values, self.busy = {"collection": self.state.collection}, "search" in self.state.busy
