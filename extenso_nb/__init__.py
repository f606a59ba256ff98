"""From a rectangle on a map to an analysis-ready xarray, through orders that outlive the notebook.

>>> import extenso_nb as ex
>>> eo = ex.connect()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from extenso_nb._version import __version__

if TYPE_CHECKING:
    from extenso_nb import errors
    from extenso_nb.aoi import area
    from extenso_nb.client import AsyncClient, Client
    from extenso_nb.models import BucketProperties
    from extenso_nb.readers import open_product
    from extenso_nb.session import Session, connect
    from extenso_nb.widgets import Explorer

# Loaded when first used: importing the package costs milliseconds and touches neither network nor disk.
_HOMES = {
    "AsyncClient": "client",
    "BucketProperties": "models",
    "Client": "client",
    "Explorer": "widgets",
    "Session": "session",
    "area": "aoi",
    "connect": "session",
    "open_product": "readers",
}

__all__ = [
    "AsyncClient",
    "BucketProperties",
    "Client",
    "Explorer",
    "Session",
    "__version__",
    "area",
    "connect",
    "errors",
    "open_product",
]


def __getattr__(name: str) -> Any:
    if name in {"errors", "widgets"}:
        return import_module(f"extenso_nb.{name}")
    if name in _HOMES:
        return getattr(import_module(f"extenso_nb.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'extenso_nb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
