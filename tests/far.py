"""What the local servers of all archives have in common, so that the same orders and queries go through each."""

from __future__ import annotations

from typing import Protocol, Self

from scripted_http import ScriptedHttp

from extenso_nb.gateway.sources import Source
from extenso_nb.models import Product


class Far(Protocol):
    """An archive at the far end: a server that answers as its documentation says, and the adapter that asks it."""

    server: ScriptedHttp
    """Behind which everything lies: catalogue, tokens, bytes. It has the faults of `scripted_http`."""
    source: Source

    def hold(self, product: Product, content: bytes | dict[str, bytes] | None = None) -> None:
        """Show a product; with the bytes of a delivery, or with its files below the product's folder."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
