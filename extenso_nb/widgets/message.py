"""The message line: what happened, why, and the next step."""

from __future__ import annotations

from traitlets import Unicode

from extenso_nb.widgets.panel import Panel, Source, script, style

__all__ = ["Message"]


class Message(Panel):
    """The message line of a state."""

    _esm = script("message")
    _css = style("message")
    level = Unicode("").tag(sync=True)
    title = Unicode("").tag(sync=True)
    detail = Unicode("").tag(sync=True)
    hint = Unicode("").tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        super().__init__(source)
        self.watch(self._show, "message")

    def _show(self) -> None:
        with self.hold_sync():
            for name, value in self.state.message.items():
                setattr(self, name, value)
