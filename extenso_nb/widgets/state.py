"""What the Explorer knows: traits only, no ipywidgets; runs headless, and goes to JSON and back."""

from __future__ import annotations

import keyword
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, cast

from pydantic import ValidationError
from traitlets import Bool, Dict, Float, HasTraits, Int, List, TraitError, Tuple, Unicode, validate
from traitlets import observe as on_change

from extenso_nb.errors import AreaError, ExtensoError, InputError
from extenso_nb.models import DELIVERY_ENDED, Account, BucketProperties, Delivery, Estimate, Order, Product
from extenso_nb.widgets import failures
from extenso_nb.widgets.facets import FACETS, fails
from extenso_nb.widgets.footprints import mended
from extenso_nb.widgets.offers import CLOUDY, COLLECTIONS, FILTERS

__all__ = ["FREE", "ExplorerState", "guard", "strict"]

logger = logging.getLogger("extenso_nb.widgets")

LEVELS = ("", "info", "success", "warning", "error")
QUIET: dict[str, str] = {"level": "", "title": "", "detail": "", "hint": ""}
AGAIN = (
    "search", "load_more", "estimate", "order", "resume", "cancel_order", "retry_order", "delete_order", "load", "show_details",
)  # fmt: skip
"""Verbs of the desk that a message may offer to carry out once more."""
FREE: dict[str, str] = {"kind": "free"}
"""The destination of an order that goes into the gateway's own storage."""
_PLACE = frozenset({"kind", "endpoint", "bucket", "prefix"})
_FILTER_NAMES = frozenset(item.name for items in FILTERS.values() for item in items)

_strict = threading.Event()


@contextmanager
def strict() -> Iterator[None]:
    """Within it, what a callback raises is raised again after it was shown: for tests."""
    _strict.set()
    try:
        yield
    finally:
        _strict.clear()


def _day(text: str, name: str) -> str:
    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise TraitError(f"{name} must be a day such as 2024-06-01, or empty; got {text!r}.") from error


class Attempt(NamedTuple):
    """To order so many products, under an Idempotency-Key."""

    key: str
    products: tuple[str, ...]


