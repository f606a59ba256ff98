"""Several sources as one catalogue: search them together, find by identifier, say which one answers for a product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from extenso_nb.errors import ExtensoError, NoQuicklook, SourceUnavailable, UnknownProduct
from extenso_nb.gateway.sources import Hits, Source
from extenso_nb.models import Health, Product, SourceHealth
from extenso_nb.query import Query, order

__all__ = ["Catalogue"]


class Catalogue:
    """The sources of a gateway, asked in the order in which they were named."""

    def __init__(self, sources: Sequence[Source]) -> None:
        if not sources:
            raise ValueError("A gateway needs at least one source.")
        self.sources: Mapping[str, Source] = {source.name: source for source in sources}
        if len(self.sources) != len(sources):
            raise ValueError(f"Two sources have one name: {', '.join(source.name for source in sources)}.")

    def search(self, collection: str, query: Query, *, start: int, rows: int, orderby: str) -> Hits:
        """One window of what all sources hold, each product once.

        Raises SourceUnavailable when any of them fails: a shorter list would look like a true one.
        """
        if len(self.sources) == 1:
            (only,) = self.sources.values()
            return only.search(collection, query, start=start, rows=rows, orderby=orderby)
        # The window of the whole can only hold products from the first start + rows of each source.
        with ThreadPoolExecutor(len(self.sources)) as pool:
            found = list(
                pool.map(
                    lambda source: source.search(collection, query, start=0, rows=start + rows, orderby=orderby),
                    self.sources.values(),
                )
            )
        merged: dict[str, Product] = {}
        for hits in found:
            for product in hits.products:
                merged[product.id] = _joined(merged[product.id], product) if product.id in merged else product
        doubled = sum(len(hits.products) for hits in found) - len(merged)
        ordered = order(merged.values(), orderby)
        return Hits(sum(hits.total for hits in found) - doubled, tuple(ordered[start : start + rows]))

    def find(self, product_ids: Sequence[str]) -> dict[str, Product]:
        """Products by identifier, with all sources that hold them; those that none holds are left out.

        Raises SourceUnavailable when a product was not found and a source did not answer.
        """
        found: dict[str, Product] = {}
        failed: list[SourceUnavailable] = []
        for source in self.sources.values():
            try:
                held = source.find(tuple(product_ids))
            except SourceUnavailable as error:
                failed.append(error)
                continue
            for product_id, product in held.items():
                found[product_id] = _joined(found[product_id], product) if product_id in found else product
        if failed and len(found) < len(set(product_ids)):
            raise failed[0]
        return found

    def holders(self, product_id: str) -> tuple[dict[str, Product], dict[str, Exception]]:
        """What each source says of one product, in the order of the sources; and which sources could not say."""
        held: dict[str, Product] = {}
        failed: dict[str, Exception] = {}
        for name, source in self.sources.items():
            try:
                found = source.find((product_id,)).get(product_id)
            except Exception as error:  # noqa: BLE001 - a source may raise anything; the others must be asked all the same
                failed[name] = error
            else:
                if found is not None:
                    held[name] = found
        return held, failed

    def quicklook(self, product_id: str) -> bytes:
        """The quicklook from the first source that has one. Raises NoQuicklook, UnknownProduct."""
        reason: ExtensoError | None = None
        for source in self.sources.values():
            try:
                return source.quicklook(product_id)
            except NoQuicklook as error:
                reason = error
            except UnknownProduct as error:
                reason = reason or error
        raise reason or UnknownProduct(f"No source holds {product_id}.", products=[product_id])

    def health(self, version: str) -> Health:
        """Whether each source answers."""
        states = [_health(source) for source in self.sources.values()]
        good = all(state.status == "ok" for state in states)
        return Health(status="ok" if good else "degraded", version=version, sources=tuple(states))


def _joined(first: Product, second: Product) -> Product:
    """One product from two descriptions: the first source's, online when either is."""
    sources = tuple(dict.fromkeys((*first.sources, *second.sources)))
    return first.model_copy(update={"sources": sources, "online": first.online or second.online})


def _health(source: Source) -> SourceHealth:
    try:
        count = source.check()
    except SourceUnavailable as error:
        return SourceHealth(name=source.name, status=error.message)
    return SourceHealth(name=source.name, status="ok", products=count)
