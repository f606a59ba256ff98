"""Frozen events of what is going on, and three listeners: quiet, text, notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TextIO

from extenso_nb import _html

__all__ = ["Listener", "Progress", "in_notebook", "listener", "notebook", "quiet", "text"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing at one moment."""

    key: str
    """What it is about: a delivery's id, a file's name."""
    label: str
    """What to call it on the screen."""
    state: str
    """A delivery status, or `downloading`."""
    done: int = 0
    """Bytes so far."""
    total: int = 0
    """Bytes in all; 0 when unknown."""
    note: str = ""
    """One line more: the reason of a failure, the next attempt."""

    @property
    def fraction(self) -> float:
        """Share done, within 0..1."""
        if self.state == "delivered":
            return 1.0
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come about this key."""
        return self.state in {"delivered", "failed", "cancelled", "done"}


Listener = Callable[[Progress], None]


def quiet(event: Progress) -> None:
    """A listener that says nothing."""


def text(stream: TextIO | None = None, *, every: float = 1.0) -> Listener:
    """A listener that writes a line for each change of state, and at most one each `every` seconds in between."""
    states: dict[str, str] = {}
    last: dict[str, float] = {}

    def listen(event: Progress) -> None:
        now = time.monotonic()
        if states.get(event.key) == event.state and now - last.get(event.key, -1e9) < every:
            return
        if states.get(event.key) == event.state and event.ended:
            return
        states[event.key], last[event.key] = event.state, now
        print(_line(event), file=stream or sys.stderr, flush=True)

    return listen


def _line(event: Progress) -> str:
    share = f"{event.fraction:4.0%}" if event.total or event.ended else "    "
    size = f" {_html.bytes_text(event.done)} of {_html.bytes_text(event.total)}" if event.total else ""
    note = f" ({event.note})" if event.note else ""
    return f"{event.state:<13}{share} {event.label}{size}{note}"


def notebook() -> Listener:
    """A listener that keeps one table of bars up to date below the cell. Raises ImportError without IPython."""
    shown: Any = import_module("IPython.display")
    events: dict[str, Progress] = {}
    handle = shown.display(shown.HTML(""), display_id=True)
    drawn = [0.0]

    def listen(event: Progress) -> None:
        changed = events.get(event.key) is None or events[event.key].state != event.state
        events[event.key] = event
        # A hundred small updates a second would only fill the notebook's channel.
        if handle is not None and (changed or time.monotonic() - drawn[0] > 0.2):
            drawn[0] = time.monotonic()
            handle.update(shown.HTML(bars(events.values())))

    return listen


def bars(events: Any) -> str:
    """The events as a self-contained HTML table of bars."""
    rows = "".join(_bar(event) for event in events)
    return f'<table style="font:13px/1.5 var(--jp-ui-font-family,system-ui,sans-serif)">{rows}</table>'


_COLOURS = {"delivered": "#2f7d4f", "done": "#2f7d4f", "failed": "#b3372f", "cancelled": "#6b7280"}


def _bar(event: Progress) -> str:
    from html import escape

    colour = _COLOURS.get(event.state, "#2563a8")
    width = round(100 * event.fraction)
    size = f"{_html.bytes_text(event.done)} of {_html.bytes_text(event.total)}" if event.total else ""
    return (
        f'<tr><td style="padding:1px 10px 1px 0;font-family:var(--jp-code-font-family,monospace)">{escape(event.label)}</td>'
        f'<td style="padding:1px 10px 1px 0"><div role="progressbar" aria-label="{escape(event.label)}" aria-valuenow="{width}" '
        f'aria-valuemin="0" aria-valuemax="100" style="width:160px;height:10px;border-radius:5px;'
        f'background:var(--jp-layout-color2,#e5e7eb)"><div style="width:{width}%;height:10px;border-radius:5px;'
        f'background:{colour}"></div></div></td><td style="padding:1px 10px 1px 0">{escape(event.state)}</td>'
        f"<td>{escape(size)} {escape(event.note)}</td></tr>"
    )


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel. Imports nothing that is not there already."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def listener(choice: Listener | bool | None = None) -> Listener:
    """A listener for what a caller said: a listener itself, False for none, True or None for the one that fits here."""
    if callable(choice):
        return choice
    if choice is False:
        return quiet
    return notebook() if in_notebook() else text()
