"""What every view that runs in the browser is: one ES module over shared code, traits down, commands up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets

from extenso_nb.widgets.desk import Desk, desk_of
from extenso_nb.widgets.state import guard

__all__ = ["Panel", "Source", "parts_of", "script", "style"]

_ASSETS = Path(__file__).parent / "assets"
Source = Any
"""Where a part used alone gets its desk from: a session, a desk, or None for one without a gateway."""


@cache
def script(name: str) -> str:
    """The ES module of a part, with what all parts share before it: no build step, and no second request."""
    return "\n".join((_ASSETS / f"{stem}.js").read_text("utf-8") for stem in ("dom", name))


@cache
def style(name: str) -> str:
    """The stylesheet of a part, after the look that all parts share."""
    return "\n".join((_ASSETS / f"{stem}.css").read_text("utf-8") for stem in ("look", name))


def parts_of(top: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    """All widgets below one: ipywidgets holds each until it is closed by itself, eighty of them for an Explorer."""
    found: dict[int, ipywidgets.Widget] = {}
    left = [top]
    while left:
        widget = left.pop()
        for name in widget.keys:
            value = getattr(widget, name)
            for item in value if isinstance(value, (list, tuple)) else (value,):
                if isinstance(item, ipywidgets.Widget) and item is not top and id(item) not in found:
                    found[id(item)] = item
                    left.append(item)
    return list(found.values())


class Panel(anywidget.AnyWidget):
    """A view in the browser: it watches the state, and answers to commands `{"kind": ...}` that the browser sends.

    A view never holds truth: what it shows is drawn from the state, and what is done to it goes to the desk or the state.
    """

    _owns_desk = False

    def __init__(self, source: Source = None, **traits: Any) -> None:
        self.desk: Desk = desk_of(source)
        self.state = self.desk.state
        self._owns_desk = self.desk is not source
        self._watched: list[tuple[Callable[..., None], list[str]]] = []
        super().__init__(**traits)
        self.on_msg(guard(self.state, "The button had no effect.", self._command))
        self._commands: dict[str, Callable[[Mapping[str, Any], Sequence[memoryview]], object]] = {}

    def answer(self, kind: str, act: Callable[[Mapping[str, Any]], object]) -> None:
        """Call `act` with the content of each command of this kind."""
        self._commands[kind] = lambda content, _: act(content)

    def answer_bytes(self, kind: str, act: Callable[[Mapping[str, Any], Sequence[memoryview]], object]) -> None:
        """As `answer`, for commands that bring bytes."""
        self._commands[kind] = act

    def watch(self, show: Callable[[], None], *names: str) -> None:
        """Call `show` now, and whenever one of the state's traits changes, until the view is closed."""

        def changed(_: Any) -> None:
            # One thread at a time: what was read first must not be drawn last.
            with self.state.lock:
                show()

        watch = guard(self.state, "A part could not be drawn.", changed), list(names)
        self._watched.append(watch)
        self.state.observe(*watch)
        show()

    def _command(self, _: Any, content: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        act = self._commands.get(str(content.get("kind")))
        if act is not None:
            act(content, buffers)

    def close(self) -> None:
        """Take it off the page; a desk of its own ends with it."""
        if self._owns_desk:
            self.desk.close()
        for watch in self._watched:
            self.state.unobserve(*watch)
        self._watched = []
        layout = self.layout
        super().close()
        layout.close()  # a widget of its own, which ipywidgets holds until the process ends
