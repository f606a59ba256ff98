"""The basket: what is selected, its estimate against the quota, where it goes, and the order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from traitlets import Bool, Dict, List, Unicode

from extenso_nb import _html
from extenso_nb.aoi.coverage import joint_coverage
from extenso_nb.errors import InputError
from extenso_nb.models import BucketProperties, Product, Storage
from extenso_nb.results import short_name
from extenso_nb.widgets.panel import Panel, Source, script, style
from extenso_nb.widgets.state import ExplorerState, guard

__all__ = ["Basket"]


class Basket(Panel):
    """What is selected, how much it is against the quota, where it goes, and the buttons that estimate and order it."""

    _esm = script("basket")
    _css = style("basket")
    items = List(Dict()).tag(sync=True)
    facts = List(Unicode()).tag(sync=True)
    quota = Dict().tag(sync=True)
    destination = Dict().tag(sync=True)
    refused = List(Dict()).tag(sync=True)
    hovered = Unicode("").tag(sync=True)
    estimating = Bool(False).tag(sync=True)
    ordering = Bool(False).tag(sync=True)
    note = Unicode("").tag(sync=True)

    def __init__(self, source: Source = None) -> None:
        super().__init__(source)
        self.watch(self._show_items, "selected", "kept")
        self.watch(self._show_facts, "selected", "kept", "aoi", "estimate")
        self.watch(self._show_quota, "selected", "kept", "account", "estimate", "destination")
        self.watch(self._show_destination, "destination")
        self.watch(self._show_busy, "busy")
        self.watch(self._show_hovered, "hovered")
        if self._owns_desk:
            self.watch(self._show_note, "message")
        self.observe(guard(self.state, "Pointing failed.", self._pointed), "hovered")
        self.answer("remove", lambda content: self._remove({str(content["id"])}))
        self.answer("remove_refused", lambda _: self._remove({row["id"] for row in self.refused}))
        self.answer("clear", lambda _: self.state.select([]))
        self.answer("estimate", lambda _: self.desk.estimate())
        self.answer("order", lambda _: self.desk.order())
        self.answer("free", lambda _: self.desk.use_bucket(None))
        self.answer("bucket", self._use_bucket)

    # --- what it shows -------------------------------------------------------------------------------------------
    def _show_items(self) -> None:
        self.items = [_chip(product) for product in self.state.basket()]

    def _show_facts(self) -> None:
        found, answer = self.state.basket(), self.state.estimated()
        self.facts = facts(self.state, found)
        wrong = answer.errors if answer is not None else {}
        names = {product.id: short_name(product) for product in found}
        self.refused = [{"id": key, "name": names.get(key, key), "reason": why} for key, why in wrong.items()]

    def _show_quota(self) -> None:
        self.quota = quota(self.state)

    def _show_destination(self) -> None:
        place = self.state.destination
        known = self.state.bucket is not None
        self.destination = {key: place.get(key, "") for key in ("kind", "endpoint", "bucket", "prefix")} | {
            "ready": place["kind"] == "free" or known
        }

    def _show_busy(self) -> None:
        busy = self.state.busy
        self.estimating, self.ordering = "estimate" in busy, "order" in busy

    def _show_hovered(self) -> None:
        self.hovered = self.state.hovered

    def _show_note(self) -> None:
        self.note = alone(self.state)

    # --- what is done to it --------------------------------------------------------------------------------------
    def _pointed(self, change: Any) -> None:
        self.state.update(hovered=change["new"])

    def _remove(self, ids: set[str]) -> None:
        self.state.select([key for key in self.state.selected if key not in ids])

    def _use_bucket(self, content: Mapping[str, Any]) -> None:
        """Take the form of a bucket. Its keys go from here to the desk and nowhere else: no trait, no log, no answer."""
        given = {key: str(content.get(key) or "").strip() for key in _BUCKET}
        missing = [words for key, words in _NEEDED.items() if not given[key]]
        if missing:
            raise InputError(f"A bucket needs {', '.join(missing)}.", hint="Fill in what is missing; nothing was kept.")
        if "@" in given["endpoint"]:
            raise InputError(
                "The endpoint came with keys in it.", hint="Give it without; the keys have their own fields."
            )
        try:
            bucket = BucketProperties.model_validate({key: value for key, value in given.items() if value})
        except ValidationError:
            raise InputError("The bucket cannot be read.", hint="Look at the endpoint; nothing was kept.") from None
        self.desk.use_bucket(bucket)
        self._show_destination()  # the same place with other keys changes no trait of the state
        where = bucket.bucket or bucket.endpoint
        self.state.say("info", f"Orders go into your bucket {where}.", "The keys are kept in this process only.")


_NEEDED = {"endpoint": "an endpoint", "access_key": "an access key", "secret_key": "a secret key"}
_BUCKET = (*_NEEDED, "bucket", "prefix")
"""Fields of the form; the bucket may be part of the endpoint."""


def alone(state: ExplorerState) -> str:
    """The message of a state in one text, for a part that stands without a message line."""
    message = state.message
    return " ".join(text for text in (message["title"], message["detail"], message["hint"]) if text)


def _chip(product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "name": short_name(product),
        "day": f"{product.begin_position:%Y-%m-%d}",
        "cold": not product.online,
    }


def facts(state: ExplorerState, found: list[Product]) -> list[str]:
    """What is to be known of a basket: how many, how much, how many cold, how much of the area."""
    if not found:
        return []
    answer = state.estimated()
    if answer is not None:
        size, guessed = answer.total, any(item.size_estimated for item in answer.products)
        cold = sum(item.online is False for item in answer.products)
    else:
        size, guessed = sum(product.size for product in found), any(item.size_estimated for item in found)
        cold = sum(not product.online for product in found)
    words = [f"{len(found)} product{'s' * (len(found) != 1)}", ("~" if guessed else "") + _html.bytes_text(size)]
    if cold:
        words.append(f"{cold} cold: hours to days")
    share = None
    if state.aoi is not None and state.aoi_valid:
        share = joint_coverage(state.aoi, [product.footprint for product in found])
    if share is not None:
        words.append(f"covers {_percent(share)} of the area")
    return words


def _percent(share: float) -> str:
    """A share in whole per cent; never 100 % or 0 % where something is missing or there."""
    if 99.5 <= share < 100:
        return "over 99 %"
    if 0 < share < 1:
        return "under 1 %"
    return f"{share:.0f} %"


def quota(state: ExplorerState) -> dict[str, Any]:
    """The storage as a bar: shares used, of this order and free, and words for them; empty where nothing is known."""
    if state.destination["kind"] == "bucket":
        return {"words": "Goes into your own bucket: no quota is used.", "bar": False, "over": False}
    answer, account = state.estimated(), state.accounted()
    found = state.basket()
    if answer is not None:
        storage, size = answer.storage_before, answer.total
        guessed = any(item.size_estimated for item in answer.products)
    elif account is not None:
        storage, size = account.storage, sum(product.size for product in found)
        guessed = True
    else:
        return {}
    return bar(storage, size, guessed=guessed)


def bar(storage: Storage, size: int, *, guessed: bool = False) -> dict[str, Any]:
    """What a storage's bar shows when `size` bytes are to come into it."""
    taken = storage.used + storage.reserved
    whole = max(storage.quota, taken + size, 1)
    about = "~" if guessed else ""
    over = size > storage.free
    rest = (
        f"{about}{_html.bytes_text(size - storage.free)} too much"
        if over
        else f"{about}{_html.bytes_text(storage.free - size)} stay free"
    )
    return {
        "bar": True,
        "used": round(taken / whole, 4),
        "order": round(size / whole, 4),
        "over": over,
        "words": f"{_html.bytes_text(taken)} used, {about}{_html.bytes_text(size)} this order, {rest}"
        f" of {_html.bytes_text(storage.quota)}",
    }
