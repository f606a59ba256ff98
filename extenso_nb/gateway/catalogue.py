"""Several sources as one catalogue: search them together, find by identifier, say which one answers for a product."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from extenso_nb.errors import (
    CredentialsMissing,
    ExtensoError,
    InvalidRequest,
    NoQuicklook,
    SourceUnavailable,
    UnknownProduct,
)
from extenso_nb.gateway.sources import Hits, Source, lacking, profile_of
from extenso_nb.gateway.sources.resting import Resting
from extenso_nb.models import Health, Product, SourceHealth
from extenso_nb.products import ProductId, parse
from extenso_nb.query import Query, order

__all__ = ["Catalogue"]

T = TypeVar("T")

STICKS_SECONDS = 300.0
"""How long the pages of a search come from the catalogue that the first one came from."""
_SEARCHES = 1000
"""Searches of which that is remembered."""


class Catalogue:
    """The sources of a gateway, asked in the order in which they were named.

    Those of the archive (`Profile.archive`) are views of the same products: one of them answers a search, and the next
    one when it fails. All others have products of their own and are asked in every search.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        if not sources:
            raise ValueError("A gateway needs at least one source.")
        self.sources: Mapping[str, Source] = {
            source.name: Resting(source) if profile_of(source).archive else source for source in sources
        }
        if len(self.sources) != len(sources):
            raise ValueError(f"Two sources have one name: {', '.join(source.name for source in sources)}.")
        self._answered: dict[tuple[str, str, str], tuple[float, str]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of what the sources hold open."""
        for source in self.sources.values():
            close = getattr(source, "close", None)
            if callable(close):
                close()

    # --- search ------------------------------------------------------------------------------------------------------
    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """One window of what the sources hold, each product once.

        Raises SourceUnavailable when one with products of its own fails, or every catalogue of the archive does: a
        shorter list would look like a true one.
        """
        asked = [source for source in self.sources.values() if collection in profile_of(source).searches]
        own = [source for source in asked if not profile_of(source).archive]
        archive = [source for source in asked if profile_of(source).archive]
        if not asked:
            named = ", ".join(self.sources)
            raise SourceUnavailable(
                f"None of the sources ({named}) can be searched for {collection}.",
                hint="Name one that can beside them: `extenso sources` lists what each holds.",
            )
        asks: list[Ask] = [_asking(source, collection, query, orderby) for source in own]
        if archive:
            asks.append(lambda first, count: self._of_archive(archive, collection, query, (first, count), orderby))
        if len(asks) == 1:
            return asks[0](start, rows)
        found = _side_by_side([lambda ask=ask: ask(0, start + rows) for ask in asks])  # type: ignore[misc]
        return _merged([_Stream(ask, hits) for ask, hits in zip(asks, found, strict=True)], own, start, rows, orderby)

    def _of_archive(
        self, sources: list[Source], collection: str, query: Query, place: tuple[int, int], orderby: str
    ) -> Hits:
        """From the first catalogue of the archive that answers; pages of one search come from one catalogue."""
        key = (collection, str(query), orderby)
        before, usual = self._before(key), sources[0].name
        if place[0] == 0:
            # Somebody may be on a further page of the same search: it is not moved to another catalogue under them.
            sources = sorted(sources, key=lambda source: source.name != before)
            before = None
        notes: list[str] = []
        failures: list[ExtensoError] = []
        for source in sources:
            if before is not None and source.name != before:
                continue
            try:
                hits = source.search(collection, query, start=place[0], rows=place[1], orderby=orderby)
            except (SourceUnavailable, InvalidRequest) as error:  # the latter: it cannot be asked for all of it
                failures.append(error)
                notes.append(error.message)
                continue
            self._remember(key, source.name)
            if notes:
                notes.append(f"{source.name} was asked in place of {_named(sources[: sources.index(source)])}.")
            elif source.name != usual:
                notes.append(f"{source.name} answers in place of {usual}, as it did when this search was begun.")
            return Hits(hits.total, hits.products, (*notes, *hits.notes))
        if all(isinstance(error, InvalidRequest) for error in failures) and failures:
            raise failures[0]
        if before is not None:
            raise SourceUnavailable(
                f"{before}, from which the first pages of this search came, does not answer any more: "
                f"{failures[0].message if failures else 'it is no source of this gateway now.'}",
                hint="Begin the search again: another catalogue answers, and has it in pages of its own.",
            )
        if len(failures) == 1:
            raise failures[0]
        said = " ".join(error.message for error in failures)
        raise SourceUnavailable(f"None of {_named(sources)} answers. {said}", hint=failures[0].hint)

    def _before(self, key: tuple[str, str, str]) -> str | None:
        with self._lock:
            when, name = self._answered.get(key, (0.0, ""))
        return name if name and time.monotonic() - when < STICKS_SECONDS else None

    def _remember(self, key: tuple[str, str, str], name: str) -> None:
        with self._lock:
            self._answered.pop(key, None)
            self._answered[key] = (time.monotonic(), name)
            while len(self._answered) > _SEARCHES:
                del self._answered[next(iter(self._answered))]

    # --- by identifier -----------------------------------------------------------------------------------------------
    def find(self, product_ids: Sequence[str]) -> dict[str, Product]:
        """Products by identifier; those that none holds are left out.

        Sources with products of their own are all asked, those of the archive one after another, for what is missing.

        Raises SourceUnavailable when a product was not found and a source did not answer.
        """
        found: dict[str, Product] = {}
        failed: list[tuple[SourceUnavailable, set[str]]] = []
        for source in self.sources.values():
            profile = profile_of(source)
            held = profile.searches | profile.delivers
            wanted = [name for name in product_ids if not (profile.archive and name in found) and _of(name, held)]
            if not wanted:
                continue
            try:
                described = source.find(tuple(wanted))
            except SourceUnavailable as error:
                failed.append((error, set(wanted)))
                continue
            for product_id, product in described.items():
                found[product_id] = _joined(found[product_id], product) if product_id in found else product
        for failure, unanswered in failed:
            if not unanswered <= found.keys():
                raise failure
        return found

    def holders(self, product_id: str) -> tuple[dict[str, Product], dict[str, Exception]]:
        """What each source that delivers says of one product, what costs least first; and which could not say."""
        sources = sorted(
            (source for source in self.sources.values() if _of(product_id, profile_of(source).delivers)),
            key=lambda source: profile_of(source).cost,
        )
        said = _side_by_side([lambda source=source: _held(source, product_id) for source in sources])  # type: ignore[misc]
        held: dict[str, Product] = {}
        failed: dict[str, Exception] = {}
        for source, answer in zip(sources, said, strict=True):
            if isinstance(answer, Exception):
                failed[source.name] = answer
            elif answer is not None:
                held[source.name] = answer
        return held, failed

    def likely(self, product: Product) -> str:
        """The source that will probably deliver a product: the cheapest of those that are known to hold it, and can."""
        able = [source for source in self.sources.values() if product.collection in profile_of(source).delivers]
        ready = [source for source in able if lacking(source) is None] or able
        known = [source for source in ready if source.name in product.sources]
        chosen = min(known or ready, key=lambda source: profile_of(source).cost, default=None)
        return product.sources[0] if chosen is None else chosen.name

    def undeliverable(self, product: Product) -> CredentialsMissing | None:
        """Why no source could deliver a product, whatever happens; None where one may."""
        able = [source for source in self.sources.values() if product.collection in profile_of(source).delivers]
        missing = [lacks for source in able if (lacks := lacking(source)) is not None]
        if len(missing) < len(able):
            return None
        if not able:
            return CredentialsMissing(
                f"None of the sources ({', '.join(self.sources)}) delivers {product.collection}: they are only searched.",
                hint="Name one that does beside them: `extenso sources` lists what each holds.",
                products=[product.id],
            )
        return CredentialsMissing(f"{product.id} cannot be delivered. {' '.join(missing)}", products=[product.id])

    def quicklook(self, product_id: str) -> bytes:
        """The quicklook from the first source that has one. Raises NoQuicklook, UnknownProduct, SourceUnavailable."""
        reason: ExtensoError | None = None
        failed: SourceUnavailable | None = None
        for source in self.sources.values():
            if not _of(product_id, profile_of(source).searches | profile_of(source).delivers):
                continue
            try:
                return source.quicklook(product_id)
            except NoQuicklook as error:
                reason = error
            except UnknownProduct as error:
                reason = reason or error
            except SourceUnavailable as error:
                if not profile_of(source).archive:
                    raise
                failed = failed or error
        if failed is not None and not isinstance(reason, NoQuicklook):
            raise failed
        raise reason or UnknownProduct(f"No source holds {product_id}.", products=[product_id])

    # --- health ------------------------------------------------------------------------------------------------------
    def health(self, version: str) -> Health:
        """Whether each source answers."""
        states = _side_by_side([lambda source=source: _health(source) for source in self.sources.values()])  # type: ignore[misc]
        good = all(state.status == "ok" for state in states)
        return Health(status="ok" if good else "degraded", version=version, sources=tuple(states))


def _side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What the calls give, in their order; the first error of any is raised."""
    if len(calls) == 1:
        return [calls[0]()]
    if not calls:
        return []
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: call(), calls))


