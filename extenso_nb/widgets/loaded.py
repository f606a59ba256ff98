"""What was loaded last: its name in the notebook, a line to go on with, and a first picture."""

from __future__ import annotations

from traitlets import Unicode

from extenso_nb.results import short_id
from extenso_nb.widgets.panel import Panel, Source, script, style

__all__ = ["Loaded"]


class Loaded(Panel):
    """The product that was loaded last, until it is closed."""

    _esm = script("loaded")
    _css = style("loaded")
    product = Unicode("").tag(sync=True)
    short = Unicode("").tag(sync=True)
    name = Unicode("").tag(sync=True)
    text = Unicode("").tag(sync=True)
    code = Unicode("").tag(sync=True)
    picture = Unicode("").tag(sync=True)
    note = Unicode("").tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        super().__init__(source)
        self.watch(self._show, "loaded")
        self.answer("close", lambda _: self.state.update(loaded={}))

    def _show(self) -> None:
        loaded = self.state.loaded
        with self.hold_sync():
            for name in ("product", "name", "text", "code", "picture", "note"):
                setattr(self, name, str(loaded.get(name, "")))
            self.short = short_id(self.product) if self.product else ""
