"""Widgets for notebooks: the Explorer, its state, and its parts, each usable alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extenso_nb.widgets.area import AreaPicker
    from extenso_nb.widgets.board import OrderBoard
    from extenso_nb.widgets.explorer import Explorer
    from extenso_nb.widgets.form import SearchForm
    from extenso_nb.widgets.map import MapView
    from extenso_nb.widgets.results import ResultsView
    from extenso_nb.widgets.state import ExplorerState
    from extenso_nb.widgets.timeline import Timeline

__all__ = ["AreaPicker", "Explorer", "ExplorerState", "MapView", "OrderBoard", "ResultsView", "SearchForm", "Timeline"]

_ROOMS = {
    "AreaPicker": "area",
    "Explorer": "explorer",
    "ExplorerState": "state",
    "MapView": "map",
    "OrderBoard": "board",
    "ResultsView": "results",
    "SearchForm": "form",
    "Timeline": "timeline",
}


def __getattr__(name: str) -> Any:
    """Import a part when it is first asked for: the state needs no ipywidgets."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