Ask = Callable[[int, int], Hits]
"""`ask(start, rows)`: a window of a search."""


def _asking(source: Source, collection: str, query: Query, orderby: str) -> Ask:
    return lambda start, rows: source.search(collection, query, start=start, rows=rows, orderby=orderby)


@dataclass(frozen=True, slots=True)
class _Stream:
    """A search at one place, and the beginning of what it found."""

    ask: Ask
    hits: Hits


def _merged(streams: Sequence[_Stream], own: Sequence[Source], start: int, rows: int, orderby: str) -> Hits:
    """One window of the whole: it can only hold products from the first start + rows of each place.

    A product that an earlier place holds stands where that has it, and is left out of the later ones: they may give it
    other dates, and with them another place in the order. `own` are the sources of the streams, in order; the last
    stream has none where it is the archive's.
    """
    merged: dict[str, Product] = {}
    total, notes = 0, list[str]()
    for number, stream in enumerate(streams):
        hits, held = _without(stream, own[:number], start + rows)
        for product in hits.products:
            if product.id in merged:
                merged[product.id] = _joined(merged[product.id], product)
            elif product.id not in held:
                merged[product.id] = product
        total += hits.total - len(held)
        notes += hits.notes
    ordered = order(merged.values(), orderby)
    return Hits(total, tuple(ordered[start : start + rows]), tuple(notes))