class ExplorerState(HasTraits):
    """All that the views show and the actions change. Everything may be set from code; the views follow."""

    # What to look for.
    aoi: Any = Dict(allow_none=True, default_value=None, help="GeoJSON geometry, lon/lat; None for the whole Earth.")
    aoi_text = Unicode("", help="Size of the area, or what is wrong with it.")
    aoi_valid = Bool(True, help="False while the shape drawn is no area; a search is then refused.")
    collection = Unicode("S2", help="S1, S2, S3 or S5P.")
    product_type = Unicode("", help="Value of `producttype`; empty for any.")
    start = Unicode("", help="First day, 2024-06-01; empty for no limit.")
    stop = Unicode("", help="Last day, included; empty for no limit.")
    cloud = Float(100.0, help="Most cloud cover, per cent; 100 for any.")
    filters: Any = Dict(help="Further arguments of `query.build`, name -> text; those of other missions are not used.")
    q = Unicode("", help="A query in SciHub's language that must hold besides the form.")
    sort = Unicode("", help="`orderby` of the search: the order of the list.")
    page_size = Int(50, help="Products asked for at a time, 1 to 100.")

    # What was found.
    searched = Bool(False, help="Whether `products` answers a search: nothing found is not the same as nothing asked.")
    failed = Bool(False, help="Whether the last search failed; `products` are then those of an earlier one.")
    query = Unicode("", help="The `q` that was sent.")
    found_collection = Unicode("", help="The collection that was searched; the form may have moved on.")
    found_sort = Unicode("", help="The order in which it was searched.")
    found_form: Any = Dict(help="The form that was searched, as `search_form` gives it.")
    found_aoi: Any = Dict(allow_none=True, default_value=None, help="The area that was searched.")
    products: Any = Tuple(help="models.Product, in the order of the search.")
    total = Int(0, help="How many the gateway found.")
    thumbnails: Any = Dict(help="Identifier -> data URI; empty text where there is no picture. Not saved.")
    timeline: Any = Dict(
        allow_none=True,
        default_value=None,
        help='{"bins": [{"start": day, "stop": day, "count": int}], "complete": whether all are in them}; None before a search.',
    )

    # How it is looked at.
    view = Unicode("gallery", help="gallery or table.")
    facets: Any = Dict(help="Field of a product -> values that are shown; the others are left out of list and map.")
    least_coverage = Float(0.0, help="Products that cover less of the area, per cent, are left out of list and map.")
    hovered = Unicode("", help="Identifier under the pointer, or empty. Not saved.")
    detailed = Unicode("", help="Identifier of the product whose details are shown, or empty.")
    details: Any = Dict(help='{"id", "picture": data URI or "", "facts": [[label, value], ...]}. Not saved.')
    draped = List(Unicode(), help="Identifiers whose quicklooks lie on the map, two at most.")
    drapes: Any = Dict(help='Identifier -> {"url": data URI, "bounds": [[south, west], [north, east]]}. Not saved.')
    opacity = Float(0.9, help="Of the quicklooks on the map, 0 to 1.")
    opacities: Any = Dict(help="Identifier -> opacity of one quicklook, where it differs from `opacity`.")
    swiping = Bool(False, help="Whether two quicklooks on the map are compared by a swipe.")

    # The basket, which outlives searches.
    selected = List(Unicode(), help="Identifiers, in the order of selection.")
    kept: Any = Dict(help="Products of `selected`, as on the wire: found by earlier searches too.")
    destination: Any = Dict(FREE, help="As models.Destination on the wire; keys of a bucket are never here.")
    estimate: Any = Dict(
        allow_none=True, default_value=None, help="models.Estimate of `selected` as on the wire, or None."
    )
    account: Any = Dict(allow_none=True, default_value=None, help="models.Account as on the wire. Not saved.")
    gateway = Unicode("", help="Which gateway answers, in words. Not saved.")
    reached = Unicode("", help="connected or not reached, as the last request was answered; empty before. Not saved.")

    # What was ordered: id -> {"order": {...}, "deliveries": [{...}]}, as on the wire.
    orders: Any = Dict()
    opened = Unicode("", help="Identifier of the delivery opened last.")
    loaded: Any = Dict(help='{"delivery", "product", "name", "text", "picture": data URI or ""}. Not saved.')
    variable = Unicode("scene", help="What the next product loaded is called in the notebook.")

    # What goes on.
    busy: Any = Tuple(help="Names of the actions that run. Not saved.")
    message = Dict(
        QUIET,
        help="level (info, success, warning, error), title, detail, hint; all text. Where there is something to press also"
        " retry (a verb of the desk, with its argument: `load 41-1`) or stop (what runs and can be cancelled).",
    )

    _saved = (
        "aoi", "aoi_text", "aoi_valid", "collection", "product_type", "start", "stop", "cloud", "filters", "q", "sort",
        "page_size", "searched", "failed", "query", "found_collection", "found_sort", "found_form", "found_aoi", "total", "view",
        "facets", "least_coverage", "detailed", "draped", "opacity", "opacities", "swiping", "selected", "kept", "destination",
        "estimate", "orders", "opened", "variable", "message",
    )  # fmt: skip

    def __init__(self, **values: Any) -> None:
        self.lock = threading.RLock()
        self.generation = 0
        self.bucket: BucketProperties | None = None
        """The user's own bucket with its keys: of this process, neither a trait nor in `to_dict`."""
        self._attempts: dict[tuple[Any, ...], Attempt] = {}
        self._dropped: set[str] = set()
        self._shares: tuple[Any, dict[str, float | None]] = (None, {})
        super().__init__(**values)

    # --- values that are refused ---------------------------------------------------------------------------------
    @validate("collection")
    def _check_collection(self, proposal: Any) -> str:
        if proposal.value not in COLLECTIONS:
            raise TraitError(f"collection must be one of {', '.join(COLLECTIONS)}; got {proposal.value!r}.")
        return str(proposal.value)

    @validate("start", "stop")
    def _check_day(self, proposal: Any) -> str:
        return _day(proposal.value, proposal.trait.name)

    @validate("cloud")
    def _check_cloud(self, proposal: Any) -> float:
        if not 0 <= proposal.value <= 100:
            raise TraitError(f"cloud must be within 0..100 per cent; got {proposal.value!r}.")
        return float(proposal.value)

    @validate("least_coverage")
    def _check_coverage(self, proposal: Any) -> float:
        if not 0 <= proposal.value <= 100:
            raise TraitError(f"least_coverage must be within 0..100 per cent; got {proposal.value!r}.")
        return float(proposal.value)

    @validate("opacity")
    def _check_opacity(self, proposal: Any) -> float:
        if not 0 <= proposal.value <= 1:
            raise TraitError(f"opacity must be within 0..1; got {proposal.value!r}.")
        return float(proposal.value)

    @validate("view")
    def _check_view(self, proposal: Any) -> str:
        if proposal.value not in {"gallery", "table"}:
            raise TraitError(f"view must be gallery or table; got {proposal.value!r}.")
        return str(proposal.value)

    @validate("sort")
    def _check_sort(self, proposal: Any) -> str:
        from extenso_nb.query import order

        try:
            order([], proposal.value)
        except ExtensoError as error:
            raise TraitError(f"sort: {error.message}") from error
        return str(proposal.value)

    @validate("filters")
    def _check_filters(self, proposal: Any) -> dict[str, str]:
        unknown = sorted(set(proposal.value) - _FILTER_NAMES)
        if unknown:
            raise TraitError(f"filters: {', '.join(unknown)} is none of {', '.join(sorted(_FILTER_NAMES))}.")
        return {str(key): str(value).strip() for key, value in proposal.value.items() if str(value).strip()}

    @validate("facets")
    def _check_facets(self, proposal: Any) -> dict[str, list[str]]:
        unknown = sorted(set(proposal.value) - set(FACETS))
        if unknown:
            raise TraitError(f"facets: {', '.join(map(str, unknown))} is none of {', '.join(FACETS)}.")
        return {name: [str(value) for value in values] for name, values in proposal.value.items() if values}

    @validate("selected")
    def _check_selected(self, proposal: Any) -> list[str]:
        """What is selected is what is shown: an identifier without its product would be ordered unseen."""
        there = {product.id for product in self.products}
        return [key for key in dict.fromkeys(proposal.value) if key in there or key in self.kept]

    @on_change("selected")
    def _keep_selected(self, change: Any) -> None:
        """However it was set: the products are kept, and an estimate of others is none of these."""
        there = {product.id: product for product in self.products}
        bodies = {key: there[key].to_wire() if key in there else self.kept[key] for key in change["new"]}
        if bodies != self.kept:
            self.kept = bodies
        if self.estimate is not None and {row["id"] for row in self.estimate.get("products", ())} != set(bodies):
            self.estimate = None

    @validate("destination")
    def _check_destination(self, proposal: Any) -> dict[str, str]:
        place = {str(key): str(text) for key, text in proposal.value.items()}
        if place.get("kind") not in {"free", "bucket"} or set(place) - _PLACE:
            raise TraitError(f"destination has a kind, free or bucket, and of a bucket {', '.join(sorted(_PLACE))}.")
        if "@" in place.get("endpoint", ""):
            raise TraitError("destination: the endpoint has keys in it; they belong into the fields for keys.")
        return place

    @validate("variable")
    def _check_variable(self, proposal: Any) -> str:
        name = str(proposal.value).strip()
        if not name.isidentifier() or keyword.iskeyword(name):
            raise TraitError(f"variable must be a name of Python, such as scene; got {proposal.value!r}.")
        return name

    @validate("page_size")
    def _check_page_size(self, proposal: Any) -> int:
        if not 1 <= proposal.value <= 100:
            raise TraitError(f"page_size must be within 1..100; got {proposal.value!r}.")
        return int(proposal.value)

    @validate("message")
    def _check_message(self, proposal: Any) -> dict[str, str]:
        message = {key: str(proposal.value.get(key, "")) for key in QUIET}
        if message["level"] not in LEVELS:
            raise TraitError(f"level must be one of {', '.join(LEVELS[1:])}; got {message['level']!r}.")
        for key in ("retry", "stop"):
            if text := str(proposal.value.get(key) or ""):
                message[key] = text
        if message.get("retry", "search").partition(" ")[0] not in AGAIN:
            raise TraitError(f"retry must be one of {', '.join(AGAIN)}; got {message['retry']!r}.")
        return message

    # --- changes -------------------------------------------------------------------------------------------------
    def update(self, **changes: Any) -> None:
        """Set several traits, one thread at a time: the loop's thread and the notebook's both write.

        All or nothing: with TraitError for one of them none is set.
        """
        traits = self.traits()
        with self.lock:
            for name, value in changes.items():
                traits[name]._validate(self, value)  # noqa: SLF001 - HasTraits itself tries values in no other way
            for name, value in changes.items():
                setattr(self, name, value)

    def say(self, level: str, title: str, detail: str = "", hint: str = "", *, retry: str = "", stop: str = "") -> None:
        """Show a message; with `retry` or `stop` there is a button in it."""
        words = {"level": level, "title": title, "detail": detail, "hint": hint}
        self.update(message={**words, "retry": retry, "stop": stop})

    def fail(self, title: str, error: BaseException, *, retry: str = "") -> None:
        """Show what failed, why, and the next step; log what the package did not raise on purpose.

        `retry` is the verb of the desk that failed; it is offered again where that may help.
        """
        if isinstance(error, ExtensoError):
            again = retry if failures.passes(error) else ""
            self.say("error", failures.title(title, error), failures.detail(error), error.hint, retry=again)
            return
        if isinstance(error, TraitError):
            self.say("error", title, str(error), "Nothing was changed.")
            return
        logger.error("%s", title, exc_info=error)
        detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self.say("error", title, detail, "This is a fault of extenso_nb; the log has the traceback.")

    def begin(self) -> int:
        """Start a new search: answers to older ones no longer count. Returns the number of the new one."""
        with self.lock:
            self.generation += 1
            return self.generation

    def toggle(self, product_id: str) -> None:
        """Select a product, or drop it from the basket. Unknown identifiers are ignored: their card is gone."""
        with self.lock:
            if product_id in self.selected:
                self.select([key for key in self.selected if key != product_id])
            elif self.product(product_id) is not None:
                self.select([*self.selected, product_id])

    def pick(self, ids: Sequence[str], *, on: bool) -> None:
        """Put products into the basket, or take them out; the others stay as they are. Unknown identifiers are ignored."""
        with self.lock:
            left = [key for key in self.selected if on or key not in ids]
            self.select([*left, *ids] if on else left)

    def select(self, ids: Sequence[str]) -> None:
        """Replace the selection. What is selected stays selected while others are searched.

        An estimate of another selection is dropped.
        """
        chosen = list(dict.fromkeys(ids))
        with self.lock:
            if chosen == self.selected:
                return
            there = {product.id: product for product in self.products}
            bodies = ((key, there[key].to_wire() if key in there else self.kept.get(key)) for key in chosen)
            self.update(kept={key: body for key, body in bodies if body is not None}, selected=chosen, estimate=None)

    def clear_results(self) -> None:
        """Forget what looks at results that are being replaced."""
        self.update(hovered="", detailed="", details={}, draped=[], drapes={}, swiping=False, facets={}, timeline=None)

    def drop_order(self, order_id: int) -> None:
        """Forget an order that was deleted."""
        with self.lock:
            self._dropped.add(str(order_id))
            self.orders = {key: entry for key, entry in self.orders.items() if key != str(order_id)}

    def dropped(self, order_id: int) -> bool:
        """Whether an order was deleted here: an answer that was on its way by then brings it not back."""
        return str(order_id) in self._dropped

    def list_anew(self) -> None:
        """A list of the orders is asked for now: what is in it is there, whatever was deleted before."""
        with self.lock:
            self._dropped.clear()

    def put_order(self, order: Order, deliveries: Sequence[Delivery] | None = None) -> None:
        """Show an order as it is now; deliveries are kept when none are given."""
        key = str(order.id)
        with self.lock:
            if key in self._dropped:
                return
            known = self.orders.get(key, {}).get("deliveries", [])
            rows = known if deliveries is None else [delivery.to_wire() for delivery in deliveries]
            self.orders = {**self.orders, key: {"order": order.to_wire(), "deliveries": rows}}

    @contextmanager
    def working(self, name: str) -> Iterator[None]:
        """Name an action as running, for as long as it does."""
        with self.lock:
            self.busy = (*self.busy, name)
        try:
            yield
        finally:
            with self.lock:
                rest = list(self.busy)
                rest.remove(name)
                self.busy = tuple(rest)

    def attempt(self, chosen: Sequence[str], place: Mapping[str, Any]) -> Attempt:
        """The attempt to order these products to a place: the same one until it is known that it was placed.

        Trying again after an answer was lost is then the same order, whatever was tried in between: the gateway wants the
        same products in the same order for the same key.
        """
        what = (tuple(sorted(chosen)), tuple(sorted(place.items())))
        with self.lock:
            return self._attempts.setdefault(what, Attempt(str(uuid.uuid4()), tuple(chosen)))

    def placed(self, attempt: Attempt, order: Order) -> None:
        """An attempt has become an order: to order the same again is now another."""
        with self.lock:
            self._attempts = {what: other for what, other in self._attempts.items() if other != attempt}
            self._dropped.discard(str(order.id))
            self.put_order(order)

    # --- questions -----------------------------------------------------------------------------------------------
    def search_arguments(self) -> dict[str, Any]:
        """The form as keyword arguments of `query.build`. Raises InputError for a form that cannot be searched."""
        if not self.aoi_valid:
            raise AreaError(f"The shape drawn is no area: {self.aoi_text}", hint="Correct or remove it on the map.")
        if self.start and self.stop and self.start > self.stop:
            raise InputError(f"The first day, {self.start}, is after the last, {self.stop}.", hint="Swap the two days.")
        arguments: dict[str, Any] = {}
        if self.aoi is not None:
            arguments["intersects"] = self.aoi
        if self.start or self.stop:
            arguments["datetime"] = f"{self.start or '..'}/{self.stop or '..'}"  # a day as end takes all of itself
        if self.cloud < 100 and self.collection in CLOUDY:
            arguments["cloud_cover"] = (0, self.cloud)
        if self.product_type:
            arguments["product_type"] = self.product_type
        for item in FILTERS[self.collection]:
            if value := self.filters.get(item.name):
                arguments[item.name] = _whole(item.label, value) if item.name == "relative_orbit" else value
        return arguments

    def search_form(self) -> dict[str, Any]:
        """The form as it is, area left out: what a search that is shown is compared with."""
        names = ("collection", "product_type", "start", "stop", "cloud", "filters", "q", "sort")
        return {name: _copied(getattr(self, name)) for name in names}

    def outdated(self) -> bool:
        """Whether the results shown answer another form or area than the one that stands there now."""
        return self.searched and (self.found_form != self.search_form() or self.found_aoi != self.aoi)

    def product(self, product_id: str) -> Product | None:
        """The product of this identifier among those found or selected."""
        for product in self.products:
            if product.id == product_id:
                return cast("Product", product)
        body = self.kept.get(product_id)
        return None if body is None else Product.from_wire(body)

    def basket(self) -> list[Product]:
        """The products selected, in the order of selection."""
        chosen = set(self.selected)
        found = {product.id: product for product in self.products if product.id in chosen}
        kept = {key: Product.from_wire(body) for key, body in self.kept.items() if key not in found}
        return [{**kept, **found}[key] for key in self.selected if key in found or key in kept]

    def coverage(self) -> dict[str, float | None]:
        """Per cent of the area searched that each product found covers; empty without an area.

        Each product is measured once in a search, for every change of a filter asks again.
        """
        from extenso_nb.aoi.coverage import coverage

        with self.lock:
            if self.found_aoi is None:
                return {}
            area, known = self._shares
            if area is not self.found_aoi:
                known = {}
            new = [product for product in self.products if product.id not in known]
            shares = coverage(self.found_aoi, [product.footprint for product in new]) if new else []
            known = {**known, **dict(zip((product.id for product in new), shares, strict=True))}
            self._shares = (self.found_aoi, known)
            return {product.id: known[product.id] for product in self.products}

    def covering(self) -> list[Product]:
        """The products found that cover enough of the area, or of which that cannot be said."""
        shares = self.coverage() if self.least_coverage else {}
        return [
            product
            for product in self.products
            if (100.0 if (share := shares.get(product.id)) is None else share) >= self.least_coverage
        ]

    def visible(self) -> list[Product]:
        """The products found that the facets and the least coverage leave in list and map."""
        return [product for product in self.covering() if not fails(product, self.facets)]

    def ordered(self) -> dict[str, str]:
        """Products on order or delivered: identifier -> what to call it. Failed and cancelled ones are left out."""
        found: dict[str, str] = {}
        for key, entry in self.orders.items():
            for delivery in entry["deliveries"]:
                if delivery["status"] not in {"failed", "cancelled"}:
                    state = "delivered" if delivery["status"] == "delivered" else "on order"
                    found[delivery["productId"]] = f"{state}, #{key}"
        return found

    def open_orders(self) -> list[int]:
        """Orders in which something will still happen."""
        return [int(key) for key, entry in self.orders.items() if not Order.from_wire(entry["order"]).ended]

    def delivery(self, delivery_id: str) -> Delivery | None:
        """A delivery among those of the orders shown."""
        for entry in self.orders.values():
            for row in entry["deliveries"]:
                if row["id"] == delivery_id:
                    return Delivery.from_wire(row)
        return None

    def accounted(self) -> Account | None:
        """The account as a noun."""
        return None if self.account is None else Account.from_wire(self.account)

    def estimated(self) -> Estimate | None:
        """The estimate as a noun."""
        return None if self.estimate is None else Estimate.from_wire(self.estimate)

    # --- JSON ----------------------------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """All that is worth keeping, as JSON values. Pictures, pointer and running actions are not."""
        with self.lock:
            values: dict[str, Any] = {name: getattr(self, name) for name in self._saved}
            values["products"] = [product.to_wire() for product in self.products]
        return {key: _copied(value) for key, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ExplorerState:
        """The state that `to_dict` gave. Names that this version does not know are ignored.

        Raises TraitError or pydantic's ValidationError for values that cannot be.
        """
        _check_saved(values)
        known = {name: _copied(values[name]) for name in cls._saved if name in values}
        products = mended(Product.from_wire(body) for body in values.get("products", ()))
        return cls(products=products, **known)


def _check_saved(values: Mapping[str, Any]) -> None:
    """Raise TraitError, or ValidationError of a noun, for what views could not draw, or would show under another name."""
    from extenso_nb.aoi import area

    try:
        kept = {key: Product.from_wire(body).id for key, body in (values.get("kept") or {}).items()}
        orders = dict(values.get("orders") or {})
        names = {key: str(Order.from_wire(entry["order"]).id) for key, entry in orders.items()}
        for entry in orders.values():
            for row in entry["deliveries"]:
                Delivery.from_wire(row)
        if values.get("estimate") is not None:
            Estimate.from_wire(values["estimate"])
        for name in ("aoi", "found_aoi"):
            if values.get(name) is not None:
                area(values[name])
        for value in (values.get("opacities") or {}).values():
            float(value)
    except ValidationError:
        raise
    except (ExtensoError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise TraitError(f"The state cannot be read: {type(error).__name__}: {error}") from error
    if wrong := [key for found in (kept, names) for key, own in found.items() if key != own]:
        raise TraitError(f"The state cannot be read: what stands under {wrong[0]!r} has another name.")


def _whole(label: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"{label}: {text!r} is no whole number.", hint="Write digits only, or leave it empty."
        ) from None


def _copied(value: Any) -> Any:
    """Plain containers, so that the copy shares nothing with the state."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in value]
    return value


P = ParamSpec("P")


def guard(state: ExplorerState, title: str, callback: Callable[P, object]) -> Callable[P, None]:
    """A callback for a widget: what it raises is shown and logged, for a notebook would swallow it."""

    @wraps(callback)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception as error:
            state.fail(title, error)
            if _strict.is_set():
                raise

    return guarded


def ended(deliveries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether nothing more will happen to any of these deliveries (as on the wire)."""
    return all(delivery["status"] in DELIVERY_ENDED for delivery in deliveries)
