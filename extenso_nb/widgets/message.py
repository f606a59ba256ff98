"""The message line: what happened, why, the next step, and a button for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traitlets import Unicode

from extenso_nb.widgets.panel import Panel, Source, script, style

__all__ = ["Message"]

_WORDS = ("level", "title", "detail", "hint", "retry", "stop")


class Message(Panel):
    """The message line of a state."""

    _esm = script("message")
    _css = style("message")
    level = Unicode("").tag(sync=True)
    title = Unicode("").tag(sync=True)
    detail = Unicode("").tag(sync=True)
    hint = Unicode("").tag(sync=True)
    retry = Unicode("").tag(sync=True)
    stop = Unicode("").tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        super().__init__(source)
        self.watch(self._show, "message")
        self.answer("retry", self._retry)
        self.answer("stop", self._stop)

    def _show(self) -> None:
        with self.hold_sync():
            for name in _WORDS:
                setattr(self, name, self.state.message.get(name, ""))

    def _retry(self, content: Mapping[str, Any]) -> None:
        """Carry out what the message offers: what the browser names must be that, or a late click would do another thing."""
        command = str(content.get("command", ""))
        if command and command == self.state.message.get("retry"):
            self.desk.again(command)

    def _stop(self, content: Mapping[str, Any]) -> None:
        command = str(content.get("command", ""))
        if command and command == self.state.message.get("stop"):
            self.desk.stop(command)