def _without(stream: _Stream, earlier: Sequence[Source], needed: int) -> tuple[Hits, set[str]]:
    """The beginning of a stream, long enough to have so many that no earlier source holds; and which those do."""
    hits, asked = stream.hits, needed
    while True:
        names = tuple(product.id for product in hits.products)
        held = {name for source in earlier for name in source.find(names)} if names else set()
        fresh = len(names) - len(held)
        if fresh >= needed or len(names) < asked:
            return hits, held
        asked += needed - fresh
        hits = stream.ask(0, asked)


def _joined(first: Product, second: Product) -> Product:
    """One product from two descriptions: the first source's, online when either is, its size known when either knows."""
    sources = tuple(dict.fromkeys((*first.sources, *second.sources)))
    better: dict[str, object] = {"sources": sources, "online": first.online or second.online}
    if first.size_estimated and not second.size_estimated:
        better |= {"size": second.size, "size_estimated": False}
    if first.footprint is None:
        better["footprint"] = second.footprint
    return first.model_copy(update=better)


def _of(product_id: str, collections: Iterable[str]) -> bool:
    """Whether a product is of one of the collections; one whose name does not say so may be."""
    try:
        identity: ProductId = parse(product_id)
    except ExtensoError:
        return True
    return identity.collection in collections


def _held(source: Source, product_id: str) -> Product | Exception | None:
    """What a source says of a product; the error where it cannot say, or could not deliver."""
    lacks = lacking(source)
    if lacks is not None:
        return SourceUnavailable(lacks, source=source.name, lacks=True)
    try:
        return source.find((product_id,)).get(product_id)
    except Exception as error:  # noqa: BLE001 - a source may raise anything; the others must be asked all the same
        return error


def _named(sources: Sequence[Source]) -> str:
    return ", ".join(source.name for source in sources)


def _health(source: Source) -> SourceHealth:
    try:
        count, status = source.check(), "ok"
    except SourceUnavailable as error:
        count, status = None, error.message
    rests = source.rests_until if isinstance(source, Resting) else None
    return SourceHealth(name=source.name, status=status, products=count, lacks=lacking(source), rests_until=rests)
