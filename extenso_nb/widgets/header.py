"""The head of the Explorer: which gateway, how full the storage is, the same search as code, and the keys."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, List, TraitError, Unicode, validate

from extenso_nb import _html
from extenso_nb.errors import ExtensoError
from extenso_nb.widgets.panel import Panel, Source, script, style
from extenso_nb.widgets.state import guard

__all__ = ["Header"]

KEYS: list[dict[str, str]] = [
    {"keys": "Tab", "does": "from one part to the next: form, map, results, basket, orders"},
    {"keys": "Arrows", "does": "among the results, or the buttons of a group"},
    {"keys": "Space", "does": "select the product, or drop it"},
    {"keys": "Enter", "does": "show its details"},
    {"keys": "M", "does": "lay its quicklook on the map, or take it off"},
    {"keys": "Escape", "does": "back, and close what is open"},
]
_LANGUAGES = {"Python": "python", "Shell": "cli", "curl": "curl"}
_EXPORTED = (
    "aoi", "aoi_valid", "collection", "product_type", "start", "stop", "cloud", "filters", "q", "sort", "page_size", "selected",
    "destination",
)  # fmt: skip
"""What the code depends on."""


class Header(Panel):
    """Wordmark, gateway, storage, and the popovers Code and Keys."""

    _esm = script("header")
    _css = style("header")
    gateway = Unicode("").tag(sync=True)
    reached = Unicode("").tag(sync=True)
    storage = Dict().tag(sync=True)
    keys_help = List(Dict()).tag(sync=True)
    showing = Unicode("").tag(sync=True)
    code = Dict().tag(sync=True)
    code_note = Unicode("").tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        super().__init__(source, keys_help=KEYS)
        self.watch(self._show_gateway, "gateway", "reached")
        self.watch(self._show_storage, "account")
        self.watch(self._show_code, *_EXPORTED)
        self.observe(guard(self.state, "The code could not be written.", lambda _: self._show_code()), "showing")

    @validate("showing")
    def _check_showing(self, proposal: Any) -> str:
        if proposal.value not in {"", "code", "keys"}:
            raise TraitError(f"showing must be code, keys or empty; got {proposal.value!r}.")
        return str(proposal.value)

    def _show_gateway(self) -> None:
        self.gateway, self.reached = self.state.gateway, self.state.reached

    def _show_storage(self) -> None:
        account = self.state.accounted()
        if account is None:
            self.storage = {}
            return
        storage = account.storage
        taken = storage.used + storage.reserved
        self.storage = {
            "words": f"{_of(taken, storage.quota)} used",
            "share": round(min(taken / storage.quota, 1.0), 4) if storage.quota else 1.0,
            "name": account.name,
        }

    def _show_code(self) -> None:
        """The search as code, while somebody looks at it. A form that cannot be searched has none, and says why."""
        if self.showing != "code":
            return
        try:
            code = {name: self.desk.code(kind) for name, kind in _LANGUAGES.items()}
        except ExtensoError as error:
            self.code, self.code_note = {}, f"{error.message} {error.hint}"
        else:
            self.code, self.code_note = code, ""


def _of(part: int, whole: int) -> str:
    """`2.1 of 10 GB`: the unit once where it is the same."""
    first, last = _html.bytes_text(part), _html.bytes_text(whole)
    number, _, unit = first.partition(" ")
    return f"{number} of {last}" if last.endswith(f" {unit}") else f"{first} of {last}"
